//! Samples at a bridge's rate into payloads.

use std::fmt;

use audio_codec::Encoder as _;
use audio_codec::g722::G722Encoder;
use audiopus::coder::{Encoder as OpusEncoder, GenericCtl};
use audiopus::{Application, Channels, SampleRate};

use crate::media::codec::Codec;
use crate::media::frame::Rate;
use crate::media::resample::Resampler;
use crate::wire::g711;

/// What encodes one listener's mix. It is made when the mix begins, never for a packet.
pub struct Encoder {
    state: State,
    resampler: Option<Resampler>,
    scratch: Vec<i16>,
}

enum State {
    Pcmu,
    Pcma,
    G722(Box<G722Encoder>),
    Opus(OpusEncoder),
}

/// The longest packet that we make: 60 ms at 16 kHz.
pub const MAX_SAMPLES: usize = 960;

/// The longest payload that we make.
pub const MAX_PAYLOAD: usize = 480;

/// Middle of the range: beyond it the cost doubles and speech gains little.
const OPUS_COMPLEXITY: u8 = 5;

/// What the redundancy is made for; Opus adds none when it expects no loss.
const OPUS_EXPECTED_LOSS_PERCENT: u8 = 5;

impl Encoder {
    /// `None` for a codec that cannot be encoded.
    pub fn new(codec: Codec, rate: Rate) -> Option<Self> {
        let (state, native) = match codec {
            Codec::Pcmu => (State::Pcmu, Rate::Narrow),
            Codec::Pcma => (State::Pcma, Rate::Narrow),
            Codec::G722 => (State::G722(Box::new(G722Encoder::new())), Rate::Wide),
            Codec::Opus => (State::Opus(opus(rate)?), rate),
            Codec::Opaque => return None,
        };
        let resampler = Resampler::new(rate, native);
        let scratch = match resampler {
            Some(_) => vec![0; MAX_SAMPLES],
            None => Vec::new(),
        };
        Some(Self {
            state,
            resampler,
            scratch,
        })
    }

    /// Whether what it makes of a frame depends on the frame alone, so that another listener's
    /// encoder would have made the same.
    pub fn is_stateless(&self) -> bool {
        matches!(self.state, State::Pcmu | State::Pcma) && self.resampler.is_none()
    }

    /// Forgets the past, so that the next frame can be decoded after a stretch in which the
    /// listener was sent what another encoder made.
    pub fn restart(&mut self) {
        match &mut self.state {
            State::Pcmu | State::Pcma => {}
            State::G722(encoder) => **encoder = G722Encoder::new(),
            // The only failure is a request that the library does not know.
            State::Opus(encoder) => drop(encoder.reset_state()),
        }
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
    }

    /// Encodes one packet's samples; 0 when the codec refuses them.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> usize {
        let samples = match &mut self.resampler {
            None => samples,
            Some(resampler) => {
                let count = resampler.resample(samples, &mut self.scratch);
                &self.scratch[..count]
            }
        };
        match &mut self.state {
            State::Pcmu => g711::encode_ulaw(samples, out),
            State::Pcma => g711::encode_alaw(samples, out),
            State::G722(encoder) => encoder.encode_into(samples, out).unwrap_or(0),
            State::Opus(encoder) => encoder.encode(samples, out).unwrap_or(0),
        }
    }
}

fn opus(rate: Rate) -> Option<OpusEncoder> {
    let (hz, bits) = match rate {
        Rate::Narrow => (SampleRate::Hz8000, 16_000),
        Rate::Wide => (SampleRate::Hz16000, 24_000),
    };
    let mut encoder = OpusEncoder::new(hz, Channels::Mono, Application::Voip).ok()?;
    encoder.set_complexity(OPUS_COMPLEXITY).ok()?;
    encoder
        .set_bitrate(audiopus::Bitrate::BitsPerSecond(bits))
        .ok()?;
    encoder.set_inband_fec(true).ok()?;
    encoder
        .set_packet_loss_perc(OPUS_EXPECTED_LOSS_PERCENT)
        .ok()?;
    Some(encoder)
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::decode::Decoder;

    #[test]
    fn every_codec_carries_a_tone_at_either_rate() {
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus] {
            for rate in [Rate::Narrow, Rate::Wide] {
                let mut encoder = Encoder::new(codec, rate).unwrap();
                let mut decoder = Decoder::new(codec, rate).unwrap();
                let mut heard = Vec::new();

                for frame in tone(rate).chunks(rate.frame()) {
                    let mut payload = [0; MAX_PAYLOAD];
                    let length = encoder.encode(frame, &mut payload);
                    let mut samples = [0; 640];
                    let count = decoder.decode(&payload[..length], &mut samples);
                    assert_eq!(count, rate.frame(), "{codec:?} {rate:?}");
                    heard.extend_from_slice(&samples[..count]);
                }

                let level = share(&heard[heard.len() / 2..], rate);
                assert!(level > 0.9, "{codec:?} {rate:?}: {level}");
            }
        }
    }

    #[test]
    fn an_opaque_codec_has_neither() {
        assert!(Encoder::new(Codec::Opaque, Rate::Narrow).is_none());
        assert!(Decoder::new(Codec::Opaque, Rate::Narrow).is_none());
    }

    #[test]
    fn arbitrary_payloads_never_panic() {
        let mut random = fastrand::Rng::with_seed(4);
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus] {
            for rate in [Rate::Narrow, Rate::Wide] {
                let mut decoder = Decoder::new(codec, rate).unwrap();
                for _ in 0..1_000 {
                    let payload: Vec<u8> =
                        (0..random.usize(0..1_500)).map(|_| random.u8(..)).collect();
                    let mut samples = [0; 640];
                    assert!(decoder.decode(&payload, &mut samples) <= 640);
                    decoder.recover(Some(&payload), &mut samples);
                }
            }
        }
    }

    #[test]
    fn opus_recovers_a_lost_frame_by_itself_and_g711_leaves_it_to_us() {
        let mut samples = [0; 640];
        let mut opus = Decoder::new(Codec::Opus, Rate::Wide).unwrap();
        let mut pcmu = Decoder::new(Codec::Pcmu, Rate::Wide).unwrap();

        assert_eq!(opus.recover(None, &mut samples), 320);
        assert_eq!(pcmu.recover(None, &mut samples), 0);
    }

    fn tone(rate: Rate) -> Vec<i16> {
        (0..rate.hz())
            .map(|n| {
                let phase = std::f64::consts::TAU * 700.0 * n as f64 / rate.hz() as f64;
                (phase.sin() * 8_000.0) as i16
            })
            .collect()
    }

    /// The share of the energy that is in the tone.
    fn share(samples: &[i16], rate: Rate) -> f64 {
        let (mut re, mut im, mut energy) = (0.0, 0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let sample = f64::from(*sample);
            let phase = std::f64::consts::TAU * 700.0 * n as f64 / rate.hz() as f64;
            re += sample * phase.cos();
            im += sample * phase.sin();
            energy += sample * sample;
        }
        2.0 * (re * re + im * im) / samples.len() as f64 / energy
    }
}
