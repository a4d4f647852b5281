//! The one task that makes events of what happens, and hands them to readers and webhooks.
//!
//! It waits for nothing but the next thing that happens: who watches an agent is asked of the
//! database beside it, for all calls that began together at once, and no reader and no webhook can
//! hold it up.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tracing::warn;

use crate::control::input::Identity;
use crate::control::output::Notice;
use crate::control::route::AgentKey;
use crate::control::snapshot::CallView;
use crate::edge::clock;
use crate::edge::http::calls;
use crate::edge::http::events::event::Draft;
use crate::edge::http::events::feed::Feed;
use crate::edge::http::events::model::Model;
use crate::edge::http::events::presence::Presences;
use crate::edge::live::{Live, PeopleView};
use crate::edge::store::contacts::Contacts;
use crate::edge::store::{Store, StoreError};
use crate::edge::webhooks::{Letter, Webhooks};
use crate::id::CallId;

/// Calls of which it is not known yet who watches the agent. Beyond it a call goes untold.
const MAX_UNASKED: usize = 1024;

/// Calls that one question is about.
const ASKED_AT_ONCE: usize = 256;

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
        presences: Presences::default(),
        unasked: VecDeque::new(),
        question: JoinSet::new(),
        sources,
        feed,
    };
    hub.work().await;
}

struct Hub {
    sources: Sources,
    feed: Feed,
    model: Model,
    presences: Presences,
    /// Calls that have just begun: nobody has asked yet who watches their agents.
    unasked: VecDeque<Begun>,
    /// The question on its way, and there is one at most.
    question: JoinSet<Vec<Watched>>,
}

/// A call that its agent was not on before.
struct Begun {
    call: CallId,
    organisation: Arc<str>,
    agent: Arc<str>,
}

struct Watched {
    call: CallId,
    agent: Arc<str>,
    by: Vec<Arc<str>>,
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
                Some(answer) = self.question.join_next() => {
                    for watched in answer.unwrap_or_default() {
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
            if self.sources.notices.is_empty() && self.question.is_empty() {
                self.ask_who_watches();
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
            self.ask_later(call);
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

    fn ask_later(&mut self, call: CallView) {
        let (Some(organisation), Some(agent)) = (call.organisation, call.agent) else {
            return;
        };
        if self.unasked.len() >= MAX_UNASKED {
            warn!(call = %call.id, "too many calls begin at once: nobody is told of this one");
            return;
        }
        self.unasked.push_back(Begun {
            call: call.id,
            organisation,
            agent,
        });
    }

    fn ask_who_watches(&mut self) {
        let asked = self.unasked.len().min(ASKED_AT_ONCE);
        let begun: Vec<Begun> = self.unasked.drain(..asked).collect();
        if begun.is_empty() {
            return;
        }
        let store = self.sources.store.clone();
        self.question.spawn(async move {
            match tokio::time::timeout(PATIENCE, watched(&store, begun)).await {
                Ok(Ok(watched)) => watched,
                Ok(Err(error)) => {
                    warn!(calls = asked, %error, "it is not known who watches the agents");
                    Vec::new()
                }
                Err(_) => {
                    warn!(
                        calls = asked,
                        "the database does not tell who watches the agents"
                    );
                    Vec::new()
                }
            }
        });
    }

    fn tell_watchers(&mut self, watched: Watched) {
        let Watched { call, agent, by } = watched;
        let directory = self.sources.people.directory();
        let draft = self
            .model
            .watched(&directory, clock::utc_ms(), call, &agent, by);
        self.publish(draft.into_iter().collect());
    }

    fn look_at_presence(&mut self) {
        // Not borrowed meanwhile: whoever registers would wait.
        let registered = self.sources.registered.borrow().clone();
        let drafts = self.presences.look(
            &self.sources.people.directory(),
            clock::utc_ms(),
            &self.sources.live.snapshot().agents,
            &registered,
        );
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

/// The calls whose agents somebody watches.
async fn watched(store: &Store, begun: Vec<Begun>) -> Result<Vec<Watched>, StoreError> {
    let agent = |call: &Begun| AgentKey {
        organisation: call.organisation.clone(),
        extension: call.agent.clone(),
    };
    let mut watchers: BTreeMap<AgentKey, Vec<Arc<str>>> = BTreeMap::new();
    for one in store.watchers(&begun.iter().map(agent).collect()).await? {
        let agent = AgentKey {
            organisation: one.organisation.into(),
            extension: one.extension.into(),
        };
        watchers.entry(agent).or_default().push(one.user.into());
    }
    let watched = begun.into_iter().filter_map(|call| {
        Some(Watched {
            call: call.call,
            by: watchers.get(&agent(&call))?.clone(),
            agent: call.agent,
        })
    });
    Ok(watched.collect())
}
