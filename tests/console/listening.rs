//! A supervisor at the page of active calls, with a call under way and a phone at hand.

use serde_json::json;
use sottovoce::demo::media::{KeySending, Voice};
use sottovoce::demo::phone::{Line, Phone, PhoneConfig};
use sottovoce::demo::stage::{self, DESK};

use crate::browser::Browser;
use crate::scene::{AGENT_HZ, CUSTOMER_HZ, SUPERVISOR_HZ, Scene, hears, stop, wait_until};

/// Mia's softphone, registered: what call-me rings along with her other devices.
pub async fn softphone(scene: &Scene) -> Phone {
    let mut config = PhoneConfig::new("mia", DESK, scene.service.sip);
    config.password = Some(stage::MIA_PASSWORD.to_owned());
    let phone = Phone::start(config).await.expect("a phone");
    phone.register().await.expect("the softphone registers");
    phone
}

/// As the stage, but Mia has no phone behind a trunk: her softphone is all there is to ring.
pub async fn scene(name: &str) -> Scene {
    Scene::with(name, |mut setup| {
        let device = format!("devices = [\"{}\"]", stage::MIA);
        assert!(setup.people.contains(&device), "the stage's people");
        setup.people = setup.people.replace(&device, "devices = []");
        setup
    })
    .await
}

/// Mia at the page of active calls, her softphone beside her.
struct Desk {
    scene: Scene,
    phone: Phone,
    browser: Browser,
}

impl Desk {
    async fn new(name: &str) -> Self {
        let scene = scene(name).await;
        let phone = softphone(&scene).await;
        let browser = Browser::signed_in(&scene.service, "mia", stage::MIA_PASSWORD).await;
        Self {
            scene,
            phone,
            browser,
        }
    }

    /// Presses a button in the row of the one call, and reads what the dialog is called.
    async fn begin(&self, act: &str, title: &str) {
        let button = format!("#rows [data-do={act}]");
        self.browser.click(&button).await;
        self.browser.until_text("#listen-title", title).await;
    }

    /// Has all phones rung, and answers.
    async fn be_called(&mut self) -> Line {
        self.browser.click("#listen input[value=all]").await;
        self.browser.click("#listen button[type=submit]").await;
        answer(&mut self.phone).await
    }

    async fn listen(&mut self) -> Line {
        self.begin("listen", "Listen to Aino").await;
        let line = self.be_called().await;
        self.is("monitor").await;
        line
    }

    /// Waits for the card to show this state.
    async fn is(&self, state: &str) {
        let card = format!(".monitor[data-state={state}]");
        self.browser.find(&card).await;
    }

    async fn end(&self) {
        self.browser.click(".monitor [data-do=end]").await;
    }

    /// Ends a session with which the customer's call ends: that is asked first, and may be refused.
    async fn end_the_customers_call(&self, state: &str, line: &Line) {
        self.end().await;
        self.browser
            .until_text("#sure-text", "The customer’s call ends as well")
            .await;
        self.browser.click("#sure [data-do=close-dialog]").await;
        self.is(state).await;
        assert!(self.scene.customer.state().ended.is_none(), "it goes on");
        self.end().await;
        self.browser.click("#sure button[type=submit]").await;
        self.scene.customer.ended().await;
        line.ended().await;
        self.browser.until_gone(".monitor").await;
    }

    async fn close(self) {
        self.browser.close().await;
        stop(self.scene.service);
    }
}

