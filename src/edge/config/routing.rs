//! `[[trunk]]` and `[[route]]`.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use regex::Regex;

use crate::control::input::Network;
use crate::control::settings::{Route, RouteTarget};
use crate::edge::config::{CallerId, Credentials, Places, Trunk};
use crate::wire::document::{Complaint, Item, Table};

const NAME: &str = "a name of letters, digits, '-', '_' or '.', other than \"agents\"";
const PEERS: &str = "a list of source addresses, such as \"192.0.2.7\" or \"192.0.2.0/24\"";
const URI: &str = "a SIP URI such as \"sip:192.0.2.7:5060\"";
const NUMBER: &str = "a regular expression";
const TARGET: &str = "\"agent\", \"trunk:NAME\" or \"pool:NAME\"";

pub(super) fn trunks(root: &mut Table, places: &mut Places) -> Result<Vec<Trunk>, Complaint> {
    let mut trunks: Vec<Trunk> = Vec::new();
    for mut table in root.tables("trunk")? {
        table.declare(&[
            "name",
            "peers",
            "uri",
            "caller_id",
            "network",
            "username",
            "password",
        ]);
        let name_item = table.require("name", NAME)?;
        let name = name_item.text(NAME)?.to_owned();
        let is_name = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if name.is_empty() || !is_name || name == "agents" {
            return Err(name_item.expected(NAME));
        }
        if trunks.iter().any(|trunk| trunk.name == name) {
            return Err(name_item.expected("a name that no other trunk has"));
        }

        let peers_item = table.require("peers", PEERS)?;
        let peers = peers(&peers_item)?;
        for (peer, entry) in peers.iter().zip(peers_item.list(PEERS)?) {
            if let Some(other) = trunks.iter().find(|trunk| trunk.peers.contains(peer)) {
                return Err(entry.expected(format!(
                    "an address that is not yet a peer of trunk {:?}",
                    other.name
                )));
            }
        }

        let uri_item = table.require("uri", URI)?;
        places.trunks.push(uri_item.place());
        let uri = uri_item.text(URI)?.to_owned();
        if !is_sip_uri(&uri) {
            return Err(uri_item.expected(URI));
        }

        let caller_id = match table.take("caller_id") {
            Some(item) => item.one_of(&[
                ("trusted", CallerId::Trusted),
                ("untrusted", CallerId::Untrusted),
                ("verstat", CallerId::Verstat),
                ("verify", CallerId::Verify),
            ])?,
            None => CallerId::Untrusted,
        };
        let network = match table.take("network") {
            Some(item) => item.one_of(&[
                ("internal", Network::Internal),
                ("external", Network::External),
            ])?,
            None => Network::External,
        };
        let credentials = credentials(&mut table)?;
        table.finish()?;
        trunks.push(Trunk {
            name,
            peers,
            uri,
            caller_id,
            network,
            credentials,
        });
    }
    Ok(trunks)
}

/// Where no route is written, every number is the agent with that extension.
pub(super) fn routes(root: &mut Table, trunks: &[Trunk]) -> Result<Vec<Route>, Complaint> {
    let mut tables = root.tables("route")?;
    if tables.is_empty() {
        let every = Regex::new("^.+$").map_err(|_| root.complain("expected a route"))?;
        return Ok(vec![Route {
            number: every,
            from: None,
            to: RouteTarget::Agent,
        }]);
    }

    let mut routes = Vec::with_capacity(tables.len());
    for mut table in tables.drain(..) {
        table.declare(&["number", "from", "to"]);
        let number_item = table.require("number", NUMBER)?;
        let number = Regex::new(number_item.filled_text(NUMBER)?).map_err(|error| {
            // The last line of a regex error says what is wrong; the others draw it.
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default();
            let reason = reason.trim_start_matches("error: ");
            number_item.complain(format!("expected {NUMBER}, {reason}"))
        })?;
        let from = match table.take("from") {
            Some(item) => Some(sources(&item, trunks)?),
            None => None,
        };
        let to = target(&table.require("to", TARGET)?, trunks)?;
        table.finish()?;
        routes.push(Route { number, from, to });
    }
    Ok(routes)
}

fn peers(item: &Item) -> Result<Vec<IpNet>, Complaint> {
    let entries = item.list(PEERS)?;
    if entries.is_empty() {
        return Err(item.complain(format!("expected {PEERS}, found an empty list")));
    }
    entries
        .iter()
        .map(|entry| {
            let text = entry.text(PEERS)?;
            IpAddr::from_str(text)
                .map(IpNet::from)
                .or_else(|_| IpNet::from_str(text).map(|net| net.trunc()))
                .map_err(|_| entry.expected(PEERS))
        })
        .collect()
}

fn credentials(table: &mut Table) -> Result<Option<Credentials>, Complaint> {
    match (table.take("username"), table.take("password")) {
        (None, None) => Ok(None),
        (Some(item), None) => Err(item.complain("expected password beside username")),
        (None, Some(item)) => Err(item.complain("expected username beside password")),
        (Some(username), Some(password)) => Ok(Some(Credentials {
            username: username.filled_text("a user name")?.to_owned(),
            password: password.secret("a password")?.to_owned(),
        })),
    }
}

fn sources(item: &Item, trunks: &[Trunk]) -> Result<Vec<Arc<str>>, Complaint> {
    let names: Vec<_> = trunks.iter().map(|trunk| trunk.name.as_str()).collect();
    let expected = format!("a list of \"agents\" and trunks ({})", names.join(", "));
    let entries = item.list(&expected)?;
    if entries.is_empty() {
        return Err(item.complain(format!("expected {expected}, found an empty list")));
    }
    entries
        .iter()
        .map(|entry| match entry.text(&expected)? {
            name if name == "agents" || names.contains(&name) => Ok(name.into()),
            _ => Err(entry.expected(&expected)),
        })
        .collect()
}

fn target(item: &Item, trunks: &[Trunk]) -> Result<RouteTarget, Complaint> {
    let text = item.text(TARGET)?;
    match text.split_once(':') {
        None if text == "agent" => Ok(RouteTarget::Agent),
        Some(("pool", name)) if !name.is_empty() => Ok(RouteTarget::Pool(name.into())),
        Some(("trunk", name)) => match trunks.iter().find(|trunk| trunk.name == name) {
            Some(trunk) => Ok(RouteTarget::Trunk {
                name: name.into(),
                external: trunk.network == Network::External,
            }),
            None => Err(item.expected("the name of a [[trunk]] of this file")),
        },
        _ => Err(item.expected(TARGET)),
    }
}

/// A scheme and a host, without whitespace. What else a URI may hold is the SIP stack's to judge.
fn is_sip_uri(uri: &str) -> bool {
    let rest = uri.strip_prefix("sip:").or(uri.strip_prefix("sips:"));
    rest.is_some_and(|rest| {
        let host = rest.rsplit('@').next().unwrap_or_default();
        !host.is_empty()
            && !host.starts_with([':', ';'])
            && !rest.contains(|c: char| c.is_whitespace() || "<>\"".contains(c))
    })
}
