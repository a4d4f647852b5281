//! A service with the people of two organisations, and phones at addresses of the test's own.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use sottovoce::demo::media::Voice;
use sottovoce::demo::phone::{Line, Phone, PhoneConfig};
use sottovoce::demo::service::{Service, Setup};
use sottovoce::demo::stage::{self, Conversation, OFFICE};

use crate::client::{Client, text_of};
use crate::scene::{self, AGENT_HZ, CUSTOMER_HZ, Folder, SUPERVISOR_HZ, hears, wait_until};

pub const CUSTOMER: &str = "+358501112222";
pub const MIA: &str = stage::MIA;
pub const ROOT_PASSWORD: &str = "root of all";
/// Where SIP telephones of the supervisor's listen.
const SIP_PORT: u16 = 5060;

/// A service, and who is on it. Phones that are dropped answer nothing more.
pub struct World {
    pub service: Service,
    /// Behind the external trunk: Mia's mobile, which is rung and which dials.
    pub mobile: Phone,
    /// Two telephones of Mia's inside.
    pub desk: Phone,
    pub softphone: Phone,
    pub customer: Phone,
    agents: Vec<(String, Phone)>,
    mobile_ip: IpAddr,
    _folder: Folder,
}

/// Customer and agent, who talk.
pub struct Talk {
    pub id: String,
    pub customer: Line,
    pub agent: Line,
}

impl World {
    pub async fn new(name: &str) -> Self {
        Self::with(name, |setup| setup).await
    }

    pub async fn with(name: &str, change: impl FnOnce(Setup) -> Setup) -> Self {
        let folder = Folder::new(&format!("web-{name}"));
        let [mobile_ip, desk_ip, soft_ip] = own_addresses();
        let mut setup = scene::setup(&folder);
        setup.trunks = stage::trunks().replace(&stage::MOBILE.to_string(), &mobile_ip.to_string());
        setup.people = people(desk_ip, soft_ip);
        let service = scene::start(&change(setup));
        let mobile = phone_at(&service, MIA, mobile_ip, SIP_PORT).await;
        let desk = phone_at(&service, "mia", desk_ip, SIP_PORT).await;
        let softphone = phone_at(&service, "mia", soft_ip, SIP_PORT).await;
        let customer = phone_at(&service, CUSTOMER, OFFICE, 0).await;
        let mut agents = Vec::new();
        for (extension, password) in [
            ("204", "aino-204"),
            ("205", "onni-205"),
            ("251", "sara-251"),
        ] {
            let phone = stage::agent(&service, extension, password).await.unwrap();
            agents.push((extension.to_owned(), phone));
        }
        Self {
            service,
            mobile,
            desk,
            softphone,
            customer,
            agents,
            mobile_ip,
            _folder: folder,
        }
    }

    /// The customer calls an agent, who answers.
    pub async fn converse(&mut self, extension: &str) -> Conversation {
        let mut agents = self.agents.iter_mut();
        let (_, phone) = agents
            .find(|(known, _)| *known == extension)
            .expect("an agent of the world");
        stage::converse(&self.customer, phone, extension)
            .await
            .unwrap()
    }

    /// The customer calls an agent, and both are heard.
    pub async fn talk(&mut self, extension: &str) -> Talk {
        let boss = if extension == "251" { "sam" } else { "mia" };
        let boss = self.client(boss).await;
        let calls_of_agent = format!("/api/v1/calls?agent={extension}");
        let before = boss.get(&calls_of_agent).await.expect(200);
        let call = self.converse(extension).await;
        call.customer.media.say(Voice::Tone(CUSTOMER_HZ));
        call.agent.media.say(Voice::Tone(AGENT_HZ));
        wait_until("both parties hear each other", || {
            hears(&call.customer.media, AGENT_HZ) && hears(&call.agent.media, CUSTOMER_HZ)
        })
        .await;
        let known = |id: &Value| list(&before, "calls").iter().any(|call| call["id"] == *id);
        let new = |seen: &Value| {
            let mut calls = list(seen, "calls").iter();
            calls
                .find(|call| !known(&call["id"]))
                .map(|call| text_of(&call["id"]))
        };
        let seen = boss.until(&calls_of_agent, |seen| new(seen).is_some());
        Talk {
            id: new(&seen.await).expect("it was there"),
            customer: call.customer,
            agent: call.agent,
        }
    }

