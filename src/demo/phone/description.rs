//! The phone's session descriptions: one audio line, its codecs and telephone-events.

use std::net::{IpAddr, SocketAddr};

use crate::demo::media::{Codec, Media, Peer};
use crate::demo::phone::PhoneError;
use crate::demo::phone::user_agent::UserAgent;

impl UserAgent {
    pub fn sdp(
        &self,
        media: &Media,
        version: u32,
        direction: &str,
        answer_to: Option<&Peer>,
    ) -> String {
        let ip = self.config.ip;
        let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
        let codecs: Vec<Codec> = match answer_to {
            Some(peer) => vec![peer.codec],
            None => self.config.codecs.clone(),
        };
        let event = match answer_to {
            Some(peer) => peer.telephone_event,
            None => self.config.telephone_event,
        };
        // Keys go by the clock of the audio (RFC 4733 §2.1).
        let clock_rate_hz = codecs.first().map_or(8_000, |codec| codec.clock_rate_hz());
        let mut formats: Vec<String> = codecs
            .iter()
            .map(|codec| codec.payload_type().to_string())
            .collect();
        formats.extend(event.map(|payload_type| payload_type.to_string()));
        let mut text = format!(
            "v=0\r\no=- 1 {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
             m=audio {} RTP/AVP {}\r\n",
            media.local.port(),
            formats.join(" ")
        );
        for codec in codecs {
            text += &format!("a=rtpmap:{} {}\r\n", codec.payload_type(), codec.rtpmap());
        }
        if let Some(payload_type) = event {
            text += &format!(
                "a=rtpmap:{payload_type} telephone-event/{clock_rate_hz}\r\n\
                 a=fmtp:{payload_type} 0-15\r\n"
            );
        }
        text + &format!("a=ptime:20\r\na={direction}\r\n")
    }

    pub fn read_sdp(&self, text: &str) -> Result<Peer, PhoneError> {
        let mut ip: Option<IpAddr> = None;
        let mut port = None;
        let mut formats: Vec<u8> = Vec::new();
        let mut telephone_events: Vec<(u8, u32)> = Vec::new();
        let mut we_may_send = true;
        for line in text.lines() {
            let line = line.trim_end();
            if let Some(rest) = line.strip_prefix("c=IN ") {
                ip = rest
                    .split(' ')
                    .nth(1)
                    .and_then(|address| address.parse().ok());
            } else if let Some(rest) = line.strip_prefix("m=audio ") {
                let mut words = rest.split(' ');
                port = words.next().and_then(|port| port.parse::<u16>().ok());
                formats = words.skip(1).filter_map(|word| word.parse().ok()).collect();
            } else if let Some(rest) = line.strip_prefix("a=rtpmap:") {
                if let Some((number, name)) = rest.split_once(' ')
                    && let Some(clock) = name.to_ascii_lowercase().strip_prefix("telephone-event/")
                    && let (Ok(number), Ok(clock)) = (number.parse(), clock.parse())
                {
                    telephone_events.push((number, clock));
                }
            } else if line == "a=recvonly" || line == "a=sendrecv" {
                we_may_send = true;
            } else if line == "a=sendonly" || line == "a=inactive" {
                we_may_send = false;
            }
        }
        let codec = formats.iter().find_map(|format| {
            self.config
                .codecs
                .iter()
                .copied()
                .find(|codec| codec.payload_type() == *format)
        });
        match (ip, port, codec) {
            (Some(ip), Some(port), Some(codec)) if port != 0 => {
                let telephone_event = telephone_events
                    .into_iter()
                    .find(|(_, clock)| *clock == codec.clock_rate_hz())
                    .map(|(payload_type, _)| payload_type);
                Ok(Peer {
                    remote: SocketAddr::new(ip, port),
                    codec,
                    telephone_event: self.config.telephone_event.and(telephone_event),
                    we_may_send: we_may_send && !ip.is_unspecified(),
                })
            }
            _ => Err(PhoneError::Sdp),
        }
    }
}
