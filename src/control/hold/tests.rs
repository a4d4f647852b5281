//! Hold, resume, refresh and glare.

use std::time::Duration;

use crate::control::harness::acme::*;
use crate::control::harness::descriptions::*;
use crate::control::harness::house::*;
use crate::control::input::Signal;
use crate::control::leg::Waiting;
use crate::id::{LegId, RequestId};
use crate::media::command::{Command, Event, Flow, Sound};
use crate::wire::sdp::SessionDescription;

const REQUEST: RequestId = RequestId(7);

#[test]
fn a_hold_is_passed_on_and_the_holders_own_music_is_heard() {
    let (mut house, customer, agent) = talking();

    reinvite(&mut house, agent, Some(directed(5_000, "sendonly")));
    assert_eq!(house.last(customer), "re-INVITE sendonly");
    assert_eq!(house.last(agent), "nothing", "it waits for the customer");
    answer(&mut house, customer, Ok(directed(4_000, "recvonly")));

    assert_eq!(house.last(agent), "re-200 recvonly");
    let call = house.call();
    assert!(house.board.holds(call, crate::control::call::Side::Pupil));
    assert!(house.board.snapshot().calls[0].on_hold);
    assert_eq!(flow(&house, agent), Flow::ReceiveOnly);
    assert_eq!(flow(&house, customer), Flow::SendOnly);
    assert_eq!(music(&house), [], "the agent's own comes through");
}

#[test]
fn our_music_plays_where_the_holder_sends_none() {
    let (mut house, customer, agent) = talking();

    hold(&mut house, agent, customer, "inactive");

    assert_eq!(house.last(agent), "re-200 inactive");
    assert_eq!(music(&house), [Sound::HoldMusic]);
    assert_eq!(house.board.legs[&customer].waiting, Some(Waiting::OnHold));
    house.forget();

    resume(&mut house, agent, customer);

    assert!(stopped(&house));
    assert_eq!(house.board.legs[&customer].waiting, None);
}

#[test]
fn our_music_begins_when_the_holder_only_says_that_they_send() {
    let (mut house, customer, agent) = talking();
    hold(&mut house, agent, customer, "sendonly");

    house.event(Event::MediaSilent {
        leg: agent,
        lasting: Duration::from_secs(2),
    });
    assert_eq!(music(&house), [Sound::HoldMusic]);
    house.event(Event::MediaHeard { leg: agent });

    assert!(stopped(&house));
}

#[test]
fn the_old_way_of_holding_works_too() {
    let (mut house, customer, agent) = talking();
    let text = directed(5_000, "sendrecv")
        .to_string()
        .replace("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0");
    let offer = SessionDescription::parse(text.as_bytes()).unwrap();

    reinvite(&mut house, agent, Some(offer));
    answer(&mut house, customer, Ok(directed(4_000, "recvonly")));

    assert_eq!(house.last(agent), "re-200 recvonly");
    assert_eq!(house.last(customer), "re-INVITE sendonly");
}

#[test]
fn a_resume_is_passed_on_and_both_flow_again() {
    let (mut house, customer, agent) = talking();
    hold(&mut house, agent, customer, "sendonly");

    resume(&mut house, agent, customer);

    assert_eq!(house.last(agent), "re-200 sendrecv");
    assert_eq!(flow(&house, agent), Flow::Both);
    assert_eq!(flow(&house, customer), Flow::Both);
    assert!(!house.board.snapshot().calls[0].on_hold);
}

#[test]
fn a_customer_may_hold_the_agent() {
    let (mut house, customer, agent) = talking();

    hold(&mut house, customer, agent, "sendonly");

    assert_eq!(house.last(customer), "re-200 recvonly");
    let call = house.call();
    assert!(house.board.holds(call, crate::control::call::Side::User));
    assert!(!house.board.holds(call, crate::control::call::Side::Pupil));
}

#[test]
fn a_refresh_concerns_nobody_else() {
    let (mut house, customer, agent) = talking();
    house.forget();

    reinvite(&mut house, agent, Some(pcma(5_000)));

    assert_eq!(house.last(agent), "re-200 sendrecv");
    assert_eq!(house.last(customer), "nothing");
}

