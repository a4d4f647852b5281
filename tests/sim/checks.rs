//! What must hold after every step: nobody hears more than `Role::hears` allows, no party hears a
//! prompt, and whoever is allowed is heard.
//!
//! Frames are measured as they leave the shard, before the network can blur them. A frame is judged
//! by all roles that held within [`AROUND`] of its leaving, since a matrix comes into force a tick
//! after control decided, and a row's gain then ramps over one frame.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use audio_codec::{CodecType, create_encoder};
use rtp_rs::{RtpPacketBuilder, RtpReader};
use sottovoce::control::role::Role;
use sottovoce::id::CallId;

use crate::phone::{AMPLITUDE, FRAME, FRAME_TIME, HeardFrame, measure, tone_of};
use crate::world::PhoneId;

const AROUND: Duration = Duration::from_millis(80);
/// One frame this strong is a leak by itself; splatter at the edge of a key or a concealed loss
/// stays well below.
const LOUD: f32 = AMPLITUDE * 0.45;
/// The mean over [`LASTING`] frames that is a leak, however quiet each is. Frames in which somebody
/// who may be heard begins, ends or is made up in the middle are left out: in them a tone is heard
/// beside its own frequency.
const QUIET: f32 = AMPLITUDE * 0.04;
/// A voice is even that differs by less from one frame to the next.
const EVEN: f32 = AMPLITUDE * 0.05;
const LASTING: usize = 25;
/// A speaker who is allowed all this time and speaks has been heard by then.
const UNHEARD: Duration = Duration::from_millis(1500);

type Roles = Vec<(CallId, Vec<(PhoneId, Role)>)>;

#[derive(Default)]
pub struct Checks {
    history: VecDeque<(Instant, Roles)>,
    pending: VecDeque<(PhoneId, HeardFrame, Vec<bool>)>,
    /// Since when a speaker who is allowed and speaks has not been heard.
    unheard: BTreeMap<(PhoneId, PhoneId), Instant>,
    /// Newest amplitudes of speakers that were not allowed, by (listener, speaker).
    forbidden: Vec<(PhoneId, PhoneId, VecDeque<f32>)>,
    /// What each listener's last frame was made of.
    before: BTreeMap<PhoneId, Vec<f32>>,
    pub frames: usize,
    pub faults: Vec<String>,
}

impl Checks {
    pub fn roles_are(&mut self, now: Instant, roles: Roles) {
        if self.history.back().is_none_or(|(_, last)| *last != roles) {
            self.history.push_back((now, roles));
        }
    }

    /// A packet leaves for this listener; `speaking` tells which phones are saying something.
    pub fn note(&mut self, now: Instant, listener: PhoneId, bytes: &[u8], speaking: &[bool]) {
        let Ok(packet) = RtpReader::new(bytes) else {
            return;
        };
        if packet.payload_type() == 0 {
            let frame = measure(now, packet.payload(), speaking.len());
            self.pending.push_back((listener, frame, speaking.to_vec()));
        }
    }

    /// Judges the frames that are old enough for all roles around them to be known.
    pub fn settle(&mut self, now: Instant) {
        while self
            .pending
            .front()
            .is_some_and(|(_, frame, _)| frame.at + AROUND < now)
        {
            if let Some((listener, frame, speaking)) = self.pending.pop_front() {
                self.judge(listener, &frame);
                self.judge_silence(listener, &frame, &speaking);
            }
        }
        while self.history.len() > 1 && self.history[1].0 + AROUND * 4 < now {
            self.history.pop_front();
        }
    }

    fn judge(&mut self, listener: PhoneId, frame: &HeardFrame) {
        self.frames += 1;
        let before = self.before.insert(listener, frame.amplitudes.clone());
        let before = before.unwrap_or_default();
        let even = frame.amplitudes.iter().enumerate().all(|(speaker, now)| {
            let then = before.get(speaker).copied().unwrap_or(0.0);
            (now - then).abs() < EVEN || !self.allowed(frame.at, listener, PhoneId(speaker))
        });
        for (speaker, amplitude) in frame.amplitudes.iter().enumerate() {
            let speaker = PhoneId(speaker);
            if speaker == listener || self.allowed(frame.at, listener, speaker) {
                self.forbidden
                    .retain(|(l, s, _)| (*l, *s) != (listener, speaker));
                continue;
            }
            if *amplitude > LOUD {
                self.faults.push(format!(
                    "{listener:?} heard {speaker:?} at {amplitude:.0}; roles: {:?}",
                    self.history.back().map(|(_, roles)| roles)
                ));
            }
            if !even {
                continue;
            }
            let recent = match self
                .forbidden
                .iter_mut()
                .find(|(l, s, _)| (*l, *s) == (listener, speaker))
            {
                Some((_, _, recent)) => recent,
                None => {
                    self.forbidden.push((listener, speaker, VecDeque::new()));
                    let last = self.forbidden.len() - 1;
                    &mut self.forbidden[last].2
                }
            };
            recent.push_back(*amplitude);
            if recent.len() > LASTING {
                recent.pop_front();
                let mean = recent.iter().sum::<f32>() / recent.len() as f32;
                if mean > QUIET {
                    self.faults.push(format!(
                        "{listener:?} heard {speaker:?} softly, mean {mean:.0} over half a second"
                    ));
                }
            }
        }
        let is_party = self.roles_near(frame.at).any(|roles| {
            roles
                .iter()
                .flat_map(|(_, seats)| seats)
                .any(|(phone, role)| *phone == listener && matches!(role, Role::User | Role::Pupil))
        });
        let is_supervisor = self.roles_near(frame.at).any(|roles| {
            roles
                .iter()
                .flat_map(|(_, seats)| seats)
                .any(|(phone, role)| *phone == listener && !matches!(role, Role::Pupil))
        });
        // A supervisor who barged is a User and hears their own prompts; the first two seats never do.
        if is_party && !is_supervisor && frame.prompt > LOUD {
            self.faults
                .push(format!("{listener:?}, a party, heard a prompt"));
        }
    }

