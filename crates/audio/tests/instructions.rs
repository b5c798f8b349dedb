//! Every instruction set gives the same bits.
//!
//! The instructions are chosen once for a process, by `BIOPHONY_SIMD`; so this test runs
//! itself once for each. A name that the processor cannot follow means its best.

use std::process::Command;

use biophony_audio::{
    Clip, FeatureConfig, FeatureExtractor, FeatureScale, FeatureSettings, SampleRate, Window,
    resample,
};

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let this = std::env::current_exe().expect("a test is a program");
    let line = |name: &str| {
        let arguments = [
            "--exact",
            "prints_what_comes_out",
            "--ignored",
            "--nocapture",
        ];
        let mut command = Command::new(&this);
        let output = command.args(arguments).env("BIOPHONY_SIMD", name).output();
        let output = output.expect("a test can be run");
        let text = String::from_utf8(output.stdout).expect("text");
        let found = text.lines().find_map(|line| line.split("bits: ").nth(1));
        found.expect("the other test has printed it").to_owned()
    };
    let portable = line("portable");
    assert!(portable.split(' ').count() > 5, "{portable}");
    for name in ["avx2", "avx512", "neon"] {
        assert_eq!(line(name), portable, "{name}");
    }
}

#[test]
#[ignore = "the other test runs it"]
fn prints_what_comes_out() {
    let sound = sound();
    let mut lines = Vec::new();
    for (n_fft, n_mels, power, scale) in [
        (2048, 128, 2.0, FeatureScale::default()),
        (1024, 64, 2.0, FeatureScale::Power),
        (400, 40, 1.0, FeatureScale::Power),
        (1021, 64, 2.0, FeatureScale::default()),
    ] {
        let settings = FeatureSettings {
            n_fft,
            n_mels,
            power,
            scale,
            window: Window::Blackman,
            ..FeatureSettings::default()
        };
        let config = FeatureConfig::new(settings).expect("valid");
        let features = FeatureExtractor::new(&config).extract(sound.samples());
        lines.push(digest(features.expect("a sound").values()));
    }
    for hertz in [22_050, 16_000, 48_000] {
        let rate = SampleRate::from_hertz(hertz).expect("not zero");
        let other = resample(&sound, rate).expect("usual rates");
        lines.push(digest(other.samples()));
    }
    println!("bits: {}", lines.join(" "));
}

/// A second of a loud tone that fades over faint noise.
fn sound() -> Clip {
    let mut state = 1_u32;
    let samples = (0..44_100).map(|i| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (state >> 8) as f32 / 8_388_608.0 - 1.0;
        let t = i as f32 / 44_100.0;
        (-6.0 * t).exp() * (9_000.0 * t).sin() + 1e-4 * noise
    });
    let rate = SampleRate::from_hertz(44_100).expect("not zero");
    Clip::new(samples.collect(), rate)
}

/// FNV-1a of the bits.
fn digest(values: &[f32]) -> String {
    let bytes = values
        .iter()
        .flat_map(|value| value.to_bits().to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{}:{hash:016x}", values.len())
}
