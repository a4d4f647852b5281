//! Tickets: from a click on a screen into the named call by the registered phone.

use serde_json::{Value, json};
use sottovoce::demo::media::KeySending;
use sottovoce::demo::phone::Line;

use crate::client::Client;
use crate::scene::{AGENT_HZ, CUSTOMER_HZ, audit_csv, audited, hears, wait_until};
use crate::world::{MIA, World, audited_as};

async fn ticket(client: &Client, call: &str) -> Value {
    let path = format!("/api/v1/calls/{call}/ticket");
    client.post(&path, Value::Null).await.expect(201)
}

async fn hears_both(line: &Line) {
    wait_until("the call is heard", || {
        hears(&line.media, CUSTOMER_HZ) && hears(&line.media, AGENT_HZ)
    })
    .await;
}

/// Waits until the list of sessions names the call that is supervised.
async fn supervises(client: &Client, call: &str) {
    let named = |seen: &Value| seen["sessions"][0]["call"] == call;
    client.until("/api/v1/sessions", named).await;
}

/// Waits until no session is live.
async fn supervises_nothing(client: &Client) {
    let none = |seen: &Value| seen["sessions"] == json!([]);
    client.until("/api/v1/sessions", none).await;
}

/// The call of Mia's live session.
async fn supervised(client: &Client) -> Option<String> {
    let sessions = client.get("/api/v1/sessions").await.expect(200);
    sessions["sessions"][0]["call"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_brings_the_registered_phone_straight_into_the_named_call_once() {
    let mut world = World::new("ticket").await;
    let _first = world.talk("205").await;
    let second = world.talk("204").await;
    let mia = world.client("mia").await;

    let issued = ticket(&mia, &second.id).await;
    assert_eq!(issued["dial"], "800");
    assert!(issued["expires_at"].as_str().unwrap().ends_with('Z'));
    // Without a ticket a second call would mean the menu.
    let line = world.dial_in().await;
    hears_both(&line).await;
    supervises(&mia, &second.id).await;
    line.hang_up().await.unwrap();
    supervises_nothing(&mia).await;

    let again = world.dial_in().await;
    wait_until("the menu is spoken", || again.media.packet_count() > 50).await;
    assert_eq!(supervised(&mia).await, None, "the ticket is spent");
    again.hang_up().await.unwrap();
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_never_slides_to_another_call() {
    let mut world = World::new("slide").await;
    let gone = world.talk("204").await;
    let mia = world.client("mia").await;
    ticket(&mia, &gone.id).await;
    gone.customer.hang_up().await.unwrap();
    gone.agent.ended().await;
    let _next = world.talk("204").await;

    let line = world.dial_in().await;
    wait_until("9013 is audited", || audited(&world.service, 9013) == 1).await;

    assert_eq!(supervised(&mia).await, None);
    assert!(!hears(&line.media, CUSTOMER_HZ));
    line.hang_up().await.unwrap();
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_ticket_replaces_the_one_before_and_another_phone_gets_neither() {
    let mut world = World::new("replace").await;
    let first = world.talk("204").await;
    let second = world.talk("205").await;
    let mia = world.client("mia").await;
    ticket(&mia, &first.id).await;
    ticket(&mia, &second.id).await;

    let stranger = world.mobile_of("+358401112223").await;
    let refused = stranger.dial("800").await.unwrap();
    refused.ended().await;
    assert_eq!(supervised(&mia).await, None);
    let line = world.dial_in().await;
    hears_both(&line).await;

    supervises(&mia, &second.id).await;
    line.hang_up().await.unwrap();
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_expires() {
    let mut world = World::with("expiry", |setup| {
        setup.line("supervising", "ticket_ttl = \"1s\"")
    })
    .await;
    let _first = world.talk("205").await;
    let second = world.talk("204").await;
    let mia = world.client("mia").await;
    let issued = ticket(&mia, &second.id).await;
    let expires_at: jiff::Timestamp = issued["expires_at"].as_str().unwrap().parse().unwrap();
    while jiff::Timestamp::now() <= expires_at {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }

    let line = world.dial_in().await;
    wait_until("the menu is spoken", || line.media.packet_count() > 50).await;

    assert_eq!(supervised(&mia).await, None);
    line.hang_up().await.unwrap();
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_pin_does_not_spend_the_ticket() {
    let mut world = World::with("pin", |setup| setup.line("supervising", "pin = \"always\"")).await;
    let _first = world.talk("205").await;
    let second = world.talk("204").await;
    let mia = world.client("mia").await;
    ticket(&mia, &second.id).await;

    let line = world.dial_in().await;
    line.press("0000#", KeySending::Event).await.unwrap();
    wait_until("the wrong PIN is audited", || {
        audited_as(&world.service, "pin", "refused") == 1
    })
    .await;
    line.press("4711#", KeySending::Event).await.unwrap();
    hears_both(&line).await;

    supervises(&mia, &second.id).await;
    line.hang_up().await.unwrap();
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_are_refused_out_of_scope_and_without_permission() {
    let mut world = World::new("no-ticket").await;
    let talk = world.talk("204").await;
    let path = format!("/api/v1/calls/{}/ticket", talk.id);

    for user in ["sam", "bob"] {
        let client = world.client(user).await;
        client.post(&path, Value::Null).await.expect_code(404, 9004);
    }
    let mia = world.client("mia").await;
    for nothing in ["/api/v1/calls/ffff/ticket", "/api/v1/calls/no-id/ticket"] {
        mia.post(nothing, Value::Null).await.expect(404);
    }
    world.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_carries_the_csrf_token_and_is_audited_as_the_console() {
    let mut world = World::new("browser").await;
    let talk = world.talk("204").await;
    let path = format!("/api/v1/calls/{}/ticket", talk.id);
    let browser = Client::browser(&world.service, "mia", "mia-demo").await;

    let me = browser.get("/api/v1/me").await.expect(200);
    assert_eq!(
        (&me["user"], &me["devices"][2]),
        (&json!("mia"), &json!(MIA))
    );
    let mut without = browser
        .request(reqwest::Method::POST, &path, None)
        .build()
        .unwrap();
    without.headers_mut().remove("x-csrf-token");
    let refused = browser.execute(without).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    browser.post(&path, Value::Null).await.expect(201);

    let audit = || audit_csv(&world.service);
    wait_until("the ticket is audited", || audit().contains(",ticket,")).await;
    let audit = audit();
    let row = audit
        .lines()
        .find(|line| line.contains(",ticket,"))
        .unwrap();
    assert!(row.contains(",mia,console,"), "{row}");
    world.stop();
}
