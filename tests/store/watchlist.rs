//! Watch lists.

use std::collections::BTreeSet;

use sottovoce::control::route::AgentKey;
use sottovoce::edge::store::watchlist::WatchedBy;

use crate::cases::apply;
use crate::databases::Database;

const PEOPLE: &str = r#"
[[organisation]]
id = "acme"
name = "Acme"
[[agent]]
organisation = "acme"
extension = "204"
name = "Aino"
[[agent]]
organisation = "acme"
extension = "205"
name = "Onni"
[[supervisor]]
organisation = "acme"
user = "mia"
name = "Mia"
phone = "+358401234567"
[[supervisor]]
organisation = "acme"
user = "leo"
name = "Leo"
phone = "+358407654321"
"#;

pub async fn agents_are_watched_until_they_are_taken_off(database: Database) {
    let store = database.store().await;
    apply(&store, PEOPLE).await;

    for (user, extension) in [
        ("mia", "204"),
        ("mia", "205"),
        ("mia", "204"),
        ("leo", "205"),
    ] {
        store.watch("acme", user, extension).await.unwrap();
    }
    assert!(store.unwatch("acme", "mia", "205").await.unwrap());
    assert!(!store.unwatch("acme", "mia", "205").await.unwrap());
    assert!(!store.unwatch("beta", "mia", "204").await.unwrap());

    let of_mia = store.watchlist("acme", "mia").await.unwrap();
    assert_eq!(Vec::from_iter(of_mia), ["204"]);
    let of_leo = store.watchlist("acme", "leo").await.unwrap();
    assert_eq!(Vec::from_iter(of_leo), ["205"]);
}

pub async fn who_watches_is_told_of_many_agents_at_once(database: Database) {
    let store = database.store().await;
    apply(&store, PEOPLE).await;
    for (organisation, user, extension) in [
        ("acme", "mia", "204"),
        ("acme", "leo", "205"),
        ("acme", "leo", "204"),
        ("beta", "mia", "205"),
    ] {
        store.watch(organisation, user, extension).await.unwrap();
    }
    let told = |rows: Vec<WatchedBy>| -> Vec<String> {
        let told = rows
            .into_iter()
            .map(|row| format!("{} {} {}", row.organisation, row.extension, row.user));
        told.collect()
    };
    let agent = |organisation: &str, extension: &str| AgentKey {
        organisation: organisation.into(),
        extension: extension.into(),
    };
    let mut many: BTreeSet<AgentKey> = (0..256).map(|n| agent("acme", &format!("{n}"))).collect();
    let one = BTreeSet::from([agent("acme", "205")]);

    let of_many = store.watchers(&many).await.unwrap();
    assert_eq!(
        told(of_many),
        ["acme 204 leo", "acme 204 mia", "acme 205 leo"]
    );
    let of_one = store.watchers(&one).await.unwrap();
    assert_eq!(told(of_one), ["acme 205 leo"]);
    many.insert(agent("beta", "205"));
    let of_two = store.watchers(&many).await.unwrap();
    assert_eq!(told(of_two)[3..], ["beta 205 mia"]);
    let of_none = store.watchers(&BTreeSet::new()).await.unwrap();
    assert_eq!(told(of_none), [""; 0]);
}

pub async fn whoever_gets_a_name_later_inherits_no_watch_list(database: Database) {
    let store = database.store().await;
    apply(&store, PEOPLE).await;
    for (user, extension) in [("mia", "204"), ("mia", "205"), ("leo", "204")] {
        store.watch("acme", user, extension).await.unwrap();
    }

    let without_leo = PEOPLE.replace("user = \"leo\"", "user = \"lea\"");
    apply(
        &store,
        &without_leo.replace("extension = \"205\"", "extension = \"206\""),
    )
    .await;
    apply(&store, PEOPLE).await;

    let of_mia = store.watchlist("acme", "mia").await.unwrap();
    assert_eq!(Vec::from_iter(of_mia), ["204"]);
    assert!(store.watchlist("acme", "leo").await.unwrap().is_empty());
}

pub async fn a_change_of_people_leaves_their_watch_lists(database: Database) {
    let store = database.store().await;
    apply(&store, PEOPLE).await;
    store.watch("acme", "mia", "204").await.unwrap();

    apply(
        &store,
        &PEOPLE
            .replace("\"Mia\"", "\"Miia\"")
            .replace("\"Aino\"", "\"Aina\""),
    )
    .await;

    assert_eq!(store.watchlist("acme", "mia").await.unwrap().len(), 1);
}
