//! Where the content of a recording ends: the edge that an earlier, lower sample
//! rate or a lossy codec has left in its spectrum.
//!
//! A call that happens to be low has no such edge: noise and wind fade out
//! gradually above it.

use biophony_audio::{Clip, real_transform};

/// Points of the transform; 21 Hz apart at 44.1 kHz.
const N_FFT: usize = 2048;
/// How far the spectrum must fall at the edge, in dB.
const EDGE_DB: f32 = 20.0;
/// How flat the spectrum above the edge may rise over its own floor, in dB.
const FLOOR_DB: f32 = 12.0;
/// Width of the bands compared on either side, as a fraction of the Nyquist
/// frequency, and the gap between them that a filter's slope may take.
const SIDE: f32 = 0.06;
const SLOPE: f32 = 0.05;

/// The frequency in hertz above which the clip holds nothing: that of a spectral
/// edge if there is one, else the Nyquist frequency.
pub(crate) fn bandwidth_hz(clip: &Clip) -> f64 {
    let nyquist = f64::from(clip.rate().hertz()) / 2.0;
    match edge(&background_db(clip.samples())) {
        Some(fraction) => f64::from(fraction) * nyquist,
        None => nyquist,
    }
}

/// Where the spectrum falls off an edge and stays down, as a fraction of its
/// width.
fn edge(spectrum: &[f32]) -> Option<f32> {
    let n = spectrum.len();
    let at = |fraction: f32| ((fraction * n as f32) as usize).min(n - 1);
    let side = at(SIDE);
    let slope = at(SLOPE);
    if side == 0 {
        return None;
    }
    let floor = median(&spectrum[n - side..]);
    let mut best: Option<(f32, f32, usize)> = None;
    let mut above = floor;
    for top in (side + slope..n - side).rev() {
        // `top` begins the upper band, which must be as empty as all above it.
        above = above.max(median(&spectrum[top..top + side]));
        if above > floor + FLOOR_DB {
            break;
        }
        let below = top - slope;
        let step = median(&spectrum[below - side..below]) - above;
        if step >= best.map_or(EDGE_DB, |(step, ..)| step) {
            best = Some((step, above, top));
        }
    }
    // Halfway down the edge.
    let (step, above, top) = best?;
    let high = |&bin: &usize| spectrum[bin] > above + 0.5 * step;
    let last = (top - slope - side..top).rev().find(high)?;
    Some((last + 1) as f32 / n as f32)
}

