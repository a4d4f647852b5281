//! What is the same on every page: who is signed in, the ways to other pages, the sessions that
//! run, and what is urgent.

use std::fmt::Write as _;

use crate::edge::clock;
use crate::edge::http::console::assets::ASSETS;
use crate::edge::http::console::cards::{Banner, Card, Note};
use crate::edge::http::console::texts::Tongue;
use crate::edge::http::time;

/// A page of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Calls,
    Agents,
    Supervising,
    Help,
    Audit,
    Reports,
    People,
    Contacts,
    Webhooks,
    Desk,
    Door,
}

/// Whose pages these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    Supervisor,
    Agent,
    Administrator,
    Nobody,
}

impl Reader {
    fn name(self) -> &'static str {
        match self {
            Reader::Supervisor => "supervisor",
            Reader::Agent => "agent",
            Reader::Administrator => "administrator",
            Reader::Nobody => "nobody",
        }
    }

    fn places(self) -> &'static [Place] {
        match self {
            Reader::Supervisor => &[
                Place::Calls,
                Place::Agents,
                Place::Supervising,
                Place::Help,
                Place::Audit,
                Place::Reports,
            ],
            Reader::Agent => &[Place::Desk],
            Reader::Administrator => &[
                Place::People,
                Place::Contacts,
                Place::Webhooks,
                Place::Audit,
                Place::Reports,
            ],
            Reader::Nobody => &[],
        }
    }
}

impl Place {
    /// Where it is, what it is called, and its icon.
    fn link(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Place::Calls => ("/", "nav.calls", "phone"),
            Place::Agents => ("/agents", "nav.agents", "agents"),
            Place::Supervising => ("/supervising", "nav.supervising", "eye"),
            Place::Help => ("/help", "nav.help", "help"),
            Place::Audit => ("/audit", "nav.audit", "list"),
            Place::Reports => ("/reports", "nav.reports", "chart"),
            Place::People => ("/people", "nav.people", "agents"),
            Place::Contacts => ("/contacts", "nav.contacts", "book"),
            Place::Webhooks => ("/webhooks", "nav.webhooks", "bell"),
            Place::Desk => ("/", "nav.desk", "phone"),
            Place::Door => ("/sign-in", "door.title", "agents"),
        }
    }
}

/// A way to another page.
pub struct Link {
    pub href: &'static str,
    pub icon: &'static str,
    pub label: &'static str,
    pub current: bool,
    pub count: usize,
    /// The count waits for somebody.
    pub hot: bool,
}

/// What the dialog before a session says of a role.
pub struct ListenRole {
    pub name: &'static str,
    pub title: &'static str,
    /// What follows when the phone is answered.
    pub follows: &'static str,
    pub label: &'static str,
    pub icon: &'static str,
}

pub struct Frame {
    pub tongue: Tongue,
    pub place: Place,
    pub reader: Reader,
    pub name: String,
    pub organisation: String,
    pub csrf: String,
    /// RFC 3339: the clock by which the script counts.
    pub now: String,
    pub cards: Vec<Card>,
    pub waiting: Vec<Banner>,
    pub notes: Vec<Note>,
    /// Calls, and waiting requests for help.
    pub counts: (usize, usize),
    /// Devices that call-me may ring: value and label.
    pub phones: Vec<(String, String)>,
    /// Whether any phone rings when all are called.
    pub rings: bool,
    /// Whether call-me may ring a number that is on no list.
    pub any_number: bool,
    /// The phone from which the viewer may dial in.
    pub registered: Option<String>,
    /// What they dial.
    pub dial: Option<String>,
    pub may_listen: bool,
    /// The service is being stopped, and takes nothing new.
    pub draining: bool,
}

impl Frame {
    pub fn bare(tongue: Tongue, place: Place, reader: Reader) -> Self {
        Self {
            tongue,
            place,
            reader,
            name: String::new(),
            organisation: String::new(),
            csrf: String::new(),
            now: time::rfc3339(clock::utc_ms()),
            cards: Vec::new(),
            waiting: Vec::new(),
            notes: Vec::new(),
            counts: (0, 0),
            phones: Vec::new(),
            rings: false,
            any_number: false,
            registered: None,
            dial: None,
            may_listen: false,
            draining: false,
        }
    }

