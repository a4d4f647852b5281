//! A supervisor's phone: one leg, and what it is doing.
//!
//! ```text
//!             PIN wanted                several calls, or none
//! Greeting ───────────▶ EnteringPin ──────────┐
//!    │                       │                ▼
//!    │                       └─────────▶ ChoosingCall ◀──────────┐ the call ended,
//!    │ one call, or a ticket │             │      ▲ refused       │ or the next one is gone
//!    └───────────────────────┴─────────▶ Joining ─┴─▶ Supervising ┘
//!    every state ──▶ Leaving: the last prompt plays, then BYE
//! ```
//!
//! The states are handled in files of their own: `dial_in` (Greeting, EnteringPin), `choosing`,
//! `joining`, `session`, `takeover`, and `events` for what calls report. What happens to the leg comes
//! in by `happened`.

mod happened;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::control::collector::{DigitCollector, Entry};
use crate::control::directory::SupervisorEntry;
use crate::control::keys::Keys;
use crate::control::order::Order;
use crate::control::output::Notice;
use crate::control::policy::Coaching;
use crate::control::record::Source;
use crate::control::recording::Recording;
use crate::control::refusal::ErrorCode;
use crate::control::ringing::Ringing;
use crate::control::role::Supervision;
use crate::control::speech::{self, Sentence};
use crate::control::switchboard::Switchboard;
use crate::control::timers::{Owner, Timer};
use crate::id::{
    CallId, Generation, HelpId, Language, LegId, PlayId, RecordId, RequestId, SessionId,
};
use crate::media::command::{Command, Ducking, Sound};
use crate::media::matrix::Seat;
use crate::wire::sdp::SessionDescription;

/// Commands that wait for the one before them. A person does not type more ahead; further ones are
/// answered 9010.
pub const MAX_REQUESTS: usize = 8;

/// One supervisor's phone leg and what they are doing with it.
#[derive(Debug)]
pub struct Supervisor {
    pub leg: LegId,
    pub who: Caller,
    pub state: State,
    pub keys: Keys,
    /// A key may still be down, and while it is nothing that they say is heard.
    pub voice_shut: bool,
    pub collector: DigitCollector,
    /// Commands that wait: they are processed one at a time, in order.
    pub requests: VecDeque<Request>,
    /// The prompt that the next key cuts short.
    pub playing: Option<PlayId>,
    /// Keys are ignored until then.
    pub deaf_until: Option<Instant>,
    /// A request for help that is spoken of when there is silence: see `help`.
    pub to_announce: Option<HelpId>,
    /// The request that this supervisor was told of last: `2#` means it.
    pub heard_of: Option<HelpId>,
}

/// Who is on the line, as far as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub organisation: Arc<str>,
    /// The supervisor's user name; `None`: a stranger, to be told so.
    pub user: Option<Arc<str>>,
    /// What the caller ID shows, for the audit of strangers.
    pub number: Arc<str>,
    /// Where the call came from: a lock counts for one supervisor on one trunk.
    pub trunk: Option<Arc<str>>,
    pub language: Language,
}

#[derive(Debug)]
pub enum State {
    /// The port is being opened, or the answer of a delayed offer is awaited.
    Greeting {
        welcome: Welcome,
        /// What their INVITE offered, until it is answered.
        offer: Option<SessionDescription>,
    },
    EnteringPin {
        /// The question that the store has not answered yet.
        checking: Option<RequestId>,
        then: AfterPin,
    },
    ChoosingCall(ChoosingCall),
    Joining(Joining),
    Supervising(Session),
    /// A last prompt plays; then BYE.
    Leaving,
    /// A phone of the supervisor's that we ring: see `callback`.
    Ringing(Ringing),
}

/// What happens when the phone is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Welcome {
    Refuse(ErrorCode),
    AskForPin,
    /// Refused, and the registered phone is rung instead.
    CallBack,
    ChooseCall,
}

/// Where the right PIN leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterPin {
    ChooseCall,
    /// Into the call that this phone was rung for.
    CalledBack(SessionId),
}

