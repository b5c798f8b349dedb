//! What resampling does to tones: measured gain, delay, images and aliases at
//! many pairs of rates.

use std::f64::consts::TAU;

use biophony_audio::{AudioError, Clip, SampleRate, Seconds, resample};

/// Rates met in recordings, from old telephones to bat detectors.
const RATES: [u32; 28] = [
    4000, 6000, 8000, 9600, 11_025, 11_127, 12_000, 16_000, 18_900, 22_050, 22_254, 22_255, 24_000,
    32_000, 37_800, 44_056, 44_100, 47_250, 48_000, 50_000, 64_000, 88_200, 96_000, 176_400,
    192_000, 250_000, 384_000, 500_000,
];

/// Pairs with little in common, on top of all rates to 22,050 Hz.
const MORE_PAIRS: [(u32, u32); 9] = [
    (44_100, 16_000),
    (11_025, 32_000),
    (48_000, 44_100),
    (16_000, 48_000),
    (8000, 96_000),
    (44_100, 22_051),
    (32_000, 31_999),
    (96_000, 4000),
    (4000, 192_000),
];

fn pairs() -> impl Iterator<Item = (u32, u32)> {
    RATES
        .into_iter()
        .map(|rate| (rate, 22_050))
        .filter(|(a, b)| a != b)
        .chain(MORE_PAIRS)
}

fn hertz(hertz: u32) -> SampleRate {
    SampleRate::from_hertz(hertz).expect("the tests use real rates")
}

/// A sine of amplitude 1 that begins in the middle of nowhere.
fn tone(frequency: f64, rate: u32, span: Seconds) -> Vec<f64> {
    let n = hertz(rate).samples_in(span);
    (0..n)
        .map(|i| (TAU * frequency * i as f64 / f64::from(rate) + 0.3).sin())
        .collect()
}

/// What comes out of a tone, and the same tone made at the new rate, both away
/// from the ends, where the silence outside the clip is heard.
fn resampled_tone(frequency: f64, from: u32, to: u32) -> (Vec<f64>, Vec<f64>) {
    let span = Seconds(0.25);
    let samples = tone(frequency, from, span)
        .into_iter()
        .map(|value| value as f32)
        .collect();
    let output = resample(&Clip::new(samples, hertz(from)), hertz(to)).expect("resamples");
    assert_eq!(output.rate(), hertz(to));
    let ideal = tone(frequency, to, Seconds(span.0 + 1.0));
    let edge = hertz(to).samples_in(Seconds(80.0 / f64::from(from.min(to))));
    let middle = edge..output.samples().len() - edge;
    let heard = output.samples()[middle.clone()]
        .iter()
        .map(|&value| f64::from(value))
        .collect();
    (heard, ideal[middle].to_vec())
}

/// Root mean square in decibels, 0 for a sine of amplitude 1.
fn level_db(values: &[f64]) -> f64 {
    let power = values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64;
    10.0 * (2.0 * power).max(1e-30).log10()
}

#[test]
fn tones_up_to_nine_tenths_of_the_nyquist_frequency_pass_unchanged() {
    for (from, to) in pairs() {
        let nyquist = f64::from(from.min(to)) / 2.0;
        for share in [0.02, 0.1, 0.33, 0.5, 0.77, 0.85, 0.9] {
            let (heard, ideal) = resampled_tone(share * nyquist, from, to);
            let gain = level_db(&heard) - level_db(&ideal);
            assert!(
                gain.abs() < 0.1,
                "{from} to {to}: {gain:.4} dB at {share} of the Nyquist frequency"
            );
            // Delay, images and distortion are all in the difference.
            let difference: Vec<f64> = heard.iter().zip(&ideal).map(|(a, b)| a - b).collect();
            let rest = level_db(&difference);
            assert!(
                rest < -90.0,
                "{from} to {to}: {rest:.1} dB of something else at {share}"
            );
        }
    }
}

#[test]
fn tones_above_the_new_nyquist_frequency_leave_no_alias() {
    for (from, to) in pairs().filter(|(from, to)| from > to) {
        let (low, high) = (f64::from(to) / 2.0, f64::from(from) / 2.0);
        for share in [0.0, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999] {
            // A tone exactly at the edge is half alias, half itself.
            let frequency = (low + share * (high - low)).max(1.0005 * low);
            if frequency < high {
                let (heard, _) = resampled_tone(frequency, from, to);
                let alias = level_db(&heard);
                assert!(
                    alias < -90.0,
                    "{from} to {to}: {alias:.1} dB from {frequency:.0} Hz"
                );
            }
        }
    }
}

