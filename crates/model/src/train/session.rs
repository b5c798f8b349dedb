//! Everything that changes while training runs, and one epoch of it.

use std::time::Instant;

use biophony_nn::{LossConfig, NamedTensor, Network, Optimizer, Training, softmax_cross_entropy};

use crate::augment::Augmenter;
use crate::checkpoint::Checkpoint;
use crate::error::ModelError;
use crate::labels::LabelSet;
use crate::metrics::best_class;
use crate::normalize::Normalizer;
use crate::prepare::{Example, FrontEnd};
use crate::score::{ScoringModel, ScoringSpace, window_shape};
use crate::seeds::{Purpose, generator, sub_seed};
use crate::train::average::Average;
use crate::train::batch::Batcher;
use crate::train::config::TrainingConfig;
use crate::train::kept::KeptEpochs;
use crate::train::observer::{BatchReport, EpochRecord, TrainingPlan, ValidationScores, Watch};
use crate::train::sampling::{batches, class_weights, epoch_order};
use crate::train::{StopReason, Trained};

/// A training run between its first and its last epoch.
pub(super) struct Session<'a> {
    config: &'a TrainingConfig,
    front: &'a FrontEnd,
    normalizer: &'a Normalizer,
    validation: &'a [Example],
    labels: Vec<usize>,
    n_classes: usize,
    loss: LossConfig,
    batcher: Batcher<'a>,
    network: Network,
    training: Training,
    optimizer: Optimizer,
    average: Option<Average>,
    /// The same weights, or their average, on windows as they are scored.
    scored: Network,
    space: Option<ScoringSpace>,
    best: Option<(usize, Vec<NamedTensor>)>,
    history: Vec<EpochRecord>,
    /// What the last epoch's training came to, until it is validated.
    trained: EpochMeans,
}

/// Whether an epoch went to its end.
pub(super) enum EpochEnd {
    Complete { examples_per_second: f64 },
    Interrupted,
}

/// Sums over the examples of an epoch.
#[derive(Debug, Clone, Copy, Default)]
struct EpochMeans {
    n: usize,
    loss: f64,
    n_right: usize,
    learning_rate: f32,
}

impl<'a> Session<'a> {
    /// A run that has not taken a step yet.
    pub(super) fn start(
        config: &'a TrainingConfig,
        classes: &LabelSet,
        train: &'a [Example],
        validation: &'a [Example],
        front: &'a FrontEnd,
        normalizer: &'a Normalizer,
    ) -> Result<Self, ModelError> {
        let n_frames = config.crop_frames(front)?;
        let n_classes = classes.len();
        let [network, scored] = networks(config, front, n_frames, n_classes)?;
        let augmenter = Augmenter::new(&config.augment, front, train, normalizer, n_frames);
        let labels: Vec<usize> = train.iter().map(|example| example.label).collect();
        let largest = batches(train.len(), config.batch_size);
        let largest = largest
            .iter()
            .map(ExactSizeIterator::len)
            .max()
            .unwrap_or(1);
        Ok(Self {
            loss: LossConfig {
                label_smoothing: config.label_smoothing as f32,
                class_weights: class_weights(&labels, n_classes, config.balanced_loss),
            },
            batcher: Batcher::new(augmenter, &config.augment, train, config.seed, n_classes),
            training: Training::new(&network, largest),
            optimizer: Optimizer::new(config.optimizer(), &network),
            average: (config.average_decay > 0.0).then(|| Average::new(&network)),
            space: (!validation.is_empty()).then(|| ScoringSpace::new(&scored, usize::MAX)),
            best: None,
            history: Vec::new(),
            trained: EpochMeans::default(),
            config,
            front,
            normalizer,
            validation,
            labels,
            n_classes,
            network,
            scored,
        })
    }

    /// Takes over from an earlier run.
    pub(super) fn resume(&mut self, checkpoint: Checkpoint) -> Result<(), ModelError> {
        self.network.load_tensors(&checkpoint.network)?;
        self.optimizer
            .load_state(&self.network, &checkpoint.optimizer)?;
        if let (Some(average), Some(saved)) = (&mut self.average, checkpoint.average) {
            average.resume(&saved)?;
        }
        if let Some((epoch, tensors)) = checkpoint.best {
            self.scored.load_tensors(&tensors)?;
            self.best = Some((epoch, tensors));
        }
        self.history = checkpoint.history;
        Ok(())
    }

