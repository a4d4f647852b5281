//! Phones that register here (RFC 3261 §10): who is bound where, and until when.
//!
//! Every REGISTER is proven by digest. A binding is reached where the REGISTER came from, so that
//! phones behind NAT and on TCP connections of their own are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rsipstack::sip::Request;
use rsipstack::transaction::transaction::Transaction;
use rsipstack::transport::SipConnection;
use std::time::Instant;
use tokio::sync::watch;

use crate::control::input::Identity;
use crate::edge::clock;
use crate::edge::sip::Shared;
use crate::edge::sip::challenge::challenges;
use crate::edge::sip::identify::{Refused, prove, user_of};
use crate::edge::sip::message::{Answer, call_id, cseq, header, headers_of, token};
use crate::edge::sip::requests::send;
use crate::edge::sip::settings::Transport;
use crate::edge::sip::transport::Flow;
use crate::edge::sip::uri::{NameAddr, SipUri};

const MIN_EXPIRES: u32 = 60;
const MAX_EXPIRES: u32 = 3600;

/// Phones of one person; with one more, the one that registered longest ago is forgotten.
const MAX_BINDINGS: usize = 5;

/// Two empty lines: nothing for a SIP phone, but a datagram on the way to it.
const KEEP_ALIVE: &[u8] = b"\r\n\r\n";

/// One phone.
#[derive(Clone)]
pub struct Binding {
    /// The contact, as the phone wrote it.
    pub uri: String,
    pub flow: Flow,
    call_id: String,
    seq: u32,
    until: Instant,
}

/// The bindings of this node.
pub struct Registrar {
    bindings: Mutex<BTreeMap<Key, (Identity, Vec<Binding>)>>,
    registered: watch::Sender<Arc<[Identity]>>,
}

type Key = (u8, Arc<str>, Arc<str>);

fn key(identity: &Identity) -> Key {
    match identity {
        Identity::Agent {
            organisation,
            extension,
        } => (0, organisation.clone(), extension.clone()),
        Identity::Supervisor { organisation, user } => (1, organisation.clone(), user.clone()),
    }
}

impl Default for Registrar {
    fn default() -> Self {
        Self {
            bindings: Mutex::default(),
            registered: watch::Sender::new(Arc::new([])),
        }
    }
}

/// What a REGISTER asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Query,
    RemoveAll,
    Set(Vec<(String, u32)>),
}

impl Registrar {
    /// The phones of somebody, the latest first.
    pub fn bindings(&self, identity: &Identity) -> Vec<Binding> {
        let now = clock::now();
        let bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        bindings
            .get(&key(identity))
            .map(|(_, list)| {
                list.iter()
                    .rev()
                    .filter(|binding| binding.until > now)
                    .cloned()
                    .collect()
            })
            .unwrap_or_default()
    }

    /// Who is registered, as it changes.
    pub fn registered(&self) -> watch::Receiver<Arc<[Identity]>> {
        self.registered.subscribe()
    }

    /// Forgets what has run out, for as long as the node lives.
    pub async fn expire(shared: Arc<Shared>) {
        loop {
            tokio::select! {
                () = shared.stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(5)) => {}
            }
            let registrar = &shared.registrar;
            let now = clock::now();
            let mut bindings = registrar
                .bindings
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for (_, list) in bindings.values_mut() {
                list.retain(|binding| binding.until > now);
            }
            registrar.publish(&mut bindings);
        }
    }

    /// Keeps the way to phones behind a router open, for as long as the node lives. Over TCP and
    /// TLS the phone does that itself (RFC 5626 §4.4.1).
    pub async fn keep_alive(shared: Arc<Shared>) {
        loop {
            tokio::select! {
                () = shared.stop.cancelled() => return,
                () = tokio::time::sleep(shared.settings.keep_alive) => {}
            }
            for flow in shared.registrar.datagram_flows() {
                if let SipConnection::Udp(udp) = &flow.connection
                    && let Err(error) = udp.send_raw(KEEP_ALIVE, &flow.destination()).await
                {
                    tracing::debug!(%error, "a keep-alive could not be sent");
                }
            }
        }
    }

    fn datagram_flows(&self) -> Vec<Flow> {
        let now = clock::now();
        let bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        bindings
            .values()
            .flat_map(|(_, list)| list)
            .filter(|binding| binding.until > now && binding.flow.transport == Transport::Udp)
            .map(|binding| binding.flow.clone())
            .collect()
    }

    fn publish(&self, bindings: &mut BTreeMap<Key, (Identity, Vec<Binding>)>) {
        bindings.retain(|_, (_, list)| !list.is_empty());
        let now: Arc<[Identity]> = bindings
            .values()
            .map(|(identity, _)| identity.clone())
            .collect();
        self.registered.send_if_modified(|before| {
            let changed = **before != *now;
            if changed {
                *before = now;
            }
            changed
        });
    }

    /// Carries out a wish; the remaining bindings, or `None` where it is older than what is known.
    fn carry_out(
        &self,
        identity: &Identity,
        wish: Wish,
        request: &Request,
        flow: &Flow,
    ) -> Option<Vec<Binding>> {
        let call = call_id(&request.headers);
        let seq = cseq(&request.headers);
        let now = clock::now();
        let mut bindings = self.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, list) = bindings
            .entry(key(identity))
            .or_insert_with(|| (identity.clone(), Vec::new()));
        let outdated = |binding: &Binding| binding.call_id == call && binding.seq >= seq;
        match wish {
            Wish::Query => {}
            Wish::RemoveAll => {
                if list.iter().any(outdated) {
                    return None;
                }
                list.clear();
            }
            Wish::Set(contacts) => {
                for (uri, expires) in contacts {
                    if let Some(at) = list.iter().position(|known| same_contact(&known.uri, &uri)) {
                        if outdated(&list[at]) {
                            return None;
                        }
                        list.remove(at);
                    }
                    if expires > 0 {
                        list.push(Binding {
                            uri,
                            flow: flow.clone(),
                            call_id: call.to_owned(),
                            seq,
                            until: now + Duration::from_secs(expires.into()),
                        });
                    }
                }
                let surplus = list.len().saturating_sub(MAX_BINDINGS);
                list.drain(..surplus);
            }
        }
        let remaining = list
            .iter()
            .filter(|binding| binding.until > now)
            .cloned()
            .collect();
        self.publish(&mut bindings);
        Some(remaining)
    }
}

