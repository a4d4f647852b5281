//! The SIP stack and the phones behind it, at the level of `Signal`.

use std::net::SocketAddr;
use std::time::Duration;

use sottovoce::control::input::Signal;
use sottovoce::control::output::{SignalCommand, Target};
use sottovoce::id::LegId;
use sottovoce::wire::sdp::SessionDescription;

use crate::world::{Later, LegSide, Line, Manner, World};

impl World {
    /// The SIP stack and the phone behind it, for one command.
    pub(super) fn signal(&mut self, leg: LegId, command: SignalCommand) {
        if std::env::var_os("SIM_TRACE").is_some() {
            eprintln!("{leg}: {command:?}");
        }
        match command {
            SignalCommand::Dial(dial) => self.ring(leg, &dial.target, dial.sdp.as_ref()),
            SignalCommand::Ring => {}
            SignalCommand::Progress { sdp, .. } => self.remember_remote(leg, &sdp),
            SignalCommand::Answer { sdp } => {
                self.remember_remote(leg, &sdp);
                if let Some(side) = self.legs.get_mut(&leg) {
                    side.line = Line::Up;
                }
                self.after(
                    Duration::from_millis(2),
                    Later::Signal(leg, Signal::Acknowledged { sdp: None }),
                );
            }
            SignalCommand::Reject { status, .. } => {
                if let Some(side) = self.legs.get_mut(&leg) {
                    side.line = Line::Refused(status);
                    let phone = side.phone;
                    self.phones[phone.0].remote = None;
                }
            }
            SignalCommand::Cancel { .. } => {
                if let Some(side) = self.legs.get_mut(&leg)
                    && side.line == Line::Ringing
                {
                    side.line = Line::Over;
                    self.after(
                        Duration::from_millis(2),
                        Later::Signal(
                            leg,
                            Signal::Failed {
                                status: 487,
                                reason: "Request Terminated".into(),
                            },
                        ),
                    );
                }
            }
            SignalCommand::HangUp { .. } => {
                let Some(side) = self.legs.get_mut(&leg) else {
                    return;
                };
                let phone = side.phone;
                let deaf = self.homes.iter().any(|(number, home)| {
                    *home == phone && self.manners.get(number.as_str()) == Some(&Manner::DeafToBye)
                });
                // A BYE without answer is given up after 64·T1.
                let answered_after = if deaf {
                    Duration::from_secs(32)
                } else {
                    Duration::from_millis(2)
                };
                if !deaf {
                    side.line = Line::Over;
                    self.phones[phone.0].remote = None;
                }
                self.after(answered_after, Later::Signal(leg, Signal::HangUpDone));
            }
            SignalCommand::Reinvite { request, sdp } => {
                let Some(side) = self.legs.get_mut(&leg) else {
                    return;
                };
                side.reinvites += 1;
                side.version += 1;
                if let Some(sdp) = &sdp {
                    let text = sdp.to_string();
                    let offered = direction_in(&text);
                    side.direction = match offered {
                        "sendonly" => "recvonly",
                        "recvonly" => "sendonly",
                        other => other,
                    };
                    let phone = side.phone;
                    self.phones[phone.0].sending =
                        !matches!(side.direction, "recvonly" | "inactive");
                    self.remember_remote(leg, sdp);
                }
                let answer = self.phone_sdp(leg);
                self.after(
                    Duration::from_millis(4),
                    Later::Signal(
                        leg,
                        Signal::ReinviteAnswered {
                            request,
                            result: Ok(Some(answer)),
                        },
                    ),
                );
            }
            SignalCommand::AcceptReinvite { request, sdp } => {
                self.remember_remote(leg, &sdp);
                self.after(
                    Duration::from_millis(2),
                    Later::Signal(leg, Signal::ReinviteAcknowledged { request, sdp: None }),
                );
            }
            SignalCommand::RefuseReinvite { .. } => {
                if let Some(side) = self.legs.get_mut(&leg) {
                    side.direction = "sendrecv";
                    let phone = side.phone;
                    self.phones[phone.0].sending = true;
                }
            }
            SignalCommand::AcceptRefer { .. } => self.transfers.push((leg, 202)),
            SignalCommand::RefuseRefer { status, .. } => self.transfers.push((leg, status)),
            SignalCommand::NotifyRefer { status, .. } => self.transfers.push((leg, status)),
        }
    }

