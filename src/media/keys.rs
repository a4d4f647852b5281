//! The keys of one leg: telephone-events and tones in the audio into presses, and a supervisor's
//! keys out of everything that others hear.
//!
//! Where a telephone-event was negotiated and `Auto` is asked for, the tone detector runs until the
//! first event arrives, for some phones agree to events and send tones. While it is not known which
//! kind a phone is, a tone counts only if no event has come within a quarter of a second; the first
//! key that is so confirmed proves the phone, and from then on tones count at once. After the first
//! event tones do not count until the format is negotiated anew; what a supervisor says goes on being
//! clamped wherever somebody may hear it, for a gateway may let through a tone beside its events.

pub mod hush;

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use crate::media::clamp::{self, KeyClamp};
use crate::media::command::{
    DOUBT, InBand, InBandWhen, KeyListening, KeyPassage, TelephoneEventFormat,
};
use crate::media::dtmf::event::EventReceiver;
use crate::media::dtmf::tone::{Profile, ToneDetector, ToneEvent, ToneEvents};
use crate::media::dtmf::{Digit, DigitSource};
use crate::media::frame::{Frame, Rate};
use crate::media::keys::hush::{Hush, Spoken};
use crate::media::resample::Resampler;
use crate::wire::rtp::Header;
use crate::wire::telephone_event::TelephoneEvent;

/// What a phone is known to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sends {
    #[default]
    Unknown,
    Events,
    Tones,
}

#[derive(Debug)]
pub struct Keys {
    listening: KeyListening,
    format: Option<TelephoneEventFormat>,
    sends: Sends,
    events: Option<Box<EventReceiver>>,
    ear: Option<Box<Ear>>,
    /// Tones that are not known to be no echo of events. Beyond a hand full the oldest counts.
    doubtful: VecDeque<(Instant, Digit)>,
    /// The voice may hold the same key as a tone.
    hush: Hush,
    /// A key that is withheld was reported, and nothing of the voice has been let through since.
    closed: bool,
}

/// Listens to the voice, at 8 kHz whatever the bridge's rate.
struct Ear {
    profile: Profile,
    kind: EarKind,
    /// Down to 8 kHz and up again.
    resamplers: Option<Box<(Resampler, Resampler)>>,
}

enum EarKind {
    /// Reports keys and lets them through.
    Detector(ToneDetector),
    /// Withholds them.
    Clamp(KeyClamp),
}

const MOST_DOUBTFUL: usize = 8;

impl Default for Keys {
    fn default() -> Self {
        Self {
            listening: KeyListening {
                in_band: InBand::Off,
                events: KeyPassage::Pass { report: false },
            },
            format: None,
            sends: Sends::default(),
            events: None,
            ear: None,
            doubtful: VecDeque::new(),
            hush: Hush::default(),
            closed: false,
        }
    }
}

impl Keys {
    pub fn listen(&mut self, listening: KeyListening) {
        self.listening = listening;
        self.fit_ear();
    }

    pub fn negotiated(&mut self, format: Option<TelephoneEventFormat>) {
        if self.format != format {
            self.format = format;
            self.sends = Sends::Unknown;
            self.doubtful.clear();
        }
        self.fit_ear();
    }

    /// Whether the leg's voice is to be listened to although nobody hears it.
    pub fn need_the_voice(&self) -> bool {
        self.ear.is_some() && self.tones_count()
    }

    /// The voice is listened to from now on, and was not before.
    pub fn begin_voice(&mut self) {
        if self.need_the_voice() {
            return;
        }
        if let Some(ear) = &mut self.ear
            && let EarKind::Clamp(clamp) = &mut ear.kind
        {
            clamp.begin(ear.profile);
        }
    }

    /// Whether the other party may have the leg's keys.
    pub fn pass(&self) -> bool {
        self.listening.events != KeyPassage::Withhold
    }

    /// Whether telephone-events go on as they come.
    pub fn pass_events(&self) -> bool {
        matches!(self.listening.events, KeyPassage::Pass { .. })
    }

    /// Whether the phone sends telephone-events for its keys.
    pub fn sends_events(&self) -> bool {
        self.sends == Sends::Events
    }

    /// Whether keys are listened for in the voice.
    fn tones_count(&self) -> bool {
        match self.listening.in_band {
            InBand::Off => false,
            InBand::Menu(when) | InBand::Role(when) => match when {
                InBandWhen::Always => true,
                InBandWhen::Auto => self.sends != Sends::Events,
            },
        }
    }

    fn report(&self) -> bool {
        self.listening.events != KeyPassage::Pass { report: false }
    }

    /// Makes the detector that is wanted, or drops it.
    fn fit_ear(&mut self) {
        let clamps = !self.pass();
        let profile = match self.listening.in_band {
            InBand::Menu(_) if clamps || self.tones_count() => Profile::Menu,
            InBand::Role(_) if clamps || self.tones_count() => Profile::Role,
            InBand::Off | InBand::Menu(_) | InBand::Role(_) => {
                self.ear = None;
                return;
            }
        };
        match &mut self.ear {
            Some(ear) if ear.clamps() == clamps => ear.set_profile(profile),
            _ => self.ear = Some(Box::new(Ear::new(profile, clamps))),
        }
    }

