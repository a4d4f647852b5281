//! Who hears whom: what the contract allows each ear, and what the received audio says.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;

use crate::demo::ear::{Hearing, hearing};
use crate::demo::media::{Codec, Media, PacketNote, RATE_HZ};
use crate::demo::phone::Line;

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
/// A row of the table, and the same in words.
pub struct Measured {
    pub line: String,
    pub told: String,
    pub right: bool,
}

impl Measured {
    /// Of a command that leads to no role.
    pub fn nothing(keys: &str) -> Self {
        Self {
            line: format!("{keys:<18} (no role of its own)"),
            told: String::new(),
            right: true,
        }
    }
}
/// The three phones of the call.
pub struct Ears<'a> {
    pub agent: &'a Line,
    pub customer: &'a Line,
    pub supervisor: &'a Line,
}

impl Ears<'_> {
    fn media(&self, person: Person) -> &Media {
        match person {
            Person::Agent => &self.agent.media,
            Person::Customer => &self.customer.media,
            Person::Supervisor => &self.supervisor.media,
        }
    }

    /// Measures who heard whom while a role was in force.
    pub fn measure(&self, role: &str, from: Instant, to: Instant) -> Measured {
        let Some(agreed) = contract(role) else {
            return Measured {
                right: false,
                ..Measured::nothing(role)
            };
        };
        let mut right = true;
        let cells = agreed.map(|(listener, allowed)| {
            let heard = self.heard_by(listener, from, to);
            let voices: Vec<Person> = heard
                .iter()
                .filter(|(_, hearing)| hearing.heard())
                .map(|(speaker, _)| *speaker)
                .collect();
            right &= voices == allowed;
            let names: Vec<&str> = voices.iter().map(|person| person.name()).collect();
            let names = match names[..] {
                [] => "nobody".to_owned(),
                _ => names.join(" + "),
            };
            (listener, names)
        });
        let [agent, customer, supervisor] = cells.each_ref().map(|(_, names)| names);
        let line = format!(
            "{:<18} {agent:<26} {customer:<26} {supervisor:<26} {}",
            role,
            if right { "yes" } else { "NO" }
        );
        let told = cells.map(|(listener, names)| format!("{} hears {names}", listener.name()));
        let told = told.join(", ");
        Measured { line, told, right }
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
    pub fn check_streams(&self) -> bool {
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

    pub fn write_wavs(&self, out: &Path) -> anyhow::Result<()> {
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
