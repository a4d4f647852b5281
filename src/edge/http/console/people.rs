//! The administrator's page of organisations, pools, agents and supervisors.

use askama::Template;
use axum::extract::State;

use crate::control::directory::{AgentNotice, Permissions};
use crate::edge::http::Web;
use crate::edge::http::console::agents::in_query;
use crate::edge::http::console::answer::{self, Answer};
use crate::edge::http::console::frame::{Frame, Place, initials};
use crate::edge::http::console::reader::administrator;
use crate::edge::http::console::visitor::Administrator;
use crate::edge::people::{Organisation, Supervisor};

#[derive(Template)]
#[template(path = "people.html")]
struct Page {
    frame: Frame,
    organisations: Vec<Org>,
}

struct Org {
    id: String,
    /// The id as part of an address.
    path: String,
    name: String,
    numbers: String,
    supervision: bool,
    help_keys: bool,
    notice: &'static str,
    pool_names: Vec<(String, String)>,
    agents: Vec<AgentRow>,
    supervisors: Vec<SupervisorRow>,
    /// People who are yet to be.
    blank_agent: AgentRow,
    blank_supervisor: SupervisorRow,
}

struct AgentRow {
    extension: String,
    path: String,
    name: String,
    initials: String,
    pools: String,
    contact: String,
    notice: &'static str,
}

struct SupervisorRow {
    user: String,
    path: String,
    name: String,
    initials: String,
    phone: String,
    country: String,
    agent: String,
    devices: String,
    pools: String,
    language: String,
    /// Every permission: its name, its words, and whether it is given.
    may: Vec<(&'static str, &'static str, bool)>,
}

/// `GET /people`.
pub async fn show(
    State(web): State<Web>,
    Administrator { viewer, tongue }: Administrator,
) -> Answer {
    let frame = administrator(&viewer, tongue, Place::People);
    let people = web.store.people().await;
    let people = people.map_err(|error| answer::refused(error.into()))?;
    let organisations = people.organisations.iter();
    let organisations = organisations.map(|(id, organisation)| org(&frame, id, organisation));
    Ok(answer::page(&Page {
        organisations: organisations.collect(),
        frame,
    }))
}

fn org(frame: &Frame, id: &str, organisation: &Organisation) -> Org {
    let pools: Vec<&str> = organisation.pools.keys().map(String::as_str).collect();
    let agents = organisation.agents.iter();
    let supervisors = organisation.supervisors.iter();
    Org {
        id: id.to_owned(),
        path: in_query(id),
        name: organisation.name.clone(),
        numbers: organisation.supervising_numbers.join(", "),
        supervision: organisation.supervision,
        help_keys: organisation.help_keys,
        notice: notice(organisation.agent_notice),
        agents: agents
            .map(|(extension, agent)| AgentRow {
                extension: extension.clone(),
                path: in_query(extension),
                name: agent.name.clone(),
                initials: initials(&agent.name),
                pools: agent.pools.join(", "),
                contact: agent.contact.clone().unwrap_or_default(),
                notice: notice(agent.agent_notice),
            })
            .collect(),
        supervisors: supervisors
            .map(|(user, entry)| supervisor(frame, user, entry))
            .collect(),
        blank_agent: AgentRow {
            extension: String::new(),
            path: String::new(),
            name: String::new(),
            initials: String::new(),
            pools: String::new(),
            contact: String::new(),
            notice: "",
        },
        blank_supervisor: SupervisorRow {
            user: String::new(),
            path: String::new(),
            name: String::new(),
            initials: String::new(),
            phone: String::new(),
            country: String::new(),
            agent: String::new(),
            devices: String::new(),
            pools: String::new(),
            language: String::new(),
            may: permissions(frame, Permissions::default()),
        },
        pool_names: pools
            .iter()
            .map(|pool| ((*pool).to_owned(), in_query(pool)))
            .collect(),
    }
}

/// What the choice of notices calls it.
fn notice(notice: Option<AgentNotice>) -> &'static str {
    notice.map_or("", AgentNotice::name)
}

fn supervisor(frame: &Frame, user: &str, entry: &Supervisor) -> SupervisorRow {
    SupervisorRow {
        user: user.to_owned(),
        path: in_query(user),
        name: entry.name.clone(),
        initials: initials(&entry.name),
        phone: entry.phone.clone(),
        country: entry.default_country.clone().unwrap_or_default(),
        agent: entry.agent.clone().unwrap_or_default(),
        devices: entry.devices.join(", "),
        pools: entry.pools.join(", "),
        language: entry.language.clone().unwrap_or_default(),
        may: permissions(frame, entry.may),
    }
}

fn permissions(frame: &Frame, may: Permissions) -> Vec<(&'static str, &'static str, bool)> {
    vec![
        ("monitor", frame.t("action.listen"), may.monitor),
        ("coach", frame.t("action.coach"), may.coach),
        (
            "whisper_caller",
            frame.t("action.whisper_caller"),
            may.whisper_caller,
        ),
        ("barge", frame.t("action.barge"), may.barge),
        ("takeover", frame.t("action.takeover"), may.takeover),
        ("hang_up", frame.t("action.hangup"), may.hang_up),
    ]
}
