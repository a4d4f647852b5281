//! `./run bench media`: what a forwarded packet costs the real service, beside what a bare recv and
//! send cost over the same number of sockets, at rising numbers of calls: plain, with a supervisor
//! who coaches on every tenth call, and on every call. The service has one core, the phones the
//! other; they are a process of their own, set their calls up by SIP, and check every packet.
//!
//! Exit status 0 only if every packet that should have been heard was, the streams towards the
//! parties ran on unbroken through joining, every role and leaving, and every figure that is wanted
//! was reached; what was not is printed as NO. Figures go to `target/bench/media.json`.

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
#[path = "shared/keypad.rs"]
mod keypad;
#[path = "shared/machine.rs"]
mod machine;
#[path = "media/measuring.rs"]
mod measuring;
#[path = "media/meter.rs"]
mod meter;
#[path = "media/phone.rs"]
mod phone;
#[path = "media/plane.rs"]
mod plane;
#[path = "media/rows.rs"]
mod rows;
#[path = "shared/sip.rs"]
mod sip;
#[path = "shared/stage.rs"]
mod stage;
#[path = "media/wanted.rs"]
mod wanted;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use sottovoce::demo::service::Service;
use sottovoce::edge::config::Io;
use sottovoce::edge::rtp::engine::{self, EngineKind};

use crate::measuring::Bench;
use crate::rows::Row;
use crate::wanted::{Run, Verdict};

/// Of a node that has next to nothing to do.
const FEW_CALLS: usize = 5;
/// Role changes are measured at so many calls.
const ROLE_CALLS: usize = 500;
/// Below those that the system deals out: two for each leg.
const RTP_PORTS: &str = "10000-32767";
/// What a call holds is measured with so many.
const MEMORY_CALLS: usize = 500;
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
    let mut verdicts: Vec<(EngineKind, Verdict)> = Vec::new();
    let mut engines = serde_json::Map::new();
    for &kind in &args.engines {
        let (value, reached) = measure(&args, kind, (first, second), &floors)?;
        verdicts.extend(reached.into_iter().map(|verdict| (kind, verdict)));
        engines.insert(kind.to_string(), value);
    }
    let json = json!({
        "seconds": args.seconds,
        "floors_ns": floors.iter().map(|(legs, ns)| json!({"sockets": legs, "ns": ns})).collect::<Vec<_>>(),
        "engines": engines,
    });
    figures::keep("media", &json)?;
    for kind in &args.engines {
        println!("\n{kind}:");
        for (_, verdict) in verdicts.iter().filter(|(of, _)| of == kind) {
            verdict.print();
        }
    }
    Ok(verdicts.iter().all(|(_, verdict)| verdict.reached))
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
        calls: vec![100, 500, 1_000, 1_500, 2_000, 3_000],
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

/// The most calls that every one is to be coached of.
fn asked_coached(args: &Args) -> usize {
    let coached = args.calls.iter().copied();
    coached
        .filter(|calls| *calls <= args.supervised)
        .max()
        .unwrap_or_default()
}

/// What a plain call adds to the resident memory of a service that has carried no more than a few.
fn memory(service: Service, core: usize) -> anyhow::Result<f64> {
    machine::pin(core)?;
    let floors = BTreeMap::new();
    let mut bench = Bench::new(0, &floors, service)?;
    bench.grow_to(FEW_CALLS)?;
    let few = meter::read(&bench.service)?.resident_kib;
    bench.grow_to(MEMORY_CALLS)?;
    let many = meter::read(&bench.service)?.resident_kib;
    let calls = bench.exchange.calls() - FEW_CALLS;
    bench.exchange.hang_up()?;
    bench.service.stop()?;
    Ok(many.saturating_sub(few) as f64 / calls as f64)
}

