//! Near copies of synthetic calls: altered copies are found, other calls of the
//! same make are not.

mod sounds;

use std::collections::BTreeSet;

use biophony_dataset::{Audit, AuditConfig, Dataset, NearCopy, Relation, audit, scan};
use sounds::{RATE, Random, call, lossy, save, save_8_bit};

/// Calls to find copies of; as many again are only there to be mistaken.
const N_CALLS: usize = 24;

fn audited(folder: &std::path::Path) -> (Dataset, Audit) {
    let dataset = scan(folder).expect("the folder has two classes");
    let audit = audit(&dataset, &AuditConfig::default(), &|_, _| ());
    (dataset, audit)
}

/// The number in `copy/call-12-gain.wav`.
fn number(name: &str) -> usize {
    let digits = name.split('-').nth(1).expect("names have a number");
    let digits = digits.trim_end_matches(".wav");
    digits.parse().expect("names have a number")
}

/// The kind of alteration in `copy/call-12-gain.wav`; an original has none.
fn kind(name: &str) -> Option<&str> {
    name.trim_end_matches(".wav").split('-').nth(2)
}

#[test]
fn altered_copies_are_found_and_other_calls_are_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: String| folder.path().join(name);
    for i in 0..2 * N_CALLS {
        save(&call(i), RATE, &at(format!("call/call-{i}.wav")));
    }
    for i in 0..N_CALLS {
        let original = call(i);
        let n = original.len();
        let copy = |kind: &str| at(format!("copy/call-{i}-{kind}.wav"));
        save(&sounds::gain(&original, 0.25), RATE, &copy("softer"));
        save(&original[n / 5..n / 5 + 3 * n / 5], RATE, &copy("middle"));
        save(
            &sounds::with_noise(&original, 30.0, i as u64),
            RATE,
            &copy("noise"),
        );
        save_8_bit(&original, RATE, &copy("8bit"));
        save(&lossy::mu_law(&original), RATE, &copy("mulaw"));
        save(&lossy::adpcm(&original), RATE, &copy("adpcm"));
        save(&lossy::transform(&original), RATE, &copy("transform"));
        for rate in [8_000, 16_000, 44_100] {
            let resampled = sounds::resampled(&original, rate);
            save(&resampled, rate, &copy(&format!("{}k", rate / 1_000)));
        }
    }

    let (dataset, audit) = audited(folder.path());
    let groups = audit.groups(&dataset);
    let names: Vec<_> = dataset
        .recordings
        .iter()
        .map(|r| dataset.name_of(r))
        .collect();
    let group_of = |name: &str| groups[names.iter().position(|n| n == name).expect("is there")];
    let is_found =
        |name: &&&String| group_of(name) == group_of(&format!("call/call-{}.wav", number(name)));
    let is_true = |pair: &&&NearCopy| number(&pair.first) == number(&pair.second);
    let recall_and_precision = |is_wanted: &dyn Fn(Option<&str>) -> bool| {
        let copies: Vec<_> = names.iter().filter(|name| is_wanted(kind(name))).collect();
        let pairs = audit.near_copies.iter();
        let pairs: Vec<_> = pairs
            .filter(|pair| is_wanted(kind(&pair.first)) || is_wanted(kind(&pair.second)))
            .collect();
        let recall = copies.iter().filter(is_found).count() as f64 / copies.len() as f64;
        let precision = pairs.iter().filter(is_true).count() as f64 / pairs.len() as f64;
        (recall, precision)
    };
    let (recall, precision) = recall_and_precision(&|kind| kind.is_some());
    assert!(recall >= 0.95, "recall {recall:.3}");
    assert!(precision >= 0.98, "precision {precision:.3}");
    let kinds: BTreeSet<_> = names.iter().filter_map(|name| kind(name)).collect();
    assert_eq!(kinds.len(), 10);
    for one in kinds {
        let (recall, precision) = recall_and_precision(&|kind| kind == Some(one));
        assert!(recall >= 0.9, "{one}: recall {recall:.3}");
        assert!(precision >= 0.95, "{one}: precision {precision:.3}");
    }
    let are_originals =
        |pair: &&NearCopy| kind(&pair.first).is_none() && kind(&pair.second).is_none();
    assert_eq!(audit.near_copies.iter().find(are_originals), None);
}

