//! `sottovoce demo`: a supervisor dials in, presses the keys, and every ear is measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::demo::ear::{Hearing, hearing};
use crate::demo::keep::{self, Phones};
use crate::demo::media::{Codec, Media, PacketNote, RATE_HZ, Voice};
use crate::demo::phone::{Line, Phone, PhoneConfig};
use crate::demo::service::{Service, Setup};
use crate::demo::stage::{self, MOBILE, OFFICE};
use crate::demo::voices;
use crate::edge::clock;
use crate::edge::service::Signals;

/// After a command, until its confirmation has been spoken.
const SETTLE: Duration = Duration::from_millis(2000);
/// How long each role is measured.
const MEASURE: Duration = Duration::from_millis(3000);

/// What the demo was asked to do.
#[derive(Clone, Debug)]
pub struct Demo {
    /// Where the WAV files go.
    pub out: PathBuf,
    /// Commands, one after another: `4#`, `5#`, …
    pub keys: Vec<String>,
    /// Stay when the measuring is done.
    pub keep: bool,
    /// The program to start as the service.
    pub exe: PathBuf,
    pub share: Option<PathBuf>,
}

/// The people on the call, by the names that the table uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Person {
    Agent,
    Customer,
    Supervisor,
}

impl Person {
    const ALL: [Self; 3] = [Self::Agent, Self::Customer, Self::Supervisor];

    fn name(self) -> &'static str {
        match self {
            Person::Agent => "agent",
            Person::Customer => "customer",
            Person::Supervisor => "supervisor",
        }
    }
}

/// What the contract allows each ear in each state.
fn contract(state: &str) -> Option<[(Person, Vec<Person>); 3]> {
    use Person::{Agent, Customer, Supervisor};
    let (agent, customer, supervisor) = match state {
        "monitor" => (vec![Customer], vec![Agent], vec![Agent, Customer]),
        "coach" => (
            vec![Customer, Supervisor],
            vec![Agent],
            vec![Agent, Customer],
        ),
        "whisper to caller" => (
            vec![Customer],
            vec![Agent, Supervisor],
            vec![Agent, Customer],
        ),
        "barge" => (
            vec![Customer, Supervisor],
            vec![Agent, Supervisor],
            vec![Agent, Customer],
        ),
        "takeover" => (vec![], vec![Supervisor], vec![Customer]),
        _ => return None,
    };
    Some([
        (Agent, agent),
        (Customer, customer),
        (Supervisor, supervisor),
    ])
}

/// The state a command leads to, if it is a role.
fn state_of(keys: &str) -> Option<&'static str> {
    Some(match keys {
        "4#" => "coach",
        "5#" => "monitor",
        "6#" | "0#" => "barge",
        "8#" => "whisper to caller",
        "1#" => "takeover",
        _ => return None,
    })
}

struct Clock {
    began: Instant,
}

impl Clock {
    fn say(&self, text: &str) {
        let seconds = clock::now().duration_since(self.began).as_secs_f64();
        println!("{seconds:8.2} s  {text}");
    }
}

/// Runs the demo; an error when a measured role does not match its contract. Asked to end, it ends
/// its service first.
pub async fn run(demo: Demo) -> anyhow::Result<()> {
    std::fs::create_dir_all(&demo.out)
        .with_context(|| format!("creating {}", demo.out.display()))?;
    // Rung by call-me where the demo stays, so that the service has to know where it is.
    let mobile_port = stage::free_port(MOBILE)?;
    let mut signals = Signals::new()?;
    let service = start(&demo, mobile_port)?;
    let (phones, all_right) = tokio::select! {
        shown = show(&demo, &service, mobile_port) => shown?,
        name = signals.next() => bail!("{name} before every role was measured"),
    };
    if demo.keep {
        keep::stay(&demo, &service, phones, &mut signals).await?;
    }
    service.stop()?;
    if !all_right {
        bail!("what was heard is not what was agreed");
    }
    println!("Every ear heard what its role allows, and nothing else.");
    Ok(())
}

