//! Keys of the two parties, as far as they do not go from one to the other in the media by
//! themselves: those told by SIP INFO, and those of an agent who may ask for help by key.
//!
//! A supervisor's keys do not come here: they are commands, and reach no party.

use std::collections::VecDeque;
use std::time::Instant;

use crate::control::call::{Call, Side};
use crate::control::help_keys::{Heard, HelpKeys, HelpOrder, Key};
use crate::control::keys::{Keys, Reported};
use crate::control::switchboard::Switchboard;
use crate::control::timers::{Owner, Timer};
use crate::id::{CallId, LegId};
use crate::media::command::{BETWEEN_PRESSES, Command};
use crate::media::dtmf::{Digit, DigitSource};

/// Keys that wait for their turn in one call. Nobody presses so fast; what a machine sends beyond
/// is dropped.
const MAX_WAITING: usize = 32;

/// What one call knows of its parties' keys.
#[derive(Debug, Default)]
pub struct PartyKeys {
    /// The agent's leg whose keys go on by our command alone.
    pub by_command: Option<LegId>,
    /// One press of the agent counts once, however it is told.
    agent: Keys,
    help: HelpKeys,
    waiting: VecDeque<(LegId, Digit)>,
    /// When the next of them may be pressed.
    free_at: Option<Instant>,
}

impl Switchboard {
    pub(in crate::control) fn party_key(
        &mut self,
        now: Instant,
        id: CallId,
        leg: LegId,
        digit: Digit,
        source: DigitSource,
    ) {
        let Some(call) = self.calls.get(&id).filter(|call| call.is_talking()) else {
            return;
        };
        let asks_for_help = call.side_of(leg) == Some(Side::Pupil) && self.has_help_keys(call);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let keys = &mut call.party_keys;
        let passes = match source {
            DigitSource::Info => true,
            DigitSource::Event => keys.by_command == Some(leg),
            // It was heard as it was pressed.
            DigitSource::InBand => false,
        };
        if !asks_for_help {
            if passes {
                self.pass_key(now, id, leg, digit);
            }
            return;
        }
        if keys.agent.handle_report(now, digit, source) == Reported::Again {
            return;
        }
        let heard = keys.help.handle_key(now, Key { digit, passes });
        let due = keys.help.poll_timeout();
        let (owner, timer) = (Owner::Call(id), Timer::HeldKeys);
        match due {
            Some(due) => self.timers.set(owner, timer, due),
            None => self.timers.clear(owner, timer),
        }
        match heard {
            Heard::Held => {}
            Heard::Order(HelpOrder::Raise) => self.raise_help_by_key(now, id, leg),
            Heard::Order(HelpOrder::Close) => self.close_help_by_key(now, id, leg),
            Heard::Pass(keys) => self.pass_keys(now, id, leg, keys),
        }
    }

    /// What the agent began to type was no request.
    pub(in crate::control) fn held_keys_due(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let keys = call.party_keys.help.release();
        if let Some(leg) = call.pupil.leg {
            self.pass_keys(now, id, leg, keys);
        }
    }

    /// Another agent's keys: nothing of the former one's is left.
    pub(in crate::control) fn forget_keys(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.party_keys = PartyKeys::default();
        }
        for timer in [Timer::HeldKeys, Timer::NextKey] {
            self.timers.clear(Owner::Call(id), timer);
        }
    }

    /// Whether the agent of this call may ask for help by key.
    pub(in crate::control) fn has_help_keys(&self, call: &Call) -> bool {
        call.pupil.agent.is_some()
            && call
                .organisation
                .as_ref()
                .and_then(|organisation| self.directory.organisations.get(organisation))
                .is_some_and(|organisation| organisation.help_keys)
    }

    fn pass_keys(&mut self, now: Instant, id: CallId, leg: LegId, keys: Vec<Key>) {
        for key in keys.into_iter().filter(|key| key.passes) {
            self.pass_key(now, id, leg, key.digit);
        }
    }

    /// Presses a key for the other party, after those that still wait for their turn.
    fn pass_key(&mut self, now: Instant, id: CallId, leg: LegId, digit: Digit) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let keys = &mut call.party_keys;
        if keys.waiting.len() < MAX_WAITING {
            keys.waiting.push_back((leg, digit));
        }
        self.next_key(now, id);
    }

    /// Presses the key whose turn it is.
    pub(in crate::control) fn next_key(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let keys = &mut call.party_keys;
        let free = keys.free_at.is_none_or(|at| at <= now);
        let pressed = keys.waiting.pop_front_if(|_| free);
        if pressed.is_some() {
            keys.free_at = Some(now + BETWEEN_PRESSES);
        }
        let next = keys.free_at.filter(|_| !keys.waiting.is_empty());
        if let Some((leg, digit)) = pressed {
            self.leg_command(leg, Command::PressKey { leg, digit });
        }
        if let Some(at) = next {
            self.timers.set(Owner::Call(id), Timer::NextKey, at);
        }
    }
}

#[cfg(test)]
mod tests;