#[test]
fn what_stands_in_for_encoders_is_lossy() {
    for (code, decibel) in [
        (lossy::mu_law as fn(&[f32]) -> Vec<f32>, 30.0..45.0_f32),
        (lossy::adpcm, 10.0..35.0),
        (lossy::transform, 3.0..20.0),
    ] {
        for i in 0..4 {
            let original = call(i);
            let power =
                |samples: &mut dyn Iterator<Item = f32>| samples.map(|x| x * x).sum::<f32>();
            let coded = code(&original);
            assert_eq!(coded.len(), original.len());
            let lost = power(&mut original.iter().zip(&coded).map(|(a, b)| a - b));
            let ratio = 10.0 * (power(&mut original.iter().copied()) / lost).log10();
            assert!(
                decibel.contains(&ratio),
                "call {i}: {ratio:.1} dB of {decibel:?}"
            );
        }
    }
}

#[test]
fn relation_and_offset_of_a_piece_are_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let long: Vec<f32> = (0..4).flat_map(call).collect();
    let second = RATE as usize;
    save(&long, RATE, &at("long/a-0.wav"));
    save(&long[second..3 * second], RATE, &at("piece/b-0.wav"));
    save(&sounds::gain(&long, 0.5), RATE, &at("piece/c-0.wav"));
    // Its first half is the end of the long one, its second half another call.
    let overlap = [&long[long.len() - 2 * second..], &call(9)].concat();
    save(&overlap, RATE, &at("piece/d-0.wav"));

    let (_, audit) = audited(folder.path());
    let pair = |second: &str| {
        let is_it = |pair: &&biophony_dataset::NearCopy| {
            pair.first == "long/a-0.wav" && pair.second == second
        };
        audit.near_copies.iter().find(is_it).expect("is found")
    };
    let piece = pair("piece/b-0.wav");
    assert_eq!(piece.relation, Relation::Contained);
    assert!((piece.offset_seconds - 1.0).abs() < 0.02, "{piece:?}");
    assert!((piece.shared_seconds - 2.0).abs() < 0.05, "{piece:?}");
    assert_eq!(pair("piece/c-0.wav").relation, Relation::Copy);
    assert_eq!(pair("piece/d-0.wav").relation, Relation::Overlap);
}

#[test]
fn pieces_that_share_half_a_second_are_pieces_of_one_recording() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: String| folder.path().join(name);
    let half = RATE as usize / 2;
    for i in 0..6 {
        let long = [call(2 * i), call(2 * i + 1)].concat();
        // Not at a frame of the fingerprints.
        let cut = 2 * half + 37 * i;
        save(&long[..cut + half], RATE, &at(format!("first/x-{i}.wav")));
        save(&long[cut..], RATE, &at(format!("then/x-{i}.wav")));
    }
    let (_, audit) = audited(folder.path());
    let found: Vec<_> = audit.near_copies.iter().map(|pair| pair.relation).collect();
    assert_eq!(found, [Relation::Overlap; 6], "{:?}", audit.near_copies);
}

#[test]
fn hundreds_of_copies_of_one_sound_are_one_group() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for i in 0..240 {
        let copy = sounds::gain(&call(0), 1.0 - i as f32 / 400.0);
        sounds::save_finely(&copy, RATE, &folder.path().join(format!("a/x-{i:03}.wav")));
    }
    save(&call(1), RATE, &folder.path().join("b/other.wav"));
    let (dataset, audit) = audited(folder.path());
    let groups: BTreeSet<_> = audit.groups(&dataset).into_iter().collect();
    assert_eq!(groups.len(), 2);
}

#[test]
fn silence_around_calls_makes_no_copies() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for i in 0..6 {
        let mut padded = vec![0.0; 3 * RATE as usize];
        padded.extend(call(i));
        padded.extend(vec![0.0; 3 * RATE as usize]);
        let class = if i % 2 == 0 { "even" } else { "odd" };
        save(
            &padded,
            RATE,
            &folder.path().join(format!("{class}/x-{i}.wav")),
        );
    }
    let (dataset, audit) = audited(folder.path());
    assert_eq!(audit.near_copies, []);
    assert_eq!(audit.groups(&dataset), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for i in 0..4 {
        save(&call(i), RATE, &folder.path().join(format!("a/x-{i}.wav")));
        let softer = sounds::with_noise(&call(i), 40.0, Random(i as u64).next());
        save(&softer, RATE, &folder.path().join(format!("b/x-{i}.wav")));
    }
    let with_threads = |n: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build();
        pool.expect("builds a pool")
            .install(|| audited(folder.path()).1)
    };
    let alone = with_threads(1);
    assert_eq!(alone, with_threads(3));
    assert_eq!(alone.near_copies.len(), 4);
}
