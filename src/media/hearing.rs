//! What a mix hears of one speaker: decoded, in order, a frame at every turn of the wheel.
//!
//! It exists only while some row on the wheel mixes the speaker, or a detector listens. The last
//! frames are kept, so that rows with another clock than the wheel's find theirs: see [`Lag`]. Such
//! a row may have the frame of the next turn made early, when its packet is already there: then that
//! turn makes none.

use std::time::Instant;

use crate::media::codec::Codec;
use crate::media::codec::decode::Decoder;
use crate::media::conceal::Concealer;
use crate::media::frame::{Frame, Rate};
use crate::media::jitter::{JitterBuffer, JitterCounts, Playout};
use crate::media::keys::hush::Spoken;
use crate::media::pending::Pending;
use crate::media::prefetch::{prefetch, prefetch_all};
use crate::wire::rtp::Header;

/// Frames kept: what a row clocked by its counterpart may lag behind at most.
const RECENT: usize = 8;

#[derive(Debug)]
pub struct Hearing {
    rate: Rate,
    /// Of its timestamps.
    clock_hz: u32,
    jitter: JitterBuffer,
    decoder: Decoder,
    concealer: Concealer,
    pending: Pending,
    recent: [Frame; RECENT],
    /// Frames made so far; the newest is `recent[(made − 1) % RECENT]`.
    made: u32,
    /// The frames kept that are silent, by their places.
    quiet: [bool; RECENT],
    /// The frame of the next turn has been made.
    early: bool,
    /// The newest samples are of a packet, not made up.
    is_spoken: bool,
}

impl Hearing {
    /// `None` for a codec that cannot be decoded.
    pub fn new(codec: Codec, rate: Rate) -> Option<Self> {
        Some(Self {
            rate,
            clock_hz: codec.clock_hz(),
            jitter: JitterBuffer::new(codec),
            decoder: Decoder::new(codec, rate)?,
            concealer: Concealer::new(rate),
            pending: Pending::new(rate),
            recent: [Frame::silent(rate); RECENT],
            made: 0,
            quiet: [true; RECENT],
            early: false,
            is_spoken: false,
        })
    }

    pub fn rate(&self) -> Rate {
        self.rate
    }

    pub fn counts(&self) -> JitterCounts {
        self.jitter.counts()
    }

    pub fn insert(&mut self, now: Instant, header: Header, payload: &[u8]) {
        self.jitter.insert(now, header, payload);
    }

    /// A packet that is no audio took this number.
    pub fn skip(&mut self, header: Header) {
        self.jitter.skip(header);
    }

    /// Makes the frame of this turn of the wheel, which is then the newest; false when it was made
    /// early.
    pub fn advance(&mut self, now: Instant) -> bool {
        if std::mem::take(&mut self.early) {
            return false;
        }
        self.make(now);
        true
    }

    /// Makes the frame of the next turn if its packet is there and need not wait.
    pub fn advance_early(&mut self, now: Instant) -> bool {
        let ripe = self.pending.count() >= self.rate.frame() || self.jitter.is_ripe(now);
        if self.early || !ripe {
            return false;
        }
        self.make(now);
        self.early = true;
        true
    }

    fn make(&mut self, now: Instant) {
        let wanted = self.rate.frame();
        let mut whole = false;
        while !whole && self.pending.count() < wanted {
            whole = self.pull(now);
        }
        let newest = match whole {
            true => self.recent[self.made as usize % RECENT].samples(),
            false => self.pending.newest(wanted),
        };
        let may_go = || !self.is_spoken || is_a_pause(newest);
        if self.pending.count() < 2 * wanted && self.jitter.gives_up_a_frame(now, may_go) {
            if std::mem::take(&mut whole) {
                let frame = self.recent[self.made as usize % RECENT].samples();
                self.pending.room()[..wanted].copy_from_slice(frame);
                self.pending.grow(wanted);
            }
            self.pull(now);
            self.pending.shorten(wanted);
        }
        if !whole {
            let frame = &mut self.recent[self.made as usize % RECENT];
            self.pending.take(frame.samples_mut());
        }
        self.made = self.made.wrapping_add(1);
    }

    /// Used soon: for a packet, or for a turn of the wheel.
    pub fn prefetch(&self) {
        self.jitter.prefetch();
        prefetch(&self.pending);
        prefetch(&self.concealer);
        prefetch(&self.decoder);
        prefetch(&self.made);
    }

    /// A packet comes next.
    pub fn prefetch_packets(&self) {
        self.jitter.prefetch_packets();
    }

    /// A frame is made next.
    pub fn prefetch_frame(&self) {
        self.jitter.prefetch_packets();
        self.concealer.prefetch();
        prefetch_all(self.recent[self.made as usize % RECENT].samples());
    }

