//! The threads with real sockets on loopback.

use super::*;
use crate::edge::rtp::engine_tests::on_each_engine;
use crate::media::codec::Codec;
use crate::media::command::{Flow, LegMedia};
use std::net::{Ipv4Addr, UdpSocket};

const FIRST: ShardId = ShardId(0);
const SECOND: ShardId = ShardId(1);

/// An address of loopback that no other run of the tests uses at the same time. The tests' ports
/// lie below those that the system deals out by itself.
pub(super) fn here() -> IpAddr {
    let id = std::process::id();
    let [_, high, middle, low] = id.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 64 + high % 64, middle, low))
}

#[test]
fn ntp_time_begins_with_the_century() {
    assert_eq!(ntp(0), 2_208_988_800 << 32);
    assert_eq!(ntp(1_500), (2_208_988_801 << 32) + (1 << 31));
}

on_each_engine!(
    a_full_range_of_ports_refuses_one_leg_and_keeps_the_others,
    a_closed_leg_is_reported_when_its_port_is_free_and_the_port_rests,
    no_packet_is_lost_while_a_leg_moves_to_another_thread,
    commands_for_a_leg_on_its_way_wait_until_it_is_there,
    a_leg_that_is_gone_does_not_hold_up_where_it_was_to_go,
    garbage_on_every_port_leaves_the_legs_as_they_were,
    threads_end_when_the_plane_is_stopped,
    a_flood_of_commands_is_kept_in_order_and_none_is_lost,
    a_call_is_heard_from_another_place_when_its_phone_moves,
);

fn a_full_range_of_ports_refuses_one_leg_and_keeps_the_others(kind: EngineKind) {
    let mut plane = Plane::start(kind, 1, 22_000..=22_003);
    let first = plane.open(FIRST, LegId(1));
    let second = plane.open(FIRST, LegId(2));

    let third = plane.plane.open(clock::now(), FIRST, LegId(3));

    assert!(matches!(third, Event::OpenFailed { leg: LegId(3) }));
    assert_ne!(first, second);
    plane.send_speech(first, 0..5);
    plane.send_speech(second, 0..5);
    plane.wait_for_packets(10);
}

fn a_closed_leg_is_reported_when_its_port_is_free_and_the_port_rests(kind: EngineKind) {
    let mut plane = Plane::start(kind, 1, 22_010..=22_011);
    let local = plane.open(FIRST, LegId(1));

    plane.plane.command(FIRST, Command::Close { leg: LegId(1) });
    let closed = plane.next_event();

    assert!(matches!(closed, Event::Closed { leg: LegId(1), .. }));
    let other_program = UdpSocket::bind((here(), local.port()));
    assert!(other_program.is_ok(), "{other_program:?}");
    let now = clock::now();
    let early = plane.plane.open(now, FIRST, LegId(2));
    assert!(matches!(early, Event::OpenFailed { .. }));
    drop(other_program);
    let later = plane
        .plane
        .open(now + ports::QUARANTINE * 2, FIRST, LegId(3));
    assert!(matches!(later, Event::Opened { .. }));
}

fn no_packet_is_lost_while_a_leg_moves_to_another_thread(kind: EngineKind) {
    let mut plane = Plane::start(kind, 2, 22_020..=22_021);
    let local = plane.open(FIRST, LegId(7));

    plane.send_speech(local, 0..10);
    plane.plane.move_leg(LegId(7), FIRST, SECOND);
    plane.send_speech(local, 10..30);
    let left = plane.next_event_that(|event| matches!(event, Event::Detached { .. }));
    let arrived = plane.next_event_that(|event| matches!(event, Event::Attached { .. }));
    plane.send_speech(local, 30..35);

    assert_eq!((left, arrived), (FIRST, SECOND));
    plane.wait_for_packets(35);
    // The leg is there when the next command for it comes.
    plane
        .plane
        .command(SECOND, Command::Close { leg: LegId(7) });
    let closed = plane.next_event_that(|event| matches!(event, Event::Closed { .. }));
    assert_eq!(closed, SECOND);
}

