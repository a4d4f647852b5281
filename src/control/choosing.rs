//! Which call: a ticket, the only one there is, or a choice in the menu.

use std::sync::Arc;
use std::time::Instant;

use crate::control::call::{Call, Side, on_net};
use crate::control::collector::Entry;
use crate::control::directory::SupervisorEntry;
use crate::control::menu::{self, Choice};
use crate::control::order::Order;
use crate::control::policy::{self, CallFacts};
use crate::control::record::Source;
use crate::control::refusal::ErrorCode;
use crate::control::speech::{Menu, Sentence};
use crate::control::supervisor::{Announced, ChoosingCall, GRACE, IDLE, State, SupervisorTimer};
use crate::control::switchboard::Switchboard;
use crate::id::{CallId, LegId};

impl Switchboard {
    /// What policy needs to know of a call; `None` for one that no agent takes part in.
    /// `besides` is the supervisor who asks: the others are the ones that count.
    pub(in crate::control) fn facts<'a>(
        &'a self,
        call: &'a Call,
        besides: Option<LegId>,
    ) -> Option<CallFacts<'a>> {
        let others = call.conference.iter().flat_map(|conference| {
            conference
                .members
                .values()
                .filter(|member| besides.is_none() || member.leg != besides)
                .map(|member| member.supervision)
        });
        Some(CallFacts {
            organisation: call.organisation.as_deref()?,
            agent: call.pupil.agent.as_deref()?,
            kind: call.kind?,
            customer: call.user.number.as_deref(),
            user_extension: call.user.agent.as_deref(),
            // Where the User is gone it is not their network that is missed.
            caller_on_net: call.user.leg.is_none_or(|leg| on_net(self.legs.get(&leg))),
            pupil_on_call: self.pupil_on_call(call),
            user_on_call: self.user_on_call(call),
            hosted_elsewhere: [call.user.leg, call.pupil.leg]
                .into_iter()
                .flatten()
                .any(|leg| self.legs.get(&leg).is_some_and(|leg| leg.is_focus)),
            others: others.collect(),
        })
    }

    /// The calls that this supervisor may come to now, oldest first.
    pub(in crate::control) fn supervisable_calls(
        &self,
        supervisor: &SupervisorEntry,
    ) -> Vec<CallId> {
        self.calls
            .values()
            .filter(|call| call.is_talking() && self.is_offered(supervisor, call))
            .map(|call| call.id)
            .collect()
    }

    /// Whether the call may be offered: in scope, of a supervisable kind, both parties there, and
    /// not the supervisor's own.
    fn is_offered(&self, supervisor: &SupervisorEntry, call: &Call) -> bool {
        let Some(facts) = self.facts(call, None) else {
            return false;
        };
        self.is_in_scope(supervisor, call)
            && policy::both_there(&facts).is_ok()
            && !policy::is_own_call(supervisor, &facts)
    }

    /// Whether the supervisor may know of the call at all.
    pub(in crate::control) fn is_in_scope(
        &self,
        supervisor: &SupervisorEntry,
        call: &Call,
    ) -> bool {
        let (Some(organisation), Some(extension), Some(kind)) =
            (&call.organisation, &call.pupil.agent, call.kind)
        else {
            return false;
        };
        policy::supervisable(self.settings.supervisable, kind)
            && self
                .directory
                .agents
                .get(&(organisation.clone(), extension.clone()))
                .is_some_and(|agent| policy::in_scope(supervisor, agent))
    }

    /// Whether the Pupil of this session's call is somebody whom its supervisor may not supervise:
    /// who barged stays with a customer who was given away, and has no part in whom they were given
    /// to.
    pub(in crate::control) fn pupil_is_foreign(&self, leg: LegId) -> bool {
        let (Some(entry), Some(session)) = (self.entry(leg), self.session(leg)) else {
            return false;
        };
        self.calls.get(&session.call).is_some_and(|call| {
            self.pupil_on_call(call)
                && (!self.is_in_scope(&entry, call) || self.is_own(&entry, call))
        })
    }

    /// The caller is known: the ticket's call, the only call, or the menu.
    pub(in crate::control) fn choose_call(&mut self, now: Instant, leg: LegId) {
        let Some(entry) = self.entry(leg) else {
            return self.forget_caller(now, leg);
        };
        let owner = (entry.organisation.clone(), entry.user.clone());
        if let Some(ticket) = self.desk.live_ticket(now, &owner) {
            self.open_menu(now, leg, ChoosingCall::default());
            return self.join(now, leg, ticket.call, Source::Phone, Announced::No);
        }
        match self.supervisable_calls(&entry)[..] {
            [only] => {
                self.open_menu(now, leg, ChoosingCall::default());
                self.join(now, leg, only, Source::Phone, Announced::No);
            }
            [] => {
                self.open_menu(now, leg, ChoosingCall::default());
                self.refuse_choice(now, leg, None, ErrorCode::NoCall);
            }
            _ => {
                self.open_menu(now, leg, ChoosingCall::default());
                self.say_menu(now, leg, &[]);
            }
        }
    }

    /// The supervisor's entry was taken out of the directory while they were on the line.
    pub(in crate::control) fn forget_caller(&mut self, now: Instant, leg: LegId) {
        self.notify_refused(ErrorCode::Unregistered);
        self.take_leave(now, leg, &[Sentence::Refused(ErrorCode::Unregistered)]);
    }

    pub(in crate::control) fn open_menu(
        &mut self,
        now: Instant,
        leg: LegId,
        choosing: ChoosingCall,
    ) {
        let Some(supervisor) = self.supervisors.get_mut(&leg) else {
            return;
        };
        supervisor.state = State::ChoosingCall(choosing);
        self.listen_for_menu_keys(leg);
        self.wake(leg, SupervisorTimer::Idle, now + IDLE);
    }

    /// Says what may be chosen, after what was to be said first.
    pub(in crate::control) fn say_menu(&mut self, now: Instant, leg: LegId, first: &[Sentence]) {
        let mut sentences = first.to_vec();
        sentences.push(Sentence::Menu(self.menu(now, leg)));
        let waiting = self.entry(leg).and_then(|entry| self.waiting_help(&entry));
        if let Some(help) = waiting {
            self.heard_of(leg, help);
        }
        self.say(leg, &sentences);
    }

    fn menu(&self, now: Instant, leg: LegId) -> Menu {
        let (Some(entry), Some(supervisor)) = (self.entry(leg), self.supervisors.get(&leg)) else {
            return Menu::default();
        };
        let agents = self
            .supervisable_calls(&entry)
            .into_iter()
            .filter_map(|call| {
                let call = self.calls.get(&call)?;
                let minutes = call
                    .answered_at
                    .map_or(0, |at| now.saturating_duration_since(at).as_secs() / 60);
                Some((call.pupil.agent.as_deref()?.to_owned(), minutes))
            })
            .collect();
        Menu {
            help: self
                .waiting_help(&entry)
                .and_then(|help| self.desk.help.get(&help))
                .map(|request| request.agent.to_string()),
            agents,
            retry: matches!(&supervisor.state, State::ChoosingCall(choosing)
                if choosing.retry.is_some()),
        }
    }

    /// A key keeps the menu and the PIN question open.
    pub(in crate::control) fn keep_awake(&mut self, now: Instant, leg: LegId) {
        let waits = self.supervisors.get(&leg).is_some_and(|supervisor| {
            matches!(
                supervisor.state,
                State::ChoosingCall(_) | State::EnteringPin { .. }
            )
        });
        if waits {
            self.wake(leg, SupervisorTimer::Idle, now + IDLE);
        }
    }

    /// Nobody pressed a key for long.
    pub(in crate::control) fn nobody_there(&mut self, now: Instant, leg: LegId) {
        self.take_leave(now, leg, &[Sentence::Goodbye]);
    }

    /// An entry in the menu.
    pub(in crate::control) fn choice_typed(&mut self, now: Instant, leg: LegId, entry: &Entry) {
        let Some(State::ChoosingCall(choosing)) = self
            .supervisors
            .get(&leg)
            .map(|supervisor| &supervisor.state)
        else {
            return;
        };
        let (ended, retry) = (choosing.ended.clone(), choosing.retry);
        let choice = menu::choice(&self.settings.codes, entry);

        if let (Choice::OutsideSession(order), Some(ended)) = (&choice, &ended)
            && now.saturating_duration_since(ended.at) <= GRACE
        {
            return self.refuse_late_command(leg, *order, ended.clone(), entry);
        }
        match choice {
            Choice::Extension(extension) => self.choose_extension(now, leg, &extension),
            Choice::Again => {
                if let Some(call) = retry {
                    self.join(now, leg, call, Source::Phone, Announced::No);
                }
            }
            Choice::AcceptHelp => self.accept_help_by_key(now, leg),
            Choice::Next => self.next_from_menu(now, leg, ended.map(|ended| ended.call)),
            Choice::Status => self.say_menu(now, leg, &[]),
            Choice::OutsideSession(_) | Choice::Unknown => {
                self.refuse_choice(now, leg, None, ErrorCode::UnknownCommand);
            }
        }
    }

    /// An agent's extension. One that is not in scope and one that is idle sound the same.
    fn choose_extension(&mut self, now: Instant, leg: LegId, extension: &Arc<str>) {
        let Some(entry) = self.entry(leg) else {
            return self.forget_caller(now, leg);
        };
        let of_agent = |call: &&Call| {
            call.organisation.as_ref() == Some(&entry.organisation)
                && call.pupil.agent.as_ref() == Some(extension)
        };
        // Of several calls of an agent the one that is being talked on.
        let mut calls: Vec<&Call> = self.calls.values().filter(of_agent).collect();
        calls.sort_by_key(|call| (!call.is_talking(), self.holds(call, Side::Pupil)));
        let chosen = calls.into_iter().find(|call| {
            entry.agent_extension.as_ref() == Some(extension)
                || (self.is_in_scope(&entry, call) && call.answered_at.is_some())
        });
        match chosen.map(|call| call.id) {
            Some(call) => self.join(now, leg, call, Source::Phone, Announced::No),
            None => self.refuse_choice(now, leg, None, ErrorCode::NoCall),
        }
    }

    /// `3#` in the menu: the first call after the one that was left.
    fn next_from_menu(&mut self, now: Instant, leg: LegId, after: Option<CallId>) {
        let Some(entry) = self.entry(leg) else {
            return self.forget_caller(now, leg);
        };
        match self.call_after(&entry, after) {
            Some(call) => self.join(now, leg, call, Source::Phone, Announced::NextCall),
            None => self.refuse_choice(now, leg, None, ErrorCode::NoCall),
        }
    }

    /// The supervisable call that follows this one, round the circle, and not itself.
    pub(in crate::control) fn call_after(
        &self,
        supervisor: &SupervisorEntry,
        current: Option<CallId>,
    ) -> Option<CallId> {
        let calls = self.supervisable_calls(supervisor);
        let later = calls.iter().find(|call| Some(**call) > current);
        later
            .or(calls.first())
            .copied()
            .filter(|call| Some(*call) != current)
    }

    /// A choice that leads nowhere: the code, and the menu stays open.
    pub(in crate::control) fn refuse_choice(
        &mut self,
        now: Instant,
        leg: LegId,
        call: Option<CallId>,
        code: ErrorCode,
    ) {
        self.audit_of(leg, Source::Phone, "choose")
            .call(call)
            .refuse(self, Some(code));
        self.say_menu(now, leg, &[Sentence::Refused(code)]);
    }

    /// A command that was completed just after the call had ended belongs to the session that is
    /// over.
    fn refuse_late_command(
        &mut self,
        leg: LegId,
        order: Order,
        ended: crate::control::supervisor::Ended,
        entry: &Entry,
    ) {
        let code = self
            .calls
            .get(&ended.call)
            .and_then(|call| self.facts(call, Some(leg)))
            .and_then(|facts| policy::both_there(&facts).err())
            .unwrap_or(ErrorCode::PupilGone);
        self.audit_of(leg, Source::Phone, order.action())
            .call(Some(ended.call))
            .session(Some(ended.session))
            .parties(ended.agent, ended.customer)
            .detail(pressed(entry))
            .roles(Some(ended.supervision), Some(ended.supervision))
            .refuse(self, Some(code));
        self.say(leg, &[Sentence::Refused(code)]);
    }
}

/// What was pressed, as the audit keeps it: a command's digit, and nothing of a longer entry.
pub(in crate::control) fn pressed(entry: &Entry) -> Option<Arc<str>> {
    match entry {
        Entry::Keys(keys) if keys.len() == 1 => Some(format!("{keys}#").into()),
        Entry::Empty | Entry::Keys(_) | Entry::TooLong => None,
    }
}

#[cfg(test)]
mod tests;
