//! Pictures of every page for people to look at: light, dark, and as narrow as a telephone, in
//! `target/screens/`. What a page can be measured by is checked on the way: nothing is wider than the
//! screen or cut off, no text is too faint, and whatever can be worked has a name.

use serde_json::json;
use sottovoce::demo::stage;

use crate::browser::{Browser, DESKTOP, TELEPHONE};
use crate::listening::{scene, softphone};
use crate::scene::stop;

/// A picture is at most so high.
const LONGEST: u32 = 6_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_fits_desktop_and_telephone_in_light_and_dark() {
    let scene = scene("console-screens").await;
    let mut phone = softphone(&scene).await;
    let browser = Browser::start(&scene.service, "en-GB").await;
    let mut faults = Vec::new();
    browser.open("/sign-in").await;
    take(&browser, &mut faults, "sign-in").await;
    browser.sign_in("mia", stage::MIA_PASSWORD).await;
    browser.until_text("#rows", "Aino").await;
    take(&browser, &mut faults, "calls").await;

    browser.click("#rows [data-do=listen]").await;
    take(&browser, &mut faults, "listen-dialog").await;
    browser.click("#listen input[value=all]").await;
    browser.click("#listen button[type=submit]").await;
    let line = phone.incoming().await.expect("the phone rings");
    let line = line.answer().await.expect("it is answered");
    browser.find(".monitor[data-state=monitor]").await;
    browser.click(".monitor [data-role=coach]").await;
    browser.find(".monitor[data-state=coach]").await;
    take(&browser, &mut faults, "monitoring").await;
    browser.click("#rows [data-do=hangup]").await;
    take(&browser, &mut faults, "hang-up-dialog").await;
    browser.click("#hangup [data-do=close-dialog]").await;

    browser.open("/agents").await;
    browser.click("#a-204 [data-do=watch]").await;
    browser
        .find("#a-204 [data-do=watch][aria-pressed=true]")
        .await;
    take(&browser, &mut faults, "agents").await;
    line.hang_up().await.expect("the phone hangs up");
    browser.until_gone(".monitor").await;
    browser.open("/supervising").await;
    take(&browser, &mut faults, "supervising").await;

    let agent = Browser::signed_in(&scene.service, stage::AGENT, stage::AGENT_PASSWORD).await;
    agent.find("#ask").await;
    take(&agent, &mut faults, "desk").await;
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
    take(&browser, &mut faults, "help").await;
    browser.click("#urgent [data-do=help-accept]").await;
    agent.until_text("#desk [data-help]", "Mia").await;
    take(&agent, &mut faults, "desk-helped").await;
    agent.close().await;

    for (path, name) in [("/audit", "audit"), ("/reports", "reports")] {
        browser.open(path).await;
        browser.find("main h1").await;
        take(&browser, &mut faults, name).await;
    }
    scene
        .customer
        .hang_up()
        .await
        .expect("the customer hangs up");
    browser.open("/").await;
    browser.until_text("#calls", "No call right now").await;
    take(&browser, &mut faults, "calls-empty").await;

    crate::people::add_administrator(&scene.service);
    browser.click("[data-do=sign-out]").await;
    browser.find("input[name=password]").await;
    browser
        .sign_in(crate::people::ADMINISTRATOR, crate::people::PASSWORD)
        .await;
    browser.until_text("h1", "People").await;
    take(&browser, &mut faults, "people").await;
    browser.open("/contacts").await;
    take(&browser, &mut faults, "contacts").await;
    browser.open("/webhooks").await;
    take(&browser, &mut faults, "webhooks").await;
    browser.open("/nowhere").await;
    take(&browser, &mut faults, "nowhere").await;

    browser.close().await;
    stop(scene.service);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What of a page is cut off, or has to be scrolled to within the page: names with an ellipsis,
/// tables wider than their panel, words broken one character at a time.
const CUT: &str = "[...document.querySelectorAll('main *, .side *')] \
    .filter((e) => e.checkVisibility() && !e.closest('.sr') && !e.matches('option')) \
    .filter((e) => getComputedStyle(e).clipPath === 'none') \
    .filter((e) => { \
        const style = getComputedStyle(e); \
        const hides = style.overflowX !== 'visible' && e.scrollWidth > e.clientWidth + 1; \
        const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim().length > 3); \
        const lines = e.getClientRects().length > 1 ? 0 : e.clientHeight / parseFloat(style.lineHeight); \
        const thin = text && e.clientWidth > 0 && e.clientWidth < 18 && lines > 2; \
        const wide = e.matches('input, select, textarea') && e.parentElement.matches('.field') \
            && e.offsetWidth > e.parentElement.clientWidth + 1; \
        return hides || thin || wide; \
    }) \
    .map((e) => `${e.tagName}.${e.className} ${e.textContent.trim().slice(0, 40)}`)";

/// Texts whose contrast with what is behind them is less than WCAG 2.2 asks for (1.4.3): 4.5, and 3
/// for large ones. What is disabled is exempt.
const FAINT: &str = "(() => { \
    const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true }); \
    const rgba = (colour) => { \
        probe.clearRect(0, 0, 1, 1); probe.fillStyle = colour; probe.fillRect(0, 0, 1, 1); \
        const [r, g, b, a] = probe.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; \
    }; \
    const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1); \
    const behind = (e) => { \
        const layers = []; \
        for (let at = e; at; at = at.parentElement) { \
            const colour = rgba(getComputedStyle(at).backgroundColor); \
            layers.push(colour); \
            if (colour[3] === 1) break; \
        } \
        return layers.reverse().reduce((under, top) => over(top, under), rgba('Canvas')); \
    }; \
    const luminance = (c) => [0, 1, 2].map((i) => c[i] / 255) \
        .map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4) \
        .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0); \
    const open = document.querySelector('dialog[open]') ?? document.body; \
    return [...open.querySelectorAll('*')] \
        .filter((e) => e.checkVisibility() && !e.closest(':disabled, .sr, .off, svg, script')) \
        .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) \
        .map((e) => { \
            const style = getComputedStyle(e), back = behind(e), front = over(rgba(style.color), back); \
            const [a, b] = [luminance(front), luminance(back)].sort((x, y) => y - x); \
            const size = parseFloat(style.fontSize), bold = style.fontWeight >= 700; \
            const wanted = size >= 24 || (bold && size >= 18.66) ? 3 : 4.5; \
            return [(a + .05) / (b + .05), wanted, e]; \
        }) \
        .filter(([contrast, wanted]) => contrast < wanted) \
        .map(([contrast, , e]) => `${contrast.toFixed(2)} ${e.tagName}.${e.className} ${e.textContent.trim().slice(0, 40)}`); \
})()";

/// What can be worked, and has no name that is read aloud (WCAG 2.2, 4.1.2).
const NAMELESS: &str = "[...document.querySelectorAll('a, button, input, select, textarea, summary')] \
    .filter((e) => e.checkVisibility() && e.type !== 'hidden') \
    .filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim() && e.tagName !== 'SELECT' \
        || [...(e.labels ?? [])].some((label) => label.textContent.trim()))) \
    .map((e) => e.outerHTML.slice(0, 120))";

async fn take(browser: &Browser, faults: &mut Vec<String>, name: &str) {
    for (size, scheme, what) in [
        (DESKTOP, "light", "light"),
        (DESKTOP, "dark", "dark"),
        (TELEPHONE, "light", "narrow"),
    ] {
        browser.shows(size, scheme).await;
        let overflow =
            "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        let wider = browser.evaluate(overflow).await;
        if wider != json!(0) {
            faults.push(format!("{name}, {what}: wider than the screen by {wider}"));
        }
        for (fault, expression) in [
            ("cut off", CUT),
            ("too faint", FAINT),
            ("nameless", NAMELESS),
        ] {
            let found = browser.evaluate(expression).await;
            if found != json!([]) {
                faults.push(format!("{name}, {what}: {fault}: {found:#}"));
            }
        }
        // The picture has the page to its end.
        let height = browser
            .evaluate("document.documentElement.scrollHeight")
            .await;
        let height = height
            .as_u64()
            .and_then(|height| u32::try_from(height).ok());
        let (width, least) = size;
        let whole = (width, height.unwrap_or(least).clamp(least, LONGEST));
        browser.shows(whole, scheme).await;
        browser.screenshot(&format!("{name}-{what}")).await;
    }
    browser.shows(DESKTOP, "light").await;
}
