//! The service as its users run it: `sottovoce serve` in a process of its own, with a
//! configuration written for the occasion, on free ports of loopback. For the demo and the tests.

use std::fmt::Write as _;
use std::fs::{File, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::demo::ports::{Stretch, free_sip_port, free_tcp_port};

/// Where the service listens.
pub const SERVICE_IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How long a start may take: migrations on a busy machine included.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a stop may take before it is a fault.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Starts on other ports after one found its own taken.
const OTHER_PORTS: usize = 8;

/// What the service is started with.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Holds configuration, database and log.
    pub dir: PathBuf,
    /// Folder of `prompts/` and `error-codes.toml`; found by the service itself when absent.
    pub share: Option<PathBuf>,
    /// Lines added to a section of the configuration: `("supervising", "pin = \"always\"")`.
    pub lines: Vec<(String, String)>,
    /// `[[trunk]]` and `[[route]]` tables.
    pub trunks: String,
    /// The text of people.toml.
    pub people: String,
    /// Value of `SOTTOVOCE_FAULT`.
    pub fault: Option<String>,
    /// Ports wanted, where free ones will not do.
    pub sip_port: Option<u16>,
    pub http_port: Option<u16>,
    /// `"24000-24199"`; a stretch of its own when absent.
    pub rtp_ports: Option<String>,
    /// How many ports a stretch of its own has: 400 when absent.
    pub rtp_count: Option<u16>,
    /// It is killed with the thread that starts it, however that ends: nobody is left who could
    /// hang up its calls.
    pub ends_with_us: bool,
}

impl Setup {
    pub fn line(mut self, section: &str, line: &str) -> Self {
        self.lines.push((section.to_owned(), line.to_owned()));
        self
    }
}

/// A running service; it is stopped, then killed if need be, when dropped.
pub struct Service {
    child: Child,
    pub sip: SocketAddr,
    pub http: SocketAddr,
    pub dir: PathBuf,
    pub config: PathBuf,
    /// Nobody else is dealt its RTP ports while it runs.
    _rtp: Option<Stretch>,
}

/// RTP ports of a service that needs no other number.
const RTP_PORTS: u16 = 400;

impl Service {
    /// Starts `exe serve` and waits until it takes calls. Ports that were free when they were chosen
    /// may be somebody's by then: others are chosen where the setup names none.
    pub fn start(exe: &Path, setup: &Setup) -> anyhow::Result<Self> {
        let chosen_here = setup.sip_port.is_none() && setup.http_port.is_none();
        let again = if chosen_here { OTHER_PORTS } else { 0 };
        for _ in 0..again {
            match Self::start_once(exe, setup) {
                Err(error) if error.to_string().contains("Address already in use") => {}
                result => return result,
            }
        }
        Self::start_once(exe, setup)
    }

