//! Session descriptions of phones.

use crate::wire::sdp::SessionDescription;

pub fn pcma(port: u16) -> SessionDescription {
    sdp(port, "8 101", "a=rtpmap:101 telephone-event/8000")
}

/// A description with these formats and attributes.
pub fn sdp(port: u16, formats: &str, attributes: &str) -> SessionDescription {
    let text = format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP {formats}\r\n{attributes}\r\n"
    );
    SessionDescription::parse(text.as_bytes()).unwrap()
}

/// In G.711 A-law, in a direction.
pub fn directed(port: u16, direction: &str) -> SessionDescription {
    sdp(
        port,
        "8 101",
        &format!("a=rtpmap:101 telephone-event/8000\r\na={direction}"),
    )
}

/// In G.711 µ-law, in a direction.
pub fn pcmu(direction: &str) -> SessionDescription {
    let attributes = format!("a=rtpmap:101 telephone-event/8000\r\na={direction}");
    sdp(4_000, "0 101", &attributes)
}
