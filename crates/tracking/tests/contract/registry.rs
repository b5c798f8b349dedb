//! Registered models, versions, stages, aliases and tags.

use biophony_tracking::{
    Alias, CreateModelVersion, CreateRegisteredModel, ModelVersion, RunId, Search, Stage, Tag,
    TrackingStore,
};

use crate::{message, with_each_store};

pub(crate) fn model(store: &dyn TrackingStore, name: &str) {
    store
        .create_registered_model(CreateRegisteredModel {
            name: name.to_owned(),
            ..CreateRegisteredModel::default()
        })
        .expect("a new model");
}

pub(crate) fn version(store: &dyn TrackingStore, name: &str) -> ModelVersion {
    store
        .create_model_version(CreateModelVersion {
            name: name.to_owned(),
            source: "s3://models/birds/model".to_owned(),
            run_id: Some(RunId::from("r")),
            tags: vec![Tag::new("data.digest", "abc")],
            ..CreateModelVersion::default()
        })
        .expect("a new version")
}

#[test]
fn versions_are_counted_from_one_and_numbers_are_not_given_twice() {
    with_each_store(|store| {
        model(store, "birds");
        let first = version(store, "birds");
        assert_eq!(first.version, 1);
        assert_eq!(first.tags, [Tag::new("data.digest", "abc")]);
        assert_eq!(version(store, "birds").version, 2);
        store.delete_model_version("birds", 2).expect("deletes");
        assert!(store.get_model_version("birds", 2).is_err());
        assert_eq!(version(store, "birds").version, 3);
    });
}

#[test]
fn a_name_is_registered_once() {
    with_each_store(|store| {
        model(store, "birds");
        let again = store.create_registered_model(CreateRegisteredModel {
            name: "birds".to_owned(),
            ..CreateRegisteredModel::default()
        });
        assert_eq!(
            message(again),
            "Registered Model (name=birds) already exists."
        );
        for bad in ["a/b", "a:b"] {
            let refused = store.create_registered_model(CreateRegisteredModel {
                name: bad.to_owned(),
                ..CreateRegisteredModel::default()
            });
            assert_eq!(
                message(refused),
                format!("Invalid model name '{bad}'. Names cannot contain '/' or ':'.")
            );
        }
    });
}

#[test]
fn an_alias_means_one_version_until_it_is_moved() {
    with_each_store(|store| {
        model(store, "birds");
        version(store, "birds");
        version(store, "birds");
        let named = |store: &dyn TrackingStore| {
            store
                .get_model_version_by_alias("birds", "best")
                .map(|version| version.version)
        };
        store
            .set_registered_model_alias("birds", "best", 1)
            .expect("sets");
        assert_eq!(named(store).expect("named"), 1);
        store
            .set_registered_model_alias("birds", "best", 2)
            .expect("moves");
        assert_eq!(named(store).expect("named"), 2);
        assert_eq!(
            store.get_registered_model("birds").expect("there").aliases,
            [Alias {
                alias: "best".to_owned(),
                version: 2
            }]
        );
        assert_eq!(
            store.get_model_version("birds", 2).expect("there").aliases,
            ["best"]
        );
        store
            .delete_registered_model_alias("birds", "best")
            .expect("removes");
        store
            .delete_registered_model_alias("birds", "best")
            .expect("removing twice does nothing");
        assert_eq!(
            message(named(store)),
            "Registered model alias best not found."
        );
        assert_eq!(
            message(store.set_registered_model_alias("birds", "v3", 1)),
            "Version alias name 'v3' is reserved."
        );
        assert_eq!(
            message(store.set_registered_model_alias("birds", "a b", 1)),
            "Invalid alias name: 'a b'. Names may only contain alphanumerics, underscores (_), and \
             dashes (-)."
        );
        assert!(
            store
                .set_registered_model_alias("birds", "best", 77)
                .is_err()
        );
    });
}

#[test]
fn stages_have_a_newest_version_each() {
    with_each_store(|store| {
        model(store, "birds");
        for _ in 0..3 {
            version(store, "birds");
        }
        let stage = |version, stage, archive| {
            store
                .transition_model_version_stage("birds", version, stage, archive)
                .expect("moves")
        };
        stage(1, Stage::Production, false);
        assert_eq!(
            stage(2, Stage::Production, true).current_stage,
            Stage::Production
        );
        let newest = |stages: &[Stage]| -> Vec<u32> {
            let versions = store
                .get_latest_versions("birds", stages)
                .expect("versions");
            versions.iter().map(|version| version.version).collect()
        };
        assert_eq!(newest(&[]), [1, 2, 3]);
        assert_eq!(newest(&[Stage::Production]), [2]);
        assert_eq!(newest(&[Stage::Archived]), [1]);
        assert!(
            store
                .transition_model_version_stage("birds", 1, Stage::None, true)
                .is_err()
        );
    });
}

