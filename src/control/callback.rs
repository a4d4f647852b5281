//! Call-me: the service rings the supervisor.
//!
//! The conference is reserved first; where that fails, no phone rings and the console shows 9011.
//! Then all devices ring at once, the first answer wins, and the others are told that the call was
//! completed elsewhere. A phone outside the internal network has to press 1 before it hears
//! anything, so that no voicemail box ever records a customer; one that is not on the supervisor's
//! list has to give the PIN as well.

use std::sync::Arc;
use std::time::Instant;

use crate::control::call::ConferenceState;
use crate::control::conference::Place;
use crate::control::desk::Owner as Whose;
use crate::control::directory::SupervisorEntry;
use crate::control::input::{Identity, Network, Reply};
use crate::control::number;
use crate::control::output::{Notice, Target};
use crate::control::policy::{self, Coaching};
use crate::control::record::{Outcome, Source};
use crate::control::refusal::ErrorCode;
use crate::control::ringing::{Device, Listed, Purpose};
use crate::control::route;
use crate::control::supervisor::{
    Announced, ChoosingCall, JOIN_LIMIT, Joining, State, Step, SupervisorTimer,
};
use crate::control::switchboard::Switchboard;
use crate::control::timers::{Owner, Timer};
use crate::id::{CallId, LegId, RecordId, RequestId, SessionId};

/// Phones rung at once for one supervisor; a longer list rings its first ones.
const MAX_DEVICES: usize = 8;

/// A session whose phones are being rung.
#[derive(Debug)]
pub struct Callback {
    pub session: SessionId,
    pub owner: Whose,
    pub call: CallId,
    pub place: Place,
    pub coaching: Coaching,
    pub devices: Vec<Device>,
    /// Those that still ring, or the one that has answered.
    pub legs: Vec<LegId>,
    pub record: RecordId,
    /// Who waits to hear that the conference stands.
    pub request: Option<RequestId>,
    pub via: Source,
    pub started_at: Instant,
}

impl Switchboard {
    /// Reserves the conference for a call-me; the phones ring when it stands.
    #[allow(clippy::too_many_arguments)]
    pub(in crate::control) fn call_me(
        &mut self,
        now: Instant,
        request: RequestId,
        entry: &SupervisorEntry,
        call: CallId,
        device: Option<&Arc<str>>,
        coaching: Coaching,
        via: Source,
    ) {
        let owner = (entry.organisation.clone(), entry.user.clone());
        let draft = crate::control::audit::audit(
            Some(entry.organisation.clone()),
            entry.user.clone(),
            via,
            "call_me",
        )
        .call(Some(call));
        let allowed = policy::begins(self.service)
            .and_then(|()| self.may_know_of(entry, call))
            .and_then(|()| self.may_supervise(entry, call, None));
        let placed = allowed.and_then(|()| {
            let devices = self.devices(entry, device)?;
            Ok((devices, self.reserve_seat(call, None)?))
        });
        let (devices, place) = match placed {
            Ok(placed) => placed,
            Err(code) => {
                draft.refuse(self, Some(code));
                return self.reply(request, Reply::Refused(code));
            }
        };
        let session = SessionId(self.ids.next_id());
        let record = draft
            .session(Some(session))
            .outcome(Outcome::Requested)
            .record(self);
        self.desk.callbacks.insert(
            session,
            Callback {
                session,
                owner,
                call,
                place,
                coaching,
                devices,
                legs: Vec::new(),
                record,
                request: Some(request),
                via,
                started_at: now,
            },
        );
        self.timers.set(
            Owner::Desk,
            Timer::Supervisor(SupervisorTimer::Reserve(session)),
            now + JOIN_LIMIT,
        );
        let stands = self
            .calls
            .get(&call)
            .and_then(|call| call.conference.as_ref())
            .is_some_and(|conference| conference.state == ConferenceState::Standing);
        if stands {
            self.reserved_conference_stands(now, call);
        }
    }

