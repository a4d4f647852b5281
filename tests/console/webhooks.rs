//! The administrator's page of webhooks, with a receiver behind it.

use crate::browser::Browser;
use crate::people::{ADMINISTRATOR, PASSWORD, add_administrator};
use crate::receiver::{Manners, Receiver};
use crate::scene::{Scene, stop, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_added_tested_its_dead_letter_sent_again_and_removed() {
    let scene = Scene::with("console-webhooks", |setup| {
        setup
            .line("webhooks", "first_retry = \"10ms\"")
            .line("webhooks", "attempts = 2")
    })
    .await;
    add_administrator(&scene.service);
    let receiver = Receiver::start(Manners::Fails).await;
    let browser = Browser::signed_in(&scene.service, ADMINISTRATOR, PASSWORD).await;

    browser.open("/webhooks").await;
    browser.until_text("#webhooks", "No webhooks yet").await;
    let form = "form[data-path='admin/webhooks']";
    let url = receiver.url("/hook");
    browser.type_into(&format!("{form} [name=url]"), &url).await;
    browser
        .click(&format!("{form} [name=events][value='call.ended']"))
        .await;
    browser.click(&format!("{form} button")).await;
    browser.until_text("#webhooks", &url).await;
    browser.until_text("#webhooks .tag", "call.ended").await;
    let told = browser.text(&format!("{form} [data-told]")).await;
    let secret = told.rsplit(' ').next().unwrap_or_default().to_owned();
    assert_eq!(secret.len(), 64, "{told}");

    let test = "#webhooks [data-path$='/ping']";
    browser.click(test).await;
    browser
        .until_text("#toasts", "Not delivered: status 500")
        .await;
    scene
        .customer
        .hang_up()
        .await
        .expect("the customer hangs up");
    let resend = "#webhooks [data-path$='/resend']";
    browser.find(resend).await;
    browser
        .until_text("#webhooks", "2 attempts, the last: status 500")
        .await;
    receiver.behave(Manners::Accepts);
    browser.click(test).await;
    browser.until_text("#toasts", "Delivered: status 204").await;
    browser.click(resend).await;
    browser.until_gone(resend).await;
    wait_until("it arrives", || receiver.accepted().len() == 2).await;
    let accepted = receiver.accepted();
    assert_eq!(accepted[1].event(), "call.ended");
    assert!(accepted.iter().all(|told| told.is_signed_with(&secret)));

    browser.click("#webhooks [data-do=remove]").await;
    browser.click("#sure button[type=submit]").await;
    browser.until_text("#webhooks", "No webhooks yet").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.close().await;
    stop(scene.service);
}
