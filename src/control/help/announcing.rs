//! Requests for help on the phone: supervisors who are on the line hear who asks, and `2#` takes
//! the request that they heard of.
//!
//! A word that is being spoken is not cut short for it, nor a code that is being typed: the request
//! is announced when what is spoken next ends.

use std::sync::Arc;
use std::time::Instant;

use crate::control::help::HelpRequest;
use crate::control::policy;
use crate::control::record::HelpState;
use crate::control::speech::Sentence;
use crate::control::supervisor::State;
use crate::control::switchboard::Switchboard;
use crate::id::{HelpId, LegId};

impl Switchboard {
    /// A request was raised: every supervisor on the line whose agent it is hears of it, but for
    /// the one who raised it.
    pub(in crate::control) fn announce_help(&mut self, now: Instant, help: HelpId, by: &Arc<str>) {
        let listening: Vec<LegId> = self
            .supervisors
            .values()
            .filter(|supervisor| supervisor.who.user.as_ref() != Some(by))
            .map(|supervisor| supervisor.leg)
            .collect();
        for leg in listening {
            if !self.concerns(leg, help) {
                continue;
            }
            if let Some(supervisor) = self.supervisors.get_mut(&leg) {
                supervisor.to_announce = Some(help);
            }
            self.announce_what_is_due(now, leg);
        }
    }

    /// Speaks of the request that waits to be announced, as soon as nothing is being spoken or
    /// typed.
    pub(in crate::control) fn announce_what_is_due(&mut self, now: Instant, leg: LegId) {
        let Some(supervisor) = self.supervisors.get(&leg) else {
            return;
        };
        let Some(help) = supervisor.to_announce else {
            return;
        };
        let busy = supervisor.playing.is_some() || supervisor.collector.poll_timeout().is_some();
        let in_menu = match &supervisor.state {
            State::ChoosingCall(_) => true,
            State::Supervising(session) => {
                if session.change.is_some() || !session.confirming.is_empty() {
                    return;
                }
                false
            }
            // What is spoken on the way in ends in one of the two.
            State::Greeting { .. }
            | State::EnteringPin { .. }
            | State::Joining(_)
            | State::Ringing(_)
            | State::Leaving => return,
        };
        if busy {
            return;
        }
        if let Some(supervisor) = self.supervisors.get_mut(&leg) {
            supervisor.to_announce = None;
        }
        let waits = self
            .desk
            .help
            .get(&help)
            .is_some_and(|request| request.state == HelpState::Requested);
        if !waits || !self.concerns(leg, help) {
            return;
        }
        self.heard_of(leg, help);
        match in_menu {
            true => self.say_menu(now, leg, &[]),
            false => {
                if let Some(agent) = self.desk.help.get(&help).map(|help| help.agent.to_string()) {
                    self.say(leg, &[Sentence::HelpWaiting(agent)]);
                }
            }
        }
    }

    /// The supervisor was told who asks: from now on `2#` means that request.
    pub(in crate::control) fn heard_of(&mut self, leg: LegId, help: HelpId) {
        if let Some(supervisor) = self.supervisors.get_mut(&leg) {
            supervisor.heard_of = Some(help);
        }
    }

    /// The request that `2#` means: the one that this supervisor was told of last, or else the one
    /// that has waited longest.
    pub(in crate::control) fn meant_help(&mut self, leg: LegId) -> Option<HelpId> {
        let heard = self
            .supervisors
            .get_mut(&leg)
            .and_then(|supervisor| supervisor.heard_of.take())
            .filter(|help| self.concerns(leg, *help));
        heard.or_else(|| self.waiting_help(&self.entry(leg)?))
    }

    /// Who has taken a request is told, if on the line, that somebody else has closed it.
    pub(in crate::control) fn tell_provider(&mut self, request: &HelpRequest, by: &Arc<str>) {
        let Some(provider) = request.provided_by.as_ref().filter(|user| *user != by) else {
            return;
        };
        let leg = self.supervisors.values().find(|supervisor| {
            supervisor.who.organisation == request.organisation
                && supervisor.who.user.as_ref() == Some(provider)
                && supervisor
                    .session()
                    .is_some_and(|session| session.call == request.call && !session.told_ended)
        });
        if let Some(leg) = leg.map(|supervisor| supervisor.leg) {
            self.say(leg, &[Sentence::HelpClosed]);
        }
    }

    /// Whether the request is of an agent of this supervisor's, and not about their own call.
    fn concerns(&self, leg: LegId, help: HelpId) -> bool {
        let (Some(entry), Some(request)) = (self.entry(leg), self.desk.help.get(&help)) else {
            return false;
        };
        self.calls.get(&request.call).is_some_and(|call| {
            self.is_in_scope(&entry, call)
                && self
                    .facts(call, None)
                    .is_some_and(|facts| !policy::is_own_call(&entry, &facts))
        })
    }
}