fn commands_for_a_leg_on_its_way_wait_until_it_is_there(kind: EngineKind) {
    let mut plane = Plane::start(kind, 2, 22_030..=22_031);
    plane.open(FIRST, LegId(7));

    plane.plane.move_leg(LegId(7), FIRST, SECOND);
    plane.plane.move_leg(LegId(7), SECOND, FIRST);
    plane.plane.move_leg(LegId(7), FIRST, SECOND);
    plane
        .plane
        .command(SECOND, Command::Close { leg: LegId(7) });

    let closed = plane.next_event_that(|event| matches!(event, Event::Closed { .. }));
    assert_eq!(closed, SECOND);
}

fn a_leg_that_is_gone_does_not_hold_up_where_it_was_to_go(kind: EngineKind) {
    let mut plane = Plane::start(kind, 2, 22_040..=22_043);
    plane.open(FIRST, LegId(1));
    plane.open(SECOND, LegId(2));

    plane.plane.move_leg(LegId(99), FIRST, SECOND);
    plane
        .plane
        .command(SECOND, Command::Close { leg: LegId(2) });

    let closed = plane.next_event_that(|event| matches!(event, Event::Closed { .. }));
    assert_eq!(closed, SECOND);
}

fn garbage_on_every_port_leaves_the_legs_as_they_were(kind: EngineKind) {
    let mut plane = Plane::start(kind, 1, 22_050..=22_053);
    let legs = [plane.open(FIRST, LegId(1)), plane.open(FIRST, LegId(2))];
    let stranger = UdpSocket::bind((here(), 0)).unwrap();
    let mut random = fastrand::Rng::with_seed(9);

    for round in 0..200 {
        let mut garbage = vec![0; random.usize(0..1_600)];
        random.fill(&mut garbage);
        let port = legs[round % 2].port() + u16::from(round % 4 > 1);
        stranger.send_to(&garbage, (here(), port)).unwrap();
    }
    // Too long for any packet, and nothing at all.
    stranger.send_to(&[0x80; 9_000], legs[0]).unwrap();
    stranger.send_to(&[], legs[1]).unwrap();
    let before = plane.packets_in();
    plane.send_speech(legs[0], 0..5);

    plane.wait_for_packets(before + 5);
    assert_eq!(plane.plane.ended(), None);
    for leg in [LegId(1), LegId(2)] {
        plane.plane.command(FIRST, Command::Close { leg });
        plane.next_event_that(|event| matches!(event, Event::Closed { .. }));
    }
}

fn threads_end_when_the_plane_is_stopped(kind: EngineKind) {
    let plane = Plane::start(kind, 3, 22_060..=22_061);

    plane.plane.stop();

    // The reports' channel closes when the last thread has let go of it.
    let mut reports = plane.reports;
    while reports.blocking_recv().is_some() {}
}

fn a_flood_of_commands_is_kept_in_order_and_none_is_lost(kind: EngineKind) {
    let mut plane = Plane::start(kind, 1, 22_100..=22_899);
    let legs = 0..400;
    for leg in legs.clone() {
        plane.open(FIRST, LegId(leg));
    }
    let configured = |leg| Command::Configure {
        leg: LegId(leg),
        media: media(),
    };

    for _ in 0..10 {
        for leg in legs.clone() {
            plane.plane.command(FIRST, configured(leg));
        }
    }
    for leg in legs.clone() {
        plane
            .plane
            .command(FIRST, Command::Close { leg: LegId(leg) });
    }

    for leg in legs {
        match plane.next_event() {
            Event::Closed { leg: closed, .. } => assert_eq!(closed, LegId(leg)),
            other => panic!("{other:?}"),
        }
    }
    assert!(!plane.plane.is_behind());
}

