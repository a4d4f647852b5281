//! Puts packets back in order and decides when each is played (RFC 3550 §6.4.1 for the measure).
//!
//! Every packet's lateness is measured against the fastest of the last seconds; the delay that is
//! aimed at covers all but one of the last 32. The wheel asks for a packet every 20 ms. When nothing
//! is there it conceals and waits, so the delay grows by itself; when the delay is more than a frame
//! too long, a frame is given up, rather in a pause of the voice than in a word. The same two motions
//! follow a sender whose clock is not ours. No sound is drawn out or squeezed.
//!
//! The delay is that of the network within a second, upwards and downwards: 0.64 s after the last
//! uneven packet an even stream is taken for even, and then a frame goes every 60 ms, or every 20 ms
//! in a pause. From up to 100 ms of jitter that is within 1 s, at 20 ms to a packet. Where bursts come
//! back within ten seconds the delay stays as long as they need and comes down ten seconds after the
//! last: see `aim`.
//!
//! Packets may be of any length: the wheel asks for one when the last has been played to its end, and
//! one that is lost is concealed for as many frames as it would have lasted.
//!
//! It promises: packets leave in order and once; a fixed number of slots, allocated once; loss,
//! repetition, reordering, wrap-around, DTX gaps and a restarted sender are ordinary.

mod aim;
mod lateness;
mod payloads;

use std::time::{Duration, Instant};

use crate::media::codec::Codec;
use crate::media::jitter::lateness::{Lateness, Measured};
use crate::media::jitter::payloads::Payloads;
use crate::media::prefetch::prefetch;
use crate::wire::rtp::{Header, sequence_distance, timestamp_distance};

/// Packets that can wait. At 20 ms each that is far more delay than is ever aimed at; what comes
/// beyond it starts the buffer anew.
const SLOTS: usize = 32;

/// Concealed in a row before the stream counts as silent: by then concealment has faded out.
const STARVED_LIMIT: u32 = 5;

/// What must be left over, and for how long, for a frame to be given up in the midst of a voice.
const SPARE: Spare = Spare {
    least_us: 5_000,
    patience: Duration::from_secs(1),
};

/// The same once the network is calm.
const SPARE_IN_A_CALM: Spare = Spare {
    least_us: 2_000,
    patience: Duration::from_millis(40),
};

struct Spare {
    least_us: i64,
    patience: Duration,
}

#[derive(Debug)]
pub struct JitterBuffer {
    codec: Codec,
    entries: [Entry; SLOTS],
    payloads: Payloads,
    stream: Option<Stream>,
    lateness: Lateness,
    counts: JitterCounts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    filled: bool,
    sequence: u16,
    timestamp: u32,
    /// 0: the number belongs to a packet that is not played, and that lies nowhere.
    length: u16,
    /// Where it lies.
    place: u8,
}

/// The sender as it is being played.
#[derive(Clone, Copy, Debug)]
struct Stream {
    ssrc: u32,
    playing: bool,
    /// The packet that is due next, and the timestamp it should have.
    next: u16,
    expected: u32,
    highest: u16,
    /// Packet length in timestamp units.
    units: u32,
    /// Frames concealed while the next packet was awaited.
    starved: u32,
    /// Frames of a lost packet that are still to be concealed.
    owed: u32,
    /// The sequence number that would confirm a jump (RFC 3550 appendix A.1).
    jump: Option<u16>,
    stretched: Option<Instant>,
    /// Since when the delay has been longer than it need be.
    surplus_since: Option<Instant>,
}

