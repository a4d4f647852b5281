//! Who is called, who supervises, and what the service is started with.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use sottovoce::demo::service::Setup;
use sottovoce::edge::rtp::engine::EngineKind;

/// Where customers, agents and supervisors stand.
pub const SIDES: [Ipv4Addr; 3] = [
    Ipv4Addr::new(127, 0, 0, 91),
    Ipv4Addr::new(127, 0, 0, 92),
    Ipv4Addr::new(127, 0, 0, 93),
];
pub const PHONES_PORT: u16 = 5_080;
/// Extensions count from here.
pub const FIRST_EXTENSION: usize = 1_000;
pub const SUPERVISING_NUMBER: &str = "800";

pub fn setup(dir: &Path, engine: EngineKind, calls: usize) -> Setup {
    Setup {
        dir: dir.to_owned(),
        share: Some(PathBuf::from(env!("CARGO_MANIFEST_DIR"))),
        trunks: trunks(),
        people: people(calls),
        rtp_ports: Some("10000-32767".to_owned()),
        ends_with_us: true,
        ..Setup::default()
    }
    .line("rtp", "threads = 1")
    .line("rtp", &format!("io = \"{engine}\""))
    .line("media", "codecs = [\"PCMU\"]")
    .line("supervising", "pin = \"never\"")
}

fn trunks() -> String {
    let [customers, _, supervisors] = SIDES;
    let trunk = |name: &str, ip: Ipv4Addr, network: &str| {
        format!(
            "[[trunk]]\nname = \"{name}\"\npeers = [\"{ip}\"]\nuri = \"sip:{ip}:{PHONES_PORT}\"\n\
             caller_id = \"trusted\"\nnetwork = \"{network}\"\n\n"
        )
    };
    trunk("customers", customers, "external")
        + &trunk("supervisors", supervisors, "internal")
        + "[[route]]\nnumber = \"^\\\\d{4,6}$\"\nto = \"agent\"\n"
}

/// An agent for each call, and a supervisor who has that agent alone.
fn people(calls: usize) -> String {
    let agents = SIDES[1];
    let mut text = format!(
        "[[organisation]]\nid = \"bench\"\nname = \"Bench\"\n\
         supervising_numbers = [\"{SUPERVISING_NUMBER}\"]\nsupervision = true\n"
    );
    for call in 0..calls {
        let extension = FIRST_EXTENSION + call;
        text += &format!(
            "[[pool]]\norganisation = \"bench\"\nname = \"pool-{call}\"\n\
             [[agent]]\norganisation = \"bench\"\nextension = \"{extension}\"\n\
             name = \"Agent {call}\"\npools = [\"pool-{call}\"]\n\
             contact = \"sip:{extension}@{agents}:{PHONES_PORT}\"\n\
             [[supervisor]]\norganisation = \"bench\"\nuser = \"s{call}\"\nname = \"S {call}\"\n\
             phone = \"{}\"\npools = [\"pool-{call}\"]\nmay = [\"monitor\", \"coach\", \"barge\"]\n",
            supervisor_phone(call)
        );
    }
    text
}

pub fn supervisor_phone(call: usize) -> String {
    format!("+35840{:07}", 1_000_000 + call)
}
