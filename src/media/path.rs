//! Where a phone's media goes, and who may send in its name: symmetric latching.
//!
//! The SDP says where a phone expects media; behind a translator it is wrong. So the first packet
//! that is valid for the leg shows the address, and from then on no other source is listened to,
//! until the phone has been silent for half a second or a new SDP was agreed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::media::command::LegMedia;
use crate::media::outbox::Channel;

#[derive(Debug, Default)]
pub struct Path {
    signalled: Option<SocketAddr>,
    signalled_rtcp: Option<SocketAddr>,
    rtcp_mux: bool,
    latched: Option<Latched>,
    /// Where RTCP came from, on its own port.
    rtcp_from: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug)]
struct Latched {
    to: SocketAddr,
    heard: Instant,
    /// A new SDP was agreed: the next packet shows anew.
    open: bool,
}

const SILENCE: Duration = Duration::from_millis(500);

impl Path {
    pub fn configure(&mut self, media: &LegMedia) {
        self.latched = match self.latched {
            Some(latched) if media.remote.is_some() && media.remote == self.signalled => {
                Some(Latched {
                    open: true,
                    ..latched
                })
            }
            _ => None,
        };
        self.rtcp_from = None;
        self.signalled = media.remote;
        self.signalled_rtcp = media.remote_rtcp;
        self.rtcp_mux = media.rtcp_mux;
    }

    /// Whether a packet from there is the phone's.
    pub fn admits(&self, now: Instant, source: SocketAddr) -> bool {
        match self.latched {
            Some(latched) => {
                latched.to == source
                    || latched.open
                    || now.saturating_duration_since(latched.heard) > SILENCE
            }
            None => true,
        }
    }

    /// A valid packet came from there.
    pub fn latch(&mut self, now: Instant, source: SocketAddr) {
        self.latched = Some(Latched {
            to: source,
            heard: now,
            open: false,
        });
    }

    /// The source that has shown itself, and that a new SDP has not put in question.
    pub fn latched(&self) -> Option<SocketAddr> {
        let latched = self.latched.filter(|latched| !latched.open)?;
        Some(latched.to)
    }

    pub fn rtp_to(&self) -> Option<SocketAddr> {
        self.latched.map(|latched| latched.to).or(self.signalled)
    }

    /// Whether RTCP from there may be believed: the host that sends the RTP, or that was signalled.
    pub fn admits_rtcp(&self, source: SocketAddr) -> bool {
        let host = self.rtp_to().map(|to| to.ip());
        let signalled = self.signalled_rtcp.map(|to| to.ip());
        host == Some(source.ip()) || signalled == Some(source.ip())
    }

    pub fn note_rtcp(&mut self, source: SocketAddr, channel: Channel) {
        if channel == Channel::Rtcp {
            self.rtcp_from = Some(source);
        }
    }

    pub fn rtcp_to(&self) -> Option<(Channel, SocketAddr)> {
        let rtp_to = self.rtp_to()?;
        if self.rtcp_mux {
            return Some((Channel::Rtp, rtp_to));
        }
        let beside = || {
            let port = rtp_to.port().checked_add(1)?;
            Some(SocketAddr::new(rtp_to.ip(), port))
        };
        let to = self.rtcp_from.or(self.signalled_rtcp).or_else(beside)?;
        Some((Channel::Rtcp, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::Codec;
    use crate::media::command::Flow;

    #[test]
    fn the_first_source_shows_the_address_and_no_other_is_heard() {
        let now = Instant::now();
        let mut path = Path::default();
        path.configure(&media(Some(port(1))));

        assert_eq!(path.rtp_to(), Some(port(1)));
        assert!(path.admits(now, port(2)));
        path.latch(now, port(2));

        assert_eq!(path.rtp_to(), Some(port(2)));
        assert!(path.admits(now, port(2)));
        assert!(!path.admits(now + Duration::from_millis(400), port(3)));
        assert!(path.admits(now + Duration::from_millis(501), port(3)));
    }

    #[test]
    fn a_new_sdp_lets_the_address_be_shown_anew() {
        let now = Instant::now();
        let mut path = Path::default();
        path.configure(&media(Some(port(1))));
        path.latch(now, port(2));

        path.configure(&media(Some(port(1))));
        assert_eq!(path.rtp_to(), Some(port(2)));
        assert!(path.admits(now, port(3)));

        path.configure(&media(Some(port(7))));
        assert_eq!(path.rtp_to(), Some(port(7)));

        path.configure(&media(None));
        assert_eq!(path.rtp_to(), None);
    }

    #[test]
    fn reports_go_where_they_are_expected() {
        let now = Instant::now();
        let mut path = Path::default();
        path.configure(&media(Some(port(10))));
        assert_eq!(path.rtcp_to(), Some((Channel::Rtcp, port(11))));

        path.latch(now, port(20));
        path.note_rtcp(port(25), Channel::Rtcp);
        assert_eq!(path.rtcp_to(), Some((Channel::Rtcp, port(25))));

        path.configure(&LegMedia {
            rtcp_mux: true,
            ..media(Some(port(10)))
        });
        assert_eq!(path.rtcp_to(), Some((Channel::Rtp, port(20))));
    }

    fn port(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn media(remote: Option<SocketAddr>) -> LegMedia {
        LegMedia {
            remote,
            remote_rtcp: None,
            rtcp_mux: false,
            codec: Codec::Pcmu,
            payload_type: 0,
            telephone_event: None,
            flow: Flow::Both,
            ptime_ms: 20,
        }
    }
}
