//! What speaks against trusting a model's answer about one recording.
//!
//! A model answers something about silence, too. Whoever reads the answer should know.

use biophony_audio::Clip;

use crate::audit::{AuditConfig, is_silent};
use crate::measure::{is_plainly_above, loudest_dbfs, mean};

/// Whether there is too little to hear in a recording for an answer about it to mean
/// much, in sentences for people. Nothing for one that an audit would let pass.
pub fn doubts(clip: &Clip, config: &AuditConfig) -> Vec<String> {
    let mut doubts = Vec::new();
    if !is_plainly_above(clip, config.silence_dbfs) {
        doubts.extend(too_quiet(clip, config));
    }
    let seconds = clip.duration().0;
    if seconds < config.min_seconds {
        doubts.push(format!(
            "it lasts only {:.0} ms, which hardly holds a call",
            1e3 * seconds
        ));
    }
    doubts
}

fn too_quiet(clip: &Clip, config: &AuditConfig) -> Option<String> {
    match loudest_dbfs(clip, mean(clip.samples())) {
        None => Some("it is silent: an answer about it means nothing".to_owned()),
        level if is_silent(level, config) => Some(format!(
            "it is nearly silent, below {} dB of full scale throughout: an answer about it \
             means little",
            config.silence_dbfs
        )),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use biophony_audio::SampleRate;

    fn doubts_about(n: usize, amplitude: f32) -> Vec<String> {
        let rate = SampleRate::from_hertz(8_000).expect("not zero");
        let samples = (0..n).map(|i| amplitude * (0.7 * i as f32).sin() + 0.25);
        doubts(&Clip::new(samples.collect(), rate), &AuditConfig::default())
    }

    #[test]
    fn silence_and_snippets_are_doubted_and_quiet_calls_are_not() {
        assert!(doubts_about(8_000, 0.01).is_empty());
        let silent = doubts_about(8_000, 0.0);
        assert!(
            silent.len() == 1 && silent[0].contains("silent"),
            "{silent:?}"
        );
        let nearly = doubts_about(8_000, 1e-4);
        assert!(
            nearly.len() == 1 && nearly[0].contains("-60 dB"),
            "{nearly:?}"
        );
        let snippet = doubts_about(400, 0.5);
        assert!(
            snippet.len() == 1 && snippet[0].contains("50 ms"),
            "{snippet:?}"
        );
        // Of one sample, its mean is all there is.
        assert_eq!(doubts_about(1, 0.5).len(), 2);
    }
}
