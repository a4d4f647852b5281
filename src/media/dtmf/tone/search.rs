//! The search for a key in what was heard lately: windows of growing length, each fitted with the
//! two steady tones of one pair, until one of them is a key; and at last around what might be lost.

use crate::media::dtmf::tone::Profile;
use crate::media::dtmf::tone::bank::Survey;
use crate::media::dtmf::tone::evidence::{
    Surroundings, exactness, is_out_of_quiet, is_possible, is_possible_parted, largest_residual,
    largest_residual_parted, score,
};
use crate::media::dtmf::tone::fit::{Fit, Window, fit};
use crate::media::dtmf::tone::gap::Parts;
use crate::media::dtmf::tone::grid::{BLOCK, PIECE, Pair, pieces_in};
use crate::media::dtmf::tone::lines::Lines;
use crate::media::dtmf::tone::moments::{HAMMING_PIECES, PairMoments, REACH};
use crate::media::dtmf::tone::sound::{Holes, LONGEST, Sound};
use crate::media::dtmf::tone::watch::{ALARM_WINDOWS, is_alarming};

/// Windows of the fits, in pieces.
const MENU_WINDOWS: [usize; 7] = [11, 13, 16, 20, 24, 28, LONGEST];
const ROLE_WINDOWS: [usize; 2] = [24, 28];

/// The score that a key needs.
const MENU_SCORE: f64 = 0.0;
const ROLE_SCORE: f64 = 4.2;

/// Windows around a gap, in pieces, and the score that what is left needs: a key on a quiet line has
/// it to spare, a voice from which its worst part was taken has not.
const PARTED_WINDOWS: [usize; 4] = [20, 24, 28, LONGEST];
const PARTED_SCORE: f64 = 12.0;

/// In the role profile a key is known this long after it began, or not at all.
const ROLE_LATEST: usize = 75 * 8;

/// From this length on a window may have holes. What interrupts a key does so once or twice; the
/// pitch of a voice, over and over.
const LEAST_WITH_HOLES: usize = pieces_in(40);
const MOST_HOLES: usize = 2;

/// What the tones have to explain around a hole, and around one that leaves less than 32.5 ms.
const SHARE_WITH_HOLES: f64 = 0.90;
const SHARE_OF_LITTLE: f64 = 0.96;
const LITTLE: usize = 13;

/// Less energy than this in 20 ms is silence.
const SILENCE: f32 = 160.0 * 40.0 * 40.0;

/// The share of the energy that the strongest pair must have for a closer look.
const LEAST_SHARE: f32 = 0.20;

/// Frequencies are found over each window anew, so that the bound of one is nearly that of the
/// next.
const BOUND_SLACK: f64 = 0.85;

/// Nothing that starts this far from a key ends near one, of itself: a fit corrects less than a
/// percent.
const FARTHEST_START: f64 = 0.033;

/// Nor does what starts this far from one end where a generator puts it.
const EXACT_START: f64 = 0.01;

/// One pair at a time, as far as it was looked at.
#[derive(Clone, Debug)]
pub struct Search {
    moments: PairMoments,
    lines: Lines,
    bounds: Bounds,
}

/// What windows leave at least, for one pair: a window leaves no less than any part of it does. The
/// parts are the windows before it, in this block and in those just before.
#[derive(Clone, Debug)]
struct Bounds {
    pair: Pair,
    present: u64,
    /// By the pieces of a window that ends now; never less for a longer one.
    least: [f64; LONGEST + 1],
}

/// A key that was just recognised.
pub struct Found {
    pub pair: Pair,
    pub fit: Fit,
    /// Samples.
    pub onset_ago: usize,
}

/// What is looked for.
pub struct Wanted<'a> {
    pub profile: Profile,
    pub survey: &'a Survey,
    /// The key that is down, which is not found again.
    pub held: Option<Pair>,
    /// Samples since the key before was there last: no window begins in it.
    pub since_last: Option<u64>,
}

/// What became of a window.
enum Verdict {
    Key(Found),
    /// Not clean enough, but not far from it.
    Unclean,
    Hopeless,
}

impl Verdict {
    fn of_residual(residual: f64, energy: f64) -> Self {
        match residual > 0.25 * energy {
            true => Self::Hopeless,
            false => Self::Unclean,
        }
    }
}

impl Search {
    pub fn new() -> Self {
        Self {
            moments: PairMoments::new(),
            lines: Lines::new(),
            bounds: Bounds {
                pair: Pair { row: 0, column: 4 },
                present: 0,
                least: [0.0; LONGEST + 1],
            },
        }
    }

    /// Looks for a key that is there now.
    #[inline]
    pub fn find(&mut self, sound: &Sound, wanted: &Wanted) -> Option<Found> {
        let pair = wanted.survey.strongest();
        if wanted.held == Some(pair) || !self.is_near_a_key(sound, wanted.survey, pair) {
            return None;
        }
        self.fit_windows(sound, wanted, pair)
    }

