//! What was measured: in the ears, and by the service about itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;
use sottovoce::demo::service::Service;

use crate::Plan;
use crate::stream::Count;

/// Ticks may be this late, 99 of 100 of them.
const TICK_LIMIT_S: f64 = 0.003;

/// Linux tells times in `/proc` in hundredths of a second, on every machine.
const PROC_TICK_MS: u64 = 10;

/// What one phone was to hear, and heard.
pub struct Ear {
    /// Whether the packets pass through untouched, each to be found again.
    pub through: bool,
    pub expected: u64,
    pub lost: u64,
    pub count: Count,
    pub latencies_us: Vec<u32>,
}

/// What the service counts of itself, at one moment.
pub struct ServiceFigures {
    at: Instant,
    metrics: BTreeMap<String, f64>,
    /// Buckets of lateness: up to so many seconds, so many ticks.
    ticks: Vec<(f64, f64)>,
    cpu: Duration,
    resident_kib: u64,
}

impl ServiceFigures {
    pub fn read(service: &Service) -> anyhow::Result<Self> {
        let (_, text) = service.get("/metrics")?;
        let mut metrics = BTreeMap::new();
        let mut ticks = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let value: f64 = value.parse().unwrap_or_default();
            let bound = name
                .strip_prefix("sottovoce_tick_late_seconds_bucket{le=\"")
                .and_then(|rest| rest.strip_suffix("\"}"));
            match bound {
                Some(bound) => ticks.push((bound.parse().unwrap_or(f64::INFINITY), value)),
                None => {
                    metrics.insert(name.to_owned(), value);
                }
            }
        }
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", service.id()))?;
        // Behind the name, which may hold anything, come state and then numbers.
        let fields = stat.rsplit_once(')').context("/proc/…/stat")?.1;
        let field = |index: usize| fields.split_whitespace().nth(index)?.parse::<u64>().ok();
        let ticks_used = field(11).unwrap_or_default() + field(12).unwrap_or_default();
        let status = std::fs::read_to_string(format!("/proc/{}/status", service.id()))?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        Ok(Self {
            at: Instant::now(),
            metrics,
            ticks,
            cpu: Duration::from_millis(ticks_used * PROC_TICK_MS),
            resident_kib: resident.unwrap_or_default(),
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
}

/// The ears of one kind together.
#[derive(Default)]
struct Side {
    ears: u64,
    expected: u64,
    received: u64,
    lost: u64,
    disordered: u64,
}

impl Side {
    fn of<'a>(ears: impl Iterator<Item = &'a Ear>) -> Self {
        let mut side = Self::default();
        for ear in ears {
            side.ears += 1;
            side.expected += ear.expected;
            side.received += ear.count.received;
            side.lost += ear.lost;
            side.disordered += ear.count.disordered;
        }
        side
    }
}

impl Figures {
    pub fn new(
        plan: Plan,
        ears: &[Ear],
        phones_late: Duration,
        before: &ServiceFigures,
        after: &ServiceFigures,
    ) -> Self {
        let lasted = (after.at - before.at).as_secs_f64();
        let grown = |name: &str| after.metric(name) - before.metric(name);
        let mut latencies: Vec<u32> = ears
            .iter()
            .flat_map(|ear| ear.latencies_us.iter().copied())
            .collect();
        latencies.sort_unstable();
        let latency = |share: f64| {
            let place = (latencies.len() as f64 * share) as usize;
            latencies.get(place.min(latencies.len().saturating_sub(1)))
        };
        let ticks: Vec<(f64, f64)> = after
            .ticks
            .iter()
            .zip(&before.ticks)
            .map(|((bound, after), (_, before))| (*bound, after - before))
            .collect();
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

    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
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
        let value = json!({
            "calls": self.plan.calls,
            "supervised": self.plan.supervised,
            "seconds": self.plan.seconds,
            "passed": self.passed(),
            "through": side(&self.through),
            "mixed": side(&self.mixed),
            "latency_us": { "p50": median, "p99": high, "max": most },
            "tick_late_s": { "p99": self.tick_p99_s, "p99.9": self.tick_p999_s, "limit": TICK_LIMIT_S },
            "ticks": self.ticks,
            "phones_late_ms": self.phones_late.as_millis() as u64,
            "core_share": self.core_share,
            "resident_kib": self.resident_kib,
            "packets": { "in": self.packets_in, "out": self.packets_out, "missing": self.lost_in },
            "sessions": { "monitor": monitor, "coach": coach, "barge": barge },
            "fence_violations": self.fence_violations,
        });
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, format!("{value:#}\n"))?;
        Ok(())
    }
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
