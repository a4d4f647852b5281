//! Who gets in: registration, digest, fixed contacts, trunks, and nobody else.

use std::time::Duration;

use sottovoce::control::input::{CallerIdTrust, Identity, Origin, Signal};
use sottovoce::control::output::{SignalCommand, Target};
use sottovoce::edge::sip::{Algorithm, Listener, SipSettings, Transport, ha1};

use crate::phone::{Call, Message, PATIENCE, Phone, sdp, unique};
use crate::world::{REALM, World, agent_204};

struct Registration {
    call_id: String,
    tag: String,
    cseq: u32,
    user: &'static str,
    agent: &'static str,
}

impl Registration {
    fn of(user: &'static str) -> Self {
        Self {
            call_id: unique("reg-"),
            tag: unique("t"),
            cseq: 0,
            user,
            agent: "Desk/2",
        }
    }

    fn request(&mut self, phone: &Phone, extra: &str) -> String {
        self.cseq += 1;
        format!(
            "REGISTER sip:{REALM} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch={};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@{REALM}>;tag={}\r\n\
             To: <sip:{user}@{REALM}>\r\nCall-ID: {}\r\nCSeq: {} REGISTER\r\n\
             {extra}User-Agent: {}\r\nContent-Length: 0\r\n\r\n",
            phone.addr(),
            unique("z9hG4bKr"),
            self.tag,
            self.call_id,
            self.cseq,
            self.agent,
            user = self.user,
        )
    }

    /// Registers with a challenge and its answer; the final response.
    async fn proven(&mut self, phone: &Phone, extra: &str, password: &str, sha: bool) -> Message {
        self.prove(phone, extra, password, sha).await;
        phone.expect_any().await
    }

    /// Registers, is challenged, and registers again with an answer to the challenge.
    async fn prove(&mut self, phone: &Phone, extra: &str, password: &str, sha: bool) {
        phone.send(&self.request(phone, extra)).await;
        let challenge = phone.expect(401).await;
        let authorization = respond(&challenge, self.user, password, "REGISTER", sha);
        phone
            .send(&self.request(phone, &format!("{authorization}{extra}")))
            .await;
    }
}

fn field<'a>(challenge: &'a str, name: &str) -> &'a str {
    let from = challenge.find(&format!("{name}=\"")).expect("a field") + name.len() + 2;
    challenge[from..].split('"').next().expect("a value")
}

fn hash(algorithm: Algorithm, text: &str) -> String {
    // The product's `ha1` joins three words with colons and hashes them; its digest of two and of
    // six words is checked against RFC 2617's example elsewhere.
    let mut words = text.splitn(3, ':');
    let mut word = || words.next().expect("three words");
    ha1(algorithm, word(), word(), word())
}

/// An Authorization header in answer to a challenge, for `sip:sottovoce.local`.
fn respond(challenge: &Message, user: &str, password: &str, method: &str, sha: bool) -> String {
    respond_for(
        challenge,
        user,
        password,
        method,
        sha,
        &format!("sip:{REALM}"),
    )
}

fn respond_for(
    challenge: &Message,
    user: &str,
    password: &str,
    method: &str,
    sha: bool,
    uri: &str,
) -> String {
    let (algorithm, name) = if sha {
        (Algorithm::Sha256, "SHA-256")
    } else {
        (Algorithm::Md5, "MD5")
    };
    let challenge = challenge
        .all("WWW-Authenticate")
        .into_iter()
        .find(|value| value.contains(&format!("algorithm={name}")))
        .expect("the algorithm is offered");
    let nonce = field(challenge, "nonce");
    let first = hash(algorithm, &format!("{user}:{REALM}:{password}"));
    // `method:uri` has a colon inside its URI, which makes it three words.
    let second = hash(algorithm, &format!("{method}:{uri}"));
    let response = hash(
        algorithm,
        &format!("{first}:{nonce}:00000001:abc:auth:{second}"),
    );
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"{REALM}\", nonce=\"{nonce}\", \
         uri=\"{uri}\", algorithm={name}, response=\"{response}\", qop=auth, nc=00000001, \
         cnonce=\"abc\"\r\n"
    )
}

/// Calls, is challenged, and calls again with an answer to the challenge.
async fn call_with_proof(phone: &Phone, call: &mut Call, user: &str, password: &str, sha: bool) {
    phone.send(&call.request("INVITE", "", &sdp(4000))).await;
    let challenge = phone.expect(401).await;
    let proof = respond_for(&challenge, user, password, "INVITE", sha, &call.target);
    let again = call.request("INVITE", &proof, &sdp(4000));
    phone.send(&again).await;
}

