//! The signalling edge with a test in the place of call control.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use sottovoce::control::directory::{Agent, Directory};
use sottovoce::control::input::{Consulted, Identity, Invitation, Network, Signal};
use sottovoce::control::output::{Dial, SignalCommand, Target};
use sottovoce::edge::sip::{
    Account, Algorithm, CallerIdPolicy, CredentialLookup, Credentials, Listener, Sip, SipHandle,
    SipSettings, Transport, Trunk, ha1,
};
use sottovoce::id::{LegId, RequestId};
use sottovoce::wire::sdp::SessionDescription;
use tokio::sync::mpsc;

use crate::phone::{Call, Message, PATIENCE, Phone, sdp};

pub const REALM: &str = "sottovoce.local";

pub struct World {
    pub sip: SipHandle,
    pub inbox: mpsc::Receiver<(LegId, Signal)>,
    pub udp: SocketAddr,
    pub tcp: SocketAddr,
    next_leg: u64,
}

/// The people of the tests: agent 204 and supervisor mia register, both with `secret`.
struct People;

#[async_trait::async_trait]
impl CredentialLookup for People {
    async fn credentials(&self, username: &str) -> Option<Credentials> {
        let organisation = "acme".into();
        let identity = match username {
            "204" => Identity::Agent {
                organisation,
                extension: "204".into(),
            },
            "mia" => Identity::Supervisor {
                organisation,
                user: "mia".into(),
            },
            _ => return None,
        };
        Some(Credentials {
            ha1_md5: ha1(Algorithm::Md5, username, REALM, "secret"),
            ha1_sha256: ha1(Algorithm::Sha256, username, REALM, "secret"),
            identity,
        })
    }
}

pub fn agent_204() -> Identity {
    Identity::Agent {
        organisation: "acme".into(),
        extension: "204".into(),
    }
}

/// 127.0.0.2, 127.0.0.22 and, in IPv6, this host are carriers, 127.0.0.3 the PBX with the fixed contact of agent 205, 127.0.0.4 a
/// trunk with a password.
fn trunks(carrier: Option<SocketAddr>) -> Vec<Trunk> {
    let trunk = |name: &str, ip: &str, network, caller_id| Trunk {
        name: name.into(),
        peers: vec![format!("{ip}/32").parse().expect("a net")],
        uri: match carrier {
            Some(addr) if ip == "127.0.0.2" || ip == "127.0.0.4" => format!("sip:{addr}").into(),
            _ => format!("sip:{ip}:5060").into(),
        },
        caller_id,
        network,
        account: None,
    };
    vec![
        Trunk {
            peers: ["::1/128", "127.0.0.22/32"]
                .map(|net| net.parse().expect("a net"))
                .to_vec(),
            ..trunk(
                "six",
                "127.0.0.6",
                Network::External,
                CallerIdPolicy::Trusted,
            )
        },
        trunk(
            "carrier",
            "127.0.0.2",
            Network::External,
            CallerIdPolicy::Trusted,
        ),
        trunk(
            "pbx",
            "127.0.0.3",
            Network::Internal,
            CallerIdPolicy::Untrusted,
        ),
        Trunk {
            account: Some(Account {
                username: "us".to_owned(),
                password: "them".to_owned(),
            }),
            ..trunk(
                "locked",
                "127.0.0.4",
                Network::External,
                CallerIdPolicy::Trusted,
            )
        },
    ]
}

fn directory() -> Arc<Directory> {
    let mut directory = Directory::default();
    let agent = Agent {
        organisation: "acme".into(),
        extension: "205".into(),
        name: "Aino".into(),
        pools: Vec::new(),
        contact: Some("sip:205@127.0.0.3:5060".into()),
        agent_notice: None,
    };
    directory
        .agents
        .insert(("acme".into(), "205".into()), agent);
    Arc::new(directory)
}

impl World {
    pub async fn new() -> Self {
        Self::with(Duration::from_millis(500), None, 64).await
    }

    pub async fn with(t1: Duration, carrier: Option<SocketAddr>, inbox: usize) -> Self {
        Self::at("127.0.0.1:0", t1, carrier, inbox).await
    }

    pub async fn at(addr: &str, t1: Duration, carrier: Option<SocketAddr>, inbox: usize) -> Self {
        let listen = [Transport::Udp, Transport::Tcp].map(|transport| Listener {
            transport,
            addr: addr.parse().expect("an address"),
        });
        let settings = SipSettings {
            listen: listen.to_vec(),
            domain: REALM.to_owned(),
            trunks: trunks(carrier),
            t1,
            ..SipSettings::default()
        };
        Self::start(settings, inbox).await
    }

    /// Where sessions may be as short as a second (RFC 4028 §4 wants 90).
    pub async fn of_short_sessions() -> Self {
        let listen = [Transport::Udp, Transport::Tcp].map(|transport| Listener {
            transport,
            addr: "127.0.0.1:0".parse().expect("an address"),
        });
        let settings = SipSettings {
            listen: listen.to_vec(),
            domain: REALM.to_owned(),
            trunks: trunks(None),
            shortest_session: Duration::from_secs(1),
            ..SipSettings::default()
        };
        Self::start(settings, 64).await
    }

    pub async fn start(settings: SipSettings, inbox: usize) -> Self {
        Self::try_start(settings, inbox)
            .await
            .expect("the edge starts")
    }

