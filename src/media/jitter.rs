//! Puts packets back in order and decides when each is played (RFC 3550 §6.4.1 for the measure).
//!
//! Every packet's lateness is measured against the fastest of the last seconds; the delay that is
//! aimed at covers all but two in a hundred of them. The wheel asks for a packet every 20 ms. When
//! nothing is there it conceals and waits, so the delay grows by itself; when the delay has been
//! more than a frame too long for a second, a frame is given up. The same two motions follow a
//! sender whose clock is not ours.
//!
//! It promises: packets leave in order and once; a fixed number of slots, allocated once; loss,
//! repetition, reordering, wrap-around, DTX gaps and a restarted sender are ordinary.

mod payloads;

use std::time::{Duration, Instant};

use crate::media::codec::Codec;
use crate::media::jitter::payloads::Payloads;
use crate::media::prefetch::prefetch;
use crate::wire::rtp::{Header, sequence_distance, timestamp_distance};

/// Packets that can wait. At 20 ms each that is far more delay than is ever aimed at; what comes
/// beyond it starts the buffer anew.
const SLOTS: usize = 32;

/// Concealed in a row before the stream counts as silent: by then concealment has faded out.
const STARVED_LIMIT: u32 = 5;

const FRAME_US: i64 = 20_000;

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
    /// One packet's length is missing; the packet after it, if it is there.
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
            payloads: Payloads::new(codec.max_payload()),
            stream: None,
            lateness: Lateness::new(codec.clock_hz()),
            counts: JitterCounts::default(),
        }
    }

    pub fn counts(&self) -> JitterCounts {
        self.counts
    }

    /// The delay aimed at, on top of the fastest packet's.
    pub fn target(&self) -> Duration {
        Duration::from_micros(self.lateness.target_us().max(0) as u64)
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
        self.keep(header, payload);
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

    /// Whether the delay has long been more than it need be and another packet is there: then the
    /// caller plays two in the time of one. Asked after [`Self::pop`].
    pub fn gives_up_a_frame(&mut self, now: Instant) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        let slot = usize::from(stream.next) % SLOTS;
        let entry = self.entries[slot];
        let there = entry.filled && entry.sequence == stream.next && entry.length > 0;
        if !stream.playing || !there {
            stream.surplus_since = None;
            return false;
        }
        // This one will be played a frame from now, or now if a frame is given up.
        let surplus = self.lateness.delay_us(now, entry.timestamp) - self.lateness.target_us();
        if surplus < 5_000 {
            stream.surplus_since = None;
            return false;
        }
        let since = *stream.surplus_since.get_or_insert(now);
        let patience = match surplus {
            60_000.. => Duration::ZERO,
            _ => Duration::from_secs(1),
        };
        if now.saturating_duration_since(since) < patience {
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
            jump: None,
            stretched: None,
            surplus_since: None,
        });
        self.keep(header, payload);
    }

    fn keep(&mut self, header: Header, payload: &[u8]) {
        let slot = usize::from(header.sequence) % SLOTS;
        let there = self.entries[slot];
        if there.filled && there.sequence == header.sequence {
            self.counts.repeated += 1;
            return;
        }
        self.empty(slot);
        self.entries[slot] = Entry {
            filled: true,
            sequence: header.sequence,
            timestamp: header.timestamp,
            length: payload.len() as u16,
            place: self.payloads.keep(payload),
        };
    }

    /// What lies there is played, or will not be.
    fn empty(&mut self, slot: usize) {
        let entry = &mut self.entries[slot];
        if std::mem::take(&mut entry.filled) && entry.length > 0 {
            self.payloads.free(entry.place);
        }
    }

    fn payload(&self, slot: usize) -> &[u8] {
        let entry = self.entries[slot];
        &self.payloads.at(entry.place)[..usize::from(entry.length)]
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
                if self.stretches(now, stream, delay, target) {
                    return Step::Conceal(None);
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
            if stream.starved > 0 {
                stream.starved -= 1;
                continue;
            }
            let after = usize::from(stream.next) % SLOTS;
            let there = self.entries[after];
            let there = there.filled && there.sequence == stream.next && there.length > 0;
            return Step::Conceal(there.then_some(after));
        }
    }

    /// Whether to wait a frame longer because the packets have become later than we play them.
    fn stretches(&self, now: Instant, stream: &mut Stream, delay: i64, target: i64) -> bool {
        let rested = stream
            .stretched
            .is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_millis(200));
        let wanted = delay + 3_000 < target && rested;
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

