//! A supervisor's keys: each counted once, gathered into entries, and given to whatever the
//! supervisor is doing.

use std::time::Instant;

use crate::control::collector::{Collected, Entry};
use crate::control::keys::Reported;
use crate::control::output::Notice;
use crate::control::speech;
use crate::control::supervisor::{MAX_REQUESTS, Request, State, SupervisorTimer};
use crate::control::switchboard::Switchboard;
use crate::id::LegId;
use crate::media::command::Command;
use crate::media::dtmf::{Digit, DigitSource};

impl Switchboard {
    /// One report of a key, by whatever way it came.
    pub(in crate::control) fn supervisor_key(
        &mut self,
        now: Instant,
        leg: LegId,
        digit: Digit,
        source: DigitSource,
    ) {
        let Some(supervisor) = self.supervisors.get_mut(&leg) else {
            return;
        };
        if supervisor.keys.handle_report(now, digit, source) == Reported::Again {
            return;
        }
        self.notify(Notice::DigitCounted(source));
        if self.ringing_key(now, leg, digit) {
            return;
        }
        self.cut_prompt_short(leg);
        self.keep_awake(now, leg);

        let Some(supervisor) = self.supervisors.get_mut(&leg) else {
            return;
        };
        let collected = supervisor.collector.handle_digit(now, digit);
        self.watch_entry(leg);
        match collected {
            Some(Collected::Entry(entry)) => self.entry_typed(now, leg, entry),
            Some(Collected::Cleared) => self.entry_cleared(now, leg),
            None if digit == Digit::STAR => self.star_pressed(now, leg),
            None => {}
        }
    }

    fn cut_prompt_short(&mut self, leg: LegId) {
        let Some(supervisor) = self.supervisors.get_mut(&leg) else {
            return;
        };
        // A last word is spoken to its end: the BYE waits for it.
        if !matches!(supervisor.state, State::Leaving) && supervisor.playing.take().is_some() {
            self.leg_command(leg, Command::StopPlay { leg });
        }
    }

    fn watch_entry(&mut self, leg: LegId) {
        let deadline = self
            .supervisors
            .get(&leg)
            .and_then(|supervisor| supervisor.collector.poll_timeout());
        match deadline {
            Some(at) => self.wake(leg, SupervisorTimer::InterDigit, at),
            None => self.let_sleep(leg, SupervisorTimer::InterDigit),
        }
    }

    pub(in crate::control) fn entry_expired(&mut self, now: Instant, leg: LegId) {
        let Some(supervisor) = self.supervisors.get_mut(&leg) else {
            return;
        };
        if supervisor.voice_shut {
            supervisor.collector.handle_hold(now);
        }
        match supervisor.collector.handle_timeout(now) {
            Some(Collected::Cleared) => self.entry_cleared(now, leg),
            Some(Collected::Entry(_)) | None => self.watch_entry(leg),
        }
    }

    /// The key was released.
    pub(in crate::control) fn key_released(&mut self, now: Instant, leg: LegId) {
        if let Some(supervisor) = self.supervisors.get_mut(&leg) {
            supervisor.collector.handle_hold(now);
            self.watch_entry(leg);
        }
    }

    fn entry_cleared(&mut self, now: Instant, leg: LegId) {
        self.play(leg, vec![speech::CLEARED]);
        self.star_pressed(now, leg);
    }

    fn entry_typed(&mut self, now: Instant, leg: LegId, entry: Entry) {
        let Some(supervisor) = self.supervisors.get_mut(&leg) else {
            return;
        };
        match &supervisor.state {
            State::EnteringPin { .. } => self.pin_typed(now, leg, entry),
            State::ChoosingCall(_) => self.choice_typed(now, leg, &entry),
            State::Joining(_) | State::Supervising(_) => {
                self.queue_request(now, leg, Request::Keys { entry, at: now });
            }
            State::Greeting { .. } | State::Leaving | State::Ringing(_) => {}
        }
    }

    /// Puts a command behind those that wait, and processes what can be.
    pub(in crate::control) fn queue_request(&mut self, now: Instant, leg: LegId, request: Request) {
        let Some(supervisor) = self.supervisors.get_mut(&leg) else {
            return;
        };
        if supervisor.requests.len() < MAX_REQUESTS {
            supervisor.requests.push_back(request);
            self.process_requests(now, leg);
        } else {
            self.turn_away(leg, request);
        }
    }
}

#[cfg(test)]
mod tests;
