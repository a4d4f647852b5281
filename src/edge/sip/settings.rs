//! What the signalling edge needs to know of the configuration, as its own small value: the
//! service fills it from the configuration file.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::control::input::Network;
use crate::edge::config;

/// Everything that is settled before the first packet.
#[derive(Clone, Debug)]
pub struct SipSettings {
    /// At least one; port 0 takes whatever is free (tests).
    pub listen: Vec<Listener>,
    /// Host for Via and Contact. Without it: the address of the listener that is used.
    pub advertise: Option<String>,
    /// Realm of digest authentication.
    pub domain: String,
    pub trunks: Vec<Trunk>,
    /// Needed by, and only by, a TLS listener.
    pub tls: Option<TlsFiles>,
    /// RFC 3261 T1. Everything that waits for a peer waits for multiples of it; tests shorten it.
    pub t1: Duration,
    /// The shortest session that a peer may ask for; shorter ones get 422. RFC 4028 §4 allows
    /// nothing below 90 s; tests shorten it.
    pub shortest_session: Duration,
    /// How often a phone that registered over UDP is sent something, so that a router before it
    /// keeps its door open: routers forget a silent flow after 30 s and more (RFC 5626 §3.5.2).
    pub keep_alive: Duration,
}

impl Default for SipSettings {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            advertise: None,
            domain: "sottovoce.local".to_owned(),
            trunks: Vec::new(),
            tls: None,
            t1: Duration::from_millis(500),
            shortest_session: Duration::from_secs(90),
            keep_alive: Duration::from_secs(25),
        }
    }
}

impl SipSettings {
    pub fn of(config: &config::Config) -> Self {
        Self {
            listen: config
                .sip
                .listen
                .iter()
                .map(|listener| Listener {
                    transport: match listener.transport {
                        config::Transport::Udp => Transport::Udp,
                        config::Transport::Tcp => Transport::Tcp,
                        config::Transport::Tls => Transport::Tls,
                    },
                    addr: listener.addr,
                })
                .collect(),
            advertise: config.sip.advertise.clone(),
            domain: config.sip.domain.clone(),
            trunks: config.trunks.iter().map(Trunk::of).collect(),
            tls: config.sip.tls.as_ref().map(|files| TlsFiles {
                cert: files.cert.clone(),
                key: files.key.clone(),
            }),
            ..Self::default()
        }
    }

    /// The trunk that a source address belongs to: the one whose peer names it most closely.
    pub fn trunk_of(&self, source: IpAddr) -> Option<&Trunk> {
        let source = source.to_canonical();
        self.trunks
            .iter()
            .flat_map(|trunk| trunk.peers.iter().map(move |net| (trunk, net)))
            .filter(|(_, net)| net.contains(&source))
            .max_by_key(|(_, net)| net.prefix_len())
            .map(|(trunk, _)| trunk)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    pub transport: Transport,
    pub addr: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    /// As it stands in a Via header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }
}

/// PEM files of `[sip.tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone, Debug)]
pub struct Trunk {
    pub name: Arc<str>,
    /// Source addresses that are this trunk.
    pub peers: Vec<IpNet>,
    /// Where calls for it are sent.
    pub uri: Arc<str>,
    pub caller_id: CallerIdPolicy,
    pub network: Network,
    /// Digest, both for calls that we send and for calls that we accept.
    pub account: Option<Account>,
}

impl Trunk {
    fn of(trunk: &config::Trunk) -> Self {
        Self {
            name: trunk.name.as_str().into(),
            peers: trunk.peers.clone(),
            uri: trunk.uri.as_str().into(),
            caller_id: match trunk.caller_id {
                config::CallerId::Trusted => CallerIdPolicy::Trusted,
                config::CallerId::Untrusted => CallerIdPolicy::Untrusted,
                config::CallerId::Verstat => CallerIdPolicy::Verstat,
                config::CallerId::Verify => CallerIdPolicy::Verify,
            },
            network: trunk.network,
            account: trunk.credentials.as_ref().map(|account| Account {
                username: account.username.clone(),
                password: account.password.clone(),
            }),
        }
    }
}

/// A user name and password. Its `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    pub username: String,
    pub password: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Account")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerIdPolicy {
    Trusted,
    Untrusted,
    /// Believed only where the carrier passed a verdict (`verstat`, `P-Stir-Verstat`).
    Verstat,
    /// An own check of the Identity header. Until there is one, such a caller is not believed.
    Verify,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_belongs_to_the_trunk_that_names_it_most_closely() {
        let trunk = |name: &str, peer: &str| Trunk {
            name: name.into(),
            peers: vec![peer.parse().unwrap()],
            uri: "sip:192.0.2.1".into(),
            caller_id: CallerIdPolicy::Untrusted,
            network: Network::External,
            account: None,
        };
        let settings = SipSettings {
            trunks: vec![
                trunk("wide", "192.0.2.0/24"),
                trunk("narrow", "192.0.2.7/32"),
            ],
            ..SipSettings::default()
        };
        let name = |source: &str| {
            settings
                .trunk_of(source.parse().unwrap())
                .map(|trunk| trunk.name.to_string())
        };

        assert_eq!(name("192.0.2.7").as_deref(), Some("narrow"));
        assert_eq!(name("::ffff:192.0.2.8").as_deref(), Some("wide"));
        assert_eq!(name("198.51.100.1"), None);
    }

    #[test]
    fn the_built_in_configuration_listens_and_knows_no_trunk() {
        let settings = SipSettings::of(&config::Config::built_in().unwrap());

        assert!(!settings.listen.is_empty());
        assert!(settings.trunks.is_empty());
    }
}
