//! The media threads: `media-0 … media-n`, each with its sockets and one shard.
//!
//! [`MediaPlane`] is their handle and has one owner, the driver. It binds ports, keeps the commands
//! for each thread in order, and carries a leg from one thread to another by value. It never
//! waits: what a thread has no room for stays in its backlog, and [`MediaPlane::has_no_room`] asks
//! for no new calls until it has drained.

pub mod busy;
pub mod engine;
#[cfg(test)]
mod engine_tests;
pub mod epoll;
mod peers;
pub mod ports;
pub mod socket;
#[cfg(test)]
mod tests;
pub mod uring;
pub mod wake;
pub mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tracing::{error, warn};

use crate::edge::clock;
use crate::edge::rtp::busy::Busy;
use crate::edge::rtp::engine::{Engine, EngineKind};
use crate::edge::rtp::ports::Ports;
use crate::edge::rtp::socket::SocketPair;
use crate::edge::rtp::wake::Wake;
use crate::edge::rtp::worker::Worker;
use crate::edge::telemetry::Metrics;
use crate::id::{LegId, ShardId};
use crate::media::command::{Command, Event};
use crate::media::participant::Participant;
use crate::media::prompt::PromptLibrary;
use crate::media::shard::{Channel, PortSlot, Shard, ShardConfig};

/// Commands that a thread has not taken yet. Beyond it they wait in the backlog.
const RING: usize = 1024;
/// Reports of all threads that the driver has not taken yet. Beyond it each thread keeps its own
/// and offers them at the next tick.
const REPORTS: usize = 4096;
/// A thread that is busier than this takes no new call. It has been refusing conferences for longer:
/// what there is left is for the calls that it has.
const FULL: f32 = 0.9;
/// How soon a backlog is offered again.
const RETRY: Duration = Duration::from_millis(2);
/// Seconds from 1900, where NTP begins, to 1970.
const NTP_EPOCH_S: u64 = 2_208_988_800;

/// How a thread moves its datagrams: one implementation for each interface of the kernel.
pub trait MediaIo {
    /// Takes in the sockets of a leg.
    fn open(&mut self, slot: PortSlot, sockets: SocketPair) -> io::Result<()>;

    /// Takes nothing more from the sockets of a leg that is about to move. What was taken already
    /// still comes out of [`Self::receive`].
    fn pause(&mut self, slot: PortSlot);

    /// Gives the sockets back. What the kernel holds for them stays there.
    fn close(&mut self, slot: PortSlot) -> Option<SocketPair>;

    fn wait(&mut self, wait: Wait) -> io::Result<()>;

    /// The next datagram that is there. `None` when there is no more, or when it is time for
    /// other work.
    fn receive(&mut self) -> Option<Datagram<'_>>;

    /// The leg whose datagram comes out of [`Self::receive`] after so many others, where that is
    /// known already.
    fn upcoming(&self, after: usize) -> Option<PortSlot>;

    /// Something of this leg is received or sent soon.
    fn prefetch(&self, slot: PortSlot);

    fn sockets(&mut self, slot: PortSlot) -> Option<&mut SocketPair>;

    /// Sends, with the next [`Self::flush`] at the latest; what the kernel does not take then is
    /// never sent later instead.
    fn send(&mut self, slot: PortSlot, channel: Channel, to: SocketAddr, bytes: &[u8]);

    /// Nothing more is sent in this tick. Returns how many RTP packets were found not to have been
    /// taken by the kernel since the last time.
    fn flush(&mut self) -> u64;
}

/// What ends a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The deadline alone.
    Until(Instant),
    /// A packet or a [`Wake`](wake::Wake), and at the latest the deadline.
    PacketOr(Option<Instant>),
}

#[derive(Debug)]
pub struct Datagram<'a> {
    pub slot: PortSlot,
    pub channel: Channel,
    pub source: SocketAddr,
    pub bytes: &'a mut [u8],
}

/// What a media thread is told.
#[derive(Debug)]
pub(crate) enum Instruction {
    Open {
        leg: LegId,
        local: SocketAddr,
        sockets: SocketPair,
    },
    Command(Command),
    GiveUp {
        leg: LegId,
    },
    TakeIn(Box<Moving>),
    Stop,
    #[cfg(test)]
    Panic,
}

/// A leg between two threads. What its sockets receive meanwhile waits in the kernel.
#[derive(Debug)]
pub struct Moving {
    pub(crate) leg: LegId,
    pub(crate) participant: Box<Participant>,
    pub(crate) sockets: SocketPair,
}

/// What a media thread reports.
#[derive(Debug)]
pub enum Report {
    Event(Event),
    /// The answer to `GiveUp`; `None` when the thread has no such leg.
    GivenUp {
        leg: LegId,
        moving: Option<Box<Moving>>,
    },
}

