//! How far the list is behind: from the moment at which both ends of a call are connected, or one
//! has hung up, until the event was read and the row asked for that it concerns.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sottovoce::demo::phone::{Phone, PhoneConfig};
use sottovoce::demo::service::Service;
use sottovoce::demo::stage;

use crate::client::{Client, text_of};
use crate::events::Stream;
use crate::people::{COMER, PASSWORD, SUPERVISOR};
use crate::reader::ask;
use crate::stage::SIDES;

/// How long a phone may be waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sorted.
pub struct Live {
    pub started: Vec<Duration>,
    pub ended: Vec<Duration>,
}

impl Live {
    pub fn latest(&self) -> Duration {
        let all = self.started.iter().chain(&self.ended);
        all.max().copied().unwrap_or_default()
    }
}

/// Has so many calls come and go, one after another, beside those in progress.
pub async fn measure(service: &Service, comings: usize) -> anyhow::Result<Live> {
    let mut agent = stage::agent(service, COMER, PASSWORD).await?;
    let [customers, ..] = SIDES;
    let customer = Phone::start(PhoneConfig::new(
        "+358501112222",
        customers.into(),
        service.sip,
    ))
    .await?;
    let boss = Client::sign_in(service, SUPERVISOR, PASSWORD).await;
    let mut events = Stream::open(&boss).await;
    let mut live = Live {
        started: Vec::new(),
        ended: Vec::new(),
    };
    for _ in 0..comings {
        let dialling = customer.start_dialling(COMER).await?;
        let incoming = tokio::time::timeout(PATIENCE, agent.incoming()).await?;
        let incoming = incoming.context("the agent's phone has stopped")?;
        let began = Instant::now();
        let at_agent = incoming.answer().await?;
        let id = text_of(&events.next_named("call.started").await.data["id"]);
        ensure!(
            has_row(&boss, &id).await?,
            "a call that was told has no row"
        );
        live.started.push(began.elapsed());
        let at_customer = dialling.answered().await?;

        let began = Instant::now();
        at_customer.hang_up().await?;
        let ended = text_of(&events.next_named("call.ended").await.data["id"]);
        ensure!(
            ended == id,
            "another call ended than the one that was hung up"
        );
        ensure!(!has_row(&boss, &id).await?, "a call that ended has a row");
        live.ended.push(began.elapsed());
        at_agent.ended().await;
    }
    live.started.sort();
    live.ended.sort();
    Ok(live)
}

/// Whether the page has a row of this call, asked as the page's script asks.
async fn has_row(boss: &Client, call: &str) -> anyhow::Result<bool> {
    let page = ask(boss, "/", Some(call), "identity").await?.text().await?;
    Ok(page.contains(&format!("<tr id=\"c-{call}\"")))
}