    fn start_once(exe: &Path, setup: &Setup) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&setup.dir)
            .with_context(|| format!("creating {}", setup.dir.display()))?;
        let sip = SocketAddr::new(SERVICE_IP, setup.sip_port.map_or_else(free_sip_port, Ok)?);
        let http = SocketAddr::new(SERVICE_IP, setup.http_port.map_or_else(free_tcp_port, Ok)?);
        let (rtp, stretch) = match &setup.rtp_ports {
            Some(range) => (range.clone(), None),
            None => {
                let own = Stretch::reserve(setup.rtp_count.unwrap_or(RTP_PORTS))?;
                (own.range(), Some(own))
            }
        };
        let config = setup.dir.join("sottovoce.toml");
        write_private(&config, &configuration(setup, sip, http, &rtp))?;
        let people = setup.dir.join("people.toml");
        write_private(&people, &setup.people)?;
        let log_path = setup.dir.join("service.log");
        let log = File::options().create(true).append(true).open(&log_path)?;

        let mut command = Command::new(exe);
        command
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .arg("--apply")
            .arg(&people)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        match &setup.fault {
            Some(fault) => command.env("SOTTOVOCE_FAULT", fault),
            None => command.env_remove("SOTTOVOCE_FAULT"),
        };
        if setup.ends_with_us {
            // SAFETY: between fork and exec it makes one system call and nothing else.
            unsafe {
                command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
            }
        }
        let child = command
            .spawn()
            .with_context(|| format!("starting {}", exe.display()))?;
        let mut service = Self {
            child,
            sip,
            http,
            dir: setup.dir.clone(),
            config,
            _rtp: stretch,
        };
        service.wait_ready(&log_path)?;
        Ok(service)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Makes an administrator as the README says, by `exe user add`; the password goes in by
    /// standard input.
    pub fn add_administrator(&self, exe: &Path, name: &str, password: &str) -> anyhow::Result<()> {
        let mut child = Command::new(exe)
            .args(["user", "add", name, "--config"])
            .arg(&self.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", exe.display()))?;
        let mut input = child.stdin.take().context("standard input of user add")?;
        writeln!(input, "{password}")?;
        drop(input);
        let status = child.wait()?;
        ensure!(status.success(), "sottovoce user add: {status}");
        Ok(())
    }

    /// A page of the service's HTTP side, by a request as small as can be: status and body.
    pub fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let mut stream = TcpStream::connect(self.http)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.http
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let status = text
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        Ok((status.context("no HTTP status")?, body.unwrap_or_default()))
    }

    fn wait_ready(&mut self, log: &Path) -> anyhow::Result<()> {
        let steps = START_LIMIT.as_millis() / 50;
        for _ in 0..steps {
            if let Some(status) = self.child.try_wait()? {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                let tail: Vec<&str> = text.lines().rev().take(12).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                bail!("the service did not start ({status}):\n{}", tail.join("\n"));
            }
            if matches!(self.get("/readyz"), Ok((200, _))) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!(
            "the service was not ready within {START_LIMIT:?}; its log is {}",
            log.display()
        )
    }

    /// The text the service has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("service.log")).unwrap_or_default()
    }

    /// SIGTERM, then waits for its end; a second SIGTERM ends the calls that still run.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.terminate();
        for step in 0..STOP_LIMIT.as_millis() / 20 {
            if step == 25 {
                self.terminate();
            }
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the service ended with {status}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the service did not end within {STOP_LIMIT:?} of SIGTERM")
    }

    /// SIGKILL at once, as a power cut would.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub fn terminate(&self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Nothing to be done about a process that cannot be killed.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn configuration(setup: &Setup, sip: SocketAddr, http: SocketAddr, rtp: &str) -> String {
    let mut sections: Vec<(&str, Vec<String>)> = vec![
        (
            "node",
            vec![
                r#"name = "demo""#.to_owned(),
                quoted("data_dir", &setup.dir),
            ],
        ),
        (
            "sip",
            vec![format!("listen = [\"udp:{sip}\", \"tcp:{sip}\"]")],
        ),
        (
            "rtp",
            vec![
                format!("bind = \"{}\"", sip.ip()),
                format!("advertise = \"{}\"", sip.ip()),
                format!("ports = \"{rtp}\""),
            ],
        ),
        ("http", vec![format!("listen = \"{http}\"")]),
        (
            "database",
            vec![format!(
                "url = \"sqlite:{}\"",
                setup.dir.join("sottovoce.db").display()
            )],
        ),
    ];
    if let Some(share) = &setup.share {
        sections[0].1.push(quoted("share", share));
    }
    for (name, line) in &setup.lines {
        let key = line.split('=').next().unwrap_or_default().trim().to_owned();
        match sections.iter_mut().find(|(section, _)| section == name) {
            Some((_, lines)) => {
                lines.retain(|old| old.split('=').next().unwrap_or_default().trim() != key);
                lines.push(line.clone());
            }
            None => sections.push((name, vec![line.clone()])),
        }
    }
    let mut text = String::new();
    for (name, lines) in sections {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[{name}]\n{}\n", lines.join("\n"));
    }
    text + &setup.trunks
}

/// Writes a file that may hold passwords: for its owner alone, whoever could read it before.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("writing {}", path.display()))?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

fn quoted(key: &str, path: &Path) -> String {
    format!("{key} = \"{}\"", path.display())
}
