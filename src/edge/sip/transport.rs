//! Which socket a message leaves by, and how this node is named in it.

use std::net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rsipstack::sip::{Domain, Host, HostWithPort};
use rsipstack::transaction::endpoint::EndpointInnerRef;
use rsipstack::transport::udp::UdpConnection;
use rsipstack::transport::{SipAddr, SipConnection};
use tokio_util::sync::CancellationToken;

use crate::edge::sip::settings::Transport;
use crate::edge::sip::stream::{Open, Streams, peer_of, stack_transport};
use crate::edge::sip::uri::{SipUri, bracketed};

const RESOLVE: Duration = Duration::from_secs(5);

/// The way to a peer: what to send by, and where to.
#[derive(Clone)]
pub struct Flow {
    pub connection: SipConnection,
    pub transport: Transport,
    /// Our end, as it is bound.
    pub local: SocketAddr,
    pub peer: SocketAddr,
    /// `host:port` of this node as that peer is told.
    pub sent_by: Arc<str>,
    /// The end of a stream; UDP has none.
    pub closed: Option<CancellationToken>,
}

impl Flow {
    pub fn destination(&self) -> SipAddr {
        SipAddr {
            r#type: Some(stack_transport(self.transport)),
            addr: self.peer.into(),
        }
    }

    /// The value of our Contact header: the node and nothing of who is behind it.
    pub fn contact(&self) -> String {
        match self.transport {
            Transport::Udp => format!("<sip:{}>", self.sent_by),
            Transport::Tcp => format!("<sip:{};transport=tcp>", self.sent_by),
            Transport::Tls => format!("<sip:{};transport=tls>", self.sent_by),
        }
    }

