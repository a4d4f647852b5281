//! One organisation, pool, agent or supervisor put in, put anew or taken out: checked by the same
//! rules as a whole people.toml.

use std::fmt;

use crate::edge::people::{Organisation, People, Secret, Version, entries};
use crate::wire::document::{Complaint, Table};

/// Why people stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// There is none of that name.
    #[error("there is no such organisation or person")]
    NotFound,
    /// It was to be made, and is there already.
    #[error("{0} is there already")]
    Exists(String),
    /// It is no longer as the one who changes it has seen it; `None`: it is gone.
    #[error("{name} was changed meanwhile")]
    Changed { name: String, now: Option<Version> },
    /// `devices: expected …, found …`
    #[error("{}", Told(.0))]
    Wrong(#[from] Complaint),
    /// Others refer to it.
    #[error("{0}")]
    InUse(String),
}

/// A complaint about what was given by itself: there is no file to name.
struct Told<'a>(&'a Complaint);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.place.as_str() {
            "" => f.write_str(&self.0.message),
            place => write!(f, "{place}: {}", self.0.message),
        }
    }
}

/// A secret as an edit gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// The table has a new one, or what there is stays.
    #[default]
    Keep,
    Remove,
}

impl Wish {
    fn over(self, old: Option<Secret>, new: &mut Option<Secret>) {
        match (self, &new) {
            (Self::Keep, None) => *new = old,
            (Self::Keep, Some(_)) => {}
            (Self::Remove, _) => *new = None,
        }
    }
}

/// What becomes of a supervisor's secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SupervisorWishes {
    pub sip_password: Wish,
    pub pin: Wish,
    pub password: Wish,
}

impl People {
    fn organisation(&mut self, id: &str) -> Result<&mut Organisation, EditError> {
        self.organisations.get_mut(id).ok_or(EditError::NotFound)
    }

    /// The table says who it is; `id` is the same. People of an organisation that is there stay.
    pub fn put_organisation(&mut self, id: &str, table: Table) -> Result<(), EditError> {
        let old = self.organisations.remove(id);
        let mut entered = entries::organisation(table, self);
        if let (Ok(()), Some(old), Some(new)) = (&entered, &old, self.organisations.get(id))
            && let Some(number) = new
                .supervising_numbers
                .iter()
                .find(|number| old.agents.contains_key(*number))
        {
            let expected = "a number that is not an agent's extension";
            entered = Err(expected_at("supervising_numbers", expected, number));
        }
        match (entered, old) {
            (Err(complaint), old) => {
                if let Some(old) = old {
                    self.organisations.insert(id.to_owned(), old);
                }
                Err(complaint.into())
            }
            (Ok(()), Some(old)) => {
                let new = self.organisation(id)?;
                new.pools = old.pools;
                new.agents = old.agents;
                new.supervisors = old.supervisors;
                Ok(())
            }
            (Ok(()), None) => Ok(()),
        }
    }

    pub fn put_pool(&mut self, id: &str, name: &str, table: Table) -> Result<(), EditError> {
        let old = self.organisation(id)?.pools.remove(name);
        let entered = entries::pool(table, self);
        if entered.is_err()
            && let Some(old) = old
        {
            let pools = &mut self.organisation(id)?.pools;
            pools.insert(name.to_owned(), old);
        }
        Ok(entered?)
    }

    pub fn put_agent(
        &mut self,
        id: &str,
        extension: &str,
        table: Table,
        password: Wish,
    ) -> Result<(), EditError> {
        let old = self.organisation(id)?.agents.remove(extension);
        if old.is_none() {
            self.no_administrator_is("extension", extension)?;
        }
        let entered = entries::agent(table, self);
        let agents = &mut self.organisation(id)?.agents;
        if let Err(complaint) = entered {
            if let Some(old) = old {
                agents.insert(extension.to_owned(), old);
            }
            return Err(complaint.into());
        }
        if let Some(new) = agents.get_mut(extension) {
            password.over(old.and_then(|old| old.password), &mut new.password);
        }
        Ok(())
    }

    pub fn put_supervisor(
        &mut self,
        id: &str,
        user: &str,
        table: Table,
        wishes: SupervisorWishes,
    ) -> Result<(), EditError> {
        let old = self.organisation(id)?.supervisors.remove(user);
        if old.is_none() {
            self.no_administrator_is("user", user)?;
        }
        let entered = entries::supervisor(table, self);
        let supervisors = &mut self.organisation(id)?.supervisors;
        if let Err(complaint) = entered {
            if let Some(old) = old {
                supervisors.insert(user.to_owned(), old);
            }
            return Err(complaint.into());
        }
        if let Some(new) = supervisors.get_mut(user) {
            let (sip_password, pin, password) = match old {
                Some(old) => (old.sip_password, old.pin, old.password),
                None => (None, None, None),
            };
            wishes
                .sip_password
                .over(sip_password, &mut new.sip_password);
            wishes.pin.over(pin, &mut new.pin);
            wishes.password.over(password, &mut new.password);
        }
        Ok(())
    }

    /// Nobody new signs in as an administrator does.
    fn no_administrator_is(&self, place: &str, name: &str) -> Result<(), Complaint> {
        match self.administrators.contains(name) {
            true => Err(expected_at(
                place,
                "a name that no administrator signs in with",
                name,
            )),
            false => Ok(()),
        }
    }

    /// An organisation goes when nobody is left in it.
    pub fn remove_organisation(&mut self, id: &str) -> Result<(), EditError> {
        let organisation = self.organisation(id)?;
        let left = organisation.supervisors.len() + organisation.agents.len();
        if left + organisation.pools.len() > 0 {
            let text = format!(
                "{id} still has supervisors ({}), agents ({}) and pools ({}); remove them first",
                organisation.supervisors.len(),
                organisation.agents.len(),
                organisation.pools.len()
            );
            return Err(EditError::InUse(text));
        }
        self.organisations.remove(id);
        Ok(())
    }