pub async fn answer(phone: &mut Phone) -> Line {
    let incoming = tokio::time::timeout(std::time::Duration::from_secs(30), phone.incoming())
        .await
        .expect("the phone rings")
        .expect("the phone lives");
    incoming.ring().await.expect("it rings");
    let line = incoming.answer().await.expect("it is answered");
    line.media.say(Voice::Tone(SUPERVISOR_HZ));
    line
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_follows_the_session_from_listen_to_the_phone_hanging_up() {
    let mut desk = Desk::new("console-listen").await;
    let Desk {
        scene,
        phone,
        browser,
    } = &mut desk;
    browser.until_text("#rows", "Aino").await;
    browser.evaluate("window.loadedOnce = true").await;
    let plain = background(browser).await;

    // Ringing: the row is the viewer's from the moment the order was taken.
    browser.click("#rows [data-do=listen]").await;
    browser.click("#listen input[value=all]").await;
    browser.click("#listen button[type=submit]").await;
    browser.find(".monitor[data-state=ringing]").await;
    browser.find("#rows tr.mine").await;
    let line = answer(phone).await;

    browser.find(".monitor[data-state=monitor]").await;
    browser
        .until_text("#rows tr.mine .tag.mine", "listening")
        .await;
    browser.find("#rows tr.mine .face use[href='#i-ear']").await;
    let green = background(browser).await;
    assert_ne!(green, plain, "the row has a colour of its own");
    assert!(is_green(&green), "{green}");
    wait_until("the supervisor hears both", || {
        hears(&line.media, CUSTOMER_HZ) && hears(&line.media, AGENT_HZ)
    })
    .await;
    scene
        .expect_ears(&[CUSTOMER_HZ], &[AGENT_HZ], "listening")
        .await;

    // A button, and what the ears measure.
    browser.click("#rows tr.mine [data-do=coach]").await;
    browser.find(".monitor[data-state=coach]").await;
    browser
        .until_text(".monitor .hears", "Only Aino hears you")
        .await;
    browser
        .until_text("#announcer", "Only Aino hears you")
        .await;
    scene
        .expect_ears(&[CUSTOMER_HZ, SUPERVISOR_HZ], &[AGENT_HZ], "whispering")
        .await;

    // A key, and what the page shows.
    line.press("6#", KeySending::Event)
        .await
        .expect("keys are sent");
    browser.find(".monitor[data-state=barge]").await;
    browser
        .find(".monitor [data-role=barge][aria-pressed=true]")
        .await;
    scene
        .expect_ears(
            &[CUSTOMER_HZ, SUPERVISOR_HZ],
            &[AGENT_HZ, SUPERVISOR_HZ],
            "barging",
        )
        .await;

    // The customer of the stage is on-net: whispering to them is offered, and works.
    browser.click(".monitor [data-role=whisper_caller]").await;
    browser.find(".monitor[data-state=whisper_caller]").await;
    scene
        .expect_ears(
            &[CUSTOMER_HZ],
            &[AGENT_HZ, SUPERVISOR_HZ],
            "whispering to the caller",
        )
        .await;

    line.hang_up().await.expect("the phone hangs up");
    browser.until_gone(".monitor").await;
    browser.until_gone("#rows tr.mine").await;
    assert_eq!(background(browser).await, plain);
    browser
        .until_text("#announcer", "The session has ended")
        .await;

    // No reload: the next session, ended by the same toggle.
    let line = desk.listen().await;
    let Desk { scene, browser, .. } = &desk;
    browser.click("#rows tr.mine [data-do=listen]").await;
    browser.until_gone(".monitor").await;
    line.ended().await;
    let same = browser.evaluate("window.loadedOnce ?? false").await;
    assert_eq!(same, json!(true), "the page was not loaded again");
    assert!(scene.agent.state().ended.is_none(), "the call goes on");

    assert_eq!(browser.complaints().await, Vec::<String>::new());
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_pressed_in_the_row_begins_with_listening() {
    let mut desk = Desk::new("console-role").await;

    desk.begin("barge", "Barge into the call of Aino").await;
    desk.browser
        .until_text("#listen button[type=submit]", "Barge")
        .await;
    let _line = desk.be_called().await;
    desk.is("barge").await;
    desk.scene
        .expect_ears(
            &[CUSTOMER_HZ, SUPERVISOR_HZ],
            &[AGENT_HZ, SUPERVISOR_HZ],
            "barging",
        )
        .await;

    // The agent is there: to end it ends nothing else, and asks nothing.
    desk.end().await;
    desk.browser.until_gone(".monitor").await;
    assert!(desk.scene.customer.state().ended.is_none());
    let audit = crate::scene::audit_csv(&desk.scene.service);
    assert!(
        audit.contains("monitor,barge"),
        "first a listener, then a party:\n{audit}"
    );
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_takeover_says_what_it_ends_and_so_does_its_end() {
    let mut desk = Desk::new("console-takeover").await;

    desk.begin("takeover", "Take over the call of Aino").await;
    desk.browser
        .until_text("#listen [data-follows]", "Aino is disconnected")
        .await;
    desk.browser
        .until_text("#listen button[type=submit]", "Take over")
        .await;
    // Changed their mind: the next time is for listening alone.
    desk.browser.click("#listen [data-do=close-dialog]").await;
    let line = desk.listen().await;
    assert!(desk.scene.agent.state().ended.is_none(), "the agent stays");
    desk.end().await;
    desk.browser.until_gone(".monitor").await;
    line.ended().await;

    desk.begin("takeover", "Take over the call of Aino").await;
    let line = desk.be_called().await;
    desk.scene.agent.ended().await;
    desk.is("takeover").await;
    desk.end_the_customers_call("takeover", &line).await;
    desk.browser
        .until(
            "the focus has somewhere to be",
            "document.activeElement.id === 'main'",
        )
        .await;
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_barged_and_is_left_by_the_agent_is_asked_before_the_customer_is_left() {
    let mut desk = Desk::new("console-left-alone").await;
    desk.begin("barge", "Barge into the call of Aino").await;
    let line = desk.be_called().await;
    desk.is("barge").await;

    desk.scene.agent.hang_up().await.expect("the agent leaves");
    // The row's toggle asks as the card's button does, as soon as the agent has left.
    desk.browser
        .find("#rows tr.mine [data-do=listen][data-sure]")
        .await;
    desk.browser.find(".monitor [data-do=end][data-sure]").await;

    assert!(desk.scene.customer.state().ended.is_none(), "they stay");
    desk.end_the_customers_call("barge", &line).await;
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listen_only_session_offers_no_voice() {
    let mut desk = Desk::new("console-listen-only").await;

    desk.begin("listen", "Listen to Aino").await;
    desk.browser.click("#listen input[name=coaching]").await;
    let _line = desk.be_called().await;
    desk.is("monitor").await;

    desk.browser
        .find(".monitor [data-role=barge]:disabled")
        .await;
    // The row offers what the card offers.
    for role in ["coach", "barge", "takeover"] {
        desk.browser
            .find(&format!("#rows tr.mine [data-do={role}]:disabled"))
            .await;
    }
    desk.browser
        .find("#rows tr.mine [data-do=listen]:enabled")
        .await;
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_will_dial_is_shown_the_number_and_joins_by_it() {
    let scene = scene("console-dial").await;
    let browser = Browser::signed_in(&scene.service, "mia", stage::MIA_PASSWORD).await;

    browser.click("#rows [data-do=listen]").await;
    browser.click("#listen input[value=dial]").await;
    browser.click("#listen button[type=submit]").await;
    browser
        .until_text("#listen [data-dial]", stage::SUPERVISING_NUMBER)
        .await;
    let link = browser.find("#listen [data-dial]").await;
    let address = link.attr("href").await.expect("the link");
    assert_eq!(address.as_deref(), Some("tel:800"));
    let line = scene
        .mia
        .dial(stage::SUPERVISING_NUMBER)
        .await
        .expect("800 answers");

    browser.find(".monitor[data-state=monitor]").await;
    browser
        .until(
            "the dialog closes itself",
            "!document.querySelector('#listen').open",
        )
        .await;
    line.hang_up().await.expect("the phone hangs up");
    browser.until_gone(".monitor").await;
    browser.close().await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_up_asks_first_and_names_both() {
    let scene = scene("console-hang-up").await;
    let browser = Browser::signed_in(&scene.service, "mia", stage::MIA_PASSWORD).await;

    browser.click("#rows [data-do=hangup]").await;
    browser
        .until(
            "the dialog is open",
            "document.querySelector('#hangup').open",
        )
        .await;
    let asked = browser.text("#hangup-text").await;
    assert!(
        asked.contains("Aino") && asked.contains("+358501112222"),
        "{asked}"
    );
    browser.click("#hangup [data-do=close-dialog]").await;
    browser
        .until(
            "the dialog is closed",
            "!document.querySelector('#hangup').open",
        )
        .await;
    scene
        .expect_ears(&[CUSTOMER_HZ], &[AGENT_HZ], "nothing has happened")
        .await;
    assert!(scene.agent.state().ended.is_none());

    browser.click("#rows [data-do=hangup]").await;
    browser.click("#hangup button[type=submit]").await;
    scene.agent.ended().await;
    scene.customer.ended().await;
    browser.until_text("#calls", "No call right now").await;
    browser.close().await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyboard_is_enough() {
    const TAB: &str = "\u{e004}";
    const ENTER: &str = "\u{e007}";
    const SPACE: &str = " ";
    const DOWN: &str = "\u{e015}";
    const ESCAPE: &str = "\u{e00c}";
    let scene = scene("console-keyboard").await;
    let mut phone = softphone(&scene).await;
    let browser = Browser::start(&scene.service, "en-GB").await;

    // The field has the focus; Tab leads on.
    browser.open("/sign-in").await;
    browser.keys("mia").await;
    browser.keys(TAB).await;
    browser.keys(stage::MIA_PASSWORD).await;
    browser.keys(ENTER).await;
    browser.find("#rows [data-do=listen]").await;

    tab_to(&browser, "document.activeElement.matches('.skip')").await;
    tab_to(
        &browser,
        "document.activeElement.matches('#rows [data-do=listen]')",
    )
    .await;
    browser.keys(ENTER).await;
    browser
        .until(
            "the dialog has the focus",
            "!!document.activeElement.closest('#listen')",
        )
        .await;
    browser.keys(ESCAPE).await;
    browser
        .until(
            "Escape closes, and the focus is back",
            "!document.querySelector('#listen').open && document.activeElement.matches('#rows [data-do=listen]')",
        )
        .await;

    browser.keys(ENTER).await;
    browser
        .until(
            "a choice is made",
            "!!document.activeElement.closest('#listen')",
        )
        .await;
    browser.keys(DOWN).await;
    browser.keys("\u{e013}").await;
    tab_to(
        &browser,
        "document.activeElement.matches('#listen button[type=submit]')",
    )
    .await;
    browser.keys(ENTER).await;
    let line = answer(&mut phone).await;
    browser.find(".monitor[data-state=monitor]").await;

    browser
        .evaluate("document.querySelector('#main').focus()")
        .await;
    tab_to(
        &browser,
        "document.activeElement.matches('.monitor [data-role=coach]')",
    )
    .await;
    browser.keys(SPACE).await;
    browser.find(".monitor[data-state=coach]").await;
    browser
        .until(
            "the focus stays on the button through the patch",
            "document.activeElement.matches('.monitor [data-role=coach]')",
        )
        .await;
    tab_to(
        &browser,
        "document.activeElement.matches('.monitor [data-do=end]')",
    )
    .await;
    browser.keys(ENTER).await;
    browser.until_gone(".monitor").await;
    line.ended().await;
    browser.close().await;
    stop(scene.service);
}

/// Presses Tab until the focus is where it should be; a page has an end.
async fn tab_to(browser: &Browser, expression: &str) {
    for _ in 0..60 {
        if browser.evaluate(expression).await == json!(true) {
            return;
        }
        browser.keys("\u{e004}").await;
    }
    let at = browser.evaluate("document.activeElement.outerHTML").await;
    panic!("no way by Tab to {expression}; at {at}");
}

/// Of the first cell of the one row, as the browser computes it.
async fn background(browser: &Browser) -> String {
    let expression = "getComputedStyle(document.querySelector('#rows td')).backgroundColor";
    browser
        .evaluate(expression)
        .await
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn is_green(colour: &str) -> bool {
    let digits = |part: &str| {
        part.chars()
            .filter(char::is_ascii_digit)
            .collect::<String>()
    };
    let parts: Vec<u16> = colour
        .split(',')
        .filter_map(|part| digits(part).parse().ok())
        .collect();
    matches!(parts[..], [red, green, blue, ..] if green > red && green > blue)
}