    /// When the newest frame was spoken.
    pub fn spoken(&self) -> Spoken {
        let waiting = self.pending.count() * (self.clock_hz as usize / 50) / self.rate.frame();
        let reached = self.jitter.reached().filter(|_| self.is_spoken);
        Spoken {
            end: reached.map(|reached| reached.wrapping_sub(waiting as u32)),
            clock_hz: self.clock_hz,
        }
    }

    /// The newest frame is as it may be heard; what of it is silence need not be waited for.
    pub fn finish_newest(&mut self) {
        let place = self.made.wrapping_sub(1) as usize % RECENT;
        self.quiet[place] = self.recent[place].samples().iter().all(|it| *it == 0);
    }

    fn is_quiet(&self, index: u32) -> bool {
        self.quiet[index as usize % RECENT]
    }

    /// Takes what is to be played next to the samples that wait; or, where none wait and it is as
    /// long as a frame, makes it the frame, which is true then.
    fn pull(&mut self, now: Instant) -> bool {
        let frame = self.rate.frame();
        self.is_spoken = false;
        match self.jitter.pop(now) {
            Playout::Packet(payload)
                if self.pending.count() == 0 && self.decoder.yields(payload, frame) =>
            {
                self.is_spoken = true;
                let samples = self.recent[self.made as usize % RECENT].samples_mut();
                self.decoder.decode(payload, samples);
                self.concealer.note(samples);
                return true;
            }
            Playout::Packet(payload) => {
                self.is_spoken = true;
                let room = self.pending.room();
                let count = self.decoder.decode(payload, room);
                if count == 0 {
                    let room = &mut room[..frame];
                    self.concealer.conceal(room);
                    self.pending.grow(frame);
                } else {
                    self.concealer.note(&mut room[..count]);
                    self.pending.grow(count);
                }
            }
            Playout::Lost(next) => {
                let room = self.pending.room();
                match self.decoder.recover(next, room) {
                    0 => self.concealer.conceal(&mut room[..frame]),
                    count => self.concealer.note(&mut room[..count]),
                }
                self.pending.grow(frame);
            }
            Playout::Silence => {
                let room = &mut self.pending.room()[..frame];
                self.concealer.conceal(room);
                self.pending.grow(frame);
            }
        }
        false
    }

    pub fn made(&self) -> u32 {
        self.made
    }

    pub fn newest_mut(&mut self) -> &mut Frame {
        &mut self.recent[self.made.wrapping_sub(1) as usize % RECENT]
    }

    pub fn newest(&self) -> &Frame {
        &self.recent[self.made.wrapping_sub(1) as usize % RECENT]
    }

    fn frame(&self, index: u32) -> &Frame {
        &self.recent[index as usize % RECENT]
    }
}

/// Whether nobody speaks there: quieter than −40 dBm0, far below a voice.
fn is_a_pause(samples: &[i16]) -> bool {
    const QUIET: i64 = 160;
    let energy: i64 = samples.iter().map(|it| i64::from(*it).pow(2)).sum();
    energy <= QUIET.pow(2) * samples.len() as i64
}

/// How far one listener's row, clocked by its counterpart, lags behind a speaker's frames. It takes
/// the oldest that it has not had; when there is none it says so, which makes it lag one frame
/// more, and when it has long had one to spare it gives one up. Silence it neither misses nor keeps:
/// a voice that begins is heard without lag.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lag {
    started: bool,
    next: u32,
    /// The fewest frames left over since the count began.
    spare: u32,
    taken: u32,
    patience: u32,
}

/// A frame for a row, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    Fresh,
    /// None is there yet: the last one again, to be faded out.
    Again,
}

const PATIENCE: u32 = 50;
const MAX_PATIENCE: u32 = 400;

impl Lag {
    /// Whether it has had all that is no silence, so that a frame made early would be the next.
    pub fn has_caught_up(&self, hearing: &Hearing) -> bool {
        let left = hearing.made().wrapping_sub(self.next);
        !self.started
            || left as usize >= RECENT - 1
            || (0..left).all(|n| hearing.is_quiet(self.next.wrapping_add(n)))
    }

    pub fn fetch(&mut self, hearing: &Hearing, frame: &mut Frame) -> Fetched {
        let made = hearing.made();
        let mut left = made.wrapping_sub(self.next);
        if !self.started || left as usize >= RECENT - 1 {
            self.started = true;
            self.next = made.wrapping_sub(1);
            self.begin_count(PATIENCE);
            left = 1;
        }
        while left > 1 && hearing.is_quiet(self.next) {
            self.next = self.next.wrapping_add(1);
            left -= 1;
        }
        if left == 0 && hearing.is_quiet(self.next.wrapping_sub(1)) {
            *frame = Frame::silent(hearing.rate());
            return Fetched::Fresh;
        }
        if left == 0 {
            *frame = *hearing.newest();
            self.begin_count((self.patience * 2).min(MAX_PATIENCE));
            return Fetched::Again;
        }
        *frame = *hearing.frame(self.next);
        self.next = self.next.wrapping_add(1);
        self.taken += 1;
        self.spare = self.spare.min(left - 1);
        if self.taken >= self.patience {
            if self.spare > 0 {
                blend(frame, hearing.frame(self.next));
                self.next = self.next.wrapping_add(1);
            }
            self.begin_count(PATIENCE);
        }
        Fetched::Fresh
    }

