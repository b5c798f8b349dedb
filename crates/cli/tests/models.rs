//! The registry that the commands go by: versions, their aliases, and what they are
//! compared by.

mod support;

use std::path::PathBuf;

use biophony_tracking::{CHAMPION, PREVIOUS, TrackingStore};
use support::{Place, json};

#[test]
fn the_champion_of_an_earlier_program_is_registered_once() {
    let place = Place::with_collection();
    place.expect(0, &["train", "clips"]);
    let models = place.path(".biophony/models");
    let name = std::fs::read_dir(&models)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .file_name();
    // As it was before there was a registry.
    for name in ["tracking.db", "tracking.db-wal", "tracking.db-shm"] {
        // The last two are there only while somebody looks.
        let _ = std::fs::remove_file(place.path(".biophony").join(name));
    }
    std::fs::remove_dir_all(place.path(".biophony/mlartifacts")).unwrap();
    std::fs::write(models.join("champion"), name.to_str().unwrap()).unwrap();

    place.expect(0, &["classify", "clips/hum/hum_1.wav"]);
    assert!(
        !place.path(".biophony/tracking.db").exists(),
        "looking leaves nothing"
    );
    place.expect(0, &["train", "clips", "--epochs", "4"]);
    assert!(!models.join("champion").exists());
    let store = place.tracking_store();
    let numbered = |alias: &str| {
        store
            .get_model_version_by_alias("biophony", alias)
            .map(|v| v.version)
    };
    assert_eq!(numbered(CHAMPION).unwrap(), 2);
    assert_eq!(numbered(PREVIOUS).unwrap(), 1);
    place.expect(
        0,
        &["classify", "--model", "previous", "clips/hum/hum_1.wav"],
    );
    place.expect(
        0,
        &[
            "classify",
            "--model",
            "models:/biophony/1",
            "clips/hum/hum_1.wav",
        ],
    );
    let folder: PathBuf = models.join(name);
    assert!(folder.join("bundle.json").is_file());
}

/// Two versions: one of three epochs and, in use, one of four.
fn with_two_versions() -> Place {
    let place = Place::with_collection();
    place.expect(0, &["train", "clips"]);
    place.expect(0, &["train", "clips", "--epochs", "4"]);
    place
}

#[test]
fn versions_are_listed_compared_and_rolled_back() {
    let place = with_two_versions();
    let list = json(&place.expect(0, &["models", "list", "--json"]));
    let versions: Vec<_> = list.as_array().unwrap().iter().collect();
    assert_eq!(versions.len(), 2);
    assert_eq!(versions[0]["version"], 2);
    assert_eq!(versions[0]["aliases"], serde_json::json!(["champion"]));
    assert_eq!(versions[1]["aliases"], serde_json::json!(["previous"]));
    assert!(versions[0]["figures"]["test_accuracy"].is_number());
    let text = place.expect(0, &["models", "list"]);
    assert!(
        text.contains("champion") && text.contains("previous"),
        "{text}"
    );

    let difference = json(&place.expect(0, &["models", "compare", "1", "2", "--json"]));
    let params = difference["params"].as_array().unwrap();
    let epochs = params.iter().find(|one| one["name"] == "epochs").unwrap();
    assert_eq!(
        (&epochs["left"], &epochs["right"]),
        (&"3".into(), &"4".into())
    );
    // MLflow's word for the newest one, whatever is in use.
    for newest in ["latest", "biophony/Latest", "models:/biophony/latest"] {
        let shown = json(&place.expect(0, &["models", "show", newest, "--json"]));
        assert_eq!(shown["version"], 2, "{newest}");
        let classify = ["classify", "--model", newest, "clips/hum/hum_0.wav"];
        place.expect(0, &classify);
        place.expect(0, &["evaluate", "--model", newest, "clips"]);
    }
    let text = place.expect(0, &["models", "compare", "previous", "champion"]);
    assert!(text.contains("epochs: 3 → 4"), "{text}");
    assert!(text.contains("the same recordings"), "{text}");

    let told = place.expect(0, &["models", "rollback"]);
    assert!(
        told.contains("biophony/1 is in use now, in place of biophony/2"),
        "{told}"
    );
    let store = place.tracking_store();
    let means = |alias: &str| {
        store
            .get_model_version_by_alias("biophony", alias)
            .unwrap()
            .version
    };
    assert_eq!((means(CHAMPION), means(PREVIOUS)), (1, 2));
    let shown = place.expect(0, &["models", "show"]);
    assert!(shown.contains("biophony/1  (champion)"), "{shown}");
    assert!(shown.contains("rollback of 1 in place of 2"), "{shown}");
    let history = store.alias_history("biophony").unwrap();
    let actions: Vec<_> = history.iter().map(|one| one.action.as_str()).collect();
    assert_eq!(actions, ["promote", "promote", "rollback"]);

    place.expect(0, &["models", "promote", "v2"]);
    assert_eq!((means(CHAMPION), means(PREVIOUS)), (2, 1));
    let told = place.expect(0, &["models", "promote", "2"]);
    assert!(told.contains("in use already"), "{told}");
}

