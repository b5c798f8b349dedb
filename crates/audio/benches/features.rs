//! How fast 60 s of sound become a log-mel, beside the transforms alone.
//!
//! `cargo bench -p biophony-audio --bench features`

use std::hint::black_box;

use biophony_audio::{FeatureConfig, FeatureExtractor, FeatureSettings};
use criterion::{Criterion, criterion_group, criterion_main};
use realfft::RealFftPlanner;

const RATE: usize = 22_050;
const N_FFT: usize = 2048;
const HOP: usize = 512;

/// White noise, the same each time.
fn noise(n_samples: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..n_samples).map(|_| next()).collect()
}

/// A call that sweeps and fades every second, over faint noise: quiet bands
/// beside loud ones, so that some frames need double precision.
fn calls(n_samples: usize) -> Vec<f32> {
    let sweep = |i: usize| {
        let t = (i % RATE) as f32 / RATE as f32;
        (-8.0 * t).exp() * (2.0 * std::f32::consts::PI * (1500.0 + 1200.0 * t) * t).sin()
    };
    let faint = noise(n_samples).into_iter().map(|sample| 1e-3 * sample);
    faint
        .enumerate()
        .map(|(i, sample)| sample + sweep(i))
        .collect()
}

fn log_mel(criterion: &mut Criterion) {
    let settings = FeatureSettings {
        n_fft: N_FFT,
        hop_length: HOP,
        n_mels: 128,
        fmin: 0.0,
        ..FeatureSettings::default()
    };
    let config = FeatureConfig::new(settings).expect("valid settings");
    let extractor = FeatureExtractor::new(&config);
    let sounds = [("noise", noise(60 * RATE)), ("calls", calls(60 * RATE))];
    let mut group = criterion.benchmark_group("60 s");
    for (name, samples) in &sounds {
        group.bench_function(format!("log-mel of {name}"), |bencher| {
            bencher.iter(|| {
                extractor
                    .extract(black_box(samples))
                    .expect("valid samples")
            });
        });
    }
    transforms_alone(&mut group, &sounds[0].1);
    group.finish();
}

/// What no log-mel can be faster than: its real transforms, and copying the
/// frames that they destroy.
fn transforms_alone(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    samples: &[f32],
) {
    let plan = RealFftPlanner::<f32>::new().plan_fft_forward(N_FFT);
    let (mut frame, mut spectrum) = (plan.make_input_vec(), plan.make_output_vec());
    let mut scratch = plan.make_scratch_vec();
    let n_frames = 1 + samples.len() / HOP;
    group.bench_function("its transforms alone", |bencher| {
        bencher.iter(|| {
            for t in 0..n_frames {
                let start = (t * HOP).min(samples.len() - N_FFT);
                frame.copy_from_slice(&samples[start..start + N_FFT]);
                plan.process_with_scratch(&mut frame, &mut spectrum, &mut scratch)
                    .expect("buffers of the plan");
                black_box(&spectrum);
            }
        });
    });
}

criterion_group!(benches, log_mel);
criterion_main!(benches);
