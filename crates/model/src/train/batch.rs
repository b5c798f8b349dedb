//! Assembling batches: windows drawn in parallel, then mixed with one another.

use rand::seq::SliceRandom;
use rand_distr::{Beta, Distribution};
use rayon::prelude::*;

use crate::augment::{AugmentConfig, Augmenter, happens};
use crate::prepare::Example;
use crate::seeds::{Purpose, generator};

/// Assembles batches into buffers that are allocated once.
pub(super) struct Batcher<'a> {
    augmenter: Augmenter<'a>,
    config: &'a AugmentConfig,
    examples: &'a [Example],
    seed: u64,
    n_classes: usize,
    n_inputs: usize,
    /// Windows as drawn: `[batch, bands, frames, 1]`.
    windows: Vec<f32>,
    /// The same after mixing.
    mixed: Vec<f32>,
    /// `[batch, classes]`
    targets: Vec<f32>,
}

/// What the network learns from in one step.
pub(super) struct Batch<'a> {
    /// `[n, bands, frames, 1]`
    pub(super) inputs: &'a [f32],
    /// `[n, classes]`, rows that sum to 1.
    pub(super) targets: &'a [f32],
    pub(super) n: usize,
}

impl<'a> Batcher<'a> {
    pub(super) fn new(
        augmenter: Augmenter<'a>,
        config: &'a AugmentConfig,
        examples: &'a [Example],
        seed: u64,
        n_classes: usize,
    ) -> Self {
        Self {
            n_inputs: augmenter.n_inputs(),
            augmenter,
            config,
            examples,
            seed,
            n_classes,
            windows: Vec::new(),
            mixed: Vec::new(),
            targets: Vec::new(),
        }
    }

    /// Draws the examples at `order`, which are at place `first` of the epoch
    /// and after.
    ///
    /// Each example has a generator of its own, by its place, so that any number
    /// of threads draws the same.
    pub(super) fn assemble(&mut self, epoch: usize, first: usize, order: &[usize]) -> Batch<'_> {
        self.windows.resize(order.len() * self.n_inputs, 0.0);
        let (augmenter, seed) = (&self.augmenter, self.seed);
        self.windows
            .par_chunks_exact_mut(self.n_inputs)
            .zip(order)
            .enumerate()
            .for_each(|(place, (window, &index))| {
                let mut rng = generator(seed, Purpose::Augment, epoch, first + place);
                augmenter.draw(index, &mut rng, window);
            });
        let mixtures = self.mixtures(epoch, first, order.len());
        self.label(order, &mixtures);
        let inputs = if mixtures.iter().any(|mixture| mixture.share < 1.0) {
            self.mix(&mixtures);
            &self.mixed
        } else {
            &self.windows
        };
        Batch {
            inputs,
            targets: &self.targets,
            n: order.len(),
        }
    }

    /// Whom each example is mixed with, and how much of itself it keeps.
    fn mixtures(&self, epoch: usize, first: usize, n: usize) -> Vec<Mixture> {
        let mut rng = generator(self.seed, Purpose::Mixup, epoch, first);
        let mut partners: Vec<usize> = (0..n).collect();
        partners.shuffle(&mut rng);
        let alpha = self.config.mixup_alpha;
        let ratio = Beta::new(alpha, alpha).expect("`mixup_alpha` is checked to be positive");
        let mixture = |partner| {
            let wanted = happens(self.config.mixup_probability, &mut rng);
            // Of two mixed examples, the one at this place is the greater part.
            let share: f64 = ratio.sample(&mut rng);
            let share = if wanted { share.max(1.0 - share) } else { 1.0 };
            Mixture {
                partner,
                share: share as f32,
            }
        };
        partners.into_iter().map(mixture).collect()
    }

    fn label(&mut self, order: &[usize], mixtures: &[Mixture]) {
        self.targets.clear();
        self.targets.resize(order.len() * self.n_classes, 0.0);
        let rows = self.targets.chunks_exact_mut(self.n_classes);
        for ((row, &index), mixture) in rows.zip(order).zip(mixtures) {
            row[self.examples[index].label] += mixture.share;
            row[self.examples[order[mixture.partner]].label] += 1.0 - mixture.share;
        }
    }

    fn mix(&mut self, mixtures: &[Mixture]) {
        self.mixed.resize(self.windows.len(), 0.0);
        let (windows, n_inputs) = (&self.windows, self.n_inputs);
        self.mixed
            .par_chunks_exact_mut(n_inputs)
            .zip(windows.par_chunks_exact(n_inputs))
            .zip(mixtures)
            .for_each(|((mixed, own), mixture)| {
                let other = &windows[mixture.partner * n_inputs..][..n_inputs];
                for ((mixed, own), other) in mixed.iter_mut().zip(own).zip(other) {
                    *mixed = mixture.share * own + (1.0 - mixture.share) * other;
                }
            });
    }
}

/// One example of a batch and another it is mixed with.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Mixture {
    /// The other's place in the batch.
    partner: usize,
    /// How much of the example itself there is, at least one half.
    share: f32,
}

#[cfg(test)]
mod tests {
    use biophony_audio::{FeatureConfig, Spectrogram};

    use super::*;
    use crate::normalize::Normalizer;
    use crate::prepare::FrontEnd;

    const N_FRAMES: usize = 4;

    fn examples() -> Vec<Example> {
        let n_bands = FeatureConfig::default().n_mels();
        let clip = |label: usize| Example {
            name: String::new(),
            label,
            features: Spectrogram::new(
                n_bands,
                N_FRAMES,
                vec![label as f32 - 50.0; n_bands * N_FRAMES],
            ),
        };
        (0..3).map(clip).collect()
    }

    /// Assembles a batch of three and returns its inputs and targets.
    fn assemble(config: &AugmentConfig, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let (examples, front) = (examples(), FrontEnd::default());
        let normalizer = Normalizer::fit(&examples).unwrap();
        let augmenter = Augmenter::new(config, &front, &examples, &normalizer, N_FRAMES);
        let mut batcher = Batcher::new(augmenter, config, &examples, seed, 3);
        let batch = batcher.assemble(1, 0, &[2, 0, 1]);
        assert_eq!(batch.n, 3);
        (batch.inputs.to_vec(), batch.targets.to_vec())
    }

    #[test]
    fn without_mixing_each_row_is_one_class() {
        let (inputs, targets) = assemble(&AugmentConfig::none(), 1);
        assert_eq!(targets, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        assert!(inputs[0] > 0.0 && inputs[inputs.len() / 2] < 0.0);
    }

    #[test]
    fn mixed_inputs_and_labels_have_the_same_shares() {
        let config = AugmentConfig {
            mixup_probability: 1.0,
            mixup_alpha: 1.0,
            ..AugmentConfig::none()
        };
        let (inputs, targets) = assemble(&config, 1);
        let (plain, _) = assemble(&AugmentConfig::none(), 1);
        let n = inputs.len() / 3;
        let value_of = [plain[n], plain[2 * n], plain[0]];
        for (input, target) in inputs.chunks_exact(n).zip(targets.chunks_exact(3)) {
            assert!((target.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            let expected: f32 = target.iter().zip(value_of).map(|(t, v)| t * v).sum();
            assert!((input[0] - expected).abs() < 1e-5);
        }
        assert!(targets.iter().any(|&target| target > 0.0 && target < 1.0));
    }

    #[test]
    fn the_same_seed_assembles_the_same_batch() {
        let config = AugmentConfig::default();
        assert_eq!(assemble(&config, 1), assemble(&config, 1));
        assert_ne!(assemble(&config, 1), assemble(&config, 2));
    }
}
