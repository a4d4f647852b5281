//! A phone of a supervisor's that we ring: for a session that was asked for on a screen, or to
//! prove a caller ID.
//!
//! One outside the internal network has to press 1 before anything is heard, so that a voicemail
//! box never records a customer.

use std::time::{Duration, Instant};

use crate::control::desk::Owner as Whose;
use crate::control::directory::SupervisorEntry;
use crate::control::input::Network;
use crate::control::leg::{LegOwner, Way};
use crate::control::legs::{Dialled, MAX_FORWARDS};
use crate::control::output::{Notice, Target};
use crate::control::proof::ProofCode;
use crate::control::record::{Outcome, Source};
use crate::control::refusal::ErrorCode;
use crate::control::speech::Sentence;
use crate::control::supervisor::{AfterPin, Caller, IDLE, State, Supervisor, SupervisorTimer};
use crate::control::switchboard::{Switchboard, reason};
use crate::id::{LegId, SessionId, ShardId};
use crate::media::dtmf::Digit;
use crate::wire::sdp::SessionDescription;

/// How long a phone rings.
const RING: Duration = Duration::from_secs(60);

/// For how long after the `1` keys are ignored: an impatient `1#` would be a takeover.
const KEY_PAUSE: Duration = Duration::from_secs(1);

/// A phone to ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub target: Target,
    pub network: Network,
    pub listed: Listed,
}

/// Whether an administrator or the supervisor has put the phone on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    Yes,
    No,
}

/// What a phone is rung for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A session that was asked for on a screen.
    Session(SessionId),
    /// A dial-in whose caller ID is proven by calling it back.
    Proof,
    /// A number that its owner wants to be registered with: it hears this code.
    Number(ProofCode),
}

/// One phone that we ring.
#[derive(Debug)]
pub struct Ringing {
    pub purpose: Purpose,
    pub device: Device,
    pub step: RingStep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingStep {
    Ringing,
    /// "Press 1 to connect."
    PressOne,
}

impl Switchboard {
    /// Takes in a leg towards a phone; its INVITE goes out when the port is open.
    pub(in crate::control) fn ring(
        &mut self,
        now: Instant,
        owner: &Whose,
        device: Device,
        purpose: Purpose,
        shard: ShardId,
    ) -> LegId {
        let leg = LegId(self.ids.next_id());
        let network = device.network;
        let who = Caller {
            organisation: owner.0.clone(),
            user: Some(owner.1.clone()),
            number: "".into(),
            trunk: None,
            language: self
                .directory
                .supervisors
                .get(owner)
                .map(|entry| entry.language)
                .unwrap_or_default(),
        };
        let ringing = Ringing {
            purpose,
            device,
            step: RingStep::Ringing,
        };
        self.supervisors
            .insert(leg, Supervisor::new(leg, who, State::Ringing(ringing)));
        self.wake(leg, SupervisorTimer::Ring, now + RING);
        self.admit(
            now,
            leg,
            LegOwner::Supervisor,
            Way::Outbound,
            shard,
            network,
        );
        leg
    }

    /// Calls the registered phone of whoever dialled in, to prove that it is theirs. Whether there
    /// was a phone to ring; one that rings already is not rung twice.
    pub(in crate::control) fn call_back(&mut self, now: Instant, entry: &SupervisorEntry) -> bool {
        let owner = (entry.organisation.clone(), entry.user.clone());
        let device = entry
            .phone
            .as_ref()
            .and_then(|phone| self.device(phone, Listed::Yes));
        let Some(device) = device else {
            return false;
        };
        let rings_already = self.supervisors.values().any(|supervisor| {
            matches!(supervisor.state, State::Ringing(_))
                && supervisor.who.owner().as_ref() == Some(&owner)
        });
        if !rings_already {
            let shard = self.quietest_shard();
            self.ring(now, &owner, device, Purpose::Proof, shard);
        }
        true
    }

    /// The port of a phone that is to be rung is there.
    pub(in crate::control) fn dial_device(&mut self, leg: LegId) {
        let Some(supervisor) = self.supervisors.get(&leg) else {
            return;
        };
        let State::Ringing(ringing) = &supervisor.state else {
            return;
        };
        let target = ringing.device.target.clone();
        let caller = self
            .directory
            .organisations
            .get(&supervisor.who.organisation)
            .and_then(|organisation| organisation.supervising_numbers.first().cloned());
        self.dial_leg(
            leg,
            Dialled {
                target,
                caller,
                display_name: None,
                max_forwards: MAX_FORWARDS,
            },
            &[],
            None,
        );
    }

