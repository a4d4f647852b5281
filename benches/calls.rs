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
#[path = "calls/load.rs"]
mod load;
#[path = "shared/machine.rs"]
mod machine;
#[path = "calls/report.rs"]
mod report;
#[path = "calls/sip.rs"]
mod sip;
#[path = "calls/stream.rs"]
mod stream;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use sottovoce::demo::service::{Service, Setup};

use crate::load::Load;
use crate::report::{Changes, Figures, ServiceFigures};

/// Where the customers, the agents and the supervisors stand.
const CUSTOMERS: &str = "127.0.0.81";
const AGENTS: &str = "127.0.0.82";
const SUPERVISORS: &str = "127.0.0.83";
const PHONES_PORT: u16 = 5_080;
/// Extensions count from here.
const FIRST_EXTENSION: usize = 1_000;
const SUPERVISING_NUMBER: &str = "800";
/// After the last call is up, before the measuring begins.
const SETTLE: Duration = Duration::from_secs(3);

/// Phones that come later than this speak all at once what they should have said meanwhile, more
/// than a socket holds.
const PHONES_LIMIT: Duration = Duration::from_millis(300);

/// What is asked for on the command line.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub calls: usize,
    pub supervised: usize,
    pub seconds: u64,
    /// How often each supervisor then begins to coach.
    pub changes: usize,
}

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
    let plan = plan(std::env::args().skip(1))?;
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{}", std::process::id()));
    machine::allow_many_sockets();
    let (first, second) = machine::two_cores()?;

    // A child keeps to the cores of the thread that starts it.
    machine::pin(first)?;
    let service = Service::start(
        Path::new(env!("CARGO_BIN_EXE_sottovoce")),
        &setup(&dir, plan),
    )?;
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
    let heard_us = load.change_roles(plan.changes)?;
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

fn plan(arguments: impl Iterator<Item = String>) -> anyhow::Result<Plan> {
    let mut plan = Plan {
        calls: 500,
        supervised: 50,
        seconds: 120,
        changes: 20,
    };
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
            "--changes" => plan.changes = value,
            _ => bail!("{name}: expected {usage}"),
        }
    }
    ensure!(
        plan.supervised <= plan.calls && plan.calls > 0 && plan.seconds > 0,
        "there are not more supervised calls than calls, and some of both calls and seconds"
    );
    Ok(plan)
}

fn setup(dir: &Path, plan: Plan) -> Setup {
    let share = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    Setup {
        dir: dir.to_owned(),
        share: Some(share),
        trunks: trunks(),
        people: people(plan),
        rtp_ports: Some("12000-19999".to_owned()),
        ..Setup::default()
    }
    .line("rtp", "threads = 1")
    .line("media", "codecs = [\"PCMU\"]")
    .line("supervising", "pin = \"never\"")
}

fn trunks() -> String {
    format!(
        r#"
[[trunk]]
name = "customers"
peers = ["{CUSTOMERS}"]
uri = "sip:{CUSTOMERS}:{PHONES_PORT}"
caller_id = "trusted"
network = "external"

[[trunk]]
name = "supervisors"
peers = ["{SUPERVISORS}"]
uri = "sip:{SUPERVISORS}:{PHONES_PORT}"
caller_id = "trusted"
network = "internal"

[[route]]
number = "^\\d{{4,6}}$"
to = "agent"
"#
    )
}

/// An agent for each call, and a supervisor for each of the first, who has that agent alone.
fn people(plan: Plan) -> String {
    let mut text = format!(
        "[[organisation]]\nid = \"bench\"\nname = \"Bench\"\n\
         supervising_numbers = [\"{SUPERVISING_NUMBER}\"]\nsupervision = true\n"
    );
    for call in 0..plan.calls {
        let extension = FIRST_EXTENSION + call;
        text += &format!("[[pool]]\norganisation = \"bench\"\nname = \"pool-{call}\"\n");
        text += &format!(
            "[[agent]]\norganisation = \"bench\"\nextension = \"{extension}\"\n\
             name = \"Agent {call}\"\npools = [\"pool-{call}\"]\n\
             contact = \"sip:{extension}@{AGENTS}:{PHONES_PORT}\"\n"
        );
    }
    for call in 0..plan.supervised {
        text += &format!(
            "[[supervisor]]\norganisation = \"bench\"\nuser = \"s{call}\"\nname = \"S {call}\"\n\
             phone = \"{}\"\npools = [\"pool-{call}\"]\n\
             may = [\"monitor\", \"coach\", \"barge\"]\n",
            supervisor_phone(call)
        );
    }
    text
}

pub fn supervisor_phone(call: usize) -> String {
    format!("+35840{:07}", 1_000_000 + call)
}
