//! Holds the workspace to the arrows that ARCHITECTURE.md draws, by reading the
//! manifests and the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which of our crates each may import.
const ARROWS: [(&str, &[&str]); 8] = [
    ("audio", &[]),
    ("dataset", &["biophony-audio"]),
    ("nn", &[]),
    ("model", &["biophony-audio", "biophony-nn"]),
    ("pipeline", &[]),
    ("tracking", &[]),
    (
        "web",
        &[
            "biophony-audio",
            "biophony-dataset",
            "biophony-model",
            "biophony-pipeline",
            "biophony-tracking",
        ],
    ),
    (
        "cli",
        &[
            "biophony-audio",
            "biophony-dataset",
            "biophony-model",
            "biophony-nn",
            "biophony-pipeline",
            "biophony-tracking",
            "biophony-web",
        ],
    ),
];

/// Heavy dependencies and the crates that are their homes.
const HOMES: [(&str, &[&str]); 11] = [
    ("symphonia", &["audio"]),
    ("rubato", &["audio"]),
    ("prost", &["model"]),
    ("rusqlite", &["tracking", "pipeline"]),
    ("axum", &["tracking", "web"]),
    ("tower-http", &["tracking", "web"]),
    ("tokio", &["tracking", "web"]),
    ("hyper", &["tracking", "web"]),
    ("rust-embed", &["web"]),
    ("clap", &["cli"]),
    ("anyhow", &["cli"]),
];

#[test]
fn crates_import_only_along_the_arrows() {
    for (name, allowed) in ARROWS {
        let ours: Vec<String> = dependencies(name)
            .into_iter()
            .filter(|d| d.starts_with("biophony"))
            .collect();
        for dependency in ours {
            assert!(
                allowed.contains(&dependency.as_str()),
                "`{name}` must not import {dependency}"
            );
        }
    }
}

#[test]
fn every_crate_is_on_the_map() {
    let folders: BTreeSet<String> = std::fs::read_dir(workspace().join("crates"))
        .expect("the workspace has crates")
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    let mapped: BTreeSet<String> = ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(folders, mapped);
}

#[test]
fn heavy_dependencies_have_one_home() {
    for (name, _) in ARROWS {
        for dependency in dependencies(name) {
            for (heavy, homes) in HOMES {
                assert!(
                    dependency != heavy || homes.contains(&name),
                    "`{heavy}` belongs in {homes:?}, not in `{name}`"
                );
            }
        }
    }
}

#[test]
fn unsafe_code_lives_in_the_kernels_alone() {
    for (path, source) in sources() {
        let in_kernels = path.components().any(|part| part.as_os_str() == "kernels")
            || path.ends_with("nn/src/kernels.rs");
        let unsafe_lines = source.lines().filter(|line| {
            let code = line.split("//").next().unwrap_or_default();
            code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
        });
        assert!(
            in_kernels || unsafe_lines.count() == 0,
            "{} holds unsafe code",
            path.display()
        );
    }
}

#[test]
fn every_source_file_says_what_lives_in_it() {
    for (path, source) in sources() {
        assert!(
            source.starts_with("//!"),
            "{} has no header",
            path.display()
        );
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The names in a crate's `[dependencies]`, tests' and benches' left out.
fn dependencies(name: &str) -> BTreeSet<String> {
    let path = workspace().join("crates").join(name).join("Cargo.toml");
    let manifest = std::fs::read_to_string(&path).expect("every crate has a manifest");
    let manifest: toml::Table = toml::from_str(&manifest).expect("manifests are TOML");
    manifest
        .get("dependencies")
        .and_then(toml::Value::as_table)
        .map_or_else(BTreeSet::new, |table| table.keys().cloned().collect())
}

fn sources() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = ARROWS
        .iter()
        .map(|(name, _)| workspace().join("crates").join(name).join("src"))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("sources are readable") {
            let path = entry.expect("sources are readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = std::fs::read_to_string(&path).expect("sources are UTF-8");
                found.insert(path, source);
            }
        }
    }
    found
}
