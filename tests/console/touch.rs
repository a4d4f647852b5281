//! The console under a thumb: on a telephone's screen, by touch alone.

use serde_json::{Value, json};
use sottovoce::demo::stage;

use crate::browser::{Browser, TELEPHONE};
use crate::listening::{answer, scene, softphone};
use crate::scene::stop;

/// What a thumb hits is at least so wide and so high (WCAG 2.2, 2.5.8).
const LEAST: f64 = 24.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thumb_is_enough_to_listen_to_whisper_and_to_end() {
    let scene = scene("console-touch").await;
    let mut phone = softphone(&scene).await;
    let browser = Browser::signed_in(&scene.service, "mia", stage::MIA_PASSWORD).await;
    browser.shows(TELEPHONE, "light").await;
    browser
        .devtools(
            "Emulation.setTouchEmulationEnabled",
            json!({ "enabled": true }),
        )
        .await;

    tap(&browser, "#rows [data-do=listen]").await;
    browser.until_text("#listen-title", "Listen to Aino").await;
    tap(&browser, "#listen label:has(input[value=all])").await;
    tap(&browser, "#listen button[type=submit]").await;
    let line = answer(&mut phone).await;
    browser.find(".monitor[data-state=monitor]").await;
    tap(&browser, ".monitor [data-role=coach]").await;
    browser.find(".monitor[data-state=coach]").await;
    tap(&browser, ".monitor [data-do=end]").await;
    line.ended().await;
    browser.until_gone(".monitor").await;

    tap(&browser, "#rows [data-do=hangup]").await;
    tap(&browser, "#hangup button[type=submit]").await;
    scene.customer.ended().await;
    assert_eq!(browser.complaints().await, Vec::<String>::new());
    browser.close().await;
    stop(scene.service);
}

/// Touches the middle of what the selector finds, once nothing lies over it.
async fn tap(browser: &Browser, css: &str) {
    browser.find(css).await;
    let there = format!("document.querySelector({})", json!(css));
    browser
        .until(
            &format!("{css} can be touched"),
            &format!(
                "(() => {{ const it = {there}; if (!it) return false; \
                 it.scrollIntoView({{ block: 'center', behavior: 'instant' }}); \
                 const box = it.getBoundingClientRect(); \
                 const hit = document.elementFromPoint(\
                 box.x + box.width / 2, box.y + box.height / 2); \
                 return it.contains(hit); }})()"
            ),
        )
        .await;
    let place = format!(
        "(() => {{ const box = {there}.getBoundingClientRect(); \
         return [box.x, box.y, box.width, box.height]; }})()"
    );
    let place = browser.evaluate(&place).await;
    let [x, y, width, height] = [0, 1, 2, 3].map(|n| place[n].as_f64().expect("a number"));
    assert!(
        width >= LEAST && height >= LEAST,
        "{css}: {width} × {height}"
    );
    let finger = json!([{ "x": x + width / 2.0, "y": y + height / 2.0 }]);
    for (kind, points) in [("touchStart", finger), ("touchEnd", Value::Array(vec![]))] {
        browser
            .devtools(
                "Input.dispatchTouchEvent",
                json!({ "type": kind, "touchPoints": points }),
            )
            .await;
    }
}
