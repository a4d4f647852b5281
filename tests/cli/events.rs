//! `detect --events`: telephone-events as they arrive, whole and damaged, into presses (RFC 4733).
//!
//! Each test tells what a phone sent and what the network made of it. Expected is one line for each
//! press of which anything arrived: the timestamp of what arrived first, and the key.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::json;

use crate::{Node, text};

const KEYS: &str = "0123456789*#ABCD";

#[test]
fn every_key_is_told_with_the_time_of_its_press() {
    let mut phone = Phone::new(NARROW);
    for key in "159D*0#A".chars() {
        phone.presses(key, 100);
        phone.talks(60);
    }

    // 100 ms and 60 ms at 8 kHz: 1280 units from one press to the next.
    assert_eq!(
        told(&phone.sent),
        "1000000 1\n1001280 5\n1002560 9\n1003840 D\n1005120 *\n1006400 0\n1007680 #\n1008960 A\n"
    );
    assert_told(&types(NARROW, 100), 48);
}

#[test]
fn a_press_of_40_ms_is_a_key() {
    let mut phone = Phone::new(NARROW);
    for (n, key) in KEYS.chars().cycle().take(24).enumerate() {
        phone.presses(key, 40 + 20 * (n as u32 % 2));
        phone.talks(60);
    }

    assert_told(&phone.sent, 24);
}

#[test]
fn the_same_key_again_after_40_ms_is_another_press() {
    let mut phone = Phone::new(NARROW);
    for _ in 0..24 {
        phone.presses('5', 100);
        phone.talks(40);
        phone.presses('5', 100);
        phone.talks(60);
    }

    assert_told(&phone.sent, 48);
}

#[test]
fn presses_with_nothing_between_them_are_told_apart() {
    let mut phone = Phone::new(NARROW);
    for key in KEYS.chars() {
        for key in [key, '1', '1', key] {
            phone.presses(key, 100);
        }
        phone.talks(60);
    }

    assert_told(&phone.sent, 64);
}

#[test]
fn a_press_of_10_to_20_s_is_one_key_over_all_its_segments() {
    let mut phone = Phone::new(NARROW);
    for (n, key) in "09*#ABCD7".chars().enumerate() {
        phone.presses(key, 10_000 + 1_250 * n as u32);
        phone.talks(60);
    }

    assert!(phone.segments() > 9 + 8);
    assert_told(&phone.sent, 9);
}

#[test]
fn segments_whose_timestamps_run_over_are_one_key() {
    let mut phone = Phone::new(NARROW);
    phone.timestamp = u32::MAX - 70_000;
    phone.presses('3', 30_000);
    phone.talks(60);
    phone.presses('3', 100);

    assert_eq!(told(&phone.sent), "4294897295 3\n170479 3\n");
}

#[test]
fn events_in_a_clock_of_48_khz_are_keys() {
    assert_told(&types(WIDE, 100), 48);
}

#[test]
fn at_48_khz_a_press_of_1_to_4_s_is_one_key_over_all_its_segments() {
    let phone = long_presses_at_48_khz();

    assert!(phone.segments() > 2 * 16);
    assert_told(&phone.sent, 16);
}

#[test]
fn segments_are_one_key_though_a_tenth_of_them_is_lost() {
    let phone = long_presses_at_48_khz();
    for seed in 0..8 {
        assert_told(&lossy(&phone.sent, 10, seed), 16);
    }
}

#[test]
fn both_clocks_may_come_in_one_stream() {
    let mut sent = types(NARROW, 100);
    let mut wide = Phone::new(WIDE);
    wide.ssrc += 1;
    wide.at_ms = 60_000;
    wide.number_from = 1_000;
    wide.types(48, 100);
    sent.extend(wide.sent);

    assert_told(&sent, 96);
}

#[test]
fn a_press_that_is_announced_before_it_has_lasted_is_one_key() {
    let held = Held {
        announced: true,
        ..Held::for_ms(100)
    };
    assert_told(&types_so(held), 48);
}

#[test]
fn a_press_needs_no_marker() {
    let held = Held {
        marked: false,
        ..Held::for_ms(100)
    };
    assert_told(&types_so(held), 48);
}

