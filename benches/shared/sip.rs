//! As much SIP as a call needs, by hand: INVITE, ACK, BYE, and their answers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// RFC 3261 T1: when a request is sent again.
const AGAIN: Duration = Duration::from_millis(500);

/// A message as it came.
pub struct Message {
    text: String,
}

impl Message {
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            text: String::from_utf8(bytes.to_vec()).ok()?,
        })
    }

    /// Of an answer.
    pub fn status(&self) -> Option<u16> {
        let rest = self.text.strip_prefix("SIP/2.0 ")?;
        rest.get(..3)?.parse().ok()
    }

    /// Of a request.
    pub fn method(&self) -> Option<&str> {
        match self.status() {
            Some(_) => None,
            None => self.text.split(' ').next(),
        }
    }

    /// User part of the request URI.
    pub fn dialled(&self) -> Option<&str> {
        let uri = self.text.split(' ').nth(1)?.strip_prefix("sip:")?;
        uri.split('@').next()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim()
                .eq_ignore_ascii_case(name)
                .then_some(value.trim())
        })
    }

    /// What the CSeq is of.
    pub fn cseq_method(&self) -> Option<&str> {
        self.header("CSeq")?.split(' ').nth(1)
    }

    /// Where the sender of this session description listens.
    pub fn media(&self) -> Option<SocketAddr> {
        let body = self.text.split_once("\r\n\r\n")?.1;
        let line = |prefix| body.lines().find_map(move |line| line.strip_prefix(prefix));
        let address = line("c=IN IP4 ")?.trim().parse().ok()?;
        let port = line("m=audio ")?.split(' ').next()?.parse().ok()?;
        Some(SocketAddr::new(address, port))
    }

    fn head(&self) -> impl Iterator<Item = &str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        head.split("\r\n").skip(1)
    }

    fn all(&self, name: &str) -> String {
        let wanted = |line: &&str| {
            let key = line.split(':').next().unwrap_or_default();
            key.trim().eq_ignore_ascii_case(name)
        };
        let lines = self.head().filter(wanted);
        lines.map(|line| format!("{line}\r\n")).collect()
    }

    /// An answer to this request.
    pub fn answer(&self, status: &str, local: SocketAddr, tag: &str, body: &str) -> String {
        let to = self.header("To").unwrap_or_default();
        let tag = match to.contains("tag=") {
            true => String::new(),
            false => format!(";tag={tag}"),
        };
        format!(
            "SIP/2.0 {status}\r\n{}{}{}To: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:bench@{local}>\r\n{}",
            self.all("Via"),
            self.all("Record-Route"),
            self.all("From"),
            self.header("Call-ID").unwrap_or_default(),
            self.header("CSeq").unwrap_or_default(),
            with_body(body),
        )
    }
}

/// PCMU and telephone-event.
pub fn session_description(media: SocketAddr) -> String {
    let (ip, port) = (media.ip(), media.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    )
}

fn with_body(body: &str) -> String {
    let kind = match body {
        "" => "",
        _ => "Content-Type: application/sdp\r\n",
    };
    format!("{kind}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Idle,
    Calling,
    Talking,
    Leaving,
    Over,
    Refused(u16),
}

/// A call that a phone of ours places.
pub struct Dialog {
    pub stream: usize,
    pub state: State,
    number: usize,
    caller: String,
    dialled: String,
    local: SocketAddr,
    service: SocketAddr,
    /// From the answer: their To with its tag, and their Contact.
    to: String,
    target: String,
    /// What is sent again until it is answered.
    request: String,
    sent: Instant,
    provisional: bool,
}

impl Dialog {
    pub fn new(
        number: usize,
        stream: usize,
        caller: &str,
        dialled: &str,
        local: SocketAddr,
        service: SocketAddr,
    ) -> Self {
        Self {
            stream,
            state: State::Idle,
            number,
            caller: caller.to_owned(),
            dialled: dialled.to_owned(),
            local,
            service,
            to: format!("<sip:{dialled}@{service}>"),
            target: format!("sip:{dialled}@{service}"),
            request: String::new(),
            sent: Instant::now(),
            provisional: false,
        }
    }

    pub fn call_id(&self) -> String {
        format!("{}@{}", self.number, self.local)
    }

    pub fn invite(&mut self, media: SocketAddr) -> String {
        let body = session_description(media);
        self.state = State::Calling;
        self.begin(
            &format!("sip:{}@{}", self.dialled, self.service),
            "INVITE",
            1,
            &body,
        )
    }

    pub fn bye(&mut self) -> String {
        self.state = State::Leaving;
        let target = self.target.clone();
        self.begin(&target, "BYE", 2, "")
    }

    /// What is to be sent after an answer came, if anything.
    pub fn handle(&mut self, answer: &Message) -> Option<String> {
        let status = answer.status()?;
        let of_invite = answer.cseq_method() == Some("INVITE");
        self.provisional = true;
        match (self.state, status) {
            (_, ..200) => None,
            (State::Calling | State::Talking, 200..300) if of_invite => {
                self.state = State::Talking;
                self.to = answer.header("To")?.to_owned();
                let contact = answer.header("Contact")?;
                let uri = contact.split_once('<').map_or(contact, |(_, rest)| rest);
                self.target = uri.split('>').next()?.to_owned();
                Some(self.write(&self.target, "ACK", 1, "branch-ack", ""))
            }
            (State::Calling, refused) if of_invite => {
                self.state = State::Refused(refused);
                self.to = answer.header("To")?.to_owned();
                // The ACK of a refusal belongs to the INVITE's own transaction.
                let target = format!("sip:{}@{}", self.dialled, self.service);
                Some(self.write(&target, "ACK", 1, "INVITE", ""))
            }
            (State::Leaving, _) if !of_invite => {
                self.state = State::Over;
                None
            }
            _ => None,
        }
    }

    /// The peer hung up.
    pub fn ended(&mut self) {
        self.state = State::Over;
    }

    /// What is to be sent again.
    pub fn overdue(&mut self, now: Instant) -> Option<&str> {
        let waits = match self.state {
            State::Calling => !self.provisional,
            State::Leaving => true,
            State::Idle | State::Talking | State::Over | State::Refused(_) => false,
        };
        if !waits || now - self.sent < AGAIN {
            return None;
        }
        self.sent = now;
        Some(&self.request)
    }

    fn begin(&mut self, target: &str, method: &str, cseq: u32, body: &str) -> String {
        self.request = self.write(target, method, cseq, method, body);
        self.sent = Instant::now();
        self.provisional = false;
        self.request.clone()
    }

    fn write(&self, target: &str, method: &str, cseq: u32, branch: &str, body: &str) -> String {
        let Self {
            local,
            caller,
            number,
            to,
            ..
        } = self;
        format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch=z9hG4bK{branch}{number}x{}\r\n\
             From: <sip:{caller}@{local}>;tag=f{number}\r\nTo: {to}\r\nCall-ID: {}\r\n\
             CSeq: {cseq} {method}\r\nMax-Forwards: 70\r\nContact: <sip:{caller}@{local}>\r\n{}",
            local.port(),
            self.call_id(),
            with_body(body),
        )
    }
}
