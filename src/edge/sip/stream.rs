//! TCP and TLS connections: framing and ingress guard in front of the stack's transactions.
//!
//! The stack closes a connection for an unknown method or a Content-Length that it cannot read,
//! and keeps two buffers of 64 KB for each. Here a connection is three small tasks: the reader
//! frames and judges messages, the writer sends, and the stack's own loop carries them between
//! this and its transactions through its in-memory connection type.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rsipstack::sip::SipMessage;
use rsipstack::transaction::endpoint::EndpointInnerRef;
use rsipstack::transport::channel::ChannelConnection;
use rsipstack::transport::{SipAddr, SipConnection, TransportEvent};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::edge::sip::guard::{Flaw, Framing, Verdict, content_length, end_of_head};
use crate::edge::sip::settings::Transport;
use crate::edge::sip::udp::Gate;

/// The largest message taken from a stream.
const MAX_MESSAGE: usize = 65_535;

/// Connections at once; beyond it a new one is closed again.
const MAX_CONNECTIONS: usize = 4096;

/// Messages waiting to be written to one peer; beyond it they are lost, and so is the peer soon.
const WRITE_QUEUE: usize = 256;

/// How long a new connection may take to say something sensible, whatever else it says.
const FIRST_MESSAGE: Duration = Duration::from_secs(30);

/// How long a connection may be silent later: longer than a registration lasts.
const IDLE: Duration = Duration::from_secs(2 * 3600);

const CONNECT: Duration = Duration::from_secs(5);

/// All open streams, by transport and peer; the newest where a peer has several.
pub struct Streams {
    endpoint: EndpointInnerRef,
    gate: Arc<Gate>,
    open: Mutex<HashMap<(Transport, SocketAddr), Open>>,
    count: AtomicUsize,
    stop: CancellationToken,
    tls: Option<TlsContext>,
}

/// Both sides of TLS.
#[derive(Clone)]
pub struct TlsContext {
    pub acceptor: tokio_rustls::TlsAcceptor,
    pub connector: tokio_rustls::TlsConnector,
}

/// A connection, and how to learn of its end.
#[derive(Clone)]
pub struct Open {
    pub connection: SipConnection,
    pub closed: CancellationToken,
}

impl Streams {
    pub fn new(
        endpoint: EndpointInnerRef,
        gate: Arc<Gate>,
        stop: CancellationToken,
        tls: Option<TlsContext>,
    ) -> Arc<Self> {
        Arc::new(Self {
            endpoint,
            gate,
            open: Mutex::new(HashMap::new()),
            count: AtomicUsize::new(0),
            stop,
            tls,
        })
    }

    /// Takes connections until the node stops.
    pub async fn listen(self: Arc<Self>, listener: TcpListener, transport: Transport) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    if self.count.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
                        tracing::warn!(%peer, "too many connections: one refused");
                        continue;
                    }
                    let streams = self.clone();
                    tokio::spawn(async move { streams.accept(stream, peer, transport).await });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: give others time to close some.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn accept(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, transport: Transport) {
        let _ = stream.set_nodelay(true);
        let opened = match (transport, &self.tls) {
            (Transport::Tls, Some(tls)) => {
                match tokio::time::timeout(FIRST_MESSAGE, tls.acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => self.open(stream, peer, transport).await,
                    _ => return,
                }
            }
            (Transport::Tls, None) => return,
            _ => self.open(stream, peer, transport).await,
        };
        if let Err(error) = opened {
            tracing::debug!(%peer, %error, "connection not opened");
        }
    }

    /// The connection to a peer: the open one, or a new one.
    pub async fn connection_to(
        self: &Arc<Self>,
        transport: Transport,
        peer: SocketAddr,
        server_name: &str,
    ) -> anyhow::Result<Open> {
        if let Some(open) = self.existing(transport, peer) {
            return Ok(open);
        }
        let stream = tokio::time::timeout(CONNECT, TcpStream::connect(peer)).await??;
        let _ = stream.set_nodelay(true);
        match (transport, &self.tls) {
            (Transport::Tls, Some(tls)) => {
                let name = rustls::pki_types::ServerName::try_from(server_name.to_owned())?;
                let stream =
                    tokio::time::timeout(CONNECT, tls.connector.connect(name, stream)).await??;
                self.open(stream, peer, transport).await
            }
            (Transport::Tls, None) => anyhow::bail!("no [sip.tls] is configured"),
            _ => self.open(stream, peer, transport).await,
        }
    }

    pub fn existing(&self, transport: Transport, peer: SocketAddr) -> Option<Open> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(&(transport, peer))
            .filter(|open| !open.closed.is_cancelled())
            .cloned()
    }

    async fn open<S>(
        self: &Arc<Self>,
        stream: S,
        peer: SocketAddr,
        transport: Transport,
    ) -> anyhow::Result<Open>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (to_stack, from_reader) = rsipstack::platform::mpsc::unbounded_channel();
        let (writer, to_write) = mpsc::channel(WRITE_QUEUE);
        let peer_address = SipAddr {
            r#type: Some(stack_transport(transport)),
            addr: peer.into(),
        };
        let channel = ChannelConnection::create_connection_bounded(
            from_reader,
            writer.clone(),
            peer_address.clone(),
            None,
        )
        .await?;
        let connection = SipConnection::Channel(channel);
        let closed = self.stop.child_token();
        let open = Open {
            connection: connection.clone(),
            closed: closed.clone(),
        };
        self.count.fetch_add(1, Ordering::Relaxed);
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((transport, peer), open.clone());
        self.endpoint
            .transport_layer
            .add_connection(connection.clone());
        let (read_half, write_half) = tokio::io::split(stream);
        tokio::spawn(write_all(write_half, to_write, closed.clone()));
        let reader = Reader {
            streams: self.clone(),
            transport,
            peer,
            peer_address,
            connection,
            to_stack,
            writer,
        };
        tokio::spawn(async move {
            tokio::select! {
                () = closed.cancelled() => {}
                () = reader.read(read_half) => closed.cancel(),
            }
            reader.forget();
        });
        Ok(open)
    }
}

