//! The convolution of one image: borders, strides, groups and the packing of weights.
//!
//! [`Convolution`] computes the result, [`ConvGradient`] the gradients of input and
//! weights. Both turn their work into grids of pixels and taps for the loops of
//! [`crate::kernels::conv`]; which thread does which image is decided by the callers.

mod borders;
mod gradient;
mod phases;
#[cfg(test)]
mod tests;
mod together;

use std::ops::Range;

pub(crate) use gradient::ConvGradient;

use crate::Shape;
use crate::graph::ConvGeometry;
use crate::kernels::conv::{DepthwiseWeights, Grid, PackedWeights};
use crate::kernels::winograd::{Images, Order, Tiling, WinogradWeights};
use crate::kernels::{Finish, Kernels, Taps};
use crate::view::View;

/// A convolution with its weights packed for the kernels.
#[derive(Debug)]
pub(crate) struct Convolution {
    kernels: &'static Kernels,
    geometry: ConvGeometry,
    filters: Filters,
}

/// Packed weights; one set for each group.
#[derive(Debug)]
enum Filters {
    Grouped(Vec<PackedWeights>),
    /// One set, of a convolution that [goes by tiles](ConvGeometry::tiling).
    Tiled(WinogradWeights),
    Depthwise(DepthwiseWeights),
}

impl Convolution {
    /// Room for the weights; [`Convolution::pack`] brings them in.
    pub(crate) fn new(kernels: &'static Kernels, geometry: ConvGeometry) -> Self {
        let filters = if geometry.is_depthwise() {
            let [kh, kw] = geometry.kernel;
            Filters::Depthwise(DepthwiseWeights::new(
                kernels,
                kh * kw,
                geometry.output.channels,
            ))
        } else if let Some(tiling) = geometry.tiling(kernels) {
            Filters::Tiled(WinogradWeights::new(kernels, tiling, geometry.channels()))
        } else {
            let one = PackedWeights::new(kernels, geometry.taps(), geometry.outputs_per_group());
            Filters::Grouped(vec![one; geometry.groups])
        };
        Self {
            kernels,
            geometry,
            filters,
        }
    }

    /// Takes over weights `[row, column, input, output]` and one bias per output.
    pub(crate) fn pack(&mut self, weights: &[f32], bias: Option<&[f32]>) {
        let outputs = self.geometry.output.channels;
        let per_group = self.geometry.outputs_per_group();
        match &mut self.filters {
            Filters::Grouped(groups) => {
                for (group, packed) in groups.iter_mut().enumerate() {
                    packed.pack(|tap, first, row| {
                        let from = tap * outputs + group * per_group + first;
                        row.copy_from_slice(&weights[from..from + row.len()]);
                    });
                    if let Some(bias) = bias {
                        packed.set_bias(&bias[group * per_group..(group + 1) * per_group]);
                    }
                }
            }
            Filters::Tiled(packed) => {
                let inputs = self.geometry.input.channels;
                let len = inputs * outputs;
                packed.pack(Order::ByInput, |tap| &weights[tap * len..][..len]);
                if let Some(bias) = bias {
                    packed.set_bias(bias);
                }
            }
            Filters::Depthwise(packed) => {
                packed.pack(|tap, row| row.copy_from_slice(&weights[tap * outputs..][..outputs]));
                if let Some(bias) = bias {
                    packed.set_bias(bias);
                }
            }
        }
    }

    /// How many values [`Convolution::rows`] wants as scratch for so many rows of such an image.
    pub(crate) fn scratch_len(&self, image: View<'_>, rows: usize) -> usize {
        if self.reads_in_place(image) {
            return 0;
        }
        let geometry = &self.geometry;
        let tiles = geometry.tiling(self.kernels).map_or(0, |tiling| {
            tiling.scratch_len(1, [rows, geometry.output.width], geometry.channels())
        });
        seen_len(geometry, image, rows, self.kernels) + tiles
    }

    /// Computes some rows of the result for one image.
    ///
    /// # Shapes
    ///
    /// - `image`: `[height, width, channels]` of the input
    /// - `y`: `[rows, width, channels]` of the output
    pub(crate) fn rows(
        &self,
        image: View<'_>,
        rows: Range<usize>,
        scratch: &mut [f32],
        y: &mut [f32],
        finish: Finish,
    ) {
        if rows.is_empty() {
            return;
        }
        if let Filters::Depthwise(weights) = &self.filters
            && self.reads_in_place(image)
        {
            return self.rows_in_place(weights, (image.values, 0), rows, y, finish);
        }
        let geometry = &self.geometry;
        let seen_len = seen_len(geometry, image, rows.len(), self.kernels);
        let (scratch, work) = scratch.split_at_mut(seen_len);
        let seen = Seen::of(geometry, self.kernels, image, rows, scratch);
        let per_group = geometry.outputs_per_group();
        match &self.filters {
            Filters::Grouped(groups) => {
                for (group, weights) in groups.iter().enumerate() {
                    let x = &seen.values[group * geometry.inputs_per_group()..];
                    let y = &mut y[group * per_group..];
                    self.kernels
                        .conv(x, seen.grid, seen.taps, weights, y, finish);
                }
            }
            Filters::Tiled(weights) => {
                let grid = (Images::ONE, seen.grid);
                self.kernels
                    .winograd(seen.values, grid, weights, work, y, finish);
            }
            Filters::Depthwise(weights) => {
                let weights = weights.all(geometry.kernel[1]);
                self.kernels
                    .depthwise(seen.values, seen.grid, seen.taps, weights, y, finish);
            }
        }
    }
}

