//! `deploy`: whether the new model becomes the champion, and why.
//!
//! The step decides and touches nothing: its answer may come from the cache. What
//! follows from it is done by [`crate::launch`], after every run.
//!
//! The champion that the new model is held against is the one in use when the step
//! begins, not when the run began. How long a window takes is measured, and so never
//! twice the same: the decision holds the verdict, its metadata the figure.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use biophony_audio::{Clip, DecodeLimits, decode_file};
use biophony_dataset::Dataset;
use biophony_model::bootstrap::BootstrapConfig;
use biophony_model::gate::{GateCheck, MIN_UNSEEN};
use biophony_model::{GateDecision, PairedComparison, Predictor, compare, decide};
use biophony_pipeline::{
    BoxError, ContentHash, Folder, Json, Output, OutputRecord, Pipeline, StepContext, Store,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::evaluate::{Judged, TestedRecording};
use super::judgement::recordings_of;
use crate::settings::Settings;
use crate::tracking::{Champion, Tracking, bundle_digest};

/// How many times one window is classified to say how long it takes.
const N_TIMINGS: usize = 9;

/// The criterion whose figure is measured.
const LATENCY: &str = "max_latency_ms";

/// The name under which the measured figure is shown.
const MS_PER_WINDOW: &str = "ms_per_window";

/// What was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deployment {
    pub(crate) decision: GateDecision,
    /// The median time to classify one window, in milliseconds; no part of the artifact.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) latency_ms: Option<f64>,
    /// The model that was in use before, if it was another one.
    pub(crate) champion: Option<String>,
}

impl Deployment {
    /// Joins the decision with the time that was measured for it.
    pub(crate) fn with_metadata(mut self, output: &OutputRecord) -> Self {
        self.latency_ms = output.metadata.get(MS_PER_WINDOW).and_then(Value::as_f64);
        for check in &mut self.decision.checks {
            if let (LATENCY, Some(ms)) = (check.criterion.as_str(), self.latency_ms) {
                check.reason.push_str(&format!("; it took {ms:.1} ms"));
            }
        }
        self
    }
}

/// The model in use when the gate was asked, unless it is the new one itself.
#[derive(Clone)]
pub(crate) struct Rival {
    store: Store,
    tracking: Tracking,
    found: Arc<Mutex<Option<Champion>>>,
}

impl Rival {
    pub(super) fn new(store: &Store, tracking: &Tracking) -> Self {
        Self {
            store: store.clone(),
            tracking: tracking.clone(),
            found: Arc::default(),
        }
    }

    /// The one that was found last.
    pub(crate) fn get(&self) -> Option<Champion> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.clone()
    }

    /// Looks which model is in use now; returns what the decision depends on.
    fn find(&self, model: Option<ContentHash>) -> Result<Value> {
        // A bundle that is damaged is made again before it is read.
        let model = model.and_then(|content| self.store.artifact_path(content).ok());
        let digest = model.map(|path| bundle_digest(&path)).transpose()?;
        let champion = self.tracking.champion()?;
        let champion = champion.filter(|champion| Some(&champion.digest) != digest.as_ref());
        let ingredient = champion.as_ref().map(|one| {
            json!({
                "digest": one.digest,
                "readable": one.bundle.is_ok(),
                "synthetic": one.synthetic,
            })
        });
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = champion;
        Ok(ingredient.unwrap_or_default())
    }
}

/// What the step takes beside its inputs.
pub(super) struct Gate {
    pub(super) settings: Arc<Settings>,
    pub(super) synthetic: bool,
    /// As by [`files`].
    pub(super) files: HashMap<String, PathBuf>,
    pub(super) rival: Rival,
}

/// Where the recordings are, by their names.
pub(super) fn files(dataset: &Dataset) -> HashMap<String, PathBuf> {
    let recordings = dataset.recordings.iter();
    recordings
        .map(|recording| (dataset.name_of(recording), recording.path.clone()))
        .collect()
}

/// Adds the step.
pub(super) fn add(
    pipeline: &mut Pipeline,
    (judged, model): (&Output<Json<Judged>>, &Output<Folder>),
    gate: Gate,
) -> Output<Json<Deployment>> {
    let settings = Arc::clone(&gate.settings);
    let params = json!({
        "gate": settings.deploy,
        "bootstrap": settings.evaluate.bootstrap,
        "seed": settings.split.seed,
        "synthetic": gate.synthetic,
    });
    let rival = gate.rival.clone();
    // Another champion, another decision.
    let champion = move |inputs: &[(String, ContentHash)]| {
        let model = inputs.iter().find(|(name, _)| name.ends_with(".model"));
        let found = rival.find(model.map(|(_, content)| *content));
        found.map_err(BoxError::from)
    };
    super::step(pipeline, "deploy", &settings.run)
        .params(&params)
        .late_param("champion", champion)
        .outputs(["decision"])
        .run(
            (judged, model),
            move |context, (Json(judged), model): (Json<Judged>, Folder)| {
                gate.decide(context, &judged, &model.path).map(Json)
            },
        )
}

