//! The places of the network that sottovoce.toml names: `[sip]`, `[rtp]`, `[http]`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::edge::config::{
    Http, Io, LOOPBACK, Listener, Places, PortRange, Rtp, Sip, Tls, Transport,
};
use crate::wire::document::{Complaint, Item, Place, Table};

const LISTENER: &str =
    "listeners such as \"udp:127.0.0.1:5060\" (udp, tcp or tls, an address, a port)";
const PORTS: &str = "\"first-last\" with even first, 1024 to 65535, such as \"20000-29999\"";
const REACHED: &str = "the address that phones reach";

pub(super) fn sip(root: &mut Table, base: &Path, places: &mut Places) -> Result<Sip, Complaint> {
    let mut table = root.table("sip")?;
    let listen_item = table.take("listen");
    let listen = match &listen_item {
        Some(item) => listeners(item)?,
        None => [Transport::Udp, Transport::Tcp]
            .map(|transport| Listener {
                transport,
                addr: SocketAddr::new(LOOPBACK, 5060),
            })
            .to_vec(),
    };

    let advertise = match table.take("advertise") {
        Some(item) => Some(host(&item)?),
        None => None,
    };
    if let (None, Some(item)) = (&advertise, &listen_item)
        && let Some(any) = listen.iter().find(|l| l.addr.ip().is_unspecified())
    {
        return Err(item.complain(format!(
            "{any} is every address, expected [sip] advertise to name {REACHED}"
        )));
    }

    let domain = match table.take("domain") {
        Some(item) => item.filled_text("a domain name")?.to_owned(),
        None => "sottovoce.local".to_owned(),
    };

    let mut tls_table = table.table("tls")?;
    let tls = match tls_table.is_empty() {
        true => None,
        false => {
            tls_table.declare(&["cert", "key"]);
            let cert = tls_table.require("cert", "the path of a PEM file")?;
            let key = tls_table.require("key", "the path of a PEM file")?;
            Some(Tls {
                cert: existing_file(&cert, base)?,
                key: existing_file(&key, base)?,
            })
        }
    };
    if let (None, Some(item)) = (&tls, &listen_item)
        && listen.iter().any(|l| l.transport == Transport::Tls)
    {
        return Err(item.complain("expected [sip.tls] with cert and key beside a tls listener"));
    }
    tls_table.finish()?;
    table.finish()?;

    let entries = listen_item.as_ref().and_then(|item| item.list("").ok());
    places.listen = (0..listen.len())
        .map(|index| Some(entries?.get(index)?.place()))
        .collect();
    Ok(Sip {
        listen,
        advertise,
        domain,
        tls,
    })
}

pub(super) fn rtp(root: &mut Table, places: &mut Places) -> Result<Rtp, Complaint> {
    let mut table = root.table("rtp")?;
    let bind_item = table.take("bind");
    let bind = match &bind_item {
        Some(item) => ip(item)?,
        None => LOOPBACK,
    };
    let advertise = match (table.take("advertise"), &bind_item) {
        (Some(item), _) => match ip(&item)? {
            any if any.is_unspecified() => return Err(item.expected(REACHED)),
            address => address,
        },
        (None, Some(item)) if bind.is_unspecified() => {
            return Err(item.complain(format!(
                "{bind} is every address, expected [rtp] advertise to name {REACHED}"
            )));
        }
        (None, _) => bind,
    };
    let ports_item = table.take("ports");
    let ports = match &ports_item {
        Some(item) => port_range(item)?,
        None => PortRange {
            first: 20_000,
            last: 29_999,
        },
    };
    let threads = match table.take("threads") {
        Some(item) => item.integer(0..=256)? as usize,
        None => 0,
    };
    let io_item = table.take("io");
    let io = match &io_item {
        Some(item) => item.one_of(&[
            ("auto", Io::Auto),
            ("epoll", Io::Epoll),
            ("io_uring", Io::IoUring),
        ])?,
        None => Io::Auto,
    };
    table.finish()?;

    places.rtp_bind = bind_item.map(|item| item.place());
    places.rtp_ports = ports_item.map(|item| item.place());
    places.rtp_io = io_item.map(|item| item.place());
    Ok(Rtp {
        bind,
        advertise,
        ports,
        threads,
        io,
    })
}

