//! What is promised of the store, whatever database it stands on.

use std::sync::Arc;
use std::time::Duration;

use sottovoce::control::input::{Identity, StoreAnswer};
use sottovoce::control::record::{
    AuditRow, CallRow, Direction, HelpRow, HelpState, Outcome, Record, Source,
};
use sottovoce::control::refusal::ErrorCode;
use sottovoce::edge::config::DatabaseUrl;
use sottovoce::edge::people::People;
use sottovoce::edge::store::audit::{Selection, Verdict};
use sottovoce::edge::store::sign_ins::{Account, TokenHash};
use sottovoce::edge::store::users::Added;
use sottovoce::edge::store::{Lost, PinOutcome, Recorder, Store, StoreError};
use sottovoce::id::{CallId, HelpId, Language, RecordId, SessionId};
use tokio::sync::mpsc;

use crate::databases::Database;

pub const REALM: &str = "sottovoce.local";
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn facts_are_durable_before_they_are_reported(database: Database) {
    let store = database.store().await;
    let mut writer = Writer::start(&store);
    let (call, session, help) = (CallId(0xabc), SessionId(0xdef), HelpId(7));

    writer.hand_in(Record::CallStarted(call_row(call)));
    writer.hand_in(Record::CallAnswered { call });
    writer.hand_in(Record::SessionStarted {
        session,
        call,
        organisation: "acme".into(),
        supervisor: "mia".into(),
    });
    writer.hand_in(Record::Audit(AuditRow {
        role_before: Some("monitor"),
        role_after: Some("coach"),
        detail: Some("4#".into()),
        code: Some(ErrorCode::PupilGone),
        help_request: Some(help),
        ..audit_row("role")
    }));
    writer.hand_in(Record::Help(help_row(help, HelpState::Requested)));
    writer.hand_in(Record::Help(HelpRow {
        provided_by: Some("mia".into()),
        ..help_row(help, HelpState::InProgress)
    }));
    writer.hand_in(Record::Help(HelpRow {
        provided_by: Some("mia".into()),
        ..help_row(help, HelpState::Closed)
    }));
    writer.hand_in(Record::SessionEnded {
        session,
        cause: "hung up".into(),
    });
    writer.hand_in(Record::CallEnded {
        call,
        cause: "agent".into(),
    });
    writer.until_all_are_recorded().await;

    let rows = database
        .texts(
            "SELECT id, node, organisation, agent, pool, direction, from_number, to_number, \
             CAST(started_ms AS TEXT), CAST(answered_ms AS TEXT), CAST(ended_ms AS TEXT), cause \
             FROM calls",
        )
        .await;
    assert_eq!(
        rows,
        [[
            "abc",
            "node-1",
            "acme",
            "204",
            "support",
            "inbound",
            "+358501112222",
            "support",
            "1000",
            "1001",
            "1008",
            "agent"
        ]]
    );
    let rows = database
        .texts("SELECT id, call, supervisor, CAST(ended_ms AS TEXT), cause FROM sessions")
        .await;
    assert_eq!(rows, [["def", "abc", "mia", "1007", "hung up"]]);
    let rows = database
        .texts(
            "SELECT id, state, provided_by, CAST(requested_ms AS TEXT), \
             CAST(accepted_ms AS TEXT), CAST(ended_ms AS TEXT) FROM help_requests",
        )
        .await;
    assert_eq!(rows, [["7", "closed", "mia", "1004", "1005", "1006"]]);
    let audit = store.audit_page(&Selection::default(), 0).await.unwrap();
    assert_eq!(audit.len(), 1);
    assert_eq!((audit[0].seq, audit[0].at_ms), (1, 1003));
    assert_eq!(audit[0].code, Some(9013));
    assert_eq!(audit[0].role_after.as_deref(), Some("coach"));
    assert_eq!(audit[0].help_request.as_deref(), Some("7"));
}

pub const PEOPLE: &str = r#"
[[organisation]]
id = "acme"
name = "Acme"
supervising_numbers = ["800", "801"]
supervision = true
agent_notice = "silent"
help_keys = true

[[pool]]
organisation = "acme"
name = "support"
[[pool]]
organisation = "acme"
name = "sales"
agent_notice = "tone"

[[agent]]
organisation = "acme"
extension = "204"
name = "Aino"
pools = ["support", "sales"]
contact = "sip:204@127.0.0.3:5060"
[[agent]]
organisation = "acme"
extension = "205"
name = "Eino"
password = "desk phone"

