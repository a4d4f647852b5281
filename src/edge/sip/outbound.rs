//! The client side of an INVITE, from `Dial` to its final answer.
//!
//! A registered phone with several contacts is rung on all of them and the first to answer wins.
//! After `Cancel` the leg is the edge's own affair: control hears `Failed { 487 }` and nothing
//! more, and an answer that crosses with the CANCEL is acknowledged and ended here.

use std::time::Duration;

use rsipstack::sip::{Method, Response, StatusCodeKind};
use rsipstack::transaction::transaction::Transaction;
use std::time::Instant;

use crate::control::input::Signal;
use crate::control::output::{Dial, Reason, SignalCommand};
use crate::edge::clock;
use crate::edge::sip::branch::{Branch, Progress};
use crate::edge::sip::leg::{Leg, Mail, News, TransactionId};
use crate::edge::sip::message::{description, status_of};
use crate::edge::sip::requests::serve;
use crate::edge::sip::resolve::ways;
use crate::edge::sip::session::Session;
use crate::edge::sip::session_timer::SessionTimer;

/// How long a phone may ring when nobody else sets an end to it (RFC 3261 timer C).
const RINGING: Duration = Duration::from_secs(200);

/// Places a call. The leg is known under its id already.
pub async fn dial(mut leg: Leg, dial: Dial) {
    let status = match begin(&mut leg, &dial).await {
        Ok(branches) => {
            Dialling {
                leg,
                branches,
                told: None,
                withdrawn: None,
                until: clock::now() + RINGING,
            }
            .run()
            .await;
            return;
        }
        Err(status) => status,
    };
    leg.tell(failed(status)).await;
}

async fn begin(leg: &mut Leg, dial: &Dial) -> Result<Vec<Branch>, u16> {
    // An INVITE without offer would need its answer with the ACK, which control cannot give.
    let sdp = dial.sdp.as_ref().ok_or(488_u16)?;
    if dial.max_forwards == 0 {
        return Err(483);
    }
    let shared = leg.shared.clone();
    let ways = ways(&shared, dial).await?;
    let branches: Vec<Branch> = ways
        .into_iter()
        .filter_map(|way| Branch::start(leg, way, dial, sdp))
        .collect();
    if branches.is_empty() {
        return Err(480);
    }
    Ok(branches)
}

/// Redirections are not followed, and a challenge that we cannot meet is not for our caller.
fn failed(status: u16) -> Signal {
    let status = match status {
        300..=399 => 480,
        401 | 407 => 403,
        _ => status,
    };
    let phrase = rsipstack::sip::StatusCode::from(status);
    Signal::Failed {
        status,
        reason: phrase.text().into(),
    }
}

struct Dialling {
    leg: Leg,
    branches: Vec<Branch>,
    /// The last progress that control heard: a repeat is not told.
    told: Option<(u16, bool)>,
    withdrawn: Option<Withdrawn>,
    until: Instant,
}

/// The INVITE was given up.
struct Withdrawn {
    /// What control hears, until it has heard it.
    tell: Option<Signal>,
    /// When control hears it at the latest.
    tell_by: Instant,
}

enum Next {
    Stay,
    Over,
    Answered {
        winner: usize,
        response: Box<Response>,
    },
}

impl Dialling {
    async fn run(mut self) {
        let (winner, response) = loop {
            let mail = self.leg.next_within(self.wait()).await;
            let next = match mail {
                None => self.time_is_up().await,
                Some(Mail::Command(command)) => self.obey(*command).await,
                Some(Mail::News { transaction, news }) => self.hear(transaction, news).await,
                Some(Mail::Request(transaction)) => {
                    self.request(*transaction).await;
                    Next::Stay
                }
            };
            match next {
                Next::Stay => {}
                Next::Over => return,
                Next::Answered { winner, response } => break (winner, response),
            }
        };
        for (index, branch) in self.branches.iter_mut().enumerate() {
            if index != winner {
                branch.cancel(&mut self.leg, None);
            }
        }
        let dialog = self.branches[winner].accept(&self.leg, &response).await;
        let sdp = description(&response.headers, &response.body)
            .ok()
            .flatten();
        if dialog.is_focus {
            self.leg.tell(Signal::Focus(true)).await;
        }
        self.leg.tell(Signal::Answered { sdp }).await;
        let account = self.branches[winner].account.clone();
        let shortest = self.leg.shared.settings.shortest_session;
        let timer = SessionTimer::agreed(clock::now(), &response.headers, shortest, None)
            .map(|timer| timer.describing(self.branches[winner].offer()));
        Session::new(self.leg, dialog, account)
            .made_by(self.branches, winner)
            .timed_by(timer)
            .start();
    }

    /// A request of a callee in its early dialog.
    async fn request(&mut self, mut transaction: Transaction) {
        let request = &transaction.original;
        let is_early = self.branches.iter().any(|branch| branch.is_early(request));
        match request.method {
            _ if !is_early => self.leg.refuse(transaction, 481).await,
            Method::Invite => self.leg.refuse(transaction, 491).await,
            // It has no business there (RFC 3261 §15).
            Method::Bye => self.leg.refuse(transaction, 481).await,
            _ => serve(&self.leg, &mut transaction).await,
        }
    }

    fn wait(&self) -> Duration {
        let until = match &self.withdrawn {
            Some(Withdrawn {
                tell: Some(_),
                tell_by,
            }) => (*tell_by).min(self.until),
            _ => self.until,
        };
        until.saturating_duration_since(clock::now())
    }

