//! Depthwise convolutions that read an image as it is, without zeros around it.
//!
//! Pixels at the borders see fewer taps; with so few products to each value read, a
//! copy with zeros would cost as much as the convolution.

use std::ops::Range;

use super::{Convolution, Filters};
use crate::graph::ConvGeometry;
use crate::kernels::conv::{DepthwiseWeights, Grid, TapsSeen};
use crate::kernels::{Finish, Taps};
use crate::view::View;

/// What one place of a result sees along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sight {
    /// The first input coordinate.
    from: usize,
    /// The tap that sees it.
    first_tap: usize,
    n_taps: usize,
}

impl Sight {
    fn of(geometry: &ConvGeometry, axis: usize, place: usize) -> Self {
        let input = [geometry.input.height, geometry.input.width][axis];
        let start = place * geometry.stride[axis];
        let padding = geometry.padding[axis];
        let first_tap = padding.saturating_sub(start);
        let end = (input + padding - start).min(geometry.kernel[axis]);
        Self {
            from: (start + first_tap) - padding,
            first_tap,
            n_taps: end - first_tap,
        }
    }
}

impl ConvGeometry {
    /// Whether a depthwise image can be read as it is by vectors of so many lanes: they
    /// have to be whole, and every pixel has to see something.
    pub(crate) fn sees_in_place(&self, lanes: usize) -> bool {
        let [down, across] = [0, 1].map(|axis| self.kernel[axis] > self.padding[axis]);
        self.is_depthwise() && self.input.channels.is_multiple_of(lanes) && down && across
    }
}

impl Convolution {
    /// Whether [`Convolution::rows_in_place`] can be used: it works nothing out on the way.
    pub(super) fn reads_in_place(&self, image: View<'_>) -> bool {
        self.geometry.sees_in_place(self.kernels.lanes()) && image.pending.is_none()
    }

    /// The rows of a depthwise image that some rows of the result see.
    pub(crate) fn rows_seen(&self, rows: &Range<usize>) -> Range<usize> {
        let [first, last] = [rows.start, rows.end - 1].map(|row| Sight::of(&self.geometry, 0, row));
        first.from..last.from + last.n_taps
    }

    /// [`Convolution::rows`] of a depthwise convolution that sees its image in place, if
    /// only the rows of [`Convolution::rows_seen`] are there.
    ///
    /// # Panics
    ///
    /// If the convolution is another.
    pub(crate) fn rows_of_seen(
        &self,
        seen: &[f32],
        rows: Range<usize>,
        y: &mut [f32],
        finish: Finish,
    ) {
        let Filters::Depthwise(weights) = &self.filters else {
            panic!("only depthwise convolutions see in place");
        };
        let first = self.rows_seen(&rows).start;
        self.rows_in_place(weights, (seen, first), rows, y, finish);
    }

    /// Computes some rows of a depthwise result from those rows of the image that they
    /// see, of which the first is given.
    pub(super) fn rows_in_place(
        &self,
        weights: &DepthwiseWeights,
        (image, first): (&[f32], usize),
        rows: Range<usize>,
        y: &mut [f32],
        finish: Finish,
    ) {
        let output = self.geometry.output;
        let inner = self.inner_columns();
        for (row, y) in rows.zip(y.chunks_exact_mut(output.width * output.channels)) {
            let mut down = Sight::of(&self.geometry, 0, row);
            down.from -= first;
            let borders = (0..inner.start).chain(inner.end..output.width);
            let pieces = borders.map(|column| column..column + 1);
            for columns in pieces.chain([inner.clone()]) {
                self.columns_in_place(weights, image, down, columns, y, finish);
            }
        }
    }

    /// The columns of the result that see all columns of the kernel.
    fn inner_columns(&self) -> Range<usize> {
        let ConvGeometry {
            input,
            output,
            kernel,
            stride,
            padding,
            ..
        } = self.geometry;
        let end = match (input.width + padding[1]).checked_sub(kernel[1]) {
            Some(room) => (room / stride[1] + 1).min(output.width),
            None => 0,
        };
        padding[1].div_ceil(stride[1]).min(end)..end
    }

    /// Computes neighboring columns of one row, which see the same taps.
    fn columns_in_place(
        &self,
        weights: &DepthwiseWeights,
        image: &[f32],
        down: Sight,
        columns: Range<usize>,
        y: &mut [f32],
        finish: Finish,
    ) {
        if columns.is_empty() {
            return;
        }
        let geometry = &self.geometry;
        let channels = geometry.input.channels;
        let pitch = geometry.input.width * channels;
        let across = Sight::of(geometry, 1, columns.start);
        let grid = Grid {
            rows: 1,
            columns: columns.len(),
            x_row: 0,
            x_column: geometry.stride[1] * channels,
            y_row: 0,
            y_column: channels,
        };
        let taps = Taps {
            rows: down.n_taps,
            row_stride: pitch,
            segments: across.n_taps,
            segment_stride: channels,
            run: 1,
        };
        let seen = TapsSeen {
            first: down.first_tap * geometry.kernel[1] + across.first_tap,
            per_row: geometry.kernel[1],
        };
        let x = &image[down.from * pitch + across.from * channels..];
        let y = &mut y[columns.start * channels..];
        self.kernels
            .depthwise(x, grid, taps, (weights, seen), y, finish);
    }
}
