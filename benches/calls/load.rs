//! The phones: one thread that keeps their time, speaks for all of them and counts in every ear.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};

use crate::ear::Ear;
use crate::sip::{Dialog, Message, State, session_description};
use crate::stage::{
    FIRST_EXTENSION, PHONES_PORT, SIDES, SUPERVISING_NUMBER, customer_phone, supervisor_phone,
};
use crate::stream::{Expected, Stream};

/// Calls that are being set up at the same time.
const AT_ONCE: usize = 8;
/// How long all of them may take for it.
const SET_UP_LIMIT: Duration = Duration::from_secs(120);
const HANG_UP_LIMIT: Duration = Duration::from_secs(60);
/// After joining, until the key is pressed.
const LISTEN: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Customers,
    Agents,
    Supervisors,
}

/// What a supervisor does on the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Monitor,
    Coach,
    Barge,
}

impl Role {
    fn of(call: usize) -> Self {
        match call % 3 {
            0 => Self::Monitor,
            1 => Self::Coach,
            _ => Self::Barge,
        }
    }

    fn keys(self) -> &'static str {
        match self {
            Self::Monitor => "",
            Self::Coach => "4#",
            Self::Barge => "6#",
        }
    }
}

/// The calls, and for how long they are measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub calls: usize,
    /// Of the calls, the first.
    pub supervised: usize,
    pub seconds: u64,
}

pub struct Load {
    pub plan: Plan,
    start: Instant,
    /// The millisecond that was last served.
    served: u64,
    /// The longest that the phones came late, while measured, in milliseconds.
    pub latest: u64,
    /// Names the SIP sockets by their sides, then the streams.
    epoll: OwnedFd,
    sockets: [UdpSocket; SIDES.len()],
    service: SocketAddr,
    /// Customers and agents in turn, then supervisors.
    pub streams: Vec<Stream>,
    dialogs: Vec<Dialog>,
    by_call_id: BTreeMap<String, usize>,
}

