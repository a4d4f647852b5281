//! The media of calls without their signalling, in a process of its own: what one call of it holds.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use sottovoce::control::role::Role;
use sottovoce::control::routing::{SeatState, fence_for, matrix_for};
use sottovoce::edge::rtp::engine::EngineKind;
use sottovoce::edge::rtp::{MediaConfig, MediaPlane};
use sottovoce::edge::telemetry::Metrics;
use sottovoce::id::{BridgeId, Generation, LegId, ShardId};
use sottovoce::media::codec::Codec;
use sottovoce::media::command::{Command, Event, Flow, LegMedia, TelephoneEventFormat};
use sottovoce::media::matrix::Seat;
use sottovoce::media::prompt::PromptLibrary;

use crate::machine;

/// The arguments that make this program the plane: how it moves packets, and so many calls.
pub const ARGUMENT: &str = "--plane";
const IP: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 89));
/// The allocator and the tables of the first calls are there by then.
const WARM: u64 = 50;
const ROUNDS: u16 = 300;

/// Resident bytes for each call.
pub fn measure(engine: EngineKind, calls: usize) -> anyhow::Result<f64> {
    let output = Process::new(std::env::current_exe()?)
        .args([ARGUMENT, &engine.to_string(), &calls.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("starting the media plane by itself")?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim()
        .parse()
        .with_context(|| format!("the plane said {text:?}"))
}

/// Opens calls, lets packets pass both ways for some seconds, reports included, and prints what
/// each call has come to hold.
pub fn run(engine: EngineKind, calls: u64) -> anyhow::Result<()> {
    let metrics = Metrics::new();
    let config = MediaConfig {
        threads: 1,
        bind: IP,
        advertise: IP,
        ports: 10_000..=32_767,
        seed: 1,
        engine,
    };
    let prompts = Arc::new(PromptLibrary::empty());
    let (mut plane, mut reports) = MediaPlane::start(&config, prompts, &metrics)?;
    let phone = UdpSocket::bind((IP, 0))?;
    phone.set_nonblocking(true)?;
    let remote = phone.local_addr()?;
    let mut legs = Vec::new();
    let mut drain = |plane: &mut MediaPlane| {
        while let Ok((_, report)) = reports.try_recv() {
            plane.handle_report(Instant::now(), report);
        }
        plane.handle_timeout();
    };

    for call in 0..WARM {
        open(&mut plane, call, remote, &mut legs)?;
    }
    speak(&phone, &legs, || drain(&mut plane))?;
    let before = resident()?;
    for call in WARM..WARM + calls {
        open(&mut plane, call, remote, &mut legs)?;
        drain(&mut plane);
    }
    speak(&phone, &legs, || drain(&mut plane))?;
    let after = resident()?;
    println!("{}", after.saturating_sub(before) as f64 / calls as f64);
    plane.stop();
    Ok(())
}

fn open(
    plane: &mut MediaPlane,
    call: u64,
    remote: SocketAddr,
    legs: &mut Vec<SocketAddr>,
) -> anyhow::Result<()> {
    let shard = ShardId(0);
    let bridge = BridgeId(call);
    let parties = [(Seat::USER, Role::User), (Seat::PUPIL, Role::Pupil)];
    plane.command(shard, Command::OpenBridge { bridge });
    for (step, (seat, _)) in (0..).zip(parties) {
        let leg = LegId(2 * call + step);
        let Event::Opened { local, .. } = plane.open(Instant::now(), shard, leg) else {
            bail!("no port for call {call}");
        };
        legs.push(local);
        let media = LegMedia {
            remote: Some(remote),
            remote_rtcp: None,
            rtcp_mux: false,
            codec: Codec::Pcmu,
            payload_type: 0,
            telephone_event: Some(TelephoneEventFormat {
                payload_type: 101,
                clock_rate_hz: 8_000,
            }),
            flow: Flow::Both,
            ptime_ms: 20,
        };
        plane.command(shard, Command::Configure { leg, media });
        plane.command(shard, Command::Seat { bridge, leg, seat });
    }
    let seats = parties.map(|(seat, role)| SeatState::present(seat, role));
    let matrix = matrix_for(Generation(1), &seats);
    let fence = fence_for(&seats);
    plane.command(
        shard,
        Command::SetMatrix {
            bridge,
            matrix,
            fence,
        },
    );
    Ok(())
}

/// A packet a leg in each round, at a pace that one core can keep; what comes back is thrown away.
fn speak(phone: &UdpSocket, legs: &[SocketAddr], mut drain: impl FnMut()) -> anyhow::Result<()> {
    let mut packet = [0xff; 172];
    packet[..2].copy_from_slice(&[0x80, 0]);
    let mut back = [0; 2048];
    for round in 0..ROUNDS {
        packet[2..4].copy_from_slice(&round.to_be_bytes());
        packet[4..8].copy_from_slice(&(u32::from(round) * 160).to_be_bytes());
        for legs in legs.chunks(64) {
            for leg in legs {
                phone.send_to(&packet, leg)?;
            }
            while phone.recv(&mut back).is_ok() {}
        }
        drain();
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn resident() -> anyhow::Result<u64> {
    Ok(machine::resident_kib(std::process::id())? * 1024)
}
