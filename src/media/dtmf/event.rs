//! Telephone-events (RFC 4733) into key presses: one press, one [`Digit`], at the first packet of
//! it that arrives.
//!
//! A press is named by the RTP timestamp that all its packets share, so updates, the three ends,
//! repeats and stragglers are recognised by it however late they come, and it does not matter which
//! of them were lost. Three things carry a press on under another name: a segment of a press that
//! outlasts the duration field (§2.5.1.3), a sender that changes its SSRC while a key is down, and
//! a sender that wrongly moves the timestamp with every update.

use std::time::{Duration, Instant};

use crate::media::dtmf::Digit;
use crate::wire::rtp::{Header, timestamp_distance};
use crate::wire::telephone_event::TelephoneEvent;

/// Presses that are remembered; what is older than all of them is a straggler and counts for
/// nothing.
const MEMORY: usize = 16;

/// How far apart the packets of one press may be when only their content shows that they belong
/// together. Updates come every 20 to 50 ms (§2.5.1.2).
const UNBROKEN: Duration = Duration::from_millis(150);

/// How much shorter than the duration field a segment may be: senders count in whole packets.
const SEGMENT_SLACK: i32 = 4_800;

/// Segments that may be lost whole within one press.
const LOST_SEGMENTS: i32 = 8;

/// Turns the telephone-events of one leg into presses. Payload type and clock rate are the
/// caller's: nothing here depends on them.
#[derive(Clone, Debug)]
pub struct EventReceiver {
    /// The newest press last.
    presses: [Press; MEMORY],
    known: usize,
}

/// One press, or one segment of it.
#[derive(Clone, Copy, Debug)]
struct Press {
    ssrc: u32,
    timestamp: u32,
    event: u8,
    ended: bool,
    /// The longest duration reported.
    duration: u16,
    /// When its latest packet came.
    heard: Instant,
}

impl EventReceiver {
    pub fn new(now: Instant) -> Self {
        let nothing = Press {
            ssrc: 0,
            timestamp: 0,
            event: 0,
            ended: true,
            duration: 0,
            heard: now,
        };
        Self {
            presses: [nothing; MEMORY],
            known: 0,
        }
    }

    /// Takes the packet of a telephone-event; yields the key if this is the first of its press.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        header: &Header,
        payload: &[u8],
    ) -> Option<Digit> {
        let report = TelephoneEvent::parse(payload)?;
        let digit = Digit::from_event(report.event)?;

        if let Some(press) = self.named(header.ssrc, header.timestamp) {
            press.ended |= report.end;
            press.duration = press.duration.max(report.duration);
            press.heard = now;
            return None;
        }
        if self.is_forgotten(header) {
            return None;
        }

        let continues = self
            .newest()
            .is_some_and(|press| press.continues_as(now, header, report));
        self.remember(Press {
            ssrc: header.ssrc,
            timestamp: header.timestamp,
            event: report.event,
            ended: report.end,
            duration: report.duration,
            heard: now,
        });
        (!continues).then_some(digit)
    }

    fn named(&mut self, ssrc: u32, timestamp: u32) -> Option<&mut Press> {
        let known = &mut self.presses[MEMORY - self.known..];
        known
            .iter_mut()
            .rev()
            .find(|press| press.ssrc == ssrc && press.timestamp == timestamp)
    }

    fn newest(&self) -> Option<&Press> {
        self.presses[MEMORY - self.known..].last()
    }

    /// Whether the packet is from before everything that is remembered.
    fn is_forgotten(&self, header: &Header) -> bool {
        self.known == MEMORY
            && self.presses.iter().all(|press| {
                press.ssrc == header.ssrc
                    && timestamp_distance(press.timestamp, header.timestamp) < 0
            })
    }

    fn remember(&mut self, press: Press) {
        self.presses.rotate_left(1);
        self.presses[MEMORY - 1] = press;
        self.known = (self.known + 1).min(MEMORY);
    }
}

