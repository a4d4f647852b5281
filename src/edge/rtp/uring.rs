//! [`MediaIo`] on io_uring: every socket has one receive that stays armed and fills buffers of a
//! ring as packets come; what is sent goes out in one entry into the kernel for many packets.
//!
//! The kernel's part of the work is done when the thread enters the ring and at no other time
//! (`DEFER_TASKRUN`), so that a thread that ticks is not woken by packets. Needs Linux 6.1.
//!
//! Sockets are in the ring's own table of files, so that no packet has to look them up among the
//! process's and count who uses them; those for which it has no room are named by their numbers.
//!
//! A send is done when the entry into the ring returns: it never waits (`MSG_DONTWAIT`), so its
//! bytes need to live no longer, and only its failure is told.

mod buffers;
mod files;
mod head;
mod key;
mod outgoing;
mod probe;

use std::collections::VecDeque;
use std::io;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::squeue::Flags;
use io_uring::types::{Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use crate::edge::clock;
use crate::edge::rtp::socket::SocketPair;
use crate::edge::rtp::uring::buffers::Buffers;
use crate::edge::rtp::uring::files::Files;
use crate::edge::rtp::uring::head::{HEAD, NAME, read_head};
use crate::edge::rtp::uring::key::{CANCELLED, RTCP, RTP, SENT, SENT_REPORT, WAKE, key, split};
use crate::edge::rtp::uring::outgoing::{Outgoing, PACKETS};
use crate::edge::rtp::wake::Wake;
use crate::edge::rtp::{Datagram, MediaIo, Wait};
use crate::media::prefetch::prefetch;
use crate::media::shard::{Channel, PortSlot};

/// Completions that the kernel keeps for us; what comes beyond, it keeps in a list.
const COMPLETIONS: u32 = 4096;
/// Packets that end a tick early, before the buffers run out.
const MANY: usize = 512;
/// Looks for more packets between two waits: a flood delays the thread by no more than this.
const MAX_ROUNDS: usize = 64;
/// The buffers' group; there is one.
const GROUP: u16 = 0;
/// `IORING_ENTER_GETEVENTS`: the kernel does its part.
const GET_EVENTS: u32 = 1;

/// How long sockets may take to be let go of. It takes one entry.
const LET_GO: Duration = Duration::from_secs(1);

pub struct UringIo {
    ring: ManuallyDrop<IoUring>,
    buffers: ManuallyDrop<Buffers>,
    /// What every receive is told: how much room an address gets.
    message: Box<libc::msghdr>,
    outgoing: Outgoing,
    wake: Arc<Wake>,
    legs: Vec<Option<Leg>>,
    files: Files,
    /// Completions that were fetched.
    seen: VecDeque<cqueue::Entry>,
    /// The buffer of the datagram that was handed out last.
    lent: Option<u16>,
    current: Option<Current>,
    /// Receives and the watch that ended and are to be armed again.
    ended: Vec<u64>,
    rounds: usize,
    unsent: u64,
    enabled: bool,
    broken: Option<io::Error>,
}

struct Leg {
    sockets: SocketPair,
    /// They are in the ring's table.
    fixed: bool,
    /// Whether the receive of RTP, of RTCP stands.
    armed: [bool; 2],
    /// No receive is to be armed.
    paused: bool,
}

/// How an entry names a socket.
enum Name {
    Fixed(Fixed),
    Number(Fd),
}

impl Leg {
    fn name(&self, slot: PortSlot, channel: Channel) -> Name {
        match self.fixed {
            true => Name::Fixed(files::place(slot, channel)),
            false => Name::Number(Fd(self.sockets.fd(channel).as_raw_fd())),
        }
    }
}

struct Current {
    slot: PortSlot,
    channel: Channel,
    source: SocketAddr,
    buffer: u16,
    length: usize,
}

// `message` points nowhere but to nothing.
unsafe impl Send for UringIo {}

impl UringIo {
    /// A ring that no thread has yet: the first to use it has it from then on.
    pub fn new(wake: Arc<Wake>) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_r_disabled()
            .setup_cqsize(COMPLETIONS)
            .dontfork()
            .build(2 * PACKETS as u32)?;
        if !ring.params().is_feature_nodrop() || !ring.params().is_feature_skip_cqe_on_success() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let buffers = Buffers::register(&ring.submitter(), GROUP)?;
        let files = Files::register(&ring.submitter());
        // SAFETY: null pointers and zero lengths are a message of nothing.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_namelen = NAME as u32;
        Ok(Self {
            ring: ManuallyDrop::new(ring),
            buffers: ManuallyDrop::new(buffers),
            message: Box::new(message),
            outgoing: Outgoing::new(),
            wake,
            legs: Vec::new(),
            files,
            seen: VecDeque::new(),
            lent: None,
            current: None,
            ended: vec![WAKE],
            rounds: 0,
            unsent: 0,
            enabled: false,
            broken: None,
        })
    }

    /// Why the ring is of no use any more. What it had received still comes out of `receive`.
    pub fn broken(&self) -> Option<&io::Error> {
        self.broken.as_ref()
    }

    #[cfg(test)]
    pub fn fd(&self) -> std::os::fd::RawFd {
        self.ring.as_raw_fd()
    }

    /// Gives all sockets back.
    pub fn give_up(mut self) -> Vec<(PortSlot, SocketPair)> {
        let legs = std::mem::take(&mut self.legs);
        (0..)
            .zip(legs)
            .filter_map(|(slot, leg)| Some((PortSlot(slot), leg?.sockets)))
            .collect()
    }

    /// Goes to the next datagram; false when there is no more, or when it is time for other work.
    pub fn advance(&mut self) -> bool {
        if let Some(buffer) = self.lent.take() {
            self.buffers.give_back(buffer);
        }
        self.current = None;
        loop {
            while let Some(entry) = self.seen.pop_front() {
                if self.take(&entry) {
                    return true;
                }
            }
            self.fetch();
            if !self.seen.is_empty() {
                continue;
            }
            if self.rounds >= MAX_ROUNDS || self.broken.is_some() {
                return false;
            }
            self.rounds += 1;
            self.enter(0, None);
            self.fetch();
            if self.seen.is_empty() {
                return false;
            }
        }
    }

    pub fn current(&mut self) -> Option<Datagram<'_>> {
        let current = self.current.as_ref()?;
        let filled = self.buffers.filled(current.buffer, HEAD + current.length);
        Some(Datagram {
            slot: current.slot,
            channel: current.channel,
            source: current.source,
            bytes: &mut filled[HEAD..],
        })
    }

    /// Takes a completion; true when it is a datagram.
    fn take(&mut self, entry: &cqueue::Entry) -> bool {
        let (kind, slot) = split(entry.user_data());
        let (result, flags) = (entry.result(), entry.flags());
        match kind {
            RTP | RTCP => {
                if !cqueue::more(flags) {
                    self.ended.push(entry.user_data());
                    if let Some(leg) = self.leg(slot) {
                        leg.armed[kind as usize] = false;
                    }
                }
                let Some(buffer) = cqueue::buffer_select(flags) else {
                    // An error of the network, or no buffer was left: armed again.
                    return false;
                };
                self.lent = Some(buffer);
                let length = usize::try_from(result).unwrap_or_default();
                let filled = self.buffers.filled(buffer, length);
                let Some((source, length)) = read_head(filled) else {
                    self.lent = None;
                    self.buffers.give_back(buffer);
                    return false;
                };
                self.current = Some(Current {
                    slot,
                    channel: if kind == RTP {
                        Channel::Rtp
                    } else {
                        Channel::Rtcp
                    },
                    source,
                    buffer,
                    length,
                });
                true
            }
            WAKE => {
                self.wake.reset();
                if !cqueue::more(flags) {
                    self.ended.push(WAKE);
                }
                false
            }
            // Only failures are told. An ICMP answer to an earlier packet is none of ours.
            SENT => {
                self.unsent += u64::from(result != -libc::ECONNREFUSED);
                false
            }
            SENT_REPORT | CANCELLED => false,
            _ => false,
        }
    }

    /// Fetches what has completed.
    fn fetch(&mut self) {
        let mut entries = [const { MaybeUninit::uninit() }; 64];
        loop {
            let filled = self.ring.completion().fill(&mut entries);
            let full = filled.len() == 64;
            self.seen.extend(filled.iter().cloned());
            if !full {
                return;
            }
        }
    }

    /// Submits what is queued, lets the kernel do its part, and waits for `wanted` completions.
    fn enter(&mut self, wanted: usize, wait: Option<Duration>) {
        if !self.is_enabled() {
            return;
        }
        self.arm();
        let result = match wait {
            Some(wait) => {
                let limit = Timespec::new()
                    .sec(wait.as_secs())
                    .nsec(wait.subsec_nanos());
                let arguments = SubmitArgs::new().timespec(&limit);
                self.ring.submitter().submit_with_args(wanted, &arguments)
            }
            None => {
                let queued = self.ring.submission().len() as u32;
                // SAFETY: there is no argument.
                unsafe {
                    let submitter = self.ring.submitter();
                    submitter.enter::<libc::sigset_t>(queued, wanted as u32, GET_EVENTS, None)
                }
            }
        };
        self.entered(result);
    }

    /// Submits what is queued and nothing else.
    fn submit(&mut self) {
        if !self.ring.submission().is_empty() && self.is_enabled() {
            let result = self.ring.submit();
            self.entered(result);
        }
    }

    fn entered(&mut self, result: io::Result<usize>) {
        if let Err(error) = result {
            let passing = [libc::ETIME, libc::EINTR, libc::EBUSY, libc::EAGAIN];
            if !error.raw_os_error().is_some_and(|it| passing.contains(&it)) {
                self.broken = Some(error);
            }
        }
        // What could not be submitted would be read again, from bytes that have changed.
        if self.ring.submission().is_empty() {
            self.outgoing.clear();
        }
    }

    /// Arms what has ended.
    fn arm(&mut self) {
        let mut ended = std::mem::take(&mut self.ended);
        for key in ended.drain(..) {
            let (kind, slot) = split(key);
            let entry = match kind {
                WAKE => {
                    let fd = Fd(self.wake.as_fd().as_raw_fd());
                    opcode::PollAdd::new(fd, libc::POLLIN as u32)
                        .multi(true)
                        .build()
                }
                _ => {
                    let message: *const libc::msghdr = &*self.message;
                    let channel = if kind == RTP {
                        Channel::Rtp
                    } else {
                        Channel::Rtcp
                    };
                    let Some(leg) = self.leg(slot).filter(|leg| !leg.paused) else {
                        continue;
                    };
                    leg.armed[kind as usize] = true;
                    match leg.name(slot, channel) {
                        Name::Fixed(place) => opcode::RecvMsgMulti::new(place, message, GROUP),
                        Name::Number(fd) => opcode::RecvMsgMulti::new(fd, message, GROUP),
                    }
                    .build()
                }
            };
            self.push(entry.user_data(key));
        }
        self.ended = ended;
    }

    fn push(&mut self, entry: squeue::Entry) {
        if self.ring.submission().is_full() {
            self.submit();
        }
        // SAFETY: what entries point to lives on: `message` and the sockets as long as this value
        // or until the receive was cancelled, `outgoing` until the ring was entered.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        if pushed.is_err() && self.broken.is_none() {
            self.broken = Some(io::Error::other("the ring takes nothing more"));
        }
    }

    fn leg(&mut self, slot: PortSlot) -> Option<&mut Leg> {
        self.legs.get_mut(slot.index())?.as_mut()
    }

    /// Whether the ring works; makes it this thread's own if it is nobody's yet.
    fn is_enabled(&mut self) -> bool {
        if !self.enabled && self.broken.is_none() {
            match self.ring.submitter().register_enable_rings() {
                Ok(()) => self.enabled = true,
                Err(error) => self.broken = Some(error),
            }
        }
        self.broken.is_none()
    }
}