    /// Fits one window after the other, the shortest first, until one is a key.
    #[inline(never)]
    fn fit_windows(&mut self, sound: &Sound, wanted: &Wanted, pair: Pair) -> Option<Found> {
        let windows: &[usize] = match wanted.profile {
            Profile::Menu => &MENU_WINDOWS,
            Profile::Role => &ROLE_WINDOWS,
        };
        self.reach(sound, pair, windows[windows.len() - 1]);
        self.bounds.follow(pair, sound.present());
        let mut holes = sound.holes();
        for (n, &pieces) in windows.iter().enumerate() {
            let whole = Window::whole(0, pieces);
            if !wanted.may_begin(&whole) {
                return None;
            }
            let first = self.try_window(sound, wanted, whole);
            if let Verdict::Key(found) = first {
                return Some(found);
            }
            if wanted.profile == Profile::Menu && n == 0 && matches!(first, Verdict::Unclean) {
                let earlier = Window::whole(1, pieces);
                if let Verdict::Key(found) = self.try_window(sound, wanted, earlier) {
                    return Some(found);
                }
            }
            if pieces >= LEAST_WITH_HOLES
                && let Some(window) = window_with_holes(&mut holes, wanted.profile, pieces)
                && let Verdict::Key(found) = self.try_window(sound, wanted, window)
            {
                return Some(found);
            }
        }
        match wanted.profile {
            Profile::Menu => self.fit_around_gap(sound, wanted),
            Profile::Role => None,
        }
    }

    /// Fits what is left of a key whose middle was lost, the shortest window first.
    fn fit_around_gap(&mut self, sound: &Sound, wanted: &Wanted) -> Option<Found> {
        let is_promising = |pieces: usize| {
            let window = Window::whole(0, pieces);
            wanted.may_begin(&window)
                && is_out_of_quiet(
                    sound.quietest_before(&window),
                    sound.energy(&window) / window.samples() as f64,
                )
        };
        let mut windows = PARTED_WINDOWS
            .into_iter()
            .filter(|pieces| is_promising(*pieces))
            .peekable();
        windows.peek()?;
        self.reach(sound, self.moments.pair(), LONGEST);
        let parts = Parts::new(&self.moments, sound.energies(0, LONGEST));
        windows.find_map(|pieces| {
            let parted = parts.without_gap(pieces, largest_residual_parted)?;
            let energy = sound.energy(&parted.window);
            let most = largest_residual_parted(parted.window.kept()) * energy;
            let fit = fit(
                &mut self.moments,
                parted.window,
                parted.offsets,
                energy,
                most,
            )
            .ok()?;
            if !is_possible_parted(&fit) || !parts.is_unambiguous(&fit) {
                return None;
            }
            self.found(sound, fit, PARTED_SCORE, usize::MAX)
        })
    }

    /// Looks for what might be a key, over windows too short to know.
    pub fn alarm(&mut self, sound: &Sound, survey: &Survey) -> Option<(Pair, Fit)> {
        let pair = survey.strongest();
        if !self.is_near_a_key(sound, survey, pair) {
            return None;
        }
        self.reach(sound, pair, ALARM_WINDOWS[ALARM_WINDOWS.len() - 1]);
        ALARM_WINDOWS.iter().find_map(|&pieces| {
            let window = Window::whole(0, pieces);
            let offsets = self.lines.offsets(&self.moments, pieces);
            let energy = sound.energy(&window);
            let fit = fit(&mut self.moments, window, offsets, energy, energy).ok()?;
            is_alarming(&fit).then_some((pair, fit))
        })
    }

    /// Whether the newest 20 ms are worth a fit.
    #[inline]
    fn is_near_a_key(&mut self, sound: &Sound, survey: &Survey, pair: Pair) -> bool {
        let energy = sound.newest_energy(HAMMING_PIECES);
        if energy < SILENCE || survey.share(pair, energy) < LEAST_SHARE {
            return false;
        }
        self.pass_the_gate(sound, pair)
    }

    #[inline(never)]
    fn pass_the_gate(&mut self, sound: &Sound, pair: Pair) -> bool {
        self.reach(sound, pair, HAMMING_PIECES + 2);
        self.lines.pass_the_gate(&self.moments, sound)
    }

    /// Makes the moments of a pair available for the newest pieces.
    fn reach(&mut self, sound: &Sound, pair: Pair, pieces: usize) {
        let samples = sound.filtered.last(pieces * PIECE);
        self.moments.reach(pair, sound.present(), pieces, samples);
        let block = sound.present() / (BLOCK / PIECE) as u64;
        self.lines.follow(pair, block);
    }

