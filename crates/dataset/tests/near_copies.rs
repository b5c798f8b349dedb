//! Near copies of synthetic calls: altered copies are found, other calls of the
//! same make are not.

mod sounds;

use biophony_dataset::{Audit, AuditConfig, Dataset, Relation, audit, scan};
use sounds::{RATE, Random, call, save, save_8_bit};

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
    let copies: Vec<_> = names
        .iter()
        .filter(|name| name.starts_with("copy/"))
        .collect();
    let is_found =
        |name: &&&String| group_of(name) == group_of(&format!("call/call-{}.wav", number(name)));
    let recall = copies.iter().filter(is_found).count() as f64 / copies.len() as f64;
    let is_true = |pair: &&biophony_dataset::NearCopy| number(&pair.first) == number(&pair.second);
    let n_pairs = audit.near_copies.len() as f64;
    let precision = audit.near_copies.iter().filter(is_true).count() as f64 / n_pairs;
    assert!(recall >= 0.95, "recall {recall:.3}");
    assert!(precision >= 0.98, "precision {precision:.3}");
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
