//! One look at what a supervisor may see, and the parts that every page shows of it: the sessions
//! that run, requests for help that wait, and watched agents who are on a call.

use axum::response::Response;

use crate::control::input::Identity;
use crate::control::settings::WhisperCaller;
use crate::edge::http::Web;
use crate::edge::http::agents::{Agent, Look};
use crate::edge::http::calls::{self, Call, Direction, Filter};
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

pub struct RoleButton {
    pub name: &'static str,
    pub label: String,
    pub icon: &'static str,
    pub current: bool,
    pub off: bool,
    /// Releases the agent.
    pub grave: bool,
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

/// What a row or a request offers to do.
pub struct Act {
    pub name: &'static str,
    pub label: &'static str,
    pub icon: &'static str,
    pub class: &'static str,
    pub toggle: bool,
    pub on: bool,
    pub off: bool,
    /// What is asked before it is done.
    pub sure: Option<&'static str>,
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

    /// Whether the viewer may whisper to the customer of a call.
    pub fn whispers_to_caller(&self, call: &Call) -> bool {
        self.viewer.entry.may.whisper_caller
            && match self.web.settings.whisper_caller {
                WhisperCaller::Always => true,
                WhisperCaller::OnNet => call.caller_on_net,
                WhisperCaller::Never => false,
            }
    }

    /// The viewer's own request, as an agent: somebody else helps.
    pub fn is_own(&self, request: &HelpRequest) -> bool {
        self.viewer.entry.agent_extension.as_deref() == Some(&*request.agent)
    }

    /// After a takeover the customer has nobody else.
    fn sure_to_end(&self, session: &Session) -> Option<&'static str> {
        let taken_over = session.state == SessionState::Takeover;
        taken_over.then(|| self.t("monitoring.end_sure"))
    }

    /// What the viewer may do with a call.
    pub fn acts(&self, call: &Call) -> Vec<Act> {
        let may = self.viewer.entry.may;
        let session = self.session(&call.id);
        let is = |state| session.is_some_and(|session| session.state == state);
        let listens = Act {
            name: "listen",
            label: self.t(if session.is_some() {
                "action.stop"
            } else {
                "action.listen"
            }),
            icon: "listen",
            class: "go",
            toggle: true,
            on: session.is_some(),
            off: false,
            sure: session.and_then(|session| self.sure_to_end(session)),
        };
        let role = |name, key: &str, icon, state| Act {
            name,
            label: self.t(key),
            icon,
            class: "",
            toggle: true,
            on: is(state),
            off: match session {
                Some(session) => !offers(session, state),
                None => !may.monitor,
            },
            sure: None,
        };
        let all = [
            (may.monitor, listens),
            (
                may.coach,
                role("coach", "action.coach", "whisper", SessionState::Coach),
            ),
            (
                self.whispers_to_caller(call),
                role(
                    "whisper_caller",
                    "action.whisper_caller",
                    "caller",
                    SessionState::WhisperCaller,
                ),
            ),
            (
                may.barge,
                role("barge", "action.barge", "join", SessionState::Barge),
            ),
            (
                may.takeover,
                role(
                    "takeover",
                    "action.takeover",
                    "takeover",
                    SessionState::Takeover,
                ),
            ),
            (
                may.hang_up,
                Act {
                    name: "hangup",
                    label: self.t("action.hangup"),
                    icon: "hangup",
                    class: "danger",
                    toggle: false,
                    on: false,
                    off: false,
                    sure: None,
                },
            ),
        ];
        all.into_iter()
            .filter(|(may, _)| *may)
            .map(|(_, act)| act)
            .collect()
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

    fn role_buttons(&self, session: &Session, call: Option<&Call>, agent: &str) -> Vec<RoleButton> {
        let may = self.viewer.entry.may;
        let all = [
            (SessionState::Monitor, may.monitor),
            (SessionState::Coach, may.coach),
            (
                SessionState::WhisperCaller,
                session.state == SessionState::WhisperCaller
                    || call.is_some_and(|call| self.whispers_to_caller(call)),
            ),
            (SessionState::Barge, may.barge),
            (SessionState::Takeover, may.takeover),
        ];
        let permitted = all.into_iter().filter(|(_, may)| *may);
        permitted
            .map(|(state, _)| {
                let name = state_name(state);
                RoleButton {
                    name,
                    label: self
                        .tongue
                        .fill(&format!("monitoring.{name}"), &[("agent", agent)]),
                    icon: icon_of(state),
                    current: session.state == state,
                    off: !offers(session, state),
                    grave: state == SessionState::Takeover,
                }
            })
            .collect()
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

/// Whether a session can be brought into a role now: in the row and in the card alike.
fn offers(session: &Session, role: SessionState) -> bool {
    let speaks = role != SessionState::Monitor;
    match session.state {
        SessionState::Ringing
        | SessionState::Confirming
        | SessionState::Takeover
        | SessionState::Ended => false,
        SessionState::Monitor
        | SessionState::Coach
        | SessionState::WhisperCaller
        | SessionState::Barge => session.coaching_enabled || !speaks,
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

fn icon_of(state: SessionState) -> &'static str {
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
