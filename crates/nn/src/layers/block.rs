//! A block in training: convolution, batch-norm, ReLU and max-pooling as few passes.
//!
//! Forward there are two passes over memory: one convolves, gathering the statistics
//! of each band of rows while it is in the cache; the other normalizes, rectifies and
//! pools. The backward pass is in [`backward`]. The way back through pooling, ReLU
//! and normalization is cheap enough to be taken twice, which saves storing its
//! result; that is in [`source`].

mod backward;
mod source;

use std::ops::Range;

pub(crate) use backward::BlockGradients;
use rayon::prelude::*;

use super::norm::{NormState, moments};
use super::{Context, chunk_len};
use crate::Network;
use crate::Shape;
use crate::conv::{ConvGradient, Convolution};
use crate::graph::Window;
use crate::kernels::{Finish, Kernels, PoolRow, period};
use crate::plan::{Block, ConvLayer, Plan, Step};
use crate::scratch::Lengths;

/// Everything that a block keeps between the passes.
#[derive(Debug)]
pub(crate) struct BlockState {
    block: Block,
    raw: Shape,
    output: Shape,
    conv: Option<ConvState>,
    norm: Option<NormState>,
    /// Mean and squared deviations of each channel in each band of rows.
    statistics: Vec<f32>,
    /// Where in its window each pooled value was.
    places: Vec<u8>,
    /// Gradients of a normalization's bias and weight, chunk by chunk.
    norm_sums: Vec<f64>,
}

/// A convolution's packed weights and the pieces of its gradient.
#[derive(Debug)]
struct ConvState {
    layer: ConvLayer,
    forward: Convolution,
    gradient: ConvGradient,
    /// Gradients of weights, chunk by chunk.
    partials: Vec<f32>,
    /// Gradients of bias, chunk by chunk.
    bias_partials: Vec<f32>,
}

/// The activations of a block.
pub(crate) struct BlockValues<'a> {
    pub(crate) input: &'a [f32],
    /// The convolution's result, where it is not the block's own.
    pub(crate) raw: Option<&'a mut [f32]>,
    pub(crate) output: &'a mut [f32],
}

/// Values of one band, about: a band should stay in the second-level cache.
const BAND_VALUES: usize = 32 * 1024;

/// Examples that a dense layer multiplies together.
const DENSE_BAND: usize = 12;

/// How the rows of a batch are cut into bands.
#[derive(Debug, Clone, Copy)]
struct Bands {
    images: usize,
    /// Rows of an image.
    rows: usize,
    /// Rows of a band but the last.
    band: usize,
}

impl Bands {
    /// Depends on shapes and the batch alone, never on threads, for the sake of equal sums.
    fn new(block: &Block, shape: Shape, n: usize) -> Self {
        if block.works_on_vectors(shape) {
            // Vectors lie one below the other: the batch is one image.
            return Self {
                images: 1,
                rows: n,
                band: DENSE_BAND,
            };
        }
        let row_len = shape.width * shape.channels;
        let fair = (n * shape.height).div_ceil(16);
        let band = (BAND_VALUES / row_len).min(fair).clamp(1, shape.height);
        Self {
            images: n,
            rows: shape.height,
            band,
        }
    }

    fn per_image(&self) -> usize {
        self.rows.div_ceil(self.band)
    }

    fn count(&self) -> usize {
        self.images * self.per_image()
    }

    fn range(&self, index: usize) -> Range<usize> {
        let start = (index % self.per_image()) * self.band;
        start..(start + self.band).min(self.rows)
    }
}

