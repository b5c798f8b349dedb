//! Experiments and runs come, change, go and come back.

use biophony_tracking::{
    CreateExperiment, CreateRun, Dataset, DatasetInput, DatasetSummary, ExperimentId,
    LifecycleStage, LoggedModelId, ModelInput, ModelOutput, RunStatus, Search, Tag, UpdateRun,
    ViewType, experiment_named, value_of,
};

use crate::{experiment, message, run_at, with_each_store};

#[test]
fn every_store_has_the_default_experiment() {
    with_each_store(|store| {
        let default = store
            .get_experiment(&ExperimentId::default_experiment())
            .expect("it is there");
        assert_eq!(default.name, "Default");
        assert_eq!(default.artifact_location, "mlflow-artifacts:/0");
    });
}

#[test]
fn an_experiment_is_found_by_identifier_and_by_name() {
    with_each_store(|store| {
        let id = store
            .create_experiment(CreateExperiment {
                name: "frogs".to_owned(),
                artifact_location: None,
                tags: vec![Tag::new("place", "pond")],
            })
            .expect("new");
        let found = store.get_experiment(&id).expect("by identifier");
        assert_eq!(found.name, "frogs");
        assert_eq!(found.tags, [Tag::new("place", "pond")]);
        assert_eq!(found.artifact_location, format!("mlflow-artifacts:/{id}"));
        let by_name = store.get_experiment_by_name("frogs").expect("by name");
        assert_eq!(by_name, Some(found));
        assert_eq!(store.get_experiment_by_name("toads").expect("asks"), None);
        assert_eq!(experiment_named(store, "frogs").expect("the same"), id);
        assert_ne!(experiment_named(store, "toads").expect("a new one"), id);
    });
}

#[test]
fn deleting_an_experiment_deletes_its_runs_and_restoring_restores_them() {
    with_each_store(|store| {
        let id = experiment(store, "owls");
        let run = store
            .create_run(CreateRun::new(id.clone()))
            .expect("a run")
            .info
            .run_id;
        store.delete_experiment(&id).expect("deletes");
        let stage = |id| store.get_run(id).expect("kept").info.lifecycle_stage;
        assert_eq!(stage(&run), LifecycleStage::Deleted);
        assert_eq!(
            message(store.create_run(CreateRun::new(id.clone()))),
            format!("The experiment {id} must be in the 'active' state. Current state is deleted.")
        );
        assert!(store.delete_experiment(&id).is_err());
        store.restore_experiment(&id).expect("restores");
        assert_eq!(stage(&run), LifecycleStage::Active);
    });
}

#[test]
fn an_experiment_can_be_renamed_and_tagged() {
    with_each_store(|store| {
        let id = experiment(store, "bats");
        store
            .rename_experiment(&id, "pipistrelles")
            .expect("renames");
        store
            .set_experiment_tag(&id, &Tag::new("a", "1"))
            .expect("sets");
        store
            .set_experiment_tag(&id, &Tag::new("a", "2"))
            .expect("sets again");
        let found = store.get_experiment(&id).expect("there");
        assert_eq!(found.name, "pipistrelles");
        assert_eq!(found.tags, [Tag::new("a", "2")]);
        store.delete_experiment_tag(&id, "a").expect("removes");
        assert_eq!(
            message(store.delete_experiment_tag(&id, "a")),
            format!("No tag with name: a in experiment with id {id}")
        );
        let other = experiment(store, "other");
        assert!(store.rename_experiment(&other, "pipistrelles").is_err());
    });
}

#[test]
fn a_run_has_the_name_that_was_given_or_one_of_its_own() {
    with_each_store(|store| {
        let named = store
            .create_run(CreateRun {
                run_name: Some("first".to_owned()),
                user_id: "ada".to_owned(),
                start_time: 7,
                ..CreateRun::new(ExperimentId::default_experiment())
            })
            .expect("a run");
        assert_eq!(named.info.run_name, "first");
        assert_eq!(named.info.user_id, "ada");
        assert_eq!(named.info.start_time, 7);
        assert_eq!(named.info.status, RunStatus::Running);
        assert_eq!(value_of(&named.data.tags, "mlflow.runName"), Some("first"));
        let id = &named.info.run_id;
        assert_eq!(
            named.info.artifact_uri,
            format!("mlflow-artifacts:/0/{id}/artifacts")
        );
        assert_eq!(store.get_run(id).expect("there"), named);

        let unnamed = store
            .create_run(CreateRun::new(ExperimentId::default_experiment()))
            .expect("a run");
        assert!(!unnamed.info.run_name.is_empty());
    });
}