fn measure(
    args: &Args,
    kind: EngineKind,
    (first, second): (usize, usize),
    floors: &BTreeMap<usize, f64>,
) -> anyhow::Result<(Value, Vec<Verdict>)> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let dir = dir.join(format!("bench-media-{}-{kind}", std::process::id()));
    let most = args.calls.last().copied().unwrap_or_default();
    let most = most.max(MEMORY_CALLS);
    // A child keeps to the core of the thread that starts it.
    machine::pin(first)?;
    let plane_bytes = plane::measure(kind, PLANE_CALLS)?;
    let exe = Path::new(env!("CARGO_BIN_EXE_sottovoce"));
    let setup = stage::setup(&dir, RTP_PORTS, most, most).line("rtp", &format!("io = \"{kind}\""));
    let kib_per_call = memory(Service::start(exe, &setup)?, second)?;
    std::fs::remove_dir_all(&dir)?;
    machine::pin(first)?;
    let service = Service::start(exe, &setup)?;
    machine::pin(second)?;
    let mut bench = Bench::new(args.seconds, floors, service)?;

    println!();
    println!("{kind}, {} s a row", args.seconds);
    let empty = meter::read(&bench.service)?;
    bench.grow_to(FEW_CALLS)?;
    let idle = bench.row()?;
    let mut rows = Vec::new();
    let mut roles = Value::Null;
    let mut shortfalls = Vec::new();
    // Of how many calls, and whether with supervisors as well.
    let mut ahead: BTreeMap<usize, bool> = args.calls.iter().map(|&calls| (calls, true)).collect();
    while let Some((calls, with_supervisors)) = ahead.pop_first() {
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
        if carried < calls {
            break;
        }
        let supervised = match with_supervisors {
            true => supervised_of(args, calls),
            false => Vec::new(),
        };
        for supervised in supervised {
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
            if admitted == calls {
                // Beside it as many legs that are merely forwarded.
                ahead.entry(calls * 3 / 2).or_insert(false);
            }
        }
        if with_supervisors && calls == ROLE_CALLS || args.calls == [calls] {
            roles = bench.change_roles()?;
        }
        bench.leave()?;
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
        "memory: media {:.1} KiB a call; with its two dialogs {kib_per_call:.1} KiB at {MEMORY_CALLS}; the service before the first call {:.1} MiB",
        plane_bytes / 1024.0,
        empty.resident_kib as f64 / 1024.0,
    );
    println!("role changes: {roles}");
    println!("towards the parties, from the first call to the last: {broken} packets out of line");
    for (when, broke) in &bench.broke {
        println!("  {when}: {broke}");
    }
    let run = Run {
        kind,
        rows: &rows,
        idle: &idle,
        asked: args.calls.last().copied().unwrap_or_default(),
        asked_coached: asked_coached(args),
        role_changes: &roles,
        media_bytes_per_call: plane_bytes,
        kib_per_call,
        whole: broken == 0 && talking == (most, 0),
    };
    let verdicts = run.verdicts();
    let times_forwarded = rows.iter().filter(|row| row.supervised == row.calls);
    let times_forwarded = times_forwarded.map(
        |row| json!({"calls": row.calls, "legs": row.legs(), "times": run.times_forwarded(row)}),
    );
    let value = json!({
        "rows": rows.iter().map(Row::to_json).collect::<Vec<_>>(),
        "nearly_idle": idle.to_json(),
        "media_bytes_per_call": plane_bytes,
        "kib_per_call": {"calls": MEMORY_CALLS, "kib": kib_per_call},
        "role_changes": roles,
        "not_carried": shortfalls,
        "out_of_line": broken,
        "out_of_line_when": bench.broke.iter().map(|(when, broke)| json!({"when": when, "what": broke.to_string()})).collect::<Vec<_>>(),
        "lossless": run.is_lossless(),
        "coached_legs_times_forwarded": times_forwarded.collect::<Vec<_>>(),
        "wanted": verdicts.iter().map(Verdict::to_json).collect::<Vec<_>>(),
    });
    Ok((value, verdicts))
}
