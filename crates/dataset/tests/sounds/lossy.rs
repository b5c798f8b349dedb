//! Lossy codings, each as an encoder and a decoder in one: what samples have
//! become when they come back from it.
//!
//! µ-law and ADPCM are what recorders and telephones write. [`transform`] stands
//! in for MP3, AAC and Vorbis, whose encoders are not at hand where tests run: it
//! loses what they lose, and more of it than they do at common bit rates.

use realfft::RealFftPlanner;
use realfft::num_complex::Complex;

/// Eight bits per sample on a logarithmic scale: the curve of ITU-T G.711's µ-law.
pub(crate) fn mu_law(samples: &[f32]) -> Vec<f32> {
    let coded = |sample: &f32| {
        let magnitude = sample.abs().min(1.0);
        let code = (127.0 * (1.0 + 255.0 * magnitude).ln() / 256f32.ln()).round();
        ((256f32.powf(code / 127.0) - 1.0) / 255.0).copysign(*sample)
    };
    samples.iter().map(coded).collect()
}

/// Four bits per sample: its difference from the sample before, in steps that
/// follow the sound. The IMA's ADPCM, with its table of steps as a formula.
pub(crate) fn adpcm(samples: &[f32]) -> Vec<f32> {
    const CHANGE: [i32; 8] = [-1, -1, -1, -1, 2, 4, 6, 8];
    let (mut last, mut index) = (0.0, 0);
    let coded = |&sample: &f32| {
        let step = 7.0 * 1.1f32.powi(index) / 32_768.0;
        let difference: f32 = sample - last;
        let code = (4.0 * difference.abs() / step).min(7.0) as usize;
        last += ((code as f32 + 0.5) / 4.0 * step).copysign(difference);
        last = last.clamp(-1.0, 1.0);
        index = (index + CHANGE[code]).clamp(0, 88);
        last
    };
    samples.iter().map(coded).collect()
}

/// What MP3, AAC and Vorbis do at a low bit rate: overlapping frames, a spectrum
/// that ends at 70 % of the Nyquist frequency, bands too quiet to be heard beside
/// the others left out, and the rest rounded so coarsely that its noise lies some
/// 8 dB below it, or 15 dB where the sound is a few tones.
pub(crate) fn transform(samples: &[f32]) -> Vec<f32> {
    const N: usize = 1024;
    const HOP: usize = N / 2;
    // Its square and that of the next frame's add up to one.
    let window: Vec<f32> = (0..N)
        .map(|i| (std::f32::consts::PI * (i as f32 + 0.5) / N as f32).sin())
        .collect();
    let mut planner = RealFftPlanner::<f32>::new();
    let (forward, inverse) = (planner.plan_fft_forward(N), planner.plan_fft_inverse(N));
    let mut frame = forward.make_input_vec();
    let mut spectrum = forward.make_output_vec();

    let padded = [&[0.0; HOP], samples, &[0.0; N]].concat();
    let mut decoded = vec![0.0; padded.len()];
    for start in (0..=padded.len() - N).step_by(HOP) {
        for ((value, sample), weight) in frame.iter_mut().zip(&padded[start..]).zip(&window) {
            *value = sample * weight;
        }
        forward
            .process(&mut frame, &mut spectrum)
            .expect("the lengths are the plan's");
        coarsen(&mut spectrum);
        inverse
            .process(&mut spectrum, &mut frame)
            .expect("the lengths are the plan's, the ends real");
        for ((sum, value), weight) in decoded[start..].iter_mut().zip(&frame).zip(&window) {
            *sum += value * weight / N as f32;
        }
    }
    decoded[HOP..][..samples.len()].to_vec()
}

/// Rounds a spectrum band by band, to steps as large as the band is loud.
fn coarsen(spectrum: &mut [Complex<f32>]) {
    const BAND: usize = 16;
    let level = |band: &[Complex<f32>]| {
        let power: f32 = band.iter().map(|bin| bin.norm_sqr()).sum();
        (power / band.len() as f32).sqrt()
    };
    let (kept, lost) = spectrum.split_at_mut(spectrum.len() * 7 / 10);
    lost.fill(Complex::ZERO);
    let loudest = kept.chunks(BAND).map(level).fold(0.0, f32::max);
    for band in kept.chunks_mut(BAND) {
        let step = level(band);
        if step <= 0.01 * loudest {
            band.fill(Complex::ZERO);
            continue;
        }
        for bin in band {
            let round = |value: f32| (value / step).round() * step;
            *bin = Complex::new(round(bin.re), round(bin.im));
        }
    }
}
