//! What the edge does, in virtual time: the loop, the network, the ports, the moves between shards,
//! the store.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sottovoce::control::input::{Input, Signal, StoreAnswer};
use sottovoce::control::output::Output;
use sottovoce::control::record::Record;
use sottovoce::id::{RecordId, ShardId};
use sottovoce::media::command::{Command, Event};
use sottovoce::media::dtmf::Digit;
use sottovoce::media::shard::{Channel, Shard};

use crate::network::Datagram;
use crate::world::{Later, Line, PhoneId, World};

impl World {
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.step();
        }
        self.now = end;
    }

    /// Runs until something is so; panics when a minute of virtual time was not enough.
    pub fn run_until(&mut self, done: impl Fn(&Self) -> bool, what: &str) {
        let end = self.now + Duration::from_secs(60);
        while !done(self) {
            assert!(
                self.now < end,
                "never came to pass: {what}; lines {:?}",
                self.legs
                    .iter()
                    .map(|(leg, side)| (*leg, side.line.clone()))
                    .collect::<Vec<_>>()
            );
            match self.next_due() {
                Some(due) => self.now = self.now.max(due),
                None => panic!("nothing more will happen, and yet: {what}"),
            }
            self.step();
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let phones = self.phones.iter().map(|phone| phone.next_tick).min();
        let shards = self.shards.iter().filter_map(Shard::poll_timeout).min();
        let later = self.later.keys().next().map(|(due, _)| *due);
        [
            phones,
            shards,
            later,
            self.network.poll_timeout(),
            self.switchboard.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Everything that is due now.
    fn step(&mut self) {
        let now = self.now;
        while let Some(key) = self
            .later
            .keys()
            .next()
            .copied()
            .filter(|(due, _)| *due <= now)
        {
            if let Some(later) = self.later.remove(&key) {
                self.happen(later);
            }
        }
        for index in 0..self.phones.len() {
            while self.phones[index].next_tick <= now {
                let packets = self.phones[index].tick();
                let (from, to) = (self.phones[index].address, self.phones[index].remote);
                for bytes in packets {
                    if let Some(to) = to {
                        self.network.send(now, Datagram { from, to, bytes });
                    }
                }
            }
        }
        while let Some(datagram) = self.network.arrive(now) {
            self.deliver(datagram);
        }
        for index in 0..self.shards.len() {
            if self.shards[index]
                .poll_timeout()
                .is_some_and(|due| due <= now)
            {
                self.shards[index].handle_timeout(now);
            }
            self.drain_shard(index);
        }
        if self
            .switchboard
            .poll_timeout()
            .is_some_and(|due| due <= now)
        {
            self.switchboard.handle_timeout(now);
            self.drain_switchboard();
        }
        self.after_step();
    }

    /// An empty receiver report of this phone (RFC 3550 §6.4.2), on the port beside its RTP.
    pub fn report(&mut self, phone: PhoneId) {
        let phone = &self.phones[phone.0];
        let port = phone.remote.and_then(|remote| self.ports.get(&remote));
        let Some((shard, _, slot)) = port.copied() else {
            return;
        };
        let from = SocketAddr::new(phone.address.ip(), phone.address.port() + 1);
        let mut bytes = [0x80, 201, 0, 1, 0, 0, 0, 7];
        let index = usize::from(shard.0);
        self.shards[index].handle_datagram(self.now, slot, Channel::Rtcp, from, &mut bytes);
        self.drain_shard(index);
    }

    fn deliver(&mut self, mut datagram: Datagram) {
        if let Some((shard, _, slot)) = self.ports.get(&datagram.to).copied() {
            let index = usize::from(shard.0);
            self.shards[index].handle_datagram(
                self.now,
                slot,
                Channel::Rtp,
                datagram.from,
                &mut datagram.bytes,
            );
            self.drain_shard(index);
            return;
        }
        let phones = self.phones.len();
        let now = self.now;
        if let Some(phone) = self
            .phones
            .iter_mut()
            .find(|phone| phone.address == datagram.to)
        {
            phone.hear(now, &datagram.bytes, phones);
        }
    }

    fn drain_shard(&mut self, index: usize) {
        let shard_id = ShardId(index as u16);
        while let Some(transmit) = self.shards[index].poll_transmit() {
            if transmit.channel == Channel::Rtcp {
                continue;
            }
            let Some(from) = self.slots.get(&(shard_id, transmit.slot)).copied() else {
                continue;
            };
            let datagram = Datagram {
                from,
                to: transmit.to,
                bytes: transmit.bytes.to_vec(),
            };
            let listener = self
                .phones
                .iter()
                .position(|phone| phone.address == datagram.to);
            if let Some(listener) = listener {
                let speaking: Vec<bool> = self
                    .phones
                    .iter()
                    .map(|phone| phone.is_speaking() && self.holding == 0)
                    .collect();
                self.checks
                    .note(self.now, PhoneId(listener), &datagram.bytes, &speaking);
            }
            self.network.send(self.now, datagram);
        }
        while let Some(slot) = self.shards[index].poll_closed() {
            if let Some(local) = self.slots.remove(&(shard_id, slot)) {
                self.ports.remove(&local);
            }
        }
        while let Some(event) = self.shards[index].poll_event() {
            if matches!(event, Event::FenceViolated { .. }) {
                self.violations += 1;
            }
            self.input(Input::Media {
                shard: shard_id,
                event,
            });
        }
    }

    pub fn input(&mut self, input: Input) {
        self.switchboard.handle_input(self.now, input);
        self.drain_switchboard();
    }

    fn drain_switchboard(&mut self) {
        while let Some(output) = self.switchboard.poll_output() {
            self.carry_out(output);
        }
        let roles = self.roles();
        self.checks.roles_are(self.now, roles);
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Media {
                shard,
                command: Command::Open { leg },
            } => {
                let local = SocketAddr::from(([10, 0, 0, 1], self.next_port));
                self.next_port += 2;
                let slot = self.shards[usize::from(shard.0)].open(self.now, leg, local);
                self.ports.insert(local, (shard, leg, slot));
                self.slots.insert((shard, slot), local);
                self.drain_shard(usize::from(shard.0));
            }
            Output::Media { shard, command } => {
                let index = usize::from(shard.0);
                self.shards[index].handle_command(self.now, command);
                self.drain_shard(index);
            }
            Output::Move { leg, from, to } => {
                let Some(participant) = self.shards[usize::from(from.0)].detach(self.now, leg)
                else {
                    panic!("{leg} is moved from a shard where it is not");
                };
                let slot = self.shards[usize::from(to.0)].attach(self.now, participant);
                let local = self
                    .ports
                    .iter()
                    .find(|(_, port)| port.1 == leg)
                    .map(|(at, _)| *at);
                if let Some(local) = local {
                    if let Some((shard, _, slot)) = self.ports.remove(&local) {
                        self.slots.remove(&(shard, slot));
                    }
                    self.ports.insert(local, (to, leg, slot));
                    self.slots.insert((to, slot), local);
                }
                self.drain_shard(usize::from(from.0));
                self.drain_shard(usize::from(to.0));
            }
            Output::Signal { leg, command } => self.signal(leg, command),
            Output::Record { id, record } => {
                if let Record::Audit(row) = record {
                    self.audit.push(row);
                }
                match self.store_answers {
                    true => self.will_be_recorded(id),
                    false => self.unrecorded.push(id),
                }
            }
            Output::CheckPin { request, pin, .. } => {
                self.after(
                    Duration::from_millis(30),
                    Later::Pin(request, pin.0 == "4711"),
                );
            }
            Output::Reply { request, reply } => {
                self.replies.insert(request, reply);
            }
            Output::Notify(notice) => {
                if std::env::var_os("SIM_TRACE").is_some() {
                    eprintln!("{notice:?}");
                }
                self.notices.push(notice);
            }
        }
    }

    /// The store answers again, and first for what has waited.
    pub fn store_recovers(&mut self) {
        self.store_answers = true;
        for id in std::mem::take(&mut self.unrecorded) {
            self.will_be_recorded(id);
        }
    }

    fn will_be_recorded(&mut self, id: RecordId) {
        let delay = Duration::from_micros(self.random.u64(500..5000));
        self.after(delay, Later::Recorded(id));
    }

    pub(super) fn after(&mut self, delay: Duration, later: Later) {
        self.order += 1;
        self.later.insert((self.now + delay, self.order), later);
    }

    fn happen(&mut self, later: Later) {
        match later {
            Later::Signal(leg, signal) => {
                match &signal {
                    Signal::Answered { .. } => {
                        let Some(side) = self.legs.get_mut(&leg) else {
                            return;
                        };
                        if side.line != Line::Ringing {
                            return;
                        }
                        side.line = Line::Up;
                    }
                    Signal::Progressed { .. } if self.line(leg) != Line::Ringing => return,
                    _ => {}
                }
                self.input(Input::Signal { leg, signal });
            }
            Later::Recorded(id) => self.input(Input::Store(StoreAnswer::Recorded(id))),
            Later::Pin(request, matches) => {
                self.input(Input::Store(StoreAnswer::PinChecked { request, matches }));
            }
            Later::Key(phone, key) => {
                let Some(leg) = self.leg_of(phone) else {
                    return;
                };
                if self.line(leg) != Line::Up {
                    return;
                }
                let digit = Digit::from_char(key).expect("a key");
                self.input(Input::Signal {
                    leg,
                    signal: Signal::KeyInfo { digit },
                });
            }
        }
    }
}