/// What a message of a peer was.
enum Taken {
    Sound,
    /// Answered as the guard says, or dropped.
    Refused,
    /// Of another protocol: whoever sends it is not told in ours, but the connection ends.
    NotSip,
}

struct Reader {
    streams: Arc<Streams>,
    transport: Transport,
    peer: SocketAddr,
    peer_address: SipAddr,
    connection: SipConnection,
    to_stack: rsipstack::platform::mpsc::UnboundedSender<TransportEvent>,
    writer: mpsc::Sender<TransportEvent>,
}

impl Reader {
    async fn read<R: AsyncRead + Unpin>(&self, mut stream: R) {
        let mut buffer: Vec<u8> = Vec::with_capacity(4096);
        let mut is_known = false;
        let mut patience = std::pin::pin!(tokio::time::sleep(FIRST_MESSAGE));
        loop {
            loop {
                match next_frame(&mut buffer) {
                    Frame::Message(message) => match self.take(&message).await {
                        Taken::Sound => is_known = true,
                        Taken::Refused => {}
                        Taken::NotSip => return,
                    },
                    Frame::Ping => self.write_raw(b"\r\n").await,
                    Frame::Incomplete => break,
                    Frame::Unframed(message) => {
                        // Answered where it can be; where the next message begins, nobody knows.
                        self.take(&message).await;
                        return;
                    }
                }
            }
            if is_known {
                patience.set(tokio::time::sleep(IDLE));
            }
            let read = tokio::select! {
                read = stream.read_buf(&mut buffer) => read,
                // A stranger is not given more time for each byte that is none of a message.
                () = &mut patience => return,
            };
            if !read.is_ok_and(|length| length > 0) {
                return;
            }
        }
    }

    async fn take(&self, message: &[u8]) -> Taken {
        let gate = &self.streams.gate;
        match gate
            .guard
            .judge(message, self.peer, Framing::Stream, MAX_MESSAGE)
        {
            Verdict::Pass(bytes) => {
                let Ok(message) = SipMessage::try_from(bytes.as_slice()) else {
                    gate.counters.count(|c| &c.dropped);
                    return Taken::Refused;
                };
                let Ok(message) = SipConnection::update_msg_received(
                    message,
                    self.peer,
                    stack_transport(self.transport),
                ) else {
                    gate.counters.count(|c| &c.dropped);
                    return Taken::Refused;
                };
                gate.counters.count(|c| &c.passed);
                let event = TransportEvent::Incoming(
                    message,
                    self.connection.clone(),
                    self.peer_address.clone(),
                );
                match self.to_stack.send(event) {
                    Ok(()) => Taken::Sound,
                    Err(_) => Taken::Refused,
                }
            }
            Verdict::Answer(answer) => {
                if gate.errors.allow(self.peer.ip()) {
                    gate.counters.count(|c| &c.answered);
                    self.write_raw(&answer).await;
                } else {
                    gate.counters.count(|c| &c.limited);
                }
                Taken::Refused
            }
            Verdict::Drop(flaw) => {
                gate.counters.count(|c| &c.dropped);
                match flaw {
                    Flaw::NotSip => Taken::NotSip,
                    Flaw::Response | Flaw::Unanswerable => Taken::Refused,
                }
            }
        }
    }

    /// Sends what is no message of the stack, in turn with what is: a parsed answer goes the
    /// stack's way, a pong is the empty message.
    async fn write_raw(&self, bytes: &[u8]) {
        let event = match SipMessage::try_from(bytes) {
            Ok(message) => TransportEvent::Incoming(
                message,
                self.connection.clone(),
                self.peer_address.clone(),
            ),
            Err(_) => TransportEvent::New(self.connection.clone()),
        };
        let _ = self.writer.send(event).await;
    }

    fn forget(&self) {
        self.streams.count.fetch_sub(1, Ordering::Relaxed);
        let mut open = self
            .streams
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let key = (self.transport, self.peer);
        if open
            .get(&key)
            .is_some_and(|open| open.closed.is_cancelled())
        {
            open.remove(&key);
        }
    }
}

