//! Keys heard in the audio: [`ToneDetector`] takes samples at 8 kHz and says when a key went down
//! and when it came up again. It allocates nothing once it is made.
//!
//! Every 5 ms the filter [`bank`] names the strongest row and column. Only if that pair holds a
//! good part of the energy, is two clean lines and lies near a key, it is fitted with two steady
//! tones over windows of 27.5 to 80 ms, the shortest first, and the first fit whose [`evidence`]
//! suffices is a key. So an exact key is known after 30 ms, and a doubtful one has to last.

mod bank;
mod complex;
mod evidence;
mod fit;
mod grid;
mod history;
mod hold;
mod lines;
mod moments;
mod spectrum;
mod watch;

use crate::media::dtmf::Digit;
use crate::media::dtmf::tone::bank::{Bank, Survey, TABLES, Tables};
use crate::media::dtmf::tone::evidence::{Surroundings, is_possible, largest_residual, score};
use crate::media::dtmf::tone::fit::{Fit, Window, fit};
use crate::media::dtmf::tone::grid::{BLOCK, PIECE, Pair, pieces_in};
use crate::media::dtmf::tone::history::History;
use crate::media::dtmf::tone::hold::{Hold, Presence};
use crate::media::dtmf::tone::lines::Lines;
use crate::media::dtmf::tone::moments::{HAMMING_PIECES, PairMoments, REACH};
use crate::media::dtmf::tone::watch::{ALARM_WINDOWS, Watch, is_alarming};

/// How sure the detector has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// In a menu, where one answers: keys from 40 ms on.
    Menu,
    /// In a call, where one speaks: keys from 80 ms on, and nothing that is not one.
    Role,
}

/// What became of a key. Samples are counted back from the end of what was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToneEvent {
    Pressed {
        digit: Digit,
        /// When the tone began.
        onset_samples_ago: usize,
        /// When enough of it was heard.
        decided_samples_ago: usize,
    },
    Released {
        digit: Digit,
    },
}

/// The events of one push, in their order.
#[derive(Clone, Copy, Debug, Default)]
pub struct ToneEvents {
    events: [Option<ToneEvent>; MOST_EVENTS],
    count: usize,
    taken: usize,
}

/// A block may end one key and begin another; more than 60 ms are never pushed at once. Beyond
/// that the oldest are kept.
const MOST_EVENTS: usize = 24;

impl ToneEvents {
    fn add(&mut self, event: ToneEvent) {
        if let Some(place) = self.events.get_mut(self.count) {
            *place = Some(event);
            self.count += 1;
        }
    }

    /// Events are dated from the end of what is pushed, which was not over when they were added.
    fn date_back(&mut self, from: usize, later: usize) {
        for event in self.events[from..self.count].iter_mut().flatten() {
            if let ToneEvent::Pressed {
                onset_samples_ago,
                decided_samples_ago,
                ..
            } = event
            {
                *onset_samples_ago += later;
                *decided_samples_ago += later;
            }
        }
    }
}

impl Iterator for ToneEvents {
    type Item = ToneEvent;

    fn next(&mut self) -> Option<ToneEvent> {
        let event = self.events.get(self.taken).copied().flatten()?;
        self.taken += 1;
        Some(event)
    }
}

/// Listens to one signal.
#[derive(Clone, Debug)]
pub struct ToneDetector {
    profile: Profile,
    tables: &'static Tables,
    bank: Bank,
    /// The newest sound, before and after the high-pass.
    unfiltered: History,
    filtered: History,
    /// Energies of the newest pieces after the high-pass, by number.
    energies: [f32; ENERGIES],
    /// Pieces heard since the beginning.
    present: u64,
    /// Samples that do not make a block yet.
    waiting: [i16; BLOCK],
    waited: usize,
    moments: PairMoments,
    lines: Lines,
    hold: Option<Hold>,
    /// The key that was held last, and the sample at which it was there last.
    last: Option<(Pair, u64)>,
    watch: Option<Watch>,
}

