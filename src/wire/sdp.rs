//! Session descriptions (RFC 8866): parse and print what we speak, keep what we do not.
//!
//! The whole text is kept as it came, so that what we do not understand survives being looked at.
//! [`SessionDescription::audio`] is the view by which everybody else sees it: the one audio stream
//! that we take part in. Offers and answers are built in [`offer`].

pub mod offer;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A session description.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionDescription(pub(crate) sdp_types::Session);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("{0} bytes is longer than any session description we read")]
    TooLong(usize),
    #[error("not a session description")]
    Malformed,
}

/// The largest description that we read. What WebRTC phones send is about a tenth of it.
const MAX_BYTES: usize = 64 * 1024;

/// The audio stream of a description.
#[derive(Clone, Debug, PartialEq)]
pub struct Audio {
    /// Which of the m-lines it is; answers keep their order (RFC 3264 §6).
    pub line: usize,
    /// `RTP/AVP` or `RTP/AVPF`, as written.
    pub protocol: String,
    /// Where they listen; `None` for `0.0.0.0` and for names, which nothing can be sent to until
    /// their first packet shows the way.
    pub remote: Option<SocketAddr>,
    /// Where they listen for RTCP, if they say so (RFC 3605).
    pub remote_rtcp: Option<SocketAddr>,
    pub rtcp_mux: bool,
    /// With the old way of holding, `c=0.0.0.0` (RFC 2543), already folded in.
    pub direction: Direction,
    pub ptime_ms: Option<u16>,
    /// In their order of preference.
    pub formats: Vec<Format>,
}

/// Which way media flows, seen from the one who wrote it (RFC 8866 §6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

/// One payload format, with what `rtpmap` and `fmtp` say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    pub payload_type: u8,
    pub encoding: String,
    pub clock_rate_hz: u32,
    pub channels: u8,
    pub fmtp: Option<String>,
}

impl SessionDescription {
    /// Reads a description, forgiving what phones get wrong and nobody needs.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        if bytes.len() > MAX_BYTES {
            return Err(ParseError::TooLong(bytes.len()));
        }
        let mut session = sdp_types::Session::parse(bytes)
            .or_else(|_| sdp_types::Session::parse(&essential_lines(bytes)))
            .map_err(|_| ParseError::Malformed)?;
        if session.times.is_empty() {
            session.add_time(sdp_types::Time::new(0, 0));
        }
        Ok(Self(session))
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Writing to memory does not fail.
        let _ = self.0.write(&mut bytes);
        bytes
    }

    /// The first audio stream over plain RTP that is not switched off.
    pub fn audio(&self) -> Option<Audio> {
        self.0
            .medias
            .iter()
            .enumerate()
            .find_map(|(line, media)| self.audio_at(line, media))
    }

    /// Whether both describe the same session: everything but the version of the origin.
    pub fn same_but_version(&self, other: &Self) -> bool {
        let mut other = other.0.clone();
        other.origin.sess_version = self.0.origin.sess_version;
        self.0 == other
    }

    fn audio_at(&self, line: usize, media: &sdp_types::Media) -> Option<Audio> {
        let is_rtp = ["RTP/AVP", "RTP/AVPF"]
            .iter()
            .any(|protocol| media.proto.eq_ignore_ascii_case(protocol));
        if !media.media.eq_ignore_ascii_case("audio") || !is_rtp || media.port == 0 {
            return None;
        }
        let connection = media.connections.first().or(self.0.connection.as_ref());
        let address = connection.and_then(|c| c.connection_address.parse::<IpAddr>().ok());
        let unspecified = address.is_some_and(|address| address.is_unspecified());
        let address = address.filter(|address| !address.is_unspecified());
        let written = direction_of(&media.attributes)
            .or_else(|| direction_of(&self.0.attributes))
            .unwrap_or(Direction::SendRecv);

        Some(Audio {
            line,
            protocol: media.proto.clone(),
            remote: address.map(|address| SocketAddr::new(address, media.port)),
            remote_rtcp: rtcp_of(media, address),
            rtcp_mux: media.has_attribute("rtcp-mux"),
            direction: match unspecified {
                true => written.without_receiving(),
                false => written,
            },
            ptime_ms: value_of(media, "ptime").and_then(|value| value.trim().parse().ok()),
            formats: formats_of(media),
        })
    }
}

impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

impl Direction {
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    pub fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// The most that an answer to this may say.
    pub fn reversed(self) -> Self {
        Self::of(self.receives(), self.sends())
    }

    /// What both allow.
    pub fn narrowed(self, other: Self) -> Self {
        Self::of(
            self.sends() && other.sends(),
            self.receives() && other.receives(),
        )
    }

    fn without_receiving(self) -> Self {
        Self::of(self.sends(), false)
    }

    fn attribute(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }
}

impl Format {
    pub fn new(payload_type: u8, encoding: &str, clock_rate_hz: u32, channels: u8) -> Self {
        Self {
            payload_type,
            encoding: encoding.into(),
            clock_rate_hz,
            channels,
            fmtp: None,
        }
    }