#[test]
fn a_run_can_be_ended_renamed_and_resumed() {
    with_each_store(|store| {
        let id = run_at(store, 1);
        let ended = store.finish_run(&id, RunStatus::Failed, 9).expect("ends");
        assert_eq!((ended.status, ended.end_time), (RunStatus::Failed, Some(9)));
        let renamed = store
            .update_run(
                &id,
                &UpdateRun {
                    run_name: Some("again".to_owned()),
                    status: Some(RunStatus::Running),
                    end_time: None,
                },
            )
            .expect("resumes");
        assert_eq!(renamed.run_name, "again");
        assert_eq!(renamed.end_time, Some(9));
        let tags = store.get_run(&id).expect("there").data.tags;
        assert_eq!(value_of(&tags, "mlflow.runName"), Some("again"));
        store
            .set_tag(&id, Tag::new("mlflow.runName", "by tag"))
            .expect("sets");
        assert_eq!(store.get_run(&id).expect("there").info.run_name, "by tag");
    });
}

#[test]
fn a_deleted_run_takes_no_more_and_can_be_restored() {
    with_each_store(|store| {
        let id = run_at(store, 1);
        store.delete_run(&id).expect("deletes");
        assert_eq!(
            message(store.set_tag(&id, Tag::new("a", "b"))),
            format!("The run {id} must be in the 'active' state. Current state is deleted.")
        );
        let all = |view| {
            store
                .search_runs(
                    &[ExperimentId::default_experiment()],
                    &Search::default(),
                    view,
                )
                .expect("searches")
                .items
                .len()
        };
        assert_eq!(
            [
                all(ViewType::ActiveOnly),
                all(ViewType::DeletedOnly),
                all(ViewType::All)
            ],
            [0, 1, 1]
        );
        store.restore_run(&id).expect("restores");
        store
            .restore_run(&id)
            .expect("restoring twice does nothing");
        assert_eq!(all(ViewType::ActiveOnly), 1);
    });
}

#[test]
fn what_a_run_reads_and_makes_is_kept_once() {
    with_each_store(|store| {
        let id = run_at(store, 1);
        let input = DatasetInput {
            tags: vec![Tag::new("mlflow.data.context", "training")],
            dataset: Dataset {
                name: "animals".to_owned(),
                digest: "abc".to_owned(),
                source_type: "local".to_owned(),
                source: "{}".to_owned(),
                schema: None,
                profile: Some("{\"num_rows\": 3}".to_owned()),
            },
        };
        let read = ModelInput {
            model_id: LoggedModelId::from("m-1"),
        };
        let made = ModelOutput {
            model_id: LoggedModelId::from("m-2"),
            step: 3,
        };
        for _ in 0..2 {
            store
                .log_inputs(
                    &id,
                    std::slice::from_ref(&input),
                    std::slice::from_ref(&read),
                )
                .expect("logs inputs");
        }
        // MLflow takes these once.
        store
            .log_outputs(&id, std::slice::from_ref(&made))
            .expect("logs outputs");
        let run = store.get_run(&id).expect("there");
        let found = store.search_datasets(&[ExperimentId::default_experiment()]);
        assert_eq!(
            found.expect("searches"),
            [DatasetSummary {
                experiment_id: ExperimentId::default_experiment(),
                name: input.dataset.name.clone(),
                digest: input.dataset.digest.clone(),
                context: Some("training".to_owned()),
            }]
        );
        assert_eq!(run.inputs.dataset_inputs, [input]);
        assert_eq!(run.inputs.model_inputs, [read]);
        assert_eq!(run.outputs.model_outputs, [made]);
    });
}
