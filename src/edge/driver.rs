//! The one loop of the control plane: owns the `Switchboard`, hands it one input at a time, and
//! carries its outputs, in their order, to where they belong.
//!
//! One task and one writer: there is no lock and no order to guess. Nothing in the loop waits for
//! anything but the next input, so a slow disk or a slow reader holds up no call.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use crate::control::directory::Directory;
use crate::control::input::{Input, Reply, Signal, StoreAnswer};
use crate::control::output::{Notice, Output, Pin, SignalCommand};
use crate::control::snapshot::SessionState;
use crate::control::switchboard::Switchboard;
use crate::edge::clock;
use crate::edge::live::{LiveSource, Question};
use crate::edge::rtp::{MediaPlane, Report};
use crate::edge::sip::SipHandle;
use crate::edge::store::{PinOutcome, Recorder, Store};
use crate::edge::telemetry::Metrics;
use crate::id::{LegId, RecordId, RequestId, ShardId};
use crate::media::command::{Command, Event};

/// Readers are shown the service at most this often, and less often where there is so much to show
/// that it would take more than a fiftieth of the time.
const PUBLISH_EVERY: Duration = Duration::from_millis(20);
const PUBLISH_SHARE: u32 = 50;
/// No reader waits longer than this.
const PUBLISH_AT_LEAST_EVERY: Duration = Duration::from_millis(250);
/// Notices that wait to be told with what is shown next. Beyond it readers are shown it at once.
const MAX_UNTOLD: usize = 512;
/// How often the media threads are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Operators who wait for an answer. Beyond it they are told that the service is busy.
const MAX_WAITING_OPERATORS: usize = 1024;
/// Requests of operators are told from those of call control by this bit.
const OPERATORS: u64 = 1 << 63;
/// A PIN that cannot be checked is tried again this often, at this distance.
const PIN_TRIES: u32 = 10;
const PIN_RETRY: Duration = Duration::from_millis(500);

/// What the service tells the driver.
#[derive(Debug)]
pub enum Wish {
    /// People or policy changed. Answered, where somebody waits, once control decides by it.
    Directory {
        directory: Arc<Directory>,
        in_force: Option<oneshot::Sender<()>>,
    },
    /// No new calls and no new sessions from now on.
    Drain,
    /// Every call is ended with BYE.
    EndCalls,
    /// A fault in a media thread, to see what follows from one.
    #[cfg(test)]
    BreakThread(ShardId),
}

/// Where inputs come from. Each channel has its own bound, so that a flood of one kind does not
/// hold up another.
pub struct Inboxes {
    pub signals: mpsc::Receiver<(LegId, Signal)>,
    pub media: mpsc::Receiver<(ShardId, Report)>,
    pub store: mpsc::Receiver<StoreAnswer>,
    pub wishes: mpsc::Receiver<Wish>,
    pub live: LiveSource,
}

pub struct Driver {
    switchboard: Switchboard,
    inboxes: Inboxes,
    sip: SipHandle,
    media: MediaPlane,
    store: Store,
    recorder: Recorder,
    /// Where the checks of PINs leave their answers.
    store_answers: mpsc::Sender<StoreAnswer>,
    metrics: Metrics,
    /// Operators who wait for their answer.
    asked: BTreeMap<RequestId, oneshot::Sender<Reply>>,
    next_request: u64,
    /// Facts are not taken, and control knows.
    refusing: bool,
    shown: Shown,
}

/// What readers were shown.
struct Shown {
    stale: bool,
    /// The earliest time at which they are shown it again.
    again_at: Instant,
    /// What has happened since: told once it can be seen, so that who is told and looks finds it.
    untold: Vec<Notice>,
}

/// What ended the driver.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error("media thread {0} ended")]
    MediaThread(ShardId),
    #[error("the signalling edge ended")]
    Signalling,
    #[error("the media plane ended")]
    Media,
}

/// What remains when the driver has ended, to be closed in good order.
pub struct Remains {
    pub media: MediaPlane,
    pub recorder: Recorder,
}

