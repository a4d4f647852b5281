//! Shuts the voice of whoever presses a key by telephone-events: some gateways let the tone through
//! beside them.
//!
//! A press is shut from its first report until 20 ms after its release. When that is, the events
//! themselves say: a press began at its RTP timestamp and lasts as long as it reports (RFC 4733
//! §2.3.5), and the voice counts in the same clock. So neither repeated ends nor the depth of the
//! jitter buffer move the moment. Only where the clocks differ, or nothing of the voice arrives,
//! does the time of arrival decide.

use std::time::{Duration, Instant};

use crate::media::frame::Frame;
use crate::wire::rtp::{Header, timestamp_distance};
use crate::wire::telephone_event::TelephoneEvent;

/// How long after the last report of a press that has not ended the voice stays shut: reports come
/// every 20 to 50 ms.
const UNREPORTED: Duration = Duration::from_millis(100);

/// How long after the release the voice stays shut.
const AFTER_MS: u32 = 20;
const AFTER: Duration = Duration::from_millis(AFTER_MS as u64);

/// The same where only the arrival of the end is known: the voice comes a frame later than it.
const AFTER_ARRIVAL: Duration = Duration::from_millis(40);

/// A voice whose timestamps stood still under the key is not shut out for longer than this.
const LONGEST: Duration = Duration::from_millis(250);

/// Timestamps that are farther apart than this have nothing to do with one another.
const APART_S: i32 = 2;

#[derive(Clone, Copy, Debug, Default)]
pub struct Hush {
    state: State,
    /// How far it is shut, in samples of the edge: 0 is open.
    shut: usize,
    /// The press that was released last: its end is told three times, perhaps long after.
    last: Option<Press>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Open,
    /// A key is down, as far as is known at `until`.
    Down { press: Press, until: Instant },
    /// It was released at `end`; the news came at `at`.
    Released { press: Press, end: u32, at: Instant },
}

/// What names a press, and the clock it is told in.
#[derive(Clone, Copy, Debug)]
struct Press {
    ssrc: u32,
    timestamp: u32,
    clock_hz: u32,
}

/// When a frame of a voice was spoken, by its own timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// The timestamp that follows its last sample; `None` where the frame was made up.
    pub end: Option<u32>,
    pub clock_hz: u32,
}

impl Hush {
    /// A report of a press arrived, in the clock of telephone-events.
    pub fn event(&mut self, now: Instant, header: &Header, report: TelephoneEvent, clock_hz: u32) {
        let near = APART_S * clock_hz as i32;
        let is_over = |last: Press| {
            let ahead = timestamp_distance(last.timestamp, header.timestamp);
            last.ssrc == header.ssrc && (-near..=0).contains(&ahead)
        };
        let known = match self.state {
            State::Open if self.last.is_some_and(is_over) => return,
            State::Open => None,
            State::Down { press, .. } => Some((press, false)),
            State::Released { press, .. } => Some((press, true)),
        };
        if let Some((press, released)) = known.filter(|(press, _)| press.ssrc == header.ssrc) {
            let ahead = timestamp_distance(press.timestamp, header.timestamp);
            // A straggler of an earlier press, or a repeat of this one's end.
            if ahead < 0 || ahead == 0 && released {
                return;
            }
        }
        let press = Press {
            ssrc: header.ssrc,
            timestamp: header.timestamp,
            clock_hz,
        };
        self.last = report.end.then_some(press);
        self.state = match report.end {
            true => State::Released {
                press,
                end: header.timestamp.wrapping_add(u32::from(report.duration)),
                at: now,
            },
            false => State::Down {
                press,
                until: now + UNREPORTED,
            },
        };
    }

    pub fn is_shut(&self) -> bool {
        !matches!(self.state, State::Open) || self.shut > 0
    }