impl MediaIo for UringIo {
    fn open(&mut self, slot: PortSlot, sockets: SocketPair) -> io::Result<()> {
        let fixed = self.is_enabled() && self.files.put(&self.ring.submitter(), slot, &sockets);
        if self.legs.len() <= slot.index() {
            self.legs.resize_with(slot.index() + 1, || None);
        }
        self.legs[slot.index()] = Some(Leg {
            sockets,
            fixed,
            armed: [false; 2],
            paused: false,
        });
        self.ended.extend([key(RTP, slot), key(RTCP, slot)]);
        Ok(())
    }

    fn pause(&mut self, slot: PortSlot) {
        let Some(leg) = self.leg(slot) else { return };
        leg.paused = true;
        let armed = leg.armed;
        for kind in [RTP, RTCP] {
            if armed[kind as usize] {
                let cancel = opcode::AsyncCancel::new(key(kind, slot)).build();
                let cancel = cancel.flags(Flags::SKIP_SUCCESS);
                self.push(cancel.user_data(key(CANCELLED, slot)));
            }
        }
        let limit = clock::now() + LET_GO;
        let ended = |seen: &VecDeque<cqueue::Entry>| {
            let ends = |kind| {
                let mut of_kind = seen.iter().filter(|it| it.user_data() == key(kind, slot));
                !armed[kind as usize] || of_kind.any(|it| !cqueue::more(it.flags()))
            };
            ends(RTP) && ends(RTCP)
        };
        while !ended(&self.seen) && self.broken.is_none() && clock::now() < limit {
            self.enter(0, None);
            self.fetch();
        }
    }

