//! Bad input gets a clear error in the right place and leaves every other call untouched.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;

use sottovoce::demo::phone::PhoneError;
use sottovoce::demo::service::{Service, Setup};
use sottovoce::demo::stage::{self, OFFICE, PATIENCE};

use crate::scene::{AGENT_HZ, CUSTOMER_HZ, Folder, Scene, exe, press, setup, share, start, stop};

/// Sends one datagram from the office and gives the first line of the final answer.
fn ask(sip: SocketAddr, text: &str) -> Option<String> {
    let socket = UdpSocket::bind((OFFICE, 0)).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let text = text.replace(
        "{local}",
        &socket.local_addr().expect("an address").to_string(),
    );
    socket.send_to(text.as_bytes(), sip).expect("sent");
    let mut buffer = [0u8; 4096];
    loop {
        let (length, _) = socket.recv_from(&mut buffer).ok()?;
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let line = answer.lines().next().unwrap_or_default().to_owned();
        if !line.starts_with("SIP/2.0 1") {
            return Some(line);
        }
    }
}

fn invite(sdp: &str) -> String {
    let body = sdp.replace('\n', "\r\n");
    format!(
        "INVITE sip:204@sottovoce.local SIP/2.0\r\nVia: SIP/2.0/UDP {{local}};branch=z9hG4bK{0:x};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:+358501112222@office>;tag=a{0:x}\r\nTo: <sip:204@sottovoce.local>\r\n\
         Call-ID: bad{0:x}@office\r\nCSeq: 1 INVITE\r\nContact: <sip:x@{{local}}>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {1}\r\n\r\n{body}",
        rand(),
        body.len()
    )
}