    /// Somebody of the world, signed in: a user name, an extension, or `root`.
    pub async fn client(&self, user: &str) -> Client {
        if user == "root" {
            add_root(&self.service);
        }
        Client::sign_in(&self.service, user, password_of(user)).await
    }

    /// Mia's mobile dials the supervising number.
    pub async fn dial_in(&self) -> Line {
        let line = self.mobile.dial(stage::SUPERVISING_NUMBER).await.unwrap();
        line.media.say(Voice::Tone(SUPERVISOR_HZ));
        line
    }

    /// A phone behind the mobile network, beside Mia's own.
    pub async fn mobile_of(&self, number: &str) -> Phone {
        phone_at(&self.service, number, self.mobile_ip, 0).await
    }

    /// Mia is called at her desk and listens; the session.
    pub async fn listen(&mut self, mia: &Client, call: &str) -> (String, Line) {
        let path = format!("/api/v1/calls/{call}/sessions");
        let device = json!({"device": self.desk_uri()});
        let called = mia.post(&path, device).await.expect(202);
        assert_eq!(called["state"], "ringing");
        let line = self.desk.incoming().await.unwrap().answer().await.unwrap();
        line.media.say(Voice::Tone(SUPERVISOR_HZ));
        let session = text_of(&called["id"]);
        state_is(mia, &session, "monitor").await;
        wait_until("the supervisor hears both", || {
            hears(&line.media, CUSTOMER_HZ) && hears(&line.media, AGENT_HZ)
        })
        .await;
        (session, line)
    }

    pub fn desk_uri(&self) -> String {
        format!("sip:mia@{}", self.desk.local())
    }

    pub fn stop(self) {
        scene::stop(self.service);
    }
}

/// An administrator, made as administrators are made; one who is there stays.
pub fn add_root(service: &Service) {
    let _ = service.add_administrator(scene::exe(), "root", ROOT_PASSWORD);
}

/// Waits until a session is in this state.
pub async fn state_is(client: &Client, session: &str, state: &str) {
    let path = format!("/api/v1/sessions/{session}");
    client.until(&path, |seen| seen["state"] == state).await;
}

/// Waits until one's own session is live; the session.
pub async fn own_session(client: &Client) -> Value {
    let is_mine = |session: &&Value| session["mine"] == true;
    let own = |seen: &Value| list(seen, "sessions").iter().find(is_mine).cloned();
    let seen = client.until("/api/v1/sessions", |seen| own(seen).is_some());
    own(&seen.await).expect("it was there")
}

/// The rows of an answer.
pub fn list<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    let rows = answer[name].as_array();
    rows.unwrap_or_else(|| panic!("{answer} has no {name}"))
}

/// Rows of the audit with this action and outcome.
pub fn audited_as(service: &Service, action: &str, outcome: &str) -> usize {
    let text = scene::audit_csv(service);
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| head.iter().position(|known| *known == name).unwrap();
    let (actions, outcomes) = (column("action"), column("outcome"));
    lines
        .map(|line| line.split(',').collect::<Vec<_>>())
        .filter(|cells| cells[actions] == action && cells[outcomes] == outcome)
        .count()
}

async fn phone_at(service: &Service, user: &str, ip: IpAddr, port: u16) -> Phone {
    let mut config = PhoneConfig::new(user, ip, service.sip);
    config.port = port;
    Phone::start(config).await.unwrap()
}

