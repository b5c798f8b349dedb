//! What windows are cut, how short clips are padded, and what is refused.

use super::*;

fn rate(hertz: u32) -> SampleRate {
    SampleRate::from_hertz(hertz).unwrap()
}

fn front(cut: Cut, overlap: f64) -> FrontEnd {
    FrontEnd {
        features: FeatureConfig::default(),
        clip: ClipShape {
            clip_seconds: 1.0,
            pad: Pad::Zeros,
            cut,
            overlap,
        },
    }
}

/// A flat spectrogram with one loud frame.
fn features(front: &FrontEnd, n_frames: usize, loud: usize) -> Spectrogram {
    let n_bands = front.features.n_mels();
    let values = (0..n_bands * n_frames)
        .map(|i| if i % n_frames == loud { 0.0 } else { -50.0 })
        .collect();
    Spectrogram::new(n_bands, n_frames, values)
}

#[track_caller]
fn check_windows(cut: Cut, overlap: f64, extra_frames: usize, expected: &[usize]) {
    let front = front(cut, overlap);
    let n_frames = front.window_frames() + extra_frames;
    let features = features(&front, n_frames, n_frames - 1);
    assert_eq!(front.windows(&features), expected);
}

#[test]
fn a_clip_of_one_window_has_one_window_whatever_the_cut() {
    for cut in [Cut::Start, Cut::Center, Cut::Loudest, Cut::AllWindows] {
        check_windows(cut, 0.5, 0, &[0]);
    }
}

#[test]
fn all_windows_end_flush_with_the_clip() {
    let n = front(Cut::AllWindows, 0.0).window_frames();
    check_windows(Cut::AllWindows, 0.0, n, &[0, n]);
    check_windows(Cut::AllWindows, 0.0, n + 1, &[0, n, n + 1]);
    check_windows(Cut::AllWindows, 0.0, 3, &[0, 3]);
}

#[test]
fn overlap_shortens_the_hop() {
    let n = front(Cut::AllWindows, 0.5).window_frames();
    let hop = (n as f64 * 0.5).round() as usize;
    check_windows(Cut::AllWindows, 0.5, 2 * hop, &[0, hop, 2 * hop]);
}

#[test]
fn the_loudest_window_is_the_one_with_the_loud_frame() {
    check_windows(Cut::Loudest, 0.0, 7, &[7]);
    check_windows(Cut::Center, 0.0, 7, &[3]);
    check_windows(Cut::Start, 0.0, 7, &[0]);
}

#[test]
fn equally_loud_windows_give_the_first() {
    let front = front(Cut::Loudest, 0.0);
    let n_frames = front.window_frames() * 3;
    let values = vec![-20.0; front.features.n_mels() * n_frames];
    let flat = Spectrogram::new(front.features.n_mels(), n_frames, values);
    assert_eq!(front.windows(&flat), [0]);
}

#[track_caller]
fn check_pad(kind: Pad, samples: &[f32], expected: &[f32]) {
    assert_eq!(pad(samples, expected.len(), kind).as_ref(), expected);
}

#[test]
fn short_clips_are_padded_on_the_waveform() {
    check_pad(Pad::Zeros, &[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 0.0, 0.0]);
    check_pad(
        Pad::Repeat,
        &[1.0, 2.0, 3.0],
        &[1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0],
    );
    check_pad(
        Pad::Reflect,
        &[1.0, 2.0, 3.0],
        &[1.0, 2.0, 3.0, 2.0, 1.0, 2.0, 3.0, 2.0],
    );
    check_pad(Pad::Reflect, &[1.0], &[1.0, 1.0, 1.0]);
    check_pad(Pad::Repeat, &[1.0], &[1.0, 1.0]);
}

#[test]
fn a_clip_that_is_long_enough_is_not_padded() {
    assert_eq!(
        pad(&[1.0, 2.0, 3.0], 2, Pad::Repeat).as_ref(),
        [1.0, 2.0, 3.0]
    );
}

fn tone(seconds: f64, hertz: u32) -> Clip {
    let n = (seconds * f64::from(hertz)) as usize;
    let samples = (0..n).map(|i| (i as f32 * 0.3).sin() * 0.5).collect();
    Clip::new(samples, rate(hertz))
}

#[test]
fn a_short_clip_of_another_rate_fills_exactly_one_window() {
    for pad in [Pad::Zeros, Pad::Repeat, Pad::Reflect] {
        let mut front = front(Cut::AllWindows, 0.5);
        front.clip.pad = pad;
        let features = front.prepare(&tone(0.3, 48_000)).unwrap();
        assert_eq!(features.n_frames, front.window_frames());
        assert_eq!(features.n_bands, front.features.n_mels());
    }
}

#[test]
fn an_empty_clip_is_an_error() {
    let front = front(Cut::Start, 0.0);
    assert!(front.prepare(&Clip::new(Vec::new(), rate(22_050))).is_err());
}

#[test]
fn a_sample_that_is_no_number_is_an_error_that_says_where() {
    let front = front(Cut::Start, 0.0);
    for bad in [f32::NAN, f32::INFINITY] {
        let error = front.prepare(&Clip::new(vec![0.0, bad], rate(22_050)));
        assert!(error.unwrap_err().to_string().contains("sample 1"));
    }
}

#[test]
fn samples_so_large_that_their_power_overflows_are_an_error() {
    let front = front(Cut::Start, 0.0);
    let clip = Clip::new(vec![f32::MAX; 22_050], front.rate());
    assert!(front.prepare(&clip).is_err());
}

#[test]
fn settings_that_cannot_work_are_named() {
    for (clip_seconds, overlap, field) in [
        (0.0, 0.5, "clip_seconds"),
        (f64::NAN, 0.5, "clip_seconds"),
        (1e9, 0.5, "clip_seconds"),
        (1e-9, 0.5, "clip_seconds"),
        (1.0, 1.0, "overlap"),
        (1.0, -0.1, "overlap"),
        (1.0, f64::NAN, "overlap"),
    ] {
        let mut front = front(Cut::AllWindows, overlap);
        front.clip.clip_seconds = clip_seconds;
        let error = front.check().unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
}

#[test]
fn a_front_end_survives_its_file() {
    let front = front(Cut::Loudest, 0.25);
    let json = serde_json::to_string(&front).unwrap();
    let read: FrontEnd = serde_json::from_str(&json).unwrap();
    assert_eq!(read.clip, front.clip);
    assert_eq!(serde_json::to_string(&read).unwrap(), json);
}
