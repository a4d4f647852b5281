//! Session timers (RFC 4028): how long a session lasts that nobody refreshes, and whose part it is
//! to refresh it.
//!
//! We ask for none ourselves. Where the peer leaves us the choice the part is the peer's; where it
//! gives us the part, or cannot play it, we refresh.

use std::time::{Duration, Instant};

use rsipstack::sip::{Headers, Method, Request};

use crate::edge::sip::message::{Answer, header, headers_of, named};

/// A session is ended so long before its time is up, or a third of that time if it is short (§10).
const BEFORE_THE_END: Duration = Duration::from_secs(32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refresher {
    Us,
    Peer,
}

/// The timer of a session that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionTimer {
    /// Session-Expires.
    seconds: u32,
    refresher: Refresher,
    /// When a 2xx last set the time anew.
    since: Instant,
    /// When we refresh, if it is our part.
    next: Instant,
    /// The peer takes UPDATE (RFC 3311), which leaves the description alone.
    by_update: bool,
    /// The description that we gave last: a refresh by re-INVITE repeats it.
    description: Vec<u8>,
}

/// What a Session-Expires says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    seconds: u32,
    /// Whether the part is that of who sent the request. `None` where that is left open.
    by_client: Option<bool>,
}

impl SessionTimer {
    /// What a 2xx of ours to a request sets (§9, table 2). `running` is what was set before it.
    pub fn asked(now: Instant, request: &Request, running: Option<&Self>) -> Option<Self> {
        let headers = &request.headers;
        let is_known = knows_timers(headers);
        let (seconds, refresher) = match wish_of(headers) {
            Some(wish) if is_known && wish.by_client != Some(false) => {
                (wish.seconds, Refresher::Peer)
            }
            Some(wish) => (wish.seconds, Refresher::Us),
            // One who knows timers and does not name ours keeps it.
            None => running
                .filter(|_| is_known)
                .map(|running| (running.seconds, running.refresher))?,
        };
        let by_update = request.method == Method::Update || takes_update(headers, running);
        Some(Self::set(now, seconds, refresher, by_update))
    }

    /// What a 2xx of the peer sets (§7.2): without a Session-Expires in it nothing ends. No session
    /// is shorter than `shortest`.
    pub fn agreed(
        now: Instant,
        headers: &Headers,
        shortest: Duration,
        running: Option<&Self>,
    ) -> Option<Self> {
        let wish = wish_of(headers)?;
        let refresher = match wish.by_client {
            Some(false) => Refresher::Peer,
            Some(true) | None => Refresher::Us,
        };
        let seconds = wish.seconds.max(whole_seconds(shortest));
        let by_update = takes_update(headers, running);
        Some(Self::set(now, seconds, refresher, by_update))
    }

    fn set(now: Instant, seconds: u32, refresher: Refresher, by_update: bool) -> Self {
        Self {
            seconds,
            refresher,
            since: now,
            next: now + interval(seconds) / 2,
            by_update,
            description: Vec::new(),
        }
    }

    /// Keeps what our side of the session was described with, for as long as it is needed.
    pub fn describing(mut self, description: &[u8]) -> Self {
        if self.refresher == Refresher::Us {
            self.description = description.to_vec();
        }
        self
    }

    pub fn description(&self) -> &[u8] {
        &self.description
    }

    /// When something is to be done: a refresh, or the end.
    pub fn due(&self) -> Instant {
        match self.refresher {
            Refresher::Us => self.next.min(self.end()),
            Refresher::Peer => self.end(),
        }
    }

    /// When nobody has refreshed in time.
    pub fn end(&self) -> Instant {
        let interval = interval(self.seconds);
        self.since + (interval - BEFORE_THE_END.min(interval / 3))
    }

    /// The method of the refresh that is sent now, if there is one that can be. It is tried again
    /// should nothing come of it.
    pub fn refresh(&mut self, now: Instant) -> Option<Method> {
        self.next = now + interval(self.seconds) / 12;
        match (self.by_update, self.description.is_empty()) {
            (true, _) => Some(Method::Update),
            (false, false) => Some(Method::Invite),
            (false, true) => None,
        }
    }

    /// A refresh of ours was refused.
    pub fn refused(&mut self, method: Method, status: u16, headers: &Headers) {
        let wanted = header(headers, "Min-SE").and_then(leading_seconds);
        match (status, wanted) {
            (422, Some(seconds)) => self.seconds = self.seconds.max(seconds),
            (405 | 488 | 501, _) if method == Method::Update => self.by_update = false,
            _ => {}
        }
    }

    /// Puts what a 2xx of ours sets into it.
    pub fn promise<'a>(timer: Option<&Self>, request: &Request, answer: Answer<'a>) -> Answer<'a> {
        let Some(timer) = timer else {
            return answer;
        };
        let who = match timer.refresher {
            Refresher::Us => "uas",
            Refresher::Peer => "uac",
        };
        let answer = answer.with(
            "Session-Expires",
            format!("{};refresher={who}", timer.seconds),
        );
        if knows_timers(&request.headers) {
            return answer.with("Require", "timer");
        }
        answer
    }

    /// Puts what shall go on into a re-INVITE or UPDATE of ours (§7.4).
    pub fn ask(&self, request: &mut Request) {
        let who = match self.refresher {
            Refresher::Us => "uac",
            Refresher::Peer => "uas",
        };
        let wish = format!("{};refresher={who}", self.seconds);
        request.headers.push(named("Supported", "timer"));
        request.headers.push(named("Session-Expires", wish));
    }
}

