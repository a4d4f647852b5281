//! Outputs in a few words, for tables and for the messages of tests.

use crate::control::input::Identity;
use crate::control::output::{Output, Reason, SignalCommand, Target};
use crate::control::record::Record;
use crate::media::command::Command;
use crate::wire::sdp::SessionDescription;

/// An output in a few words; nothing of what changes from run to run.
pub fn describe(output: &Output) -> Option<String> {
    match output {
        Output::Signal { command, .. } => Some(describe_signal(command)),
        Output::Media { command, .. } => Some(
            match command {
                Command::Open { .. } => "Open",
                Command::Configure { .. } => "Configure",
                Command::OpenBridge { .. } => "OpenBridge",
                Command::Seat { .. } => "Seat",
                Command::Unseat { .. } => "Unseat",
                Command::CloseBridge { .. } => "CloseBridge",
                Command::SetMatrix { .. } => "SetMatrix",
                Command::Play { .. } => "Play",
                Command::StopPlay { .. } => "StopPlay",
                Command::WatchMedia { .. } => "WatchMedia",
                Command::PressKey { .. } => "PressKey",
                Command::Close { .. } => "Close",
                Command::Convene { .. }
                | Command::Dissolve { .. }
                | Command::ListenForKeys { .. }
                | Command::ArmSeatFault { .. } => "supervision",
            }
            .into(),
        ),
        Output::Record { record, .. } => match record {
            Record::CallStarted(_) => Some("CallStarted".into()),
            Record::CallAnswered { .. } => Some("CallAnswered".into()),
            Record::CallEnded { cause, .. } => Some(format!("CallEnded({cause})")),
            _ => Some("record".into()),
        },
        Output::Move { .. }
        | Output::CheckPin { .. }
        | Output::Reply { .. }
        | Output::Notify(_) => None,
    }
}

pub fn describe_signal(command: &SignalCommand) -> String {
    let reason = |reason: &Option<Reason>| match reason {
        Some(reason) => format!(" [{} {}: {}]", reason.protocol, reason.cause, reason.text),
        None => String::new(),
    };
    let way = |sdp: &SessionDescription| {
        sdp.audio()
            .map_or("?".into(), |audio| format!("{:?}", audio.direction))
            .to_lowercase()
    };
    match command {
        SignalCommand::Ring => "180".into(),
        SignalCommand::Progress { status, sdp } => format!("{status} {}", way(sdp)),
        SignalCommand::Answer { sdp } => format!("200 {}", way(sdp)),
        SignalCommand::Reject { status, reason: r } => format!("{status}{}", reason(r)),
        SignalCommand::Dial(dial) => match &dial.target {
            Target::Uri(uri) => format!("INVITE {uri}"),
            Target::Trunk { name, number } => format!("INVITE {number} by {name}"),
            Target::Registered(Identity::Agent { extension, .. }) => format!("INVITE {extension}"),
            Target::Registered(Identity::Supervisor { user, .. }) => format!("INVITE {user}"),
        },
        SignalCommand::Cancel { reason: r } => format!("CANCEL{}", reason(r)),
        SignalCommand::HangUp { reason: r } => format!("BYE{}", reason(r)),
        SignalCommand::Reinvite { sdp, .. } => {
            format!("re-INVITE {}", sdp.as_ref().map(way).unwrap_or_default())
        }
        SignalCommand::AcceptReinvite { sdp, .. } => format!("re-200 {}", way(sdp)),
        SignalCommand::RefuseReinvite { status, .. } => format!("re-{status}"),
        SignalCommand::AcceptRefer { .. } => "REFER 202".into(),
        SignalCommand::RefuseRefer { status, .. } => format!("REFER {status}"),
        SignalCommand::NotifyRefer { status, last, .. } => match last {
            true => format!("NOTIFY {status}, last"),
            false => format!("NOTIFY {status}"),
        },
    }
}
