//! The administrator's page of organisations, pools, agents and supervisors.

use askama::Template;
use axum::extract::State;

use crate::control::directory::{AgentNotice, Permissions};
use crate::edge::http::Web;
use crate::edge::http::admin::locks::{self, Ban, BanKind};
use crate::edge::http::condition::tag;
use crate::edge::http::console::agents::in_query;
use crate::edge::http::console::answer::{self, Answer};
use crate::edge::http::console::frame::{Frame, Place, initials};
use crate::edge::http::console::help::short_time;
use crate::edge::http::console::reader::administrator;
use crate::edge::http::console::texts::Tongue;
use crate::edge::http::console::visitor::Administrator;
use crate::edge::people::{Organisation, Supervisor};

#[derive(Template)]
#[template(path = "people.html")]
struct Page {
    frame: Frame,
    organisations: Vec<Org>,
    /// Languages that supervisors may be spoken to in: code and name.
    languages: Vec<(String, String)>,
    locks: Vec<LockRow>,
}

/// Who may not sign in, or use their PIN, for a while.
struct LockRow {
    who: String,
    what: &'static str,
    from: String,
    until: String,
    at: String,
    /// What the API calls it.
    query: String,
}

struct Org {
    id: String,
    /// The id as part of an address.
    path: String,
    /// What the form has seen, as the API's `ETag` says it.
    version: String,
    name: String,
    numbers: String,
    supervision: bool,
    help_keys: bool,
    notice: &'static str,
    pools: Vec<PoolRow>,
    agents: Vec<AgentRow>,
    supervisors: Vec<SupervisorRow>,
    /// People who are yet to be.
    blank_agent: AgentRow,
    blank_supervisor: SupervisorRow,
}

struct PoolRow {
    name: String,
    path: String,
    version: String,
    notice: &'static str,
}

#[derive(Default)]
struct AgentRow {
    extension: String,
    path: String,
    version: String,
    has_password: bool,
    name: String,
    initials: String,
    pools: String,
    contact: String,
    notice: &'static str,
}

#[derive(Default)]
struct SupervisorRow {
    user: String,
    path: String,
    version: String,
    has_password: bool,
    has_sip_password: bool,
    has_pin: bool,
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
    let languages = web.languages.iter();
    let languages = languages.map(|code| (code.clone(), called(code))).collect();
    let locks = locks::listed(&web);
    Ok(answer::page(&Page {
        organisations: organisations.collect(),
        languages,
        locks: locks.into_iter().map(|ban| lock(&frame, ban)).collect(),
        frame,
    }))
}

fn org(frame: &Frame, id: &str, organisation: &Organisation) -> Org {
    let pools = organisation.pools.iter();
    let agents = organisation.agents.iter();
    let supervisors = organisation.supervisors.iter();
    Org {
        id: id.to_owned(),
        path: in_query(id),
        version: tag(&organisation.version()),
        name: organisation.name.clone(),
        numbers: organisation.supervising_numbers.join(", "),
        supervision: organisation.supervision,
        help_keys: organisation.help_keys,
        notice: notice(organisation.agent_notice),
        pools: pools
            .map(|(name, pool)| PoolRow {
                name: name.clone(),
                path: in_query(name),
                version: tag(&pool.version()),
                notice: notice(pool.agent_notice),
            })
            .collect(),
        agents: agents
            .map(|(extension, agent)| AgentRow {
                extension: extension.clone(),
                path: in_query(extension),
                version: tag(&agent.version()),
                has_password: agent.password.is_some(),
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
        blank_agent: AgentRow::default(),
        blank_supervisor: SupervisorRow {
            may: permissions(frame, Permissions::default()),
            ..SupervisorRow::default()
        },
    }
}

/// What its speakers call a language, where that is known.
fn called(code: &str) -> String {
    Tongue::from_code(code)
        .map_or(code, |tongue| tongue.name())
        .to_owned()
}

fn lock(frame: &Frame, ban: Ban) -> LockRow {
    let named = [
        ("user", &ban.user),
        ("address", &ban.address),
        ("organisation", &ban.organisation),
        ("trunk", &ban.trunk),
    ];
    let pairs = named
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", in_query(value.as_deref()?))));
    LockRow {
        query: pairs.collect::<Vec<_>>().join("&"),
        who: match (&ban.organisation, &ban.user) {
            (Some(organisation), Some(user)) => format!("{organisation}/{user}"),
            (None, Some(user)) => user.clone(),
            (_, None) => frame.t("people.lock_anybody").to_owned(),
        },
        what: match ban.kind {
            BanKind::SignIn => frame.t("people.lock_password"),
            BanKind::Pin => frame.t("people.pin"),
        },
        from: ban.address.or(ban.trunk).unwrap_or_default(),
        at: short_time(&ban.until),
        until: ban.until,
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
        version: tag(&entry.version()),
        has_password: entry.password.is_some(),
        has_sip_password: entry.sip_password.is_some(),
        has_pin: entry.pin.is_some(),
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
