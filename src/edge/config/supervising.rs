//! `[media]`, `[supervising]` and its codes: what control decides by.

use std::time::Duration;

use crate::control::directory::AgentNotice;
use crate::control::settings::{
    Codes, InBandDtmf, OnAgentHangUp, PinPolicy, Settings, Supervisable, WhisperCaller,
};
use crate::media::codec::Codec;
use crate::media::matrix::MAX_SEATS;
use crate::wire::document::{Complaint, Item, Table};

pub(super) fn media(root: &mut Table, settings: &mut Settings) -> Result<(), Complaint> {
    let mut table = root.table("media")?;
    if let Some(item) = table.take("codecs") {
        settings.codecs = codecs(&item)?;
    }
    if let Some(item) = table.take("max_conferences") {
        settings.max_conferences = item.integer(0..=1_000_000)? as usize;
    }
    if let Some(item) = table.take("in_band_dtmf") {
        settings.in_band_dtmf = item.one_of(&[
            ("auto", InBandDtmf::Auto),
            ("always", InBandDtmf::Always),
            ("never", InBandDtmf::Never),
        ])?;
    }
    table.finish()
}

pub(super) fn supervising(root: &mut Table, settings: &mut Settings) -> Result<(), Complaint> {
    let mut table = root.table("supervising")?;
    if let Some(item) = table.take("agent_notice") {
        settings.agent_notice =
            item.one_of(&[("tone", AgentNotice::Tone), ("silent", AgentNotice::Silent)])?;
    }
    if let Some(item) = table.take("answer_unregistered") {
        settings.answer_unregistered = item.flag()?;
    }
    if let Some(item) = table.take("supervisable") {
        settings.supervisable = supervisable(&item)?;
    }
    if let Some(item) = table.take("max_per_call") {
        // Two seats of a bridge are the parties'.
        settings.max_per_call = item.integer(1..=MAX_SEATS as i64 - 2)? as usize;
    }
    if let Some(item) = table.take("speaking") {
        settings.many_speakers = item.one_of(&[("one", false), ("many", true)])?;
    }
    if let Some(item) = table.take("whisper_caller") {
        settings.whisper_caller = item.one_of(&[
            ("on_net", WhisperCaller::OnNet),
            ("always", WhisperCaller::Always),
            ("never", WhisperCaller::Never),
        ])?;
    }
    if let Some(item) = table.take("takeover_confirm") {
        settings.takeover_confirm = item.flag()?;
    }
    if let Some(item) = table.take("on_agent_hangup_in_barge") {
        settings.on_agent_hangup_in_barge =
            item.one_of(&[("stay", OnAgentHangUp::Stay), ("end", OnAgentHangUp::End)])?;
    }
    if let Some(item) = table.take("ticket_ttl") {
        settings.ticket_ttl = duration(&item, Duration::from_secs(1), Duration::from_secs(86_400))?;
    }
    if let Some(item) = table.take("allow_unlisted_callout") {
        settings.allow_unlisted_callout = item.flag()?;
    }
    if let Some(item) = table.take("pin") {
        settings.pin = item.one_of(&[
            ("never", PinPolicy::Never),
            ("untrusted", PinPolicy::Untrusted),
            ("always", PinPolicy::Always),
            ("callback", PinPolicy::CallBack),
        ])?;
    }
    if let Some(item) = table.take("hear_held_customer") {
        settings.hear_held_customer = item.flag()?;
    }
    if let Some(item) = table.take("follow_customer") {
        settings.follow_customer = item.flag()?;
    }
    settings.codes = codes(table.table("codes")?)?;
    table.finish()
}

