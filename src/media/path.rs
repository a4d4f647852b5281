//! Where a phone's media goes, and who may send in its name: symmetric latching.
//!
//! The SDP says where a phone expects media; behind a translator it is wrong. So a packet that is
//! valid for the leg shows the address, and no source takes another's place that is less likely to
//! be the phone:
//!
//! | who sends | takes the place |
//! | --- | --- |
//! | the announced address | at any time |
//! | another port of the announced host | of a stranger at any time, else after half a second of silence |
//! | who goes on with the phone's SSRC, as after a translator's new binding | after half a second of silence |
//! | another port of the host that was heard | after half a second of silence; at once when a new SDP was agreed |
//! | a stranger | of another stranger, after two seconds of silence |
//!
//! A phone that is heard from where it said it is, is thus never replaced by somebody else's host,
//! however long it is silent. Whoever can send from its address, or knows its SSRC, sits on the way.

use std::net::{IpAddr, SocketAddr};
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
    ssrc: u32,
    heard: Instant,
    /// A new SDP was agreed: the phone may have taken another port.
    open: bool,
}

/// How likely a source is the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Stranger,
    /// The host that was announced, on another port.
    Host,
    Announced,
}

/// After which somebody else with a good sign may be the phone.
const SILENCE: Duration = Duration::from_millis(500);

/// After which a stranger may take a stranger's place.
const LONG_SILENCE: Duration = Duration::from_secs(2);

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
    pub fn admits(&self, now: Instant, source: SocketAddr, ssrc: u32) -> bool {
        let Some(latched) = self.latched else {
            return true;
        };
        if source == latched.to {
            return true;
        }
        let (before, after) = (self.standing(latched.to), self.standing(source));
        if after > before {
            return true;
        }
        let same_host = source.ip() == latched.to.ip();
        let silence = now.saturating_duration_since(latched.heard);
        (same_host && latched.open)
            || (silence > SILENCE && (same_host || ssrc == latched.ssrc))
            || (silence > LONG_SILENCE && before == Standing::Stranger)
    }

    fn standing(&self, source: SocketAddr) -> Standing {
        match self.signalled {
            Some(announced) if announced == source => Standing::Announced,
            Some(announced) if announced.ip() == source.ip() => Standing::Host,
            _ => Standing::Stranger,
        }
    }

    /// A valid packet came from there.
    pub fn latch(&mut self, now: Instant, source: SocketAddr, ssrc: u32) {
        self.latched = Some(Latched {
            to: source,
            ssrc,
            heard: now,
            open: false,
        });
    }

    /// The one source that may be heard as long as it sends: nobody more likely can come.
    pub fn only_source(&self) -> Option<SocketAddr> {
        let latched = self.latched.filter(|latched| !latched.open)?;
        let nobody_better = match self.standing(latched.to) {
            Standing::Announced => true,
            Standing::Host => false,
            // Nothing comes from a private address to where public ones are heard.
            Standing::Stranger => self
                .signalled
                .is_none_or(|announced| is_private(announced.ip()) && !is_private(latched.to.ip())),
        };
        nobody_better.then_some(latched.to)
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

/// Of a network behind a translator (RFC 1918, 6598 and 4193).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || matches!(v4.octets(), [100, 64..=127, _, _]),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::Codec;
    use crate::media::command::Flow;

    const PHONE: u32 = 7;
    const OTHER: u32 = 8;

    #[test]
    fn the_first_source_shows_the_address_and_the_announced_one_wins() {
        let now = Instant::now();
        let mut path = Path::default();
        path.configure(&media(Some(port(1))));

        assert_eq!(path.rtp_to(), Some(port(1)));
        assert!(path.admits(now, stranger(1), OTHER));
        path.latch(now, stranger(1), OTHER);
        assert_eq!(path.rtp_to(), Some(stranger(1)));
        assert_eq!(path.only_source(), None);
        assert!(path.admits(now, port(2), PHONE));
        path.latch(now, port(2), PHONE);
        assert!(!path.admits(now, stranger(1), OTHER));
        assert!(path.admits(now, port(1), PHONE));
        path.latch(now, port(1), PHONE);

        assert_eq!(path.rtp_to(), Some(port(1)));
        assert_eq!(path.only_source(), Some(port(1)));
    }

    #[test]
    fn a_silent_phone_is_replaced_by_its_own_host_or_stream_and_by_no_stranger() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let mut path = Path::default();
        path.configure(&media(Some(port(1))));
        path.latch(now, port(1), PHONE);

        for source in [port(2), stranger(1)] {
            assert!(!path.admits(now + ms(400), source, PHONE), "{source}");
            assert!(path.admits(now + ms(501), source, PHONE), "{source}");
        }
        assert!(path.admits(now + ms(501), port(2), OTHER));
        assert!(!path.admits(now + ms(3_600_000), stranger(1), OTHER));
    }

    #[test]
    fn behind_a_translator_a_stranger_follows_a_stranger_only_after_a_long_silence() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let mut path = Path::default();
        path.configure(&media(Some("192.168.1.2:4000".parse().unwrap())));
        path.latch(now, stranger(1), PHONE);

        assert_eq!(path.only_source(), Some(stranger(1)));
        assert!(!path.admits(now + ms(400), stranger(2), PHONE));
        assert!(path.admits(now + ms(501), stranger(2), OTHER));
        assert!(!path.admits(now + ms(2_000), port(1), OTHER));
        assert!(path.admits(now + ms(2_001), port(1), OTHER));
    }

    #[test]
    fn a_new_sdp_lets_the_address_be_shown_anew() {
        let now = Instant::now();
        let mut path = Path::default();
        path.configure(&media(Some(port(1))));
        path.latch(now, port(2), PHONE);

        path.configure(&media(Some(port(1))));
        assert_eq!(path.rtp_to(), Some(port(2)));
        assert!(path.admits(now, port(3), OTHER));
        assert!(!path.admits(now, stranger(1), OTHER));

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

        path.latch(now, port(20), PHONE);
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

    fn stranger(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 66], port))
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
