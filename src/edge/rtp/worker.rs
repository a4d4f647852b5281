//! One media thread: wait → receive → handle → send, one shard and its sockets, no lock and no task.
//!
//! A thread that has next to nothing to do is woken by each packet. One with work sleeps from tick
//! to tick and handles all that came meanwhile, which halves the cost of a packet; the more there
//! is to do, the longer the tick.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::gettid;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::{debug, error, warn};

use crate::edge::clock;
use crate::edge::rtp::busy::{Busy, Clock, Used};
use crate::edge::rtp::peers::Peers;
use crate::edge::rtp::socket::SocketPair;
use crate::edge::rtp::{Instruction, MediaIo, Moving, Report, Wait};
use crate::edge::telemetry::{Metrics, PacketDirection};
use crate::id::{LegId, ShardId};
use crate::media::command::{Command, Event};
use crate::media::shard::{Channel, PortSlot, Shard};

/// How often a thread looks at its load and tells its counters.
const WINDOW: Duration = Duration::from_millis(100);
/// Fifteen times the share of an ordinary thread: calls that come and go all at once keep no sound
/// waiting. It leaves room for them, as a thread that is nearly full takes nothing more.
const PRIORITY: i32 = -12;
/// Datagrams of one tick after which the wheel may turn before the rest: much that has come at once
/// delays no frame by more than handling so many.
const BETWEEN_TURNS: u32 = 256;
/// How many datagrams ahead memory is asked for: of the leg, of its bridge, of the leg that hears it.
const AHEAD: [usize; 3] = [6, 4, 2];
/// How soon reports are offered again that the driver had no room for.
const RETRY: Duration = Duration::from_millis(2);

pub(crate) struct Worker<Io> {
    id: ShardId,
    io: Io,
    shard: Shard,
    instructions: rtrb::Consumer<Instruction>,
    reports: mpsc::Sender<(ShardId, Report)>,
    /// Reports that found no room: one of the shard's, from which nothing more is taken
    /// meanwhile, and legs that were given up.
    held: VecDeque<Report>,
    /// The slots of legs that are not reported closed.
    legs: BTreeMap<LegId, PortSlot>,
    peers: Peers,
    metrics: Metrics,
    busy: Arc<Busy>,
    clock: Clock,
    pace: Pace,
    window: Window,
}

/// What was measured since the last look.
struct Window {
    began: Instant,
    used_before: Used,
    received: u64,
    /// What the control plane asked for.
    instructed: u64,
    /// RTP that the kernel did not take.
    unsent: u64,
}

/// How a thread waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Each packet and each instruction wakes it.
    Woken,
    /// It sleeps for this long.
    Ticks(Duration),
}

impl Pace {
    const SHORT: Self = Self::Ticks(Duration::from_millis(2));
    /// Longer saves little more, and what came as the tick began waits for it and for all the work
    /// before its own: on a thread that is nearly full that is to stay within 5 ms.
    const LONG: Self = Self::Ticks(Duration::from_millis(3));

    /// A tick of 2 ms is 500 waits a second; below that many packets and instructions it costs more
    /// than it saves. The way back is at another mark than the way there, so that a steady load has a
    /// steady pace.
    fn next(self, taken_per_s: f64, busy: f64) -> Self {
        match self {
            Self::Woken if taken_per_s > 1_000.0 => Self::SHORT,
            Self::Woken => Self::Woken,
            Self::SHORT if taken_per_s < 500.0 => Self::Woken,
            Self::SHORT if busy > 0.60 => Self::LONG,
            Self::LONG if busy < 0.45 => Self::SHORT,
            ticks @ Self::Ticks(_) => ticks,
        }
    }
}

