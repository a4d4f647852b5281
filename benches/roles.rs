//! `./run bench roles`: how long a role change takes, heard from outside: from the end of the last
//! key to the supervisor's voice in the newly allowed ear, the phone's 20 ms packetisation included;
//! and from our 200 OK to the call's audio in the supervisor's ear.
//!
//! The first is shown in its parts: how long after the key the first word is said that is heard at
//! all (what the key clamp withholds), how long that word is under way (20 ms of packetisation, the
//! clamp's look-ahead where keys come in-band, the wait for the listener's next packet), and beside
//! them how long the service took from the key to the mix in force, by its own account.

#[path = "shared/figures.rs"]
mod figures;
#[path = "roles/onset.rs"]
mod onset;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sottovoce::demo::media::{KeySending, Voice};
use sottovoce::demo::phone::{Line, Phone, PhoneConfig};
use sottovoce::demo::service::Service;
use sottovoce::demo::stage::{self, MOBILE, OFFICE};
use sottovoce::edge::clock;

use crate::onset::Onset;

/// Role changes by each kind of key, unless `--rounds N` says otherwise.
const ROUNDS: usize = 25;

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

/// A line of the table: its name and what was measured, in milliseconds.
type Row = (String, Vec<f64>);

async fn run(rounds: usize) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("sottovoce-bench-roles-{}", std::process::id()));
    let mut setup = stage::setup(&folder);
    setup.share = Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let service = Service::start(Path::new(env!("CARGO_BIN_EXE_sottovoce")), &setup)?;
    let mut agent = stage::agent(&service, stage::AGENT, stage::AGENT_PASSWORD).await?;
    let customer = stage::phone(&service, "+358501112222", OFFICE).await?;
    let call = stage::converse(&customer, &mut agent, stage::AGENT).await?;
    call.customer.media.say(Voice::Tone(onset::CUSTOMER_HZ));
    call.agent.media.say(Voice::Tone(1900.0));

    let mut rows: Vec<Row> = Vec::new();
    for (name, how) in [
        ("telephone-event", KeySending::Event),
        ("SIP INFO", KeySending::Info),
        ("in-band", KeySending::InBand),
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
        rows.push((format!("last key to ear, {name}"), of(Onset::heard_ms)));
        rows.push(("  first word heard was said".into(), of(|it| it.said_ms)));
        rows.push(("  its way from mouth to ear".into(), of(Onset::way_ms)));
        rows.push(("  key recognised to mix in force".into(), in_force));
    }

    let mut joins = Vec::new();
    let phone = stage::phone(&service, stage::MIA, MOBILE).await?;
    for _ in 0..10 {
        let line = phone.dial(stage::SUPERVISING_NUMBER).await?;
        let answered = clock::now();
        stage::wait_for_sound(&line.media).await?;
        joins.push(clock::now().duration_since(answered).as_secs_f64() * 1_000.0);
        tokio::time::sleep(Duration::from_millis(500)).await;
        line.hang_up().await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    rows.push(("200 OK to the call's audio".to_owned(), joins));
    call.customer.hang_up().await?;
    service.stop()?;
    print(&rows)?;
    // Only rubbish is left in there.
    let _ = std::fs::remove_dir_all(&folder);
    Ok(())
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

fn print(rows: &[Row]) -> anyhow::Result<()> {
    println!(
        "{:<36} {:>6} {:>10} {:>10} {:>10}",
        "", "runs", "median ms", "p90 ms", "max ms"
    );
    let mut json = serde_json::Map::new();
    let mut of = "";
    for (name, times) in rows {
        let mut ms = times.clone();
        ms.sort_unstable_by(f64::total_cmp);
        let (median, p90, max) = (ms[ms.len() / 2], ms[ms.len() * 9 / 10], ms[ms.len() - 1]);
        println!(
            "{name:<36} {:>6} {median:>10.1} {p90:>10.1} {max:>10.1}",
            ms.len()
        );
        // A part belongs to the line before it.
        let key = match name.strip_prefix("  ") {
            Some(part) => format!("{of}: {part}"),
            None => {
                of = name;
                name.clone()
            }
        };
        json.insert(
            key,
            serde_json::json!({ "median_ms": median, "p90_ms": p90, "max_ms": max, "all_ms": ms }),
        );
    }
    figures::keep("roles", &json.into())
}
