//! `./run bench signalling`: calls set up and torn down by the real service on one core, with sipp
//! as carrier and agents on the other, at rising rates; then more calls than it can take, beside
//! calls in progress.
//!
//! Every call has its media ports and stays for a second. In the same run, on the same core and
//! with the same phones, a relay that does nothing but pass the messages on: the floor.
//!
//! Exit status 0 only if the wanted rate ran without a failure and a retransmission, a call cost no
//! more than it may, the phones heard ringing in time at half that rate, and what was too much was
//! refused without harm to the calls in progress.

#[path = "calls/ear.rs"]
mod ear;
#[path = "shared/figures.rs"]
mod figures;
#[path = "signalling/floor.rs"]
mod floor;
#[path = "shared/keypad.rs"]
mod keypad;
#[path = "calls/load.rs"]
mod load;
#[path = "shared/machine.rs"]
mod machine;
#[path = "signalling/overload.rs"]
mod overload;
#[path = "signalling/report.rs"]
mod report;
#[path = "shared/sip.rs"]
mod sip;
#[path = "signalling/sipp.rs"]
mod sipp;
#[path = "shared/stage.rs"]
mod stage;
#[path = "calls/stream.rs"]
mod stream;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use sottovoce::demo::service::Service;

use crate::floor::Floor;
use crate::report::{Figures, Run};
use crate::sipp::{Agents, Callers, Offered};

/// Where the callers and the agents of the load stand.
const CALLERS: &str = "127.0.0.84";
const PHONES: &str = "127.0.0.85";
/// Each call goes to the next of these agents.
const EXTENSIONS: RangeInclusive<usize> = 20_000..=21_999;

const RATES: [u32; 5] = [100, 250, 500, 750, 1_000];
/// Set-ups in a second that are to be reached.
const WANTED: u32 = 1_000;
const HOLD: Duration = Duration::from_secs(1);
/// Below those that the system deals out. A call takes two pairs for its second and five more.
const RTP_PORTS: &str = "2000-31999";
/// How long the last calls of a rate may take until the service has forgotten them.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// The longest that the service keeps anything of a call that is over: its transactions, 64·T1.
const REST: Duration = Duration::from_secs(34);

