//! `./run bench media`: what a forwarded packet costs the real service, beside what a bare recv and
//! send cost over the same number of sockets, at rising numbers of calls: plain, with a supervisor
//! who coaches on every tenth call, and on every call. The service has one core, the phones the
//! other; they are a process of their own, set their calls up by SIP, and check every packet.
//!
//! Exit status 0 only if every packet that should have been heard was, and the streams towards the
//! parties ran on unbroken through joining, every role and leaving. Figures go to
//! `target/bench/media.json`.

#[path = "media/batch.rs"]
mod batch;
#[path = "media/exchange.rs"]
mod exchange;
#[path = "shared/figures.rs"]
mod figures;
#[path = "media/fleet.rs"]
mod fleet;
#[path = "media/floor.rs"]
mod floor;
#[path = "shared/machine.rs"]
mod machine;
#[path = "media/meter.rs"]
mod meter;
#[path = "media/phone.rs"]
mod phone;
#[path = "media/plane.rs"]
mod plane;
#[path = "media/rows.rs"]
mod rows;
#[path = "calls/sip.rs"]
mod sip;
#[path = "media/stage.rs"]
mod stage;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use sottovoce::demo::service::Service;
use sottovoce::edge::config::Io;
use sottovoce::edge::rtp::engine::{self, EngineKind};

use crate::exchange::Exchange;
use crate::fleet::{AGENT, CUSTOMER};
use crate::phone::{Expected, FAULTS};
use crate::rows::{Quantiles, Row};

/// After the last call is up, before the measuring begins.
const SETTLE: Duration = Duration::from_millis(1_500);
/// What is on its way arrives.
const GRACE: Duration = Duration::from_millis(300);
/// Delays are measured for so long.
const DELAYS: Duration = Duration::from_secs(3);
/// Of a node that has next to nothing to do.
const FEW_CALLS: usize = 5;
/// Role changes are measured at so many calls.
const ROLE_CALLS: usize = 500;
const ROLE_CHANGES: usize = 400;
/// Keys of a role change take this long to be pressed.
const KEYS: Duration = Duration::from_millis(600);
/// Supervisors dial in in crowds of so many; those who are let in are on their calls within this.
const JOINING: usize = 25;
const JOINED: Duration = Duration::from_millis(600);
/// Media alone is measured with so many calls.
const PLANE_CALLS: usize = 1_000;