impl Press {
    /// Whether a packet under another name is still this press.
    fn continues_as(&self, now: Instant, header: &Header, report: TelephoneEvent) -> bool {
        if self.ended || self.event != report.event {
            return false;
        }
        let unbroken = now.saturating_duration_since(self.heard) <= UNBROKEN;
        if self.ssrc != header.ssrc {
            return unbroken && !header.marker && report.duration > self.duration;
        }

        let ahead = timestamp_distance(self.timestamp, header.timestamp);
        let longest = i32::from(u16::MAX);
        // Some senders count one too many.
        let whole = |segment: i32| {
            ahead >= segment && ahead % segment == 0 && ahead / segment <= LOST_SEGMENTS
        };
        let next_segment = (longest - SEGMENT_SLACK..=longest).contains(&ahead)
            || whole(longest)
            || whole(longest + 1);
        if next_segment && self.duration > u16::MAX / 2 {
            return true;
        }
        // A shorter segment goes on where the one before stood, which had not ended.
        if unbroken && !header.marker && ahead == i32::from(self.duration) {
            return true;
        }

        // Its own timestamp moves by as much as its duration grew, so both name the same beginning.
        let grown = i32::from(report.duration) - i32::from(self.duration);
        unbroken && grown > 0 && ahead == grown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: u32 = u32::MAX - 3_000;

    #[test]
    fn a_press_is_reported_once_at_its_first_packet() {
        let mut phone = Phone::new();

        assert_eq!(phone.sends(5, FIRST, 0, false), Some('5'));
        assert_eq!(phone.sends(5, FIRST, 160, false), None);
        for _ in 0..3 {
            assert_eq!(phone.sends(5, FIRST, 800, true), None);
        }
    }

    #[test]
    fn any_single_packet_of_a_press_is_enough() {
        for end in [false, true] {
            let mut phone = Phone::new();

            assert_eq!(phone.sends(11, FIRST, 480, end), Some('#'));
        }
    }

    #[test]
    fn the_same_key_twice_is_two_presses_even_if_the_ends_are_lost() {
        let mut phone = Phone::new();

        assert_eq!(phone.sends(7, FIRST, 800, false), Some('7'));
        assert_eq!(
            phone.sends(7, FIRST.wrapping_add(1_120), 160, false),
            Some('7')
        );
    }

    #[test]
    fn stragglers_of_earlier_presses_count_for_nothing() {
        let mut phone = Phone::new();
        for press in 0..40 {
            assert!(
                phone
                    .sends(3, FIRST.wrapping_add(press * 1_600), 800, true)
                    .is_some()
            );
        }

        for press in 0..40 {
            let late = phone.sends(3, FIRST.wrapping_add(press * 1_600), 640, false);

            assert_eq!(late, None);
        }
    }

    #[test]
    fn a_press_longer_than_its_duration_field_is_one_key() {
        for segment in [65_536, 65_535, 65_440, 64_800] {
            let mut phone = Phone::new();
            assert_eq!(phone.sends(1, FIRST, 160, false), Some('1'));

            for n in 1..5 {
                let begun = FIRST.wrapping_add(n * segment);
                phone.sends(1, begun.wrapping_sub(segment), 60_000, false);

                assert_eq!(phone.sends(1, begun, 160, false), None);
            }
        }
    }

    #[test]
    fn segments_that_are_shorter_than_they_could_be_are_one_key() {
        let mut phone = Phone::new();
        assert_eq!(phone.sends(4, FIRST, 160, false), Some('4'));

        for n in 1..5 {
            phone.sends(4, FIRST.wrapping_add((n - 1) * 8_000), 8_000, false);

            assert_eq!(
                phone.sends(4, FIRST.wrapping_add(n * 8_000), 160, false),
                None
            );
        }
        phone.sends(4, FIRST.wrapping_add(32_000), 8_000, true);
        assert_eq!(
            phone.sends(4, FIRST.wrapping_add(40_000), 160, false),
            Some('4')
        );
    }

    #[test]
    fn a_new_source_in_the_middle_of_a_press_is_the_same_key() {
        let mut phone = Phone::new();
        assert_eq!(phone.sends(4, FIRST, 160, false), Some('4'));

        phone.ssrc += 1;
        assert_eq!(phone.sends(4, 77_000, 320, false), None);
        assert_eq!(phone.sends(4, 77_000, 480, true), None);

        phone.ssrc += 1;
        assert_eq!(phone.sends(4, FIRST, 160, false), Some('4'));
    }

    #[test]
    fn a_timestamp_that_wrongly_moves_with_the_updates_is_the_same_key() {
        let mut phone = Phone::new();
        assert_eq!(phone.sends(9, FIRST, 160, false), Some('9'));

        for n in 1..6u16 {
            let moved = FIRST.wrapping_add(u32::from(n) * 160);
            assert_eq!(phone.sends(9, moved, 160 + n * 160, n == 5), None);
        }
    }

    #[test]
    fn what_is_no_key_is_ignored() {
        let mut phone = Phone::new();

        for event in 16..=255 {
            assert_eq!(phone.sends(event, FIRST, 160, true), None);
        }
        for length in 0..4 {
            assert_eq!(phone.sends_bytes(FIRST, &[5, 0x8a, 0, 0][..length]), None);
        }
        assert_eq!(phone.sends(5, FIRST, 160, false), Some('5'));
    }

    #[test]
    fn a_press_is_one_digit_whatever_is_lost_repeated_or_reordered() {
        let mut random = fastrand::Rng::with_seed(4733);
        for clock_khz in [8, 48] {
            for (lost, copies, swapped) in [(0, 1, 1), (5, 2, 1), (20, 1, 1), (40, 1, 1), (0, 2, 4)]
            {
                let mut phone = Phone::new();
                let mut packets = Vec::new();
                let mut pressed = Vec::new();
                for press in 0..200 {
                    let begun = FIRST.wrapping_add(press * 200 * u32::from(clock_khz));
                    let key = random.u8(..16);
                    // Updates every 20 ms of a press of 120 ms, and three ends.
                    for n in 1..=9u16 {
                        if random.u8(..100) < lost {
                            continue;
                        }
                        let duration = 20 * clock_khz * n.min(6);
                        packets.extend([(key, begun, duration, n > 6)].repeat(copies));
                        if pressed.last() != Some(&(begun, key)) {
                            pressed.push((begun, key));
                        }
                    }
                }

                let mut heard = Vec::new();
                for packets in packets.chunks(swapped) {
                    for &(key, begun, duration, end) in packets.iter().rev() {
                        if let Some(digit) = phone.sends(key, begun, duration, end) {
                            heard.push((begun, digit));
                        }
                    }
                }

                let expected = pressed.into_iter().map(|(begun, key)| {
                    let digit = Digit::from_event(key).map(Digit::as_char);
                    (begun, digit.unwrap())
                });
                let mut expected: Vec<_> = expected.collect();
                expected.sort_unstable();
                heard.sort_unstable();
                assert_eq!(
                    heard, expected,
                    "{clock_khz} kHz, {lost} % lost, {copies} copies"
                );
            }
        }
    }

    struct Phone {
        receiver: EventReceiver,
        now: Instant,
        ssrc: u32,
    }

    impl Phone {
        #[allow(clippy::disallowed_methods)]
        fn new() -> Self {
            let now = Instant::now();
            Self {
                receiver: EventReceiver::new(now),
                now,
                ssrc: 1,
            }
        }

        fn sends(&mut self, event: u8, timestamp: u32, duration: u16, end: bool) -> Option<char> {
            let payload = TelephoneEvent {
                event,
                end,
                volume: 10,
                duration,
            };
            self.sends_bytes(timestamp, &payload.write())
        }

        fn sends_bytes(&mut self, timestamp: u32, payload: &[u8]) -> Option<char> {
            let header = Header {
                payload_type: 101,
                marker: false,
                sequence: 0,
                timestamp,
                ssrc: self.ssrc,
            };
            self.now += Duration::from_millis(20);
            let digit = self.receiver.handle_packet(self.now, &header, payload);
            digit.map(Digit::as_char)
        }
    }
}