impl Driver {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        switchboard: Switchboard,
        inboxes: Inboxes,
        sip: SipHandle,
        media: MediaPlane,
        store: Store,
        recorder: Recorder,
        store_answers: mpsc::Sender<StoreAnswer>,
        metrics: Metrics,
    ) -> Self {
        Self {
            switchboard,
            inboxes,
            sip,
            media,
            store,
            recorder,
            store_answers,
            metrics,
            asked: BTreeMap::new(),
            next_request: OPERATORS,
            refusing: false,
            shown: Shown {
                stale: true,
                again_at: clock::now(),
                untold: Vec::new(),
            },
        }
    }

    /// Works until `wishes` is closed, or until a part without which there are no calls ends.
    pub async fn run(mut self) -> (Remains, Result<(), DriverError>) {
        let result = self.work().await;
        self.show(clock::now());
        let remains = Remains {
            media: self.media,
            recorder: self.recorder,
        };
        (remains, result)
    }

    async fn work(&mut self) -> Result<(), DriverError> {
        let mut look_at = clock::now() + LOOK_EVERY;
        loop {
            let now = clock::now();
            if now >= look_at {
                look_at = now + LOOK_EVERY;
                if let Some(shard) = self.media.ended() {
                    return Err(DriverError::MediaThread(shard));
                }
            }
            self.media.handle_timeout();
            if self
                .switchboard
                .poll_timeout()
                .is_some_and(|due| due <= now)
            {
                self.switchboard.handle_timeout(now);
                self.follow(now);
            }
            self.media.wake();
            self.metrics.sip_shut_out(self.sip.guard_counts().shut_out);
            self.publish(now);
            let wake = self
                .next_wake(now)
                .map_or(look_at, |wake| wake.min(look_at));

            tokio::select! {
                signal = self.inboxes.signals.recv() => {
                    let (leg, signal) = signal.ok_or(DriverError::Signalling)?;
                    self.take_signal(leg, signal);
                }
                report = self.inboxes.media.recv() => {
                    let (shard, report) = report.ok_or(DriverError::Media)?;
                    self.take_report(shard, report);
                }
                Some(answer) = self.inboxes.store.recv() => self.take_answer(answer),
                Some(question) = self.inboxes.live.questions.recv() => self.take_question(question),
                wish = self.inboxes.wishes.recv() => match wish {
                    Some(wish) => self.take_wish(wish),
                    None => return Ok(()),
                },
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
    }

    fn next_wake(&self, now: Instant) -> Option<Instant> {
        let publish = self.shown.stale.then_some(self.shown.again_at);
        let timeouts = [
            self.switchboard.poll_timeout(),
            self.media.poll_timeout(now),
            publish,
        ];
        timeouts.into_iter().flatten().min()
    }

    fn take_signal(&mut self, leg: LegId, signal: Signal) {
        if matches!(signal, Signal::Invited(_)) && self.media.has_no_room() {
            // The leg ends before control has heard of it.
            warn!(%leg, "the media threads have no room: a call is refused");
            let reject = SignalCommand::Reject {
                status: 503,
                reason: None,
            };
            return self.sip.send(leg, reject);
        }
        self.handle(Input::Signal { leg, signal });
    }

    fn take_report(&mut self, shard: ShardId, report: Report) {
        let Some(event) = self.media.handle_report(clock::now(), report) else {
            return;
        };
        if let Event::FenceViolated {
            bridge,
            listener,
            speaker,
        } = &event
        {
            error!(%bridge, listener = listener.index(), speaker = speaker.index(),
                "matrix and fence differ: the frame was silenced");
        }
        self.handle(Input::Media { shard, event });
    }

    fn take_answer(&mut self, answer: StoreAnswer) {
        if matches!(answer, StoreAnswer::Up) {
            self.refusing = false;
        }
        self.handle(Input::Store(answer));
    }

    fn take_question(&mut self, question: Question) {
        if self.asked.len() >= MAX_WAITING_OPERATORS {
            self.asked.retain(|_, answer| !answer.is_closed());
        }
        if self.asked.len() >= MAX_WAITING_OPERATORS {
            // The answer is dropped, and with it the operator is told.
            return;
        }
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.asked.insert(request, question.answer);
        self.handle(Input::Operator {
            request,
            who: question.who,
            ask: question.ask,
        });
    }

    fn take_wish(&mut self, wish: Wish) {
        match wish {
            Wish::Directory {
                directory,
                in_force,
            } => {
                self.sip.set_directory(directory.clone());
                self.handle(Input::Directory(directory));
                if let Some(waiting) = in_force {
                    self.show(clock::now());
                    // Who waited may have gone.
                    let _ = waiting.send(());
                }
            }
            Wish::Drain => {
                info!("draining: no new calls");
                self.handle(Input::Drain);
            }
            Wish::EndCalls => {
                info!("every call is ended");
                self.handle(Input::EndCalls);
            }
            #[cfg(test)]
            Wish::BreakThread(shard) => self.media.break_thread(shard),
        }
    }

    fn handle(&mut self, input: Input) {
        let now = clock::now();
        self.switchboard.handle_input(now, input);
        self.follow(now);
    }

    /// Carries out what follows from an input, and from what itself follows from that.
    fn follow(&mut self, now: Instant) {
        let mut next = VecDeque::new();
        loop {
            // An answer on the way shows the service as it is then; what follows it is shown too.
            self.shown.stale = true;
            while let Some(output) = self.switchboard.poll_output() {
                next.extend(self.carry_out(now, output));
            }
            let Some(input) = next.pop_front() else {
                return;
            };
            self.switchboard.handle_input(now, input);
        }
    }

    /// Carries out one output, and yields the input that is known at once.
    fn carry_out(&mut self, now: Instant, output: Output) -> Option<Input> {
        match output {
            Output::Signal { leg, command } => self.sip.send(leg, command),
            Output::Media {
                shard,
                command: Command::Open { leg },
            } => {
                let event = self.media.open(now, shard, leg);
                return Some(Input::Media { shard, event });
            }
            Output::Media { shard, command } => self.media.command(shard, command),
            Output::Move { leg, from, to } => self.media.move_leg(leg, from, to),
            Output::Record { id, record } => {
                let taken = self.recorder.record(id, clock::utc_ms(), record);
                if taken.is_err() {
                    return self.not_recorded(id);
                }
            }
            Output::CheckPin {
                request,
                organisation,
                user,
                pin,
            } => self.check_pin(request, organisation, user, pin),
            Output::Reply { request, reply } => {
                if let Some(waiting) = self.asked.remove(&request) {
                    // Who looks after the answer sees what was answered.
                    self.show(now);
                    // Who asked may have gone.
                    let _ = waiting.send(reply);
                }
            }
            Output::Notify(notice) => self.tell(now, notice),
        }
        None
    }

    /// More facts wait than the store holds: what cannot be recorded does not happen.
    fn not_recorded(&mut self, id: RecordId) -> Option<Input> {
        error!(record = %id, "the store takes no more facts: one is lost");
        let first = !std::mem::replace(&mut self.refusing, true);
        first.then_some(Input::Store(StoreAnswer::Down))
    }

    fn check_pin(&self, request: RequestId, organisation: Arc<str>, user: Arc<str>, pin: Pin) {
        let (store, answers) = (self.store.clone(), self.store_answers.clone());
        tokio::spawn(async move {
            let mut matches = false;
            for _ in 0..PIN_TRIES {
                match store.verify_pin(&organisation, &user, &pin.0).await {
                    Ok(outcome) => {
                        matches = outcome == PinOutcome::Matches;
                        break;
                    }
                    Err(error) => {
                        warn!(%error, "a PIN could not be checked");
                        tokio::time::sleep(PIN_RETRY).await;
                    }
                }
            }
            let answer = StoreAnswer::PinChecked { request, matches };
            // Nobody listens any more once the service ends.
            let _ = answers.send(answer).await;
        });
    }

    fn tell(&mut self, now: Instant, notice: Notice) {
        match &notice {
            Notice::RoleChanged { took, .. } => self.metrics.role_change(*took),
            Notice::DigitCounted(source) => self.metrics.digit(*source),
            Notice::Refused(code) => self.metrics.refusal(*code),
            Notice::CallStarted(_)
            | Notice::CallAnswered(_)
            | Notice::CallTransferred(_)
            | Notice::CallChanged(_)
            | Notice::CallEnded(_)
            | Notice::SessionStarted(_)
            | Notice::SessionMoved(_)
            | Notice::SessionEnded(_)
            | Notice::HelpChanged(_) => {}
        }
        self.shown.untold.push(notice);
        self.shown.stale = true;
        if self.shown.untold.len() >= MAX_UNTOLD {
            self.show(now);
        }
    }

    /// Shows readers the service, if it changed since they last saw it.
    fn publish(&mut self, now: Instant) {
        if self.shown.stale && now >= self.shown.again_at {
            self.show(now);
        }
    }

    fn show(&mut self, now: Instant) {
        let begun = clock::now();
        let snapshot = self.switchboard.snapshot();
        self.metrics.calls(snapshot.calls.len());
        let states = snapshot.sessions.iter().map(|session| session.state);
        self.metrics
            .sessions(states.filter_map(|state| match state {
                SessionState::Supervising(supervision) => Some(supervision),
                SessionState::Ringing | SessionState::Confirming | SessionState::Ended => None,
            }));
        self.inboxes.live.snapshots.send_replace(Arc::new(snapshot));
        let took = clock::now().saturating_duration_since(begun);
        let pause = (took * PUBLISH_SHARE).clamp(PUBLISH_EVERY, PUBLISH_AT_LEAST_EVERY);
        self.shown.stale = false;
        self.shown.again_at = now + pause;
        for notice in self.shown.untold.drain(..) {
            // Nobody may be listening.
            let _ = self.inboxes.live.notices.send(notice);
        }
    }
}