    /// Whoever may be heard, and speaks, is heard.
    fn judge_silence(&mut self, listener: PhoneId, frame: &HeardFrame, speaking: &[bool]) {
        for (speaker, amplitude) in frame.amplitudes.iter().enumerate() {
            let pair = (listener, PhoneId(speaker));
            let due = pair.0 != pair.1
                && speaking[speaker]
                && self.certainly_allowed(frame.at, pair.0, pair.1);
            if !due || *amplitude > AMPLITUDE * 0.15 {
                self.unheard.remove(&pair);
                continue;
            }
            let since = *self.unheard.entry(pair).or_insert(frame.at);
            if frame.at.duration_since(since) > UNHEARD {
                self.faults
                    .push(format!("{:?} did not hear {:?}", pair.0, pair.1));
                self.unheard.remove(&pair);
            }
        }
    }

    /// By all roles around this instant.
    fn certainly_allowed(&self, at: Instant, listener: PhoneId, speaker: PhoneId) -> bool {
        self.roles_near(at)
            .all(|roles| allows(roles, listener, speaker))
    }

    fn roles_near(&self, at: Instant) -> impl Iterator<Item = &Roles> {
        let after = at + AROUND;
        let before = at.checked_sub(AROUND).unwrap_or(at);
        self.history
            .iter()
            .enumerate()
            .filter_map(move |(index, (since, roles))| {
                let until = self.history.get(index + 1).map(|(next, _)| *next);
                (*since <= after && until.is_none_or(|until| until >= before)).then_some(roles)
            })
    }

    fn allowed(&self, at: Instant, listener: PhoneId, speaker: PhoneId) -> bool {
        self.roles_near(at)
            .any(|roles| allows(roles, listener, speaker))
    }

    pub fn assert_clean(&self) {
        assert!(
            self.faults.is_empty(),
            "{} leaks, first: {}",
            self.faults.len(),
            self.faults[0]
        );
        assert!(self.frames > 0, "no frame was judged");
    }
}

fn allows(roles: &Roles, listener: PhoneId, speaker: PhoneId) -> bool {
    roles.iter().any(|(_, seats)| {
        let role_of = |phone| {
            seats
                .iter()
                .find(|(p, _)| *p == phone)
                .map(|(_, role)| *role)
        };
        match (role_of(listener), role_of(speaker)) {
            (Some(ear), Some(mouth)) => ear.hears(mouth),
            _ => false,
        }
    })
}

#[test]
fn a_leak_that_lasts_is_found_however_quiet_it_is_and_losses_of_a_voice_are_none() {
    let (customer, stranger, agent) = (PhoneId(0), PhoneId(2), PhoneId(3));
    let seats = vec![(customer, Role::User), (agent, Role::Pupil)];
    for (leaks, loses) in [(0.0, 0), (0.0, 3), (0.06, 0), (0.06, 5)] {
        let mut now = sottovoce::edge::clock::now();
        let mut checks = Checks::default();
        checks.roles_are(now, vec![(CallId(1), seats.clone())]);
        for frame in 0..50 {
            let tone = |phone: PhoneId, n: usize| {
                let angle = std::f32::consts::TAU * tone_of(phone.0) * n as f32 / 8000.0;
                AMPLITUDE * angle.sin()
            };
            let is_lost = |n| loses > 0 && frame % loses == 0 && n < FRAME / 4;
            let voice = |n| if is_lost(n) { 0.0 } else { tone(agent, n) };
            let samples: Vec<i16> = (0..FRAME)
                .map(|n| (voice(n) + leaks * tone(stranger, n)) as i16)
                .collect();
            let packet = RtpPacketBuilder::new()
                .payload_type(0)
                .payload(&create_encoder(CodecType::PCMU).encode(&samples))
                .build()
                .unwrap();
            now += FRAME_TIME;
            checks.note(now, customer, &packet, &[false, false, false, true]);
        }

        checks.settle(now + AROUND * 2);

        let faults = &checks.faults;
        assert_eq!(
            faults.is_empty(),
            leaks == 0.0,
            "{leaks} {loses}: {faults:?}"
        );
    }
}
