//! Every role × everything else that happens to a call, one scenario for each cell.
//!
//! Each frame that leaves a shard is judged against `Role::hears` as in every scenario; what each
//! cell comes to is kept in `fixtures/tables/supervision.txt`, measured from the received audio.
//! `UPDATE_TABLES=1 cargo test --test sim grid` writes it anew; a change of behaviour is a line in
//! the diff.

use std::fmt::Write as _;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sottovoce::control::input::{Ask, Network, OperatorIdentity, Reply};
use sottovoce::control::snapshot::SessionState;

use crate::network::Impairment;
use crate::phone::How;
use crate::world::{AGENT, LEO, Line, MIA, PhoneId, SECOND_AGENT, World};

const WINDOW: Duration = Duration::from_millis(400);

/// What the supervisor has become when the event happens: keys after dialling in.
const ROLES: [(&str, Option<&str>); 6] = [
    ("none", None),
    ("monitor", Some("")),
    ("coach", Some("4#")),
    ("whisper_caller", Some("8#")),
    ("barge", Some("6#")),
    ("takeover", Some("1#")),
];

type Event = (&'static str, fn(&mut Scene));

const EVENTS: [Event; 26] = [
    ("agent holds", |scene| scene.hold(scene.agent)),
    ("agent resumes", |scene| scene.hold_and_resume(scene.agent)),
    ("customer holds", |scene| scene.hold(scene.customer)),
    ("customer resumes", |scene| {
        scene.hold_and_resume(scene.customer);
    }),
    ("agent hangs up", |scene| scene.world.hang_up(scene.agent)),
    ("customer hangs up", |scene| {
        scene.world.hang_up(scene.customer);
    }),
    ("supervisor hangs up", |scene| {
        if let Some(mia) = scene.mia {
            scene.world.hang_up(mia);
        }
    }),
    ("second supervisor joins", |scene| {
        scene.second_supervisor();
    }),
    ("second supervisor coaches", |scene| {
        let leo = scene.second_supervisor();
        scene.command(leo, "4#");
    }),
    ("second supervisor barges", |scene| {
        let leo = scene.second_supervisor();
        scene.command(leo, "6#");
    }),
    ("blind transfer", |scene| {
        let colleague = scene.world.add_home(SECOND_AGENT);
        scene.others.push(("colleague", colleague));
        scene.world.refer(scene.agent, SECOND_AGENT);
        scene.run(3_000);
    }),
    ("attended transfer", |scene| {
        let colleague = scene.world.add_home(SECOND_AGENT);
        scene.others.push(("colleague", colleague));
        let (consulted, _) = scene.world.agent_calls(SECOND_AGENT);
        scene.run(500);
        scene
            .world
            .refer_to(scene.agent, SECOND_AGENT, Some(consulted));
        scene.run(3_000);
        // Where the agent had left already there was nobody to transfer.
        if scene.world.line_of(colleague) == Line::Up {
            return;
        }
        scene.world.hang_up(colleague);
    }),
    ("next call, on another shard", |scene| {
        let colleague = scene.world.add_home(SECOND_AGENT);
        let caller = scene.world.add_phone();
        scene.others.push(("colleague", colleague));
        scene.others.push(("caller", caller));
        let number = "+358503334444";
        scene
            .world
            .invite(caller, number, SECOND_AGENT, Network::Internal);
        scene.run(1_000);
        if let Some(mia) = scene.mia {
            scene.command(mia, "3#");
            scene.run(2_000);
        }
    }),
    ("customer's key by event", |scene| {
        scene.key(scene.customer, How::Event);
    }),
    ("customer's key in-band", |scene| {
        scene.key(scene.customer, How::InBand);
    }),
    ("customer's key by INFO", |scene| {
        scene.key(scene.customer, How::Info);
    }),
    ("agent's key by event", |scene| {
        scene.key(scene.agent, How::Event)
    }),
    ("agent's key in-band", |scene| {
        scene.key(scene.agent, How::InBand)
    }),
    ("agent's key by INFO", |scene| {
        scene.key(scene.agent, How::Info)
    }),
    ("supervisor's key by event", |scene| {
        scene.supervisors_key(How::Event);
    }),
    ("supervisor's key in-band", |scene| {
        scene.supervisors_key(How::InBand);
    }),
    ("supervisor's key by INFO", |scene| {
        scene.supervisors_key(How::Info);
    }),
    ("supervisor's media stops, 35 s", |scene| {
        scene.supervisor_falls_silent(35);
    }),
    ("supervisor's media stops, 65 s", |scene| {
        scene.supervisor_falls_silent(65);
    }),
    ("help request closed", |scene| {
        let raise = Ask::RaiseHelp {
            call: None,
            agent: Some(AGENT.into()),
            reason: "".into(),
            comment: "".into(),
        };
        let mia = || OperatorIdentity::Supervisor("mia".into());
        let agent = || OperatorIdentity::Agent(AGENT.into());
        let Reply::Help { help, .. } = scene.world.ask(agent(), raise) else {
            return;
        };
        scene.world.ask(mia(), Ask::AcceptHelp { help });
        scene.world.ask(agent(), Ask::CloseHelp { help });
    }),
    ("call-me of another supervisor", |scene| {
        let leo = scene.world.add_home(LEO);
        scene.others.push(("leo", leo));
        let Some(call) = scene.world.snapshot().calls.first().map(|call| call.id) else {
            return;
        };
        let ask = Ask::CallMe {
            call,
            device: None,
            coaching_enabled: true,
        };
        scene
            .world
            .ask(OperatorIdentity::Supervisor("leo".into()), ask);
        scene.run(2_500);
        scene.command(leo, "1");
        scene.run(2_000);
    }),
];

struct Scene {
    world: World,
    customer: PhoneId,
    agent: PhoneId,
    mia: Option<PhoneId>,
    others: Vec<(&'static str, PhoneId)>,
}

impl Scene {
    fn new(keys: Option<&str>) -> Self {
        let mut world = World::new(1, Impairment::CLEAN);
        let (customer, agent) = world.converse();
        let mut scene = Self {
            world,
            customer,
            agent,
            mia: None,
            others: vec![("customer", customer), ("agent", agent)],
        };
        if let Some(keys) = keys {
            let mia = scene.world.supervise(MIA);
            scene.mia = Some(mia);
            scene.others.push(("mia", mia));
            scene.command(mia, keys);
        }
        scene
    }

    fn run(&mut self, milliseconds: u64) {
        self.world.run_for(Duration::from_millis(milliseconds));
    }

    fn command(&mut self, phone: PhoneId, keys: &str) {
        self.world.press(phone, keys, How::Event);
        self.run(180 * keys.len() as u64 + 1_500);
    }

    fn second_supervisor(&mut self) -> PhoneId {
        let leo = self.world.dial_in(LEO);
        self.others.push(("leo", leo));
        self.run(2_500);
        leo
    }

    fn hold(&mut self, phone: PhoneId) {
        self.world.reinvite(phone, "sendonly");
    }

    fn hold_and_resume(&mut self, phone: PhoneId) {
        self.hold(phone);
        self.run(1_500);
        self.world.reinvite(phone, "sendrecv");
    }

    fn supervisors_key(&mut self, how: How) {
        if let Some(mia) = self.mia {
            self.key(mia, how);
        }
    }

    /// One key; a supervisor's reaches nobody, whatever way it takes.
    fn key(&mut self, phone: PhoneId, how: How) {
        let parties = [self.customer, self.agent];
        let heard = |world: &World| parties.map(|party| world.phones[party.0].events_heard);
        let before = heard(&self.world);
        self.world.press(phone, "5", how);
        self.run(1_500);
        let after = heard(&self.world);
        let both_up = parties
            .iter()
            .all(|party| self.world.line_of(*party) == Line::Up);
        for (index, party) in parties.into_iter().enumerate() {
            let other_presses = phone != party && parties.contains(&phone);
            let told = after[index] > before[index];
            let expected = other_presses && how != How::InBand && both_up;
            assert_eq!(told, expected, "the key of {phone:?} for {party:?}");
        }
    }

    fn supervisor_falls_silent(&mut self, seconds: u64) {
        if let Some(mia) = self.mia {
            self.world.phones[mia.0].alive = false;
            self.run(seconds * 1_000);
        }
    }

    /// Who is heard by whom now, and what the sessions are.
    fn outcome(&mut self) -> String {
        self.run(1_500);
        let name = |phone: PhoneId| {
            let known = self.others.iter().find(|(_, known)| *known == phone);
            known.map_or("somebody", |(name, _)| name)
        };
        let mut text = String::new();
        for (listener, phone) in &self.others {
            let heard = match self.world.line_of(*phone) {
                Line::Up => {
                    let ears = self.world.ears_of(*phone, WINDOW);
                    let ears: Vec<&str> = ears.into_iter().map(name).collect();
                    match ears.is_empty() {
                        true => "nobody".to_owned(),
                        false => ears.join("+"),
                    }
                }
                _ => "gone".to_owned(),
            };
            write!(text, "{listener}: {heard}; ").expect("a string");
        }
        let sessions: Vec<String> = self
            .world
            .snapshot()
            .sessions
            .iter()
            .map(|session| match session.state {
                SessionState::Supervising(supervision) => supervision.name().to_owned(),
                other => format!("{other:?}").to_lowercase(),
            })
            .collect();
        match sessions.is_empty() {
            true => text + "no session",
            false => text + "session " + &sessions.join(", "),
        }
    }
}

#[test]
fn every_role_meets_every_event_as_the_table_says() {
    let cells: Vec<(Event, (&str, Option<&str>))> = EVENTS
        .into_iter()
        .flat_map(|event| ROLES.into_iter().map(move |role| (event, role)))
        .collect();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let outcomes = Mutex::new(vec![String::new(); cells.len()]);

    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(((event, happens), (role, keys))) = cells.get(index) else {
                        return;
                    };
                    let played = catch_unwind(|| {
                        let mut scene = Scene::new(*keys);
                        happens(&mut scene);
                        let outcome = scene.outcome();
                        scene.world.checks.assert_clean();
                        outcome
                    });
                    match played {
                        Ok(outcome) => {
                            outcomes.lock().expect("a lock of this test")[index] = outcome
                        }
                        Err(_) => failures
                            .lock()
                            .expect("a lock of this test")
                            .push(format!("{role} × {event}")),
                    }
                }
            });
        }
    });

    let failures = failures.into_inner().expect("a lock of this test");
    assert!(failures.is_empty(), "a promise is broken in {failures:#?}");
    let outcomes = outcomes.into_inner().expect("a lock of this test");
    let mut table = String::new();
    for (cell, outcome) in outcomes.iter().enumerate() {
        let ((event, _), (role, _)) = cells[cell];
        if cell % ROLES.len() == 0 {
            writeln!(table, "{event}").expect("a string");
        }
        writeln!(table, "    {role:<15} {outcome}").expect("a string");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tables/supervision.txt");
    if std::env::var_os("UPDATE_TABLES").is_some() {
        std::fs::write(&path, &table).expect("the table is written");
    }
    let kept = std::fs::read_to_string(&path).expect("the table is there");
    assert_eq!(
        table,
        kept,
        "the behaviour is not what {} says",
        path.display()
    );
}
