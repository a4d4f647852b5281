//! The four kinds of tables in people.toml. Each is read after those that it refers to.

use crate::control::directory::{AgentNotice, Permissions};
use crate::edge::people::{
    Agent, MIN_PASSWORD, Organisation, People, Pool, Secret, Supervisor, e164, is_country, is_name,
};
use crate::wire::document::{Complaint, Item, Table};

const ID: &str = "a name of letters, digits, '-', '_' or '.'";
const NAME: &str = "a name of at most 100 characters, without control characters";

pub(super) fn organisations(root: &mut Table, people: &mut People) -> Result<(), Complaint> {
    for table in root.tables("organisation")? {
        organisation(table, people)?;
    }
    Ok(())
}

/// Takes one organisation in. It must not be there yet; so with those below.
pub(super) fn organisation(mut table: Table, people: &mut People) -> Result<(), Complaint> {
    table.declare(&[
        "id",
        "name",
        "supervising_numbers",
        "supervision",
        "agent_notice",
        "help_keys",
    ]);
    let id_item = table.require("id", ID)?;
    let id = word(&id_item, ID)?;
    if people.organisations.contains_key(&id) {
        return Err(id_item.expected("an id that no other organisation has"));
    }
    let name = name(&mut table)?;
    let supervising_numbers = match table.take("supervising_numbers") {
        Some(item) => supervising_numbers(&item, people)?,
        None => Vec::new(),
    };
    let organisation = Organisation {
        name,
        supervising_numbers,
        supervision: flag(&mut table, "supervision")?,
        agent_notice: agent_notice(&mut table)?,
        help_keys: flag(&mut table, "help_keys")?,
        pools: Default::default(),
        agents: Default::default(),
        supervisors: Default::default(),
    };
    table.finish()?;
    people.organisations.insert(id, organisation);
    Ok(())
}

pub(super) fn pools(root: &mut Table, people: &mut People) -> Result<(), Complaint> {
    for table in root.tables("pool")? {
        pool(table, people)?;
    }
    Ok(())
}

pub(super) fn pool(mut table: Table, people: &mut People) -> Result<(), Complaint> {
    table.declare(&["organisation", "name", "agent_notice"]);
    let organisation = organisation_of(&mut table, people)?;
    let name_item = table.require("name", ID)?;
    let pool = Pool {
        agent_notice: agent_notice(&mut table)?,
    };
    if organisation
        .pools
        .insert(word(&name_item, ID)?, pool)
        .is_some()
    {
        return Err(name_item.expected("a name that no other pool of the organisation has"));
    }
    table.finish()
}

pub(super) fn agents(root: &mut Table, people: &mut People) -> Result<(), Complaint> {
    for table in root.tables("agent")? {
        agent(table, people)?;
    }
    Ok(())
}

pub(super) fn agent(mut table: Table, people: &mut People) -> Result<(), Complaint> {
    table.declare(&[
        "organisation",
        "extension",
        "name",
        "pools",
        "contact",
        "agent_notice",
        "password",
    ]);
    let extension_item = table.require("extension", ID)?;
    let extension = word(&extension_item, ID)?;
    let password = secret(&mut table, "password")?;
    if password.is_some() {
        sip_user_is_free(&extension_item, &extension, people)?;
    }
    extension_is_free(&extension_item, &extension, people)?;

    let organisation = organisation_of(&mut table, people)?;
    let agent = Agent {
        name: name(&mut table)?,
        pools: pools_of(&mut table, organisation)?,
        contact: match table.take("contact") {
            Some(item) => Some(sip_uri(&item)?),
            None => None,
        },
        agent_notice: agent_notice(&mut table)?,
        password,
    };
    organisation.agents.insert(extension, agent);
    table.finish()
}

pub(super) fn supervisors(root: &mut Table, people: &mut People) -> Result<(), Complaint> {
    for table in root.tables("supervisor")? {
        supervisor(table, people)?;
    }
    Ok(())
}

pub(super) fn supervisor(mut table: Table, people: &mut People) -> Result<(), Complaint> {
    table.declare(&[
        "organisation",
        "user",
        "name",
        "phone",
        "default_country",
        "devices",
        "agent",
        "sip_password",
        "pin",
        "password",
        "pools",
        "may",
        "language",
    ]);
    let user_item = table.require("user", ID)?;
    let user = word(&user_item, ID)?;
    let sip_password = secret(&mut table, "sip_password")?;
    if sip_password.is_some() {
        sip_user_is_free(&user_item, &user, people)?;
    }

    let language = match table.take("language") {
        Some(item) => Some(language(&item, &people.languages)?),
        None => None,
    };
    let organisation = organisation_of(&mut table, people)?;
    let default_country = match table.take("default_country") {
        Some(item) => Some(country(&item)?),
        None => None,
    };
    let phone_item = table.require("phone", "the one registered phone, E.164")?;
    let phone = e164(&phone_item, default_country.as_deref())?;
    if organisation.supervisors.values().any(|s| s.phone == phone) {
        return Err(phone_item.expected("a number that no other supervisor has"));
    }
    let supervisor = Supervisor {
        name: name(&mut table)?,
        phone,
        devices: match table.take("devices") {
            Some(item) => devices(&item, default_country.as_deref())?,
            None => Vec::new(),
        },
        agent: match table.take("agent") {
            Some(item) => Some(agent_of(&item, organisation)?),
            None => None,
        },
        sip_password,
        pin: match table.take("pin") {
            Some(item) => Some(pin(&item)?),
            None => None,
        },
        password: match table.take("password") {
            Some(item) => Some(password(&item)?),
            None => None,
        },
        pools: pools_of(&mut table, organisation)?,
        may: match table.take("may") {
            Some(item) => permissions(&item)?,
            None => Permissions::default(),
        },
        language,
        default_country,
    };
    if organisation.supervisors.insert(user, supervisor).is_some() {
        return Err(user_item.expected("a user that no other supervisor of the organisation is"));
    }
    table.finish()
}

