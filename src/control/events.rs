//! What becomes of supervision when the call, or the supervisor's phone, changes.

use std::time::{Duration, Instant};

use crate::control::call::{CallState, Side};
use crate::control::leg::Departure;
use crate::control::output::SignalCommand;
use crate::control::policy;
use crate::control::record::{Outcome, Source};
use crate::control::refusal::ErrorCode;
use crate::control::role::{Ear, Supervision};
use crate::control::speech::Sentence;
use crate::control::supervisor::{
    AfterLeaving, AfterPin, ChoosingCall, Ended, MEDIA_WATCH, State, Step, SupervisorTimer,
};
use crate::control::switchboard::Switchboard;
use crate::control::timers::Owner;
use crate::id::{CallId, Language, LegId, RequestId};
use crate::media::command::{Command, Ducking, Event, Sound};

impl Switchboard {
    /// An event that names a call's bridge: `Convened`, `ConveneRefused`, `MatrixInForce` (noted
    /// in the call already), `FenceViolated`.
    pub(in crate::control) fn bridge_event(&mut self, now: Instant, call: CallId, event: Event) {
        match event {
            Event::Convened { .. } => self.convened(now, call),
            Event::ConveneRefused { .. } => self.not_convened(now, call),
            Event::MatrixInForce { generation, .. } => {
                for leg in self.supervisors_of(call) {
                    self.joined(now, leg, generation);
                    self.change_in_force(now, leg, generation);
                }
            }
            // An alarm: the frame was silenced, and the driver counts it.
            Event::FenceViolated { .. } => {}
            Event::Opened { .. }
            | Event::OpenFailed { .. }
            | Event::Seated { .. }
            | Event::SeatRefused { .. }
            | Event::DigitPressed { .. }
            | Event::VoiceOpened { .. }
            | Event::PlayEnded { .. }
            | Event::MediaSilent { .. }
            | Event::MediaHeard { .. }
            | Event::Detached { .. }
            | Event::Attached { .. }
            | Event::Closed { .. } => {}
        }
    }

    /// The phones in the call or on their way into it.
    pub(in crate::control) fn supervisors_of(&self, call: CallId) -> Vec<LegId> {
        self.members(call)
            .into_iter()
            .filter_map(|member| member.leg)
            .collect()
    }

    /// A party's leg is gone, and its seat is empty. Not called for a party replaced by transfer.
    pub(in crate::control) fn party_left(
        &mut self,
        now: Instant,
        call: CallId,
        side: Side,
        _how: Departure,
    ) -> AfterLeaving {
        let Some(known) = self.calls.get(&call) else {
            return AfterLeaving::Ends;
        };
        let clearing = matches!(known.state, CallState::Clearing { .. });
        let stays = side == Side::Pupil
            && !clearing
            && self.user_on_call(known)
            && self.company_stays(known);
        let code = match side {
            Side::Pupil => ErrorCode::PupilGone,
            Side::User => ErrorCode::UserGone,
        };
        for leg in self.supervisors_of(call) {
            let Some(session) = self.session_mut(leg) else {
                self.fail_join(now, leg, code);
                continue;
            };
            if !stays && !session.told_ended {
                session.told_ended = true;
                session.confirming.clear();
                self.say(leg, &[Sentence::CallEnded]);
            }
        }
        match stays {
            true => {
                self.keep_company(call);
                AfterLeaving::Stays
            }
            false => AfterLeaving::Ends,
        }
    }

    /// Who barged has the customer to themselves now.
    pub(in crate::control) fn keep_company(&mut self, call: CallId) {
        for leg in self.supervisors_of(call) {
            let session = self.session(leg);
            if session.is_some_and(|session| session.supervision == Supervision::Barged) {
                self.say(leg, &[Sentence::Now(Supervision::TakenOver)]);
            }
        }
    }

    /// The last party is gone. The call is still in `self.calls` and leaves it afterwards.
    pub(in crate::control) fn call_over(&mut self, now: Instant, call: CallId) {
        for leg in self.supervisors_of(call) {
            match self.session(leg) {
                Some(session) if session.told_ended => {
                    self.end_session(now, leg, "call_ended", &[]);
                }
                Some(_) => self.end_session(now, leg, "call_ended", &[Sentence::CallEnded]),
                None => self.fail_join(now, leg, ErrorCode::PupilGone),
            }
        }
        self.help_call_over(now, call);
    }