#[derive(Debug, Default)]
pub struct ChoosingCall {
    /// The session that has just ended: for [`GRACE`] its commands still belong to it.
    pub ended: Option<Ended>,
    /// What `#` alone tries once more.
    pub retry: Option<CallId>,
    /// The menu is said when what is being said ends.
    pub menu_due: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub call: CallId,
    pub session: SessionId,
    pub supervision: Supervision,
    pub at: Instant,
    /// The parties of the call, as the audit names them.
    pub agent: Option<Arc<str>>,
    pub customer: Option<Arc<str>>,
}

/// On the way into a call.
#[derive(Debug)]
pub struct Joining {
    pub session: SessionId,
    pub call: CallId,
    pub seat: Seat,
    /// A conference stood before this request: a failure is 9012, not 9015.
    pub in_conference: bool,
    pub step: Step,
    pub coaching: Coaching,
    /// The row that says it was asked for.
    pub record: RecordId,
    pub asked_at: Instant,
    pub via: Source,
    pub announced: Announced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Convening,
    /// To the shard of the call.
    Moving,
    Seating,
    Mixing(Generation),
}

/// Whether the supervisor was told that another call comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    No,
    NextCall,
    HelpAccepted,
}

/// One supervisor attached to one call.
#[derive(Debug)]
pub struct Session {
    pub id: SessionId,
    pub call: CallId,
    pub seat: Seat,
    /// The Pupil when it began: the audit tells of its end under the same agent, whoever it was
    /// that the customer was given to.
    pub agent: Option<Arc<str>>,
    /// What is in force.
    pub supervision: Supervision,
    pub coaching: Coaching,
    pub started_at: Instant,
    /// The role change that waits for its matrix.
    pub change: Option<Change>,
    /// Said once every row of the session is durable.
    pub confirming: Vec<Sentence>,
    pub unrecorded: Vec<RecordId>,
    pub recording: Recording,
    /// The command that wants to be given twice.
    pub asked: Option<Order>,
    /// "The call has ended." was said while the last leg still stands.
    pub told_ended: bool,
    /// They fell silent while their phone could not be told so.
    pub untold: bool,
    /// Taken over with a key that is still down: the customer cannot hear the supervisor yet.
    pub unheard: bool,
    /// The supervisor's phone fell silent after a takeover, and the customer hears music.
    pub music: bool,
}

#[derive(Debug)]
pub struct Change {
    pub wanted: Supervision,
    pub generation: Generation,
    pub via: Via,
}

/// A command that waits for its turn.
#[derive(Debug)]
pub enum Request {
    Keys { entry: Entry, at: Instant },
    Order { order: Order, via: Via },
}

/// Where an order came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    pub source: Source,
    /// What was pressed, as `4#`.
    pub detail: Option<Arc<str>>,
    /// Who waits for a reply.
    pub request: Option<RequestId>,
    /// The last key, or the click.
    pub at: Instant,
}

impl Via {
    /// Nobody asked: it follows from what happened.
    pub fn system(at: Instant) -> Self {
        Self {
            source: Source::System,
            detail: None,
            request: None,
            at,
        }
    }
}

/// What a supervisor's leg, or the desk, waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SupervisorTimer {
    /// The next key of an entry.
    InterDigit,
    /// Any key at all, in the menu and at the PIN.
    Idle,
    /// The conference, the move or the seat.
    Join,
    /// The matrix of a role change.
    Change,
    /// The rows of a role change.
    Record,
    /// The second press of `7#` or `1#`.
    Confirm,
    /// The Pupil's BYE after a takeover.
    Overlap,
    /// The last prompt.
    Goodbye,
    /// A phone that we ring.
    Ring,
    /// The conference of a call-me.
    Reserve(SessionId),
    /// A help request that nobody takes.
    Help(HelpId),
}

/// How long the menu and the PIN wait for a key.
pub const IDLE: Duration = Duration::from_secs(30);
/// For how long a command belongs to the session that has ended.
pub const GRACE: Duration = Duration::from_secs(5);
/// How long a conference may take to stand, and a supervisor to be seated in it.
pub const JOIN_LIMIT: Duration = Duration::from_secs(2);
/// How long the second `7#` may take.
pub const CONFIRM_WITHIN: Duration = Duration::from_secs(5);
/// How long the User can have heard a supervisor who takes over before the Pupil's BYE.
pub const OVERLAP: Duration = Duration::from_millis(250);
/// For so long the Pupil stays because the key is still down with which the call was taken over.
pub const LONGEST_KEY: Duration = Duration::from_secs(5);
/// The longest a last prompt may take before BYE, should its end never be reported.
pub const GOODBYE_LIMIT: Duration = Duration::from_secs(15);
/// Silence of a supervisor's phone: first the role falls, then the session ends.
pub const MEDIA_WATCH: [Option<Duration>; 2] =
    [Some(Duration::from_secs(30)), Some(Duration::from_secs(60))];

