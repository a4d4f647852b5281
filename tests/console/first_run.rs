//! A service that nobody has set up yet: each page says what to do next, and doing it is enough.

use crate::browser::Browser;
use crate::people::{ADMINISTRATOR, PASSWORD, add_administrator};
use crate::scene::{Folder, setup, start, stop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_nothing_to_a_supervisor_who_waits_for_calls() {
    let folder = Folder::new("console-first-run");
    let mut empty = setup(&folder);
    empty.people = String::new();
    let service = start(&empty);
    let browser = Browser::start(&service, "en-GB").await;

    browser.open("/sign-in").await;
    browser.until_text("main", "Nobody can sign in yet").await;
    browser.until_text("main code", "sottovoce user add").await;
    add_administrator(&service);
    browser.sign_in(ADMINISTRATOR, PASSWORD).await;
    browser
        .until_text("main", "There is no organisation yet")
        .await;
    for (path, next) in [
        ("/contacts", "Add an organisation"),
        ("/webhooks", "Add an organisation"),
        ("/reports", "Listen to a call, or choose other days"),
    ] {
        browser.open(path).await;
        browser.until_text("main .empty", next).await;
    }
    // What the administrator came from is the first that there is to read.
    browser.open("/audit").await;
    browser.until_text("main table", "command-line").await;

    browser.open("/people").await;
    fill(
        &browser,
        "organisations/{organisation}'][data-fresh",
        &[
            ("organisation", "acme"),
            ("name", "Acme"),
            ("supervising_numbers", "800"),
        ],
        &["supervision"],
    )
    .await;
    browser.until_text("details.fold", "supervision on").await;
    fill(
        &browser,
        "pools/{pool}'][data-fresh",
        &[("pool", "support")],
        &[],
    )
    .await;
    browser.until_text("#q-acme-support", "support").await;
    fill(
        &browser,
        "supervisors/{user}'][data-fresh",
        &[
            ("user", "mia"),
            ("name", "Mia"),
            ("phone", "+358401234567"),
            ("pools", "support"),
            ("password", "mia-password"),
        ],
        &["may"],
    )
    .await;
    browser.until_text("#s-mia", "Mia").await;
    browser.click("[data-do=sign-out]").await;
    browser.find("input[name=password]").await;

    browser.sign_in("mia", "mia-password").await;
    browser
        .until_text("#calls", "No agents are assigned to you")
        .await;
    browser.click("[data-do=sign-out]").await;
    browser.find("input[name=password]").await;
    browser.sign_in(ADMINISTRATOR, PASSWORD).await;
    fill(
        &browser,
        "agents/{extension}'][data-fresh",
        &[("extension", "204"), ("name", "Aino"), ("pools", "support")],
        &[],
    )
    .await;
    browser.until_text("#p-204", "Aino").await;
    browser.click("[data-do=sign-out]").await;
    browser.find("input[name=password]").await;

    browser.sign_in("mia", "mia-password").await;
    browser.until_text("#calls", "No call right now").await;
    browser.until_text("#calls .steps", "Press Listen").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.close().await;
    stop(service);
}

/// Opens what the form is folded into, types, ticks, and sends it.
async fn fill(browser: &Browser, form: &str, typed: &[(&str, &str)], ticked: &[&str]) {
    let form = format!("form[data-path$='{form}]");
    let unfold = format!(
        "(document.querySelector(\"{form}\").closest('details:not(.fold)') ?? {{}}).open = true"
    );
    browser.evaluate(&unfold).await;
    for (field, text) in typed {
        browser
            .type_into(&format!("{form} [name={field}]"), text)
            .await;
    }
    for field in ticked {
        browser.click(&format!("{form} [name={field}]")).await;
    }
    browser.click(&format!("{form} button")).await;
}
