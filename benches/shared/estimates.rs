//! What criterion measured, once more as one table and one file, each figure beside its floor.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::figures;

/// Reads the mean of each, in nanoseconds, and of its floor, from `target/criterion`, and keeps them
/// as `target/bench/<name>.json`. What was filtered out is left out.
pub fn keep(name: &str, against: &[(&str, &str, &str)]) -> anyhow::Result<()> {
    println!();
    println!(
        "{:<44} {:>12} {:>12} {:>9}",
        "20 ms of sound", "ns", "floor ns", "times"
    );
    let folder = figures::target().join("criterion");
    let mut rows = Vec::new();
    for (group, what, floor) in against {
        let mean = |what: &str| mean_ns(&folder.join(group).join(what));
        let (Ok(mean), Ok(least)) = (mean(what), mean(floor)) else {
            continue;
        };
        println!(
            "{:<44} {mean:>12.1} {least:>12.1} {:>9.2}",
            format!("{group}: {what}"),
            mean / least
        );
        rows.push(json!({
            "group": group,
            "what": what,
            "ns": mean,
            "floor": floor,
            "floor_ns": least,
            "times_floor": mean / least,
        }));
    }
    figures::keep(name, &Value::Array(rows))
}

fn mean_ns(folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("new/estimates.json");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let estimates: Value = serde_json::from_str(&text)?;
    let mean = estimates["mean"]["point_estimate"].as_f64();
    mean.context("a mean")
}
