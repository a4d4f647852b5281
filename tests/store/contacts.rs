//! Whom numbers belong to.

use sottovoce::control::input::StoreAnswer;
use sottovoce::control::record::{Record, Source};
use sottovoce::edge::store::audit::{Row, Selection, Verdict};
use sottovoce::edge::store::contacts::{Contact, Contacts, Imported};

use crate::cases::{Writer, audit_row};
use crate::databases::Database;

pub async fn a_list_is_put_beside_what_is_there_and_told_to_the_audit(database: Database) {
    let store = database.store().await;
    let first = [
        contact("+358401111111", "Aino"),
        contact("+358402222222", "Eero"),
    ];
    let second = [
        contact("+358402222222", "Eero E."),
        contact("+358403333333", "Liisa"),
        contact("+358401111111", "Aino"),
    ];

    store.put_contacts("acme", &first, row()).await.unwrap();
    let imported = store.put_contacts("acme", &second, row()).await.unwrap();

    let expected = Imported {
        created: 1,
        changed: 1,
        unchanged: 1,
    };
    assert_eq!(imported, expected);
    let page = store.contacts("acme", "", 2).await.unwrap();
    assert_eq!(
        page,
        [
            contact("+358401111111", "Aino"),
            contact("+358402222222", "Eero E.")
        ]
    );
    let rest = store.contacts("acme", &page[1].number, 2).await.unwrap();
    assert_eq!(rest, [contact("+358403333333", "Liisa")]);
    assert_eq!(store.contacts("umbrella", "", 2).await.unwrap(), []);

    let audit = store.audit_page(&Selection::default(), 0).await.unwrap();
    assert_eq!(audit.len(), 2);
    assert_eq!(audit[1].detail.as_deref(), Some("1 created, 1 changed"));
    assert_eq!(
        store.verify_audit().await.unwrap(),
        Verdict::Intact { rows: 2 }
    );

    // The same list again is nothing to tell.
    store.put_contacts("acme", &second, row()).await.unwrap();
    let audit = store.audit_page(&Selection::default(), 0).await.unwrap();
    assert_eq!(audit.len(), 2);
    store.close().await;
}

pub async fn a_long_list_keeps_nobody_from_writing(database: Database) {
    let store = database.store().await;
    let list: Vec<_> = (0..3_500)
        .map(|n| contact(&format!("+35840{n:07}"), "Somebody"))
        .collect();

    let importing = tokio::spawn({
        let (store, list) = (store.clone(), list.clone());
        async move { store.put_contacts("acme", &list, row()).await.unwrap() }
    });
    let mut writer = Writer::start(&store);
    for _ in 0..20 {
        writer.hand_in(Record::Audit(audit_row("role")));
        let answer = writer.answer().await;
        assert!(matches!(answer, StoreAnswer::Recorded(_)), "{answer:?}");
    }

    assert_eq!(importing.await.unwrap().created, list.len());
    let again = store.put_contacts("acme", &list, row()).await.unwrap();
    assert_eq!(again.unchanged, list.len());
    let audit = store.audit_page(&Selection::default(), 0).await.unwrap();
    assert_eq!(audit.len(), 21, "the import is one row");
    store.close().await;
}

pub async fn a_book_is_the_present_one_after_a_write(database: Database) {
    let store = database.store().await;
    let contacts = Contacts::new(store.clone());
    let name = async || {
        let book = contacts.book("acme").await.unwrap();
        let name = book.name_of("0401111111", Some("FI"));
        name.map(|name| name.to_string())
    };
    assert_eq!(name().await, None);

    let aino = [contact("+358401111111", "Aino")];
    store.put_contacts("acme", &aino, row()).await.unwrap();
    contacts.forget("acme").await;
    assert_eq!(name().await.as_deref(), Some("Aino"));

    let removed = store.remove_contact("acme", "+358401111111", row()).await;
    assert!(removed.unwrap());
    contacts.forget("acme").await;
    assert_eq!(name().await, None);
    let again = store.remove_contact("acme", "+358401111111", row()).await;
    assert!(!again.unwrap());
    store.close().await;
}

fn contact(number: &str, name: &str) -> Contact {
    Contact {
        number: number.into(),
        name: name.into(),
    }
}

fn row() -> Row {
    Row::by("root", Source::Api, "admin_contacts", 1_000)
}
