//! Processes of this machine, by what they were started with.

use std::path::Path;

use rustix::process::Pid;

/// Those whose command line names this file or folder. A name that was made up for the occasion
/// finds its own and nobody else's.
pub fn that_name(path: &Path) -> Vec<Pid> {
    let name = path.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let file = entry.file_name();
        let Some(pid) = file.to_str().and_then(|text| text.parse().ok()) else {
            continue;
        };
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if command.windows(name.len()).any(|part| part == name) {
            found.extend(Pid::from_raw(pid));
        }
    }
    found
}
