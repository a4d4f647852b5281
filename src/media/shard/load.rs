//! How much a thread has to do, and whether it may take on another conference.
//!
//! What is measured is always late: a supervisor who was let in a moment ago is not heard yet, and one
//! who listens may speak to the call at any time, which costs more and is not refused any more. Both are
//! reckoned with before they come, at what a packet costs this thread; so it is the last ones who are
//! refused, and those who are there stay clean.

/// A thread that would come to be busier than this convenes no further conference.
const FULL: f32 = 0.85;

/// What a conference adds to a call, in packets that are merely forwarded in a second: the
/// supervisor's own, both ways, and half as much again for hearing and mixing.
const LISTENING: f32 = 150.0;
/// What it adds once the supervisor is heard: the party's row is decoded, mixed and encoded.
const SPEAKING: f32 = 60.0;

/// Of what has changed, so much is believed at each look: a crowded moment is no load. What was let in
/// goes over from what is not measured to what is by the same share.
const BELIEVED: f32 = 0.2;

/// Seconds. A thread with little to do is woken for each packet, and would seem to be full with far
/// fewer of them than it can move.
const DEAREST_PACKET: f32 = 5e-6;

/// Until something is measured, everything is let in.
#[derive(Debug, Default)]
pub struct Load {
    busy: Option<f32>,
    /// Seconds that a packet costs.
    packet: Option<f32>,
    /// Packets a second of conferences that are not measured yet.
    unseen: f32,
    /// Conferences in which no supervisor is heard.
    listening: usize,
}

impl Load {
    /// What was measured: the share of its time that the thread used, and the packets that it moved
    /// in a second, in and out.
    pub fn note(&mut self, busy: f32, packets_per_s: f32) {
        let before = self.busy.unwrap_or(busy);
        self.busy = Some(before + (busy - before) * BELIEVED);
        self.unseen *= 1.0 - BELIEVED;
        let packet = (busy / packets_per_s.max(1.0)).min(DEAREST_PACKET);
        let before = self.packet.unwrap_or(packet);
        self.packet = Some(before + (packet - before) * BELIEVED);
    }

    /// The share of its time that the thread uses, 0 to 1.
    pub fn busy(&self) -> f32 {
        self.busy.unwrap_or(0.0)
    }

    /// Lets a conference in if there is room for it, `dearness` being what its codecs cost beside
    /// G.711.
    pub fn admit(&mut self, dearness: f32) -> bool {
        let wanted = LISTENING * dearness;
        let may_come = SPEAKING * (self.listening as f32 + dearness);
        let packet = self.packet.unwrap_or(0.0);
        let admitted = self.busy() + packet * (self.unseen + wanted + may_come) <= FULL;
        if admitted {
            self.unseen += wanted;
        }
        admitted
    }

    /// A conference began to listen, or is heard, or is over.
    pub fn listens(&mut self, before: bool, now: bool) {
        self.listening += usize::from(now);
        self.listening -= usize::from(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plain call, and what a conference comes to, in packets a second.
    const PLAIN: f32 = 200.0;
    const PACKET: f32 = 4e-6;

    #[test]
    fn conferences_are_let_in_while_all_of_them_may_speak_and_no_further() {
        let (mut load, calls) = (Load::default(), 600);
        let mut admitted = 0;

        for _ in 0..calls {
            // What was let in before has been measured.
            let packets = calls as f32 * PLAIN + admitted as f32 * LISTENING;
            for _ in 0..30 {
                load.note(packets * PACKET, packets);
            }
            if load.admit(1.0) {
                admitted += 1;
                load.listens(false, true);
            }
        }

        let all_speak = calls as f32 * PLAIN + admitted as f32 * (LISTENING + SPEAKING);
        assert!(all_speak * PACKET <= FULL, "{admitted}");
        assert!(
            (all_speak + LISTENING + SPEAKING) * PACKET > FULL,
            "{admitted}"
        );
    }

    #[test]
    fn a_crowd_that_comes_at_once_is_counted_before_it_is_measured() {
        let mut load = Load::default();
        load.note(0.5, 125_000.0);

        let admitted = (0..1_000).filter(|_| load.admit(1.0)).count();

        assert!((500..600).contains(&admitted), "{admitted}");
    }

    #[test]
    fn one_crowded_moment_turns_nobody_away() {
        let mut load = Load::default();
        for _ in 0..30 {
            load.note(0.4, 100_000.0);
        }
        load.note(0.9, 100_000.0);

        assert!((0..100).all(|_| load.admit(1.0)));
    }

    #[test]
    fn a_thread_with_little_to_do_is_not_taken_for_full() {
        let mut load = Load::default();
        load.note(0.03, 500.0);

        assert!((0..100).all(|_| load.admit(1.0)));
    }
}
