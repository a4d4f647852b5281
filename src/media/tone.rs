//! Sounds that are computed: plain tones, key pairs, ringing tone, music for those who wait.

use std::f32::consts::TAU;

use crate::media::dtmf::Digit;
use crate::media::frame::Rate;

/// An oscillator that turns a phasor: no drift in level over the length of a call is worth a
/// renormalisation once per frame.
#[derive(Clone, Copy, Debug)]
pub struct Sine {
    re: f32,
    im: f32,
    turn_re: f32,
    turn_im: f32,
}

impl Sine {
    pub fn new(frequency_hz: f32, rate: Rate) -> Self {
        let step = TAU * frequency_hz / rate.hz() as f32;
        Self {
            re: 1.0,
            im: 0.0,
            turn_re: step.cos(),
            turn_im: step.sin(),
        }
    }

    /// The next sample, −1 to 1, beginning at 0.
    pub fn next_sample(&mut self) -> f32 {
        let sample = self.im;
        let re = self.re * self.turn_re - self.im * self.turn_im;
        self.im = self.re * self.turn_im + self.im * self.turn_re;
        self.re = re;
        sample
    }

    pub fn renormalise(&mut self) {
        let length = self.re.hypot(self.im);
        self.re /= length;
        self.im /= length;
    }
}

/// The amplitude of a sine of this level: 0 dBm0 lies 3.17 dB below the loudest sine that the
/// µ-law can carry (G.711 §4).
pub fn amplitude(level_dbm0: f32) -> f32 {
    32_124.0 * 10f32.powf((level_dbm0 - 3.17) / 20.0)
}

/// A sine of a level and a length, with edges of 5 ms so that it does not click.
#[derive(Clone, Copy, Debug)]
pub struct Tone {
    sine: Sine,
    amplitude: f32,
    edge: usize,
    length: usize,
    played: usize,
}

impl Tone {
    pub fn new(frequency_hz: f32, level_dbm0: f32, length: usize, rate: Rate) -> Self {
        Self {
            sine: Sine::new(frequency_hz, rate),
            amplitude: amplitude(level_dbm0),
            edge: rate.samples_in(5).min(length / 2).max(1),
            length,
            played: 0,
        }
    }

    /// Fills as much as is left of it and says how much that was.
    pub fn fill(&mut self, out: &mut [i16]) -> usize {
        let count = out.len().min(self.length - self.played);
        for sample in &mut out[..count] {
            let from_edge = (self.played + 1).min(self.length - self.played);
            let envelope = from_edge.min(self.edge) as f32 / self.edge as f32;
            *sample = (self.sine.next_sample() * self.amplitude * envelope) as i16;
            self.played += 1;
        }
        self.sine.renormalise();
        count
    }
}

/// Ringing tone as Europe knows it: 425 Hz, one second on, four off (ITU-T E.180).
#[derive(Clone, Copy, Debug)]
pub struct Ringback {
    rate: Rate,
    place: usize,
    tone: Tone,
}

impl Ringback {
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            place: 0,
            tone: Self::burst(rate),
        }
    }

    fn burst(rate: Rate) -> Tone {
        Tone::new(425.0, -15.0, rate.hz(), rate)
    }

    pub fn fill(&mut self, out: &mut [i16]) {
        let sounding = self.rate.hz();
        let period = 5 * sounding;
        let mut done = 0;
        while done < out.len() {
            let rest = &mut out[done..];
            let count = if self.place < sounding {
                self.tone.fill(rest)
            } else {
                let count = rest.len().min(period - self.place);
                rest[..count].fill(0);
                count
            };
            done += count;
            self.place += count;
            if self.place == period {
                self.place = 0;
                self.tone = Self::burst(self.rate);
            }
        }
    }
}

/// Quiet music for the one who waits: a slow broken chord that goes round four harmonies, each
/// note struck softly and left to fade. Level −30 dBm0 in the mean.
#[derive(Clone, Copy, Debug)]
pub struct HoldMusic {
    rate: Rate,
    note: usize,
    left: usize,
    /// Two notes sound into one another.
    voices: [Voice; 2],
}

#[derive(Clone, Copy, Debug)]
struct Voice {
    sine: Sine,
    octave: Sine,
    level: f32,
    attack: f32,
}

/// C, A minor, F and G, upwards and down again.
const MELODY: [f32; 24] = [
    261.63, 329.63, 392.00, 523.25, 392.00, 329.63, // C
    220.00, 261.63, 329.63, 440.00, 329.63, 261.63, // a
    174.61, 220.00, 261.63, 349.23, 261.63, 220.00, // F
    196.00, 246.94, 293.66, 392.00, 293.66, 246.94, // G
];
const NOTE_MS: usize = 420;

impl HoldMusic {
    pub fn new(rate: Rate) -> Self {
        let quiet = Voice {
            sine: Sine::new(MELODY[0], rate),
            octave: Sine::new(MELODY[0], rate),
            level: 0.0,
            attack: 1.0,
        };
        Self {
            rate,
            note: 0,
            left: 0,
            voices: [quiet; 2],
        }
    }

