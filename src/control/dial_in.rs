//! A supervising number was dialled: who is it, and may they come in?
//!
//! The leg is answered at once, strangers included where the policy is to tell them so. A phone
//! that registered here with a supervisor's name is proven; a caller ID is compared with the
//! registered phones of the number's organisation and believed as far as its trunk is; what is not
//! believed wants the PIN.

use std::sync::Arc;
use std::time::Instant;

use crate::control::collector::Entry;
use crate::control::desk::Verdict;
use crate::control::directory::SupervisorEntry;
use crate::control::input::{CallerIdTrust, Identity, Invitation, Origin};
use crate::control::number;
use crate::control::output::{Output, Pin};
use crate::control::policy;
use crate::control::record::Outcome;
use crate::control::refusal::ErrorCode;
use crate::control::settings::PinPolicy;
use crate::control::speech::Sentence;
use crate::control::supervisor::{
    AfterPin, Caller, IDLE, State, Supervisor, SupervisorTimer, Welcome,
};
use crate::control::switchboard::Switchboard;
use crate::id::{Language, LegId, RequestId, ShardId};

/// Whether the caller is known to be who the caller ID says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// Digest authentication.
    Registered,
    CallerId(CallerIdTrust),
}

impl Switchboard {
    /// A supervising number was dialled. The leg is not in `self.legs` yet: `admit` puts it there.
    pub(in crate::control) fn supervisor_invited(
        &mut self,
        now: Instant,
        leg: LegId,
        invitation: Invitation,
    ) {
        let Some(organisation) = self.directory.organisation_of_number(&invitation.dialled) else {
            return self.refuse_invitation(leg, 404);
        };
        let organisation = organisation.id.clone();
        let (entry, proof) = self.recognise(&organisation, &invitation);
        let caller = Caller {
            organisation,
            user: entry.as_ref().map(|entry| entry.user.clone()),
            number: invitation
                .caller
                .clone()
                .unwrap_or_else(|| "anonymous".into()),
            trunk: match &invitation.origin {
                Origin::Trunk { name, .. } => Some(name.clone()),
                Origin::Registered(_) | Origin::Contact { .. } => None,
            },
            language: entry
                .as_ref()
                .map_or_else(Language::default, |entry| entry.language),
        };
        let welcome = self.welcome(now, &caller, entry.as_ref(), proof);

        if welcome == Welcome::Refuse(ErrorCode::Unregistered) && !self.settings.answer_unregistered
        {
            self.audit_dial_in(&caller, Outcome::Refused, Some(ErrorCode::Unregistered));
            self.notify_refused(ErrorCode::Unregistered);
            return self.refuse_invitation(leg, 403);
        }

        if let (Welcome::CallBack, Some(entry)) = (welcome, &entry) {
            let code = match self.call_back(now, entry) {
                true => None,
                false => Some(ErrorCode::PinFailed),
            };
            self.audit_dial_in(&caller, Outcome::Refused, code);
            return self.refuse_invitation(leg, 480);
        }

        let shard = self.likely_shard(now, &caller, entry.as_ref());
        self.supervisors.insert(
            leg,
            Supervisor::new(
                leg,
                caller,
                State::Greeting {
                    welcome,
                    offer: invitation.sdp,
                },
            ),
        );
        self.admit_supervisor(now, leg, &invitation.origin, shard);
    }

