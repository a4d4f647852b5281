//! From a target of call control to the ways on which an INVITE is sent.

use tokio_util::sync::CancellationToken;

use crate::control::output::{Dial, Target};
use crate::edge::sip::Shared;
use crate::edge::sip::settings::Account;
use crate::edge::sip::transport::{Flow, Unreachable};
use crate::edge::sip::uri::{SipUri, escape_user};

/// One INVITE to send. A registered phone has one for each of its contacts.
pub struct Way {
    /// Request-URI.
    pub uri: String,
    pub flow: Flow,
    pub account: Option<Account>,
    /// Requests of the dialog go where the phone speaks from.
    pub follow_source: bool,
}

/// The ways to a target, or the status that the caller is given.
pub async fn ways(shared: &Shared, dial: &Dial) -> Result<Vec<Way>, u16> {
    match &dial.target {
        Target::Uri(text) => {
            let uri = SipUri::parse(text).map_err(|_| 416_u16)?;
            let flow = reach(shared, &uri).await?;
            Ok(vec![Way {
                uri: uri.to_string(),
                flow,
                account: None,
                follow_source: false,
            }])
        }
        Target::Trunk { name, number } => {
            let trunk = shared
                .settings
                .trunks
                .iter()
                .find(|trunk| trunk.name == *name)
                .ok_or(503_u16)?;
            let mut uri = SipUri::parse(&trunk.uri).map_err(|_| 503_u16)?;
            let flow = reach(shared, &uri).await?;
            uri.user = Some(number.to_string());
            Ok(vec![Way {
                uri: uri.to_string(),
                flow,
                account: trunk.account.clone(),
                follow_source: false,
            }])
        }
        Target::Registered(identity) => {
            let mut ways = Vec::new();
            for binding in shared.registrar.bindings(identity) {
                let near = &binding.flow;
                // A phone that connected to us is not there to be connected to.
                if near
                    .closed
                    .as_ref()
                    .is_some_and(CancellationToken::is_cancelled)
                {
                    continue;
                }
                let reached = shared
                    .transports
                    .flow_to_peer(near.transport, near.peer, "", Some(near))
                    .await;
                match reached {
                    Ok(flow) => ways.push(Way {
                        uri: binding.uri,
                        flow,
                        account: None,
                        follow_source: true,
                    }),
                    Err(error) => tracing::debug!(%error, "a registered contact is out of reach"),
                }
            }
            // Known, but not there now.
            if ways.is_empty() { Err(480) } else { Ok(ways) }
        }
    }
}

async fn reach(shared: &Shared, uri: &SipUri) -> Result<Flow, u16> {
    shared.transports.flow_to(uri, None).await.map_err(|error| {
        tracing::warn!(%error, "a target is out of reach");
        match error {
            Unreachable::Transport | Unreachable::NoListener => 488,
            Unreachable::Resolve | Unreachable::Connect(_) => 503,
        }
    })
}

/// The From of an INVITE: the caller as the target is to see them, on this node.
pub fn from_value(dial: &Dial, flow: &Flow, tag: &str) -> String {
    match &dial.caller {
        Some(caller) => {
            let uri = own_uri(caller, flow);
            match dial.display_name.as_deref().filter(|name| !name.is_empty()) {
                Some(name) => format!("\"{}\" <{uri}>;tag={tag}", quoted(name)),
                None => format!("<{uri}>;tag={tag}"),
            }
        }
        // RFC 3323 §4.1.1.3.
        None => format!("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag={tag}"),
    }
}

/// A user of ours, at the address that the peer is told.
pub fn own_uri(user: &str, flow: &Flow) -> String {
    let host = match flow.sent_by.rsplit_once(':') {
        Some((host, _)) => host,
        None => &flow.sent_by,
    };
    format!("sip:{}@{host}", escape_user(user))
}

fn quoted(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_control())
        .flat_map(|c| match c {
            '"' | '\\' => vec!['\\', c],
            _ => vec![c],
        })
        .collect()
}
