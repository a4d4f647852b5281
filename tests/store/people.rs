//! People changed one by one while the service runs.

use sottovoce::control::record::Source;
use sottovoce::edge::people::{EditError, People, Secret, Wish};
use sottovoce::edge::store::audit::{Row, Selection, Verdict};
use sottovoce::edge::store::people::EditFailed;
use sottovoce::edge::store::sign_ins::{Account, TokenHash};
use sottovoce::edge::store::users::Added;
use sottovoce::edge::store::{PinOutcome, Store};
use sottovoce::wire::document::{Given, Table};

use crate::cases::{PEOPLE, REALM, apply, read};
use crate::databases::Database;

pub async fn one_person_is_changed_and_the_audit_tells_it(database: Database) {
    let store = with_people(&database).await;

    let changes = edit(&store, |people| put_agent(people, "777", "Kaisa")).await;
    assert_eq!(changes.unwrap(), ["created agent acme/777"]);
    let changes = edit(&store, |people| put_agent(people, "777", "Kaisa K.")).await;
    assert_eq!(changes.unwrap(), ["changed agent acme/777: name"]);
    let changes = edit(&store, |people| put_agent(people, "777", "Kaisa K.")).await;
    assert_eq!(changes.unwrap(), Vec::<String>::new());

    // Everybody else is as before, with their secrets.
    let people = store.people().await.unwrap();
    let acme = &people.organisations["acme"];
    assert_eq!(acme.agents["777"].name, "Kaisa K.");
    let pin = acme.supervisors["mia"].pin.as_ref();
    assert!(matches!(pin, Some(Secret::Kept(_))));
    let pin = store.verify_pin("acme", "mia", "4711").await.unwrap();
    assert_eq!(pin, PinOutcome::Matches);

    let audit = store.audit_page(&by_root(), 0).await.unwrap();
    let told: Vec<_> = audit
        .iter()
        .map(|row| (row.actor.as_str(), row.detail.as_deref().unwrap_or("-")))
        .collect();
    assert_eq!(
        told,
        [
            ("root", "created agent acme/777"),
            ("root", "changed agent acme/777: name")
        ]
    );
    assert_eq!(audit[0].organisation.as_deref(), Some("acme"));
    let verdict = store.verify_audit().await.unwrap();
    assert!(matches!(verdict, Verdict::Intact { .. }), "{verdict:?}");
    store.close().await;
}

pub async fn an_edit_that_is_refused_changes_nothing(database: Database) {
    let store = with_people(&database).await;
    let before = store.people().await.unwrap();

    let wrong = edit(&store, |people| put_agent(people, "7 7", "Kaisa")).await;
    assert!(
        matches!(wrong, Err(EditFailed::Refused(EditError::Wrong(_)))),
        "{wrong:?}"
    );
    let nobody = edit(&store, |people| people.remove_agent("acme", "999")).await;
    assert!(matches!(
        nobody,
        Err(EditFailed::Refused(EditError::NotFound))
    ));

    assert_eq!(store.people().await.unwrap(), before);
    assert_eq!(store.audit_page(&by_root(), 0).await.unwrap(), []);
    store.close().await;
}

pub async fn two_who_edit_at_once_overwrite_nothing(database: Database) {
    let store = with_people(&database).await;
    let before = store.people().await.unwrap().organisations["acme"]
        .agents
        .len();

    let editing = (0..6).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let extension = format!("70{n}");
            edit(&store, |people| put_agent(people, &extension, "Kaisa")).await
        })
    });
    for done in editing.collect::<Vec<_>>() {
        assert_eq!(done.await.unwrap().unwrap().len(), 1);
    }

    let people = store.people().await.unwrap();
    assert_eq!(people.organisations["acme"].agents.len(), before + 6);
    store.close().await;
}

pub async fn who_is_removed_is_signed_out_and_an_empty_organisation_goes(database: Database) {
    let store = with_people(&database).await;
    let token = TokenHash::of("token");
    let mia = Account::Supervisor {
        organisation: "acme".into(),
        user: "mia".into(),
    };
    store.sign_in(&token, &mia, 1_000, 9_000).await.unwrap();
    assert!(store.signed_in(&token, 2_000).await.unwrap().is_some());

    let removed = edit(&store, |people| people.remove_supervisor("acme", "mia")).await;
    assert_eq!(removed.unwrap(), ["removed supervisor acme/mia"]);
    assert_eq!(store.signed_in(&token, 2_000).await.unwrap(), None);

    let refused = edit(&store, |people| people.remove_organisation("acme")).await;
    assert!(matches!(
        refused,
        Err(EditFailed::Refused(EditError::InUse(_)))
    ));
    let made = edit(&store, |people| {
        let text = |text: &str| Given::Text(text.into());
        let fields = [
            ("id", text("solo")),
            ("name", text("Solo")),
            ("supervising_numbers", Given::List(vec!["888".into()])),
        ];
        people.put_organisation("solo", Table::of("", 0, fields))
    });
    assert_eq!(made.await.unwrap(), ["created organisation solo"]);
    let removed = edit(&store, |people| people.remove_organisation("solo")).await;
    assert_eq!(removed.unwrap(), ["removed organisation solo"]);
    let directory = store.load_directory(&["en".into()]).await.unwrap();
    assert!(directory.organisation_of_number("888").is_none());
    store.close().await;
}

