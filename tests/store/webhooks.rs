//! Events for webhooks, from being posted to being taken or given up.

use sottovoce::edge::store::Store;
use sottovoce::edge::store::webhooks::{Delivery, MAX_WAITING, Webhook};

use crate::databases::Database;

pub async fn what_waits_for_a_webhook_survives_in_order_until_it_is_taken(database: Database) {
    let store = database.store().await;
    store.add_webhook(&webhook("a")).await.unwrap();
    store.add_webhook(&webhook("b")).await.unwrap();
    store
        .post(&[letter("a", 11), letter("a", 10), letter("b", 12)])
        .await
        .unwrap();
    store.close().await;

    let store = database.store().await;
    let first = head(&store).await;
    assert_eq!((first.seq, first.attempts), (10, 0));
    assert_eq!(first.body, "{\"n\":10}");
    assert_eq!(store.last_posted().await.unwrap(), 12);
    store
        .not_delivered("a", 10, "status 500", 5_000)
        .await
        .unwrap();
    let again = head(&store).await;
    assert_eq!((again.seq, again.attempts, again.due_ms), (10, 1, 5_000));
    assert_eq!(again.error.as_deref(), Some("status 500"));
    store.delivered("a", &[10]).await.unwrap();

    let next = head(&store).await;
    assert_eq!(next.seq, 11, "the others wait for their turn");
    let other_node = database.store_of("node-2").await;
    assert!(other_node.next_deliveries("a", 9).await.unwrap().is_empty());
}

pub async fn a_dead_letter_is_kept_listed_and_sent_again(database: Database) {
    let store = database.store().await;
    store.add_webhook(&webhook("a")).await.unwrap();
    store.post(&[letter("a", 1), letter("a", 2)]).await.unwrap();

    store.give_up("a", 1, "refused", 9_000).await.unwrap();

    let dead = store.dead_letters("a", 0).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].seq, dead[0].dead_ms), (1, Some(9_000)));
    assert_eq!(dead[0].error.as_deref(), Some("refused"));
    assert_eq!(head(&store).await.seq, 2);
    let counts = store.delivery_counts().await.unwrap();
    assert_eq!(counts, [("a".to_owned(), 1, 1)]);

    assert!(store.send_again("a", 1, 9_500).await.unwrap());
    assert!(!store.send_again("a", 2, 9_500).await.unwrap());
    let revived = head(&store).await;
    assert_eq!((revived.seq, revived.attempts), (1, 0));
    assert!(store.dead_letters("a", 0).await.unwrap().is_empty());
}

pub async fn a_webhook_that_is_removed_takes_its_letters_along(database: Database) {
    let store = database.store().await;
    store.add_webhook(&webhook("a")).await.unwrap();
    store.post(&[letter("a", 1)]).await.unwrap();

    assert!(store.remove_webhook("a").await.unwrap());
    assert!(!store.remove_webhook("a").await.unwrap());
    store.post(&[letter("a", 2)]).await.unwrap();

    assert!(store.webhooks().await.unwrap().is_empty());
    assert!(store.delivery_counts().await.unwrap().is_empty());
}

pub async fn more_than_may_wait_gives_up_the_oldest(database: Database) {
    let store = database.store().await;
    store.add_webhook(&webhook("a")).await.unwrap();
    let letters: Vec<_> = (1..=MAX_WAITING + 3).map(|n| letter("a", n)).collect();
    store.post(&letters).await.unwrap();

    assert_eq!(store.give_up_beyond_bound("a", 7).await.unwrap(), 3);
    assert_eq!(store.give_up_beyond_bound("a", 7).await.unwrap(), 0);

    assert_eq!(head(&store).await.seq, 4);
    let dead = store.dead_letters("a", 1).await.unwrap();
    let dead: Vec<_> = dead.iter().map(|letter| letter.seq).collect();
    assert_eq!(dead, [2, 3], "those after the first");
}

async fn head(store: &Store) -> Delivery {
    store.next_deliveries("a", 1).await.unwrap().remove(0)
}

fn webhook(id: &str) -> Webhook {
    Webhook {
        id: id.into(),
        organisation: "acme".into(),
        url: "http://127.0.0.1:9/hook".into(),
        secret: "whsec".into(),
        events: "*".into(),
        created_ms: 1,
    }
}

fn letter(webhook: &str, seq: i64) -> Delivery {
    Delivery {
        webhook: webhook.into(),
        seq,
        event: "call.started".into(),
        body: format!("{{\"n\":{seq}}}"),
        created_ms: 1,
        attempts: 0,
        due_ms: 1,
        error: None,
        dead_ms: None,
    }
}
