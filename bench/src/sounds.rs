//! From a sound file to a log-mel, and to scores.

use std::hint::black_box;
use std::path::Path;

use biophony_audio::{
    Clip, DecodeLimits, FeatureConfig, FeatureExtractor, FeatureSettings, SampleRate, decode_file,
    resample,
};
use biophony_model::prepare::{ClipShape, Cut, Example, FrontEnd};
use biophony_model::{Bundle, Calibration, LabelSet, Normalizer, Predictor, Provenance};
use biophony_nn::Network;
use realfft::RealFftPlanner;

use crate::networks::{CLASSES, mobile};
use crate::{Result, Work};

const N_FFT: usize = 2048;
const HOP: usize = 512;

/// The log-mel of a file's sound at the file's rate, in decibels.
pub(crate) fn log_mel(file: &Path) -> Result<Work> {
    let clip = read(file)?;
    let extractor = FeatureExtractor::new(&features()?);
    Ok(Box::new(move || {
        black_box(extractor.extract(clip.samples()).expect("readable sound"));
    }))
}

/// What no log-mel can be faster than: its real transforms, and copying the
/// frames that they destroy.
pub(crate) fn transforms(file: &Path) -> Result<Work> {
    let clip = read(file)?;
    let plan = RealFftPlanner::<f32>::new().plan_fft_forward(N_FFT);
    let (mut frame, mut spectrum) = (plan.make_input_vec(), plan.make_output_vec());
    let mut scratch = plan.make_scratch_vec();
    Ok(Box::new(move || {
        let samples = clip.samples();
        for t in 0..1 + samples.len() / HOP {
            let start = (t * HOP).min(samples.len() - N_FFT);
            frame.copy_from_slice(&samples[start..start + N_FFT]);
            plan.process_with_scratch(&mut frame, &mut spectrum, &mut scratch)
                .expect("buffers of the plan");
            black_box(&spectrum);
        }
    }))
}

/// The file read, its channels mixed, and brought to 22,050 Hz.
pub(crate) fn load(file: &Path) -> Result<Work> {
    let file = file.to_owned();
    let rate = features()?.sample_rate();
    read(&file)?;
    Ok(Box::new(move || {
        let clip = read(&file).expect("it was readable before");
        black_box(resample(&clip, rate).expect("rates that are usual"));
    }))
}

/// The file on disk to the probabilities of each 5 s and of the whole.
pub(crate) fn classify(file: &Path) -> Result<Work> {
    let file = file.to_owned();
    let predictor = Predictor::new(bundle(&read(&file)?)?)?;
    Ok(Box::new(move || {
        let clip = read(&file).expect("it was readable before");
        black_box(predictor.predict(&clip).expect("readable sound"));
    }))
}

fn read(file: &Path) -> Result<Clip> {
    Ok(decode_file(file, &DecodeLimits::default())?.clip)
}

/// librosa's usual settings.
fn features() -> Result<FeatureConfig> {
    let settings = FeatureSettings {
        sample_rate: SampleRate::from_hertz(22_050).ok_or("a rate is not zero")?,
        n_fft: N_FFT,
        hop_length: HOP,
        n_mels: 128,
        fmin: 0.0,
        ..FeatureSettings::default()
    };
    Ok(FeatureConfig::new(settings)?)
}

/// The mobile net with the weights that training would begin with.
fn bundle(clip: &Clip) -> Result<Bundle> {
    let front_end = FrontEnd {
        features: features()?,
        clip: ClipShape {
            clip_seconds: 5.0,
            cut: Cut::AllWindows,
            overlap: 0.0,
            ..ClipShape::default()
        },
    };
    let example = Example {
        name: String::new(),
        label: 0,
        features: front_end.prepare(clip)?,
    };
    Ok(Bundle {
        labels: LabelSet::new((0..CLASSES).map(|class| format!("class {class}")))?,
        normalizer: Normalizer::fit(&[example])?,
        network: Network::new(&mobile(), 1)?,
        front_end,
        calibration: Calibration::default(),
        metrics: serde_json::Value::Null,
        provenance: Provenance::default(),
    })
}
