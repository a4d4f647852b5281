//! One who reads the stream: from where they left off, what concerns them, for as long as they are
//! signed in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tokio::sync::watch;

use crate::control::directory::{Directory, SupervisorEntry};
use crate::edge::clock;
use crate::edge::http::Web;
use crate::edge::http::events::event::Event;
use crate::edge::http::events::feed::{Gone, State};
use crate::edge::http::refusal::Refusal;
use crate::edge::http::viewer::{Viewer, Who};

/// Streams that are open at once, and those of one person. Beyond it a new one is refused.
const MAX_READERS: usize = 4_096;
const MAX_OF_ONE: usize = 1_024;

/// How often a quiet stream shows that it lives, and how often it is asked whether the reader is
/// signed in still.
const BEAT: Duration = Duration::from_secs(15);

/// A browser whose stream broke comes back after this time.
const RETRY: Duration = Duration::from_secs(2);

/// Who reads. Cloned freely.
#[derive(Clone, Debug, Default)]
pub struct Readers(Arc<Mutex<BTreeMap<String, usize>>>);

/// A place among the readers, given back when dropped.
#[derive(Debug)]
struct Place {
    readers: Readers,
    name: String,
    web: Web,
}

impl Readers {
    fn enter(&self, web: &Web, who: &Who) -> Result<Place, Refusal> {
        let name = match who {
            Who::Administrator { .. } => {
                return Err(Refusal::forbidden("This is for agents and supervisors."));
            }
            Who::Supervisor { organisation, user } => format!("supervisor {user} {organisation}"),
            Who::Agent {
                organisation,
                extension,
            } => format!("agent {extension} {organisation}"),
        };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.values().sum::<usize>() >= MAX_READERS {
            let text = "Too many streams are open.";
            return Err(Refusal::unavailable("too-many-streams", text));
        }
        let count = counts.entry(name.clone()).or_default();
        if *count >= MAX_OF_ONE {
            let text = "You have too many streams open.";
            return Err(Refusal::too_many(text, BEAT.as_secs()));
        }
        *count += 1;
        web.metrics.event_readers(counts.values().sum());
        Ok(Place {
            readers: self.clone(),
            name,
            web: web.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let counts = &self.readers.0;
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.name);
            }
        }
        self.web.metrics.event_readers(counts.values().sum());
    }
}

/// A stream that is being read.
pub struct Reader {
    web: Web,
    viewer: Viewer,
    sight: Sight,
    /// The last event that was read.
    read: u64,
    /// What is sent before anything else.
    greeting: Option<Bytes>,
    state: watch::Receiver<State>,
    check_at: Instant,
    _place: Place,
}

/// What the reader may know of, as the people are.
struct Sight {
    directory: Arc<Directory>,
    /// `None` for an agent.
    supervisor: Option<SupervisorEntry>,
}

/// Why a reader has to start over.
#[derive(Clone, Copy, Debug)]
enum Reset {
    /// The id that was named is too old, or of an earlier start.
    Unknown,
    /// The reader was too slow.
    Missed,
    /// What the reader may see has changed.
    People,
}

impl Reader {
    /// Reads on behind `last`, the id that the reader names, or from now on.
    pub fn new(web: Web, viewer: Viewer, last: Option<&str>) -> Result<Self, Refusal> {
        let place = web.readers.enter(&web, &viewer.who)?;
        let sight = Sight::of(&web, &viewer.who).ok_or_else(Refusal::unauthorised)?;
        let state = web.events.state();
        let newest = web.events.newest();
        let retry = format!("retry: {}\n", RETRY.as_millis());
        let named = last.map(|last| {
            let seq = last.trim().parse().map_err(|_| Gone)?;
            web.events.after(seq).map(|_| seq)
        });
        let (read, greeting) = match named {
            None => (newest, format!("{retry}id: {newest}\n\n")),
            Some(Ok(seq)) => (seq, format!("{retry}\n")),
            Some(Err(Gone)) => (newest, retry + &reset(newest, Reset::Unknown)),
        };
        Ok(Self {
            web,
            viewer,
            sight,
            read,
            greeting: Some(greeting.into()),
            state,
            check_at: clock::now() + BEAT,
            _place: place,
        })
    }