    /// A party put the other one on hold, or resumed.
    pub(in crate::control) fn party_held(&mut self, _now: Instant, call: CallId, side: Side) {
        let held = self
            .calls
            .get(&call)
            .is_some_and(|call| self.holds(call, side));
        if side != Side::Pupil || !held {
            return;
        }
        for leg in self.supervisors_of(call) {
            let Some(session) = self.session(leg) else {
                continue;
            };
            let sentence = match session.supervision {
                Supervision::Coaching(Ear::Pupil) => Sentence::AgentOnHold,
                Supervision::Monitoring
                | Supervision::Coaching(Ear::User)
                | Supervision::Barged
                | Supervision::TakenOver => Sentence::OnHold,
            };
            self.say(leg, &[sentence]);
        }
    }

    /// The agent's transfer succeeded: the Pupil of this call is now another (or nobody's agent),
    /// and the former one's leg is being released.
    pub(in crate::control) fn call_transferred(&mut self, now: Instant, call: CallId) {
        for leg in self.supervisors_of(call) {
            let Some(session) = self.session(leg) else {
                self.fail_join(now, leg, ErrorCode::PupilGone);
                continue;
            };
            match session.supervision {
                Supervision::Barged | Supervision::TakenOver => self.stay_in_barge(now, leg),
                Supervision::Monitoring | Supervision::Coaching(_) => {
                    if self.may_follow(leg, call) {
                        self.fall_silent(now, leg);
                    } else {
                        self.end_session(now, leg, "transferred", &[Sentence::CallTransferred]);
                    }
                }
            }
        }
        self.help_call_over(now, call);
    }

    /// Whether the session moves along to the customer's new agent.
    fn may_follow(&self, leg: LegId, call: CallId) -> bool {
        let (Some(entry), Some(call)) = (self.entry(leg), self.calls.get(&call)) else {
            return false;
        };
        self.settings.follow_customer
            && self.is_in_scope(&entry, call)
            && self
                .facts(call, Some(leg))
                .is_some_and(|facts| !policy::is_own_call(&entry, &facts))
    }

    /// Nothing came from a supervisor's phone for long.
    pub(in crate::control) fn supervisor_silent(
        &mut self,
        now: Instant,
        leg: LegId,
        lasting: Duration,
    ) {
        let long = MEDIA_WATCH[1].is_some_and(|limit| lasting >= limit);
        let company = self.session(leg).is_some_and(|session| {
            let pupil_there = self
                .calls
                .get(&session.call)
                .is_some_and(|call| self.pupil_on_call(call));
            session.supervision == Supervision::TakenOver
                || (session.supervision == Supervision::Barged && !pupil_there)
        });
        match (company, long) {
            // The customer has nobody else: the call lives on, with music.
            (true, _) => self.console_customer(leg),
            (false, false) => self.fall_silent_untold(now, leg),
            (false, true) => self.hang_up_supervisor(now, leg, "media_lost"),
        }
    }

    pub(in crate::control) fn supervisor_heard(&mut self, _now: Instant, leg: LegId) {
        self.tell_role(leg);
        let user = self
            .session(leg)
            .filter(|session| session.music)
            .and_then(|session| self.calls.get(&session.call))
            .and_then(|call| call.user.leg);
        if let Some(user) = user {
            self.leg_command(user, Command::StopPlay { leg: user });
            if let Some(session) = self.session_mut(leg) {
                session.music = false;
            }
        }
    }

    fn console_customer(&mut self, leg: LegId) {
        let user = self
            .session(leg)
            .filter(|session| !session.music)
            .and_then(|session| self.calls.get(&session.call))
            .and_then(|call| call.user.leg);
        let Some(user) = user else {
            return;
        };
        let play = self.next_play();
        self.leg_command(
            user,
            Command::Play {
                leg: user,
                play,
                sounds: vec![Sound::HoldMusic],
                language: Language::default(),
                ducking: Ducking::Leave,
            },
        );
        if let Some(session) = self.session_mut(leg) {
            session.music = true;
        }
    }

    /// The session is over, the phone is still there: back to the menu.
    pub(in crate::control) fn end_session(
        &mut self,
        now: Instant,
        leg: LegId,
        cause: &'static str,
        sentences: &[Sentence],
    ) {
        let Some(session) = self.session(leg) else {
            return;
        };
        let call = self.calls.get(&session.call);
        let ended = Ended {
            call: session.call,
            session: session.id,
            supervision: session.supervision,
            at: now,
            agent: session.agent.clone(),
            customer: call.and_then(|call| call.user.number.clone()),
        };
        self.leave_call(now, leg, cause);
        if self.entry(leg).is_none() {
            return self.forget_company(now, leg);
        }
        let still_speaking = self
            .supervisors
            .get(&leg)
            .is_some_and(|supervisor| supervisor.playing.is_some());
        self.open_menu(
            now,
            leg,
            ChoosingCall {
                ended: Some(ended),
                retry: None,
                menu_due: sentences.is_empty() && still_speaking,
            },
        );
        if !sentences.is_empty() || !still_speaking {
            self.say_menu(now, leg, sentences);
        }
    }