fn rand() -> u64 {
    fastrand::u64(..)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_every_port_leaves_the_call_untouched() {
    let scene = Scene::new("garbage").await;
    let mut random = fastrand::Rng::with_seed(7);
    let socket = UdpSocket::bind((OFFICE, 0)).expect("a socket");
    let media: Vec<SocketAddr> = scene
        .customer
        .media
        .packets()
        .last()
        .map(|_| ports_of(&scene.service))
        .unwrap_or_default();
    assert!(!media.is_empty(), "the RTP ports in use are known");
    for _ in 0..500 {
        let bytes: Vec<u8> = (0..random.usize(1..400)).map(|_| random.u8(..)).collect();
        socket.send_to(&bytes, scene.service.sip).expect("sent");
        for port in &media {
            socket.send_to(&bytes, port).expect("sent");
        }
    }

    scene
        .expect_ears(&[CUSTOMER_HZ], &[AGENT_HZ], "after garbage")
        .await;
    stop(scene.service);
}

/// UDP ports that the service holds inside its RTP range.
fn ports_of(service: &Service) -> Vec<SocketAddr> {
    let text = std::fs::read_to_string(&service.config).expect("the configuration");
    let range = text
        .lines()
        .find_map(|line| line.strip_prefix("ports = \""))
        .expect("a range");
    let (first, last) = range
        .trim_end_matches('"')
        .split_once('-')
        .expect("a range");
    let (first, last): (u16, u16) = (
        first.parse().expect("a port"),
        last.parse().expect("a port"),
    );
    (first..=last)
        .filter(|port| UdpSocket::bind((service.sip.ip(), *port)).is_err())
        .map(|port| (service.sip.ip(), port).into())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_without_audio_or_a_common_codec_is_answered_488() {
    let mut scene = Scene::new("offers").await;
    let video = "v=0\no=- 1 1 IN IP4 127.0.0.51\ns=-\nc=IN IP4 127.0.0.51\nt=0 0\n\
                 m=video 4000 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    let no_common = "v=0\no=- 1 1 IN IP4 127.0.0.51\ns=-\nc=IN IP4 127.0.0.51\nt=0 0\n\
                     m=audio 4000 RTP/AVP 18 101\na=rtpmap:18 G729/8000\n\
                     a=rtpmap:101 telephone-event/8000\n";
    let broken = "this is no session description\n";

    assert_eq!(
        ask(scene.service.sip, &invite(video)).as_deref(),
        Some("SIP/2.0 488 Not Acceptable Here")
    );
    // Speech that we cannot decode is offered on; an agent who cannot either refuses it.
    let (sip, offer) = (scene.service.sip, invite(no_common));
    let asked = tokio::task::spawn_blocking(move || ask(sip, &offer));
    let incoming = scene.agent_phone.incoming().await.expect("it rings");
    assert!(incoming.offer().contains("G729"), "{}", incoming.offer());
    incoming.reject(488).await.expect("refused");
    assert_eq!(
        asked.await.expect("asked").as_deref(),
        Some("SIP/2.0 488 Not Acceptable Here")
    );
    let answer = ask(scene.service.sip, &invite(broken)).expect("an answer");
    assert!(answer.starts_with("SIP/2.0 4"), "{answer}");
    scene
        .expect_ears(&[CUSTOMER_HZ], &[AGENT_HZ], "after bad offers")
        .await;
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_port_range_refuses_with_503_and_harms_no_call() {
    let scene = Scene::with("ports", |setup| Setup {
        // Two pairs: one call, and not one leg more.
        rtp_count: Some(4),
        ..setup
    })
    .await;

    let refused = scene.mia.dial(stage::SUPERVISING_NUMBER).await;

    assert!(
        matches!(refused, Err(PhoneError::Refused(503))),
        "{:?}",
        refused.err()
    );
    scene
        .expect_ears(&[CUSTOMER_HZ], &[AGENT_HZ], "with all ports taken")
        .await;
    crate::scene::wait_until("9011 is audited", || scene.audited(9011) == 1).await;
    stop(scene.service);
}

fn serve_fails(folder: &Folder, config: &str) -> String {
    let path = folder.path().join("sottovoce.toml");
    std::fs::write(&path, config).expect("written");
    let output = Command::new(exe())
        .args(["serve", "--config"])
        .arg(&path)
        .output()
        .expect("the service runs");
    assert!(!output.status.success(), "a start that had to fail");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_broken_configuration_names_file_and_line() {
    let folder = Folder::new("toml");

    let error = serve_fails(&folder, "[node]\nname = \"x\"\nnmae = \"y\"\n");

    assert!(error.contains("sottovoce.toml:3"), "{error}");
    assert!(error.contains("nmae"), "{error}");
}

#[test]
fn a_missing_prompt_is_named() {
    let folder = Folder::new("prompt");
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        std::fs::create_dir_all(to).expect("a folder");
        for entry in std::fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            if entry.file_type().expect("a type").is_file() {
                std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
            }
        }
    };
    copy(
        &share().join("prompts/en"),
        &folder.path().join("prompts/en"),
    );
    std::fs::copy(
        share().join("error-codes.toml"),
        folder.path().join("error-codes.toml"),
    )
    .expect("copied");
    std::fs::remove_file(folder.path().join("prompts/en/listening.wav")).expect("removed");
    let config = format!(
        "[node]\nshare = \"{0}\"\ndata_dir = \"{0}\"\n[sip]\nlisten = [\"udp:127.0.0.1:15991\"]\n\
         [http]\nlisten = \"127.0.0.1:15992\"\n[rtp]\nports = \"15000-15099\"\n[database]\nurl = \"sqlite:{0}/x.db\"\n",
        folder.path().display()
    );

    let missing = serve_fails(&folder, &config);
    assert!(missing.contains("listening.wav"), "{missing}");

    std::fs::write(
        folder.path().join("prompts/en/listening.wav"),
        b"RIFF nonsense",
    )
    .expect("written");
    let wrong = serve_fails(&folder, &config);
    assert!(wrong.contains("listening.wav"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_database_stops_no_call_and_confirms_no_change() {
    let scene = Scene::new("locked").await;
    let mia = scene.supervise().await;
    let url = format!(
        "sqlite:{}",
        scene.service.dir.join("sottovoce.db").display()
    );
    let pool = sqlx::sqlite::SqlitePoolOptions::new()
        .max_connections(1)
        .connect(&url)
        .await
        .expect("the database");

    // Where the service finds the lock before the key comes, it refuses the command at once.
    for times in 1.. {
        assert!(times < 20, "the lock was found before every key");
        let refused = refusals(&scene.service, 9010);
        sqlx::query("BEGIN EXCLUSIVE")
            .execute(&pool)
            .await
            .expect("the database is locked");
        press(&mia, "4#").await;
        crate::scene::wait_until("the supervisor is refused", || {
            refusals(&scene.service, 9010) > refused
        })
        .await;
        scene
            .expect_ears(&[CUSTOMER_HZ], &[AGENT_HZ], "nobody speaks unrecorded")
            .await;
        sqlx::query("ROLLBACK")
            .execute(&pool)
            .await
            .expect("the lock is given back");
        crate::scene::wait_until("the refusal is in the audit after all", || {
            scene.audited(9010) == times
        })
        .await;
        let audit = crate::scene::audit_csv(&scene.service);
        if audit.contains("not_recorded") {
            // The change, which did not wait for the disk, and its end.
            let of = |outcome: &str| {
                audit
                    .lines()
                    .position(|row| row.contains("4#") && row.contains(outcome))
            };
            assert!(of("requested").is_some() && of("done").is_some(), "{audit}");
            break;
        }
    }
    pool.close().await;
    crate::scene::wait_until("the service is ready again", || {
        matches!(scene.service.get("/readyz"), Ok((200, _)))
    })
    .await;
    stop(scene.service);
}

/// How often a code was given, by the service's own count: the audit may be stuck.
fn refusals(service: &Service, code: u16) -> u64 {
    let (_, metrics) = service.get("/metrics").expect("the metrics");
    let name = format!("sottovoce_refusals_total{{code=\"{code}\"}} ");
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(&name))
        .and_then(|count| count.parse().ok())
        .expect("a count")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_with_a_wrong_payload_is_no_key() {
    let scene = Scene::new("payload").await;
    let mia = scene.supervise().await;
    let peer = mia
        .media
        .packets()
        .last()
        .map(|packet| packet.ssrc)
        .expect("audio arrives");
    assert_ne!(peer, 0);
    // Events above 15, truncated payloads, and a payload type nobody agreed on.
    mia.media.send_raw(101, &[200, 10, 0, 160]).await;
    mia.media.send_raw(101, &[4]).await;
    mia.media.send_raw(120, &[4, 10, 0, 160]).await;
    mia.media.send_raw(101, &[]).await;
    press(&mia, "5#").await;

    crate::scene::wait_until("5# is understood, and nothing before it", || {
        crate::scene::audit_csv(&scene.service).contains("5#")
    })
    .await;
    assert_eq!(scene.audited(9008), 0);
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_told_to_end_refuses_new_calls_and_lets_the_old_one_finish() {
    let scene = Scene::new("drain").await;
    scene.service.terminate();
    crate::scene::wait_until("it is not ready any more", || {
        !matches!(scene.service.get("/readyz"), Ok((200, _)))
    })
    .await;

    let refused = scene.customer_phone.dial("205").await;
    assert!(
        matches!(refused, Err(PhoneError::Refused(503))),
        "{:?}",
        refused.err()
    );
    scene
        .expect_ears(&[CUSTOMER_HZ], &[AGENT_HZ], "the old call goes on")
        .await;
    scene.customer.hang_up().await.expect("hangs up");
    stop(scene.service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_answers_options_and_tells_its_health() {
    let folder = Folder::new("health");
    let service = start(&setup(&folder));
    let options = format!(
        "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {{local}};branch=z9hG4bK{0:x};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:ping@office>;tag=p{0:x}\r\nTo: <sip:127.0.0.1>\r\n\
         Call-ID: ping{0:x}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
        rand()
    );

    assert_eq!(
        ask(service.sip, &options).as_deref(),
        Some("SIP/2.0 200 OK")
    );
    assert_eq!(service.get("/healthz").expect("an answer").0, 200);
    let (status, metrics) = service.get("/metrics").expect("an answer");
    assert_eq!(status, 200);
    assert!(metrics.contains("sottovoce_calls"), "{metrics}");
    assert!(
        metrics.contains("sottovoce_fence_violations_total 0"),
        "{metrics}"
    );
    stop(service);
}
