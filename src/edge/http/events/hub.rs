//! The one task that makes events of what happens, and hands them to readers and webhooks.
//!
//! It waits for nothing but the next thing that happens: who watches an agent is asked of the
//! database beside it, and no reader and no webhook can hold it up.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tracing::warn;

use crate::control::directory::Directory;
use crate::control::input::Identity;
use crate::control::output::Notice;
use crate::control::snapshot::{AgentView, CallView};
use crate::edge::clock;
use crate::edge::http::calls;
use crate::edge::http::events::event::Draft;
use crate::edge::http::events::feed::Feed;
use crate::edge::http::events::model::Model;
use crate::edge::live::{Live, PeopleView};
use crate::edge::store::Store;
use crate::edge::store::contacts::Contacts;
use crate::edge::webhooks::{Letter, Webhooks};
use crate::id::CallId;

/// Questions of who watches an agent that are asked at once. Beyond it an agent's call goes untold.
const MAX_QUESTIONS: usize = 256;

/// How long an event waits for the name of a customer.
const FOR_A_NAME: Duration = Duration::from_millis(200);

/// How long the database may take to tell who watches an agent.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the hub works with.
pub struct Sources {
    /// From before the first call on.
    pub notices: broadcast::Receiver<Notice>,
    pub live: Live,
    pub people: PeopleView,
    pub registered: watch::Receiver<Arc<[Identity]>>,
    pub store: Store,
    pub contacts: Contacts,
    pub webhooks: Webhooks,
}

/// Makes events until call control has ended.
pub async fn run(sources: Sources, feed: Feed) {
    let hub = Hub {
        model: Model::default(),
        questions: JoinSet::new(),
        shown: None,
        sources,
        feed,
    };
    hub.work().await;
}

struct Hub {
    sources: Sources,
    feed: Feed,
    model: Model,
    /// Who watches the agents of calls that have just begun.
    questions: JoinSet<Option<Watched>>,
    /// What presence was last made of.
    shown: Option<Shown>,
}

struct Watched {
    call: CallId,
    agent: Arc<str>,
    by: Vec<String>,
}

struct Shown {
    agents: Vec<AgentView>,
    registered: Arc<[Identity]>,
    directory: Arc<Directory>,
}

impl Hub {
    async fn work(mut self) {
        let mut snapshots = self.sources.live.snapshots();
        let mut registered = self.sources.registered.clone();
        let mut people = self.sources.people.changes();
        self.look_at_presence();
        loop {
            tokio::select! {
                biased;
                notice = self.sources.notices.recv() => match notice {
                    Ok(notice) => self.take(notice).await,
                    Err(broadcast::error::RecvError::Lagged(missed)) => self.start_over(missed),
                    Err(broadcast::error::RecvError::Closed) => break,
                },
                Some(answer) = self.questions.join_next() => {
                    if let Ok(Some(watched)) = answer {
                        self.tell_watchers(watched);
                    }
                }
                changed = snapshots.changed() => match changed {
                    Ok(()) => self.look_at_presence(),
                    Err(_) => break,
                },
                Ok(()) = registered.changed() => self.look_at_presence(),
                Ok(()) = people.changed() => self.look_at_presence(),
            }
        }
        // What call control said last was said before it ended.
        while let Ok(notice) = self.sources.notices.try_recv() {
            self.take(notice).await;
        }
        self.feed.close();
    }

    async fn take(&mut self, notice: Notice) {
        let begun = match &notice {
            Notice::CallAnswered(call) | Notice::CallTransferred(call) => Some(call.clone()),
            _ => None,
        };
        let contact = match &begun {
            Some(call) => self.contact(call).await,
            None => None,
        };
        let directory = self.sources.people.directory();
        let for_watchers = begun.filter(|call| self.model.is_new_to_its_agent(call));
        let drafts = self
            .model
            .notice(&directory, clock::utc_ms(), notice, contact);
        self.publish(drafts);
        if let Some(call) = for_watchers {
            self.ask_who_watches(&call);
        }
    }

    /// The name that the customer's number has among the contacts.
    async fn contact(&self, call: &CallView) -> Option<String> {
        let organisation = call.organisation.as_ref()?;
        let book = self.sources.contacts.book(organisation);
        // A database that is slow holds up no event for a name.
        let book = tokio::time::timeout(FOR_A_NAME, book).await.ok()?.ok()?;
        let directory = self.sources.people.directory();
        let mut supervisors = directory.supervisors.values();
        let country = supervisors.find_map(|entry| {
            let ours = entry.organisation == *organisation;
            entry.default_country.as_deref().filter(|_| ours)
        });
        calls::contact(&book, call, country)
    }

    fn ask_who_watches(&mut self, call: &CallView) {
        let (Some(organisation), Some(agent)) = (call.organisation.clone(), call.agent.clone())
        else {
            return;
        };
        if self.questions.len() >= MAX_QUESTIONS {
            warn!(call = %call.id, "too many calls begin at once: nobody is told of this one");
            return;
        }
        let (store, call) = (self.sources.store.clone(), call.id);
        self.questions.spawn(async move {
            let asking = store.watchers(&organisation, &agent);
            match tokio::time::timeout(PATIENCE, asking).await {
                Ok(Ok(by)) if by.is_empty() => None,
                Ok(Ok(by)) => Some(Watched { call, agent, by }),
                Ok(Err(error)) => {
                    warn!(%call, %error, "it is not known who watches the agent");
                    None
                }
                Err(_) => {
                    warn!(%call, "the database does not tell who watches the agent");
                    None
                }
            }
        });
    }

    fn tell_watchers(&mut self, watched: Watched) {
        let Watched { call, agent, by } = watched;
        let by = by.into_iter().map(Arc::from).collect();
        let directory = self.sources.people.directory();
        let draft = self
            .model
            .watched(&directory, clock::utc_ms(), call, &agent, by);
        self.publish(draft.into_iter().collect());
    }

    /// Looks whether anybody's presence has changed, where it can have.
    fn look_at_presence(&mut self) {
        let snapshot = self.sources.live.snapshot();
        let registered = self.sources.registered.borrow().clone();
        let directory = self.sources.people.directory();
        let same = self.shown.as_ref().is_some_and(|shown| {
            shown.agents == snapshot.agents
                && Arc::ptr_eq(&shown.registered, &registered)
                && Arc::ptr_eq(&shown.directory, &directory)
        });
        if same {
            return;
        }
        let now = clock::utc_ms();
        let drafts = self
            .model
            .presence(&directory, now, &snapshot.agents, &registered);
        self.shown = Some(Shown {
            agents: snapshot.agents.clone(),
            registered,
            directory,
        });
        self.publish(drafts);
    }

    fn start_over(&mut self, missed: u64) {
        warn!(missed, "events were missed: every reader starts over");
        self.model.start_over(&self.sources.live.snapshot());
        self.feed.forget();
    }

    fn publish(&self, drafts: Vec<Draft>) {
        for event in self.feed.publish(drafts) {
            if !event.concern.is_for_webhooks() {
                continue;
            }
            self.sources.webhooks.offer(Letter {
                seq: event.seq,
                organisation: event.organisation.clone(),
                event: event.name.text(),
                body: event.body.clone(),
            });
        }
    }
}