fn contact(phone: &Phone) -> String {
    format!("Contact: <sip:204@{}>\r\n", phone.addr())
}

#[tokio::test]
async fn a_phone_registers_is_dialled_and_unregisters() {
    for sha in [false, true] {
        let mut world = World::new().await;
        let mut watch = world.sip.registrations();
        let phone = Phone::at("127.0.0.1", world.udp).await;
        let mut registration = Registration::of("204");

        let ok = registration
            .proven(&phone, &contact(&phone), "secret", sha)
            .await;
        assert_eq!(ok.status(), 200);
        assert!(ok.header("Contact").contains(";expires=3600"));
        watch.wait_for(|who| **who == [agent_204()]).await.unwrap();

        let leg = world.dial(Target::Registered(agent_204()));
        let invite = phone.request("INVITE").await;
        assert_eq!(invite.uri(), format!("sip:204@{}", phone.addr()));
        phone.answer(&invite, 486, "p", "", "").await;
        assert!(matches!(
            world.signal_of(leg).await,
            Signal::Failed { status: 486, .. }
        ));
        phone.request("ACK").await;

        let gone = registration
            .proven(&phone, "Contact: *\r\nExpires: 0\r\n", "secret", sha)
            .await;
        assert_eq!((gone.status(), gone.find("Contact")), (200, None));
        watch.wait_for(|who| who.is_empty()).await.unwrap();
    }
}

#[tokio::test]
async fn the_way_to_a_registered_phone_is_kept_open() {
    let settings = SipSettings {
        listen: vec![Listener {
            transport: Transport::Udp,
            addr: "127.0.0.1:0".parse().unwrap(),
        }],
        domain: REALM.to_owned(),
        keep_alive: Duration::from_millis(50),
        ..SipSettings::default()
    };
    let world = World::start(settings, 64).await;
    let phone = Phone::at("127.0.0.1", world.udp).await;
    let mut registration = Registration::of("204");
    registration
        .prove(&phone, &contact(&phone), "secret", true)
        .await;

    let (mut registered, mut kept) = (false, 0);
    while !registered || kept < 3 {
        let mut datagram = [0; 2_000];
        let length = tokio::time::timeout(PATIENCE, phone.socket.recv(&mut datagram))
            .await
            .expect("a datagram in time")
            .expect("received");
        registered |= datagram.starts_with(b"SIP/2.0 200");
        kept += usize::from(&datagram[..length] == b"\r\n\r\n");
    }
}

#[tokio::test]
async fn a_phone_behind_nat_is_reached_where_it_registered_from() {
    let mut world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;
    let mut registration = Registration::of("204");

    let hidden = "Contact: <sip:204@192.0.2.77:5060>\r\n";
    let ok = registration.proven(&phone, hidden, "secret", true).await;
    assert_eq!(ok.status(), 200);
    let leg = world.dial(Target::Registered(agent_204()));
    let invite = phone.request("INVITE").await;
    assert_eq!(invite.uri(), "sip:204@192.0.2.77:5060");
    phone.answer(&invite, 200, "p", "", &sdp(5000)).await;

    phone.request("ACK").await;
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::Answered { .. }
    ));
    world.sip.send(leg, SignalCommand::HangUp { reason: None });
    phone.request("BYE").await;
}

#[tokio::test]
async fn all_phones_of_somebody_ring_and_the_first_to_answer_wins() {
    let mut world = World::new().await;
    let (desk, mobile) = (
        Phone::at("127.0.0.1", world.udp).await,
        Phone::at("127.0.0.1", world.udp).await,
    );
    for phone in [&desk, &mobile] {
        let mut registration = Registration::of("204");
        let ok = registration
            .proven(phone, &contact(phone), "secret", false)
            .await;
        assert_eq!(ok.status(), 200);
    }

    let leg = world.dial(Target::Registered(agent_204()));
    let (at_desk, at_mobile) = (desk.request("INVITE").await, mobile.request("INVITE").await);
    desk.answer(&at_desk, 180, "d", "", "").await;
    mobile.answer(&at_mobile, 180, "m", "", "").await;
    mobile.answer(&at_mobile, 200, "m", "", &sdp(5000)).await;

    mobile.request("ACK").await;
    let cancel = desk.request("CANCEL").await;
    desk.answer(&cancel, 200, "d", "", "").await;
    // The desk answers all the same: it is let go again.
    desk.answer(&at_desk, 200, "d", "", &sdp(5000)).await;
    desk.request("ACK").await;
    let bye = desk.request("BYE").await;
    desk.answer(&bye, 200, "", "", "").await;
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::Progressed { status: 180, .. }
    ));
    assert!(matches!(
        world.signal_of(leg).await,
        Signal::Answered { .. }
    ));
}

