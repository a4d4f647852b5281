//! The floors of `src/lib.rs`: every `crate::` path in `src/` points down, and the pure floors name
//! nothing that waits or touches the world.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules of the edge that any other may use: they hold values, not behaviour.
const SHARED_EDGE: [&str; 5] = ["clock", "config", "live", "people", "telemetry"];

/// Modules of the edge that put the others together: the service, and the pages and feeds that show
/// people the store, the catalogue and the live view side by side.
const COMPOSERS: [&str; 6] = ["service", "driver", "cli", "check", "http", "webhooks"];

/// What control sees of the media plane: its counter.
const MEDIA_COUNTER: [&str; 4] = ["command", "matrix", "fence", "codec"];

/// What of `media::dtmf` belongs to the counter: the key itself, not its detectors.
const DTMF_COUNTER: [&str; 2] = ["Digit", "DigitSource"];

/// What a pure floor never names: sockets, files, threads, tasks, clocks, environment, chance.
const IMPURE: [&str; 17] = [
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::thread",
    "std::fs",
    "std::env",
    "std::process",
    "std::time::SystemTime",
    "Instant::now",
    "tokio",
    "async_trait",
    "axum",
    "getrandom",
    "rsipstack",
    "rustix",
    "socket2",
    "sqlx",
];

/// The service's own SIP stack.
const SIP_STACK: &str = "rsipstack";

