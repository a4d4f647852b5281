//! The phone's encoder and decoder: G.722 needs to remember what came before (G.711 does not).
//!
//! The phone speaks and hears at 8 kHz; for G.722 every second sample is drawn in between on the way
//! out, and two become one on the way in.

use audio_codec::{CodecType, Decoder, Encoder, create_decoder, create_encoder};

#[derive(Default)]
pub struct Memory {
    encoder: Option<(CodecType, Box<dyn Encoder>)>,
    decoder: Option<(CodecType, Box<dyn Decoder>)>,
    /// The last sample of the frame before.
    last: i16,
}

impl Memory {
    pub fn encode(&mut self, codec: CodecType, frame: &[i16]) -> Vec<u8> {
        let same = self.encoder.take().filter(|(of, _)| *of == codec);
        let same = same.unwrap_or_else(|| (codec, create_encoder(codec)));
        let (_, encoder) = self.encoder.insert(same);
        if codec != CodecType::G722 {
            return encoder.encode(frame);
        }
        let mut wide = Vec::with_capacity(2 * frame.len());
        for &sample in frame {
            wide.extend([self.last.midpoint(sample), sample]);
            self.last = sample;
        }
        encoder.encode(&wide)
    }

    pub fn decode(&mut self, codec: CodecType, payload: &[u8]) -> Vec<i16> {
        let same = self.decoder.take().filter(|(of, _)| *of == codec);
        let same = same.unwrap_or_else(|| (codec, create_decoder(codec)));
        let (_, decoder) = self.decoder.insert(same);
        let samples = decoder.decode(payload);
        if codec != CodecType::G722 {
            return samples;
        }
        let pairs = samples.chunks_exact(2);
        pairs.map(|pair| pair[0].midpoint(pair[1])).collect()
    }
}
