//! One look at what a supervisor may see, and the parts that every page shows of it: the sessions
//! that run, requests for help that wait, and watched agents who are on a call.

use axum::response::Response;

use crate::control::input::Identity;
use crate::edge::http::Web;
use crate::edge::http::agents::{Agent, Look};
use crate::edge::http::calls::{self, Call, Direction, Filter};
use crate::edge::http::console::acts::RoleButton;
use crate::edge::http::console::answer;
use crate::edge::http::console::frame::{Frame, Place, Reader, clock_text};
use crate::edge::http::console::texts::Tongue;
use crate::edge::http::console::visitor::Supervisor;
use crate::edge::http::help_requests::{self, HelpRequest, HelpState};
use crate::edge::http::sessions::{Session, SessionState};
use crate::edge::http::viewer::SupervisorViewer;

/// The Audio Monitoring card of a session of the viewer's own.
pub struct Card {
    pub session: String,
    pub call: String,
    pub state: &'static str,
    pub agent: String,
    pub customer: String,
    pub who: String,
    pub icon: &'static str,
    /// Who hears the viewer now.
    pub hears: String,
    /// What is said aloud when it changes.
    pub says: String,
    pub since: String,
    pub clock: String,
    pub roles: Vec<RoleButton>,
    pub listen_only: bool,
    pub can_hang_up: bool,
    /// What is asked before the session is ended, where that ends more.
    pub sure: Option<&'static str>,
}

/// A request for help that waits.
pub struct Banner {
    pub id: String,
    pub title: String,
    pub detail: String,
    pub since: String,
    pub clock: String,
}

/// A watched agent who is on a call.
pub struct Note {
    pub call: String,
    pub title: String,
    pub agent: String,
    pub customer: String,
    pub since: String,
    pub clock: String,
}

/// What a supervisor may see at this moment.
pub struct Sight<'a> {
    pub web: &'a Web,
    pub viewer: &'a SupervisorViewer,
    pub tongue: Tongue,
    /// The organisation has supervision.
    pub on: bool,
    pub calls: Vec<Call>,
    pub agents: Vec<Agent>,
    /// The viewer's own sessions.
    pub sessions: Vec<Session>,
    pub help: Vec<HelpRequest>,
}

impl<'a> Sight<'a> {
    pub async fn at(web: &'a Web, supervisor: &'a Supervisor) -> Result<Self, Response> {
        let viewer = &supervisor.viewer;
        let look = Look::at(web, viewer).await.map_err(answer::refused)?;
        let snapshot = web.live.snapshot();
        let on = viewer.supervision_on(&web.catalogue).is_ok();
        let everything = Filter {
            pool: None,
            agent: None,
        };
        let mut calls = match on {
            true => calls::calls(web, viewer, &everything)
                .await
                .map_err(answer::refused)?,
            false => Vec::new(),
        };
        // New calls come last, so that rows stay where they are.
        calls.sort_by(|a, b| (&a.answered_at, &a.id).cmp(&(&b.answered_at, &b.id)));
        let sessions = snapshot.sessions.iter();
        let sessions = sessions.filter(|session| viewer.is_mine(session));
        let help = snapshot.help.iter().filter(|request| {
            on && request.organisation == viewer.organisation && viewer.sees_agent(&request.agent)
        });
        Ok(Self {
            web,
            viewer,
            tongue: supervisor.tongue,
            on,
            calls,
            agents: look.agents(|_| true),
            sessions: sessions
                .map(|session| viewer.describe_session(session))
                .filter(|session| session.state != SessionState::Ended)
                .collect(),
            help: help
                .map(|request| help_requests::describe(&viewer.directory, request))
                .collect(),
        })
    }

