//! Puts the parts together: configuration → prompts → store → people → media threads → driver →
//! SIP → HTTP, and takes them apart again in the other order.

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal as UnixSignal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::control::snapshot::Snapshot;
use crate::control::switchboard::Switchboard;
use crate::edge::catalogue::Catalogue;
use crate::edge::clock;
use crate::edge::config::Config;
use crate::edge::driver::{Driver, DriverError, Inboxes, Remains, Wish};
use crate::edge::http::events::feed::Feed;
use crate::edge::http::events::hub::{self, Sources};
use crate::edge::http::events::reader::Readers;
use crate::edge::http::sign_ins::SignIns;
use crate::edge::http::{self, Web};
use crate::edge::live::{self, Live, PeopleSource, live};
use crate::edge::people::People;
use crate::edge::prompts::Prompts;
use crate::edge::rtp::{MediaConfig, MediaPlane, engine};
use crate::edge::sip::{self, CredentialLookup, Credentials, Sip, SipHandle, SipSettings};
use crate::edge::store::contacts::Contacts;
use crate::edge::store::retention::Pruned;
use crate::edge::store::{Lost, Store};
use crate::edge::telemetry::Metrics;
use crate::edge::webhooks::{self, Webhooks};
use crate::id::Ids;
use crate::wire::document::Place;

/// Signals of SIP legs that wait. From half-full on new calls are refused with 503.
const MAX_SIGNALS: usize = 2048;
/// Answers of the store that wait; the writer waits when it is full.
const MAX_ANSWERS: usize = 1024;
const MAX_WISHES: usize = 16;
/// How long calls in progress may keep a draining service up.
const DRAIN_LIMIT: Duration = Duration::from_secs(3600);
/// How long the peers of calls that are ended have to answer the BYE.
const GOODBYE: Duration = Duration::from_secs(4);
/// How often the signalling edge is asked whether legs are left.
const ASK_LEGS: Duration = Duration::from_millis(20);
/// How long the last facts may take to reach the disk, and the last pages their readers.
const CLOSING: Duration = Duration::from_secs(5);
/// How often the database is asked whether people changed.
const LOOK_AT_PEOPLE: Duration = Duration::from_secs(5);
/// How often it is looked whether a day of the audit is over that is kept no longer.
const LOOK_AT_RETENTION: Duration = Duration::from_secs(600);
/// 2025-01-01T00:00:00Z: seconds since then are the upper part of the ids of a start.
const IDS_EPOCH_MS: i64 = 1_735_689_600_000;
/// Ids of the signalling edge are told from those of call control by this bit.
const SIGNALLING_IDS: u64 = 1 << 62;

/// Runs until SIGTERM or SIGINT, then drains. A second signal ends the calls, too.
pub async fn run(config: Config, apply: Option<PathBuf>) -> anyhow::Result<()> {
    let signals = Signals::new()?;
    let service = start(config, apply.as_deref()).await?;
    keep(service, signals).await
}

/// An error is the end of a part without which there are no calls: whoever started the service is
/// to start it again.
async fn keep(mut service: RunningService, mut signals: Signals) -> anyhow::Result<()> {
    tokio::select! {
        name = signals.next() => info!(signal = name, "asked to end"),
        ended = service.failed() => {
            if let Err(lost) = service.take_apart().await {
                error!(%lost, "at the end");
            }
            return Err(ended);
        }
    }
    service.wish(Wish::Drain).await;
    let (live, sip) = (service.live.clone(), service.sip.clone());
    tokio::select! {
        () = calls_over(&live, &sip) => {}
        name = signals.next() => warn!(signal = name, "asked again: calls are ended"),
        () = tokio::time::sleep(DRAIN_LIMIT) => warn!("calls outlast the drain: they are ended"),
        ended = service.failed() => {
            if let Err(lost) = service.take_apart().await {
                error!(%lost, "at the end");
            }
            return Err(ended);
        }
    }
    service.end_calls().await;
    service.take_apart().await?;
    info!("ended");
    Ok(())
}

