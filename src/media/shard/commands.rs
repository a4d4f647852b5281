//! Commands carried out; what cannot be, an event says.

use std::time::Instant;

use crate::id::{BridgeId, LegId};
use crate::media::bridge::Bridge;
use crate::media::command::{Command, ConveneRefusal, Event, SeatRefusal};
use crate::media::dtmf::Digit;
use crate::media::matrix::Seat;
use crate::media::outbox::PortSlot;
use crate::media::player::Player;
use crate::media::shard::Shard;
use crate::media::wheel::Turned;
use crate::wire::rtcp::Staying;

impl Shard {
    /// Carries out a command. `Open` concerns sockets and is a call of its own.
    pub fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Open { leg } => self.out.events.push_back(Event::OpenFailed { leg }),
            Command::Configure { leg, media } => {
                let Some(slot) = self.legs.find(leg) else {
                    return;
                };
                let chance = self.random.share();
                if let Some(participant) = self.legs.at_mut(slot) {
                    participant.configure(media);
                    if !participant.reports.is_planned() {
                        participant.reports.plan(now, chance);
                    }
                }
                self.refresh_leg(now, slot);
                self.arm(slot);
                self.end_hopeless_play(slot);
            }
            Command::OpenBridge { bridge } => self.open_bridge(bridge),
            Command::Seat { bridge, leg, seat } => self.seat(now, bridge, leg, seat),
            Command::Unseat { leg } => {
                if let Some(slot) = self.legs.find(leg) {
                    self.unseat(now, slot);
                }
            }
            Command::Convene { bridge } => self.convene(now, bridge),
            Command::Dissolve { bridge } => {
                if let Some(place) = self.bridge_index.get(&bridge).copied() {
                    if let Some(bridge) = &mut self.bridges[place] {
                        bridge.convened = false;
                        bridge.fault_armed = false;
                    }
                    self.refresh_bridge(now, place);
                }
            }
            Command::CloseBridge { bridge } => self.close_bridge(now, bridge),
            Command::SetMatrix {
                bridge,
                matrix,
                fence,
            } => {
                if let Some(place) = self.bridge_index.get(&bridge).copied()
                    && let Some(bridge) = &mut self.bridges[place]
                {
                    bridge.set_rules(matrix, fence);
                    self.refresh_bridge(now, place);
                }
            }
            Command::Play {
                leg,
                play,
                sounds,
                language,
                ducking,
            } => {
                let Some(slot) = self.legs.find(leg) else {
                    return;
                };
                self.cut_play(slot);
                if let Some(participant) = self.legs.at_mut(slot) {
                    let rate = participant.rate;
                    let player = Player::new(play, &sounds, language, ducking, &self.prompts, rate);
                    participant.player = Some(Box::new(player));
                }
                self.refresh_leg(now, slot);
                self.end_hopeless_play(slot);
            }
            Command::StopPlay { leg } => {
                if let Some(slot) = self.legs.find(leg) {
                    self.cut_play(slot);
                    self.refresh_leg(now, slot);
                }
            }
            Command::ListenForKeys { leg, keys } => {
                let Some(slot) = self.legs.find(leg) else {
                    return;
                };
                if let Some(participant) = self.legs.at_mut(slot) {
                    participant.keys.listen(keys);
                }
                self.refresh_leg(now, slot);
            }
            Command::PressKey { leg, digit } => self.press_key(now, leg, digit),
            Command::WatchMedia { leg, after } => {
                if let Some(slot) = self.legs.find(leg) {
                    if let Some(participant) = self.legs.at_mut(slot) {
                        participant.watch.begin(now, after);
                    }
                    self.arm(slot);
                }
            }
            Command::Close { leg } => self.close(now, leg),
            Command::ArmSeatFault { bridge } => {
                if let Some(place) = self.bridge_index.get(&bridge)
                    && let Some(bridge) = &mut self.bridges[*place]
                {
                    bridge.fault_armed = true;
                }
            }
        }
    }

    fn press_key(&mut self, now: Instant, leg: LegId, digit: Digit) {
        let Some(participant) = self.legs.find(leg).and_then(|slot| self.legs.at(slot)) else {
            return;
        };
        let keys = &participant.keys;
        if !keys.pass() || keys.pass_events() && keys.sends_events() {
            return;
        }
        let Some((place, seat)) = participant.place else {
            return;
        };
        let Some(bridge) = self.bridges.get_mut(place).and_then(Option::as_mut) else {
            return;
        };
        let mut cx = self.out.context(now);
        bridge.press(&mut self.legs, &mut cx, seat, digit);
        if bridge.take_stale() {
            self.refresh_bridge(now, place);
        }
    }

    fn open_bridge(&mut self, id: BridgeId) {
        if self.bridge_index.contains_key(&id) {
            return;
        }
        let free = self.bridges.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            self.bridges.push(None);
            self.bridges.len() - 1
        });
        self.bridges[place] = Some(Box::new(Bridge::new(id)));
        self.bridge_index.insert(id, place);
    }

    fn close_bridge(&mut self, now: Instant, id: BridgeId) {
        let Some(place) = self.bridge_index.remove(&id) else {
            return;
        };
        let Some(bridge) = self.bridges[place].take() else {
            return;
        };
        if let Some(slot) = bridge.wheel_slot {
            self.wheel.leave(slot, Turned::Bridge(place));
        }
        self.load.listens(bridge.listens, false);
        for (_, slot) in bridge.seated() {
            if let Some(leg) = self.legs.at_mut(slot) {
                leg.place = None;
            }
            self.refresh_leg(now, slot);
        }
    }

    fn seat(&mut self, now: Instant, id: BridgeId, leg: LegId, seat: Seat) {
        match self.may_sit(id, leg, seat) {
            Ok((place, slot)) => {
                self.unseat(now, slot);
                self.leave_wheel(slot);
                if let Some(participant) = self.legs.at_mut(slot) {
                    participant.place = Some((place, seat));
                }
                if let Some(bridge) = &mut self.bridges[place] {
                    bridge.sit(seat, slot);
                }
                self.refresh_bridge(now, place);
                self.out.events.push_back(Event::Seated {
                    bridge: id,
                    leg,
                    seat,
                });
            }
            Err(cause) => self.out.events.push_back(Event::SeatRefused {
                bridge: id,
                leg,
                cause,
            }),
        }
    }

    fn may_sit(
        &mut self,
        id: BridgeId,
        leg: LegId,
        seat: Seat,
    ) -> Result<(usize, PortSlot), SeatRefusal> {
        let slot = self.legs.find(leg).ok_or(SeatRefusal::NoSuchLeg)?;
        let place = *self.bridge_index.get(&id).ok_or(SeatRefusal::NoSuchLeg)?;
        let bridge = self.bridges[place]
            .as_deref_mut()
            .ok_or(SeatRefusal::NoSuchLeg)?;
        if bridge.at(seat).is_some_and(|other| other != slot) {
            return Err(SeatRefusal::Full);
        }
        if seat == Seat::USER || seat == Seat::PUPIL {
            return Ok((place, slot));
        }
        if !bridge.convened {
            return Err(SeatRefusal::NotConvened);
        }
        if std::mem::take(&mut bridge.fault_armed) {
            return Err(SeatRefusal::Fault);
        }
        let decodable = self.legs.at(slot).is_some_and(|it| it.is_decodable());
        match decodable {
            true => Ok((place, slot)),
            false => Err(SeatRefusal::Codec),
        }
    }

    pub(super) fn unseat(&mut self, now: Instant, slot: PortSlot) {
        let Some(leg) = self.legs.at_mut(slot) else {
            return;
        };
        let Some((place, seat)) = leg.place.take() else {
            return;
        };
        if let Some(bridge) = &mut self.bridges[place] {
            bridge.rise(seat);
        }
        self.refresh_bridge(now, place);
        self.refresh_leg(now, slot);
    }

    fn convene(&mut self, now: Instant, id: BridgeId) {
        let Some(place) = self.bridge_index.get(&id).copied() else {
            self.out.events.push_back(Event::ConveneRefused {
                bridge: id,
                cause: ConveneRefusal::Admission,
            });
            return;
        };
        let Some(bridge) = &mut self.bridges[place] else {
            return;
        };
        if !bridge.convened {
            let admitted = bridge.admits_conference(&self.legs).and_then(|()| {
                let room = self.load.admit(bridge.dearness(&self.legs));
                room.then_some(()).ok_or(ConveneRefusal::Admission)
            });
            if let Err(cause) = admitted {
                self.out
                    .events
                    .push_back(Event::ConveneRefused { bridge: id, cause });
                return;
            }
            bridge.convened = true;
            self.refresh_bridge(now, place);
        }
        self.out.events.push_back(Event::Convened { bridge: id });
    }

    fn cut_play(&mut self, slot: PortSlot) {
        if let Some(leg) = self.legs.at_mut(slot)
            && let Some(player) = leg.player.take()
        {
            self.out.events.push_back(Event::PlayEnded {
                leg: leg.leg,
                play: player.play,
                completed: false,
            });
        }
    }

    /// What cannot be heard because the phone's codec is only relayed does not wait for ever.
    fn end_hopeless_play(&mut self, slot: PortSlot) {
        let relayed = self
            .legs
            .at(slot)
            .is_some_and(|leg| leg.media.is_some() && !leg.is_decodable());
        if relayed {
            self.cut_play(slot);
        }
    }

    fn close(&mut self, now: Instant, leg: LegId) {
        let Some(slot) = self.legs.find(leg) else {
            return;
        };
        self.cut_play(slot);
        self.unseat(now, slot);
        self.leave_wheel(slot);
        let Some((slot, mut participant)) = self.legs.remove(leg) else {
            return;
        };
        if participant.reports.is_planned()
            && let Some(wall_clock) = &self.wall_clock
        {
            participant.report(now, slot, wall_clock, Staying::Leaves, &mut self.out.outbox);
        }
        self.out.stats.concealed_frames += participant.take_concealed();
        let stats = participant.stats();
        self.out.events.push_back(Event::Closed { leg, stats });
        self.closed.push_back(slot);
    }
}
