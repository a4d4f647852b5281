//! Whether a phone is still there: says so when nothing has come from it for too long.

use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub struct Watch {
    after: [Option<Duration>; 2],
    reported: [bool; 2],
    /// Silence counts from here: the last packet, or the moment when watching began.
    since: Option<Instant>,
    heard: bool,
}

impl Watch {
    pub fn begin(&mut self, now: Instant, after: [Option<Duration>; 2]) {
        self.after = after;
        self.reported = [false; 2];
        self.since = Some(now);
    }

    /// Something came; true when that is news: the very first, or after a silence.
    pub fn hear(&mut self, now: Instant) -> bool {
        self.since = Some(now);
        let news = !self.heard || self.reported != [false; 2];
        self.heard = true;
        if news {
            self.reported = [false; 2];
        }
        news
    }

    /// When to look again.
    pub fn due(&self) -> Option<Instant> {
        let since = self.since?;
        (0..2)
            .filter(|entry| !self.reported[*entry])
            .filter_map(|entry| self.after[entry])
            .map(|after| since + after)
            .min()
    }

    /// One silence that has lasted long enough and was not yet told.
    pub fn silence(&mut self, now: Instant) -> Option<Duration> {
        let lasting = now.saturating_duration_since(self.since?);
        let entry = (0..2).find(|entry| {
            !self.reported[*entry] && self.after[*entry].is_some_and(|after| lasting >= after)
        })?;
        self.reported[entry] = true;
        self.after[entry]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_silence_is_told_once_until_something_is_heard() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watch = Watch::default();
        watch.begin(
            start,
            [Some(Duration::from_secs(30)), Some(Duration::from_secs(60))],
        );

        assert!(watch.hear(at(1)));
        assert!(!watch.hear(at(2)));
        assert_eq!(watch.due(), Some(at(32)));
        assert_eq!(watch.silence(at(31)), None);
        assert_eq!(watch.silence(at(32)), Some(Duration::from_secs(30)));
        assert_eq!(watch.silence(at(33)), None);
        assert_eq!(watch.due(), Some(at(62)));
        assert_eq!(watch.silence(at(62)), Some(Duration::from_secs(60)));
        assert_eq!(watch.due(), None);

        assert!(watch.hear(at(70)));
        assert_eq!(watch.due(), Some(at(100)));
    }

    #[test]
    fn who_is_not_watched_is_never_silent() {
        let now = Instant::now();
        let mut watch = Watch::default();
        watch.hear(now);

        assert_eq!(watch.due(), None);
        assert_eq!(watch.silence(now + Duration::from_secs(1_000)), None);
    }
}
