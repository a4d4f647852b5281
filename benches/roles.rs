//! `./run bench roles`: how long a role change takes, heard from outside: from the end of the last key to
//! the supervisor's voice in the newly allowed ear, the phone's 20 ms packetisation included; and
//! from our 200 OK to the call's audio in the supervisor's ear.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sottovoce::demo::media::{KeySending, Track, Voice};
use sottovoce::demo::phone::{Line, Phone, PhoneConfig};
use sottovoce::demo::service::Service;
use sottovoce::demo::stage::{self, MOBILE, OFFICE};
use sottovoce::edge::clock;

const VOICE_HZ: f32 = 2300.0;
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

async fn run(rounds: usize) -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("sottovoce-bench-roles-{}", std::process::id()));
    let mut setup = stage::setup(&folder);
    setup.share = Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let service = Service::start(Path::new(env!("CARGO_BIN_EXE_sottovoce")), &setup)?;
    let mut agent = stage::agent(&service, stage::AGENT, stage::AGENT_PASSWORD).await?;
    let customer = stage::phone(&service, "+358501112222", OFFICE).await?;
    let call = stage::converse(&customer, &mut agent, stage::AGENT).await?;
    call.customer.media.say(Voice::Tone(500.0));
    call.agent.media.say(Voice::Tone(1900.0));

    let mut rows = Vec::new();
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
        line.media.say(Voice::Tone(VOICE_HZ));
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut times = Vec::new();
        for _ in 0..rounds {
            let ended = line.press("4#", how).await?;
            let Some(heard) = first_heard(&call.agent, ended).await else {
                anyhow::bail!("4# by {name} was not heard within five seconds");
            };
            times.push(heard);
            tokio::time::sleep(Duration::from_millis(1500)).await;
            line.press("5#", how).await?;
            tokio::time::sleep(Duration::from_millis(1800)).await;
        }
        line.hang_up().await?;
        rows.push((format!("last key to ear, {name}"), times));
    }

    let mut joins = Vec::new();
    let phone = stage::phone(&service, stage::MIA, MOBILE).await?;
    for _ in 0..10 {
        let line = phone.dial(stage::SUPERVISING_NUMBER).await?;
        let answered = clock::now();
        stage::wait_for_sound(&line.media).await?;
        joins.push(clock::now().duration_since(answered));
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

/// Time from `ended` to the first 5 ms in which the agent's ear holds the supervisor's tone.
async fn first_heard(agent: &Line, ended: Instant) -> Option<Duration> {
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let heard: Track = agent.media.heard();
        let start = heard.index_at(ended)?.min(heard.samples.len());
        for (step, block) in heard.samples[start..].chunks_exact(40).enumerate() {
            if amplitude(block) > 900.0 {
                return Some(Duration::from_millis(5 * (step as u64 + 1)));
            }
        }
    }
    None
}

/// Of the supervisor's tone over 5 ms; the customer's 500 Hz is cancelled by a notch.
fn amplitude(block: &[i16]) -> f32 {
    let coefficient = 2.0 * (std::f32::consts::TAU * 500.0 / 8000.0).cos();
    let notched: Vec<f32> = block
        .windows(3)
        .map(|w| f32::from(w[2]) - coefficient * f32::from(w[1]) + f32::from(w[0]))
        .collect();
    let (mut real, mut imaginary) = (0f32, 0f32);
    for (n, sample) in notched.iter().enumerate() {
        let angle = std::f32::consts::TAU * VOICE_HZ * n as f32 / 8000.0;
        real += sample * angle.cos();
        imaginary += sample * angle.sin();
    }
    // The notch has a gain of about 2 at 2300 Hz.
    real.hypot(imaginary) / notched.len() as f32
}

fn print(rows: &[(String, Vec<Duration>)]) -> anyhow::Result<()> {
    println!(
        "{:<36} {:>6} {:>10} {:>10} {:>10}",
        "", "runs", "median ms", "p90 ms", "max ms"
    );
    let mut json = serde_json::Map::new();
    for (name, times) in rows {
        let mut ms: Vec<u64> = times.iter().map(|time| time.as_millis() as u64).collect();
        ms.sort_unstable();
        let (median, p90, max) = (ms[ms.len() / 2], ms[ms.len() * 9 / 10], ms[ms.len() - 1]);
        println!(
            "{name:<36} {:>6} {median:>10} {p90:>10} {max:>10}",
            ms.len()
        );
        json.insert(
            name.clone(),
            serde_json::json!({ "median_ms": median, "p90_ms": p90, "max_ms": max, "all_ms": ms }),
        );
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(
        folder.join("roles.json"),
        serde_json::to_string_pretty(&json)?,
    )?;
    Ok(())
}
