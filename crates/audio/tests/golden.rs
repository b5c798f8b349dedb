//! Features against librosa's: the same samples in, the same numbers out.
//!
//! `golden/make.py` made the values and wrote down with which versions. What is
//! promised: a relative error of 1e-4 on linear powers down to 80 dB below the
//! loudest, and 1e-3 dB on decibels, all of them.

use std::collections::HashMap;
use std::path::Path;

use biophony_audio::{
    FeatureConfig, FeatureExtractor, FeatureScale, MfccConfig, PcenConfig, PcenState, SampleRate,
    Spectrogram, mel_filterbank, mfcc, pcen, pcen_from, stft,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    librosa: String,
    signals: HashMap<String, Array>,
    features: Vec<Case>,
    stft: Vec<Case>,
    filterbanks: Vec<Case>,
    mfcc: Vec<Case>,
    pcen: Vec<PcenCase>,
    #[serde(skip)]
    values: Vec<f32>,
}

/// Where an array lies among the values.
#[derive(Deserialize)]
struct Array {
    offset: usize,
    shape: Vec<usize>,
}

#[derive(Deserialize)]
struct Case {
    signal: String,
    settings: FeatureConfig,
    mfcc: Option<MfccConfig>,
    #[serde(flatten)]
    expected: Array,
}

#[derive(Deserialize)]
struct PcenCase {
    signal: String,
    sample_rate: SampleRate,
    pcen: PcenConfig,
    input: Array,
    zi: Option<Array>,
    zf: Array,
    #[serde(flatten)]
    expected: Array,
}

impl Golden {
    fn read() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let index = std::fs::read_to_string(folder.join("cases.json")).expect("the index is there");
        let bytes = std::fs::read(folder.join("values.f32")).expect("the values are there");
        let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        Golden {
            values: bytes.chunks_exact(4).map(number).collect(),
            ..serde_json::from_str(&index).expect("the index is well-formed")
        }
    }

    /// The numbers of an array, `per_value` of them for each of its values.
    fn numbers(&self, array: &Array, per_value: usize) -> &[f32] {
        let count = array.shape.iter().product::<usize>() * per_value;
        &self.values[array.offset..][..count]
    }

    fn signal(&self, name: &str) -> &[f32] {
        self.numbers(&self.signals[name], 1)
    }

    fn spectrogram(&self, array: &Array) -> Spectrogram {
        let values = self.numbers(array, 1).to_vec();
        Spectrogram::new(array.shape[0], array.shape[1], values)
    }
}

/// The largest relative error among values at most 80 dB below the largest,
/// 1.0 standing for a value that is there in one and not in the other.
fn relative_error(actual: &[f32], expected: &[f32], power: f32) -> f32 {
    let loudest = expected.iter().copied().fold(0.0, f32::max);
    let floor = loudest * 1e-8_f32.powf(power / 2.0);
    let errors = actual.iter().zip(expected).map(|(&a, &e)| {
        if a == e || a.max(e) < floor {
            0.0
        } else {
            (a - e).abs() / e.abs().max(f32::MIN_POSITIVE)
        }
    });
    errors.fold(0.0, f32::max)
}

fn largest_difference(actual: &[f32], expected: &[f32]) -> f32 {
    assert!(actual.iter().all(|value| value.is_finite()));
    let differences = actual.iter().zip(expected).map(|(a, e)| (a - e).abs());
    differences.fold(0.0, f32::max)
}

fn largest_size(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |size, value| size.max(value.abs()))
}