/// What the media plane is started with.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    pub threads: u16,
    pub bind: IpAddr,
    /// In our session descriptions.
    pub advertise: IpAddr,
    pub ports: RangeInclusive<u16>,
    /// Where SSRCs and first sequence numbers come from.
    pub seed: u64,
    pub engine: EngineKind,
}

pub struct MediaPlane {
    threads: Vec<Thread>,
    ports: Ports,
    advertise: IpAddr,
    /// The port of every leg whose sockets are open.
    bound: BTreeMap<LegId, u16>,
    /// Where each leg on its way is going, next and then.
    moves: BTreeMap<LegId, VecDeque<ShardId>>,
}

struct Thread {
    /// So that tests can take it away.
    #[cfg(test)]
    ring_fd: Option<std::os::fd::RawFd>,
    ring: rtrb::Producer<Instruction>,
    wake: Arc<Wake>,
    busy: Arc<Busy>,
    /// Commands of running calls that found the ring full, or that come after a leg which is still
    /// on its way. No larger than what running calls ask for, as new ones are refused meanwhile.
    backlog: VecDeque<Waiting>,
    /// Something is in the ring that the thread was not woken for.
    told: bool,
    join: Option<JoinHandle<()>>,
}

enum Waiting {
    Ready(Instruction),
    /// This leg comes first.
    For(LegId),
}

impl MediaPlane {
    /// Starts the threads. What they report comes out of the receiver.
    pub fn start(
        config: &MediaConfig,
        prompts: Arc<PromptLibrary>,
        metrics: &Metrics,
    ) -> io::Result<(Self, mpsc::Receiver<(ShardId, Report)>)> {
        let (reports, receiver) = mpsc::channel(REPORTS);
        let (now, utc_ms) = (clock::now(), clock::utc_ms());
        let turn = usize::try_from(config.seed % 65_536).unwrap_or_default();
        let mut plane = Self {
            threads: Vec::new(),
            ports: Ports::new(config.bind, config.ports.clone(), turn),
            advertise: config.advertise,
            bound: BTreeMap::new(),
            moves: BTreeMap::new(),
        };
        for index in 0..config.threads.max(1) {
            let id = ShardId(index);
            let shard = Shard::new(
                ShardConfig {
                    seed: config.seed.wrapping_add(u64::from(index) << 48),
                    wall_clock: Some((now, ntp(utc_ms))),
                },
                prompts.clone(),
            );
            let wake = Arc::new(Wake::new()?);
            let busy = Arc::new(Busy::default());
            let io = Engine::new(config.engine, wake.clone())?;
            #[cfg(test)]
            let ring_fd = io.ring_fd();
            let (ring, instructions) = rtrb::RingBuffer::new(RING);
            let worker = Worker::new(
                id,
                io,
                shard,
                instructions,
                reports.clone(),
                metrics.clone(),
                busy.clone(),
            );
            let join = std::thread::Builder::new()
                .name(format!("media-{index}"))
                .spawn(move || worker.run())?;
            plane.threads.push(Thread {
                #[cfg(test)]
                ring_fd,
                ring,
                wake,
                busy,
                backlog: VecDeque::new(),
                told: false,
                join: Some(join),
            });
        }
        Ok((plane, receiver))
    }

    /// Binds a port for a leg and tells the thread of it.
    pub fn open(&mut self, now: Instant, shard: ShardId, leg: LegId) -> Event {
        match self.ports.bind(now) {
            Ok(sockets) => {
                let port = sockets.port();
                let local = SocketAddr::new(self.advertise, port);
                if let Some(old) = self.bound.insert(leg, port) {
                    warn!(%leg, "opened twice");
                    self.ports.release(now, old);
                }
                self.tell(
                    shard,
                    Instruction::Open {
                        leg,
                        local,
                        sockets,
                    },
                );
                Event::Opened { leg, local }
            }
            Err(error) => {
                warn!(%leg, %error, "no port for a leg");
                Event::OpenFailed { leg }
            }
        }
    }

    /// Hands a command to a thread, after those that it was given before; [`Self::wake`] has it
    /// looked at.
    pub fn command(&mut self, shard: ShardId, command: Command) {
        self.tell(shard, Instruction::Command(command));
    }

    /// Carries a leg over. Whatever `to` is told from now on waits until the leg is there.
    pub fn move_leg(&mut self, leg: LegId, from: ShardId, to: ShardId) {
        if from == to {
            return;
        }
        let Some(thread) = self.threads.get_mut(usize::from(to.0)) else {
            error!(shard = %to, "there is no such media thread");
            return;
        };
        thread.backlog.push_back(Waiting::For(leg));
        self.moves.entry(leg).or_default().push_back(to);
        self.tell(from, Instruction::GiveUp { leg });
    }

    /// Ends the waits of threads that were told something. Once for all that they were told: a
    /// call is a dozen commands, and a wait that ends costs more than any of them.
    pub fn wake(&mut self) {
        for thread in &mut self.threads {
            if std::mem::take(&mut thread.told) {
                thread.wake.wake();
            }
        }
    }

