//! Digest authentication (RFC 8760, RFC 7616, RFC 3261 §22): challenges and their checking for
//! phones and trunks that call us, answers for trunks that we call.
//!
//! A nonce is a stamp with a keyed hash over it and the address that was challenged, so that a flood
//! of unanswered challenges costs no memory, and nobody answers from an address at which they hear
//! nothing; a nonce is remembered once somebody has proven to know a password with it, to see that
//! its count rises.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use md5::Md5;
use sha2::{Digest as _, Sha256};
use std::time::Instant;
use subtle::ConstantTimeEq;

use crate::control::input::Identity;
use crate::edge::clock;
use crate::edge::sip::uri::split_unquoted;

/// What the store knows of a user: hashes of `user:realm:password` in lower-case hex, the realm
/// being the node's domain. Its `Debug` shows no hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub ha1_md5: String,
    pub ha1_sha256: String,
    pub identity: Identity,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Finds users by the name that they authenticate with.
#[async_trait::async_trait]
pub trait CredentialLookup: Send + Sync + 'static {
    async fn credentials(&self, username: &str) -> Option<Credentials>;
}

/// How long a nonce may be used. A client with an older one is told `stale` and goes on by itself.
const NONCE_LIFE: Duration = Duration::from_secs(300);

/// Nonces whose count is kept. When there are more, the oldest are forgotten and thereby stale.
const MAX_NONCES: usize = 65_536;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn from_name(name: Option<&str>) -> Option<Self> {
        match name {
            None => Some(Self::Md5),
            Some(name) if name.eq_ignore_ascii_case("MD5") => Some(Self::Md5),
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Some(Self::Sha256),
            Some(_) => None,
        }
    }

    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex::encode(Md5::digest(text.as_bytes())),
            Self::Sha256 => hex::encode(Sha256::digest(text.as_bytes())),
        }
    }
}

/// What is offered to a client that can choose.
pub const BOTH: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Md5];

/// `H(user:realm:password)`.
pub fn ha1(algorithm: Algorithm, username: &str, realm: &str, password: &str) -> String {
    algorithm.hash(&format!("{username}:{realm}:{password}"))
}

/// The fields of an Authorization header that was offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub username: String,
    realm: String,
    nonce: String,
    uri: String,
    response: String,
    /// `None` where it is none of ours.
    pub algorithm: Option<Algorithm>,
    qop: Option<String>,
    nc: Option<String>,
    cnonce: Option<String>,
}

impl Offer {
    pub fn parse(value: &str) -> Option<Self> {
        let fields = Fields::parse(value)?;
        Some(Self {
            username: fields.get("username")?.to_owned(),
            realm: fields.get("realm")?.to_owned(),
            nonce: fields.get("nonce")?.to_owned(),
            uri: fields.get("uri")?.to_owned(),
            response: fields.get("response")?.to_ascii_lowercase(),
            algorithm: Algorithm::from_name(fields.get("algorithm")),
            qop: fields.get("qop").map(str::to_ascii_lowercase),
            nc: fields.get("nc").map(str::to_owned),
            cnonce: fields.get("cnonce").map(str::to_owned),
        })
    }

    pub fn is_for(&self, realm: &str) -> bool {
        self.realm == realm
    }
}

/// How an offer compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    Proven,
    /// The nonce is too old, used before, or was not issued to this address: a new challenge with
    /// `stale`. It says nothing about the password.
    Stale,
    /// The nonce is ours and fresh, and the answer to it is wrong.
    Wrong,
}

/// The checking side.
pub struct Digest {
    realm: String,
    secret: [u8; 32],
    born: Instant,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    counts: HashMap<String, u32>,
    order: VecDeque<String>,
}

