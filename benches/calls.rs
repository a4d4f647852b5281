//! `./run bench calls`: many parallel calls over real SIP and RTP, some of them supervised, with
//! the service on one core and the phones on another. Every packet is counted.
//!
//! Then the supervisors change their role, over and over.
//!
//! Exit status 0 only if no packet was lost, 99 of 100 ticks came less than 3 ms late, and 99 of 100
//! role changes took at most 25 ms. The figures are printed, and kept as JSON under
//! `target/bench/`.

#[path = "calls/changes.rs"]
mod changes;
#[path = "calls/ear.rs"]
mod ear;
#[path = "shared/figures.rs"]
mod figures;
#[path = "shared/keypad.rs"]
mod keypad;
#[path = "calls/load.rs"]
mod load;
#[path = "shared/machine.rs"]
mod machine;
#[path = "calls/report.rs"]
mod report;
#[path = "shared/sip.rs"]
mod sip;
#[path = "shared/stage.rs"]
mod stage;
#[path = "calls/stream.rs"]
mod stream;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use sottovoce::demo::service::Service;

use crate::load::{Load, Plan};
use crate::report::{Changes, Figures, ServiceFigures};

/// After the last call is up, before the measuring begins.
const SETTLE: Duration = Duration::from_secs(3);
const RTP_PORTS: &str = "12000-19999";

/// Phones that come later than this speak all at once what they should have said meanwhile, more
/// than a socket holds.
const PHONES_LIMIT: Duration = Duration::from_millis(300);

/// How often each supervisor begins to coach, unless `--changes N` says otherwise.
const CHANGES: usize = 20;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("calls: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<bool> {
    let (plan, changes) = args(std::env::args().skip(1))?;
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{}", std::process::id()));
    machine::allow_many_sockets();
    let (first, second) = machine::two_cores()?;

    // A child keeps to the cores of the thread that starts it.
    machine::pin(first)?;
    let setup = stage::setup(&dir, RTP_PORTS, plan.calls, plan.supervised);
    let service = Service::start(Path::new(env!("CARGO_BIN_EXE_sottovoce")), &setup)?;
    machine::pin(second)?;
    println!(
        "{} calls, {} of them supervised, {} s; the service on core {first}, the phones on core {second}",
        plan.calls, plan.supervised, plan.seconds
    );

    let mut load = Load::new(plan, service.sip)?;
    load.set_up().context("setting the calls up")?;
    load.run_for(SETTLE)?;
    let before = ServiceFigures::read(&service)?;
    load.begin_measuring();
    load.run_for(Duration::from_secs(plan.seconds))?;
    load.end_measuring();
    let after = ServiceFigures::read(&service)?;
    // What is on its way arrives.
    load.run_for(Duration::from_secs(1))?;
    let (ears, phones_late) = (load.ears(), Duration::from_millis(load.latest));
    let heard_us = load.change_roles(changes)?;
    let changed = ServiceFigures::read(&service)?;
    load.hang_up().context("ending the calls")?;
    service.stop()?;

    let changes = Changes::new(heard_us, &after, &changed);
    let measured = Figures::new(plan, &ears, phones_late, &before, &after, changes);
    measured.print();
    figures::keep("calls", &measured.to_json())?;
    std::fs::remove_dir_all(&dir)?;
    ensure!(
        phones_late <= PHONES_LIMIT,
        "the phones came {phones_late:?} late: the machine was too busy for them, and the figures say little of the service"
    );
    Ok(measured.passed())
}

fn args(arguments: impl Iterator<Item = String>) -> anyhow::Result<(Plan, usize)> {
    let mut plan = Plan {
        calls: 500,
        supervised: 50,
        seconds: 120,
    };
    let mut changes = CHANGES;
    // Cargo says that it is a bench.
    let mut arguments = arguments.filter(|argument| argument != "--bench");
    while let Some(name) = arguments.next() {
        let usage = "--calls N, --supervised N, --seconds N, --changes N";
        let value = arguments.next().and_then(|value| value.parse().ok());
        let value: usize = value.with_context(|| format!("{name}: expected {usage}"))?;
        match name.as_str() {
            "--calls" => plan.calls = value,
            "--supervised" => plan.supervised = value,
            "--seconds" => plan.seconds = value as u64,
            "--changes" => changes = value,
            _ => bail!("{name}: expected {usage}"),
        }
    }
    ensure!(
        plan.supervised <= plan.calls && plan.calls > 0 && plan.seconds > 0,
        "there are not more supervised calls than calls, and some of both calls and seconds"
    );
    Ok((plan, changes))
}