    /// The first phone that answers wins.
    pub(in crate::control) fn device_answered(
        &mut self,
        now: Instant,
        leg: LegId,
        sdp: Option<SessionDescription>,
    ) {
        let Some(State::Ringing(ringing)) = self
            .supervisors
            .get(&leg)
            .map(|supervisor| &supervisor.state)
        else {
            return;
        };
        let (purpose, network) = (ringing.purpose, ringing.device.network);
        let others = match purpose {
            Purpose::Proof => Some(Vec::new()),
            Purpose::Number(code) => {
                return match self.device_described(leg, sdp) {
                    true => self.speak_code(now, leg, code),
                    false => self.end_leg(now, leg, 488, None),
                };
            }
            Purpose::Session(session) => self.first_answer(leg, session),
        };
        let Some(others) = others.filter(|_| self.device_described(leg, sdp)) else {
            return self.end_leg(now, leg, 488, None);
        };
        for other in others {
            self.end_leg(
                now,
                other,
                487,
                Some(reason(200, "Call completed elsewhere")),
            );
        }
        self.listen_for_menu_keys(leg);
        match network {
            Network::Internal => self.device_connected(now, leg),
            Network::External => {
                if let Some(State::Ringing(ringing)) = self
                    .supervisors
                    .get_mut(&leg)
                    .map(|supervisor| &mut supervisor.state)
                {
                    ringing.step = RingStep::PressOne;
                }
                self.wake(leg, SupervisorTimer::Ring, now + IDLE);
                self.say(leg, &[Sentence::PressOne]);
                if let Purpose::Session(session) = purpose {
                    self.notify_callback(session, Notice::SessionMoved);
                }
            }
        }
    }

    /// Whether a key was meant for the phone that rings, or falls into the pause after it.
    pub(in crate::control) fn ringing_key(
        &mut self,
        now: Instant,
        leg: LegId,
        digit: Digit,
    ) -> bool {
        let Some(supervisor) = self.supervisors.get_mut(&leg) else {
            return false;
        };
        if supervisor.deaf_until.is_some_and(|until| now < until) {
            return true;
        }
        let State::Ringing(ringing) = &supervisor.state else {
            return false;
        };
        if ringing.step == RingStep::PressOne && digit.as_char() == '1' {
            supervisor.deaf_until = Some(now + KEY_PAUSE);
            self.device_connected(now, leg);
        }
        true
    }

    /// A person is there: the PIN where the number is nobody's, then the call.
    fn device_connected(&mut self, now: Instant, leg: LegId) {
        self.let_sleep(leg, SupervisorTimer::Ring);
        let Some(State::Ringing(ringing)) = self
            .supervisors
            .get(&leg)
            .map(|supervisor| &supervisor.state)
        else {
            return;
        };
        match (ringing.purpose, ringing.device.listed) {
            // It hears its code as soon as it answers.
            (Purpose::Number(_), _) => {}
            (Purpose::Proof, _) => {
                self.audit_of(leg, Source::Phone, "call_back")
                    .outcome(Outcome::Done)
                    .record(self);
                self.choose_call(now, leg);
            }
            (Purpose::Session(session), Listed::Yes) => self.enter_called_back(now, leg, session),
            (Purpose::Session(session), Listed::No) => {
                let ready = self.entry(leg).is_some_and(|entry| {
                    let owner = (entry.organisation.clone(), entry.user.clone());
                    entry.has_pin && !self.desk.is_locked(now, &owner, None)
                });
                match ready {
                    true => {
                        let then = AfterPin::CalledBack(session);
                        self.ask_for_pin(now, leg, then, &[Sentence::EnterPin]);
                        self.notify_callback(session, Notice::SessionMoved);
                    }
                    false => self.refuse_pin(now, leg),
                }
            }
        }
    }

    pub(in crate::control) fn device_rang_out(&mut self, now: Instant, leg: LegId) {
        self.end_leg(now, leg, 487, None);
    }

    /// A phone that we rang is gone before anybody was there.
    pub(in crate::control) fn device_gone(&mut self, leg: LegId, purpose: Purpose) {
        match purpose {
            Purpose::Session(session) => self.device_of_session_gone(leg, session),
            Purpose::Number(_) => self.proof_call_failed(leg),
            Purpose::Proof => {
                self.audit_of(leg, Source::System, "call_back")
                    .outcome(Outcome::Failed)
                    .code(ErrorCode::PinFailed)
                    .record(self);
                self.notify_refused(ErrorCode::PinFailed);
            }
        }
    }
}
