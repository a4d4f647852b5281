//! What can fail on the way into a call, and that the call is as it was afterwards.

use std::time::Duration;

use crate::control::directory::AgentNotice;
use crate::control::harness::stage::{MIA, ONA, Stage};
use crate::control::output::Output;
use crate::control::refusal::ErrorCode;
use crate::control::role::Supervision;
use crate::control::settings::Settings;
use crate::id::ShardId;
use crate::media::command::{Command, ConveneRefusal, SeatRefusal};

#[test]
fn a_conference_that_cannot_be_made_is_9011_and_may_be_tried_again() {
    for cause in [ConveneRefusal::Admission, ConveneRefusal::Codec] {
        let (mut stage, call) = Stage::talking();
        stage.manners.convene = Err(cause);

        let mia = stage.dial_in(MIA);
        assert_eq!(stage.codes(), [ErrorCode::ConferenceFailed]);
        assert_eq!(
            stage.last_said(mia),
            "9 0 1 1 retry calls-waiting agent 2 0 4 enter-extension"
        );
        stage.assert_untouched(call);

        stage.manners.convene = Ok(());
        stage.press(mia, "#");
        assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    }
}

#[test]
fn one_conference_more_than_the_node_may_have_is_9011() {
    let mut stage = Stage::with(Settings {
        max_conferences: 1,
        ..Settings::default()
    });
    stage.call("204");
    let mia = stage.dial_in(MIA);
    let second = stage.call("205");
    let ona = stage.dial_in(ONA);
    stage.press(ona, "205#");

    assert_eq!(stage.codes(), [ErrorCode::ConferenceFailed]);
    stage.assert_untouched(second);
    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));

    stage.hang_up(mia);
    stage.press(ona, "#");
    assert_eq!(stage.role(ona), Some(Supervision::Monitoring));
}

#[test]
fn a_conference_that_is_not_made_in_time_is_9011() {
    let (mut stage, call) = Stage::talking();
    stage.manners.conferences = false;
    let mia = stage.dial_in(MIA);

    stage.advance(Duration::from_secs(2));

    assert_eq!(stage.codes(), [ErrorCode::ConferenceFailed]);
    assert!(stage.in_menu(mia));
    stage.assert_untouched(call);
    // What comes late changes nothing.
    stage.release();
    assert!(stage.in_menu(mia));
    stage.assert_untouched(call);
}

#[test]
fn a_seat_that_is_refused_is_9015_in_a_conference_just_made_and_it_is_taken_down_again() {
    for cause in [
        SeatRefusal::Full,
        SeatRefusal::Codec,
        SeatRefusal::NotConvened,
        SeatRefusal::Fault,
    ] {
        let (mut stage, call) = Stage::talking();
        stage.manners.seat = Err(cause);

        let mia = stage.dial_in(MIA);

        assert_eq!(stage.codes(), [ErrorCode::CoachNotJoined]);
        assert!(stage.last_said(mia).starts_with("9 0 1 5 retry"));
        assert!(stage.in_menu(mia));
        assert!(
            stage
                .commands()
                .any(|command| matches!(command, Command::Dissolve { .. }))
        );
        stage.assert_untouched(call);
    }
}

#[test]
fn a_seat_that_is_refused_in_a_conference_that_stood_is_9012_and_it_stands_on() {
    let (mut stage, _, mia) = Stage::listening();
    stage.manners.seat = Err(SeatRefusal::Codec);

    let ona = stage.dial_in(ONA);

    assert_eq!(stage.codes(), [ErrorCode::CoachNotAdded]);
    assert!(stage.in_menu(ona));
    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    assert!(
        !stage
            .commands()
            .any(|command| matches!(command, Command::Dissolve { .. }))
    );
}

#[test]
fn more_supervisors_than_the_policy_allows_is_9012() {
    let mut stage = Stage::with(Settings {
        max_per_call: 1,
        ..Settings::default()
    });
    stage.call("204");
    stage.dial_in(MIA);

    stage.dial_in(ONA);

    assert_eq!(stage.codes(), [ErrorCode::CoachNotAdded]);
}

#[test]
fn a_mix_that_does_not_come_into_force_in_time_is_9015_and_rolled_back() {
    let (mut stage, call) = Stage::talking();
    stage.manners.matrices = false;
    let mia = stage.dial_in(MIA);
    assert_eq!(stage.said(mia), [""; 0]);

    stage.advance(Duration::from_secs(2));

    assert_eq!(stage.codes(), [ErrorCode::CoachNotJoined]);
    stage.assert_untouched(call);
    stage.release();
    assert!(stage.in_menu(mia));
}

#[test]
fn the_fault_point_is_armed_before_the_seat() {
    let mut stage = Stage::with(Settings {
        fault_conference_join: true,
        ..Settings::default()
    });
    stage.call("204");
    stage.dial_in(MIA);

    let order: Vec<_> = stage
        .commands()
        .filter_map(|command| match command {
            Command::ArmSeatFault { .. } => Some("fault"),
            Command::Seat { .. } => Some("seat"),
            _ => None,
        })
        .collect();

    assert_eq!(order, ["fault", "seat"]);
}