pub async fn commands_tell_the_audit_what_they_did_and_what_they_could_not(database: Database) {
    let store = database.store().await;
    let beta = "[[organisation]]\nid = \"beta\"\nname = \"B\"\nsupervising_numbers = [\"801\"]";

    store.apply(&read(PEOPLE), REALM, 1).await.unwrap();
    store.apply(&read(PEOPLE), REALM, 2).await.unwrap();
    store.apply(&read(beta), REALM, 3).await.unwrap_err();
    for _ in 0..2 {
        store.add_administrator("root", "one", 4).await.unwrap();
    }
    for (organisation, user) in [("acme", "mia"), ("acme", "nobody")] {
        let set = store.set_supervisor_password(organisation, user, "two", 5);
        assert_eq!(set.await.unwrap(), user == "mia");
    }
    store
        .set_administrator_password("root", "three", 6)
        .await
        .unwrap();

    let rows = store.audit_page(&Selection::default(), 0).await.unwrap();
    assert!(
        rows.iter()
            .all(|row| row.actor == "command-line" && row.source == "system")
    );
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            let detail = row.detail.as_deref().unwrap();
            (row.at_ms, &*row.action, detail, &*row.outcome)
        })
        .collect();
    let taken = "the supervising number \"801\" already belongs to organisation \"acme\"";
    let (of_apply, of_users) = told.split_at(told.len() - 6);
    assert!(of_apply.contains(&(1, "admin_apply", "created supervisor acme/mia", "done")));
    assert!(of_apply.iter().all(|(at_ms, ..)| *at_ms == 1), "{told:?}");
    let expected = [
        (3, "admin_apply", taken, "refused"),
        (4, "admin_user_add", "created administrator root", "done"),
        (4, "admin_user_add", "administrator root", "refused"),
        (
            5,
            "admin_user_passwd",
            "changed supervisor acme/mia: password",
            "done",
        ),
        (5, "admin_user_passwd", "supervisor acme/nobody", "refused"),
        (
            6,
            "admin_user_passwd",
            "changed administrator root: password",
            "done",
        ),
    ];
    assert_eq!(of_users, expected);
    let rows = rows.len() as u64;
    assert_eq!(
        store.verify_audit().await.unwrap(),
        Verdict::Intact { rows }
    );
    store.close().await;
}

/// Each with a connection of its own, as two processes have.
pub async fn two_who_apply_one_file_at_once_change_it_once(database: Database) {
    let (one, other) = (database.store().await, database.store().await);

    for text in [PEOPLE.to_owned(), PEOPLE.replace("4711", "4712")] {
        let people = read(&text);
        let (first, second) =
            tokio::join!(one.apply(&people, REALM, 1), other.apply(&people, REALM, 1));

        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(
            first.is_empty() != second.is_empty(),
            "{first:?} {second:?}"
        );
    }
    let verdict = one.verify_audit().await.unwrap();
    assert!(matches!(verdict, Verdict::Intact { .. }), "{verdict:?}");
    one.close().await;
    other.close().await;
}

pub async fn nobody_new_signs_in_as_an_administrator_does(database: Database) {
    let store = with_people(&database).await;
    let add = async |name| store.add_administrator(name, "password", 1).await.unwrap();
    assert_eq!(add("root").await, Added::Made);
    for (name, somebody) in [("mia", "supervisor acme/mia"), ("205", "agent acme/205")] {
        assert_eq!(add(name).await, Added::Namesake(somebody.to_owned()));
    }

    let before = store.people().await.unwrap();
    for text in [
        PEOPLE.replace("user = \"ann\"", "user = \"root\""),
        format!("{PEOPLE}\n[[agent]]\norganisation = \"acme\"\nextension = \"root\"\nname = \"R\""),
    ] {
        let refused = store.apply(&read(&text), REALM, 2).await.unwrap_err();
        let refused = refused.to_string();
        let expected = " acme/root: expected a name that no administrator signs in with";
        assert!(refused.ends_with(expected), "{refused}");
    }
    let refused = edit(&store, |people| put_agent(people, "root", "Roope")).await;
    assert_eq!(
        refused.unwrap_err().to_string(),
        "extension: expected a name that no administrator signs in with, found \"root\""
    );
    assert_eq!(store.people().await.unwrap(), before);

    // Two who were called the same before this was refused go on as they were.
    database
        .execute("UPDATE administrators SET user_name = 'ann'")
        .await;
    store
        .set_supervisor_password("acme", "ann", "of ann", 3)
        .await
        .unwrap();
    assert_eq!(apply(&store, PEOPLE).await, Vec::<String>::new());
    edit(&store, |people| put_agent(people, "204", "Aino"))
        .await
        .unwrap();
    for (password, administrator) in [("password", true), ("of ann", false)] {
        let accounts = store.accounts(None, "ann", password).await.unwrap();
        let is_administrator = matches!(accounts[..], [Account::Administrator { .. }]);
        assert_eq!((accounts.len(), is_administrator), (1, administrator));
    }
    store.close().await;
}

/// What an administrator did, beside the people who were applied before.
fn by_root() -> Selection {
    Selection {
        supervisor: Some("root".into()),
        ..Selection::default()
    }
}

async fn with_people(database: &Database) -> Store {
    let store = database.store().await;
    store.apply(&read(PEOPLE), REALM, 1).await.unwrap();
    store
}

fn put_agent(people: &mut People, extension: &str, name: &str) -> Result<(), EditError> {
    let fields = [
        ("organisation", Given::Text("acme".into())),
        ("extension", Given::Text(extension.into())),
        ("name", Given::Text(name.into())),
    ];
    people.put_agent("acme", extension, Table::of("", 0, fields), Wish::Keep)
}

async fn edit(
    store: &Store,
    rule: impl FnMut(&mut People) -> Result<(), EditError>,
) -> Result<Vec<String>, EditFailed> {
    let row = || Row::by("root", Source::Api, "admin_people", 1_000);
    let ((), changes) = store.edit_people(REALM, row, rule).await?;
    Ok(changes.iter().map(ToString::to_string).collect())
}
