//! The backward pass of a block.
//!
//! Batch-norm needs two sums over the whole batch before any gradient of its input
//! is known; they are the first pass. The second works out the gradient of the
//! convolution's result image by image, into a frame of zeros that stays in the
//! cache, and uses it at once for the gradients of weights and input.

use rayon::prelude::*;

use super::source::Source;
use super::{BlockState, ConvState, max_chunks};
use crate::Network;
use crate::kernels::{Finish, period};
use crate::layers::norm::fold;
use crate::layers::{Arrival, Context, MAX_CHUNKS, chunk_len};
use crate::scratch::{Buffers, Lengths};

/// What a block's backward pass reads and writes.
pub(crate) struct BlockGradients<'a> {
    pub(crate) input: &'a [f32],
    /// What normalization, ReLU and pooling began with.
    pub(crate) raw: &'a [f32],
    pub(crate) dy: &'a [f32],
    /// The gradient of the input, if it is needed.
    pub(crate) dx: Option<(&'a mut [f32], Arrival)>,
    /// The gradients of all learned values of the network.
    pub(crate) learned: &'a mut [f32],
}

impl BlockState {
    pub(crate) fn backward(
        &mut self,
        context: Context<'_>,
        network: &Network,
        gradients: BlockGradients<'_>,
    ) {
        let BlockGradients {
            input,
            raw,
            dy,
            dx,
            learned,
        } = gradients;
        self.sum_norm_gradients(context, network, raw, dy, learned);
        let source = Source {
            kernels: context.kernels,
            block: &self.block,
            norm: self.norm.as_ref(),
            raw_shape: self.raw,
            output_shape: self.output,
            raw,
            places: &self.places,
            dy,
        };
        match &mut self.conv {
            Some(conv) => conv.backward(context, network, &source, input, dx, learned),
            None => {
                if let Some((dx, arrival)) = dx {
                    input_rows(context, &source, dx, arrival);
                }
            }
        }
    }

    /// The first pass: gradients of a normalization's weight and bias.
    fn sum_norm_gradients(
        &mut self,
        context: Context<'_>,
        network: &Network,
        raw: &[f32],
        dy: &[f32],
        learned: &mut [f32],
    ) {
        let Some(norm) = &mut self.norm else { return };
        let channels = self.raw.channels;
        let source = Source {
            kernels: context.kernels,
            block: &self.block,
            norm: Some(norm),
            raw_shape: self.raw,
            output_shape: self.output,
            raw,
            places: &self.places,
            dy,
        };
        let row_len = self.raw.width * channels;
        let lengths = Lengths {
            row: row_len,
            sums: period(channels),
            ..Lengths::default()
        };
        let chunk = chunk_len(context.n, MAX_CHUNKS);
        let n_chunks = context.n.div_ceil(chunk);
        let sums = &mut self.norm_sums[..n_chunks * 2 * channels];
        sums.par_chunks_mut(2 * channels)
            .enumerate()
            .for_each(|(index, sums)| {
                let images = index * chunk..((index + 1) * chunk).min(context.n);
                context.scratch.with(lengths, |scratch| {
                    sums.fill(0.0);
                    let Buffers {
                        row,
                        sums: [d_shift, d_scale],
                        ..
                    } = scratch;
                    for image in images {
                        sum_image(&source, image, row, d_shift, d_scale, sums);
                    }
                });
            });
        let (total, rest) = sums.split_at_mut(2 * channels);
        for chunk in rest.chunks_exact(2 * channels) {
            for (total, sum) in total.iter_mut().zip(chunk) {
                *total += sum;
            }
        }
        let (d_bias, d_weight) = total.split_at(channels);
        for (id, sums) in [
            (norm.parameters.bias, d_bias),
            (norm.parameters.weight, d_weight),
        ] {
            for (gradient, sum) in learned[network.range_of(id)].iter_mut().zip(sums) {
                *gradient = *sum as f32;
            }
        }
        let weight = network.learned_of(norm.parameters.weight);
        norm.finish_backward(context.n * self.raw.n_pixels(), weight, d_bias, d_weight);
    }
}

