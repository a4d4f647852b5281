//! The calls of one engine's run, step by step: what is done to the service, what it costs, and what
//! every ear heard of it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use sottovoce::demo::service::Service;

use crate::exchange::Exchange;
use crate::fleet::{AGENT, CUSTOMER};
use crate::machine;
use crate::meter;
use crate::phone::{Expected, FAULTS};
use crate::rows::{Mixed, Quantiles, Row};

/// After the last call is up, before the measuring begins.
const SETTLE: Duration = Duration::from_millis(1_500);
/// What is on its way arrives.
const GRACE: Duration = Duration::from_millis(300);
/// Delays are measured for so long.
const DELAYS: Duration = Duration::from_secs(3);
const ROLE_CHANGES: usize = 400;
/// Keys of a role change take this long to be pressed.
const KEYS: Duration = Duration::from_millis(600);
/// Supervisors dial in in crowds of so many; those who are let in are on their calls within this.
const JOINING: usize = 25;
const JOINED: Duration = Duration::from_millis(600);

pub struct Bench<'a> {
    /// How long a row is measured.
    seconds: u64,
    floors: &'a BTreeMap<usize, f64>,
    pub exchange: Exchange,
    pub service: Service,
    /// Phones whose streams both ways have begun, and are to run on unbroken.
    begun: usize,
    faults_before: [u64; 4],
    /// What broke, by what went on meanwhile.
    pub broke: BTreeMap<&'static str, Broke>,
}

/// Packets towards the parties that did not follow on the one before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Broke {
    /// By [`FAULTS`].
    pub faults: [u64; 4],
    /// The longest that the phones came late meanwhile, in milliseconds. What they say then comes all
    /// at once, and a socket of the service holds 800 ms of it.
    pub phones_late_ms: u64,
}

impl fmt::Display for Broke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, what) in self.faults.iter().zip(FAULTS) {
            if *count > 0 {
                write!(f, "{count} {what}, ")?;
            }
        }
        write!(f, "the phones up to {} ms late", self.phones_late_ms)
    }
}

