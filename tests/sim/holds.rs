//! Who hears whom while one party holds the other, in every way to say so.
//!
//! What each cell comes to is kept in `fixtures/tables/holds.txt`, measured from the received
//! audio; `UPDATE_TABLES=1 cargo test --test sim holds` writes it anew. A role that is taken during
//! the hold comes to the same as one that was there before, and the resume undoes all of it.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use sottovoce::control::settings::Settings;

use crate::network::Impairment;
use crate::phone::How;
use crate::world::house::settings;
use crate::world::{MIA, PhoneId, World};

const WINDOW: Duration = Duration::from_millis(600);
/// Amplitude from which on the hold music counts as heard; its notes are struck at about 900.
const MUSIC: f32 = 150.0;

/// What the supervisor does on the call: keys after dialling in.
const ROLES: [(&str, Option<&str>); 5] = [
    ("none", None),
    ("monitor", Some("")),
    ("coach", Some("4#")),
    ("whisper_caller", Some("8#")),
    ("barge", Some("6#")),
];

#[derive(Clone, Copy)]
enum Holder {
    Agent,
    Customer,
}

/// How a phone holds: the direction that it names, and whether it sends sound of its own.
const WAYS: [(&str, &str, bool); 4] = [
    ("sendonly, with music of its own", "sendonly", true),
    ("sendonly, silent", "sendonly", false),
    ("inactive", "inactive", false),
    ("0.0.0.0", "0.0.0.0", false),
];

struct Scene {
    world: World,
    customer: PhoneId,
    agent: PhoneId,
    mia: Option<PhoneId>,
}

impl Scene {
    fn new(hear_held_customer: bool) -> Self {
        let settings = Settings {
            hear_held_customer,
            ..settings()
        };
        let mut world = World::with_settings(1, Impairment::CLEAN, settings);
        let (customer, agent) = world.converse();
        Self {
            world,
            customer,
            agent,
            mia: None,
        }
    }

    fn supervise(&mut self, keys: Option<&str>) {
        if let Some(keys) = keys {
            let mia = self.world.supervise(MIA);
            self.mia = Some(mia);
            self.world.press(mia, keys, How::Event);
            self.run(180 * keys.len() as u64 + 1_500);
        }
    }

    fn hold(&mut self, holder: Holder, direction: &'static str, sends: bool) {
        let phone = self.phone_of(holder);
        self.world.reinvite(phone, direction);
        self.world.phones[phone.0].alive = sends || direction == "inactive";
        // Our music begins two seconds after the holder was last heard.
        self.run(3_500);
    }

    fn resume(&mut self, holder: Holder) {
        let phone = self.phone_of(holder);
        self.world.phones[phone.0].alive = true;
        self.world.reinvite(phone, "sendrecv");
        self.run(1_500);
    }

    fn phone_of(&self, holder: Holder) -> PhoneId {
        match holder {
            Holder::Agent => self.agent,
            Holder::Customer => self.customer,
        }
    }

    fn run(&mut self, milliseconds: u64) {
        self.world.run_for(Duration::from_millis(milliseconds));
    }

    fn ears(&self) -> String {
        let everybody = [
            ("customer", Some(self.customer)),
            ("agent", Some(self.agent)),
            ("mia", self.mia),
        ];
        let ears = everybody.iter().filter_map(|(listener, phone)| {
            let phone = (*phone)?;
            let heard = self.world.ears_of(phone, WINDOW);
            let mut heard: Vec<&str> = everybody
                .iter()
                .filter(|(_, speaker)| speaker.is_some_and(|speaker| heard.contains(&speaker)))
                .map(|(name, _)| *name)
                .collect();
            if self.world.music_in(phone, WINDOW) > MUSIC {
                heard.push("music");
            }
            if heard.is_empty() {
                heard.push("nobody");
            }
            Some(format!("{listener}: {}", heard.join("+")))
        });
        ears.collect::<Vec<_>>().join("; ")
    }
}

#[test]
fn on_hold_every_ear_hears_what_the_table_says() {
    let mut table = String::new();
    for (whose, holder) in [("agent", Holder::Agent), ("customer", Holder::Customer)] {
        for (way, direction, sends) in WAYS {
            for policy in [false, true] {
                writeln!(table, "{whose} holds, {way}, hear_held_customer = {policy}")
                    .expect("a string");
                for (role, keys) in ROLES {
                    let mut scene = Scene::new(policy);
                    scene.supervise(keys);
                    let before = scene.ears();
                    scene.hold(holder, direction, sends);
                    let held = scene.ears();
                    scene.resume(holder);
                    assert_eq!(scene.ears(), before, "{whose}, {way}, {role}: resumed");
                    scene.world.checks.assert_clean();

                    let mut later = Scene::new(policy);
                    later.hold(holder, direction, sends);
                    later.supervise(keys);
                    assert_eq!(later.ears(), held, "{whose}, {way}, {role}: taken on hold");
                    later.resume(holder);
                    assert_eq!(
                        later.ears(),
                        before,
                        "{whose}, {way}, {role}: resumed after"
                    );

                    writeln!(table, "    {role:<15} {held}").expect("a string");
                }
            }
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tables/holds.txt");
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