    /// Takes the session out of its call and writes down that it is over. The state is left for
    /// the caller to replace.
    pub(in crate::control) fn leave_call(
        &mut self,
        _now: Instant,
        leg: LegId,
        cause: &'static str,
    ) {
        let Some(session) = self.session_mut(leg) else {
            return;
        };
        let change = session.change.take();
        let (call, seat) = (session.call, session.seat);
        let source = match cause {
            "hung_up" | "next" => Source::Phone,
            _ => Source::System,
        };
        self.close_session(leg, cause, source);
        if let Some(request) = change.and_then(|change| change.via.request) {
            self.reply(
                request,
                crate::control::input::Reply::Refused(ErrorCode::PupilGone),
            );
        }
        self.drop_requests(leg);
        for timer in [
            SupervisorTimer::Change,
            SupervisorTimer::Record,
            SupervisorTimer::Confirm,
            SupervisorTimer::Overlap,
        ] {
            self.let_sleep(leg, timer);
        }
        self.leave_seat(leg, call, seat, Step::Seating);
    }

    /// Ends the supervisor's own leg.
    pub(in crate::control) fn hang_up_supervisor(
        &mut self,
        now: Instant,
        leg: LegId,
        cause: &'static str,
    ) {
        let call = self.abandon(now, leg, cause);
        if let Some(supervisor) = self.supervisors.get_mut(&leg) {
            supervisor.state = State::Leaving;
        }
        self.timers.forget(Owner::Supervisor(leg));
        if let Some(call) = call {
            self.end_if_deserted(now, call);
        }
        self.end_leg(now, leg, 480, None);
    }

    /// A supervisor's leg is released; it is still in `self.legs`, and leaves it afterwards.
    pub(in crate::control) fn supervisor_gone(&mut self, now: Instant, leg: LegId, how: Departure) {
        let cause = match how {
            Departure::HungUp(_) | Departure::Cancelled => "hung_up",
            Departure::Failed { .. } | Departure::Lost => "lost",
            Departure::Released => "released",
        };
        let call = self.abandon(now, leg, cause);
        self.drop_requests(leg);
        self.supervisors.remove(&leg);
        self.timers.forget(Owner::Supervisor(leg));
        if let Some(call) = call {
            self.end_if_deserted(now, call);
        }
    }

    /// Gives up whatever the phone is doing: its session, its way into one, its part in a callback.
    /// The state is left for the caller to replace. The call of a session that ended is returned.
    pub(in crate::control) fn abandon(
        &mut self,
        now: Instant,
        leg: LegId,
        cause: &'static str,
    ) -> Option<CallId> {
        match &self.supervisors.get(&leg)?.state {
            State::Supervising(session) => {
                let call = session.call;
                self.leave_call(now, leg, cause);
                Some(call)
            }
            State::Joining(joining) => {
                let (call, seat, step) = (joining.call, joining.seat, joining.step);
                let session = joining.session;
                self.audit_of(leg, joining.via, "join")
                    .call(Some(call))
                    .session(Some(session))
                    .detail(Some(cause.into()))
                    .outcome(Outcome::Failed)
                    .record(self);
                self.session_ends(session);
                self.leave_seat(leg, call, seat, step);
                None
            }
            State::Ringing(ringing) => {
                let purpose = ringing.purpose;
                self.device_gone(leg, purpose);
                None
            }
            State::EnteringPin {
                then: AfterPin::CalledBack(session),
                ..
            } => {
                let session = *session;
                self.device_of_session_gone(leg, session);
                None
            }
            State::Greeting { .. }
            | State::EnteringPin {
                then: AfterPin::ChooseCall,
                ..
            }
            | State::ChoosingCall(_)
            | State::Leaving => None,
        }
    }

    /// A supervisor's phone does not transfer anybody.
    pub(in crate::control) fn refuse_transfer(&mut self, leg: LegId, request: RequestId) {
        self.signal(
            leg,
            SignalCommand::RefuseRefer {
                request,
                status: 403,
            },
        );
    }
}

#[cfg(test)]
mod tests;
