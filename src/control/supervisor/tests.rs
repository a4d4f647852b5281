//! The main line: dial in, listen, change roles, hang up.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::control::call::Side;
use crate::control::harness::stage::{MIA, ONA, Stage};
use crate::control::input::{Ask, Input, Signal, StoreAnswer};
use crate::control::record::{Outcome, Source};
use crate::control::refusal::ErrorCode;
use crate::control::role::{Ear, Role, Supervision};
use crate::control::settings::Settings;
use crate::control::supervisor::State;
use crate::id::{CallId, LegId, ShardId};
use crate::media::command::{Command, SeatRefusal};
use crate::media::dtmf::DigitSource;
use crate::media::matrix::Seat;

const SEAT: fn() -> Seat = || Seat::new(2).unwrap();

#[test]
fn the_only_call_is_joined_at_once_and_nothing_is_said_before_its_audio() {
    let (mut stage, call) = Stage::talking();

    let mia = stage.dial_in(MIA);

    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    assert_eq!(stage.said(mia), ["listening"]);
    assert!(stage.hears(call, SEAT(), Seat::USER));
    assert!(stage.hears(call, SEAT(), Seat::PUPIL));
    assert!(!stage.hears(call, Seat::USER, SEAT()));
    assert!(!stage.hears(call, Seat::PUPIL, SEAT()));
    let mixed = stage
        .outputs
        .iter()
        .position(|(_, output)| format!("{output:?}").contains("SetMatrix"));
    let spoken = stage
        .outputs
        .iter()
        .position(|(_, output)| format!("{output:?}").contains("listening"));
    assert!(mixed < spoken);
}

#[test]
fn every_role_is_heard_by_exactly_the_ears_that_it_allows() {
    use Supervision::{Barged, Coaching, Monitoring, TakenOver};
    for (keys, role, pupil_hears, user_hears, spoken) in [
        ("4#", Coaching(Ear::Pupil), true, false, "coaching"),
        ("8#", Coaching(Ear::User), false, true, "whispering-caller"),
        ("6#", Barged, true, true, "everyone-hears"),
        ("0#", Barged, true, true, "everyone-hears"),
        ("1#", TakenOver, true, true, "you-have-the-call"),
        ("5#", Monitoring, false, false, "listening"),
    ] {
        for source in [DigitSource::Event, DigitSource::InBand, DigitSource::Info] {
            let (mut stage, call, mia) = Stage::listening();
            if role == Monitoring {
                stage.press(mia, "6#");
            }

            stage.press_by(mia, keys, source);

            assert_eq!(stage.role(mia), Some(role), "{keys}");
            assert_eq!(
                stage.hears(call, Seat::PUPIL, SEAT()),
                pupil_hears,
                "{keys}"
            );
            assert_eq!(stage.hears(call, Seat::USER, SEAT()), user_hears, "{keys}");
            assert!(stage.hears(call, SEAT(), Seat::USER), "{keys}");
            assert_eq!(stage.last_said(mia), spoken, "{keys}");
        }
    }
}

#[test]
fn the_mix_does_not_wait_for_the_disk_and_the_confirmation_waits_for_both() {
    for disk_first in [true, false] {
        let (mut stage, call, mia) = Stage::listening();
        stage.manners.records = false;
        stage.manners.matrices = false;

        stage.press(mia, "4#");
        assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
        assert!(
            stage.hears(call, Seat::PUPIL, SEAT()),
            "the mix was asked for"
        );
        assert_eq!(stage.said(mia), ["listening"]);

        let (durable, mixed): (Vec<_>, Vec<_>) = std::mem::take(&mut stage.held_back)
            .into_iter()
            .partition(|input| matches!(input, Input::Store(StoreAnswer::Recorded(_))));
        let (first, second) = match disk_first {
            true => (durable, mixed),
            false => (mixed, durable),
        };
        for input in first {
            stage.input(input);
        }
        assert_eq!(stage.said(mia), ["listening"], "disk first: {disk_first}");
        for input in second {
            stage.input(input);
        }
        stage.release();
        assert_eq!(stage.last_said(mia), "coaching", "disk first: {disk_first}");
        assert_eq!(stage.role(mia), Some(Supervision::Coaching(Ear::Pupil)));
    }
}

