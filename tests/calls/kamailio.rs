//! A real Kamailio between the phones and the service, set up as deploy/README.md says.
//!
//! `./run test` unpacks Debian's into `target/kamailio`. It runs on the configuration that it comes
//! with, into which the README's lines are put.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sottovoce::demo::media::Voice;
use sottovoce::demo::phone::{Line, Phone, PhoneConfig, PhoneError};
use sottovoce::demo::service::Service;
use sottovoce::demo::stage::{self, DESK, MOBILE, OFFICE};

use crate::scene::{
    AGENT_HZ, CUSTOMER_HZ, Folder, SUPERVISOR_HZ, answer_at, press, setup, share, start, stop,
    tones, wait_until,
};

const KAMAILIO: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66));
const UNPACKED: &str = "kamailio is unpacked (Debian package kamailio; ./run test unpacks it)";

struct Kamailio {
    child: Child,
    _folder: Folder,
}

impl Kamailio {
    fn start(at: SocketAddr, sottovoce: SocketAddr) -> Self {
        let folder = Folder::new("kamailio");
        let unpacked = share().join("target/kamailio");
        let stock = unpacked.join("etc/kamailio/kamailio.cfg");
        let stock = std::fs::read_to_string(stock).expect(UNPACKED);
        // One process for a socket is enough for a handful of calls.
        let stock = stock.replace("children=8", "children=1");
        let (before, lookup) = stock
            .split_once("route(LOCATION);")
            .expect("the stock configuration looks users up");
        let text = format!("{before}\n{}\nroute(LOCATION);{lookup}", recipe(sottovoce));
        let config = folder.path().join("kamailio.cfg");
        std::fs::write(&config, text).expect("written");
        let log = std::fs::File::create(folder.path().join("kamailio.log")).expect("a log");
        let libraries = libraries(&unpacked);
        let child = Command::new(unpacked.join("usr/sbin/kamailio"))
            .args([
                "-DD",
                "-E",
                "-m",
                "32",
                "-M",
                "4",
                "-l",
                &format!("udp:{at}"),
            ])
            .arg("-L")
            .arg(libraries.join("modules"))
            .arg("-f")
            .arg(&config)
            .arg("-Y")
            .arg(folder.path())
            .arg("-P")
            .arg(folder.path().join("kamailio.pid"))
            .env("LD_LIBRARY_PATH", &libraries)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect(UNPACKED);
        Self {
            child,
            _folder: folder,
        }
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        // Told, it ends its children as well; it may have ended by itself.
        if let Some(process) = rustix::process::Pid::from_raw(id) {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// Debian has a folder for each kind of machine.
fn libraries(unpacked: &Path) -> PathBuf {
    let mut machines = std::fs::read_dir(unpacked.join("usr/lib")).expect(UNPACKED);
    let of = |entry: std::io::Result<std::fs::DirEntry>| Some(entry.ok()?.path().join("kamailio"));
    machines
        .find_map(|entry| of(entry).filter(|folder| folder.is_dir()))
        .expect(UNPACKED)
}

/// The README's lines for Kamailio, with the address that the service has here.
fn recipe(sottovoce: SocketAddr) -> String {
    let path = share().join("deploy/README.md");
    let text = std::fs::read_to_string(path).expect("the page");
    let (_, section) = text.split_once("\n## Kamailio\n").expect("the section");
    let block = section.split("```").nth(1).expect("its lines");
    assert!(block.contains("sip:192.0.2.10:5060"), "{block}");
    block
        .replace("192.0.2.10:5060", &sottovoce.to_string())
        .replace("192.0.2.10", &sottovoce.ip().to_string())
}

/// Phones at a Kamailio that sends calls for agents through the service and gets them back.
struct Site {
    service: Service,
    agent: Phone,
    customer: Phone,
    mia: Phone,
    _kamailio: Kamailio,
    _folder: Folder,
}

impl Site {
    async fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let proxy = SocketAddr::new(KAMAILIO, stage::free_port(KAMAILIO).expect("a port"));
        let mut setup = setup(&folder);
        setup.trunks = format!(
            "[[trunk]]\nname = \"pbx\"\npeers = [\"{KAMAILIO}\"]\nuri = \"sip:{proxy}\"\n\
             caller_id = \"trusted\"\nnetwork = \"internal\"\n\n\
             [[route]]\nnumber = \"^2\\\\d\\\\d$\"\nto = \"agent\"\n"
        );
        // The PBX knows where its phones are.
        let registers = format!("password = \"{}\"", stage::AGENT_PASSWORD);
        assert!(setup.people.contains(&registers));
        let contact = format!("contact = \"sip:{}@{proxy}\"", stage::AGENT);
        setup.people = setup.people.replace(&registers, &contact);
        let service = start(&setup);
        let kamailio = Kamailio::start(proxy, service.sip);

        let agent = phone(stage::AGENT, DESK, proxy).await;
        agent.register().await.expect("204 registers at Kamailio");
        Self {
            service,
            agent,
            customer: phone("+358501112222", OFFICE, proxy).await,
            mia: phone(stage::MIA, MOBILE, proxy).await,
            _kamailio: kamailio,
            _folder: folder,
        }
    }
}

async fn phone(user: &str, ip: IpAddr, proxy: SocketAddr) -> Phone {
    let mut config = PhoneConfig::new(user, ip, proxy);
    config.domain = proxy.to_string();
    Phone::start(config).await.expect("a phone")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_kamailio_sends_through_is_held_supervised_and_ended() {
    let mut site = Site::new("proxy").await;
    let (customer, agent) =
        tokio::join!(site.customer.dial(stage::AGENT), answer_at(&mut site.agent));
    let customer = customer.expect("the call is answered");
    customer.media.say(Voice::Tone(CUSTOMER_HZ));
    agent.media.say(Voice::Tone(AGENT_HZ));
    wait_until("both hear each other", || {
        tones(&customer.media) == [AGENT_HZ] && tones(&agent.media) == [CUSTOMER_HZ]
    })
    .await;

    let mia = site
        .mia
        .dial(stage::SUPERVISING_NUMBER)
        .await
        .expect("800 answers");
    mia.media.say(Voice::Tone(SUPERVISOR_HZ));
    wait_until("the supervisor hears both", || {
        tones(&mia.media) == [CUSTOMER_HZ, AGENT_HZ]
    })
    .await;
    press(&mia, "4#").await;
    wait_until("the agent is coached", || {
        tones(&agent.media) == [CUSTOMER_HZ, SUPERVISOR_HZ]
    })
    .await;
    assert_eq!(tones(&customer.media), [AGENT_HZ]);
    mia.hang_up().await.expect("the supervisor hangs up");

    agent.reinvite("sendonly").await.expect("hold is accepted");
    wait_until("the customer is told", || is_told(&customer, "sendonly")).await;
    agent.reinvite("sendrecv").await.expect("and taken back");
    wait_until("the customer is told", || is_told(&customer, "sendrecv")).await;
    wait_until("both hear each other again", || {
        tones(&customer.media) == [AGENT_HZ] && tones(&agent.media) == [CUSTOMER_HZ]
    })
    .await;
    agent.hang_up().await.expect("the agent hangs up");
    customer.ended().await;
    stop(site.service);
}

fn is_told(line: &Line, direction: &str) -> bool {
    line.state().direction.as_deref() == Some(direction)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_up_behind_kamailio_silences_the_phone_behind_it() {
    let mut site = Site::new("proxy-cancel").await;
    let dialling = site.customer.start_dialling(stage::AGENT).await;
    let dialling = dialling.expect("dialling");
    let mut incoming = site.agent.incoming().await.expect("it rings");
    incoming.ring().await.expect("180");
    let mut status = dialling.status.clone();
    let rings = status.wait_for(|status| *status == 180).await;
    rings.expect("180 reaches the caller");

    let (cancelled, caller) = tokio::join!(incoming.cancelled(), dialling.cancel());

    assert!(cancelled.is_some(), "CANCEL reaches the agent");
    assert!(matches!(caller, Err(PhoneError::Refused(487))));
    stop(site.service);
}
