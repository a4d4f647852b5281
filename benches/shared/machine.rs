//! What benches ask of the machine: a core for each side, and what a process has used.

use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Linux tells times in `/proc` in hundredths of a second, on every machine.
const PROC_TICK_MS: u64 = 10;

/// One core for what is measured, one for what measures.
pub fn two_cores() -> anyhow::Result<(usize, usize)> {
    let ours = sched_getaffinity(None)?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| ours.is_set(core));
    match (cores.next(), cores.next()) {
        (Some(first), Some(second)) => Ok((first, second)),
        _ => bail!("two cores are needed: one for the service, one for the phones"),
    }
}

/// Keeps this thread, and every process and thread that it starts from now on, to one core.
pub fn pin(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

pub fn allow_many_sockets() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = maximum;
    // Where it is refused, a socket that cannot be opened says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
}

/// What a process has used of its core, user and system, all its threads together; in steps of
/// 10 ms.
pub fn cpu_of(process: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    // Behind the name, which may hold anything, come state and then numbers.
    let fields = stat.rsplit_once(')').context(path)?.1;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * PROC_TICK_MS))
}

/// Resident memory of a process.
pub fn resident_kib(process: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .context("VmRSS")
}
