//! The signalling of a supervisor's phone: port, answer, re-INVITE, and which keys are listened for.

use std::time::Instant;

use crate::control::input::{Network, Origin};
use crate::control::leg::{LegOwner, Way};
use crate::control::negotiation::NotAcceptable;
use crate::control::output::SignalCommand;
use crate::control::record::Outcome;
use crate::control::refusal::ErrorCode;
use crate::control::settings::InBandDtmf;
use crate::control::supervisor::{MEDIA_WATCH, State, Supervisor};
use crate::control::switchboard::Switchboard;
use crate::id::{LegId, RequestId, ShardId};
use crate::media::command::{Command, InBand, InBandWhen, KeyListening, KeyPassage};
use crate::wire::sdp::SessionDescription;

impl Switchboard {
    /// Takes the phone's leg in; it is answered as soon as its port is open.
    pub(in crate::control) fn admit_supervisor(
        &mut self,
        now: Instant,
        leg: LegId,
        origin: &Origin,
        shard: ShardId,
    ) {
        let network = match origin {
            Origin::Trunk { network, .. } => *network,
            Origin::Registered(_) | Origin::Contact { .. } => Network::Internal,
        };
        self.admit(now, leg, LegOwner::Supervisor, Way::Inbound, shard, network);
    }

    pub(in crate::control) fn refuse_invitation(&mut self, leg: LegId, status: u16) {
        self.signal(
            leg,
            SignalCommand::Reject {
                status,
                reason: None,
            },
        );
    }

    /// Keys of the menu and of PINs: any that can be told.
    pub(in crate::control) fn listen_for_menu_keys(&mut self, leg: LegId) {
        let in_band = self.in_band(InBand::Menu);
        self.listen_for_keys(leg, in_band);
    }

    /// Keys in a session: speech must not be taken for one.
    pub(in crate::control) fn listen_for_role_keys(&mut self, leg: LegId) {
        let in_band = self.in_band(InBand::Role);
        self.listen_for_keys(leg, in_band);
    }

    pub(in crate::control) fn in_band(&self, profile: fn(InBandWhen) -> InBand) -> InBand {
        match self.settings.in_band_dtmf {
            InBandDtmf::Auto => profile(InBandWhen::Auto),
            InBandDtmf::Always => profile(InBandWhen::Always),
            InBandDtmf::Never => InBand::Off,
        }
    }

    /// A supervisor's keys never reach a party.
    fn listen_for_keys(&mut self, leg: LegId, in_band: InBand) {
        self.leg_command(
            leg,
            Command::ListenForKeys {
                leg,
                keys: KeyListening {
                    in_band,
                    events: KeyPassage::Withhold,
                },
            },
        );
    }

    pub(in crate::control) fn supervisor_port_opened(&mut self, now: Instant, leg: LegId) {
        match self
            .supervisors
            .get(&leg)
            .map(|supervisor| &supervisor.state)
        {
            Some(State::Greeting { .. }) => self.answer_supervisor(now, leg),
            Some(State::Ringing(_)) => self.dial_device(leg),
            Some(_) | None => {}
        }
    }

    /// No port is left: refused by signalling, because there is no ear to speak to.
    pub(in crate::control) fn supervisor_port_failed(&mut self, now: Instant, leg: LegId) {
        let Some(supervisor) = self.supervisors.get(&leg) else {
            return;
        };
        if matches!(supervisor.state, State::Greeting { .. }) {
            let caller = supervisor.who.clone();
            self.audit_dial_in(&caller, Outcome::Failed, Some(ErrorCode::ConferenceFailed));
            self.notify_refused(ErrorCode::ConferenceFailed);
        }
        self.end_leg(now, leg, 503, None);
    }

    /// 200 at once. Without an offer of theirs the ACK has to bring the answer first.
    fn answer_supervisor(&mut self, now: Instant, leg: LegId) {
        let Some(Supervisor {
            state: State::Greeting { offer, .. },
            ..
        }) = self.supervisors.get_mut(&leg)
        else {
            return;
        };
        let offer = offer.take();
        let complete = offer.is_some();
        match self.describe_answer(leg, offer, None) {
            Ok(sdp) => {
                self.answer_leg(leg, sdp);
                if complete {
                    self.supervisor_connected(now, leg);
                }
            }
            Err(NotAcceptable) => self.end_leg(now, leg, 488, None),
        }
    }

    pub(in crate::control) fn supervisor_acknowledged(
        &mut self,
        now: Instant,
        leg: LegId,
        sdp: Option<SessionDescription>,
    ) {
        let agreed = self
            .legs
            .get(&leg)
            .is_some_and(|leg| leg.negotiation.chosen.is_some());
        if agreed {
            return;
        }
        match sdp.map(|sdp| self.take_answer(leg, sdp)) {
            Some(Ok(())) => self.supervisor_connected(now, leg),
            Some(Err(NotAcceptable)) | None => {
                self.hang_up_supervisor(now, leg, "not_acceptable");
            }
        }
    }

    /// A supervisor's phone changes its session: answered here, no party ever hears of it.
    pub(in crate::control) fn supervisor_reinvited(
        &mut self,
        now: Instant,
        leg: LegId,
        request: RequestId,
        sdp: Option<SessionDescription>,
    ) {
        match self.describe_answer(leg, sdp, None) {
            Ok(sdp) => {
                self.signal(leg, SignalCommand::AcceptReinvite { request, sdp });
                self.supervisor_held(now, leg);
            }
            Err(NotAcceptable) => self.signal(
                leg,
                SignalCommand::RefuseReinvite {
                    request,
                    status: 488,
                },
            ),
        }
    }

    pub(in crate::control) fn supervisor_reinvite_acknowledged(
        &mut self,
        now: Instant,
        leg: LegId,
        sdp: Option<SessionDescription>,
    ) {
        if let Some(sdp) = sdp
            && self.take_answer(leg, sdp).is_ok()
        {
            self.supervisor_held(now, leg);
        }
    }

    /// A phone on hold may send music, which is nobody's to hear, and nothing at all, which is no
    /// fault: it listens, and is not watched until it resumes.
    fn supervisor_held(&mut self, now: Instant, leg: LegId) {
        let holds = self.legs.get(&leg).is_some_and(|leg| leg.negotiation.holds);
        if holds && !self.is_only_company(leg) {
            self.fall_silent_untold(now, leg);
        }
        if !holds {
            self.tell_role(leg);
        }
        let after = match holds {
            true => [None, None],
            false => MEDIA_WATCH,
        };
        self.leg_command(leg, Command::WatchMedia { leg, after });
    }

    /// Media of a phone that we rang, by its answer; whether they have a codec in common.
    pub(in crate::control) fn device_described(
        &mut self,
        leg: LegId,
        sdp: Option<SessionDescription>,
    ) -> bool {
        sdp.is_some_and(|sdp| self.take_answer(leg, sdp).is_ok())
    }
}
