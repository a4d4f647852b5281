//! What happens in the demo, a line each, with the time since it began.

use std::time::Instant;

use crate::edge::clock;

pub struct Timeline {
    began: Instant,
}

impl Timeline {
    pub fn begin() -> Self {
        Self {
            began: clock::now(),
        }
    }

    /// Something that has just happened.
    pub fn say(&self, text: &str) {
        self.at(clock::now(), text);
    }

    /// What is known by now of the last moments, in the order in which it happened.
    pub fn tell(&self, mut happened: Vec<(Instant, String)>) {
        happened.sort();
        for (at, text) in happened {
            self.at(at, &text);
        }
    }

    fn at(&self, at: Instant, text: &str) {
        let seconds = at.saturating_duration_since(self.began).as_secs_f64();
        println!("{seconds:8.2} s  {text}");
    }
}
