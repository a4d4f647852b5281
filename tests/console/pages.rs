//! What every page keeps to: weight, policy, language, and who may see it.

use std::collections::BTreeSet;

use sottovoce::demo::stage;

use crate::browser::Browser;
use crate::scene::{Scene, stop};

/// What a page may weigh, with everything it loads.
const MAX_PAGE: f64 = 150_000.0;

const SUPERVISORS: [&str; 4] = ["/", "/agents", "/supervising", "/help"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_light_and_load_nothing_from_elsewhere() {
    let scene = Scene::new("console-weight").await;
    let browser = Browser::signed_in(&scene.service, "mia", stage::MIA_PASSWORD).await;
    browser
        .devtools("Network.enable", serde_json::json!({}))
        .await;
    browser
        .devtools(
            "Network.setCacheDisabled",
            serde_json::json!({ "cacheDisabled": true }),
        )
        .await;

    for path in SUPERVISORS {
        browser.open(path).await;
        let weight = browser
            .evaluate(
                "performance.getEntries().filter((e) => ['navigation', 'resource'].includes(e.entryType))\
                 .filter((e) => e.initiatorType !== 'fetch')\
                 .reduce((sum, e) => sum + e.encodedBodySize, 0)",
            )
            .await;
        let weight = weight.as_f64().expect("a number");
        println!("{path}: {weight} bytes with all it loads");
        assert!(weight > 1_000.0 && weight < MAX_PAGE, "{path}: {weight}");
        let hosts = browser
            .evaluate("[...new Set(performance.getEntriesByType('resource').map((e) => new URL(e.name).host))].join()")
            .await;
        assert_eq!(hosts, scene.service.http.to_string().as_str(), "{path}");
        assert_eq!(browser.complaints().await, Vec::<String>::new(), "{path}");
    }
    browser.close().await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_and_the_right_one_leads_in() {
    let scene = Scene::new("console-door").await;
    let browser = Browser::start(&scene.service, "en-GB").await;

    browser.open("/agents").await;
    browser
        .find("input[name=user]")
        .await
        .send_keys("mia")
        .await
        .expect("typing");
    let field = browser.find("input[name=password]").await;
    field.send_keys("wrong\u{e007}").await.expect("typing");
    browser.until_text("#wrong", "Wrong user or password").await;
    browser.sign_in("mia", stage::MIA_PASSWORD).await;
    browser.until_text("#rows", "Aino").await;

    browser.click("[data-do=sign-out]").await;
    browser.find("input[name=password]").await;
    browser.open("/").await;
    browser.find("input[name=password]").await;
    browser.close().await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_speaks_the_browsers_language_and_can_be_switched() {
    let scene = Scene::new("console-language").await;
    let browser = Browser::start(&scene.service, "fi-FI").await;

    browser.open("/sign-in").await;
    browser.until_text("h1", "Kirjaudu sisään").await;
    browser.sign_in("mia", stage::MIA_PASSWORD).await;
    browser.until_text("h1", "Käynnissä olevat puhelut").await;
    let options = "document.querySelector('#language')";
    browser
        .evaluate(&format!("({options}.value = 'es', {options}.dispatchEvent(new Event('change', {{ bubbles: true }})))"))
        .await;
    browser.until_text("h1", "Llamadas activas").await;
    let language = browser.evaluate("document.documentElement.lang").await;
    assert_eq!(language, "es");
    browser.close().await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watching_an_agent_brings_a_notice_with_listen_to_every_page() {
    let scene = Scene::new("console-watch").await;
    let browser = Browser::signed_in(&scene.service, "mia", stage::MIA_PASSWORD).await;

    browser.open("/agents").await;
    browser.click("#a-204 [data-do=watch]").await;
    browser
        .find("#a-204 [data-do=watch][aria-pressed=true]")
        .await;
    browser
        .until_text("#urgent .note", "Aino is on a call")
        .await;
    let dial = browser.find("#urgent .note a[href='tel:800']").await;
    assert!(dial.is_displayed().await.expect("the link"));
    browser.open("/supervising").await;
    browser.until_text("#watched", "Aino").await;
    browser.find("#urgent .note [data-do=listen]").await;

    // The call ends, and the notice goes.
    scene
        .customer
        .hang_up()
        .await
        .expect("the customer hangs up");
    browser.until_gone("#urgent .note").await;
    browser.click("#w-204 [data-do=watch]").await;
    browser.until_text("#watched", "You watch nobody yet").await;
    browser.close().await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_monitoring_takes_one_agent_who_is_on_a_call() {
    let scene = Scene::new("console-agents").await;
    let browser = Browser::signed_in(&scene.service, "mia", stage::MIA_PASSWORD).await;

    browser.open("/agents").await;
    browser.click("[data-do=monitor]").await;
    browser.until_text("#toasts", "Tick an agent first").await;
    browser.click("#a-204 input").await;
    browser.click("#a-205 input").await;
    browser.click("[data-do=monitor]").await;
    browser.until_text("#toasts", "tick one agent only").await;
    browser.click("#a-204 input").await;
    browser.click("[data-do=monitor]").await;
    browser.until_text("#toasts", "Onni is not on a call").await;
    browser.click("#a-205 input").await;
    browser.click("#a-204 input").await;
    browser.click("[data-do=monitor]").await;
    browser.until_text("#listen-title", "Listen to Aino").await;
    let listed = browser.text("#listen select[name=device]").await;
    assert!(listed.contains(stage::MIA), "{listed}");
    browser.find("#listen input[name=coaching]:checked").await;

    // The panel remembers that it was closed.
    browser.keys("\u{e00c}").await;
    browser
        .click("details[data-remember=status] > summary")
        .await;
    browser
        .until(
            "it is remembered",
            "localStorage.getItem('open-status') === 'no'",
        )
        .await;
    browser.open("/agents").await;
    browser
        .until(
            "it stays closed",
            "!document.querySelector('details[data-remember=status]').open",
        )
        .await;
    browser.close().await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_opens_on_all_and_is_filtered_by_team_and_agent() {
    let scene = Scene::new("console-filter").await;
    let browser = Browser::signed_in(&scene.service, "mia", stage::MIA_PASSWORD).await;
    let chosen = "[...document.querySelectorAll('.filters select')].map((s) => s.value).join()";
    let choose = async |select: &str, value: &str| {
        let option = format!("select[name={select}] option[value='{value}']");
        browser.click(&option).await;
    };

    assert_eq!(browser.evaluate(chosen).await, ",");
    browser.until_text(".filters", "All").await;
    browser.until_text("#rows", "Aino").await;
    choose("agent", "205").await;
    browser
        .until_text("#calls", "No call of this team or agent")
        .await;
    browser.click("#calls .empty a").await;
    browser.until_text("#rows", "Aino").await;
    choose("agent", "204").await;
    browser
        .until(
            "the page is the filtered one",
            "location.search.includes('agent=204')",
        )
        .await;
    browser.until_text("#rows", "Aino").await;
    browser.open("/?pool=support").await;
    browser.until_text("#rows", "Aino").await;
    assert_eq!(browser.evaluate(chosen).await, "support,");

    // A call that begins where the filter does not look is not patched in.
    browser.open("/?agent=205").await;
    scene
        .customer
        .hang_up()
        .await
        .expect("the customer hangs up");
    scene.agent.ended().await;
    browser.until_text("#calls", "No call right now").await;
    browser.close().await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_searched_for_stays_through_patches_and_a_lost_service_is_told() {
    let scene = Scene::new("console-search").await;
    let browser = Browser::signed_in(&scene.service, "mia", stage::MIA_PASSWORD).await;

    browser.open("/agents").await;
    browser.type_into("[data-search]", "onni").await;
    let hidden =
        "document.querySelector('#a-204').hidden && !document.querySelector('#a-205').hidden";
    browser.until("the others are hidden", hidden).await;
    browser.click("#a-205 [data-do=watch]").await;
    browser
        .find("#a-205 [data-do=watch][aria-pressed=true]")
        .await;
    assert_eq!(browser.evaluate(hidden).await, true, "after the patch");

    browser.open("/").await;
    browser.until_text("#rows", "Aino").await;
    stop(scene.service);
    browser
        .until_text("#lost:not([hidden])", "showing the state of")
        .await;
    browser.find("#live[data-state=off]").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_for_its_own_kind_of_viewer() {
    let scene = Scene::new("console-kinds").await;
    let agent = Browser::signed_in(&scene.service, stage::AGENT, stage::AGENT_PASSWORD).await;

    for path in SUPERVISORS {
        agent.open(path).await;
        agent.until_text("h1", "My call").await;
    }
    let links = agent
        .evaluate(
            "[...document.querySelectorAll('#nav a')].map((a) => a.getAttribute('href')).join()",
        )
        .await;
    let links: BTreeSet<&str> = links.as_str().expect("text").split(',').collect();
    assert_eq!(links, BTreeSet::from(["/"]));
    agent.close().await;
    stop(scene.service);
}