/// How late packets are, against the fastest of the last seconds.
#[derive(Debug)]
struct Lateness {
    clock_hz: i64,
    reference: Option<(Instant, u32)>,
    /// The smallest transit in this window and in the one before it.
    fastest: [i64; 2],
    window_ends: Option<Instant>,
    bins: [f32; BINS],
    weight: f32,
    target_us: i64,
    /// The latest of late, forgotten at the same pace.
    latest_us: f32,
}

#[derive(PartialEq, Eq)]
enum Measured {
    Here,
    /// The timestamp has nothing to do with those before it.
    Elsewhere,
}

const BINS: usize = 48;
const BIN_US: i64 = 5_000;
const MARGIN_US: i64 = 500;
const WINDOW: Duration = Duration::from_secs(2);
/// The share of packets that may come too late.
const LATE_SHARE: f32 = 0.02;
/// What one packet weighs once enough have been seen: two seconds' worth are remembered.
const FORGETTING: f32 = 0.01;

impl Lateness {
    fn new(clock_hz: u32) -> Self {
        Self {
            clock_hz: i64::from(clock_hz),
            reference: None,
            fastest: [0; 2],
            window_ends: None,
            bins: [0.0; BINS],
            weight: 0.0,
            target_us: BIN_US,
            latest_us: 0.0,
        }
    }

    fn forget(&mut self) {
        *self = Self::new(self.clock_hz as u32);
    }

    fn measure(&mut self, now: Instant, timestamp: u32) -> Measured {
        let Some((at, of)) = self.reference else {
            self.start(now, timestamp);
            self.count(0);
            return Measured::Here;
        };
        let media_us = self.media_us(of, timestamp);
        let transit = elapsed_us(at, now) - media_us;
        if (transit - self.base()).abs() > 1_000_000 {
            self.start(now, timestamp);
            return Measured::Elsewhere;
        }
        self.fastest[0] = self.fastest[0].min(transit);
        if self.window_ends.is_none_or(|ends| now >= ends) {
            self.fastest = [transit, self.fastest[0]];
            self.window_ends = Some(now + WINDOW);
        }
        self.count(transit - self.base());
        // The reference moves along, so that a long call never reaches half the timestamp space.
        // It moves by whole seconds, which every clock divides.
        if media_us > 60_000_000 {
            let seconds = media_us / 1_000_000;
            let units = (seconds * self.clock_hz) as u32;
            let at = at + Duration::from_secs(seconds as u64);
            self.reference = Some((at, of.wrapping_add(units)));
        }
        Measured::Here
    }

    fn start(&mut self, now: Instant, timestamp: u32) {
        self.reference = Some((now, timestamp));
        self.fastest = [0; 2];
        self.window_ends = Some(now + WINDOW);
    }

    fn count(&mut self, late_us: i64) {
        let share = (1.0 / (self.weight + 1.0)).max(FORGETTING);
        self.weight += 1.0;
        for bin in &mut self.bins {
            *bin *= 1.0 - share;
        }
        let bin = (late_us / BIN_US).clamp(0, BINS as i64 - 1) as usize;
        self.bins[bin] += share;
        self.latest_us = (self.latest_us * (1.0 - FORGETTING)).max(late_us as f32);

        let mut tail = 0.0;
        let mut covered = BINS;
        for (index, bin) in self.bins.iter().enumerate().rev() {
            tail += bin;
            if tail > LATE_SHARE {
                break;
            }
            covered = index;
        }
        self.target_us = covered as i64 * BIN_US;
    }

    fn target_us(&self) -> i64 {
        self.target_us
    }

    /// The delay at which a stream that plays can go on: finer than the bins where all is even.
    fn steady_us(&self) -> i64 {
        self.target_us.min(self.latest_us as i64 + MARGIN_US)
    }

    fn base(&self) -> i64 {
        self.fastest[0].min(self.fastest[1])
    }

    /// How long after the fastest possible arrival it is now, for a packet of this timestamp.
    fn delay_us(&self, now: Instant, timestamp: u32) -> i64 {
        match self.reference {
            Some((at, of)) => elapsed_us(at, now) - self.media_us(of, timestamp) - self.base(),
            None => FRAME_US,
        }
    }

    fn media_us(&self, of: u32, timestamp: u32) -> i64 {
        i64::from(timestamp_distance(of, timestamp)) * 1_000_000 / self.clock_hz
    }
}

/// Signed: the reference may lie ahead of `now` after it moved along.
fn elapsed_us(from: Instant, to: Instant) -> i64 {
    match to.checked_duration_since(from) {
        Some(ahead) => ahead.as_micros() as i64,
        None => -(from.saturating_duration_since(to).as_micros() as i64),
    }
}

#[cfg(test)]
mod tests;
