//! What was measured, printed and kept, and what it may be at most.

use crate::figures;

/// A line of the table, in milliseconds. One whose name is indented is a part of the line before it.
pub struct Row {
    name: String,
    sorted_ms: Vec<f64>,
    limit: Option<Limit>,
}

/// What is allowed, in milliseconds.
#[derive(Clone, Copy)]
pub enum Limit {
    /// Of half of the runs.
    Median(f64),
    /// Of each run.
    Longest(f64),
}

impl Row {
    pub fn new(name: impl Into<String>, mut times_ms: Vec<f64>) -> Self {
        times_ms.sort_unstable_by(f64::total_cmp);
        Self {
            name: name.into(),
            sorted_ms: times_ms,
            limit: None,
        }
    }

    pub fn within(self, limit: Limit) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    /// What `part` of the runs stayed below, from 0 to 1.
    fn quantile(&self, part: f64) -> f64 {
        let place = (self.sorted_ms.len() as f64 * part) as usize;
        self.sorted_ms[place.min(self.sorted_ms.len() - 1)]
    }

    fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    fn longest(&self) -> f64 {
        self.sorted_ms[self.sorted_ms.len() - 1]
    }

    /// The sentence that says how a limit was exceeded.
    fn excess(&self) -> Option<String> {
        let (measured, allowed, which) = match self.limit? {
            Limit::Median(allowed) => (self.median(), allowed, "the median"),
            Limit::Longest(allowed) => (self.longest(), allowed, "the longest"),
        };
        let name = &self.name;
        (measured > allowed)
            .then(|| format!("{name}: {which} is {measured:.1} ms, and {allowed} ms are allowed"))
    }
}

pub fn print(rows: &[Row]) -> anyhow::Result<()> {
    println!(
        "{:<36} {:>6} {:>10} {:>10} {:>10} {:>14}",
        "", "runs", "median ms", "p90 ms", "max ms", "allowed"
    );
    let mut json = serde_json::Map::new();
    let mut of = "";
    for row in rows {
        let (median, p90, max) = (row.median(), row.quantile(0.9), row.longest());
        let allowed = match row.limit {
            None => String::new(),
            Some(Limit::Median(ms)) => format!("median {ms}"),
            Some(Limit::Longest(ms)) => format!("max {ms}"),
        };
        println!(
            "{:<36} {:>6} {median:>10.1} {p90:>10.1} {max:>10.1} {allowed:>14}",
            row.name,
            row.sorted_ms.len()
        );
        let key = match row.name.strip_prefix("  ") {
            Some(part) => format!("{of}: {part}"),
            None => {
                of = &row.name;
                row.name.clone()
            }
        };
        let figures = serde_json::json!({
            "median_ms": median, "p90_ms": p90, "max_ms": max, "all_ms": row.sorted_ms,
        });
        json.insert(key, figures);
    }
    figures::keep("roles", &json.into())
}

/// An error that names what took longer than it may.
pub fn hold_to_limits(rows: &[Row]) -> anyhow::Result<()> {
    let excesses: Vec<String> = rows.iter().filter_map(Row::excess).collect();
    anyhow::ensure!(excesses.is_empty(), "{}", excesses.join("; "));
    Ok(())
}