    pub fn t(&self, key: &str) -> &'static str {
        self.tongue.text(key)
    }

    pub fn fill(&self, key: &str, values: &[(&str, &str)]) -> String {
        self.tongue.fill(key, values)
    }

    pub fn code(&self) -> &'static str {
        self.tongue.code()
    }

    pub fn kind(&self) -> &'static str {
        self.reader.name()
    }

    /// Whether anybody is signed in.
    pub fn is_somebodys(&self) -> bool {
        self.reader != Reader::Nobody
    }

    pub fn supervises(&self) -> bool {
        self.reader == Reader::Supervisor
    }

    pub fn may_listen(&self) -> bool {
        self.may_listen
    }

    pub fn registered(&self) -> &str {
        self.registered.as_deref().unwrap_or_default()
    }

    pub fn dial(&self) -> &str {
        self.dial.as_deref().unwrap_or_default()
    }

    pub fn title(&self) -> String {
        let (_, key, _) = self.place.link();
        format!("{} · {}", self.t(key), self.t("app.name"))
    }

    pub fn style(&self) -> &'static str {
        &ASSETS.style.path
    }

    pub fn script(&self) -> &'static str {
        &ASSETS.script.path
    }

    pub fn icon(&self) -> &'static str {
        &ASSETS.icon.path
    }

    /// An icon of `templates/part/icons.html`, as markup.
    pub fn i(&self, name: &str) -> String {
        format!(r##"<svg class="i" aria-hidden="true"><use href="#i-{name}"/></svg>"##)
    }

    pub fn initials(&self) -> String {
        initials(&self.name)
    }

    pub fn languages(&self) -> [(&'static str, &'static str); 3] {
        Tongue::ALL.map(|tongue| (tongue.code(), tongue.name()))
    }

    pub fn links(&self) -> Vec<Link> {
        let (calls, help) = self.counts;
        let places = self.reader.places().iter();
        places
            .map(|place| {
                let (href, label, icon) = place.link();
                let count = match place {
                    Place::Calls => calls,
                    Place::Help => help,
                    _ => 0,
                };
                Link {
                    href,
                    icon,
                    label: self.t(label),
                    current: *place == self.place,
                    count,
                    hot: *place == Place::Help,
                }
            })
            .collect()
    }

    /// What an agent may hear of a supervisor who joins: value and words. `otherwise` is the key of
    /// what holds where nothing is said.
    pub fn notices(&self, otherwise: &str) -> [(&'static str, &'static str); 3] {
        [
            ("", self.t(otherwise)),
            ("tone", self.t("people.notice_tone")),
            ("silent", self.t("people.notice_silent")),
        ]
    }

    /// Roles that may be asked for in a call that is not supervised yet.
    pub fn listen_roles(&self) -> [ListenRole; 4] {
        let role = |name, title: &str, follows: &str, label: &str, icon| ListenRole {
            name,
            title: self.t(title),
            follows: self.t(follows),
            label: self.t(label),
            icon,
        };
        [
            role(
                "coach",
                "listen.title_coach",
                "listen.follows_coach",
                "action.coach",
                "whisper",
            ),
            role(
                "whisper_caller",
                "listen.title_whisper_caller",
                "listen.follows_whisper_caller",
                "action.whisper_caller",
                "caller",
            ),
            role(
                "barge",
                "listen.title_barge",
                "listen.follows_barge",
                "action.barge",
                "join",
            ),
            role(
                "takeover",
                "listen.title_takeover",
                "listen.follows_takeover",
                "action.takeover",
                "takeover",
            ),
        ]
    }

    /// Reasons for which help is asked.
    pub fn reasons(&self) -> [&'static str; 5] {
        [
            self.t("help.reason_question"),
            self.t("help.reason_upset"),
            self.t("help.reason_approval"),
            self.t("help.reason_technical"),
            self.t("help.reason_other"),
        ]
    }

    /// What the script says by itself, as JSON within the page.
    pub fn script_words(&self) -> String {
        let mut text = String::from("{");
        for name in SCRIPT_WORDS {
            let key = match *name {
                "monitoring_ended" => "monitoring.ended",
                "help_closed" => "help.closed_done",
                "help_accepted" => "help.accepted_done",
                "close" => "frame.close",
                _ => "",
            };
            let words = match key.is_empty() {
                true => self.t(&format!("script.{name}")),
                false => self.t(key),
            };
            // The words are ours; that they close no element is what the replacement is for.
            let words = serde_json::to_string(words).unwrap_or_default();
            let words = words.replace('<', "\\u003c");
            let comma = if text.len() > 1 { "," } else { "" };
            let name = match *name {
                "error_not_found" => "error_not-found",
                other => other,
            };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}\"{name}\":{words}");
        }
        text + "}"
    }
}

const SCRIPT_WORDS: &[&str] = &[
    "no_connection",
    "failed",
    "ringing",
    "number_missing",
    "exists",
    "changed",
    "changed_look",
    "gone",
    "line",
    "monitoring_ended",
    "help_closed",
    "help_accepted",
    "close",
    "error_conflict",
    "error_not_found",
    "error_forbidden",
    "code_9001",
    "code_9002",
    "code_9003",
    "code_9004",
    "code_9005",
    "code_9006",
    "code_9007",
    "code_9008",
    "code_9009",
    "code_9010",
    "code_9011",
    "code_9012",
    "code_9013",
    "code_9014",
    "code_9015",
];

/// The first letters of a name's first and last word.
pub fn initials(name: &str) -> String {
    let mut words = name.split_whitespace();
    let first = words.next().and_then(|word| word.chars().next());
    let last = words.next_back().and_then(|word| word.chars().next());
    first
        .into_iter()
        .chain(last)
        .flat_map(char::to_uppercase)
        .collect()
}

/// `02:13`, or `1:02:13`.
pub fn clock_text(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes:02}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_shows_two_letters_at_most() {
        assert_eq!(initials("Aino"), "A");
        assert_eq!(initials("mia von der Heide"), "MH");
        assert_eq!(initials(""), "");
    }

    #[test]
    fn hours_are_shown_from_the_first_one_on() {
        assert_eq!(clock_text(0), "00:00");
        assert_eq!(clock_text(133), "02:13");
        assert_eq!(clock_text(3733), "1:02:13");
    }

    #[test]
    fn the_words_of_the_script_are_json_that_ends_no_element() {
        for tongue in Tongue::ALL {
            let frame = Frame::bare(tongue, Place::Door, Reader::Nobody);
            let text = frame.script_words();
            let words: serde_json::Value = serde_json::from_str(&text).unwrap();

            assert!(!text.contains('<'));
            for (name, words) in words.as_object().unwrap() {
                assert_ne!(words.as_str(), Some(""), "{name}");
            }
        }
    }
}
