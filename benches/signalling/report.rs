//! What was measured, as a table and as JSON, and what of it was wanted.

use std::time::Duration;

use serde_json::{Value, json};

use crate::WANTED;
use crate::ear::Side;
use crate::sipp::{Outcome, quantile};

/// CPU time of the whole process for one call, from INVITE to BYE.
const CPU_LIMIT_US: f64 = 800.0;
/// From INVITE to 180, 99 of 100 at half the wanted rate.
const RINGING_LIMIT_MS: f64 = 20.0;
/// What is added to a packet of a call in progress while too many others are offered, 99 of 100.
const ADDED_DELAY_LIMIT_US: u32 = 20_000;

/// One rate.
pub struct Run {
    pub name: &'static str,
    pub per_second: u32,
    pub outcome: Outcome,
    pub cpu: Duration,
    pub resident_kib: u64,
}

pub fn heading() {
    println!(
        "{:<8} {:>8} {:>9} {:>7} {:>7} {:>7} {:>11} {:>8} {:>8} {:>8} {:>9} {:>8}",
        "",
        "offered",
        "set up",
        "failed",
        "refused",
        "repeats",
        "CPU µs/call",
        "ring p50",
        "p99",
        "BYE p99",
        "phones",
        "memory"
    );
}

impl Run {
    fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.outcome.completed.max(1) as f64
    }

    fn ringing_ms(&self, share: f64) -> f64 {
        quantile(&self.outcome.ringing_ms, share)
    }

    /// The share of their core that the phones used: near 1, they and not the service are the limit.
    fn phones_share(&self) -> f64 {
        self.outcome.phones_cpu.as_secs_f64() / self.outcome.lasted.as_secs_f64()
    }

    fn is_clean(&self) -> bool {
        let outcome = &self.outcome;
        outcome.failed + outcome.refused + outcome.retransmissions == 0
            && outcome.completed == outcome.calls
    }

    pub fn print(&self) {
        let outcome = &self.outcome;
        println!(
            "{:<8} {:>6}/s {:>7.0}/s {:>7} {:>7} {:>7} {:>11.0} {:>5.0} ms {:>5.0} ms {:>5.0} ms {:>7.0} % {:>4.0} MiB",
            self.name,
            self.per_second,
            outcome.calls_per_second(),
            outcome.failed,
            outcome.refused,
            outcome.retransmissions,
            self.cpu_us(),
            self.ringing_ms(0.5),
            self.ringing_ms(0.99),
            quantile(&outcome.ending_ms, 0.99),
            100.0 * self.phones_share(),
            self.resident_kib as f64 / 1024.0,
        );
    }

    fn to_json(&self) -> Value {
        let outcome = &self.outcome;
        json!({
            "offered_per_second": self.per_second,
            "per_second": outcome.calls_per_second(),
            "calls": outcome.calls,
            "completed": outcome.completed,
            "refused": outcome.refused,
            "failed": outcome.failed,
            "retransmissions": outcome.retransmissions,
            "cpu_us_per_call": self.cpu_us(),
            "post_dial_delay_ms": {
                "p50": self.ringing_ms(0.5),
                "p99": self.ringing_ms(0.99),
                "max": self.ringing_ms(1.0),
            },
            "bye_ms": { "p50": quantile(&outcome.ending_ms, 0.5), "p99": quantile(&outcome.ending_ms, 0.99) },
            "phones_core_share": self.phones_share(),
            "resident_kib": self.resident_kib,
        })
    }
}

/// Too many calls beside calls in progress.
pub struct Overload {
    pub per_second: u32,
    pub standing: usize,
    pub supervised: usize,
    pub through: Side,
    pub mixed: Side,
    pub latencies_us: Vec<u32>,
    pub phones_late: Duration,
    pub outcome: Outcome,
    pub cpu: Duration,
}

impl Overload {
    fn latency_us(&self, share: f64) -> u32 {
        let place = (self.latencies_us.len() as f64 * share) as usize;
        let last = self.latencies_us.len().saturating_sub(1);
        self.latencies_us
            .get(place.min(last))
            .copied()
            .unwrap_or(u32::MAX)
    }

    fn passed(&self) -> bool {
        self.outcome.failed == 0
            && self.outcome.refused > 0
            && self.through.lost + self.mixed.lost == 0
            && self.latency_us(0.99) <= ADDED_DELAY_LIMIT_US
    }

