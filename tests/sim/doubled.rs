//! One press that arrives by two ways or by all three, 0 to 250 ms apart and in any order, counts
//! once; two presses count twice.

use std::time::Duration;

use sottovoce::control::refusal::ErrorCode;
use sottovoce::control::role::{Ear, Supervision};
use sottovoce::control::settings::InBandDtmf;
use sottovoce::demo::tones::key_sample;

use crate::network::Impairment;
use crate::phone::{FRAME, FRAME_TIME, How};
use crate::world::house::settings;
use crate::world::{MIA, PhoneId, World};

/// How far apart the ways are.
const APART_MS: [usize; 4] = [0, 60, 130, 250];

/// When the first way that is named tells the key; on a packet, for events leave with one.
const MIDDLE_MS: usize = 260;

/// The second way before the first, and after it.
fn around(apart: usize) -> [usize; 2] {
    [MIDDLE_MS - apart, MIDDLE_MS + apart]
}

#[test]
fn a_tone_and_an_event_are_one_press() {
    for in_band in [InBandDtmf::Auto, InBandDtmf::Always] {
        for apart in APART_MS {
            for tone in around(apart) {
                let mut desk = Desk::new(in_band, How::Event, tone as u64);

                desk.press(Ways {
                    event: Some(MIDDLE_MS),
                    tone: Some(tone),
                    info: None,
                });

                desk.assert_one_press(How::Event, &format!("{in_band:?}: tone {tone}"));
            }
        }
    }
}

#[test]
fn a_tone_and_an_info_are_one_press() {
    // A phone that agreed to events and sends none is not known to at its first key.
    for phone in [How::InBand, How::Event] {
        for apart in APART_MS {
            for tone in around(apart) {
                let mut desk = Desk::new(InBandDtmf::Auto, phone, tone as u64);

                desk.press(Ways {
                    event: None,
                    tone: Some(tone),
                    info: Some(MIDDLE_MS),
                });

                desk.assert_one_press(How::Info, &format!("{phone:?}: tone {tone}"));
            }
        }
    }
}

#[test]
fn an_event_and_an_info_are_one_press() {
    for apart in APART_MS {
        for info in around(apart) {
            let mut desk = Desk::new(InBandDtmf::Auto, How::Event, info as u64);

            desk.press(Ways {
                event: Some(MIDDLE_MS),
                tone: None,
                info: Some(info),
            });

            desk.assert_one_press(How::Event, &format!("INFO {info}"));
        }
    }
}

#[test]
fn a_press_that_is_told_in_all_three_ways_is_one() {
    for (tone, info) in [(260, 260), (10, 140), (140, 10), (130, 380), (380, 130)] {
        for in_band in [InBandDtmf::Auto, InBandDtmf::Always] {
            let mut desk = Desk::new(in_band, How::Event, tone as u64);

            desk.press(Ways {
                event: Some(MIDDLE_MS),
                tone: Some(tone),
                info: Some(info),
            });

            let what = format!("{in_band:?}: tone {tone}, INFO {info}");
            desk.assert_one_press(How::Event, &what);
        }
    }
}

#[test]
fn two_presses_that_are_told_in_two_ways_are_two() {
    for (tone, info) in [(Some(320), None), (None, Some(200)), (None, Some(320))] {
        let mut desk = Desk::new(InBandDtmf::Always, How::Event, 1);

        for begins in [0, 200] {
            let after = |ms| ms + begins;
            desk.queue(Ways {
                event: Some(MIDDLE_MS + begins),
                tone: tone.map(after),
                info: info.map(after),
            });
        }
        desk.say();

        desk.world.press(desk.mia, "#", How::Event);
        desk.world.run_for(Duration::from_millis(900));
        let what = format!("tone {tone:?}, INFO {info:?}");
        assert_eq!(
            desk.world.supervision(),
            Some(Supervision::Monitoring),
            "{what}"
        );
        assert_eq!(desk.world.audited(ErrorCode::UnknownCommand), 1, "{what}");
    }
}

/// When a `4` is told, by which way, in ms after the phone's next packet.
struct Ways {
    event: Option<usize>,
    /// When the packet arrives in whose audio it begins, and so much later within.
    tone: Option<usize>,
    info: Option<usize>,
}

/// A supervisor who monitors a call.
struct Desk {
    world: World,
    mia: PhoneId,
    /// What her phone says while she presses.
    sound: Vec<i16>,
    /// Packets until her latest event is over.
    packets: usize,
}

impl Desk {
    /// Another seed, another phase of her phone against the wheel.
    fn new(in_band: InBandDtmf, phone: How, seed: u64) -> Self {
        let mut settings = settings();
        settings.in_band_dtmf = in_band;
        let mut world = World::with_settings(seed, Impairment::CLEAN, settings);
        world.converse();
        let mia = world.supervise_by(MIA, phone);
        Self {
            world,
            mia,
            sound: vec![0; 900 * FRAME / 20],
            packets: 0,
        }
    }

    fn press(&mut self, ways: Ways) {
        self.queue(ways);
        self.say();
    }

    /// What has been queued goes out.
    fn say(&mut self) {
        let sound = std::mem::take(&mut self.sound);
        self.world.phones[self.mia.0].say(sound);
        self.world.run_for(Duration::from_millis(1_200));
    }

    fn queue(&mut self, ways: Ways) {
        if let Some(tone) = ways.tone {
            let samples = &mut self.sound[tone * FRAME / 20..][..5 * FRAME];
            for (n, sample) in samples.iter_mut().enumerate() {
                *sample = key_sample('4', 8_000.0, n);
            }
        }
        let phone = &mut self.world.phones[self.mia.0];
        if let Some(event) = ways.event {
            let packet = event / FRAME_TIME.as_millis() as usize;
            phone.press_after('4', packet - self.packets);
            self.packets = packet + 5;
        }
        if let Some(info) = ways.info {
            let packet = phone.next_tick.saturating_duration_since(self.world.now);
            // It arrives as a packet would that left now.
            let way = self.world.network.impairment.delay;
            let after = packet + way + Duration::from_millis(info as u64);
            self.world.press_info(self.mia, '4', after);
        }
    }

    /// `#` makes the one `4` a command.
    fn assert_one_press(&mut self, how: How, what: &str) {
        self.world.press(self.mia, "#", how);
        self.world.run_for(Duration::from_millis(900));

        let coaching = Some(Supervision::Coaching(Ear::Pupil));
        assert_eq!(self.world.supervision(), coaching, "{what}");
        let unknown = self.world.audited(ErrorCode::UnknownCommand);
        assert_eq!(unknown, 0, "{what}");
        self.world.checks.assert_clean();
    }
}
