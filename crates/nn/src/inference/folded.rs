//! One step of inference, with the constants of batch-norm folded in.

use rayon::prelude::*;

use super::Threads;
use crate::conv::Convolution;
use crate::graph::BatchNorm;
use crate::kernels::winograd::Tiling;
use crate::kernels::{Finish, Kernels, period, repeat_channels};
use crate::layers::block::pool_row;
use crate::layers::simple;
use crate::plan::{Block, ConvLayer, Plan, Step, StepOperation};
use crate::scratch::{Lengths, ScratchPool};
use crate::view::{Activation, View};
use crate::{Network, Shape};

/// A step with its weights in the form that it runs with.
#[derive(Debug)]
pub(super) struct FoldedStep {
    kernels: &'static Kernels,
    operation: StepOperation,
    input: Shape,
    raw: Shape,
    output: Shape,
    conv: Option<Convolution>,
    /// Scale and shift of a batch-norm without convolution, periodic.
    affine: Option<(Vec<f32>, Vec<f32>)>,
}

/// What a step reads.
pub(super) struct Inputs<'a> {
    pub(super) x: &'a [f32],
    /// The second term of an addition.
    pub(super) other: Option<&'a [f32]>,
}

/// Values of one band, about: conv and pooling of a band should stay in the cache.
const BAND_VALUES: usize = 32 * 1024;

/// Steps with fewer multiplications than this are not worth waking a thread for.
const MIN_SHARED_MACS: u64 = 200_000;

impl FoldedStep {
    pub(super) fn new(kernels: &'static Kernels, plan: &Plan, step: &Step) -> Self {
        let block = match &step.operation {
            StepOperation::Block(block) => Some(block),
            _ => None,
        };
        let conv = block.and_then(|block| block.conv);
        let raw = plan.shapes[block.map_or(step.input, |block| block.raw)];
        let has_affine = conv.is_none() && block.is_some_and(|block| block.norm.is_some());
        let periodic = || vec![0.0; period(raw.channels)];
        Self {
            kernels,
            operation: step.operation.clone(),
            input: plan.shapes[step.input],
            raw,
            output: plan.shapes[step.output],
            conv: conv.map(|layer| Convolution::new(kernels, layer.geometry)),
            affine: has_affine.then(|| (periodic(), periodic())),
        }
    }

    /// Brings in the weights of a network.
    pub(super) fn take_over(&mut self, step: &Step, network: &Network) {
        let StepOperation::Block(block) = &step.operation else {
            return;
        };
        let affine = block.norm.map(|norm| Affine::of(&norm, network));
        if let (Some(conv), Some(layer)) = (&mut self.conv, block.conv) {
            fold_conv(conv, layer, affine.as_ref(), network);
        } else if let (Some((scale, shift)), Some(affine)) = (&mut self.affine, affine) {
            repeat_channels(&affine.scale, scale);
            repeat_channels(&affine.shift, shift);
        }
    }

    /// The shape of the result.
    pub(super) fn output(&self) -> Shape {
        self.output
    }

    /// The convolution of a block that does not pool, and what becomes of its sums.
    pub(super) fn convolution(&self) -> Option<(&Convolution, Finish)> {
        match &self.operation {
            StepOperation::Block(block) if block.pool.is_none() => {
                Some((self.conv.as_ref()?, finish(block)))
            }
            _ => None,
        }
    }

    /// Runs the step for as many examples as `y` holds.
    pub(super) fn run(
        &self,
        scratch: &ScratchPool,
        inputs: Inputs<'_>,
        y: &mut [f32],
        threads: Threads,
    ) {
        let Inputs { x, other } = inputs;
        let (input, output) = (self.input, self.output);
        match &self.operation {
            StepOperation::Block(block) => self.run_block(block, scratch, x, y, threads),
            StepOperation::AveragePool(window) => {
                simple::average_pool(*window, input, output, x, y);
            }
            StepOperation::GlobalPool(kind) => simple::global_pool_values(*kind, input, x, y),
            StepOperation::Flatten => simple::flatten(input, x, y),
            StepOperation::Dropout { .. } => y.copy_from_slice(x),
            StepOperation::Add { relu, .. } => {
                let other = other.expect("an addition has two terms");
                simple::add(self.kernels, *relu, x, other, y);
            }
        }
    }

    fn run_block(
        &self,
        block: &Block,
        scratch: &ScratchPool,
        x: &[f32],
        y: &mut [f32],
        threads: Threads,
    ) {
        let images = if self.takes_vectors_as_rows(block) {
            1
        } else {
            x.len() / self.input.n_values()
        };
        let rows = y.len() / images / (self.output.width * self.output.channels);
        let band = self.band_rows(block, rows, threads);
        let row_len = self.output.width * self.output.channels;
        let images = x
            .chunks_exact(x.len() / images)
            .zip(y.chunks_exact_mut(y.len() / images));
        for (x, y) in images {
            let run = |(index, y): (usize, &mut [f32])| {
                self.run_band(block, scratch, x, index * band, y);
            };
            match threads {
                Threads::One => y.chunks_mut(band * row_len).enumerate().for_each(run),
                Threads::All => y.par_chunks_mut(band * row_len).enumerate().for_each(run),
            }
        }
    }