    fn close(&mut self, slot: PortSlot) -> Option<SocketPair> {
        self.pause(slot);
        let mut kept = VecDeque::with_capacity(self.seen.len());
        for entry in std::mem::take(&mut self.seen) {
            let ours = [key(RTP, slot), key(RTCP, slot)].contains(&entry.user_data());
            match (ours, cqueue::buffer_select(entry.flags())) {
                (false, _) => kept.push_back(entry),
                (true, Some(buffer)) => self.buffers.give_back(buffer),
                (true, None) => {}
            }
        }
        self.seen = kept;
        self.ended
            .retain(|&it| split(it).0 == WAKE || split(it).1 != slot);
        // What is queued names the socket by its number, which may soon be another's.
        self.submit();
        let leg = self.legs.get_mut(slot.index())?.take()?;
        if leg.fixed && self.broken.is_none() {
            self.files.clear(&self.ring.submitter(), slot);
        }
        Some(leg.sockets)
    }

    fn wait(&mut self, wait: Wait) -> io::Result<()> {
        self.rounds = 0;
        let left = |until: Instant| until.saturating_duration_since(clock::now());
        if !self.seen.is_empty() {
            return Ok(());
        }
        match wait {
            Wait::Until(until) => self.enter(MANY, Some(left(until))),
            Wait::PacketOr(Some(until)) => self.enter(1, Some(left(until))),
            Wait::PacketOr(None) => self.enter(1, None),
        }
        Ok(())
    }