impl<Io: MediaIo> Worker<Io> {
    pub(crate) fn new(
        id: ShardId,
        io: Io,
        shard: Shard,
        instructions: rtrb::Consumer<Instruction>,
        reports: mpsc::Sender<(ShardId, Report)>,
        metrics: Metrics,
        busy: Arc<Busy>,
    ) -> Self {
        let clock = Clock::of_this_thread();
        let window = Window::begin(clock::now(), clock.used());
        Self {
            id,
            io,
            shard,
            instructions,
            reports,
            held: VecDeque::new(),
            legs: BTreeMap::new(),
            peers: Peers::default(),
            metrics,
            busy,
            clock,
            pace: Pace::Woken,
            window,
        }
    }

    /// Works until it is told to stop.
    pub(crate) fn run(mut self) {
        // A sleep ends when it is due and not when it suits; where that is refused, 50 µs later.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        // Sound is in time or useless, so it goes before signalling on a core that both share. Where
        // that is refused (LimitNICE), the threads of the process take turns as equals.
        // A process that was given more keeps it.
        if getpriority_process(Some(gettid())).is_ok_and(|ours| ours > PRIORITY) {
            let _ = setpriority_process(Some(gettid()), PRIORITY);
        }
        self.clock = Clock::of_this_thread();
        self.window = Window::begin(clock::now(), self.clock.used());
        let mut tick = clock::now();
        loop {
            let due = self.wait(&mut tick);
            let now = clock::now();
            match (due, self.pace) {
                (Some(due), _) if now >= due => self.metrics.tick_late(now - due),
                // Much has come: the tick goes on when it is handled.
                (Some(due), Pace::Ticks(length)) => tick = due.checked_sub(length).unwrap_or(now),
                (Some(_) | None, _) => {}
            }
            let now = self.receive(now);
            self.turn(now);
            let stop = self.follow_instructions(now);
            self.window.unsent += self.io.flush();
            self.report();
            if stop {
                break;
            }
            self.measure(now);
        }
        debug!(shard = %self.id, "media thread ends");
    }

    /// Waits as the pace has it, and says when the wait was to end.
    fn wait(&mut self, tick: &mut Instant) -> Option<Instant> {
        let (wait, due) = match self.pace {
            Pace::Ticks(length) => {
                *tick += length;
                let due = *tick;
                let now = clock::now();
                if due + length < now {
                    // Ticks that were missed are not made up for; the first of them was late.
                    *tick = now;
                }
                (Wait::Until(due), Some(due))
            }
            Pace::Woken => {
                let now = clock::now();
                *tick = now;
                let retry = (!self.held.is_empty()).then(|| now + RETRY);
                let looks = self.window.taken() > 0 || !self.peers.are_none();
                let look = looks.then(|| self.window.began + WINDOW);
                let timeout = self.shard.poll_timeout();
                let due = [timeout, retry, look].into_iter().flatten().min();
                // A timer that was due when the wait began was late before it.
                (Wait::PacketOr(due), due.filter(|due| *due > now))
            }
        };
        if let Err(error) = self.io.wait(wait) {
            error!(shard = %self.id, %error, "a media thread cannot wait");
            std::thread::sleep(RETRY);
        }
        due
    }

    /// Handles what has come, and says how late it has become meanwhile.
    fn receive(&mut self, mut now: Instant) -> Instant {
        let mut handled = 0_u32;
        loop {
            self.prefetch();
            let Some(datagram) = self.io.receive() else {
                return now;
            };
            self.window.received += 1;
            let (slot, channel, source) = (datagram.slot, datagram.channel, datagram.source);
            self.shard
                .handle_datagram(now, slot, channel, source, datagram.bytes);
            self.send();
            if channel == Channel::Rtp && !self.peers.hear(now, slot, source) {
                self.connect(now, slot, source);
            }
            handled += 1;
            if handled.is_multiple_of(BETWEEN_TURNS) {
                now = clock::now();
                self.turn(now);
            }
        }
    }

