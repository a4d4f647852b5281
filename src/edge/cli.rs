//! The command line: what can be asked for, and the commands that are done when the database has
//! been asked.

pub mod audit;
pub mod user;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::edge::clock;
use crate::edge::config::Config;
use crate::edge::people::People;
use crate::edge::prompts;
use crate::edge::store::Store;
use crate::edge::store::audit::Selection;
use crate::edge::telemetry::LogFormat;

/// Supervise live calls from any telephone: monitor, coach, barge, take over.
///
/// sottovoce stands in the path of the calls between customers and agents as a SIP B2BUA. A
/// supervisor dials a supervising number, hears the call, and changes role by keys: 4# coach,
/// 6# or 0# barge, 1# take over, 5# back to listening, 8# whisper to the caller, 7# hang up.
///
/// Results go to standard output, logs to standard error.
#[derive(Debug, Parser)]
#[command(name = "sottovoce", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub log: Log,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct Log {
    /// How log lines look
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = Format::Text, help_heading = "Logging")]
    pub log_format: Format,
    /// What is logged: error, warn, info, debug or trace, also by module, as in RUST_LOG
    /// ("warn,sottovoce::control=debug"). Default: RUST_LOG, else info for serve and warn for the
    /// others
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Logging")]
    pub log: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service until SIGTERM or SIGINT, then let calls end (a second signal ends them)
    Serve(Serve),
    /// Show the whole product on loopback, without a phone or a PBX
    ///
    /// A customer and an agent (204) with different voices talk through the real service over real
    /// SIP and RTP; a simulated supervisor dials 800 and presses the keys. Prints a time line and,
    /// for each role, who heard whom, as measured from the received audio. Exit status 0 only if
    /// each measured role matches its contract.
    Demo(Demo),
    /// Look for what would stop `serve`: configuration, ports, prompts, codecs, database, trunks
    ///
    /// Prints one line each. Exit status 1 with the reason, and the line of the file where there is
    /// one, at the first thing that would stop `serve`. A trunk that does not answer is a warning:
    /// it stops calls to that trunk, not the service.
    Check(Check),
    /// Put organisations, pools, agents and supervisors into the database
    ///
    /// Declarative: within the organisations that the file names, what the file does not name is
    /// removed. Idempotent: the same file again changes nothing. Prints what changed. A running
    /// service reads the people again within seconds.
    Apply(Apply),
    /// Run the in-band DTMF detector that calls use over a file
    ///
    /// Prints `<onset_ms> <digit> <decided_ms>` per key press: where the tone began, and how much
    /// of the file had been heard when the decision fell. Nothing else.
    Detect(Detect),
    /// Read the audit, or check that nobody altered it
    #[command(subcommand)]
    Audit(Audit),
    /// Administrators, and passwords
    ///
    /// Passwords are asked for. Where standard input is no terminal, its first line is taken. They
    /// are never given on the command line.
    #[command(subcommand)]
    User(User),
}

/// Which node's configuration.
#[derive(Clone, Debug, Default, Args)]
pub struct ConfigFile {
    /// The configuration [default: ./sottovoce.toml where it exists, else built-in defaults on
    /// loopback]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl ConfigFile {
    pub fn load(&self) -> anyhow::Result<Config> {
        Ok(Config::load(self.config.as_deref())?)
    }
}

#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    pub config: ConfigFile,
    /// People to apply before the first call, as `sottovoce apply` does
    #[arg(long, value_name = "PEOPLE.toml")]
    pub apply: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Demo {
    #[command(subcommand)]
    pub what: Option<DemoWhat>,
    /// Where to write one WAV file per ear
    #[arg(long, value_name = "DIR", default_value = "demo-out")]
    pub out: PathBuf,
    /// What the supervisor presses, one command after another
    #[arg(
        long,
        value_name = "KEYS",
        value_delimiter = ',',
        default_value = "4#,5#,8#,6#,1#",
        value_parser = keys
    )]
    pub keys: Vec<String>,
    /// Leave a call and the console up, so that a browser (its address and sign-in are printed) and a
    /// softphone (its registration is printed) can join; a phone of the demo's own answers call-me
    #[arg(long)]
    pub keep: bool,
}