    fn receive(&mut self) -> Option<Datagram<'_>> {
        self.advance();
        self.current()
    }

    fn upcoming(&self, after: usize) -> Option<PortSlot> {
        let (kind, slot) = split(self.seen.get(after)?.user_data());
        (kind == RTP).then_some(slot)
    }

    fn prefetch(&self, slot: PortSlot) {
        if let Some(leg) = self.legs.get(slot.index()) {
            prefetch(leg);
        }
    }

    fn sockets(&mut self, slot: PortSlot) -> Option<&mut SocketPair> {
        Some(&mut self.leg(slot)?.sockets)
    }

    fn send(&mut self, slot: PortSlot, channel: Channel, to: SocketAddr, bytes: &[u8]) {
        if !self.outgoing.has_room_for(bytes) {
            self.submit();
        }
        let Some(leg) = self.legs.get(slot.index()).and_then(Option::as_ref) else {
            return;
        };
        if self.broken.is_some() || !self.outgoing.has_room_for(bytes) {
            self.unsent += u64::from(channel == Channel::Rtp);
            return;
        }
        let (data, length) = (self.outgoing.keep(bytes), bytes.len() as u32);
        let mut send = match leg.name(slot, channel) {
            Name::Fixed(place) => opcode::Send::new(place, data, length),
            Name::Number(fd) => opcode::Send::new(fd, data, length),
        }
        .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
        if !leg.sockets.leads_to(channel, to) {
            let address = self.outgoing.keep_address(to);
            send = send
                .dest_addr(address.as_ptr().cast())
                .dest_addr_len(address.len());
        }
        let kind = match channel {
            Channel::Rtp => SENT,
            Channel::Rtcp => SENT_REPORT,
        };
        let entry = send.build().flags(Flags::SKIP_SUCCESS);
        self.push(entry.user_data(key(kind, slot)));
        if self.ring.submission().len() >= PACKETS {
            self.submit();
        }
    }

    fn flush(&mut self) -> u64 {
        self.submit();
        std::mem::take(&mut self.unsent)
    }
}

impl Drop for UringIo {
    fn drop(&mut self) {
        if self.enabled && self.broken.is_none() {
            // So that ports are free when their sockets are dropped, and memory is ours again.
            for slot in 0..self.legs.len() as u32 {
                self.close(PortSlot(slot));
            }
        }
        let clean = !self.enabled || self.broken.is_none();
        // SAFETY: nothing uses either from here on. Without receives nothing writes to the buffers;
        // where that is not known, they stay.
        unsafe {
            ManuallyDrop::drop(&mut self.ring);
            if clean {
                ManuallyDrop::take(&mut self.buffers).free();
            }
        }
    }
}
