//! The backward pass of a block.
//!
//! Batch-norm needs two sums over the whole batch before any gradient of its input
//! is known; they are the first pass. The second works out the gradient of the
//! convolution's result image by image, into a frame of zeros, and uses it at once for
//! the gradients of weights and input. Small images of a convolution by tiles have their
//! frames side by side, and the gradient of the weights is a third pass.

use rayon::prelude::*;

use super::source::Source;
use super::{BlockState, ConvState, max_chunks};
use crate::Network;
use crate::kernels::{Finish, Sums, period};
use crate::layers::norm::{NormState, fold};
use crate::layers::{Arrival, Context, MAX_CHUNKS, chunk_len};
use crate::scratch::{Buffers, Lengths};
use crate::view::View;

/// What a block's backward pass reads and writes.
pub(crate) struct BlockGradients<'a> {
    pub(crate) input: View<'a>,
    /// What normalization, ReLU and pooling began with.
    pub(crate) raw: &'a [f32],
    /// The block's result, if it is stored.
    pub(crate) output: &'a [f32],
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
            output,
            dy,
            dx,
            learned,
        } = gradients;
        let n_outputs = context.n * self.output.n_values();
        // The gradient of all other raw values in a window is zero.
        let reached = match (self.block.pool, self.pending) {
            (None, _) => raw,
            (Some(_), true) => output,
            (Some(_), false) => self.selected.get(..n_outputs).unwrap_or_default(),
        };
        if let Some(norm) = &mut self.norm {
            let sums = &mut self.norm_sums;
            sum_norm_gradients(context, self.block.relu, norm, reached, dy, sums);
            let channels = self.raw.channels;
            let (d_bias, d_weight) = self.norm_sums[..2 * channels].split_at(channels);
            let parameters = norm.parameters;
            for (id, sums) in [(parameters.bias, d_bias), (parameters.weight, d_weight)] {
                for (gradient, sum) in learned[network.range_of(id)].iter_mut().zip(sums) {
                    *gradient = *sum as f32;
                }
            }
            let count = context.n * self.raw.n_pixels();
            norm.finish_backward(
                count,
                network.learned_of(parameters.weight),
                d_bias,
                d_weight,
            );
        }
        let source = Source {
            kernels: context.kernels,
            norm: self.norm.as_ref().map(|norm| &norm.constants),
            relu: self.block.relu,
            pool: self.block.pool,
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
}

/// The gradients of a normalization's bias and weight, `[2, channels]`, at the
/// beginning of `sums`; the rest of it holds those of chunks of images.
fn sum_norm_gradients(
    context: Context<'_>,
    relu: bool,
    norm: &NormState,
    x: &[f32],
    dy: &[f32],
    sums: &mut [f64],
) {
    let kernels = context.kernels;
    let channels = norm.channels();
    let chunk = chunk_len(context.n, MAX_CHUNKS);
    let image_len = x.len() / context.n;
    let lengths = Lengths {
        sums: period(channels),
        ..Lengths::default()
    };
    let sums = &mut sums[..context.n.div_ceil(chunk) * 2 * channels];
    let chunks = x
        .par_chunks(chunk * image_len)
        .zip(dy.par_chunks(chunk * image_len));
    chunks
        .zip(sums.par_chunks_mut(2 * channels))
        .for_each(|((x, dy), totals)| {
            totals.fill(0.0);
            context.scratch.with(lengths, |scratch| {
                let [d_shift, d_scale] = scratch.sums;
                // Short sums in single precision, so that little is lost, joined in double.
                let piece = SUMMED_PIXELS * channels;
                for (x, dy) in x.chunks(piece).zip(dy.chunks(piece)) {
                    d_shift.fill(0.0);
                    d_scale.fill(0.0);
                    match relu {
                        true => kernels.norm_relu_sums(dy, x, &norm.constants, d_shift, d_scale),
                        false => kernels.norm_sums(dy, x, &norm.constants, d_shift, d_scale),
                    }
                    let (shift_totals, scale_totals) = totals.split_at_mut(channels);
                    add_periodic(d_shift, shift_totals);
                    add_periodic(d_scale, scale_totals);
                }
            });
        });
    let (total, rest) = sums.split_at_mut(2 * channels);
    for chunk in rest.chunks_exact(2 * channels) {
        for (total, sum) in total.iter_mut().zip(chunk) {
            *total += sum;
        }
    }
}

const SUMMED_PIXELS: usize = 4096;