impl Load {
    pub fn new(plan: Plan, service: SocketAddr) -> anyhow::Result<Self> {
        let open = |ip: Ipv4Addr| -> anyhow::Result<UdpSocket> {
            let socket = UdpSocket::bind((ip, PHONES_PORT))
                .with_context(|| format!("phones at {ip}:{PHONES_PORT}"))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let [customers, agents, supervisors] = SIDES;
        let sockets = [open(customers)?, open(agents)?, open(supervisors)?];
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut streams = Vec::new();
        let mut dialogs = Vec::new();
        for call in 0..plan.calls {
            let role = (call < plan.supervised).then(|| Role::of(call));
            let (customer, agent) = (2 * call, 2 * call + 1);
            let customer_hears = match role {
                Some(Role::Barge) => Expected::Mix,
                Some(Role::Monitor | Role::Coach) | None => Expected::Through(agent),
            };
            let agent_hears = match role {
                Some(Role::Barge | Role::Coach) => Expected::Mix,
                Some(Role::Monitor) | None => Expected::Through(customer),
            };
            streams.push(Stream::open(customer, customers, customer_hears)?);
            streams.push(Stream::open(agent, agents, agent_hears)?);
            dialogs.push(Dialog::new(
                call,
                customer,
                &customer_phone(call),
                &(FIRST_EXTENSION + call).to_string(),
                sockets[Side::Customers as usize].local_addr()?,
                service,
            ));
        }
        for call in 0..plan.supervised {
            let stream = 2 * plan.calls + call;
            let mut supervisor = Stream::open(stream, supervisors, Expected::Mix)?;
            supervisor.speaks_up = true;
            streams.push(supervisor);
            dialogs.push(Dialog::new(
                plan.calls + call,
                stream,
                &supervisor_phone(call),
                SUPERVISING_NUMBER,
                sockets[Side::Supervisors as usize].local_addr()?,
                service,
            ));
        }
        for (key, socket) in sockets.iter().enumerate() {
            epoll::add(
                &epoll,
                socket,
                EventData::new_u64(key as u64),
                EventFlags::IN,
            )?;
        }
        for stream in &streams {
            let key = EventData::new_u64((SIDES.len() + stream.index) as u64);
            epoll::add(&epoll, &stream.socket, key, EventFlags::IN)?;
        }
        let by_call_id = dialogs.iter().map(Dialog::call_id).zip(0..).collect();
        Ok(Self {
            plan,
            start: Instant::now(),
            served: 0,
            latest: 0,
            epoll,
            sockets,
            service,
            streams,
            dialogs,
            by_call_id,
        })
    }

    /// Places all calls, lets the supervisors dial in, and has them press their keys.
    pub fn set_up(&mut self) -> anyhow::Result<()> {
        let calls = 0..self.plan.calls;
        self.place(calls)?;
        let supervisors = self.plan.calls..self.dialogs.len();
        self.place(supervisors)?;
        self.run_for(LISTEN)?;
        for call in 0..self.plan.supervised {
            let stream = 2 * self.plan.calls + call;
            self.streams[stream].keypad.press(Role::of(call).keys());
        }
        Ok(())
    }

    fn place(&mut self, dialogs: std::ops::Range<usize>) -> anyhow::Result<()> {
        let limit = Instant::now() + SET_UP_LIMIT;
        loop {
            let states = self.dialogs[dialogs.clone()]
                .iter()
                .map(|dialog| dialog.state);
            let (mut idle, mut calling) = (0, 0);
            for state in states {
                match state {
                    State::Idle => idle += 1,
                    State::Calling => calling += 1,
                    State::Refused(status) => bail!("a call was refused with {status}"),
                    State::Over => bail!("a call ended while others were set up"),
                    State::Talking | State::Leaving => {}
                }
            }
            if idle + calling == 0 {
                return Ok(());
            }
            ensure!(
                Instant::now() < limit,
                "{idle} calls were not placed and {calling} not answered within {SET_UP_LIMIT:?}"
            );
            let next = dialogs
                .clone()
                .find(|&dialog| self.dialogs[dialog].state == State::Idle);
            if let Some(next) = next
                && calling < AT_ONCE
            {
                let dialog = &mut self.dialogs[next];
                let media = self.streams[dialog.stream].socket.local_addr()?;
                let invite = dialog.invite(media);
                self.send(self.side_of(next), self.service, &invite);
            }
            self.serve()?;
        }
    }

    pub fn hang_up(&mut self) -> anyhow::Result<()> {
        let limit = Instant::now() + HANG_UP_LIMIT;
        // Supervisors go first, so that nobody is told that a call has ended.
        for dialog in (0..self.dialogs.len()).rev() {
            if self.dialogs[dialog].state == State::Talking {
                let bye = self.dialogs[dialog].bye();
                self.send(self.side_of(dialog), self.service, &bye);
                self.serve()?;
            }
        }
        while self
            .dialogs
            .iter()
            .any(|dialog| dialog.state != State::Over)
        {
            ensure!(
                Instant::now() < limit,
                "some calls did not end within {HANG_UP_LIMIT:?}"
            );
            self.serve()?;
        }
        Ok(())
    }

    pub fn run_for(&mut self, duration: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.serve()?;
        }
        Ok(())
    }

    pub fn begin_measuring(&mut self) {
        self.latest = 0;
        for stream in &mut self.streams {
            stream.begin_measuring();
        }
        let firsts: Vec<u32> = self.streams.iter().map(|s| s.first_measured).collect();
        let packets = (self.plan.seconds as usize + 5) * 50;
        for stream in &mut self.streams {
            if let Expected::Through(from) = stream.expected {
                stream.expect_from(firsts[from], packets);
            }
        }
    }

    pub fn end_measuring(&mut self) {
        for stream in &mut self.streams {
            stream.end_measuring();
        }
    }

    /// What every ear counted.
    pub fn ears(&self) -> Vec<Ear> {
        let ears = self.streams.iter().map(|stream| match stream.expected {
            Expected::Through(from) => {
                let speaker = &self.streams[from];
                // `expect_from` put the speaker's first number here.
                let first = stream.first_measured;
                Ear {
                    through: true,
                    expected: u64::from(speaker.last_measured - first),
                    lost: stream.missing(first, speaker.last_measured),
                    count: stream.count,
                    latencies_us: stream.latencies_us.clone(),
                }
            }
            Expected::Mix => {
                // One may lie on either side of both ends.
                let expected = self.plan.seconds * 50 - 2;
                let short = expected.saturating_sub(stream.count.received);
                Ear {
                    through: false,
                    expected,
                    lost: stream.count.gaps.max(short),
                    count: stream.count,
                    latencies_us: Vec::new(),
                }
            }
        });
        ears.collect()
    }