/// Starts everything. An error names the place that it comes from.
pub async fn start(config: Config, apply: Option<&Path>) -> anyhow::Result<RunningService> {
    let engine =
        engine::choose(config.rtp.io).map_err(|why| at(&config.places.rtp_io, "[rtp] io", why))?;
    allow_many_sockets();

    let share = &config.node.share;
    let catalogue = Catalogue::of(&config.node)
        .map_err(|error| at(&config.places.share, "[node] share", error))?;
    let prompts = Prompts::load(share, &config.node.language, catalogue.prompts())?;
    let mut settings = config.settings.clone();
    settings.spoken = catalogue.spoken();

    std::fs::create_dir_all(&config.node.data_dir)
        .with_context(|| format!("[node] data_dir {}", config.node.data_dir.display()))?;
    let store = Store::open(&config.database, &config.node.name)
        .await
        .map_err(|error| at(&config.places.database, "[database] url", error))?;
    let interrupted = store.end_what_was_interrupted(clock::utc_ms()).await?;
    if interrupted.calls + interrupted.sessions > 0 {
        warn!(
            calls = interrupted.calls,
            sessions = interrupted.sessions,
            "the last run ended without a goodbye; what it left open is ended"
        );
    }
    if let Some(path) = apply {
        let people = People::load(path, &prompts.languages)?;
        let changes = store
            .apply(&people, &config.sip.domain, clock::utc_ms())
            .await?;
        info!(changes = changes.len(), file = %path.display(), "people applied");
    }
    let directory = Arc::new(store.load_directory(&prompts.languages).await?);

    // Addresses that are taken are found before anything runs.
    let web = TcpListener::bind(config.http.listen)
        .await
        .map_err(|error| {
            let reason = format!("{} cannot be bound: {error}", config.http.listen);
            at(&config.places.http_listen, "[http] listen", reason)
        })?;
    if let Err(error) = UdpSocket::bind((config.rtp.bind, 0)) {
        let reason = format!("{} cannot be bound: {error}", config.rtp.bind);
        return Err(at(&config.places.rtp_bind, "[rtp] bind", reason));
    }
    let http_addr = web.local_addr()?;

    let metrics = Metrics::new();
    let catalogue = Arc::new(catalogue);
    let policies = Arc::new(settings.clone());
    let (people, people_source) = live::people(directory.clone());
    let seed = seed()?;
    let media_threads = settings.shards;
    let media_config = MediaConfig {
        threads: media_threads,
        bind: config.rtp.bind,
        advertise: config.rtp.advertise,
        ports: config.rtp.ports.first..=config.rtp.ports.last,
        seed,
        engine,
    };
    let (media, reports) = MediaPlane::start(&media_config, Arc::new(prompts.library), &metrics)
        .context("starting the media threads")?;

    let (signal_sender, signals) = mpsc::channel(MAX_SIGNALS);
    let (answer_sender, answers) = mpsc::channel(MAX_ANSWERS);
    let (wish_sender, wishes) = mpsc::channel(MAX_WISHES);
    let (live, source) = live();
    let notices = live.notices();
    let first_id = first_id();
    let sip = Sip::start(
        SipSettings::of(&config),
        Registrations(store.clone()),
        directory.clone(),
        signal_sender,
        Arc::new(AtomicU64::new(first_id | SIGNALLING_IDS)),
    )
    .await
    .context("[sip] listen")?;

    let recorder = store.start_writer(answer_sender.clone());
    let driver = Driver::new(
        Switchboard::new(settings, directory.clone(), Ids::starting_at(first_id)),
        Inboxes {
            signals,
            media: reports,
            store: answers,
            wishes,
            live: source,
        },
        sip.clone(),
        media,
        store.clone(),
        recorder,
        answer_sender,
        metrics.clone(),
    );
    let driver = tokio::spawn(driver.run());

    let (stop_web, web_stops) = oneshot::channel::<()>();
    let (webhooks, webhooks_running) =
        Webhooks::start(store.clone(), &config.webhooks, metrics.clone()).await?;
    let last = u64::try_from(store.last_posted().await?).unwrap_or_default();
    let feed = Feed::new(clock::utc_ms(), last);
    let contacts = Contacts::new(store.clone());
    let sources = Sources {
        notices,
        live: live.clone(),
        people: people.clone(),
        registered: sip.registrations(),
        store: store.clone(),
        contacts: contacts.clone(),
        webhooks: webhooks.clone(),
    };
    let hub = tokio::spawn(hub::run(sources, feed.clone()));
    let retention = config
        .audit_days
        .map(|days| tokio::spawn(keep_days(store.clone(), days)));
    let pages = Web {
        live: live.clone(),
        metrics: metrics.clone(),
        store: store.clone(),
        catalogue,
        people,
        settings: policies,
        sign_ins: SignIns::default(),
        registered: sip.registrations(),
        contacts,
        realm: config.sip.domain.as_str().into(),
        events: feed.clone(),
        readers: Readers::default(),
        webhooks: webhooks.clone(),
        languages: prompts.languages.as_slice().into(),
    };
    let web = tokio::spawn(async move {
        let stop = async move {
            // Told, or the service is gone.
            let _ = web_stops.await;
        };
        if let Err(error) = http::serve(web, pages, stop).await {
            error!(%error, "the HTTP side ended");
        }
    });
    let people = tokio::spawn(watch_people(
        store.clone(),
        prompts.languages,
        webhooks,
        people_source,
        wish_sender.clone(),
    ));

    for listener in sip.local_addrs() {
        let transport = listener.transport.name().to_lowercase();
        info!("SIP at {transport}:{}", listener.addr);
    }
    info!(http = %http_addr, node = config.node.name, media_threads, io = %engine, "takes calls");
    Ok(RunningService {
        http_addr,
        live,
        metrics,
        sip,
        store,
        wishes: wish_sender,
        driver: Some(driver),
        web,
        stop_web: Some(stop_web),
        people,
        hub,
        webhooks: webhooks_running,
        retention,
    })
}