/// What a request is refused with, 422, that wants a session shorter than we allow (§6).
pub fn too_short<'a>(request: &'a Request, shortest: Duration) -> Option<Answer<'a>> {
    let shortest = whole_seconds(shortest);
    wish_of(&request.headers)
        .is_some_and(|wish| wish.seconds < shortest)
        .then(|| Answer::new(request, 422).with("Min-SE", shortest.to_string()))
}

fn interval(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

/// `None` also for one that cannot be read: it asks for nothing.
fn wish_of(headers: &Headers) -> Option<Wish> {
    let value = header(headers, "Session-Expires")?;
    let refresher = value
        .split(';')
        .skip(1)
        .filter_map(|param| param.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("refresher"))
        .map(|(_, who)| who.trim());
    Some(Wish {
        seconds: leading_seconds(value)?,
        by_client: match refresher {
            Some(who) if who.eq_ignore_ascii_case("uac") => Some(true),
            Some(who) if who.eq_ignore_ascii_case("uas") => Some(false),
            _ => None,
        },
    })
}

fn leading_seconds(value: &str) -> Option<u32> {
    value.split(';').next()?.trim().parse().ok()
}

fn knows_timers(headers: &Headers) -> bool {
    lists(headers, "Supported", "timer") || lists(headers, "Require", "timer")
}

fn takes_update(headers: &Headers, running: Option<&SessionTimer>) -> bool {
    running.is_some_and(|running| running.by_update) || lists(headers, "Allow", "UPDATE")
}

fn lists(headers: &Headers, name: &str, word: &str) -> bool {
    headers_of(headers, name)
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::clock;

    fn request(list: &[(&str, &str)]) -> Request {
        Request {
            method: Method::Invite,
            uri: rsipstack::sip::Uri::try_from("sip:204@127.0.0.1").unwrap(),
            version: rsipstack::sip::Version::V2,
            headers: Headers::from(
                list.iter()
                    .map(|(name, value)| named(name, *value))
                    .collect::<Vec<_>>(),
            ),
            body: Vec::new(),
        }
    }

    const KNOWS: (&str, &str) = ("Supported", "replaces, timer");

    #[test]
    fn the_peer_refreshes_unless_it_gives_us_the_part_or_cannot() {
        let now = clock::now();
        for (list, expected) in [
            (
                &[KNOWS, ("Session-Expires", "90")][..],
                Some(Refresher::Peer),
            ),
            (
                &[("Require", "timer"), ("Session-Expires", "90")],
                Some(Refresher::Peer),
            ),
            (
                &[KNOWS, ("Session-Expires", "90 ; Refresher = UAC")],
                Some(Refresher::Peer),
            ),
            (
                &[KNOWS, ("Session-Expires", "90;refresher=uas")],
                Some(Refresher::Us),
            ),
            (&[("Session-Expires", "90")], Some(Refresher::Us)),
            (&[KNOWS], None),
            (&[KNOWS, ("Session-Expires", "soon")], None),
        ] {
            let timer = SessionTimer::asked(now, &request(list), None);

            assert_eq!(timer.map(|timer| timer.refresher), expected, "{list:?}");
        }
    }

    #[test]
    fn a_peer_that_knows_timers_and_names_none_keeps_the_one_that_runs() {
        let now = clock::now();
        let asked = request(&[KNOWS, ("Session-Expires", "90")]);
        let running = SessionTimer::asked(now, &asked, None);
        let later = now + Duration::from_secs(40);

        let kept = SessionTimer::asked(later, &request(&[KNOWS]), running.as_ref()).unwrap();
        let ended = SessionTimer::asked(later, &request(&[]), running.as_ref());

        assert_eq!((kept.seconds, kept.refresher), (90, Refresher::Peer));
        assert_eq!(kept.end(), later + Duration::from_secs(60));
        assert_eq!(ended, None);
    }

    #[test]
    fn a_session_ends_shortly_before_its_time_is_up() {
        let now = clock::now();
        for (expires, after) in [("90", 60), ("1800", 1768), ("4294967295", 4_294_967_263)] {
            let asked = request(&[KNOWS, ("Session-Expires", expires)]);
            let timer = SessionTimer::asked(now, &asked, None).unwrap();

            assert_eq!(timer.end(), now + Duration::from_secs(after));
            assert_eq!(timer.due(), timer.end());
        }
    }

    #[test]
    fn a_refresh_of_ours_goes_out_at_half_time_and_again_until_the_end() {
        let now = clock::now();
        let asked = request(&[("Session-Expires", "90;refresher=uas"), ("Allow", "UPDATE")]);
        let mut timer = SessionTimer::asked(now, &asked, None)
            .unwrap()
            .describing(b"v=0");
        let half = now + Duration::from_secs(45);

        assert_eq!(timer.due(), half);
        assert_eq!(timer.refresh(half), Some(Method::Update));
        assert!(timer.due() > half && timer.due() < timer.end());
        timer.refused(Method::Update, 405, &Headers::default());
        assert_eq!(timer.refresh(timer.end()), Some(Method::Invite));
        assert_eq!(timer.due(), timer.end());
    }

    #[test]
    fn what_a_2xx_says_is_kept_but_never_shorter_than_allowed() {
        let now = clock::now();
        let agreed = |value: &str| {
            let headers = request(&[("Session-Expires", value)]).headers;
            let timer = SessionTimer::agreed(now, &headers, Duration::from_secs(90), None)?;
            Some((timer.seconds, timer.refresher))
        };

        assert_eq!(agreed("600;refresher=uas"), Some((600, Refresher::Peer)));
        assert_eq!(agreed("600;refresher=uac"), Some((600, Refresher::Us)));
        assert_eq!(agreed("0;refresher=uac"), Some((90, Refresher::Us)));
        assert_eq!(agreed("never"), None);
    }
}