#[derive(Clone, Debug)]
struct Args {
    calls: Vec<usize>,
    seconds: u64,
    /// The most calls of which every one is supervised.
    supervised: usize,
    engines: Vec<EngineKind>,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("media: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<bool> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    machine::allow_many_sockets();
    if let [name, kind, calls] = &arguments[..]
        && name == plane::ARGUMENT
    {
        plane::run(engine_named(kind)?, calls.parse()?)?;
        return Ok(true);
    }
    let args = args(arguments.into_iter())?;
    let (first, second) = machine::two_cores()?;
    println!("the service on core {first}, the phones on core {second}");

    let mut floors = BTreeMap::new();
    measure_floors(&args, first, &mut floors)?;
    let mut clean = true;
    let mut engines = serde_json::Map::new();
    for &kind in &args.engines {
        let (value, good) = measure(&args, kind, (first, second), &floors)?;
        clean &= good;
        engines.insert(kind.to_string(), value);
    }
    let json = json!({
        "seconds": args.seconds,
        "floors_ns": floors.iter().map(|(legs, ns)| json!({"sockets": legs, "ns": ns})).collect::<Vec<_>>(),
        "engines": engines,
    });
    figures::keep("media", &json)?;
    println!("{}", if clean { "clean" } else { "NOT CLEAN" });
    Ok(clean)
}

fn engine_named(name: &str) -> anyhow::Result<EngineKind> {
    match name {
        "epoll" => Ok(EngineKind::Epoll),
        "io_uring" => Ok(EngineKind::IoUring),
        _ => bail!("{name}: expected epoll or io_uring"),
    }
}

fn args(arguments: impl Iterator<Item = String>) -> anyhow::Result<Args> {
    let mut args = Args {
        calls: vec![100, 500, 1_000, 2_000, 3_000],
        seconds: 10,
        supervised: 1_500,
        engines: Vec::new(),
    };
    let usage = "--calls N,N,… --seconds N --supervised N --engine epoll|io_uring";
    // Cargo says that it is a bench.
    let mut arguments = arguments.filter(|argument| argument != "--bench");
    while let Some(name) = arguments.next() {
        let value = arguments.next();
        let value = value.with_context(|| format!("{name}: expected {usage}"))?;
        let wrong = || format!("{name} {value}: expected {usage}");
        match name.as_str() {
            "--calls" => {
                let calls = value.split(',').map(str::parse);
                args.calls = calls.collect::<Result<_, _>>().with_context(wrong)?;
            }
            "--seconds" => args.seconds = value.parse().with_context(wrong)?,
            "--supervised" => args.supervised = value.parse().with_context(wrong)?,
            "--engine" => args.engines.push(engine_named(&value)?),
            _ => bail!("{name}: expected {usage}"),
        }
    }
    if args.engines.is_empty() {
        args.engines.push(EngineKind::Epoll);
        match engine::choose(Io::IoUring) {
            Ok(kind) => args.engines.push(kind),
            Err(reason) => println!("epoll alone: {reason}"),
        }
    }
    let rising = args.calls.is_sorted() && args.calls.first().is_some_and(|few| *few > FEW_CALLS);
    ensure!(
        rising && args.seconds > 0,
        "numbers of calls rise, from more than {FEW_CALLS}, and seconds are some"
    );
    Ok(args)
}

/// A floor for each number of legs that will be measured.
fn measure_floors(
    args: &Args,
    core: usize,
    floors: &mut BTreeMap<usize, f64>,
) -> anyhow::Result<()> {
    machine::pin(core)?;
    for &calls in std::iter::once(&FEW_CALLS).chain(&args.calls) {
        let every = supervised_of(args, calls).last().copied().unwrap_or(0);
        for legs in [2 * calls, 2 * calls + every] {
            if let std::collections::btree_map::Entry::Vacant(entry) = floors.entry(legs) {
                entry.insert(floor::measure(legs)?);
            }
        }
    }
    Ok(())
}

/// With how many supervisors so many calls are measured, beside none.
fn supervised_of(args: &Args, calls: usize) -> Vec<usize> {
    match calls <= args.supervised {
        true => vec![calls / 10, calls],
        false => vec![],
    }
}

fn measure(
    args: &Args,
    kind: EngineKind,
    (first, second): (usize, usize),
    floors: &BTreeMap<usize, f64>,
) -> anyhow::Result<(Value, bool)> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let dir = dir.join(format!("bench-media-{}-{kind}", std::process::id()));
    let most = args.calls.last().copied().unwrap_or_default();
    // A child keeps to the core of the thread that starts it.
    machine::pin(first)?;
    let plane_bytes = plane::measure(kind, PLANE_CALLS)?;
    let exe = Path::new(env!("CARGO_BIN_EXE_sottovoce"));
    let service = Service::start(exe, &stage::setup(&dir, kind, most))?;
    machine::pin(second)?;
    let mut bench = Bench {
        args,
        floors,
        exchange: Exchange::new(service.sip)?,
        service,
        begun: 0,
        faults_before: [0; 4],
        faults: BTreeMap::new(),
    };

    println!();
    println!("{kind}, {} s a row", args.seconds);
    let empty = meter::read(&bench.service)?;
    bench.grow_to(FEW_CALLS)?;
    let idle = bench.row()?;
    let mut rows = Vec::new();
    let mut roles = Value::Null;
    let mut kib_per_call = Vec::new();
    let mut shortfalls = Vec::new();
    let few = meter::read(&bench.service)?;
    for &calls in &args.calls {
        bench.grow_to(calls)?;
        let carried = bench.exchange.calls();
        if carried < calls {
            shortfalls.push(format!(
                "{calls} calls: one core carries {carried}, the rest were refused (503); more is left out"
            ));
        }
        if rows.iter().any(|row: &Row| row.calls == carried) {
            break;
        }
        rows.push(bench.row()?);
        let plain = meter::read(&bench.service)?;
        let grown = plain.resident_kib as f64 - few.resident_kib as f64;
        if rows.iter().all(|row| row.supervised == 0) {
            kib_per_call
                .push(json!({"calls": carried, "kib": grown / (carried - FEW_CALLS) as f64}));
        }
        if carried < calls {
            break;
        }
        for supervised in supervised_of(args, calls) {
            bench.supervise(supervised)?;
            let admitted = bench.exchange.supervised();
            if admitted < supervised {
                shortfalls.push(format!(
                    "{calls} calls, {supervised} supervised: {admitted} were let in, the rest refused (9011)"
                ));
            }
            rows.push(bench.row()?);
            if admitted < supervised {
                break;
            }
        }
        if calls == ROLE_CALLS || args.calls == [calls] {
            roles = bench.change_roles()?;
        }
        bench.exchange.leave(0)?;
        bench.exchange.run_for(GRACE);
        bench.note("supervisors leaving");
    }
    bench.note("between");
    let broken = bench.broken();
    let most = bench.exchange.calls();
    let talking = bench.exchange.talking();
    bench.exchange.hang_up()?;
    bench.service.stop()?;
    std::fs::remove_dir_all(&dir)?;

