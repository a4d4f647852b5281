//! `./run bench pages`: how soon the console's pages are answered and how much they weigh beside
//! many calls over real SIP and RTP, some of them supervised; and how soon a call that was answered,
//! or has ended, is seen in the list. The service is on one core, the phones and the readers on
//! another.
//!
//! Exit status 0 only if 99 of 100 answers of every page took less than 50 ms, no page weighs 150 KB
//! or more with all that it loads, and the list was never behind by a second. The figures are
//! printed, and kept as JSON under `target/bench/`.

#[path = "../tests/web/client.rs"]
#[allow(dead_code)]
mod client;
#[path = "calls/ear.rs"]
#[allow(dead_code)]
mod ear;
#[path = "../tests/web/stream.rs"]
#[allow(dead_code)]
mod events;
#[path = "shared/figures.rs"]
mod figures;
#[path = "shared/keypad.rs"]
#[allow(dead_code)]
mod keypad;
#[path = "pages/live.rs"]
mod live;
#[path = "calls/load.rs"]
#[allow(dead_code)]
mod load;
#[path = "shared/machine.rs"]
#[allow(dead_code)]
mod machine;
#[path = "pages/people.rs"]
mod people;
#[path = "pages/reader.rs"]
mod reader;
#[path = "shared/sip.rs"]
#[allow(dead_code)]
mod sip;
#[path = "shared/stage.rs"]
#[allow(dead_code)]
mod stage;
#[path = "calls/stream.rs"]
#[allow(dead_code)]
mod stream;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use serde_json::{Value, json};
use sottovoce::demo::service::Service;

use crate::live::Live;
use crate::load::{Load, Plan};
use crate::reader::Page;

/// A page is answered in less, 99 times of 100.
const PAGE_LIMIT: Duration = Duration::from_millis(50);
/// A page weighs less, with all that it loads, in bytes on the way.
const WEIGHT_LIMIT: usize = 150_000;
/// What happens to a call is in the list sooner.
const LIVE_LIMIT: Duration = Duration::from_secs(1);
/// After the last call is up, before anybody reads.
const SETTLE: Duration = Duration::from_secs(3);
/// How long the phones speak between two looks at whether the readers are done.
const TURN: Duration = Duration::from_millis(100);

/// What is asked for on the command line.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub plan: Plan,
    /// How often each page is asked for.
    pub times: usize,
    /// Calls that come and go while it is watched how soon they are seen.
    pub comings: usize,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("pages: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<bool> {
    let asked = asked(std::env::args().skip(1))?;
    let plan = asked.plan;
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{}", std::process::id()));
    machine::allow_many_sockets();
    let (first, second) = machine::two_cores()?;

    // A child keeps to the cores of the thread that starts it.
    machine::pin(first)?;
    let exe = Path::new(env!("CARGO_BIN_EXE_sottovoce"));
    let service = Service::start(exe, &people::setup(&dir, plan))?;
    service.add_administrator(exe, people::ADMINISTRATOR, people::PASSWORD)?;
    machine::pin(second)?;
    println!(
        "{} calls, {} of them supervised; the service on core {first}, phones and readers on core {second}",
        plan.calls, plan.supervised
    );

    let mut load = Load::new(plan, service.sip)?;
    load.set_up().context("setting the calls up")?;
    load.run_for(SETTLE)?;
    let cpu = machine::cpu_of(service.id())?;
    let (pages, live) = std::thread::scope(|scope| {
        let reading = scope.spawn(|| read(&service, asked));
        while !reading.is_finished() {
            load.run_for(TURN)?;
        }
        reading.join().map_err(|_| anyhow!("the reader failed"))?
    })?;
    let cpu = machine::cpu_of(service.id())?.saturating_sub(cpu);
    load.hang_up().context("ending the calls")?;
    service.stop()?;
    std::fs::remove_dir_all(&dir)?;

    print(&pages, &live);
    figures::keep("pages", &to_json(plan, &pages, &live, cpu))?;
    Ok(passed(&pages, &live))
}

