//! The RTP stream towards one phone: one SSRC, one numbering, one clock, from the first packet of
//! the call to the last, whoever speaks in it and however it is made.
//!
//! Packets that we make are numbered one after another. Packets that pass through keep the
//! distances of their source, in number and in time, so that a loss stays a loss and a pause a
//! pause; a [`Passage`] holds the offsets. A change between the two continues both counts.

use std::time::{Duration, Instant};

use crate::wire::rtp::{Header, sequence_distance, timestamp_distance};

#[derive(Debug)]
pub struct Identity {
    ssrc: u32,
    next_sequence: u16,
    next_timestamp: u32,
    clock_hz: u32,
    last: Option<Instant>,
    /// How long the last packet is.
    last_units: u32,
    /// The next packet is the first that is made in another way than those before.
    runs_anew: bool,
    /// The next packet of ours begins after a pause (RFC 3551 §4.1).
    begins: bool,
    packets: u32,
    octets: u32,
}

/// How one source's numbers become ours while its packets pass through.
#[derive(Clone, Copy, Debug)]
pub struct Passage {
    ssrc: u32,
    sequence_offset: u16,
    timestamp_offset: u32,
    /// What is older than this came before the passage began, or is too old to matter.
    oldest: u16,
    highest: u16,
    /// The timestamp of the highest, and how long it is.
    highest_timestamp: u32,
    units: u32,
    last_timestamp: u32,
    last: Instant,
}

/// Where a passage has come to.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    pub ssrc: u32,
    /// The packet that should come next.
    pub sequence: u16,
    pub timestamp: u32,
    /// How long the last one is, and when it came.
    pub units: u32,
    pub at: Instant,
}

/// What is longer than this is a pause: then the timestamp moves with the clock on the wall. Within
/// a run of packets of ours a gap is a thread that stood still, and what it missed is made up for;
/// only the wheel's own limit ends that. Where a run begins, a row that waited for its counterpart
/// for up to 140 ms is no pause yet.
const PAUSE: Duration = Duration::from_millis(600);
const PAUSE_BEFORE_A_RUN: Duration = Duration::from_millis(200);
const FRAME: Duration = Duration::from_millis(20);

/// Beyond these a source has begun anew (RFC 3550 appendix A.1).
const MISORDERED: i32 = 100;
const DROPPED_OUT: i32 = 3_000;
const ELSEWHERE: Duration = Duration::from_secs(1);

impl Identity {
    pub fn new(ssrc: u32, first_sequence: u16, first_timestamp: u32) -> Self {
        Self {
            ssrc,
            next_sequence: first_sequence,
            next_timestamp: first_timestamp,
            clock_hz: 8_000,
            last: None,
            last_units: 0,
            runs_anew: true,
            begins: true,
            packets: 0,
            octets: 0,
        }
    }

    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub fn packets(&self) -> u32 {
        self.packets
    }

    pub fn octets(&self) -> u32 {
        self.octets
    }

    pub fn clock_hz(&self) -> u32 {
        self.clock_hz
    }

    /// The codec's clock from here on. The count itself runs on.
    pub fn set_clock(&mut self, clock_hz: u32) {
        self.clock_hz = clock_hz;
    }

    /// From here on packets are made in another way than before.
    pub fn run_anew(&mut self) {
        self.runs_anew = true;
    }

    /// The timestamp that a packet made now would bear.
    pub fn timestamp(&self, now: Instant) -> u32 {
        self.next_timestamp.wrapping_add(self.missed(now))
    }

    /// Numbers a packet of ours that lasts so many units.
    pub fn stamp(&mut self, now: Instant, payload_type: u8, units: u32, octets: usize) -> Header {
        self.catch_up(now);
        let header = Header {
            payload_type,
            marker: std::mem::take(&mut self.begins),
            sequence: self.next_sequence,
            timestamp: self.next_timestamp,
            ssrc: self.ssrc,
        };
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.next_timestamp = self.next_timestamp.wrapping_add(units);
        self.last_units = units;
        self.count(now, octets);
        header
    }

    /// Numbers a packet of ours at a time of its own: a telephone-event, whose timestamp stands
    /// still while it lasts.
    pub fn stamp_at(
        &mut self,
        now: Instant,
        payload_type: u8,
        timestamp: u32,
        marker: bool,
        octets: usize,
    ) -> Header {
        let header = Header {
            payload_type,
            marker,
            sequence: self.next_sequence,
            timestamp,
            ssrc: self.ssrc,
        };
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(octets as u32);
        self.last = self.last.or(Some(now));
        header
    }

    /// The source fell silent for so many units and says so by its timestamps.
    pub fn pause(&mut self, units: u32) {
        self.next_timestamp = self.next_timestamp.wrapping_add(units);
        self.begins = true;
    }

