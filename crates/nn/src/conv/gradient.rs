//! The gradients of a convolution: of its input, its weights and its bias.
//!
//! The gradient of the input is itself a convolution, of the result's gradient with
//! turned weights. With a stride, each input pixel is reached only by the taps that
//! agree with its place modulo the stride: the input falls into *phases*, and each
//! is a convolution with stride 1 and a part of the taps.

use std::ops::Range;

use rayon::prelude::*;

use super::phases::{AxisPhase, Frame, Phase, PhaseFilters, axis_phases};
use super::{Seen, seen_len};
use crate::graph::ConvGeometry;
use crate::kernels::conv::Grid;
use crate::kernels::winograd::{Images, Tiling};
use crate::kernels::{Finish, Kernels, Sums, Taps};
use crate::view::View;

/// The gradients of a convolution, one image or several at a time.
#[derive(Debug)]
pub(crate) struct ConvGradient {
    pub(super) kernels: &'static Kernels,
    pub(super) geometry: ConvGeometry,
    phases: Vec<Phase>,
    pub(super) frame: Frame,
    /// The [tiles that it goes by](ConvGeometry::tiling), if it does.
    pub(super) tiling: Option<Tiling>,
}

impl ConvGradient {
    /// Room for the turned weights; [`ConvGradient::pack`] brings them in.
    ///
    /// With `input_gradient` false, the gradient of the input is never asked for.
    pub(crate) fn new(
        kernels: &'static Kernels,
        geometry: ConvGeometry,
        input_gradient: bool,
    ) -> Self {
        let [down, across] = axis_phases(&geometry);
        let pairs: Vec<[AxisPhase; 2]> = if input_gradient {
            down.iter()
                .flat_map(|&down| across.iter().map(move |&across| [down, across]))
                .collect()
        } else {
            Vec::new()
        };
        let tiling = geometry.tiling(kernels);
        let frame = Frame::around(&geometry, &pairs, tiling);
        let phases = pairs
            .iter()
            .map(|&pair| Phase::new(kernels, &geometry, pair))
            .collect();
        Self {
            kernels,
            geometry,
            phases,
            frame,
            tiling,
        }
    }

    /// Takes over weights `[row, column, input, output]`.
    pub(crate) fn pack(&mut self, weights: &[f32]) {
        for phase in &mut self.phases {
            phase.pack(&self.geometry, weights);
        }
    }

    /// The length of the framed gradients of so many results, readable in whole vectors.
    pub(crate) fn framed_len(&self, images: usize) -> usize {
        images * self.frame_len() + self.kernels.lanes()
    }

    /// The length of one frame.
    pub(crate) fn frame_len(&self) -> usize {
        let [rows, columns] = self.frame.extent;
        rows * columns * self.geometry.output.channels
    }

    /// How many tiles so many rows of a result fall into.
    pub(super) fn n_tiles(&self, rows: usize) -> usize {
        let width = self.geometry.output.width;
        self.tiling.map_or(0, |tiling| tiling.n_tiles(rows, width))
    }

    /// The length of what a tile becomes on the way to the gradient of the weights.
    pub(super) fn tile_len(&self) -> usize {
        let [inputs, outputs] = self.geometry.channels();
        self.tiling.map_or(0, Tiling::frequencies) * (inputs + outputs)
    }

    /// The scratch that [`ConvGradient::weights`] wants for so many rows of such an image,
    /// and [`ConvGradient::input`] for a whole one.
    pub(crate) fn scratch_len(&self, image: View<'_>, rows: usize) -> usize {
        let seen = seen_len(&self.geometry, image, rows, self.kernels);
        let Some(tiling) = self.tiling else {
            return seen;
        };
        let ConvGeometry { input, output, .. } = self.geometry;
        let channels = [output.channels, input.channels];
        let whole = tiling.scratch_len(1, [input.height, input.width], channels);
        (seen + self.n_tiles(rows) * self.tile_len()).max(whole)
    }