#[test]
fn mel_spectrograms_are_those_of_librosa() {
    let golden = Golden::read();
    assert!(golden.librosa.starts_with("0.11."));
    assert!(golden.features.len() >= 40, "{}", golden.features.len());
    let (mut worst_relative, mut worst_db) = (0.0_f32, 0.0_f32);
    for case in &golden.features {
        let samples = golden.signal(&case.signal);
        let expected = golden.spectrogram(&case.expected);
        let extractor = FeatureExtractor::new(&case.settings);
        let actual = extractor.extract(samples).expect("the case is valid");
        let name = format!("{}: {:?}", case.signal, case.settings);
        assert_eq!(actual.n_bands, expected.n_bands, "{name}");
        assert_eq!(actual.n_frames, expected.n_frames, "{name}");
        if let FeatureScale::Power = case.settings.scale() {
            let power = case.settings.power();
            let error = relative_error(actual.values(), expected.values(), power);
            assert!(error < 1e-4, "relative error {error:e}: {name}");
            worst_relative = worst_relative.max(error);
        } else {
            let error = largest_difference(actual.values(), expected.values());
            assert!(error < 1e-3, "{error} dB off: {name}");
            worst_db = worst_db.max(error);
        }
    }
    println!("largest relative error {worst_relative:e}, largest difference {worst_db} dB");
}

#[test]
fn spectra_are_those_of_librosa() {
    let golden = Golden::read();
    for case in &golden.stft {
        let actual = stft(golden.signal(&case.signal), &case.settings).expect("valid");
        assert_eq!([actual.n_bins, actual.n_frames], case.expected.shape[..]);
        let numbers: Vec<f32> = actual.values.iter().flat_map(|z| [z.re, z.im]).collect();
        let expected = golden.numbers(&case.expected, 2);
        let error = largest_difference(&numbers, expected) / largest_size(expected);
        assert!(error < 2e-7, "{}: {error:e}", case.signal);
    }
}

#[test]
fn filterbanks_are_those_of_librosa() {
    let golden = Golden::read();
    for case in &golden.filterbanks {
        let bank = mel_filterbank(&case.settings);
        assert_eq!([bank.n_mels(), bank.n_bins()], case.expected.shape[..]);
        let expected = golden.numbers(&case.expected, 1);
        let error = largest_difference(&bank.to_dense(), expected) / largest_size(expected);
        assert!(error < 2e-7, "{:?}: {error:e}", case.settings);
    }
}

#[test]
fn cepstra_are_those_of_librosa() {
    let golden = Golden::read();
    for case in &golden.mfcc {
        let config = case.mfcc.expect("a case of cepstra says which");
        let extractor = FeatureExtractor::new(&case.settings);
        let db = extractor
            .extract(golden.signal(&case.signal))
            .expect("valid");
        let actual = mfcc(&db, &config).expect("valid");
        let expected = golden.numbers(&case.expected, 1);
        assert_eq!([actual.n_bands, actual.n_frames], case.expected.shape[..]);
        let error = largest_difference(actual.values(), expected);
        let allowed = 1e-3 + 1e-6 * largest_size(expected);
        assert!(error < allowed, "{}: {error} with {config:?}", case.signal);
    }
}

#[test]
fn energy_normalization_is_that_of_librosa() {
    let golden = Golden::read();
    for case in &golden.pcen {
        let input = golden.spectrogram(&case.input);
        let expected = golden.numbers(&case.expected, 1);
        let actual = match &case.zi {
            None => pcen(&input, case.sample_rate, 512, &case.pcen).expect("valid"),
            Some(zi) => {
                let zi = golden.numbers(zi, 1).iter().map(|&z| f64::from(z));
                let mut state = PcenState(zi.collect());
                let output = pcen_from(&mut state, &input, case.sample_rate, 512, &case.pcen);
                let zf: Vec<f32> = state.0.iter().map(|&z| z as f32).collect();
                let error = relative_error(&zf, golden.numbers(&case.zf, 1), 2.0);
                assert!(
                    error < 1e-6,
                    "{}: final state off by {error:e}",
                    case.signal
                );
                output.expect("valid")
            }
        };
        let error =
            largest_difference(actual.values(), expected) / largest_size(expected).max(1e-9);
        assert!(
            error < 1e-6,
            "{}: {error:e} with {:?}",
            case.signal,
            case.pcen
        );
    }
}