    /// Shuts what of the frame may not be heard; true where that is all of it.
    pub fn voice(&mut self, now: Instant, frame: &mut Frame, spoken: Spoken) -> bool {
        let samples = frame.samples_mut();
        let shut = self.shut_samples(now, samples.len(), spoken);
        let edge = samples.len() / EDGES;
        if shut == samples.len() && self.shut == edge {
            samples.fill(0);
            return true;
        }
        if shut == 0 && self.shut == 0 {
            return false;
        }
        for (n, sample) in samples.iter_mut().enumerate() {
            self.shut = match n < shut {
                true => (self.shut + 1).min(edge),
                false => self.shut.saturating_sub(1),
            };
            let open = (edge - self.shut.min(edge)) as i32;
            *sample = (i32::from(*sample) * open / edge as i32) as i16;
        }
        false
    }

    /// How many samples at the beginning of a frame are to be shut.
    fn shut_samples(&mut self, now: Instant, samples: usize, spoken: Spoken) -> usize {
        let (press, end, at) = match self.state {
            State::Open => return 0,
            State::Down { until, .. } if now < until => return samples,
            State::Down { .. } => {
                self.state = State::Open;
                return 0;
            }
            State::Released { press, end, at } => (press, end, at),
        };
        let waited = now.saturating_duration_since(at);
        let clock_hz = spoken.clock_hz;
        let over = end.wrapping_add(clock_hz / 1_000 * AFTER_MS);
        let ahead = spoken.end.map(|end| timestamp_distance(over, end));
        let near = APART_S * clock_hz as i32;
        let shut = match ahead.filter(|ahead| ahead.abs() < near) {
            _ if press.clock_hz != clock_hz => match waited < AFTER_ARRIVAL {
                true => samples,
                false => 0,
            },
            _ if waited < AFTER => samples,
            _ if waited >= LONGEST => 0,
            None => samples,
            Some(ahead) => {
                let open = i64::from(ahead.max(0)) * samples as i64 * 50 / i64::from(clock_hz);
                samples.saturating_sub(open as usize)
            }
        };
        if shut < samples {
            self.state = State::Open;
        }
        shut
    }
}

