//! Into a call and out of it again: convene, move, seat, mix; and back, whatever went wrong.
//!
//! A call stays a plain bridge until the first supervisor comes; the conference goes with the last
//! one. Nothing of the parties is touched on the way: a failure leaves the call as it was.
//!
//! | what failed | a conference was just made | one stood already |
//! | --- | --- | --- |
//! | making it | 9011 | – |
//! | the move, the seat or the mix | 9015 | 9012 |

use std::time::Instant;

use crate::control::call::{ConferenceState, Occupant, Side};
use crate::control::conference::{Place, failure};
use crate::control::directory::AgentNotice;
use crate::control::output::{Notice, Output};
use crate::control::policy::{self, Coaching};
use crate::control::record::{Outcome, Record, Source};
use crate::control::recording::Recording;
use crate::control::refusal::ErrorCode;
use crate::control::role::Supervision;
use crate::control::speech::{self, Sentence};
use crate::control::supervisor::{
    Announced, ChoosingCall, JOIN_LIMIT, Joining, MEDIA_WATCH, Session, State, Step,
    SupervisorTimer,
};
use crate::control::switchboard::Switchboard;
use crate::id::{BridgeId, CallId, Generation, LegId, RecordId, SessionId};
use crate::media::command::{Command, Ducking};
use crate::media::matrix::Seat;

impl Switchboard {
    /// A supervisor in the menu asks for a call.
    pub(in crate::control) fn join(
        &mut self,
        now: Instant,
        leg: LegId,
        call: CallId,
        via: Source,
        announced: Announced,
    ) {
        let placed = self
            .may_join(leg, call)
            .and_then(|()| self.leave_other_sessions(now, leg))
            .and_then(|()| self.reserve_seat(call, Some(leg)));
        match placed {
            Ok(Place {
                seat,
                in_conference,
            }) => {
                let session = SessionId(self.ids.next_id());
                let record = self
                    .audit_of(leg, via, "join")
                    .call(Some(call))
                    .session(Some(session))
                    .outcome(Outcome::Requested)
                    .record(self);
                self.await_record(leg, record);
                self.begin_join(
                    now,
                    leg,
                    Joining {
                        session,
                        call,
                        seat,
                        in_conference,
                        step: Step::Convening,
                        coaching: Coaching::On,
                        record,
                        asked_at: now,
                        via,
                        announced,
                    },
                );
            }
            Err(code) => self.refuse_join(now, leg, call, None, via, code),
        }
    }

    /// From here on the seat is reserved and the conference asked for.
    pub(in crate::control) fn begin_join(&mut self, now: Instant, leg: LegId, joining: Joining) {
        let Some(supervisor) = self.supervisors.get_mut(&leg) else {
            return;
        };
        supervisor.state = State::Joining(joining);
        self.let_sleep(leg, SupervisorTimer::Idle);
        self.wake(leg, SupervisorTimer::Join, now + JOIN_LIMIT);
        self.conference_stands(leg);
    }

    fn may_join(&self, leg: LegId, call: CallId) -> Result<(), ErrorCode> {
        let entry = self.entry(leg).ok_or(ErrorCode::Unregistered)?;
        self.may_supervise(&entry, call, Some(leg))
    }

    /// A supervisor has one session at a time. Who joins from another phone gives up the first,
    /// unless a customer would be left alone (9007).
    fn leave_other_sessions(&mut self, now: Instant, leg: LegId) -> Result<(), ErrorCode> {
        let owner = self
            .supervisors
            .get(&leg)
            .and_then(|supervisor| supervisor.who.owner());
        let others: Vec<LegId> = self
            .supervisors
            .values()
            .filter(|other| other.leg != leg && other.who.owner() == owner)
            .filter(|other| matches!(other.state, State::Joining(_) | State::Supervising(_)))
            .map(|other| other.leg)
            .collect();
        if others.iter().any(|other| self.is_only_company(*other)) {
            return Err(ErrorCode::NotPermitted);
        }
        for other in others {
            self.hang_up_supervisor(now, other, "replaced");
        }
        let ringing: Vec<SessionId> = self
            .desk
            .callbacks
            .values()
            .filter(|callback| Some(&callback.owner) == owner.as_ref())
            .map(|callback| callback.session)
            .collect();
        for session in ringing {
            self.cancel_callback(now, session);
        }
        Ok(())
    }