fn median(values: &[f32]) -> f32 {
    let mut values = values.to_vec();
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// For each bin the level in dB that three quarters of the windows exceed, at
/// most 200 windows, spread over the clip.
///
/// Calls fill a mean, and where they end looks like an edge; in the background
/// between them only a filter makes one.
fn background_db(samples: &[f32]) -> Vec<f32> {
    let transform = real_transform(N_FFT);
    let mut input = transform.make_input_vec();
    let mut output = transform.make_output_vec();
    let mut scratch = transform.make_scratch_vec();
    let mut levels = vec![Vec::new(); output.len()];
    let weights: Vec<f32> = blackman().collect();

    let n_windows = samples.len() / N_FFT;
    let stride = n_windows.div_ceil(200).max(1);
    let windows = samples.chunks_exact(N_FFT).step_by(stride);
    for window in windows.filter(|window| window.iter().any(|&sample| sample != 0.0)) {
        for ((x, sample), weight) in input.iter_mut().zip(window).zip(&weights) {
            *x = sample * weight;
        }
        transform
            .process_with_scratch(&mut input, &mut output, &mut scratch)
            .expect("the buffers were made by the transform");
        let loudest = output.iter().map(|bin| bin.norm_sqr()).fold(0.0, f32::max);
        // −120 dB is the floor: below it the rounding of samples has the word.
        let floor = loudest.max(f32::MIN_POSITIVE) * 1e-12;
        for (levels, bin) in levels.iter_mut().zip(&output) {
            levels.push(10.0 * bin.norm_sqr().max(floor).log10());
        }
    }
    let quartile = |mut levels: Vec<f32>| {
        let rank = levels.len() / 4;
        match levels.is_empty() {
            true => 0.0,
            false => *levels.select_nth_unstable_by(rank, f32::total_cmp).1,
        }
    };
    levels.into_iter().map(quartile).collect()
}

/// A Blackman window: its side lobes lie below the edges sought here.
fn blackman() -> impl Iterator<Item = f32> {
    (0..N_FFT).map(|i| {
        let phase = std::f32::consts::TAU * i as f32 / N_FFT as f32;
        0.42 - 0.5 * phase.cos() + 0.08 * (2.0 * phase).cos()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use biophony_audio::SampleRate;

    fn rate(hertz: u32) -> SampleRate {
        SampleRate::from_hertz(hertz).expect("the tests use real rates")
    }

    /// Noise in which each sample leans on the last by `lean`: the nearer to 1,
    /// the more it falls towards high frequencies.
    fn noise(hertz: u32, lean: f32) -> Clip {
        let mut state = 7u32;
        let mut last = 0.0;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            last = lean * last + (state >> 8) as f32 / (1 << 24) as f32 - 0.5;
            0.3 * last
        };
        Clip::new((0..2 * hertz).map(|_| next()).collect(), rate(hertz))
    }

    #[test]
    fn full_band_noise_reaches_the_nyquist_frequency() {
        assert_eq!(bandwidth_hz(&noise(44_100, 0.0)), 22_050.0);
    }

    #[test]
    fn sound_that_fades_towards_high_frequencies_has_no_edge() {
        assert_eq!(bandwidth_hz(&noise(44_100, 0.95)), 22_050.0);
    }

    /// What a resampler leaves of a clip: a low-pass filter by a windowed sinc.
    fn low_passed(clip: &Clip, cutoff_hz: f32) -> Clip {
        let cutoff = cutoff_hz / clip.rate().hertz() as f32;
        let tap = |i: i32| {
            let x = std::f32::consts::TAU * cutoff * i as f32;
            let sinc = if i == 0 { 1.0 } else { x.sin() / x };
            let phase = std::f32::consts::PI * i as f32 / 128.0;
            2.0 * cutoff * sinc * (0.42 + 0.5 * phase.cos() + 0.08 * (2.0 * phase).cos())
        };
        let taps: Vec<f32> = (-128..=128).map(tap).collect();
        let samples = clip.samples().windows(taps.len());
        let filtered = samples.map(|w| w.iter().zip(&taps).map(|(x, t)| x * t).sum());
        Clip::new(filtered.collect(), clip.rate())
    }

    #[test]
    fn an_earlier_rate_leaves_its_edge() {
        for lean in [0.0, 0.9] {
            for expected in [4_000.0, 8_000.0, 11_025.0] {
                let found = bandwidth_hz(&low_passed(&noise(44_100, lean), expected));
                let ratio = found / f64::from(expected);
                assert!((ratio - 1.0).abs() < 0.15, "{found} for {expected}");
            }
        }
    }

    #[test]
    fn calls_above_a_background_have_no_edge() {
        let background = noise(44_100, 0.0);
        let loud = low_passed(&noise(44_100, 0.0), 4_000.0);
        let calls = loud.samples().iter().enumerate();
        let samples = calls.map(|(i, call)| {
            let call = if i / 11_025 % 2 == 0 { *call } else { 0.0 };
            call + 0.003 * background.samples()[i]
        });
        let clip = Clip::new(samples.collect(), rate(44_100));
        assert_eq!(bandwidth_hz(&clip), 22_050.0);
    }

    #[test]
    fn silence_and_a_handful_of_samples_have_no_edge() {
        for n in [1, 100, 5_000] {
            let clip = Clip::new(vec![0.0; n], rate(8_000));
            assert_eq!(bandwidth_hz(&clip), 4_000.0);
        }
    }
}