async fn write_all<W: AsyncWrite + Unpin>(
    mut stream: W,
    mut queue: mpsc::Receiver<TransportEvent>,
    closed: CancellationToken,
) {
    loop {
        let event = tokio::select! {
            biased;
            event = queue.recv() => event,
            // What was queued before the end is still sent: the last answer says what was wrong.
            () = closed.cancelled() => break,
        };
        let bytes = match event {
            Some(TransportEvent::Incoming(message, _, _)) => message.to_bytes(),
            Some(_) => b"\r\n".to_vec(),
            None => break,
        };
        if stream.write_all(&bytes).await.is_err() {
            break;
        }
    }
    closed.cancel();
    let _ = stream.shutdown().await;
}

enum Frame {
    Message(Vec<u8>),
    /// RFC 5626 §4.4.1 keep-alive.
    Ping,
    Incomplete,
    /// Not a message, or one whose end cannot be found.
    Unframed(Vec<u8>),
}

/// Cuts the next message out of the buffer (RFC 3261 §18.3).
fn next_frame(buffer: &mut Vec<u8>) -> Frame {
    if buffer.starts_with(b"\r\n\r\n") {
        buffer.drain(..4);
        return Frame::Ping;
    }
    let leading = buffer
        .iter()
        .take_while(|b| b.is_ascii_whitespace())
        .count();
    // One CRLF may yet become two.
    if leading == buffer.len() && leading < 4 {
        return Frame::Incomplete;
    }
    buffer.drain(..leading);
    let Some(head) = end_of_head(buffer) else {
        if buffer.len() > MAX_MESSAGE {
            return Frame::Unframed(std::mem::take(buffer));
        }
        return Frame::Incomplete;
    };
    let Ok(length) = body_length(&buffer[..head]) else {
        return Frame::Unframed(std::mem::take(buffer));
    };
    if head + length > MAX_MESSAGE {
        return Frame::Unframed(std::mem::take(buffer));
    }
    if buffer.len() < head + length {
        return Frame::Incomplete;
    }
    let rest = buffer.split_off(head + length);
    Frame::Message(std::mem::replace(buffer, rest))
}

struct NoLength;

fn body_length(head: &[u8]) -> Result<usize, NoLength> {
    let mut length = None;
    for line in head.split(|b| *b == b'\n') {
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let name = line[..colon].trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"l") {
            let value = std::str::from_utf8(&line[colon + 1..])
                .ok()
                .and_then(content_length)
                .ok_or(NoLength)?;
            if length.replace(value).is_some_and(|first| first != value) {
                return Err(NoLength);
            }
        }
    }
    Ok(length.unwrap_or(0))
}

pub fn stack_transport(transport: Transport) -> rsipstack::sip::Transport {
    match transport {
        Transport::Udp => rsipstack::sip::Transport::Udp,
        Transport::Tcp => rsipstack::sip::Transport::Tcp,
        Transport::Tls => rsipstack::sip::Transport::Tls,
    }
}

/// Where a stream or datagram came from.
pub fn peer_of(connection: &SipConnection) -> Option<SocketAddr> {
    connection.get_remote_addr()?.get_socketaddr().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bytes: &[u8]) -> Vec<String> {
        let mut buffer = bytes.to_vec();
        let mut seen = Vec::new();
        loop {
            match next_frame(&mut buffer) {
                Frame::Message(message) => {
                    seen.push(String::from_utf8_lossy(&message).into_owned());
                }
                Frame::Ping => seen.push("ping".to_owned()),
                Frame::Incomplete => return seen,
                Frame::Unframed(_) => {
                    seen.push("unframed".to_owned());
                    return seen;
                }
            }
        }
    }

    #[test]
    fn messages_are_cut_where_their_length_says() {
        let seen = frames(b"A\r\nl: 2\r\n\r\nxyB\r\n\r\n\r\n\r\nC\r\nContent-Length: 1\r\n\r\n");

        assert_eq!(seen, ["A\r\nl: 2\r\n\r\nxy", "B\r\n\r\n", "ping"]);
    }

    #[test]
    fn a_length_that_is_none_ends_the_framing() {
        assert_eq!(frames(b"A\r\nContent-Length: -5\r\n\r\n"), ["unframed"]);
        assert_eq!(
            frames(b"A\r\nContent-Length: 5\r\nl: 6\r\n\r\n"),
            ["unframed"]
        );
        assert_eq!(frames(&[b'x'; MAX_MESSAGE + 1]), ["unframed"]);
    }

    #[test]
    fn messages_may_come_byte_by_byte() {
        let whole = b"\r\nA\r\nl: 3\r\n\r\nxyz";
        let mut buffer = Vec::new();
        for byte in &whole[..whole.len() - 1] {
            buffer.push(*byte);
            assert!(matches!(next_frame(&mut buffer), Frame::Incomplete));
        }
        buffer.push(b'z');

        assert!(matches!(next_frame(&mut buffer), Frame::Message(m) if m.ends_with(b"xyz")));
    }
}