fn read(service: &Service, asked: Asked) -> anyhow::Result<(Vec<Page>, Live)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let live = live::measure(service, asked.comings).await;
        let live = live.context("watching calls come and go")?;
        let pages = reader::read_all(service, asked).await;
        Ok((pages.context("reading the pages")?, live))
    })
}

fn asked(arguments: impl Iterator<Item = String>) -> anyhow::Result<Asked> {
    let plan = Plan {
        calls: 500,
        supervised: 50,
        seconds: 1,
    };
    let mut asked = Asked {
        plan,
        times: 200,
        comings: 40,
    };
    // Cargo says that it is a bench.
    let mut arguments = arguments.filter(|argument| argument != "--bench");
    while let Some(name) = arguments.next() {
        let usage = "--calls N, --supervised N, --times N, --comings N";
        let value = arguments.next().and_then(|value| value.parse().ok());
        let value: usize = value.with_context(|| format!("{name}: expected {usage}"))?;
        match name.as_str() {
            "--calls" => asked.plan.calls = value,
            "--supervised" => asked.plan.supervised = value,
            "--times" => asked.times = value,
            "--comings" => asked.comings = value,
            _ => bail!("{name}: expected {usage}"),
        }
    }
    let Plan {
        calls, supervised, ..
    } = asked.plan;
    ensure!(
        supervised <= calls && calls > 0 && asked.times > 0 && asked.comings > 0,
        "there are not more supervised calls than calls, and some of calls, times and comings"
    );
    Ok(asked)
}

fn passed(pages: &[Page], live: &Live) -> bool {
    let quick = pages.iter().all(|page| page.at(0.99) < PAGE_LIMIT);
    let light = pages.iter().all(|page| page.weight < WEIGHT_LIMIT);
    quick && light && live.latest() < LIVE_LIMIT
}

fn print(pages: &[Page], live: &Live) {
    println!();
    println!(
        "{:<14} {:<26} {:>8} {:>8} {:>8} {:>10} {:>10} {:>12}",
        "who", "page", "p50 ms", "p99 ms", "max ms", "bytes", "on the way", "with loads"
    );
    for page in pages {
        println!(
            "{:<14} {:<26} {:>8.1} {:>8.1} {:>8.1} {:>10} {:>10} {:>12}",
            page.who,
            page.name,
            ms(page.at(0.5)),
            ms(page.at(0.99)),
            ms(page.at(1.0)),
            page.bytes,
            page.sent,
            page.weight,
        );
    }
    println!();
    for (what, times) in [
        ("answered, and in the list", &live.started),
        ("ended, and out of the list", &live.ended),
    ] {
        println!(
            "{what:<28} p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms, of {}",
            ms(share(times, 0.5)),
            ms(share(times, 0.99)),
            ms(share(times, 1.0)),
            times.len()
        );
    }
}

fn to_json(plan: Plan, pages: &[Page], live: &Live, cpu: Duration) -> Value {
    let times = |times: &[Duration]| {
        json!({
            "count": times.len(),
            "p50_ms": ms(share(times, 0.5)),
            "p99_ms": ms(share(times, 0.99)),
            "max_ms": ms(share(times, 1.0)),
        })
    };
    let page = |page: &Page| {
        json!({
            "who": page.who,
            "page": page.name,
            "times": times(&page.times),
            "bytes": page.bytes,
            "bytes_sent": page.sent,
            "bytes_with_loads": page.weight,
        })
    };
    json!({
        "calls": plan.calls,
        "supervised": plan.supervised,
        "pages": pages.iter().map(page).collect::<Vec<_>>(),
        "in_the_list": times(&live.started),
        "out_of_the_list": times(&live.ended),
        "service_cpu_s": cpu.as_secs_f64(),
    })
}

/// The time within which this share of sorted times lies.
pub fn share(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let place = ((sorted.len() as f64 * share) as usize).min(last);
    sorted.get(place).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
