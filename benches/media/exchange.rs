//! The phones' signalling: calls placed, answered and ended.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::fleet::{AGENT, CUSTOMER, Fleet, SUPERVISOR};
use crate::phone::Expected;
use crate::sip::{Dialog, Message, State, session_description};
use crate::stage::{
    FIRST_EXTENSION, PHONES_PORT, SIDES, SUPERVISING_NUMBER, customer_phone, supervisor_phone,
};

/// Calls that are being set up at the same time.
const AT_ONCE: usize = 8;
/// A service that is full is asked again after this, and for so long in all.
const ASK_AGAIN: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(5);
/// How long all of them may take for it.
const LIMIT: Duration = Duration::from_secs(180);

/// Every phone and every call of a run. Phones and dialogs stand in threes, for each call: customer,
/// agent (which has no dialog of its own making), supervisor.
pub struct Exchange {
    pub fleet: Fleet,
    sockets: Vec<UdpSocket>,
    service: SocketAddr,
    customers: Vec<Dialog>,
    supervisors: Vec<Option<Dialog>>,
    by_call_id: BTreeMap<String, Key>,
    made: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Customer(usize),
    Supervisor(usize),
}

impl Exchange {
    pub fn new(service: SocketAddr) -> anyhow::Result<Self> {
        let open = |ip: &std::net::Ipv4Addr| -> anyhow::Result<UdpSocket> {
            let socket = UdpSocket::bind((*ip, PHONES_PORT))
                .with_context(|| format!("phones at {ip}:{PHONES_PORT}"))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        Ok(Self {
            fleet: Fleet::open(&SIDES)?,
            sockets: SIDES.iter().map(open).collect::<anyhow::Result<_>>()?,
            service,
            customers: Vec::new(),
            supervisors: Vec::new(),
            by_call_id: BTreeMap::new(),
            made: 0,
        })
    }

    pub fn calls(&self) -> usize {
        self.customers.len()
    }

    pub fn supervised(&self) -> usize {
        self.supervisors.iter().flatten().count()
    }

    /// Places calls until there are so many, or until the service takes no more.
    pub fn grow_to(&mut self, calls: usize) -> anyhow::Result<()> {
        let first = self.calls();
        for call in first..calls {
            for side in [CUSTOMER, AGENT, SUPERVISOR] {
                let expected = match side {
                    CUSTOMER => Expected::Through(3 * call + AGENT),
                    AGENT => Expected::Through(3 * call + CUSTOMER),
                    _ => Expected::Mix(3 * call + CUSTOMER, Some(3 * call + AGENT)),
                };
                let socket = Fleet::socket_of(side, 3 * call + side);
                self.fleet.add(socket, expected);
            }
            let number = customer_phone(call);
            let extension = (FIRST_EXTENSION + call).to_string();
            let dialog = self.dialog(CUSTOMER, 3 * call + CUSTOMER, &number, &extension)?;
            self.by_call_id
                .insert(dialog.call_id(), Key::Customer(call));
            self.customers.push(dialog);
            self.supervisors.push(None);
        }
        let refused = self.place((first..calls).map(Key::Customer).collect())?;
        let number = |key: &Key| match key {
            Key::Customer(call) | Key::Supervisor(call) => *call,
        };
        match refused.iter().map(number).min() {
            Some(fewer) => self.shrink_to(fewer),
            None => Ok(()),
        }
    }

    /// Ends the last calls, so that there are so many.
    fn shrink_to(&mut self, calls: usize) -> anyhow::Result<()> {
        let last: Vec<Key> = (calls..self.calls()).map(Key::Customer).collect();
        self.end(&last)?;
        for dialog in self.customers.drain(calls..) {
            self.by_call_id.remove(&dialog.call_id());
        }
        self.supervisors.truncate(calls);
        self.fleet.truncate(3 * calls);
        Ok(())
    }

    /// Lets supervisors dial in to the first calls until so many are supervised, or until the service
    /// takes no more. They hear, and press nothing.
    pub fn supervise(&mut self, calls: usize) -> anyhow::Result<()> {
        let first = self.supervised();
        for call in first..calls {
            let phone = supervisor_phone(call);
            let dialog = self.dialog(
                SUPERVISOR,
                3 * call + SUPERVISOR,
                &phone,
                SUPERVISING_NUMBER,
            )?;
            self.by_call_id
                .insert(dialog.call_id(), Key::Supervisor(call));
            self.supervisors[call] = Some(dialog);
        }
        for refused in self.place((first..calls).map(Key::Supervisor).collect())? {
            if let Key::Supervisor(call) = refused {
                self.forget_supervisor(call);
            }
        }
        Ok(())
    }

    fn forget_supervisor(&mut self, call: usize) {
        if let Some(dialog) = self.supervisors[call].take() {
            self.by_call_id.remove(&dialog.call_id());
        }
        self.fleet.disconnect(3 * call + SUPERVISOR);
        self.coach(call, false);
    }

    /// A supervisor of these calls presses keys.
    pub fn press(&mut self, call: usize, keys: &str) {
        self.fleet.phones[3 * call + SUPERVISOR].keypad.press(keys);
    }

    /// The agent of this call hears its supervisor, or hears the customer alone again.
    pub fn coach(&mut self, call: usize, coached: bool) {
        let customer = 3 * call + CUSTOMER;
        self.fleet.phones[3 * call + AGENT].expected = match coached {
            true => Expected::Mix(customer, Some(3 * call + SUPERVISOR)),
            false => Expected::Through(customer),
        };
    }

    /// All supervisors but those of the first calls hang up.
    pub fn leave(&mut self, but: usize) -> anyhow::Result<()> {
        let there = |call: &usize| self.supervisors[*call].is_some();
        let last: Vec<usize> = (but..self.calls()).filter(there).collect();
        let keys: Vec<Key> = last.iter().copied().map(Key::Supervisor).collect();
        self.end(&keys)?;
        for call in last {
            self.forget_supervisor(call);
        }
        Ok(())
    }

    pub fn hang_up(&mut self) -> anyhow::Result<()> {
        self.leave(0)?;
        let all: Vec<Key> = (0..self.calls()).map(Key::Customer).collect();
        self.end(&all)
    }

    pub fn run_for(&mut self, duration: Duration) {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.serve();
        }
    }

