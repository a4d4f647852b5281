//! Where benches leave what they measured.

use std::path::{Path, PathBuf};

/// Writes figures to `target/bench/<name>.json`, and says where.
pub fn keep(name: &str, figures: &serde_json::Value) -> anyhow::Result<()> {
    let folder = target().join("bench");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(name).with_extension("json");
    std::fs::write(&path, format!("{figures:#}\n"))?;
    println!("kept in {}", path.display());
    Ok(())
}

/// The folder that cargo builds into.
pub fn target() -> PathBuf {
    // CARGO_TARGET_TMPDIR is target/tmp.
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().unwrap_or(tmp).to_owned()
}
