//! sipp as carrier and as agents, and what it counted.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::machine;
use crate::{CALLERS, EXTENSIONS, PHONES};

/// A pair that is not done so long after its last call hangs: what is repeated to the end takes 32 s.
const PATIENCE: Duration = Duration::from_secs(60);
/// From the start of a sipp to its open port.
const START_LIMIT: Duration = Duration::from_secs(10);

/// Calls that are placed.
#[derive(Clone, Copy, Debug)]
pub struct Offered {
    pub per_second: u32,
    pub calls: u32,
    /// From the answer to the BYE.
    pub hold: Duration,
}

/// What became of them.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub calls: u64,
    /// Up and down again.
    pub completed: u64,
    /// With 503.
    pub refused: u64,
    /// Anything else, on either side.
    pub failed: u64,
    /// By either side, and by what stood between them.
    pub retransmissions: u64,
    /// The phones took so long for all of them.
    pub lasted: Duration,
    /// From INVITE to 180, to the millisecond, sorted.
    pub ringing_ms: Vec<f64>,
    /// From BYE to 200, likewise.
    pub ending_ms: Vec<f64>,
    /// What the phones used of their core.
    pub phones_cpu: Duration,
}

impl Outcome {
    pub fn calls_per_second(&self) -> f64 {
        (self.completed + self.refused) as f64 / self.lasted.as_secs_f64()
    }
}

/// A value of sorted ones that this share of them does not exceed.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share) as usize;
    let last = sorted.len().saturating_sub(1);
    sorted.get(place.min(last)).copied().unwrap_or(f64::NAN)
}

/// The agents' side: it stays for all calls of a run.
pub struct Agents {
    folder: PathBuf,
    child: Child,
    pub address: SocketAddr,
}

impl Agents {
    /// Waits until it listens.
    pub fn start(folder: &Path, port: u16) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let address: SocketAddr = format!("{PHONES}:{port}").parse()?;
        let mut command = sipp(folder);
        command
            .args(["-sf", &scenario("uas.xml"), "-i", PHONES])
            .args(["-p", &port.to_string()])
            .args(["-mp", &free_port(PHONES)?.to_string()]);
        let agents = Self {
            folder: folder.to_owned(),
            child: spawn(command)?,
            address,
        };
        let limit = Instant::now() + START_LIMIT;
        while UdpSocket::bind(address).is_ok() {
            ensure!(Instant::now() < limit, "sipp does not listen at {address}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(agents)
    }

    /// Ends it, and adds to what the callers counted.
    pub fn finish(mut self, outcome: &mut Outcome) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed());
        let pid = pid.context("a process id")?;
        // SIGUSR1 has it end when its calls are over, and write what it counted.
        rustix::process::kill_process(pid, rustix::process::Signal::USR1)?;
        outcome.phones_cpu += wait(&mut self.child, PATIENCE)?;
        let counts = Counts::read(&self.folder, &self.child)?;
        outcome.failed += counts.failed;
        outcome.retransmissions += counts.retransmissions;
        Ok(())
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        // It has ended, or nothing is to be learned from it any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A carrier whose calls are being placed.
pub struct Callers {
    folder: PathBuf,
    child: Child,
    started: Instant,
    limit: Duration,
    offered: Offered,
}

impl Callers {
    pub fn start(folder: &Path, to: SocketAddr, offered: Offered) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let extensions = folder.join("extensions.csv");
        let lines: String = EXTENSIONS.map(|number| format!("{number};\n")).collect();
        std::fs::write(&extensions, format!("SEQUENTIAL\n{lines}"))?;
        let mut command = sipp(folder);
        command
            .arg(to.to_string())
            .args(["-sf", &scenario("uac.xml"), "-i", CALLERS])
            .arg("-inf")
            .arg(&extensions)
            .args(["-p", &free_port(CALLERS)?.to_string()])
            .args(["-mp", &free_port(CALLERS)?.to_string()])
            .args(["-m", &offered.calls.to_string()])
            .args(["-r", &offered.per_second.to_string()])
            // More than there can be: a sipp that waits for calls to end offers fewer than it says.
            .args(["-l", &offered.calls.to_string()])
            .args(["-d", &offered.hold.as_millis().to_string()])
            .args(["-trace_rtt", "-rtt_freq", "1"]);
        let placing =
            Duration::from_secs_f64(f64::from(offered.calls) / f64::from(offered.per_second));
        Ok(Self {
            folder: folder.to_owned(),
            started: Instant::now(),
            limit: placing * 2 + offered.hold + PATIENCE,
            child: spawn(command)?,
            offered,
        })
    }

