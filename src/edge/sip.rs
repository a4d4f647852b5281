//! SIP: between the messages on the wire and the signals and commands of call control.
//!
//! Below lies `rsipstack` for parsing and transactions; its types end here. Dialogs are our own:
//! each leg is one task (`leg`) that begins as the server side (`inbound`) or the client side
//! (`outbound`) of an INVITE and goes on as a `session`. In front of the stack stands the
//! `guard`, which answers or drops what the stack would get wrong.
//!
//! The stack logs every message whole, credentials included, at `info`: the service's log filter
//! keeps it at `warn`.

mod body;
mod branch;
mod challenge;
mod contacts;
mod dialog;
mod digest;
mod guard;
mod identify;
mod inbound;
mod late;
mod leg;
mod message;
mod outbound;
mod pressure;
mod refer;
mod registrar;
mod requests;
mod resolve;
mod router;
mod session;
mod session_timer;
mod settings;
mod stream;
mod tls;
mod transport;
mod trunk;
mod udp;
mod uri;
mod waiting;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use rsipstack::EndpointBuilder;
use rsipstack::transaction::endpoint::{EndpointInnerRef, EndpointOption};
use rsipstack::transport::udp::UdpConnection;
use rsipstack::transport::{SipConnection, TransportLayer};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::control::directory::Directory;
use crate::control::input::{Identity, Signal};
use crate::control::output::SignalCommand;
use crate::edge::sip::challenge::Offered;
use crate::edge::sip::contacts::Contacts;
use crate::edge::sip::digest::Digest;
use crate::edge::sip::late::LateAnswers;
use crate::edge::sip::leg::{Leg, LegTable, Mail};
use crate::edge::sip::registrar::Registrar;
use crate::edge::sip::stream::Streams;
use crate::edge::sip::transport::Transports;
use crate::edge::sip::udp::{Gate, GuardedUdp, SourceLimit};
use crate::id::{LegId, RequestId};

pub use crate::edge::sip::digest::{Algorithm, CredentialLookup, Credentials, ha1};
pub use crate::edge::sip::settings::{
    Account, CallerIdPolicy, Listener, SipSettings, TlsFiles, Transport, Trunk,
};

/// What all legs share.
struct Shared {
    settings: SipSettings,
    endpoint: EndpointInnerRef,
    transports: Transports,
    gate: Arc<Gate>,
    legs: LegTable,
    late: Arc<LateAnswers>,
    inbox: mpsc::Sender<(LegId, Signal)>,
    ids: Arc<AtomicU64>,
    digest: Digest,
    offered: Offered,
    /// Wrong passwords by source and user.
    failures: SourceLimit,
    /// How often it is logged that somebody is shut out, by source.
    shut_out: SourceLimit,
    /// Requests that somebody has yet to prove, by source.
    unproven: SourceLimit,
    credentials: Box<dyn CredentialLookup>,
    registrar: Registrar,
    contacts: RwLock<Contacts>,
    stop: CancellationToken,
}

impl Shared {
    fn next_leg(&self) -> LegId {
        LegId(self.ids.fetch_add(1, Ordering::Relaxed))
    }

    fn next_request(&self) -> RequestId {
        RequestId(self.ids.fetch_add(1, Ordering::Relaxed))
    }
}

/// The signalling edge.
pub struct Sip;

