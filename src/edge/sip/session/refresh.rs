//! Session timers of a standing leg (RFC 4028): the refreshes of either side, and the end of a
//! session that nobody refreshed.

use std::time::Instant;

use rsipstack::sip::{Headers, Method, Request};
use rsipstack::transaction::transaction::Transaction;

use crate::control::input::Signal;
use crate::control::output::Reason;
use crate::edge::clock;
use crate::edge::sip::message::{Answer, named};
use crate::edge::sip::requests::send;
use crate::edge::sip::session::{Ending, Next, Outgoing, Session};
use crate::edge::sip::session_timer::{SessionTimer, too_short};

impl Session {
    /// When the timer wants something done.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.ending {
            Ending::No => self.timer.as_ref().map(|timer| timer.due()),
            Ending::AfterAck(_) | Ending::Sent { .. } => None,
        }
    }

    pub(super) async fn time_is_up(&mut self) -> Next {
        let now = clock::now();
        let Some(timer) = &mut self.timer else {
            return Next::Stay;
        };
        if now >= timer.end() {
            return self.expire().await;
        }
        // A request of either side that is under way may refresh too; else it is tried again.
        if let Some(method) = timer.refresh(now)
            && self.outgoing.is_none()
            && self.incoming.is_none()
            && self.unacknowledged.is_none()
        {
            self.send_refresh(method).await;
        }
        Next::Stay
    }

    async fn send_refresh(&mut self, method: Method) {
        let Ok(flow) = self.dialog.way(&self.leg.shared).await else {
            return;
        };
        let Some(mut request) = self.dialog.request(method, &flow) else {
            return;
        };
        request.headers.push(named("Contact", flow.contact()));
        if let Some(timer) = &self.timer {
            timer.ask(&mut request);
            if method == Method::Invite {
                let allow = named("Allow", crate::edge::sip::guard::ALLOW);
                request.headers.push(allow);
                let kind = named("Content-Type", "application/sdp");
                request.headers.push(kind);
                request.body = timer.description().to_vec();
            }
        }
        self.outgoing = Some(Outgoing {
            request: None,
            transaction: self.leg.request(request.clone(), &flow),
            sent: request,
            tried_with_account: false,
        });
    }

    /// An UPDATE of the peer. An offer in it would have to go through control; UPDATE is not in
    /// Allow, so a peer that has one uses re-INVITE.
    pub(super) async fn updated(&mut self, mut transaction: Transaction) {
        let request = transaction.original.clone();
        let shortest = self.leg.shared.settings.shortest_session;
        let answer = if !request.body.is_empty() {
            Answer::new(&request, 488)
        } else if let Some(refusal) = too_short(&request, shortest) {
            refusal
        } else {
            self.note_target(&request.headers).await;
            let running = self.timer.take();
            let running = running.as_deref();
            let description = running.map_or(&[][..], SessionTimer::description);
            self.timer = SessionTimer::asked(clock::now(), &request, running)
                .map(|timer| Box::new(timer.describing(description)));
            let answer = Answer::new(&request, 200).with("Contact", self.dialog.flow.contact());
            SessionTimer::promise(self.timer.as_deref(), &request, answer)
        };
        let answer = answer.build();
        send(&mut transaction, answer).await;
    }

    /// What a 2xx to a re-INVITE or UPDATE of ours sets.
    pub(super) fn refreshed(&mut self, sent: &Request, headers: &Headers) {
        let shortest = self.leg.shared.settings.shortest_session;
        let running = self.timer.take();
        let running = running.as_deref();
        let description = match running {
            Some(running) if sent.method == Method::Update => running.description(),
            _ => &sent.body[..],
        };
        self.timer = SessionTimer::agreed(clock::now(), headers, shortest, running)
            .map(|timer| Box::new(timer.describing(description)));
    }

    /// Nobody refreshed the session: for control the peer is lost, and the peer, should it be there
    /// after all, hears why.
    pub(super) async fn expire(&mut self) -> Next {
        tracing::info!(leg = %self.leg.id, "a session was not refreshed in time and ends");
        self.timer = None;
        self.leg.tell(Signal::Lost).await;
        let reason = Reason {
            protocol: "SIP",
            cause: 408,
            text: "The session was not refreshed".into(),
        };
        self.hang_up(Some(reason)).await
    }
}