fn add_periodic(periodic: &[f32], totals: &mut [f64]) {
    for repeat in periodic.chunks_exact(totals.len()) {
        for (total, sum) in totals.iter_mut().zip(repeat) {
            *total += f64::from(*sum);
        }
    }
}

/// The gradient of the input of a block without convolution.
fn input_rows(context: Context<'_>, source: &Source<'_>, dx: &mut [f32], arrival: Arrival) {
    let row_len = source.row_len();
    let lengths = Lengths {
        row: row_len,
        image: row_len,
        ..Lengths::default()
    };
    let images = dx.par_chunks_mut(source.raw_shape.n_values()).enumerate();
    images.for_each(|(image, dx)| {
        context.scratch.with(lengths, |scratch| {
            for (index, dx) in dx.chunks_exact_mut(row_len).enumerate() {
                match arrival {
                    Arrival::First => source.row(image, index, scratch.row, dx),
                    Arrival::Joins => {
                        source.row(image, index, scratch.row, scratch.image);
                        source.kernels.accumulate(scratch.image, dx);
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
        input: View<'_>,
        dx: Option<(&mut [f32], Arrival)>,
        learned: &mut [f32],
    ) {
        if dx.is_some() {
            self.gradient.pack(network.learned_of(self.layer.weight));
        }
        let together = self.gradient.images_together(context.n);
        let (n_partials, n_chunks) = if self.layer.geometry.is_dense() {
            self.backward_dense(context, source, input, dx);
            (1, 1)
        } else if let Some(together) = together {
            (1, self.backward_batch(context, source, input, dx, together))
        } else {
            let n_chunks = self.backward_images(context, source, input, dx);
            (n_chunks, n_chunks)
        };
        let channels = self.layer.geometry.output.channels;
        let partials = &mut self.partials[..n_partials * self.gradient.padded_weights_len()];
        let partials = self.gradient.join(partials);
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
        input: View<'_>,
        dx: Option<(&mut [f32], Arrival)>,
    ) -> usize {
        let geometry = self.layer.geometry;
        let chunk = chunk_len(context.n, max_chunks(&self.layer));
        let input_len = geometry.input.n_values();
        let inputs = input.values.par_chunks(chunk * input_len);
        let partials = self
            .partials
            .par_chunks_mut(self.gradient.padded_weights_len());
        let bias_partials = self.bias_partials.par_chunks_mut(geometry.output.channels);
        let view = input;
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
                    pass.run(
                        index * chunk,
                        view.part(input),
                        dw,
                        d_bias,
                        Some((dx, arrival)),
                    );
                });
            }
            None => chunks.for_each(|(index, ((input, dw), d_bias))| {
                pass.run(index * chunk, view.part(input), dw, d_bias, None);
            }),
        }
        context.n.div_ceil(chunk)
    }

    /// Images together, side by side: first what the tiles of all become and the gradients
    /// of their inputs, then the gradient of the weights, frequency by frequency.
    fn backward_batch(
        &mut self,
        context: Context<'_>,
        source: &Source<'_>,
        input: View<'_>,
        dx: Option<(&mut [f32], Arrival)>,
        together: usize,
    ) -> usize {
        let gradient = &self.gradient;
        let input_len = gradient.input_len();
        let part_len = gradient.frequencies_len(together);
        let frequencies = &mut self.frequencies[..gradient.frequencies_len(context.n)];
        let channels = self.layer.geometry.output.channels;
        let pass = ImagePass {
            context,
            source,
            gradient,
            with_bias: self.layer.bias.is_some(),
        };
        let images = input.values.par_chunks(together * input_len);
        let parts = images
            .zip(frequencies.par_chunks_mut(part_len))
            .zip(self.bias_partials.par_chunks_mut(channels))
            .enumerate();
        match dx {
            Some((dx, arrival)) => {
                let parts = parts.zip(dx.par_chunks_mut(together * input_len));
                parts.for_each(|((index, ((images, part), d_bias)), dx)| {
                    let dx = Some((dx, arrival));
                    pass.run_together(index * together, input.part(images), part, d_bias, dx);
                });
            }
            None => parts.for_each(|(index, ((images, part), d_bias))| {
                pass.run_together(index * together, input.part(images), part, d_bias, None);
            }),
        }
        let dw = &mut self.partials[..gradient.padded_weights_len()];
        gradient.tiled_weights(frequencies, part_len, dw);
        context.n.div_ceil(together)
    }

    /// The whole batch as one matrix, shared out by inputs and by examples.
    fn backward_dense(
        &mut self,
        context: Context<'_>,
        source: &Source<'_>,
        input: View<'_>,
        dx: Option<(&mut [f32], Arrival)>,
    ) {
        let gradient = &self.gradient;
        let outputs = self.layer.geometry.output.channels;
        let lengths = Lengths {
            frame: context.n * outputs + context.kernels.lanes(),
            row: outputs,
            sums: period(outputs),
            ..Lengths::default()
        };
        context.scratch.with(lengths, |scratch| {
            let dy = scratch.frame;
            for (image, row) in dy.chunks_exact_mut(outputs).take(context.n).enumerate() {
                source.row(image, 0, scratch.row, row);
            }
            let sums = &mut *scratch.sums[0];
            sums.fill(0.0);
            context.kernels.sum(&dy[..context.n * outputs], sums);
            fold(sums, &mut self.bias_partials[..outputs]);
            gradient.dense_weights(input.values, dy, context.n, &mut self.partials);
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
        input: View<'_>,
        dw: &mut [f32],
        d_bias: &mut [f32],
        mut dx: Option<(&mut [f32], Arrival)>,
    ) {
        let gradient = self.gradient;
        let input_len = gradient.input_len();
        let lengths = Lengths {
            image: gradient.scratch_len(input, gradient.rows_at_a_time()),
            frame: gradient.framed_len(1),
            row: self.source.row_len(),
            sums: period(self.source.raw_shape.channels),
        };
        self.context.scratch.with(lengths, |mut scratch| {
            scratch.sums[0].fill(0.0);
            gradient.fill_border(scratch.frame);
            for (index, image) in input.values.chunks_exact(input_len).enumerate() {
                let sums = if index == 0 { Sums::Write } else { Sums::Add };
                let image = input.part(image);
                self.run_image(first + index, image, &mut scratch, (&mut *dw, sums));
                if let Some((dx, arrival)) = &mut dx {
                    let dx = &mut dx[index * input_len..(index + 1) * input_len];
                    gradient.input(scratch.frame, scratch.image, dx, finish(*arrival));
                }
            }
            fold(scratch.sums[0], d_bias);
        });
    }

    /// Images that are worked on together, beginning with image `first`: what their tiles
    /// become, and the gradient of their input.
    fn run_together(
        &self,
        first: usize,
        images: View<'_>,
        frequencies: &mut [f32],
        d_bias: &mut [f32],
        dx: Option<(&mut [f32], Arrival)>,
    ) {
        let gradient = self.gradient;
        let count = images.values.len() / gradient.input_len();
        let lengths = Lengths {
            image: gradient.images_scratch_len(count),
            frame: gradient.framed_len(count),
            row: self.source.row_len(),
            sums: period(self.source.raw_shape.channels),
        };
        self.context.scratch.with(lengths, |scratch| {
            scratch.sums[0].fill(0.0);
            let frames = scratch.frame.chunks_exact_mut(gradient.frame_len());
            for (index, frame) in frames.take(count).enumerate() {
                gradient.fill_border(frame);
                for row in 0..self.source.raw_shape.height {
                    let values = gradient.row_mut(frame, row);
                    self.source.row(first + index, row, scratch.row, values);
                    if self.with_bias {
                        self.context.kernels.sum(values, scratch.sums[0]);
                    }
                }
            }
            gradient.frequencies(images, scratch.frame, scratch.image, frequencies);
            if let Some((dx, arrival)) = dx {
                gradient.input(scratch.frame, scratch.image, dx, finish(arrival));
            }
            fold(scratch.sums[0], d_bias);
        });
    }

    /// Works out the gradient of one image's result and from it those of the weights,
    /// a few rows at a time, so that they are still in the cache.
    fn run_image(
        &self,
        image: usize,
        input: View<'_>,
        scratch: &mut Buffers<'_>,
        (dw, sums): (&mut [f32], Sums),
    ) {
        let n_rows = self.source.raw_shape.height;
        let band = self.gradient.rows_at_a_time();
        for start in (0..n_rows).step_by(band) {
            let rows = start..(start + band).min(n_rows);
            for row in rows.clone() {
                let values = self.gradient.row_mut(scratch.frame, row);
                self.source.row(image, row, scratch.row, values);
                if self.with_bias {
                    self.context.kernels.sum(values, scratch.sums[0]);
                }
            }
            let dw = (&mut *dw, if start == 0 { sums } else { Sums::Add });
            self.gradient
                .weights(input, rows, scratch.frame, scratch.image, dw);
        }
    }
}

fn finish(arrival: Arrival) -> Finish {
    match arrival {
        Arrival::First => Finish::Write,
        Arrival::Joins => Finish::Add,
    }
}