/// Measures every role. The phones, and whether what was heard is what was agreed.
async fn show(demo: &Demo, service: &Service, mobile_port: u16) -> anyhow::Result<(Phones, bool)> {
    let clock = Clock {
        began: clock::now(),
    };
    clock.say(&format!(
        "service ready: SIP {}, console http://{}/",
        service.sip, service.http
    ));

    let mut agent_phone = stage::agent(service, stage::AGENT, stage::AGENT_PASSWORD).await?;
    clock.say("agent 204 (Aino) has registered");
    let customer_phone = stage::phone(service, "+358501112222", OFFICE).await?;
    let mut mobile = PhoneConfig::new(stage::MIA, MOBILE, service.sip);
    mobile.port = mobile_port;
    let supervisor_phone = Phone::start(mobile).await?;

    let call = stage::converse(&customer_phone, &mut agent_phone, stage::AGENT).await?;
    stage::wait_for_sound(&call.agent.media).await?;
    stage::wait_for_sound(&call.customer.media).await?;
    clock.say("the customer calls agent 204, who answers; they hear each other");
    tokio::time::sleep(Duration::from_secs(1)).await;

    let supervisor = supervisor_phone
        .dial(stage::SUPERVISING_NUMBER)
        .await
        .context("the supervisor's call to 800")?;
    let answered = clock::now();
    supervisor.media.say(Voice::Loop(voices::supervisor()));
    stage::wait_for_sound(&supervisor.media).await?;
    clock.say(&format!(
        "Mia dials 800 from {}: answered, and hears the call after {} ms",
        stage::MIA,
        clock::now().duration_since(answered).as_millis()
    ));

    println!();
    println!(
        "{:<18} {:<26} {:<26} {:<26} as agreed",
        "role", "agent hears", "customer hears", "supervisor hears"
    );
    let ears = Ears {
        agent: &call.agent,
        customer: &call.customer,
        supervisor: &supervisor,
    };
    let mut all_right = ears.measure_role("monitor").await;
    for keys in &demo.keys {
        supervisor.press(keys, supervisor.usual_keys()).await?;
        match state_of(keys) {
            Some(state) => all_right &= ears.measure_role(state).await,
            None => {
                tokio::time::sleep(SETTLE + MEASURE).await;
                println!("{keys:<18} (no role of its own)");
            }
        }
    }
    println!();

    all_right &= ears.check_streams();
    ears.write_wavs(&demo.out)?;
    println!(
        "Listen: {0}/agent.wav, {0}/customer.wav, {0}/supervisor.wav",
        demo.out.display()
    );

    // Who has hung up already is not asked again.
    let _ = supervisor.hang_up().await;
    let _ = call.customer.hang_up().await;
    let _ = call.agent.hang_up().await;
    let phones = Phones {
        customer: customer_phone,
        agent: agent_phone,
        supervisor: supervisor_phone,
    };
    Ok((phones, all_right))
}

fn start(demo: &Demo, mobile_port: u16) -> anyhow::Result<Service> {
    let mut setup = stage::fresh_setup(&demo.out.join("service"))?;
    setup.trunks = stage::trunks_with(mobile_port);
    setup.share = demo.share.clone();
    // Even of a demo that is killed no service is left.
    setup.ends_with_us = true;
    if demo.keep {
        // A softphone and a browser are easier to point at well-known ports, where these are free.
        let usual = Setup {
            sip_port: Some(5060),
            http_port: Some(8080),
            ..setup.clone()
        };
        if std::net::UdpSocket::bind("127.0.0.1:5060").is_ok()
            && std::net::TcpListener::bind("127.0.0.1:5060").is_ok()
            && std::net::TcpListener::bind("127.0.0.1:8080").is_ok()
        {
            return Service::start(&demo.exe, &usual);
        }
    }
    Service::start(&demo.exe, &setup)
}

struct Ears<'a> {
    agent: &'a Line,
    customer: &'a Line,
    supervisor: &'a Line,
}