    async fn time_is_up(&mut self) -> Next {
        match &mut self.withdrawn {
            Some(withdrawn) => {
                if let Some(signal) = withdrawn.tell.take() {
                    self.leg.tell(signal).await;
                }
                if clock::now() >= self.until {
                    return Next::Over;
                }
            }
            None => self.withdraw(None, failed(408)),
        }
        Next::Stay
    }

    async fn obey(&mut self, command: SignalCommand) -> Next {
        match command {
            SignalCommand::Cancel { reason } => self.withdraw(reason, failed(487)),
            SignalCommand::HangUp { reason } => self.withdraw(reason, Signal::HangUpDone),
            SignalCommand::Reinvite { request, .. } => {
                self.leg
                    .tell(Signal::ReinviteAnswered {
                        request,
                        result: Err(491),
                    })
                    .await;
            }
            SignalCommand::Ring
            | SignalCommand::Progress { .. }
            | SignalCommand::Answer { .. }
            | SignalCommand::Reject { .. }
            | SignalCommand::Dial(_)
            | SignalCommand::AcceptReinvite { .. }
            | SignalCommand::RefuseReinvite { .. }
            | SignalCommand::AcceptRefer { .. }
            | SignalCommand::RefuseRefer { .. }
            | SignalCommand::NotifyRefer { .. } => {
                tracing::warn!(leg = %self.leg.id, "a command that does not fit a dialling leg");
            }
        }
        Next::Stay
    }

    fn withdraw(&mut self, reason: Option<Reason>, tell: Signal) {
        if self.withdrawn.is_some() {
            return;
        }
        let t1 = self.leg.shared.settings.t1;
        for branch in &mut self.branches {
            branch.cancel(&mut self.leg, reason.clone());
        }
        self.withdrawn = Some(Withdrawn {
            tell: Some(tell),
            tell_by: clock::now() + t1 * 4,
        });
        // A phone that does not even answer its CANCEL is waited for as long as a repeat of the
        // INVITE's answer could come.
        self.until = clock::now() + t1 * 64;
    }

    async fn hear(&mut self, transaction: TransactionId, news: News) -> Next {
        let Some(index) = self
            .branches
            .iter()
            .position(|branch| branch.transaction == transaction)
        else {
            return Next::Stay;
        };
        match news {
            News::Response(response) => match response.status_code.kind() {
                StatusCodeKind::Provisional => {
                    self.branches[index].proceeds(&mut self.leg);
                    self.branches[index].rings(&response);
                    self.progressed(&response).await;
                    Next::Stay
                }
                StatusCodeKind::Successful if self.withdrawn.is_some() => {
                    self.branches[index].dismiss(&mut self.leg, &response).await;
                    self.done(index, 487).await
                }
                StatusCodeKind::Successful => Next::Answered {
                    winner: index,
                    response,
                },
                _ => {
                    let status = status_of(&response);
                    if matches!(status, 401 | 407)
                        && self.branches[index].retry(&mut self.leg, &response)
                    {
                        return Next::Stay;
                    }
                    self.done(index, status).await
                }
            },
            // The request could not be sent, or its transaction ended without a word.
            News::Ended => match self.branches[index].progress {
                Progress::Done(_) => Next::Stay,
                Progress::Calling | Progress::Proceeding => self.done(index, 503).await,
            },
            News::Cancelled | News::Acknowledged(_) => Next::Stay,
        }
    }

    async fn progressed(&mut self, response: &Response) {
        let status = status_of(response);
        if status == 100 || self.withdrawn.is_some() {
            return;
        }
        let sdp = description(&response.headers, &response.body)
            .ok()
            .flatten();
        let news = (status, sdp.is_some());
        if self.told == Some(news) {
            return;
        }
        self.told = Some(news);
        self.leg.tell(Signal::Progressed { status, sdp }).await;
    }

    /// One branch is at its end; with the last, the dial is.
    async fn done(&mut self, index: usize, status: u16) -> Next {
        self.branches[index].progress = Progress::Done(status);
        let statuses: Option<Vec<u16>> = self
            .branches
            .iter()
            .map(|branch| match branch.progress {
                Progress::Done(status) => Some(status),
                Progress::Calling | Progress::Proceeding => None,
            })
            .collect();
        let Some(statuses) = statuses else {
            return Next::Stay;
        };
        let signal = match &mut self.withdrawn {
            Some(withdrawn) => withdrawn.tell.take(),
            None => Some(failed(best(&statuses))),
        };
        if let Some(signal) = signal {
            self.leg.tell(signal).await;
        }
        Next::Over
    }
}

/// What several refusals come to (RFC 3261 §16.7): a 6xx speaks for all, then what says most about
/// the person: busy before not answering, not answering before not reached.
fn best(statuses: &[u16]) -> u16 {
    let rank = |status: u16| match status {
        600.. => 0,
        486 => 1,
        408 | 480 | 487 => 3,
        500..600 => 4,
        _ => 2,
    };
    statuses
        .iter()
        .copied()
        .min_by_key(|status| rank(*status))
        .unwrap_or(480)
}

#[cfg(test)]
mod tests {
    use super::best;

    #[test]
    fn the_refusal_that_says_most_is_told() {
        assert_eq!(best(&[503, 486]), 486);
        assert_eq!(best(&[408, 404, 503]), 404);
        assert_eq!(best(&[486, 603]), 603);
        assert_eq!(best(&[480]), 480);
    }
}