    pub fn via(&self, branch: &str) -> String {
        format!(
            "SIP/2.0/{} {};branch={branch};rport",
            self.transport.name(),
            self.sent_by
        )
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    #[error("no listener for this transport and address family")]
    NoListener,
    #[error("the transport is not spoken here")]
    Transport,
    #[error("the host has no address")]
    Resolve,
    #[error("no connection: {0}")]
    Connect(#[source] anyhow::Error),
}

/// The listeners of this node.
pub struct Transports {
    pub udp: Vec<(UdpConnection, SocketAddr)>,
    /// TCP and TLS listeners: they name us towards peers that we connect to.
    pub streams_at: Vec<(Transport, SocketAddr)>,
    pub streams: Arc<Streams>,
    pub advertise: Option<String>,
    pub endpoint: EndpointInnerRef,
}

impl Transports {
    /// The flow on which a request came.
    pub fn flow_of(&self, connection: &SipConnection) -> Option<Flow> {
        let peer = peer_of(connection)?;
        match connection {
            SipConnection::Udp(udp) => {
                let (listener, local) = self
                    .udp
                    .iter()
                    .find(|(listener, _)| listener.get_addr() == udp.get_addr())?;
                Some(self.udp_flow(listener, *local, peer))
            }
            _ => {
                let transport = match connection.get_remote_addr()?.r#type {
                    Some(rsipstack::sip::Transport::Tls) => Transport::Tls,
                    _ => Transport::Tcp,
                };
                // Without an entry it has ended since.
                let open = self.streams.existing(transport, peer)?;
                Some(self.stream_flow(open, transport, peer))
            }
        }
    }

    /// A flow to a URI. `near` is the flow to keep where it serves as well: the listener of a
    /// dialog, and its connection while that is open.
    pub async fn flow_to(&self, uri: &SipUri, near: Option<&Flow>) -> Result<Flow, Unreachable> {
        let transport = uri.transport().ok_or(Unreachable::Transport)?;
        let peer = self.resolve(uri, transport).await?;
        self.flow_to_peer(transport, peer, &uri.host, near).await
    }

    pub async fn flow_to_peer(
        &self,
        transport: Transport,
        peer: SocketAddr,
        server_name: &str,
        near: Option<&Flow>,
    ) -> Result<Flow, Unreachable> {
        if transport == Transport::Udp {
            let (listener, local) = self
                .udp_listener_for(peer, near)
                .ok_or(Unreachable::NoListener)?;
            return Ok(self.udp_flow(listener, local, peer));
        }
        if let Some(near) = near
            && near.transport == transport
            && near.peer.ip() == peer.ip()
            && let Some(open) = self.streams.existing(transport, near.peer)
        {
            return Ok(self.stream_flow(open, transport, near.peer));
        }
        let open = self
            .streams
            .connection_to(transport, peer, server_name)
            .await
            .map_err(Unreachable::Connect)?;
        Ok(self.stream_flow(open, transport, peer))
    }

    fn udp_listener_for(
        &self,
        peer: SocketAddr,
        near: Option<&Flow>,
    ) -> Option<(&UdpConnection, SocketAddr)> {
        let mut fitting = self
            .udp
            .iter()
            .filter(|(_, local)| local.is_ipv4() == peer.is_ipv4());
        if let Some(near) = near.filter(|near| near.transport == Transport::Udp)
            && let Some((listener, local)) = fitting.clone().find(|(_, l)| *l == near.local)
        {
            return Some((listener, *local));
        }
        let first = fitting.next()?;
        let chosen = if fitting.next().is_some() {
            // Several would do: the one on the side of the network that the peer is on.
            let side = route_to(peer);
            self.udp
                .iter()
                .find(|(_, local)| Some(local.ip()) == side)
                .unwrap_or(first)
        } else {
            first
        };
        Some((&chosen.0, chosen.1))
    }

    fn udp_flow(&self, listener: &UdpConnection, local: SocketAddr, peer: SocketAddr) -> Flow {
        Flow {
            connection: SipConnection::Udp(listener.clone()),
            transport: Transport::Udp,
            local,
            peer,
            sent_by: self.sent_by(local, peer),
            closed: None,
        }
    }

    fn stream_flow(&self, open: Open, transport: Transport, peer: SocketAddr) -> Flow {
        // Without a listener of that kind nobody can call back; the first listener still names us.
        let local = self
            .streams_at
            .iter()
            .find(|(kind, local)| *kind == transport && local.is_ipv4() == peer.is_ipv4())
            .map(|(_, local)| *local)
            .or_else(|| self.udp.first().map(|(_, local)| *local))
            .unwrap_or(peer);
        Flow {
            connection: open.connection,
            transport,
            local,
            peer,
            sent_by: self.sent_by(local, peer),
            closed: Some(open.closed),
        }
    }

    fn sent_by(&self, local: SocketAddr, peer: SocketAddr) -> Arc<str> {
        let host = match &self.advertise {
            Some(host) => bracketed(host),
            None if local.ip().is_unspecified() => {
                let ip = route_to(peer).unwrap_or(local.ip());
                bracketed(&ip.to_string())
            }
            None => bracketed(&local.ip().to_string()),
        };
        format!("{host}:{}", local.port()).into()
    }

    /// Whether a URI's host is this node: its listeners or its advertised name.
    pub fn is_own_host(&self, host: &str) -> bool {
        if self
            .advertise
            .as_deref()
            .is_some_and(|own| own.eq_ignore_ascii_case(host))
        {
            return true;
        }
        host.parse::<IpAddr>().is_ok_and(|ip| {
            self.udp
                .iter()
                .map(|(_, local)| local.ip())
                .chain(self.streams_at.iter().map(|(_, local)| local.ip()))
                .any(|local| local == ip)
        })
    }

    async fn resolve(&self, uri: &SipUri, transport: Transport) -> Result<SocketAddr, Unreachable> {
        let port = uri.port.unwrap_or(transport.default_port());
        if let Some(ip) = uri.ip() {
            return Ok(SocketAddr::new(ip, port));
        }
        if uri.host.eq_ignore_ascii_case("localhost") {
            return Ok(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port));
        }
        // Without a port the name is a domain and RFC 3263 finds the server.
        let target = SipAddr {
            r#type: Some(stack_transport(transport)),
            addr: HostWithPort {
                host: Host::Domain(Domain(uri.host.clone())),
                port: uri.port.map(Into::into),
            },
        };
        let resolver = &self.endpoint.transport_layer.inner.domain_resolver;
        match tokio::time::timeout(RESOLVE, resolver.resolve(&target)).await {
            Ok(Ok(found)) => found.get_socketaddr().map_err(|_| Unreachable::Resolve),
            _ => Err(Unreachable::Resolve),
        }
    }
}

/// The address that this host would use towards a peer. Connecting a UDP socket sends nothing.
fn route_to(peer: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if peer.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let probe = StdUdpSocket::bind(any).ok()?;
    probe.connect(peer).ok()?;
    Some(probe.local_addr().ok()?.ip())
}
