//! Twenty milliseconds of sound at a bridge's rate: what mixers add and codecs turn into payload.

/// How finely a bridge hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rate {
    /// 8 kHz: every party speaks G.711.
    #[default]
    Narrow,
    /// 16 kHz.
    Wide,
}

impl Rate {
    pub const fn hz(self) -> usize {
        match self {
            Rate::Narrow => 8_000,
            Rate::Wide => 16_000,
        }
    }

    /// Samples in a frame.
    pub const fn frame(self) -> usize {
        self.hz() / 50
    }

    /// Samples in so many milliseconds.
    pub const fn samples_in(self, milliseconds: usize) -> usize {
        self.hz() / 1_000 * milliseconds
    }
}

/// The longest frame: 20 ms at 16 kHz.
pub const MAX_FRAME: usize = 320;

/// Twenty milliseconds of samples at one rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    rate: Rate,
    samples: [i16; MAX_FRAME],
}

impl Frame {
    pub const fn silent(rate: Rate) -> Self {
        Self {
            rate,
            samples: [0; MAX_FRAME],
        }
    }

    pub fn rate(&self) -> Rate {
        self.rate
    }

    pub fn samples(&self) -> &[i16] {
        &self.samples[..self.rate.frame()]
    }

    pub fn samples_mut(&mut self) -> &mut [i16] {
        &mut self.samples[..self.rate.frame()]
    }
}
