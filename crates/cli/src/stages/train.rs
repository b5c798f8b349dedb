//! `train-NAME`: one division's network.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use biophony_dataset::Part;
use biophony_model::{FrontEnd, StopReason, Trained};
use biophony_pipeline::{
    Artifact, BoxError, Format, Json, Metadata, Output, Pipeline, StepContext,
};

use super::ingest::Examples;
use super::split::Plan;
use super::watch::{Interrupt, Watch};
use crate::settings::Settings;
use crate::tracking::Recorder;

/// What every training of a pipeline shares.
#[derive(Clone)]
pub(super) struct Trainer {
    pub(super) settings: Arc<Settings>,
    pub(super) front_end: Arc<FrontEnd>,
    /// Where checkpoints are kept until training has finished.
    pub(super) checkpoints: PathBuf,
    /// Whether to go on with no training but the run's own.
    pub(super) fresh: bool,
    pub(super) interrupt: Interrupt,
    /// Who takes down how training goes.
    pub(super) recorder: Arc<Recorder>,
}

/// A network as training left it: neither calibrated nor judged.
pub(super) struct TrainedNetwork(pub(super) Trained);

/// Adds the step for one division.
pub(super) fn add(
    pipeline: &mut Pipeline,
    trainer: &Trainer,
    division: &str,
    features: &Output<Examples>,
    plan: &Output<Json<Plan>>,
) -> Output<TrainedNetwork> {
    let (trainer, division) = (trainer.clone(), division.to_owned());
    let params = serde_json::json!({
        "division": division,
        "train": trainer.settings.train,
        "front_end": *trainer.front_end,
    });
    super::step(
        pipeline,
        &format!("train-{division}"),
        &trainer.settings.run,
    )
    .params(&params)
    .outputs(["network"])
    .run(
        (features, plan),
        move |context, (features, Json(plan)): (Examples, Json<Plan>)| {
            trainer.train(context, &division, features, &plan)
        },
    )
}

impl Trainer {
    fn train(
        &self,
        context: &StepContext,
        division: &str,
        features: Examples,
        plan: &Plan,
    ) -> Result<TrainedNetwork> {
        let parts = &plan
            .division(division)
            .with_context(|| format!("no readable recording is in `{division}`"))?
            .parts;
        let (mut train, mut validation) = (Vec::new(), Vec::new());
        for (example, part) in features.examples.into_iter().zip(parts) {
            match part {
                Part::Train => train.push(example),
                Part::Validation => validation.push(example),
                Part::Test => {}
            }
        }
        // A training that was stopped goes on in whatever run asks for the same.
        let checkpoints = self.checkpoints.join(match self.fresh {
            false => context.key().to_string(),
            true => format!("{}-{}", context.key(), context.run()),
        });
        let log = self.recorder.epochs(division);
        let mut watch = Watch::new(context, self.interrupt.clone(), log);
        let trained = biophony_model::train(
            &self.settings.train,
            &features.labels,
            &train,
            &validation,
            &self.front_end,
            Some(&checkpoints),
            &mut watch,
        )?;
        watch.finish();
        // What is there when the time is up is not what was asked for; the next attempt
        // goes on from the checkpoint.
        context.check()?;
        if trained.stopped == StopReason::Interrupted {
            // Good enough to use now, and not what these settings ask for.
            context.do_not_cache();
            context.warn(match trained.kept_epochs.any() {
                true => "training was interrupted; these are the best weights until then",
                false => "training was interrupted before its first epoch ended",
            });
        } else {
            // What cannot be removed does no harm.
            let _ = std::fs::remove_dir_all(&checkpoints);
        }
        context.info(line(division, &trained));
        Ok(TrainedNetwork(trained))
    }
}

/// How training went, in one line.
fn line(division: &str, trained: &Trained) -> String {
    let Trained {
        history,
        kept_epochs,
        validation,
        ..
    } = trained;
    let figures = validation.map_or_else(String::new, |scores| {
        format!(
            ", validation accuracy {:.3}, macro-F1 {:.3}",
            scores.accuracy, scores.macro_f1
        )
    });
    format!(
        "{division}: {} epochs, kept epoch {kept_epochs}{figures}",
        history.len()
    )
}

impl Artifact for TrainedNetwork {
    fn type_name() -> String {
        "TrainedNetwork".to_owned()
    }

    fn format() -> Format {
        Format::Folder
    }

    fn save(&self, path: &Path) -> Result<(), BoxError> {
        Ok(self.0.save(path)?)
    }

    fn load(path: &Path) -> Result<Self, BoxError> {
        Ok(Self(Trained::load(path)?))
    }

    fn metadata(&self) -> Metadata {
        let trained = &self.0;
        let kept_epoch = match trained.kept_epochs.common() {
            Some(epoch) => epoch.into(),
            None => trained.kept_epochs.to_string().into(),
        };
        // What is known of a network's size is that of one.
        let parameters = match trained.n_members() {
            1 => trained.n_parameters.into(),
            members => format!("{members} × {}", trained.n_parameters).into(),
        };
        let mut metadata = Metadata::from([
            ("epochs".to_owned(), trained.history.len().into()),
            ("kept_epoch".to_owned(), kept_epoch),
            ("parameters".to_owned(), parameters),
        ]);
        if let Some(scores) = trained.validation {
            metadata.insert("validation_accuracy".to_owned(), scores.accuracy.into());
            metadata.insert("validation_macro_f1".to_owned(), scores.macro_f1.into());
        }
        metadata
    }
}

#[cfg(test)]
mod tests {
    use biophony_model::{KeptEpochs, ValidationScores};
    use biophony_nn::merge;

    use super::super::sample;
    use super::*;

    #[test]
    fn several_networks_are_told_as_so_many_of_one_size_with_what_they_reach_as_one() {
        let networks = [(); 2].map(|()| sample::trained().network);
        let kept = [9, 14].map(KeptEpochs::one);
        let trained = Trained {
            network: merge(&networks).expect("they are of one kind"),
            kept_epochs: kept.iter().collect(),
            validation: Some(ValidationScores {
                loss: 0.5,
                accuracy: 0.75,
                balanced_accuracy: 0.5,
                macro_f1: 0.25,
            }),
            ..sample::trained()
        };
        assert_eq!(
            line("split", &trained),
            "split: 0 epochs, kept epoch 9/14, validation accuracy 0.750, macro-F1 0.250"
        );
        let metadata = TrainedNetwork(trained).metadata();
        assert_eq!(metadata["parameters"], "2 × 4");
        assert_eq!(metadata["kept_epoch"], "9/14");
        assert_eq!(metadata["validation_accuracy"], 0.75);
    }
}
