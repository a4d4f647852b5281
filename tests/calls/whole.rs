//! What a newcomer runs: `demo` and `demo errors`, whole.

use std::process::Command;

use crate::scene::{Folder, exe, share};

fn demo(arguments: &[&str], folder: &Folder) -> String {
    let output = Command::new(exe())
        .arg("demo")
        .args(arguments)
        .arg("--out")
        .arg(folder.path())
        .current_dir(share())
        .output()
        .expect("the demo runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[test]
fn the_demo_measures_every_role_as_agreed() {
    let folder = Folder::new("demo");

    let text = demo(&[], &folder);

    for role in ["monitor", "coach", "whisper to caller", "barge", "takeover"] {
        assert!(text.contains(role), "{role} is missing:\n{text}");
    }
    for ear in ["agent.wav", "customer.wav", "supervisor.wav"] {
        assert!(folder.path().join(ear).exists(), "{ear}");
    }
}

#[test]
fn each_of_9011_to_9015_is_spoken_to_the_supervisor_alone() {
    let folder = Folder::new("errors");

    let text = demo(&["errors"], &folder);

    for code in ["9011", "9012", "9013", "9014", "9015"] {
        assert!(text.contains(code), "{text}");
        assert!(
            folder.path().join(format!("{code}.wav")).exists(),
            "{code}.wav"
        );
    }
}