impl BlockState {
    pub(crate) fn new(
        kernels: &'static Kernels,
        plan: &Plan,
        step: &Step,
        block: &Block,
        max_batch: usize,
        input_gradient: bool,
    ) -> Self {
        let (raw, output) = (plan.shapes[block.raw], plan.shapes[step.output]);
        let conv = block.conv.map(|layer| {
            let gradient = ConvGradient::new(kernels, layer.geometry, input_gradient);
            let n_chunks = max_chunks(&layer, max_batch);
            ConvState {
                layer,
                forward: Convolution::new(kernels, layer.geometry),
                partials: vec![0.0; n_chunks * gradient.padded_weights_len()],
                bias_partials: vec![0.0; n_chunks * raw.channels],
                gradient,
            }
        });
        let n_bands = Bands::new(block, raw, max_batch)
            .count()
            .max(16 + max_batch);
        Self {
            block: block.clone(),
            raw,
            output,
            conv,
            norm: block.norm.map(|norm| NormState::new(norm, raw.channels)),
            statistics: vec![0.0; n_bands * 2 * raw.channels],
            places: vec![0; block.pool.map_or(0, |_| max_batch * output.n_values())],
            norm_sums: vec![0.0; super::MAX_CHUNKS * 2 * raw.channels],
        }
    }

    /// Whether the convolution's result has a buffer of its own.
    pub(crate) fn keeps_raw(&self) -> bool {
        self.conv.is_some() && (self.block.norm.is_some() || self.block.pool.is_some())
    }

    pub(crate) fn forward(
        &mut self,
        context: Context<'_>,
        network: &mut Network,
        values: BlockValues<'_>,
    ) {
        let BlockValues { input, raw, output } = values;
        let bands = Bands::new(&self.block, self.raw, context.n);
        self.statistics.resize(
            self.statistics
                .len()
                .max(bands.count() * 2 * self.raw.channels),
            0.0,
        );
        let raw: &[f32] = match (self.conv.is_some(), raw) {
            (true, Some(raw)) => {
                self.convolve(context, bands, network, input, raw);
                raw
            }
            (true, None) => {
                return self.convolve(context, bands, network, input, output);
            }
            (false, _) => {
                self.gather_statistics(context, bands, input);
                input
            }
        };
        if let Some(norm) = &mut self.norm {
            let n_pixels = |index: usize| bands.range(index).len() * self.raw.width;
            let tensors = network.norm_parameters(&norm.parameters);
            norm.finish_forward(&self.statistics, bands.count(), n_pixels, tensors);
        }
        self.finish_rows(context, raw, output);
    }

    fn convolve(
        &mut self,
        context: Context<'_>,
        bands: Bands,
        network: &Network,
        input: &[f32],
        y: &mut [f32],
    ) {
        let Some(conv) = &mut self.conv else { return };
        let bias = conv.layer.bias.map(|bias| network.learned_of(bias));
        conv.forward
            .pack(network.learned_of(conv.layer.weight), bias);
        let conv = &conv.forward;
        let normalized = self.norm.is_some();
        let finish = if self.block.relu && !normalized {
            Finish::Relu
        } else {
            Finish::Write
        };
        let (image_len, y_len) = (input.len() / bands.images, y.len() / bands.images);
        let row_len = y_len / bands.rows;
        let channels = self.raw.channels;
        let lengths = Lengths {
            image: conv.scratch_len(bands.band),
            sums: if normalized { period(channels) } else { 0 },
            ..Lengths::default()
        };
        let images = input.par_chunks(image_len).zip(y.par_chunks_mut(y_len));
        let statistics = self
            .statistics
            .par_chunks_mut(bands.per_image() * 2 * channels);
        images.zip(statistics).for_each(|((image, y), statistics)| {
            let rows = y.par_chunks_mut(bands.band * row_len);
            let rows = rows
                .zip(statistics.par_chunks_mut(2 * channels))
                .enumerate();
            rows.for_each(|(index, (y, statistics))| {
                context.scratch.with(lengths, |scratch| {
                    conv.rows(image, bands.range(index), scratch.image, y, finish);
                    if normalized {
                        moments(context.kernels, y, scratch.sums, statistics);
                    }
                });
            });
        });
    }

    /// The statistics of a block that begins with batch-norm.
    fn gather_statistics(&mut self, context: Context<'_>, bands: Bands, x: &[f32]) {
        if self.norm.is_none() {
            return;
        }
        let channels = self.raw.channels;
        let lengths = Lengths {
            sums: period(channels),
            ..Lengths::default()
        };
        let image_len = x.len() / bands.images;
        let row_len = image_len / bands.rows;
        let statistics = self
            .statistics
            .par_chunks_mut(bands.per_image() * 2 * channels);
        x.par_chunks(image_len)
            .zip(statistics)
            .for_each(|(x, statistics)| {
                let rows = x.chunks(bands.band * row_len);
                for (x, statistics) in rows.zip(statistics.chunks_exact_mut(2 * channels)) {
                    context.scratch.with(lengths, |scratch| {
                        moments(context.kernels, x, scratch.sums, statistics);
                    });
                }
            });
    }

