//! Sound in, log-mel out.

mod clip;
mod decibel;
mod decode;
mod error;
mod features;
mod fourier;
mod instructions;
mod mel;
mod mfcc;
mod npy;
mod pcen;
mod picture;
mod resample;
mod riff;
mod spectrogram;
mod stft;

pub use clip::{Clip, SampleRate, Seconds};
pub use decibel::{Reference, power_to_db};
pub use decode::{
    Container, DecodeLimits, Decoded, SourceFormat, decode_bytes, decode_file, read_file, sniff,
};
pub use error::AudioError;
pub use features::{
    FeatureConfig, FeatureExtractor, FeatureScale, FeatureSettings, MAX_N_FFT, MAX_N_MELS,
};
pub use fourier::{inverse_real_transform, real_transform};
pub use mel::{MelFilterbank, MelNorm, MelScale, mel_filterbank};
pub use mfcc::{DctNorm, DctType, MfccConfig, mfcc};
pub use npy::{read_spectrogram_npy, write_npy, write_spectrogram_npy};
pub use pcen::{PcenConfig, PcenState, pcen, pcen_from};
pub use picture::{bare_spectrogram_png, color_of, spectrogram_png};
pub use resample::resample;
pub use spectrogram::Spectrogram;
pub use stft::{PadMode, Stft, Window, stft};