[[supervisor]]
organisation = "acme"
user = "mia"
name = "Mia"
phone = "+358401234567"
default_country = "FI"
devices = ["sip:mia@127.0.0.3:5060", "+358401234567"]
agent = "204"
sip_password = "soft phone"
pin = "4711"
password = "console of mia"
pools = ["sales", "support"]
may = ["monitor", "takeover"]
language = "fi"
[[supervisor]]
organisation = "acme"
user = "ann"
name = "Ann"
phone = "+358407654321"
"#;

pub async fn the_same_people_twice_change_nothing(database: Database) {
    let store = database.store().await;

    let first = apply(&store, PEOPLE).await;
    let second = apply(&store, PEOPLE).await;

    assert_eq!(
        first,
        [
            "created organisation acme",
            "created pool acme/sales",
            "created pool acme/support",
            "created agent acme/204",
            "created agent acme/205",
            "created supervisor acme/ann",
            "created supervisor acme/mia",
        ]
    );
    assert!(second.is_empty(), "{second:?}");
    // Nothing that was typed is kept as it was typed.
    let kept = database
        .texts("SELECT pin_hash, password_hash FROM supervisors WHERE user_name = 'mia'")
        .await;
    assert!(kept[0].iter().all(|hash| hash.starts_with("$argon2id$")));
}

pub async fn what_the_file_no_longer_names_is_removed(database: Database) {
    let store = database.store().await;
    apply(&store, PEOPLE).await;
    apply(
        &store,
        &PEOPLE
            .replace("acme", "beta")
            .replace("80", "90")
            .replace("204", "304")
            .replace("205", "305")
            .replace("mia", "max"),
    )
    .await;

    let changed = PEOPLE
        .replace(
            "supervising_numbers = [\"800\", \"801\"]",
            "supervising_numbers = [\"801\"]",
        )
        .replace("pools = [\"support\", \"sales\"]", "pools = [\"support\"]")
        .replace("desk phone", "another")
        .replace("pin = \"4711\"\n", "")
        .replace("\"monitor\", \"takeover\"", "\"monitor\"");
    let (changed, _) = changed
        .split_once("[[supervisor]]\norganisation = \"acme\"\nuser = \"ann\"")
        .unwrap();
    let changes = apply(&store, changed).await;

    assert_eq!(
        changes,
        [
            "removed supervisor acme/ann",
            "changed organisation acme: supervising_numbers",
            "changed agent acme/204: pools",
            "changed agent acme/205: password",
            "changed supervisor acme/mia: pin, may",
        ]
    );
    let directory = store.load_directory(&[]).await.unwrap();
    assert_eq!(directory.supervisors.len(), 3, "beta's are still there");
    assert!(directory.organisation_of_number("800").is_none());
    let mia = ("acme".into(), "mia".into());
    assert!(!directory.supervisors[&mia].has_pin);
}

pub async fn people_come_back_as_control_wants_them(database: Database) {
    let store = database.store().await;
    apply(&store, PEOPLE).await;

    let languages = ["en".to_owned(), "fi".to_owned()];
    let directory = store.load_directory(&languages).await.unwrap();

    let acme = directory.organisation_of_number("801").unwrap();
    assert_eq!(
        (&*acme.id, acme.supervision, acme.help_keys),
        ("acme", true, true)
    );
    let key = |name: &str| -> (Arc<str>, Arc<str>) { ("acme".into(), name.into()) };
    let aino = &directory.agents[&key("204")];
    assert_eq!(aino.pools, ["support".into(), "sales".into()]);
    assert_eq!(aino.contact.as_deref(), Some("sip:204@127.0.0.3:5060"));
    assert!(directory.agents[&key("205")].contact.is_none());
    let mia = &directory.supervisors[&key("mia")];
    assert_eq!(mia.phone.as_deref(), Some("+358401234567"));
    assert_eq!(mia.pools, ["sales".into(), "support".into()]);
    assert_eq!(mia.devices.len(), 2);
    assert_eq!(mia.agent_extension.as_deref(), Some("204"));
    assert!(mia.has_pin && mia.may.takeover && !mia.may.barge);
    assert_eq!(mia.language, Language(1));
    assert_eq!(directory.supervisors[&key("ann")].language, Language(0));
    assert!(!directory.supervisors[&key("ann")].has_pin);
    // A language that was not loaded is spoken in the node's.
    let directory = store.load_directory(&["en".to_owned()]).await.unwrap();
    assert_eq!(directory.supervisors[&key("mia")].language, Language(0));
}

