//! Rows carried out: packets passed through, frames mixed and sent.

use crate::media::bridge::{Bridge, Context, Press};
use crate::media::codec::Codec;
use crate::media::command::{Event, TelephoneEventFormat};
use crate::media::direct::Arrival;
use crate::media::frame::{Frame, Rate};
use crate::media::hearing::Fetched;
use crate::media::legs::Legs;
use crate::media::matrix::{MAX_SEATS, Seat};
use crate::media::mixer::{RowKind, Sum, Verdict};
use crate::media::outbox::PortSlot;
use crate::media::participant::Participant;
use crate::wire::rtp::{Header, Packet};
use crate::wire::telephone_event::TelephoneEvent;

/// The distinct mixes that listeners were sent at a turn of the wheel, so that others with the same
/// mix can be sent the same. Each lies in the payload of its place.
#[derive(Debug, Default)]
struct Shared {
    mixes: [Option<Mix>; MAX_SEATS],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mix {
    gains: [u16; MAX_SEATS],
    format: (Codec, Rate),
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rendered {
    /// A packet left.
    Sent,
    /// It is kept for a packet, or nothing is sent.
    Gathered,
}

impl Shared {
    fn place_of(&self, mix: Mix) -> Option<usize> {
        self.mixes.iter().position(|other| *other == Some(mix))
    }

    /// Where the next payload is made. There are as many as listeners, and each makes one at most.
    fn free(&self) -> usize {
        let free = self.mixes.iter().position(Option::is_none);
        free.unwrap_or(MAX_SEATS - 1)
    }
}

impl Bridge {
    /// Audio of a seat arrived: its counterpart's row may be clocked by it.
    pub fn audio(&mut self, legs: &mut Legs, cx: &mut Context<'_>, from: Seat, packet: Packet<'_>) {
        let Some((listener, slot)) = self.counterpart(from) else {
            return;
        };
        match self.rows[listener.index()].kind {
            RowKind::Through => self.pass(legs, cx, from, listener, slot, packet),
            RowKind::Over => self.lay_over(legs, cx, from, listener, packet),
            RowKind::Idle | RowKind::Mix => {}
        }
    }

    fn pass(
        &mut self,
        legs: &mut Legs,
        cx: &mut Context<'_>,
        from: Seat,
        listener: Seat,
        slot: PortSlot,
        packet: Packet<'_>,
    ) {
        match self.rules.judge(listener, from, 256, false) {
            Verdict::Heard { to: 256, .. } => {}
            Verdict::Violation => return self.violated(cx, listener, from),
            Verdict::Heard { .. } | Verdict::Silent => return,
        }
        let Some(ear) = legs.at_mut(slot) else { return };
        let Some(media) = &ear.media else { return };
        let Some(to) = ear.path.rtp_to() else { return };
        let units = media
            .codec
            .payload_units(packet.payload)
            .unwrap_or(u32::from(media.ptime_ms) * ear.identity.clock_hz() / 1_000);
        let header = ear.identity.pass(
            cx.now,
            &mut self.rows[listener.index()].passage,
            packet.header,
            media.payload_type,
            units,
            packet.payload.len(),
        );
        if let Some(header) = header {
            cx.outbox.rtp(slot, to, &header, packet.payload);
        }
    }

    fn lay_over(
        &mut self,
        legs: &mut Legs,
        cx: &mut Context<'_>,
        from: Seat,
        listener: Seat,
        packet: Packet<'_>,
    ) {
        // What waits of the packet before it had its time.
        while self
            .render_waiting(legs, cx, listener, from, &mut Shared::default())
            .is_some()
        {}
        let arrival = self
            .direct(legs, from)
            .map(|direct| direct.arrive(cx.now, packet.header, packet.payload));
        match arrival {
            None | Some(Arrival::Late) => return,
            Some(Arrival::Frames) => {}
            Some(Arrival::Pause(units)) => {
                let source_hz = packet_clock(legs, self.at(from));
                if let Some(ear) = self.at(listener).and_then(|slot| legs.at_mut(slot)) {
                    let units = u64::from(units) * u64::from(ear.identity.clock_hz());
                    ear.identity.pause((units / u64::from(source_hz)) as u32);
                }
            }
        }
        self.hear_early(legs, cx, listener, from);
        // The first packet that is made of it leaves at once, those after it with the wheel.
        while let Some(Rendered::Gathered) =
            self.render_waiting(legs, cx, listener, from, &mut Shared::default())
        {}
        self.note_drained(legs, listener);
        self.settle(cx.events);
    }

    /// Renders the next whole frame of what the counterpart said, if there is one.
    fn render_waiting(
        &mut self,
        legs: &mut Legs,
        cx: &mut Context<'_>,
        listener: Seat,
        from: Seat,
        shared: &mut Shared,
    ) -> Option<Rendered> {
        let rate = self.rate;
        let direct = self.direct(legs, from).filter(|it| it.has_frame())?;
        let mut frame = Frame::silent(rate);
        direct.take(&mut frame);
        Some(self.render(legs, cx, listener, Some((from, &frame)), shared))
    }

    /// A row that is to pass through waits no longer than for what was said before.
    fn note_drained(&mut self, legs: &Legs, listener: Seat) {
        let row = &self.rows[listener.index()];
        self.stale |= row.drains && !self.holds_a_frame_of_its_counterpart(listener, legs);
    }

    /// What lies over the counterpart need not wait for the wheel, which turns somewhere between two
    /// of the counterpart's packets.
    fn hear_early(
        &mut self,
        legs: &mut Legs,
        cx: &mut Context<'_>,
        listener: Seat,
        counterpart: Seat,
    ) {
        for (speaker, slot) in self.seated() {
            let heard = self.rules.judge(listener, speaker, 0, false) != Verdict::Silent;
            if speaker == listener || speaker == counterpart || !heard {
                continue;
            }
            let lag = &self.rows[listener.index()].lags[speaker.index()];
            let Some(speaker) = legs.at_mut(slot) else {
                continue;
            };
            if speaker
                .hearing
                .as_ref()
                .is_some_and(|it| lag.has_caught_up(it))
            {
                let events = &mut *cx.events;
                speaker.hear_early(cx.now, |event| events.push_back(event));
            }
        }
    }

    /// One turn of the wheel: every source a frame further, then the rows that it clocks.
    pub fn turn(&mut self, legs: &mut Legs, cx: &mut Context<'_>) {
        for (_, slot) in self.seated() {
            if let Some(hearing) = legs.at(slot).and_then(|it| it.hearing.as_deref()) {
                hearing.prefetch_frame();
            }
        }
        for (_, slot) in self.seated() {
            if let Some(participant) = legs.at_mut(slot) {
                let events = &mut *cx.events;
                participant.hear(cx.now, |event| events.push_back(event));
                cx.stats.concealed_frames += participant.take_concealed();
            }
        }
        let mut shared = Shared::default();
        for (listener, _) in self.seated() {
            match self.rows[listener.index()].kind {
                RowKind::Mix => {
                    self.render(legs, cx, listener, None, &mut shared);
                }
                RowKind::Over => self.stand_in(legs, cx, listener, &mut shared),
                RowKind::Idle | RowKind::Through => {}
            }
        }
        self.settle(cx.events);
    }

    /// The wheel between two packets of a counterpart, or in the place of one that is silent.
    fn stand_in(
        &mut self,
        legs: &mut Legs,
        cx: &mut Context<'_>,
        listener: Seat,
        shared: &mut Shared,
    ) {
        let Some((from, slot)) = self.counterpart(listener) else {
            return;
        };
        if self
            .render_waiting(legs, cx, listener, from, shared)
            .is_some()
        {
            return self.note_drained(legs, listener);
        }
        let Some(speaker) = legs.at_mut(slot) else {
            return;
        };
        let jitter_ms = speaker.reception.jitter_ms();
        let Some(direct) = &mut speaker.direct else {
            return;
        };
        if !direct.is_silent(cx.now, jitter_ms) {
            return;
        }
        let mut frame = Frame::silent(self.rate);
        direct.stand_in(&mut frame);
        self.render(legs, cx, listener, Some((from, &frame)), shared);
    }

    /// One frame for one listener: judged, summed, encoded, sent. `own` is the frame of the speaker
    /// that clocks the row.
    fn render(
        &mut self,
        legs: &mut Legs,
        cx: &mut Context<'_>,
        listener: Seat,
        own: Option<(Seat, &Frame)>,
        shared: &mut Shared,
    ) -> Rendered {
        let Some(slot) = self.at(listener) else {
            return Rendered::Gathered;
        };
        let Some(ear) = legs.at(slot) else {
            return Rendered::Gathered;
        };
        let overlaid = ear.has_overlay();
        let levels = self.levels(cx, listener, ear.is_ducked());
        let format = ear.voice.as_ref().and_then(|voice| voice.kind());
        let steady = levels.iter().all(|(from, to)| from == to);
        let gains = levels.map(|(_, to)| to);

        let can_share = steady && !overlaid && own.is_none();
        let mix = format
            .filter(|_| can_share)
            .map(|format| Mix { gains, format });
        if let Some(place) = mix.and_then(|mix| shared.place_of(mix)) {
            if let Some(ear) = legs.at_mut(slot) {
                let made = &cx.payloads[place];
                ear.send_shared(cx.now, slot, made.bytes(), made.units, cx.outbox);
            }
            return Rendered::Sent;
        }

        let mut sum = Sum::silent();
        let audible = self.sum(legs, listener, own, &levels, &mut sum);
        let Some(ear) = legs.at_mut(slot) else {
            return Rendered::Gathered;
        };
        if !audible && !overlaid && ear.send_silence(cx.now, slot, cx.outbox) {
            self.stale |= !steady;
            return Rendered::Sent;
        }
        let events = &mut *cx.events;
        ear.overlay(&mut sum, |event| events.push_back(event));
        self.stale |= overlaid && !ear.has_overlay() || !steady;
        let mut frame = Frame::silent(self.rate);
        sum.into_frame(&mut frame);
        let place = shared.free();
        let payload = &mut cx.payloads[place];
        if !ear.send_frame(cx.now, slot, &frame, payload, cx.outbox) {
            return Rendered::Gathered;
        }
        shared.mixes[place] = mix;
        Rendered::Sent
    }

    /// What matrix and fence make of each speaker, as gains from the last frame to this one.
    fn levels(
        &mut self,
        cx: &mut Context<'_>,
        listener: Seat,
        ducked: bool,
    ) -> [(u16, u16); MAX_SEATS] {
        let mut levels = [(0, 0); MAX_SEATS];
        for (speaker, _) in self.seated() {
            if speaker == listener {
                continue;
            }
            let from = self.rows[listener.index()].gains[speaker.index()];
            match self.rules.judge(listener, speaker, from, ducked) {
                Verdict::Silent => {}
                Verdict::Heard { from, to } => levels[speaker.index()] = (from, to),
                Verdict::Violation => self.violated(cx, listener, speaker),
            }
        }
        levels
    }

    /// Adds all speakers, and notes how loud each now is. False when nobody is heard.
    fn sum(
        &mut self,
        legs: &Legs,
        listener: Seat,
        own: Option<(Seat, &Frame)>,
        levels: &[(u16, u16); MAX_SEATS],
        sum: &mut Sum,
    ) -> bool {
        let row = &mut self.rows[listener.index()];
        let mut audible = false;
        for speaker in Seat::all() {
            let (from, to) = levels[speaker.index()];
            let mut reached = to;
            if (from, to) != (0, 0) {
                audible = true;
                let hearing = self.seats[speaker.index()]
                    .and_then(|slot| legs.at(slot))
                    .and_then(|speaker| speaker.hearing.as_deref())
                    .filter(|hearing| hearing.made() > 0);
                match (own, hearing) {
                    (Some((clocking, frame)), _) if clocking == speaker => {
                        sum.add(frame, from, to);
                    }
                    (Some(_), Some(hearing)) => {
                        let mut frame = Frame::silent(self.rate);
                        let lag = &mut row.lags[speaker.index()];
                        if lag.fetch(hearing, &mut frame) == Fetched::Again {
                            reached = 0;
                        }
                        sum.add(&frame, from, reached);
                    }
                    (None, Some(hearing)) => sum.add(hearing.newest(), from, to),
                    // Nothing of this speaker can be heard, so nothing has to fade either.
                    (_, None) => reached = 0,
                }
            }
            row.gains[speaker.index()] = reached;
        }
        audible
    }

    fn violated(&mut self, cx: &mut Context<'_>, listener: Seat, speaker: Seat) {
        cx.stats.fence_violations += 1;
        let bit = 1 << speaker.index();
        if self.told[listener.index()] & bit == 0 {
            self.told[listener.index()] |= bit;
            cx.events.push_back(Event::FenceViolated {
                bridge: self.id,
                listener,
                speaker,
            });
        }
    }

    /// A packet of a seat that goes nowhere took a number of its stream.
    pub fn skip(&mut self, legs: &mut Legs, from: Seat, header: Header) {
        if let Some(direct) = self.direct(legs, from) {
            direct.note_other(header);
        }
        if let Some((listener, slot)) = self.counterpart(from)
            && let Some(ear) = legs.at_mut(slot)
        {
            let passage = &mut self.rows[listener.index()].passage;
            ear.identity.swallow(passage, header);
        }
    }

    /// A telephone-event of a seat on its way to the other party, under that one's numbers. What
    /// does not go on takes its place in the numbering all the same, or it would look lost.
    pub fn key(
        &mut self,
        legs: &mut Legs,
        cx: &mut Context<'_>,
        from: Seat,
        theirs: TelephoneEventFormat,
        packet: Packet<'_>,
        passes: bool,
    ) {
        let Some((listener, slot)) = self.counterpart(from) else {
            return;
        };
        let kind = self.rows[listener.index()].kind;
        if kind == RowKind::Over
            && let Some(direct) = self.direct(legs, from)
        {
            direct.note_other(packet.header);
        }
        let verdict = self.rules.judge(listener, from, 256, false);
        let heard = matches!(verdict, Verdict::Heard { to, .. } if to > 0);
        let report = TelephoneEvent::parse(packet.payload).filter(|_| passes && heard);
        let source_hz = packet_clock(legs, self.at(from));
        let Some(ear) = legs.at_mut(slot) else { return };
        let passage = &mut self.rows[listener.index()].passage;
        let ours = ear.media.as_ref().and_then(|media| media.telephone_event);
        let (Some(report), Some(to)) = (report, ear.path.rtp_to().filter(|_| ear.we_send())) else {
            ear.identity.swallow(passage, packet.header);
            return;
        };
        let Some(ours) = ours else {
            ear.identity.swallow(passage, packet.header);
            ear.sound_key(report.event, packet.header.timestamp, report.end);
            self.stale = true;
            return;
        };

        let scaled = u64::from(report.duration) * u64::from(ours.clock_rate_hz)
            / u64::from(theirs.clock_rate_hz.max(1));
        let duration = scaled.min(u64::from(u16::MAX)) as u16;
        let payload = TelephoneEvent { duration, ..report }.write();
        let same_clock = source_hz == ear.identity.clock_hz()
            && theirs.clock_rate_hz == source_hz
            && ours.clock_rate_hz == source_hz;
        let header = if kind == RowKind::Through && same_clock {
            ear.identity.pass(
                cx.now,
                passage,
                packet.header,
                ours.payload_type,
                u32::from(duration),
                payload.len(),
            )
        } else {
            let press = match self.presses[from.index()] {
                Some(press)
                    if press.ssrc == packet.header.ssrc
                        && press.source == packet.header.timestamp =>
                {
                    press
                }
                _ => Press {
                    ssrc: packet.header.ssrc,
                    source: packet.header.timestamp,
                    ours: ear.identity.timestamp(cx.now),
                },
            };
            self.presses[from.index()] = Some(press);
            let (source, marker) = (packet.header, packet.header.marker);
            let (payload_type, timestamp) = (ours.payload_type, press.ours);
            let identity = &mut ear.identity;
            if kind == RowKind::Through {
                identity.pass_at(
                    cx.now,
                    passage,
                    source,
                    payload_type,
                    timestamp,
                    payload.len(),
                )
            } else {
                Some(identity.stamp_at(cx.now, payload_type, timestamp, marker, payload.len()))
            }
        };
        if let Some(header) = header {
            cx.outbox.rtp(slot, to, &header, &payload);
        }
    }

    fn direct<'a>(
        &self,
        legs: &'a mut Legs,
        seat: Seat,
    ) -> Option<&'a mut crate::media::direct::Direct> {
        legs.at_mut(self.at(seat)?)?.direct.as_deref_mut()
    }
}

fn packet_clock(legs: &Legs, slot: Option<PortSlot>) -> u32 {
    slot.and_then(|slot| legs.at(slot))
        .and_then(Participant::codec)
        .unwrap_or(Codec::Opaque)
        .clock_hz()
}
