//! The page of a busy floor: five hundred calls, without their sound.

use std::fmt::Write as _;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use sottovoce::control::record::Direction;
use sottovoce::control::settings::Settings;
use sottovoce::control::snapshot::{CallView, Snapshot};
use sottovoce::edge::catalogue::Catalogue;
use sottovoce::edge::clock;
use sottovoce::edge::config::DatabaseUrl;
use sottovoce::edge::config::WebhookSettings;
use sottovoce::edge::http::events::feed::Feed;
use sottovoce::edge::http::events::reader::Readers;
use sottovoce::edge::http::sign_ins::SignIns;
use sottovoce::edge::http::{self, Web};
use sottovoce::edge::live::{self, live};
use sottovoce::edge::people::People;
use sottovoce::edge::store::Store;
use sottovoce::edge::store::contacts::Contacts;
use sottovoce::edge::telemetry::Metrics;
use sottovoce::edge::webhooks::Webhooks;
use sottovoce::id::CallId;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::scene::{Folder, share};

const CALLS: u64 = 500;
const PASSWORD: &str = "five-hundred";
/// What a page may weigh on its way, in bytes.
const MAX_PAGE: usize = 150_000;
/// How often each page is asked for.
const TIMES: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_calls_are_one_page_and_a_changed_row_is_asked_for_alone() {
    let folder = Folder::new("console-many");
    std::fs::create_dir_all(folder.path()).expect("a folder");
    let home = serve(&folder).await;
    // Plain HTTP all the same; the client asks for it at its making.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let token = sign_in(&client, home, "mia").await;
    let administrator = sign_in(&client, home, "root").await;

    let get = async |token: &str, path: &str, rows: Option<&str>| {
        let mut times: Vec<Duration> = Vec::new();
        let mut page = String::new();
        for _ in 0..TIMES {
            let mut request = client
                .get(format!("http://{home}{path}"))
                .bearer_auth(token);
            if let Some(rows) = rows {
                request = request.header("X-Rows", rows);
            }
            let began = clock::now();
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status(), 200);
            page = answer.text().await.expect("text");
            times.push(clock::now().duration_since(began));
        }
        times.sort();
        println!(
            "{path} {}: {} bytes, median {:.1} ms, longest {:.1} ms",
            rows.map_or("whole", |_| "one row"),
            page.len(),
            times[TIMES / 2].as_secs_f64() * 1000.0,
            times[TIMES - 1].as_secs_f64() * 1000.0,
        );
        page
    };
    let whole = get(&token, "/", None).await;
    assert_eq!(whole.matches("<tr id=\"c-").count() as u64, CALLS);
    let row = get(&token, "/", Some("1f4")).await;
    assert_eq!(row.matches("<tr id=\"c-").count(), 1);
    assert!(row.len() < 30_000, "{} bytes for a row", row.len());
    for (token, path) in [
        (&token, "/"),
        (&token, "/agents"),
        (&token, "/supervising"),
        (&token, "/help"),
        (&token, "/reports"),
        (&token, "/audit"),
        (&administrator, "/people"),
        (&administrator, "/contacts"),
        (&administrator, "/webhooks"),
    ] {
        let page = get(token, path, None).await;
        let request = client
            .get(format!("http://{home}{path}"))
            .bearer_auth(token)
            .header("Accept-Encoding", "br;q=0.5, gzip");
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.headers()["content-encoding"], "gzip", "{path}");
        let varies = answer.headers().get_all("vary").iter();
        let varies: Vec<_> = varies.map(|value| value.to_str().expect("text")).collect();
        assert!(
            varies.join(",").to_lowercase().contains("accept-encoding"),
            "{path}: {varies:?}"
        );
        let sent = answer.bytes().await.expect("bytes");
        println!("{path}: {} bytes on the way", sent.len());
        assert!(sent.len() < MAX_PAGE, "{path}: {} bytes", sent.len());
        let mut text = String::new();
        flate2::read::GzDecoder::new(&sent[..])
            .read_to_string(&mut text)
            .expect("a page");
        let rows = |page: &str| page.matches("<tr id=").count();
        assert_eq!(rows(&text), rows(&page), "{path}");
        assert!(text.trim_end().ends_with("</html>"), "{path}");
    }
    // Events are not held back for others to come with them.
    let stream = client
        .get(format!("http://{home}/api/v1/events"))
        .bearer_auth(&token)
        .header("Accept-Encoding", "gzip")
        .send()
        .await
        .expect("an answer");
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert!(!stream.headers().contains_key("content-encoding"));
    // What a browser keeps for ever it may still keep.
    let script = whole.split("src=\"").nth(1).expect("a script");
    let script = script.split('"').next().expect("its path");
    let request = client
        .get(format!("http://{home}{script}"))
        .header("Accept-Encoding", "gzip");
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let kept = answer.headers()["cache-control"].to_str().expect("text");
    assert!(kept.contains("immutable"), "{kept}");
}

