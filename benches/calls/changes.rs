//! Supervisors who begin to coach and listen again, over and over: how long each change takes.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::load::Load;

/// From the first key of a command until its voice must have been heard: two keys last half a
/// second.
const LIMIT: Duration = Duration::from_secs(5);
/// Between two commands.
const REST: Duration = Duration::from_millis(500);

impl Load {
    /// Every supervisor listens, then coaches, so many times. Gives the time from the release of
    /// the last key, as it was sent, to the supervisor's voice in the agent's ear: the clamp's
    /// 20 ms after a key, and two packetisations of up to 20 ms, are in it.
    pub fn change_roles(&mut self, rounds: usize) -> anyhow::Result<Vec<u32>> {
        let mut took = Vec::new();
        for _ in 0..rounds {
            self.command("5#")?;
            took.extend(self.command("4#")?);
        }
        took.sort_unstable();
        Ok(took)
    }

    /// Has all supervisors press the same, and waits until each has let go of the last key and,
    /// where they then coach, is heard.
    fn command(&mut self, keys: &str) -> anyhow::Result<Vec<u32>> {
        let coaches = keys == "4#";
        let mut waiting: Vec<usize> = (0..self.plan.supervised).collect();
        for &call in &waiting {
            let supervisor = self.supervisor(call);
            self.streams[supervisor].released = None;
            self.streams[supervisor].keypad.press(keys);
        }
        let limit = Instant::now() + LIMIT;
        let mut took = Vec::new();
        let mut released = vec![false; self.plan.supervised];
        while !waiting.is_empty() {
            ensure!(
                Instant::now() < limit,
                "{} supervisors were not heard within {LIMIT:?} of {keys}",
                waiting.len()
            );
            self.serve()?;
            waiting.retain(|&call| {
                let Some(at) = self.streams[self.supervisor(call)].released else {
                    return true;
                };
                let agent = &mut self.streams[2 * call + 1];
                if !std::mem::replace(&mut released[call], true) {
                    // What came before the key was let go is not the voice.
                    agent.laid_over = None;
                }
                match agent.laid_over {
                    Some(heard) if coaches => {
                        took.push((heard - at).as_micros() as u32);
                        false
                    }
                    _ => coaches,
                }
            });
        }
        self.run_for(REST)?;
        Ok(took)
    }

    fn supervisor(&self, call: usize) -> usize {
        2 * self.plan.calls + call
    }
}
