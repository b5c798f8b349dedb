//! A block in training: convolution, batch-norm, ReLU and max-pooling as few passes.
//!
//! Forward there are two passes over memory: one convolves, gathering the statistics
//! of each band of rows while it is in the cache; the other normalizes, rectifies and
//! pools. If convolutions follow, they do the normalizing and rectifying as they read,
//! and without pooling there is no second pass at all. The backward pass is in
//! [`backward`]; what it works out of the gradient on the way, row by row, in [`source`].

mod backward;
mod source;

use std::ops::Range;

pub(crate) use backward::BlockGradients;
use rayon::prelude::*;

use super::Context;
use super::norm::{NormState, moments};
use crate::Network;
use crate::Shape;
use crate::buffer::Buffer;
use crate::conv::{ConvGradient, Convolution};
use crate::graph::Window;
use crate::kernels::winograd::Tiling;
use crate::kernels::{Finish, Kernels, PoolRow, period};
use crate::plan::{Block, ConvLayer, Plan, Step};
use crate::scratch::Lengths;
use crate::view::{Activation, View};

/// Everything that a block keeps between the passes.
#[derive(Debug)]
pub(crate) struct BlockState {
    block: Block,
    /// Whether normalization and ReLU are left to the readers.
    pending: bool,
    raw: Shape,
    output: Shape,
    conv: Option<ConvState>,
    norm: Option<NormState>,
    /// Mean and squared deviations of each channel in each band of rows.
    statistics: Vec<f32>,
    /// The raw values that pooling selected, where they are not the block's result.
    selected: Buffer,
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
    partials: Buffer,
    /// What the tiles of a batch become, where images are worked on together.
    frequencies: Buffer,
    /// Gradients of bias, chunk by chunk.
    bias_partials: Vec<f32>,
}

/// What others want of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockNeeds {
    /// The gradient of its input.
    pub(crate) input_gradient: bool,
    /// Its result before normalization and ReLU.
    pub(crate) pending: bool,
}

/// The activations of a block.
pub(crate) struct BlockValues<'a> {
    pub(crate) input: View<'a>,
    /// The convolution's result, where it is not the block's own.
    pub(crate) raw: Option<&'a mut [f32]>,
    pub(crate) output: &'a mut [f32],
}

/// Values of one band, about: a band should stay in the second-level cache.
const BAND_VALUES: usize = 64 * 1024;

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
    /// Images of a band but the last, where bands have whole images.
    together: usize,
}

impl Bands {
    /// Depends on shapes and the batch alone, never on threads, for the sake of equal sums.
    fn new(kernels: &Kernels, block: &Block, shape: Shape, n: usize) -> Self {
        if block.works_on_vectors(shape) {
            // Vectors lie one below the other: the batch is one image.
            return Self {
                images: 1,
                rows: n,
                band: DENSE_BAND,
                together: 1,
            };
        }
        let conv = block.conv.map(|layer| layer.geometry);
        if let Some(together) = conv.and_then(|conv| conv.images_together(kernels, n)) {
            return Self {
                images: n,
                rows: shape.height,
                band: shape.height,
                together,
            };
        }
        let row_len = shape.width * shape.channels;
        let fair = (n * shape.height).div_ceil(16);
        let band = (BAND_VALUES / row_len).min(fair).clamp(1, shape.height);
        // Convolutions may compute the rows of a tile together.
        let tiling = conv.and_then(|conv| conv.tiling(kernels));
        let band = band.next_multiple_of(tiling.map_or(1, Tiling::side));
        Self {
            images: n,
            rows: shape.height,
            band,
            together: 1,
        }
    }

    /// The image or the images that a band is part of.
    fn parts(&self) -> usize {
        self.images.div_ceil(self.together)
    }

    fn per_image(&self) -> usize {
        self.rows.div_ceil(self.band)
    }

    fn count(&self) -> usize {
        self.parts() * self.per_image()
    }

    fn range(&self, index: usize) -> Range<usize> {
        let start = (index % self.per_image()) * self.band;
        start..(start + self.band).min(self.rows)
    }