/// A phone that moves: silence, then another port (RFC 4961 has it send where it hears).
fn a_call_is_heard_from_another_place_when_its_phone_moves(kind: EngineKind) {
    let mut plane = Plane::start(kind, 1, 22_070..=22_071);
    let local = plane.open(FIRST, LegId(1));
    plane.send_speech(local, 0..5);
    plane.wait_for_packets(5);
    // By now it is connected, and nobody else is heard.

    plane.peer = UdpSocket::bind((here(), 0)).unwrap();
    let mut sequence = 5;
    while plane.packets_in() < 10 {
        plane.send_speech(local, sequence..sequence + 1);
        sequence += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    let media = media();
    let leg = LegId(1);
    plane
        .plane
        .command(FIRST, Command::Configure { leg, media });
    plane.peer = UdpSocket::bind((here(), 0)).unwrap();
    while plane.packets_in() < 15 {
        plane.send_speech(local, sequence..sequence + 1);
        sequence += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn calls_go_on_when_the_ring_of_their_thread_dies() {
    let mut plane = Plane::start(EngineKind::IoUring, 1, 22_080..=22_089);
    let first = plane.open(FIRST, LegId(1));
    let second = plane.open(FIRST, LegId(2));
    plane.send_speech(first, 0..5);
    plane.send_speech(second, 0..5);
    plane.wait_for_packets(10);

    engine_tests::lose(plane.plane.threads[0].ring_fd.unwrap());
    plane.send_speech(first, 5..10);
    plane.send_speech(second, 5..10);
    plane.wait_for_packets(20);
    let third = plane.open(FIRST, LegId(3));
    plane.send_speech(third, 0..5);

    plane.wait_for_packets(25);
    assert_eq!(plane.plane.ended(), None);
    for leg in [LegId(1), LegId(2), LegId(3)] {
        plane.plane.command(FIRST, Command::Close { leg });
        plane.next_event_that(|event| matches!(event, Event::Closed { .. }));
    }
}

struct Plane {
    plane: MediaPlane,
    reports: mpsc::Receiver<(ShardId, Report)>,
    metrics: Metrics,
    peer: UdpSocket,
}

impl Plane {
    fn start(engine: EngineKind, threads: u16, ports: RangeInclusive<u16>) -> Self {
        // Both engines are tested at the same time.
        let shift = match engine {
            EngineKind::Epoll => 0,
            EngineKind::IoUring => 1_000,
        };
        let ports = ports.start() + shift..=ports.end() + shift;
        let metrics = Metrics::new();
        let config = MediaConfig {
            threads,
            bind: here(),
            advertise: here(),
            ports,
            seed: 0,
            engine,
        };
        let prompts = Arc::new(PromptLibrary::empty());
        let (plane, reports) = MediaPlane::start(&config, prompts, &metrics).unwrap();
        let peer = UdpSocket::bind((here(), 0)).unwrap();
        Self {
            plane,
            reports,
            metrics,
            peer,
        }
    }

    /// Opens a leg in G.711 and says where.
    fn open(&mut self, shard: ShardId, leg: LegId) -> SocketAddr {
        let Event::Opened { local, .. } = self.plane.open(clock::now(), shard, leg) else {
            panic!("no port for {leg}");
        };
        let media = media();
        self.plane.command(shard, Command::Configure { leg, media });
        self.plane.wake();
        local
    }

    fn send_speech(&self, to: SocketAddr, sequence: std::ops::Range<u16>) {
        for number in sequence {
            let mut packet = vec![0xff; 172];
            packet[..2].copy_from_slice(&[0x80, 0]);
            packet[2..4].copy_from_slice(&number.to_be_bytes());
            packet[4..8].copy_from_slice(&(u32::from(number) * 160).to_be_bytes());
            packet[8..12].copy_from_slice(&7u32.to_be_bytes());
            self.peer.send_to(&packet, to).unwrap();
        }
    }

    fn next(&mut self) -> (ShardId, Event) {
        loop {
            self.plane.handle_timeout();
            self.plane.wake();
            let Ok((shard, report)) = self.reports.try_recv() else {
                std::thread::yield_now();
                continue;
            };
            if let Some(event) = self.plane.handle_report(clock::now(), report)
                && !matches!(event, Event::MediaHeard { .. } | Event::MediaSilent { .. })
            {
                return (shard, event);
            }
        }
    }

    fn next_event(&mut self) -> Event {
        self.next().1
    }

    fn next_event_that(&mut self, wanted: impl Fn(&Event) -> bool) -> ShardId {
        loop {
            let (shard, event) = self.next();
            if wanted(&event) {
                return shard;
            }
        }
    }

    fn packets_in(&self) -> u64 {
        let text = self.metrics.encode();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("sottovoce_rtp_packets_total{direction=\"in\"} "));
        line.unwrap().parse().unwrap()
    }

    /// Waits for as long as it takes.
    fn wait_for_packets(&mut self, wanted: u64) {
        self.plane.wake();
        while self.packets_in() < wanted {
            std::thread::yield_now();
        }
    }
}

fn media() -> LegMedia {
    LegMedia {
        remote: None,
        remote_rtcp: None,
        rtcp_mux: false,
        codec: Codec::Pcmu,
        payload_type: 0,
        telephone_event: None,
        flow: Flow::Both,
        ptime_ms: 20,
    }
}