#[test]
fn every_floor_imports_downwards_only() {
    let mut faults = Vec::new();

    for file in sources(&root()) {
        let text = fs::read_to_string(root().join(&file)).unwrap();
        faults.extend(violations(&file.to_string_lossy(), &text));
    }

    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn the_reader_of_the_tree_finds_the_floors() {
    let files = sources(&root());

    for file in ["id.rs", "wire.rs", "media.rs", "control.rs", "edge.rs"] {
        assert!(files.contains(&PathBuf::from(file)), "no src/{file}");
    }
    assert!(files.contains(&PathBuf::from("media/matrix.rs")));
}

#[test]
fn a_floor_that_reaches_up_is_named() {
    for (file, text) in [
        ("id.rs", "use crate::wire::rtp::Header;"),
        ("wire/rtp.rs", "use crate::media::frame::Frame;"),
        ("wire/rtp.rs", "use sottovoce::media::frame::Frame;"),
        ("media/mixer.rs", "use crate::control::role::Role;"),
        ("media/mixer.rs", "pub(crate) use crate::edge::clock;"),
        ("control/call.rs", "fn f() { crate::edge::clock::now() }"),
        ("control/call.rs", "use crate::wire::rtp::Packet;"),
        ("control/call.rs", "use crate::media::jitter::Buffer;"),
        ("control/call.rs", "use crate::media::dtmf::tone::Bank;"),
        ("control/call.rs", "use crate::media::{codec, bridge::B};"),
        ("control/call.rs", "use crate::{id, wire::{sdp, rtcp}};"),
        ("control/call.rs", "use crate::media::*;"),
        ("control/call.rs", "use crate::media;"),
        ("edge/sip/inbound.rs", "use crate::edge::store::Store;"),
        ("edge/rtp.rs", "use crate::edge::{clock, console::Live};"),
        ("edge/sip.rs", "use crate::demo::phone::Phone;"),
        ("edge/sip.rs", "use super::store::Store;"),
        ("edge/sip/inbound.rs", "use super::super::store::Store;"),
        ("demo/phone.rs", "use crate::edge::sip::uri::Uri;"),
        ("demo/phone.rs", "use crate::media::mixer::Mixer;"),
    ] {
        assert_eq!(violations(file, text).len(), 1, "{file}: {text}");
    }
}

#[test]
fn a_floor_that_looks_down_or_beside_itself_is_left_alone() {
    for (file, text) in [
        ("wire/sdp/offer.rs", "use crate::wire::sdp::Media;"),
        ("media/mixer.rs", "use crate::{id::A, wire::rtp::B};"),
        ("control/call.rs", "use crate::wire::sdp;"),
        ("control/call.rs", "use crate::wire::sdp::offer::answer;"),
        (
            "control/call.rs",
            "use crate::media::{codec::C, command::*};",
        ),
        ("control/call.rs", "use crate::media::dtmf::{self, Digit};"),
        ("edge/sip/inbound.rs", "use crate::edge::{clock, sip::uri};"),
        ("edge/sip/inbound.rs", "use super::uri::Uri;"),
        ("edge/service.rs", "use crate::edge::{sip, store, rtp};"),
        ("edge/driver.rs", "use crate::edge::store::Store as S;"),
        ("edge/sip.rs", "use crate::control::input::Input;"),
        ("demo/phone.rs", "use crate::{wire::rtp::A, edge::service};"),
        ("media/mixer.rs", "/// See [`crate::control::role::Role`]."),
        (
            "media/mixer.rs",
            "let a = (\"crate::edge::x\", '\"'); // crate::edge",
        ),
        (
            "media/mixer.rs",
            "let a = r#\"a \" crate::edge::x\"#; /* crate::edge */",
        ),
    ] {
        assert_eq!(violations(file, text), [""; 0], "{file}: {text}");
    }
}

#[test]
fn a_pure_floor_that_touches_the_world_is_named() {
    for (file, text) in [
        ("media/shard.rs", "let now = Instant::now();"),
        ("media/shard.rs", "use std::{fmt, thread};"),
        ("media/shard.rs", "use std::net::{SocketAddr, UdpSocket};"),
        ("control/call.rs", "tokio::spawn(run());"),
        ("control/call.rs", "use tokio as runtime;"),
        ("control/call.rs", "async fn wait() {}"),
        ("wire/wav.rs", "let bytes = std::fs::read(path);"),
    ] {
        assert_eq!(violations(file, text).len(), 1, "{file}: {text}");
    }
}

#[test]
fn the_sip_stack_stays_behind_its_module() {
    let text = "use rsipstack::sip::Request;";

    for file in [
        "demo/phone.rs",
        "edge/driver.rs",
        "main.rs",
        "control/call.rs",
    ] {
        assert_eq!(violations(file, text).len(), 1, "{file}");
    }
    assert_eq!(violations("edge/sip/refer.rs", text), [""; 0]);
}

#[test]
fn values_tests_and_the_edge_may_name_the_world() {
    let tested = "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn t() { Instant::now(); }\n}\n";

    for (file, text) in [
        ("media/shard.rs", "use std::net::{IpAddr, SocketAddr};"),
        ("media/shard.rs", "use std::time::{Duration, Instant};"),
        ("media/shard.rs", tested),
        ("edge/clock.rs", "let now = Instant::now();"),
    ] {
        assert_eq!(violations(file, text), [""; 0], "{file}: {text}");
    }
}

/// Files that their module declares under `#[cfg(test)]`.
fn is_test(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.ends_with("/harness.rs") || file.contains("/harness/")
}

/// What is wrong in one file, a line each. `file` is its path below `src/`.
fn violations(file: &str, text: &str) -> Vec<String> {
    let (floor, module) = place(file);
    let code = without_comments_and_strings(text);
    let product = match is_test(file) {
        true => "",
        false => code.split("#[cfg(test)]\nmod ").next().unwrap_or(&code),
    };
    let mut faults = Vec::new();

    for path in paths(&code) {
        if let ["crate" | "sottovoce", below @ ..] = segments(&path).as_slice()
            && !allowed(floor, module, below)
        {
            faults.push(format!("src/{file}: {} is not below it", path.join("::")));
        }
    }

    // From the front of a module, or twice, `super` would hide a neighbour.
    let front = floor == "edge" && file.matches('/').count() == 1;
    for path in paths(product) {
        if matches!(segments(&path).as_slice(), ["super", "super", ..])
            || front && path[0] == "super"
        {
            faults.push(format!("src/{file}: {} hides its floor", path.join("::")));
        }
    }

    // The phones of the demo are a SIP implementation of their own.
    if (floor, module) != ("edge", "sip") && !matches!(floor, "id" | "wire" | "media" | "control") {
        for path in paths(product) {
            if contains(&path.join("::"), SIP_STACK) {
                faults.push(format!("src/{file}: {SIP_STACK} stays behind edge::sip"));
            }
        }
    }

    if matches!(floor, "id" | "wire" | "media" | "control") {
        for path in paths(product) {
            let path = path.join("::");
            if IMPURE.iter().any(|name| contains(&path, name)) {
                faults.push(format!("src/{file}: {path} touches the world"));
            }
        }
        if words(product).any(|word| matches!(word, "async" | "await")) {
            faults.push(format!("src/{file}: a pure floor does not wait"));
        }
    }
    faults
}

fn segments(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// Whether a file on `floor` may name `crate::<path>`.
fn allowed(floor: &str, module: &str, path: &[&str]) -> bool {
    match (floor, path) {
        ("main", _) | (_, ["id", ..]) => true,
        ("wire", ["wire", ..]) => true,
        ("media", ["media" | "wire", ..]) => true,
        ("control", ["control", ..] | ["wire", "sdp", ..] | ["media", "dtmf"]) => true,
        ("control", ["media", "dtmf", name, ..]) => DTMF_COUNTER.contains(name),
        ("control", ["media", name, ..]) => MEDIA_COUNTER.contains(name),
        ("edge", ["wire" | "media" | "control", ..]) => true,
        ("edge", ["edge", other, ..]) => {
            *other == module || SHARED_EDGE.contains(other) || COMPOSERS.contains(&module)
        }
        ("demo", ["demo" | "wire", ..]) => true,
        ("demo", ["edge", other, ..]) => SHARED_EDGE.contains(other) || COMPOSERS.contains(other),
        _ => false,
    }
}

/// The floor of a file and, below it, its module.
fn place(file: &str) -> (&str, &str) {
    let mut parts = file.trim_end_matches(".rs").split('/');
    let floor = match parts.next().unwrap_or_default() {
        "lib" => "main",
        floor => floor,
    };
    (floor, parts.next().unwrap_or_default())
}

/// Whether `name` stands in `path` as whole segments.
fn contains(path: &str, name: &str) -> bool {
    format!("::{path}::").contains(&format!("::{name}::"))
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !is_part(c))
}

/// Every path of two segments or more, and whatever is imported, with groups written out.
fn paths(code: &str) -> Vec<Vec<String>> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == "use" {
            at = tree(&tokens, at + 1, &[], &mut found).max(at + 1);
        } else if is_word(tokens[at]) && tokens.get(at + 1) == Some(&"::") {
            at = tree(&tokens, at, &[], &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one path with its groups from `at`, puts each whole path into `found`, and returns where
/// it ends.
fn tree(tokens: &[&str], mut at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    while let Some(&token) = tokens.get(at) {
        match token {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|&token| token != "}") {
                    at = tree(tokens, at, &path, found).max(at + 1);
                    at += usize::from(tokens.get(at) == Some(&","));
                }
                return at + 1;
            }
            "self" | "*" => at += 1,
            word if is_word(word) => {
                path.push(word.to_owned());
                at += 1;
            }
            _ => break,
        }
        if tokens.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    if tokens.get(at) == Some(&"as") {
        at += 2;
    }
    if !path.is_empty() {
        found.push(path);
    }
    at
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_word(token: &str) -> bool {
    token.starts_with(is_part)
}

/// Words, `::`, and single characters.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let length = if is_part(first) {
            rest.find(|c| !is_part(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at(length);
        if !first.is_whitespace() {
            tokens.push(token);
        }
        rest = after;
    }
    tokens
}

/// The code alone: a space stands for each comment, string and character.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if let Some(length) = raw_string(rest, &code) {
            length
        } else if first == '"' || (first == '\'' && is_character(rest)) {
            quoted(rest, first)
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.push(' ');
        rest = &rest[skipped..];
    }
    code
}

/// The length of the raw string that begins here, if one does; `before` is the code up to here.
fn raw_string(text: &str, before: &str) -> Option<usize> {
    if before.ends_with(is_part) && !before.ends_with('b') {
        return None;
    }
    let after = text.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(2 + hashes + body.find(&end).map_or(body.len(), |at| at + end.len()))
}

/// The length of the string or character that begins here.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

/// Tells the character `'a'` from the lifetime `'a`.
fn is_character(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    matches!(
        (chars.next(), chars.next()),
        (Some('\\'), _) | (_, Some('\''))
    )
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every Rust file below `folder`, as its path from there.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        for entry in fs::read_dir(folder.join(&below)).unwrap() {
            let entry = entry.unwrap();
            let path = below.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
