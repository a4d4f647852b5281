//! Messages that no phone should send, over UDP and TCP. After each the node still answers, and a
//! call that stands meanwhile is not touched.

use std::time::Duration;

use sottovoce::control::input::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::phone::{Message, PATIENCE, Phone, sdp, unique};
use crate::world::World;

struct Case {
    name: String,
    verdict: String,
    udp_only: bool,
    bytes: Vec<u8>,
}

/// The messages of `fixtures/sip/hostile.txt`, each with identifiers of its own.
fn cases() -> Vec<Case> {
    let text = include_str!("../../fixtures/sip/hostile.txt");
    let mut cases = Vec::new();
    for block in text.split("\n=== ").skip(1) {
        let (title, message) = block.split_once('\n').expect("a title");
        let mut words = title.split(' ');
        let name = words.next().expect("a name").to_owned();
        let verdict = words.next().expect("a verdict").to_owned();
        let udp_only = words.next() == Some("udp");
        let bytes = expand(message, &unique(&name.replace('_', "-")));
        cases.push(Case {
            name,
            verdict,
            udp_only,
            bytes,
        });
    }
    assert!(cases.len() > 50);
    cases
}

fn expand(message: &str, name: &str) -> Vec<u8> {
    let body = sdp(4000);
    let mut out = Vec::new();
    // The empty line at the end of a head is the one before the next title.
    let message = if message.contains("\n\n") || message.contains("{sdp}") {
        message.to_owned()
    } else {
        format!("{message}\n")
    };
    let message = match message.split_once("{end}") {
        Some((before, _)) => before.to_owned(),
        None => message,
    };
    for line in message.split_inclusive('\n') {
        let (line, ends) = match line.strip_suffix('\n') {
            Some(line) => (line, true),
            None => (line, false),
        };
        let line = match line {
            "{via}" => format!("Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{name}"),
            "{hops}" => "Max-Forwards: 70".to_owned(),
            "{from}" => "From: <sip:someone@192.0.2.1>;tag=1".to_owned(),
            "{to}" => "To: <sip:node@127.0.0.1>".to_owned(),
            "{call}" => format!("Call-ID: {name}@192.0.2.1"),
            "{contact}" => "Contact: <sip:someone@192.0.2.1>".to_owned(),
            "{sdp}" => format!(
                "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
            _ => match line
                .strip_prefix("{cseq ")
                .and_then(|m| m.strip_suffix('}'))
            {
                Some(method) => format!("CSeq: 1 {method}"),
                None => line.replace("{name}", name),
            },
        };
        let mut rest = line.as_str();
        while let Some((before, after)) = rest.split_once("\\x") {
            out.extend_from_slice(before.as_bytes());
            out.push(u8::from_str_radix(&after[..2], 16).expect("a byte"));
            rest = &after[2..];
        }
        out.extend_from_slice(rest.as_bytes());
        if ends {
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

fn probe() -> (String, String) {
    let id = unique("probe-");
    let text = format!(
        "OPTIONS sip:node@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{id}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@192.0.2.1>;tag=1\r\nTo: <sip:b@127.0.0.1>\r\n\
         Call-ID: {id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    (id, text)
}

/// Whether what came before the answer to the probe fits the verdict.
fn judge(case: &Case, answers: &[Message]) {
    let finals: Vec<u16> = answers
        .iter()
        .map(Message::status)
        .filter(|status| *status >= 200)
        .collect();
    let name = &case.name;
    match case.verdict.as_str() {
        "drop" => assert!(finals.is_empty(), "{name}: {finals:?}"),
        "pass" => assert!(finals.iter().all(|s| *s == 200), "{name}: {finals:?}"),
        status => {
            let status: u16 = status.parse().expect("a status");
            assert!(
                !finals.is_empty() && finals.iter().all(|seen| *seen == status),
                "{name}: {finals:?}"
            );
        }
    }
    for answer in answers.iter().filter(|answer| answer.status() >= 200) {
        assert!(
            answer.find("To").is_none_or(|to| to.contains("tag=")),
            "{name}: an answer without tag"
        );
        match answer.status() {
            405 | 501 => assert!(answer.header("Allow").contains("INVITE")),
            420 => assert!(!answer.header("Unsupported").is_empty()),
            415 => assert!(answer.header("Accept").contains("application/sdp")),
            _ => {}
        }
    }
}

#[tokio::test]
async fn every_hostile_datagram_gets_its_answer_and_the_node_goes_on() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let (leg, mut call) = world.standing(&carrier).await;

    for (index, case) in cases().iter().enumerate() {
        // Answers to broken messages are limited for each source: every case has its own.
        let hostile = Phone::at(&format!("127.0.0.{}", 40 + index % 100), world.udp).await;
        let trusted = world.carrier().await;
        // Invitations are judged from where they are let in.
        let phone = if case.bytes.starts_with(b"INVITE") {
            &trusted
        } else {
            &hostile
        };
        phone.send_bytes(&case.bytes).await;
        let mut answers = Vec::new();
        println!("{}", case.name);
        let expects_answer = case.verdict != "drop";
        let (id, probe) = probe();
        if expects_answer {
            answers.push(phone.receive().await);
        }
        phone.send(&probe).await;
        loop {
            let answer = phone.receive().await;
            if answer.find("Call-ID") == Some(&*id) {
                assert_eq!(answer.status(), 200, "after {}", case.name);
                break;
            }
            answers.push(answer);
        }
        judge(case, &answers);
    }

    carrier.send(&call.request("BYE", "", "")).await;
    assert_eq!(carrier.expect(200).await.method(), "BYE");
    assert!(matches!(world.signal_of(leg).await, Signal::HungUp { .. }));
    let counts = world.sip.guard_counts();
    assert!(counts.answered > 20 && counts.dropped > 5, "{counts:?}");
}

/// A phone on TCP.
struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    async fn open(world: &World, ip: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind(format!("{ip}:0").parse().expect("an address"))
            .expect("bound");
        Self {
            stream: socket.connect(world.tcp).await.expect("connected"),
            buffer: Vec::new(),
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("sent");
    }

    /// The next message, or `None` when the node closed the connection.
    async fn receive(&mut self) -> Option<Message> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&self.buffer[..end + 4]).into_owned();
                let message = Message::parse(&text);
                let length: usize = message.header("Content-Length").parse().expect("a length");
                if self.buffer.len() >= end + 4 + length {
                    self.buffer.drain(..end + 4 + length);
                    return Some(message);
                }
            }
            let read = self.stream.read_buf(&mut self.buffer);
            match tokio::time::timeout(PATIENCE, read).await.expect("in time") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

#[tokio::test]
async fn every_hostile_message_on_a_stream_gets_its_answer_and_the_node_goes_on() {
    let world = World::new().await;

    for (index, case) in cases().iter().enumerate() {
        println!("{}", case.name);
        if case.udp_only {
            continue;
        }
        let ip = if case.bytes.starts_with(b"INVITE") {
            "127.0.0.2".to_owned()
        } else {
            format!("127.0.0.{}", 40 + index % 100)
        };
        let mut wire = Wire::open(&world, &ip).await;
        wire.send(&case.bytes).await;
        let (id, probe) = probe();
        wire.send(probe.as_bytes()).await;
        let mut answers = Vec::new();
        let mut probed = false;
        let wants_answer = case.verdict != "drop";
        // The two are answered side by side: whichever comes first.
        while !probed || (wants_answer && answers.is_empty()) {
            match wire.receive().await {
                Some(answer) if answer.find("Call-ID") == Some(&*id) => probed = true,
                Some(answer) if answer.status() >= 200 => answers.push(answer),
                Some(_) => {}
                None => break,
            }
        }
        judge(case, &answers);
        // A framing that is lost costs the connection, never the node.
        let mut next = Wire::open(&world, &ip).await;
        let (id, probe) = self::probe();
        next.send(probe.as_bytes()).await;
        let answer = next.receive().await.expect("an answer");
        assert_eq!((answer.header("Call-ID"), answer.status()), (&*id, 200));
    }
}

#[tokio::test]
async fn another_protocol_on_a_stream_ends_its_own_connection_and_no_other() {
    let world = World::new().await;
    let mut phone = Wire::open(&world, "127.0.0.204").await;
    phone.send(probe().1.as_bytes()).await;
    assert_eq!(phone.receive().await.expect("an answer").status(), 200);

    let mut browser = Wire::open(&world, "127.0.0.204").await;
    browser
        .send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        .await;

    assert!(browser.receive().await.is_none());
    assert!(browser.buffer.is_empty());
    phone.send(probe().1.as_bytes()).await;
    assert_eq!(phone.receive().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_source_that_sends_nothing_but_faults_is_answered_only_so_often() {
    let world = World::new().await;
    let phone = Phone::at("127.0.0.200", world.udp).await;
    let broken = "OPTIONS sip:node@127.0.0.1 SIP/9.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\
                  \r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n";

    while world.sip.guard_counts().limited < 100 {
        phone.send(broken).await;
        tokio::task::yield_now().await;
    }

    let other = Phone::at("127.0.0.201", world.udp).await;
    other.send(&probe().1).await;
    assert_eq!(other.receive().await.status(), 200);
}

#[tokio::test]
async fn mutated_messages_break_nothing() {
    let mut world = World::new().await;
    let carrier = world.carrier().await;
    let (leg, mut call) = world.standing(&carrier).await;
    let hostile = Phone::at("127.0.0.202", world.udp).await;
    let cases = cases();
    let mut random = fastrand::Rng::with_seed(4475);

    for _ in 0..5000 {
        let mut bytes = cases[random.usize(..cases.len())].bytes.clone();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..bytes.len());
            match random.u8(..4) {
                0 => bytes[at] = random.u8(..),
                1 => {
                    bytes.remove(at);
                }
                2 => bytes.insert(at, *random.choice(b"\r\n<>\";:,@ \0").expect("one")),
                _ => bytes.truncate(at.max(1)),
            }
            if bytes.is_empty() {
                bytes.push(b'x');
            }
        }
        hostile.send_bytes(&bytes).await;
        while let Ok((_, Signal::Invited(_))) = world.inbox.try_recv() {}
        tokio::task::yield_now().await;
    }

    carrier.send(&call.request("BYE", "", "")).await;
    loop {
        let answer = carrier.receive_within(Duration::from_secs(1)).await;
        match answer {
            Some(answer) if answer.method() == "BYE" => {
                assert_eq!(answer.status(), 200);
                break;
            }
            Some(_) => {}
            // The datagram was lost in the crowd: a phone repeats itself.
            None => {
                carrier.send(&call.numbered("BYE", call.cseq, "", "")).await;
            }
        }
    }
    assert!(matches!(world.signal_of(leg).await, Signal::HungUp { .. }));
}