/// Adds one image to the sums of bias and weight gradients, `[2, channels]`.
fn sum_image(
    source: &Source<'_>,
    image: usize,
    row: &mut [f32],
    d_shift: &mut [f32],
    d_scale: &mut [f32],
    totals: &mut [f64],
) {
    let Some(norm) = source.norm else { return };
    let constants = &norm.backward;
    d_shift.fill(0.0);
    d_scale.fill(0.0);
    for index in 0..source.raw_shape.height {
        source.normalized_row(image, index, row);
        let x = source.raw_row(image, index);
        let (mean, inverse_std) = (&constants.mean, &constants.inverse_std);
        source
            .kernels
            .norm_sums(row, x, mean, inverse_std, d_shift, d_scale);
    }
    let channels = totals.len() / 2;
    let (shift_totals, scale_totals) = totals.split_at_mut(channels);
    for (totals, periodic) in [(shift_totals, d_shift), (scale_totals, d_scale)] {
        for repeat in periodic.chunks_exact(channels) {
            for (total, sum) in totals.iter_mut().zip(repeat) {
                *total += f64::from(*sum);
            }
        }
    }
}

/// The gradient of the input of a block without convolution.
fn input_rows(context: Context<'_>, source: &Source<'_>, dx: &mut [f32], arrival: Arrival) {
    let row_len = source.raw_shape.width * source.raw_shape.channels;
    let lengths = Lengths {
        row: row_len,
        ..Lengths::default()
    };
    let images = dx.par_chunks_mut(source.raw_shape.n_values()).enumerate();
    images.for_each(|(image, dx)| {
        context.scratch.with(lengths, |scratch| {
            for (index, dx) in dx.chunks_exact_mut(row_len).enumerate() {
                match arrival {
                    Arrival::First => source.row(image, index, dx),
                    Arrival::Joins => {
                        source.row(image, index, scratch.row);
                        source.kernels.accumulate(scratch.row, dx);
                    }
                }
            }
        });
    });
}

impl ConvState {
    /// The second pass, for a block with a convolution.
    #[allow(clippy::too_many_arguments)]
    fn backward(
        &mut self,
        context: Context<'_>,
        network: &Network,
        source: &Source<'_>,
        input: &[f32],
        dx: Option<(&mut [f32], Arrival)>,
        learned: &mut [f32],
    ) {
        if dx.is_some() {
            self.gradient.pack(network.learned_of(self.layer.weight));
        }
        let n_chunks = if self.layer.geometry.is_dense() {
            self.backward_dense(context, source, input, dx);
            1
        } else {
            self.backward_images(context, source, input, dx)
        };
        let channels = self.layer.geometry.output.channels;
        let partials = &self.partials[..n_chunks * self.gradient.padded_weights_len()];
        let taps = learned[network.range_of(self.layer.weight)].par_chunks_mut(channels);
        taps.with_min_len(32)
            .enumerate()
            .for_each(|(tap, gradient)| {
                self.gradient.reduce_tap(partials, tap, gradient);
            });
        if let Some(bias) = self.layer.bias {
            let gradient = &mut learned[network.range_of(bias)];
            fold(&self.bias_partials[..n_chunks * channels], gradient);
        }
    }

