//! The program: reads the command line and hands each command to the floor that does it.

use std::future::Future;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use sottovoce::demo::errors::{self, Errors};
use sottovoce::demo::roles::{self, Demo};
use sottovoce::edge::catalogue::Catalogue;
use sottovoce::edge::cli::{self, Audit, Cli, Command, DemoWhat, DetectProfile, User};
use sottovoce::edge::config::Config;
use sottovoce::edge::{check, detect, service, telemetry};
use sottovoce::media::dtmf::tone::Profile;

/// Setting a call up takes some thousand small pieces of memory, which one thread asks for and another
/// gives back.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        // Whoever read our output has what they wanted.
        Err(error) if cli::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // The console may be gone as well; the exit status remains.
            let _ = writeln!(io::stderr(), "sottovoce: {}", cli::told(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    // Two providers of cryptography in one process would quarrel at the first handshake; this one
    // is ours. It fails only where it is already in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let level = match cli.command {
        Command::Serve(_) => "info",
        _ => "warn",
    };
    let level = cli.log.level(level);
    telemetry::start_logging(cli.log.format(), &level)
        .with_context(|| format!("--log or RUST_LOG {level:?}"))?;

    let mut out = io::stdout().lock();
    match cli.command {
        Command::Serve(asked) => {
            drop(out);
            let config = asked.config.load()?;
            wait_for(service::run(config, asked.apply))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo(asked) => {
            drop(out);
            demo(asked)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Detect(asked) => {
            drop(out);
            let profile = match asked.profile {
                DetectProfile::Menu => Profile::Menu,
                DetectProfile::Role => Profile::Role,
            };
            let events = asked.events.as_deref();
            let file = asked.file.as_deref().or(events).unwrap_or(Path::new(""));
            detect::run(profile, file, events, asked.clamped.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check(asked) => {
            let path = asked.config.config.as_deref();
            let well = wait_for(async { Ok(check::run(path, &mut out).await?) })?;
            Ok(exit(well))
        }
        Command::Apply(asked) => {
            let config = asked.config.load()?;
            wait_for(cli::apply(&config, &asked.people, &mut out))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Audit(Audit::Export {
            config,
            format,
            chosen,
        }) => {
            let selection = chosen.into();
            let config = config.load()?;
            wait_for(cli::audit::export(&config, format, selection, &mut out))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Audit(Audit::Verify { config }) => {
            let intact = wait_for(cli::audit::verify(&config.load()?, &mut out))?;
            Ok(exit(intact))
        }
        Command::User(User::Add { name, config }) => {
            wait_for(cli::user::add(&config.load()?, &name, &mut out))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::User(User::Passwd {
            name,
            organisation,
            config,
        }) => {
            let organisation = organisation.as_deref();
            let config = config.load()?;
            wait_for(cli::user::passwd(&config, organisation, &name, &mut out))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The demo starts this very program as the service.
fn demo(asked: cli::Demo) -> anyhow::Result<()> {
    let exe = std::env::current_exe()?;
    let node = Config::built_in()?.node;
    Catalogue::of(&node)?;
    let share = node.share;
    let share = share.canonicalize().unwrap_or(share);
    match asked.what {
        Some(DemoWhat::Errors { out }) => wait_for(errors::run(Errors { out, exe, share })),
        None => wait_for(roles::run(Demo {
            out: asked.out,
            keys: asked.keys,
            keep: asked.keep,
            exe,
            share: Some(share),
        })),
    }
}

fn exit(well: bool) -> ExitCode {
    match well {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn wait_for<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}
