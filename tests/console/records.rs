//! What was done, as a supervisor reads it afterwards: filtered, drawn, and handed out.

use serde_json::json;
use sottovoce::demo::media::KeySending;
use sottovoce::demo::stage;

use crate::browser::Browser;
use crate::scene::{Scene, audited_with, stop, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_and_reports_are_filtered_drawn_and_handed_out() {
    let scene = Scene::new("console-records").await;
    let line = scene.supervise().await;
    line.press("4#", KeySending::Event).await.expect("keys");
    wait_until("coaching is audited", || {
        audited_with(&scene.service, "role_after", "coach") >= 1
    })
    .await;
    line.hang_up().await.expect("the phone hangs up");
    wait_until("the end is audited", || {
        audited_with(&scene.service, "detail", "hung_up") >= 1
    })
    .await;
    let browser = Browser::signed_in(&scene.service, "mia", stage::MIA_PASSWORD).await;
    let rows = "document.querySelectorAll('table.audit tbody tr').length";

    browser.open("/audit").await;
    browser.until_text("table.audit", "changed role").await;
    browser.until_text("main p", "Times and days are UTC").await;
    // A time to the millisecond, as in CSV and API; pointed at, it is that of the reader's clock.
    let precise = "/^\\d{4}-\\d\\d-\\d\\d\\s+\\d\\d:\\d\\d:\\d\\d\\.\\d{3}$/.test(document.querySelector('table.audit time').textContent.trim())";
    assert_eq!(browser.evaluate(precise).await, json!(true));
    let pointed = "document.querySelector('table.audit time').title !== ''";
    assert_eq!(browser.evaluate(pointed).await, json!(true));
    // By agent, by supervisor, and by the days of UTC.
    browser.open("/audit?agent=204").await;
    let of_aino = browser.evaluate(rows).await.as_u64().expect("rows");
    assert!(of_aino > 2, "joined, coached, left");
    for (query, count) in [
        ("agent=205", 0),
        ("supervisor=leo", 0),
        ("from=2100-01-01", 0),
        ("to=2000-01-01", 0),
        ("agent=204&from=2000-01-01", of_aino),
    ] {
        browser.open(&format!("/audit?{query}")).await;
        assert_eq!(browser.evaluate(rows).await, json!(count), "{query}");
    }
    browser.open("/audit").await;
    browser.type_into("input[name=agent]", "205").await;
    browser.click("form[action='/audit'] button").await;
    browser
        .until_text("main .empty", "Listen to a call, or choose other days")
        .await;
    browser.open("/audit?agent=204").await;
    let csv = handed_out(&browser, "a[download='audit.csv']").await;
    assert_eq!(csv.lines().count() as u64, of_aino + 1, "{csv}");
    browser.click("table.audit tbody a").await;
    browser
        .until("one call alone", "location.search.startsWith('?call=')")
        .await;

    browser.open("/reports").await;
    for chart in ["sessions", "roles"] {
        let words = browser
            .evaluate(&format!(
                "document.querySelector('svg desc#{chart}-d').textContent"
            ))
            .await;
        assert!(
            words.as_str().is_some_and(|words| words.contains("Mia")),
            "{words}"
        );
        let drawn = format!(
            "[...document.querySelectorAll('svg:has(#{chart}-d) rect:not(.track)')] \
             .some((bar) => bar.getBoundingClientRect().width > 10)"
        );
        assert_eq!(browser.evaluate(&drawn).await, json!(true), "{chart}");
    }
    for (by, line) in [("agent", "Aino"), ("pool", "support"), ("role", "Whisper")] {
        browser.open(&format!("/reports?by={by}")).await;
        browser.until_text("main table", line).await;
        let csv = handed_out(&browser, "a[download='report.csv']").await;
        assert!(csv.starts_with("organisation,key,sessions,"), "{csv}");
        assert!(csv.lines().count() > 1, "{csv}");
    }
    browser.open("/reports?from=2100-01-01").await;
    browser
        .until_text("main .empty", "No supervision in these days")
        .await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.close().await;
    stop(scene.service);
}

/// What a link of the page hands out.
async fn handed_out(browser: &Browser, link: &str) -> String {
    browser.find(link).await;
    let ask = format!(
        "(() => {{ const asked = new XMLHttpRequest(); \
         asked.open('GET', document.querySelector(\"{link}\").href, false); \
         asked.send(); return asked.responseText; }})()"
    );
    let text = browser.evaluate(&ask).await;
    text.as_str().expect("text").to_owned()
}
