//! A phone that sends and reads SIP as text, so that nothing of the product is tested against
//! itself.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;

/// A busy machine is slow, a broken product is silent.
pub const PATIENCE: Duration = Duration::from_secs(60);

static NEXT: AtomicU64 = AtomicU64::new(1);

pub fn unique(what: &str) -> String {
    format!("{what}{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[derive(Clone, Debug)]
pub struct Message {
    pub start: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Message {
    pub fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.split("\r\n");
        let start = lines.next().expect("a start line").to_owned();
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').expect("a header");
                (name.trim().to_owned(), value.trim().to_owned())
            })
            .collect();
        Self {
            start,
            headers,
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.find(name)
            .unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub fn find(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// Status of a response, 0 of a request.
    pub fn status(&self) -> u16 {
        self.start
            .strip_prefix("SIP/2.0 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|code| code.parse().ok())
            .unwrap_or(0)
    }

    /// Method of a request, or the one a response answers.
    pub fn method(&self) -> &str {
        if self.status() == 0 {
            self.start.split(' ').next().unwrap_or("")
        } else {
            self.header("CSeq").split(' ').nth(1).unwrap_or("")
        }
    }

    pub fn uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or("")
    }

    pub fn contact_uri(&self) -> String {
        uri_in(self.header("Contact"))
    }
}

pub fn uri_in(value: &str) -> String {
    match value.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or("").to_owned(),
        None => value.split(';').next().unwrap_or("").to_owned(),
    }
}

pub fn sdp(port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0\r\n"
    )
}

pub struct Phone {
    pub socket: UdpSocket,
    pub server: SocketAddr,
}

impl Phone {
    pub async fn at(ip: &str, server: SocketAddr) -> Self {
        Self {
            socket: UdpSocket::bind((ip, 0)).await.expect("a socket"),
            server,
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.socket.local_addr().expect("an address")
    }

    pub async fn send_bytes(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.server).await.expect("sent");
    }

    pub async fn send(&self, text: &str) {
        self.send_bytes(text.as_bytes()).await;
    }

    pub async fn receive(&self) -> Message {
        tokio::time::timeout(PATIENCE, self.next())
            .await
            .expect("a message in time")
    }

    /// The next message, if one comes within that time.
    pub async fn receive_within(&self, time: Duration) -> Option<Message> {
        tokio::time::timeout(time, self.next()).await.ok()
    }

    async fn next(&self) -> Message {
        let mut buffer = vec![0; 65_536];
        let length = self.socket.recv(&mut buffer).await.expect("received");
        Message::parse(std::str::from_utf8(&buffer[..length]).expect("text"))
    }

    /// Waits for a response with that status, skipping 100 and repeats.
    pub async fn expect(&self, status: u16) -> Message {
        loop {
            let message = self.receive().await;
            if message.status() == status {
                return message;
            }
            assert!(
                matches!(message.status(), 100),
                "{status} expected: {}",
                message.start
            );
        }
    }

    /// Waits for that status to the request of that number; what answers others is skipped.
    pub async fn expect_to(&self, status: u16, cseq: u32) -> Message {
        loop {
            let message = self.receive().await;
            let to = message.header("CSeq").split(' ').next();
            if to != Some(&cseq.to_string()) || matches!(message.status(), 0 | 100) {
                continue;
            }
            assert_eq!(message.status(), status, "{}", message.start);
            return message;
        }
    }

    /// The next message that is not a 100.
    pub async fn expect_any(&self) -> Message {
        loop {
            let message = self.receive().await;
            if message.status() != 100 {
                return message;
            }
        }
    }

    /// Waits for a request of that method; responses and repeats of others are skipped.
    pub async fn request(&self, method: &str) -> Message {
        loop {
            let message = self.receive().await;
            if message.status() == 0 && message.method() == method {
                return message;
            }
        }
    }

    /// Answers a request. `tag` is put on a To that has none.
    pub async fn answer(&self, request: &Message, status: u16, tag: &str, extra: &str, body: &str) {
        let mut out = format!("SIP/2.0 {status} Whatever\r\n");
        for via in request.all("Via") {
            out.push_str(&format!("Via: {via}\r\n"));
        }
        let to = request.header("To");
        let to = if to.contains(";tag=") || tag.is_empty() {
            to.to_owned()
        } else {
            format!("{to};tag={tag}")
        };
        out.push_str(&format!(
            "From: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: <sip:{}>\r\n{extra}",
            request.header("From"),
            request.header("Call-ID"),
            request.header("CSeq"),
            self.addr(),
        ));
        if !body.is_empty() {
            out.push_str("Content-Type: application/sdp\r\n");
        }
        out.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        self.send(&out).await;
    }
}

/// One side of a dialog, to write requests in it.
#[derive(Clone, Debug)]
pub struct Call {
    pub call_id: String,
    pub from: String,
    pub to: String,
    pub target: String,
    pub cseq: u32,
    pub local: SocketAddr,
}

impl Call {
    /// A call to `number` from `user`.
    pub fn new(phone: &Phone, user: &str, number: &str) -> Self {
        Self {
            call_id: unique("call-"),
            from: format!("<sip:{user}@{}>;tag={}", phone.addr().ip(), unique("t")),
            to: format!("<sip:{number}@{}>", phone.server),
            target: format!("sip:{number}@{}", phone.server),
            cseq: 0,
            local: phone.addr(),
        }
    }

    /// The dialog of a call that came in, as its callee sees it.
    pub fn of_invite(phone: &Phone, invite: &Message, tag: &str) -> Self {
        Self {
            call_id: invite.header("Call-ID").to_owned(),
            from: format!("{};tag={tag}", invite.header("To")),
            to: invite.header("From").to_owned(),
            target: invite.contact_uri(),
            cseq: 100,
            local: phone.addr(),
        }
    }

    pub fn request(&mut self, method: &str, extra: &str, body: &str) -> String {
        self.cseq += 1;
        self.numbered(method, self.cseq, extra, body)
    }

    /// The ACK of a 2xx, on a branch of its own.
    pub fn ack(&self, body: &str) -> String {
        self.numbered("ACK", self.cseq, "", body)
    }

    pub fn numbered(&self, method: &str, cseq: u32, extra: &str, body: &str) -> String {
        let branch = unique("z9hG4bKp");
        self.on_branch(method, cseq, &branch, extra, body)
    }

    pub fn on_branch(
        &self,
        method: &str,
        cseq: u32,
        branch: &str,
        extra: &str,
        body: &str,
    ) -> String {
        let kind = if body.is_empty() || extra.contains("Content-Type") {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch={branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:{}>\r\nUser-Agent: Desk/2\r\n{extra}{kind}Content-Length: {}\r\n\r\n\
             {body}",
            self.target,
            self.local,
            self.from,
            self.to,
            self.call_id,
            self.local,
            body.len()
        )
    }

    /// Takes over what a response to our INVITE settled.
    pub fn confirmed_by(&mut self, response: &Message) {
        self.to = response.header("To").to_owned();
        self.target = response.contact_uri();
    }
}