impl Gate {
    fn decide(&self, context: &StepContext, judged: &Judged, model: &Path) -> Result<Deployment> {
        let predictor = Predictor::open(model)?;
        let latency_ms = latency_ms(&predictor)?;
        let rival = self.rival.get();
        let champion = match &rival {
            Some(Champion {
                bundle: Ok(path), ..
            }) => Some(
                Predictor::open(path)
                    .with_context(|| format!("cannot open the champion `{}`", path.display()))?,
            ),
            _ => None,
        };
        let comparison = match &champion {
            Some(champion) => self.against(context, champion, &predictor, judged)?,
            None => None,
        };
        let mut decision = decide(
            &self.settings.deploy,
            &judged.evaluation,
            latency_ms,
            comparison,
        );
        if let Some(rival) = &rival {
            self.without_comparison(&mut decision, rival);
            let known = champion.iter().flat_map(|one| one.labels().names());
            let is_lost = |label: &&String| predictor.labels().index_of(label).is_none();
            let lost: Vec<&str> = known.filter(is_lost).map(String::as_str).collect();
            self.of_another_kind(&mut decision, rival, &lost);
        }
        if judged.interrupted && rival.is_some() {
            let reason = "training was interrupted, and there is a champion".to_owned();
            add_check(&mut decision, "finished", false, reason);
        } else if !judged.figures_stand {
            let reason = "training was interrupted before there was a model that these figures stand for; the same command goes on".to_owned();
            add_check(&mut decision, "finished", false, reason);
        }
        for check in &decision.checks {
            let verdict = if check.holds { "holds" } else { "fails" };
            context.info(format!("{verdict}: {}", check.reason));
        }
        let wanted = self.settings.deploy.max_latency_ms;
        for check in &mut decision.checks {
            if check.criterion == LATENCY {
                let more = if check.holds { "at most" } else { "more than" };
                check.reason = format!("one window takes {more} the {wanted} ms that are wanted");
            }
        }
        context.attach("decision", "accepted", decision.accepted);
        context.attach("decision", MS_PER_WINDOW, latency_ms);
        Ok(Deployment {
            decision,
            latency_ms: None,
            champion: rival.map(|champion| champion.name),
        })
    }

    /// What follows where the champion could not be compared with, or on too little.
    /// One that cannot be read is no reason to be without a model for ever: the other
    /// criteria decide.
    fn without_comparison(&self, decision: &mut GateDecision, rival: &Champion) {
        let risk = "max_champion_risk";
        let name = &rival.name;
        if let Err(why) = &rival.bundle {
            let reason = format!(
                "the champion {name} cannot be read ({why}), so that nothing was compared and the other criteria decide"
            );
            add_check(decision, risk, true, reason);
        } else if decision.champion.is_none() && self.settings.deploy.max_champion_risk < 1.0 {
            let reason = format!(
                "the champion {name} was trained on every recording tested here, or they have changed, so that nothing shows that the new model is not worse; `deploy.max_champion_risk=1` puts it into use all the same"
            );
            add_check(decision, risk, false, reason);
        }
        let n_unseen = decision.champion.as_ref().map_or(0, |one| one.n_groups);
        for check in &mut decision.checks {
            if check.criterion == MIN_UNSEEN {
                check.reason.push_str(&format!(
                    "; `deploy.min_unseen={n_unseen}` lets these decide"
                ));
            }
        }
    }

    /// What follows where the champion is for something else: figures on the new model's
    /// classes say nothing of those that nobody would know any more.
    fn of_another_kind(&self, decision: &mut GateDecision, rival: &Champion, lost: &[&str]) {
        let name = &rival.name;
        let (criterion, reason) = match (self.synthetic, lost) {
            // A demo is for the time until there is something better.
            _ if rival.synthetic || self.settings.deploy.max_champion_risk >= 1.0 => return,
            (true, _) => (
                "recordings",
                format!(
                    "these sounds are synthetic, and the champion {name} was trained on others"
                ),
            ),
            (false, []) => return,
            (false, lost) => (
                "classes",
                format!(
                    "the champion {name} knows {}, which this model does not",
                    quoted(lost)
                ),
            ),
        };
        let way_on = "`deploy.max_champion_risk=1` puts it into use all the same";
        add_check(decision, criterion, false, format!("{reason}; {way_on}"));
    }