/// The organisation that a table belongs to; it stands in the same file.
fn organisation_of<'p>(
    table: &mut Table,
    people: &'p mut People,
) -> Result<&'p mut Organisation, Complaint> {
    let expected = "the id of an [[organisation]] of this file";
    let item = table.require("organisation", expected)?;
    let id = item.text(expected)?.to_owned();
    match people.organisations.get_mut(&id) {
        Some(organisation) => Ok(organisation),
        None => Err(item.expected(expected)),
    }
}

fn name(table: &mut Table) -> Result<String, Complaint> {
    let item = table.require("name", NAME)?;
    match item.text(NAME)? {
        name if is_name(name) => Ok(name.to_owned()),
        _ => Err(item.expected(NAME)),
    }
}

fn flag(table: &mut Table, key: &'static str) -> Result<bool, Complaint> {
    match table.take(key) {
        Some(item) => item.flag(),
        None => Ok(false),
    }
}

fn agent_notice(table: &mut Table) -> Result<Option<AgentNotice>, Complaint> {
    match table.take("agent_notice") {
        Some(item) => item
            .one_of(&[("tone", AgentNotice::Tone), ("silent", AgentNotice::Silent)])
            .map(Some),
        None => Ok(None),
    }
}

fn secret(table: &mut Table, key: &'static str) -> Result<Option<Secret>, Complaint> {
    match table.take(key) {
        Some(item) => Ok(Some(Secret::Given(
            item.secret("text that is not empty")?.to_owned(),
        ))),
        None => Ok(None),
    }
}

/// What can be part of a SIP URI and of an address of the API as it stands.
fn word(item: &Item, expected: &str) -> Result<String, Complaint> {
    let text = item.text(expected)?;
    let fits = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    match fits {
        true => Ok(text.to_owned()),
        false => Err(item.expected(expected)),
    }
}

fn supervising_numbers(item: &Item, people: &People) -> Result<Vec<String>, Complaint> {
    let expected = "a list of numbers that supervisors dial, such as \"800\"";
    let mut numbers = Vec::new();
    for entry in item.list(expected)? {
        let number = entry.text(expected)?;
        if !is_number(number) {
            return Err(entry.expected(expected));
        }
        let mut taken = people.organisations.values();
        if taken.any(|other| other.supervising_numbers.iter().any(|n| n == number))
            || numbers.iter().any(|n| n == number)
        {
            return Err(entry.expected("a number that is not yet a supervising number"));
        }
        if people
            .organisations
            .values()
            .any(|o| o.agents.contains_key(number))
        {
            return Err(entry.expected("a number that is not an agent's extension"));
        }
        numbers.push(number.to_owned());
    }
    Ok(numbers)
}

/// What can be dialled on a keypad, perhaps after a `+`.
fn is_number(text: &str) -> bool {
    let rest = text.strip_prefix('+').unwrap_or(text);
    let dialled = |b: u8| b.is_ascii_digit() || b == b'*';
    (1..=64).contains(&rest.len()) && rest.bytes().all(dialled)
}

/// Digits, perhaps after a `+`, or a name such as `supervise`.
fn is_dialled(text: &str) -> bool {
    let rest = text.strip_prefix('+').unwrap_or(text);
    (1..=64).contains(&rest.len())
        && rest
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.*".contains(&b))
}

/// One realm, so one name for one phone, whatever the organisation.
fn sip_user_is_free(item: &Item, user: &str, people: &People) -> Result<(), Complaint> {
    let taken = people.organisations.values().any(|organisation| {
        let agents = organisation.agents.iter();
        let supervisors = organisation.supervisors.iter();
        agents
            .map(|(name, agent)| (name, agent.password.is_some()))
            .chain(supervisors.map(|(name, s)| (name, s.sip_password.is_some())))
            .any(|(name, registers)| registers && name == user)
    });
    match taken {
        true => Err(item.expected("a name under which no other phone of this node registers")),
        false => Ok(()),
    }
}