    /// The call's conference stands, as far as this leg waits for it: on to the call's shard, or
    /// into the seat.
    pub(in crate::control) fn conference_stands(&mut self, leg: LegId) {
        let Some(joining) = self.joining_mut(leg) else {
            return;
        };
        let (call, seat) = (joining.call, joining.seat);
        if joining.step != Step::Convening {
            return;
        }
        let (Some(call), Some(here)) = (
            self.calls.get(&call),
            self.legs.get(&leg).map(|leg| leg.shard),
        ) else {
            return;
        };
        let stands = matches!(&call.conference, Some(conference)
            if conference.state == ConferenceState::Standing);
        if !stands {
            return;
        }
        let (bridge, to) = (call.bridge, call.shard);
        if here == to {
            self.take_seat(leg, bridge, seat);
        } else {
            self.set_step(leg, Step::Moving);
            self.put(Output::Move {
                leg,
                from: here,
                to,
            });
        }
    }

    /// The leg has arrived on another shard.
    pub(in crate::control) fn supervisor_attached(&mut self, _now: Instant, leg: LegId) {
        let Some(joining) = self.joining_mut(leg) else {
            return;
        };
        let (call, seat, step) = (joining.call, joining.seat, joining.step);
        let Some((bridge, shard)) = self.calls.get(&call).map(|call| (call.bridge, call.shard))
        else {
            return;
        };
        if step != Step::Moving {
            return;
        }
        if let Some(leg) = self.legs.get_mut(&leg) {
            self.load.remove(leg.shard);
            self.load.add(shard);
            leg.shard = shard;
        }
        self.take_seat(leg, bridge, seat);
    }

    fn take_seat(&mut self, leg: LegId, bridge: BridgeId, seat: Seat) {
        self.set_step(leg, Step::Seating);
        if self.settings.fault_conference_join {
            self.leg_command(leg, Command::ArmSeatFault { bridge });
        }
        self.leg_command(leg, Command::Seat { bridge, leg, seat });
    }

    pub(in crate::control) fn supervisor_seated(
        &mut self,
        now: Instant,
        leg: LegId,
        bridge: BridgeId,
        seat: Seat,
    ) {
        let waited_for = self
            .joining_mut(leg)
            .is_some_and(|joining| joining.step == Step::Seating && joining.seat == seat);
        let call = self.bridges.get(&bridge).copied();
        let (true, Some(call)) = (waited_for, call) else {
            // It came after its time limit.
            return self.leg_command(leg, Command::Unseat { leg });
        };
        if let Some(call) = self.calls.get_mut(&call) {
            call.seats.insert(
                seat,
                Occupant {
                    leg,
                    role: Supervision::Monitoring.role(),
                },
            );
        }
        self.give_notice(call);
        match self.mix(call) {
            Some(generation) => self.set_step(leg, Step::Mixing(generation)),
            None => self.fail_join(now, leg, ErrorCode::PupilGone),
        }
    }

    pub(in crate::control) fn supervisor_not_seated(&mut self, now: Instant, leg: LegId) {
        let Some(joining) = self.joining_mut(leg) else {
            return;
        };
        let code = failure(joining.in_conference);
        if joining.step == Step::Seating {
            self.fail_join(now, leg, code);
        }
    }

    pub(in crate::control) fn join_timed_out(&mut self, now: Instant, leg: LegId) {
        let Some(joining) = self.joining_mut(leg) else {
            return;
        };
        let code = match joining.step {
            Step::Convening => ErrorCode::ConferenceFailed,
            Step::Moving | Step::Seating | Step::Mixing(_) => failure(joining.in_conference),
        };
        self.fail_join(now, leg, code);
    }

    /// The agent's notice, by policy: to the Pupil alone.
    fn give_notice(&mut self, call: CallId) {
        let Some(call) = self.calls.get(&call) else {
            return;
        };
        let agent = call
            .organisation
            .clone()
            .zip(call.pupil.agent.clone())
            .and_then(|key| self.directory.agents.get(&key));
        let (Some(agent), Some(pupil)) = (agent, call.pupil.leg) else {
            return;
        };
        match policy::agent_notice(&self.settings, &self.directory, agent) {
            AgentNotice::Silent => {}
            AgentNotice::Tone => {
                self.play_to_party(pupil, vec![speech::AGENT_NOTICE], Ducking::Leave);
            }
        }
    }