#[test]
fn versions_have_names_of_ones_own_and_can_be_taken_away() {
    let place = with_two_versions();
    place.expect(0, &["models", "alias", "field-trial", "1"]);
    place.expect(
        0,
        &["classify", "--model", "field-trial", "clips/hum/hum_0.wav"],
    );
    place.expect(0, &["models", "export", "field-trial", "taken"]);
    place.expect(0, &["classify", "--model", "taken", "clips/hum/hum_0.wav"]);
    let errors = place.complaint(1, &["models", "export", "1", "taken"]);
    assert!(errors.contains("taken"), "{errors}");
    place.expect(0, &["models", "alias", "field-trial", "--remove"]);
    let known = "`biophony` has no alias `field-trial`; it has the aliases `champion` (2), \
                 `previous` (1); its newest version is 2";
    for wrong in [
        &["classify", "--model", "field-trial", "clips/hum/hum_0.wav"][..],
        &["evaluate", "--model", "field-trial", "clips"],
        &["serve", "--addr", "127.0.0.1:0", "--model", "field-trial"],
        &["models", "show", "field-trial"],
    ] {
        let errors = place.complaint(1, wrong);
        assert!(errors.contains(known), "{wrong:?}: {errors}");
    }
    let has = "it has the aliases `champion` (2), `previous` (1); its newest version is 2";
    let no_folder = "`owls/barn`: neither `owls/barn` nor ";
    let no_model = "there is no registered model `owls`; there is `biophony`";
    for (wrong, told) in [
        (
            "models:/biophony/9",
            &["`biophony` has no version `9`", has][..],
        ),
        (
            "models:/biophony",
            &["it names no version; add `@ALIAS`", has],
        ),
        (
            "models:/owls/latest",
            &["model `models:/owls/latest`: ", no_model],
        ),
        ("owls/barn", &[no_folder, no_model]),
    ] {
        for command in [
            &["classify", "clips/hum/hum_0.wav", "--model", wrong][..],
            &["evaluate", "clips", "--model", wrong],
            &["serve", "--addr", "127.0.0.1:0", "--model", wrong],
        ] {
            let errors = place.complaint(1, command);
            for told in told {
                assert!(errors.contains(told), "{command:?}: {errors}");
            }
            assert_eq!(errors.contains("bundle.json"), wrong == "owls/barn");
        }
    }
    let errors = place.complaint(1, &["models", "alias", "field-trial", "--remove"]);
    assert!(errors.contains("it has the aliases `champion`"), "{errors}");
    // A name is a name, whatever is in it.
    let told = place.expect(0, &["models", "list", "--name", "it's"]);
    assert!(told.contains("`it's` has no version yet"), "{told}");
    let errors = place.complaint(1, &["models", "alias", "champion", "1"]);
    assert!(errors.contains("promote"), "{errors}");
    let errors = place.complaint(1, &["models", "show", "7"]);
    assert!(errors.contains("has no version `7`"), "{errors}");
    // A version without its files is not put into use, unless they can be had again.
    let lose = |folder: &str| std::fs::remove_dir_all(place.path(folder)).unwrap();
    lose(".biophony/mlartifacts");
    place.expect(0, &["models", "rollback"]);
    lose(".biophony/mlartifacts");
    lose(".biophony/artifacts");
    let errors = place.complaint(1, &["models", "rollback"]);
    assert!(errors.contains("holds no bundle.json"), "{errors}");
}