    pub fn is_over(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    pub fn finish(mut self) -> anyhow::Result<Outcome> {
        let phones_cpu = wait(&mut self.child, self.limit)?;
        let lasted = self.started.elapsed().saturating_sub(self.offered.hold);
        let counts = Counts::read(&self.folder, &self.child)?;
        let (ringing_ms, ending_ms) = response_times(&self.folder)?;
        let calls = u64::from(self.offered.calls);
        // What was never placed has failed, too.
        let failed = counts.failed + calls.saturating_sub(counts.successful + counts.failed);
        Ok(Outcome {
            calls,
            completed: counts.successful - counts.refused,
            refused: counts.refused,
            failed,
            retransmissions: counts.retransmissions,
            lasted,
            ringing_ms,
            ending_ms,
            phones_cpu,
        })
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        // It has ended, or nothing is to be learned from it any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The totals of one sipp.
struct Counts {
    successful: u64,
    failed: u64,
    refused: u64,
    retransmissions: u64,
}

impl Counts {
    fn read(folder: &Path, child: &Child) -> anyhow::Result<Self> {
        let totals = last_line(&folder.join("totals.csv"))?;
        let total = |name: &str| totals.get(name).and_then(|value| value.parse().ok());
        let scenario = match totals.get("OutgoingCall(C)").map(String::as_str) {
            Some("0") => "uas",
            _ => "uac",
        };
        // Each message has a column for how often it was sent again, or came again.
        let messages = last_line(&folder.join(format!("{scenario}_{}_counts.csv", child.id())))?;
        let again = messages
            .iter()
            .filter(|(name, _)| name.ends_with("_Retrans"));
        Ok(Self {
            successful: total("SuccessfulCall(C)").context("sipp counts its calls")?,
            failed: total("FailedCall(C)").context("sipp counts its failures")?,
            refused: total("GenericCounter1(C)").unwrap_or_default(),
            retransmissions: again
                .filter_map(|(_, value)| value.parse::<u64>().ok())
                .sum(),
        })
    }
}

/// The last line of a table, by the names of its columns.
fn last_line(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let names = lines.next().context("an empty table of sipp")?;
    let values = lines
        .next_back()
        .context("a table of sipp without values")?;
    let columns = names.split(';').zip(values.split(';'));
    Ok(columns
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

fn response_times(folder: &Path) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let (mut ringing, mut ending) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.to_string_lossy().ends_with("_rtt.csv") {
            continue;
        }
        for line in std::fs::read_to_string(&path)?.lines() {
            let mut columns = line.split(';').skip(1);
            let (Some(ms), Some(name)) = (columns.next(), columns.next()) else {
                continue;
            };
            match (ms.parse::<f64>(), name) {
                (Ok(ms), "ring") => ringing.push(ms),
                (Ok(ms), "end") => ending.push(ms),
                _ => {}
            }
        }
    }
    ringing.sort_unstable_by(f64::total_cmp);
    ending.sort_unstable_by(f64::total_cmp);
    Ok((ringing, ending))
}

fn sipp(folder: &Path) -> Command {
    let mut command = Command::new("sipp");
    command
        .args(["-nostdin", "-fd", "1", "-trace_counts", "-trace_stat"])
        .args(["-stf", "totals.csv", "-buff_size", "4194304"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn spawn(mut command: Command) -> anyhow::Result<Child> {
    command
        .spawn()
        .context("sipp is not installed (Debian package sip-tester; ./run bench installs it)")
}

/// Waits for its end, and tells what it used, but for its last moments.
fn wait(child: &mut Child, limit: Duration) -> anyhow::Result<Duration> {
    let limit = Instant::now() + limit;
    let mut used = Duration::ZERO;
    loop {
        used = machine::cpu_of(child.id()).unwrap_or(used);
        if child.try_wait()?.is_some() {
            return Ok(used);
        }
        ensure!(Instant::now() < limit, "sipp did not come to its end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn scenario(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/signalling");
    folder.join(name).display().to_string()
}

pub fn free_port(ip: &str) -> anyhow::Result<u16> {
    Ok(UdpSocket::bind((ip, 0))?.local_addr()?.port())
}
