//! Pictures of every page for people to look at: light, dark, and as narrow as a telephone, in
//! `target/screens/`. What a picture can be measured by is checked on the way: nothing is wider
//! than the screen.

use serde_json::json;
use sottovoce::demo::stage;

use crate::browser::{Browser, DESKTOP, TELEPHONE};
use crate::listening::{scene, softphone};
use crate::scene::stop;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_fits_desktop_and_telephone_in_light_and_dark() {
    let scene = scene("console-screens").await;
    let mut phone = softphone(&scene).await;
    let browser = Browser::start(&scene.service, "en-GB").await;
    browser.open("/sign-in").await;
    take(&browser, "sign-in").await;
    browser.sign_in("mia", stage::MIA_PASSWORD).await;
    browser.until_text("#rows", "Aino").await;
    take(&browser, "calls").await;

    browser.click("#rows [data-do=listen]").await;
    take(&browser, "listen-dialog").await;
    browser.click("#listen input[value=all]").await;
    browser.click("#listen button[type=submit]").await;
    let line = phone.incoming().await.expect("the phone rings");
    let line = line.answer().await.expect("it is answered");
    browser.find(".monitor[data-state=monitor]").await;
    browser.click(".monitor [data-role=coach]").await;
    browser.find(".monitor[data-state=coach]").await;
    take(&browser, "monitoring").await;
    browser.click("#rows [data-do=hangup]").await;
    take(&browser, "hang-up-dialog").await;
    browser.click("#hangup [data-do=close-dialog]").await;

    browser.open("/agents").await;
    browser.click("#a-204 [data-do=watch]").await;
    browser
        .find("#a-204 [data-do=watch][aria-pressed=true]")
        .await;
    take(&browser, "agents").await;
    line.hang_up().await.expect("the phone hangs up");
    browser.until_gone(".monitor").await;
    browser.open("/supervising").await;
    take(&browser, "supervising").await;

    let agent = Browser::signed_in(&scene.service, stage::AGENT, stage::AGENT_PASSWORD).await;
    agent.find("#ask").await;
    take(&agent, "desk").await;
    agent
        .find("#ask textarea")
        .await
        .send_keys("About the invoice of March")
        .await
        .expect("typing");
    agent.click("#ask button").await;
    agent.find("#desk [data-help]").await;
    browser.open("/help").await;
    browser.find("#requests .help").await;
    take(&browser, "help").await;
    browser.click("#urgent [data-do=help-accept]").await;
    agent.until_text("#desk [data-help]", "Mia").await;
    take(&agent, "desk-helped").await;
    agent.close().await;

    for (path, name) in [("/audit", "audit"), ("/reports", "reports")] {
        browser.open(path).await;
        browser.find("main h1").await;
        take(&browser, name).await;
    }
    scene
        .customer
        .hang_up()
        .await
        .expect("the customer hangs up");
    browser.open("/").await;
    browser.until_text("#calls", "No call right now").await;
    take(&browser, "calls-empty").await;

    crate::people::add_administrator(&scene.service);
    browser.click("[data-do=sign-out]").await;
    browser.find("input[name=password]").await;
    browser
        .sign_in(crate::people::ADMINISTRATOR, crate::people::PASSWORD)
        .await;
    browser.until_text("h1", "People").await;
    take(&browser, "people").await;
    browser.open("/contacts").await;
    take(&browser, "contacts").await;
    browser.open("/webhooks").await;
    take(&browser, "webhooks").await;

    browser.close().await;
    stop(scene.service);
}

async fn take(browser: &Browser, name: &str) {
    for (size, scheme, what) in [
        (DESKTOP, "light", "light"),
        (DESKTOP, "dark", "dark"),
        (TELEPHONE, "light", "narrow"),
    ] {
        browser.shows(size, scheme).await;
        let overflow =
            "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(
            browser.evaluate(overflow).await,
            json!(0),
            "{name}, {what}: wider than the screen"
        );
        browser.screenshot(&format!("{name}-{what}")).await;
    }
    browser.shows(DESKTOP, "light").await;
}