#[test]
fn a_press_needs_no_more_than_one_end() {
    let held = Held {
        ends: 1,
        ..Held::for_ms(100)
    };
    assert_told(&types_so(held), 48);
}

#[test]
fn a_press_needs_no_end_at_all() {
    let held = Held {
        ends: 0,
        ..Held::for_ms(100)
    };
    assert_told(&types_so(held), 48);

    let mut phone = Phone::new(NARROW);
    for _ in 0..24 {
        phone.holds('8', held);
        phone.talks(40);
    }
    assert_told(&phone.sent, 24);
}

#[test]
fn a_key_is_a_key_at_any_volume() {
    let mut phone = Phone::new(NARROW);
    for volume in 0..64 {
        let key = KEYS.chars().nth(volume % 16).unwrap();
        let volume = volume as u8;
        phone.holds(
            key,
            Held {
                volume,
                ..Held::for_ms(100)
            },
        );
        phone.talks(60);
    }

    assert_told(&phone.sent, 64);
}

#[test]
fn numbers_and_timestamps_may_run_over() {
    for packets in [0, 1, 3, 4, 8] {
        let mut phone = Phone::new(NARROW);
        phone.sequence = u16::MAX - packets;
        phone.timestamp = u32::MAX - 160 * u32::from(packets);
        phone.types(48, 100);

        assert_told(&phone.sent, 48);
    }
}

#[test]
fn an_event_that_is_no_key_is_none() {
    let mut phone = Phone::new(NARROW);
    for event in 16..=255 {
        phone.sends_event(event, None, Held::for_ms(100));
        phone.talks(60);
    }
    phone.presses('5', 100);

    assert_told(&phone.sent, 1);
}

#[test]
fn payloads_that_are_cut_short_are_passed_over() {
    let mut sent = Vec::new();
    for (n, packet) in types(NARROW, 100).into_iter().enumerate() {
        // Keys that nobody pressed, in the voice as under a press.
        let whole = [[7, 0x0a, 0, 160], [11, 0x8a, 3, 32]][n % 2];
        let cut = Packet {
            payload_type: NARROW.payload_type,
            payload: whole[..n % 4].to_vec(),
            press: None,
            ..packet.clone()
        };
        if n % 3 == 0 {
            sent.extend([cut, packet]);
        } else {
            sent.extend([packet, cut]);
        }
    }

    assert_told(&sent, 48);
}

#[test]
fn a_press_is_heard_though_its_first_packet_is_lost() {
    let mut sent = types(NARROW, 100);
    sent.retain(|packet| packet.press.is_none() || !packet.marked);

    assert_told(&sent, 48);
}

#[test]
fn a_press_is_heard_by_its_middle_alone() {
    let mut sent = types(NARROW, 100);
    sent.retain(|packet| packet.press.is_none() || !packet.marked && !packet.ends_a_press());

    assert_told(&sent, 48);
}

#[test]
fn a_press_is_heard_by_its_ends_alone() {
    let mut sent = types(NARROW, 100);
    sent.retain(|packet| packet.press.is_none() || packet.ends_a_press());

    assert_told(&sent, 48);
}

#[test]
fn what_comes_twice_or_more_counts_once() {
    for copies in [2, 3] {
        let sent = types(NARROW, 100);
        let repeated = sent.into_iter().flat_map(|packet| vec![packet; copies]);

        assert_told(&repeated.collect::<Vec<_>>(), 48);
    }
}

#[test]
fn neighbours_that_changed_places_make_no_key() {
    assert_told(&reversed_by(2, types(NARROW, 160)), 48);
}

#[test]
fn four_packets_back_to_front_make_no_key() {
    assert_told(&reversed_by(4, types(NARROW, 160)), 48);
}

#[test]
fn a_straggler_among_the_voice_or_later_presses_makes_no_key() {
    for later in [4, 12, 40, 90] {
        let sent = types(NARROW, 100);
        let mut arrived = sent.clone();
        let stragglers = sent.iter().enumerate().step_by(7);
        for (n, straggler) in stragglers.collect::<Vec<_>>().into_iter().rev() {
            let place = (n + later).min(arrived.len());
            let at_ms = arrived[place - 1].at_ms;
            let straggler = straggler.clone();
            arrived.insert(place, Packet { at_ms, ..straggler });
        }

        assert_told(&arrived, 48);
    }
}