pub async fn phones_that_register_are_found_by_name(database: Database) {
    let store = database.store().await;
    apply(&store, PEOPLE).await;

    let desk = store.sip_credentials("205").await.unwrap().unwrap();
    let soft = store.sip_credentials("mia").await.unwrap().unwrap();

    assert_eq!(
        desk.who,
        Identity::Agent {
            organisation: "acme".into(),
            extension: "205".into()
        }
    );
    assert_eq!(
        soft.who,
        Identity::Supervisor {
            organisation: "acme".into(),
            user: "mia".into()
        }
    );
    // md5sum and sha256sum of "205:sottovoce.local:desk phone"
    assert_eq!((desk.ha1_md5.len(), desk.ha1_sha256.len()), (32, 64));
    assert_eq!(store.sip_credentials("204").await.unwrap(), None);
    assert_eq!(store.sip_credentials("nobody").await.unwrap(), None);
    // Another realm is another HA1, and no other password.
    let people = read(PEOPLE);
    let changes = store.apply(&people, "other.example", 1).await.unwrap();
    let changes: Vec<_> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        [
            "changed agent acme/205: password",
            "changed supervisor acme/mia: sip_password"
        ]
    );
    let moved = store.sip_credentials("205").await.unwrap().unwrap();
    assert_ne!(moved.ha1_md5, desk.ha1_md5);
}

pub async fn a_name_of_another_organisation_is_not_taken_away(database: Database) {
    let store = database.store().await;
    apply(&store, PEOPLE).await;
    let before = store.load_directory(&[]).await.unwrap();

    let number = "[[organisation]]\nid = \"beta\"\nname = \"B\"\nsupervising_numbers = [\"801\"]";
    let phone = "[[organisation]]\nid = \"beta\"\nname = \"B\"\n[[agent]]\norganisation = \"beta\"\n\
                 extension = \"205\"\nname = \"X\"";
    let softphone = "[[organisation]]\nid = \"beta\"\nname = \"B\"\n[[agent]]\n\
                     organisation = \"beta\"\nextension = \"mia\"\nname = \"X\"\npassword = \"x\"";
    for (text, expected) in [
        (
            number,
            "the supervising number \"801\" already belongs to organisation \"acme\"",
        ),
        (
            phone,
            "the extension \"205\" already belongs to organisation \"acme\"",
        ),
        (
            softphone,
            "the name under which a phone registers, \"mia\" already belongs to organisation \"acme\"",
        ),
    ] {
        let refused = store.apply(&read(text), REALM, 1).await.unwrap_err();
        assert_eq!(refused.to_string(), expected);
    }

    assert_eq!(store.load_directory(&[]).await.unwrap(), before);
}

pub async fn a_pin_is_right_wrong_or_not_set(database: Database) {
    let store = database.store().await;
    apply(&store, PEOPLE).await;
    let check = async |organisation: &str, user: &str, pin: &str| {
        store.verify_pin(organisation, user, pin).await.unwrap()
    };

    assert_eq!(check("acme", "mia", "4711").await, PinOutcome::Matches);
    assert_eq!(check("acme", "mia", "4712").await, PinOutcome::Wrong);
    assert_eq!(check("acme", "mia", "").await, PinOutcome::Wrong);
    assert_eq!(check("acme", "ann", "4711").await, PinOutcome::NotSet);
    assert_eq!(check("beta", "mia", "4711").await, PinOutcome::Unknown);
}

pub async fn passwords_are_set_outside_the_file_and_left_alone_by_it(database: Database) {
    let store = database.store().await;
    apply(&store, PEOPLE).await;

    let add = async |password| store.add_administrator("root", password, 1).await.unwrap();
    assert_eq!(add("one").await, Added::Made);
    assert_eq!(add("two").await, Added::Exists);
    assert!(
        store
            .set_administrator_password("root", "three", 2)
            .await
            .unwrap()
    );
    assert!(
        !store
            .set_administrator_password("toor", "three", 2)
            .await
            .unwrap()
    );
    assert!(
        store
            .set_supervisor_password("acme", "ann", "x", 2)
            .await
            .unwrap()
    );
    assert!(
        !store
            .set_supervisor_password("beta", "ann", "x", 2)
            .await
            .unwrap()
    );

    assert!(apply(&store, PEOPLE).await.is_empty());
}