pub(super) fn http(root: &mut Table, places: &mut Places) -> Result<Http, Complaint> {
    let expected = "an address and a port such as \"127.0.0.1:8080\"";
    let mut table = root.table("http")?;
    let item = table.take("listen");
    let listen = match &item {
        Some(item) => socket(item, item.text(expected)?, expected)?,
        None => SocketAddr::new(LOOPBACK, 8080),
    };
    table.finish()?;
    places.http_listen = item.map(|item| item.place());
    Ok(Http { listen })
}

/// Refuses two listeners on one port, and a listener among the ports of RTP.
pub(super) fn nothing_collides(
    sip: &Sip,
    rtp: &Rtp,
    http: &Http,
    places: &Places,
) -> Result<(), Complaint> {
    let http = Listener {
        transport: Transport::Tcp,
        addr: http.listen,
    };
    let all: Vec<(Listener, Option<&Place>)> = sip
        .listen
        .iter()
        .copied()
        .zip(places.listen.iter().map(Option::as_ref))
        .chain([(http, places.http_listen.as_ref())])
        .collect();

    // A complaint falls on a line that stands in the file: a default alone is never the culprit.
    for (index, (listener, place)) in all.iter().enumerate() {
        if let Some((other, other_place)) = all[..index].iter().find(|(o, _)| collide(o, listener))
            && let Some(place) = place.or(*other_place)
        {
            return Err(place.complain(format!(
                "{listener} is on the port of {other}, expected one listener on a port"
            )));
        }
        if rtp.ports.contains(listener.addr.port())
            && let Some(place) = place.or(places.rtp_ports.as_ref())
        {
            return Err(place.complain(format!(
                "{listener} lies inside [rtp] ports {}-{}, expected a port outside",
                rtp.ports.first, rtp.ports.last
            )));
        }
    }
    Ok(())
}

fn collide(one: &Listener, other: &Listener) -> bool {
    let (a, b) = (one.addr.ip(), other.addr.ip());
    one.transport.is_stream() == other.transport.is_stream()
        && one.addr.port() == other.addr.port()
        && (a == b || a.is_unspecified() || b.is_unspecified())
}

fn listeners(item: &Item) -> Result<Vec<Listener>, Complaint> {
    let entries = item.list(LISTENER)?;
    if entries.is_empty() {
        return Err(item.complain(format!("expected {LISTENER}, found an empty list")));
    }
    entries
        .iter()
        .map(|entry| {
            let (transport, addr) = entry
                .text(LISTENER)?
                .split_once(':')
                .ok_or_else(|| entry.expected(LISTENER))?;
            let transport = match transport {
                "udp" => Transport::Udp,
                "tcp" => Transport::Tcp,
                "tls" => Transport::Tls,
                _ => return Err(entry.expected(LISTENER)),
            };
            Ok(Listener {
                transport,
                addr: socket(entry, addr, LISTENER)?,
            })
        })
        .collect()
}

fn socket(item: &Item, text: &str, expected: &str) -> Result<SocketAddr, Complaint> {
    match SocketAddr::from_str(text) {
        Ok(addr) if addr.port() != 0 => Ok(addr),
        _ => Err(item.expected(expected)),
    }
}

fn ip(item: &Item) -> Result<IpAddr, Complaint> {
    let expected = "an IP address";
    IpAddr::from_str(item.text(expected)?).map_err(|_| item.expected(expected))
}

/// An address or a name.
fn host(item: &Item) -> Result<String, Complaint> {
    let expected = "an IP address or a host name";
    let text = item.text(expected)?;
    let is_name = (1..=253).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
        && !text.starts_with(['.', '-']);
    match IpAddr::from_str(text) {
        Ok(address) if !address.is_unspecified() => Ok(text.to_owned()),
        Err(_) if is_name => Ok(text.to_owned()),
        _ => Err(item.expected(expected)),
    }
}

fn port_range(item: &Item) -> Result<PortRange, Complaint> {
    let (first, last) = item
        .text(PORTS)?
        .split_once('-')
        .ok_or_else(|| item.expected(PORTS))?;
    match (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
        (Ok(first), Ok(last)) if first >= 1024 && first % 2 == 0 && last > first => {
            Ok(PortRange { first, last })
        }
        _ => Err(item.expected(PORTS)),
    }
}

fn existing_file(item: &Item, base: &Path) -> Result<PathBuf, Complaint> {
    let expected = "the path of a PEM file that can be read";
    let path = base.join(item.filled_text(expected)?);
    match std::fs::File::open(&path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => Ok(path),
        _ => Err(item.expected(expected)),
    }
}
