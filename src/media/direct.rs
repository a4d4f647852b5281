//! A counterpart's packets as frames at the moment they arrive: no jitter buffer, no added delay.
//! Packets may be of any length: of one that is longer than the listener's, what the listener's next
//! packets take waits for the wheel, so that they leave one after another and not all at once.
//!
//! The listener's stream is one frame after another. Where the counterpart was silent and the wheel
//! stood in, what comes too late for its time is left out; what is lost and was not stood in for is
//! concealed; what the counterpart left out itself (DTX) is a pause in the listener's stream too.

use std::time::{Duration, Instant};

use crate::media::codec::Codec;
use crate::media::codec::decode::Decoder;
use crate::media::conceal::{Concealer, FADE_MS};
use crate::media::frame::{Frame, Rate};
use crate::media::identity::Passed;
use crate::media::pending::Pending;
use crate::media::prefetch::prefetch;
use crate::wire::rtp::{Header, sequence_distance, timestamp_distance};

#[derive(Debug)]
pub struct Direct {
    codec: Codec,
    rate: Rate,
    decoder: Decoder,
    concealer: Concealer,
    pending: Pending,
    source: Option<Source>,
    /// When the counterpart was last heard.
    heard: Option<Instant>,
    /// How long its last packet is, in timestamp units.
    units: u32,
    /// Until now its packets passed through.
    passed: bool,
    concealed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    /// The packet that should come next.
    sequence: u16,
    timestamp: u32,
    /// Time that the wheel has filled since, in timestamp units.
    stood_in: i32,
}

/// What a packet brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Frames can be taken.
    Frames,
    /// The counterpart paused for so many units; frames can be taken after it.
    Pause(u32),
    /// Its time is over.
    Late,
}

/// A frame.
const FRAME: Duration = Duration::from_millis(20);

/// When a packet is over, and this time after it, the wheel stands in, on a clean network.
const SILENT_AFTER: Duration = Duration::from_millis(10);
const SILENT_AT_MOST: Duration = Duration::from_millis(100);

/// What passed through longer ago does not tell what comes next.
const REMEMBERED: Duration = Duration::from_millis(150);

/// A gap up to here is concealed in one go; beyond it the fade has reached silence anyway.
const MAX_CONCEALED: usize = FADE_MS / 20;

impl Direct {
    /// `None` for a codec that cannot be decoded.
    pub fn new(codec: Codec, rate: Rate) -> Option<Self> {
        Some(Self {
            codec,
            rate,
            decoder: Decoder::new(codec, rate)?,
            concealer: Concealer::new(rate),
            pending: Pending::new(rate),
            source: None,
            heard: None,
            units: 0,
            passed: false,
            concealed: 0,
        })
    }

    pub fn is_for(&self, codec: Codec, rate: Rate) -> bool {
        self.codec == codec && self.rate == rate
    }

    pub fn concealed(&self) -> u64 {
        self.concealed
    }

    /// The counterpart's packets passed through until now, up to here.
    pub fn goes_on_from(&mut self, passed: Passed) {
        self.source = Some(Source {
            ssrc: passed.ssrc,
            sequence: passed.sequence,
            timestamp: passed.timestamp,
            stood_in: 0,
        });
        self.heard = Some(passed.at);
        self.units = passed.units;
        self.passed = true;
    }

    /// Whether the wheel is to stand in: nothing since 10 ms after the last packet's end, or for longer
    /// where the network is known to be that uneven.
    pub fn is_silent(&mut self, now: Instant, jitter_ms: f32) -> bool {
        self.begin(now);
        let uneven = Duration::from_secs_f32((jitter_ms * 3.0 / 1_000.0).clamp(0.0, 1.0));
        let patience = self.packet() + (SILENT_AFTER + uneven).min(SILENT_AT_MOST);
        self.heard
            .is_none_or(|heard| now.saturating_duration_since(heard) >= patience)
    }

    /// A frame at least.
    fn packet(&self) -> Duration {
        let us = u64::from(self.units) * 1_000_000 / u64::from(self.codec.clock_hz());
        Duration::from_micros(us).max(FRAME)
    }

    /// What passed through is gone on from only if it was just now.
    fn begin(&mut self, now: Instant) {
        if !std::mem::take(&mut self.passed) {
            return;
        }
        let just_now = |heard: Instant| {
            let elapsed = now.saturating_duration_since(heard);
            elapsed < self.packet() - FRAME + REMEMBERED
        };
        if !self.heard.is_some_and(just_now) {
            self.source = None;
            self.heard = None;
        }
    }

    /// A packet of another payload type took a sequence number.
    pub fn note_other(&mut self, header: Header) {
        if let Some(source) = &mut self.source
            && source.ssrc == header.ssrc
            && sequence_distance(source.sequence, header.sequence) >= 0
        {
            source.sequence = header.sequence.wrapping_add(1);
        }
    }

