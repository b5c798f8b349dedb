//! A home folder in which something has happened: recordings were audited, a model was
//! trained, versions were registered. Filled through the stores' own interfaces.

use std::path::{Path, PathBuf};

use biophony_dataset::{AuditConfig, audit, scan};
use biophony_pipeline::{
    FinishedRun, Json, Pipeline, PipelineError, RunOptions, SourceFolder, Store,
};
use biophony_tracking::server::Access;
use biophony_tracking::{
    ArtifactPath, ArtifactStore, CreateExperiment, CreateRun, Dataset, DatasetInput, ExperimentId,
    KeyValue, LogBatch, Metric, RunId, RunStatus, TrackingStore,
};
use biophony_web::{Config, WebState};
use serde_json::{Value, json};

use crate::support::{Place, tone, wav};

/// A name that must never reach a page as it is.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script>";

/// A home folder with stores of both kinds.
pub(crate) struct House {
    pub(crate) place: Place,
    pub(crate) pipelines: Store,
}

impl House {
    pub(crate) fn new() -> Self {
        let place = Place::with_champion();
        let pipelines = Store::open(place.path()).expect("a store");
        Self { place, pipelines }
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            pipelines: Some(self.pipelines.clone()),
            ..self.place.config()
        }
    }

    pub(crate) fn state(&self) -> WebState {
        WebState::new(self.config()).expect("opens")
    }

    /// With a viewer and an editor who have tokens.
    pub(crate) fn state_with_tokens(&self) -> WebState {
        let tokens = "viewer viewer-0123456789abcdef\neditor editor-0123456789abcdef\n";
        let access = Access::default().with_tokens(tokens).expect("tokens");
        WebState::new(Config {
            access,
            ..self.config()
        })
        .expect("opens")
    }

    pub(crate) fn store(&self) -> &dyn TrackingStore {
        &*self.place.tracking
    }

    pub(crate) fn experiment(&self, name: &str) -> ExperimentId {
        let request = CreateExperiment {
            name: name.to_owned(),
            ..CreateExperiment::default()
        };
        self.store().create_experiment(request).expect("creates")
    }

    /// A run with curves, figures, files and a data set, as training records it.
    pub(crate) fn run(&self, experiment: &ExperimentId, name: &str, epochs: i64) -> RunId {
        let store = self.store();
        let run = store
            .create_run(CreateRun {
                run_name: Some(name.to_owned()),
                start_time: 1_785_576_615_000,
                ..CreateRun::new(experiment.clone())
            })
            .expect("creates");
        let id = run.info.run_id;
        let mut metrics = Vec::new();
        for step in 0..epochs {
            let loss = 1.0 / (step + 1) as f64;
            metrics.push(Metric::new("loss", loss, 1_785_576_616_000 + step, step));
            metrics.push(Metric::new(
                "val_loss",
                1.2 * loss,
                1_785_576_616_000 + step,
                step,
            ));
        }
        for (key, value) in [
            ("test_accuracy", 0.875),
            ("test_accuracy_low", 0.75),
            ("test_accuracy_high", 1.0),
        ] {
            metrics.push(Metric::new(key, value, 1_785_576_700_000, 0));
        }
        let batch = LogBatch {
            metrics,
            params: vec![
                KeyValue::new("epochs", epochs.to_string()),
                KeyValue::new("optimizer_name", "adamw"),
            ],
            tags: vec![KeyValue::new("biophony.host", "laptop")],
        };
        store.log_batch(&id, &batch).expect("logs");
        let dataset = Dataset {
            name: "recordings".to_owned(),
            digest: "a1b2c3d4".to_owned(),
            source_type: "local".to_owned(),
            source: r#"{"uri": "recordings"}"#.to_owned(),
            schema: None,
            profile: Some(r#"{"n_recordings": 12}"#.to_owned()),
        };
        let input = DatasetInput {
            tags: vec![KeyValue::new("mlflow.data.context", "train")],
            dataset,
        };
        store.log_inputs(&id, &[input], &[]).expect("logs");
        self.file(&id, "confusion.csv", b"truth,frog,owl\nfrog,3,1\nowl,0,4\n");
        self.file(
            &id,
            "report.html",
            b"<h1>Report</h1><script>alert(2)</script>",
        );
        self.file(&id, "deep/er/notes.txt", b"a note");
        self.file(&id, "weights.bin", &[0, 1, 2, 3]);
        store
            .finish_run(&id, RunStatus::Finished, 1_785_576_699_000)
            .expect("ends");
        id
    }

    /// Adds a file to a run's artifacts.
    pub(crate) fn file(&self, run: &RunId, path: &str, mut content: &[u8]) {
        let uri = self.store().get_run(run).expect("there").info.artifact_uri;
        let root = ArtifactPath::of_uri(&uri).expect("ours");
        self.artifacts()
            .write(&root.join(path).expect("a path"), &mut content)
            .expect("writes");
    }

    pub(crate) fn artifacts(&self) -> ArtifactStore {
        ArtifactStore::open(self.place.path().join("mlartifacts")).expect("opens")
    }

    /// Two classes, a near copy, and a file that is no sound.
    pub(crate) fn recordings(&self) -> PathBuf {
        let root = self.place.path().join("recordings");
        for (name, hertz, seconds) in [
            ("frog/a.wav", 700.0, 2.0),
            ("frog/b.wav", 900.0, 2.0),
            ("owl/a.wav", 400.0, 2.0),
        ] {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
            std::fs::write(&path, wav(&tone(hertz, seconds, 8_000))).expect("writes");
        }
        std::fs::copy(root.join("frog/a.wav"), root.join("frog/copy of a.wav")).expect("copies");
        std::fs::write(root.join("owl/broken.wav"), b"no sound at all").expect("writes");
        root
    }

    /// A run of a pipeline like the real one: it audits, and decides.
    pub(crate) fn pipeline(&self, root: &Path, epochs: u32) -> Result<FinishedRun, PipelineError> {
        let mut pipeline = Pipeline::new("model");
        let recordings = pipeline.folder("recordings", root);
        let ingest = pipeline.step("ingest").params(&json!({ "silence": -60 }));
        let collection =
            ingest
                .outputs(["collection"])
                .run(&recordings, |context, folder: SourceFolder| {
                    let dataset = scan(&folder.path).map_err(|error| error.to_string())?;
                    let found = audit(&dataset, &AuditConfig::default(), &|_, _| {});
                    context.info("looked at <all> recordings");
                    context.attach("collection", "recordings", found.clips.len());
                    Ok::<_, String>(Json(json!({ "name": "voices", "audit": found })))
                });
        let train = pipeline.step("train").params(&json!({ "epochs": epochs }));
        let model = train.run(&collection, |context, Json(collection): Json<Value>| {
            context.warn("few recordings");
            Ok::<_, String>(Json(collection["name"].clone()))
        });
        pipeline
            .step("deploy")
            .outputs(["decision"])
            .run(&model, |_, _: Json<Value>| {
                let check = json!({
                    "criterion": "min_accuracy", "holds": false,
                    "reason": "accuracy is 0.500, at least 0.9 is wanted",
                });
                let decision = json!({ "accepted": false, "checks": [check], "champion": null });
                Ok::<_, String>(Json(json!({
                    "decision": decision, "latency_ms": 3.5, "champion": null,
                })))
            });
        pipeline.run(&self.pipelines, &RunOptions::new("test 1"))
    }
}
