//! Acme: agents 204 and 205 in the pool `support`, and `800` for supervisors.

use std::sync::Arc;

use crate::control::directory::{Agent, Organisation};
use crate::control::input::{CallerIdTrust, Identity, Network, Origin};

pub fn acme(help_keys: bool) -> Organisation {
    Organisation {
        id: "acme".into(),
        name: "Acme".into(),
        supervising_numbers: vec!["800".into()],
        supervision: true,
        agent_notice: None,
        help_keys,
    }
}

/// An agent; one without a contact registers.
pub fn agent(extension: &str, pool: &str, contact: Option<&str>) -> ((Arc<str>, Arc<str>), Agent) {
    let key = ("acme".into(), extension.into());
    let agent = Agent {
        organisation: "acme".into(),
        extension: extension.into(),
        name: extension.into(),
        pools: vec![pool.into()],
        contact: contact.map(Into::into),
        agent_notice: None,
    };
    (key, agent)
}

/// The trunk outside.
pub fn carrier() -> Origin {
    Origin::Trunk {
        name: "carrier".into(),
        network: Network::External,
        caller_id: CallerIdTrust::Trusted,
    }
}

/// The trunk inside.
pub fn pbx() -> Origin {
    Origin::Trunk {
        name: "pbx".into(),
        network: Network::Internal,
        caller_id: CallerIdTrust::Trusted,
    }
}

/// The phone of agent 205.
pub fn phone_205() -> Origin {
    Origin::Registered(Identity::Agent {
        organisation: "acme".into(),
        extension: "205".into(),
    })
}
