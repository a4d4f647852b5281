//! A counterpart's packets as frames at the moment they arrive: no jitter buffer, no added delay.
//!
//! The listener's stream is one frame after another. Where the counterpart was silent and the wheel
//! stood in, what comes too late for its time is left out; what is lost and was not stood in for is
//! concealed; what the counterpart left out itself (DTX) is a pause in the listener's stream too.

use std::time::{Duration, Instant};

use crate::media::codec::Codec;
use crate::media::codec::decode::Decoder;
use crate::media::conceal::{Concealer, FADE_MS};
use crate::media::frame::{Frame, Rate};
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
    /// When the counterpart was last heard, and how long to wait for it.
    heard: Option<Instant>,
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

/// Silence of the counterpart after which the wheel stands in, on a clean network.
pub const SILENT_AFTER: Duration = Duration::from_millis(30);
const SILENT_AT_MOST: Duration = Duration::from_millis(120);

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
            pending: Pending::default(),
            source: None,
            heard: None,
            concealed: 0,
        })
    }

    pub fn is_for(&self, codec: Codec, rate: Rate) -> bool {
        self.codec == codec && self.rate == rate
    }

    pub fn concealed(&self) -> u64 {
        self.concealed
    }

    /// Whether the wheel is to stand in: nothing for 30 ms, or for longer where the network is
    /// known to be that uneven.
    pub fn is_silent(&self, now: Instant, jitter_ms: f32) -> bool {
        let uneven = Duration::from_secs_f32((jitter_ms * 3.0 / 1_000.0).clamp(0.0, 1.0));
        let patience = (SILENT_AFTER + uneven).min(SILENT_AT_MOST);
        self.heard
            .is_none_or(|heard| now.saturating_duration_since(heard) >= patience)
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
            self.decode(payload);
            return Arrival::Frames;
        };

        let gap = timestamp_distance(source.timestamp, header.timestamp);
        let lost = sequence_distance(source.sequence, header.sequence);
        if (-100..0).contains(&lost) {
            return Arrival::Late;
        }
        self.heard = Some(now);
        let second = self.codec.clock_hz() as i32;
        if !(0..=100).contains(&lost) || gap < 0 || gap > 60 * second {
            // A source that began anew: what the wheel filled is forgotten.
            self.source = Some(after);
            self.decode(payload);
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
            if left >= 0 || debt >= frame_units / 2 {
                // What it said is not heard: the wheel's frame was heard in its place.
                self.concealed += 1;
                return Arrival::Late;
            }
            self.decode(payload);
            return Arrival::Frames;
        }
        self.source = Some(after);
        let frames = (missing / frame_units) as usize;
        if source.stood_in > 0 {
            // Lost ones that the wheel stood in for already.
            self.concealed += (lost as u64).saturating_sub(frames as u64);
        }
        if frames == 0 {
            self.decode(payload);
            return Arrival::Frames;
        }
        if lost > 0 && frames <= MAX_CONCEALED {
            for _ in 0..frames {
                self.conceal_pending();
            }
            self.decode(payload);
            return Arrival::Frames;
        }
        self.decode(payload);
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

    /// The next whole frame of what arrived.
    pub fn take(&mut self, frame: &mut Frame) -> bool {
        self.pending.take(frame.samples_mut())
    }

    /// A frame for the wheel while the counterpart is silent: its voice fading out, then nothing.
    pub fn stand_in(&mut self, frame: &mut Frame) {
        self.pending.clear();
        self.concealer.conceal(frame.samples_mut());
        if let Some(source) = &mut self.source {
            let frame_units = (self.codec.clock_hz() / 50) as i32;
            source.stood_in = source.stood_in.saturating_add(frame_units);
        }
    }

    fn decode(&mut self, payload: &[u8]) {
        let room = self.pending.room();
        let count = self.decoder.decode(payload, room);
        if count == 0 {
            self.conceal_pending();
            return;
        }
        self.concealer.note(&mut room[..count]);
        self.pending.grow(count);
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
