//! What a newcomer is told by `sottovoce demo --keep`, done as told.

use std::io::{BufRead as _, BufReader, Lines};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use regex::Regex;
use rustix::process::{Pid, Signal, kill_process};

use crate::browser::Browser;
use crate::processes;
use crate::scene::{Folder, exe, wait_until};

/// `sottovoce demo --keep` in a process of its own; interrupted when dropped.
struct Demo {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// A demo measures what its phones hear: two at once would measure each other's load.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

impl Demo {
    fn start(folder: &Folder) -> Self {
        let mut child = Command::new(exe())
            .args(["demo", "--keep", "--keys", "5#", "--out"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the demo starts");
        let output = child.stdout.take().expect("its output");
        let lines = BufReader::new(output).lines();
        Self { child, lines }
    }

    /// What stands behind this in the next line that has it.
    fn printed(&mut self, name: &str) -> String {
        let lines = self.lines.by_ref();
        let line = tokio::task::block_in_place(|| {
            lines.find_map(|line| {
                let line = line.expect("a line of text");
                Some(line.split_once(name)?.1.trim().to_owned())
            })
        });
        line.unwrap_or_else(|| panic!("{name} is printed"))
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }

    /// What it still prints has a reader until it ends.
    fn end(&mut self) -> ExitStatus {
        tokio::task::block_in_place(|| {
            self.lines.by_ref().for_each(drop);
            self.child.wait().expect("the demo ends")
        })
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.signal(Signal::INT);
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_signs_in_as_printed_and_works_the_call_from_the_page() {
    let _alone = ALONE.lock().await;
    let folder = Folder::new("console-keep");
    let mut demo = Demo::start(&folder);
    let address = demo.printed("1. Open");
    let sign_in = demo.printed("2. Sign in");
    let (user, password) = sign_in.split_once(", password ").expect("both are printed");
    let user = user.trim_start_matches("user ");

    let browser = Browser::at(address.trim_end_matches('/'), "en-GB").await;
    browser.sign_in(user, password).await;
    browser.click("#rows [data-do=listen]").await;
    browser.click("#listen input[value=all]").await;
    browser.click("#listen button[type=submit]").await;
    browser.find(".monitor[data-state=monitor]").await;
    browser.click(".monitor [data-role=coach]").await;
    browser.find(".monitor[data-state=coach]").await;
    browser.click(".monitor [data-do=end]").await;
    browser.until_gone(".monitor").await;

    // Hung up from the page, the customer calls again.
    let first = browser
        .evaluate("document.querySelector('#rows tr').id")
        .await;
    browser.click("#rows [data-do=hangup]").await;
    browser.click("#hangup button[type=submit]").await;
    let another = format!("(document.querySelector('#rows tr')?.id ?? {first}) !== {first}");
    browser.until("another call", &another).await;
    browser.close().await;

    demo.signal(Signal::INT);
    let status = demo.end();
    assert!(status.success(), "{status}");
    assert_eq!(processes::that_name(folder.path()), [], "nothing is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_that_is_told_to_end_takes_its_service_along() {
    let _alone = ALONE.lock().await;
    for (told_at, signal, well) in [
        // The service has just begun, and the roles are being measured.
        ("service ready", Signal::TERM, false),
        // Everything is up.
        ("The administrator's pages", Signal::TERM, true),
        ("service ready", Signal::KILL, false),
        // Calls are up, and nobody is left to hang them up.
        ("The administrator's pages", Signal::KILL, false),
    ] {
        let folder = Folder::new("console-keep-ends");
        let mut demo = Demo::start(&folder);
        demo.printed(told_at);
        let running = processes::that_name(folder.path());
        assert!(running.len() >= 2, "the demo and its service: {running:?}");

        demo.signal(signal);
        let status = demo.end();

        assert_eq!(status.success(), well, "{told_at}: {status}");
        wait_until("nothing of the demo is left", || {
            processes::that_name(folder.path()).is_empty()
        })
        .await;
        if signal == Signal::KILL {
            // Nor did the service wait for calls whose phones are gone.
            let log = folder.path().join("service/service.log");
            let log = std::fs::read_to_string(log).expect("the service's log");
            assert!(!log.contains("asked to end"), "{told_at}: {log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_line_tells_the_call_each_key_each_role_and_what_was_measured() {
    let _alone = ALONE.lock().await;
    let folder = Folder::new("demo-time-line");
    let output = tokio::process::Command::new(exe())
        .args(["demo", "--keys", "4#,9#,6#", "--out"])
        .arg(folder.path())
        .output()
        .await
        .expect("the demo runs");

    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let timed = Regex::new(r"^ *(\d+\.\d\d) s  (.*)$").expect("a pattern");
    let lines: Vec<(f64, &str)> = said
        .lines()
        .filter_map(|line| timed.captures(line))
        .map(|line| {
            let (_, [seconds, text]) = line.extract();
            (seconds.parse().expect("seconds"), text)
        })
        .collect();
    assert!(lines.is_sorted_by_key(|(seconds, _)| *seconds), "{said}");
    let mut left = lines.iter();
    for expected in [
        "service ready: SIP 127.0.0.1:",
        "agent 204 (Aino) has registered",
        "the customer (+358501112222) dials 204",
        "agent 204 has answered: the call is connected",
        "customer and agent hear each other",
        "Mia dials 800",
        "800 has answered",
        "role in force: monitor",
        "s: agent hears customer, customer hears agent, supervisor hears agent + customer (as agreed)",
        "Mia presses 4",
        "Mia presses #",
        "role in force: coach",
        "s: agent hears customer + supervisor, customer hears agent,",
        "Mia presses 9",
        "Mia presses 6",
        "role in force: barge",
        "s: agent hears customer + supervisor, customer hears agent + supervisor,",
    ] {
        let found = left.any(|(_, text)| text.contains(expected));
        assert!(found, "{expected:?} in its place in:\n{said}");
    }
    for sentence in ["Listening.", "Coaching.", "Everyone can hear you."] {
        let told = format!("Mia is told \"{sentence}\"");
        assert!(
            lines.iter().any(|(_, text)| *text == told),
            "{told} in:\n{said}"
        );
    }
    let table: Vec<&str> = said
        .lines()
        .filter(|line| line.ends_with("  yes"))
        .collect();
    assert_eq!(table.len(), 3, "{said}");
    for file in ["service/people.toml", "service/sottovoce.toml"] {
        let file = std::fs::metadata(folder.path().join(file)).expect("a file of the service");
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }
}