impl Ears<'_> {
    fn media(&self, person: Person) -> &Media {
        match person {
            Person::Agent => &self.agent.media,
            Person::Customer => &self.customer.media,
            Person::Supervisor => &self.supervisor.media,
        }
    }

    /// Measures one role, prints its row, and says whether it is as agreed.
    async fn measure_role(&self, state: &str) -> bool {
        tokio::time::sleep(SETTLE).await;
        let from = clock::now();
        tokio::time::sleep(MEASURE).await;
        // What was said last has arrived by now.
        let to = clock::now() - Duration::from_millis(100);
        let Some(agreed) = contract(state) else {
            return false;
        };
        let mut cells = Vec::new();
        let mut right = true;
        for (listener, allowed) in agreed {
            let heard = self.heard_by(listener, from, to);
            let voices: Vec<Person> = heard
                .iter()
                .filter(|(_, hearing)| hearing.heard())
                .map(|(speaker, _)| *speaker)
                .collect();
            right &= voices == allowed;
            let names: Vec<&str> = voices.iter().map(|person| person.name()).collect();
            cells.push(if names.is_empty() {
                "nobody".to_owned()
            } else {
                names.join(" + ")
            });
        }
        println!(
            "{state:<18} {:<26} {:<26} {:<26} {}",
            cells[0],
            cells[1],
            cells[2],
            if right { "yes" } else { "NO" }
        );
        right
    }

    fn heard_by(&self, listener: Person, from: Instant, to: Instant) -> BTreeMap<Person, Hearing> {
        let ear = self.media(listener).heard();
        Person::ALL
            .into_iter()
            .filter(|speaker| *speaker != listener)
            .map(|speaker| {
                (
                    speaker,
                    hearing(&ear, &self.media(speaker).said(), from, to),
                )
            })
            .collect()
    }

    /// Towards each party the RTP stream ran on unbroken, and no re-INVITE was sent.
    fn check_streams(&self) -> bool {
        let mut right = true;
        for (name, line) in [("agent", self.agent), ("customer", self.customer)] {
            let breaks = breaks(&line.media.packets());
            let reinvites = line.state().reinvites;
            right &= breaks.is_empty() && reinvites == 0;
            println!(
                "RTP towards the {name}: {} packets, one SSRC, {} breaks in numbering, {reinvites} re-INVITEs",
                line.media.packet_count(),
                breaks.len()
            );
            for text in breaks.iter().take(5) {
                println!("    {text}");
            }
        }
        right
    }

    fn write_wavs(&self, out: &Path) -> anyhow::Result<()> {
        for person in Person::ALL {
            write_wav(
                &out.join(format!("{}.wav", person.name())),
                &self.media(person).heard().samples,
            )?;
        }
        Ok(())
    }
}

/// Where a stream's own numbers do not run on: another SSRC, a sequence that is not the next, a
/// timestamp that is not one frame further.
pub fn breaks(packets: &[PacketNote]) -> Vec<String> {
    let audio: Vec<&PacketNote> = packets
        .iter()
        .filter(|packet| Codec::of_payload_type(packet.payload_type).is_some())
        .collect();
    audio
        .windows(2)
        .filter_map(|pair| {
            let (before, after) = (pair[0], pair[1]);
            let sequence = after.sequence.wrapping_sub(before.sequence);
            let timestamp = after.timestamp.wrapping_sub(before.timestamp);
            let unbroken =
                before.ssrc == after.ssrc && sequence == 1 && timestamp == 160;
            (!unbroken).then(|| {
                format!(
                    "after sequence {}: SSRC {:08x} to {:08x}, sequence +{sequence}, timestamp +{timestamp}",
                    before.sequence, before.ssrc, after.ssrc
                )
            })
        })
        .collect()
}

/// Writes samples as 8 kHz mono.
pub fn write_wav(path: &Path, samples: &[i16]) -> anyhow::Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE_HZ as u32,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)
        .with_context(|| format!("writing {}", path.display()))?;
    for sample in samples {
        writer.write_sample(*sample)?;
    }
    writer.finalize()?;
    Ok(())
}