#[derive(Debug, Subcommand)]
pub enum DemoWhat {
    /// Provoke the codes 9011 to 9015 one after another; print and record what the supervisor heard
    Errors {
        /// Where to write what the supervisor heard
        #[arg(long, value_name = "DIR", default_value = "demo-out")]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pub config: ConfigFile,
}

#[derive(Debug, Args)]
pub struct Apply {
    /// The people
    #[arg(value_name = "PEOPLE.toml")]
    pub people: PathBuf,
    #[command(flatten)]
    pub config: ConfigFile,
}

#[derive(Debug, Args)]
pub struct Detect {
    /// A mono WAV file of 8, 16 or 48 kHz, 16 bit
    #[arg(value_name = "FILE.wav", required_unless_present = "events")]
    pub file: Option<PathBuf>,
    /// The detector for PIN and menu, or the stricter one for commands inside a session
    #[arg(long, value_enum, default_value_t = DetectProfile::Menu, conflicts_with = "events")]
    pub profile: DetectProfile,
    /// RTP packets as JSON lines instead, through the telephone-event receiver
    #[arg(long, value_name = "FILE.jsonl", conflicts_with = "file")]
    pub events: Option<PathBuf>,
    /// Write what the parties hear of such a voice: through the key clamp, 30 ms later; of
    /// a file of 8 kHz
    #[arg(long, value_name = "OUT.wav", conflicts_with = "events")]
    pub clamped: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DetectProfile {
    Menu,
    Role,
}

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Print the audit, oldest row first
    Export {
        #[command(flatten)]
        config: ConfigFile,
        /// Lines of CSV with a head line, or one JSON object with all rows
        #[arg(long, value_enum, default_value_t = ExportFormat::Csv)]
        format: ExportFormat,
        #[command(flatten)]
        chosen: Chosen,
    },
    /// Check the hash chain; exit status 1 and the first row that was altered, where one was
    Verify {
        #[command(flatten)]
        config: ConfigFile,
    },
}

/// Which rows of the audit: the filters of `GET /api/v1/audit`.
#[derive(Clone, Debug, Default, Args)]
pub struct Chosen {
    /// Rows from this time on: 2026-11-21, or 2026-11-21T09:00:00Z
    #[arg(long, value_name = "TIME", value_parser = utc_ms)]
    pub from: Option<i64>,
    /// Rows before this time
    #[arg(long, value_name = "TIME", value_parser = utc_ms)]
    pub to: Option<i64>,
    /// What this supervisor did
    #[arg(long, value_name = "USER")]
    pub supervisor: Option<String>,
    /// What was done on calls of this agent
    #[arg(long, value_name = "EXTENSION")]
    pub agent: Option<String>,
    /// What was done on this call
    #[arg(long, value_name = "ID")]
    pub call: Option<String>,
}

impl From<Chosen> for Selection {
    fn from(chosen: Chosen) -> Self {
        Self {
            from_ms: chosen.from,
            to_ms: chosen.to,
            supervisor: chosen.supervisor,
            agent: chosen.agent,
            call: chosen.call,
            ..Self::default()
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Csv,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum User {
    /// Make an administrator
    Add {
        /// Name to sign in with
        name: String,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Set the password of an administrator, or of a supervisor
    Passwd {
        /// Whose password: the user name that they sign in with
        name: String,
        /// The supervisor's organisation; without it, an administrator is meant
        #[arg(long, value_name = "ID")]
        organisation: Option<String>,
        #[command(flatten)]
        config: ConfigFile,
    },
}

impl Log {
    pub fn format(&self) -> LogFormat {
        match self.log_format {
            Format::Text => LogFormat::Text,
            Format::Json => LogFormat::Json,
        }
    }

    /// `--log`, else `RUST_LOG`, else what suits the command.
    pub fn level(&self, default: &str) -> String {
        let environment = || std::env::var("RUST_LOG").ok().filter(|l| !l.is_empty());
        self.log
            .clone()
            .or_else(environment)
            .unwrap_or_else(|| default.to_owned())
    }
}

/// Applies a file and prints what that changed.
pub async fn apply(config: &Config, people: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    // Where the prompts are not, it is not known in which languages there are some.
    let languages = prompts::languages(&config.node.share, &config.node.language);
    let people = People::load(people, &languages.unwrap_or_default())?;
    let store = open(config).await?;
    let changes = store
        .apply(&people, &config.sip.domain, clock::utc_ms())
        .await;
    store.close().await;
    let changes = changes?;
    if changes.is_empty() {
        writeln!(out, "nothing changed")?;
    }
    for change in changes {
        writeln!(out, "{change}")?;
    }
    Ok(())
}

/// The node's database, or why it is not there.
pub async fn open(config: &Config) -> anyhow::Result<Store> {
    Store::open(&config.database, &config.node.name)
        .await
        .with_context(|| config.database.to_string())
}

/// Whether a failure to write is that the reader has gone, as `head` does.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// An error with its causes. What the text before has named already is not said again.
pub fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// `4#`
fn keys(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.strip_suffix('#') {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            Ok(text.to_owned())
        }
        _ => Err("expected digits and #, such as 4#".into()),
    }
}

fn utc_ms(text: &str) -> Result<i64, String> {
    clock::utc_ms_of_text(text)
        .ok_or_else(|| "expected a time such as 2026-11-21 or 2026-11-21T09:00:00Z".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound_and_every_option_explained() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();

        unexplained(&command);
    }

    #[test]
    fn the_commands_of_the_manual_are_understood() {
        for line in [
            "serve",
            "serve --config sottovoce.toml --apply people.toml",
            "demo",
            "demo --out d --keys 4#,5#,8#,6#,1# --keep",
            "demo errors",
            "demo errors --out d",
            "check --config sottovoce.toml",
            "apply people.toml --config sottovoce.toml",
            "detect x.wav",
            "detect --profile role x.wav",
            "detect --events x.jsonl",
            "detect --profile role --clamped y.wav x.wav",
            "audit export --config c.toml --format json --from 2026-11-21",
            "audit export --supervisor mia --agent 204 --call 1a2b --to 2026-11-22",
            "audit verify --config c.toml",
            "user add root --config c.toml",
            "user passwd mia --organisation acme",
            "--log-format json --log debug serve",
            "serve --log-format json --log debug",
        ] {
            let words = std::iter::once("sottovoce").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
        for line in [
            "",
            "detect",
            "apply",
            "demo --keys 4",
            "audit export --from x",
        ] {
            let words = std::iter::once("sottovoce").chain(line.split_whitespace());
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(utc_ms("1970-01-02"), Ok(86_400_000));
        assert_eq!(utc_ms("1970-01-01T00:00:01.5Z"), Ok(1_500));
        assert_eq!(utc_ms("1970-01-01T02:00:00+02:00"), Ok(0));
        assert!(utc_ms("yesterday").is_err());
    }

    #[test]
    fn a_cause_that_was_named_already_is_not_said_again() {
        let missing = || io::Error::from_raw_os_error(2);
        let named = anyhow::Error::new(crate::edge::store::StoreError::File {
            path: "a/b".into(),
            source: missing(),
        });
        let unnamed = anyhow::Error::new(missing())
            .context("a/b")
            .context("start");

        let no_such_file = "No such file or directory (os error 2)";
        assert_eq!(told(&named), format!("a/b: {no_such_file}"));
        assert_eq!(told(&unnamed), format!("start: a/b: {no_such_file}"));
    }

    fn unexplained(command: &clap::Command) {
        for option in command.get_arguments() {
            // Values explain themselves.
            let said = option.get_help().is_some() || !option.get_possible_values().is_empty();
            assert!(said, "{} {}", command.get_name(), option.get_id());
        }
        for below in command.get_subcommands() {
            let said = below.get_about().is_some() || below.get_name() == "help";
            assert!(said, "{}", below.get_name());
            unexplained(below);
        }
    }
}
