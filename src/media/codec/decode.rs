//! Payloads into samples at a bridge's rate.

use std::fmt;

use audio_codec::g722::G722Decoder;
use audiopus::coder::Decoder as OpusDecoder;
use audiopus::packet::Packet;
use audiopus::{Channels, MutSignals, SampleRate};

use crate::media::codec::Codec;
use crate::media::frame::Rate;
use crate::media::resample::Resampler;
use crate::wire::g711;

/// What decodes one stream. It is made when a seat begins to be mixed, never for a packet.
pub struct Decoder {
    state: State,
    rate: Rate,
    resampler: Option<Resampler>,
    /// Holds what was decoded at another rate than the bridge's.
    scratch: Vec<i16>,
}

enum State {
    Pcmu,
    Pcma,
    G722(Box<G722Decoder>),
    Opus(OpusDecoder),
}

/// The longest packet that is decoded whole.
const LONGEST_MS: usize = 200;

impl Decoder {
    /// `None` for a codec that cannot be decoded.
    pub fn new(codec: Codec, rate: Rate) -> Option<Self> {
        let opus_rate = match rate {
            Rate::Narrow => SampleRate::Hz8000,
            Rate::Wide => SampleRate::Hz16000,
        };
        let (state, native) = match codec {
            Codec::Pcmu => (State::Pcmu, Rate::Narrow),
            Codec::Pcma => (State::Pcma, Rate::Narrow),
            Codec::G722 => (State::G722(Box::new(G722Decoder::new())), Rate::Wide),
            Codec::Opus => (
                State::Opus(OpusDecoder::new(opus_rate, Channels::Mono).ok()?),
                rate,
            ),
            Codec::Opaque => return None,
        };
        let resampler = Resampler::new(native, rate);
        let scratch = match resampler {
            Some(_) => vec![0; native.samples_in(LONGEST_MS)],
            None => Vec::new(),
        };
        Some(Self {
            state,
            rate,
            resampler,
            scratch,
        })
    }

    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Whether a payload becomes so many samples, not one more or less.
    pub fn yields(&self, payload: &[u8], samples: usize) -> bool {
        let one_each = matches!(self.state, State::Pcmu | State::Pcma) && self.resampler.is_none();
        one_each && payload.len() == samples
    }

    /// Decodes into `out` and says how many samples there are now; 0 when the payload is no good.
    /// What is longer than `out` is cut off.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let Some(resampler) = &mut self.resampler else {
            return self.state.decode(payload, out);
        };
        let count = self.state.decode(payload, &mut self.scratch);
        resampler.resample(&self.scratch[..count], out)
    }

    /// One lost frame by the codec's own means: from the redundancy in the packet after it, or by
    /// its concealment. 0 where the codec has none.
    pub fn recover(&mut self, next: Option<&[u8]>, out: &mut [i16]) -> usize {
        let State::Opus(decoder) = &mut self.state else {
            return 0;
        };
        let frame = self.rate.frame();
        let Some(out) = out.get_mut(..frame) else {
            return 0;
        };
        let redundant = next
            .filter(|payload| Codec::Opus.payload_units(payload) == Some(960))
            .and_then(|payload| Packet::try_from(payload).ok());
        let use_redundancy = redundant.is_some();
        MutSignals::try_from(out)
            .and_then(|out| decoder.decode(redundant, out, use_redundancy))
            .unwrap_or(0)
    }
}

impl State {
    fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        match self {
            State::Pcmu => g711::decode_ulaw(payload, out),
            State::Pcma => g711::decode_alaw(payload, out),
            State::G722(decoder) => {
                let fits = payload.len().min(out.len() / 2);
                decoder
                    .decode_frame_into(&payload[..fits], out)
                    .unwrap_or(0)
            }
            State::Opus(decoder) => Packet::try_from(payload)
                .and_then(|packet| {
                    let out = MutSignals::try_from(out)?;
                    decoder.decode(Some(packet), out, false)
                })
                .unwrap_or(0),
        }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}