/// The service in this process.
pub struct RunningService {
    pub http_addr: SocketAddr,
    pub live: Live,
    pub metrics: Metrics,
    sip: SipHandle,
    store: Store,
    wishes: mpsc::Sender<Wish>,
    driver: Option<JoinHandle<(Remains, Result<(), DriverError>)>>,
    web: JoinHandle<()>,
    stop_web: Option<oneshot::Sender<()>>,
    people: JoinHandle<()>,
    /// Makes events.
    hub: JoinHandle<()>,
    webhooks: webhooks::Running,
    retention: Option<JoinHandle<()>>,
}

impl RunningService {
    /// The listeners as they are bound.
    pub fn sip_addrs(&self) -> &[sip::Listener] {
        self.sip.local_addrs()
    }

    /// Ends calls in progress, then the service.
    pub async fn shutdown(self) {
        self.wish(Wish::Drain).await;
        self.end_calls().await;
        if let Err(lost) = self.take_apart().await {
            error!(%lost, "at the end");
        }
    }

    async fn wish(&self, wish: Wish) {
        // A driver that is gone needs to be told nothing.
        let _ = self.wishes.send(wish).await;
    }

    /// Comes back when the driver has ended by itself, with the reason.
    async fn failed(&mut self) -> anyhow::Error {
        let Some(driver) = &mut self.driver else {
            return std::future::pending().await;
        };
        let ended = driver.await;
        self.driver = None;
        match ended {
            Ok((remains, result)) => {
                if let Err(lost) = close(remains).await {
                    error!(%lost, "at the end");
                }
                match result {
                    Ok(()) => anyhow!("call control ended"),
                    Err(error) => error.into(),
                }
            }
            Err(error) => anyhow::Error::new(error).context("call control failed"),
        }
    }

    async fn end_calls(&self) {
        self.wish(Wish::EndCalls).await;
        let over = calls_over(&self.live, &self.sip);
        if tokio::time::timeout(GOODBYE, over).await.is_err() {
            warn!(legs = self.sip.legs(), "some peers did not answer the BYE");
        }
    }

    /// Ends every part. An error when facts are lost by it.
    async fn take_apart(self) -> Result<(), Lost> {
        let Self {
            sip,
            store,
            wishes,
            driver,
            web,
            stop_web,
            people,
            hub,
            webhooks,
            retention,
            ..
        } = self;
        people.abort();
        if let Some(retention) = retention {
            retention.abort();
        }
        drop(wishes);
        // The task held the other end; once it is gone the driver sees that nobody wishes anything.
        let _ = people.await;
        let mut lost = Ok(());
        if let Some(driver) = driver {
            match driver.await {
                Ok((remains, _)) => lost = close(remains).await,
                Err(error) => error!(%error, "call control failed"),
            }
        }
        sip.shutdown().await;
        if let Some(stop) = stop_web {
            // A server that has ended needs not be stopped.
            let _ = stop.send(());
        }
        let abort = web.abort_handle();
        if tokio::time::timeout(CLOSING, web).await.is_err() {
            abort.abort();
        }
        // The hub ends with call control, and hands in what it had left.
        let abort = hub.abort_handle();
        if tokio::time::timeout(CLOSING, hub).await.is_err() {
            abort.abort();
        }
        webhooks.close(CLOSING).await;
        store.close().await;
        lost
    }
}

