//! What a newcomer is told by `sottovoce demo --keep`, done as told.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::browser::Browser;
use crate::scene::{Folder, exe};

/// The demo in a process of its own; interrupted, then killed if need be, when dropped.
struct Demo(Child);

impl Demo {
    fn interrupt(&self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.interrupt();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_signs_in_as_printed_and_works_the_call_from_the_page() {
    let folder = Folder::new("console-keep");
    let child = Command::new(exe())
        .args(["demo", "--keep", "--keys", "5#", "--out"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the demo starts");
    let mut demo = Demo(child);
    let mut lines = BufReader::new(demo.0.stdout.take().expect("its output")).lines();
    let mut printed = |name: &str| {
        let line = lines.find_map(|line| {
            let line = line.expect("a line of text");
            Some(line.split_once(name)?.1.trim().to_owned())
        });
        line.unwrap_or_else(|| panic!("{name} is printed"))
    };
    let address = tokio::task::block_in_place(|| printed("1. Open"));
    let sign_in = tokio::task::block_in_place(|| printed("2. Sign in"));
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

    demo.interrupt();
    // What it still prints has a reader until it ends.
    tokio::task::block_in_place(|| lines.for_each(drop));
    let status = tokio::task::block_in_place(|| demo.0.wait()).expect("the demo ends");
    assert!(status.success(), "{status}");
}