    fn print(&self) {
        let outcome = &self.outcome;
        println!();
        println!(
            "{} calls a second for {:.0} s, beside {} calls in progress, {} of them supervised:",
            self.per_second,
            outcome.lasted.as_secs_f64(),
            self.standing,
            self.supervised
        );
        println!(
            "  {} set up, {} refused with 503, {} failed otherwise; {} messages repeated; the service used {:.0} % of its core",
            outcome.completed,
            outcome.refused,
            outcome.failed,
            outcome.retransmissions,
            100.0 * self.cpu.as_secs_f64() / outcome.lasted.as_secs_f64(),
        );
        println!(
            "  those set up heard ringing within {:.0} ms (p99)",
            quantile(&outcome.ringing_ms, 0.99)
        );
        println!(
            "  calls in progress: {} packets, {} lost; added delay {:.1} ms median, {:.1} ms p99; phones late by {:?} at most",
            self.through.expected + self.mixed.expected,
            self.through.lost + self.mixed.lost,
            f64::from(self.latency_us(0.5)) / 1000.0,
            f64::from(self.latency_us(0.99)) / 1000.0,
            self.phones_late,
        );
    }

    fn to_json(&self) -> Value {
        let outcome = &self.outcome;
        let side = |side: &Side| json!({ "ears": side.ears, "expected": side.expected, "lost": side.lost });
        json!({
            "offered_per_second": self.per_second,
            "completed": outcome.completed,
            "refused": outcome.refused,
            "failed": outcome.failed,
            "retransmissions": outcome.retransmissions,
            "post_dial_delay_ms": { "p99": quantile(&outcome.ringing_ms, 0.99) },
            "in_progress": {
                "calls": self.standing,
                "supervised": self.supervised,
                "through": side(&self.through),
                "mixed": side(&self.mixed),
                "added_delay_us": { "p50": self.latency_us(0.5), "p99": self.latency_us(0.99) },
                "phones_late_ms": self.phones_late.as_millis() as u64,
            },
        })
    }
}

#[derive(Default)]
pub struct Figures {
    pub floor: Vec<Run>,
    pub service: Vec<Run>,
    pub overload: Option<Overload>,
}

impl Figures {
    /// What was wanted, and whether it was there; of rates that were not run nothing is said.
    fn verdicts(&self) -> Vec<(String, bool)> {
        let mut verdicts = Vec::new();
        let at = |wanted: u32| self.service.iter().find(|run| run.per_second == wanted);
        if let Some(run) = at(WANTED) {
            let text = format!("{WANTED} calls a second without failure or repeat");
            verdicts.push((text, run.is_clean()));
            let text = format!("at most {CPU_LIMIT_US:.0} µs of CPU for a call at that rate");
            verdicts.push((text, run.cpu_us() <= CPU_LIMIT_US));
        }
        if let Some(run) = at(WANTED / 2) {
            let text = format!("ringing within {RINGING_LIMIT_MS:.0} ms at half that rate, p99");
            verdicts.push((text, run.ringing_ms(0.99) <= RINGING_LIMIT_MS));
        }
        if let Some(overload) = &self.overload {
            let text = "what is too much is refused, and calls in progress stay clean";
            verdicts.push((text.to_owned(), overload.passed()));
        }
        verdicts
    }

    pub fn passed(&self) -> bool {
        self.verdicts().iter().all(|(_, passed)| *passed)
    }

    pub fn print(&self) {
        if let Some(overload) = &self.overload {
            overload.print();
        }
        println!();
        for (floor, service) in self.floor.iter().zip(&self.service) {
            println!(
                "at {:>4}/s a call costs {:>5.1} times the floor",
                service.per_second,
                service.cpu_us() / floor.cpu_us()
            );
        }
        println!();
        for (text, passed) in self.verdicts() {
            println!("{}  {text}", if passed { "yes" } else { "NO " });
        }
    }

    pub fn to_json(&self) -> Value {
        let runs = |runs: &[Run]| runs.iter().map(Run::to_json).collect::<Vec<_>>();
        let ratios = self.floor.iter().zip(&self.service);
        let ratios = ratios.map(|(floor, service)| {
            json!({
                "offered_per_second": service.per_second,
                "cpu_times_floor": service.cpu_us() / floor.cpu_us(),
            })
        });
        let verdicts = self.verdicts();
        json!({
            "passed": self.passed(),
            "floor": runs(&self.floor),
            "service": runs(&self.service),
            "growth": ratios.collect::<Vec<_>>(),
            "overload": self.overload.as_ref().map(Overload::to_json),
            "wanted": verdicts.iter().map(|(text, passed)| json!({ "what": text, "reached": passed })).collect::<Vec<_>>(),
        })
    }
}