#[test]
fn each_role_change_is_written_down_as_asked_for_and_as_done() {
    let (mut stage, call, mia) = Stage::listening();

    stage.press(mia, "0#");

    let rows: Vec<_> = stage
        .audit()
        .into_iter()
        .filter(|row| row.action == "role")
        .map(|row| (row.outcome, row.detail.as_deref(), row.role_after))
        .collect();
    assert_eq!(
        rows,
        [
            (Outcome::Requested, Some("0#"), Some("barge")),
            (Outcome::Done, Some("0#"), Some("barge")),
        ]
    );
    let row = stage.audit().pop().unwrap();
    assert_eq!(row.source, Source::Phone);
    assert_eq!(row.call, Some(call));
    assert_eq!(row.agent.as_deref(), Some("204"));
    assert_eq!(row.customer.as_deref(), Some("+358501112222"));
    assert_eq!(&*row.actor, "mia");
    assert_eq!(row.role_before, Some("monitor"));
}

#[test]
fn a_supervisor_who_hangs_up_leaves_the_call_untouched() {
    for keys in ["", "4#", "8#", "6#"] {
        let (mut stage, call, mia) = Stage::listening();
        stage.press(mia, keys);

        stage.hang_up(mia);

        assert!(!stage.is_on_the_line(mia));
        stage.assert_untouched(call);
        assert_eq!(stage.audit().pop().unwrap().action, "leave");
        assert!(stage.board.snapshot().sessions.is_empty());
    }
}

#[test]
fn the_conference_goes_with_the_last_supervisor() {
    let (mut stage, call, mia) = Stage::listening();
    let ona = stage.dial_in(ONA);
    assert_eq!(stage.role(ona), Some(Supervision::Monitoring));
    let dissolved = |stage: &Stage| {
        stage
            .commands()
            .filter(|command| matches!(command, Command::Dissolve { .. }))
            .count()
    };

    stage.hang_up(mia);
    assert_eq!(dissolved(&stage), 0);
    stage.hang_up(ona);

    assert_eq!(dissolved(&stage), 1);
    stage.assert_untouched(call);
}

#[test]
fn supervisors_do_not_hear_one_another_until_one_barges() {
    let (mut stage, call, mia) = Stage::listening();
    let ona = stage.dial_in(ONA);
    let [mias, onas] = [2, 3].map(|seat| Seat::new(seat).unwrap());

    stage.press(mia, "4#");
    assert!(!stage.hears(call, onas, mias));
    stage.press(mia, "6#");
    assert!(stage.hears(call, onas, mias));
    assert!(!stage.hears(call, mias, onas));
    assert_eq!(stage.role(ona), Some(Supervision::Monitoring));
}

#[test]
fn a_command_that_changes_nothing_is_confirmed_all_the_same() {
    let (mut stage, _, mia) = Stage::listening();
    stage.press(mia, "4#4#");

    assert_eq!(stage.said(mia), ["listening", "coaching", "coaching"]);
    assert_eq!(stage.codes(), []);
}

/// The whole of what a supervisor's commands do, as a table: a change of behaviour shows up there
/// as a line in the diff.
#[test]
fn states_and_orders_are_as_the_table_says() {
    let written = include_str!("../../../fixtures/tables/supervisor.txt");

    let played = table();

    assert_eq!(
        played, written,
        "fixtures/tables/supervisor.txt should read:\n{played}"
    );
}

fn table() -> String {
    let mut table = String::from(
        "# What a command does, by the state of the session: the role afterwards, and what is said.\n\
         # Made by control::supervisor::tests; `menu` stands for a supervisor outside a call.\n",
    );
    for (state, prepare) in STATES {
        for order in ["5", "4", "8", "6", "0", "1", "7", "3", "2", "9", "14", ""] {
            let (mut stage, call, mia) = Stage::listening();
            prepare(&mut stage, call, mia);
            let said = stage.said(mia).len();

            stage.press(mia, &format!("{order}#"));

            let after = match (stage.role(mia), stage.is_on_the_line(mia)) {
                (Some(role), _) => role.name(),
                (None, true) => "menu",
                (None, false) => "gone",
            };
            let spoken = stage.said(mia).split_off(said).join(" | ");
            let spoken = match spoken.is_empty() {
                true => "-",
                false => &spoken,
            };
            table.push_str(&format!("{state:18} {order:>2}#  {after:14} {spoken}\n"));
        }
    }
    table
}

type Prepare = fn(&mut Stage, CallId, LegId);