    pub async fn try_start(settings: SipSettings, inbox: usize) -> anyhow::Result<Self> {
        let (sender, inbox) = mpsc::channel(inbox);
        let ids = Arc::new(AtomicU64::new(1 << 40));
        let sip = Sip::start(settings, People, directory(), sender, ids).await?;
        let [udp, tcp] = [Transport::Udp, Transport::Tcp].map(|transport| {
            sip.local_addrs()
                .iter()
                .find(|listener| listener.transport == transport)
                .map_or_else(|| "127.0.0.1:9".parse().expect("an address"), |l| l.addr)
        });
        Ok(Self {
            sip,
            inbox,
            udp,
            tcp,
            next_leg: 1,
        })
    }

    pub async fn carrier(&self) -> Phone {
        Phone::at("127.0.0.2", self.udp).await
    }

    pub async fn signal(&mut self) -> (LegId, Signal) {
        tokio::time::timeout(PATIENCE, self.inbox.recv())
            .await
            .expect("a signal in time")
            .expect("the edge lives")
    }

    /// The next signal of that leg; those of others are lost.
    pub async fn signal_of(&mut self, leg: LegId) -> Signal {
        loop {
            let (from, signal) = self.signal().await;
            if from == leg {
                return signal;
            }
        }
    }

    pub async fn invited(&mut self) -> (LegId, Box<Invitation>) {
        match self.signal().await {
            (leg, Signal::Invited(invitation)) => (leg, invitation),
            other => panic!("an invitation expected: {other:?}"),
        }
    }

    pub fn dial(&mut self, target: Target) -> LegId {
        let leg = LegId(self.next_leg);
        self.next_leg += 1;
        let dial = Dial {
            target,
            caller: Some("+358401234567".into()),
            display_name: Some("Matti \"M\"".into()),
            sdp: Some(description(4000)),
            max_forwards: 69,
        };
        self.sip.send(leg, SignalCommand::Dial(Box::new(dial)));
        leg
    }

    pub fn dial_phone(&mut self, phone: &Phone) -> LegId {
        self.dial(Target::Uri(format!("sip:204@{}", phone.addr()).into()))
    }

    /// A phone that we call: the leg, and the INVITE that came.
    pub async fn ring(&mut self, phone: &Phone) -> (LegId, Message) {
        let leg = self.dial_phone(phone);
        (leg, phone.request("INVITE").await)
    }

    /// A call to a phone that stands, and the phone's side of it.
    pub async fn standing_out(&mut self, phone: &Phone) -> (LegId, Call) {
        let (leg, invite) = self.ring(phone).await;
        phone.answer(&invite, 200, "p", "", &sdp(5000)).await;
        let signal = self.signal_of(leg).await;
        assert!(matches!(signal, Signal::Answered { .. }), "{signal:?}");
        phone.request("ACK").await;
        (leg, Call::of_invite(phone, &invite, "p"))
    }

    /// A call from the carrier that has our 200 and did not acknowledge it yet.
    pub async fn answered(&mut self, carrier: &Phone) -> (LegId, Call) {
        let mut call = Call::new(carrier, "+358401", "204");
        carrier.send(&call.request("INVITE", "", &sdp(4000))).await;
        let (leg, _) = self.invited().await;
        self.sip.send(leg, answer());
        call.confirmed_by(&carrier.expect(200).await);
        (leg, call)
    }

    /// A call from the carrier that stands.
    pub async fn standing(&mut self, carrier: &Phone) -> (LegId, Call) {
        let (leg, call) = self.answered(carrier).await;
        carrier.send(&call.ack("")).await;
        self.acknowledged(leg).await;
        (leg, call)
    }

    /// The ACK of our 200, without an answer in it.
    pub async fn acknowledged(&mut self, leg: LegId) {
        let signal = self.signal_of(leg).await;
        let expected = matches!(signal, Signal::Acknowledged { sdp: None });
        assert!(expected, "an ACK expected: {signal:?}");
    }

    pub async fn reinvited(&mut self, leg: LegId) -> (RequestId, Option<SessionDescription>) {
        match self.signal_of(leg).await {
            Signal::Reinvited { request, sdp } => (request, sdp),
            other => panic!("a re-INVITE expected: {other:?}"),
        }
    }

    /// With a description of our own at that port.
    pub fn accept_reinvite(&self, leg: LegId, request: RequestId, port: u16) {
        let sdp = description(port);
        let accept = SignalCommand::AcceptReinvite { request, sdp };
        self.sip.send(leg, accept);
    }

    /// What a peer wants to be transferred to.
    pub async fn referred(&mut self, leg: LegId) -> (RequestId, Arc<str>, Option<Consulted>) {
        match self.signal_of(leg).await {
            Signal::Referred {
                request,
                target,
                consulted,
            } => (request, target, consulted),
            other => panic!("a transfer expected: {other:?}"),
        }
    }

    /// Waits until no leg is left.
    pub async fn is_empty(&self) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while self.sip.legs() > 0 {
            assert!(tokio::time::Instant::now() < end, "a leg is left");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub fn description(port: u16) -> SessionDescription {
    SessionDescription::parse(sdp(port).as_bytes()).expect("a description")
}

pub fn answer() -> SignalCommand {
    SignalCommand::Answer {
        sdp: description(6000),
    }
}
