//! What was measured: in the ears, and by the service about itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;
use sottovoce::demo::service::Service;

use crate::ear::{Ear, Side, latencies_us};
use crate::load::Plan;
use crate::machine;

/// Ticks may be this late, 99 of 100 of them.
const TICK_LIMIT_S: f64 = 0.003;
/// Role changes may take this long, 99 of 100 of them.
const CHANGE_LIMIT_S: f64 = 0.025;

/// What the service counts of itself, at one moment.
pub struct ServiceFigures {
    at: Instant,
    metrics: BTreeMap<String, f64>,
    /// Buckets of lateness: up to so many seconds, so many ticks.
    ticks: Vec<(f64, f64)>,
    /// Likewise, of how long role changes took.
    changes: Vec<(f64, f64)>,
    cpu: Duration,
    resident_kib: u64,
}

impl ServiceFigures {
    pub fn read(service: &Service) -> anyhow::Result<Self> {
        let (_, text) = service.get("/metrics")?;
        let mut metrics = BTreeMap::new();
        let (mut ticks, mut changes) = (Vec::new(), Vec::new());
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let value: f64 = value.parse().unwrap_or_default();
            let bound = |of: &str| {
                let rest = name.strip_prefix(of)?.strip_prefix("_bucket{le=\"")?;
                let bound = rest.strip_suffix("\"}")?;
                Some(bound.parse().unwrap_or(f64::INFINITY))
            };
            if let Some(bound) = bound("sottovoce_tick_late_seconds") {
                ticks.push((bound, value));
            } else if let Some(bound) = bound("sottovoce_role_change_seconds") {
                changes.push((bound, value));
            } else {
                metrics.insert(name.to_owned(), value);
            }
        }
        Ok(Self {
            at: Instant::now(),
            metrics,
            ticks,
            changes,
            cpu: machine::cpu_of(service.id())?,
            resident_kib: machine::resident_kib(service.id())?,
        })
    }

    fn metric(&self, name: &str) -> f64 {
        self.metrics.get(name).copied().unwrap_or_default()
    }
}

pub struct Figures {
    plan: Plan,
    phones_late: Duration,
    through: Side,
    mixed: Side,
    latency_us: [u32; 3],
    tick_p99_s: Option<f64>,
    tick_p999_s: Option<f64>,
    ticks: f64,
    core_share: f64,
    resident_kib: u64,
    packets_in: f64,
    packets_out: f64,
    lost_in: f64,
    fence_violations: f64,
    sessions: [f64; 3],
    calls: f64,
    changes: Changes,
}

/// Role changes: as the service measured them, from the last key to the mix in force, and as they
/// were heard.
pub struct Changes {
    count: f64,
    p99_s: Option<f64>,
    /// Sorted.
    heard_us: Vec<u32>,
}

impl Changes {
    pub fn new(heard_us: Vec<u32>, before: &ServiceFigures, after: &ServiceFigures) -> Self {
        let changes = grown_buckets(&before.changes, &after.changes);
        Self {
            count: changes.last().map_or(0.0, |(_, count)| *count),
            p99_s: bound_of(&changes, 0.99),
            heard_us,
        }
    }

    /// Where nobody was to change roles there is nothing to fail.
    fn passed(&self) -> bool {
        self.heard_us.is_empty() || self.p99_s.is_some_and(|took| took <= CHANGE_LIMIT_S)
    }

    fn heard_ms(&self, share: f64) -> f64 {
        let place = (self.heard_us.len() as f64 * share) as usize;
        let last = self.heard_us.len().saturating_sub(1);
        let us = self.heard_us.get(place.min(last)).copied();
        us.map_or(f64::NAN, |us| f64::from(us) / 1000.0)
    }
}

impl Figures {
    pub fn new(
        plan: Plan,
        ears: &[Ear],
        phones_late: Duration,
        before: &ServiceFigures,
        after: &ServiceFigures,
        changes: Changes,
    ) -> Self {
        let lasted = (after.at - before.at).as_secs_f64();
        let grown = |name: &str| after.metric(name) - before.metric(name);
        let latencies = latencies_us(ears);
        let latency = |share: f64| {
            let place = (latencies.len() as f64 * share) as usize;
            latencies.get(place.min(latencies.len().saturating_sub(1)))
        };
        let ticks = grown_buckets(&before.ticks, &after.ticks);
        let session = |role| after.metric(&format!("sottovoce_sessions{{role=\"{role}\"}}"));
        Self {
            plan,
            phones_late,
            through: Side::of(ears.iter().filter(|ear| ear.through)),
            mixed: Side::of(ears.iter().filter(|ear| !ear.through)),
            latency_us: [0.5, 0.99, 1.0].map(|share| latency(share).copied().unwrap_or_default()),
            tick_p99_s: bound_of(&ticks, 0.99),
            tick_p999_s: bound_of(&ticks, 0.999),
            ticks: ticks.last().map_or(0.0, |(_, count)| *count),
            core_share: (after.cpu.saturating_sub(before.cpu)).as_secs_f64() / lasted,
            resident_kib: after.resident_kib,
            packets_in: grown("sottovoce_rtp_packets_total{direction=\"in\"}"),
            packets_out: grown("sottovoce_rtp_packets_total{direction=\"out\"}"),
            lost_in: grown("sottovoce_rtp_lost_total"),
            fence_violations: after.metric("sottovoce_fence_violations_total"),
            sessions: ["monitor", "coach", "barge"].map(session),
            calls: after.metric("sottovoce_calls"),
            changes,
        }
    }

