//! What is wanted of the media plane, and whether it was there.

use serde_json::{Value, json};
use sottovoce::edge::rtp::engine::EngineKind;

use crate::rows::{DELAY_LIMIT_MS, Row};

/// CPU of a forwarded packet, as so many bare recvs and sends.
const FLOORS_IO_URING: f64 = 2.0;
const FLOORS_EPOLL: f64 = 2.5;
/// CPU of a leg of a call that is coached, as so many legs merely forwarded.
const COACHED_LEGS: f64 = 1.5;
/// Of the added delay with next to nothing to do, 99 of 100.
const IDLE_LIMIT_MS: f64 = 0.5;
/// From the last key to the mix in force, 99 of 100.
const ROLE_LIMIT_MS: f64 = 25.0;
/// Resident for each plain call, in units of 1000 bytes.
const MEDIA_LIMIT_KB: f64 = 12.0;
const CALL_LIMIT_KB: f64 = 48.0;

/// What one engine's run brought.
pub struct Run<'a> {
    pub kind: EngineKind,
    pub rows: &'a [Row],
    pub idle: &'a Row,
    /// The most calls that were asked for, and the most of which every one was to be coached.
    pub asked: usize,
    pub asked_coached: usize,
    /// Null where they were not measured.
    pub role_changes: &'a Value,
    pub media_bytes_per_call: f64,
    pub kib_per_call: f64,
    /// Whether all calls were still up at the end, and no packet from first to last was out of line.
    pub whole: bool,
}

pub struct Verdict {
    pub wanted: String,
    pub got: String,
    pub reached: bool,
}

impl Verdict {
    fn new(wanted: String, got: String, reached: bool) -> Self {
        Self {
            wanted,
            got,
            reached,
        }
    }

    /// Nothing measured is not reached.
    fn at_most(wanted: String, unit: &str, limit: f64, got: Option<f64>) -> Self {
        let text = got.map_or("not measured".to_owned(), |got| format!("{got:.2}{unit}"));
        let wanted = format!("{wanted}: at most {limit}{unit}");
        Self::new(wanted, text, got.is_some_and(|got| got <= limit))
    }

    pub fn print(&self) {
        let reached = if self.reached { "yes" } else { "NO " };
        println!("{reached}  {}; got {}", self.wanted, self.got);
    }

    pub fn to_json(&self) -> Value {
        json!({ "what": self.wanted, "got": self.got, "reached": self.reached })
    }
}

impl Run<'_> {
    fn plain(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.supervised == 0)
    }

    /// Rows of which every call is coached.
    fn coached(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.supervised == row.calls)
    }

    /// Everything that phones said was heard, in every row.
    pub fn is_lossless(&self) -> bool {
        let mut rows = self.rows.iter().chain([self.idle]);
        self.whole && rows.all(Row::is_lossless)
    }

    pub fn verdicts(&self) -> Vec<Verdict> {
        let mut all = vec![self.nothing_lost()];
        let floors = match self.kind {
            EngineKind::IoUring => FLOORS_IO_URING,
            EngineKind::Epoll => FLOORS_EPOLL,
        };
        for row in self.plain() {
            let wanted = format!("{} plain calls, times the floor for a packet", row.calls);
            all.push(Verdict::at_most(
                wanted,
                "",
                floors,
                Some(row.times_floor()),
            ));
        }
        all.push(clean("plain", self.asked, self.plain()));
        if self.asked_coached > 0 {
            all.push(clean("coached", self.asked_coached, self.coached()));
        }
        for row in self.coached() {
            let wanted = format!("{} coached calls, times as many legs forwarded", row.calls);
            let ratio = self.times_forwarded(row);
            all.push(Verdict::at_most(wanted, "", COACHED_LEGS, ratio));
        }
        let wanted = "added delay of a nearly idle node, p99".to_owned();
        let idle = self.idle.through.p99_ms();
        all.push(Verdict::at_most(wanted, " ms", IDLE_LIMIT_MS, idle));
        if !self.role_changes.is_null() {
            let wanted = "role change in force, p99".to_owned();
            let got = self.role_changes["p99_within_s"].as_f64();
            let got = got.map(|seconds| seconds * 1_000.0);
            all.push(Verdict::at_most(wanted, " ms", ROLE_LIMIT_MS, got));
        }
        let wanted = "memory of a plain call for media".to_owned();
        let media = self.media_bytes_per_call / 1_000.0;
        all.push(Verdict::at_most(wanted, " KB", MEDIA_LIMIT_KB, Some(media)));
        let wanted = "memory of a plain call with its two dialogs".to_owned();
        let whole = self.kib_per_call * 1.024;
        all.push(Verdict::at_most(wanted, " KB", CALL_LIMIT_KB, Some(whole)));
        all
    }

    fn nothing_lost(&self) -> Verdict {
        let rows = || self.rows.iter().chain([self.idle]);
        let lost: u64 = rows().map(|row| row.lost + row.lost_in).sum();
        let broken: u64 = rows().map(|row| row.broken).sum();
        let deaf: u64 = rows().map(|row| row.mixed.deaf).sum();
        let mut got =
            format!("{lost} lost, {broken} out of line, {deaf} mixed ears without a click");
        if !self.whole {
            got += ", and calls that ended or streams that broke between the rows";
        }
        let wanted = "every packet heard, in line, in every row".to_owned();
        Verdict::new(wanted, got, self.is_lossless())
    }

    /// CPU of a leg in this row against one of a plain row with as many legs, or between the two
    /// plain rows with a few less and a few more.
    pub fn times_forwarded(&self, row: &Row) -> Option<f64> {
        let legs = row.legs();
        let few = self.plain().filter(|plain| plain.legs() <= legs);
        let few = few.max_by_key(|plain| plain.legs())?;
        let many = self.plain().filter(|plain| plain.legs() >= legs);
        let many = many.min_by_key(|plain| plain.legs())?;
        let span = (many.legs() - few.legs()).max(1) as f64;
        let share = (legs - few.legs()) as f64 / span;
        let forwarded = few.us_per_leg() + share * (many.us_per_leg() - few.us_per_leg());
        Some(row.us_per_leg() / forwarded)
    }
}

/// So many calls with nothing lost and little delay; else how many it was, and how many with
/// nothing lost.
fn clean<'a>(kind: &str, asked: usize, rows: impl Iterator<Item = &'a Row>) -> Verdict {
    let rows: Vec<&Row> = rows.collect();
    let most = |is: fn(&Row) -> bool| {
        let rows = rows.iter().filter(|row| is(row));
        rows.max_by_key(|row| row.calls)
    };
    let text = |row: Option<&&Row>| match row {
        None => "none".to_owned(),
        Some(row) => format!(
            "{} at {:.0} % of the core, p99 {}, the phones at {:.0} % of theirs",
            row.calls,
            100.0 * row.core_share(),
            row.through
                .p99_ms()
                .map_or("not measured".to_owned(), |ms| format!("{ms:.1} ms")),
            100.0 * row.phones_share(),
        ),
    };
    let cleanest = most(Row::is_clean);
    let reached = cleanest.is_some_and(|row| row.calls >= asked);
    let mut got = text(cleanest);
    if !reached {
        got += &format!("; without loss {}", text(most(Row::is_lossless)));
    }
    let wanted =
        format!("{asked} {kind} calls clean: nothing lost, p99 within {DELAY_LIMIT_MS} ms");
    Verdict::new(wanted, got, reached)
}