    /// Normalizes, rectifies and pools what the convolution gave.
    fn finish_rows(&mut self, context: Context<'_>, raw: &[f32], output: &mut [f32]) {
        let (raw_len, output_len) = (self.raw.n_values(), self.output.n_values());
        let constants = self.norm.as_ref().map(|norm| &norm.forward);
        let activation = Activation {
            kernels: context.kernels,
            scale_and_shift: constants.map(|norm| (norm.scale.as_slice(), norm.shift.as_slice())),
            // A convolution without batch-norm has rectified its own result.
            relu: self.block.relu && (self.block.norm.is_some() || self.conv.is_none()),
        };
        let images = raw
            .par_chunks(raw_len)
            .zip(output.par_chunks_mut(output_len));
        match self.block.pool {
            None => images.for_each(|(x, y)| activation.apply(x, y)),
            Some(window) => {
                let (raw, output) = (self.raw, self.output);
                images
                    .zip(self.places.par_chunks_mut(output_len))
                    .for_each(|((x, y), places)| {
                        activation.pool(window, raw, output, x, y, places);
                    });
            }
        }
    }
}

/// The chunks that a convolution's weight gradient is made of: fewer for large weights.
fn max_chunks(layer: &ConvLayer, n: usize) -> usize {
    const MAX_PARTIAL_VALUES: usize = 1 << 22;
    if layer.geometry.is_dense() {
        return 1;
    }
    let chunks = (MAX_PARTIAL_VALUES / layer.geometry.n_weights()).clamp(2, super::MAX_CHUNKS);
    n.div_ceil(chunk_len(n, chunks)).max(chunks)
}

/// What happens to each value of a convolution's result, and how rows are pooled.
pub(crate) struct Activation<'a> {
    pub(crate) kernels: &'static Kernels,
    /// Periodic.
    pub(crate) scale_and_shift: Option<(&'a [f32], &'a [f32])>,
    pub(crate) relu: bool,
}

impl Activation<'_> {
    /// Works on whole pixels.
    pub(crate) fn apply(&self, x: &[f32], y: &mut [f32]) {
        match (self.scale_and_shift, self.relu) {
            (Some((scale, shift)), true) => self.kernels.affine_relu(x, scale, shift, y),
            (Some((scale, shift)), false) => self.kernels.affine(x, scale, shift, y),
            (None, true) => self.kernels.relu(x, y),
            (None, false) => y.copy_from_slice(x),
        }
    }

    /// Works on one image, or on rows of one that hold whole windows.
    pub(crate) fn pool(
        &self,
        window: Window,
        input: Shape,
        output: Shape,
        x: &[f32],
        y: &mut [f32],
        places: &mut [u8],
    ) {
        let row = pool_row(window, input);
        let y_rows = y.chunks_exact_mut(output.width * output.channels);
        let places_rows = places.chunks_exact_mut(output.width * output.channels);
        for (index, (y, places)) in y_rows.zip(places_rows).enumerate() {
            let x = &x[index * window.stride[0] * row.x_row..];
            match (self.scale_and_shift, self.relu) {
                (Some((scale, shift)), true) => {
                    self.kernels
                        .affine_relu_max_pool(&row, x, scale, shift, y, places);
                }
                (Some((scale, shift)), false) => {
                    self.kernels
                        .affine_max_pool(&row, x, scale, shift, y, places);
                }
                (None, true) => self.kernels.relu_max_pool(&row, x, y, places),
                (None, false) => self.kernels.max_pool(&row, x, y, places),
            }
        }
    }
}

/// The windows of one row of a pooling's result.
pub(crate) fn pool_row(window: Window, input: Shape) -> PoolRow {
    PoolRow {
        channels: input.channels,
        kernel: window.kernel,
        stride: window.stride[1],
        x_row: input.width * input.channels,
    }
}