#[test]
fn a_model_is_described_tagged_renamed_and_deleted_with_its_versions() {
    with_each_store(|store| {
        model(store, "birds");
        version(store, "birds");
        store
            .update_registered_model("birds", Some("of the pond"))
            .expect("describes");
        store
            .set_registered_model_tag("birds", &Tag::new("a", "1"))
            .expect("tags");
        store
            .set_model_version_tag("birds", 1, &Tag::new("b", "2"))
            .expect("tags");
        store
            .update_model_version("birds", 1, Some("first"))
            .expect("describes");
        store
            .rename_registered_model("birds", "fowl")
            .expect("renames");
        let renamed = store.get_registered_model("fowl").expect("there");
        assert_eq!(renamed.description.as_deref(), Some("of the pond"));
        assert_eq!(renamed.tags, [Tag::new("a", "1")]);
        let version = store.get_model_version("fowl", 1).expect("there");
        assert_eq!(version.description.as_deref(), Some("first"));
        assert_eq!(version.tags.len(), 2);
        store
            .delete_registered_model_tag("fowl", "a")
            .expect("removes");
        store
            .delete_model_version_tag("fowl", 1, "b")
            .expect("removes");
        assert_eq!(
            store
                .get_model_version("fowl", 1)
                .expect("there")
                .tags
                .len(),
            1
        );
        store.delete_registered_model("fowl").expect("deletes");
        assert!(store.get_model_version("fowl", 1).is_err());
        let left = store
            .search_model_versions(&Search::default())
            .expect("asks");
        assert_eq!(left.items, []);
    });
}

#[test]
fn a_version_can_be_registered_from_another_version() {
    with_each_store(|store| {
        model(store, "birds");
        model(store, "fowl");
        version(store, "birds");
        let copy = |source: &str, run: Option<&str>| {
            store.create_model_version(CreateModelVersion {
                name: "fowl".to_owned(),
                source: source.to_owned(),
                run_id: run.map(RunId::from),
                ..CreateModelVersion::default()
            })
        };
        store
            .set_registered_model_alias("birds", "champion", 1)
            .expect("an alias");
        for (source, run) in [
            ("models:/birds/1", None),
            ("models:/birds/1", Some("r")),
            ("models:/birds@champion", None),
            ("models:/birds@latest", None),
            ("models:/birds/Latest", None),
            ("models:/birds/None", None),
        ] {
            let copy = copy(source, run).expect("copies");
            assert_eq!(copy.source, "models:/birds/1", "{source}");
            assert_eq!(copy.run_id, Some(RunId::from("r")), "{source}");
        }
        for (source, run, expected) in [
            (
                "models:/birds/1",
                Some("other"),
                "Invalid model version source: 'models:/birds/1'. The run_id and model_id request \
                 parameters must match the referenced model version.",
            ),
            (
                "models:/birds/9",
                None,
                "Model Version (name=birds, version=9) not found",
            ),
            (
                "models:/owls/1",
                None,
                "Registered Model with name=owls not found",
            ),
            (
                "models:/birds@none",
                None,
                "Registered model alias none not found.",
            ),
            (
                "models:/birds/x",
                None,
                "Invalid Model Version stage: x. Value must be one of None, Staging, Production, \
                 Archived.",
            ),
        ] {
            assert_eq!(message(copy(source, run)), expected, "{source}");
        }
        assert_eq!(
            store
                .model_version_download_uri("fowl", 1)
                .expect("a place"),
            "s3://models/birds/model"
        );
    });
}

#[test]
fn the_alias_latest_means_the_newest_version() {
    with_each_store(|store| {
        model(store, "birds");
        let latest = |alias: &str| store.get_model_version_by_alias("birds", alias);
        assert_eq!(
            message(latest("latest")),
            "Latest version not found for model birds."
        );
        version(store, "birds");
        version(store, "birds");
        for alias in ["latest", "Latest", "LATEST"] {
            let found = latest(alias).expect("there");
            assert_eq!((found.version, found.aliases), (2, vec![]), "{alias}");
        }
        store.delete_model_version("birds", 2).expect("deletes");
        assert_eq!(latest("latest").expect("there").version, 1);
        let refused = store.set_registered_model_alias("birds", "Latest", 1);
        assert_eq!(
            message(refused),
            "'latest' alias name (case insensitive) is reserved."
        );
    });
}