#[derive(Clone, Debug)]
struct Args {
    rates: Vec<u32>,
    seconds: u32,
    /// Calls in a second that are too many; 0 leaves them out.
    overload: u32,
    standing: usize,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match arguments.next().as_deref() {
        Some(floor::ARGUMENT) => relay(arguments.next()),
        _ => run(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("signalling: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn relay(to: Option<String>) -> anyhow::Result<bool> {
    machine::allow_many_sockets();
    let to = to.context("where to")?.parse()?;
    floor::relay(to)?;
    Ok(true)
}

fn run() -> anyhow::Result<bool> {
    let args = args(std::env::args().skip(1))?;
    let dir =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("signalling-{}", std::process::id()));
    machine::allow_many_sockets();
    let cores = machine::two_cores()?;
    println!(
        "{} s at each rate, calls of {HOLD:?}; the service on core {}, the phones on core {}",
        args.seconds, cores.0, cores.1
    );
    println!();

    let agents_port = sipp::free_port(PHONES)?;
    let mut measured = Figures::default();
    report::heading();
    for &per_second in &args.rates {
        let run = at_rate(&dir, cores, agents_port, Side::Floor, per_second, &args)?;
        run.print();
        measured.floor.push(run);
    }
    let started = start_service(&dir, cores, agents_port, &args)?;
    for &per_second in &args.rates {
        let side = Side::Service(&started);
        let run = at_rate(&dir, cores, agents_port, side, per_second, &args)?;
        run.print();
        measured.service.push(run);
    }
    if args.overload > 0 {
        let folder = dir.join("overload");
        measured.overload = Some(overload::run(&folder, &started, agents_port, &args)?);
    }
    started.stop()?;

    measured.print();
    figures::keep("signalling", &measured.to_json())?;
    std::fs::remove_dir_all(&dir)?;
    Ok(measured.passed())
}

/// What stands between the phones.
#[derive(Clone, Copy)]
enum Side<'a> {
    Floor,
    Service(&'a Service),
}

fn at_rate(
    dir: &Path,
    cores: (usize, usize),
    agents_port: u16,
    side: Side<'_>,
    per_second: u32,
    args: &Args,
) -> anyhow::Result<Run> {
    let offered = Offered {
        per_second,
        calls: per_second * args.seconds,
        hold: HOLD,
    };
    machine::pin(cores.1)?;
    let name = match side {
        Side::Floor => "floor",
        Side::Service(_) => "service",
    };
    let folder = dir.join(format!("{name}-{per_second}"));
    let agents = Agents::start(&folder.join("agents"), agents_port)?;
    machine::pin(cores.0)?;
    let floor = match side {
        Side::Floor => Some(Floor::start(agents.address)?),
        Side::Service(_) => None,
    };
    machine::pin(cores.1)?;
    let (process, to): (u32, SocketAddr) = match (side, &floor) {
        (Side::Service(service), _) => (service.id(), service.sip),
        (Side::Floor, Some(floor)) => (floor.id(), floor.address),
        (Side::Floor, None) => bail!("no relay"),
    };
    let before = machine::cpu_of(process)?;
    let mut outcome = Callers::start(&folder.join("callers"), to, offered)?.finish()?;
    if let Side::Service(service) = side {
        settle(service)?;
    }
    let cpu = machine::cpu_of(process)? - before;
    let resident_kib = machine::resident_kib(process)?;
    agents.finish(&mut outcome)?;
    Ok(Run {
        name,
        per_second,
        outcome,
        cpu,
        resident_kib,
    })
}

/// Waits until no call is left, and what they leave behind is gone, too: it is part of their cost.
fn settle(service: &Service) -> anyhow::Result<()> {
    let limit = Instant::now() + SETTLE_LIMIT;
    loop {
        let (_, metrics) = service.get("/metrics")?;
        let calls = metrics
            .lines()
            .find_map(|line| line.strip_prefix("sottovoce_calls "));
        if calls == Some("0") {
            std::thread::sleep(REST);
            return Ok(());
        }
        ensure!(
            Instant::now() < limit,
            "{} calls are left {SETTLE_LIMIT:?} after the last",
            calls.unwrap_or("?")
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// On the first core, with room for the calls of the load and for those in progress.
fn start_service(
    dir: &Path,
    cores: (usize, usize),
    agents_port: u16,
    args: &Args,
) -> anyhow::Result<Service> {
    machine::pin(cores.0)?;
    let mut setup = stage::setup(dir, RTP_PORTS, args.standing, args.standing);
    setup.trunks += &stage::trunk("load", CALLERS, "external");
    setup.people += &people_of_the_load(agents_port);
    let service = Service::start(Path::new(env!("CARGO_BIN_EXE_sottovoce")), &setup)?;
    machine::pin(cores.1)?;
    Ok(service)
}

/// Agents in one pool.
fn people_of_the_load(agents_port: u16) -> String {
    let agents = EXTENSIONS.map(|extension| stage::agent(extension, "load", PHONES, agents_port));
    stage::pool("load") + &agents.collect::<String>()
}

fn args(arguments: impl Iterator<Item = String>) -> anyhow::Result<Args> {
    const USAGE: &str =
        "--rates N,N,…  --seconds N  --overload N (0: none)  --standing N (calls in progress)";
    let mut args = Args {
        rates: RATES.to_vec(),
        seconds: 10,
        overload: 3_000,
        standing: 20,
    };
    // Cargo says that it is a bench.
    let mut arguments = arguments.filter(|argument| argument != "--bench");
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        let number = |text: &str| {
            let number = text.parse::<u32>().ok();
            number.with_context(|| format!("{name} {value}: expected {USAGE}"))
        };
        match name.as_str() {
            "--rates" => args.rates = value.split(',').map(number).collect::<Result<_, _>>()?,
            "--seconds" => args.seconds = number(&value)?,
            "--overload" => args.overload = number(&value)?,
            "--standing" => args.standing = number(&value)? as usize,
            _ => bail!("{name}: expected {USAGE}"),
        }
    }
    ensure!(
        args.seconds > 0 && !args.rates.contains(&0),
        "rates and seconds are at least 1"
    );
    ensure!(
        args.standing > 0 || args.overload == 0,
        "an overload is measured beside calls in progress"
    );
    Ok(args)
}