    /// What is rung: the phone that was named, or all of them. A number that is not on the list is
    /// rung only where the policy says so.
    fn devices(
        &self,
        entry: &SupervisorEntry,
        named: Option<&Arc<str>>,
    ) -> Result<Vec<Device>, ErrorCode> {
        let country = entry.default_country.as_deref();
        let own = entry.phones();
        let listed = named.and_then(|named| {
            own.iter()
                .find(|known| *known == named || number::is_phone(named, known, country))
        });
        let devices: Vec<Device> = match listed.or(named) {
            Some(device) if listed.is_some() => vec![self.device(device, Listed::Yes)]
                .into_iter()
                .flatten()
                .collect(),
            Some(device) if self.settings.allow_unlisted_callout => {
                vec![self.device(device, Listed::No)]
                    .into_iter()
                    .flatten()
                    .collect()
            }
            Some(_) => return Err(ErrorCode::NotPermitted),
            None => {
                // The softphone that may have registered as this supervisor rings along.
                let registered = Device {
                    target: Target::Registered(Identity::Supervisor {
                        organisation: entry.organisation.clone(),
                        user: entry.user.clone(),
                    }),
                    network: Network::Internal,
                    listed: Listed::Yes,
                };
                // Who has no devices is reached at the registered phone.
                let devices = match entry.devices.is_empty() {
                    true => &own,
                    false => &entry.devices,
                };
                devices
                    .iter()
                    .filter_map(|device| self.device(device, Listed::Yes))
                    .chain([registered])
                    .take(MAX_DEVICES)
                    .collect()
            }
        };
        match devices.is_empty() {
            true => Err(ErrorCode::NotPermitted),
            false => Ok(devices),
        }
    }

    /// A SIP URI is dialled as it stands; a number goes through the routes.
    pub(in crate::control) fn device(&self, device: &Arc<str>, listed: Listed) -> Option<Device> {
        if device.starts_with("sip:") || device.starts_with("sips:") {
            return Some(Device {
                target: Target::Uri(device.clone()),
                network: Network::Internal,
                listed,
            });
        }
        let caller = route::Caller::service();
        let destination =
            route::resolve(&self.settings, &self.directory, &caller, device, |_| true).ok()?;
        let callee = destination.callees.into_iter().next()?;
        Some(Device {
            target: callee.target,
            network: callee.network,
            listed,
        })
    }

    /// The conference of a call-me stands: its phones ring.
    pub(in crate::control) fn reserved_conference_stands(&mut self, now: Instant, call: CallId) {
        let waiting: Vec<SessionId> = self
            .desk
            .callbacks
            .values()
            .filter(|callback| callback.call == call && callback.request.is_some())
            .map(|callback| callback.session)
            .collect();
        for session in waiting {
            self.ring_devices(now, session);
        }
    }

    fn ring_devices(&mut self, now: Instant, session: SessionId) {
        self.timers.clear(
            Owner::Desk,
            Timer::Supervisor(SupervisorTimer::Reserve(session)),
        );
        let Some(callback) = self.desk.callbacks.get_mut(&session) else {
            return;
        };
        let request = callback.request.take();
        let devices = callback.devices.clone();
        let (owner, call) = (callback.owner.clone(), callback.call);
        let shard = self
            .calls
            .get(&call)
            .map_or_else(|| self.quietest_shard(), |call| call.shard);
        if let Some(request) = request {
            self.reply(request, Reply::Session { session });
        }
        self.notify_callback(session, Notice::SessionStarted);
        for device in devices {
            let leg = self.ring(now, &owner, device, Purpose::Session(session), shard);
            if let Some(callback) = self.desk.callbacks.get_mut(&session) {
                callback.legs.push(leg);
            }
        }
    }

    /// The conference of a call-me could not be made: nothing rings.
    pub(in crate::control) fn reserved_conference_failed(&mut self, now: Instant, call: CallId) {
        let waiting: Vec<SessionId> = self
            .desk
            .callbacks
            .values()
            .filter(|callback| callback.call == call && callback.request.is_some())
            .map(|callback| callback.session)
            .collect();
        for session in waiting {
            self.reservation_failed(now, session);
        }
    }

    pub(in crate::control) fn reservation_failed(&mut self, _now: Instant, session: SessionId) {
        let code = ErrorCode::ConferenceFailed;
        if let Some(request) = self
            .desk
            .callbacks
            .get_mut(&session)
            .and_then(|callback| callback.request.take())
        {
            self.reply(request, Reply::Refused(code));
        }
        self.notify_refused(code);
        self.give_up_callback(session, Some(code), "conference_failed");
    }

    /// Nobody will come to this session any more.
    fn give_up_callback(
        &mut self,
        session: SessionId,
        code: Option<ErrorCode>,
        cause: &'static str,
    ) {
        self.timers.clear(
            Owner::Desk,
            Timer::Supervisor(SupervisorTimer::Reserve(session)),
        );
        self.session_ends(session);
        let Some(callback) = self.desk.callbacks.remove(&session) else {
            return;
        };
        let draft = crate::control::audit::audit(
            Some(callback.owner.0.clone()),
            callback.owner.1.clone(),
            callback.via,
            "call_me",
        )
        .call(Some(callback.call))
        .session(Some(session))
        .detail(Some(cause.into()))
        .outcome(Outcome::Failed);
        match code {
            Some(code) => draft.code(code).record(self),
            None => draft.record(self),
        };
        self.give_up_place(callback.call, callback.place.seat);
    }

