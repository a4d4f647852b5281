//! The whole service in this process, on loopback: what it is started with, and how it ends.

use super::*;
use crate::id::ShardId;
use std::net::{Ipv4Addr, UdpSocket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn a_started_service_lives_takes_calls_and_counts() {
    let place = Place::new("starts", 1);
    let service = start(place.config(""), None).await.unwrap();

    let (health, ready, metrics, other) = (
        get(&service, "/healthz").await,
        get(&service, "/readyz").await,
        get(&service, "/metrics").await,
        get(&service, "/nothing").await,
    );

    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    assert!(metrics.contains("\nsottovoce_calls 0\n"), "{metrics}");
    assert!(other.starts_with("HTTP/1.1 404") && other.contains("\"not-found\""));
    assert!(is_answered(&service, "OPTIONS").await);
    service.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_service_is_not_ready_and_ends_at_once_without_calls() {
    let place = Place::new("drains", 2);
    let service = start(place.config(""), None).await.unwrap();

    service.wish(Wish::Drain).await;
    let mut snapshots = service.live.snapshots();
    snapshots
        .wait_for(|snapshot| snapshot.draining)
        .await
        .unwrap();
    let ready = get(&service, "/readyz").await;
    calls_over(&service.live, &service.sip).await;

    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    assert!(ready.contains("\"draining\""), "{ready}");
    service.take_apart().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn people_given_at_the_start_are_known_and_later_changes_are_noticed() {
    let place = Place::new("people", 4);
    let people = place.dir.join("people.toml");
    std::fs::write(&people, PEOPLE).unwrap();

    let service = start(place.config(""), Some(&people)).await.unwrap();
    let directory = service.store.load_directory(&["en".into()]).await.unwrap();

    assert_eq!(directory.agents.len(), 1);
    service.shutdown().await;
    std::fs::write(&people, "[[agent]]\nextension = 5\n").unwrap();
    let error = failure(place.config(""), Some(&people)).await;
    assert!(error.contains("people.toml:"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_cannot_be_names_the_place() {
    let place = Place::new("refused", 5);
    let taken = TcpListener::bind((place.ip, HTTP_PORT)).await.unwrap();
    let http = failure(place.config(""), None).await;
    drop(taken);
    let taken = UdpSocket::bind((place.ip, SIP_PORT)).unwrap();
    let sip = failure(place.config(""), None).await;
    drop(taken);
    let elsewhere = "[rtp]\nbind = \"192.0.2.1\"\n";
    let rtp = failure(place.config(elsewhere), None).await;
    let share = format!("[node]\nshare = \"{}\"\n", place.share_without_prompts());
    let prompts = failure(place.config(&share), None).await;
    let file = place.dir.join("file");
    std::fs::write(&file, "no database").unwrap();
    let url = format!("[database]\nurl = \"sqlite:{}\"\n", file.display());
    let database = failure(place.config(&url), None).await;

    assert!(http.contains(": [http] listen: 127."), "{http}");
    assert!(rtp.contains(": [rtp] bind: 192.0.2.1"), "{rtp}");
    assert!(sip.contains(&format!(":{SIP_PORT}")), "{sip}");
    assert!(prompts.contains("share/prompts/en/"), "{prompts}");
    assert!(database.contains("[database] url"), "{database}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_call_control_fails_says_so() {
    let place = Place::new("thread", 6);
    let mut service = start(place.config(""), None).await.unwrap();

    service.driver.as_ref().unwrap().abort();
    let error = service.failed().await;

    assert!(error.to_string().contains("call control failed"), "{error}");
    service.take_apart().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_media_thread_that_panics_ends_the_service_with_its_name() {
    let place = Place::new("panics", 7);
    let service = start(place.config(""), None).await.unwrap();
    let http = service.http_addr;

    service.wish(Wish::BreakThread(ShardId(1))).await;
    let ended = keep(service, Signals::new().unwrap()).await;

    let error = ended.unwrap_err().to_string();
    assert_eq!(error, format!("media thread {} ended", ShardId(1)));
    // Nothing of it is left that could seem to take calls.
    assert!(TcpStream::connect(http).await.is_err());
    let restarted = start(place.config(""), None).await.unwrap();
    assert!(is_answered(&restarted, "OPTIONS").await);
    restarted.shutdown().await;
}

const HTTP_PORT: u16 = 18_080;
const SIP_PORT: u16 = 15_060;

const PEOPLE: &str = r#"
[[organisation]]
id = "acme"
name = "Acme"
supervising_numbers = ["800"]

[[agent]]
organisation = "acme"
extension = "204"
name = "Aino"
password = "kettle"
"#;

/// A folder and an address of loopback that no other run of the tests uses at the same time.
struct Place {
    dir: PathBuf,
    ip: Ipv4Addr,
}

impl Place {
    fn new(name: &str, number: u8) -> Self {
        let id = std::process::id();
        let dir = std::env::temp_dir().join(format!("sottovoce-service-{name}-{id}"));
        std::fs::create_dir_all(&dir).unwrap();
        let [_, high, middle, low] = id.to_be_bytes();
        // Each test has its own; the upper bits of a process id hardly differ.
        let ip = Ipv4Addr::new(127, 128 + (number << 2 | high & 3), middle, low);
        Self { dir, ip }
    }

    fn share_without_prompts(&self) -> String {
        let share = self.dir.join("share");
        std::fs::create_dir_all(share.join("prompts/en")).unwrap();
        let catalogue = Path::new(env!("CARGO_MANIFEST_DIR")).join("error-codes.toml");
        std::fs::copy(catalogue, share.join("error-codes.toml")).unwrap();
        share.display().to_string()
    }

    fn config(&self, more: &str) -> Config {
        let ip = self.ip;
        let mut sections = [
            format!("[node]\ndata_dir = \"{}\"\n", self.dir.display()),
            format!("[sip]\nlisten = [\"udp:{ip}:{SIP_PORT}\", \"tcp:{ip}:{SIP_PORT}\"]\n"),
            format!(
                "[rtp]\nbind = \"{ip}\"\nadvertise = \"{ip}\"\nports = \"20000-20199\"\nthreads = 2\n"
            ),
            format!("[http]\nlisten = \"{ip}:{HTTP_PORT}\"\n"),
            format!(
                "[database]\nurl = \"sqlite:{}/test.db\"\n",
                self.dir.display()
            ),
        ];
        if let Some((name, lines)) = more.split_once('\n') {
            for section in sections
                .iter_mut()
                .filter(|section| section.starts_with(name))
            {
                let replaced = lines.split(" = ").next().unwrap();
                let kept: Vec<&str> = section
                    .lines()
                    .filter(|line| !line.starts_with(replaced))
                    .collect();
                *section = format!("{}\n{lines}", kept.join("\n"));
            }
        }
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("sottovoce.toml");
        Config::parse(&here, &sections.concat(), &|_| None).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

async fn failure(config: Config, apply: Option<&Path>) -> String {
    match start(config, apply).await {
        Ok(_) => panic!("it started"),
        Err(error) => format!("{error:#}"),
    }
}

async fn get(service: &RunningService, path: &str) -> String {
    let mut stream = TcpStream::connect(service.http_addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Whether a request by UDP is answered at all.
async fn is_answered(service: &RunningService, method: &str) -> bool {
    let to = service.sip_addrs()[0].addr;
    let socket = tokio::net::UdpSocket::bind((to.ip(), 0)).await.unwrap();
    let from = socket.local_addr().unwrap();
    let request = format!(
        "{method} sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK1\r\n\
         From: <sip:test@{from}>;tag=1\r\nTo: <sip:{to}>\r\nCall-ID: {from}\r\n\
         CSeq: 1 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    let mut answer = [0; 2048];
    loop {
        socket.send_to(request.as_bytes(), to).await.unwrap();
        let wait = Duration::from_millis(500);
        if let Ok(read) = tokio::time::timeout(wait, socket.recv(&mut answer)).await {
            return answer[..read.unwrap()].starts_with(b"SIP/2.0 ");
        }
    }
}
