//! Offer and answer (RFC 3264) as functions from values to values.
//!
//! An offer of ours puts the other leg's codecs first, so that plain calls are relayed; what we
//! cannot decode is offered on after ours. An answer picks the codec that the other leg speaks, if
//! it can.

use std::net::SocketAddr;

use sdp_types::{Attribute, Connection, Media, Origin, Session, Time};

use crate::wire::sdp::{Audio, Direction, Format, SessionDescription};

/// Our end of a leg's media.
#[derive(Clone, Copy, Debug)]
pub struct Local<'a> {
    /// Where we listen.
    pub address: SocketAddr,
    /// Names the session in `o=`; the same for as long as the dialog lives.
    pub session: u64,
    /// What we sent last in this dialog.
    pub previous: Option<&'a SessionDescription>,
}

/// What we say of the audio stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    pub formats: Vec<Format>,
    pub direction: Direction,
    pub ptime_ms: Option<u16>,
    pub rtcp_mux: bool,
}

/// What a leg speaks after offer and answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    pub codec: Format,
    pub telephone_event: Option<Format>,
}

/// Formats for an offer: `theirs` are those of the other leg, in its order and with its numbers;
/// `ours` what we can decode, in our order. Where the other leg speaks nothing of ours, only what
/// it speaks is offered, because nothing could be made of anything else.
pub fn formats_to_offer(theirs: &[Format], ours: &[Format]) -> Vec<Format> {
    let is_ours = |format: &Format| ours.iter().any(|own| own.same_codec(format));
    let codecs = || theirs.iter().filter(|format| format.is_codec());

    let shared: Vec<Format> = codecs().filter(|format| is_ours(format)).cloned().collect();
    let opaque = codecs().filter(|format| !is_ours(format)).cloned();
    let mut formats = shared;
    if !formats.is_empty() || codecs().next().is_none() {
        for own in ours {
            if !formats.iter().any(|format| format.same_codec(own)) {
                formats.push(own.clone());
            }
        }
    }
    formats.extend(opaque);

    // Keys, once for each clock in use (RFC 4733 §2.5.1.2 wants the clock of the audio).
    let mut clocks: Vec<u32> = Vec::new();
    for format in &formats {
        if !clocks.contains(&format.clock_rate_hz) {
            clocks.push(format.clock_rate_hz);
        }
    }
    for clock_rate_hz in clocks {
        let same_clock =
            |format: &&Format| format.is_telephone_event() && format.clock_rate_hz == clock_rate_hz;
        match (theirs.iter().find(same_clock), clock_rate_hz) {
            (Some(format), _) => formats.push(format.clone()),
            (None, 8_000 | 48_000) => formats.push(telephone_event(clock_rate_hz)),
            (None, _) => {}
        }
    }
    numbered(formats)
}

/// The codec to answer with: what the other leg speaks, so that both are relayed; or else the first
/// of ours. `None` where nothing would come of it.
pub fn choose(offered: &[Format], ours: &[Format], other_leg: Option<&Format>) -> Option<Chosen> {
    let in_offer = |wanted: &Format| {
        offered
            .iter()
            .find(|format| format.is_codec() && format.same_codec(wanted))
    };
    let relayed = other_leg.and_then(in_offer);
    let decodable = other_leg.is_none_or(|other| ours.iter().any(|own| own.same_codec(other)));
    let codec = match relayed {
        Some(codec) => codec,
        None if decodable => ours.iter().find_map(in_offer)?,
        None => return None,
    };
    Some(Chosen {
        codec: codec.clone(),
        telephone_event: telephone_event_for(offered, codec.clock_rate_hz),
    })
}

/// What an answer to our offer chose: its first codec, out of those that we offered.
pub fn chosen_by_answer(offered: &[Format], answer: &[Format]) -> Option<Chosen> {
    let codec = answer.iter().find(|format| {
        format.is_codec() && offered.iter().any(|offered| offered.same_codec(format))
    })?;
    Some(Chosen {
        codec: codec.clone(),
        telephone_event: telephone_event_for(answer, codec.clock_rate_hz),
    })
}

/// The telephone-event of this clock, or any: some phones list only that of 8000 beside Opus.
pub fn telephone_event_for(formats: &[Format], clock_rate_hz: u32) -> Option<Format> {
    let events = || formats.iter().filter(|format| format.is_telephone_event());
    events()
        .find(|format| format.clock_rate_hz == clock_rate_hz)
        .or_else(|| events().next())
        .cloned()
}

impl Chosen {
    /// As the formats of an answer.
    pub fn formats(&self) -> Vec<Format> {
        let mut formats = vec![self.codec.clone()];
        formats.extend(self.telephone_event.clone());
        formats
    }
}