    /// Has memory come that the next datagrams want: first of the leg, then of its bridge, then of
    /// the leg that hears it.
    fn prefetch(&self) {
        let [leg, bridge, ear] = AHEAD.map(|after| self.io.upcoming(after));
        if let Some(slot) = leg {
            self.shard.prefetch(slot);
            self.peers.prefetch(slot);
            self.io.prefetch(slot);
        }
        if let Some(slot) = bridge {
            self.shard.prefetch_bridge(slot);
        }
        if let Some(ear) = ear.and_then(|slot| self.shard.prefetch_ear(slot)) {
            self.io.prefetch(ear);
        }
    }

    /// Does what time alone asks for.
    fn turn(&mut self, now: Instant) {
        let due = self.shard.poll_timeout();
        if due.is_some_and(|timeout| timeout <= now) {
            self.shard.handle_timeout(now);
            self.send();
        }
    }

    /// Connects a socket to the phone, once nobody else can be it.
    fn connect(&mut self, now: Instant, slot: PortSlot, source: SocketAddr) {
        if self.shard.only_source(slot) != Some(source) {
            return;
        }
        if let Some(sockets) = self.io.sockets(slot) {
            sockets.connect(Some(source));
            if sockets.peer() == Some(source) {
                self.peers.connected(now, slot, source);
            }
        }
    }

    /// Opens a socket for every source.
    fn disconnect(&mut self, slot: PortSlot) {
        self.peers.forget(slot);
        if let Some(sockets) = self.io.sockets(slot) {
            sockets.connect(None);
        }
    }

    fn send(&mut self) {
        while let Some(transmit) = self.shard.poll_transmit() {
            let (slot, channel) = (transmit.slot, transmit.channel);
            self.io.send(slot, channel, transmit.to, transmit.bytes);
        }
    }

    /// Returns whether the thread is to end.
    fn follow_instructions(&mut self, now: Instant) -> bool {
        while let Ok(instruction) = self.instructions.pop() {
            self.window.instructed += 1;
            match instruction {
                Instruction::Open {
                    leg,
                    local,
                    sockets,
                } => {
                    let slot = self.shard.open(now, leg, local);
                    self.keep(leg, slot, sockets);
                }
                Instruction::Command(command) => {
                    if let Command::Configure { leg, .. } = &command
                        && let Some(&slot) = self.legs.get(leg)
                    {
                        self.disconnect(slot);
                    }
                    self.shard.handle_command(now, command);
                }
                Instruction::GiveUp { leg } => {
                    let moving = self.give_up(now, leg);
                    // Behind what the shard has to say, so that the leg is reported to have left
                    // before it is reported to have arrived.
                    while let Some(event) = self.shard.poll_event() {
                        self.held.push_back(Report::Event(event));
                    }
                    self.held.push_back(Report::GivenUp { leg, moving });
                }
                Instruction::TakeIn(moving) => {
                    let slot = self.shard.attach(now, moving.participant);
                    self.keep(moving.leg, slot, moving.sockets);
                }
                Instruction::Stop => return true,
                #[cfg(test)]
                Instruction::Panic => panic!("a fault of this thread"),
            }
            self.send();
            self.close();
        }
        false
    }
}

impl<Io: MediaIo> Worker<Io> {
    fn keep(&mut self, leg: LegId, slot: PortSlot, mut sockets: SocketPair) {
        self.legs.insert(leg, slot);
        sockets.connect(None);
        if let Err(error) = self.io.open(slot, sockets) {
            // The leg stays and is deaf: its silence ends the call.
            error!(shard = %self.id, %leg, %error, "sockets cannot be watched");
        }
    }

    fn give_up(&mut self, now: Instant, leg: LegId) -> Option<Box<Moving>> {
        if let Some(&slot) = self.legs.get(&leg) {
            // Its packets that have been taken are handled while it is here.
            self.io.pause(slot);
            self.receive(now);
        }
        let participant = self.shard.detach(now, leg)?;
        let slot = self.legs.remove(&leg)?;
        self.peers.forget(slot);
        let sockets = self.io.close(slot)?;
        Some(Box::new(Moving {
            leg,
            participant,
            sockets,
        }))
    }