    fn ring(&mut self, leg: LegId, target: &Target, sdp: Option<&SessionDescription>) {
        let number: String = match target {
            Target::Uri(uri) => {
                let rest = uri.trim_start_matches("sip:");
                rest.split('@').next().unwrap_or(rest).to_owned()
            }
            Target::Trunk { number, .. } => number.to_string(),
            Target::Registered(_) => String::new(),
        };
        let Some(phone) = self.homes.get(&number).copied() else {
            self.after(
                Duration::from_millis(3),
                Later::Signal(
                    leg,
                    Signal::Failed {
                        status: 480,
                        reason: "nobody".into(),
                    },
                ),
            );
            return;
        };
        let manner = self
            .manners
            .get(number.as_str())
            .copied()
            .unwrap_or(Manner::Answers);
        let busy = manner == Manner::Busy || self.leg_of(phone).is_some();
        self.legs.insert(
            leg,
            LegSide {
                phone,
                line: Line::Ringing,
                version: 1,
                direction: "sendrecv",
                reinvites: 0,
            },
        );
        if busy {
            if let Some(side) = self.legs.get_mut(&leg) {
                side.line = Line::Refused(486);
            }
            self.after(
                Duration::from_millis(3),
                Later::Signal(
                    leg,
                    Signal::Failed {
                        status: 486,
                        reason: "Busy Here".into(),
                    },
                ),
            );
            return;
        }
        if let Some(sdp) = sdp {
            self.remember_remote(leg, sdp);
        }
        self.phones[phone.0].sending = true;
        self.after(
            Duration::from_millis(3),
            Later::Signal(
                leg,
                Signal::Progressed {
                    status: 180,
                    sdp: None,
                },
            ),
        );
        if manner != Manner::Rings {
            let answer = self.phone_sdp(leg);
            self.after(
                Duration::from_millis(200),
                Later::Signal(leg, Signal::Answered { sdp: Some(answer) }),
            );
        }
    }

    fn remember_remote(&mut self, leg: LegId, sdp: &SessionDescription) {
        let Some(side) = self.legs.get(&leg) else {
            return;
        };
        let text = sdp.to_string();
        let port = text
            .lines()
            .find_map(|line| line.strip_prefix("m=audio "))
            .and_then(|rest| rest.split(' ').next())
            .and_then(|port| port.parse::<u16>().ok());
        if let Some(port) = port {
            self.phones[side.phone.0].remote = Some(SocketAddr::from(([10, 0, 0, 1], port)));
        }
    }

    pub(super) fn phone_sdp(&self, leg: LegId) -> SessionDescription {
        let side = &self.legs[&leg];
        let phone = &self.phones[side.phone.0];
        let event = if phone.telephone_event {
            (
                "101",
                "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n",
            )
        } else {
            ("", "")
        };
        // RFC 2543 held by an address that is none; RFC 3264 §8.4 still wants it understood.
        let (connection, direction) = match side.direction {
            "0.0.0.0" => ("0.0.0.0".to_owned(), "sendrecv"),
            direction => (phone.address.ip().to_string(), direction),
        };
        let text = format!(
            "v=0\r\no=- {} {} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {connection}\r\nt=0 0\r\nm=audio {} RTP/AVP 0 {}\r\n\
             a=rtpmap:0 PCMU/8000\r\n{}a={}\r\n",
            leg.0,
            side.version,
            phone.address.port(),
            event.0,
            event.1,
            direction,
            ip = phone.address.ip(),
        );
        let text = text.replace("0 \r\n", "0\r\n");
        SessionDescription::parse(text.as_bytes()).expect("the phone's own SDP")
    }
}

fn direction_in(text: &str) -> &'static str {
    for direction in ["sendonly", "recvonly", "inactive"] {
        if text
            .lines()
            .any(|line| line.trim_end() == format!("a={direction}"))
        {
            return direction;
        }
    }
    "sendrecv"
}
