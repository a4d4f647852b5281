//! sipp as carrier and as agent.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use sottovoce::demo::service::{Service, Setup};
use sottovoce::demo::{stage, voices};

const CARRIER: &str = "127.0.0.51";
const AGENT: &str = "127.0.0.64";

fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/peers/scenarios")
        .join(name)
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("sottovoce-sipp-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // What cannot be removed is left to the system's cleaning.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

fn free_port(ip: &str) -> u16 {
    UdpSocket::bind((ip, 0))
        .expect("a port")
        .local_addr()
        .expect("an address")
        .port()
}

/// A service whose agent 210 is a sipp at this port.
fn service(folder: &Folder, agent_port: u16) -> Service {
    let mut setup: Setup = stage::setup(&folder.0);
    setup.share = Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    // Two legs of two ports for each of 200 calls.
    let base = (12_000..28_000)
        .step_by(1000)
        .find(|port| UdpSocket::bind(("127.0.0.1", *port)).is_ok())
        .expect("a stretch of ports");
    setup.rtp_ports = Some(format!("{base}-{}", base + 999));
    setup.people += &format!(
        "\n[[agent]]\norganisation = \"acme\"\nextension = \"210\"\nname = \"sipp\"\npools = [\"support\"]\n\
         contact = \"sip:210@{AGENT}:{agent_port}\"\n"
    );
    Service::start(Path::new(env!("CARGO_BIN_EXE_sottovoce")), &setup).expect("the service starts")
}

/// One sipp in a folder of its own.
struct Sipp(Child);

impl Sipp {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let child = Command::new("sipp")
            .args(arguments)
            .args([
                "-nostdin",
                "-trace_err",
                "-timeout",
                "120",
                "-timeout_error",
            ])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sipp is installed (Debian package sip-tester; ./run test installs it)");
        Self(child)
    }

    fn finish(self) -> Output {
        self.0.wait_with_output().expect("sipp ends")
    }
}

fn assert_good(output: &Output, who: &str) {
    let text = String::from_utf8_lossy(&output.stdout);
    let tail: Vec<&str> = text.lines().rev().take(60).collect();
    assert!(
        output.status.success(),
        "{who} ended with {}:\n{}\n{}",
        output.status,
        tail.into_iter().rev().collect::<Vec<_>>().join("\n"),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs one scenario on each side and expects both to come to their end.
fn both_sides(name: &str, caller: &str, agent: &str) {
    let folder = Folder::new(name);
    let agent_port = free_port(AGENT);
    let service = service(&folder, agent_port);
    let agent = Sipp::start(
        &folder.0,
        &[
            "-sf",
            &scenario(agent).display().to_string(),
            "-i",
            AGENT,
            "-p",
            &agent_port.to_string(),
            "-mp",
            &free_port(AGENT).to_string(),
            "-m",
            "1",
        ],
    );
    let caller = Sipp::start(
        &folder.0,
        &[
            &service.sip.to_string(),
            "-sf",
            &scenario(caller).display().to_string(),
            "-s",
            "210",
            "-i",
            CARRIER,
            "-p",
            &free_port(CARRIER).to_string(),
            "-mp",
            &free_port(CARRIER).to_string(),
            "-m",
            "1",
        ],
    );
    assert_good(&caller.finish(), "the caller");
    assert_good(&agent.finish(), "the agent");
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
    let agent_port = free_port(AGENT);
    let service = service(&folder, agent_port);
    let speech: Vec<u8> = audio_codec::create_encoder(audio_codec::CodecType::PCMU)
        .encode(&voices::customer())
        .to_vec();
    std::fs::write(folder.0.join("speech.ulaw"), speech).expect("written");
    let caller_scenario = folder.0.join("uac-media.xml");
    let text = std::fs::read_to_string(scenario("uac-media.xml")).expect("a scenario");
    let speech = folder.0.join("speech.ulaw").display().to_string();
    std::fs::write(&caller_scenario, text.replace("SPEECH", &speech)).expect("written");

    let agent = Sipp::start(
        &folder.0,
        &[
            "-sn",
            "uas",
            "-rtp_echo",
            "-i",
            AGENT,
            "-p",
            &agent_port.to_string(),
            "-mp",
            &free_port(AGENT).to_string(),
            "-m",
            "200",
        ],
    );
    let caller = Sipp::start(
        &folder.0,
        &[
            &service.sip.to_string(),
            "-sf",
            &caller_scenario.display().to_string(),
            "-s",
            "210",
            "-i",
            CARRIER,
            "-p",
            &free_port(CARRIER).to_string(),
            "-m",
            "200",
            "-l",
            "200",
            "-r",
            "50",
        ],
    );
    assert_good(&caller.finish(), "the carrier");
    let (_, metrics) = service.get("/metrics").expect("metrics");
    let packets: f64 = metrics
        .lines()
        .filter(|line| line.starts_with("sottovoce_rtp_packets_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    // 200 calls of eight seconds, both ways in and out: 320 000 if nobody is ever late.
    assert!(packets > 160_000.0, "{packets} packets:\n{metrics}");
    assert_good(&agent.finish(), "the agent");
    service.stop().expect("the service ends well");
}