/// What is to be played for the next stretch of time.
#[derive(Debug, PartialEq, Eq)]
pub enum Playout<'a> {
    Packet(&'a [u8]),
    /// A frame is missing; the packet after it, if it is there.
    Lost(Option<&'a [u8]>),
    /// The sender is silent, or waits for its time.
    Silence,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitterCounts {
    pub late: u64,
    pub repeated: u64,
    pub dropped: u64,
    pub concealed: u64,
    pub given_up: u64,
}

impl JitterBuffer {
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            entries: [Entry::default(); SLOTS],
            payloads: Payloads::new(codec.usual_payload()),
            stream: None,
            lateness: Lateness::new(codec.clock_hz()),
            counts: JitterCounts::default(),
        }
    }

    pub fn counts(&self) -> JitterCounts {
        self.counts
    }

    pub fn insert(&mut self, now: Instant, header: Header, payload: &[u8]) {
        if payload.is_empty() || payload.len() > self.codec.max_payload() {
            self.counts.dropped += 1;
            return;
        }
        let units = self.codec.payload_units(payload).unwrap_or(0).max(1);
        let Some(mut stream) = self.stream.filter(|stream| stream.ssrc == header.ssrc) else {
            self.lateness.forget();
            self.begin(now, header, units, payload);
            return;
        };

        let ahead = sequence_distance(stream.next, header.sequence);
        if !(-MISORDERED..=DROPPED_OUT).contains(&ahead) {
            // Two in a row make a restart; one alone is a stray.
            if stream.jump == Some(header.sequence) {
                self.lateness.forget();
                self.begin(now, header, units, payload);
            } else {
                stream.jump = Some(header.sequence.wrapping_add(1));
                self.stream = Some(stream);
                self.counts.dropped += 1;
            }
            return;
        }
        stream.jump = None;
        stream.units = units;
        if self.lateness.measure(now, header.timestamp) == Measured::Elsewhere {
            // The timestamps jumped: what waits belongs to another time.
            self.begin(now, header, units, payload);
            return;
        }
        if ahead < 0 {
            if stream.playing {
                self.counts.late += 1;
                self.stream = Some(stream);
                return;
            }
            // Nothing of this spurt has been played: the late one may still come first.
            if sequence_distance(header.sequence, stream.highest) >= SLOTS as i32 {
                self.counts.dropped += 1;
                return;
            }
            stream.next = header.sequence;
            stream.expected = header.timestamp;
        } else if ahead >= SLOTS as i32 {
            self.counts.dropped += 1;
            self.begin(now, header, units, payload);
            return;
        }
        if sequence_distance(stream.highest, header.sequence) > 0 {
            stream.highest = header.sequence;
        }
        self.stream = Some(stream);
        if !self.keep(header, payload) {
            self.counts.dropped += 1;
            self.begin(now, header, units, payload);
        }
    }

    /// A packet that is no audio, a telephone-event for one, took this number: it is not missing.
    pub fn skip(&mut self, header: Header) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let ahead = sequence_distance(stream.next, header.sequence);
        if stream.ssrc != header.ssrc || !(0..SLOTS as i32).contains(&ahead) {
            return;
        }
        if sequence_distance(stream.highest, header.sequence) > 0 {
            stream.highest = header.sequence;
        }
        let slot = usize::from(header.sequence) % SLOTS;
        self.empty(slot);
        self.entries[slot] = Entry {
            filled: true,
            sequence: header.sequence,
            timestamp: header.timestamp,
            ..Entry::default()
        };
    }

    /// What is to be played now. Every call is one step of the playing clock.
    pub fn pop(&mut self, now: Instant) -> Playout<'_> {
        let Some(mut stream) = self.stream else {
            return Playout::Silence;
        };
        let playout = self.step(now, &mut stream);
        self.stream = Some(stream);
        match playout {
            Step::Play(slot) => {
                // It stays as it is until another comes.
                self.empty(slot);
                Playout::Packet(self.payload(slot))
            }
            Step::Conceal(next) => {
                self.counts.concealed += 1;
                Playout::Lost(next.map(|slot| self.payload(slot)))
            }
            Step::Silence => Playout::Silence,
        }
    }

    /// Whether the delay is more than it need be and another packet is there: then the caller plays
    /// two in the time of one. Where what was popped `is_quiet` that is at once, else after a while.
    /// Asked after [`Self::pop`].
    pub fn gives_up_a_frame(&mut self, now: Instant, is_quiet: impl FnOnce() -> bool) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        let slot = usize::from(stream.next) % SLOTS;
        let entry = self.entries[slot];
        let there = entry.filled && entry.sequence == stream.next && entry.length > 0;
        if !stream.playing || !there || stream.owed > 0 {
            stream.surplus_since = None;
            return false;
        }
        // This one will be played a frame from now, or now if a frame is given up.
        let surplus = self.lateness.delay_us(now, entry.timestamp) - self.lateness.target_us();
        let spare = match self.lateness.is_coming_down(now) {
            true => SPARE_IN_A_CALM,
            false => SPARE,
        };
        if surplus < spare.least_us {
            stream.surplus_since = None;
            return false;
        }
        let since = *stream.surplus_since.get_or_insert(now);
        if now.saturating_duration_since(since) < spare.patience && !is_quiet() {
            return false;
        }
        stream.surplus_since = None;
        self.counts.given_up += 1;
        true
    }

    /// The timestamp that follows what was last popped.
    pub fn reached(&self) -> Option<u32> {
        self.stream.map(|stream| stream.expected)
    }

    /// Whether [`Self::pop`] would yield a packet that may as well be played now as later: it has
    /// waited as long as any of late was late.
    pub fn is_ripe(&self, now: Instant) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        let target = self.lateness.target_us();
        if !stream.playing {
            return self.first(stream).is_some_and(|slot| {
                self.lateness.delay_us(now, self.entries[slot].timestamp) >= target
            });
        }
        if stream.owed > 0 {
            return false;
        }
        // Numbers that are not played are passed over.
        let Some(slot) = self.first(stream) else {
            return false;
        };
        let entry = self.entries[slot];
        let between = sequence_distance(stream.next, entry.sequence);
        let passed_over = (0..between).all(|ahead| {
            let sequence = stream.next.wrapping_add(ahead as u16);
            let entry = self.entries[usize::from(sequence) % SLOTS];
            entry.filled && entry.sequence == sequence
        });
        let gap = timestamp_distance(stream.expected, entry.timestamp) > 0;
        let wanted = if gap {
            target
        } else {
            self.lateness.steady_us()
        };
        passed_over && self.lateness.delay_us(now, entry.timestamp) >= wanted
    }

    fn begin(&mut self, now: Instant, header: Header, units: u32, payload: &[u8]) {
        self.counts.dropped += self.entries.iter().filter(|entry| entry.filled).count() as u64;
        self.entries = [Entry::default(); SLOTS];
        self.payloads.free_all();
        self.lateness.measure(now, header.timestamp);
        self.stream = Some(Stream {
            ssrc: header.ssrc,
            playing: false,
            next: header.sequence,
            expected: header.timestamp,
            highest: header.sequence,
            units,
            starved: 0,
            owed: 0,
            jump: None,
            stretched: None,
            surplus_since: None,
        });
        self.keep(header, payload);
    }

    /// False where there is no room.
    fn keep(&mut self, header: Header, payload: &[u8]) -> bool {
        let slot = usize::from(header.sequence) % SLOTS;
        let there = self.entries[slot];
        if there.filled && there.sequence == header.sequence {
            self.counts.repeated += 1;
            return true;
        }
        self.empty(slot);
        let Some(place) = self.payloads.keep(payload) else {
            return false;
        };
        self.entries[slot] = Entry {
            filled: true,
            sequence: header.sequence,
            timestamp: header.timestamp,
            length: payload.len() as u16,
            place,
        };
        true
    }

    /// What lies there is played, or will not be.
    fn empty(&mut self, slot: usize) {
        let entry = &mut self.entries[slot];
        if std::mem::take(&mut entry.filled) && entry.length > 0 {
            self.payloads.free(entry.place, usize::from(entry.length));
        }
    }

    fn payload(&self, slot: usize) -> &[u8] {
        let entry = self.entries[slot];
        self.payloads.at(entry.place, usize::from(entry.length))
    }

    /// It is used soon.
    pub fn prefetch(&self) {
        prefetch(&self.stream);
        prefetch(&self.lateness);
        prefetch(&self.payloads);
    }

    /// A packet comes or is played next.
    pub fn prefetch_packets(&self) {
        self.payloads.prefetch();
        if let Some(stream) = &self.stream {
            prefetch(&self.entries[usize::from(stream.next) % SLOTS]);
        }
    }

    fn step(&mut self, now: Instant, stream: &mut Stream) -> Step {
        let target = self.lateness.target_us();
        if !stream.playing {
            let Some(slot) = self.first(stream) else {
                return Step::Silence;
            };
            if self.lateness.delay_us(now, self.entries[slot].timestamp) < target {
                return Step::Silence;
            }
            stream.playing = true;
            stream.next = self.entries[slot].sequence;
            stream.expected = self.entries[slot].timestamp;
        }
        if stream.owed > 0 {
            return self.pay(stream);
        }
        loop {
            let slot = usize::from(stream.next) % SLOTS;
            let entry = self.entries[slot];
            if entry.filled && entry.sequence == stream.next {
                if entry.length == 0 {
                    self.empty(slot);
                    stream.next = stream.next.wrapping_add(1);
                    continue;
                }
                let delay = self.lateness.delay_us(now, entry.timestamp);
                let gap = timestamp_distance(stream.expected, entry.timestamp) > 0;
                if gap && delay < target {
                    return Step::Silence;
                }
                if self.stretches(now, stream, delay) {
                    return Step::Conceal(None);
                }
                if stream.starved > 0 && !gap {
                    // It was not lost but late.
                    self.lateness.was_too_short(now, delay);
                }
                stream.starved = 0;
                stream.next = stream.next.wrapping_add(1);
                stream.expected = entry.timestamp.wrapping_add(stream.units);
                return Step::Play(slot);
            }
            if sequence_distance(stream.next, stream.highest) < 0 {
                stream.starved += 1;
                if stream.starved <= STARVED_LIMIT {
                    return Step::Conceal(None);
                }
                stream.starved = 0;
                stream.playing = false;
                return Step::Silence;
            }
            // Later ones are here: this one is lost, and what was concealed while it was awaited
            // was its time.
            stream.next = stream.next.wrapping_add(1);
            stream.expected = stream.expected.wrapping_add(stream.units);
            let lasted = self.frames(stream.units);
            let awaited = stream.starved.min(lasted);
            stream.starved -= awaited;
            stream.owed = lasted - awaited;
            if stream.owed == 0 {
                continue;
            }
            return self.pay(stream);
        }
    }

    /// Conceals a frame of a packet that is lost; the last of them with what is known from the packet
    /// after it.
    fn pay(&self, stream: &mut Stream) -> Step {
        stream.owed -= 1;
        let after = usize::from(stream.next) % SLOTS;
        let there = self.entries[after];
        let there = there.filled && there.sequence == stream.next && there.length > 0;
        Step::Conceal((there && stream.owed == 0).then_some(after))
    }

    /// How many frames so many units are, at least one.
    fn frames(&self, units: u32) -> u32 {
        let frame = self.codec.clock_hz() / 50;
        ((units + frame / 2) / frame).max(1)
    }

    /// Whether to wait a frame longer because the packets have become later than we play them.
    fn stretches(&self, now: Instant, stream: &mut Stream, delay: i64) -> bool {
        let rested = stream
            .stretched
            .is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_millis(200));
        let wanted = delay + 3_000 < self.lateness.steady_us() && rested;
        if wanted {
            stream.stretched = Some(now);
        }
        wanted
    }

    fn first(&self, stream: &Stream) -> Option<usize> {
        (0..SLOTS as u16)
            .map(|ahead| stream.next.wrapping_add(ahead))
            .map(|sequence| (usize::from(sequence) % SLOTS, sequence))
            .find(|(slot, sequence)| {
                let entry = self.entries[*slot];
                entry.filled && entry.sequence == *sequence && entry.length > 0
            })
            .map(|(slot, _)| slot)
    }
}

enum Step {
    Play(usize),
    Conceal(Option<usize>),
    Silence,
}

/// How far a sequence number may lie back or ahead and still be of the same run (RFC 3550 A.1).
const MISORDERED: i32 = 100;
const DROPPED_OUT: i32 = 3_000;

#[cfg(test)]
mod harness;
#[cfg(test)]
mod tests;