    /// No packet lost, ticks in time, and every call and session was there until the end.
    pub fn passed(&self) -> bool {
        let sessions: f64 = self.sessions.iter().sum();
        self.through.lost + self.mixed.lost == 0
            && self.tick_p99_s.is_some_and(|late| late <= TICK_LIMIT_S)
            && self.fence_violations == 0.0
            && self.calls == self.plan.calls as f64
            && sessions == self.plan.supervised as f64
            && self.changes.passed()
    }

    pub fn print(&self) {
        println!();
        println!("ears                      count   expected   received   lost   twice or late");
        for (name, side) in [("passed through", &self.through), ("mixed", &self.mixed)] {
            println!(
                "{name:<24} {:>6} {:>10} {:>10} {:>6} {:>15}",
                side.ears, side.expected, side.received, side.lost, side.disordered
            );
        }
        let [monitor, coach, barge] = self.sessions;
        let [median, high, most] = self.latency_us.map(|us| f64::from(us) / 1000.0);
        println!();
        println!("calls at the end          {}", self.calls);
        println!("sessions at the end       {monitor} monitor, {coach} coach, {barge} barge");
        println!(
            "packets, by the service   {} in, {} out, {} missing on arrival",
            self.packets_in, self.packets_out, self.lost_in
        );
        println!(
            "added delay, through      {median:.2} ms median, {high:.2} ms p99, {most:.2} ms most"
        );
        println!(
            "ticks                     {}, late p99 {}, p99.9 {}",
            self.ticks,
            late(self.tick_p99_s),
            late(self.tick_p999_s)
        );
        println!(
            "role changes              {}, p99 {} from the last key to the mix",
            self.changes.count,
            late(self.changes.p99_s)
        );
        println!(
            "  key released to voice   {:.1} ms median, {:.1} ms p99 in the agent's ear",
            self.changes.heard_ms(0.5),
            self.changes.heard_ms(0.99)
        );
        println!(
            "core                      {:.1} % of one",
            self.core_share * 100.0
        );
        println!(
            "memory                    {:.1} MiB",
            self.resident_kib as f64 / 1024.0
        );
        println!("fence violations          {}", self.fence_violations);
        println!("phones late by            {:?} at most", self.phones_late);
        println!();
        println!("{}", if self.passed() { "passed" } else { "FAILED" });
    }

    pub fn to_json(&self) -> serde_json::Value {
        let side = |side: &Side| {
            json!({
                "ears": side.ears,
                "expected": side.expected,
                "received": side.received,
                "lost": side.lost,
                "disordered": side.disordered,
            })
        };
        let [monitor, coach, barge] = self.sessions;
        let [median, high, most] = self.latency_us;
        json!({
            "calls": self.plan.calls,
            "supervised": self.plan.supervised,
            "seconds": self.plan.seconds,
            "passed": self.passed(),
            "through": side(&self.through),
            "mixed": side(&self.mixed),
            "latency_us": { "p50": median, "p99": high, "max": most },
            "tick_late_s": { "p99": self.tick_p99_s, "p99.9": self.tick_p999_s, "limit": TICK_LIMIT_S },
            "ticks": self.ticks,
            "role_changes": {
                "count": self.changes.count,
                "p99_s": self.changes.p99_s,
                "limit_s": CHANGE_LIMIT_S,
                "release_to_voice_ms": { "p50": self.changes.heard_ms(0.5), "p99": self.changes.heard_ms(0.99) },
            },
            "phones_late_ms": self.phones_late.as_millis() as u64,
            "core_share": self.core_share,
            "resident_kib": self.resident_kib,
            "packets": { "in": self.packets_in, "out": self.packets_out, "missing": self.lost_in },
            "sessions": { "monitor": monitor, "coach": coach, "barge": barge },
            "fence_violations": self.fence_violations,
        })
    }
}

/// What came into each bucket between two readings.
fn grown_buckets(before: &[(f64, f64)], after: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let pairs = after.iter().zip(before);
    pairs
        .map(|((bound, after), (_, before))| (*bound, after - before))
        .collect()
}

/// The bound that this share of the ticks kept; `None` where they lie above all of them.
fn bound_of(ticks: &[(f64, f64)], share: f64) -> Option<f64> {
    let total = ticks.last()?.1;
    ticks
        .iter()
        .find(|(bound, count)| bound.is_finite() && *count >= total * share)
        .map(|(bound, _)| *bound)
}

fn late(bound: Option<f64>) -> String {
    match bound {
        Some(bound) => format!("≤ {} ms", bound * 1000.0),
        None => "> 100 ms".to_owned(),
    }
}