const STATES: [(&str, Prepare); 14] = [
    ("monitor", |_, _, _| {}),
    ("coach", |stage, _, mia| stage.press(mia, "4#")),
    ("whisper_caller", |stage, _, mia| stage.press(mia, "8#")),
    ("barge", |stage, _, mia| stage.press(mia, "6#")),
    ("takeover", |stage, _, mia| {
        stage.press(mia, "1#");
        stage.advance(Duration::from_secs(1));
    }),
    ("hang-up asked", |stage, _, mia| stage.press(mia, "7#")),
    ("colleague speaks", |stage, _, _| {
        let ona = stage.dial_in(ONA);
        stage.press(ona, "4#");
    }),
    ("another call", |stage, _, _| {
        stage.call("205");
    }),
    ("agent holds", |stage, call, _| {
        stage.hold(call, Side::Pupil, true);
    }),
    ("agent leaves", |stage, call, _| {
        stage.manners.byes = false;
        stage.party_hangs_up(call, Side::Pupil);
    }),
    ("customer leaves", |stage, call, _| {
        stage.manners.byes = false;
        stage.party_hangs_up(call, Side::User);
    }),
    ("agent left barge", |stage, call, mia| {
        stage.press(mia, "6#");
        stage.party_hangs_up(call, Side::Pupil);
    }),
    ("just ended", |stage, call, _| {
        stage.party_hangs_up(call, Side::User);
    }),
    ("menu", |stage, call, _| {
        stage.party_hangs_up(call, Side::User);
        stage.advance(Duration::from_secs(6));
    }),
];

/// Whatever supervisors press, whoever hangs up or holds, and however slow the world is: nobody
/// hears more than their role allows, what is remembered agrees with who sits where, and nothing
/// is left of a call that everybody left.
#[test]
fn whatever_happens_everybody_sits_where_they_belong_and_nothing_is_left_behind() {
    let mut codes = BTreeSet::new();
    for seed in 0..600 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut stage = Stage::with(Settings {
            many_speakers: random.bool(),
            hear_held_customer: random.bool(),
            follow_customer: random.bool(),
            takeover_confirm: random.bool(),
            max_conferences: random.usize(0..3),
            max_per_call: random.usize(1..4),
            shards: random.u16(1..3),
            ..Settings::default()
        });
        for extension in ["204", "205"] {
            let call = stage.call(extension);
            let shard = ShardId(random.u16(0..stage.board.settings.shards));
            let call = stage.board.calls.get_mut(&call).unwrap();
            call.shard = shard;
            for leg in call.legs.clone() {
                stage.board.legs.get_mut(&leg).unwrap().shard = shard;
            }
        }

        for step in 0..random.usize(1..60) {
            happen(&mut stage, &mut random);
            assert_consistent(&stage, &format!("seed {seed}, step {step}"));
        }

        stage.manners.byes = true;
        stage.release();
        for leg in stage.board.legs.keys().copied().collect::<Vec<_>>() {
            stage.signal(leg, Signal::Lost);
        }
        stage.release();
        stage.advance(Duration::from_secs(3600));
        let board = &stage.board;
        assert!(board.calls.is_empty(), "seed {seed}: a call is left");
        assert!(board.legs.is_empty(), "seed {seed}: a leg is left");
        assert!(board.bridges.is_empty(), "seed {seed}: a bridge is left");
        assert!(
            board.supervisors.is_empty(),
            "seed {seed}: a supervisor is left"
        );
        assert!(
            board.desk.callbacks.is_empty(),
            "seed {seed}: a callback is left"
        );
        assert_eq!(board.poll_timeout(), None, "seed {seed}: a timer is left");
        codes.extend(stage.codes());
    }

    // It was not by doing nothing.
    for code in [
        ErrorCode::ConferenceFailed,
        ErrorCode::CoachNotAdded,
        ErrorCode::PupilGone,
        ErrorCode::UserGone,
        ErrorCode::CoachNotJoined,
    ] {
        assert!(codes.contains(&code), "{code} was never met");
    }
}