    /// Rows of a band, of all its images.
    fn n_rows(&self, index: usize) -> usize {
        let first = index / self.per_image() * self.together;
        self.range(index).len() * self.together.min(self.images - first)
    }
}

impl BlockState {
    pub(crate) fn new(
        kernels: &'static Kernels,
        plan: &Plan,
        step: &Step,
        block: &Block,
        max_batch: usize,
        needs: BlockNeeds,
    ) -> Self {
        let (raw, output) = (plan.shapes[block.raw], plan.shapes[step.output]);
        let conv = block.conv.map(|layer| {
            let gradient = ConvGradient::new(kernels, layer.geometry, needs.input_gradient);
            let together = gradient.images_together(max_batch);
            let n_partials = together.map_or(max_chunks(&layer), |_| 1);
            let frequencies = together.map_or(0, |_| gradient.frequencies_len(max_batch));
            ConvState {
                layer,
                forward: Convolution::new(kernels, layer.geometry),
                partials: Buffer::zeros(n_partials * gradient.padded_weights_len()),
                frequencies: Buffer::zeros(frequencies),
                bias_partials: vec![0.0; super::MAX_CHUNKS * raw.channels],
                gradient,
            }
        });
        let n_bands = (1..=max_batch)
            .map(|n| Bands::new(kernels, block, raw, n).count())
            .max();
        let pooled_len = block.pool.map_or(0, |_| max_batch * output.n_values());
        let keeps_selected = block.norm.is_some() && !needs.pending;
        Self {
            block: block.clone(),
            pending: needs.pending,
            raw,
            output,
            conv,
            norm: block.norm.map(|norm| NormState::new(norm, raw.channels)),
            statistics: vec![0.0; n_bands.unwrap_or(0) * 2 * raw.channels],
            selected: Buffer::zeros(if keeps_selected { pooled_len } else { 0 }),
            places: vec![0; pooled_len],
            norm_sums: vec![0.0; super::MAX_CHUNKS * 2 * raw.channels],
        }
    }

    /// Whether the convolution's result has a buffer of its own.
    pub(crate) fn keeps_raw(&self) -> bool {
        self.conv.is_some() && (self.block.norm.is_some() || self.block.pool.is_some())
    }

