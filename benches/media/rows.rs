//! What was measured, a row for each number of calls and kind of supervision.

use serde_json::{Value, json};

use crate::fleet::{Delays, Measured};

/// Calls are clean when nothing is lost and 99 of 100 packets of the parties come within this.
pub const DELAY_LIMIT_MS: f64 = 5.0;

/// What a row cost and lost.
#[derive(Clone, Debug)]
pub struct Row {
    pub calls: usize,
    pub supervised: usize,
    /// Of the whole process, user and system.
    pub cpu_ns: f64,
    pub seconds: f64,
    pub packets_in: f64,
    pub packets_out: f64,
    pub floor_ns: f64,
    /// Packets that should have been heard and were not, of so many.
    pub lost: u64,
    /// Packets that the service missed of what phones sent: where it mixes, no ear can tell.
    pub lost_in: u64,
    pub heard: u64,
    pub mixed: Mixed,
    /// Packets towards the parties with another SSRC, or out of number or time.
    pub broken: u64,
    pub through: Quantiles,
    pub to_supervisor: Quantiles,
    pub from_supervisor: Quantiles,
    pub beside: Quantiles,
    pub resident_kib: u64,
    /// Of the other core: the phones'.
    pub phones_cpu_ns: f64,
    pub phones_late_ms: u64,
    pub phones_unsent: usize,
}

/// What mixes brought.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mixed {
    /// Ears that hear a mix, and those of them to which none of the clicks came.
    pub ears: u64,
    pub deaf: u64,
    /// Packets of mixes that were heard.
    pub frames: u64,
    /// Frames that the service made up, by its own account: their packets were lost, or late.
    pub concealed: u64,
    /// Every click counts once for each mix that is to have it.
    pub clicks_said: u64,
    pub clicks_heard: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Quantiles {
    pub count: usize,
    pub p50_us: u32,
    pub p99_us: u32,
    pub max_us: u32,
}

impl Quantiles {
    pub fn of(mut delays: Delays) -> Self {
        delays.sort_unstable();
        let at = |share: f64| {
            let place = (delays.len() as f64 * share) as usize;
            let place = place.min(delays.len().saturating_sub(1));
            delays.get(place).copied().unwrap_or_default()
        };
        Self {
            count: delays.len(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            max_us: at(1.0),
        }
    }

    /// `None` where nothing was measured.
    pub fn p99_ms(self) -> Option<f64> {
        (self.count > 0).then(|| ms(self.p99_us))
    }

    fn to_json(self) -> Value {
        match self.count {
            0 => Value::Null,
            count => json!({
                "packets": count,
                "p50_ms": ms(self.p50_us),
                "p99_ms": ms(self.p99_us),
                "max_ms": ms(self.max_us),
            }),
        }
    }

    fn text(self) -> String {
        match self.count {
            0 => "–".to_owned(),
            _ => format!(
                "{:.2} / {:.2} / {:.1}",
                ms(self.p50_us),
                ms(self.p99_us),
                ms(self.max_us)
            ),
        }
    }
}

impl Mixed {
    /// Clicks heard of those said.
    fn text(self) -> String {
        match self.ears {
            0 => "–".to_owned(),
            _ => format!("{} of {}", self.clicks_heard, self.clicks_said),
        }
    }
}

impl Row {
    pub fn set_delays(&mut self, measured: Measured) {
        self.through = Quantiles::of(measured.through);
        self.to_supervisor = Quantiles::of(measured.to_supervisor);
        self.from_supervisor = Quantiles::of(measured.from_supervisor);
        self.beside = Quantiles::of(measured.beside);
    }

    pub fn legs(&self) -> usize {
        2 * self.calls + self.supervised
    }

    /// CPU for each packet that was taken from one phone.
    pub fn ns_per_packet(&self) -> f64 {
        self.cpu_ns / self.packets_in.max(1.0)
    }

    pub fn times_floor(&self) -> f64 {
        self.ns_per_packet() / self.floor_ns
    }

    pub fn core_share(&self) -> f64 {
        self.cpu_ns / 1e9 / self.seconds
    }

    pub fn phones_share(&self) -> f64 {
        self.phones_cpu_ns / 1e9 / self.seconds
    }

    /// CPU of a leg in a second, in microseconds.
    pub fn us_per_leg(&self) -> f64 {
        self.cpu_ns / 1e3 / self.seconds / self.legs() as f64
    }

    /// Everything that was said was heard, and in line.
    pub fn is_lossless(&self) -> bool {
        self.lost + self.lost_in + self.broken + self.mixed.deaf == 0 && self.heard > 0
    }

    pub fn is_clean(&self) -> bool {
        self.is_lossless() && self.through.p99_ms().is_some_and(|ms| ms <= DELAY_LIMIT_MS)
    }

    pub fn to_json(&self) -> Value {
        json!({
            "calls": self.calls,
            "supervised": self.supervised,
            "legs": self.legs(),
            "seconds": self.seconds,
            "packets": { "in": self.packets_in, "out": self.packets_out },
            "ns_per_packet": self.ns_per_packet(),
            "floor_ns": self.floor_ns,
            "times_floor": self.times_floor(),
            "share_of_floor": 1.0 / self.times_floor(),
            "core_share": self.core_share(),
            "us_per_leg_second": self.us_per_leg(),
            "heard": self.heard,
            "lost": self.lost,
            "lost_in": self.lost_in,
            "broken": self.broken,
            "lossless": self.is_lossless(),
            "clean": self.is_clean(),
            "mixed": {
                "ears": self.mixed.ears,
                "deaf_ears": self.mixed.deaf,
                "packets": self.mixed.frames,
                "concealed_frames": self.mixed.concealed,
                "clicks_said": self.mixed.clicks_said,
                "clicks_heard": self.mixed.clicks_heard,
            },
            "delay": {
                "through": self.through.to_json(),
                "to_supervisor": self.to_supervisor.to_json(),
                "from_supervisor": self.from_supervisor.to_json(),
                "beside_supervisor": self.beside.to_json(),
            },
            "resident_kib": self.resident_kib,
            "phones_core_share": self.phones_share(),
            "phones_late_ms": self.phones_late_ms,
            "phones_unsent": self.phones_unsent,
        })
    }
}

/// Rows of one engine: how everything grows with the calls.
pub fn print(rows: &[Row]) {
    println!(
        "{:>6} {:>6} {:>9} {:>7} {:>7} {:>7} {:>9} {:>8} {:>6} {:>6} {:>8} {:>15}  {:<22} {:<22} {:<22}",
        "calls",
        "coach",
        "ns/packet",
        "floor",
        "times",
        "core %",
        "phones' %",
        "µs/leg·s",
        "lost",
        "broken",
        "made up",
        "clicks",
        "through p50/p99/max ms",
        "to supervisor",
        "from supervisor",
    );
    for row in rows {
        println!(
            "{:>6} {:>6} {:>9.0} {:>7.0} {:>7.2} {:>7.1} {:>9.1} {:>8.1} {:>6} {:>6} {:>8} {:>15}  {:<22} {:<22} {:<22}",
            row.calls,
            row.supervised,
            row.ns_per_packet(),
            row.floor_ns,
            row.times_floor(),
            100.0 * row.core_share(),
            100.0 * row.phones_share(),
            row.us_per_leg(),
            row.lost + row.lost_in,
            row.broken,
            row.mixed.concealed,
            row.mixed.text(),
            row.through.text(),
            row.to_supervisor.text(),
            row.from_supervisor.text(),
        );
    }
}

fn ms(us: u32) -> f64 {
    f64::from(us) / 1_000.0
}