#[test]
fn a_leg_on_another_shard_moves_to_that_of_the_call_before_it_is_seated() {
    let mut stage = Stage::with(Settings {
        shards: 2,
        ..Settings::default()
    });
    let first = stage.call("204");
    let second = stage.call("205");
    stage.board.calls.get_mut(&second).unwrap().shard = ShardId(1);
    let mia = stage.dial_in(MIA);
    let here = stage.board.legs[&mia].shard;
    let (chosen, extension) = match here {
        ShardId(0) => (second, "205#"),
        _ => (first, "204#"),
    };
    stage.manners.moves = false;

    stage.press(mia, extension);
    let seats = |stage: &Stage| {
        stage
            .commands()
            .filter(|command| matches!(command, Command::Seat { .. }))
            .count()
    };
    assert_eq!(seats(&stage), 0);
    assert!(stage.outputs.iter().any(|(_, output)| matches!(
        output,
        Output::Move { leg, from, to } if *leg == mia && *from == here && *to != here
    )));
    stage.release();

    assert_eq!(seats(&stage), 1);
    assert_eq!(stage.board.session(mia).unwrap().call, chosen);
    assert_ne!(stage.board.legs[&mia].shard, here);
}

#[test]
fn the_only_calls_shard_is_chosen_from_the_start() {
    let mut stage = Stage::with(Settings {
        shards: 4,
        ..Settings::default()
    });
    let call = stage.call("204");
    stage.board.calls.get_mut(&call).unwrap().shard = ShardId(3);

    let mia = stage.dial_in(MIA);

    assert_eq!(stage.role(mia), Some(Supervision::Monitoring));
    assert!(
        !stage
            .outputs
            .iter()
            .any(|(_, output)| matches!(output, Output::Move { .. }))
    );
}

#[test]
fn the_agent_alone_hears_the_notice_and_only_by_policy() {
    for (notice, expected) in [(AgentNotice::Tone, 1), (AgentNotice::Silent, 0)] {
        let mut stage = Stage::with(Settings {
            agent_notice: notice,
            ..Settings::default()
        });
        let call = stage.call("204");
        stage.dial_in(MIA);

        let [user, pupil] = [
            crate::control::call::Side::User,
            crate::control::call::Side::Pupil,
        ]
        .map(|side| stage.party(call, side));
        assert_eq!(stage.said(pupil), vec!["tone"; expected]);
        assert_eq!(stage.said(user), [""; 0]);
    }
}

#[test]
fn a_supervisor_who_hangs_up_on_the_way_in_leaves_nothing_behind() {
    let (mut stage, call) = Stage::talking();
    stage.manners.matrices = false;
    let mia = stage.dial_in(MIA);

    stage.hang_up(mia);

    stage.assert_untouched(call);
    assert!(!stage.is_on_the_line(mia));
}

#[test]
fn a_second_phone_of_a_supervisor_replaces_the_first() {
    let (mut stage, _, first) = Stage::listening();

    let second = stage.dial_in_registered("mia");

    assert!(stage.was_hung_up(first));
    assert_eq!(stage.role(second), Some(Supervision::Monitoring));
    assert_eq!(stage.board.snapshot().sessions.len(), 1);
}

#[test]
fn commands_typed_on_the_way_in_are_carried_out_inside() {
    let (mut stage, _) = Stage::talking();
    stage.manners.matrices = false;
    let mia = stage.dial_in(MIA);
    stage.press(mia, "6#");

    stage.manners.matrices = true;
    stage.release();

    assert_eq!(stage.role(mia), Some(Supervision::Barged));
}

#[test]
fn a_phone_that_is_gone_before_it_arrives_on_the_other_shard_is_closed_there() {
    let mut stage = Stage::with(Settings {
        shards: 2,
        ..Settings::default()
    });
    let calls = [stage.call("204"), stage.call("205")];
    let mia = stage.dial_in(MIA);
    let here = stage.board.legs[&mia].shard;
    let there = ShardId(1 - here.0);
    for call in calls {
        stage.board.calls.get_mut(&call).unwrap().shard = there;
    }
    stage.manners.moves = false;
    stage.press(mia, "204#");

    stage.hang_up(mia);
    stage.release();

    assert!(stage.outputs.iter().any(|(_, output)| matches!(
        output,
        Output::Media { shard, command: Command::Close { leg } }
            if *shard == there && *leg == mia
    )));
}

#[test]
fn a_phone_that_is_replaced_on_its_way_in_leaves_nothing_behind() {
    let (mut stage, call) = Stage::talking();
    stage.manners.matrices = false;
    let first = stage.dial_in(MIA);
    stage.manners.matrices = true;

    let second = stage.dial_in_registered("mia");
    assert!(stage.was_hung_up(first));
    assert_eq!(stage.role(second), Some(Supervision::Monitoring));
    assert_eq!(stage.board.calls[&call].seats.len(), 3);
    stage.hang_up(second);

    stage.assert_untouched(call);
}
