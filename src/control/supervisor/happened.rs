//! What happened to a supervisor's leg, and which file sees to it: signals, media, deadlines.

use std::time::Instant;

use crate::control::input::Signal;
use crate::control::supervisor::{State, SupervisorTimer};
use crate::control::switchboard::Switchboard;
use crate::control::timers::{Owner, Timer};
use crate::id::{LegId, PlayId};
use crate::media::command::Event;
use crate::media::dtmf::DigitSource;

impl Switchboard {
    /// A signal on a leg owned by a supervisor; the leg's own state has followed it already.
    pub(in crate::control) fn supervisor_signal(
        &mut self,
        now: Instant,
        leg: LegId,
        signal: Signal,
    ) {
        match signal {
            Signal::KeyInfo { digit } => self.supervisor_key(now, leg, digit, DigitSource::Info),
            Signal::Acknowledged { sdp } => self.supervisor_acknowledged(now, leg, sdp),
            Signal::NeverAcknowledged => self.hang_up_supervisor(now, leg, "never_acknowledged"),
            Signal::Reinvited { request, sdp } => {
                self.supervisor_reinvited(now, leg, request, sdp);
            }
            Signal::ReinviteAcknowledged { sdp, .. } => {
                self.supervisor_reinvite_acknowledged(now, leg, sdp);
            }
            Signal::Referred { request, .. } => self.refuse_transfer(leg, request),
            Signal::Answered { sdp } => self.device_answered(now, leg, sdp),
            // The leg's end comes as a departure, and we re-INVITE no supervisor.
            Signal::Invited(_)
            | Signal::Progressed { .. }
            | Signal::Cancelled
            | Signal::Failed { .. }
            | Signal::ReinviteAnswered { .. }
            | Signal::HungUp { .. }
            | Signal::HangUpDone
            | Signal::Focus(_)
            | Signal::Lost => {}
        }
    }

    /// An event that names a leg owned by a supervisor (`Opened` has been noted in the leg).
    pub(in crate::control) fn supervisor_media(&mut self, now: Instant, leg: LegId, event: Event) {
        match event {
            Event::Opened { .. } => self.supervisor_port_opened(now, leg),
            Event::OpenFailed { .. } => self.supervisor_port_failed(now, leg),
            Event::DigitPressed { digit, source, .. } => {
                if let Some(supervisor) = self.supervisors.get_mut(&leg) {
                    supervisor.voice_shut = true;
                }
                self.supervisor_key(now, leg, digit, source);
            }
            Event::VoiceOpened { .. } => self.voice_opened(now, leg),
            Event::PlayEnded { play, .. } => self.supervisor_play_ended(now, leg, play),
            Event::Seated { bridge, seat, .. } => self.supervisor_seated(now, leg, bridge, seat),
            Event::SeatRefused { .. } => self.supervisor_not_seated(now, leg),
            Event::Attached { .. } => self.supervisor_attached(now, leg),
            Event::MediaSilent { lasting, .. } => self.supervisor_silent(now, leg, lasting),
            Event::MediaHeard { .. } => self.supervisor_heard(now, leg),
            // `Detached` is the first half of a move, which the edge carries out; `Closed` tells
            // the call's record only. The rest names no leg.
            Event::Detached { .. }
            | Event::Closed { .. }
            | Event::Convened { .. }
            | Event::ConveneRefused { .. }
            | Event::MatrixInForce { .. }
            | Event::FenceViolated { .. } => {}
        }
    }

    /// A deadline of `Owner::Supervisor` or `Owner::Desk`.
    pub(in crate::control) fn supervisor_timeout(
        &mut self,
        now: Instant,
        owner: Owner,
        timer: Timer,
    ) {
        match (owner, timer) {
            (Owner::Supervisor(leg), Timer::Supervisor(timer)) => match timer {
                SupervisorTimer::InterDigit => self.entry_expired(now, leg),
                SupervisorTimer::Idle => self.nobody_there(now, leg),
                SupervisorTimer::Join => self.join_timed_out(now, leg),
                SupervisorTimer::Change => self.change_timed_out(now, leg),
                SupervisorTimer::Record => self.not_recorded_in_time(now, leg),
                SupervisorTimer::Confirm => self.not_confirmed(now, leg),
                SupervisorTimer::Overlap => self.overlap_over(now, leg),
                SupervisorTimer::Goodbye => self.hang_up_supervisor(now, leg, "goodbye"),
                SupervisorTimer::Ring => self.device_rang_out(now, leg),
                SupervisorTimer::Help(_) | SupervisorTimer::Reserve(_) => {}
            },
            (Owner::Desk, Timer::Supervisor(SupervisorTimer::Help(help))) => {
                self.help_expired(now, help);
            }
            (Owner::Desk, Timer::Supervisor(SupervisorTimer::Reserve(session))) => {
                self.reservation_failed(now, session);
            }
            (Owner::Supervisor(_) | Owner::Desk | Owner::Call(_) | Owner::Leg(_), _) => {}
        }
    }

    fn supervisor_play_ended(&mut self, now: Instant, leg: LegId, play: PlayId) {
        let Some(supervisor) = self.supervisors.get_mut(&leg) else {
            return;
        };
        if supervisor.playing != Some(play) {
            return;
        }
        supervisor.playing = None;
        match &mut supervisor.state {
            State::Leaving => self.hang_up_supervisor(now, leg, "goodbye"),
            State::ChoosingCall(choosing) if choosing.menu_due => {
                choosing.menu_due = false;
                self.say_menu(now, leg, &[]);
            }
            State::Greeting { .. }
            | State::EnteringPin { .. }
            | State::ChoosingCall(_)
            | State::Joining(_)
            | State::Supervising(_)
            | State::Ringing(_) => {}
        }
        self.announce_what_is_due(now, leg);
    }
}
