//! The pipeline of a model: which steps there are and what flows between them.
//!
//! ```text
//! recordings ─► ingest ─► split ─► train-NAME … ─► evaluate ─► deploy
//!                  └─────────────────┴───────────────┘
//! ```
//!
//! | step | reads | gives |
//! |---|---|---|
//! | `ingest` | the files | the audited collection; features of each recording |
//! | `split` | the collection | which recording is trained on, validated with, tested on |
//! | `train-NAME` | features, one division | a network; one step per fold |
//! | `evaluate` | features, networks | figures, report, bundle |
//! | `deploy` | figures, bundle, champion | a decision, and the champion's place |
//!
//! Each step is a file here. Caching, lineage and runs are the business of
//! `biophony-pipeline`, which knows nothing of sounds.

mod deploy;
mod evaluate;
mod fit;
mod ingest;
mod judgement;
mod progress;
#[cfg(test)]
mod sample;
mod split;
mod train;
pub(crate) mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use biophony_dataset::Dataset;
use biophony_model::FrontEnd;
use biophony_pipeline::{Folder, Json, Output, Pipeline, StepBuilder, Store};
use serde_json::{Value, json};

use crate::arguments::{CollectionArguments, FoldsArgument};
use crate::home::Home;
use crate::reviewed::Reviewed;
use crate::settings::{RunSettings, Settings};
use crate::tracking::{Recorder, Tracking};
use ingest::Ingest;
use watch::Interrupt;

pub(crate) use deploy::{Deployment, Rival};
pub(crate) use evaluate::Judged;
pub(crate) use judgement::{TrainingHistory, recordings_of};
pub(crate) use split::SINGLE;

/// The name under which runs of this pipeline are kept.
pub(crate) const PIPELINE: &str = "model";

/// What a run is to make, and from what.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) collection: CollectionArguments,
    pub(crate) settings: Settings,
    pub(crate) folds: Option<FoldsArgument>,
    pub(crate) compare_naive: bool,
    /// Whether the recordings are the demo's: its model must not take the place of one
    /// that somebody trained on recordings.
    pub(crate) synthetic: bool,
    /// Whether every step is to run, whatever earlier runs have made.
    pub(crate) fresh: bool,
}

/// The pipeline, and where its results come out.
pub(crate) struct Stages {
    pub(crate) pipeline: Pipeline,
    pub(crate) judged: Output<Json<Judged>>,
    pub(crate) report: Output<Folder>,
    pub(crate) model: Output<Folder>,
    pub(crate) deployment: Output<Json<Deployment>>,
    /// The model that the new one was held against.
    pub(crate) rival: Rival,
}

impl Request {
    /// The request as it is kept beside its run, to go on with it later, from
    /// whatever folder.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "folder": absolute(&self.collection.folder),
            "manifest": absolute(&self.collection.manifest),
            "folds": self.folds.map(|folds| folds.to_string()),
            "compare_naive": self.compare_naive,
            "synthetic": self.synthetic,
            "fresh": self.fresh,
            "settings": self.settings,
        })
    }

    /// Reads what [`Request::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// When it is of a program with other settings.
    pub(crate) fn from_json(mut kept: Value) -> Result<Self> {
        let folds: Option<String> = serde_json::from_value(kept["folds"].take())?;
        let folds = folds.map(|folds| folds.parse()).transpose();
        Ok(Self {
            collection: CollectionArguments {
                folder: serde_json::from_value(kept["folder"].take())?,
                manifest: serde_json::from_value(kept["manifest"].take())?,
            },
            settings: serde_json::from_value(kept["settings"].take())?,
            folds: folds.map_err(anyhow::Error::msg)?,
            compare_naive: serde_json::from_value(kept["compare_naive"].take())?,
            synthetic: kept["synthetic"].as_bool().unwrap_or(false),
            fresh: kept["fresh"].as_bool().unwrap_or(false),
        })
    }
}

/// A path that means the same in every working folder.
pub(crate) fn absolute(path: &Option<PathBuf>) -> Option<PathBuf> {
    let path = path.as_ref()?;
    Some(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
}

/// Joins the steps for the recordings that were listed; nothing is decoded yet.
pub(crate) fn assemble(
    request: &Request,
    mut dataset: Dataset,
    home: &Home,
    (store, tracking): (&Store, &Tracking),
    (recorder, interrupt): (&Arc<Recorder>, &Interrupt),
) -> Result<Stages> {
    let settings = Arc::new(request.settings.clone());
    let front_end = Arc::new(FrontEnd {
        features: settings.feature_config()?,
        clip: settings.clip.clone(),
    });
    let reviewed = match settings.data.reviewed {
        true => Reviewed::add(&mut dataset, &home.reviewed())?,
        false => Reviewed::default(),
    };
    let name = crate::collection::name_of(&dataset.root);
    let divisions = split::division_names(&dataset, request.folds, request.compare_naive);

    let mut pipeline = Pipeline::new(PIPELINE);
    let root = dataset.root.clone();
    let files = deploy::files(&dataset);
    let recordings = pipeline.files("recordings", root, ingest::openable(&dataset));
    let ingest = Ingest {
        name,
        dataset,
        settings: Arc::clone(&settings),
        front_end: Arc::clone(&front_end),
        interrupt: interrupt.clone(),
    };
    let (collection, features) = ingest::add(&mut pipeline, &recordings, ingest);
    let plan = split::add(
        &mut pipeline,
        &collection,
        &settings,
        request.folds,
        request.compare_naive,
        reviewed,
    );
    let trainer = train::Trainer {
        settings: Arc::clone(&settings),
        front_end: Arc::clone(&front_end),
        checkpoints: home.checkpoints(),
        fresh: request.fresh,
        interrupt: interrupt.clone(),
        recorder: Arc::clone(recorder),
    };
    let networks: Vec<_> = divisions
        .iter()
        .map(|division| train::add(&mut pipeline, &trainer, division, &features, &plan))
        .collect();
    let (judged, report, model) = evaluate::add(
        &mut pipeline,
        (&collection, &features, &plan, &networks),
        &settings,
        &front_end,
    );
    let rival = Rival::new(store, tracking);
    let gate = deploy::Gate {
        settings: Arc::clone(&settings),
        synthetic: request.synthetic,
        files,
        rival: rival.clone(),
    };
    let deployment = deploy::add(&mut pipeline, (&judged, &model), gate);
    Ok(Stages {
        pipeline,
        judged,
        report,
        model,
        deployment,
        rival,
    })
}

/// A step of this name that is tried again and given up as the settings say.
fn step<'p>(pipeline: &'p mut Pipeline, name: &str, run: &RunSettings) -> StepBuilder<'p> {
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
    let backoff = seconds(run.backoff_seconds).unwrap_or_default();
    let step = pipeline.step(name).retries(run.retries, backoff);
    match seconds(run.timeout_seconds).filter(|limit| !limit.is_zero()) {
        Some(limit) => step.timeout(limit),
        None => step,
    }
}