    /// Numbers a packet that passes through; `None` when it belongs to the time before.
    pub fn pass(
        &mut self,
        now: Instant,
        passage: &mut Option<Passage>,
        source: Header,
        payload_type: u8,
        units: u32,
        octets: usize,
    ) -> Option<Header> {
        let mut header = self.place(now, passage, source)?;
        header.payload_type = payload_type;
        self.last_units = units;
        if let Some(passage) = passage {
            passage.units = units;
        }
        let timestamp_after = header.timestamp.wrapping_add(units);
        if timestamp_distance(self.next_timestamp, timestamp_after) > 0 {
            self.next_timestamp = timestamp_after;
        }
        self.count(now, octets);
        Some(header)
    }

    /// The same for a packet whose own timestamp counts by another clock than ours.
    pub fn pass_at(
        &mut self,
        now: Instant,
        passage: &mut Option<Passage>,
        source: Header,
        payload_type: u8,
        timestamp: u32,
        octets: usize,
    ) -> Option<Header> {
        let mut header = self.place(now, passage, source)?;
        header.payload_type = payload_type;
        header.timestamp = timestamp;
        self.count(now, octets);
        Some(header)
    }

    /// A packet of the source that does not go on: its number is given to the next one.
    pub fn swallow(&self, passage: &mut Option<Passage>, source: Header) {
        if let Some(passage) = passage
            && passage.ssrc == source.ssrc
            && (1..=DROPPED_OUT).contains(&sequence_distance(passage.highest, source.sequence))
        {
            passage.highest = source.sequence;
            passage.sequence_offset = passage.sequence_offset.wrapping_sub(1);
        }
    }

    /// So many packets of ours, stamped just now, stand in the middle of what passes through: it
    /// goes on behind them, and what its source sent before them comes too late. `units` is the
    /// time that theirs is ahead of it.
    pub fn inserted(&mut self, passage: &mut Option<Passage>, packets: u16, units: u32) {
        if let Some(passage) = passage {
            passage.sequence_offset = passage.sequence_offset.wrapping_add(packets);
            passage.oldest = passage.highest.wrapping_add(1);
        }
        self.next_timestamp = self.next_timestamp.wrapping_add(units);
    }

    fn place(
        &mut self,
        now: Instant,
        passage: &mut Option<Passage>,
        source: Header,
    ) -> Option<Header> {
        let anchored = passage
            .as_mut()
            .filter(|passage| passage.continues(now, source, self.clock_hz));
        let begins_anew = anchored.is_none();
        let passage = match anchored {
            Some(passage) => passage,
            None => {
                self.runs_anew = true;
                self.catch_up(now);
                passage.insert(Passage {
                    ssrc: source.ssrc,
                    sequence_offset: self.next_sequence.wrapping_sub(source.sequence),
                    timestamp_offset: self.next_timestamp.wrapping_sub(source.timestamp),
                    oldest: source.sequence,
                    highest: source.sequence,
                    highest_timestamp: source.timestamp,
                    units: 0,
                    last_timestamp: source.timestamp,
                    last: now,
                })
            }
        };
        if sequence_distance(passage.oldest, source.sequence) < 0 {
            return None;
        }
        if sequence_distance(passage.highest, source.sequence) > 0 {
            passage.highest = source.sequence;
            passage.highest_timestamp = source.timestamp;
            if sequence_distance(passage.oldest, source.sequence) > MISORDERED {
                passage.oldest = source.sequence.wrapping_sub(MISORDERED as u16);
            }
        }
        passage.last_timestamp = source.timestamp;
        passage.last = now;

        let header = Header {
            payload_type: source.payload_type,
            marker: source.marker || (begins_anew && self.begins),
            sequence: source.sequence.wrapping_add(passage.sequence_offset),
            timestamp: source.timestamp.wrapping_add(passage.timestamp_offset),
            ssrc: self.ssrc,
        };
        self.begins = false;
        let sequence_after = header.sequence.wrapping_add(1);
        if sequence_distance(self.next_sequence, sequence_after) > 0 {
            self.next_sequence = sequence_after;
        }
        Some(header)
    }

    fn count(&mut self, now: Instant, octets: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(octets as u32);
        self.last = Some(now);
        self.runs_anew = false;
    }

    /// After a pause the timestamp moves on by whole frames, as the wall clock did.
    fn catch_up(&mut self, now: Instant) {
        let missed = self.missed(now);
        if missed > 0 {
            self.next_timestamp = self.next_timestamp.wrapping_add(missed);
            self.begins = true;
        }
    }

    fn missed(&self, now: Instant) -> u32 {
        let Some(last) = self.last else { return 0 };
        let elapsed = now.saturating_duration_since(last);
        let pause = match self.runs_anew {
            true => PAUSE_BEFORE_A_RUN,
            false => PAUSE,
        };
        if elapsed <= pause {
            return 0;
        }
        // A packet that is longer than a frame lasts longer.
        let micros = u64::from(self.last_units) * 1_000_000 / u64::from(self.clock_hz.max(1));
        let elapsed = elapsed.saturating_sub(Duration::from_micros(micros).saturating_sub(FRAME));
        if elapsed <= pause {
            return 0;
        }
        let frames = (elapsed - FRAME).as_micros() / FRAME.as_micros();
        (frames as u64 * u64::from(self.clock_hz / 50)) as u32
    }
}

