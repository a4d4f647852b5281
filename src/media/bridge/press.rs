//! A key that was told by signalling, or held back, on its way to the other party.

use crate::media::bridge::{Bridge, Context};
use crate::media::command::TelephoneEventFormat;
use crate::media::dtmf::Digit;
use crate::media::legs::Legs;
use crate::media::matrix::Seat;
use crate::media::mixer::{RowKind, Verdict};
use crate::wire::telephone_event::TelephoneEvent;

/// A press lasts a tenth of a second.
const PRESSES_IN_A_SECOND: u32 = 10;

/// Power of a key, as dBm0 without the sign: what phones send.
const VOLUME: u8 = 10;

/// The beginning, then the end three times (RFC 4733 §2.5.1.4).
const REPORTS: u16 = 4;

impl Bridge {
    /// The other party hears the key if it may hear this seat: matrix and fence are asked as they
    /// are for its voice.
    pub fn press(&mut self, legs: &mut Legs, cx: &mut Context<'_>, from: Seat, digit: Digit) {
        let Some((listener, slot)) = self.counterpart(from) else {
            return;
        };
        match self.rules.judge(listener, from, 256, false) {
            Verdict::Heard { to: 1.., .. } => {}
            Verdict::Heard { .. } | Verdict::Silent | Verdict::Violation => return,
        }
        let Some(ear) = legs.at_mut(slot) else { return };
        let Some(to) = ear.path.rtp_to().filter(|_| ear.we_send()) else {
            return;
        };
        let timestamp = ear.identity.timestamp(cx.now);
        let format = ear.media.as_ref().and_then(|media| media.telephone_event);
        let Some(format) = format else {
            ear.sound_key(digit.event(), timestamp, false);
            self.stale = true;
            return;
        };
        for report in reports(digit, format) {
            let payload = report.write();
            let begins = !report.end;
            let payload_type = format.payload_type;
            let header =
                ear.identity
                    .stamp_at(cx.now, payload_type, timestamp, begins, payload.len());
            cx.outbox.rtp(slot, to, &header, &payload);
        }
        let row = &mut self.rows[listener.index()];
        // Our own packets have a clock of their own; a source that is silent for a while would let
        // the next press begin when this one did.
        let ahead = match row.kind {
            RowKind::Through => ear.identity.clock_hz() / PRESSES_IN_A_SECOND,
            RowKind::Idle | RowKind::Over | RowKind::Mix => 0,
        };
        ear.identity.inserted(&mut row.passage, REPORTS, ahead);
    }
}

/// All that is said of a press, at once: it is over when we hear of it.
fn reports(digit: Digit, format: TelephoneEventFormat) -> [TelephoneEvent; REPORTS as usize] {
    let duration = (format.clock_rate_hz / PRESSES_IN_A_SECOND).min(u32::from(u16::MAX)) as u16;
    let whole = TelephoneEvent {
        event: digit.event(),
        end: true,
        volume: VOLUME,
        duration,
    };
    let begun = TelephoneEvent {
        end: false,
        ..whole
    };
    [begun, whole, whole, whole]
}

#[cfg(test)]
mod tests;