    rows::print(&rows);
    for shortfall in &shortfalls {
        println!("{shortfall}");
    }
    println!(
        "nearly idle ({FEW_CALLS} calls): added delay p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        f64::from(idle.through.p50_us) / 1e3,
        f64::from(idle.through.p99_us) / 1e3,
        f64::from(idle.through.max_us) / 1e3,
    );
    println!(
        "memory: media {:.1} KiB a call; with its two dialogs {}; the service before the first call {:.1} MiB",
        plane_bytes / 1024.0,
        kib_per_call
            .iter()
            .map(|row| format!(
                "{:.1} KiB at {}",
                row["kib"].as_f64().unwrap_or(0.0),
                row["calls"]
            ))
            .collect::<Vec<_>>()
            .join(", "),
        empty.resident_kib as f64 / 1024.0,
    );
    println!("role changes: {roles}");
    println!("towards the parties, from the first call to the last: {broken} packets out of line");
    for (when, faults) in &bench.faults {
        println!("  {when}: {}", named(faults));
    }
    let good = broken == 0 && talking == (most, 0) && rows.iter().chain([&idle]).all(Row::is_clean);
    let value = json!({
        "rows": rows.iter().map(Row::to_json).collect::<Vec<_>>(),
        "nearly_idle": idle.to_json(),
        "media_bytes_per_call": plane_bytes,
        "kib_per_call": kib_per_call,
        "role_changes": roles,
        "not_carried": shortfalls,
        "out_of_line": broken,
        "out_of_line_when": bench.faults.iter().map(|(when, faults)| json!({"when": when, "what": named(faults)})).collect::<Vec<_>>(),
        "clean": good,
    });
    Ok((value, good))
}

fn named(faults: &[u64; 4]) -> String {
    let named = faults.iter().zip(FAULTS);
    let named = named.filter(|(count, _)| **count > 0);
    let named: Vec<String> = named
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    named.join(", ")
}

struct Bench<'a> {
    args: &'a Args,
    floors: &'a BTreeMap<usize, f64>,
    exchange: Exchange,
    service: Service,
    /// Phones whose streams both ways have begun, and are to run on unbroken.
    begun: usize,
    faults_before: [u64; 4],
    /// What broke, by what went on meanwhile.
    faults: BTreeMap<&'static str, [u64; 4]>,
}

impl Bench<'_> {
    fn grow_to(&mut self, calls: usize) -> anyhow::Result<()> {
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
    fn supervise(&mut self, supervised: usize) -> anyhow::Result<()> {
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

    fn row(&mut self) -> anyhow::Result<Row> {
        let (calls, supervised) = (self.exchange.calls(), self.exchange.supervised());
        let packets = (self.args.seconds as usize + 5) * 50;
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
        self.exchange
            .run_for(Duration::from_secs(self.args.seconds));
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

        let (mut lost, mut heard) = (
            self.mixed().1.saturating_sub(mixed_before.1),
            self.mixed().0 - mixed_before.0,
        );
        for phone in &self.exchange.fleet.phones {
            if let Expected::Through(from) = phone.expected {
                lost += phone.ear.missing(from, lasts[from]);
                heard += u64::from(lasts[from] - numbers[from]);
            }
        }
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
            heard,
            broken,
            through: Quantiles::default(),
            to_supervisor: Quantiles::default(),
            from_supervisor: Quantiles::default(),
            beside: Quantiles::default(),
            resident_kib: after.resident_kib,
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
    fn change_roles(&mut self) -> anyhow::Result<Value> {
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
    fn broken(&self) -> u64 {
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
    fn note(&mut self, when: &'static str) {
        let faults = self.broken_by();
        for ((kind, now), before) in (0..).zip(faults).zip(self.faults_before) {
            if now > before {
                self.faults.entry(when).or_default()[kind] += now - before;
            }
        }
        self.faults_before = faults;
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
