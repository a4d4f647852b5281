//! The administrator's pages, and what comes of them.

use sottovoce::demo::service::Service;
use sottovoce::demo::stage;

use crate::browser::Browser;
use crate::scene::{Scene, exe, stop};

pub const ADMINISTRATOR: &str = "root";
pub const PASSWORD: &str = "the first administrator";

/// The first administrator, as the sign-in page says to make one.
pub fn add_administrator(service: &Service) {
    let added = service.add_administrator(exe(), ADMINISTRATOR, PASSWORD);
    added.expect("user add ends well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_names_the_customer_and_an_agent_is_added_on_the_page() {
    let scene = Scene::new("console-people").await;
    add_administrator(&scene.service);
    let browser = Browser::signed_in(&scene.service, ADMINISTRATOR, PASSWORD).await;

    browser.until_text("h1", "People").await;
    browser.until_text("#s-mia", stage::MIA).await;
    let form = ".columns form[data-path$='agents/{extension}']";
    browser
        .evaluate(&format!(
            "document.querySelector(\"{form}\").closest('details').open = true"
        ))
        .await;
    for (field, text) in [
        ("extension", "206"),
        ("name", "Oona"),
        ("pools", "support"),
        ("contact", "sip:206@127.0.0.1:5099"),
    ] {
        let field = browser.find(&format!("{form} [name={field}]")).await;
        field.send_keys(text).await.expect("typing");
    }
    browser.click(&format!("{form} button")).await;
    browser.until_text("#p-206", "Oona").await;

    // Adding overwrites nobody.
    browser.open("/people").await;
    let add = format!("document.querySelector(\"{form}\")");
    browser
        .evaluate(&format!("{add}.closest('details').open = true"))
        .await;
    browser
        .type_into(&format!("{form} [name=extension]"), "206")
        .await;
    browser
        .type_into(&format!("{form} [name=name]"), "Somebody else")
        .await;
    browser.click(&format!("{form} button")).await;
    browser
        .until_text(&format!("{form} [data-wrong]"), "206 is there already")
        .await;
    browser
        .find(&format!("{form} [name=extension][aria-invalid=true]"))
        .await;
    let refused = browser.complaints().await;
    assert!(
        refused.len() == 1 && refused[0].contains("412"),
        "{refused:?}"
    );
    browser.open("/people").await;
    browser.until_text("#p-206", "Oona").await;

    // What the form does not touch stays as it is.
    let edit = "#p-206 + tr";
    browser.click(&format!("{edit} summary")).await;
    browser
        .type_into(&format!("{edit} [name=name]"), " Oinas")
        .await;
    browser
        .click(&format!("{edit} [name=agent_notice] option[value=silent]"))
        .await;
    browser.click(&format!("{edit} button")).await;
    browser.until_text("#p-206", "Oona Oinas").await;
    browser.until_text("#p-206", "support").await;
    browser.until_text("#p-206", "sip:206@127.0.0.1:5099").await;
    let chosen = format!("document.querySelector('{edit} [name=agent_notice]').value");
    assert_eq!(browser.evaluate(&chosen).await, "silent");
    browser.click("#p-206 [data-do=remove]").await;
    browser.click("#sure button[type=submit]").await;
    browser.until_gone("#p-206").await;

    browser.open("/contacts").await;
    browser.until_text("#contacts", "No contacts yet").await;
    for (field, text) in [("number", "+358501112222"), ("name", "Kalle Kivi")] {
        let field = browser.find(&format!("input[name={field}]")).await;
        field.send_keys(text).await.expect("typing");
    }
    browser
        .click("form[data-path$='contacts/{number}'] button")
        .await;
    browser.until_text("#contacts", "Kalle Kivi").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());

    let mia = Browser::signed_in(&scene.service, "mia", stage::MIA_PASSWORD).await;
    mia.until_text("#rows", "Kalle Kivi").await;
    browser.close().await;
    mia.close().await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pools_notice_is_chosen_and_who_is_locked_out_is_let_in_again() {
    let scene = Scene::new("console-pools").await;
    add_administrator(&scene.service);
    let login = format!("http://{}/api/v1/login", scene.service.http);
    let http = reqwest::Client::new();
    let locked = async || {
        let tried = http
            .post(&login)
            .header("Content-Type", "application/json")
            .body(r#"{"user": "leo", "password": "wrong"}"#);
        tried.send().await.expect("an answer").status() == 429
    };
    while !locked().await {}
    let browser = Browser::signed_in(&scene.service, ADMINISTRATOR, PASSWORD).await;

    let pool = "#q-acme-support";
    browser
        .click(&format!("{pool} [name=agent_notice] option[value=silent]"))
        .await;
    browser.click(&format!("{pool} form button")).await;
    browser.until_text("#toasts", "Saved").await;
    browser.open("/people").await;
    let chosen = format!("document.querySelector('{pool} [name=agent_notice]').value");
    assert_eq!(browser.evaluate(&chosen).await, "silent");

    browser.until_text("#locks", "leo").await;
    browser.click("#locks [data-do=remove]").await;
    browser.until_text("#sure-text", "Let leo try again?").await;
    browser.click("#sure button[type=submit]").await;
    browser.until_gone("#locks").await;
    assert!(!locked().await, "one wrong password is looked at again");
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.close().await;
    stop(scene.service);
}