/// A route looks an agent up by extension alone, so that one extension is one agent of the node.
/// Whose it is already is not told.
fn extension_is_free(item: &Item, extension: &str, people: &People) -> Result<(), Complaint> {
    let mut organisations = people.organisations.values();
    if organisations.any(|o| o.agents.contains_key(extension)) {
        return Err(item.expected("an extension that no other agent of this node has"));
    }
    let mut organisations = people.organisations.values();
    let supervises = |n: &String| n == extension;
    match organisations.any(|o| o.supervising_numbers.iter().any(supervises)) {
        true => Err(item.expected("an extension that is not a supervising number")),
        false => Ok(()),
    }
}

fn pools_of(table: &mut Table, organisation: &Organisation) -> Result<Vec<String>, Complaint> {
    let Some(item) = table.take("pools") else {
        return Ok(Vec::new());
    };
    let names: Vec<_> = organisation.pools.keys().map(String::as_str).collect();
    let expected = format!(
        "a list of pools of the organisation ({}), each once",
        names.join(", ")
    );
    let mut pools: Vec<String> = Vec::new();
    for entry in item.list(&expected)? {
        let pool = entry.text(&expected)?;
        if !names.contains(&pool) || pools.iter().any(|other| other == pool) {
            return Err(entry.expected(&expected));
        }
        pools.push(pool.to_owned());
    }
    Ok(pools)
}

fn agent_of(item: &Item, organisation: &Organisation) -> Result<String, Complaint> {
    let expected = "the extension of an [[agent]] of the organisation";
    match item.text(expected)? {
        extension if organisation.agents.contains_key(extension) => Ok(extension.to_owned()),
        _ => Err(item.expected(expected)),
    }
}

fn country(item: &Item) -> Result<String, Complaint> {
    let expected = "a country such as \"FI\" (ISO 3166, two letters)";
    let text = item.text(expected)?;
    match is_country(text) {
        true => Ok(text.to_owned()),
        false => Err(item.expected(expected)),
    }
}

/// One that is spoken: a sentence in any other would not be understood.
fn language(item: &Item, spoken: &[String]) -> Result<String, Complaint> {
    let expected = match spoken {
        [] => "a language such as \"en\"".to_owned(),
        spoken => format!(
            "a language that there are prompts in ({})",
            spoken.join(", ")
        ),
    };
    let language = word(item, &expected)?;
    match spoken.is_empty() || spoken.contains(&language) {
        true => Ok(language),
        false => Err(item.expected(&expected)),
    }
}

/// A SIP URI is dialled as it stands. A number is made E.164 where it can be; where it cannot, it
/// is an extension, and the routes will know it.
fn devices(item: &Item, country: Option<&str>) -> Result<Vec<String>, Complaint> {
    let expected = "a list of SIP URIs and telephone numbers, each once";
    let mut devices = Vec::new();
    for entry in item.list(expected)? {
        let text = entry.text(expected)?;
        let device = if text.contains(':') {
            sip_uri(entry)?
        } else if let Ok(number) = e164(entry, country) {
            number
        } else if is_dialled(text) {
            text.to_owned()
        } else {
            return Err(entry.expected(expected));
        };
        if devices.contains(&device) {
            return Err(entry.expected(expected));
        }
        devices.push(device);
    }
    Ok(devices)
}

fn sip_uri(item: &Item) -> Result<String, Complaint> {
    let expected = "a SIP URI such as \"sip:204@192.0.2.7:5060\"";
    let text = item.text(expected)?;
    let rest = text.strip_prefix("sip:").or(text.strip_prefix("sips:"));
    let fits = rest.is_some_and(|rest| {
        let host = rest.rsplit('@').next().unwrap_or_default();
        !host.is_empty()
            && !host.starts_with([':', ';'])
            && !rest.contains(|c: char| c.is_whitespace() || c.is_control() || "<>\"".contains(c))
    });
    match fits {
        true => Ok(text.to_owned()),
        false => Err(item.expected(expected)),
    }
}

fn pin(item: &Item) -> Result<Secret, Complaint> {
    let expected = "four to twelve digits";
    let text = item.secret(expected)?;
    match (4..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(Secret::Given(text.to_owned())),
        false => Err(item.complain(format!("expected {expected}"))),
    }
}

/// What opens console and API from anywhere is not short.
fn password(item: &Item) -> Result<Secret, Complaint> {
    let expected = format!("at least {MIN_PASSWORD} characters");
    let text = item.secret(&expected)?;
    match text.chars().count() >= MIN_PASSWORD {
        true => Ok(Secret::Given(text.to_owned())),
        false => Err(item.complain(format!("expected {expected}"))),
    }
}

fn permissions(item: &Item) -> Result<Permissions, Complaint> {
    let expected = "a list of \"monitor\", \"coach\", \"whisper_caller\", \"barge\", \
                    \"takeover\", \"hang_up\"";
    let mut may = Permissions::default();
    for entry in item.list(expected)? {
        match entry.text(expected)? {
            "monitor" => may.monitor = true,
            "coach" => may.coach = true,
            "whisper_caller" => may.whisper_caller = true,
            "barge" => may.barge = true,
            "takeover" => may.takeover = true,
            "hang_up" => may.hang_up = true,
            _ => return Err(entry.expected(expected)),
        }
    }
    Ok(may)
}