    /// A pool goes when it has neither agents nor supervisors.
    pub fn remove_pool(&mut self, id: &str, name: &str) -> Result<(), EditError> {
        let organisation = self.organisation(id)?;
        if !organisation.pools.contains_key(name) {
            return Err(EditError::NotFound);
        }
        let has = |pools: &[String]| pools.iter().any(|pool| pool == name);
        let agents = organisation.agents.iter();
        let agents = agents
            .filter(|(_, agent)| has(&agent.pools))
            .map(|(n, _)| n);
        let supervisors = organisation.supervisors.iter();
        let supervisors = supervisors.filter(|(_, s)| has(&s.pools)).map(|(n, _)| n);
        let members: Vec<&str> = agents.chain(supervisors).map(String::as_str).collect();
        if !members.is_empty() {
            return Err(EditError::InUse(format!(
                "pool {name} still has {}; take them out first",
                some_of(&members)
            )));
        }
        organisation.pools.remove(name);
        Ok(())
    }

    /// An agent goes when no supervisor is the same person.
    pub fn remove_agent(&mut self, id: &str, extension: &str) -> Result<(), EditError> {
        let organisation = self.organisation(id)?;
        if !organisation.agents.contains_key(extension) {
            return Err(EditError::NotFound);
        }
        let supervisors = organisation.supervisors.iter();
        let same: Vec<&str> = supervisors
            .filter(|(_, supervisor)| supervisor.agent.as_deref() == Some(extension))
            .map(|(user, _)| user.as_str())
            .collect();
        if !same.is_empty() {
            return Err(EditError::InUse(format!(
                "agent {extension} is the supervisor {}; change that first",
                some_of(&same)
            )));
        }
        organisation.agents.remove(extension);
        Ok(())
    }

    pub fn remove_supervisor(&mut self, id: &str, user: &str) -> Result<(), EditError> {
        let supervisors = &mut self.organisation(id)?.supervisors;
        supervisors.remove(user).ok_or(EditError::NotFound)?;
        Ok(())
    }
}

/// A complaint about a field that was given by itself.
fn expected_at(place: &str, expected: &str, found: &str) -> Complaint {
    Complaint {
        file: "".into(),
        line: 0,
        place: place.to_owned(),
        message: format!("expected {expected}, found {found:?}"),
    }
}

/// The first few of a list that may be long.
fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::people::Agent;
    use crate::wire::document::Given;

    fn people() -> People {
        let text = r#"
            [[organisation]]
            id = "acme"
            name = "Acme"
            [[pool]]
            organisation = "acme"
            name = "support"
            [[agent]]
            organisation = "acme"
            extension = "204"
            name = "Aino"
            pools = ["support"]
            password = "secret"
            [[supervisor]]
            organisation = "acme"
            user = "mia"
            name = "Mia"
            phone = "+358401234567"
            agent = "204"
        "#;
        People::parse("people.toml", text, &|_| None).unwrap()
    }

    fn agent(extension: &str, rest: &[(&'static str, Given)]) -> Table {
        let text = |text: &str| Given::Text(text.to_owned());
        let mut entries = vec![
            ("organisation", text("acme")),
            ("extension", text(extension)),
            ("name", text("Aino A.")),
        ];
        entries.extend(rest.iter().cloned());
        Table::of("", 0, entries)
    }

    fn aino(people: &People) -> &Agent {
        &people.organisations["acme"].agents["204"]
    }

    #[test]
    fn an_agent_put_anew_keeps_the_password_that_is_not_named() {
        let mut people = people();

        people
            .put_agent("acme", "204", agent("204", &[]), Wish::Keep)
            .unwrap();

        assert_eq!(aino(&people).name, "Aino A.");
        assert_eq!(aino(&people).password, Some(Secret::Given("secret".into())));
        assert!(aino(&people).pools.is_empty());

        people
            .put_agent("acme", "204", agent("204", &[]), Wish::Remove)
            .unwrap();
        assert_eq!(aino(&people).password, None);
    }

    #[test]
    fn what_is_wrong_leaves_people_as_they_were_and_names_the_field() {
        let mut people = people();
        let before = people.clone();

        let table = agent("204", &[("pools", Given::List(vec!["sales".into()]))]);
        let error = people.put_agent("acme", "204", table, Wish::Keep);

        let text = error.unwrap_err().to_string();
        assert!(
            text.starts_with("pools: expected a list of pools"),
            "{text}"
        );
        assert!(text.ends_with("found \"sales\""), "{text}");
        assert_eq!(people, before);
    }

    #[test]
    fn what_others_refer_to_stays() {
        let mut people = people();

        for refused in [
            people.remove_organisation("acme"),
            people.remove_pool("acme", "support"),
            people.remove_agent("acme", "204"),
        ] {
            assert!(matches!(refused, Err(EditError::InUse(_))), "{refused:?}");
        }
        people.remove_supervisor("acme", "mia").unwrap();
        people.remove_agent("acme", "204").unwrap();
        people.remove_pool("acme", "support").unwrap();
        people.remove_organisation("acme").unwrap();
        assert_eq!(people, People::default());
    }

    #[test]
    fn nobody_is_found_where_nobody_is() {
        let mut people = people();

        for missing in [
            people.remove_organisation("umbrella"),
            people.remove_pool("acme", "sales"),
            people.remove_agent("acme", "205"),
            people.remove_supervisor("umbrella", "mia"),
            people.put_agent("umbrella", "204", agent("204", &[]), Wish::Keep),
        ] {
            assert!(matches!(missing, Err(EditError::NotFound)), "{missing:?}");
        }
    }
}