    /// Still up: customers and supervisors.
    pub fn talking(&self) -> (usize, usize) {
        let talks = |dialog: &&Dialog| dialog.state == State::Talking;
        (
            self.customers.iter().filter(talks).count(),
            self.supervisors.iter().flatten().filter(talks).count(),
        )
    }

    fn dialog(
        &mut self,
        side: usize,
        phone: usize,
        from: &str,
        to: &str,
    ) -> anyhow::Result<Dialog> {
        self.made += 1;
        let local = self.sockets[side].local_addr()?;
        Ok(Dialog::new(self.made, phone, from, to, local, self.service))
    }

    /// Another call in the place of one that was refused.
    fn renew(&mut self, key: Key) -> anyhow::Result<()> {
        let (from, to, phone) = match key {
            Key::Customer(call) => (
                customer_phone(call),
                (FIRST_EXTENSION + call).to_string(),
                3 * call + CUSTOMER,
            ),
            Key::Supervisor(call) => (
                supervisor_phone(call),
                SUPERVISING_NUMBER.to_owned(),
                3 * call + SUPERVISOR,
            ),
        };
        if let Some(refused) = self.by_key(key).map(|dialog| dialog.call_id()) {
            self.by_call_id.remove(&refused);
        }
        let dialog = self.dialog(side_of(key), phone, &from, &to)?;
        self.by_call_id.insert(dialog.call_id(), key);
        match key {
            Key::Customer(call) => self.customers[call] = dialog,
            Key::Supervisor(call) => self.supervisors[call] = Some(dialog),
        }
        Ok(())
    }

    /// Yields those that the service refused to take.
    fn place(&mut self, mut waiting: Vec<Key>) -> anyhow::Result<Vec<Key>> {
        let limit = Instant::now() + LIMIT;
        let mut again_at = Instant::now();
        let mut refused_since: Option<Instant> = None;
        let mut calling: Vec<Key> = Vec::new();
        waiting.reverse();
        loop {
            let mut left = Vec::new();
            for key in calling.drain(..) {
                match self.by_key(key).map(|dialog| dialog.state) {
                    Some(State::Calling) => left.push(key),
                    // A service that is busy says so, and is asked again.
                    Some(State::Refused(503)) => {
                        self.renew(key)?;
                        waiting.push(key);
                        refused_since.get_or_insert(Instant::now());
                        again_at = Instant::now() + ASK_AGAIN;
                    }
                    Some(State::Refused(status)) => bail!("{key:?} was refused with {status}"),
                    Some(State::Over) | None => bail!("{key:?} ended while others were set up"),
                    Some(State::Talking) => refused_since = None,
                    Some(State::Idle | State::Leaving) => {}
                }
            }
            calling = left;
            if calling.is_empty() && refused_since.is_some_and(|since| since.elapsed() > PATIENCE) {
                return Ok(waiting);
            }
            while calling.len() < AT_ONCE
                && Instant::now() >= again_at
                && let Some(next) = waiting.pop()
            {
                let phone = self.by_key(next).map(|dialog| dialog.stream);
                let media = self.fleet.address_of(phone.context("a phone")?)?;
                if let Some(dialog) = self.by_key(next) {
                    let invite = dialog.invite(media);
                    self.send(side_of(next), self.service, &invite);
                }
                calling.push(next);
            }
            if calling.is_empty() && waiting.is_empty() {
                return Ok(Vec::new());
            }
            ensure!(
                Instant::now() < limit,
                "{} calls were not answered within {LIMIT:?}",
                calling.len() + waiting.len()
            );
            self.serve();
        }
    }