/// Shutting and opening take this part of a frame, 2 ms, so that neither clicks.
const EDGES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::frame::Rate;

    const LOUD: i16 = 1_000;
    const BEGAN: u32 = u32::MAX - 300;
    const CLOCK_HZ: u32 = 8_000;
    const EDGE: usize = 160 / EDGES;
    const ALL: usize = 160 - EDGE;

    #[test]
    fn it_is_shut_from_the_first_report_until_20_ms_after_the_release() {
        let mut phone = Phone::new();
        assert_eq!(phone.speaks(0, Some(0)), ALL);

        phone.reports(20, BEGAN, 160, false);
        phone.reports(40, BEGAN, 320, true);

        assert_eq!(phone.speaks(60, Some(480)), 0);
        assert_eq!(phone.speaks(80, Some(640)), ALL);
    }

    #[test]
    fn neither_repeated_ends_nor_stragglers_nor_a_deep_buffer_move_the_release() {
        let mut phone = Phone::new();
        phone.reports(20, BEGAN, 160, false);
        phone.reports(40, BEGAN, 320, true);
        phone.reports(60, BEGAN, 320, true);
        phone.reports(80, BEGAN, 320, true);
        phone.reports(81, BEGAN, 160, false);
        phone.reports(82, BEGAN.wrapping_sub(1_600), 800, false);

        assert_eq!(phone.speaks(100, Some(160)), 0);
        assert_eq!(phone.speaks(120, Some(320)), 0);
        assert_eq!(phone.speaks(140, Some(480)), 0);
        assert_eq!(phone.speaks(160, Some(640)), ALL);
    }

    #[test]
    fn an_end_repeated_after_it_has_opened_shuts_nothing_and_the_next_press_does() {
        let mut phone = Phone::new();
        phone.reports(20, BEGAN, 160, true);
        assert_eq!(phone.speaks(40, Some(320)), 0);
        assert_eq!(phone.speaks(60, Some(480)), ALL);
        assert!(!phone.hush.is_shut());

        phone.reports(61, BEGAN, 160, true);
        phone.reports(62, BEGAN, 80, false);
        assert_eq!(phone.speaks(80, Some(640)), ALL);

        phone.reports(90, BEGAN.wrapping_add(800), 160, false);
        assert!(phone.hush.is_shut());
    }

    #[test]
    fn within_a_packet_the_release_is_exact() {
        let mut phone = Phone::new();
        phone.reports(20, BEGAN, 160, false);
        phone.reports(40, BEGAN, 240, true);

        assert_eq!(phone.speaks(60, Some(480)), 80);
    }

    #[test]
    fn what_is_made_up_stays_shut_until_the_voice_is_back_or_it_has_been_long() {
        let mut phone = Phone::new();
        phone.reports(20, BEGAN, 160, true);

        assert_eq!(phone.speaks(60, None), 0);
        assert_eq!(phone.speaks(260, None), 0);
        assert_eq!(phone.speaks(270, None), ALL);
    }

    #[test]
    fn a_voice_whose_timestamps_stood_still_under_the_key_comes_back() {
        let mut phone = Phone::new();
        phone.reports(20, BEGAN, 1_600, true);

        assert_eq!(phone.speaks(60, Some(160)), 0);
        assert_eq!(phone.speaks(280, Some(1_600)), ALL);
    }

    #[test]
    fn where_the_clocks_differ_the_arrival_of_the_end_decides() {
        let mut phone = Phone::new();
        phone.clock_hz = 48_000;
        phone.reports(20, BEGAN, 160, true);

        assert_eq!(phone.speaks(59, Some(99_999)), 0);
        assert_eq!(phone.speaks(60, Some(99_999)), ALL);
    }

    #[test]
    fn it_opens_again_when_all_ends_are_lost() {
        let mut phone = Phone::new();
        phone.reports(20, BEGAN, 160, false);

        assert_eq!(phone.speaks(119, Some(800)), 0);
        assert_eq!(phone.speaks(139, Some(960)), ALL);
    }

    #[test]
    fn the_next_press_shuts_it_anew() {
        let mut phone = Phone::new();
        phone.reports(20, BEGAN, 160, true);
        phone.reports(40, BEGAN.wrapping_add(320), 160, false);

        assert_eq!(phone.speaks(60, Some(480)), 0);
        assert_eq!(phone.speaks(80, Some(640)), 0);
    }

    struct Phone {
        hush: Hush,
        start: Instant,
        clock_hz: u32,
    }

    impl Phone {
        #[allow(clippy::disallowed_methods)]
        fn new() -> Self {
            Self {
                hush: Hush::default(),
                start: Instant::now(),
                clock_hz: CLOCK_HZ,
            }
        }

        fn reports(&mut self, at_ms: u64, timestamp: u32, duration: u16, end: bool) {
            let header = Header {
                payload_type: 101,
                marker: false,
                sequence: 0,
                timestamp,
                ssrc: 7,
            };
            let report = TelephoneEvent {
                event: 5,
                end,
                volume: 10,
                duration,
            };
            let now = self.start + Duration::from_millis(at_ms);
            self.hush.event(now, &header, report, self.clock_hz);
        }

        /// How many samples of a loud frame are heard that ends so long after the key began, without
        /// those of the edge at its beginning.
        fn speaks(&mut self, at_ms: u64, end: Option<u32>) -> usize {
            let mut frame = Frame::silent(Rate::Narrow);
            frame.samples_mut().fill(LOUD);
            let spoken = Spoken {
                end: end.map(|end| BEGAN.wrapping_add(end)),
                clock_hz: CLOCK_HZ,
            };
            let now = self.start + Duration::from_millis(at_ms);
            self.hush.voice(now, &mut frame, spoken);
            let heard = frame.samples()[EDGE..].iter();
            heard.filter(|sample| **sample != 0).count()
        }
    }
}