/// Loopback addresses that no other test uses: of this process, and of its next worlds.
fn own_addresses() -> [IpAddr; 3] {
    static WORLDS: AtomicU32 = AtomicU32::new(0);
    let world = WORLDS.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    [0, 1, 2].map(|phone| {
        let [_, _, high, low] = process.to_be_bytes();
        let last = u8::try_from(world % 60 * 4 + phone + 1).unwrap();
        IpAddr::V4(Ipv4Addr::new(127, 100 + (high & 0x3f), low, last))
    })
}

pub fn password_of(user: &str) -> &'static str {
    match user {
        "204" => "aino-204",
        "205" => "onni-205",
        "251" => "sara-251",
        "401" => "bea-401",
        "mia" => "mia-demo",
        "leo" => "leo-demo",
        "sam" => "sam-demo",
        "una" => "una-demo",
        "kim" => "kim-demo",
        "bob" => "bob-demo",
        "quinn" => "quinn-demo",
        "root" => ROOT_PASSWORD,
        other => panic!("{other} is nobody"),
    }
}

/// Acme with two pools, Beta, and Quiet, which does not supervise.
fn people(desk: IpAddr, softphone: IpAddr) -> String {
    let everything = r#"["monitor", "coach", "whisper_caller", "barge", "takeover", "hang_up"]"#;
    let mut text = String::new();
    for (id, name, number, supervision) in [
        ("acme", "Acme", "800", true),
        ("beta", "Beta", "900", true),
        ("quiet", "Quiet", "700", false),
    ] {
        text += &format!(
            "[[organisation]]\nid = \"{id}\"\nname = \"{name}\"\n\
             supervising_numbers = [\"{number}\"]\nsupervision = {supervision}\n"
        );
    }
    for (organisation, pool) in [
        ("acme", "support"),
        ("acme", "sales"),
        ("beta", "support"),
        ("quiet", "support"),
    ] {
        text += &format!("[[pool]]\norganisation = \"{organisation}\"\nname = \"{pool}\"\n");
    }
    for (organisation, extension, name, pool) in [
        ("acme", "204", "Aino", "support"),
        ("acme", "205", "Onni", "support"),
        ("acme", "251", "Sara", "sales"),
        ("beta", "401", "Bea", "support"),
    ] {
        let password = password_of(extension);
        text += &format!(
            "[[agent]]\norganisation = \"{organisation}\"\nextension = \"{extension}\"\n\
             name = \"{name}\"\npools = [\"{pool}\"]\npassword = \"{password}\"\n"
        );
    }
    // One who has no password cannot register.
    text += "[[agent]]\norganisation = \"acme\"\nextension = \"206\"\nname = \"Ilmo\"\n\
             pools = [\"support\"]\n";
    let devices = format!(
        r#"devices = ["sip:mia@{desk}:{SIP_PORT}", "sip:mia@{softphone}:{SIP_PORT}", "{MIA}"]"#
    );
    for (organisation, user, phone, pool, may, more) in [
        ("acme", "mia", MIA, "support", everything, devices.as_str()),
        ("acme", "leo", stage::LEO, "support", everything, ""),
        ("acme", "sam", "+358405550001", "sales", everything, ""),
        // An agent of the pool herself.
        (
            "acme",
            "una",
            "+358405550002",
            "support",
            everything,
            "agent = \"205\"",
        ),
        (
            "acme",
            "kim",
            "+358405550003",
            "support",
            r#"["monitor"]"#,
            "",
        ),
        ("beta", "bob", "+358405550004", "support", everything, ""),
        ("quiet", "quinn", "+358405550005", "support", everything, ""),
    ] {
        let password = password_of(user);
        text += &format!(
            "[[supervisor]]\norganisation = \"{organisation}\"\nuser = \"{user}\"\n\
             name = \"{user}\"\nphone = \"{phone}\"\ndefault_country = \"FI\"\npin = \"4711\"\n\
             password = \"{password}\"\npools = [\"{pool}\"]\nmay = {may}\n{more}\n"
        );
    }
    text
}
