//! `check`: everything that would stop `serve`, tried without serving.

mod trunk;

use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use audiopus::coder::{Decoder, Encoder};
use audiopus::{Application, Channels, SampleRate};

use crate::edge::catalogue::Catalogue;
use crate::edge::config::{Config, Listener, Transport};
use crate::edge::prompts::Prompts;
use crate::edge::rtp::engine;
use crate::edge::store;
use crate::media::codec::Codec;
use crate::wire::document::Place;

/// Why `serve` would not start.
type Reason = String;

/// Prints a line for each thing; whether `serve` would start.
pub async fn run(path: Option<&Path>, out: &mut impl Write) -> std::io::Result<bool> {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => return stopped(out, "configuration", &error.to_string()),
    };
    let named = match path {
        Some(path) => path.display().to_string(),
        None if Path::new("sottovoce.toml").exists() => "./sottovoce.toml".into(),
        None => "built-in defaults".into(),
    };
    writeln!(out, "ok       configuration: {named}")?;

    // In this order, up to the first that would stop `serve`.
    for (what, tried) in [
        ("ports", ports(&config)),
        ("error codes", error_codes(&config)),
        ("prompts", prompts(&config)),
        ("codecs", codecs(&config)),
        ("database", database(&config).await),
    ] {
        match tried {
            Ok(found) => writeln!(out, "ok       {what}: {found}")?,
            Err(reason) => return stopped(out, what, &reason),
        }
    }
    for (trunk, place) in config.trunks.iter().zip(&config.places.trunks) {
        let name = &trunk.name;
        let uri = trunk.uri.clone();
        let from = config.sip.listen.iter().map(|listener| listener.addr.ip());
        let from: Vec<_> = from.collect();
        let answer = tokio::task::spawn_blocking(move || trunk::answer(&uri, &from)).await;
        match answer {
            Ok(Ok(said)) => writeln!(out, "ok       trunk {name}: {} {said}", trunk.uri)?,
            Ok(Err(reason)) => writeln!(
                out,
                "warning  trunk {name}: {}; the service starts, calls to it will fail",
                place.complain(reason)
            )?,
            Err(error) => writeln!(out, "warning  trunk {name}: {error}")?,
        }
    }
    Ok(true)
}

fn stopped(out: &mut impl Write, what: &str, reason: &str) -> std::io::Result<bool> {
    writeln!(out, "failed   {what}: {reason}")?;
    Ok(false)
}

/// Binds each listener, and the pairs of RTP, for a moment.
fn ports(config: &Config) -> Result<String, Reason> {
    let http = Listener {
        transport: Transport::Tcp,
        addr: config.http.listen,
    };
    let places = config.places.listen.iter();
    let listeners = config.sip.listen.iter().copied().zip(places);
    for (listener, place) in listeners.chain([(http, &config.places.http_listen)]) {
        let bound = match listener.transport {
            Transport::Udp => UdpSocket::bind(listener.addr).map(drop),
            Transport::Tcp | Transport::Tls => TcpListener::bind(listener.addr).map(drop),
        };
        bound.map_err(|error| at(place, format!("{listener} cannot be bound: {error}")))?;
    }

    let rtp = &config.rtp;
    let engine = engine::choose(rtp.io).map_err(|why| at(&config.places.rtp_io, why))?;
    if let Err(error) = UdpSocket::bind((rtp.bind, 0)) {
        let reason = format!("{} cannot be bound: {error}", rtp.bind);
        return Err(at(&config.places.rtp_bind, reason));
    }
    let free = (rtp.ports.first..rtp.ports.last)
        .step_by(2)
        .filter(|&port| {
            let pair = (
                UdpSocket::bind((rtp.bind, port)),
                UdpSocket::bind((rtp.bind, port + 1)),
            );
            matches!(pair, (Ok(_), Ok(_)))
        })
        .count();
    if free == 0 {
        let reason = format!(
            "expected free ports, none of {} pairs is",
            rtp.ports.pairs()
        );
        return Err(at(&config.places.rtp_ports, reason));
    }
    let sip: Vec<_> = config.sip.listen.iter().map(Listener::to_string).collect();
    Ok(format!(
        "sip {}, http {}, rtp {free} of {} pairs free, moved by {engine}",
        sip.join(" "),
        config.http.listen,
        rtp.ports.pairs()
    ))
}

fn error_codes(config: &Config) -> Result<String, Reason> {
    let catalogue = catalogue(config)?;
    let share = config.node.share.display();
    Ok(format!("{} in {share}", catalogue.spoken().len()))
}

fn catalogue(config: &Config) -> Result<Catalogue, Reason> {
    Catalogue::of(&config.node).map_err(|error| at(&config.places.share, error.to_string()))
}

/// Every sentence that the catalogue and the menus need.
fn prompts(config: &Config) -> Result<String, Reason> {
    let node = &config.node;
    let catalogue = catalogue(config)?;
    let prompts = Prompts::load(&node.share, &node.language, catalogue.prompts())
        .map_err(|error| at(&config.places.language, error.to_string()))?;
    let languages: Vec<_> = prompts
        .languages
        .iter()
        .zip(&prompts.counts)
        .map(|(language, count)| format!("{language} {count}"))
        .collect();
    Ok(format!(
        "{} in {}",
        languages.join(", "),
        node.share.display()
    ))
}

/// G.711 is a table of ours; Opus is the system's library, which has to be there and to work.
fn codecs(config: &Config) -> Result<String, Reason> {
    let codecs = &config.settings.codecs;
    if codecs.contains(&Codec::Opus) {
        Encoder::new(SampleRate::Hz48000, Channels::Mono, Application::Voip)
            .and_then(|_| Decoder::new(SampleRate::Hz48000, Channels::Mono))
            .map_err(|error| format!("opus: {error}"))?;
    }
    let names: Vec<_> = codecs.iter().map(|codec| format!("{codec:?}")).collect();
    Ok(names.join(", ").to_uppercase())
}

async fn database(config: &Config) -> Result<String, Reason> {
    match store::probe(&config.database).await {
        Ok(said) => Ok(format!("{} {said}", config.database)),
        Err(error) => {
            let reason = format!("{}: {error}", config.database);
            Err(at(&config.places.database, reason))
        }
    }
}

/// With the line of the file where it says so.
fn at(place: &Option<Place>, reason: String) -> Reason {
    match place {
        Some(place) => place.complain(reason).to_string(),
        None => reason,
    }
}