    /// The supervisor whose phone this is, and how well that is known.
    fn recognise(
        &self,
        organisation: &Arc<str>,
        invitation: &Invitation,
    ) -> (Option<SupervisorEntry>, Proof) {
        let by_phone = || {
            let caller = invitation.caller.as_deref()?;
            self.directory
                .supervisors
                .values()
                .filter(|entry| entry.organisation == *organisation)
                .find(|entry| {
                    entry.phone.as_deref().is_some_and(|phone| {
                        number::is_phone(caller, phone, entry.default_country.as_deref())
                    })
                })
                .cloned()
        };
        match &invitation.origin {
            Origin::Registered(Identity::Supervisor {
                organisation: theirs,
                user,
            }) => {
                let entry = match theirs == organisation {
                    true => self
                        .directory
                        .supervisors
                        .get(&(theirs.clone(), user.clone()))
                        .cloned(),
                    false => None,
                };
                (entry, Proof::Registered)
            }
            Origin::Trunk { caller_id, .. } => (by_phone(), Proof::CallerId(*caller_id)),
            // An agent's phone proves the agent, not the supervisor whose number it may show.
            Origin::Registered(Identity::Agent { .. }) | Origin::Contact { .. } => {
                (by_phone(), Proof::CallerId(CallerIdTrust::Untrusted))
            }
        }
    }

    /// 9010, 9003, 9001, 9002, in this order, or how it goes on.
    fn welcome(
        &self,
        now: Instant,
        caller: &Caller,
        entry: Option<&SupervisorEntry>,
        proof: Proof,
    ) -> Welcome {
        let allowed = policy::begins(self.service)
            .and_then(|()| policy::organisation_supervises(&self.directory, &caller.organisation));
        if let Err(code) = allowed {
            return Welcome::Refuse(code);
        }
        let Some(entry) = entry else {
            return Welcome::Refuse(ErrorCode::Unregistered);
        };
        let owner = (entry.organisation.clone(), entry.user.clone());
        if self.settings.pin == PinPolicy::CallBack && proof != Proof::Registered {
            return Welcome::CallBack;
        }
        let wants_pin = match (self.settings.pin, proof) {
            (PinPolicy::Never, _) | (_, Proof::Registered) => false,
            (PinPolicy::Untrusted, Proof::CallerId(trust)) => trust == CallerIdTrust::Untrusted,
            (PinPolicy::Always | PinPolicy::CallBack, Proof::CallerId(_)) => true,
        };
        if !wants_pin {
            return Welcome::ChooseCall;
        }
        match entry.has_pin && !self.desk.is_locked(now, &owner, caller.trunk.as_ref()) {
            true => Welcome::AskForPin,
            false => Welcome::Refuse(ErrorCode::PinFailed),
        }
    }

    /// The shard of the call that they will most likely join, so that the leg need not move.
    fn likely_shard(
        &self,
        now: Instant,
        caller: &Caller,
        entry: Option<&SupervisorEntry>,
    ) -> ShardId {
        let likely = entry.and_then(|entry| {
            let owner = (entry.organisation.clone(), entry.user.clone());
            let ticket = self.desk.live_ticket(now, &owner).map(|ticket| ticket.call);
            ticket.or_else(|| self.supervisable_calls(entry).first().copied())
        });
        match likely.and_then(|call| self.calls.get(&call)) {
            Some(call) if call.organisation.as_ref() == Some(&caller.organisation) => call.shard,
            _ => self.quietest_shard(),
        }
    }

    /// The phone is connected: refuse, ask, or go on.
    pub(in crate::control) fn supervisor_connected(&mut self, now: Instant, leg: LegId) {
        let Some(supervisor) = self.supervisors.get_mut(&leg) else {
            return;
        };
        let State::Greeting { welcome, .. } = supervisor.state else {
            return;
        };
        let caller = supervisor.who.clone();
        self.listen_for_menu_keys(leg);
        match welcome {
            Welcome::Refuse(code) => {
                self.audit_dial_in(&caller, Outcome::Refused, Some(code));
                self.notify_refused(code);
                self.take_leave(now, leg, &[Sentence::Refused(code)]);
            }
            Welcome::AskForPin => {
                self.audit_dial_in(&caller, Outcome::Done, None);
                self.ask_for_pin(now, leg, AfterPin::ChooseCall, &[Sentence::EnterPin]);
            }
            // Refused before it was answered.
            Welcome::CallBack => {}
            Welcome::ChooseCall => {
                self.audit_dial_in(&caller, Outcome::Done, None);
                self.choose_call(now, leg);
            }
        }
    }