    /// What is to be sent next; `None` when the stream is over.
    pub async fn next(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        loop {
            if clock::now() >= self.check_at {
                self.check_at = clock::now() + BEAT;
                if !self.is_signed_in().await {
                    return None;
                }
                return Some(Bytes::from_static(b":\n\n"));
            }
            if !Arc::ptr_eq(&self.sight.directory, &self.web.people.directory()) {
                let sight = Sight::of(&self.web, &self.viewer.who)?;
                let same = self.sight.is_as(&sight, &self.viewer.who);
                self.sight = sight;
                if !same {
                    return Some(self.start_over(Reset::People));
                }
            }
            // Read before the events are: what comes in between wakes.
            let open = self.state.borrow_and_update().open;
            match self.web.events.after(self.read) {
                Err(Gone) => {
                    self.web.metrics.event_reader_reset();
                    return Some(self.start_over(Reset::Missed));
                }
                Ok(events) => {
                    if let Some(last) = events.last() {
                        self.read = last.seq;
                        let texts = events
                            .iter()
                            .filter_map(|event| self.sight.text(event, &self.viewer.who));
                        let text: Vec<u8> = texts.flat_map(|text| text.iter().copied()).collect();
                        match text.is_empty() {
                            true => continue,
                            false => return Some(text.into()),
                        }
                    }
                }
            }
            if !open {
                return None;
            }
            tokio::select! {
                changed = self.state.changed() => changed.ok()?,
                () = tokio::time::sleep_until(self.check_at.into()) => {}
            }
        }
    }

    fn start_over(&mut self, why: Reset) -> Bytes {
        self.read = self.web.events.newest();
        reset(self.read, why).into()
    }

    /// A database that does not answer ends no stream.
    async fn is_signed_in(&self) -> bool {
        let found = self
            .web
            .store
            .signed_in(&self.viewer.token, clock::utc_ms())
            .await;
        !matches!(found, Ok(None))
    }
}

impl Sight {
    /// `None` for one who is no longer among the people.
    fn of(web: &Web, who: &Who) -> Option<Self> {
        let directory = web.people.directory();
        let supervisor = match who {
            Who::Supervisor { organisation, user } => {
                let key = (organisation.clone(), user.clone());
                Some(directory.supervisors.get(&key)?.clone())
            }
            Who::Agent {
                organisation,
                extension,
            } => {
                let key = (organisation.clone(), extension.clone());
                directory.agents.get(&key)?;
                None
            }
            Who::Administrator { .. } => return None,
        };
        Some(Self {
            directory,
            supervisor,
        })
    }

    /// Whether the same things are in sight, as far as people decide it.
    fn is_as(&self, other: &Self, who: &Who) -> bool {
        let (Who::Supervisor { organisation, .. } | Who::Agent { organisation, .. }) = who else {
            return false;
        };
        let agents = |directory: &Directory| -> Vec<_> {
            let agents = directory.agents.iter();
            let ours = agents.filter(|((of, _), _)| of == organisation);
            ours.map(|(_, agent)| agent.clone()).collect()
        };
        self.supervisor == other.supervisor
            && self.directory.organisations.get(organisation)
                == other.directory.organisations.get(organisation)
            && agents(&self.directory) == agents(&other.directory)
    }

    fn text<'a>(&self, event: &'a Event, who: &Who) -> Option<&'a Bytes> {
        match (who, &self.supervisor) {
            (Who::Supervisor { .. }, Some(entry)) => event.for_supervisor(&self.directory, entry),
            (
                Who::Agent {
                    organisation,
                    extension,
                },
                _,
            ) => event.for_agent(organisation, extension),
            (Who::Supervisor { .. } | Who::Administrator { .. }, _) => None,
        }
    }
}

fn reset(newest: u64, why: Reset) -> String {
    let reason = match why {
        Reset::Unknown => "unknown-id",
        Reset::Missed => "missed",
        Reset::People => "people-changed",
    };
    format!("id: {newest}\nevent: reset\ndata: {{\"reason\":\"{reason}\"}}\n\n")
}