/// Answers a REGISTER.
pub async fn register(shared: Arc<Shared>, mut transaction: Transaction, flow: Flow) {
    let tag = token();
    let answer = decide(&shared, &transaction.original, &flow, &tag).await;
    let answer = answer.build();
    send(&mut transaction, answer).await;
}

async fn decide<'a>(
    shared: &Shared,
    request: &'a Request,
    flow: &Flow,
    tag: &'a str,
) -> Answer<'a> {
    let refuse = |status: u16| Answer::new(request, status).tagged(tag);
    let headers = &request.headers;
    let claimed = header(headers, "To")
        .and_then(NameAddr::parse)
        .and_then(|to| user_of(&to.uri));
    let identity = match prove(shared, request, flow.peer.ip()).await {
        Ok(identity) => identity,
        Err(Refused::TooOften) => return refuse(503).with("Retry-After", "5"),
        Err(Refused::ShutOut) => return refuse(403),
        Err(Refused::Challenge { stale }) => {
            return refuse(401).with_all(
                "WWW-Authenticate",
                challenges(shared, request, flow.peer.ip(), stale),
            );
        }
    };
    // Nobody registers for somebody else: the To must name the user that was proven.
    let own = match &claimed {
        Some(claimed) => shared
            .credentials
            .credentials(claimed)
            .await
            .is_some_and(|known| known.identity == identity),
        None => false,
    };
    if !own {
        return refuse(403);
    }
    let wish = match read_wish(request) {
        Ok(wish) => wish,
        Err(423) => return refuse(423).with("Min-Expires", MIN_EXPIRES.to_string()),
        Err(status) => return refuse(status),
    };
    let Some(remaining) = shared.registrar.carry_out(&identity, wish, request, flow) else {
        return refuse(500);
    };
    let now = clock::now();
    Answer::new(request, 200).tagged(tag).with_all(
        "Contact",
        remaining.into_iter().map(|binding| {
            let left = binding.until.saturating_duration_since(now);
            // Rounded up: a phone is told no less than it has.
            let seconds = left.as_millis().div_ceil(1000);
            format!("<{}>;expires={seconds}", binding.uri)
        }),
    )
}

fn read_wish(request: &Request) -> Result<Wish, u16> {
    let headers = &request.headers;
    let default = match header(headers, "Expires") {
        Some(text) => text.trim().parse::<u32>().map_err(|_| 400_u16)?,
        None => MAX_EXPIRES,
    };
    let values: Vec<&str> = headers_of(headers, "Contact").collect();
    if values.iter().any(|value| value.trim() == "*") {
        // RFC 3261 §10.2.2: alone, and with Expires 0.
        return if values.len() == 1 && default == 0 && header(headers, "Expires").is_some() {
            Ok(Wish::RemoveAll)
        } else {
            Err(400)
        };
    }
    let mut contacts = Vec::new();
    for value in values {
        for contact in NameAddr::parse_list(value).ok_or(400_u16)? {
            SipUri::parse(&contact.uri).map_err(|_| 400_u16)?;
            let expires = match contact.param("expires") {
                Some(text) => text.parse::<u32>().map_err(|_| 400_u16)?,
                None => default,
            };
            if (1..MIN_EXPIRES).contains(&expires) {
                return Err(423);
            }
            contacts.push((contact.uri, expires.min(MAX_EXPIRES)));
        }
    }
    Ok(if contacts.is_empty() {
        Wish::Query
    } else {
        Wish::Set(contacts)
    })
}

/// RFC 3261 §19.1.4, as far as contacts differ in practice.
fn same_contact(one: &str, other: &str) -> bool {
    match (SipUri::parse(one), SipUri::parse(other)) {
        (Ok(one), Ok(other)) => {
            one.user == other.user
                && one.host.eq_ignore_ascii_case(&other.host)
                && one.port == other.port
                && one.transport() == other.transport()
        }
        _ => one == other,
    }
}