    /// Everything that another run would need to take over.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            network: self.network.tensors(),
            optimizer: self.optimizer.state(&self.network),
            average: self.average.as_ref().map(Average::save),
            best: self.best.clone(),
            history: self.history.clone(),
        }
    }

    /// How large this member's part of a training is.
    pub(super) fn plan(&self) -> TrainingPlan {
        TrainingPlan {
            members: 1,
            epochs: self.config.epochs,
            epochs_done: self.history.len(),
            batches_per_epoch: self.batches_per_epoch(),
            examples_per_epoch: self.labels.len(),
            n_validation: self.validation.len(),
            n_parameters: self.network.n_parameters(),
        }
    }

    pub(super) fn epochs(&self) -> usize {
        self.config.epochs
    }

    pub(super) fn epochs_done(&self) -> usize {
        self.history.len()
    }

    fn batches_per_epoch(&self) -> usize {
        self.labels.len().div_ceil(self.config.batch_size)
    }

    pub(super) fn best_epoch(&self) -> usize {
        self.best.as_ref().map_or(0, |(epoch, _)| *epoch)
    }

    pub(super) fn is_finished(&self) -> bool {
        self.history.len() >= self.config.epochs
    }

    pub(super) fn has_stalled(&self) -> bool {
        let waited = self.history.len() - self.best_epoch();
        self.config.patience > 0 && !self.validation.is_empty() && waited >= self.config.patience
    }

    /// Takes one step for each batch of an epoch.
    pub(super) fn train_epoch(
        &mut self,
        member: usize,
        watch: &Watch<'_, '_>,
    ) -> Result<EpochEnd, ModelError> {
        let epoch = self.history.len() + 1;
        let mut rng = generator(self.config.seed, Purpose::Order, epoch, 0);
        let balance = self.config.balanced_sampling;
        let order = epoch_order(&self.labels, self.n_classes, balance, &mut rng);
        let batches = batches(order.len(), self.config.batch_size);
        let started = Instant::now();
        let speed = |n: usize| n as f64 / started.elapsed().as_secs_f64().max(1e-9);
        self.trained = EpochMeans::default();
        for (index, places) in batches.iter().enumerate() {
            let step = (epoch - 1) * batches.len() + index;
            let gradient_norm =
                self.step(epoch, step, index, places.start, &order[places.clone()])?;
            let report = BatchReport {
                member,
                epoch,
                batch: index + 1,
                batches: batches.len(),
                loss: self.trained.mean_loss(),
                learning_rate: self.trained.learning_rate,
                gradient_norm,
                examples_per_second: speed(self.trained.n),
            };
            if watch.batch_finished(&report).is_break() {
                return Ok(EpochEnd::Interrupted);
            }
        }
        Ok(EpochEnd::Complete {
            examples_per_second: speed(order.len()),
        })
    }

    /// One step: forward, backward, and the weights moved. Returns the norm of
    /// the gradients.
    fn step(
        &mut self,
        epoch: usize,
        step: usize,
        index: usize,
        first: usize,
        order: &[usize],
    ) -> Result<f32, ModelError> {
        let total_steps = (self.config.epochs * self.batches_per_epoch()) as u64;
        let base = self.config.learning_rate as f32;
        let learning_rate = self
            .config
            .schedule()
            .learning_rate(base, step as u64, total_steps);
        let batch = self.batcher.assemble(epoch, first, order);
        let dropout_seed = sub_seed(self.config.seed, Purpose::Dropout, epoch, index);
        let logits = self
            .training
            .forward(&mut self.network, batch.inputs, batch.n, dropout_seed);

        let mut d_logits = vec![0.0; logits.len()];
        let loss = softmax_cross_entropy(
            logits,
            batch.targets,
            self.n_classes,
            &self.loss,
            &mut d_logits,
        );
        let rows = logits.chunks_exact(self.n_classes);
        let targets = batch.targets.chunks_exact(self.n_classes);
        let n_right = rows
            .zip(targets)
            .filter(|(row, target)| best_class(row) == best_class(target));
        self.trained
            .add(batch.n, loss, n_right.count(), learning_rate);

        self.training.backward(&self.network, &d_logits);
        let max_norm = self.config.max_gradient_norm();
        let norm = self
            .optimizer
            .step(&mut self.network, &self.training, learning_rate, max_norm);
        if !(loss.is_finite() && norm.is_finite()) {
            return Err(ModelError::Diverged {
                epoch,
                step: index + 1,
                learning_rate,
            });
        }
        if let Some(average) = &mut self.average {
            average.update(&self.network, self.config.average_decay);
        }
        Ok(norm)
    }

    /// Scores the validation part, keeps the weights if they are the best, and
    /// writes the epoch into the history.
    pub(super) fn validate_epoch(&mut self) -> Result<EpochRecord, ModelError> {
        let epoch = self.history.len() + 1;
        let tensors = self.current_tensors();
        let scores = self.validate(&tensors)?;
        if scores.is_some_and(|scores| !scores.loss.is_finite()) {
            return Err(ModelError::Diverged {
                epoch,
                step: self.batches_per_epoch(),
                learning_rate: self.trained.learning_rate,
            });
        }
        let is_better = match (&scores, self.best_scores()) {
            (Some(scores), Some(best)) => scores.beats(&best, self.config.monitor),
            _ => true,
        };
        if is_better {
            self.best = Some((epoch, tensors));
        }
        let record = EpochRecord {
            epoch,
            learning_rate: self.trained.learning_rate,
            train_loss: self.trained.mean_loss(),
            train_accuracy: self.trained.n_right as f32 / self.trained.n.max(1) as f32,
            validation: scores,
        };
        self.history.push(record.clone());
        Ok(record)
    }

    /// What would be kept if training ended now.
    fn current_tensors(&self) -> Vec<NamedTensor> {
        match &self.average {
            Some(average) => average.tensors(),
            None => self.network.tensors(),
        }
    }

    fn validate(
        &mut self,
        tensors: &[NamedTensor],
    ) -> Result<Option<ValidationScores>, ModelError> {
        let Some(space) = &mut self.space else {
            return Ok(None);
        };
        self.scored.load_tensors(tensors)?;
        let model = ScoringModel {
            network: &self.scored,
            normalizer: self.normalizer,
            front: self.front,
        };
        let clips: Vec<_> = self
            .validation
            .iter()
            .map(|example| &example.features)
            .collect();
        let scores: Vec<Vec<f32>> = model
            .score(&clips, space)
            .into_iter()
            .map(|clip| clip.mean)
            .collect();
        Ok(ValidationScores::of(
            self.validation,
            &scores,
            self.n_classes,
        ))
    }

    fn best_scores(&self) -> Option<ValidationScores> {
        let (epoch, _) = self.best.as_ref()?;
        self.history.get(epoch - 1)?.validation
    }

    /// The best weights so far; the present ones before the first epoch ends.
    pub(super) fn into_trained(mut self, stopped: StopReason) -> Result<Trained, ModelError> {
        let validation = self.best_scores();
        let (kept_epoch, tensors) = match self.best.take() {
            Some(best) => best,
            None => (0, self.current_tensors()),
        };
        self.scored.load_tensors(&tensors)?;
        Ok(Trained {
            n_parameters: self.scored.n_parameters(),
            network: self.scored,
            normalizer: self.normalizer.clone(),
            history: self.history,
            kept_epochs: KeptEpochs::one(kept_epoch),
            validation,
            stopped,
        })
    }
}