    /// Rows of the result that [`ConvGradient::weights`] is best given at a time.
    pub(crate) fn rows_at_a_time(&self) -> usize {
        let output = self.geometry.output;
        if let Some(tiling) = self.tiling {
            // Tiles enough that their products are worth a walk through all sums.
            let in_a_row = tiling.n_tiles(1, output.width);
            return tiling.side() * TILES_AT_A_TIME.div_ceil(in_a_row);
        }
        (VALUES_AT_A_TIME / (output.width * output.channels)).clamp(4, 16)
    }

    /// The length of a gradient of all weights, with padded rows.
    pub(crate) fn padded_weights_len(&self) -> usize {
        self.geometry.n_matrices() * self.group_len()
    }

    fn group_len(&self) -> usize {
        let geometry = &self.geometry;
        if let Some(tiling) = self.tiling {
            return tiling.frequencies() * geometry.input.channels * geometry.output.channels;
        }
        if geometry.is_depthwise() {
            let [rows, columns] = geometry.kernel;
            return rows
                * columns
                * geometry
                    .output
                    .channels
                    .next_multiple_of(self.kernels.lanes());
        }
        geometry.taps()
            * geometry
                .outputs_per_group()
                .next_multiple_of(self.kernels.lanes())
    }

    /// Fills the zeros of a frame.
    pub(crate) fn fill_border(&self, framed: &mut [f32]) {
        let output = self.geometry.output;
        let [above, left] = self.frame.before;
        let pitch = self.frame.extent[1] * output.channels;
        let inside = left * output.channels..(left + output.width) * output.channels;
        let rows = framed.chunks_exact_mut(pitch).take(self.frame.extent[0]);
        for (index, values) in rows.enumerate() {
            if index < above || index >= above + output.height {
                values.fill(0.0);
            } else {
                values[..inside.start].fill(0.0);
                values[inside.end..].fill(0.0);
            }
        }
    }

