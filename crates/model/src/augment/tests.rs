//! What each variation does, and that each can be turned off.

use biophony_audio::FeatureConfig;

use super::*;
use crate::seeds::{Purpose, generator};

const N_FRAMES: usize = 20;

fn examples(n_frames: usize) -> Vec<Example> {
    let n_bands = FeatureConfig::default().n_mels();
    let clip = |label: usize| {
        let values = (0..n_bands * n_frames).map(|i| {
            let (band, frame) = (i / n_frames, i % n_frames);
            -60.0 + ((band * 7 + frame * 3 + label * 11) % 37) as f32
        });
        Example {
            name: format!("clip {label}"),
            label,
            features: Spectrogram::new(n_bands, n_frames, values.collect()),
        }
    };
    (0..3).map(clip).collect()
}

/// Draws one variation of the first of three clips, normalized.
fn draw(config: &AugmentConfig, n_frames: usize, seed: u64) -> Vec<f32> {
    let (front, examples) = (FrontEnd::default(), examples(n_frames));
    let normalizer = Normalizer::fit(&examples).unwrap();
    let augmenter = Augmenter::new(config, &front, &examples, &normalizer, N_FRAMES);
    let mut window = vec![0.0; examples[0].features.n_bands * N_FRAMES];
    let mut rng = generator(seed, Purpose::Augment, 1, 0);
    augmenter.draw(0, &mut rng, &mut window);
    window
}

/// The window without any variation.
fn plain() -> Vec<f32> {
    draw(&AugmentConfig::none(), N_FRAMES, 0)
}

fn only(change: impl FnOnce(&mut AugmentConfig)) -> AugmentConfig {
    let mut config = AugmentConfig::none();
    change(&mut config);
    config
}

#[test]
fn without_variations_the_window_is_the_normalized_clip() {
    let examples = examples(N_FRAMES);
    let mut expected = examples[0].features.values().to_vec();
    Normalizer::fit(&examples).unwrap().apply(&mut expected);
    assert_eq!(plain(), expected);
    assert_eq!(draw(&AugmentConfig::none(), N_FRAMES, 1), expected);
}

#[test]
fn the_same_seed_draws_the_same_variation_and_another_seed_another() {
    let config = AugmentConfig {
        noise_probability: 1.0,
        ..AugmentConfig::default()
    };
    assert_eq!(draw(&config, 50, 3), draw(&config, 50, 3));
    assert_ne!(draw(&config, 50, 3), draw(&config, 50, 4));
}

#[test]
fn a_random_crop_is_a_window_of_the_clip() {
    let config = only(|config| config.random_crop = true);
    let (examples, found) = (examples(50), draw(&config, 50, 9));
    let normalizer = Normalizer::fit(&examples).unwrap();
    let is_cut = (0..=30).any(|first| {
        let mut window = vec![0.0; found.len()];
        crate::normalize::cut_window(&examples[0].features, first, &mut window);
        normalizer.apply(&mut window);
        window == found
    });
    assert!(is_cut);
}

#[test]
fn a_roll_keeps_every_frame_in_the_same_circle() {
    let config = only(|config| config.roll_probability = 1.0);
    let (plain, rolled) = (plain(), draw(&config, N_FRAMES, 2));
    assert_ne!(plain, rolled);
    let shifted = |shift: usize| {
        let rows = plain
            .chunks_exact(N_FRAMES)
            .zip(rolled.chunks_exact(N_FRAMES));
        rows.flat_map(|(before, after)| before.iter().zip(after.iter().cycle().skip(shift)))
            .all(|(before, after)| before == after)
    };
    assert!((1..N_FRAMES).any(shifted));
}

#[test]
fn pace_and_pitch_change_the_window_and_stay_between_its_values() {
    for config in [
        only(|config| config.pace_probability = 1.0),
        only(|config| config.pitch_probability = 1.0),
    ] {
        let config = &AugmentConfig {
            random_crop: true,
            ..config
        };
        for n_frames in [N_FRAMES, 50] {
            for seed in 0..20 {
                let found = draw(config, n_frames, seed);
                assert_ne!(found, draw(&AugmentConfig::none(), n_frames, seed));
                assert!(found.iter().all(|value| value.abs() < 10.0));
            }
        }
    }
}

#[test]
fn a_gain_moves_all_values_of_a_band_alike() {
    let config = only(|config| config.gain_probability = 1.0);
    let (before, after) = (plain(), draw(&config, N_FRAMES, 5));
    for (before, after) in before
        .chunks_exact(N_FRAMES)
        .zip(after.chunks_exact(N_FRAMES))
    {
        let change = after[0] - before[0];
        assert!(change != 0.0);
        assert!(
            before
                .iter()
                .zip(after)
                .all(|(b, a)| (a - b - change).abs() < 1e-4)
        );
    }
}

#[track_caller]
fn check_only_louder(config: &AugmentConfig) {
    let (before, after) = (plain(), draw(config, N_FRAMES, 5));
    assert_ne!(before, after);
    assert!(before.iter().zip(&after).all(|(b, a)| *a > b - 1e-3));
}

#[test]
fn noise_and_background_only_add() {
    check_only_louder(&only(|config| config.noise_probability = 1.0));
    check_only_louder(&only(|config| config.background_probability = 1.0));
}

#[test]
fn masks_set_values_to_the_mean() {
    let config = only(|config| {
        config.mask_probability = 1.0;
        config.time_mask_share = 0.5;
    });
    let (before, after) = (plain(), draw(&config, N_FRAMES, 1));
    assert_ne!(before, after);
    assert!(before.iter().zip(&after).all(|(b, a)| *a == 0.0 || a == b));
}

#[test]
fn a_stretch_stays_inside() {
    let mut rng = generator(0, Purpose::Augment, 0, 0);
    for extent in [1, 2, 17] {
        for share in [0.0, 0.3, 1.0] {
            for _ in 0..200 {
                let (first, n) = stretch(extent, share, &mut rng);
                assert!(first + n <= extent && n as f64 <= extent as f64 * share);
            }
        }
    }
}

#[test]
fn settings_out_of_range_are_named() {
    assert!(AugmentConfig::default().check().is_ok());
    assert!(AugmentConfig::none().check().is_ok());
    let named = |config: AugmentConfig, field: &str| {
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    };
    named(only(|c| c.gain_probability = 1.1), "gain_probability");
    named(only(|c| c.pace_factor = 0.5), "pace_factor");
    named(only(|c| c.pitch_share = 1.5), "pitch_share");
    named(only(|c| c.mixup_alpha = f64::NAN), "mixup_alpha");
    named(
        only(|c| c.noise_snr_db = [20.0, 10.0]),
        "`augment.noise_snr_db` is [20, 10]: the least comes first",
    );
    named(
        only(|c| c.background_snr_db = [f64::INFINITY; 2]),
        "background_snr_db",
    );
    named(only(|c| c.time_masks = 1 << 40), "time_masks");
}
