//! What the service has used and moved, read from outside.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use sottovoce::demo::service::Service;

use crate::machine;

#[derive(Clone, Debug)]
pub struct Reading {
    pub at: Instant,
    pub cpu: Duration,
    pub packets_in: f64,
    pub packets_out: f64,
    /// Packets that never came to the service.
    pub lost_in: f64,
    /// Frames that it made up for a mix, because their packets were lost or late.
    pub concealed: f64,
    /// Supervisors on calls.
    pub sessions: usize,
    /// Role changes that took up to so many seconds.
    pub role_changes: Vec<(f64, f64)>,
    pub resident_kib: u64,
}

pub fn read(service: &Service) -> anyhow::Result<Reading> {
    let (_, text) = service.get("/metrics")?;
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse().ok())
            .unwrap_or_default()
    };
    let buckets = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("sottovoce_role_change_seconds_bucket{le=\"")?;
        let (bound, count) = rest.split_once("\"}")?;
        let bound = bound.parse().unwrap_or(f64::INFINITY);
        Some((bound, count.trim().parse().ok()?))
    });
    let sessions = text.lines().filter_map(|line| {
        let (_, count) = line.strip_prefix("sottovoce_sessions{")?.split_once('}')?;
        count.trim().parse::<usize>().ok()
    });
    Ok(Reading {
        sessions: sessions.sum(),
        role_changes: buckets.collect(),
        packets_in: value("sottovoce_rtp_packets_total{direction=\"in\"}"),
        packets_out: value("sottovoce_rtp_packets_total{direction=\"out\"}"),
        lost_in: value("sottovoce_rtp_lost_total"),
        concealed: value("sottovoce_concealed_frames_total"),
        resident_kib: machine::resident_kib(service.id())?,
        at: Instant::now(),
        cpu: cpu_of(service.id())?,
    })
}

/// The bound that this share of the role changes between two readings kept, and how many there were.
pub fn role_changes(before: &Reading, after: &Reading, share: f64) -> (Option<f64>, f64) {
    let grown = |(after, before): (&(f64, f64), &(f64, f64))| (after.0, after.1 - before.1);
    let buckets: Vec<(f64, f64)> = after
        .role_changes
        .iter()
        .zip(&before.role_changes)
        .map(grown)
        .collect();
    let total = buckets.last().map_or(0.0, |(_, count)| *count);
    let bound = buckets
        .iter()
        .find(|(bound, count)| bound.is_finite() && *count >= total * share)
        .map(|(bound, _)| *bound);
    (bound.filter(|_| total > 0.0), total)
}

/// User and system time of all threads, to the nanosecond where the kernel tells it.
fn cpu_of(process: u32) -> anyhow::Result<Duration> {
    let mut total = 0;
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let path = task?.path().join("schedstat");
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let ns = text.split_whitespace().next();
                let ns = ns.and_then(|ns| ns.parse::<u64>().ok());
                total += ns.with_context(|| path.display().to_string())?;
            }
            // Without CONFIG_SCHED_INFO: hundredths of a second, of threads that ended as well.
            Err(_) => return machine::cpu_of(process),
        }
    }
    Ok(Duration::from_nanos(total))
}
