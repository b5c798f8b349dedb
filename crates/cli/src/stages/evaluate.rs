//! `evaluate`: the test parts scored once, and everything that is said about
//! them; the bundle.

use std::sync::Arc;

use anyhow::{Context, Result};
use biophony_model::{Evaluation, Existing, FrontEnd, Trained};
use biophony_pipeline::{Folder, Json, Output, Pipeline, StepContext};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::fit::Workbench;
use super::ingest::Examples;
use super::judgement::{Fits, Session, judge};
use super::progress::Trainings;
use super::split::{Division, Plan, count_leaks};
use super::train::TrainedNetwork;
use crate::collection::Collection;
use crate::report::NaiveComparison;
use crate::settings::Settings;

/// What the networks of a run are worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judged {
    pub(crate) evaluation: Evaluation,
    /// The same on divisions that ignore which recordings belong together.
    pub(crate) naive: Option<Evaluation>,
    /// All figures, as `--json` prints them.
    pub(crate) metrics: Value,
    /// The tested recordings, for a comparison with other models.
    pub(crate) tested: Vec<TestedRecording>,
    /// Recordings that could not be read, with the reasons.
    pub(crate) unreadable: Vec<(std::path::PathBuf, String)>,
    /// Whether a training was stopped early.
    pub(crate) interrupted: bool,
    /// How far the networks were trained, if one was stopped early.
    pub(crate) stopped: Option<String>,
    /// Whether the figures are those of the model in the bundle, or stand for it.
    pub(crate) figures_stand: bool,
}

/// One recording of a test part and what the new model says of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TestedRecording {
    /// Its name in the collection.
    pub(crate) name: String,
    /// The BLAKE3 of its file.
    pub(crate) content: String,
    /// Its class, as an index into the model's.
    pub(crate) truth: usize,
    /// Recordings with one number belong together.
    pub(crate) group: usize,
    /// What the new model says, class by class.
    pub(crate) probabilities: Vec<f32>,
}

/// What the step reads.
type Sources<'a> = (
    &'a Output<Json<Collection>>,
    &'a Output<Examples>,
    &'a Output<Json<Plan>>,
    &'a Vec<Output<TrainedNetwork>>,
);

/// Adds the step; it gives the figures, the report and the bundle.
pub(super) fn add(
    pipeline: &mut Pipeline,
    sources: Sources<'_>,
    settings: &Arc<Settings>,
    front_end: &Arc<FrontEnd>,
) -> (Output<Json<Judged>>, Output<Folder>, Output<Folder>) {
    let (settings, front_end) = (Arc::clone(settings), Arc::clone(front_end));
    // The report shows all of them.
    let params = json!({ "settings": settings.of_model() });
    super::step(pipeline, "evaluate", &settings.run)
        .params(&params)
        .outputs(["figures", "report", "model"])
        .run(
            sources,
            move |context,
                  (Json(collection), features, Json(plan), networks): (
                Json<Collection>,
                Examples,
                Json<Plan>,
                Vec<TrainedNetwork>,
            )| {
                let evaluator = Evaluator {
                    settings: &settings,
                    front_end: &front_end,
                    context,
                };
                evaluator.run(&collection, &features, plan, networks)
            },
        )
}

struct Evaluator<'a> {
    settings: &'a Settings,
    front_end: &'a FrontEnd,
    context: &'a StepContext,
}

impl Evaluator<'_> {
    fn run(
        &self,
        collection: &Collection,
        features: &Examples,
        plan: Plan,
        networks: Vec<TrainedNetwork>,
    ) -> Result<(Json<Judged>, Folder, Folder)> {
        let bench = Workbench {
            settings: self.settings,
            labels: &features.labels,
            front_end: self.front_end,
            examples: &features.examples,
            context: self.context,
        };
        // In the order in which the steps were added.
        let mut networks = networks.into_iter();
        let mut with_networks = |divisions: &[Division]| -> Result<Vec<(Division, Trained)>> {
            let with_network = |division: &Division| {
                let network = networks.next().context("one network per division")?;
                Ok((division.clone(), network.0))
            };
            divisions.iter().map(with_network).collect()
        };
        let trainings = Trainings {
            judged: with_networks(&plan.judged)?,
            naive: with_networks(&plan.naive)?,
            deployed: with_networks(plan.deployed.as_slice())?,
        };
        let stopped = trainings.stopped_early(self.settings.train.epochs);
        let trainings = trainings.that_count()?;
        let judged = bench.fit(trainings.judged)?;
        let naive_fits = bench.fit(trainings.naive)?;
        let deployed = trainings.deployed.into_iter().next();
        let deployed = deployed
            .map(|(division, trained)| bench.fit_deployed(division, trained, &judged))
            .transpose()?;
        let fits = Fits { judged, deployed };

        let usable = collection.usable()?;
        let naive = match naive_fits.is_empty() {
            true => None,
            false => Some(NaiveComparison {
                evaluation: judge(&bench, &naive_fits, None)?,
                n_leaked: Some(count_leaks(&plan.naive, &usable.groups)),
            }),
        };
        let session = Session {
            collection,
            hashes: collection.hashes(&usable),
            usable: &usable,
            bench: &bench,
            plan: &plan,
            stopped,
        };
        let evaluation = judge(&bench, &fits.judged, Some(&usable.groups))?;
        let metrics = session.metrics(&fits, &evaluation, naive.as_ref())?;

        let scratch = self.context.scratch()?;
        let (report, model) = (scratch.join("report"), scratch.join("model"));
        std::fs::create_dir(&report)
            .with_context(|| format!("cannot create `{}`", report.display()))?;
        session.write(&report, &fits, &evaluation, naive.as_ref())?;
        let bundle = session.bundle(&fits, &metrics);
        bundle.save(&model, Existing::Refuse)?;
        self.tell(&evaluation);
        let judged = Judged {
            tested: session.tested(&fits.judged),
            evaluation,
            naive: naive.map(|naive| naive.evaluation),
            metrics,
            unreadable: collection.unreadable(),
            interrupted: fits.interrupted(&plan),
            stopped: session.stopped,
            figures_stand: fits.figures_stand(&plan),
        };
        Ok((
            Json(judged),
            Folder { path: report },
            Folder { path: model },
        ))
    }

    fn tell(&self, evaluation: &Evaluation) {
        for (name, value) in [
            ("accuracy", evaluation.accuracy),
            ("macro_f1", evaluation.macro_f1),
            ("balanced_accuracy", evaluation.balanced_accuracy),
        ] {
            self.context.attach("figures", name, value);
        }
        self.context.info(format!(
            "accuracy {:.3}, macro-F1 {:.3} on {} recordings",
            evaluation.accuracy, evaluation.macro_f1, evaluation.n_clips
        ));
    }
}