    /// Speaks for every phone whose time has come, and takes what arrives until the next.
    pub fn serve(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        let present = (now - self.start).as_millis() as u64;
        self.latest = self.latest.max(present.saturating_sub(self.served + 1));
        // What a stall kept from being said is said late, so that the counts stay true.
        while self.served < present {
            self.served += 1;
            let phase = self.served % 20;
            for stream in self.streams.iter_mut().filter(|s| s.phase == phase) {
                stream.send(self.start, now);
            }
            if phase == 0 {
                self.repeat(now);
            }
        }
        loop {
            let next = self.start + Duration::from_millis(self.served + 1);
            let left = next.saturating_duration_since(Instant::now());
            let wait = Timespec {
                tv_sec: 0,
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut fds = [rustix::event::PollFd::new(
                &self.epoll,
                rustix::event::PollFlags::IN,
            )];
            match rustix::event::poll(&mut fds, Some(&wait)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(()),
                Ok(_) => self.take()?,
                Err(error) => return Err(error.into()),
            }
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    fn take(&mut self) -> anyhow::Result<()> {
        let none = Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        };
        let mut events = [none; 256];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let count = epoll::wait(&self.epoll, &mut events[..], Some(&at_once))?;
        for event in &events[..count] {
            let data = event.data;
            match data.u64() as usize {
                0 => self.take_messages(Side::Customers),
                1 => self.take_messages(Side::Agents),
                2 => self.take_messages(Side::Supervisors),
                stream => self.streams[stream - SIDES.len()].receive(self.start),
            }
        }
        Ok(())
    }

    fn repeat(&mut self, now: Instant) {
        for dialog in 0..self.dialogs.len() {
            let side = self.side_of(dialog);
            if let Some(request) = self.dialogs[dialog].overdue(now) {
                // A request that is lost again is repeated again.
                let _ = self.sockets[side as usize].send_to(request.as_bytes(), self.service);
            }
        }
    }

    fn take_messages(&mut self, side: Side) {
        let mut bytes = [0; 4096];
        while let Ok((length, from)) = self.sockets[side as usize].recv_from(&mut bytes) {
            let Some(message) = Message::parse(&bytes[..length]) else {
                continue;
            };
            match message.method() {
                None => self.take_answer(side, &message),
                Some("INVITE") => self.take_invite(side, from, &message),
                Some("ACK") => {}
                Some("BYE") => {
                    let call_id = message.header("Call-ID").unwrap_or_default();
                    if let Some(&dialog) = self.by_call_id.get(call_id) {
                        self.dialogs[dialog].ended();
                    }
                    self.reply(side, from, &message, "200 OK", "");
                }
                Some(_) => self.reply(side, from, &message, "200 OK", ""),
            }
        }
    }

    fn take_answer(&mut self, side: Side, message: &Message) {
        let call_id = message.header("Call-ID").unwrap_or_default();
        let Some(&dialog) = self.by_call_id.get(call_id) else {
            return;
        };
        let dialog = &mut self.dialogs[dialog];
        if let Some(media) = message.media() {
            self.streams[dialog.stream].remote = Some(media);
        }
        if let Some(next) = dialog.handle(message) {
            self.send(side, self.service, &next);
        }
    }

    /// An agent's phone answers at once. What it hears again it answers again.
    fn take_invite(&mut self, side: Side, from: SocketAddr, message: &Message) {
        let extension = message
            .dialled()
            .and_then(|user| user.parse::<usize>().ok());
        let call = extension.and_then(|extension| extension.checked_sub(FIRST_EXTENSION));
        let Some(agent) = call
            .map(|call| 2 * call + 1)
            .filter(|a| *a < 2 * self.plan.calls)
        else {
            return self.reply(side, from, message, "404 Not Found", "");
        };
        let stream = &mut self.streams[agent];
        if let Some(media) = message.media() {
            stream.remote = Some(media);
        }
        let Ok(local) = stream.socket.local_addr() else {
            return;
        };
        self.reply(side, from, message, "200 OK", &session_description(local));
    }

    fn reply(&self, side: Side, to: SocketAddr, request: &Message, status: &str, body: &str) {
        if let Ok(local) = self.sockets[side as usize].local_addr() {
            self.send(side, to, &request.answer(status, local, "bench", body));
        }
    }

    fn send(&self, side: Side, to: SocketAddr, text: &str) {
        // What is lost is repeated, here or by the service.
        let _ = self.sockets[side as usize].send_to(text.as_bytes(), to);
    }

    fn side_of(&self, dialog: usize) -> Side {
        match dialog < self.plan.calls {
            true => Side::Customers,
            false => Side::Supervisors,
        }
    }
}