impl Sip {
    /// Opens the listeners and begins to take calls.
    ///
    /// Signals go to `inbox`, in order for each leg. Legs that begin here, and requests of peers
    /// that control is asked about, take their numbers from `ids`: a range that nobody else uses.
    pub async fn start(
        settings: SipSettings,
        credentials: impl CredentialLookup,
        directory: Arc<Directory>,
        inbox: mpsc::Sender<(LegId, Signal)>,
        ids: Arc<AtomicU64>,
    ) -> anyhow::Result<SipHandle> {
        anyhow::ensure!(!settings.listen.is_empty(), "[sip] listen names no address");
        let has_tls = settings
            .listen
            .iter()
            .any(|listener| listener.transport == Transport::Tls);
        let tls = match &settings.tls {
            Some(files) => Some(tls::context(files)?),
            None => {
                anyhow::ensure!(!has_tls, "a tls listener needs [sip.tls] with cert and key");
                None
            }
        };
        let stop = CancellationToken::new();
        let gate = Arc::new(Gate::default());
        let layer = TransportLayer::new(stop.child_token());
        let mut udp = Vec::new();
        let mut listeners = Vec::new();
        let mut streams_at = Vec::new();
        let mut local_addrs = Vec::new();
        for listener in &settings.listen {
            let bound = if listener.transport == Transport::Udp {
                let socket = GuardedUdp::bind(listener.addr, gate.clone())?;
                let bound = socket.address()?;
                let connection =
                    UdpConnection::from_socket(Arc::new(socket), None, Some(stop.child_token()))
                        .await?;
                layer.add_transport(SipConnection::Udp(connection.clone()));
                udp.push((connection, bound));
                bound
            } else {
                let socket = TcpListener::bind(listener.addr).await.with_context(|| {
                    format!(
                        "{}:{} cannot be bound",
                        listener.transport.name().to_lowercase(),
                        listener.addr
                    )
                })?;
                let bound = socket.local_addr()?;
                streams_at.push((listener.transport, bound));
                listeners.push((socket, listener.transport));
                bound
            };
            local_addrs.push(Listener {
                transport: listener.transport,
                addr: bound,
            });
        }
        let endpoint = EndpointBuilder::new()
            .with_transport_layer(layer)
            .with_user_agent(message::PRODUCT)
            .with_cancel_token(stop.child_token())
            .with_inspector(Box::new(message::TagAnswers))
            .with_option(timers(settings.t1))
            .build();
        let incoming = endpoint.incoming_transactions()?;
        let streams = Streams::new(endpoint.inner.clone(), gate.clone(), stop.clone(), tls);
        let shared = Arc::new(Shared {
            transports: Transports {
                udp,
                streams_at,
                streams: streams.clone(),
                advertise: settings.advertise.clone(),
                endpoint: endpoint.inner.clone(),
            },
            gate,
            legs: LegTable::default(),
            late: Arc::new(LateAnswers::start(
                endpoint.inner.clone(),
                settings.t1 * 64,
                stop.clone(),
            )),
            inbox,
            ids,
            digest: Digest::new(&settings.domain)?,
            offered: Offered::default(),
            // Five tries at once, then one in ten seconds.
            failures: SourceLimit::new(5.0, 0.1),
            // Once a minute.
            shut_out: SourceLimit::new(1.0, 1.0 / 60.0),
            // An office whose phones all come back at once is let in; a flood is not.
            unproven: SourceLimit::new(400.0, 100.0),
            credentials: Box::new(credentials),
            registrar: Registrar::default(),
            contacts: RwLock::new(Contacts::of(&directory)),
            stop,
            endpoint: endpoint.inner.clone(),
            settings,
        });
        for (socket, transport) in listeners {
            tokio::spawn(streams.clone().listen(socket, transport));
        }
        tokio::spawn(router::route(shared.clone(), incoming));
        tokio::spawn(Registrar::expire(shared.clone()));
        tokio::spawn(Registrar::keep_alive(shared.clone()));
        tokio::spawn(async move { endpoint.serve().await });
        Ok(SipHandle {
            shared,
            local_addrs: local_addrs.into(),
            runtime: tokio::runtime::Handle::current(),
        })
    }
}

fn timers(t1: Duration) -> EndpointOption {
    EndpointOption {
        t1,
        t2: t1 * 8,
        t4: t1 * 10,
        t1x64: t1 * 64,
        // Ringing is ended by the leg, which also sends the CANCEL; the stack would not.
        timerc: Duration::from_secs(3600),
        // The leg acknowledges: it knows the way to a phone behind NAT.
        auto_ack_2xx: false,
        ..EndpointOption::default()
    }
}

/// What the rest of the service holds of the signalling edge. Cheap to clone.
#[derive(Clone)]
pub struct SipHandle {
    shared: Arc<Shared>,
    local_addrs: Arc<[Listener]>,
    runtime: tokio::runtime::Handle,
}

/// What the ingress guard has counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardCounts {
    pub passed: u64,
    /// Broken requests that were answered.
    pub answered: u64,
    pub dropped: u64,
    /// Broken requests whose source had had its share of answers.
    pub limited: u64,
    /// New calls beyond what can be served: 503.
    pub refused: u64,
    /// Requests of users who gave too many wrong passwords from where they are: 403.
    pub shut_out: u64,
}

impl SipHandle {
    /// Tells a leg what to do. `Dial` begins one; a leg that is gone hears nothing, but a `HangUp`
    /// of it is done at once.
    pub fn send(&self, leg: LegId, command: SignalCommand) {
        if let SignalCommand::Dial(dial) = command {
            let leg = Leg::new(self.shared.clone(), leg);
            self.runtime.spawn(outbound::dial(leg, *dial));
            return;
        }
        let Some(mailbox) = self.shared.legs.leg(leg) else {
            if matches!(command, SignalCommand::HangUp { .. }) {
                let inbox = self.shared.inbox.clone();
                self.runtime
                    .spawn(async move { inbox.send((leg, Signal::HangUpDone)).await });
            }
            return;
        };
        if let Err(mpsc::error::TrySendError::Full(_)) =
            mailbox.try_send(Mail::Command(Box::new(command)))
        {
            tracing::error!(%leg, "a leg does not read its mail: a command is lost");
        }
    }

    /// Who is registered, as it changes.
    pub fn registrations(&self) -> watch::Receiver<Arc<[Identity]>> {
        self.shared.registrar.registered()
    }

    /// The listeners as they are bound.
    pub fn local_addrs(&self) -> &[Listener] {
        &self.local_addrs
    }

    pub fn set_directory(&self, directory: Arc<Directory>) {
        *self
            .shared
            .contacts
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Contacts::of(&directory);
    }

    /// Legs that live.
    pub fn legs(&self) -> usize {
        self.shared.legs.count()
    }

    pub fn guard_counts(&self) -> GuardCounts {
        let counters = &self.shared.gate.counters;
        GuardCounts {
            passed: counters.passed.load(Ordering::Relaxed),
            answered: counters.answered.load(Ordering::Relaxed),
            dropped: counters.dropped.load(Ordering::Relaxed),
            limited: counters.limited.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
            shut_out: counters.shut_out.load(Ordering::Relaxed),
        }
    }

    /// Closes listeners and connections. Calls should be over: legs that live are left silent.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        // The tasks see it at their next step; the sockets are free after that.
        tokio::task::yield_now().await;
    }
}
