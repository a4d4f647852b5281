//! Agents with a fixed contact, by the address that they call from. Made anew when the directory
//! changes, so that a call costs one look.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::control::directory::Directory;
use crate::control::input::Origin;
use crate::edge::sip::uri::SipUri;

#[derive(Debug, Default)]
pub struct Contacts {
    by_address: BTreeMap<(IpAddr, String), Origin>,
}

impl Contacts {
    /// Contacts whose host is a name are left out: a source has an address only.
    pub fn of(directory: &Directory) -> Self {
        let mut by_address = BTreeMap::new();
        for agent in directory.agents.values() {
            let Some(contact) = agent
                .contact
                .as_deref()
                .and_then(|contact| SipUri::parse(contact).ok())
            else {
                continue;
            };
            let Some(address) = contact.ip() else {
                continue;
            };
            let origin = Origin::Contact {
                organisation: Arc::clone(&agent.organisation),
                extension: Arc::clone(&agent.extension),
            };
            let users = [Some(agent.extension.to_string()), contact.user];
            for user in users.into_iter().flatten() {
                by_address.insert((address.to_canonical(), user), origin.clone());
            }
        }
        Self { by_address }
    }

    /// The agent who calls from there and says to be that user.
    pub fn find(&self, source: IpAddr, user: &str) -> Option<Origin> {
        self.by_address.get(&(source, user.to_owned())).cloned()
    }
}