    /// One row of the gradient of a result, in its frame.
    pub(crate) fn row_mut<'f>(&self, framed: &'f mut [f32], row: usize) -> &'f mut [f32] {
        let output = self.geometry.output;
        let [above, left] = self.frame.before;
        let from = ((above + row) * self.frame.extent[1] + left) * output.channels;
        &mut framed[from..from + output.width * output.channels]
    }

    /// The gradient of an input image from the framed gradient of its result, or of images
    /// that are worked on together.
    pub(crate) fn input(
        &self,
        framed: &[f32],
        scratch: &mut [f32],
        dx: &mut [f32],
        finish: Finish,
    ) {
        for phase in &self.phases {
            if phase.n_taps() == 0 {
                if finish != Finish::Add {
                    phase.clear(&self.geometry, dx);
                }
                continue;
            }
            self.input_phase(phase, framed, scratch, dx, finish);
        }
    }

    fn input_phase(
        &self,
        phase: &Phase,
        framed: &[f32],
        scratch: &mut [f32],
        dx: &mut [f32],
        finish: Finish,
    ) {
        let ConvGeometry {
            input,
            output,
            stride,
            groups,
            ..
        } = self.geometry;
        let pitch = self.frame.extent[1] * output.channels;
        let axes = [&phase.down, &phase.across];
        let seen = [0, 1].map(|axis| (axes[axis].seen + self.frame.before[axis] as isize) as usize);
        let from = seen[0] * pitch + seen[1] * output.channels;
        let to = (phase.down.first * input.width + phase.across.first) * input.channels;
        let grid = Grid {
            rows: phase.down.count,
            columns: phase.across.count,
            x_row: pitch,
            x_column: output.channels,
            y_row: stride[0] * input.width * input.channels,
            y_column: stride[1] * input.channels,
        };
        let columns = phase.across.n_taps;
        let (segments, run) = match &phase.filters {
            PhaseFilters::Depthwise(_) => (columns, 1),
            PhaseFilters::Grouped(_) | PhaseFilters::Tiled(_) if groups == 1 => {
                (1, columns * output.channels)
            }
            PhaseFilters::Grouped(_) | PhaseFilters::Tiled(_) => {
                (columns, self.geometry.outputs_per_group())
            }
        };
        let rows = phase.down.n_taps;
        let taps = Taps {
            rows,
            row_stride: pitch,
            segments,
            segment_stride: output.channels,
            run,
        };
        match &phase.filters {
            PhaseFilters::Grouped(weights) => {
                for (group, weights) in weights.iter().enumerate() {
                    let x = &framed[from + group * self.geometry.outputs_per_group()..];
                    let dx = &mut dx[to + group * self.geometry.inputs_per_group()..];
                    self.kernels.conv(x, grid, taps, weights, dx, finish);
                }
            }
            PhaseFilters::Tiled(weights) => {
                let (x, dx) = (&framed[from..], &mut dx[to..]);
                let images = Images {
                    count: dx.len().div_ceil(self.input_len()),
                    x: self.frame_len(),
                    y: self.input_len(),
                };
                self.kernels
                    .winograd(x, (images, grid), weights, scratch, dx, finish);
            }
            PhaseFilters::Depthwise(weights) => {
                let (x, dx) = (&framed[from..], &mut dx[to..]);
                self.kernels
                    .depthwise(x, grid, taps, weights.all(columns), dx, finish);
            }
        }
    }

    pub(super) fn tiled_weight(
        &self,
        tiling: Tiling,
        part: &[f32],
        frequency: usize,
        dw: (&mut [f32], Sums),
    ) {
        let tiles = (tiling, part.len() / self.tile_len());
        let channels = self.geometry.channels();
        self.kernels
            .winograd_weight(part, tiles, frequency, channels, dw);
    }

    /// Writes to `dw` (padded rows), or adds to it, the gradient of the weights from some rows
    /// of one image: where it goes by tiles, from the first of a tile on, and those of whole
    /// tiles unless they are the last.
    pub(crate) fn weights(
        &self,
        image: View<'_>,
        rows: Range<usize>,
        framed: &[f32],
        scratch: &mut [f32],
        (dw, sums): (&mut [f32], Sums),
    ) {
        let geometry = &self.geometry;
        let output = geometry.output;
        let [above, left] = self.frame.before;
        let pitch = self.frame.extent[1] * output.channels;
        let dy = &framed[(above + rows.start) * pitch + left * output.channels..];
        let seen_len = seen_len(geometry, image, rows.len(), self.kernels);
        let (scratch, work) = scratch.split_at_mut(seen_len);
        let seen = Seen::of(geometry, self.kernels, image, rows, scratch);
        let grid = Grid {
            y_row: pitch,
            ..seen.grid
        };
        if let Some(tiling) = self.tiling {
            let work = &mut work[..self.n_tiles(grid.rows) * self.tile_len()];
            let (grid, channels) = ((Images::ONE, grid), geometry.channels());
            self.kernels
                .winograd_frequencies(tiling, seen.values, grid, dy, channels, work);
            let [inputs, outputs] = channels;
            for (frequency, dw) in dw.chunks_exact_mut(inputs * outputs).enumerate() {
                self.tiled_weight(tiling, work, frequency, (dw, sums));
            }
            return;
        }
        if geometry.is_depthwise() {
            let (x, dw) = (seen.values, (dw, sums));
            return self
                .kernels
                .depthwise_weight(x, grid, seen.taps, dy, output.channels, dw);
        }
        for (group, dw) in dw.chunks_exact_mut(self.group_len()).enumerate() {
            let x = &seen.values[group * geometry.inputs_per_group()..];
            let dy = &dy[group * geometry.outputs_per_group()..];
            let outputs = geometry.outputs_per_group();
            self.kernels
                .conv_weight(x, grid, seen.taps, dy, outputs, (dw, sums));
        }
    }

    /// The gradient of the weights of a dense layer from a whole batch, with padded rows.
    ///
    /// # Shapes
    ///
    /// - `x`: `[n, inputs]`
    /// - `dy`: `[n, outputs]`, readable in whole vectors
    /// - `dw`: `[inputs, outputs]`, with padded rows
    pub(crate) fn dense_weights(&self, x: &[f32], dy: &[f32], n: usize, dw: &mut [f32]) {
        let (inputs, outputs) = (self.geometry.input.channels, self.geometry.output.channels);
        let padded = outputs.next_multiple_of(self.kernels.lanes());
        let grid = Grid {
            rows: 1,
            columns: n,
            x_row: 0,
            x_column: inputs,
            y_row: 0,
            y_column: outputs,
        };
        let parts = dw[..inputs * padded].par_chunks_mut(DENSE_INPUTS * padded);
        parts.enumerate().for_each(|(index, dw)| {
            let run = dw.len() / padded;
            let taps = Taps {
                rows: 1,
                row_stride: 0,
                segments: 1,
                segment_stride: 0,
                run,
            };
            let x = &x[index * DENSE_INPUTS..];
            self.kernels
                .conv_weight(x, grid, taps, dy, outputs, (dw, Sums::Write));
        });
    }

    /// The gradient of the input of a dense layer, for a whole batch.
    ///
    /// # Shapes
    ///
    /// - `dy`: `[n, outputs]`
    /// - `dx`: `[n, inputs]`
    pub(crate) fn dense_input(&self, dy: &[f32], dx: &mut [f32], finish: Finish) {
        let (inputs, outputs) = (self.geometry.input.channels, self.geometry.output.channels);
        let PhaseFilters::Grouped(weights) = &self.phases[0].filters else {
            unreachable!("a dense layer is not depthwise");
        };
        let taps = Taps {
            rows: 1,
            row_stride: 0,
            segments: 1,
            segment_stride: 0,
            run: outputs,
        };
        let parts = dx.par_chunks_mut(DENSE_EXAMPLES * inputs);
        parts
            .zip(dy.par_chunks(DENSE_EXAMPLES * outputs))
            .for_each(|(dx, dy)| {
                let grid = Grid {
                    rows: 1,
                    columns: dx.len() / inputs,
                    x_row: 0,
                    x_column: outputs,
                    y_row: 0,
                    y_column: inputs,
                };
                self.kernels.conv(dy, grid, taps, &weights[0], dx, finish);
            });
    }

    /// Values of one example's input.
    pub(crate) fn input_len(&self) -> usize {
        self.geometry.input.n_values()
    }

    /// Adds up partial gradients that go by tiles, in their order, into the first: they are
    /// looked up several times by [`ConvGradient::reduce_tap`].
    pub(crate) fn join<'p>(&self, partials: &'p mut [f32]) -> &'p [f32] {
        if self.tiling.is_none() {
            return partials;
        }
        let (first, rest) = partials.split_at_mut(self.padded_weights_len());
        let parts = first.par_chunks_mut(VALUES_AT_A_TIME).enumerate();
        parts.for_each(|(index, sums)| {
            for partial in rest.chunks_exact(self.padded_weights_len()) {
                let part = &partial[index * VALUES_AT_A_TIME..][..sums.len()];
                self.kernels.accumulate(part, sums);
            }
        });
        first
    }

    /// Adds up partial gradients with padded rows in their order and writes one tap
    /// of the result, `[output]`.
    pub(crate) fn reduce_tap(&self, partials: &[f32], tap: usize, gradient: &mut [f32]) {
        gradient.fill(0.0);
        if let Some(tiling) = self.tiling {
            let (inputs, outputs) = (self.geometry.input.channels, gradient.len());
            for (frequency, share) in tiling.shares_of_tap(tap / inputs) {
                let from = (frequency * inputs + tap % inputs) * outputs;
                for (sum, value) in gradient.iter_mut().zip(&partials[from..]) {
                    *sum += share * value;
                }
            }
            return;
        }
        let len = self.padded_weights_len();
        let per_group = if self.geometry.is_depthwise() {
            self.geometry.output.channels
        } else {
            self.geometry.outputs_per_group()
        };
        let padded = per_group.next_multiple_of(self.kernels.lanes());
        for partial in partials.chunks_exact(len) {
            let groups = partial.chunks_exact(self.group_len());
            for (sums, group) in gradient.chunks_exact_mut(per_group).zip(groups) {
                self.kernels
                    .accumulate(&group[tap * padded..][..per_group], sums);
            }
        }
    }
}

/// Values that stay in the cache while all weights pass over them, or are passed over.
const VALUES_AT_A_TIME: usize = 16 * 1024;

/// Tiles of which the products for all sums are made together, about.
const TILES_AT_A_TIME: usize = 64;

/// Inputs of a dense layer whose weights one task works out.
const DENSE_INPUTS: usize = 240;

/// Examples of a dense layer whose inputs' gradients one task works out.
const DENSE_EXAMPLES: usize = 12;
