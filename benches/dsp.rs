//! `./run bench dsp`: what the work on 20 ms of sound costs. Beside each stands a floor in the same
//! run: the same work one sample at a time by table and comparison, as a plain program does it, or,
//! where there is no such thing, copying the frame.

#[path = "shared/estimates.rs"]
mod estimates;
#[path = "shared/figures.rs"]
mod figures;
#[path = "../src/wire/g711/reference.rs"]
#[allow(dead_code, reason = "encoding alone has a floor here")]
mod reference;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use sottovoce::demo::voices;
use sottovoce::edge::clock;
use sottovoce::media::clamp::KeyClamp;
use sottovoce::media::codec::Codec;
use sottovoce::media::codec::decode::Decoder;
use sottovoce::media::codec::encode::Encoder;
use sottovoce::media::conceal::Concealer;
use sottovoce::media::dtmf::tone::Profile;
use sottovoce::media::frame::{Frame, Rate};
use sottovoce::media::jitter::JitterBuffer;
use sottovoce::media::mixer::Sum;
use sottovoce::media::resample::Resampler;
use sottovoce::wire::g711;
use sottovoce::wire::rtp::Header;

/// 20 ms at 8 kHz.
const NARROW: usize = Rate::Narrow.frame();
/// 20 ms at 16 kHz.
const WIDE: usize = Rate::Wide.frame();

/// A group, what is measured in it, and the floor that it is held against.
const AGAINST: [(&str, &str, &str); 18] = [
    ("g711", "decode µ-law", "decode by table"),
    ("g711", "decode A-law", "decode by table"),
    ("g711", "encode µ-law", "encode by search"),
    ("g711", "encode A-law", "encode by search"),
    ("mix", "three speakers", "three speakers, scalar"),
    ("mix", "one of them fading", "three speakers, scalar"),
    ("resample", "8 to 16 kHz", "copy"),
    ("resample", "16 to 8 kHz", "copy"),
    ("resample", "8 to 16 kHz, audio-codec", "copy"),
    ("resample", "16 to 8 kHz, audio-codec", "copy"),
    ("codec", "G.722 encode", "copy"),
    ("codec", "G.722 decode", "copy"),
    ("codec", "Opus encode", "copy"),
    ("codec", "Opus decode", "copy"),
    ("voice", "key clamp, menu", "copy"),
    ("voice", "key clamp, role", "copy"),
    ("voice", "conceal and return", "copy"),
    ("voice", "jitter buffer, in and out", "copy"),
];

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500))
        .configure_from_args();
    g711(&mut criterion);
    mix(&mut criterion);
    resample(&mut criterion);
    codec(&mut criterion);
    voice(&mut criterion);
    criterion.final_summary();
    estimates::keep("dsp", &AGAINST)
}

fn speech() -> [i16; WIDE] {
    // From the middle, where somebody speaks.
    let voice = voices::agent();
    let mut samples = [0; WIDE];
    samples.copy_from_slice(&voice[8_000..8_000 + WIDE]);
    samples
}

fn g711(criterion: &mut Criterion) {
    let samples = &speech()[..NARROW];
    let mut codes = [0; NARROW];
    g711::encode_ulaw(samples, &mut codes);
    let table: Vec<i16> = (0..=255).map(g711::ulaw_to_linear).collect();
    let mut out = [0i16; NARROW];
    let mut coded = [0u8; NARROW];

    let mut group = criterion.benchmark_group("g711");
    group.throughput(Throughput::Elements(NARROW as u64));
    group.bench_function("decode by table", |b| {
        b.iter(|| {
            for (sample, code) in out.iter_mut().zip(black_box(&codes)) {
                *sample = table[usize::from(*code)];
            }
            black_box(&mut out);
        })
    });
    group.bench_function("decode µ-law", |b| {
        b.iter(|| g711::decode_ulaw(black_box(&codes), black_box(&mut out)))
    });
    group.bench_function("decode A-law", |b| {
        b.iter(|| g711::decode_alaw(black_box(&codes), black_box(&mut out)))
    });
    group.bench_function("encode by search", |b| {
        b.iter(|| {
            for (code, sample) in coded.iter_mut().zip(black_box(samples)) {
                *code = reference::compress_ulaw(*sample);
            }
            black_box(&mut coded);
        })
    });
    group.bench_function("encode µ-law", |b| {
        b.iter(|| g711::encode_ulaw(black_box(samples), black_box(&mut coded)))
    });
    group.bench_function("encode A-law", |b| {
        b.iter(|| g711::encode_alaw(black_box(samples), black_box(&mut coded)))
    });
    group.finish();
}

