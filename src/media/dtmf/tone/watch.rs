//! The watch for the key clamp: what might be a key, as early as it might be.
//!
//! It is alarmed by two lines near a key that explain most of 20 to 30 ms, and stays so for as long
//! as they sound. What it withholds is kept as one mark for each piece of 2.5 ms.

use crate::media::dtmf::tone::bank::Survey;
use crate::media::dtmf::tone::fit::Fit;
use crate::media::dtmf::tone::grid::{BLOCK, PIECE, Pair, pieces_in};
use crate::media::dtmf::tone::hold::{Hold, Presence};

/// Pieces whose marks are kept: 320 ms.
const MARKS: usize = 128;

/// How long nothing is let through after a key was there last.
const AFTER: u64 = pieces_in(20) as u64;

/// How far before the window of an alarm nothing is let through.
const BEFORE: u64 = pieces_in(5) as u64;

/// Windows that can alarm, in pieces: 25 and 30 ms.
pub const ALARM_WINDOWS: [usize; 2] = [10, 12];

/// What alarms: the nearer to a key in frequency, the less pure it need be.
const ALARM_ERROR: f64 = 1.8;
const ALARM_PURITY_DB: f64 = 2.7;
const EXACT: f64 = 0.5;
const PURITY_DB_PER_ERROR: f64 = 2.5;
const ALARM_TWIST_DB: std::ops::RangeInclusive<f64> = -12.0..=8.0;

/// −50 dBm0 for each tone.
const ALARM_POWER: f64 = 2.0 * 72.0 * 72.0;

/// The share of the energy without which what alarmed is taken to be over.
const LEAST_SHARE: f32 = 0.35;

#[derive(Clone, Debug)]
pub struct Watch {
    alarm: Option<Hold>,
    /// Whether each of the newest pieces is withheld, by number.
    marks: [bool; MARKS],
    /// Everything before this piece is withheld.
    until: u64,
}

/// What the watch is told of a block.
pub struct Block<'a> {
    pub survey: &'a Survey,
    /// The newest 10 ms after the high-pass, and their energy.
    pub newest: &'a [f32],
    pub energy: f32,
    pub energy_20_ms: f32,
}

impl Watch {
    pub fn new() -> Self {
        Self {
            alarm: None,
            marks: [false; MARKS],
            until: 0,
        }
    }

    /// Whether the piece of that number is withheld.
    pub fn is_shut(&self, piece: u64) -> bool {
        self.marks[piece as usize % MARKS] || piece < self.until
    }

    /// Whether any piece whose mark is kept is withheld.
    pub fn was_shut(&self) -> bool {
        self.marks.contains(&true)
    }

    /// Begins a block, of which `present` is the piece after the last. Follows what alarmed; tells
    /// whether it still sounds, so that there is no need to look.
    pub fn follow(&mut self, present: u64, block: &Block) -> bool {
        for piece in present - (BLOCK / PIECE) as u64..present {
            self.marks[piece as usize % MARKS] = piece < self.until;
        }
        let Some(hold) = &mut self.alarm else {
            return false;
        };
        match hold.follow(block.newest, block.energy) {
            Presence::Present => {
                let sounds = block.survey.share(hold.pair, block.energy_20_ms) >= LEAST_SHARE;
                if sounds {
                    self.shut(present, present);
                }
                sounds
            }
            Presence::Doubtful | Presence::Absent => false,
            Presence::Released => {
                self.alarm = None;
                false
            }
        }
    }

    /// Withholds what was heard from `from` on, and what will be until a while after `present`.
    pub fn shut(&mut self, from: u64, present: u64) {
        let oldest = present.saturating_sub(MARKS as u64);
        for piece in from.max(oldest)..present {
            self.marks[piece as usize % MARKS] = true;
        }
        self.until = self.until.max(present + AFTER);
    }

    pub fn alarm(&mut self, pair: Pair, fit: &Fit, present: u64) {
        let begin = (fit.window.skipped + fit.window.pieces) as u64 + BEFORE;
        self.shut(present.saturating_sub(begin), present);
        self.alarm = Some(Hold::new(pair, fit));
    }
}

/// Whether a short fit might be a key.
pub fn is_alarming(fit: &Fit) -> bool {
    let [row, column] = fit.tones;
    let error = row.error_percent.abs().max(column.error_percent.abs());
    let purity_db = ALARM_PURITY_DB + PURITY_DB_PER_ERROR * (error - EXACT).max(0.0);
    error <= ALARM_ERROR
        && fit.purity_db() >= purity_db
        && ALARM_TWIST_DB.contains(&fit.twist_db())
        && fit.power() >= ALARM_POWER
}
