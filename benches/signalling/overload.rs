//! More calls than the service can take, beside calls in progress: what is too much is refused
//! with 503, and nobody who talks notices.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use sottovoce::demo::service::Service;

use crate::ear::{Side, latencies_us};
use crate::load::{Load, Plan};
use crate::report::Overload;
use crate::sipp::{Agents, Callers, Offered};
use crate::{Args, HOLD, machine};

/// Every fifth of the calls in progress is supervised.
const SUPERVISED_SHARE: usize = 5;
/// After the last call in progress is up, before the flood.
const SETTLE: Duration = Duration::from_secs(2);
/// Looks whether the flood is over.
const STEP: Duration = Duration::from_millis(200);

pub fn run(
    folder: &Path,
    service: &Service,
    agents_port: u16,
    args: &Args,
) -> anyhow::Result<Overload> {
    let offered = Offered {
        per_second: args.overload,
        calls: args.overload * args.seconds,
        hold: HOLD,
    };
    let plan = Plan {
        calls: args.standing,
        supervised: args.standing / SUPERVISED_SHARE,
        seconds: u64::from(args.seconds),
    };
    // Those who measure what is heard go before those who make the flood.
    let own = rustix::thread::gettid();
    let hurried = rustix::process::setpriority_process(Some(own), -5).is_ok();

    let agents = Agents::start(&folder.join("agents"), agents_port)?;
    let mut load = Load::new(plan, service.sip)?;
    load.set_up().context("setting up the calls in progress")?;
    load.run_for(SETTLE)?;
    let before = machine::cpu_of(service.id())?;
    if hurried {
        // A process that was given it may give it back.
        let _ = rustix::process::setpriority_process(Some(own), 0);
    }
    let mut callers = Callers::start(&folder.join("callers"), service.sip, offered)?;
    let _ = rustix::process::setpriority_process(Some(own), -5);
    load.begin_measuring();
    load.run_for(Duration::from_secs(plan.seconds))?;
    load.end_measuring();
    while !callers.is_over()? {
        load.run_for(STEP)?;
    }
    let mut outcome = callers.finish()?;
    let cpu = machine::cpu_of(service.id())? - before;
    load.run_for(Duration::from_secs(1))?;
    let (ears, phones_late) = (load.ears(), Duration::from_millis(load.latest));
    load.hang_up().context("ending the calls in progress")?;
    agents.finish(&mut outcome)?;
    Ok(Overload {
        per_second: offered.per_second,
        standing: plan.calls,
        supervised: plan.supervised,
        through: Side::of(ears.iter().filter(|ear| ear.through)),
        mixed: Side::of(ears.iter().filter(|ear| !ear.through)),
        latencies_us: latencies_us(&ears),
        phones_late,
        outcome,
        cpu,
    })
}