/// Comes back when no call and no session is left, and every BYE is answered.
async fn calls_over(live: &Live, sip: &SipHandle) {
    let over = |snapshot: &Arc<Snapshot>| {
        snapshot.draining && snapshot.calls.is_empty() && snapshot.sessions.is_empty()
    };
    // Without a driver there are no calls either.
    let _ = live.snapshots().wait_for(over).await;
    while sip.legs() > 0 {
        tokio::time::sleep(ASK_LEGS).await;
    }
}

async fn close(remains: Remains) -> Result<(), Lost> {
    let stopped = tokio::task::spawn_blocking(move || remains.media.stop());
    let lost = remains.recorder.close(CLOSING).await;
    if stopped.await.is_err() {
        error!("the media threads were not stopped");
    }
    lost
}

/// Passes on what `apply`, an administrator or another node changed in the database, people and
/// webhooks: now and then, and at once for those who ask.
async fn watch_people(
    store: Store,
    languages: Vec<String>,
    webhooks: Webhooks,
    mut source: PeopleSource,
    wishes: mpsc::Sender<Wish>,
) {
    loop {
        let asked = tokio::select! {
            () = tokio::time::sleep(LOOK_AT_PEOPLE) => None,
            Some(asked) = source.reload.recv() => Some(asked),
        };
        let directory = match store.load_directory(&languages).await {
            Ok(directory) => Arc::new(directory),
            Err(error) => {
                warn!(%error, "people cannot be read; those known stay");
                continue;
            }
        };
        let changed = *directory != **source.directory.borrow();
        if changed {
            info!("people have changed");
            let (in_force, done) = oneshot::channel();
            let wish = Wish::Directory {
                directory: directory.clone(),
                in_force: Some(in_force),
            };
            if wishes.send(wish).await.is_err() || done.await.is_err() {
                return;
            }
            source.directory.send_replace(directory);
        }
        if let Err(error) = webhooks.reload().await {
            warn!(%error, "webhooks cannot be read; those known stay");
            continue;
        }
        if let Some(asked) = asked {
            // Who asked may have gone.
            let _ = asked.send(());
        }
    }
}

/// Forgets whole days of the audit when they are older than they may be.
async fn keep_days(store: Store, days: u16) {
    loop {
        match store.prune(clock::utc_ms(), days).await {
            Ok(pruned) if pruned != Pruned::default() => {
                info!(
                    audit_rows = pruned.audit_rows,
                    others = pruned.others,
                    days,
                    "what was kept long enough is forgotten"
                );
            }
            Ok(_) => {}
            Err(error) => warn!(%error, "what was kept long enough cannot be forgotten now"),
        }
        tokio::time::sleep(LOOK_AT_RETENTION).await;
    }
}

/// Names the line of the configuration that something comes from, or its key where the default holds.
fn at(place: &Option<Place>, key: &str, reason: impl fmt::Display) -> anyhow::Error {
    match place {
        Some(place) => place.complain(reason).into(),
        None => anyhow!("{key}: {reason}"),
    }
}

/// Who may register, as the store knows them.
struct Registrations(Store);

#[async_trait::async_trait]
impl CredentialLookup for Registrations {
    async fn credentials(&self, username: &str) -> Option<Credentials> {
        match self.0.sip_credentials(username).await {
            Ok(found) => found.map(|found| Credentials {
                ha1_md5: found.ha1_md5,
                ha1_sha256: found.ha1_sha256,
                identity: found.who,
            }),
            Err(error) => {
                warn!(%error, "a registration could not be checked");
                None
            }
        }
    }
}

/// SIGTERM and SIGINT, which end the process no more by themselves.
pub struct Signals {
    terminate: UnixSignal,
    interrupt: UnixSignal,
}

impl Signals {
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The name of the next one; one that came meanwhile counts.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Every leg takes two descriptors, and the limit of a login shell is a thousand.
fn allow_many_sockets() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        warn!(%error, "the limit of open files stays as it is");
    }
}

fn seed() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(std::io::Error::other)
        .context("no randomness")?;
    Ok(u64::from_ne_bytes(bytes))
}

fn first_id() -> u64 {
    let since = (clock::utc_ms() - IDS_EPOCH_MS) / 1000;
    u64::try_from(since).unwrap_or_default() << 24
}