    /// What readers of a pending result have to do.
    pub(crate) fn pending_activation(&self) -> Option<Activation<'_>> {
        let norm = self.norm.as_ref().filter(|_| self.pending);
        norm.map(|norm| norm.activation(self.block.relu))
    }

    pub(crate) fn forward(
        &mut self,
        context: Context<'_>,
        network: &mut Network,
        values: BlockValues<'_>,
    ) {
        let BlockValues { input, raw, output } = values;
        let bands = Bands::new(context.kernels, &self.block, self.raw, context.n);
        let raw: &[f32] = match (self.conv.is_some(), raw) {
            (true, Some(raw)) => {
                self.convolve(context, bands, network, input, raw);
                raw
            }
            (true, None) => return self.convolve(context, bands, network, input, output),
            (false, _) => {
                self.gather_statistics(context, bands, input.values);
                input.values
            }
        };
        if let Some(norm) = &mut self.norm {
            let n_pixels = |index: usize| bands.n_rows(index) * self.raw.width;
            let tensors = network.norm_parameters(&norm.parameters);
            norm.finish_forward(&self.statistics, bands.count(), n_pixels, tensors);
        }
        match self.block.pool {
            Some(window) => self.pool(context, window, raw, output),
            None if self.pending => {}
            None => self.activate(context, raw, output),
        }
    }

    fn convolve(
        &mut self,
        context: Context<'_>,
        bands: Bands,
        network: &Network,
        input: View<'_>,
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
        let (image_len, y_len) = (input.values.len() / bands.images, y.len() / bands.images);
        let row_len = y_len / bands.rows;
        let channels = self.raw.channels;
        let together = bands.together;
        let lengths = Lengths {
            image: match together {
                1 => conv.scratch_len(input, bands.band),
                _ => conv.images_scratch_len(together),
            },
            sums: if normalized { period(channels) } else { 0 },
            ..Lengths::default()
        };
        let images = input
            .values
            .par_chunks(together * image_len)
            .zip(y.par_chunks_mut(together * y_len));
        let statistics = self
            .statistics
            .par_chunks_mut(bands.per_image() * 2 * channels);
        images.zip(statistics).for_each(|((image, y), statistics)| {
            let rows = y.par_chunks_mut(together * bands.band * row_len);
            let rows = rows
                .zip(statistics.par_chunks_mut(2 * channels))
                .enumerate();
            rows.for_each(|(index, (y, statistics))| {
                context.scratch.with(lengths, |scratch| {
                    let image = input.part(image);
                    match together {
                        1 => conv.rows(image, bands.range(index), scratch.image, y, finish),
                        _ => conv.images(image, scratch.image, y, finish),
                    }
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

    /// Normalizes and rectifies what the convolution gave.
    fn activate(&self, context: Context<'_>, raw: &[f32], output: &mut [f32]) {
        let len = self.output.n_values();
        let activation = self.activation();
        let images = raw.par_chunks(len).zip(output.par_chunks_mut(len));
        images.for_each(|(x, y)| activation.apply(context.kernels, x, y));
    }

    /// What is still to be done to raw values.
    fn activation(&self) -> Activation<'_> {
        match &self.norm {
            Some(norm) => norm.activation(self.block.relu),
            // A convolution without batch-norm has rectified its own result.
            None => Activation {
                scale_and_shift: None,
                relu: self.block.relu && self.conv.is_none(),
            },
        }
    }

    /// Selects raw values by pooling, and normalizes and rectifies those unless they
    /// are to be left pending.
    fn pool(&mut self, context: Context<'_>, window: Window, raw: &[f32], output: &mut [f32]) {
        let mut selected = std::mem::take(&mut self.selected);
        let mut places = std::mem::take(&mut self.places);
        let activation = self.activation();
        let output_len = self.output.n_values();
        let rows = PoolRows {
            kernels: context.kernels,
            window,
            raw: self.raw,
            output: self.output,
        };
        let images = raw
            .par_chunks(self.raw.n_values())
            .zip(output.par_chunks_mut(output_len));
        let images = images.zip(places.par_chunks_mut(output_len));
        if activation.scale_and_shift.is_some() && !self.pending {
            images.zip(selected.par_chunks_mut(output_len)).for_each(
                |(((x, y), places), selected)| {
                    rows.select(activation, x, selected, places);
                    activation.apply(context.kernels, selected, y);
                },
            );
        } else {
            images.for_each(|((x, y), places)| rows.select(activation, x, y, places));
        }
        self.selected = selected;
        self.places = places;
    }
}

/// The windows of one image.
struct PoolRows {
    kernels: &'static Kernels,
    window: Window,
    raw: Shape,
    output: Shape,
}

impl PoolRows {
    /// Keeps of each window the raw value that is largest once it is activated. Without
    /// normalization, which may turn the order around, it is rectified right away.
    fn select(&self, activation: Activation<'_>, x: &[f32], y: &mut [f32], places: &mut [u8]) {
        let row = pool_row(self.window, self.raw);
        let row_len = self.output.width * self.output.channels;
        let rows = y
            .chunks_exact_mut(row_len)
            .zip(places.chunks_exact_mut(row_len));
        for (index, (y, places)) in rows.enumerate() {
            let x = &x[index * self.window.stride[0] * row.x_row..];
            match activation.scale_and_shift {
                Some((scale, shift)) => {
                    self.kernels
                        .max_pool_scaled(&row, x, [scale, shift], y, places);
                }
                None => {
                    self.kernels.max_pool(&row, x, y, places);
                    if activation.relu {
                        self.kernels.relu_in_place(y);
                    }
                }
            }
        }
    }
}

/// The chunks that a convolution's weight gradient is made of: fewer for large weights.
fn max_chunks(layer: &ConvLayer) -> usize {
    const MAX_PARTIAL_VALUES: usize = 1 << 22;
    if layer.geometry.is_dense() {
        return 1;
    }
    (MAX_PARTIAL_VALUES / layer.geometry.n_weights()).clamp(2, super::MAX_CHUNKS)
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