fn codecs(item: &Item) -> Result<Vec<Codec>, Complaint> {
    let expected = "a list of \"PCMU\", \"PCMA\", \"opus\", \"G722\", each once";
    let mut codecs = Vec::new();
    for entry in item.list(expected)? {
        let codec = match entry.text(expected)?.to_ascii_lowercase().as_str() {
            "pcmu" => Codec::Pcmu,
            "pcma" => Codec::Pcma,
            "opus" => Codec::Opus,
            "g722" => Codec::G722,
            _ => return Err(entry.expected(expected)),
        };
        if codecs.contains(&codec) {
            return Err(entry.expected(expected));
        }
        codecs.push(codec);
    }
    match codecs.is_empty() {
        true => Err(item.complain(format!("expected {expected}, found an empty list"))),
        false => Ok(codecs),
    }
}

fn supervisable(item: &Item) -> Result<Supervisable, Complaint> {
    let expected = "a list of \"pool\", \"outbound\", \"direct\"";
    let mut kinds = Supervisable {
        pool: false,
        outbound: false,
        direct: false,
    };
    for entry in item.list(expected)? {
        match entry.text(expected)? {
            "pool" => kinds.pool = true,
            "outbound" => kinds.outbound = true,
            "direct" => kinds.direct = true,
            _ => return Err(entry.expected(expected)),
        }
    }
    Ok(kinds)
}

/// A number and its unit: `250ms`, `120s`, `15m`, `2h`.
pub(super) fn duration(
    item: &Item,
    least: Duration,
    most: Duration,
) -> Result<Duration, Complaint> {
    let expected = format!(
        "a duration such as \"120s\" or \"2m\", from {}s to {}s",
        least.as_secs(),
        most.as_secs()
    );
    let text = item.text(&expected)?;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(item.expected(expected)),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_ms))
        .map(Duration::from_millis)
        .filter(|duration| (least..=most).contains(duration))
        .ok_or_else(|| item.expected(expected))
}

/// One digit each, none twice; those of coach, barge and takeover are what they are.
fn codes(mut table: Table) -> Result<Codes, Complaint> {
    let mut codes = Codes::default();
    let mut taken: Vec<(char, &'static str)> = Vec::new();
    let mut written: Vec<(char, &'static str, Item)> = Vec::new();

    for (key, digits) in [
        ("coach", &['4'][..]),
        ("barge", &['0', '6']),
        ("takeover", &['1']),
    ] {
        if let Some(item) = table.take(key) {
            let mut found = match item.list("") {
                Ok(entries) => entries.iter().map(digit).collect::<Result<Vec<_>, _>>()?,
                Err(_) => vec![digit(&item)?],
            };
            found.sort_unstable();
            if found != digits {
                let names: Vec<_> = digits.iter().map(|d| format!("\"{d}\"")).collect();
                return Err(item.complain(format!(
                    "the code of {key} is fixed, expected {}",
                    names.join(" and ")
                )));
            }
        }
        taken.extend(digits.iter().map(|&digit| (digit, key)));
    }

    let free: [(&'static str, &mut char); 6] = [
        ("monitor", &mut codes.monitor),
        ("whisper_caller", &mut codes.whisper_caller),
        ("hang_up", &mut codes.hang_up),
        ("next", &mut codes.next),
        ("accept_help", &mut codes.accept_help),
        ("status", &mut codes.status),
    ];
    for (key, code) in free {
        match table.take(key) {
            Some(item) => {
                *code = digit(&item)?;
                written.push((*code, key, item));
            }
            // Defaults are taken first, so that a complaint falls on a line of the file.
            None => taken.push((*code, key)),
        }
    }
    for (digit, key, item) in written {
        if let Some((_, other)) = taken.iter().find(|(other, _)| *other == digit) {
            return Err(item.complain(format!(
                "\"{digit}\" is already the code of {other}, expected a digit that is free"
            )));
        }
        taken.push((digit, key));
    }
    table.finish()?;
    Ok(codes)
}

fn digit(item: &Item) -> Result<char, Complaint> {
    let expected = "one digit, \"0\" to \"9\"";
    let mut chars = item.text(expected)?.chars();
    match (chars.next(), chars.next()) {
        (Some(digit @ '0'..='9'), None) => Ok(digit),
        _ => Err(item.expected(expected)),
    }
}
