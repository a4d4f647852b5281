//! The stage of the demo and of many tests: a service with one organisation, an on-net customer,
//! agents who register, supervisors who dial from a mobile network.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::demo::media::{Media, Voice};
use crate::demo::phone::{Line, Phone, PhoneConfig};
use crate::demo::service::{Service, Setup};
use crate::demo::voices;
use crate::edge::clock;

/// Behind the internal trunk `office`: its callers are on-net.
pub const OFFICE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 51));
/// Behind the external trunk `mobile`, whose caller IDs are trusted.
pub const MOBILE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 52));
/// Phones that register.
pub const DESK: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53));

/// How long what is sure to come is waited for: a busy machine takes its time.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const SUPERVISING_NUMBER: &str = "800";
pub const AGENT: &str = "204";
pub const SECOND_AGENT: &str = "205";
pub const AGENT_PASSWORD: &str = "aino-204";
pub const MIA: &str = "+358401234567";
pub const LEO: &str = "+358407654321";
pub const MIA_PASSWORD: &str = "mia-demo";

/// Trunks and routes of the stage.
pub fn trunks() -> String {
    trunks_with(5060)
}

/// The same, with calls for the mobile network sent to this port.
pub fn trunks_with(mobile_port: u16) -> String {
    format!(
        r#"[[trunk]]
name = "office"
peers = ["{OFFICE}"]
uri = "sip:{OFFICE}:5060"
caller_id = "trusted"
network = "internal"

[[trunk]]
name = "mobile"
peers = ["{MOBILE}"]
uri = "sip:{MOBILE}:{mobile_port}"
caller_id = "trusted"
network = "external"

[[route]]
number = "^2\\d\\d$"
to = "agent"

[[route]]
number = "^support$"
to = "pool:support"

[[route]]
number = "^\\+?\\d{{5,}}$"
to = "trunk:mobile"
"#
    )
}

/// The people of the stage: agents 204 and 205, supervisors Mia and Leo.
pub fn people() -> String {
    let everything = r#"["monitor", "coach", "whisper_caller", "barge", "takeover", "hang_up"]"#;
    format!(
        r#"[[organisation]]
id = "acme"
name = "Acme"
supervising_numbers = ["{SUPERVISING_NUMBER}"]
supervision = true

[[pool]]
organisation = "acme"
name = "support"

[[agent]]
organisation = "acme"
extension = "{AGENT}"
name = "Aino"
pools = ["support"]
password = "{AGENT_PASSWORD}"

[[agent]]
organisation = "acme"
extension = "{SECOND_AGENT}"
name = "Onni"
pools = ["support"]
password = "onni-205"

[[supervisor]]
organisation = "acme"
user = "mia"
name = "Mia"
phone = "{MIA}"
default_country = "FI"
devices = ["{MIA}"]
sip_password = "{MIA_PASSWORD}"
password = "{MIA_PASSWORD}"
pin = "4711"
pools = ["support"]
may = {everything}

[[supervisor]]
organisation = "acme"
user = "leo"
name = "Leo"
phone = "{LEO}"
default_country = "FI"
password = "leo-demo"
pin = "1147"
pools = ["support"]
may = {everything}
"#
    )
}

/// As [`setup`], in a folder from which what an earlier run left has been removed.
pub fn fresh_setup(dir: &Path) -> anyhow::Result<Setup> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error)
            .with_context(|| format!("removing what an earlier run left in {}", dir.display())),
        _ => Ok(setup(dir)),
    }
}

/// A setup with the stage's trunks and people.
pub fn setup(dir: &Path) -> Setup {
    Setup {
        dir: dir.to_owned(),
        trunks: trunks(),
        people: people(),
        ..Setup::default()
    }
}

/// A phone of the stage.
pub async fn phone(service: &Service, user: &str, ip: IpAddr) -> anyhow::Result<Phone> {
    Ok(Phone::start(PhoneConfig::new(user, ip, service.sip)).await?)
}

/// A UDP port of this address that nobody has now.
pub fn free_port(ip: IpAddr) -> std::io::Result<u16> {
    Ok(UdpSocket::bind((ip, 0))?.local_addr()?.port())
}

/// An agent's phone, registered.
pub async fn agent(service: &Service, extension: &str, password: &str) -> anyhow::Result<Phone> {
    let mut config = PhoneConfig::new(extension, DESK, service.sip);
    config.password = Some(password.to_owned());
    let phone = Phone::start(config).await?;
    phone
        .register()
        .await
        .with_context(|| format!("registering agent {extension}"))?;
    Ok(phone)
}

/// A conversation under way.
pub struct Conversation {
    pub customer: Line,
    pub agent: Line,
}

/// The customer dials the agent, who answers; both begin to speak.
pub async fn converse(
    customer: &Phone,
    agent: &mut Phone,
    extension: &str,
) -> anyhow::Result<Conversation> {
    let dialling = customer.start_dialling(extension).await?;
    let incoming = tokio::time::timeout(PATIENCE, agent.incoming())
        .await
        .context("the agent's phone did not ring")?
        .context("the agent's phone has stopped")?;
    incoming.ring().await?;
    let agent = incoming
        .answer()
        .await
        .context("answering at the agent's phone")?;
    let customer = dialling.answered().await.context("the customer's call")?;
    customer.media.say(Voice::Loop(voices::customer()));
    agent.media.say(Voice::Loop(voices::agent()));
    Ok(Conversation { customer, agent })
}

/// Waits until a phone hears something.
pub async fn wait_for_sound(media: &Media) -> anyhow::Result<()> {
    let end = clock::now() + PATIENCE;
    while clock::now() < end {
        if media
            .heard()
            .samples
            .iter()
            .any(|sample| sample.unsigned_abs() > 200)
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("nothing was heard within {PATIENCE:?}")
}
