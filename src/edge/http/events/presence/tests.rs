use std::time::Duration;

use crate::control::directory::Agent;
use crate::edge::clock;

use super::*;

#[test]
fn presence_is_told_when_it_changes_and_not_at_the_first_look() {
    let mut ears = Ears::new(&["204", "301"]);
    let now = clock::now();

    assert!(ears.hear(&[], &[]).is_empty());
    assert_eq!(
        ears.hear(&[talking("204", now)], &["301"]),
        [
            ("204".into(), Presence::OnCall),
            ("301".into(), Presence::Idle)
        ]
    );
    assert!(ears.hear(&[talking("204", now)], &["301"]).is_empty());
    assert_eq!(
        ears.hear(&[], &[]),
        [
            ("204".into(), Presence::Unregistered),
            ("301".into(), Presence::Unregistered)
        ]
    );
}

/// A look at what changed tells what a look at everybody tells.
#[test]
fn whoever_changed_is_found_among_those_who_did_not() {
    let extensions: Vec<String> = (0..20).map(|n| format!("{}", 200 + n)).collect();
    let extensions: Vec<&str> = extensions.iter().map(String::as_str).collect();
    let begin = clock::now();
    let mut seed = fastrand::Rng::with_seed(7);
    let mut ears = Ears::new(&extensions);
    let mut fresh = Presences::default();
    ears.look(&[]);
    look(&mut fresh, &ears.directory, &[], &Arc::from([]));

    for step in 0..300 {
        let doing = extensions.iter().map(|extension| match seed.u8(..12) {
            0 => Some(ringing(extension)),
            since @ 1..3 => Some(talking(
                extension,
                begin + Duration::from_secs(since.into()),
            )),
            _ => None,
        });
        let engaged: Vec<AgentView> = doing.flatten().collect();
        // Other registrations, though of the same people, have everybody looked at.
        let all = look(&mut fresh, &ears.directory, &engaged, &Arc::from([]));
        assert_eq!(ears.look(&engaged), all, "step {step}");
    }
}

#[test]
fn an_agent_who_is_nobody_any_more_is_not_told_of() {
    let mut ears = Ears::new(&["204", "301"]);
    let now = clock::now();
    ears.hear(&[talking("204", now), talking("301", now)], &[]);

    ears.directory = directory(&["204"]);
    assert!(
        ears.look(&[talking("204", now), talking("301", now)])
            .is_empty()
    );
    assert_eq!(
        ears.look(&[]),
        [("204".into(), Presence::Unregistered)],
        "and 301, who rang out after he was removed, is nobody's news"
    );
}

/// Somebody who looks again and again.
struct Ears {
    presences: Presences,
    directory: Arc<Directory>,
    registrations: Arc<[Identity]>,
}

impl Ears {
    fn new(extensions: &[&str]) -> Self {
        Self {
            presences: Presences::default(),
            directory: directory(extensions),
            registrations: Arc::from([]),
        }
    }

    /// With registrations that are told anew.
    fn hear(&mut self, engaged: &[AgentView], registered: &[&str]) -> Vec<(String, Presence)> {
        self.registrations = registered
            .iter()
            .map(|extension| Identity::Agent {
                organisation: "acme".into(),
                extension: (*extension).into(),
            })
            .collect();
        self.look(engaged)
    }

    fn look(&mut self, engaged: &[AgentView]) -> Vec<(String, Presence)> {
        look(
            &mut self.presences,
            &self.directory,
            engaged,
            &self.registrations,
        )
    }
}

fn look(
    presences: &mut Presences,
    directory: &Arc<Directory>,
    engaged: &[AgentView],
    registrations: &Arc<[Identity]>,
) -> Vec<(String, Presence)> {
    let drafts = presences.look(directory, 0, engaged, registrations);
    let agents = drafts.into_iter().map(|draft| match draft.data {
        Data::Agent(agent) => (agent.extension, agent.presence),
        other => panic!("{other:?}"),
    });
    agents.collect()
}

fn directory(extensions: &[&str]) -> Arc<Directory> {
    let mut directory = Directory::default();
    for extension in extensions {
        directory.agents.insert(
            ("acme".into(), (*extension).into()),
            Agent {
                organisation: "acme".into(),
                extension: (*extension).into(),
                name: (*extension).into(),
                pools: Vec::new(),
                contact: None,
                agent_notice: None,
            },
        );
    }
    Arc::new(directory)
}

fn talking(extension: &str, since: Instant) -> AgentView {
    AgentView {
        organisation: "acme".into(),
        extension: extension.into(),
        presence: snapshot::Presence::OnCall { since },
    }
}

fn ringing(extension: &str) -> AgentView {
    AgentView {
        organisation: "acme".into(),
        extension: extension.into(),
        presence: snapshot::Presence::Ringing,
    }
}