impl ConvGeometry {
    /// Input and output channels.
    fn channels(&self) -> [usize; 2] {
        [self.input.channels, self.output.channels]
    }

    /// The [tiles](crate::kernels::winograd) that it is computed by, if it is. Each result
    /// then depends on whether the first of the rows that are computed together is the first
    /// of a tile.
    pub(crate) fn tiling(&self, kernels: &Kernels) -> Option<Tiling> {
        let Shape { height, width, .. } = self.output;
        let [inputs, outputs] = self.channels();
        let alone = self.kernel == [3, 3] && self.stride == [1, 1] && self.groups == 1;
        let large = height > 1 && width > 1;
        let goes = alone && large && kernels.tiles_channels(inputs, outputs);
        goes.then(|| Tiling::of(height, width))
    }
}

/// The part of an image that some rows of a result see, with zeros beyond its borders.
struct Seen<'a> {
    values: &'a [f32],
    grid: Grid,
    taps: Taps,
}

impl<'a> Seen<'a> {
    /// Copies what is seen into scratch, or refers to the image if that will do.
    fn of(
        geometry: &ConvGeometry,
        kernels: &Kernels,
        image: View<'a>,
        rows: Range<usize>,
        scratch: &'a mut [f32],
    ) -> Self {
        let input = geometry.input;
        let first = rows.start * geometry.stride[0];
        let (values, columns) = if sees_directly(geometry, kernels, image) {
            (
                &image.values[first * input.width * input.channels..],
                input.width,
            )
        } else {
            let extent = seen_extent(geometry, kernels, rows.len());
            let first = first as isize - geometry.padding[0] as isize;
            copy_rows(geometry, kernels, image, first, extent, scratch);
            (&*scratch, extent.1)
        };
        let pitch = columns * input.channels;
        Self {
            values,
            grid: grid(geometry, rows.len(), pitch),
            taps: taps(geometry, pitch),
        }
    }
}

/// Whether the image is seen as it is, without zeros around. Depthwise kernels read
/// whole vectors and others whole tiles, for which an image may be too short.
fn sees_directly(geometry: &ConvGeometry, kernels: &Kernels, image: View<'_>) -> bool {
    let reads_more = geometry.is_depthwise() || geometry.tiling(kernels).is_some();
    geometry.padding == [0, 0] && image.pending.is_none() && !reads_more
}

/// The rows and columns of the input that so many rows of the result see.
fn seen_extent(geometry: &ConvGeometry, kernels: &Kernels, rows: usize) -> (usize, usize) {
    if let Some(tiling) = geometry.tiling(kernels) {
        return (tiling.seen_by(rows), tiling.seen_by(geometry.output.width));
    }
    let [down, across] = geometry.stride;
    let seen_rows = rows.saturating_sub(1) * down + geometry.kernel[0];
    (
        seen_rows,
        (geometry.output.width - 1) * across + geometry.kernel[1],
    )
}

/// The length of a copy of what so many rows see, readable in whole vectors.
fn seen_len(geometry: &ConvGeometry, image: View<'_>, rows: usize, kernels: &Kernels) -> usize {
    if sees_directly(geometry, kernels, image) {
        return 0;
    }
    let (rows, columns) = seen_extent(geometry, kernels, rows);
    rows * columns * geometry.input.channels + kernels.lanes()
}

/// Where the pixels of so many rows of the result begin to see, and where they go.
fn grid(geometry: &ConvGeometry, rows: usize, pitch: usize) -> Grid {
    let [down, across] = geometry.stride;
    let output = geometry.output;
    Grid {
        rows,
        columns: output.width,
        x_row: down * pitch,
        x_column: across * geometry.input.channels,
        y_row: output.width * output.channels,
        y_column: output.channels,
    }
}

/// What one pixel sees of one group.
fn taps(geometry: &ConvGeometry, pitch: usize) -> Taps {
    let [rows, columns] = geometry.kernel;
    let channels = geometry.input.channels;
    if geometry.groups == 1 {
        let run = columns * channels;
        Taps {
            rows,
            row_stride: pitch,
            segments: 1,
            segment_stride: 0,
            run,
        }
    } else {
        let run = geometry.inputs_per_group();
        Taps {
            rows,
            row_stride: pitch,
            segments: columns,
            segment_stride: channels,
            run,
        }
    }
}

/// Copies rows of an image, doing what is pending to its values; what lies outside
/// of the image is zero. Columns begin beyond the left border by the padding.
fn copy_rows(
    geometry: &ConvGeometry,
    kernels: &Kernels,
    image: View<'_>,
    first: isize,
    (n_rows, n_columns): (usize, usize),
    copy: &mut [f32],
) {
    let input = geometry.input;
    let channels = input.channels;
    let left = geometry.padding[1].min(n_columns);
    let inside = (n_columns - left).min(input.width);
    let inside_values = left * channels..(left + inside) * channels;
    for (index, copy) in copy
        .chunks_exact_mut(n_columns * channels)
        .take(n_rows)
        .enumerate()
    {
        let row = first + index as isize;
        if row < 0 || row >= input.height as isize {
            copy.fill(0.0);
            continue;
        }
        let from = row as usize * input.width * channels;
        let x = &image.values[from..from + inside * channels];
        copy[..inside_values.start].fill(0.0);
        copy[inside_values.end..].fill(0.0);
        image
            .pending
            .apply(kernels, x, &mut copy[inside_values.clone()]);
    }
}
