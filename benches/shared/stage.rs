//! Who is called, who supervises, and what the service is started with.

use std::fmt::Display;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use sottovoce::demo::service::Setup;

/// Where customers, agents and supervisors stand.
pub const SIDES: [Ipv4Addr; 3] = [
    Ipv4Addr::new(127, 0, 0, 81),
    Ipv4Addr::new(127, 0, 0, 82),
    Ipv4Addr::new(127, 0, 0, 83),
];
pub const PHONES_PORT: u16 = 5_080;
/// Extensions count from here.
pub const FIRST_EXTENSION: usize = 1_000;
pub const SUPERVISING_NUMBER: &str = "800";

/// An agent for each call; and for each of the first, so many, a supervisor who has that agent alone.
/// The service has one media thread, and speaks PCMU.
pub fn setup(dir: &Path, rtp_ports: &str, calls: usize, supervised: usize) -> Setup {
    let [customers, _, supervisors] = SIDES;
    Setup {
        dir: dir.to_owned(),
        share: Some(PathBuf::from(env!("CARGO_MANIFEST_DIR"))),
        trunks: trunk("customers", customers, "external")
            + &trunk("supervisors", supervisors, "internal")
            + "[[route]]\nnumber = \"^\\\\d{4,6}$\"\nto = \"agent\"\n",
        people: people(calls, supervised),
        rtp_ports: Some(rtp_ports.to_owned()),
        ends_with_us: true,
        ..Setup::default()
    }
    .line("rtp", "threads = 1")
    .line("media", "codecs = [\"PCMU\"]")
    .line("supervising", "pin = \"never\"")
}

pub fn trunk(name: &str, ip: impl Display, network: &str) -> String {
    format!(
        "[[trunk]]\nname = \"{name}\"\npeers = [\"{ip}\"]\nuri = \"sip:{ip}:{PHONES_PORT}\"\n\
         caller_id = \"trusted\"\nnetwork = \"{network}\"\n\n"
    )
}

fn people(calls: usize, supervised: usize) -> String {
    let agents = SIDES[1];
    let mut text = format!(
        "[[organisation]]\nid = \"bench\"\nname = \"Bench\"\n\
         supervising_numbers = [\"{SUPERVISING_NUMBER}\"]\nsupervision = true\n"
    );
    for call in 0..calls {
        let name = format!("pool-{call}");
        text += &pool(&name);
        text += &agent(FIRST_EXTENSION + call, &name, agents, PHONES_PORT);
    }
    for call in 0..supervised {
        text += &format!(
            "[[supervisor]]\norganisation = \"bench\"\nuser = \"s{call}\"\nname = \"S {call}\"\n\
             phone = \"{}\"\npools = [\"pool-{call}\"]\nmay = [\"monitor\", \"coach\", \"barge\"]\n",
            supervisor_phone(call)
        );
    }
    text
}

pub fn pool(name: &str) -> String {
    format!("[[pool]]\norganisation = \"bench\"\nname = \"{name}\"\n")
}

pub fn agent(extension: usize, pool: &str, ip: impl Display, port: u16) -> String {
    format!(
        "[[agent]]\norganisation = \"bench\"\nextension = \"{extension}\"\n\
         name = \"Agent {extension}\"\npools = [\"{pool}\"]\n\
         contact = \"sip:{extension}@{ip}:{port}\"\n"
    )
}

pub fn supervisor_phone(call: usize) -> String {
    format!("+35840{:07}", 1_000_000 + call)
}

pub fn customer_phone(call: usize) -> String {
    format!("+35850{:07}", 1_000_000 + call)
}
