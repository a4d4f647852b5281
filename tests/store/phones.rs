//! Numbers that supervisors set themselves.

use sottovoce::control::record::Source;
use sottovoce::edge::store::Store;
use sottovoce::edge::store::audit::{Row, Selection};
use sottovoce::edge::store::phones::{
    CALLS_PER_MS, CODE_LASTS_MS, MAX_CALLS, MAX_TRIES, Proof, ProofCall, Setting,
};

use crate::cases::{PEOPLE, REALM, read};
use crate::databases::Database;

const NEW: &str = "+358409998877";
const CODE: &str = "471102";
const AT: i64 = 10_000_000_000;

pub async fn a_number_is_registered_when_its_code_is_entered(database: Database) {
    let store = with_people(&database).await;
    let old = registered(&store).await;

    assert_eq!(set(&store, NEW).await, Setting::Set);
    assert_eq!(registered(&store).await, old, "until it is proven");
    assert_eq!(enter(&store, CODE, AT).await, Proof::NoCode);
    call(&store, AT).await;
    assert_eq!(
        enter(&store, "000000", AT).await,
        Proof::Wrong {
            tries_left: MAX_TRIES - 1
        }
    );
    assert_eq!(
        enter(&store, CODE, AT + CODE_LASTS_MS).await,
        Proof::NoCode,
        "too late"
    );
    assert_eq!(
        enter(&store, CODE, AT).await,
        Proof::Proven { number: NEW.into() }
    );

    assert_eq!(registered(&store).await.as_deref(), Some(NEW));
    assert_eq!(
        enter(&store, CODE, AT).await,
        Proof::NoCode,
        "it counts once"
    );
    let by_mia = Selection {
        supervisor: Some("mia".into()),
        ..Selection::default()
    };
    let audit = store.audit_page(&by_mia, 0).await.unwrap();
    let told: Vec<_> = audit
        .iter()
        .map(|row| (row.action.as_str(), row.outcome.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("set_phone", "done"),
            ("prove_phone", "refused"),
            ("prove_phone", "refused"),
            ("prove_phone", "refused"),
            ("prove_phone", "done"),
            ("prove_phone", "refused"),
        ]
    );
    assert!(
        audit
            .iter()
            .all(|row| !row.detail.iter().any(|detail| detail.contains(CODE)))
    );
    store.close().await;
}

pub async fn codes_are_tried_five_times_and_numbers_called_three_times_an_hour(database: Database) {
    let store = with_people(&database).await;
    assert_eq!(may_call(&store, AT).await, ProofCall::NothingPending);
    set(&store, NEW).await;
    call(&store, AT).await;

    for _ in 0..MAX_TRIES {
        assert!(matches!(
            enter(&store, "000000", AT).await,
            Proof::Wrong { .. }
        ));
    }
    assert_eq!(
        enter(&store, CODE, AT).await,
        Proof::NoCode,
        "the right one is too late"
    );

    for _ in 1..MAX_CALLS {
        assert!(matches!(may_call(&store, AT).await, ProofCall::May { .. }));
        call(&store, AT).await;
    }
    let again_ms = AT + CALLS_PER_MS;
    assert_eq!(may_call(&store, AT).await, ProofCall::TooMany { again_ms });
    // Neither another number nor the old one is a way around.
    set(&store, "+358409998878").await;
    assert_eq!(may_call(&store, AT).await, ProofCall::TooMany { again_ms });
    assert!(matches!(
        may_call(&store, again_ms).await,
        ProofCall::May { .. }
    ));
    store.close().await;
}

pub async fn nobody_takes_the_phone_of_another(database: Database) {
    let store = with_people(&database).await;
    set(&store, NEW).await;
    call(&store, AT).await;
    database
        .execute(&format!(
            "INSERT INTO phones (organisation, user_name, number) VALUES ('acme', 'ona', '{NEW}')"
        ))
        .await;

    assert_eq!(set(&store, NEW).await, Setting::Taken);
    assert_eq!(enter(&store, CODE, AT).await, Proof::Taken);
    store.close().await;
}

async fn with_people(database: &Database) -> Store {
    let store = database.store().await;
    store.apply(&read(PEOPLE), REALM, 1).await.unwrap();
    store
}

async fn registered(store: &Store) -> Option<String> {
    let directory = store.load_directory(&["en".into()]).await.unwrap();
    let mia = &directory.supervisors[&("acme".into(), "mia".into())];
    mia.phone.as_deref().map(str::to_owned)
}

async fn set(store: &Store, number: &str) -> Setting {
    let row = row("set_phone", AT);
    store.set_phone("acme", "mia", number, row).await.unwrap()
}

async fn may_call(store: &Store, at_ms: i64) -> ProofCall {
    store.proof_call("acme", "mia", at_ms).await.unwrap()
}

async fn call(store: &Store, at_ms: i64) {
    let kept = store.keep_code("acme", "mia", NEW, CODE, at_ms).await;
    kept.unwrap();
}

async fn enter(store: &Store, code: &str, at_ms: i64) -> Proof {
    let row = row("prove_phone", at_ms);
    store.prove_phone("acme", "mia", code, row).await.unwrap()
}

fn row(action: &str, at_ms: i64) -> Row {
    Row::by("mia", Source::Api, action, at_ms)
}