#[test]
fn a_refresh_while_on_hold_stays_on_hold() {
    let (mut house, customer, agent) = talking();
    hold(&mut house, agent, customer, "sendonly");
    house.forget();

    reinvite(&mut house, agent, Some(directed(5_000, "sendonly")));
    reinvite(&mut house, customer, Some(directed(4_000, "recvonly")));

    assert_eq!(house.last(agent), "re-200 recvonly");
    assert_eq!(house.last(customer), "re-200 sendonly");
}

#[test]
fn a_new_address_is_taken_without_a_word_to_the_other() {
    let (mut house, customer, agent) = talking();
    house.forget();

    reinvite(&mut house, agent, Some(pcma(5_500)));

    assert_eq!(house.last(customer), "nothing");
    let moved = house.commands().into_iter().any(|command| {
        matches!(command, Command::Configure { leg, media } if *leg == agent && media.remote.unwrap().port() == 5_500)
    });
    assert!(moved);
}

#[test]
fn a_re_invite_without_offer_is_answered_with_ours() {
    let (mut house, customer, agent) = talking();
    house.forget();

    reinvite(&mut house, agent, None);
    assert_eq!(house.last(agent), "re-200 sendrecv");
    let sdp = Some(directed(5_000, "sendonly"));
    house.signal(
        agent,
        Signal::ReinviteAcknowledged {
            request: REQUEST,
            sdp,
        },
    );

    assert_eq!(house.last(customer), "re-INVITE sendonly");
    answer(&mut house, customer, Ok(directed(4_000, "recvonly")));
    assert!(house.board.snapshot().calls[0].on_hold);
}

#[test]
fn two_that_meet_get_491() {
    let (mut house, customer, agent) = talking();
    reinvite(&mut house, agent, Some(directed(5_000, "sendonly")));

    reinvite(&mut house, customer, Some(directed(4_000, "sendonly")));
    assert_eq!(house.last(customer), "re-491");
    reinvite(&mut house, agent, Some(directed(5_000, "sendrecv")));
    assert_eq!(house.last(agent), "re-491");

    answer(&mut house, customer, Ok(directed(4_000, "recvonly")));
    assert_eq!(house.last(agent), "re-200 recvonly");
}

#[test]
fn a_491_from_the_other_is_handed_back() {
    let (mut house, customer, agent) = talking();

    reinvite(&mut house, agent, Some(directed(5_000, "sendonly")));
    answer(&mut house, customer, Err(491));

    assert_eq!(house.last(agent), "re-491");
    assert!(!house.board.snapshot().calls[0].on_hold);
    reinvite(&mut house, agent, Some(directed(5_000, "sendonly")));
    assert_eq!(house.last(customer), "re-INVITE sendonly");
}

#[test]
fn who_refuses_to_be_held_hears_music_all_the_same() {
    let (mut house, customer, agent) = talking();

    reinvite(&mut house, agent, Some(directed(5_000, "inactive")));
    answer(&mut house, customer, Err(501));

    assert_eq!(house.last(agent), "re-200 inactive");
    assert_eq!(music(&house), [Sound::HoldMusic]);
}

#[test]
fn a_party_that_is_gone_from_its_dialog_ends_the_call() {
    let (mut house, customer, agent) = talking();

    reinvite(&mut house, agent, Some(directed(5_000, "sendonly")));
    answer(&mut house, customer, Err(481));

    assert!(house.last(agent).starts_with("BYE"));
    house.signal(agent, Signal::HangUpDone);
    house.assert_empty();
}

#[test]
fn a_re_invite_that_nobody_answers_is_given_up() {
    let (mut house, customer, agent) = talking();
    reinvite(&mut house, agent, Some(directed(5_000, "sendonly")));

    house.wait(Duration::from_secs(41));

    assert_eq!(house.last(customer), "BYE");
    assert!(house.last(agent).starts_with("BYE"));
}