    fn begin_count(&mut self, patience: u32) {
        self.taken = 0;
        self.spare = u32::MAX;
        self.patience = patience;
    }
}

/// Two frames in the time of one: the first goes out as the second comes in.
fn blend(first: &mut Frame, second: &Frame) {
    let length = first.samples().len() as i32;
    let pairs = first.samples_mut().iter_mut().zip(second.samples());
    for (step, (first, second)) in (0..).zip(pairs) {
        let sum = i32::from(*first) * (length - step) + i32::from(*second) * step;
        *first = (sum / length) as i16;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn frames_are_given_up_where_the_voice_pauses() {
        let mut given_up = [0; 2];
        for seed in 1..=10 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut hearing = Hearing::new(Codec::Pcmu, Rate::Narrow).unwrap();
            let mut under_way = Vec::new();
            let start = Instant::now();

            // Five seconds of jitter, then an even network; every other frame is a pause.
            for number in 0..350u32 {
                let late = if number < 250 { random.u64(..60) } else { 0 };
                under_way.push((u64::from(number) * 20 + late, number));
                under_way.sort_unstable();
                let now = u64::from(number) * 20 + 7;
                let arrived = under_way.partition_point(|(at, _)| *at <= now);
                for (at, number) in under_way.drain(..arrived) {
                    let payload = [[0xff, 0x10][number as usize % 2]; 160];
                    let at = start + Duration::from_millis(at);
                    hearing.insert(at, header(number), &payload);
                }
                let before = hearing.counts().given_up;
                hearing.advance(start + Duration::from_millis(now));
                let reached = hearing.jitter.reached().unwrap_or(0);
                if hearing.counts().given_up > before {
                    // Two were played; the first says whether it was a pause.
                    let first = reached / 160 - 2;
                    given_up[first as usize % 2] += 1;
                }
            }
        }

        let [in_pauses, in_voice] = given_up;
        assert!(in_pauses >= 20, "{in_pauses}");
        assert_eq!(in_voice, 0);
    }

    #[test]
    fn a_row_with_an_even_clock_gets_every_frame_once_and_in_order() {
        let (mut hearing, mut lag) = (counting(), Lag::default());
        let mut got = Vec::new();

        for turn in 0..500 {
            make(&mut hearing, turn);
            got.extend(fetch(&hearing, &mut lag));
        }

        assert_eq!(got, (0..500).collect::<Vec<_>>());
    }

    #[test]
    fn a_row_with_a_faster_clock_is_told_when_there_is_nothing_yet_and_then_lags() {
        let (mut hearing, mut lag) = (counting(), Lag::default());
        let mut again = 0;

        for turn in 0..400 {
            make(&mut hearing, turn);
            let fetches = if turn % 100 == 99 { 2 } else { 1 };
            for _ in 0..fetches {
                again += u32::from(fetch(&hearing, &mut lag).is_none());
            }
        }

        assert!((1..=4).contains(&again), "{again}");
    }

    #[test]
    fn a_row_that_long_has_a_frame_to_spare_gives_one_up() {
        let (mut hearing, mut lag) = (counting(), Lag::default());
        make(&mut hearing, 0);
        fetch(&hearing, &mut lag);
        make(&mut hearing, 1);
        make(&mut hearing, 2);
        let mut newest = None;

        for turn in 3..200 {
            make(&mut hearing, turn);
            newest = fetch(&hearing, &mut lag);
        }

        assert_eq!(newest, Some(199));
    }

    #[test]
    fn a_row_that_stood_still_begins_with_the_newest() {
        let (mut hearing, mut lag) = (counting(), Lag::default());
        make(&mut hearing, 0);
        fetch(&hearing, &mut lag);
        for turn in 1..50 {
            make(&mut hearing, turn);
        }

        assert_eq!(fetch(&hearing, &mut lag), Some(49));
    }

    fn counting() -> Hearing {
        Hearing::new(Codec::Pcmu, Rate::Narrow).unwrap()
    }

    /// A frame that says which it is.
    fn make(hearing: &mut Hearing, number: i16) {
        hearing.made = hearing.made.wrapping_add(1);
        hearing.newest_mut().samples_mut().fill(number);
        hearing.finish_newest();
    }

    fn header(number: u32) -> Header {
        Header {
            payload_type: 0,
            marker: false,
            sequence: number as u16,
            timestamp: number * 160,
            ssrc: 1,
        }
    }

    fn fetch(hearing: &Hearing, lag: &mut Lag) -> Option<i16> {
        let mut frame = Frame::silent(Rate::Narrow);
        match lag.fetch(hearing, &mut frame) {
            Fetched::Fresh => frame.samples().first().copied(),
            Fetched::Again => None,
        }
    }
}