#[test]
fn a_twentieth_a_fifth_and_two_fifths_may_be_lost() {
    for percent in [5, 20, 40] {
        for seed in 0..4 {
            let mut phone = Phone::new(NARROW);
            phone.types(200, 120);
            let arrived = lossy(&phone.sent, percent, seed);
            let pressed: BTreeSet<_> = arrived.iter().filter_map(|packet| packet.press).collect();

            assert!(pressed.len() >= 190, "{} of 200", pressed.len());
            assert_told(&arrived, pressed.len());
        }
    }
}

#[test]
fn a_source_that_begins_anew_is_heard_as_before() {
    let mut phone = Phone::new(NARROW);
    phone.types(8, 100);
    phone.ssrc = 9;
    phone.sequence = 77;
    phone.timestamp = 5;
    phone.types(8, 100);

    assert_told(&phone.sent, 16);
}

#[test]
fn a_source_that_begins_anew_with_the_same_timestamps_is_heard_as_before() {
    let mut phone = Phone::new(NARROW);
    let (sequence, timestamp) = (phone.sequence, phone.timestamp);
    phone.types(8, 100);
    phone.ssrc += 1;
    (phone.sequence, phone.timestamp) = (sequence, timestamp);
    phone.types(8, 100);

    assert_told(&phone.sent, 16);
}

/// How a phone numbers and times what it sends.
#[derive(Clone, Copy)]
struct Clock {
    payload_type: u8,
    voice_type: u8,
    /// In a packet of 20 ms.
    units: u32,
}

const NARROW: Clock = Clock {
    payload_type: 101,
    voice_type: 0,
    units: 160,
};

const WIDE: Clock = Clock {
    payload_type: 102,
    voice_type: 111,
    units: 960,
};

#[derive(Clone)]
struct Packet {
    at_ms: u64,
    ssrc: u32,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    marked: bool,
    payload: Vec<u8>,
    /// Of which press it tells, and its key; the file says nothing of it.
    press: Option<(usize, char)>,
}

impl Packet {
    fn ends_a_press(&self) -> bool {
        self.press.is_some() && self.payload[1] & 0x80 != 0
    }
}

/// How a key is held.
#[derive(Clone, Copy)]
struct Held {
    ms: u32,
    ends: usize,
    marked: bool,
    volume: u8,
    /// A report of no duration comes first.
    announced: bool,
}

impl Held {
    fn for_ms(ms: u32) -> Self {
        Self {
            ms,
            ends: 3,
            marked: true,
            volume: 10,
            announced: false,
        }
    }
}

/// Sends a packet every 20 ms: voice, or reports of the key that is held.
struct Phone {
    clock: Clock,
    at_ms: u64,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    sent: Vec<Packet>,
    presses: usize,
    /// Presses are numbered from here.
    number_from: usize,
}

impl Phone {
    fn new(clock: Clock) -> Self {
        Self {
            clock,
            at_ms: 0,
            ssrc: 0xfeed_0001,
            sequence: 4_000,
            timestamp: 1_000_000,
            sent: Vec::new(),
            presses: 0,
            number_from: 0,
        }
    }

    fn types(&mut self, keys: usize, ms: u32) {
        for key in KEYS.chars().cycle().take(keys) {
            self.talks(60);
            self.presses(key, ms);
        }
        self.talks(60);
    }

    fn presses(&mut self, key: char, ms: u32) {
        self.holds(key, Held::for_ms(ms));
    }

    fn holds(&mut self, key: char, held: Held) {
        let event = KEYS.find(key).unwrap() as u8;
        let press = self.number_from + self.presses;
        self.presses += 1;
        self.sends_event(event, Some((press, key)), held);
    }

