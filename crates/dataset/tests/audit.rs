//! What an audit finds in a folder in which something is wrong with every file.

mod sounds;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use biophony_dataset::{
    Audit, AuditConfig, Dataset, Finding, audit, audit_page, read_manifest, scan,
};
use sounds::{RATE, call, gain, save, save_24_bit};

fn audited(folder: &Path) -> (Dataset, Audit) {
    let dataset = scan(folder).expect("the folder has two classes");
    let audit = audit(&dataset, &AuditConfig::default(), &|_, _| ());
    (dataset, audit)
}

/// A folder with one of every fault.
fn faulty_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    save(&call(0), RATE, &at("owl/good.wav"));
    save_24_bit(&call(0), RATE, &at("owl/good-24.wav"));
    save(&call(4), RATE, &at("owl/only.wav"));
    save(&gain(&call(1), 0.000_1), RATE, &at("owl/faint.wav"));
    save(&call(2)[..2_000], RATE, &at("owl/short.wav"));
    let loud: Vec<f32> = call(3)
        .iter()
        .map(|x| (20.0 * x).clamp(-1.0, 1.0))
        .collect();
    save(&loud, RATE, &at("frog/loud.wav"));
    let shifted: Vec<f32> = call(5).iter().map(|x| x + 0.1).collect();
    save(&shifted, RATE, &at("frog/shifted.wav"));
    save(&gain(&call(4), 0.7), RATE, &at("frog/softer.wav"));
    save(
        &sounds::resampled(&call(7), 44_100),
        44_100,
        &at("frog/narrow.wav"),
    );
    std::fs::write(at("frog/broken.wav"), "<html>404</html>").expect("writes");
    std::fs::write(at("loose.wav"), "").expect("writes");
    std::fs::create_dir(at("<b>newt")).expect("creates");
    folder
}

#[test]
fn every_fault_is_found() {
    let folder = faulty_folder();
    let (_, audit) = audited(folder.path());
    let has = |is_it: &dyn Fn(&Finding) -> bool| audit.findings.iter().any(is_it);
    let says = |start: &str| has(&|finding| finding.message().starts_with(start));
    let table = audit.table();
    for start in [
        "frog/broken.wav: ",
        "near copies: frog/softer.wav (frog), owl/only.wav (owl)",
        "owl/faint.wav: never above -",
        "frog/loud.wav: ",
        "frog/shifted.wav: centered on +10",
        "owl/short.wav: 0.091 s",
        "frog/narrow.wav: nothing above 1",
        "same samples, stored differently: owl/good-24.wav, owl/good.wav",
        "22050 Hz: 8, 44100 Hz: 1",
        "<b>newt: no recording in it",
        "loose.wav",
        "frog: 4, copies counted once",
    ] {
        assert!(says(start), "nothing begins with `{start}` in\n{table}");
    }
    assert!(has(&|finding| matches!(finding, Finding::Clipped { .. })));
}

#[test]
fn good_recordings_have_no_findings_of_their_own() {
    let folder = faulty_folder();
    let (_, audit) = audited(folder.path());
    let about_good = |finding: &&Finding| {
        finding.message().contains("owl/good.wav") && !matches!(finding, Finding::Copies { .. })
    };
    assert_eq!(audit.findings.iter().find(about_good), None);
}

#[test]
fn the_unreadable_are_left_out_and_copies_share_a_group() {
    let folder = faulty_folder();
    let (dataset, audit) = audited(folder.path());
    let unreadable: Vec<_> = audit.unreadable().map(|(path, _)| path).collect();
    assert_eq!(unreadable, ["frog/broken.wav"]);
    let usable = audit.usable(&dataset);
    assert_eq!(usable.classes, ["frog", "owl"]);
    assert_eq!(usable.names.len(), 9);
    assert!(!usable.names.contains(&"frog/broken.wav".to_owned()));
    let group = |name: &str| {
        let index = usable.names.iter().position(|n| n == name);
        usable.groups[index.expect("is usable")]
    };
    assert_eq!(group("owl/good.wav"), group("owl/good-24.wav"));
    assert_eq!(group("owl/only.wav"), group("frog/softer.wav"));
    assert_ne!(group("owl/good.wav"), group("owl/only.wav"));
    let owl = &audit.classes[1];
    assert_eq!((owl.n_readable, owl.n_groups, owl.n_unreadable), (5, 4, 0));
}