    /// Ends a callback at somebody's wish: its phones stop ringing.
    pub(in crate::control) fn cancel_callback(&mut self, now: Instant, session: SessionId) {
        self.end_callback(now, session, "cancelled");
    }

    /// Ends a callback: its phones stop ringing.
    pub(in crate::control) fn end_callback(
        &mut self,
        now: Instant,
        session: SessionId,
        cause: &'static str,
    ) {
        let legs = self
            .desk
            .callbacks
            .get(&session)
            .map(|callback| callback.legs.clone())
            .unwrap_or_default();
        self.give_up_callback(session, None, cause);
        for leg in legs {
            self.end_leg(now, leg, 487, None);
        }
    }

    /// Into the call that the phones were rung for, if it is still there.
    pub(in crate::control) fn enter_called_back(
        &mut self,
        now: Instant,
        leg: LegId,
        session: SessionId,
    ) {
        let Some(callback) = self.desk.callbacks.remove(&session) else {
            return self.hang_up_supervisor(now, leg, "callback_gone");
        };
        let (call, seat) = (callback.call, callback.place.seat);
        if let Some(member) = self
            .calls
            .get_mut(&call)
            .and_then(|call| call.conference.as_mut())
            .and_then(|conference| conference.members.get_mut(&seat))
        {
            member.leg = Some(leg);
        }
        self.open_menu(now, leg, ChoosingCall::default());
        let allowed = match self.entry(leg) {
            Some(entry) => self.may_supervise(&entry, call, Some(leg)),
            None => Err(ErrorCode::Unregistered),
        };
        match allowed {
            Ok(()) => {
                self.begin_join(
                    now,
                    leg,
                    Joining {
                        session,
                        call,
                        seat,
                        in_conference: callback.place.in_conference,
                        step: Step::Convening,
                        coaching: callback.coaching,
                        record: callback.record,
                        asked_at: callback.started_at,
                        via: callback.via,
                        announced: Announced::No,
                    },
                );
            }
            Err(code) => {
                self.callback_ends(&callback);
                self.give_up_place(call, seat);
                self.refuse_join(now, leg, call, Some(session), callback.via, code);
            }
        }
    }

    /// The phones that lost against this one; `None` when it is not wanted any more.
    pub(in crate::control) fn first_answer(
        &mut self,
        leg: LegId,
        session: SessionId,
    ) -> Option<Vec<LegId>> {
        let callback = self.desk.callbacks.get_mut(&session)?;
        if !callback.legs.contains(&leg) {
            return None;
        }
        let mut others = std::mem::replace(&mut callback.legs, vec![leg]);
        others.retain(|other| *other != leg);
        Some(others)
    }

    /// A phone of a callback is gone: with the last one the session is.
    pub(in crate::control) fn device_of_session_gone(&mut self, leg: LegId, session: SessionId) {
        let Some(callback) = self.desk.callbacks.get_mut(&session) else {
            return;
        };
        callback.legs.retain(|other| *other != leg);
        if callback.legs.is_empty() {
            self.give_up_callback(session, None, "no_answer");
        }
    }

    /// Whether this supervisor has a session, or one that rings.
    pub(in crate::control) fn has_session(&self, owner: &Whose) -> bool {
        let in_call = self.supervisors.values().any(|supervisor| {
            supervisor.who.owner().as_ref() == Some(owner)
                && match &supervisor.state {
                    State::Joining(_) | State::Supervising(_) => true,
                    // A phone that still rings for a session that was cancelled is no session.
                    State::Ringing(ringing) => ringing.purpose == Purpose::Proof,
                    State::Greeting { .. }
                    | State::EnteringPin { .. }
                    | State::ChoosingCall(_)
                    | State::Leaving => false,
                }
        });
        in_call
            || self
                .desk
                .callbacks
                .values()
                .any(|callback| callback.owner == *owner)
    }

    /// 9010, 9003, 9004, 9006, 9007, 9013, 9014, 9012: whether a supervisor may come to this call
    /// as a listener. `besides` is the supervisor's own leg, if it is a member already.
    pub(in crate::control) fn may_supervise(
        &self,
        entry: &SupervisorEntry,
        call: CallId,
        besides: Option<LegId>,
    ) -> Result<(), ErrorCode> {
        policy::begins(self.service)?;
        policy::organisation_supervises(&self.directory, &entry.organisation)?;
        // A call that is over was somebody's a moment ago, or it would not have been asked for.
        let call = self.calls.get(&call).ok_or(ErrorCode::PupilGone)?;
        let facts = self.facts(call, besides).ok_or(ErrorCode::NoCall)?;
        if !policy::is_own_call(entry, &facts) && !self.is_in_scope(entry, call) {
            return Err(ErrorCode::NoCall);
        }
        policy::may_join(&self.settings, entry, &facts)
    }
}

#[cfg(test)]
mod tests;