    /// Takes a report, and yields what of it control is to know.
    pub fn handle_report(&mut self, now: Instant, report: Report) -> Option<Event> {
        match report {
            Report::Event(event) => {
                if let Event::Closed { leg, .. } | Event::OpenFailed { leg } = &event
                    && let Some(port) = self.bound.remove(leg)
                {
                    self.ports.release(now, port);
                }
                Some(event)
            }
            Report::GivenUp { leg, moving } => {
                self.arrive(leg, moving);
                None
            }
        }
    }

    /// Offers again what the threads had no room for.
    pub fn handle_timeout(&mut self) {
        for thread in &mut self.threads {
            thread.flush();
        }
    }

    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let mut waiting = self
            .threads
            .iter()
            .filter_map(|thread| thread.backlog.front());
        waiting
            .any(|waiting| matches!(waiting, Waiting::Ready(_)))
            .then_some(now + RETRY)
    }

    /// No new calls now: a thread does not keep up, or all have as much to do as they can.
    pub fn has_no_room(&self) -> bool {
        self.is_behind() || self.is_full()
    }

    /// A thread does not keep up with what it is told.
    fn is_behind(&self) -> bool {
        self.threads.iter().any(|thread| {
            let first = thread.backlog.front();
            matches!(first, Some(Waiting::Ready(_)))
        })
    }

    /// Every thread has as many calls as it can carry.
    fn is_full(&self) -> bool {
        self.threads.iter().all(|thread| thread.busy.share() > FULL)
    }

    /// A thread that ended although it was not told to.
    pub fn ended(&self) -> Option<ShardId> {
        let ended = self
            .threads
            .iter()
            .position(|thread| thread.join.as_ref().is_none_or(JoinHandle::is_finished))?;
        u16::try_from(ended).ok().map(ShardId)
    }

    #[cfg(test)]
    pub fn break_thread(&mut self, shard: ShardId) {
        self.tell(shard, Instruction::Panic);
        self.wake();
    }

    /// Ends the threads and waits for their ends. Sockets close with them.
    pub fn stop(mut self) {
        self.stop_threads();
    }

    fn stop_threads(&mut self) {
        for thread in &mut self.threads {
            let Some(join) = thread.join.take() else {
                continue;
            };
            thread.backlog.clear();
            let mut stop = Instruction::Stop;
            while let Err(rtrb::PushError::Full(back)) = thread.ring.push(stop) {
                if join.is_finished() {
                    break;
                }
                stop = back;
                thread.wake.wake();
                std::thread::yield_now();
            }
            thread.wake.wake();
            if join.join().is_err() {
                error!("a media thread had panicked");
            }
        }
    }

    fn arrive(&mut self, leg: LegId, moving: Option<Box<Moving>>) {
        let next = self.moves.get_mut(&leg).and_then(VecDeque::pop_front);
        if self.moves.get(&leg).is_some_and(VecDeque::is_empty) {
            self.moves.remove(&leg);
        }
        let Some(to) = next else {
            error!(%leg, "a leg was given up that nobody asked for");
            return;
        };
        let Some(thread) = self.threads.get_mut(usize::from(to.0)) else {
            return;
        };
        let awaited = |waiting: &Waiting| matches!(waiting, Waiting::For(other) if *other == leg);
        let Some(place) = thread.backlog.iter().position(awaited) else {
            return;
        };
        match moving {
            Some(moving) => {
                thread.backlog[place] = Waiting::Ready(Instruction::TakeIn(moving));
            }
            None => {
                // It closed before it could move; what follows finds no such leg.
                thread.backlog.remove(place);
            }
        }
        thread.flush();
    }

    fn tell(&mut self, shard: ShardId, instruction: Instruction) {
        let Some(thread) = self.threads.get_mut(usize::from(shard.0)) else {
            error!(%shard, "there is no such media thread");
            return;
        };
        thread.backlog.push_back(Waiting::Ready(instruction));
        thread.flush();
    }
}

impl Drop for MediaPlane {
    fn drop(&mut self) {
        self.stop_threads();
    }
}

impl Thread {
    fn flush(&mut self) {
        while !self.ring.is_full()
            && let Some(Waiting::Ready(_)) = self.backlog.front()
            && let Some(Waiting::Ready(instruction)) = self.backlog.pop_front()
        {
            // There is room, and nobody else fills it.
            self.told |= self.ring.push(instruction).is_ok();
        }
    }
}

/// 32.32 seconds since 1900 (RFC 3550 §4).
fn ntp(utc_ms: i64) -> u64 {
    let ms = u64::try_from(utc_ms).unwrap_or_default();
    let fraction = ((ms % 1000) << 32) / 1000;
    ((ms / 1000 + NTP_EPOCH_S) << 32) | fraction
}
