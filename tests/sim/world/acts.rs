//! What people in the simulation do: call, press keys, hold, transfer, hang up, click.

use std::time::Duration;

use sottovoce::control::input::{
    Ask, CallerIdTrust, Consulted, Input, Invitation, Network as Side, Operator, OperatorIdentity,
    Origin, Reply, Signal,
};
use sottovoce::control::record::Source;
use sottovoce::id::{LegId, RequestId};

use crate::phone::How;
use crate::world::{AGENT, Later, LegSide, Line, PhoneId, World};

impl World {
    /// A call by one of the trunks.
    pub fn invite(&mut self, phone: PhoneId, caller: &str, number: &str, side: Side) -> LegId {
        let name = match side {
            Side::Internal => "office",
            Side::External => "mobile",
        };
        self.invite_by(phone, caller, number, name, side, CallerIdTrust::Trusted)
    }

    /// A supervisor dials 800 by a trunk whose caller IDs are not believed.
    pub fn dial_in_untrusted(&mut self, phone: PhoneId, number: &str, trunk: &str) -> LegId {
        let trust = CallerIdTrust::Untrusted;
        let leg = self.invite_by(phone, number, "800", trunk, Side::External, trust);
        self.run_until(
            |world| world.line(leg) == Line::Up,
            "the supervisor is answered",
        );
        leg
    }

    fn invite_by(
        &mut self,
        phone: PhoneId,
        caller: &str,
        number: &str,
        trunk: &str,
        network: Side,
        caller_id: CallerIdTrust,
    ) -> LegId {
        let origin = Origin::Trunk {
            name: trunk.into(),
            network,
            caller_id,
        };
        self.invite_from(phone, caller, number, origin)
    }

    /// Another call of agent 204, on a second line of theirs: (their leg, the line).
    pub fn agent_calls(&mut self, number: &str) -> (LegId, PhoneId) {
        let line = self.add_phone();
        let origin = Origin::Contact {
            organisation: "acme".into(),
            extension: AGENT.into(),
        };
        let leg = self.invite_from(line, AGENT, number, origin);
        self.run_until(
            |world| world.line(leg) == Line::Up,
            "the agent's second call is answered",
        );
        (leg, line)
    }

    fn invite_from(&mut self, phone: PhoneId, caller: &str, number: &str, origin: Origin) -> LegId {
        let leg = LegId(self.edge_ids);
        self.edge_ids += 1;
        self.legs.insert(
            leg,
            LegSide {
                phone,
                line: Line::Calling,
                version: 1,
                direction: "sendrecv",
                reinvites: 0,
            },
        );
        let sdp = self.phone_sdp(leg);
        let invitation = Invitation {
            dialled: number.into(),
            caller: Some(caller.into()),
            display_name: None,
            origin,
            sdp: Some(sdp),
            source: [10, 1, 0, 1].into(),
            max_forwards: 70,
        };
        self.input(Input::Signal {
            leg,
            signal: Signal::Invited(Box::new(invitation)),
        });
        leg
    }

    pub fn press(&mut self, phone: PhoneId, keys: &str, how: How) {
        if how == How::Info {
            for (step, key) in keys.chars().enumerate() {
                self.after(
                    Duration::from_millis(100 * step as u64),
                    Later::Key(phone, key),
                );
            }
        } else {
            self.phones[phone.0].press(keys, how);
        }
    }

    /// Sends a key by SIP INFO after so long.
    pub fn press_info(&mut self, phone: PhoneId, key: char, after: Duration) {
        self.after(after, Later::Key(phone, key));
    }

    pub fn hang_up(&mut self, phone: PhoneId) {
        let Some(leg) = self.leg_of(phone) else {
            return;
        };
        let Some(side) = self.legs.get_mut(&leg) else {
            return;
        };
        let was = std::mem::replace(&mut side.line, Line::Over);
        self.phones[phone.0].remote = None;
        let signal = match was {
            Line::Calling => Signal::Cancelled,
            Line::Ringing => Signal::Failed {
                status: 486,
                reason: "Busy Here".into(),
            },
            _ => Signal::HungUp { reason: None },
        };
        self.input(Input::Signal { leg, signal });
    }

    /// The phone sends a re-INVITE with this direction; `0.0.0.0` is the old way to say `sendonly`.
    pub fn reinvite(&mut self, phone: PhoneId, direction: &'static str) {
        let Some(leg) = self.leg_of(phone) else {
            return;
        };
        let Some(side) = self.legs.get_mut(&leg) else {
            return;
        };
        if side.line != Line::Up {
            return;
        }
        side.version += 1;
        let held = usize::from(side.direction != "sendrecv");
        side.direction = direction;
        self.holding = self.holding + usize::from(direction != "sendrecv") - held;
        self.phones[phone.0].sending = matches!(direction, "sendrecv" | "sendonly");
        let sdp = self.phone_sdp(leg);
        let request = self.request();
        self.input(Input::Signal {
            leg,
            signal: Signal::Reinvited {
                request,
                sdp: Some(sdp),
            },
        });
    }

    pub fn refer(&mut self, phone: PhoneId, target: &str) {
        self.refer_to(phone, target, None);
    }

    /// Attended transfer, where a leg was consulted.
    pub fn refer_to(&mut self, phone: PhoneId, target: &str, consulted: Option<LegId>) {
        let Some(leg) = self.leg_of(phone) else {
            return;
        };
        let request = self.request();
        let target = format!("sip:{target}@sottovoce.local").into();
        self.input(Input::Signal {
            leg,
            signal: Signal::Referred {
                request,
                target,
                consulted: consulted.map(Consulted::Leg),
            },
        });
    }

    /// What a supervisor or an agent asks for from a screen; the answer.
    pub fn ask(&mut self, identity: OperatorIdentity, ask: Ask) -> Reply {
        let request = self.request();
        let who = Operator {
            organisation: "acme".into(),
            identity,
            source: Source::Console,
        };
        self.input(Input::Operator { request, who, ask });
        self.run_until(
            |world| world.replies.contains_key(&request),
            "the operator is answered",
        );
        self.replies[&request].clone()
    }

    pub fn request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request | 1 << 62)
    }
}
