//! The proof of a number that its owner sets: it is called through the routes,
//! by the organisation's first supervising number, and hears a code that is then entered on a
//! screen.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::control::audit::audit;
use crate::control::input::{Operator, Reply};
use crate::control::policy;
use crate::control::record::{Outcome, Source};
use crate::control::refusal::ErrorCode;
use crate::control::ringing::{Listed, Purpose};
use crate::control::speech::{self, Sentence};
use crate::control::supervisor::{State, SupervisorTimer};
use crate::control::switchboard::Switchboard;
use crate::id::{LegId, RequestId};
use crate::media::command::Sound;

/// Digits of a code.
const DIGITS: usize = 6;
/// A phone needs a moment between the answer and the ear.
const BEFORE: Duration = Duration::from_secs(1);
/// Time to write a code down.
const BETWEEN: Duration = Duration::from_secs(1);
/// The code is said so many times.
const TIMES: usize = 3;
/// The longest that saying it may take before BYE, should its end never be reported.
const LIMIT: Duration = Duration::from_secs(90);

/// Six digits that prove a number. Their `Debug` prints nothing of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ProofCode([u8; DIGITS]);

impl ProofCode {
    /// Six digits, and nothing else.
    pub fn of(text: &str) -> Option<Self> {
        let digits: [u8; DIGITS] = text.as_bytes().try_into().ok()?;
        digits
            .iter()
            .all(u8::is_ascii_digit)
            .then_some(Self(digits))
    }

    pub fn digits(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for ProofCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProofCode")
    }
}

impl Switchboard {
    /// Calls a number to speak a code to it. `Conflict`: no route leads to it, or a call to this
    /// supervisor is on its way already.
    pub(in crate::control) fn call_to_prove(
        &mut self,
        now: Instant,
        request: RequestId,
        who: &Operator,
        number: &Arc<str>,
        code: ProofCode,
    ) {
        let Some(entry) = self.entry_of(who) else {
            return self.reply(request, Reply::NotFound);
        };
        let draft = audit(
            Some(entry.organisation.clone()),
            entry.user.clone(),
            who.source,
            "prove_phone_call",
        )
        .detail(Some(number.clone()));
        if let Err(code) = policy::begins(self.service) {
            draft.refuse(self, Some(code));
            return self.reply(request, Reply::Refused(code));
        }
        let owner = (entry.organisation, entry.user);
        let rings_already = self.supervisors.values().any(|supervisor| {
            matches!(&supervisor.state, State::Ringing(ringing)
                if matches!(ringing.purpose, Purpose::Number(_)))
                && supervisor.who.owner().as_ref() == Some(&owner)
        });
        let device = match rings_already {
            true => None,
            false => self.device(number, Listed::No),
        };
        let Some(device) = device else {
            draft.refuse(self, None);
            return self.reply(request, Reply::Conflict);
        };
        draft.outcome(Outcome::Requested).record(self);
        let shard = self.quietest_shard();
        self.ring(now, &owner, device, Purpose::Number(code), shard);
        self.reply(request, Reply::Done);
    }

    /// Somebody has answered: the code, some times over, and then BYE.
    pub(in crate::control) fn speak_code(&mut self, now: Instant, leg: LegId, code: ProofCode) {
        self.audit_of(leg, Source::Phone, "prove_phone_call")
            .outcome(Outcome::Done)
            .record(self);
        let Some(supervisor) = self.supervisors.get_mut(&leg) else {
            return;
        };
        supervisor.state = State::Leaving;
        self.let_sleep(leg, SupervisorTimer::Ring);
        let mut sounds = vec![Sound::Pause(BEFORE)];
        for time in 0..TIMES {
            if time > 0 {
                sounds.push(Sound::Pause(BETWEEN));
            }
            sounds.extend(speech::sounds(&self.settings, &Sentence::ProofCode(code)));
            if time == 0 {
                let entered = Sentence::ConfirmNumber;
                sounds.extend(speech::sounds(&self.settings, &entered));
            }
        }
        self.play(leg, sounds);
        self.wake(leg, SupervisorTimer::Goodbye, now + LIMIT);
    }

    /// Nobody answered, or the phone and we have no codec in common.
    pub(in crate::control) fn proof_call_failed(&mut self, leg: LegId) {
        self.audit_of(leg, Source::System, "prove_phone_call")
            .outcome(Outcome::Failed)
            .code(ErrorCode::PinFailed)
            .record(self);
        self.notify_refused(ErrorCode::PinFailed);
    }
}

#[cfg(test)]
mod tests;