    /// Reports grow by a packet until the release. A duration that its field cannot hold is carried
    /// on in another segment (§2.5.1.3).
    fn sends_event(&mut self, event: u8, press: Option<(usize, char)>, held: Held) {
        let longest = u32::from(u16::MAX);
        let mut began = self.timestamp;
        let mut duration = 0;
        let mut marked = held.marked;
        let mut report = |phone: &mut Self, began: u32, duration: u32, ended: bool| {
            let [high, low] = (duration as u16).to_be_bytes();
            let flags = u8::from(ended) << 7 | held.volume;
            let marked = std::mem::take(&mut marked);
            let payload = vec![event, flags, high, low];
            phone.sends(phone.clock.payload_type, marked, began, payload, press);
        };

        if held.announced {
            report(self, began, 0, false);
        }
        let packets = held.ms / 20;
        for packet in 1..=packets {
            duration += self.clock.units;
            if duration > longest {
                report(self, began, longest, false);
                began = began.wrapping_add(longest);
                duration -= longest;
            }
            if packet < packets {
                report(self, began, duration, false);
            }
            for _ in 0..held.ends * usize::from(packet == packets) {
                report(self, began, duration, true);
            }
            self.at_ms += 20;
        }
        self.timestamp = began.wrapping_add(duration);
    }

    fn talks(&mut self, ms: u32) {
        for _ in 0..ms / 20 {
            let voice_type = self.clock.voice_type;
            self.sends(voice_type, false, self.timestamp, vec![0xff; 40], None);
            self.timestamp = self.timestamp.wrapping_add(self.clock.units);
            self.at_ms += 20;
        }
    }

    fn sends(
        &mut self,
        payload_type: u8,
        marked: bool,
        timestamp: u32,
        payload: Vec<u8>,
        press: Option<(usize, char)>,
    ) {
        self.sent.push(Packet {
            at_ms: self.at_ms,
            ssrc: self.ssrc,
            payload_type,
            sequence: self.sequence,
            timestamp,
            marked,
            payload,
            press,
        });
        self.sequence = self.sequence.wrapping_add(1);
    }

    /// Timestamps under which presses were reported.
    fn segments(&self) -> usize {
        let presses = self.sent.iter().filter(|packet| packet.press.is_some());
        let segments: BTreeSet<_> = presses.map(|packet| packet.timestamp).collect();
        segments.len()
    }
}

/// 48 presses, each key three times.
fn types(clock: Clock, ms: u32) -> Vec<Packet> {
    let mut phone = Phone::new(clock);
    phone.types(48, ms);
    phone.sent
}

fn types_so(held: Held) -> Vec<Packet> {
    let mut phone = Phone::new(NARROW);
    for key in KEYS.chars().cycle().take(48) {
        phone.holds(key, held);
        phone.talks(60);
    }
    phone.sent
}

fn long_presses_at_48_khz() -> Phone {
    let mut phone = Phone::new(WIDE);
    for (n, key) in KEYS.chars().enumerate() {
        phone.presses(key, 1_000 + 200 * n as u32);
        phone.talks(60);
    }
    phone
}

fn lossy(sent: &[Packet], percent: u8, seed: u64) -> Vec<Packet> {
    let mut random = fastrand::Rng::with_seed(seed);
    let arrived = sent.iter().filter(|_| random.u8(..100) >= percent);
    arrived.cloned().collect()
}

fn reversed_by(count: usize, sent: Vec<Packet>) -> Vec<Packet> {
    sent.chunks(count)
        .flat_map(|packets| packets.iter().rev().cloned())
        .collect()
}

/// Every press of which anything arrived is told once, and nothing else.
#[track_caller]
fn assert_told(arrived: &[Packet], presses: usize) {
    let mut known = BTreeSet::new();
    let mut expected = String::new();
    for packet in arrived {
        if let Some((press, key)) = packet.press
            && known.insert(press)
        {
            writeln!(expected, "{} {key}", packet.timestamp).unwrap();
        }
    }
    assert_eq!(known.len(), presses, "presses of which something arrived");
    assert_eq!(told(arrived), expected);
}

/// What the command prints of these packets, in this order.
#[track_caller]
fn told(arrived: &[Packet]) -> String {
    let node = Node::new();
    let mut lines = String::new();
    for packet in arrived {
        let line = json!({
            "at": packet.at_ms,
            "ssrc": packet.ssrc,
            "pt": packet.payload_type,
            "seq": packet.sequence,
            "ts": packet.timestamp,
            "m": u8::from(packet.marked),
            "payload": hex::encode(&packet.payload),
        });
        writeln!(lines, "{line}").unwrap();
    }
    std::fs::write(node.folder.join("arrived.jsonl"), lines).unwrap();

    let output = node.run_plain(&["detect", "--events", "arrived.jsonl"]);

    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout)
}