impl Passage {
    pub fn passed(&self) -> Passed {
        Passed {
            ssrc: self.ssrc,
            sequence: self.highest.wrapping_add(1),
            timestamp: self.highest_timestamp.wrapping_add(self.units),
            units: self.units,
            at: self.last,
        }
    }

    fn continues(&self, now: Instant, source: Header, clock_hz: u32) -> bool {
        if source.ssrc != self.ssrc {
            return false;
        }
        let ahead = sequence_distance(self.highest, source.sequence);
        if !(-DROPPED_OUT..=DROPPED_OUT).contains(&ahead) {
            return false;
        }
        if (-MISORDERED..=0).contains(&ahead) {
            return true;
        }
        let media = i64::from(timestamp_distance(self.last_timestamp, source.timestamp))
            * 1_000_000
            / i64::from(clock_hz);
        let wall = now.saturating_duration_since(self.last).as_micros() as i64;
        (media - wall).unsigned_abs() <= ELSEWHERE.as_micros() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_ours_and_of_others_are_one_numbering() {
        let mut now = Instant::now();
        let mut identity = Identity::new(7, 65_534, u32::MAX - 200);
        let mut passage = None;
        let mut sent = Vec::new();

        for kind in 0..40u32 {
            now += FRAME;
            sent.push(if kind / 10 % 2 == 0 {
                identity.stamp(now, 0, 160, 160)
            } else {
                if kind % 10 == 0 {
                    passage = None;
                }
                let source = source(kind * 3_000 / 10 * 10 + kind % 10, kind % 10 * 160);
                let header = Header {
                    sequence: (1_000 + kind % 10) as u16,
                    ..source
                };
                identity
                    .pass(now, &mut passage, header, 0, 160, 160)
                    .unwrap()
            });
        }

        assert!(sent[0].marker);
        assert!(sent[1..].iter().all(|header| !header.marker));
        for pair in sent.windows(2) {
            assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
            assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
            assert_eq!(pair[1].ssrc, 7);
        }
    }

    #[test]
    fn a_loss_and_a_pause_of_the_source_stay_visible() {
        let now = Instant::now();
        let mut identity = Identity::new(7, 10, 1_000);
        let mut passage = None;
        let mut pass = |ms: u64, sequence: u32, timestamp: u32| {
            let now = now + Duration::from_millis(ms);
            let source = source(sequence, timestamp);
            let header = identity.pass(now, &mut passage, source, 0, 160, 160)?;
            Some((header.sequence, header.timestamp))
        };

        assert_eq!(pass(0, 500, 0), Some((10, 1_000)));
        assert_eq!(pass(40, 502, 320), Some((12, 1_320)));
        assert_eq!(pass(41, 501, 160), Some((11, 1_160)));
        assert_eq!(pass(5_060, 503, 40_480), Some((13, 41_480)));
        assert_eq!(pass(5_061, 499, 0), None);
    }

    #[test]
    fn a_source_that_begins_anew_is_continued() {
        let now = Instant::now();
        let mut identity = Identity::new(7, 10, 1_000);
        let mut passage = None;
        let first = source(500, 0);
        let other = Header {
            ssrc: 99,
            ..source(20_000, 77_777)
        };
        let jumped = Header {
            sequence: 20_001,
            timestamp: 3,
            ..other
        };

        identity.pass(now, &mut passage, first, 0, 160, 160);
        let second = identity.pass(now + FRAME, &mut passage, other, 0, 160, 160);
        let third = identity.pass(now + 2 * FRAME, &mut passage, jumped, 0, 160, 160);

        let second = second.unwrap();
        assert_eq!((second.sequence, second.timestamp), (11, 1_160));
        let third = third.unwrap();
        assert_eq!((third.sequence, third.timestamp), (12, 1_320));
    }

    #[test]
    fn after_a_pause_our_own_timestamps_have_moved_with_the_wall() {
        let now = Instant::now();
        let mut identity = Identity::new(7, 10, 1_000);

        identity.stamp(now, 0, 160, 160);
        let after = identity.stamp(now + Duration::from_secs(1), 0, 160, 160);

        assert_eq!(after.sequence, 11);
        assert_eq!(after.timestamp, 1_000 + 8_000);
        assert!(after.marker);
    }

    fn source(sequence: u32, timestamp: u32) -> Header {
        Header {
            payload_type: 0,
            marker: false,
            sequence: sequence as u16,
            timestamp,
            ssrc: 1,
        }
    }
}