fn happen(stage: &mut Stage, random: &mut fastrand::Rng) {
    const KEYS: [&str; 16] = [
        "0#", "1#", "2#", "3#", "4#", "5#", "6#", "7#", "7#7#", "8#", "9#", "204#", "205#", "#",
        "*", "1",
    ];
    let supervisors: Vec<LegId> = stage.board.supervisors.keys().copied().collect();
    let calls: Vec<CallId> = stage.board.calls.keys().copied().collect();
    let supervisor = random.choice(&supervisors).copied();
    let call = random.choice(&calls).copied();
    let side = match random.bool() {
        true => Side::User,
        false => Side::Pupil,
    };
    let party = call.and_then(|call| stage.board.calls[&call].party(side).leg);
    match (random.u8(0..32), supervisor, call, party) {
        (0..4, _, _, _) => {
            let caller = [MIA, ONA][random.usize(0..2)];
            stage.dial_in(caller);
        }
        (4..16, Some(leg), _, _) => stage.press(leg, KEYS[random.usize(0..KEYS.len())]),
        (16, Some(leg), _, _) => stage.hang_up(leg),
        (17, _, _, Some(leg)) => stage.hang_up(leg),
        (18, _, Some(call), Some(_)) => stage.hold(call, side, random.bool()),
        (19, Some(leg), _, _) => stage.silent(leg, [30, 60][random.usize(0..2)]),
        (20, Some(leg), _, _) => stage.prompt_ends(leg),
        (21, _, Some(call), _) => {
            stage.ask("mia", Ask::Ticket { call });
        }
        (22, _, Some(call), _) => {
            stage.change_mia(|mia| mia.devices = vec!["sip:mia@127.0.0.3".into()]);
            let ask = Ask::CallMe {
                call,
                device: None,
                coaching_enabled: random.bool(),
            };
            stage.ask("mia", ask);
        }
        (23, _, Some(call), _) if random.u8(0..4) == 0 => {
            stage.ask("ona", Ask::HangUp { call });
        }
        (24, _, Some(call), Some(_)) if stage.board.calls[&call].is_talking() => {
            stage.transferred(call, ["204", "205", "301"][random.usize(0..3)]);
        }
        (25, _, _, _) => {
            stage.manners.matrices = random.bool();
            stage.manners.records = random.bool();
            stage.manners.moves = random.bool();
            stage.manners.byes = random.bool();
            stage.manners.conferences = random.bool();
            stage.manners.answers = random.bool();
        }
        (26, _, _, _) => {
            stage.manners.seat = match random.u8(0..3) {
                0 => Err(SeatRefusal::Full),
                _ => Ok(()),
            };
        }
        (27, _, _, _) if stage.board.calls.len() < 4 => {
            stage.call(["204", "205"][random.usize(0..2)]);
        }
        (28..30, _, _, _) => stage.release(),
        _ => stage.advance(Duration::from_millis(random.u64(0..40_000))),
    }
}

fn assert_consistent(stage: &Stage, context: &str) {
    let board = &stage.board;
    for call in board.calls.values() {
        let members = call.conference.iter().flat_map(|it| it.members.iter());
        for (seat, member) in members {
            if let Some(leg) = member.leg {
                let supervisor = board.supervisors.get(&leg);
                let here = supervisor.is_some_and(|supervisor| match &supervisor.state {
                    State::Joining(joining) => (joining.call, joining.seat) == (call.id, *seat),
                    State::Supervising(session) => (session.call, session.seat) == (call.id, *seat),
                    _ => false,
                });
                assert!(here, "{context}: a member who is not there");
            } else {
                let reserved = board
                    .desk
                    .callbacks
                    .values()
                    .any(|callback| (callback.call, callback.place.seat) == (call.id, *seat));
                assert!(reserved, "{context}: a seat kept for nobody");
            }
        }
        for (seat, occupant) in call.seats.iter().filter(|(seat, _)| seat.index() > 1) {
            let member = call.conference.as_ref().and_then(|it| it.members.get(seat));
            let member = member.unwrap_or_else(|| panic!("{context}: nobody's seat"));
            assert_eq!(member.leg, Some(occupant.leg), "{context}");
            assert_eq!(member.supervision.role(), occupant.role, "{context}");
        }
    }
    for supervisor in board.supervisors.values() {
        let place = match &supervisor.state {
            State::Joining(joining) => (joining.call, joining.seat),
            State::Supervising(session) => (session.call, session.seat),
            _ => continue,
        };
        let call = &board.calls[&place.0];
        if board.pupil_is_foreign(supervisor.leg) {
            let role = call.seats[&place.1].role;
            assert_eq!(role, Role::User, "{context}: an agent out of scope");
            assert_eq!(stage.role(supervisor.leg), Some(Supervision::Barged));
        }
        let member = call.conference.as_ref().map(|it| &it.members[&place.1]);
        assert_eq!(member.unwrap().leg, Some(supervisor.leg), "{context}");
    }
}
