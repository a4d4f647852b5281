//! `./run bench roles`: how long a role change takes, heard from outside: from the end of the last
//! key to the supervisor's voice in the newly allowed ear, the phone's 20 ms packetisation included;
//! and from our 200 OK to the call's audio in the supervisor's ear, before which nothing is spoken.
//! It fails where either takes longer than is allowed.
//!
//! The first is shown in its parts: how long after the key the first word is said that is heard at
//! all (what the key clamp withholds), how long that word is under way (20 ms of packetisation, the
//! clamp's look-ahead where keys come in-band, the wait for the listener's next packet), and beside
//! them how long the service took from the key to the mix in force, by its own account.

#[path = "shared/figures.rs"]
mod figures;
#[path = "roles/onset.rs"]
mod onset;
#[path = "roles/table.rs"]
mod table;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sottovoce::demo::media::{KeySending, Voice};
use sottovoce::demo::phone::{Line, Phone, PhoneConfig};
use sottovoce::demo::service::Service;
use sottovoce::demo::stage::{self, MOBILE, OFFICE};

use crate::onset::Onset;
use crate::table::{Limit, Row};

/// Role changes by each kind of key, unless `--rounds N` says otherwise.
const ROUNDS: usize = 25;
/// A key by telephone-event or INFO tells at once what it is; a tone takes its time to be told.
const KEY_LIMIT_MS: f64 = 60.0;
const IN_BAND_LIMIT_MS: f64 = 120.0;
/// From our 200 OK to the call's audio, each time.
const JOIN_LIMIT_MS: f64 = 1_000.0;
const JOINS: usize = 10;

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut arguments = std::env::args()
        .skip_while(|argument| argument != "--rounds")
        .skip(1);
    let rounds = match arguments.next() {
        Some(rounds) => rounds.parse::<usize>()?.max(1),
        None => ROUNDS,
    };
    runtime.block_on(run(rounds))
}

async fn run(rounds: usize) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("sottovoce-bench-roles-{}", std::process::id()));
    let mut setup = stage::setup(&folder);
    setup.share = Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let service = Service::start(Path::new(env!("CARGO_BIN_EXE_sottovoce")), &setup)?;
    let mut agent = stage::agent(&service, stage::AGENT, stage::AGENT_PASSWORD).await?;
    let customer = stage::phone(&service, "+358501112222", OFFICE).await?;
    let call = stage::converse(&customer, &mut agent, stage::AGENT).await?;
    call.customer.media.say(Voice::Tone(onset::CUSTOMER_HZ));
    call.agent.media.say(Voice::Tone(onset::AGENT_HZ));

    let mut rows: Vec<Row> = Vec::new();
    for (name, how, limit_ms) in [
        ("telephone-event", KeySending::Event, KEY_LIMIT_MS),
        ("SIP INFO", KeySending::Info, KEY_LIMIT_MS),
        ("in-band", KeySending::InBand, IN_BAND_LIMIT_MS),
    ] {
        let mut config = PhoneConfig::new(stage::MIA, MOBILE, service.sip);
        config.telephone_event = (how != KeySending::InBand).then_some(101);
        let phone = Phone::start(config).await?;
        let line = phone.dial(stage::SUPERVISING_NUMBER).await?;
        stage::wait_for_sound(&line.media).await?;
        line.media.say(Voice::Loop(onset::sweep()));
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (mut onsets, mut in_force) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let before = role_changes(&service)?;
            let ended = line.press("4#", how).await?;
            let Some(onset) = first_heard(&call.agent, &line, ended).await else {
                anyhow::bail!("4# by {name} was not heard within five seconds");
            };
            onsets.push(onset);
            tokio::time::sleep(Duration::from_millis(1500)).await;
            in_force.push((role_changes(&service)? - before) * 1_000.0);
            line.press("5#", how).await?;
            tokio::time::sleep(Duration::from_millis(1800)).await;
        }
        line.hang_up().await?;
        let of = |part: fn(&Onset) -> f64| onsets.iter().map(part).collect();
        let name = format!("last key to ear, {name}");
        let limit = Limit::Median(limit_ms);
        rows.push(Row::new(name, of(Onset::heard_ms)).within(limit));
        rows.push(Row::new("  first word heard was said", of(|it| it.said_ms)));
        rows.push(Row::new("  its way from mouth to ear", of(Onset::way_ms)));
        rows.push(Row::new("  key recognised to mix in force", in_force));
    }

    let mut joins = Vec::new();
    let phone = stage::phone(&service, stage::MIA, MOBILE).await?;
    for _ in 0..JOINS {
        let line = phone.dial(stage::SUPERVISING_NUMBER).await?;
        stage::wait_for_sound(&line.media).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let Some(heard) = onset::call_heard(&line.media) else {
            anyhow::bail!("something else was in the supervisor's ear before the call");
        };
        let waited = heard.saturating_duration_since(line.answered_at);
        joins.push(waited.as_secs_f64() * 1_000.0);
        line.hang_up().await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    rows.push(Row::new("200 OK to the call's audio", joins).within(Limit::Longest(JOIN_LIMIT_MS)));
    call.customer.hang_up().await?;
    service.stop()?;
    // Only rubbish is left in there.
    let _ = std::fs::remove_dir_all(&folder);
    table::print(&rows)?;
    table::hold_to_limits(&rows)
}

async fn first_heard(agent: &Line, supervisor: &Line, ended: Instant) -> Option<Onset> {
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if let Some(onset) = onset::find(&agent.media, &supervisor.media, ended) {
            return Some(onset);
        }
    }
    None
}

/// Seconds that all role changes so far took together, from the key to the mix in force.
fn role_changes(service: &Service) -> anyhow::Result<f64> {
    const NAME: &str = "sottovoce_role_change_seconds_sum ";
    let (_, metrics) = service.get("/metrics")?;
    let sum = metrics.lines().find_map(|line| line.strip_prefix(NAME));
    Ok(sum.unwrap_or("0").parse()?)
}
