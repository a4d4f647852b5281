//! sottovoce.toml and the environment, checked while they are read.
//!
//! Whatever cannot work is refused here, with file, line and what was expected; the rest of the
//! product is handed values that fit together. Paths in the file are relative to its own folder,
//! so that `serve` and `apply` mean the same database wherever they are started.

mod addresses;
mod keeping;
mod read;
mod routing;
mod supervising;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use crate::control::input::Network;
use crate::control::settings::Settings;
use crate::wire::document::{Complaint, Place};

/// One node.
#[derive(Clone, Debug)]
pub struct Config {
    pub node: Node,
    pub sip: Sip,
    pub rtp: Rtp,
    pub http: Http,
    pub database: DatabaseUrl,
    pub trunks: Vec<Trunk>,
    pub webhooks: WebhookSettings,
    /// Days that the audit goes back; `None`: for ever.
    pub audit_days: Option<u16>,
    /// What control decides by: `[media]`, `[supervising]`, routes. The spoken codes are filled in
    /// from the catalogue.
    pub settings: Settings,
    /// Where in the file that stands which only the world can show to be wrong.
    pub places: Places,
}

/// How events are brought to webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// The while after the first attempt that failed; it doubles with each.
    pub first_retry: Duration,
    /// After so many an event is a dead letter.
    pub attempts: u32,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// `None` where the file says nothing and the default holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    pub share: Option<Place>,
    pub language: Option<Place>,
    /// One for each of `sip.listen`.
    pub listen: Vec<Option<Place>>,
    pub rtp_bind: Option<Place>,
    pub rtp_ports: Option<Place>,
    pub rtp_io: Option<Place>,
    pub http_listen: Option<Place>,
    pub database: Option<Place>,
    /// One for each of `trunks`.
    pub trunks: Vec<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub data_dir: PathBuf,
    /// Holds `prompts/` and `error-codes.toml`.
    pub share: PathBuf,
    /// Where a share folder was looked for, if there is none; empty where it was found or written.
    pub share_missed: Vec<PathBuf>,
    pub language: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sip {
    pub listen: Vec<Listener>,
    /// Host in Contact and Via; `None`: that of the listener.
    pub advertise: Option<String>,
    /// Realm of digest authentication.
    pub domain: String,
    /// Present whenever a `tls:` listener is.
    pub tls: Option<Tls>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    pub transport: Transport,
    pub addr: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
}

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rtp {
    pub bind: IpAddr,
    /// In our session descriptions.
    pub advertise: IpAddr,
    pub ports: PortRange,
    /// As written, 0 for one per core; `settings.shards` has the number that comes of it.
    pub threads: usize,
    pub io: Io,
}

/// Even RTP ports from `first`, each with the odd one above it for RTCP, none above `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    Auto,
    Epoll,
    IoUring,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    pub listen: SocketAddr,
}

/// Where the store is. Its `Debug` and `Display` leave a password out.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    Sqlite(PathBuf),
    Postgres(String),
}

#[derive(Clone, PartialEq, Eq)]
pub struct Trunk {
    pub name: String,
    /// Source addresses that are this trunk.
    pub peers: Vec<IpNet>,
    pub uri: String,
    pub caller_id: CallerId,
    pub network: Network,
    pub credentials: Option<Credentials>,
}

/// Digest, both for calls that we send and calls that we accept.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub password: String,
}

/// How far the caller ID of a trunk is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerId {
    Trusted,
    Untrusted,
    /// With a passed verdict in `verstat` or P-Stir-Verstat.
    Verstat,
    /// With an Identity header that we checked ourselves.
    Verify,
}

/// A fault that can be armed to be seen. `SOTTOVOCE_FAULT`; `demo errors` and tests only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A conference is made and then cannot be joined: 9015.
    ConferenceJoin,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Wrong(#[from] Complaint),
    #[error("SOTTOVOCE_FAULT: expected conference-join, found {0:?}")]
    Fault(String),
}

impl Config {
    /// Reads `--config`; without it `./sottovoce.toml` where that exists, else the defaults.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let environment = |name: &str| std::env::var(name).ok();
        let beside = Path::new("sottovoce.toml");
        let path = match path {
            Some(path) => path,
            None if beside.exists() => beside,
            None => return Self::parse(Path::new(BUILT_IN), "", &environment),
        };
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text, &environment),
            Err(source) => Err(ConfigError::Unreadable {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Reads the text of a file. `path` names it in complaints and is where its paths begin.
    pub fn parse(
        path: &Path,
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        read::config(path, text, environment)
    }

    /// The defaults: one node on loopback, without a trunk.
    pub fn built_in() -> Result<Self, ConfigError> {
        Self::parse(Path::new(BUILT_IN), "", &|_| None)
    }
}

impl PortRange {
    /// How many pairs of ports there are.
    pub fn pairs(self) -> usize {
        (usize::from(self.last) + 1 - usize::from(self.first)) / 2
    }

    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl Transport {
    pub fn name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        }
    }

    fn is_stream(self) -> bool {
        match self {
            Transport::Udp => false,
            Transport::Tcp | Transport::Tls => true,
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport.name(), self.addr)
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatabaseUrl::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            DatabaseUrl::Postgres(url) => {
                // postgres://user:password@host/database?parameters
                let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
                let rest = rest.split('?').next().unwrap_or_default();
                match rest.rsplit_once('@') {
                    Some((who, host)) => {
                        let user = who.split(':').next().unwrap_or_default();
                        write!(f, "{scheme}://{user}@{host}")
                    }
                    None => write!(f, "{scheme}://{rest}"),
                }
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Trunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trunk")
            .field("name", &self.name)
            .field("peers", &self.peers)
            .field("caller_id", &self.caller_id)
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const BUILT_IN: &str = "./built-in-defaults";