    /// Asks the champion about the recordings that neither model was trained on and
    /// that are as they were; `None` if there are none.
    fn against(
        &self,
        context: &StepContext,
        champion: &Predictor,
        predictor: &Predictor,
        judged: &Judged,
    ) -> Result<Option<PairedComparison>> {
        // Calibration was fitted to the validation part.
        let seen = recordings_of(champion.bundle(), |part| part != "test");
        let labels = predictor.labels();
        let mut asked: Vec<&TestedRecording> = Vec::new();
        let mut champion_rows = Vec::new();
        let unseen = |tested: &&TestedRecording| !seen.contains(&tested.content);
        for tested in judged.tested.iter().filter(unseen) {
            context.check()?;
            let Some(clip) = self.clip_of(tested)? else {
                context.warn(format!(
                    "{}: changed since it was examined, and left out of the comparison",
                    tested.name
                ));
                context.do_not_cache();
                continue;
            };
            // One place more, for classes that only the champion knows.
            let mut row = vec![0.0; labels.len() + 1];
            for ranked in &champion.predict(&clip)?.ranked {
                let place = labels.index_of(&ranked.label).unwrap_or(labels.len());
                row[place] = ranked.probability.max(row[place]);
            }
            champion_rows.push(row);
            asked.push(tested);
        }
        if asked.is_empty() {
            return Ok(None);
        }
        let own_rows: Vec<Vec<f32>> = asked
            .iter()
            .map(|tested| tested.probabilities.iter().copied().chain([0.0]).collect())
            .collect();
        let truth: Vec<usize> = asked.iter().map(|tested| tested.truth).collect();
        let groups: Vec<usize> = asked.iter().map(|tested| tested.group).collect();
        let config = BootstrapConfig {
            n_resamples: n_resamples(self.settings.evaluate.bootstrap),
            seed: self.settings.split.seed,
            ..BootstrapConfig::default()
        };
        let comparison = compare(&truth, &groups, &own_rows, &champion_rows, &config);
        Ok(Some(comparison))
    }

    /// The recording, if its file is still what was examined.
    fn clip_of(&self, tested: &TestedRecording) -> Result<Option<Clip>> {
        let Some(path) = self.files.get(&tested.name) else {
            return Ok(None);
        };
        let is_same = |bytes: Vec<u8>| blake3::hash(&bytes).to_hex().as_str() == tested.content;
        if !std::fs::read(path).is_ok_and(is_same) {
            return Ok(None);
        }
        Ok(Some(decode_file(path, &DecodeLimits::default())?.clip))
    }
}

/// How many resamplings a comparison rests on. Whoever wants no intervals wants it to be
/// decided all the same.
fn n_resamples(set: usize) -> usize {
    match set {
        0 => BootstrapConfig::default().n_resamples,
        set => set,
    }
}

/// The first of some labels, and how many more there are.
fn quoted(labels: &[&str]) -> String {
    let (first, more) = labels.split_at(labels.len().min(3));
    let first: Vec<String> = first.iter().map(|label| format!("`{label}`")).collect();
    match more.len() {
        0 => first.join(", "),
        n => format!("{} and {n} more", first.join(", ")),
    }
}

/// Adds what was found for a criterion.
fn add_check(decision: &mut GateDecision, criterion: &str, holds: bool, reason: String) {
    decision.accepted &= holds;
    decision.checks.push(GateCheck {
        criterion: criterion.to_owned(),
        holds,
        reason,
    });
}

/// The median time to classify one window of noise-free silence, in
/// milliseconds: what a window holds makes no difference to the network.
fn latency_ms(predictor: &Predictor) -> Result<f64> {
    let front_end = &predictor.bundle().front_end;
    let n_samples = front_end.window_samples();
    let clip = Clip::new(vec![0.0; n_samples], front_end.features.sample_rate());
    let mut times = Vec::with_capacity(N_TIMINGS);
    for _ in 0..N_TIMINGS {
        let started = Instant::now();
        predictor.predict(&clip)?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[N_TIMINGS / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_is_not_drawn_from_a_single_resampling() {
        assert_eq!([0, 20].map(n_resamples), [1000, 20]);
    }
}
