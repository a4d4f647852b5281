use super::*;

fn fixture(name: &str) -> SessionDescription {
    let path = format!("{}/fixtures/sdp/{name}.sdp", env!("CARGO_MANIFEST_DIR"));
    SessionDescription::parse(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_desk_phone_is_read_whole() {
    let audio = fixture("desk-phone").audio().unwrap();

    assert_eq!(audio.line, 0);
    assert_eq!(audio.remote, Some("192.0.2.17:11780".parse().unwrap()));
    assert_eq!(audio.remote_rtcp, None);
    assert_eq!(audio.direction, Direction::SendRecv);
    assert_eq!(audio.ptime_ms, Some(20));
    let names: Vec<&str> = audio.formats.iter().map(|f| f.encoding.as_str()).collect();
    assert_eq!(names, ["G722", "PCMA", "PCMU", "G729", "telephone-event"]);
    assert_eq!(audio.formats[3].fmtp.as_deref(), Some("annexb=no"));
}

#[test]
fn opus_two_clocks_and_rtcp_of_its_own_are_read() {
    let audio = fixture("softphone-opus").audio().unwrap();

    assert_eq!(audio.remote, Some("[2001:db8::7]:7078".parse().unwrap()));
    assert_eq!(
        audio.remote_rtcp,
        Some("[2001:db8::8]:7090".parse().unwrap())
    );
    assert!(audio.rtcp_mux);
    assert_eq!(
        audio.formats[0],
        Format::new(96, "opus", 48_000, 2).with_fmtp("useinbandfec=1;stereo=0")
    );
    let clocks: Vec<u32> = audio
        .formats
        .iter()
        .filter(|format| format.is_telephone_event())
        .map(|format| format.clock_rate_hz)
        .collect();
    assert_eq!(clocks, [48_000, 8_000]);
}

#[test]
fn the_old_way_of_holding_means_that_they_do_not_receive() {
    let audio = fixture("hold-old-style").audio().unwrap();

    assert_eq!(audio.remote, None);
    assert_eq!(audio.direction, Direction::SendOnly);
}

#[test]
fn video_and_encrypted_audio_are_passed_over() {
    let audio = fixture("video-first-secure-audio").audio().unwrap();

    assert_eq!(audio.line, 2);
    assert_eq!(audio.remote, Some("203.0.113.9:54600".parse().unwrap()));
    assert_eq!(audio.direction, Direction::Inactive);
}

#[test]
fn a_careless_phone_is_understood() {
    let audio = fixture("careless").audio().unwrap();

    assert_eq!(audio.remote, Some("192.0.2.9:4000".parse().unwrap()));
    let numbers: Vec<u8> = audio.formats.iter().map(|f| f.payload_type).collect();
    assert_eq!(numbers, [8, 101]);
}

#[test]
fn what_is_printed_reads_back_as_the_same() {
    for name in [
        "desk-phone",
        "softphone-opus",
        "trunk-g729-only",
        "hold-old-style",
        "video-first-secure-audio",
        "careless",
    ] {
        let description = fixture(name);

        let again = SessionDescription::parse(description.to_string().as_bytes()).unwrap();

        assert_eq!(again, description, "{name}");
    }
}

#[test]
fn no_bytes_make_the_parser_panic() {
    let mut random = fastrand::Rng::with_seed(8866);
    let seeds: Vec<Vec<u8>> = ["desk-phone", "softphone-opus", "video-first-secure-audio"]
        .iter()
        .map(|name| fixture(name).to_bytes())
        .collect();

    for round in 0..20_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..random.usize(1..12) {
            let at = random.usize(0..bytes.len());
            match random.u8(0..4) {
                0 => bytes[at] = random.u8(..),
                1 => bytes.truncate(at + 1),
                2 => bytes.insert(at, b"0 /:=\r\n-9a"[random.usize(0..10)]),
                _ => {
                    let piece = bytes[at..].to_vec();
                    bytes.extend_from_slice(&piece[..piece.len().min(40)]);
                }
            }
        }
        if let Ok(description) = SessionDescription::parse(&bytes) {
            let audio = description.audio();
            let again = SessionDescription::parse(&description.to_bytes()).unwrap();
            assert_eq!(again.audio(), audio);
        }
    }
}

#[test]
fn a_description_that_is_too_long_is_not_read() {
    let bytes = vec![b'a'; MAX_BYTES + 1];

    assert_eq!(
        SessionDescription::parse(&bytes),
        Err(ParseError::TooLong(MAX_BYTES + 1))
    );
    assert_eq!(
        SessionDescription::parse(b"hello"),
        Err(ParseError::Malformed)
    );
}

#[test]
fn a_direction_reversed_and_narrowed_keeps_to_what_both_allow() {
    assert_eq!(Direction::SendOnly.reversed(), Direction::RecvOnly);
    assert_eq!(Direction::Inactive.reversed(), Direction::Inactive);
    assert_eq!(
        Direction::SendRecv.narrowed(Direction::RecvOnly),
        Direction::RecvOnly
    );
    assert_eq!(
        Direction::SendOnly.narrowed(Direction::RecvOnly),
        Direction::Inactive
    );
}