    /// Whether examples are vectors that may as well be the rows of one image: each row of
    /// the result sees one row of the input, and nothing around it.
    fn takes_vectors_as_rows(&self, block: &Block) -> bool {
        let is_vector = self.input.n_pixels() == 1 && self.raw.n_pixels() == 1;
        let sees_one_row = block.conv.is_none_or(|ConvLayer { geometry, .. }| {
            geometry.kernel == [1, 1] && geometry.stride == [1, 1] && !geometry.is_depthwise()
        });
        is_vector && sees_one_row && block.pool.is_none()
    }

    /// Rows of the result that one task computes.
    fn band_rows(&self, block: &Block, rows: usize, threads: Threads) -> usize {
        let raw_rows = block.pool.map_or(1, |window| window.stride[0]);
        let row_len = raw_rows * self.raw.width * self.raw.channels;
        let in_cache = (BAND_VALUES / row_len).clamp(1, rows);
        let macs = block.conv.map_or(0, |layer| layer.geometry.macs());
        let band = match threads == Threads::One || macs < MIN_SHARED_MACS {
            true => in_cache,
            false => in_cache.min(rows.div_ceil(2 * rayon::current_num_threads())),
        };
        // With a band that began within a tile, the number of threads would show in the last
        // bits.
        let tiling = block
            .conv
            .and_then(|conv| conv.geometry.tiling(self.kernels));
        band.next_multiple_of(tiling.map_or(1, Tiling::side))
    }

    /// Computes the rows of `y`, which begin with row `first` of an image.
    fn run_band(
        &self,
        block: &Block,
        scratch: &ScratchPool,
        x: &[f32],
        first: usize,
        y: &mut [f32],
    ) {
        let rows = y.len() / (self.output.width * self.output.channels);
        let raw_row = self.raw.width * self.raw.channels;
        // Without pooling each raw row is a row of the result.
        let (raw_first, raw_rows) = match block.pool {
            None => (first, rows),
            Some(window) => (
                first * window.stride[0],
                (rows - 1) * window.stride[0] + window.kernel[0],
            ),
        };
        let raw_range = raw_first..raw_first + raw_rows;
        let pooled = block.pool.is_some();
        let lengths = Lengths {
            image: self
                .conv
                .as_ref()
                .map_or(0, |conv| conv.scratch_len(View::plain(x), raw_rows)),
            frame: if pooled { raw_rows * raw_row } else { 0 },
            ..Lengths::default()
        };
        scratch.with(lengths, |scratch| {
            let raw = if pooled { &mut *scratch.frame } else { &mut *y };
            match &self.conv {
                Some(conv) => {
                    conv.rows(View::plain(x), raw_range, scratch.image, raw, finish(block));
                }
                None => {
                    let x = &x[raw_first * raw_row..][..raw_rows * raw_row];
                    self.activation(block).apply(self.kernels, x, raw);
                }
            }
            if let Some(window) = block.pool {
                let row = pool_row(window, self.raw);
                let y_rows = y.chunks_exact_mut(self.output.width * self.output.channels);
                for (index, y) in y_rows.enumerate() {
                    let x = &scratch.frame[index * window.stride[0] * raw_row..];
                    self.kernels.max_pool_values(&row, x, y);
                }
            }
        });
    }

    fn activation(&self, block: &Block) -> Activation<'_> {
        let constants = self.affine.as_ref();
        Activation {
            scale_and_shift: constants.map(|(scale, shift)| (scale.as_slice(), shift.as_slice())),
            relu: block.relu,
        }
    }
}

/// What becomes of the sums of a block's convolution.
fn finish(block: &Block) -> Finish {
    if block.relu {
        Finish::Relu
    } else {
        Finish::Write
    }
}

/// A batch-norm with fixed statistics: `y = x · scale + shift`.
struct Affine {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Affine {
    fn of(norm: &BatchNorm, network: &Network) -> Self {
        let (mean, variance) = (
            network.running_of(norm.running_mean),
            network.running_of(norm.running_var),
        );
        let (weight, bias) = (
            network.learned_of(norm.weight),
            network.learned_of(norm.bias),
        );
        let scale: Vec<f64> = weight
            .iter()
            .zip(variance)
            .map(|(&weight, &variance)| {
                f64::from(weight) / (f64::from(variance) + f64::from(norm.epsilon)).sqrt()
            })
            .collect();
        let shift = bias.iter().zip(mean).zip(&scale);
        Self {
            shift: shift
                .map(|((&bias, &mean), scale)| (f64::from(bias) - f64::from(mean) * scale) as f32)
                .collect(),
            scale: scale.iter().map(|&scale| scale as f32).collect(),
        }
    }
}

/// Packs a convolution's weights, scaled by the batch-norm that follows.
fn fold_conv(conv: &mut Convolution, layer: ConvLayer, affine: Option<&Affine>, network: &Network) {
    let weights = network.learned_of(layer.weight);
    let bias = layer.bias.map(|bias| network.learned_of(bias));
    let Some(Affine { scale, shift }) = affine else {
        conv.pack(weights, bias);
        return;
    };
    let outputs = layer.geometry.output.channels;
    let scaled: Vec<f32> = weights
        .chunks_exact(outputs)
        .flat_map(|row| row.iter().zip(scale).map(|(weight, scale)| weight * scale))
        .collect();
    let folded_bias: Vec<f32> = (0..outputs)
        .map(|output| shift[output] + scale[output] * bias.map_or(0.0, |bias| bias[output]))
        .collect();
    conv.pack(&scaled, Some(&folded_bias));
}