    /// Readies the detector for a bridge's rate.
    pub fn set_rate(&mut self, rate: Rate) {
        if let Some(ear) = &mut self.ear {
            ear.set_rate(rate);
        }
    }

    /// A telephone-event arrived; yields the key if this is the first of its press, and it is to be
    /// reported. Afterwards the voice may be needed no more.
    pub fn event(&mut self, now: Instant, header: &Header, payload: &[u8]) -> Option<Digit> {
        if self.sends != Sends::Events {
            self.sends = Sends::Events;
            self.doubtful.clear();
            self.fit_ear();
        }
        if let (Some(report), Some(format)) = (TelephoneEvent::parse(payload), self.format) {
            self.hush.event(now, header, report, format.clock_rate_hz);
        }
        let receiver = self
            .events
            .get_or_insert_with(|| Box::new(EventReceiver::new(now)));
        let digit = receiver.handle_packet(now, header, payload)?;
        self.closed |= !self.pass();
        self.report().then_some(digit)
    }

    /// Once for the keys that were reported: the voice is let through again. Asked after
    /// [`Self::voice`].
    pub fn take_opened(&mut self) -> bool {
        if !self.closed || self.hush.is_shut() {
            return false;
        }
        self.closed = self.ear.as_ref().is_some_and(|ear| ear.is_shut());
        !self.closed
    }

    /// Takes a frame of the voice, as it was decoded, and leaves in its place what others may hear.
    pub fn voice(
        &mut self,
        now: Instant,
        frame: &mut Frame,
        spoken: Spoken,
        mut pressed: impl FnMut(Digit, DigitSource),
    ) {
        let told = !self.pass() && self.hush.voice(now, frame, spoken);
        let counts = self.tones_count();
        let Some(ear) = &mut self.ear else { return };
        if told
            && !counts
            && let EarKind::Clamp(clamp) = &mut ear.kind
        {
            clamp.key_told();
        }
        let certain = self.sends == Sends::Tones
            || self.format.is_none()
            || matches!(
                self.listening.in_band,
                InBand::Menu(InBandWhen::Always) | InBand::Role(InBandWhen::Always)
            );
        for event in ear.push(frame) {
            if let ToneEvent::Pressed { digit, .. } = event
                && counts
            {
                self.doubtful.push_back((now, digit));
            }
        }
        while let Some((heard, digit)) = self.doubtful.front().copied() {
            let waited = now.saturating_duration_since(heard) >= DOUBT;
            let proven = certain || self.sends == Sends::Tones;
            if !proven && !waited && self.doubtful.len() <= MOST_DOUBTFUL {
                break;
            }
            self.doubtful.pop_front();
            self.sends = Sends::Tones;
            self.closed |= self.listening.events == KeyPassage::Withhold;
            if self.report() {
                pressed(digit, DigitSource::InBand);
            }
        }
    }
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ear")
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

impl Ear {
    fn new(profile: Profile, clamps: bool) -> Self {
        Self {
            profile,
            kind: match clamps {
                true => EarKind::Clamp(KeyClamp::new(profile)),
                false => EarKind::Detector(ToneDetector::new(profile)),
            },
            resamplers: None,
        }
    }

    fn clamps(&self) -> bool {
        matches!(self.kind, EarKind::Clamp(_))
    }

    fn is_shut(&self) -> bool {
        match &self.kind {
            EarKind::Detector(_) => false,
            EarKind::Clamp(clamp) => clamp.is_shut(),
        }
    }

    fn set_profile(&mut self, profile: Profile) {
        if self.profile == profile {
            return;
        }
        self.profile = profile;
        match &mut self.kind {
            EarKind::Detector(detector) => detector.set_profile(profile),
            EarKind::Clamp(clamp) => clamp.set_profile(profile),
        }
    }

    fn set_rate(&mut self, rate: Rate) {
        match rate {
            Rate::Narrow => self.resamplers = None,
            Rate::Wide if self.resamplers.is_some() => {}
            Rate::Wide => {
                let (narrow, wide) = (Rate::Narrow, Rate::Wide);
                self.resamplers = Resampler::new(wide, narrow)
                    .zip(Resampler::new(narrow, wide))
                    .map(Box::new);
            }
        }
    }

    fn push(&mut self, frame: &mut Frame) -> ToneEvents {
        let mut narrow = [0; clamp::FRAME];
        match &mut self.resamplers {
            None if frame.rate() == Rate::Narrow => narrow.copy_from_slice(frame.samples()),
            None => {}
            Some(pair) => {
                pair.0.resample(frame.samples(), &mut narrow);
            }
        }
        match &mut self.kind {
            EarKind::Detector(detector) => detector.push(&narrow),
            EarKind::Clamp(clamp) => {
                let events = clamp.push(&mut narrow);
                match &mut self.resamplers {
                    None if frame.rate() == Rate::Narrow => {
                        frame.samples_mut().copy_from_slice(&narrow);
                    }
                    // Without a detector at its rate a voice cannot be let through.
                    None => frame.samples_mut().fill(0),
                    Some(pair) => {
                        pair.1.resample(&narrow, frame.samples_mut());
                    }
                }
                events
            }
        }
    }
}

#[cfg(test)]
mod latency;
#[cfg(test)]
mod tests;