    pub fn arrive(&mut self, now: Instant, header: Header, payload: &[u8]) -> Arrival {
        self.begin(now);
        let units = self.codec.payload_units(payload).unwrap_or(0);
        let frame_units = (self.codec.clock_hz() / 50) as i32;
        let after = Source {
            ssrc: header.ssrc,
            sequence: header.sequence.wrapping_add(1),
            timestamp: header.timestamp.wrapping_add(units),
            stood_in: 0,
        };
        let Some(source) = self.source.filter(|source| source.ssrc == header.ssrc) else {
            self.source = Some(after);
            self.heard = Some(now);
            self.units = units;
            self.decode(payload, 0);
            return Arrival::Frames;
        };

        let gap = timestamp_distance(source.timestamp, header.timestamp);
        let lost = sequence_distance(source.sequence, header.sequence);
        if (-100..0).contains(&lost) {
            return Arrival::Late;
        }
        self.heard = Some(now);
        self.units = units;
        let second = self.codec.clock_hz() as i32;
        if !(0..=100).contains(&lost) || gap < 0 || gap > 60 * second {
            // A source that began anew: what the wheel filled is forgotten.
            self.source = Some(after);
            self.decode(payload, 0);
            return Arrival::Frames;
        }
        let missing = gap - source.stood_in;
        if missing < 0 {
            // The wheel stood in for this one, or for part of it.
            let debt = -missing;
            let left = debt - units as i32;
            self.source = Some(Source {
                stood_in: left.max(0),
                ..after
            });
            let matters = debt >= frame_units / 2;
            if left >= 0 || matters && left > -frame_units / 2 {
                // What it said is not heard: the wheel's frame was heard in its place.
                self.concealed += 1;
                return Arrival::Late;
            }
            if matters {
                self.concealed += (debt / frame_units).max(1) as u64;
                self.decode(payload, debt as usize);
            } else {
                self.decode(payload, 0);
            }
            return Arrival::Frames;
        }
        self.source = Some(after);
        let frames = (missing / frame_units) as usize;
        if source.stood_in > 0 {
            // Lost ones that the wheel stood in for already.
            self.concealed += (lost as u64).saturating_sub(frames as u64);
        }
        if frames == 0 {
            self.decode(payload, 0);
            return Arrival::Frames;
        }
        if lost > 0 && frames <= MAX_CONCEALED {
            for _ in 0..frames {
                self.conceal_pending();
            }
            self.decode(payload, 0);
            return Arrival::Frames;
        }
        self.decode(payload, 0);
        Arrival::Pause(frames as u32 * frame_units as u32)
    }

    /// A packet comes soon.
    pub fn prefetch(&self) {
        prefetch(self);
    }

    /// It comes next.
    pub fn prefetch_frame(&self) {
        self.pending.prefetch();
        self.concealer.prefetch();
    }

    /// Whether a whole frame of what arrived waits.
    pub fn has_frame(&self) -> bool {
        self.pending.has_frame()
    }

    /// The next whole frame of what arrived.
    pub fn take(&mut self, frame: &mut Frame) -> bool {
        self.pending.take(frame.samples_mut())
    }

    /// A frame for the wheel while the counterpart is silent: what is left of its voice, which then
    /// fades out, then nothing.
    pub fn stand_in(&mut self, frame: &mut Frame) {
        let samples = frame.samples_mut();
        let left = self.pending.take_rest(samples);
        self.concealer.conceal(&mut samples[left..]);
        if let Some(source) = &mut self.source {
            let made_up = samples.len() - left;
            let units = made_up * self.codec.clock_hz() as usize / self.rate.hz();
            source.stood_in = source.stood_in.saturating_add(units as i32);
        }
    }

    /// Decodes a packet whose first so many units come too late.
    fn decode(&mut self, payload: &[u8], late_units: usize) {
        let room = self.pending.room();
        let count = self.decoder.decode(payload, room);
        if count == 0 {
            self.conceal_pending();
            return;
        }
        let late = late_units * self.rate.hz() / self.codec.clock_hz() as usize;
        let late = late.min(count);
        if late > 0 {
            room.copy_within(late..count, 0);
        }
        self.concealer.note(&mut room[..count - late]);
        self.pending.grow(count - late);
    }

