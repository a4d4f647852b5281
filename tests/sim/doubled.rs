//! One press that arrives by two ways, 0 to 250 ms apart and in either order, counts once.

use std::time::Duration;

use sottovoce::control::refusal::ErrorCode;
use sottovoce::control::role::{Ear, Supervision};
use sottovoce::control::settings::InBandDtmf;

use crate::network::Impairment;
use crate::phone::How;
use crate::world::house::settings;
use crate::world::{MIA, PhoneId, World};

/// How far apart, in packets of 20 ms.
const APART: [usize; 5] = [0, 2, 5, 9, 12];

#[test]
fn a_tone_and_an_event_are_one_press() {
    for in_band in [InBandDtmf::Auto, InBandDtmf::Always] {
        for apart in APART {
            for (tone_after, event_after) in [(0, apart), (apart, 0)] {
                let (mut world, mia) = monitored(in_band, How::Event);

                world.phones[mia.0].press_twice('4', tone_after, event_after);
                world.run_for(Duration::from_millis(900));

                let what = format!("{in_band:?}: tone {tone_after}, event {event_after}");
                assert_coaches(&mut world, mia, How::Event, &what);
            }
        }
    }
}

#[test]
fn a_tone_and_an_info_are_one_press() {
    let (mut world, mia) = monitored(InBandDtmf::Auto, How::InBand);
    for apart in APART {
        for (tone_after, info_after) in [(0, apart), (apart, 0)] {
            let info_after = Duration::from_millis(20 * info_after as u64);
            world.phones[mia.0].sound('4', tone_after);
            world.press_info(mia, '4', info_after);
            world.run_for(Duration::from_millis(900));

            let what = format!("tone {tone_after}, INFO {info_after:?}");
            assert_coaches(&mut world, mia, How::Info, &what);
        }
    }
}

#[test]
fn an_event_and_an_info_are_one_press() {
    let (mut world, mia) = monitored(InBandDtmf::Auto, How::Event);
    // An event leaves with its phone's next packet, up to 20 ms later.
    for apart in [0, 40, 100, 180, 225] {
        for (event_after, info_after) in [(0, apart), (apart, 0)] {
            world.press_info(mia, '4', Duration::from_millis(info_after));
            world.run_for(Duration::from_millis(event_after));
            world.press(mia, "4", How::Event);
            world.run_for(Duration::from_millis(900 - event_after));

            let what = format!("event {event_after}, INFO {info_after}");
            assert_coaches(&mut world, mia, How::Event, &what);
        }
    }
}

fn monitored(in_band: InBandDtmf, how: How) -> (World, PhoneId) {
    let mut settings = settings();
    settings.in_band_dtmf = in_band;
    let mut world = World::with_settings(1, Impairment::CLEAN, settings);
    world.converse();
    let mia = world.supervise_by(MIA, how);
    (world, mia)
}

/// `#` makes the one `4` a command; then she monitors again.
fn assert_coaches(world: &mut World, mia: PhoneId, how: How, what: &str) {
    world.press(mia, "#", how);
    world.run_for(Duration::from_millis(900));
    assert_eq!(
        world.supervision(),
        Some(Supervision::Coaching(Ear::Pupil)),
        "{what}"
    );
    assert_eq!(world.audited(ErrorCode::UnknownCommand), 0, "{what}");
    world.checks.assert_clean();
    world.press(mia, "5#", how);
    world.run_for(Duration::from_millis(1_200));
}