    /// The supervisor hears the call: the session begins.
    pub(in crate::control) fn joined(&mut self, now: Instant, leg: LegId, generation: Generation) {
        let Some(supervisor) = self.supervisors.get_mut(&leg) else {
            return;
        };
        let State::Joining(joining) = &supervisor.state else {
            return;
        };
        if !matches!(joining.step, Step::Mixing(awaited) if awaited <= generation) {
            return;
        }
        let (session, call, seat) = (joining.session, joining.call, joining.seat);
        let (coaching, requested, via) = (joining.coaching, joining.record, joining.via);
        let mut confirming = match joining.announced {
            Announced::No => Vec::new(),
            Announced::NextCall => vec![Sentence::NextCall],
            Announced::HelpAccepted => vec![Sentence::HelpAccepted],
        };
        confirming.push(Sentence::Now(Supervision::Monitoring));
        let who = supervisor.who.clone();

        self.let_sleep(leg, SupervisorTimer::Join);
        if let Some(owner) = who.owner() {
            self.desk.spend_ticket(&owner);
        }
        self.listen_for_role_keys(leg);
        self.leg_command(
            leg,
            Command::WatchMedia {
                leg,
                after: MEDIA_WATCH,
            },
        );
        let started = self.record(Record::SessionStarted {
            session,
            call,
            organisation: who.organisation.clone(),
            supervisor: who.actor(),
        });
        let done = self
            .audit_of(leg, via, "join")
            .call(Some(call))
            .session(Some(session))
            .roles(None, Some(Supervision::Monitoring))
            .outcome(Outcome::Done)
            .record(self);
        self.await_record(leg, started);
        self.await_record(leg, done);
        let held = self
            .calls
            .get(&call)
            .is_some_and(|call| self.holds(call, Side::Pupil));
        if held {
            confirming.push(Sentence::OnHold);
        }
        let agent = self
            .calls
            .get(&call)
            .and_then(|call| call.pupil.agent.clone());
        let unrecorded = [requested, started, done]
            .into_iter()
            .filter(|record| self.desk.recording.contains_key(record))
            .collect();
        if let Some(supervisor) = self.supervisors.get_mut(&leg) {
            supervisor.state = State::Supervising(Session {
                id: session,
                call,
                seat,
                agent,
                supervision: Supervision::Monitoring,
                coaching,
                started_at: now,
                change: None,
                confirming,
                unrecorded,
                recording: Recording::default(),
                asked: None,
                told_ended: false,
                untold: false,
                unheard: false,
                music: false,
            });
        }
        // A session that was called is known since its phones rang.
        let notice = match via {
            Source::Phone => Notice::SessionStarted,
            Source::Console | Source::Api | Source::System => Notice::SessionMoved,
        };
        self.notify_session(leg, notice);
        self.confirm(leg);
        self.process_requests(now, leg);
    }

    /// The attempt is over: the call is as it was, and the supervisor is back in the menu.
    pub(in crate::control) fn fail_join(&mut self, now: Instant, leg: LegId, code: ErrorCode) {
        let Some(joining) = self.joining_mut(leg) else {
            return;
        };
        let (call, session, via) = (joining.call, joining.session, joining.via);
        let (seat, step) = (joining.seat, joining.step);
        self.let_sleep(leg, SupervisorTimer::Join);
        self.session_ends(session);
        self.drop_requests(leg);
        self.open_menu(now, leg, ChoosingCall::default());
        self.leave_seat(leg, call, seat, step);
        self.refuse_join(now, leg, call, Some(session), via, code);
    }

    /// A join that was refused or failed: the code, and the menu with a retry where one makes sense.
    pub(in crate::control) fn refuse_join(
        &mut self,
        now: Instant,
        leg: LegId,
        call: CallId,
        session: Option<SessionId>,
        via: Source,
        code: ErrorCode,
    ) {
        let outcome = match session {
            Some(_) => Outcome::Failed,
            None => Outcome::Refused,
        };
        self.audit_of(leg, via, "join")
            .call(Some(call))
            .session(session)
            .outcome(outcome)
            .code(code)
            .record(self);
        self.notify_refused(code);

        let gone = matches!(code, ErrorCode::PupilGone | ErrorCode::UserGone);
        let again = matches!(
            code,
            ErrorCode::ConferenceFailed | ErrorCode::CoachNotAdded | ErrorCode::CoachNotJoined
        );
        let Some(supervisor) = self.supervisors.get_mut(&leg) else {
            return;
        };
        if let State::ChoosingCall(choosing) = &mut supervisor.state {
            choosing.retry = again.then_some(call);
        }
        // A ticket names one call: when that is gone, so is the ticket.
        if let Some(owner) = supervisor.who.owner()
            && gone
        {
            self.desk.spend_ticket(&owner);
        }
        self.say_menu(now, leg, &[Sentence::Refused(code)]);
    }

    /// A row whose durability this supervisor's confirmation waits for.
    pub(in crate::control) fn await_record(&mut self, leg: LegId, record: RecordId) {
        self.desk.recording.insert(record, leg);
    }

    fn joining_mut(&mut self, leg: LegId) -> Option<&mut Joining> {
        match &mut self.supervisors.get_mut(&leg)?.state {
            State::Joining(joining) => Some(joining),
            State::Greeting { .. }
            | State::EnteringPin { .. }
            | State::ChoosingCall(_)
            | State::Supervising(_)
            | State::Leaving
            | State::Ringing(_) => None,
        }
    }

    fn set_step(&mut self, leg: LegId, step: Step) {
        if let Some(joining) = self.joining_mut(leg) {
            joining.step = step;
        }
    }
}

#[cfg(test)]
mod tests;