    /// Closes the sockets of legs that are gone, before anybody is told that their ports are free.
    fn close(&mut self) {
        while let Some(slot) = self.shard.poll_closed() {
            self.peers.forget(slot);
            self.io.close(slot);
        }
    }

    fn report(&mut self) {
        self.close();
        loop {
            let report = match self.held.pop_front() {
                Some(held) => held,
                None => match self.shard.poll_event() {
                    // The driver said so when it bound the port.
                    Some(Event::Opened { .. }) => continue,
                    Some(event) => Report::Event(event),
                    None => return,
                },
            };
            if let Report::Event(Event::Closed { leg, .. }) = &report {
                self.legs.remove(leg);
            }
            match self.reports.try_send((self.id, report)) {
                Ok(()) => {}
                Err(TrySendError::Full((_, report))) => {
                    self.held.push_front(report);
                    return;
                }
                // Nobody listens any more: the service ends.
                Err(TrySendError::Closed(_)) => return,
            }
        }
    }

    fn measure(&mut self, now: Instant) {
        let lasted = now.saturating_duration_since(self.window.began);
        if lasted < WINDOW {
            return;
        }
        let io = &mut self.io;
        self.peers.silent(now, |slot| {
            if let Some(sockets) = io.sockets(slot) {
                sockets.connect(None);
            }
        });
        let next = Window::begin(now, self.clock.used());
        let window = std::mem::replace(&mut self.window, next);
        let busy = (self.window.used_before).share_since(window.used_before, lasted);
        let stats = self.shard.stats();
        let moved = (stats.rtp_in + stats.rtp_out) as f64 / lasted.as_secs_f64();
        self.shard.note_load(busy, moved as f32);
        self.busy.set(self.shard.busy());
        let taken = window.taken() as f64 / lasted.as_secs_f64();
        let pace = self.pace.next(taken, busy.into());
        if pace != self.pace {
            debug!(shard = %self.id, ?pace, busy, "media thread changes its pace");
            self.pace = pace;
        }

        let sent = stats.rtp_out.saturating_sub(window.unsent);
        self.metrics.packets(PacketDirection::In, stats.rtp_in);
        self.metrics.packets(PacketDirection::Out, sent);
        self.metrics.packets_lost(stats.rtp_lost);
        self.metrics.frames_concealed(stats.concealed_frames);
        for _ in 0..stats.fence_violations {
            self.metrics.fence_violation();
        }
        if window.unsent > 0 {
            warn!(shard = %self.id, packets = window.unsent, "packets that could not be sent");
        }
    }
}

impl Window {
    fn begin(now: Instant, used_before: Used) -> Self {
        Self {
            began: now,
            used_before,
            received: 0,
            instructed: 0,
            unsent: 0,
        }
    }

    fn taken(&self) -> u64 {
        self.received + self.instructed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_woken_by_packets_until_ticks_are_cheaper() {
        assert_eq!(Pace::Woken.next(900.0, 0.02), Pace::Woken);
        assert_eq!(Pace::Woken.next(1_100.0, 0.02), Pace::SHORT);
        assert_eq!(Pace::SHORT.next(900.0, 0.02), Pace::SHORT);
        assert_eq!(Pace::SHORT.next(400.0, 0.02), Pace::Woken);
    }

    #[test]
    fn a_busy_thread_takes_longer_ticks_until_it_has_breath_again() {
        assert_eq!(Pace::SHORT.next(50_000.0, 0.59), Pace::SHORT);
        assert_eq!(Pace::SHORT.next(50_000.0, 0.61), Pace::LONG);
        assert_eq!(Pace::LONG.next(50_000.0, 0.50), Pace::LONG);
        assert_eq!(Pace::LONG.next(30_000.0, 0.40), Pace::SHORT);
    }
}