#[test]
fn both_may_hold_and_the_last_to_resume_frees_the_line() {
    let (mut house, customer, agent) = talking();
    hold(&mut house, agent, customer, "sendonly");
    reinvite(&mut house, customer, Some(directed(4_000, "inactive")));
    answer(&mut house, agent, Ok(directed(5_000, "inactive")));
    assert_eq!(house.last(customer), "re-200 inactive");
    let call = house.call();
    assert!(house.board.holds(call, crate::control::call::Side::User));
    assert!(house.board.holds(call, crate::control::call::Side::Pupil));

    reinvite(&mut house, agent, Some(directed(5_000, "sendrecv")));
    assert_eq!(house.last(customer), "re-INVITE sendrecv");
    answer(&mut house, customer, Ok(directed(4_000, "sendonly")));
    assert_eq!(house.last(agent), "re-200 sendonly");

    reinvite(&mut house, customer, Some(directed(4_000, "sendrecv")));
    assert_eq!(house.last(agent), "re-INVITE sendrecv");
    answer(&mut house, agent, Ok(directed(5_000, "sendrecv")));
    assert_eq!(house.last(customer), "re-200 sendrecv");
    assert!(!house.board.snapshot().calls[0].on_hold);
}

#[test]
fn an_offer_without_audio_is_refused_and_changes_nothing() {
    let (mut house, customer, agent) = talking();
    house.forget();
    let video = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=video 4 RTP/AVP 99\r\n";
    let video = SessionDescription::parse(video.as_bytes()).unwrap();

    reinvite(&mut house, agent, Some(video));

    assert_eq!(house.last(agent), "re-488");
    assert_eq!(house.last(customer), "nothing");
    assert_eq!(flow(&house, agent), Flow::Both);
}

#[test]
fn payload_numbers_of_each_dialog_stay_its_own() {
    let mut house = House::new();
    let opus = |port, number, direction: &str| {
        let text = format!("a=rtpmap:{number} opus/48000/2\r\na={direction}");
        sdp(port, &format!("{number}"), &text)
    };
    let customer = house.invite(carrier(), "1", "204", Some(opus(4_000, 96, "sendrecv")));
    let agent = house.only_dialled();
    house.answers_with(agent, opus(5_000, 120, "sendrecv"));
    house.signal(customer, Signal::Acknowledged { sdp: None });

    reinvite(&mut house, agent, Some(opus(5_000, 120, "sendonly")));

    let offer = house.sdp_to(customer).audio().unwrap();
    assert_eq!(offer.formats[0].encoding, "opus");
    assert_eq!(offer.formats[0].payload_type, 96);
}

fn talking() -> (House, LegId, LegId) {
    let mut house = House::new();
    let (customer, agent) = house.talking();
    house.forget();
    (house, customer, agent)
}

fn reinvite(house: &mut House, leg: LegId, sdp: Option<SessionDescription>) {
    house.signal(
        leg,
        Signal::Reinvited {
            request: REQUEST,
            sdp,
        },
    );
}

fn answer(house: &mut House, leg: LegId, result: Result<SessionDescription, u16>) {
    let request = house.reinvite_to(leg);
    house.signal(
        leg,
        Signal::ReinviteAnswered {
            request,
            result: result.map(Some),
        },
    );
}

/// `holder` holds, and the other agrees.
fn hold(house: &mut House, holder: LegId, held: LegId, direction: &str) {
    reinvite(house, holder, Some(directed(5_000, direction)));
    answer(house, held, Ok(directed(4_000, "recvonly")));
}

fn resume(house: &mut House, holder: LegId, held: LegId) {
    reinvite(house, holder, Some(directed(5_000, "sendrecv")));
    answer(house, held, Ok(directed(4_000, "sendrecv")));
}

fn flow(house: &House, leg: LegId) -> Flow {
    house.board.legs[&leg].negotiation.flow
}

fn music(house: &House) -> Vec<Sound> {
    house
        .commands()
        .into_iter()
        .filter_map(|command| match command {
            Command::Play { sounds, .. } => Some(sounds.clone()),
            _ => None,
        })
        .flatten()
        .collect()
}

fn stopped(house: &House) -> bool {
    house
        .commands()
        .into_iter()
        .any(|command| matches!(command, Command::StopPlay { .. }))
}
