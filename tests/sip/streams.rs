//! Calls over TCP.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use sottovoce::control::input::Signal;
use sottovoce::control::output::{SignalCommand, Target};
use sottovoce::edge::sip::{Listener, SipSettings, TlsFiles, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::phone::{Call, Message, PATIENCE, Phone, sdp};
use crate::world::{World, answer};

async fn receive(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Message {
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let mut message = Message::parse(&String::from_utf8_lossy(&buffer[..end + 4]));
            let length: usize = message.header("Content-Length").parse().expect("a length");
            if buffer.len() >= end + 4 + length {
                message.body =
                    String::from_utf8_lossy(&buffer[end + 4..end + 4 + length]).into_owned();
                buffer.drain(..end + 4 + length);
                return message;
            }
        }
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(buffer)).await;
        assert_ne!(read.expect("in time").expect("read"), 0, "closed");
    }
}

fn over_tcp(text: &str) -> String {
    text.replace("SIP/2.0/UDP", "SIP/2.0/TCP")
}

#[tokio::test]
async fn a_call_over_one_connection_runs_from_invite_to_bye() {
    let mut world = World::new().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut stream = socket.connect(world.tcp).await.unwrap();
    let mut buffer = Vec::new();
    // Only its address is used, as one that cannot be connected to.
    let shape = Phone::at("127.0.0.2", world.tcp).await;
    let mut call = Call::new(&shape, "+358401", "204");

    let invite = over_tcp(&call.request("INVITE", "", &sdp(4000)));
    let (first, second) = invite.split_at(100);
    stream.write_all(b"\r\n\r\n").await.unwrap();
    stream.write_all(first.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut pong = [0; 2];
    stream.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"\r\n");
    stream.write_all(second.as_bytes()).await.unwrap();
    let (leg, _) = world.invited().await;
    assert_eq!(receive(&mut stream, &mut buffer).await.status(), 100);
    world.sip.send(leg, answer());
    let ok = receive(&mut stream, &mut buffer).await;
    assert_eq!(ok.status(), 200);
    assert!(ok.header("Contact").contains("transport=tcp"));
    call.confirmed_by(&ok);
    stream
        .write_all(over_tcp(&call.ack("")).as_bytes())
        .await
        .unwrap();
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::Acknowledged { .. }
    ));

    stream
        .write_all(over_tcp(&call.request("BYE", "", "")).as_bytes())
        .await
        .unwrap();
    loop {
        let message = receive(&mut stream, &mut buffer).await;
        if message.method() == "BYE" {
            assert_eq!(message.status(), 200);
            break;
        }
    }
    assert!(matches!(world.signal_of(leg).await, Signal::HungUp { .. }));
}

#[tokio::test]
async fn a_phone_is_dialled_over_tcp_and_out_of_reach_when_nobody_listens() {
    let mut world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let target = Target::Uri(format!("sip:204@{addr};transport=tcp").into());

    let leg = world.dial(target.clone());
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut buffer = Vec::new();
    let invite = receive(&mut stream, &mut buffer).await;
    assert!(invite.header("Via").starts_with("SIP/2.0/TCP"));
    let busy = format!(
        "SIP/2.0 486 Busy\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=x\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         Content-Length: 0\r\n\r\n",
        invite.header("Via"),
        invite.header("From"),
        invite.header("To"),
        invite.header("Call-ID"),
        invite.header("CSeq")
    );
    stream.write_all(busy.as_bytes()).await.unwrap();
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::Failed { status: 486, .. }
    ));
    assert_eq!(receive(&mut stream, &mut buffer).await.method(), "ACK");

    drop((listener, stream));
    loop {
        let leg = world.dial(target.clone());
        match world.signal_of(leg).await {
            Signal::Failed { status: 503, .. } => break,
            // The node has not seen the old connection end yet.
            Signal::Failed { .. } => tokio::time::sleep(Duration::from_millis(10)).await,
            other => panic!("{other:?}"),
        }
        world.sip.send(leg, SignalCommand::Cancel { reason: None });
    }
}

#[tokio::test]
async fn requests_over_tls_are_answered_and_what_is_no_tls_is_closed() {
    let files = |name: &str| format!("{}/fixtures/sip/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let settings = SipSettings {
        listen: [Transport::Udp, Transport::Tcp, Transport::Tls]
            .map(|transport| Listener {
                transport,
                addr: "127.0.0.1:0".parse().unwrap(),
            })
            .to_vec(),
        tls: Some(TlsFiles {
            cert: files("cert.pem").into(),
            key: files("key.pem").into(),
        }),
        ..SipSettings::default()
    };
    let world = World::start(settings, 64).await;
    let tls = world
        .sip
        .local_addrs()
        .iter()
        .find(|listener| listener.transport == Transport::Tls)
        .unwrap()
        .addr;
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(files("cert.pem")).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(tls).await.unwrap();
    let mut stream = connector
        .connect("localhost".try_into().unwrap(), stream)
        .await
        .unwrap();

    let probe = "OPTIONS sip:node@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bKt\r\n\
                 From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: tls\r\nCSeq: 1 OPTIONS\r\n\
                 Content-Length: 0\r\n\r\n";
    stream.write_all(probe.as_bytes()).await.unwrap();
    let mut buffer = Vec::new();
    while !buffer.ends_with(b"\r\n\r\n") {
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut buffer)).await;
        assert_ne!(read.unwrap().unwrap(), 0);
    }
    assert!(buffer.starts_with(b"SIP/2.0 200"));

    let mut plain = TcpStream::connect(tls).await.unwrap();
    plain.write_all(probe.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, plain.read_to_end(&mut rest)).await;
    assert!(end.is_ok() && !rest.starts_with(b"SIP"));
}

#[tokio::test]
async fn a_tls_listener_without_a_certificate_is_refused_at_start() {
    let settings = SipSettings {
        listen: vec![Listener {
            transport: Transport::Tls,
            addr: "127.0.0.1:0".parse().unwrap(),
        }],
        ..SipSettings::default()
    };

    let error = World::try_start(settings, 64).await.err().unwrap();

    assert!(error.to_string().contains("[sip.tls]"));
}