pub async fn who_signs_in_is_known_by_the_token_until_it_expires(database: Database) {
    let store = database.store().await;
    apply(&store, PEOPLE).await;
    store.add_administrator("root", "one", 1).await.unwrap();
    store
        .set_supervisor_password("acme", "ann", "secret", 2)
        .await
        .unwrap();
    let ann = Account::Supervisor {
        organisation: "acme".into(),
        user: "ann".into(),
    };
    let root = Account::Administrator {
        user: "root".into(),
    };

    assert_eq!(store.accounts(None, "root", "one").await.unwrap(), [root]);
    assert_eq!(
        store.accounts(None, "ann", "secret").await.unwrap(),
        std::slice::from_ref(&ann)
    );
    assert_eq!(
        store.accounts(Some("acme"), "ann", "secret").await.unwrap(),
        std::slice::from_ref(&ann)
    );
    for (organisation, user, password) in [
        (None, "ann", "wrong"),
        (None, "nobody", "secret"),
        (Some("beta"), "ann", "secret"),
        (Some("acme"), "root", "one"),
    ] {
        let accounts = store.accounts(organisation, user, password).await.unwrap();
        assert!(accounts.is_empty(), "{organisation:?} {user}");
    }

    let (token, other) = (TokenHash::of("token"), TokenHash::of("other"));
    store.sign_in(&token, &ann, 1_000, 2_000).await.unwrap();

    assert_eq!(
        store.signed_in(&token, 1_999).await.unwrap(),
        Some(ann.clone())
    );
    assert_eq!(store.signed_in(&token, 2_000).await.unwrap(), None);
    assert_eq!(store.signed_in(&other, 1_000).await.unwrap(), None);

    store.sign_in(&other, &ann, 1_500, 9_000).await.unwrap();
    store.sign_out(&token).await.unwrap();

    assert_eq!(store.signed_in(&token, 1_500).await.unwrap(), None);
    assert_eq!(store.signed_in(&other, 1_500).await.unwrap(), Some(ann));
}

pub async fn an_untouched_audit_is_intact(database: Database) {
    let store = database.store().await;
    assert_eq!(
        store.verify_audit().await.unwrap(),
        Verdict::Intact { rows: 0 }
    );

    // More than a page of them.
    write_audit(&store, 1_203).await;

    assert_eq!(
        store.verify_audit().await.unwrap(),
        Verdict::Intact { rows: 1_203 }
    );
}

pub async fn the_first_altered_row_of_the_audit_is_named(database: Database) {
    let store = database.store().await;
    write_audit(&store, 20).await;
    // Each is undone before the next.
    let tampering = [
        (
            "UPDATE audit SET actor = 'eve' WHERE seq IN (7, 9)",
            "UPDATE audit SET actor = 'mia' WHERE seq IN (7, 9)",
            7,
            "it was altered",
        ),
        (
            "UPDATE audit SET code = 9001 WHERE seq = 20",
            "UPDATE audit SET code = NULL WHERE seq = 20",
            20,
            "it was altered",
        ),
        (
            "UPDATE audit SET hash = 'ff' || hash WHERE seq = 3",
            "UPDATE audit SET hash = substr(hash, 3) WHERE seq = 3",
            3,
            "it was altered",
        ),
        (
            "UPDATE audit SET seq = 1005 WHERE seq = 5",
            "UPDATE audit SET seq = 5 WHERE seq = 1005",
            5,
            "it is missing",
        ),
        (
            "UPDATE audit SET seq = 1020 WHERE seq = 20",
            "UPDATE audit SET seq = 20 WHERE seq = 1020",
            20,
            "it is missing",
        ),
        (
            "UPDATE audit_head SET hash = 'ff' || hash",
            "UPDATE audit_head SET hash = substr(hash, 3)",
            20,
            "the chain was computed anew",
        ),
    ];

    for (forge, undo, seq, why) in tampering {
        database.execute(forge).await;
        assert_eq!(
            store.verify_audit().await.unwrap(),
            Verdict::Altered { seq, why },
            "{forge}"
        );
        database.execute(undo).await;
        assert_eq!(
            store.verify_audit().await.unwrap(),
            Verdict::Intact { rows: 20 },
            "{undo}"
        );
    }
}

