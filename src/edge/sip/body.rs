//! Bodies: the session description of an INVITE, alone or inside a multipart, and keys in INFO.

use crate::media::dtmf::Digit;
use crate::wire::sdp::SessionDescription;

/// Why a body could not be used; each has its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("neither SDP nor a multipart with SDP")]
    Unsupported,
    #[error("not readable as SDP")]
    Broken,
}

impl BodyError {
    pub fn status(self) -> u16 {
        match self {
            Self::Unsupported => 415,
            Self::Broken => 400,
        }
    }
}

/// The session description of a message, `None` where it has no body.
pub fn description(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
    body: &[u8],
) -> Result<Option<SessionDescription>, BodyError> {
    if body.trim_ascii().is_empty() {
        return Ok(None);
    }
    if content_encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(BodyError::Unsupported);
    }
    let content_type = content_type.unwrap_or("application/sdp");
    let kind = media_type(content_type);
    if kind.eq_ignore_ascii_case("application/sdp") {
        return parse(body).map(Some);
    }
    if kind
        .get(..10)
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case("multipart/"))
    {
        let part = sdp_part(content_type, body).ok_or(BodyError::Unsupported)?;
        return parse(part).map(Some);
    }
    Err(BodyError::Unsupported)
}

fn parse(body: &[u8]) -> Result<SessionDescription, BodyError> {
    SessionDescription::parse(body).map_err(|_| BodyError::Broken)
}

/// As bytes for a body.
pub fn print(description: &SessionDescription) -> Vec<u8> {
    description.to_string().into_bytes()
}

/// The digit of an INFO, in either of the two forms in use: `application/dtmf-relay` with
/// `Signal=4`, and `application/dtmf` with the digit alone.
pub fn key_in_info(content_type: &str, body: &[u8]) -> Option<Digit> {
    let text = std::str::from_utf8(body).ok()?;
    let kind = media_type(content_type);
    if kind.eq_ignore_ascii_case("application/dtmf-relay") {
        let value = text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case("signal")
                .then(|| value.trim())
        })?;
        return digit(value);
    }
    if kind.eq_ignore_ascii_case("application/dtmf") {
        return digit(text.trim());
    }
    None
}

/// Some phones send the event number, 10 for `*` and 11 for `#`.
fn digit(text: &str) -> Option<Digit> {
    let key = match text {
        "10" => '*',
        "11" => '#',
        _ => {
            let mut chars = text.chars();
            let first = chars.next()?;
            if chars.next().is_some() {
                return None;
            }
            first.to_ascii_uppercase()
        }
    };
    Digit::from_char(key)
}

fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or("").trim()
}

/// The first part of a multipart whose type is SDP (RFC 2046 §5.1, RFC 5621).
fn sdp_part<'a>(content_type: &str, body: &'a [u8]) -> Option<&'a [u8]> {
    let boundary = content_type.split(';').skip(1).find_map(|param| {
        let (name, value) = param.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then(|| value.trim().trim_matches('"'))
    })?;
    if boundary.is_empty() || boundary.len() > 70 {
        return None;
    }
    let delimiter = format!("--{boundary}");
    let mut starts = Vec::new();
    let mut from = 0;
    while let Some(at) = find(&body[from..], delimiter.as_bytes()) {
        let at = from + at;
        if at == 0 || body[at - 1] == b'\n' {
            starts.push(at);
        }
        from = at + delimiter.len();
    }
    starts.windows(2).find_map(|pair| {
        let part = &body[pair[0] + delimiter.len()..pair[1]];
        let head_end = find(part, b"\r\n\r\n")?;
        let is_sdp = part[..head_end].split(|b| *b == b'\n').any(|line| {
            std::str::from_utf8(line)
                .ok()
                .and_then(|line| line.split_once(':'))
                .is_some_and(|(name, value)| {
                    name.trim().eq_ignore_ascii_case("content-type")
                        && media_type(value).eq_ignore_ascii_case("application/sdp")
                })
        });
        is_sdp.then(|| &part[head_end + 4..])
    })
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                       m=audio 4000 RTP/AVP 0\r\n";

    #[test]
    fn a_description_alone_is_found() {
        let found = description(Some("application/sdp"), None, SDP.as_bytes()).unwrap();

        assert!(
            String::from_utf8(print(&found.unwrap()))
                .unwrap()
                .contains("m=audio 4000")
        );
    }

    #[test]
    fn a_description_among_other_parts_is_found() {
        let body = format!(
            "preamble\r\n--b1\r\nContent-Type: application/isup\r\n\r\n\u{1}\u{2}\r\n--b1\r\n\
             Content-Type: application/sdp\r\n\r\n{SDP}\r\n--b1--\r\n"
        );

        let found = description(
            Some("multipart/mixed;boundary=\"b1\""),
            None,
            body.as_bytes(),
        );

        assert!(found.unwrap().is_some());
    }

    #[test]
    fn what_is_no_description_is_refused_with_its_status() {
        assert_eq!(description(None, None, b"").unwrap(), None);
        assert_eq!(
            description(Some("text/plain"), None, b"hello")
                .unwrap_err()
                .status(),
            415
        );
        assert_eq!(
            description(Some("application/sdp"), None, b"hello")
                .unwrap_err()
                .status(),
            400
        );
        assert_eq!(
            description(Some("application/sdp"), Some("gzip"), SDP.as_bytes())
                .unwrap_err()
                .status(),
            415
        );
    }

    #[test]
    fn keys_are_read_from_both_forms_of_info() {
        let key = |kind: &str, body: &str| key_in_info(kind, body.as_bytes()).map(Digit::as_char);

        assert_eq!(
            key("application/dtmf-relay", "Signal=4\r\nDuration=160\r\n"),
            Some('4')
        );
        assert_eq!(key("application/dtmf-relay", "Signal= #\r\n"), Some('#'));
        assert_eq!(key("application/dtmf", "*"), Some('*'));
        assert_eq!(key("application/dtmf-relay", "Signal=11"), Some('#'));
        assert_eq!(key("application/dtmf", "44"), None);
        assert_eq!(key("application/broadsoft", "4"), None);
    }
}