    /// Fits and judges one window.
    fn try_window(&mut self, sound: &Sound, wanted: &Wanted, window: Window) -> Verdict {
        if !wanted.may_begin(&window) {
            return Verdict::Hopeless;
        }
        let energy = sound.energy(&window);
        let most = |may_be_exact: bool| {
            largest_residual(&window, may_be_exact).min(1.0 - least_share(&window)) * energy
        };
        let may_be_exact = wanted.profile == Profile::Menu;
        let least = self.bounds.of(&window);
        if least * BOUND_SLACK > most(may_be_exact) {
            return Verdict::of_residual(least, energy);
        }
        let offsets = self.lines.offsets(&self.moments, window.pieces);
        let nominal = self.moments.pair().angular();
        let starts_within = |share| (0..2).all(|tone| offsets[tone].abs() <= share * nominal[tone]);
        let most = most(may_be_exact && starts_within(EXACT_START));
        if least * BOUND_SLACK > most || !starts_within(FARTHEST_START) {
            return Verdict::Hopeless;
        }
        match fit(&mut self.moments, window, offsets, energy, most) {
            Ok(fit) => {
                self.bounds.add(&window, fit.residual);
                if !is_trusted_with_holes(&fit) {
                    return Verdict::Unclean;
                }
                match self.judge(sound, wanted.profile, fit) {
                    Some(found) => Verdict::Key(found),
                    None => Verdict::Unclean,
                }
            }
            Err(hopeless) => {
                self.bounds.add(&window, hopeless.residual);
                Verdict::of_residual(hopeless.residual, energy)
            }
        }
    }

    fn judge(&mut self, sound: &Sound, profile: Profile, fit: Fit) -> Option<Found> {
        // Not in a call: 40 ms of an exact key would do.
        let exactness = match profile {
            Profile::Menu => exactness(&fit),
            Profile::Role => 0.0,
        };
        if !is_possible(&fit, exactness) {
            return None;
        }
        let (needed, latest) = match profile {
            Profile::Menu => (MENU_SCORE - exactness, usize::MAX),
            Profile::Role => (ROLE_SCORE, ROLE_LATEST),
        };
        self.found(sound, fit, needed, latest)
    }

    /// A fit whose score is what is needed, of a key that began no longer ago than `latest`, in
    /// samples.
    fn found(&mut self, sound: &Sound, fit: Fit, needed: f64, latest: usize) -> Option<Found> {
        let pair = self.moments.pair();
        self.reach(sound, pair, REACH);
        let beginning = self.lines.beginning(&self.moments, &fit, sound);
        let window = &fit.window;
        let samples = window.samples();
        let end = window.skipped * PIECE + samples;
        let around = Surroundings {
            unfiltered: &sound.unfiltered.last(end.min(LONGEST * PIECE))[..samples],
            filtered: &sound.filtered.last(end)[..samples],
            is_sharp: beginning.is_sharp,
            quietest: sound.quietest_before(window),
        };
        let onset_ago = beginning.onset_ago;
        (onset_ago <= latest && score(&fit, &around) >= needed).then_some(Found {
            pair,
            fit,
            onset_ago,
        })
    }
}

impl Bounds {
    /// Looks at this pair, up to that piece.
    fn follow(&mut self, pair: Pair, present: u64) {
        let fresh = (present - self.present) as usize;
        if pair != self.pair || fresh >= self.least.len() {
            self.least.fill(0.0);
        } else {
            self.least.copy_within(..LONGEST + 1 - fresh, fresh);
            self.least[..fresh].fill(0.0);
        }
        (self.pair, self.present) = (pair, present);
    }

    /// What a window leaves at least.
    fn of(&self, window: &Window) -> f64 {
        match window.skipped {
            0 => self.least[window.pieces.min(window.left_out.trailing_zeros() as usize)],
            _ => 0.0,
        }
    }

    /// A window leaves so much.
    fn add(&mut self, window: &Window, residual: f64) {
        if window.skipped == 0 && window.left_out == 0 {
            for least in &mut self.least[window.pieces..] {
                *least = least.max(residual);
            }
        }
    }
}

impl Wanted<'_> {
    fn may_begin(&self, window: &Window) -> bool {
        let begin = ((window.skipped + window.pieces) * PIECE) as u64;
        self.since_last
            .is_none_or(|since| begin <= since + PIECE as u64 / 2)
    }
}

fn window_with_holes(holes: &mut Holes, profile: Profile, pieces: usize) -> Option<Window> {
    let window = Window {
        left_out: holes.among(pieces),
        ..Window::whole(0, pieces)
    };
    let least = match profile {
        Profile::Menu => pieces_in(25),
        Profile::Role => pieces_in(55),
    };
    let holes = window.holes().count();
    ((1..=MOST_HOLES).contains(&holes) && window.kept() >= least).then_some(window)
}

/// The share that the tones have to explain of a window, because of its holes.
fn least_share(window: &Window) -> f64 {
    match window.left_out {
        0 => 0.0,
        _ if window.kept() >= LITTLE => SHARE_WITH_HOLES,
        _ => SHARE_OF_LITTLE,
    }
}

/// Whether a fit over a hole may be judged: its phase runs on across the hole.
fn is_trusted_with_holes(fit: &Fit) -> bool {
    let window = &fit.window;
    if window.left_out == 0 {
        return true;
    }
    let kept = || (0..window.pieces).filter(|n| !window.is_left_out(*n));
    let span = kept().max().unwrap_or(0) - kept().min().unwrap_or(0) + 1;
    fit.share() >= least_share(window) && (window.kept() >= LITTLE || span > pieces_in(38))
}