#[tokio::test]
async fn registrations_that_cannot_be_are_refused_with_their_status() {
    let world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;
    let contact = contact(&phone);

    for (extra, status) in [
        (format!("{contact}Expires: 30\r\n"), 423),
        ("Contact: *\r\n".to_owned(), 400),
        (format!("Contact: *\r\n{contact}Expires: 0\r\n"), 400),
        ("Contact: <mailto:x@y>\r\n".to_owned(), 400),
        (String::new(), 200),
    ] {
        let answer = Registration::of("204")
            .proven(&phone, &extra, "secret", false)
            .await;
        assert_eq!(answer.status(), status, "{extra}");
        if status == 423 {
            assert_eq!(answer.header("Min-Expires"), "60");
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_challenged_again_and_soon_refused() {
    let world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;

    // The answer to a guess is another challenge, until there have been too many.
    let mut guesses = 0;
    loop {
        let mut registration = Registration::of("204");
        let answer = registration
            .proven(&phone, &contact(&phone), "guess", false)
            .await;
        if answer.status() == 403 {
            break;
        }
        assert_eq!(answer.status(), 401);
        guesses += 1;
        assert!(guesses < 50, "guessing goes on");
    }
    assert!(guesses >= 5);
    assert!(world.sip.guard_counts().shut_out >= 1);
    // Neither another user there nor the same one elsewhere suffers from it.
    let answer = Registration::of("mia")
        .proven(&phone, &contact(&phone), "secret", false)
        .await;
    assert_eq!(answer.status(), 200);
    let elsewhere = Phone::at("127.0.0.9", world.udp).await;
    let answer = Registration::of("204")
        .proven(&elsewhere, &contact(&elsewhere), "secret", false)
        .await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn answers_to_challenges_that_nobody_was_given_shut_nobody_out() {
    let mut world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;
    let trunk = Phone::at("127.0.0.4", world.udp).await;
    let made_up = |user: &str, method: &str| {
        format!(
            "Authorization: Digest username=\"{user}\", realm=\"{REALM}\", \
             nonce=\"{:056x}\", uri=\"sip:{REALM}\", response=\"{method:0>32}\"\r\n",
            0xbad
        )
    };

    for _ in 0..20 {
        let forged = made_up("204", "REGISTER");
        let mut registration = Registration::of("204");
        phone.send(&registration.request(&phone, &forged)).await;
        let challenge = phone.expect(401).await;
        assert!(challenge.header("WWW-Authenticate").contains("stale=true"));
        let mut call = Call::new(&trunk, "+358401", "204");
        let forged = made_up("us", "INVITE");
        trunk
            .send(&call.request("INVITE", &forged, &sdp(4000)))
            .await;
        trunk.expect(401).await;
    }

    let answer = Registration::of("204")
        .proven(&phone, &contact(&phone), "secret", true)
        .await;
    assert_eq!(answer.status(), 200);
    let mut call = Call::new(&trunk, "+358401", "204");
    call_with_proof(&trunk, &mut call, "us", "them", false).await;
    world.invited().await;
    assert_eq!(world.sip.guard_counts().shut_out, 0);
}

#[tokio::test]
async fn a_phone_that_stumbles_over_the_better_algorithm_is_offered_the_old_one() {
    let world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;
    let mut old = Registration::of("204");
    old.agent = "baresip v1.0.0 (x86_64/linux)";
    let mut odd = Registration::of("204");
    let offers = async |registration: &mut Registration| {
        phone.send(&registration.request(&phone, "")).await;
        phone.expect(401).await.all("WWW-Authenticate").len()
    };

    assert_eq!(offers(&mut old).await, 1);
    assert_eq!(offers(&mut odd).await, 2);
    assert_eq!(offers(&mut odd).await, 1);
    let ok = odd.proven(&phone, &contact(&phone), "secret", false).await;
    assert_eq!(ok.status(), 200);
    assert_eq!(offers(&mut odd).await, 1);
    let mut new = Registration::of("204");
    let ok = new.proven(&phone, &contact(&phone), "secret", true).await;
    assert_eq!(ok.status(), 200);
    assert_eq!(offers(&mut new).await, 2);
}

#[tokio::test]
async fn nobody_registers_for_somebody_else() {
    let world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;
    let mut registration = Registration::of("204");

    phone.send(&registration.request(&phone, "")).await;
    let challenge = phone.expect(401).await;
    let as_mia = respond(&challenge, "mia", "secret", "REGISTER", true);
    phone
        .send(&registration.request(&phone, &format!("{as_mia}{}", contact(&phone))))
        .await;

    phone.expect(403).await;
}

#[tokio::test]
async fn a_registered_user_calls_with_proof_and_a_stranger_not_at_all() {
    let mut world = World::new().await;
    let phone = Phone::at("127.0.0.1", world.udp).await;

    let elsewhere = Phone::at("127.0.0.1", world.udp).await;
    let mut stranger = Call::new(&elsewhere, "stranger", "800");
    // Challenged as one who is known: nobody learns here who is.
    call_with_proof(&elsewhere, &mut stranger, "stranger", "guess", true).await;
    elsewhere.expect(401).await;

    let mut call = Call::new(&phone, "mia", "800");
    call_with_proof(&phone, &mut call, "mia", "secret", true).await;
    let (_, invitation) = world.invited().await;
    assert_eq!(
        invitation.origin,
        Origin::Registered(Identity::Supervisor {
            organisation: "acme".into(),
            user: "mia".into(),
        })
    );
    assert_eq!(&*invitation.dialled, "800");
}

#[tokio::test]
async fn a_fixed_contact_is_known_by_address_and_from() {
    let mut world = World::new().await;
    let pbx = Phone::at("127.0.0.3", world.udp).await;

    let mut call = Call::new(&pbx, "205", "+358409");
    pbx.send(&call.request("INVITE", "", &sdp(4000))).await;
    let (_, invitation) = world.invited().await;
    assert_eq!(
        invitation.origin,
        Origin::Contact {
            organisation: "acme".into(),
            extension: "205".into(),
        }
    );

    let mut other = Call::new(&pbx, "299", "+358409");
    pbx.send(&other.request("INVITE", "", &sdp(4000))).await;
    let (_, invitation) = world.invited().await;
    assert!(matches!(
        invitation.origin,
        Origin::Trunk { name, caller_id: CallerIdTrust::Untrusted, .. } if &*name == "pbx"
    ));
}

#[tokio::test]
async fn a_trunk_with_a_password_has_to_prove_it() {
    let mut world = World::new().await;
    let trunk = Phone::at("127.0.0.4", world.udp).await;
    let mut call = Call::new(&trunk, "+358401", "204");

    call_with_proof(&trunk, &mut call, "us", "them", false).await;

    let (_, invitation) = world.invited().await;
    assert_eq!(invitation.caller.as_deref(), Some("+358401"));
}

#[tokio::test]
async fn a_trunk_that_challenges_us_is_answered_once() {
    // The carrier is there first: its address stands in the settings.
    let carrier = Phone::at("127.0.0.4", "127.0.0.1:9".parse().unwrap()).await;
    let mut world = World::with(
        std::time::Duration::from_millis(500),
        Some(carrier.addr()),
        64,
    )
    .await;
    let carrier = Phone {
        socket: carrier.socket,
        server: world.udp,
    };
    let challenge = "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n1\", qop=\"auth\"\r\n";

    let leg = world.dial(Target::Trunk {
        name: "locked".into(),
        number: "+358409".into(),
    });
    let first = carrier.request("INVITE").await;
    assert!(first.uri().starts_with("sip:+358409@127.0.0.4:"));
    carrier.answer(&first, 401, "c", challenge, "").await;
    carrier.request("ACK").await;
    let second = carrier.request("INVITE").await;
    assert_eq!(second.header("CSeq"), "2 INVITE");
    assert_eq!(second.header("Call-ID"), first.header("Call-ID"));
    assert_ne!(second.header("Via"), first.header("Via"));
    let proof = second.header("Authorization");
    let ha1 = hash(Algorithm::Md5, "us:carrier:them");
    let ha2 = hash(Algorithm::Md5, &format!("INVITE:{}", second.uri()));
    let cnonce = field(proof, "cnonce");
    let expected = hash(
        Algorithm::Md5,
        &format!("{ha1}:n1:00000001:{cnonce}:auth:{ha2}"),
    );
    assert_eq!(field(proof, "response"), expected);
    carrier.answer(&second, 401, "c", challenge, "").await;

    assert!(matches!(
        world.signal_of(leg).await,
        Signal::Failed { status: 403, .. }
    ));
}