    /// Chunks of images side by side, the images of a chunk one after the other.
    fn backward_images(
        &mut self,
        context: Context<'_>,
        source: &Source<'_>,
        input: &[f32],
        dx: Option<(&mut [f32], Arrival)>,
    ) -> usize {
        let geometry = self.layer.geometry;
        let chunk = chunk_len(context.n, max_chunks(&self.layer, context.n));
        let input_len = geometry.input.n_values();
        let inputs = input.par_chunks(chunk * input_len);
        let partials = self
            .partials
            .par_chunks_mut(self.gradient.padded_weights_len());
        let bias_partials = self.bias_partials.par_chunks_mut(geometry.output.channels);
        let chunks = inputs.zip(partials).zip(bias_partials).enumerate();
        let pass = ImagePass {
            context,
            source,
            gradient: &self.gradient,
            with_bias: self.layer.bias.is_some(),
        };
        match dx {
            Some((dx, arrival)) => {
                let chunks = chunks.zip(dx.par_chunks_mut(chunk * input_len));
                chunks.for_each(|((index, ((input, dw), d_bias)), dx)| {
                    pass.run(index * chunk, input, dw, d_bias, Some((dx, arrival)));
                });
            }
            None => chunks.for_each(|(index, ((input, dw), d_bias))| {
                pass.run(index * chunk, input, dw, d_bias, None);
            }),
        }
        context.n.div_ceil(chunk)
    }

    /// The whole batch as one matrix, shared out by inputs and by examples.
    fn backward_dense(
        &mut self,
        context: Context<'_>,
        source: &Source<'_>,
        input: &[f32],
        dx: Option<(&mut [f32], Arrival)>,
    ) {
        let gradient = &self.gradient;
        let outputs = self.layer.geometry.output.channels;
        let lengths = Lengths {
            frame: context.n * outputs + context.kernels.lanes(),
            sums: period(outputs),
            ..Lengths::default()
        };
        context.scratch.with(lengths, |scratch| {
            let dy = scratch.frame;
            for (image, row) in dy.chunks_exact_mut(outputs).take(context.n).enumerate() {
                source.row(image, 0, row);
            }
            let sums = &mut *scratch.sums[0];
            sums.fill(0.0);
            context.kernels.sum(&dy[..context.n * outputs], sums);
            fold(sums, &mut self.bias_partials[..outputs]);
            gradient.dense_weights(input, dy, context.n, &mut self.partials);
            if let Some((dx, arrival)) = dx {
                gradient.dense_input(dy, dx, finish(arrival));
            }
        });
    }
}

/// What all chunks of images share.
struct ImagePass<'a> {
    context: Context<'a>,
    source: &'a Source<'a>,
    gradient: &'a crate::conv::ConvGradient,
    with_bias: bool,
}

impl ImagePass<'_> {
    /// The gradients of a chunk of images, which begins with image `first`.
    fn run(
        &self,
        first: usize,
        input: &[f32],
        dw: &mut [f32],
        d_bias: &mut [f32],
        mut dx: Option<(&mut [f32], Arrival)>,
    ) {
        let Self {
            gradient, source, ..
        } = *self;
        let kernels = self.context.kernels;
        let channels = source.raw_shape.channels;
        let input_len = gradient.input_len();
        let lengths = Lengths {
            image: gradient.scratch_len(),
            frame: gradient.framed_len(),
            sums: period(channels),
            ..Lengths::default()
        };
        dw.fill(0.0);
        self.context.scratch.with(lengths, |scratch| {
            let Buffers {
                image: seen,
                frame,
                sums: [bias_sums, _],
                ..
            } = scratch;
            bias_sums.fill(0.0);
            for (index, image) in input.chunks_exact(input_len).enumerate() {
                gradient.fill_frame(frame, |row, values| {
                    source.row(first + index, row, values);
                    if self.with_bias {
                        kernels.sum(values, bias_sums);
                    }
                });
                gradient.weights(image, frame, seen, dw);
                if let Some((dx, arrival)) = &mut dx {
                    let dx = &mut dx[index * input_len..(index + 1) * input_len];
                    gradient.input(frame, dx, finish(*arrival));
                }
            }
            fold(bias_sums, d_bias);
        });
    }
}

fn finish(arrival: Arrival) -> Finish {
    match arrival {
        Arrival::First => Finish::Write,
        Arrival::Joins => Finish::Add,
    }
}