    pub(in crate::control) fn ask_for_pin(
        &mut self,
        now: Instant,
        leg: LegId,
        then: AfterPin,
        sentences: &[Sentence],
    ) {
        if let Some(supervisor) = self.supervisors.get_mut(&leg) {
            supervisor.state = State::EnteringPin {
                checking: None,
                then,
            };
            supervisor.collector.reset();
        }
        self.wake(leg, SupervisorTimer::Idle, now + IDLE);
        self.say(leg, sentences);
    }

    /// `PIN` and `#`.
    pub(in crate::control) fn pin_typed(&mut self, now: Instant, leg: LegId, entry: Entry) {
        let Some(supervisor) = self.supervisors.get_mut(&leg) else {
            return;
        };
        let State::EnteringPin { checking, .. } = &mut supervisor.state else {
            return;
        };
        // One question at a time: what is typed before the answer is dropped.
        if checking.is_some() {
            return;
        }
        match entry {
            Entry::Empty => {}
            // No PIN is that long: it need not be checked to be wrong.
            Entry::TooLong => self.wrong_pin(now, leg),
            Entry::Keys(pin) => {
                let Some(user) = supervisor.who.user.clone() else {
                    return;
                };
                let organisation = supervisor.who.organisation.clone();
                let request = RequestId(self.ids.next_id());
                *checking = Some(request);
                self.put(Output::CheckPin {
                    request,
                    organisation,
                    user,
                    pin: Pin(pin),
                });
            }
        }
    }

    /// The store checked a PIN.
    pub(in crate::control) fn pin_checked(
        &mut self,
        now: Instant,
        request: RequestId,
        matches: bool,
    ) {
        let asked = self.supervisors.values().find_map(|supervisor| {
            let mine = matches!(supervisor.state, State::EnteringPin { checking, .. }
                if checking == Some(request));
            mine.then_some(supervisor.leg)
        });
        let Some(leg) = asked else {
            return;
        };
        if !matches {
            return self.wrong_pin(now, leg);
        }
        let Some(supervisor) = self.supervisors.get(&leg) else {
            return;
        };
        let State::EnteringPin { then, .. } = supervisor.state else {
            return;
        };
        let caller = supervisor.who.clone();
        // Somebody else may have used up the tries of this line meanwhile.
        if let Some(owner) = caller.owner() {
            if self.desk.is_locked(now, &owner, caller.trunk.as_ref()) {
                return self.refuse_pin(now, leg);
            }
            self.desk.right_pin(&owner, caller.trunk.as_ref());
        }
        self.audit_pin(leg, Outcome::Done, None);
        match then {
            AfterPin::ChooseCall => self.choose_call(now, leg),
            AfterPin::CalledBack(session) => self.enter_called_back(now, leg, session),
        }
    }

    fn wrong_pin(&mut self, now: Instant, leg: LegId) {
        let Some(supervisor) = self.supervisors.get(&leg) else {
            return;
        };
        let State::EnteringPin { then, .. } = supervisor.state else {
            return;
        };
        let caller = supervisor.who.clone();
        let Some(owner) = caller.owner() else {
            return;
        };
        match self.desk.wrong_pin(now, &owner, caller.trunk.as_ref()) {
            Verdict::TryAgain => {
                self.audit_pin(leg, Outcome::Refused, None);
                self.ask_for_pin(now, leg, then, &[Sentence::WrongPin, Sentence::EnterPin]);
            }
            Verdict::LockedOut => self.refuse_pin(now, leg),
        }
    }

    pub(in crate::control) fn refuse_pin(&mut self, now: Instant, leg: LegId) {
        self.audit_pin(leg, Outcome::Refused, Some(ErrorCode::PinFailed));
        self.notify_refused(ErrorCode::PinFailed);
        self.take_leave(now, leg, &[Sentence::Refused(ErrorCode::PinFailed)]);
    }
}

#[cfg(test)]
mod tests;