#[test]
fn an_impulse_stays_where_it_is() {
    for (from, to) in pairs() {
        let mut samples = vec![0.0; from as usize / 4];
        let at = samples.len() / 3;
        samples[at] = 1.0;
        let output = resample(&Clip::new(samples, hertz(from)), hertz(to)).expect("resamples");
        let energy = |weight: &dyn Fn(usize) -> f64| -> f64 {
            output
                .samples()
                .iter()
                .enumerate()
                .map(|(i, &v)| f64::from(v).powi(2) * weight(i))
                .sum()
        };
        let center = energy(&|i| i as f64 / f64::from(to)) / energy(&|_| 1.0);
        let moved = (center - at as f64 / f64::from(from)) * f64::from(from.min(to));
        assert!(
            moved.abs() < 0.01,
            "{from} to {to}: moved by {moved} samples"
        );
    }
}

#[test]
fn the_length_is_that_of_librosa() {
    for (n, from, to, expected) in [
        (1, 44_100, 22_050, 1),
        (2, 44_100, 22_050, 1),
        (3, 44_100, 22_050, 2),
        (1, 8000, 22_050, 3),
        (1, 192_000, 4000, 1),
        (44_101, 44_100, 48_000, 48_002),
        (100_000, 22_255, 22_050, 99_079),
    ] {
        let clip = Clip::new(vec![0.5; n], hertz(from));
        let output = resample(&clip, hertz(to)).expect("resamples");
        assert_eq!(
            output.samples().len(),
            expected,
            "{n} samples from {from} to {to} Hz"
        );
        assert!(output.samples().iter().all(|value| value.is_finite()));
    }
}

#[test]
fn the_same_rate_changes_nothing() {
    let clip = Clip::new(vec![0.1, -0.7, 0.3], hertz(44_100));
    assert_eq!(resample(&clip, hertz(44_100)).expect("resamples"), clip);
}

#[test]
fn a_constant_keeps_its_value() {
    let output =
        resample(&Clip::new(vec![0.5; 48_000], hertz(48_000)), hertz(22_050)).expect("resamples");
    let middle = &output.samples()[200..output.samples().len() - 200];
    assert!(middle.iter().all(|value| (value - 0.5).abs() < 1e-5));
}

#[test]
fn the_same_clip_gives_the_same_bits() {
    let samples: Vec<f32> = (0..50_000)
        .map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0)
        .collect();
    let clip = Clip::new(samples, hertz(37_800));
    let first = resample(&clip, hertz(22_050)).expect("resamples");
    let second = std::thread::spawn(move || resample(&clip, hertz(22_050)))
        .join()
        .expect("the thread ends")
        .expect("resamples");
    assert_eq!(first, second);
}

#[test]
fn rates_too_far_apart_are_refused() {
    let clip = Clip::new(vec![0.5; 10], hertz(u32::MAX));
    assert!(matches!(
        resample(&clip, hertz(22_050)),
        Err(AudioError::RatesTooFarApart { .. })
    ));
    let clip = Clip::new(vec![0.5; 10], hertz(1));
    assert!(matches!(
        resample(&clip, hertz(22_050)),
        Err(AudioError::RatesTooFarApart { .. })
    ));
}

#[test]
fn a_result_that_fills_the_memory_is_refused() {
    let clip = Clip::new(vec![0.5; 2_000_000], hertz(1000));
    assert!(matches!(
        resample(&clip, hertz(1_000_000)),
        Err(AudioError::ResampleTooLarge { .. })
    ));
}

#[test]
fn rates_that_have_nothing_in_common_and_are_huge_still_work() {
    let clip = Clip::new(vec![0.5; 300_000], hertz(4_294_967_291));
    let output = resample(&clip, hertz(4_294_967_279)).expect("resamples");
    assert_eq!(output.samples().len(), 300_000);
    assert!((output.samples()[150_000] - 0.5).abs() < 1e-4);
}

#[test]
fn an_empty_clip_is_refused() {
    let clip = Clip::new(Vec::new(), hertz(44_100));
    assert!(matches!(
        resample(&clip, hertz(22_050)),
        Err(AudioError::EmptyClip)
    ));
}