    fn conceal_pending(&mut self) {
        self.concealed += 1;
        let frame = self.rate.frame();
        let room = self.pending.room();
        match self.decoder.recover(None, room) {
            0 => self.concealer.conceal(&mut room[..frame]),
            count => self.concealer.note(&mut room[..count]),
        }
        self.pending.grow(frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOICE: [u8; 160] = [0x10; 160];

    #[test]
    fn every_packet_is_a_frame_at_once() {
        let mut direct = direct();
        let now = Instant::now();
        let mut frame = Frame::silent(Rate::Narrow);

        for step in 0..10u32 {
            let arrival = direct.arrive(now, header(step as u16, step * 160), &VOICE);

            assert_eq!(arrival, Arrival::Frames);
            assert!(direct.take(&mut frame));
            assert!(!direct.take(&mut frame));
            assert!(frame.samples()[0] != 0);
        }
    }

    #[test]
    fn what_comes_after_the_wheel_stood_in_is_left_out() {
        let mut direct = direct();
        let now = Instant::now();
        let mut frame = Frame::silent(Rate::Narrow);
        direct.arrive(now, header(1, 0), &VOICE);
        direct.take(&mut frame);

        direct.stand_in(&mut frame);
        direct.stand_in(&mut frame);

        assert_eq!(direct.arrive(now, header(2, 160), &VOICE), Arrival::Late);
        assert_eq!(direct.arrive(now, header(3, 320), &VOICE), Arrival::Late);
        assert_eq!(direct.concealed(), 2);
        assert_eq!(direct.arrive(now, header(4, 480), &VOICE), Arrival::Frames);
        assert!(direct.take(&mut frame));
        assert!(!direct.take(&mut frame));
    }

    #[test]
    fn a_loss_that_was_stood_in_for_is_not_concealed_again() {
        let mut direct = direct();
        let now = Instant::now();
        let mut frame = Frame::silent(Rate::Narrow);
        direct.arrive(now, header(1, 0), &VOICE);
        direct.take(&mut frame);
        direct.stand_in(&mut frame);

        assert_eq!(direct.arrive(now, header(3, 320), &VOICE), Arrival::Frames);

        assert!(direct.take(&mut frame));
        assert!(!direct.take(&mut frame));
        assert_eq!(direct.concealed(), 1);
    }

    #[test]
    fn a_loss_is_concealed_and_a_pause_stays_a_pause() {
        let mut direct = direct();
        let now = Instant::now();
        let mut frame = Frame::silent(Rate::Narrow);
        direct.arrive(now, header(1, 0), &VOICE);
        direct.take(&mut frame);

        assert_eq!(direct.arrive(now, header(3, 320), &VOICE), Arrival::Frames);
        assert!(direct.take(&mut frame) && direct.take(&mut frame) && !direct.take(&mut frame));
        assert_eq!(direct.concealed(), 1);

        let after_pause = direct.arrive(now, header(4, 480 + 8_000), &VOICE);
        assert_eq!(after_pause, Arrival::Pause(8_000));
        assert!(direct.take(&mut frame) && !direct.take(&mut frame));
    }

    #[test]
    fn packets_of_other_lengths_become_frames() {
        let mut direct = direct();
        let now = Instant::now();
        let mut frame = Frame::silent(Rate::Narrow);
        let mut frames = 0;

        for step in 0..20u32 {
            direct.arrive(now, header(step as u16, step * 240), &[0x10; 240]);
            while direct.take(&mut frame) {
                frames += 1;
            }
        }

        assert_eq!(frames, 30);
    }

    #[test]
    fn a_packet_of_any_length_is_waited_for_as_long_as_the_one_before_it_lasts() {
        for length in [80, 160, 240, 480, 960, 1_600] {
            let mut direct = direct();
            let now = Instant::now();
            direct.arrive(now, header(1, 0), &vec![0x10; length]);

            let lasts = Duration::from_millis(length as u64 / 8).max(FRAME);

            assert!(!direct.is_silent(now + lasts, 0.0), "{length}");
            assert!(direct.is_silent(now + lasts + SILENT_AFTER, 0.0));
        }
    }

    #[test]
    fn of_a_long_packet_only_that_is_left_out_for_which_the_wheel_stood_in() {
        let mut direct = direct();
        let now = Instant::now();
        let mut frame = Frame::silent(Rate::Narrow);
        direct.arrive(now, header(1, 0), &[0x10; 480]);
        while direct.take(&mut frame) {}

        direct.stand_in(&mut frame);
        let arrival = direct.arrive(now, header(2, 480), &[0x10; 480]);

        assert_eq!(arrival, Arrival::Frames);
        assert!(direct.take(&mut frame) && direct.take(&mut frame) && !direct.has_frame());
        assert_eq!(direct.concealed(), 1);
        assert_eq!(
            direct.arrive(now, header(3, 960), &[0x10; 480]),
            Arrival::Frames
        );
        assert!(direct.take(&mut frame) && direct.take(&mut frame) && direct.take(&mut frame));
    }

    #[test]
    fn what_passed_through_just_now_is_gone_on_from() {
        let now = Instant::now();
        let mut frame = Frame::silent(Rate::Narrow);
        let passed = |ms: u64| Passed {
            ssrc: 1,
            sequence: 7,
            timestamp: 4_800,
            units: 1_600,
            at: now - Duration::from_millis(ms),
        };
        let mut recent = direct();
        recent.goes_on_from(passed(190));
        let mut long_ago = direct();
        long_ago.goes_on_from(passed(900));

        assert!(!recent.is_silent(now, 0.0));
        assert!(long_ago.is_silent(now, 0.0));
        // One was lost between.
        recent.arrive(now, header(8, 4_960), &VOICE);
        long_ago.arrive(now, header(8, 4_960), &VOICE);

        assert!(recent.take(&mut frame) && recent.take(&mut frame) && !recent.has_frame());
        assert!(long_ago.take(&mut frame) && !long_ago.has_frame());
    }

    fn direct() -> Direct {
        Direct::new(Codec::Pcmu, Rate::Narrow).unwrap()
    }

    fn header(sequence: u16, timestamp: u32) -> Header {
        Header {
            payload_type: 0,
            marker: false,
            sequence,
            timestamp,
            ssrc: 1,
        }
    }
}