/// Whether a call goes on after one of its parties has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterLeaving {
    /// The other party is hung up.
    Ends,
    /// A supervisor keeps the other party company.
    Stays,
}

impl Supervisor {
    pub fn new(leg: LegId, who: Caller, state: State) -> Self {
        Self {
            leg,
            who,
            state,
            keys: Keys::default(),
            voice_shut: false,
            collector: DigitCollector::default(),
            requests: VecDeque::new(),
            playing: None,
            deaf_until: None,
            to_announce: None,
            heard_of: None,
        }
    }

    pub fn session(&self) -> Option<&Session> {
        match &self.state {
            State::Supervising(session) => Some(session),
            State::Greeting { .. }
            | State::EnteringPin { .. }
            | State::ChoosingCall(_)
            | State::Joining(_)
            | State::Leaving
            | State::Ringing(_) => None,
        }
    }

    pub fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Supervising(session) => Some(session),
            State::Greeting { .. }
            | State::EnteringPin { .. }
            | State::ChoosingCall(_)
            | State::Joining(_)
            | State::Leaving
            | State::Ringing(_) => None,
        }
    }
}

impl Switchboard {
    pub(in crate::control) fn session(&self, leg: LegId) -> Option<&Session> {
        self.supervisors.get(&leg)?.session()
    }

    pub(in crate::control) fn session_mut(&mut self, leg: LegId) -> Option<&mut Session> {
        self.supervisors.get_mut(&leg)?.session_mut()
    }

    /// The directory's entry of whoever is on this leg, as it stands now.
    pub(in crate::control) fn entry(&self, leg: LegId) -> Option<SupervisorEntry> {
        let who = &self.supervisors.get(&leg)?.who;
        let key = (who.organisation.clone(), who.user.clone()?);
        self.directory.supervisors.get(&key).cloned()
    }

    /// Speaks to this supervisor alone; cuts short what was being said.
    pub(in crate::control) fn say(&mut self, leg: LegId, sentences: &[Sentence]) {
        let sounds: Vec<Sound> = sentences
            .iter()
            .flat_map(|sentence| speech::sounds(&self.settings, sentence))
            .collect();
        self.play(leg, sounds);
    }

    pub(in crate::control) fn play(&mut self, leg: LegId, sounds: Vec<Sound>) {
        let play = self.next_play();
        let Some(supervisor) = self.supervisors.get_mut(&leg) else {
            return;
        };
        supervisor.playing = Some(play);
        let language = supervisor.who.language;
        self.leg_command(
            leg,
            Command::Play {
                leg,
                play,
                sounds,
                language,
                ducking: Ducking::Duck,
            },
        );
    }

    /// Refuses a request: spoken to the one who asked, counted, and nothing else.
    pub(in crate::control) fn notify_refused(&mut self, code: ErrorCode) {
        self.notify(Notice::Refused(code));
    }

    /// A last sentence, then BYE.
    pub(in crate::control) fn take_leave(
        &mut self,
        now: Instant,
        leg: LegId,
        sentences: &[Sentence],
    ) {
        self.abandon(now, leg, "refused");
        self.drop_requests(leg);
        let Some(supervisor) = self.supervisors.get_mut(&leg) else {
            return;
        };
        supervisor.state = State::Leaving;
        self.timers.forget(Owner::Supervisor(leg));
        self.say(leg, sentences);
        self.wake(leg, SupervisorTimer::Goodbye, now + GOODBYE_LIMIT);
    }

    pub(in crate::control) fn wake(&mut self, leg: LegId, timer: SupervisorTimer, at: Instant) {
        self.timers
            .set(Owner::Supervisor(leg), Timer::Supervisor(timer), at);
    }

    pub(in crate::control) fn let_sleep(&mut self, leg: LegId, timer: SupervisorTimer) {
        self.timers
            .clear(Owner::Supervisor(leg), Timer::Supervisor(timer));
    }
}

#[cfg(test)]
mod tests;