/// The bearer token of somebody who signs in.
async fn sign_in(client: &reqwest::Client, home: std::net::SocketAddr, user: &str) -> String {
    let answer = client
        .post(format!("http://{home}/api/v1/login"))
        .header("Content-Type", "application/json")
        .body(format!(r#"{{"user": "{user}", "password": "{PASSWORD}"}}"#))
        .send()
        .await
        .expect("an answer");
    let text = answer.text().await.expect("text");
    let signed_in: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    signed_in["token"].as_str().expect("a token").to_owned()
}

/// A service of which only the HTTP side is there, and a snapshot of many calls.
async fn serve(folder: &Folder) -> std::net::SocketAddr {
    let store = Store::open(&DatabaseUrl::Sqlite(folder.path().join("many.db")), "many")
        .await
        .expect("a store");
    let text = people();
    let people = People::parse("people.toml", &text, &|_| None).expect("people");
    store
        .apply(&people, "many", 1)
        .await
        .expect("they are applied");
    store
        .add_administrator("root", PASSWORD, 0)
        .await
        .expect("an administrator");
    let languages = ["en".to_owned()];
    let directory = Arc::new(
        store
            .load_directory(&languages)
            .await
            .expect("the directory"),
    );
    let (people, _source) = live::people(directory);
    let (live, source) = live();
    source.snapshots.send_replace(Arc::new(snapshot()));
    let (_registrations, registered) = watch::channel(Arc::from([]));
    let metrics = Metrics::new();
    let settings = WebhookSettings {
        first_retry: Duration::from_secs(1),
        attempts: 1,
        timeout: Duration::from_secs(1),
    };
    let (webhooks, _) = Webhooks::start(store.clone(), &settings, metrics.clone())
        .await
        .expect("no webhooks");
    let web = Web {
        live,
        metrics,
        store: store.clone(),
        catalogue: Arc::new(Catalogue::load(share()).expect("the catalogue")),
        people,
        settings: Arc::new(Settings::default()),
        sign_ins: SignIns::default(),
        registered,
        contacts: Contacts::new(store),
        realm: "many".into(),
        events: Feed::new(0, 0),
        readers: Readers::default(),
        webhooks,
        languages: Arc::from(languages),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(http::serve(listener, web, std::future::pending()));
    address
}

fn people() -> String {
    let mut text = format!(
        r#"[[organisation]]
id = "acme"
name = "Acme"
supervising_numbers = ["800"]
supervision = true

[[pool]]
organisation = "acme"
name = "support"

[[supervisor]]
organisation = "acme"
user = "mia"
name = "Mia"
phone = "+358401234567"
password = "{PASSWORD}"
pools = ["support"]
may = ["monitor", "coach", "whisper_caller", "barge", "takeover", "hang_up"]
"#
    );
    for number in 1..=CALLS {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n[[agent]]\norganisation = \"acme\"\nextension = \"{}\"\nname = \"Agent {number}\"\n\
             pools = [\"support\"]\n",
            1000 + number
        );
    }
    text
}

fn snapshot() -> Snapshot {
    let call = |number: u64| CallView {
        id: CallId(number),
        organisation: Some("acme".into()),
        agent: Some((1000 + number).to_string().into()),
        pool: Some("support".into()),
        direction: Direction::Inbound,
        from: format!("+35850{number:07}").into(),
        to: "support".into(),
        customer: Some(format!("+35850{number:07}").into()),
        user_extension: None,
        answered_at: Some(clock::now()),
        on_hold: false,
        help_wanted: false,
        caller_on_net: true,
        supervisable: true,
        agent_ringing: false,
        agent_on_call: true,
    };
    Snapshot {
        calls: (1..=CALLS).map(call).collect(),
        ..Snapshot::default()
    }
}