impl Digest {
    pub fn new(realm: &str) -> anyhow::Result<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)
            .map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
        Ok(Self {
            realm: realm.to_owned(),
            secret,
            born: clock::now(),
            used: Mutex::default(),
        })
    }

    /// The values of the WWW-Authenticate headers, the better algorithm first (RFC 8760 §2.3).
    pub fn challenges(&self, algorithms: &[Algorithm], source: IpAddr, stale: bool) -> Vec<String> {
        let nonce = self.new_nonce(source);
        algorithms
            .iter()
            .map(|algorithm| {
                format!(
                    "Digest realm=\"{}\", nonce=\"{nonce}\", algorithm={}, qop=\"auth\"{}",
                    self.realm,
                    algorithm.name(),
                    if stale { ", stale=true" } else { "" }
                )
            })
            .collect()
    }

    /// Whether an offer answers a challenge that this address was given not too long ago.
    pub fn issued(&self, offer: &Offer, source: IpAddr) -> bool {
        self.is_fresh(&offer.nonce, source, self.age())
    }

    /// Holds an offer against what is known. `ha1_of` gives the stored hash for an algorithm.
    /// Nothing that the client names but its own answer is trusted: realm and nonce must be ours,
    /// and `uri` must mean what was requested.
    pub fn check<'a>(
        &self,
        offer: &Offer,
        source: IpAddr,
        method: &str,
        requested: &str,
        ha1_of: impl FnOnce(Algorithm) -> &'a str,
    ) -> Check {
        if !self.issued(offer, source) {
            return Check::Stale;
        }
        let Some(algorithm) = offer.algorithm else {
            return Check::Wrong;
        };
        if offer.realm != self.realm || !same_resource(&offer.uri, requested) {
            return Check::Wrong;
        }
        let ha2 = algorithm.hash(&format!("{method}:{}", offer.uri));
        let ha1 = ha1_of(algorithm);
        let (expected, count) = match (&offer.qop, &offer.nc, &offer.cnonce) {
            (Some(qop), Some(nc), Some(cnonce)) if qop == "auth" => {
                let Ok(count) = u32::from_str_radix(nc, 16) else {
                    return Check::Wrong;
                };
                let text = format!("{ha1}:{}:{nc}:{cnonce}:{qop}:{ha2}", offer.nonce);
                (algorithm.hash(&text), count)
            }
            // RFC 2069 clients have no count: their nonce serves once.
            (None, _, _) => (
                algorithm.hash(&format!("{ha1}:{}:{ha2}", offer.nonce)),
                u32::MAX,
            ),
            _ => return Check::Wrong,
        };
        if !bool::from(expected.as_bytes().ct_eq(offer.response.as_bytes())) || ha1.is_empty() {
            return Check::Wrong;
        }
        if !self.count_rises(&offer.nonce, count) {
            return Check::Stale;
        }
        Check::Proven
    }

    fn age(&self) -> Duration {
        clock::now().saturating_duration_since(self.born)
    }

    fn new_nonce(&self, source: IpAddr) -> String {
        let age = self.age().as_secs();
        let mut salt = [0; 8];
        // Without randomness the stamp and the key still make a nonce that none can forge.
        let _ = getrandom::fill(&mut salt);
        let stamp = format!("{age:08x}{}", hex::encode(salt));
        format!("{stamp}{}", self.seal(&stamp, source))
    }

    fn seal(&self, stamp: &str, source: IpAddr) -> String {
        let inner = Sha256::new()
            .chain_update(self.secret)
            .chain_update(stamp.as_bytes())
            .chain_update(source.to_canonical().to_string().as_bytes())
            .finalize();
        let outer = Sha256::new()
            .chain_update(self.secret)
            .chain_update(inner)
            .finalize();
        hex::encode(&outer[..16])
    }

    fn is_fresh(&self, nonce: &str, source: IpAddr, age: Duration) -> bool {
        if !nonce.is_ascii() || nonce.len() != 24 + 32 {
            return false;
        }
        let (stamp, seal) = nonce.split_at(24);
        let Ok(issued) = u64::from_str_radix(&stamp[..8], 16) else {
            return false;
        };
        bool::from(self.seal(stamp, source).as_bytes().ct_eq(seal.as_bytes()))
            && age.as_secs().saturating_sub(issued) <= NONCE_LIFE.as_secs()
    }

    fn count_rises(&self, nonce: &str, count: u32) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        match used.counts.get_mut(nonce) {
            Some(last) if count <= *last => false,
            Some(last) => {
                *last = count;
                true
            }
            None => {
                if used.order.len() >= MAX_NONCES
                    && let Some(oldest) = used.order.pop_front()
                {
                    used.counts.remove(&oldest);
                }
                used.order.push_back(nonce.to_owned());
                used.counts.insert(nonce.to_owned(), count);
                true
            }
        }
    }
}

/// Answers a challenge of a trunk. `None` where it asks for what is not spoken here.
pub fn respond(
    challenge: &str,
    username: &str,
    password: &str,
    method: &str,
    uri: &str,
    cnonce: &str,
) -> Option<String> {
    let fields = Fields::parse(challenge)?;
    let algorithm = Algorithm::from_name(fields.get("algorithm"))?;
    let realm = fields.get("realm")?;
    let nonce = fields.get("nonce")?;
    let ha1 = ha1(algorithm, username, realm, password);
    let ha2 = algorithm.hash(&format!("{method}:{uri}"));
    let mut out = format!(
        "Digest username=\"{username}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         algorithm={}",
        algorithm.name()
    );
    match fields.get("qop") {
        Some(offered) => {
            offered
                .split(',')
                .find(|qop| qop.trim().eq_ignore_ascii_case("auth"))?;
            let response = algorithm.hash(&format!("{ha1}:{nonce}:00000001:{cnonce}:auth:{ha2}"));
            out.push_str(&format!(
                ", response=\"{response}\", qop=auth, nc=00000001, cnonce=\"{cnonce}\""
            ));
        }
        None => {
            let response = algorithm.hash(&format!("{ha1}:{nonce}:{ha2}"));
            out.push_str(&format!(", response=\"{response}\""));
        }
    }
    if let Some(opaque) = fields.get("opaque") {
        out.push_str(&format!(", opaque=\"{opaque}\""));
    }
    Some(out)
}

/// The fields of a `Digest …` header.
struct Fields<'a>(Vec<(String, &'a str)>);

