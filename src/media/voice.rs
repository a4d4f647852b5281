//! What leaves towards one phone when it is made here: frames gathered to the packet length that
//! the phone asked for, and encoded.

use crate::media::codec::Codec;
use crate::media::codec::encode::{Encoder, MAX_PAYLOAD, MAX_SAMPLES};
use crate::media::frame::{Frame, Rate};
use crate::wire::g711;

#[derive(Debug)]
pub struct Voice {
    codec: Codec,
    rate: Rate,
    encoder: Encoder,
    packet_ms: usize,
    gathered: Box<[i16; GATHERED]>,
    length: usize,
    /// Another listener's encoder made the last packets; ours knows nothing of them.
    estranged: bool,
}

/// All but one sample of a packet, and a frame.
const GATHERED: usize = MAX_SAMPLES + crate::media::frame::MAX_FRAME;

/// A payload of ours.
#[derive(Clone, Copy, Debug)]
pub struct Payload {
    pub bytes: [u8; MAX_PAYLOAD],
    pub length: usize,
    /// How long it lasts, in units of the RTP clock.
    pub units: u32,
    /// How often it was made anew.
    pub encoded: u64,
}

impl Payload {
    pub const fn empty() -> Self {
        Self {
            bytes: [0; MAX_PAYLOAD],
            length: 0,
            units: 0,
            encoded: 0,
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Voice {
    /// `None` for a codec that cannot be encoded.
    pub fn new(codec: Codec, rate: Rate, ptime_ms: u16) -> Option<Self> {
        Some(Self {
            codec,
            rate,
            encoder: Encoder::new(codec, rate)?,
            packet_ms: packet_ms(codec, ptime_ms),
            gathered: Box::new([0; GATHERED]),
            length: 0,
            estranged: false,
        })
    }

    pub fn is_for(&self, codec: Codec, rate: Rate, ptime_ms: u16) -> bool {
        self.codec == codec && self.rate == rate && self.packet_ms == packet_ms(codec, ptime_ms)
    }

    /// What a packet made of the same frame for another listener could stand for: codec and rate,
    /// where a frame is a packet.
    pub fn kind(&self) -> Option<(Codec, Rate)> {
        (self.packet_ms == 20).then_some((self.codec, self.rate))
    }

    /// What was gathered for a packet is left out: others are sent in its place.
    pub fn begin_anew(&mut self) {
        self.length = 0;
    }

    /// Another listener was sent the same mix: ours was not asked.
    pub fn note_shared(&mut self) {
        self.estranged = !self.encoder.is_stateless();
    }

    /// Takes a frame and hands over each packet that is full.
    pub fn push(&mut self, frame: &Frame, payload: &mut Payload, mut send: impl FnMut(&Payload)) {
        if std::mem::take(&mut self.estranged) {
            self.encoder.restart();
        }
        if self.packet_ms == 20 {
            self.encode(frame.samples(), payload, &mut send);
            return;
        }
        let samples = frame.samples();
        self.gathered[self.length..self.length + samples.len()].copy_from_slice(samples);
        self.length += samples.len();
        let packet = self.rate.samples_in(self.packet_ms);
        while self.length >= packet {
            let mut samples = [0; MAX_SAMPLES];
            samples[..packet].copy_from_slice(&self.gathered[..packet]);
            self.gathered.copy_within(packet..self.length, 0);
            self.length -= packet;
            self.encode(&samples[..packet], payload, &mut send);
        }
    }

    fn encode(&mut self, samples: &[i16], payload: &mut Payload, send: &mut impl FnMut(&Payload)) {
        payload.length = self.encoder.encode(samples, &mut payload.bytes);
        payload.units = (self.packet_ms as u32) * (self.codec.clock_hz() / 1_000);
        if payload.length > 0 {
            payload.encoded += 1;
            send(payload);
        }
    }
}

/// 20 ms of silence without an encoder; `None` where it takes one.
pub fn silence(codec: Codec) -> Option<(&'static [u8], u32)> {
    const ULAW: [u8; 160] = [g711::ULAW_SILENCE; 160];
    const ALAW: [u8; 160] = [g711::ALAW_SILENCE; 160];
    // A frame of 20 ms whose bits say that all bands are zero.
    const OPUS: [u8; 3] = [0xf8, 0xff, 0xfe];
    match codec {
        Codec::Pcmu => Some((&ULAW, 160)),
        Codec::Pcma => Some((&ALAW, 160)),
        Codec::Opus => Some((&OPUS, 960)),
        Codec::G722 | Codec::Opaque => None,
    }
}

/// The packet length that the phone asked for, where the codec has it; else 20 ms.
fn packet_ms(codec: Codec, ptime_ms: u16) -> usize {
    let offered: &[u16] = match codec {
        Codec::Opus => &[10, 20, 40, 60],
        Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Opaque => &[10, 20, 30, 40, 50, 60],
    };
    match offered.contains(&ptime_ms) {
        true => usize::from(ptime_ms),
        false => 20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_leaves_in_the_packet_length_that_was_asked_for() {
        for (ptime, wanted) in [(10, 160), (20, 160), (30, 240), (60, 480), (33, 160)] {
            let mut voice = Voice::new(Codec::Pcmu, Rate::Narrow, ptime).unwrap();
            let mut sent = Vec::new();
            for _ in 0..60 {
                let frame = Frame::silent(Rate::Narrow);
                voice.push(&frame, &mut Payload::empty(), |payload| {
                    sent.push(payload.length);
                    assert_eq!(payload.units as usize, payload.length);
                });
            }

            let wanted = if ptime == 10 { 80 } else { wanted };
            assert!(sent.iter().all(|length| *length == wanted), "{ptime}");
            assert_eq!(sent.iter().sum::<usize>(), 60 * 160);
        }
    }

    #[test]
    fn silence_of_opus_decodes_to_silence() {
        use crate::media::codec::decode::Decoder;
        let mut decoder = Decoder::new(Codec::Opus, Rate::Wide).unwrap();
        let mut samples = [1; 640];
        let (payload, units) = silence(Codec::Opus).unwrap();

        let count = decoder.decode(payload, &mut samples);

        assert_eq!(count * 3, units as usize);
        assert!(samples[..count].iter().all(|sample| sample.abs() <= 1));
    }
}