    pub fn fill(&mut self, out: &mut [i16]) {
        // A struck note loses half its level in 300 ms; it reaches it in 10 ms.
        let fade = 0.5f32.powf(1.0 / self.rate.samples_in(300) as f32);
        let rise = 1.0 / self.rate.samples_in(10) as f32;
        let strike = amplitude(-27.5);
        for sample in out.iter_mut() {
            if self.left == 0 {
                let frequency = MELODY[self.note % MELODY.len()];
                self.voices[self.note % 2] = Voice {
                    sine: Sine::new(frequency, self.rate),
                    octave: Sine::new(frequency * 2.0, self.rate),
                    level: strike,
                    attack: 0.0,
                };
                self.note = (self.note + 1) % MELODY.len();
                self.left = self.rate.samples_in(NOTE_MS);
            }
            self.left -= 1;
            let mut sum = 0.0;
            for voice in &mut self.voices {
                voice.attack = (voice.attack + rise).min(1.0);
                voice.level *= fade;
                let sound = voice.sine.next_sample() + 0.3 * voice.octave.next_sample();
                sum += sound * voice.level * voice.attack;
            }
            *sample = sum as i16;
        }
    }
}

/// The pair of tones of a key (ITU-T Q.23), for a listener whose phone takes no telephone-events.
#[derive(Clone, Copy, Debug)]
pub struct KeyTone {
    row: Sine,
    column: Sine,
    amplitude: f32,
}

impl KeyTone {
    pub fn new(digit: Digit, rate: Rate) -> Self {
        let (row, column) = frequencies(digit);
        Self {
            row: Sine::new(row, rate),
            column: Sine::new(column, rate),
            amplitude: amplitude(-10.0),
        }
    }

    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out.iter_mut() {
            let pair = self.row.next_sample() + self.column.next_sample();
            *sample = (pair * self.amplitude) as i16;
        }
        self.row.renormalise();
        self.column.renormalise();
    }
}

/// The rows and columns of the keypad, in Hz (ITU-T Q.23).
pub const ROWS_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
pub const COLUMNS_HZ: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

/// Row and column of a key, in Hz.
pub fn frequencies(digit: Digit) -> (f32, f32) {
    let (row, column) = match digit.event() {
        0 => (3, 1),
        key @ 1..=9 => (usize::from(key - 1) / 3, usize::from(key - 1) % 3),
        10 => (3, 0),
        11 => (3, 2),
        letter => (usize::from(letter - 12) % 4, 3),
    };
    (ROWS_HZ[row], COLUMNS_HZ[column])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_has_its_level_and_its_length() {
        for rate in [Rate::Narrow, Rate::Wide] {
            let length = rate.samples_in(200);
            let mut tone = Tone::new(440.0, -20.0, length, rate);
            let mut samples = vec![0; rate.samples_in(300)];

            assert_eq!(tone.fill(&mut samples), length);

            let level = level_dbm0(&samples[rate.samples_in(10)..rate.samples_in(190)]);
            assert!((level + 20.0).abs() < 0.2, "{level}");
            assert!(samples[0].abs() < 200);
        }
    }

    #[test]
    fn the_ringing_tone_sounds_one_second_in_five() {
        let mut ringback = Ringback::new(Rate::Narrow);
        let mut samples = vec![0; 80_000];
        for frame in samples.chunks_mut(160) {
            ringback.fill(frame);
        }

        let loud = |second: usize| {
            let second = &samples[second * 8_000..(second + 1) * 8_000];
            second.iter().filter(|sample| sample.abs() > 50).count()
        };
        let sounding: Vec<bool> = (0..10).map(|second| loud(second) > 7_000).collect();
        let silent: Vec<bool> = (0..10).map(|second| loud(second) == 0).collect();

        let on = [0, 5];
        for second in 0..10 {
            assert_eq!(sounding[second], on.contains(&second), "{second}");
            assert_eq!(silent[second], !on.contains(&second), "{second}");
        }
    }

    #[test]
    fn the_music_is_quiet_and_never_stops() {
        let mut music = HoldMusic::new(Rate::Wide);
        let mut samples = vec![0; 16_000 * 21];
        for frame in samples.chunks_mut(320) {
            music.fill(frame);
        }

        let level = level_dbm0(&samples);
        assert!((-32.0..-28.0).contains(&level), "{level}");
        for second in samples.chunks(16_000) {
            assert!(level_dbm0(second) > -36.0);
        }
    }

    #[test]
    fn keys_have_the_tones_of_their_row_and_column() {
        let of = |key| frequencies(Digit::from_char(key).unwrap());

        assert_eq!(of('1'), (697.0, 1_209.0));
        assert_eq!(of('5'), (770.0, 1_336.0));
        assert_eq!(of('0'), (941.0, 1_336.0));
        assert_eq!(of('*'), (941.0, 1_209.0));
        assert_eq!(of('#'), (941.0, 1_477.0));
        assert_eq!(of('A'), (697.0, 1_633.0));
        assert_eq!(of('D'), (941.0, 1_633.0));
    }

    fn level_dbm0(samples: &[i16]) -> f32 {
        let energy: f64 = samples.iter().map(|s| f64::from(*s) * f64::from(*s)).sum();
        let rms = (energy / samples.len() as f64).sqrt();
        (20.0 * (rms * std::f64::consts::SQRT_2 / 32_124.0).log10() + 3.17) as f32
    }
}