    fn end(&mut self, keys: &[Key]) -> anyhow::Result<()> {
        let limit = Instant::now() + LIMIT;
        for chunk in keys.chunks(AT_ONCE) {
            for &key in chunk {
                if let Some(dialog) = self.by_key(key)
                    && dialog.state == State::Talking
                {
                    let bye = dialog.bye();
                    self.send(side_of(key), self.service, &bye);
                }
            }
            while chunk.iter().any(|&key| {
                let state = self.by_key(key).map(|dialog| dialog.state);
                state == Some(State::Leaving)
            }) {
                ensure!(Instant::now() < limit, "calls did not end within {LIMIT:?}");
                self.serve();
            }
        }
        Ok(())
    }

    /// A millisecond of everything.
    fn serve(&mut self) {
        for side in 0..SIDES.len() {
            self.take_messages(side);
        }
        let now = Instant::now();
        let mut again = Vec::new();
        let supervisors = self.supervisors.iter_mut().flatten();
        for (side, dialog) in (self.customers.iter_mut().map(|it| (CUSTOMER, it)))
            .chain(supervisors.map(|it| (SUPERVISOR, it)))
        {
            if let State::Calling | State::Leaving = dialog.state
                && let Some(request) = dialog.overdue(now)
            {
                again.push((side, request.to_owned()));
            }
        }
        for (side, request) in again {
            self.send(side, self.service, &request);
        }
        self.fleet.serve();
    }

    fn take_messages(&mut self, side: usize) {
        let mut bytes = [0; 4096];
        while let Ok((length, from)) = self.sockets[side].recv_from(&mut bytes) {
            let Some(message) = Message::parse(&bytes[..length]) else {
                continue;
            };
            let call_id = message.header("Call-ID").unwrap_or_default();
            let key = self.by_call_id.get(call_id).copied();
            match message.method() {
                None => self.take_answer(side, key, &message),
                Some("INVITE") => self.take_invite(side, from, &message),
                Some("ACK") => {}
                Some("BYE") => {
                    if let Some(dialog) = key.and_then(|key| self.by_key(key)) {
                        dialog.ended();
                    }
                    self.reply(side, from, &message, "200 OK", "");
                }
                Some(_) => self.reply(side, from, &message, "200 OK", ""),
            }
        }
    }

    fn take_answer(&mut self, side: usize, key: Option<Key>, message: &Message) {
        let Some(dialog) = key.and_then(|key| self.by_key(key)) else {
            return;
        };
        let phone = dialog.stream;
        let next = dialog.handle(message);
        if let Some(SocketAddr::V4(media)) = message.media() {
            self.fleet.connect(phone, media);
        }
        if let Some(next) = next {
            self.send(side, self.service, &next);
        }
    }

    /// An agent's phone answers at once. What it hears again it answers again.
    fn take_invite(&mut self, side: usize, from: SocketAddr, message: &Message) {
        let dialled = message
            .dialled()
            .and_then(|user| user.parse::<usize>().ok());
        let call = dialled.and_then(|extension| extension.checked_sub(FIRST_EXTENSION));
        let Some(call) = call.filter(|call| *call < self.calls()) else {
            return self.reply(side, from, message, "404 Not Found", "");
        };
        let phone = 3 * call + AGENT;
        if let Some(SocketAddr::V4(media)) = message.media() {
            self.fleet.connect(phone, media);
        }
        if let Ok(local) = self.fleet.address_of(phone) {
            self.reply(side, from, message, "200 OK", &session_description(local));
        }
    }

    fn reply(&self, side: usize, to: SocketAddr, request: &Message, status: &str, body: &str) {
        if let Ok(local) = self.sockets[side].local_addr() {
            self.send(side, to, &request.answer(status, local, "bench", body));
        }
    }

    fn send(&self, side: usize, to: SocketAddr, text: &str) {
        // What is lost is repeated, here or by the service.
        let _ = self.sockets[side].send_to(text.as_bytes(), to);
    }

    fn by_key(&mut self, key: Key) -> Option<&mut Dialog> {
        match key {
            Key::Customer(call) => self.customers.get_mut(call),
            Key::Supervisor(call) => self.supervisors.get_mut(call)?.as_mut(),
        }
    }
}

fn side_of(key: Key) -> usize {
    match key {
        Key::Customer(_) => CUSTOMER,
        Key::Supervisor(_) => SUPERVISOR,
    }
}