    pub fn with_fmtp(mut self, fmtp: &str) -> Self {
        self.fmtp = Some(fmtp.into());
        self
    }

    pub fn is_telephone_event(&self) -> bool {
        self.encoding.eq_ignore_ascii_case("telephone-event")
    }

    /// Whether it carries a voice: neither keys, nor comfort noise, nor a wrapping of another.
    pub fn is_codec(&self) -> bool {
        ![
            "telephone-event",
            "CN",
            "red",
            "ulpfec",
            "parityfec",
            "tone",
        ]
        .iter()
        .any(|other| self.encoding.eq_ignore_ascii_case(other))
    }

    /// Whether both name the same codec, whatever its payload type.
    pub fn same_codec(&self, other: &Self) -> bool {
        self.encoding.eq_ignore_ascii_case(&other.encoding)
            && self.clock_rate_hz == other.clock_rate_hz
            && self.channels == other.channels
    }
}

fn direction_of(attributes: &[sdp_types::Attribute]) -> Option<Direction> {
    [
        Direction::SendRecv,
        Direction::SendOnly,
        Direction::RecvOnly,
        Direction::Inactive,
    ]
    .into_iter()
    .find(|direction| {
        attributes
            .iter()
            .any(|a| a.attribute.eq_ignore_ascii_case(direction.attribute()))
    })
}

fn value_of<'a>(media: &'a sdp_types::Media, name: &str) -> Option<&'a str> {
    media
        .attributes
        .iter()
        .find(|a| a.attribute.eq_ignore_ascii_case(name))
        .and_then(|a| a.value.as_deref())
}

/// `a=rtcp:53020` or `a=rtcp:53020 IN IP4 126.16.64.4` (RFC 3605 §2.1).
fn rtcp_of(media: &sdp_types::Media, address: Option<IpAddr>) -> Option<SocketAddr> {
    let mut words = value_of(media, "rtcp")?.split_whitespace();
    let port = words.next()?.parse().ok().filter(|port| *port != 0)?;
    let own = words.nth(2).and_then(|word| word.parse::<IpAddr>().ok());
    Some(SocketAddr::new(own.or(address)?, port))
}

fn formats_of(media: &sdp_types::Media) -> Vec<Format> {
    media
        .fmt
        .split_whitespace()
        .filter_map(|number| number.parse().ok())
        .filter(|payload_type| *payload_type < 128)
        .take(MAX_FORMATS)
        .filter_map(|payload_type| {
            let mut format = mapped(media, payload_type).or_else(|| assigned(payload_type))?;
            format.fmtp = parameter(media, "fmtp", payload_type).map(str::to_owned);
            Some(format)
        })
        .collect()
}

/// Formats that we read of one stream; the payload types of RTP are no more than this.
const MAX_FORMATS: usize = 128;

/// What `rtpmap` says: `96 opus/48000/2`.
fn mapped(media: &sdp_types::Media, payload_type: u8) -> Option<Format> {
    let mut parts = parameter(media, "rtpmap", payload_type)?.split('/');
    let encoding = parts.next().filter(|encoding| !encoding.is_empty())?;
    let clock_rate_hz = parts.next()?.trim().parse().ok()?;
    let channels = match parts.next() {
        Some(channels) => channels.trim().parse().ok()?,
        None => 1,
    };
    Some(Format::new(payload_type, encoding, clock_rate_hz, channels))
}

/// The value of an attribute that begins with a payload type.
fn parameter<'a>(media: &'a sdp_types::Media, name: &str, payload_type: u8) -> Option<&'a str> {
    media
        .attributes
        .iter()
        .filter(|a| a.attribute.eq_ignore_ascii_case(name))
        .filter_map(|a| a.value.as_deref()?.trim().split_once(char::is_whitespace))
        .find(|(number, _)| number.parse() == Ok(payload_type))
        .map(|(_, value)| value.trim())
}

/// Payload types that need no `rtpmap` (RFC 3551 §6).
fn assigned(payload_type: u8) -> Option<Format> {
    let (encoding, clock_rate_hz) = match payload_type {
        0 => ("PCMU", 8_000),
        3 => ("GSM", 8_000),
        4 => ("G723", 8_000),
        7 => ("LPC", 8_000),
        8 => ("PCMA", 8_000),
        9 => ("G722", 8_000),
        12 => ("QCELP", 8_000),
        13 => ("CN", 8_000),
        15 => ("G728", 8_000),
        18 => ("G729", 8_000),
        _ => return None,
    };
    Some(Format::new(payload_type, encoding, clock_rate_hz, 1))
}

/// The lines that a call cannot do without, of a description with others that are broken.
fn essential_lines(bytes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(bytes.len());
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if matches!(line, [b'v' | b's' | b'c' | b'm' | b'a', b'=', ..]) && !line.contains(&0) {
            kept.extend_from_slice(line);
            kept.extend_from_slice(b"\r\n");
        }
    }
    kept
}

#[cfg(test)]
mod tests;