const ENERGIES: usize = 128;

/// Windows of the fits, in pieces. The longest is 80 ms.
const MENU_WINDOWS: [usize; 7] = [11, 13, 16, 20, 24, 28, 32];
const ROLE_WINDOWS: [usize; 2] = [24, 28];
const LONGEST: usize = 32;

/// From this length on a window may have holes.
const LEAST_WITH_HOLES: usize = pieces_in(40);

/// In the role profile a key is known this long after it began, or not at all.
const ROLE_LATEST: usize = 75 * 8;

/// Less energy than this in 20 ms is silence.
const SILENCE: f32 = 160.0 * 40.0 * 40.0;

/// The share of the energy that the strongest pair must have for a closer look.
const LEAST_SHARE: f32 = 0.20;

/// Against three quarters of a window's pieces, what is a hole in it.
const MUCH_WEAKER: f32 = 0.12;

/// A key that comes back within this after it was there last was never let go.
const CONTINUATION: u64 = 20 * 8;

impl ToneDetector {
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            tables: &TABLES,
            bank: Bank::default(),
            unfiltered: History::new(LONGEST * PIECE),
            filtered: History::new(REACH * PIECE),
            energies: [0.0; ENERGIES],
            present: 0,
            waiting: [0; BLOCK],
            waited: 0,
            moments: PairMoments::new(),
            lines: Lines::new(),
            hold: None,
            last: None,
            watch: None,
        }
    }

    /// A detector that also marks, early, what may not be let through by a clamp.
    pub(in crate::media) fn watching(profile: Profile) -> Self {
        Self {
            watch: Some(Watch::new()),
            ..Self::new(profile)
        }
    }

    /// Whether the sample that was pushed so many samples ago may not be let through.
    pub(in crate::media) fn is_shut(&self, samples_ago: usize) -> bool {
        let sample = (self.now() + self.waited as u64).checked_sub(samples_ago as u64);
        match (&self.watch, sample) {
            (Some(watch), Some(sample)) => watch.is_shut(sample / PIECE as u64),
            _ => false,
        }
    }

    pub fn set_profile(&mut self, profile: Profile) {
        self.profile = profile;
    }

    /// Whether a key is down.
    pub fn is_key_present(&self) -> bool {
        self.hold.is_some()
    }

    /// Takes the next samples at 8 kHz, best in frames of 10 or 20 ms.
    pub fn push(&mut self, samples: &[i16]) -> ToneEvents {
        let mut events = ToneEvents::default();
        let mut rest = samples;
        while !rest.is_empty() {
            let before = events.count;
            if let (0, Some((block, later))) = (self.waited, rest.split_first_chunk()) {
                rest = later;
                self.handle_block(block, &mut events);
            } else {
                let count = rest.len().min(BLOCK - self.waited);
                let (now, later) = rest.split_at(count);
                self.waiting[self.waited..][..count].copy_from_slice(now);
                self.waited += count;
                rest = later;
                if self.waited == BLOCK {
                    self.waited = 0;
                    let block = self.waiting;
                    self.handle_block(&block, &mut events);
                }
            }
            events.date_back(before, rest.len());
        }
        events
    }

    fn handle_block(&mut self, block: &[i16; BLOCK], events: &mut ToneEvents) {
        let input = self.unfiltered.next_block();
        for (place, sample) in input.iter_mut().zip(block) {
            *place = f32::from(*sample);
        }
        let output = self.filtered.next_block();
        let survey = self.bank.survey(self.tables, input, output);
        for energy in survey.energy {
            self.energies[self.present as usize % ENERGIES] = energy;
            self.present += 1;
        }

        if self.watch.is_some() {
            self.keep_watch(&survey);
        }
        if self.is_held(events) {
            return;
        }
        let Some(key) = self.search(&survey) else {
            return;
        };
        let now = self.now();
        let onset = now.saturating_sub(key.onset_ago as u64);
        let pair = key.pair;
        let continues = self
            .last
            .is_some_and(|(last, seen)| last == pair && onset < seen + CONTINUATION);
        if let Some(hold) = self.hold.replace(Hold::new(pair, &key.fit)) {
            events.add(ToneEvent::Released {
                digit: hold.pair.digit(),
            });
        }
        self.last = Some((pair, now));
        if let Some(watch) = &mut self.watch {
            watch.shut(onset / PIECE as u64, self.present);
        }
        if !continues {
            events.add(ToneEvent::Pressed {
                digit: pair.digit(),
                onset_samples_ago: key.onset_ago,
                decided_samples_ago: 0,
            });
        }
    }

    /// Samples heard since the beginning.
    fn now(&self) -> u64 {
        self.present * PIECE as u64
    }

    /// Energy of the piece that lies `back` pieces before the newest.
    fn energy(&self, back: usize) -> f32 {
        let number = self.present as usize + ENERGIES - 1 - back;
        self.energies[number % ENERGIES]
    }

    fn newest_energy(&self, pieces: usize) -> f32 {
        (0..pieces).map(|back| self.energy(back)).sum()
    }

    /// Follows the key that is down; nothing else is looked for while it sounds.
    fn is_held(&mut self, events: &mut ToneEvents) -> bool {
        let recent = self.newest_energy(4);
        let now = self.now();
        let Some(hold) = &mut self.hold else {
            return false;
        };
        match hold.follow(self.filtered.last(2 * BLOCK), recent) {
            Presence::Present => {
                self.last = Some((hold.pair, now));
                true
            }
            Presence::Doubtful => true,
            Presence::Absent => false,
            Presence::Released => {
                events.add(ToneEvent::Released {
                    digit: hold.pair.digit(),
                });
                self.hold = None;
                false
            }
        }
    }

    fn search(&mut self, survey: &Survey) -> Option<Found> {
        let pair = survey.strongest();
        if !is_worth_a_look(survey, pair, self.newest_energy(HAMMING_PIECES)) {
            return None;
        }
        if self.hold.as_ref().is_some_and(|hold| hold.pair == pair) {
            return None;
        }
        self.reach(pair, HAMMING_PIECES + 2);
        let weighted = lines::weighted_energy(|back| self.energy(back));
        if !self.lines.pass_the_gate(&self.moments, weighted) {
            return None;
        }

        let longest = match self.profile {
            Profile::Menu => MENU_WINDOWS[MENU_WINDOWS.len() - 1],
            Profile::Role => ROLE_WINDOWS[ROLE_WINDOWS.len() - 1],
        };
        self.reach(pair, longest);
        let windows: &[usize] = match self.profile {
            Profile::Menu => &MENU_WINDOWS,
            Profile::Role => &ROLE_WINDOWS,
        };
        // No window leaves less than a part of it does.
        let (mut leaves, mut leaves_newest) = (0.0, 0.0);
        for (n, &pieces) in windows.iter().enumerate() {
            let whole = Window::whole(0, pieces);
            if !self.may_begin(&whole) {
                return None;
            }
            let first = self.try_window(whole, &mut leaves);
            if let Verdict::Key(found) = first {
                return Some(found);
            }
            if self.profile == Profile::Menu && n == 0 && matches!(first, Verdict::Unclean) {
                let earlier = Window::whole(1, pieces);
                if let Verdict::Key(found) = self.try_window(earlier, &mut 0.0) {
                    return Some(found);
                }
            }
            if pieces >= LEAST_WITH_HOLES
                && let Some(window) = self.window_with_holes(pieces)
            {
                // The newest window is part of this one, unless it has a hole itself.
                let mut leaves = match window.left_out & ((1 << windows[0]) - 1) {
                    0 => leaves_newest,
                    _ => 0.0,
                };
                if let Verdict::Key(found) = self.try_window(window, &mut leaves) {
                    return Some(found);
                }
            }
            if n == 0 {
                leaves_newest = leaves;
            }
        }
        None
    }

    /// Fits and judges one window. `leaves` is the least that it can leave, and then what it left.
    fn try_window(&mut self, window: Window, leaves: &mut f64) -> Verdict {
        if !self.may_begin(&window) {
            return Verdict::Hopeless;
        }
        let counting = (0..window.pieces).filter(|n| !window.is_left_out(*n));
        let energy = counting.map(|n| f64::from(self.energy(n + window.skipped)));
        let energy = energy.sum();
        let most = match window.left_out {
            0 => largest_residual(&window, energy),
            _ => largest_residual(&window, energy).min(0.1 * energy),
        };
        if *leaves * BOUND_SLACK > most {
            return Verdict::Hopeless;
        }
        let offsets = self.lines.offsets(&self.moments, window.pieces);
        match fit(&self.moments, window, offsets, energy, most) {
            Ok(fit) => {
                *leaves = leaves.max(fit.residual);
                if window.left_out != 0 && !is_trusted_with_holes(&fit) {
                    return Verdict::Unclean;
                }
                match self.judge(fit) {
                    Some(found) => Verdict::Key(found),
                    None => Verdict::Unclean,
                }
            }
            Err(hopeless) => {
                *leaves = leaves.max(hopeless.residual);
                if hopeless.residual > 0.25 * energy {
                    Verdict::Hopeless
                } else {
                    Verdict::Unclean
                }
            }
        }
    }

    /// Looks for what might be a key, over windows too short to know.
    fn keep_watch(&mut self, survey: &Survey) {
        let present = self.present;
        let energy = self.newest_energy(HAMMING_PIECES);
        let block = watch::Block {
            survey,
            newest: self.filtered.last(2 * BLOCK),
            energy: self.newest_energy(4),
            energy_20_ms: energy,
        };
        let Some(watch) = &mut self.watch else {
            return;
        };
        let pair = survey.strongest();
        if watch.follow(present, &block) || !is_worth_a_look(survey, pair, energy) {
            return;
        }
        self.reach(pair, ALARM_WINDOWS[ALARM_WINDOWS.len() - 1]);
        let weighted = lines::weighted_energy(|back| self.energy(back));
        if !self.lines.pass_the_gate(&self.moments, weighted) {
            return;
        }
        for pieces in ALARM_WINDOWS {
            let offsets = self.lines.offsets(&self.moments, pieces);
            let energy = f64::from(self.newest_energy(pieces));
            let window = Window::whole(0, pieces);
            let fit = fit(&self.moments, window, offsets, energy, energy);
            if let (Ok(fit), Some(watch)) = (fit, &mut self.watch)
                && is_alarming(&fit)
            {
                watch.alarm(pair, &fit, present);
                return;
            }
        }
    }

    /// Makes the moments of a pair available for the newest pieces.
    fn reach(&mut self, pair: Pair, pieces: usize) {
        let samples = self.filtered.last(pieces * PIECE);
        self.moments.reach(pair, self.present, pieces, samples);
        let block = self.present / (BLOCK / PIECE) as u64;
        self.lines.follow(pair, block);
    }

    /// A window never begins in the key before.
    fn may_begin(&self, window: &Window) -> bool {
        let begin = ((window.skipped + window.pieces) * PIECE) as u64;
        self.last
            .is_none_or(|(_, seen)| begin <= self.now().saturating_sub(seen) + PIECE as u64 / 2)
    }

    /// The pieces of a window that are much weaker than the rest, with their neighbours.
    fn holes(&self, pieces: usize) -> u64 {
        let mut sorted = [0.0f32; LONGEST];
        let sorted = &mut sorted[..pieces];
        let (mut weakest, mut strongest) = (f32::MAX, 0.0f32);
        for (n, energy) in sorted.iter_mut().enumerate() {
            *energy = self.energy(n);
            weakest = weakest.min(*energy);
            strongest = strongest.max(*energy);
        }
        // Nothing is weak against three quarters that is not so against the strongest.
        if weakest >= MUCH_WEAKER * strongest {
            return 0;
        }
        let (_, upper, _) = sorted.select_nth_unstable_by(pieces * 3 / 4, f32::total_cmp);
        let least = MUCH_WEAKER * *upper;
        let weak = (0..pieces)
            .filter(|n| self.energy(*n) < least)
            .fold(0u64, |bits, n| bits | 1 << n);
        (weak | weak << 1 | weak >> 1) & ((1 << pieces) - 1)
    }

    fn window_with_holes(&self, pieces: usize) -> Option<Window> {
        let left_out = self.holes(pieces);
        let window = Window {
            left_out,
            ..Window::whole(0, pieces)
        };
        let least = match self.profile {
            Profile::Menu => pieces_in(25),
            Profile::Role => pieces_in(55),
        };
        (left_out != 0 && window.kept() >= least).then_some(window)
    }

    fn judge(&mut self, fit: Fit) -> Option<Found> {
        if !is_possible(&fit) {
            return None;
        }
        let pair = self.moments.pair();
        self.reach(pair, REACH);
        let window = fit.window;
        let beginning = self.lines.beginning(&self.moments, &window);
        let skipped = window.skipped * PIECE;
        let samples = window.samples();
        let around = Surroundings {
            unfiltered: &self
                .unfiltered
                .last((LONGEST * PIECE).min(skipped + samples))[..samples],
            filtered: &self.filtered.last(skipped + samples)[..samples],
            is_sharp: beginning.is_sharp,
            quietest: self.quietest_before(&window),
        };
        let needed = match self.profile {
            Profile::Menu => 0.0,
            Profile::Role => 4.2,
        };
        let late = self.profile == Profile::Role && beginning.onset_ago > ROLE_LATEST;
        (!late && score(&fit, &around) >= needed).then_some(Found {
            pair,
            fit,
            onset_ago: beginning.onset_ago,
        })
    }

    /// The least energy of 10 ms in the 100 ms before a window.
    fn quietest_before(&self, window: &Window) -> f64 {
        let begin = window.skipped + window.pieces;
        let at = |n: usize| self.energy((begin + n).min(ENERGIES - 1));
        let sums = (0..=36).map(|n| at(n) + at(n + 1) + at(n + 2) + at(n + 3));
        f64::from(sums.fold(f32::MAX, f32::min))
    }
}

/// A key that was just recognised.
struct Found {
    pair: Pair,
    fit: Fit,
    /// Samples.
    onset_ago: usize,
}

/// Whether a pair holds enough of the energy of 20 ms.
fn is_worth_a_look(survey: &Survey, pair: Pair, energy: f32) -> bool {
    energy >= SILENCE && survey.share(pair, energy) >= LEAST_SHARE
}

/// What became of a window.
enum Verdict {
    Key(Found),
    /// Not clean enough, but not far from it.
    Unclean,
    Hopeless,
}

/// Frequencies are found over each window anew, so that the bound of one is nearly that of the
/// next.
const BOUND_SLACK: f64 = 0.85;

/// Whether a fit over a hole may be judged: its phase runs on across the hole.
fn is_trusted_with_holes(fit: &Fit) -> bool {
    let window = &fit.window;
    if window.kept() >= 13 {
        return fit.share() >= 0.90;
    }
    let kept = || (0..window.pieces).filter(|n| !window.is_left_out(*n));
    let span = kept().max().unwrap_or(0) - kept().min().unwrap_or(0) + 1;
    fit.share() >= 0.96 && span > 15
}

#[cfg(test)]
mod tests;
