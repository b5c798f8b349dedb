//! `deploy`: whether the new model becomes the champion, and why.
//!
//! The step decides and touches nothing: its answer may come from the cache. What
//! follows from it is done by [`crate::launch`], after every run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use biophony_audio::{Clip, DecodeLimits, decode_file};
use biophony_model::bootstrap::BootstrapConfig;
use biophony_model::gate::GateCheck;
use biophony_model::{Bundle, GateDecision, PairedComparison, Predictor, compare, decide};
use biophony_pipeline::{Folder, Json, Output, Pipeline, SourceFolder, StepContext};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::evaluate::{Judged, TestedRecording};
use super::judgement::recordings_of;
use crate::settings::Settings;
use crate::tracking::{Champion, Tracking, bundle_digest};

/// How many times one window is classified to say how long it takes.
const N_TIMINGS: usize = 9;

/// What was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deployment {
    pub(crate) decision: GateDecision,
    /// The median time to classify one window, in milliseconds.
    pub(crate) latency_ms: f64,
    /// The model that was in use before.
    pub(crate) champion: Option<String>,
}

/// Adds the step.
///
/// # Errors
///
/// When the champion's place cannot be read.
pub(super) fn add(
    pipeline: &mut Pipeline,
    (judged, model, recordings): (
        &Output<Json<Judged>>,
        &Output<Folder>,
        &Output<SourceFolder>,
    ),
    settings: &Arc<Settings>,
    tracking: &Tracking,
) -> Result<Output<Json<Deployment>>> {
    let champion = tracking.champion()?;
    let deployer = Deployer {
        settings: Arc::clone(settings),
        champion,
    };
    // Another champion, another decision.
    let params = json!({
        "gate": settings.deploy,
        "bootstrap": settings.evaluate.bootstrap,
        "seed": settings.split.seed,
        "champion": deployer.champion.as_ref().map(|champion| &champion.digest),
    });
    Ok(super::step(pipeline, "deploy", &settings.run)
        .params(&params)
        .outputs(["decision"])
        .run(
            (judged, model, recordings),
            move |context, (Json(judged), model, recordings): (Json<Judged>, Folder, SourceFolder)| {
                deployer.run(context, &judged, &model.path, &recordings).map(Json)
            },
        ))
}

struct Deployer {
    settings: Arc<Settings>,
    champion: Option<Champion>,
}

impl Deployer {
    fn run(
        &self,
        context: &StepContext,
        judged: &Judged,
        model: &Path,
        recordings: &SourceFolder,
    ) -> Result<Deployment> {
        let predictor = Predictor::open(model)?;
        let latency_ms = latency_ms(&predictor)?;
        let rival = match &self.champion {
            Some(champion) if champion.digest != bundle_digest(model)? => Some(champion),
            _ => None,
        };
        let comparison = match rival {
            Some(champion) => self.against(champion, &predictor, judged, recordings)?,
            None => None,
        };
        let mut decision = decide(
            &self.settings.deploy,
            &judged.evaluation,
            latency_ms,
            comparison,
        );
        let gate = &self.settings.deploy;
        if let Some(champion) = rival
            && decision.champion.is_none()
            && gate.max_champion_risk < 1.0
        {
            let reason = format!(
                "the champion {} was trained on every recording tested here, so that nothing shows that the new model is not worse; `deploy.max_champion_risk=1` puts it into use all the same",
                champion.name
            );
            refuse(&mut decision, "max_champion_risk", reason);
        }
        if judged.interrupted && self.champion.is_some() {
            let reason = "training was interrupted, and there is a champion".to_owned();
            refuse(&mut decision, "finished", reason);
        }
        for check in &decision.checks {
            let verdict = if check.holds { "holds" } else { "fails" };
            context.info(format!("{verdict}: {}", check.reason));
        }
        context.attach("decision", "accepted", decision.accepted);
        context.attach("decision", "ms_per_window", latency_ms);
        Ok(Deployment {
            decision,
            latency_ms,
            champion: self.champion.as_ref().map(|champion| champion.name.clone()),
        })
    }

    /// Asks the champion about the recordings that neither model was trained on;
    /// `None` if there are none.
    fn against(
        &self,
        champion: &Champion,
        predictor: &Predictor,
        judged: &Judged,
        recordings: &SourceFolder,
    ) -> Result<Option<PairedComparison>> {
        let bundle = Bundle::load(&champion.path)
            .with_context(|| format!("cannot open the champion `{}`", champion.path.display()))?;
        // Calibration was fitted to the validation part.
        let seen = recordings_of(&bundle, |part| part != "test");
        let rival = Predictor::new(bundle)?;
        let unseen: Vec<&TestedRecording> = judged
            .tested
            .iter()
            .filter(|tested| !seen.contains(&tested.content))
            .collect();
        if unseen.is_empty() {
            return Ok(None);
        }
        let path_of: HashMap<String, PathBuf> = recordings
            .entries
            .iter()
            .map(|entry| (entry.content.to_string(), recordings.path.join(&entry.path)))
            .collect();
        let labels = predictor.labels();
        let answer = |tested: &&TestedRecording| -> Result<Vec<f32>> {
            let path = path_of
                .get(&tested.content)
                .context("a tested recording is one of the files")?;
            let clip = decode_file(path, &DecodeLimits::default())?.clip;
            // One place more, for classes that only the champion knows.
            let mut row = vec![0.0; labels.len() + 1];
            for ranked in &rival.predict(&clip)?.ranked {
                let place = labels.index_of(&ranked.label).unwrap_or(labels.len());
                row[place] = ranked.probability.max(row[place]);
            }
            Ok(row)
        };
        let champion_rows: Vec<Vec<f32>> = unseen.iter().map(answer).collect::<Result<_>>()?;
        let own_rows: Vec<Vec<f32>> = unseen
            .iter()
            .map(|tested| tested.probabilities.iter().copied().chain([0.0]).collect())
            .collect();
        let truth: Vec<usize> = unseen.iter().map(|tested| tested.truth).collect();
        let groups: Vec<usize> = unseen.iter().map(|tested| tested.group).collect();
        let config = BootstrapConfig {
            n_resamples: self.settings.evaluate.bootstrap.max(1),
            seed: self.settings.split.seed,
            ..BootstrapConfig::default()
        };
        let comparison = compare(&truth, &groups, &own_rows, &champion_rows, &config);
        Ok(Some(comparison))
    }
}

/// Adds a criterion that does not hold.
fn refuse(decision: &mut GateDecision, criterion: &str, reason: String) {
    decision.accepted = false;
    decision.checks.push(GateCheck {
        criterion: criterion.to_owned(),
        holds: false,
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