    pub fn t(&self, key: &str) -> &'static str {
        self.tongue.text(key)
    }

    pub fn call(&self, id: &str) -> Option<&Call> {
        self.calls.iter().find(|call| call.id == id)
    }

    /// The viewer's own session in a call.
    pub fn session(&self, call: &str) -> Option<&Session> {
        self.sessions.iter().find(|session| session.call == call)
    }

    /// A colleague's name.
    pub fn supervisor_name(&self, user: &str) -> String {
        let key = (self.viewer.organisation.clone(), user.into());
        let entry = self.viewer.directory.supervisors.get(&key);
        entry.map_or(user, |entry| &entry.name).to_owned()
    }

    /// The viewer's own request, as an agent: somebody else helps.
    pub fn is_own(&self, request: &HelpRequest) -> bool {
        self.viewer.entry.agent_extension.as_deref() == Some(&*request.agent)
    }

    pub fn frame(&self, place: Place) -> Frame {
        let viewer = self.viewer;
        let organisation = viewer.directory.organisations.get(&viewer.organisation);
        let mut frame = Frame::bare(self.tongue, place, Reader::Supervisor);
        frame.name = viewer.entry.name.to_string();
        frame.organisation = organisation.map_or_else(String::new, |entry| entry.name.to_string());
        frame.csrf = viewer.viewer.csrf.clone();
        frame.cards = self
            .sessions
            .iter()
            .map(|session| self.card(session))
            .collect();
        let waiting = self.help.iter();
        let waiting = waiting
            .filter(|request| request.state == HelpState::Requested && !self.is_own(request));
        frame.waiting = waiting.map(|request| self.banner(request)).collect();
        frame.notes = self.notes();
        frame.counts = (self.calls.len(), frame.waiting.len());
        frame.phones = self.phones();
        frame.rings = self.rings();
        frame.any_number = self.web.settings.allow_unlisted_callout;
        frame.registered = viewer.entry.phone.as_deref().map(str::to_owned);
        let dial = organisation.and_then(|entry| entry.supervising_numbers.first());
        frame.dial = dial.map(ToString::to_string);
        frame.may_listen = self.on && viewer.entry.may.monitor;
        frame.draining = self.web.live.snapshot().draining;
        frame
    }

    /// What call-me may ring by name: the viewer's devices, and the registered phone.
    fn phones(&self) -> Vec<(String, String)> {
        let entry = &self.viewer.entry;
        let listed = |phone: &&std::sync::Arc<str>| !entry.devices.contains(phone);
        let phones = entry
            .devices
            .iter()
            .chain(entry.phone.iter().filter(listed));
        phones.map(|phone| device_label(phone)).collect()
    }

    /// Whether anything rings when all of the viewer's phones are called.
    fn rings(&self) -> bool {
        let softphone = Identity::Supervisor {
            organisation: self.viewer.organisation.clone(),
            user: self.viewer.user.clone(),
        };
        !self.viewer.entry.devices.is_empty() || self.web.registered.borrow().contains(&softphone)
    }

    fn card(&self, session: &Session) -> Card {
        let call = self.call(&session.call);
        let agent = call.map_or_else(String::new, |call| call.agent.name.clone());
        let customer = call.map_or_else(String::new, customer);
        let state = state_name(session.state);
        let hears = format!("monitoring.hears_{state}");
        let hears = self.tongue.fill(&hears, &[("agent", &agent)]);
        let people = [("agent", &*agent), ("customer", &*customer)];
        Card {
            session: session.id.clone(),
            call: session.call.clone(),
            state,
            who: match call {
                Some(_) => self.tongue.fill("monitoring.who", &people),
                None => String::new(),
            },
            icon: icon_of(session.state),
            says: format!("{}: {hears}", self.t("monitoring.title")),
            hears,
            since: session.started_at.clone(),
            clock: since(&session.started_at),
            roles: self.role_buttons(session, call, &agent),
            listen_only: !session.coaching_enabled,
            can_hang_up: self.viewer.entry.may.hang_up,
            sure: self.sure_to_end(session),
            agent,
            customer,
        }
    }

    fn banner(&self, request: &HelpRequest) -> Banner {
        let call = self.call(&request.call);
        let mut detail = request.reason.clone();
        if let Some(call) = call {
            detail = match detail.is_empty() {
                true => customer(call),
                false => format!("{detail} · {}", customer(call)),
            };
        }
        Banner {
            id: request.id.clone(),
            title: self
                .tongue
                .fill("help.asks", &[("agent", &request.agent_name)]),
            detail,
            since: request.requested_at.clone(),
            clock: since(&request.requested_at),
        }
    }

    /// Watched agents on a call that the viewer does not supervise yet.
    fn notes(&self) -> Vec<Note> {
        let watched = self.agents.iter().filter(|agent| agent.watched && self.on);
        watched
            .filter_map(|agent| self.call(agent.call.as_ref()?))
            .filter(|call| self.session(&call.id).is_none())
            .map(|call| Note {
                call: call.id.clone(),
                title: self
                    .tongue
                    .fill("note.on_call", &[("agent", &call.agent.name)]),
                agent: call.agent.name.clone(),
                customer: customer(call),
                since: call.answered_at.clone(),
                clock: clock_text(call.duration_s),
            })
            .collect()
    }
}

/// Whom the agent talks to: the contact's name, else the number.
pub fn customer(call: &Call) -> String {
    let number = match call.direction {
        Direction::Inbound => &call.from,
        Direction::Outbound => &call.to,
    };
    call.contact.as_ref().unwrap_or(number).clone()
}

/// How long ago an RFC 3339 time was, as a clock shows it.
pub fn since(at: &str) -> String {
    let at: Option<jiff::Timestamp> = at.parse().ok();
    let ms = at.map_or(0, |at| crate::edge::clock::utc_ms() - at.as_millisecond());
    clock_text(u64::try_from(ms / 1000).unwrap_or(0))
}

pub fn state_name(state: SessionState) -> &'static str {
    match state {
        SessionState::Ringing => "ringing",
        SessionState::Confirming => "confirming",
        SessionState::Monitor => "monitor",
        SessionState::Coach => "coach",
        SessionState::WhisperCaller => "whisper_caller",
        SessionState::Barge => "barge",
        SessionState::Takeover => "takeover",
        SessionState::Ended => "ended",
    }
}

pub fn icon_of(state: SessionState) -> &'static str {
    match state {
        SessionState::Ringing | SessionState::Confirming => "phone",
        SessionState::Monitor | SessionState::Ended => "listen",
        SessionState::Coach => "whisper",
        SessionState::WhisperCaller => "caller",
        SessionState::Barge => "join",
        SessionState::Takeover => "takeover",
    }
}

/// A device as call-me takes it, and as people read it.
fn device_label(device: &str) -> (String, String) {
    let label = device.strip_prefix("sip:").unwrap_or(device);
    (device.to_owned(), label.to_owned())
}
