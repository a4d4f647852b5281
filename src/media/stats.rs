//! What was received from one phone: loss, jitter (RFC 3550 §6.4.1 and appendix A.3, A.8), and what
//! a receiver report says of it. Folded where it happens, never queued.

use std::time::Instant;

use crate::wire::rtcp::Received;
use crate::wire::rtp::{Header, sequence_distance, timestamp_distance};

#[derive(Debug, Default)]
pub struct Reception {
    source: Option<Source>,
    /// Of sources that came before, and of this one.
    pub received: u64,
    lost_before: u64,
    /// Interarrival jitter in timestamp units.
    jitter: f32,
    clock_hz: u32,
    /// The middle 32 bits of the last sender report's NTP time, and when it came.
    sender_report: Option<(u32, Instant)>,
}

#[derive(Debug)]
struct Source {
    ssrc: u32,
    first: u64,
    highest: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    last: Instant,
    last_timestamp: u32,
}

impl Reception {
    /// Counts a packet that is no audio: its timestamp may stand still, so it measures no jitter.
    pub fn note_other(&mut self, now: Instant, header: Header, clock_hz: u32) -> i64 {
        let jitter = self.jitter;
        let last = self
            .source
            .as_ref()
            .map(|source| (source.last, source.last_timestamp));
        let gap = self.note(now, header, clock_hz);
        self.jitter = jitter;
        if let Some((source, last)) = self.source.as_mut().zip(last) {
            (source.last, source.last_timestamp) = last;
        }
        gap
    }

    /// Counts a packet and says how many the gap before it made: negative when it filled one.
    pub fn note(&mut self, now: Instant, header: Header, clock_hz: u32) -> i64 {
        self.received += 1;
        let Some(source) = self
            .source
            .as_mut()
            .filter(|source| source.ssrc == header.ssrc && self.clock_hz == clock_hz)
        else {
            self.begin(now, header, clock_hz);
            return 0;
        };
        let distance = sequence_distance(source.highest as u16, header.sequence);
        if !(-100..=3_000).contains(&distance) {
            self.begin(now, header, clock_hz);
            return 0;
        }
        source.received += 1;

        let spacing = now.saturating_duration_since(source.last).as_secs_f32();
        let media = timestamp_distance(source.last_timestamp, header.timestamp) as f32;
        let difference = (spacing * clock_hz as f32 - media).abs();
        // A pause or a jump in the timestamps is not jitter.
        if difference < clock_hz as f32 {
            self.jitter += (difference - self.jitter) / 16.0;
        }
        source.last = now;
        source.last_timestamp = header.timestamp;
        if distance > 0 {
            source.highest += distance as u64;
            i64::from(distance) - 1
        } else if distance < 0 {
            -1
        } else {
            0
        }
    }

    fn begin(&mut self, now: Instant, header: Header, clock_hz: u32) {
        self.lost_before = self.lost();
        self.clock_hz = clock_hz;
        let first = 0x1_0000 + u64::from(header.sequence);
        self.source = Some(Source {
            ssrc: header.ssrc,
            first,
            highest: first,
            received: 1,
            expected_before: 0,
            received_before: 0,
            last: now,
            last_timestamp: header.timestamp,
        });
    }

    pub fn lost(&self) -> u64 {
        let now = self.source.as_ref().map_or(0, Source::lost);
        self.lost_before + now
    }

    pub fn jitter_ms(&self) -> f32 {
        match self.clock_hz {
            0 => 0.0,
            clock_hz => self.jitter * 1_000.0 / clock_hz as f32,
        }
    }

    pub fn note_sender_report(&mut self, now: Instant, ssrc: u32, ntp: u64) {
        if self
            .source
            .as_ref()
            .is_some_and(|source| source.ssrc != ssrc)
        {
            return;
        }
        self.sender_report = Some(((ntp >> 16) as u32, now));
    }

    /// What to report since the last report; `None` while nothing came.
    pub fn report(&mut self, now: Instant) -> Option<Received> {
        let lost = self.lost();
        let source = self.source.as_mut()?;
        let expected = source.expected() - source.expected_before;
        let received = source.received - source.received_before;
        source.expected_before = source.expected();
        source.received_before = source.received;
        let missing = expected.saturating_sub(received);
        let (last_sender_report, since_sender_report) = match self.sender_report {
            Some((middle, at)) => {
                let since = now.saturating_duration_since(at);
                (middle, (since.as_secs_f64() * 65_536.0) as u32)
            }
            None => (0, 0),
        };
        Some(Received {
            ssrc: source.ssrc,
            fraction_lost: match expected {
                0 => 0,
                expected => (missing * 256 / expected).min(255) as u8,
            },
            lost: lost.min(0x7f_ffff) as u32,
            highest: (source.highest - 0x1_0000) as u32,
            jitter: self.jitter as u32,
            last_sender_report,
            since_sender_report,
        })
    }
}

impl Source {
    fn expected(&self) -> u64 {
        self.highest - self.first + 1
    }

    fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn loss_is_counted_across_the_wrap_and_refilled_by_late_ones() {
        let mut reception = Reception::default();
        let mut now = Instant::now();
        let mut gaps = Vec::new();
        for step in [0u32, 1, 2, 5, 4, 6] {
            now += Duration::from_millis(20);
            let header = header((65_533 + step) as u16, step * 160);
            gaps.push(reception.note(now, header, 8_000));
        }

        assert_eq!(gaps, [0, 0, 0, 2, -1, 0]);
        assert_eq!(reception.lost(), 1);
        let report = reception.report(now).unwrap();
        assert_eq!(report.highest, 65_539);
        assert_eq!(report.fraction_lost, 36);
        assert_eq!(reception.report(now).unwrap().fraction_lost, 0);
    }

    #[test]
    fn jitter_is_the_mean_of_the_deviations() {
        let mut reception = Reception::default();
        let start = Instant::now();
        for step in 0..2_000u32 {
            let late = if step % 2 == 0 { 0 } else { 4 };
            let at = start + Duration::from_millis(u64::from(step * 20 + late));
            reception.note(at, header(step as u16, step * 160), 8_000);
        }

        assert!((reception.jitter_ms() - 4.0).abs() < 0.2);
    }

    #[test]
    fn a_new_source_keeps_the_old_losses() {
        let mut reception = Reception::default();
        let now = Instant::now();
        reception.note(now, header(1, 0), 8_000);
        reception.note(now, header(4, 480), 8_000);
        let other = Header {
            ssrc: 9,
            ..header(900, 0)
        };

        reception.note(now, other, 8_000);

        assert_eq!(reception.lost(), 2);
        assert_eq!(reception.received, 3);
    }

    fn header(sequence: u16, timestamp: u32) -> Header {
        Header {
            payload_type: 0,
            marker: false,
            sequence,
            timestamp,
            ssrc: 1,
        }
    }
}