/// Our offer. Later offers of a dialog keep the m-lines of the first (RFC 3264 §8).
pub fn offer(local: Local<'_>, stream: &Stream) -> SessionDescription {
    let audio = media("RTP/AVP", local.address, stream);
    let medias = match local.previous {
        None => vec![audio],
        Some(previous) => {
            let line = previous.audio().map(|audio| audio.line);
            let mut medias: Vec<Media> = previous.0.medias.iter().map(switched_off).collect();
            match line.and_then(|line| medias.get_mut(line)) {
                Some(place) => *place = audio,
                None => medias.push(audio),
            }
            medias
        }
    };
    describe(local, medias)
}

/// Our answer: the audio stream as agreed, everything else switched off by port 0.
pub fn answer(
    local: Local<'_>,
    offer: &SessionDescription,
    audio: &Audio,
    stream: &Stream,
) -> SessionDescription {
    let medias = offer
        .0
        .medias
        .iter()
        .enumerate()
        .map(|(line, theirs)| match line == audio.line {
            true => media(&audio.protocol, local.address, stream),
            false => switched_off(theirs),
        })
        .collect();
    describe(local, medias)
}

fn describe(local: Local<'_>, medias: Vec<Media>) -> SessionDescription {
    let ip = local.address.ip();
    let version = local
        .previous
        .map_or(1, |previous| previous.0.origin.sess_version);
    let origin = Origin::with_ip_addr(local.session, version, ip);
    let mut session = Session::new(origin, "-");
    session.set_connection(Connection::from_ip_addr(ip));
    session.add_time(Time::new(0, 0));
    session.medias = medias;

    let mut description = SessionDescription(session);
    if let Some(previous) = local.previous
        && !description.same_but_version(previous)
    {
        description.0.origin.sess_version = version.wrapping_add(1);
    }
    description
}

fn media(protocol: &str, address: SocketAddr, stream: &Stream) -> Media {
    let numbers: Vec<String> = stream
        .formats
        .iter()
        .map(|format| format.payload_type.to_string())
        .collect();
    let mut attributes = Vec::new();
    for format in &stream.formats {
        let channels = match format.channels {
            0 | 1 => String::new(),
            channels => format!("/{channels}"),
        };
        let (number, encoding) = (format.payload_type, &format.encoding);
        let clock_rate_hz = format.clock_rate_hz;
        attributes.push(Attribute::with_value(
            "rtpmap",
            format!("{number} {encoding}/{clock_rate_hz}{channels}"),
        ));
        if let Some(fmtp) = &format.fmtp {
            attributes.push(Attribute::with_value("fmtp", format!("{number} {fmtp}")));
        }
    }
    if let Some(ptime_ms) = stream.ptime_ms {
        attributes.push(Attribute::with_value("ptime", ptime_ms));
    }
    if stream.rtcp_mux {
        attributes.push(Attribute::new("rtcp-mux"));
    }
    attributes.push(Attribute::new(stream.direction.attribute()));

    Media {
        media: "audio".into(),
        port: address.port(),
        num_ports: None,
        proto: protocol.into(),
        fmt: numbers.join(" "),
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes,
    }
}

/// A stream that we do not take part in (RFC 3264 §6).
fn switched_off(theirs: &Media) -> Media {
    Media {
        media: theirs.media.clone(),
        port: 0,
        num_ports: None,
        proto: theirs.proto.clone(),
        fmt: theirs.fmt.clone(),
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes: Vec::new(),
    }
}

fn telephone_event(clock_rate_hz: u32) -> Format {
    Format::new(101, "telephone-event", clock_rate_hz, 1).with_fmtp("0-16")
}

/// Gives every format a payload type of its own: the first to ask for a number keeps it.
fn numbered(mut formats: Vec<Format>) -> Vec<Format> {
    let wanted: Vec<u8> = formats.iter().map(|format| format.payload_type).collect();
    let mut taken = [false; 128];
    for format in &mut formats {
        let number = usize::from(format.payload_type);
        if number < 128 && !taken[number] {
            taken[number] = true;
            continue;
        }
        // Neither a number that is taken nor one that a later format asks for.
        let free = (96..=127_u8)
            .chain(35..=63)
            .find(|number| !taken[usize::from(*number)] && !wanted.contains(number));
        if let Some(free) = free {
            format.payload_type = free;
            taken[usize::from(free)] = true;
        } else {
            format.payload_type = u8::MAX;
        }
    }
    formats.retain(|format| format.payload_type < 128);
    formats
}

#[cfg(test)]
mod tests;