fn mix(criterion: &mut Criterion) {
    let mut frame = Frame::silent(Rate::Narrow);
    frame.samples_mut().copy_from_slice(&speech()[..NARROW]);
    let mut out = Frame::silent(Rate::Narrow);

    let mut group = criterion.benchmark_group("mix");
    group.throughput(Throughput::Elements(NARROW as u64));
    group.bench_function("three speakers, scalar", |b| {
        b.iter(|| {
            let frame = black_box(&frame);
            let speakers = [frame.samples(); 3];
            for (n, sample) in out.samples_mut().iter_mut().enumerate() {
                let mut sum = 0i32;
                for speaker in speakers {
                    // Kept from becoming vector instructions.
                    sum += black_box((i32::from(speaker[n]) * 256) >> 8);
                }
                *sample = sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
            }
            black_box(&mut out);
        })
    });
    for (name, to) in [("three speakers", 256), ("one of them fading", 91)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut sum = Sum::silent();
                sum.add(black_box(&frame), 256, 256);
                sum.add(black_box(&frame), 256, 256);
                sum.add(black_box(&frame), 256, to);
                sum.into_frame(black_box(&mut out));
            })
        });
    }
    group.finish();
}

fn resample(criterion: &mut Criterion) {
    let speech = speech();
    let mut out = [0i16; WIDE];

    let mut group = criterion.benchmark_group("resample");
    group.throughput(Throughput::Elements(WIDE as u64));
    group.bench_function("copy", |b| {
        b.iter(|| black_box(&mut out).copy_from_slice(black_box(&speech)))
    });
    for (name, from, to) in [
        ("8 to 16 kHz", Rate::Narrow, Rate::Wide),
        ("16 to 8 kHz", Rate::Wide, Rate::Narrow),
    ] {
        let input = &speech[..from.frame()];
        let mut ours = Resampler::new(from, to).expect("two rates");
        group.bench_function(name, |b| {
            b.iter(|| ours.resample(black_box(input), black_box(&mut out)))
        });
        let mut coefficients = vec![0.0; audio_codec::resampler::COEFFS_LEN];
        let mut other =
            audio_codec::resampler::Resampler::new(from.hz(), to.hz(), &mut coefficients)
                .expect("two rates");
        group.bench_function(format!("{name}, audio-codec"), |b| {
            b.iter(|| other.resample_into(black_box(input), black_box(&mut out)))
        });
    }
    group.finish();
}

fn codec(criterion: &mut Criterion) {
    let speech = speech();
    let mut out = [0i16; WIDE];

    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(WIDE as u64));
    group.bench_function("copy", |b| {
        b.iter(|| black_box(&mut out).copy_from_slice(black_box(&speech)))
    });
    for (name, codec) in [("G.722", Codec::G722), ("Opus", Codec::Opus)] {
        let mut encoder = Encoder::new(codec, Rate::Wide).expect("an encoder");
        let mut payload = [0u8; 480];
        let mut length = 0;
        group.bench_function(format!("{name} encode"), |b| {
            b.iter(|| length = encoder.encode(black_box(&speech), black_box(&mut payload)))
        });
        let mut decoder = Decoder::new(codec, Rate::Wide).expect("a decoder");
        group.bench_function(format!("{name} decode"), |b| {
            b.iter(|| decoder.decode(black_box(&payload[..length]), black_box(&mut out)))
        });
    }
    group.finish();
}

fn voice(criterion: &mut Criterion) {
    let voice = voices::agent();
    let frames: Vec<[i16; NARROW]> = voice.as_chunks().0.to_vec();
    let mut out = [0i16; NARROW];

    let mut group = criterion.benchmark_group("voice");
    group.throughput(Throughput::Elements(NARROW as u64));
    group.bench_function("copy", |b| {
        b.iter(|| black_box(&mut out).copy_from_slice(black_box(&frames[0])))
    });
    for (name, profile) in [
        ("key clamp, menu", Profile::Menu),
        ("key clamp, role", Profile::Role),
    ] {
        let mut clamp = KeyClamp::new(profile);
        let mut frames = frames.iter().cycle();
        group.bench_function(name, |b| {
            b.iter(|| {
                let Some(mut frame) = frames.next().copied() else {
                    return;
                };
                black_box(clamp.push(black_box(&mut frame)));
            })
        });
    }
    let mut concealer = Concealer::new(Rate::Narrow);
    for frame in &frames[..20] {
        concealer.note(&mut frame.clone());
    }
    group.bench_function("conceal and return", |b| {
        b.iter(|| {
            concealer.conceal(black_box(&mut out));
            let mut back = frames[20];
            concealer.note(black_box(&mut back));
        })
    });
    let mut jitter = JitterBuffer::new(Codec::Pcmu);
    let (mut now, mut number) = (clock::now(), 0u32);
    let payload = [0x55; NARROW];
    group.bench_function("jitter buffer, in and out", |b| {
        b.iter(|| {
            let header = Header {
                payload_type: 0,
                marker: false,
                sequence: number as u16,
                timestamp: number.wrapping_mul(NARROW as u32),
                ssrc: 1,
            };
            jitter.insert(now, header, black_box(&payload));
            black_box(jitter.pop(now));
            number = number.wrapping_add(1);
            now += Duration::from_millis(20);
        })
    });
    group.finish();
}