impl EpochMeans {
    fn add(&mut self, n: usize, loss: f32, n_right: usize, learning_rate: f32) {
        self.n += n;
        self.loss += f64::from(loss) * n as f64;
        self.n_right += n_right;
        self.learning_rate = learning_rate;
    }

    fn mean_loss(&self) -> f32 {
        (self.loss / self.n.max(1) as f64) as f32
    }
}

/// The network on training windows and the same on windows as they are scored.
fn networks(
    config: &TrainingConfig,
    front: &FrontEnd,
    n_frames: usize,
    n_classes: usize,
) -> Result<[Network; 2], ModelError> {
    let seed = sub_seed(config.seed, Purpose::Weights, 0, 0);
    let network = |n_frames| {
        let input = window_shape(front, n_frames);
        let spec = config
            .architecture
            .network(input, n_classes, config.scale())?;
        Ok::<_, ModelError>(Network::new(&spec, seed)?)
    };
    let (training, mut scored) = (network(n_frames)?, network(front.window_frames())?);
    let same_layers = training.spec().layers == scored.spec().layers;
    if !same_layers || scored.load_tensors(&training.tensors()).is_err() {
        let reason = format!(
            "`{}` on other windows would be another network; use 0",
            config.architecture
        );
        return Err(config.crop_fault(reason));
    }
    Ok([training, scored])
}
