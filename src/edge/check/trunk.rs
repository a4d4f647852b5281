//! Asks a trunk whether it is there: OPTIONS over UDP, as RFC 3261 §11 has it, or a connection
//! where its URI wants TCP or TLS.

use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use crate::edge::clock;

const PATIENCE: Duration = Duration::from_secs(2);

/// What it said, or why nothing is known of it. `from` are addresses of ours.
pub(super) fn answer(uri: &str, from: &[IpAddr]) -> Result<String, String> {
    let target = Target::of(uri);
    let address = target.address()?;
    let ours = from
        .iter()
        .copied()
        .find(|ours| ours.is_ipv4() == address.is_ipv4())
        .ok_or_else(|| format!("no SIP listener of ours reaches {address}"))?;
    match target.connected {
        true => connect(address),
        false => options(uri, address, ours),
    }
}

/// What a SIP URI says about where to send.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    host: String,
    port: u16,
    connected: bool,
}

impl Target {
    fn of(uri: &str) -> Self {
        let (scheme, rest) = uri.split_once(':').unwrap_or(("sip", uri));
        let rest = rest.rsplit('@').next().unwrap_or_default();
        let (place, parameters) = rest.split_once([';', '?']).unwrap_or((rest, ""));
        let parameters = parameters.to_ascii_lowercase();
        let secure = scheme == "sips" || parameters.contains("transport=tls");
        let (host, port) = match place.rsplit_once(':') {
            // The colon of an IPv6 address is inside its brackets.
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
            _ => (place, None),
        };
        Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port.unwrap_or(if secure { 5061 } else { 5060 }),
            connected: secure || parameters.contains("transport=tcp"),
        }
    }

    fn address(&self) -> Result<SocketAddr, String> {
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let mut found = found.map_err(|error| format!("{}: {error}", self.host))?;
        found
            .next()
            .ok_or_else(|| format!("{} has no address", self.host))
    }
}

fn connect(address: SocketAddr) -> Result<String, String> {
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(_) => Ok("takes connections".into()),
        Err(error) => Err(format!("{address} takes no connection: {error}")),
    }
}

fn options(uri: &str, address: SocketAddr, ours: IpAddr) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("{address}: {error}");
    let socket = UdpSocket::bind((ours, 0)).map_err(failed)?;
    // Connected, so that a closed port is told at once and nobody else is listened to.
    socket.connect(address).map_err(failed)?;
    let local = socket.local_addr().map_err(failed)?;
    let id = uuid::Uuid::new_v4().simple();
    let request = format!(
        "OPTIONS {uri} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {local};branch=z9hG4bK{id};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:check@{local}>;tag={id}\r\n\
         To: <{uri}>\r\n\
         Call-ID: {id}\r\n\
         CSeq: 1 OPTIONS\r\n\
         Contact: <sip:check@{local}>\r\n\
         Accept: application/sdp\r\n\
         User-Agent: sottovoce\r\n\
         Content-Length: 0\r\n\r\n"
    );

    let deadline = clock::now() + PATIENCE;
    // Sent again after T1 (RFC 3261 §17.1.2.2), since a datagram may be lost.
    let mut wait = Duration::from_millis(500);
    let mut buffer = [0; 2_048];
    socket.send(request.as_bytes()).map_err(failed)?;
    loop {
        let left = deadline.saturating_duration_since(clock::now());
        if left.is_zero() {
            return Err(format!("{address} does not answer OPTIONS within 2 s"));
        }
        let timeout = wait.min(left);
        socket.set_read_timeout(Some(timeout)).map_err(failed)?;
        match socket.recv(&mut buffer) {
            Ok(length) => {
                if let Some(status) = status(&buffer[..length]) {
                    return Ok(format!("answers {status}"));
                }
            }
            Err(error) if is_timeout(&error) => {
                wait *= 2;
                socket.send(request.as_bytes()).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// Any final answer shows that somebody is there.
fn status(bytes: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(bytes.get(..11)?).ok()?;
    let status = text.strip_prefix("SIP/2.0 ")?.parse().ok()?;
    (200..700).contains(&status).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [IpAddr; 1] = [IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)];

    #[test]
    fn a_uri_tells_host_port_and_transport() {
        let target = |uri| {
            let Target {
                host,
                port,
                connected,
            } = Target::of(uri);
            (host, port, connected)
        };

        assert_eq!(target("sip:a.example"), ("a.example".into(), 5060, false));
        assert_eq!(target("sip:u@1.2.3.4:70"), ("1.2.3.4".into(), 70, false));
        assert_eq!(target("sip:[::1]:70"), ("::1".into(), 70, false));
        assert_eq!(target("sip:[::1]"), ("::1".into(), 5060, false));
        assert_eq!(target("sips:a"), ("a".into(), 5061, true));
        assert_eq!(target("sip:a;transport=TCP"), ("a".into(), 5060, true));
    }

    #[test]
    fn a_trunk_that_answers_is_there() {
        let trunk = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let uri = format!("sip:{}", trunk.local_addr().unwrap());
        let answering = std::thread::spawn(move || {
            let mut buffer = [0; 2_048];
            let (length, peer) = trunk.recv_from(&mut buffer).unwrap();
            assert!(buffer[..length].starts_with(b"OPTIONS sip:127.0.0.1:"));
            trunk.send_to(b"SIP/2.0 100 Trying\r\n\r\n", peer).unwrap();
            trunk.send_to(b"SIP/2.0 200 OK\r\n\r\n", peer).unwrap();
        });

        let answer = answer(&uri, &OURS);
        answering.join().unwrap();

        assert_eq!(answer, Ok("answers 200".into()));
    }

    #[test]
    fn a_trunk_that_is_not_there_is_told() {
        let gone = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let address = gone.local_addr().unwrap();
        drop(gone);

        assert!(answer(&format!("sip:{address}"), &OURS).is_err());
        assert!(answer("sip:host.invalid", &OURS).is_err());
    }
}