impl<'a> Bench<'a> {
    pub fn new(
        seconds: u64,
        floors: &'a BTreeMap<usize, f64>,
        service: Service,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            seconds,
            floors,
            exchange: Exchange::new(service.sip)?,
            service,
            begun: 0,
            faults_before: [0; 4],
            broke: BTreeMap::new(),
        })
    }

    /// Calls come until there are so many.
    pub fn grow_to(&mut self, calls: usize) -> anyhow::Result<()> {
        let before = self.exchange.calls();
        self.begun = 3 * before;
        self.exchange.grow_to(calls).context("setting calls up")?;
        self.exchange.run_for(SETTLE);
        self.note("calls coming");
        // Until both parties are there, a stream begins and pauses as it may.
        for phone in &mut self.exchange.fleet.phones[3 * before..] {
            phone.ear.begin();
        }
        self.begun = self.exchange.fleet.phones.len();
        Ok(())
    }

    /// Supervisors join until there are so many or no more are let in, and all of them coach.
    pub fn supervise(&mut self, supervised: usize) -> anyhow::Result<()> {
        let first = self.exchange.supervised();
        for before in (first..supervised).step_by(JOINING) {
            let after = supervised.min(before + JOINING);
            self.exchange
                .supervise(after)
                .context("supervisors joining")?;
            self.exchange.run_for(JOINED);
            if meter::read(&self.service)?.sessions < after {
                // Which of these were refused is told to their ears alone.
                self.exchange.leave(before)?;
                break;
            }
        }
        self.exchange.run_for(SETTLE);
        self.note("supervisors joining");
        for (turn, call) in (first..self.exchange.supervised()).enumerate() {
            self.exchange.press(call, "4#");
            self.exchange.coach(call, true);
            if turn % 20 == 19 {
                self.exchange.run_for(Duration::from_millis(20));
            }
        }
        self.exchange.run_for(KEYS + SETTLE);
        self.note("beginning to coach");
        Ok(())
    }

    /// All supervisors hang up.
    pub fn leave(&mut self) -> anyhow::Result<()> {
        self.exchange.leave(0)?;
        self.exchange.run_for(GRACE);
        self.note("supervisors leaving");
        Ok(())
    }

    /// Measures what there is now.
    pub fn row(&mut self) -> anyhow::Result<Row> {
        let (calls, supervised) = (self.exchange.calls(), self.exchange.supervised());
        let packets = (self.seconds as usize + 5) * 50;
        let fleet = &mut self.exchange.fleet;
        let numbers: Vec<u32> = fleet.phones.iter().map(|phone| phone.number).collect();
        for phone in &mut fleet.phones {
            if let Expected::Through(from) = phone.expected {
                phone.ear.look_for(numbers[from], packets);
            }
        }
        let broken_before = self.broken();
        let mixed_before = self.mixed();
        (self.exchange.fleet.latest_ms, self.exchange.fleet.unsent) = (0, 0);
        let before = meter::read(&self.service)?;
        let phones_before = machine::cpu_of(std::process::id())?;
        self.exchange.fleet.begin_clicks();
        self.exchange.run_for(Duration::from_secs(self.seconds));
        self.exchange.fleet.end_clicks();
        let phones_after = machine::cpu_of(std::process::id())?;
        let after = meter::read(&self.service)?;
        let (late, unsent) = (self.exchange.fleet.latest_ms, self.exchange.fleet.unsent);
        let lasts: Vec<u32> = self
            .exchange
            .fleet
            .phones
            .iter()
            .map(|it| it.number)
            .collect();
        self.exchange.run_for(GRACE);
        // What is on its way when the time is over is told of later.
        let settled = meter::read(&self.service)?;

        let (mut lost, mut heard) = (
            self.mixed().1.saturating_sub(mixed_before.1),
            self.mixed().0 - mixed_before.0,
        );
        for phone in &self.exchange.fleet.phones {
            if let Expected::Through(from) = phone.expected {
                lost += phone.ear.missing(lasts[from]);
                heard += u64::from(lasts[from] - numbers[from]);
            }
        }
        let mut mixed = self.clicks();
        mixed.frames = self.mixed().0 - mixed_before.0;
        mixed.concealed = (settled.concealed - before.concealed) as u64;
        let broken = self.broken() - broken_before;
        self.exchange.fleet.begin_delays()?;
        self.exchange.run_for(DELAYS);
        let measured = self.exchange.fleet.end_delays()?;
        self.note("measuring");
        let mut row = Row {
            calls,
            supervised,
            cpu_ns: after.cpu.saturating_sub(before.cpu).as_nanos() as f64,
            seconds: (after.at - before.at).as_secs_f64(),
            packets_in: after.packets_in - before.packets_in,
            packets_out: after.packets_out - before.packets_out,
            floor_ns: self.floor_of(2 * calls + supervised),
            lost,
            lost_in: (settled.lost_in - before.lost_in) as u64,
            heard,
            mixed,
            broken,
            through: Quantiles::default(),
            to_supervisor: Quantiles::default(),
            from_supervisor: Quantiles::default(),
            beside: Quantiles::default(),
            resident_kib: after.resident_kib,
            phones_cpu_ns: (phones_after - phones_before).as_nanos() as f64,
            phones_late_ms: late,
            phones_unsent: unsent,
        };
        row.set_delays(measured);
        Ok(row)
    }

    /// Of the number of sockets measured that is nearest.
    fn floor_of(&self, legs: usize) -> f64 {
        let nearest = self
            .floors
            .iter()
            .min_by_key(|(measured, _)| measured.abs_diff(legs));
        nearest.map_or(f64::NAN, |(_, ns)| *ns)
    }

    /// Supervisors go back and forth between listening and coaching, a few at a time.
    pub fn change_roles(&mut self) -> anyhow::Result<Value> {
        let supervised = self.exchange.supervised();
        if supervised == 0 {
            return Ok(Value::Null);
        }
        let before = meter::read(&self.service)?;
        for turn in 0..ROLE_CHANGES {
            let keys = if turn.is_multiple_of(2) { "5#" } else { "4#" };
            self.exchange.press(turn / 2 % supervised, keys);
            self.exchange.run_for(Duration::from_millis(20));
        }
        self.exchange.run_for(KEYS + SETTLE);
        self.note("changing roles");
        let after = meter::read(&self.service)?;
        let (p50, count) = meter::role_changes(&before, &after, 0.5);
        let (p99, _) = meter::role_changes(&before, &after, 0.99);
        let (most, _) = meter::role_changes(&before, &after, 1.0);
        Ok(json!({
            "calls": self.exchange.calls(),
            "changes": count,
            "p50_within_s": p50,
            "p99_within_s": p99,
            "max_within_s": most,
        }))
    }

    /// Packets towards the parties that did not follow on the one before.
    pub fn broken(&self) -> u64 {
        self.broken_by().iter().sum()
    }

    fn broken_by(&self) -> [u64; 4] {
        let parties = self.exchange.fleet.phones.iter().take(self.begun);
        let parties = parties.filter(|phone| [CUSTOMER, AGENT].contains(&(phone.index % 3)));
        parties.fold([0; 4], |mut all, phone| {
            for (all, one) in all.iter_mut().zip(phone.ear.faults()) {
                *all += one;
            }
            all
        })
    }

    /// What has broken since the last note broke while this went on.
    pub fn note(&mut self, when: &'static str) {
        let faults = self.broken_by();
        let late = std::mem::take(&mut self.exchange.fleet.latest_ms);
        if faults
            .iter()
            .zip(self.faults_before)
            .any(|(now, before)| *now > before)
        {
            let broke = self.broke.entry(when).or_default();
            for ((all, now), before) in broke.faults.iter_mut().zip(faults).zip(self.faults_before)
            {
                *all += now.saturating_sub(before);
            }
            broke.phones_late_ms = broke.phones_late_ms.max(late);
        }
        self.faults_before = faults;
    }

    /// What mixed ears heard of the clicks that are counted.
    fn clicks(&self) -> Mixed {
        let phones = &self.exchange.fleet.phones;
        let mut all = Mixed::default();
        for phone in phones.iter().filter(|phone| phone.remote.is_some()) {
            let Expected::Mix(first, second) = phone.expected else {
                continue;
            };
            let speakers = [Some(first), second].into_iter().flatten();
            let said: u64 = speakers.map(|it| phones[it].clicks.said).sum();
            all.ears += 1;
            all.deaf += u64::from(phone.ear.clicks == 0);
            all.clicks_said += said;
            all.clicks_heard += phone.ear.clicks;
        }
        all
    }

    /// Packets that mixed ears heard, and numbers that were left out.
    fn mixed(&self) -> (u64, u64) {
        let phones = self.exchange.fleet.phones.iter();
        let mixed = phones
            .filter(|phone| matches!(phone.expected, Expected::Mix(..)) && phone.remote.is_some());
        mixed.fold((0, 0), |(heard, lost), phone| {
            (heard + phone.ear.received, lost + phone.ear.gaps)
        })
    }
}
