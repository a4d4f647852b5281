//! The administrator's pages, and what comes of them.

use sottovoce::demo::service::Service;
use sottovoce::demo::stage;

use crate::browser::Browser;
use crate::scene::{Folder, Scene, exe, stop};

pub const ADMINISTRATOR: &str = "root";
pub const PASSWORD: &str = "the first administrator";

/// The first administrator, as the sign-in page says to make one.
pub fn add_administrator(service: &Service) {
    let added = service.add_administrator(exe(), ADMINISTRATOR, PASSWORD);
    added.expect("user add ends well");
}

/// A client beside the browser.
fn http() -> reqwest::Client {
    // Another test may have been first; there is one for the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
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
    let http = http();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_administrators_who_change_one_person_lose_nothing_that_they_typed() {
    let scene = Scene::new("console-both").await;
    add_administrator(&scene.service);
    let one = Browser::signed_in(&scene.service, ADMINISTRATOR, PASSWORD).await;
    let other = Browser::signed_in(&scene.service, ADMINISTRATOR, PASSWORD).await;
    let edit = "#s-leo + tr";
    for browser in [&one, &other] {
        browser.until_text("h1", "People").await;
        browser.click(&format!("{edit} summary")).await;
    }

    one.type_into(&format!("{edit} [name=name]"), " Lahti")
        .await;
    one.click(&format!("{edit} button")).await;
    one.until_text("#s-leo", "Leo Lahti").await;
    other
        .type_into(&format!("{edit} [name=name]"), " Lampi")
        .await;
    other.click(&format!("{edit} button")).await;

    let wrong = format!("{edit} [data-wrong]");
    other
        .until_text(&wrong, "Somebody else has changed Leo")
        .await;
    other
        .find(&format!("{wrong} a[href='/people#s-leo']"))
        .await;
    let typed = format!("document.querySelector('{edit} [name=name]').value");
    assert_eq!(other.evaluate(&typed).await, "Leo Lampi");
    one.open("/people").await;
    one.until_text("#s-leo", "Leo Lahti").await;
    // Told so, and sent again, it is theirs that holds.
    other.click(&format!("{edit} button")).await;
    other.until_text("#s-leo", "Leo Lampi").await;
    let refused = other.complaints().await;
    assert!(
        refused.len() == 1 && refused[0].contains("412"),
        "{refused:?}"
    );
    one.close().await;
    other.close().await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_and_a_password_are_taken_away_on_the_page() {
    let scene = Scene::new("console-secrets").await;
    add_administrator(&scene.service);
    let browser = Browser::signed_in(&scene.service, ADMINISTRATOR, PASSWORD).await;
    let edit = "#s-leo + tr";
    let remove = |secret| format!("{edit} [data-remove={secret}]");

    browser.click(&format!("{edit} summary")).await;
    browser.find(&remove("password")).await;
    browser.click(&remove("pin")).await;
    let off = format!("document.querySelector('{edit} [name=pin]').disabled");
    browser.until("the PIN is not typed as well", &off).await;
    browser.click(&format!("{edit} button")).await;

    browser.until_text("#toasts", "Saved").await;
    browser.until_gone(&remove("pin")).await;
    browser.click(&format!("{edit} summary")).await;
    browser.click(&remove("password")).await;
    browser.click(&format!("{edit} button")).await;
    browser.until_gone(&remove("password")).await;
    let login = http()
        .post(format!("http://{}/api/v1/login", scene.service.http))
        .header("Content-Type", "application/json")
        .body(r#"{"user": "leo", "password": "leo-demo"}"#);
    assert_eq!(login.send().await.expect("an answer").status(), 401);
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.close().await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_come_from_a_list_and_the_lines_that_did_not_are_told() {
    let scene = Scene::new("console-list").await;
    add_administrator(&scene.service);
    let browser = Browser::signed_in(&scene.service, ADMINISTRATOR, PASSWORD).await;
    let form = "form[data-csv]";
    let folder = Folder::new("console-list-file");
    let list = folder.path().join("agents.csv");
    let hand_in = async |text: &str| {
        std::fs::write(&list, text).expect("a list");
        let open = format!("document.querySelector('{form}').closest('details').open = true");
        browser.evaluate(&open).await;
        let file = browser.find(&format!("{form} input[type=file]")).await;
        let path = list.to_str().expect("a path of text");
        file.send_keys(path).await.expect("a file is chosen");
        browser.click(&format!("{form} button")).await;
    };

    browser.until_text("h1", "People").await;
    hand_in("extension,name,pools\n301,Sari,support\n302,Seppo,\n").await;
    browser.until_text("#toasts", "2 new, 0 changed").await;
    browser.until_text("#p-301", "Sari").await;
    browser.until_text("#p-302", "Seppo").await;

    // One line is wrong: the other one is taken, and the page says both.
    hand_in("extension,name,pools\n301,Sari Salo,support\n303,Sulo,ghosts\n").await;
    let wrong = format!("{form} [data-wrong]");
    browser.until_text(&wrong, "0 new, 1 changed").await;
    browser.until_text(&wrong, "Line 3").await;
    browser.until_text(&wrong, "ghosts").await;
    browser.open("/people").await;
    browser.until_text("#p-301", "Sari Salo").await;
    browser.until_gone("#p-303").await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.close().await;
    stop(scene.service);
}
