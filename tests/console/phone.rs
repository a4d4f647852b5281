//! A supervisor's phone and notifications, as they are set on the page.

use serde_json::json;
use sottovoce::demo::media::Voice;
use sottovoce::demo::phone::{Phone, PhoneConfig};
use sottovoce::demo::stage::{self, MOBILE};

use crate::browser::Browser;
use crate::code::heard_code;
use crate::scene::{Scene, stop};

const NEW: &str = "+358409998877";
const NUMBER: &str = "form[data-path='me/phone']";
const CALL: &str = "form[data-path='me/phone/prove'][data-bare]";
const CODE: &str = "form[data-path='me/phone/prove']:not([data-bare])";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_phone_is_called_and_counts_when_its_code_is_entered() {
    let port = stage::free_port(MOBILE).expect("a port");
    let scene = Scene::with("console-proof", |mut setup| {
        setup.trunks = stage::trunks_with(port);
        setup
    })
    .await;
    let mut config = PhoneConfig::new(NEW, MOBILE, scene.service.sip);
    config.port = port;
    let mut phone = Phone::start(config).await.expect("a phone");
    let browser = Browser::signed_in(&scene.service, "mia", stage::MIA_PASSWORD).await;

    browser.open("/supervising").await;
    browser
        .type_into(&format!("{NUMBER} input"), "040 999 8877")
        .await;
    browser.click(&format!("{NUMBER} button")).await;
    browser.until_text(".banner.note", NEW).await;
    browser.until_text(".facts", stage::MIA).await;
    browser.click(&format!("{CALL} button")).await;
    let incoming = phone.incoming().await.expect("the phone rings");
    let line = incoming.answer().await.expect("it is answered");
    line.media.say(Voice::Silence);
    line.ended().await;
    let code = heard_code(&line);

    let wrong = if code == "000000" { "000001" } else { "000000" };
    let field = format!("{CODE} input");
    browser.type_into(&field, wrong).await;
    browser.click(&format!("{CODE} button")).await;
    browser.find(&format!("{CODE} .wrong:not([hidden])")).await;
    let text = browser.text(".facts").await;
    assert!(text.contains(stage::MIA), "{text}");
    let clear = format!("document.querySelector({}).value = ''", json!(field));
    browser.evaluate(&clear).await;
    browser.type_into(&field, &code).await;
    browser.click(&format!("{CODE} button")).await;

    browser.until_text(".facts", NEW).await;
    browser.until_gone(CODE).await;
    browser.close().await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watched_agents_call_is_told_by_the_browser_and_leads_to_listening() {
    let scene = Scene::new("console-notification").await;
    let browser = Browser::start(&scene.service, "en-GB").await;
    let origin = format!("http://{}", scene.service.http);
    let permit = json!({ "origin": origin, "permissions": ["notifications"] });
    browser.devtools("Browser.grantPermissions", permit).await;
    browser.sign_in("mia", stage::MIA_PASSWORD).await;
    browser.open("/supervising").await;
    browser
        .find("#permission [data-permission=granted]:not([hidden])")
        .await;
    browser
        .evaluate(
            "(window.shown = [], window.Notification = class extends Notification {\
             constructor(title, options) { super(title, options); shown.push([title, options.tag, this]); } },\
             true)",
        )
        .await;

    let watch = "form[data-path='watchlist/{extension}']";
    browser
        .evaluate(&format!(
            "document.querySelector({}).value = '204'",
            json!(format!("{watch} select"))
        ))
        .await;
    browser.click(&format!("{watch} button")).await;
    browser
        .until_text("#urgent .note", "Aino is on a call")
        .await;

    browser.until("it is told once", "shown.length === 1").await;
    let told = browser.evaluate("shown[0].slice(0, 2)").await;
    let note = browser
        .evaluate("document.querySelector('#urgent .note').id")
        .await;
    assert_eq!(told, json!(["Aino is on a call", note]));
    browser.evaluate("shown[0][2].onclick()").await;
    browser
        .until(
            "the dialog is open",
            "document.querySelector('#listen').open",
        )
        .await;
    browser.until_text("#listen-title", "Listen to Aino").await;
    let again = browser.evaluate("shown.length").await;
    assert_eq!(again, json!(1));
    browser.close().await;
    stop(scene.service);
}
