//! Counters, gauges and histograms for Prometheus.
//!
//! [`Metrics`] is a handle that is cloned freely. Every count is an atomic that exists from the
//! start, so that a media thread counts without a lock and without memory.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

use crate::control::refusal::ErrorCode;
use crate::control::role::{Ear, Supervision};
use crate::media::dtmf::DigitSource;

/// Which way packets went, seen from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketDirection {
    In,
    Out,
}

#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    calls: Gauge,
    sessions: Vec<(Supervision, Gauge)>,
    packets_in: Counter,
    packets_out: Counter,
    lost: Counter,
    concealed: Counter,
    digits: Vec<(DigitSource, Counter)>,
    refusals: Vec<(ErrorCode, Counter)>,
    role_change: Histogram,
    tick_late: Histogram,
    fence_violations: Counter,
    event_readers: Gauge,
    event_resets: Counter,
    shut_out: Counter,
    webhooks: Vec<(WebhookOutcome, Counter)>,
}

/// What became of an event for a webhook, or of an attempt to deliver it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookOutcome {
    Delivered,
    /// Tried in vain; it is tried again.
    Failed,
    /// A dead letter.
    GivenUp,
    /// Never written down: too many waited.
    Lost,
}

type Label = [(&'static str, String); 1];

const SUPERVISIONS: [Supervision; 5] = [
    Supervision::Monitoring,
    Supervision::Coaching(Ear::Pupil),
    Supervision::Coaching(Ear::User),
    Supervision::Barged,
    Supervision::TakenOver,
];

const SOURCES: [(DigitSource, &str); 3] = [
    (DigitSource::Event, "event"),
    (DigitSource::InBand, "in_band"),
    (DigitSource::Info, "info"),
];

const WEBHOOK_OUTCOMES: [(WebhookOutcome, &str); 4] = [
    (WebhookOutcome::Delivered, "delivered"),
    (WebhookOutcome::Failed, "failed"),
    (WebhookOutcome::GivenUp, "given_up"),
    (WebhookOutcome::Lost, "lost"),
];

/// A quarter of a millisecond to a tenth of a second.
const TICK_BOUNDS_US: &[u64] = &[
    250, 500, 1_000, 1_500, 2_000, 3_000, 4_000, 6_000, 10_000, 20_000, 50_000, 100_000,
];
const ROLE_BOUNDS_US: &[u64] = &[
    1_000, 2_000, 5_000, 10_000, 15_000, 18_000, 20_000, 21_000, 22_000, 23_000, 24_000, 25_000,
    26_000, 28_000, 30_000, 35_000, 40_000, 50_000, 60_000, 80_000, 120_000, 150_000, 250_000,
    500_000, 1_000_000, 2_500_000,
];

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("sottovoce");

        let calls = Gauge::default();
        registry.register("calls", "Calls in progress", calls.clone());

        let sessions = Family::<Label, Gauge>::default();
        let packets = Family::<Label, Counter>::default();
        let digits = Family::<Label, Counter>::default();
        let refusals = Family::<Label, Counter>::default();
        registry.register("sessions", "Supervisors on calls", sessions.clone());
        registry.register("rtp_packets", "RTP packets", packets.clone());
        registry.register("digits", "Keys recognised, each once", digits.clone());
        registry.register("refusals", "Refusals by code", refusals.clone());

        let (lost, fence_violations) = (Counter::default(), Counter::default());
        let concealed = Counter::default();
        registry.register("rtp_lost", "RTP packets that never came", lost.clone());
        registry.register(
            "concealed_frames",
            "Frames of 20 ms made up because their packets were lost or came too late",
            concealed.clone(),
        );
        registry.register(
            "fence_violations",
            "Frames that the matrix would have let through and the fence silenced; must stay 0",
            fence_violations.clone(),
        );

        let role_change = Histogram::new(ROLE_BOUNDS_US);
        let tick_late = Histogram::new(TICK_BOUNDS_US);
        registry.register(
            "role_change_seconds",
            "From the last key to the mix in force",
            role_change.clone(),
        );
        registry.register(
            "tick_late_seconds",
            "How late media threads woke for their ticks",
            tick_late.clone(),
        );

        let (event_readers, event_resets) = (Gauge::default(), Counter::default());
        registry.register(
            "event_readers",
            "Streams of events that are open",
            event_readers.clone(),
        );
        registry.register(
            "event_resets",
            "Readers of events who were too slow and had to start over",
            event_resets.clone(),
        );
        let shut_out = Counter::default();
        registry.register(
            "sip_shut_out",
            "SIP requests refused because of too many wrong passwords before them",
            shut_out.clone(),
        );
        let webhooks = Family::<Label, Counter>::default();
        registry.register(
            "webhook_events",
            "Events for webhooks by what became of them",
            webhooks.clone(),
        );

        let inner = Inner {
            registry,
            calls,
            sessions: SUPERVISIONS
                .map(|role| {
                    (
                        role,
                        sessions.get_or_create_owned(&label("role", role.name())),
                    )
                })
                .into(),
            packets_in: packets.get_or_create_owned(&label("direction", "in")),
            packets_out: packets.get_or_create_owned(&label("direction", "out")),
            lost,
            concealed,
            digits: SOURCES
                .map(|(source, name)| (source, digits.get_or_create_owned(&label("source", name))))
                .into(),
            refusals: ErrorCode::ALL
                .map(|code| (code, refusals.get_or_create_owned(&label("code", code))))
                .into(),
            role_change,
            tick_late,
            fence_violations,
            event_readers,
            event_resets,
            shut_out,
            webhooks: WEBHOOK_OUTCOMES
                .map(|(outcome, name)| {
                    let counter = webhooks.get_or_create_owned(&label("outcome", name));
                    (outcome, counter)
                })
                .into(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// How many calls there are.
    pub fn calls(&self, count: usize) {
        self.inner.calls.set(count as i64);
    }

    /// How many sessions there are in each role; roles that are not named have none.
    pub fn sessions(&self, supervisions: impl IntoIterator<Item = Supervision>) {
        let mut counts = [0_i64; SUPERVISIONS.len()];
        for supervision in supervisions {
            for (count, role) in counts.iter_mut().zip(SUPERVISIONS) {
                *count += i64::from(role == supervision);
            }
        }
        for ((_, gauge), count) in self.inner.sessions.iter().zip(counts) {
            gauge.set(count);
        }
    }

    pub fn packets(&self, direction: PacketDirection, count: u64) {
        match direction {
            PacketDirection::In => self.inner.packets_in.inc_by(count),
            PacketDirection::Out => self.inner.packets_out.inc_by(count),
        };
    }

    pub fn packets_lost(&self, count: u64) {
        self.inner.lost.inc_by(count);
    }

    pub fn frames_concealed(&self, count: u64) {
        self.inner.concealed.inc_by(count);
    }

    pub fn digit(&self, source: DigitSource) {
        count_one(&self.inner.digits, source);
    }

    pub fn refusal(&self, code: ErrorCode) {
        count_one(&self.inner.refusals, code);
    }

    /// From the last key, or the click, to the mix in force.
    pub fn role_change(&self, took: Duration) {
        self.inner.role_change.observe(took);
    }

    pub fn tick_late(&self, by: Duration) {
        self.inner.tick_late.observe(by);
    }

    pub fn fence_violation(&self) {
        self.inner.fence_violations.inc();
    }

    /// How many streams of events are open.
    pub fn event_readers(&self, count: usize) {
        self.inner.event_readers.set(count as i64);
    }

    /// A reader was too slow.
    pub fn event_reader_reset(&self) {
        self.inner.event_resets.inc();
    }

    /// How many SIP requests were refused since the start because of wrong passwords before them.
    pub fn sip_shut_out(&self, count: u64) {
        let counted = self.inner.shut_out.get();
        self.inner.shut_out.inc_by(count.saturating_sub(counted));
    }

    pub fn webhook(&self, outcome: WebhookOutcome) {
        count_one(&self.inner.webhooks, outcome);
    }

    /// The text that Prometheus reads.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.inner.registry) {
            Ok(()) => text,
            Err(fmt::Error) => String::new(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

fn label(name: &'static str, value: impl ToString) -> Label {
    [(name, value.to_string())]
}

fn count_one<K: PartialEq>(counters: &[(K, Counter)], key: K) {
    if let Some((_, counter)) = counters.iter().find(|(other, _)| *other == key) {
        counter.inc();
    }
}

/// Buckets of atomics. The one of the library takes a lock for each observation, which a media
/// thread must not.
#[derive(Clone, Debug)]
struct Histogram {
    buckets: Arc<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    bounds_us: &'static [u64],
    /// One more than there are bounds: the last holds what lies above all of them.
    counts: Vec<AtomicU64>,
    sum_ns: AtomicU64,
}

impl Histogram {
    fn new(bounds_us: &'static [u64]) -> Self {
        let counts = (0..=bounds_us.len()).map(|_| AtomicU64::new(0)).collect();
        Self {
            buckets: Arc::new(Buckets {
                bounds_us,
                counts,
                sum_ns: AtomicU64::new(0),
            }),
        }
    }

    fn observe(&self, duration: Duration) {
        let Buckets {
            bounds_us,
            counts,
            sum_ns,
        } = &*self.buckets;
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let index = bounds_us.partition_point(|bound| bound * 1_000 < ns);
        counts[index].fetch_add(1, Ordering::Relaxed);
        sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    fn counts(&self) -> Vec<u64> {
        let counts = self.buckets.counts.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = self.counts();
        let bounds = self.buckets.bounds_us.iter().map(|&us| us as f64 / 1e6);
        let buckets: Vec<(f64, u64)> = bounds
            .chain([f64::INFINITY])
            .zip(counts.iter().copied())
            .collect();
        let sum = self.buckets.sum_ns.load(Ordering::Relaxed) as f64 / 1e9;
        encoder.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_of_the_manual_is_there_from_the_start() {
        let text = Metrics::new().encode();

        for line in [
            "sottovoce_calls 0",
            "sottovoce_sessions{role=\"whisper_caller\"} 0",
            "sottovoce_rtp_packets_total{direction=\"in\"} 0",
            "sottovoce_rtp_packets_total{direction=\"out\"} 0",
            "sottovoce_rtp_lost_total 0",
            "sottovoce_concealed_frames_total 0",
            "sottovoce_digits_total{source=\"in_band\"} 0",
            "sottovoce_refusals_total{code=\"9013\"} 0",
            "sottovoce_role_change_seconds_count 0",
            "sottovoce_tick_late_seconds_count 0",
            "sottovoce_fence_violations_total 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn what_is_counted_is_told() {
        let metrics = Metrics::new();

        metrics.calls(3);
        metrics.sessions([
            Supervision::Barged,
            Supervision::Monitoring,
            Supervision::Monitoring,
        ]);
        metrics.packets(PacketDirection::Out, 50);
        metrics.digit(DigitSource::Event);
        metrics.refusal(ErrorCode::PupilGone);
        metrics.role_change(Duration::from_millis(7));

        let text = metrics.encode();
        for line in [
            "sottovoce_calls 3",
            "sottovoce_sessions{role=\"monitor\"} 2",
            "sottovoce_sessions{role=\"barge\"} 1",
            "sottovoce_rtp_packets_total{direction=\"out\"} 50",
            "sottovoce_digits_total{source=\"event\"} 1",
            "sottovoce_refusals_total{code=\"9013\"} 1",
            "sottovoce_role_change_seconds_sum 0.007",
            "sottovoce_role_change_seconds_bucket{le=\"0.005\"} 0",
            "sottovoce_role_change_seconds_bucket{le=\"0.01\"} 1",
            "sottovoce_role_change_seconds_bucket{le=\"+Inf\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
