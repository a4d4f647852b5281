use super::*;

fn fixture(name: &str) -> SessionDescription {
    let path = format!("{}/fixtures/sdp/{name}.sdp", env!("CARGO_MANIFEST_DIR"));
    SessionDescription::parse(&std::fs::read(path).unwrap()).unwrap()
}

fn ours() -> Vec<Format> {
    vec![
        Format::new(0, "PCMU", 8_000, 1),
        Format::new(8, "PCMA", 8_000, 1),
        Format::new(111, "opus", 48_000, 2).with_fmtp("useinbandfec=1"),
    ]
}

fn local(previous: Option<&SessionDescription>) -> Local<'_> {
    Local {
        address: "127.0.0.1:20000".parse().unwrap(),
        session: 77,
        previous,
    }
}

fn stream(formats: Vec<Format>, direction: Direction) -> Stream {
    Stream {
        formats,
        direction,
        ptime_ms: None,
        rtcp_mux: false,
    }
}

fn names(formats: &[Format]) -> Vec<String> {
    formats
        .iter()
        .map(|f| format!("{} {}/{}", f.payload_type, f.encoding, f.clock_rate_hz))
        .collect()
}

#[test]
fn an_offer_puts_the_other_legs_codecs_first_and_what_we_cannot_decode_last() {
    let theirs = fixture("desk-phone").audio().unwrap().formats;

    let formats = formats_to_offer(&theirs, &ours());

    assert_eq!(
        names(&formats),
        [
            "8 PCMA/8000",
            "0 PCMU/8000",
            "111 opus/48000",
            "9 G722/8000",
            "18 G729/8000",
            "101 telephone-event/8000",
            "96 telephone-event/48000",
        ]
    );
}

#[test]
fn an_offer_on_our_own_behalf_is_ours_in_our_order() {
    let formats = formats_to_offer(&[], &ours());

    assert_eq!(
        names(&formats),
        [
            "0 PCMU/8000",
            "8 PCMA/8000",
            "111 opus/48000",
            "101 telephone-event/8000",
            "96 telephone-event/48000",
        ]
    );
}

#[test]
fn a_leg_that_speaks_nothing_of_ours_is_offered_on_alone() {
    let theirs = fixture("trunk-g729-only").audio().unwrap().formats;

    let formats = formats_to_offer(&theirs, &ours());

    assert_eq!(
        names(&formats),
        ["18 G729/8000", "100 telephone-event/8000"]
    );
}

#[test]
fn the_other_legs_numbers_are_kept_and_no_number_is_used_twice() {
    let theirs = fixture("softphone-opus").audio().unwrap().formats;

    let formats = formats_to_offer(&theirs, &ours());

    assert_eq!(
        names(&formats),
        [
            "96 opus/48000",
            "0 PCMU/8000",
            "8 PCMA/8000",
            "97 speex/16000",
            "101 telephone-event/48000",
            "98 telephone-event/8000",
        ]
    );
    assert_eq!(formats[0].fmtp.as_deref(), Some("useinbandfec=1;stereo=0"));
}

#[test]
fn an_answer_takes_what_the_other_leg_speaks_or_else_the_first_of_ours() {
    let offered = fixture("desk-phone").audio().unwrap().formats;
    let g729 = Format::new(18, "G729", 8_000, 1);
    let opus = Format::new(96, "opus", 48_000, 2);
    let codec = |other| choose(&offered, &ours(), other).unwrap().codec.encoding;

    assert_eq!(codec(Some(&g729)), "G729");
    assert_eq!(codec(Some(&opus)), "PCMU");
    assert_eq!(codec(None), "PCMU");
}

#[test]
fn nothing_is_chosen_where_nothing_is_in_common() {
    let trunk = fixture("trunk-g729-only").audio().unwrap().formats;
    let desk = fixture("desk-phone").audio().unwrap().formats;
    let speex = Format::new(97, "speex", 16_000, 1);

    assert_eq!(choose(&trunk, &ours(), None), None);
    assert_eq!(choose(&desk, &ours(), Some(&speex)), None);
}

#[test]
fn keys_are_answered_at_the_clock_of_the_codec_or_at_any() {
    let softphone = fixture("softphone-opus").audio().unwrap().formats;
    let opus = Format::new(96, "opus", 48_000, 2);
    let desk = fixture("desk-phone").audio().unwrap().formats;

    let number = |formats: &[Format], clock| {
        telephone_event_for(formats, clock).map(|format| format.payload_type)
    };
    let chosen = choose(&softphone, &ours(), Some(&opus)).unwrap();

    assert_eq!(chosen.telephone_event.unwrap().payload_type, 101);
    assert_eq!(number(&softphone, 8_000), Some(98));
    assert_eq!(number(&desk, 48_000), Some(101));
}

#[test]
fn an_answer_keeps_the_offers_lines_and_switches_the_others_off() {
    let offer = fixture("softphone-opus");
    let audio = offer.audio().unwrap();
    let chosen = choose(&audio.formats, &ours(), None).unwrap();

    let answer = answer(
        local(None),
        &offer,
        &audio,
        &stream(chosen.formats(), Direction::SendRecv),
    );

    let text = answer.to_string();
    assert!(text.contains("m=audio 20000 RTP/AVP 0 98\r\n"), "{text}");
    assert!(text.contains("m=video 0 RTP/AVP 99\r\n"), "{text}");
    assert!(text.starts_with("v=0\r\no=- 77 1 IN IP4 127.0.0.1\r\n"));
}

#[test]
fn the_version_goes_up_with_every_change_and_only_then() {
    let first = offer(local(None), &stream(ours(), Direction::SendRecv));
    let same = offer(local(Some(&first)), &stream(ours(), Direction::SendRecv));
    let held = offer(local(Some(&same)), &stream(ours(), Direction::SendOnly));

    assert_eq!(first, same);
    assert_eq!(held.0.origin.sess_version, first.0.origin.sess_version + 1);
    assert_eq!(held.0.origin.sess_id, first.0.origin.sess_id);
}

#[test]
fn a_later_offer_keeps_the_lines_of_the_first_description() {
    let theirs = fixture("softphone-opus");
    let audio = theirs.audio().unwrap();
    let first = answer(
        local(None),
        &theirs,
        &audio,
        &stream(ours(), Direction::SendRecv),
    );

    let later = offer(local(Some(&first)), &stream(ours(), Direction::SendOnly));

    let kinds: Vec<(&str, u16)> = later
        .0
        .medias
        .iter()
        .map(|media| (media.media.as_str(), media.port))
        .collect();
    assert_eq!(kinds, [("audio", 20000), ("video", 0)]);
}

#[test]
fn the_answer_to_our_offer_is_taken_at_its_first_codec() {
    let offered = formats_to_offer(&[], &ours());
    let chosen = chosen_by_answer(&offered, &fixture("desk-phone").audio().unwrap().formats);

    // G.722 was not offered; PCMA stands first of what was.
    assert_eq!(chosen.unwrap().codec.encoding, "PCMA");
}