pub async fn two_writers_keep_one_chain(database: Database) {
    let one = database.store_of("node-1").await;
    let other = database.store_of("node-2").await;

    tokio::join!(write_audit(&one, 300), write_audit(&other, 300));

    assert_eq!(
        one.verify_audit().await.unwrap(),
        Verdict::Intact { rows: 600 }
    );
}

pub async fn what_a_crash_left_open_is_ended_with_an_honest_audit(database: Database) {
    let store = database.store().await;
    let elsewhere = database.store_of("node-2").await;
    let mut writer = Writer::start(&store);
    writer.hand_in(Record::CallStarted(call_row(CallId(1))));
    writer.hand_in(Record::CallStarted(call_row(CallId(2))));
    writer.hand_in(Record::CallEnded {
        call: CallId(2),
        cause: "agent".into(),
    });
    writer.hand_in(Record::SessionStarted {
        session: SessionId(9),
        call: CallId(1),
        organisation: "acme".into(),
        supervisor: "mia".into(),
    });
    writer.hand_in(Record::Help(help_row(HelpId(4), HelpState::Requested)));
    writer.hand_in(Record::Help(help_row(HelpId(5), HelpState::InProgress)));
    writer.until_all_are_recorded().await;
    let mut theirs = Writer::start(&elsewhere);
    theirs.hand_in(Record::CallStarted(call_row(CallId(3))));
    theirs.until_all_are_recorded().await;

    let ended = store.end_what_was_interrupted(5_000).await.unwrap();
    let again = store.end_what_was_interrupted(6_000).await.unwrap();

    assert_eq!((ended.calls, ended.sessions), (1, 1));
    assert_eq!((again.calls, again.sessions), (0, 0));
    let calls = database
        .texts("SELECT id, CAST(ended_ms AS TEXT), cause FROM calls ORDER BY id")
        .await;
    assert_eq!(
        calls,
        [
            ["1", "5000", "restart"],
            ["2", "1002", "agent"],
            ["3", "-", "-"]
        ]
    );
    let sessions = database
        .texts("SELECT CAST(ended_ms AS TEXT), cause FROM sessions")
        .await;
    assert_eq!(sessions, [["5000", "restart"]]);
    let help = database
        .texts("SELECT state FROM help_requests ORDER BY id")
        .await;
    assert_eq!(help, [["cancelled"], ["closed"]]);
    let audit = store.audit_page(&Selection::default(), 0).await.unwrap();
    let said: Vec<_> = audit
        .iter()
        .map(|row| {
            let call = row.call.as_deref().unwrap();
            (
                row.actor.as_str(),
                row.source.as_str(),
                row.action.as_str(),
                call,
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            ("system", "system", "session_ended", "1"),
            ("system", "system", "help_cancel", "abc"),
            ("system", "system", "help_close", "abc"),
            ("system", "system", "call_ended", "1")
        ]
    );
    assert_eq!(
        store.verify_audit().await.unwrap(),
        Verdict::Intact { rows: 4 }
    );
}

pub async fn a_locked_database_is_told_and_recovered_from(database: Database) {
    let store = database.store().await;
    let mut writer = Writer::start(&store);
    writer.hand_in(Record::Audit(audit_row("join")));
    writer.until_all_are_recorded().await;

    let lock = database.lock().await;
    for _ in 0..100 {
        // Returns at once, whatever the database does.
        writer.hand_in(Record::Audit(audit_row("role")));
    }
    assert!(matches!(writer.answer().await, StoreAnswer::Down));
    lock.release().await;

    assert!(matches!(writer.answer().await, StoreAnswer::Up));
    writer.until_all_are_recorded().await;
    assert_eq!(
        store.verify_audit().await.unwrap(),
        Verdict::Intact { rows: 101 }
    );
}

pub async fn a_fact_that_cannot_be_stored_does_not_keep_back_the_others(database: Database) {
    let store = database.store().await;
    // Nothing of the product breaks this rule; it stands for one that nobody thought of.
    let sql = match &database.url {
        DatabaseUrl::Sqlite(_) => {
            "CREATE TRIGGER odd BEFORE INSERT ON audit WHEN NEW.action = 'odd' \
             BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: odd'); END"
        }
        DatabaseUrl::Postgres(_) => "ALTER TABLE audit ADD CONSTRAINT odd CHECK (action <> 'odd')",
    };
    database.execute(sql).await;
    let mut writer = Writer::start(&store);

    writer.hand_in(Record::Audit(audit_row("join")));
    let odd = writer.hand_in(Record::Audit(audit_row("odd")));
    writer.hand_in(Record::Audit(audit_row("leave")));
    writer.pending.retain(|id| *id != odd);
    writer.until_all_are_recorded().await;

    assert_eq!(
        store.verify_audit().await.unwrap(),
        Verdict::Intact { rows: 2 }
    );
}

pub async fn dropped_connections(database: Database) {
    let store = database.store().await;
    let mut writer = Writer::start(&store);
    writer.hand_in(Record::Audit(audit_row("join")));
    writer.until_all_are_recorded().await;

    database
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    writer.hand_in(Record::Audit(audit_row("role")));
    writer.until_all_are_recorded().await;

    assert_eq!(
        store.verify_audit().await.unwrap(),
        Verdict::Intact { rows: 2 }
    );
}

pub async fn no_database() {
    let url = DatabaseUrl::Sqlite("/proc/nowhere/sottovoce.db".into());
    let error = Store::open(&url, "node-1").await.unwrap_err();

    assert!(matches!(error, StoreError::File { .. }));
    assert!(
        error
            .to_string()
            .starts_with("/proc/nowhere/sottovoce.db: ")
    );
}

/// A writer, and what it has not yet reported.
pub struct Writer {
    recorder: Recorder,
    answers: mpsc::Receiver<StoreAnswer>,
    next: u64,
    pub pending: Vec<RecordId>,
}

impl Writer {
    pub fn start(store: &Store) -> Self {
        let (sender, answers) = mpsc::channel(64);
        Self {
            recorder: store.start_writer(sender),
            answers,
            next: 0,
            pending: Vec::new(),
        }
    }

    /// Hands in a fact, a millisecond after the one before it.
    pub fn hand_in(&mut self, record: Record) -> RecordId {
        self.hand_in_at(1_000 + self.next as i64, record)
    }

    pub fn hand_in_at(&mut self, at_ms: i64, record: Record) -> RecordId {
        let id = RecordId(self.next);
        self.next += 1;
        self.recorder.record(id, at_ms, record).unwrap();
        self.pending.push(id);
        id
    }

    pub async fn answer(&mut self) -> StoreAnswer {
        tokio::time::timeout(PATIENCE, self.answers.recv())
            .await
            .expect("an answer of the store")
            .unwrap()
    }

    pub async fn until_all_are_recorded(&mut self) {
        while !self.pending.is_empty() {
            if let StoreAnswer::Recorded(id) = self.answer().await {
                self.pending.retain(|pending| *pending != id);
            }
        }
    }

    pub async fn close(self) -> Result<(), Lost> {
        self.recorder.close(PATIENCE).await
    }

    /// Without patience for what still waits.
    pub async fn close_now(self) -> Result<(), Lost> {
        self.recorder.close(Duration::ZERO).await
    }
}

async fn write_audit(store: &Store, count: usize) {
    let mut writer = Writer::start(store);
    for _ in 0..count {
        writer.hand_in(Record::Audit(audit_row("role")));
    }
    writer.until_all_are_recorded().await;
    writer.close().await.unwrap();
}

pub fn read(text: &str) -> People {
    People::parse("people.toml", text, &|_| None).unwrap()
}

pub async fn apply(store: &Store, text: &str) -> Vec<String> {
    let changes = store.apply(&read(text), REALM, 1).await.unwrap();
    changes.iter().map(ToString::to_string).collect()
}

pub fn audit_row(action: &'static str) -> AuditRow {
    AuditRow {
        organisation: Some("acme".into()),
        actor: "mia".into(),
        source: Source::Phone,
        call: Some(CallId(0xabc)),
        session: None,
        agent: Some("204".into()),
        customer: Some("+358501112222".into()),
        action,
        detail: None,
        role_before: None,
        role_after: None,
        outcome: Outcome::Done,
        code: None,
        help_request: None,
    }
}

pub fn call_row(call: CallId) -> CallRow {
    CallRow {
        call,
        organisation: Some("acme".into()),
        agent: Some("204".into()),
        pool: Some("support".into()),
        direction: Direction::Inbound,
        from: "+358501112222".into(),
        to: "support".into(),
    }
}

pub fn help_row(help: HelpId, state: HelpState) -> HelpRow {
    HelpRow {
        help,
        organisation: "acme".into(),
        call: CallId(0xabc),
        agent: "204".into(),
        reason: "price".into(),
        comment: String::new().into(),
        state,
        provided_by: None,
    }
}