impl<'a> Fields<'a> {
    fn parse(value: &'a str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(char::is_whitespace)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        Some(Self(
            split_unquoted(rest, b',')
                .into_iter()
                .filter_map(|field| field.split_once('='))
                .map(|(name, value)| {
                    (
                        name.trim().to_ascii_lowercase(),
                        value.trim().trim_matches('"'),
                    )
                })
                .collect(),
        ))
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| *value)
    }
}

/// Phones write the URI of the digest with or without port and parameters.
fn same_resource(offered: &str, requested: &str) -> bool {
    use crate::edge::sip::uri::SipUri;
    match (SipUri::parse(offered), SipUri::parse(requested)) {
        (Ok(offered), Ok(requested)) => {
            offered.user == requested.user && offered.host.eq_ignore_ascii_case(&requested.host)
        }
        _ => offered == requested,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const URI: &str = "sip:sottovoce.local";

    fn offer(digest: &Digest, sha: bool, password: &str, nc: &str) -> Offer {
        let challenge = &digest.challenges(&BOTH, HERE, false)[usize::from(!sha)];
        offer_to(challenge, password, nc)
    }

    fn offer_to(challenge: &str, password: &str, nc: &str) -> Offer {
        let answer = respond(challenge, "204", password, "REGISTER", URI, "c0ffee").unwrap();
        let mut offer = Offer::parse(&answer).unwrap();
        if nc != "00000001" {
            let algorithm = offer.algorithm.unwrap();
            let ha1 = ha1(algorithm, "204", "sottovoce.local", password);
            let ha2 = algorithm.hash(&format!("REGISTER:{URI}"));
            offer.nc = Some(nc.to_owned());
            offer.response =
                algorithm.hash(&format!("{ha1}:{}:{nc}:c0ffee:auth:{ha2}", offer.nonce));
        }
        offer
    }

    fn check(digest: &Digest, offer: &Offer) -> Check {
        let hashes =
            [Algorithm::Md5, Algorithm::Sha256].map(|a| ha1(a, "204", "sottovoce.local", "secret"));
        digest.check(offer, HERE, "REGISTER", URI, |algorithm| match algorithm {
            Algorithm::Md5 => &hashes[0],
            Algorithm::Sha256 => &hashes[1],
        })
    }

    #[test]
    fn the_example_of_rfc_2617_comes_out() {
        let answer = respond(
            "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
             opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
            "Mufasa",
            "Circle Of Life",
            "GET",
            "/dir/index.html",
            "0a4f113b",
        )
        .unwrap();

        assert!(answer.contains("response=\"6629fae49393a05397450978507c4ef1\""));
    }

    #[tokio::test]
    async fn the_right_password_is_proven_with_either_algorithm() {
        let digest = Digest::new("sottovoce.local").unwrap();

        for sha in [false, true] {
            let right = offer(&digest, sha, "secret", "00000001");
            let wrong = offer(&digest, sha, "guess", "00000001");
            assert_eq!(check(&digest, &wrong), Check::Wrong);
            assert_eq!(check(&digest, &right), Check::Proven);
        }
    }

    #[tokio::test]
    async fn a_count_must_rise() {
        let digest = Digest::new("sottovoce.local").unwrap();
        let challenge = digest.challenges(&BOTH, HERE, false).remove(0);

        let first = offer_to(&challenge, "secret", "00000001");
        let third = offer_to(&challenge, "secret", "00000003");
        let second = offer_to(&challenge, "secret", "00000002");

        assert_eq!(check(&digest, &first), Check::Proven);
        assert_eq!(check(&digest, &first), Check::Stale);
        assert_eq!(check(&digest, &third), Check::Proven);
        assert_eq!(check(&digest, &second), Check::Stale);
    }

    #[tokio::test]
    async fn an_old_nonce_is_stale_and_a_foreign_one_too() {
        let digest = Digest::new("sottovoce.local").unwrap();
        let other = Digest::new("sottovoce.local").unwrap();
        let own = offer(&digest, true, "secret", "00000001");
        let foreign = offer(&other, true, "secret", "00000001");

        assert_eq!(check(&digest, &foreign), Check::Stale);
        assert!(digest.is_fresh(&own.nonce, HERE, NONCE_LIFE));
        assert!(!digest.is_fresh(&own.nonce, HERE, NONCE_LIFE + Duration::from_secs(2)));
        let elsewhere = IpAddr::from([127, 0, 0, 2]);
        assert!(digest.issued(&own, HERE) && !digest.issued(&own, elsewhere));
    }

    #[tokio::test]
    async fn another_realm_method_or_resource_proves_nothing() {
        let digest = Digest::new("sottovoce.local").unwrap();
        let mut realm = offer(&digest, true, "secret", "00000001");
        realm.realm = "other".to_owned();
        let right = offer(&digest, true, "secret", "00000001");

        assert_eq!(check(&digest, &realm), Check::Wrong);
        assert_eq!(
            digest.check(&right, HERE, "INVITE", URI, |_| "aa"),
            Check::Wrong
        );
        assert_eq!(
            digest.check(&right, HERE, "REGISTER", "sip:elsewhere", |_| "aa"),
            Check::Wrong
        );
    }
}
