//! People changed one by one while the service runs.

use sottovoce::control::record::Source;
use sottovoce::edge::people::{EditError, People, Secret, Wish};
use sottovoce::edge::store::audit::{Row, Selection, Verdict};
use sottovoce::edge::store::people::EditFailed;
use sottovoce::edge::store::{PinOutcome, Store};
use sottovoce::wire::document::{Given, Table};

use crate::cases::{PEOPLE, REALM, read};
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
    assert_eq!(acme.supervisors["mia"].pin, Some(Secret::Kept));
    let pin = store.verify_pin("acme", "mia", "4711").await.unwrap();
    assert_eq!(pin, PinOutcome::Matches);

    let audit = store.audit_page(&Selection::default(), 0).await.unwrap();
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
    assert_eq!(
        store.verify_audit().await.unwrap(),
        Verdict::Intact { rows: 2 }
    );
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
    assert_eq!(
        store.audit_page(&Selection::default(), 0).await.unwrap(),
        []
    );
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
    use sottovoce::edge::store::sign_ins::{Account, TokenHash};
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

async fn with_people(database: &Database) -> Store {
    let store = database.store().await;
    store.apply(&read(PEOPLE), REALM).await.unwrap();
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
