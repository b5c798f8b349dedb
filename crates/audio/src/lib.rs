//! Sound in, log-mel out.

mod clip;
mod decode;
mod error;
mod resample;

pub use clip::{Clip, SampleRate, Seconds};
pub use decode::{
    Container, DecodeLimits, Decoded, SourceFormat, decode_bytes, decode_file, sniff,
};
pub use error::AudioError;
pub use resample::resample;
