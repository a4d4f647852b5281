//! What the messages of a call cost by themselves: a relay that puts its Via on every request and
//! takes it off every answer, and opens and closes the four sockets of two legs. It knows no
//! dialog, no transaction and no caller, and repeats nothing: less cannot be done.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// The argument that makes this program the relay.
pub const ARGUMENT: &str = "--relay-to";

const LEG_SOCKETS: usize = 4;

/// The relay in a process of its own, on the core of the thread that starts it.
pub struct Floor {
    child: Child,
    pub address: SocketAddr,
}

impl Floor {
    pub fn start(to: SocketAddr) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([ARGUMENT, &to.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the relay")?;
        let mut line = String::new();
        let output = child.stdout.take().context("the relay's output")?;
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().context("the relay's address")?;
        Ok(Self { child, address })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // Nothing to be done about a process that cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Relays until it is killed.
pub fn relay(to: SocketAddr) -> anyhow::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let here = socket.local_addr()?;
    println!("{here}");
    let mut legs: HashMap<Vec<u8>, Vec<UdpSocket>> = HashMap::new();
    let mut buffer = [0; 65_535];
    loop {
        let (length, _) = socket.recv_from(&mut buffer)?;
        let message = &buffer[..length];
        let Some(end_of_line) = find(message, b"\r\n") else {
            continue;
        };
        let (start, rest) = message.split_at(end_of_line + 2);
        if start.starts_with(b"SIP/2.0") {
            let Some((from, until, back)) = vias(rest) else {
                continue;
            };
            let answer = [start, &rest[..from], &rest[until..]].concat();
            // What is lost is repeated by the phones.
            let _ = socket.send_to(&answer, back);
            continue;
        }
        let branch = value(rest, b"branch=").unwrap_or_default();
        let call_id = value(rest, b"Call-ID: ").unwrap_or_default();
        if start.starts_with(b"INVITE") {
            let sockets: std::io::Result<Vec<_>> = (0..LEG_SOCKETS)
                .map(|_| UdpSocket::bind("127.0.0.1:0"))
                .collect();
            legs.insert(call_id.to_vec(), sockets?);
        } else if start.starts_with(b"BYE") {
            legs.remove(call_id);
        }
        let via = format!("Via: SIP/2.0/UDP {here};branch=");
        let request = [start, via.as_bytes(), branch, b"\r\n", rest].concat();
        let _ = socket.send_to(&request, to);
    }
}

/// Where the first Via begins and ends, and the address that the second one names: sipp writes
/// both into one line.
fn vias(head: &[u8]) -> Option<(usize, usize, SocketAddr)> {
    let from = find(head, b"Via: ")? + 5;
    let until = from + find(&head[from..], b", ")? + 2;
    let next = value(&head[until..], b"SIP/2.0/UDP ")?;
    let back = std::str::from_utf8(next).ok()?.parse().ok()?;
    Some((from, until, back))
}

/// What follows this, up to the end of the line or parameter.
fn value<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = &text[find(text, name)? + name.len()..];
    let end = rest.iter().position(|byte| b"\r;".contains(byte))?;
    Some(&rest[..end])
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