#[test]
fn an_audit_survives_json() {
    let folder = faulty_folder();
    let (_, audit) = audited(folder.path());
    let json = serde_json::to_string(&audit).expect("serializes");
    let back: Audit = serde_json::from_str(&json).expect("parses");
    assert_eq!(back, audit);
    assert!(json.contains(r#""kind":"conflicting_labels""#));
}

#[test]
fn the_page_is_self_contained_and_escapes_names() {
    let folder = faulty_folder();
    let (_, audit) = audited(folder.path());
    let page = audit_page(&audit, "Audit of <faulty>");
    assert!(
        page.contains("<h1>Audit of &#60;faulty&#62;</h1>"),
        "{page}"
    );
    assert!(!page.contains("<b>newt"));
    for foreign in ["<script", "http://", "https://", "src=", "@import"] {
        assert!(!page.contains(foreign), "the page has `{foreign}`");
    }
    assert!(page.contains("frog/broken.wav"));
}

#[test]
fn a_manifests_groups_and_missing_files_are_respected() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for i in 0..3 {
        save(&call(i), RATE, &folder.path().join(format!("{i}.wav")));
    }
    let list = "path,label,group\n0.wav,a,x\n1.wav,b,\n2.wav,b,x\ngone.wav,a,\n";
    let path = folder.path().join("list.csv");
    std::fs::write(&path, list).expect("writes");
    let dataset = read_manifest(&path).expect("reads");
    let audit = audit(&dataset, &AuditConfig::default(), &|_, _| ());
    assert_eq!(audit.groups(&dataset), [0, 1, 0, 2]);
    let unreadable: Vec<_> = audit.unreadable().collect();
    assert_eq!(unreadable.len(), 1);
    assert_eq!(unreadable[0].0, "gone.wav");
    assert!(
        unreadable[0].1.starts_with("cannot be read: "),
        "{unreadable:?}"
    );
}

#[test]
fn progress_counts_every_recording_once() {
    let folder = faulty_folder();
    let dataset = scan(folder.path()).expect("scans");
    let (calls, last) = (AtomicUsize::new(0), AtomicUsize::new(0));
    audit(&dataset, &AuditConfig::default(), &|done, total| {
        assert_eq!(total, 10);
        calls.fetch_add(1, Ordering::Relaxed);
        last.fetch_max(done, Ordering::Relaxed);
    });
    assert_eq!((calls.into_inner(), last.into_inner()), (10, 10));
}

#[test]
fn real_clips_can_all_be_audited() {
    let Some(folder) = std::env::var_os("BIOPHONY_TEST_CLIPS") else {
        println!("skipped: BIOPHONY_TEST_CLIPS names no folder of labelled recordings");
        return;
    };
    let (dataset, audit) = audited(Path::new(&folder));
    println!("{}", audit.table());
    assert_eq!(audit.unreadable().collect::<Vec<_>>(), []);
    let usable = audit.usable(&dataset);
    assert_eq!(usable.recordings.len(), dataset.recordings.len());
    let folds = usable.folds(5, 0).expect("folds");
    for (i, group) in usable.groups.iter().enumerate() {
        let first = usable.groups.iter().position(|other| other == group);
        assert_eq!(folds[first.expect("is among them")], folds[i]);
    }
}

#[cfg(unix)]
#[test]
fn a_file_is_listed_twice_also_by_way_of_a_link_to_the_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let real = folder.path().canonicalize().expect("it is there");
    let (data, link) = (real.join("data"), real.join("link"));
    std::fs::create_dir(&data).expect("creates");
    std::os::unix::fs::symlink(&data, &link).expect("links");
    let rows = format!("path,label\n{}/1.wav,a\n1.wav,b\n", data.display());
    std::fs::write(data.join("list.csv"), rows).expect("writes");
    for place in [data, link] {
        let read = read_manifest(&place.join("list.csv"));
        let message = read.expect_err("is listed twice").to_string();
        assert!(message.contains("was listed before"), "{message}");
    }
}
