//! sipp as carrier and as agent.

use std::path::{Path, PathBuf};

use sottovoce::demo::service::{Service, Setup};
use sottovoce::demo::{stage, voices};

use crate::common::folder::Folder;
use crate::common::sipp::{Sipp, free_port};

const CARRIER: &str = "127.0.0.51";
const AGENT: &str = "127.0.0.64";

/// A scenario in the folder beside this file.
fn scenario(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/scenarios");
    folder.join(name).display().to_string()
}

/// A service whose agent 210 is a sipp at this port.
fn service(folder: &Folder, agent_port: u16) -> Service {
    let mut setup: Setup = stage::setup(folder.path());
    setup.share = Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    // Two legs of two ports for each of 200 calls.
    setup.rtp_count = Some(2_000);
    setup.people += &format!(
        "\n[[agent]]\norganisation = \"acme\"\nextension = \"210\"\nname = \"sipp\"\npools = [\"support\"]\n\
         contact = \"sip:210@{AGENT}:{agent_port};transport=tcp\"\n"
    );
    Service::start(Path::new(env!("CARGO_BIN_EXE_sottovoce")), &setup).expect("the service starts")
}

/// Runs one scenario on each side and expects both to come to their end.
fn both_sides(name: &str, caller: &str, agent: &str) {
    let folder = Folder::new(name);
    let agent_at = free_port(AGENT);
    let service = service(&folder, agent_at.port());
    let agent = Sipp::start(
        folder.path(),
        "the agent",
        agent_at,
        &["-sf", &scenario(agent), "-t", "t1", "-m", "1"],
    )
    .listening();
    let caller = Sipp::start(
        folder.path(),
        "the caller",
        free_port(CARRIER),
        &[
            &service.sip.to_string(),
            "-sf",
            &scenario(caller),
            "-s",
            "210",
            "-m",
            "1",
        ],
    );
    caller.assert_content();
    agent.assert_content();
    service.stop().expect("the service ends well");
}

#[test]
fn a_caller_who_cancels_ends_the_ringing() {
    both_sides("cancel", "uac-cancel.xml", "uas-ringing.xml");
}

#[test]
fn a_busy_agent_is_busy_for_the_caller() {
    both_sides("busy", "uac-busy.xml", "uas-busy.xml");
}

#[test]
fn a_caller_holds_and_resumes() {
    both_sides("hold", "uac-hold.xml", "uas-hold.xml");
}

#[test]
fn two_hundred_parallel_calls_with_media() {
    let folder = Folder::new("parallel");
    let agent_at = free_port(AGENT);
    let service = service(&folder, agent_at.port());
    let speech: Vec<u8> = audio_codec::create_encoder(audio_codec::CodecType::PCMU)
        .encode(&voices::customer())
        .to_vec();
    let speech_file = folder.path().join("speech.ulaw").display().to_string();
    std::fs::write(&speech_file, speech).expect("written");
    let text = std::fs::read_to_string(scenario("uac-media.xml")).expect("a scenario");
    let caller_scenario = folder.path().join("uac-media.xml").display().to_string();
    std::fs::write(&caller_scenario, text.replace("SPEECH", &speech_file)).expect("written");

    let agent = Sipp::start(
        folder.path(),
        "the agent",
        agent_at,
        &["-sn", "uas", "-t", "t1", "-rtp_echo", "-m", "200"],
    )
    .listening();
    let caller = Sipp::start(
        folder.path(),
        "the carrier",
        free_port(CARRIER),
        &[
            &service.sip.to_string(),
            "-sf",
            &caller_scenario,
            "-s",
            "210",
            "-m",
            "200",
            "-l",
            "200",
            "-r",
            "50",
        ],
    );
    caller.assert_content();
    let (_, metrics) = service.get("/metrics").expect("metrics");
    let packets = |direction: &str| -> u64 {
        let name = format!("sottovoce_rtp_packets_total{{direction=\"{direction}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
        value.expect("a counter").parse().expect("a number")
    };
    let (received, sent) = (packets("in"), packets("out"));
    // 200 calls of eight seconds and their echo: 160 000 if sipp is never late. It is for it to say
    // how much of that it sends; what came has gone on.
    assert!(received >= 200 * 2 * 50, "{received} packets came");
    assert!(sent * 100 >= received * 99, "{sent} of {received} packets");
    agent.assert_content();
    service.stop().expect("the service ends well");
}
