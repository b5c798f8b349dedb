//! Convolutions of one image, cut into register tiles.
//!
//! These loops are the same for all instruction sets. They check once that all
//! tiles stay within their slices, and then call them with pointers.

use super::Kernels;
use super::depthwise::WeightSteps;
use super::tile::{ConvCall, Finish, Sums, Taps, WeightCall};
use crate::buffer::Buffer;

/// How the pixels of a result lie in its slice, and where each begins to see.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) x_row: usize,
    pub(crate) x_column: usize,
    pub(crate) y_row: usize,
    pub(crate) y_column: usize,
}

impl Grid {
    fn is_empty(&self) -> bool {
        self.rows == 0 || self.columns == 0
    }

    /// Where the last pixel lies in `x` and in `y`.
    fn last(&self) -> (usize, usize) {
        let (row, column) = (self.rows - 1, self.columns - 1);
        (
            row * self.x_row + column * self.x_column,
            row * self.y_row + column * self.y_column,
        )
    }

    /// The same pixels as one long row, if they lie evenly.
    fn flattened(self) -> Self {
        let even = self.x_row == self.columns * self.x_column
            && self.y_row == self.columns * self.y_column;
        if !even {
            return self;
        }
        Self {
            rows: 1,
            columns: self.rows * self.columns,
            ..self
        }
    }
}

/// The weights of one group of a convolution, as the tiles read them: panels of one
/// to three vectors of outputs, and in each panel tap after tap.
#[derive(Debug, Clone)]
pub(crate) struct PackedWeights {
    values: Buffer,
    /// One per output, padded to whole vectors.
    bias: Buffer,
    outputs: usize,
    taps: usize,
    lanes: usize,
}

impl PackedWeights {
    /// Room for `outputs` columns of `taps` weights.
    pub(crate) fn new(kernels: &Kernels, taps: usize, outputs: usize) -> Self {
        let lanes = kernels.lanes();
        let padded = outputs.next_multiple_of(lanes);
        Self {
            values: Buffer::zeros(taps * padded),
            bias: Buffer::zeros(padded),
            outputs,
            taps,
            lanes,
        }
    }

    /// Takes over weights: `weight(tap, columns)` writes those of a range of outputs.
    pub(crate) fn pack(&mut self, weight: impl Fn(usize, usize, &mut [f32])) {
        for panel in panels(self.outputs, self.lanes) {
            let width = panel.vectors * self.lanes;
            let from = panel.first * self.taps;
            let used = width.min(self.outputs - panel.first);
            let rows = self.values[from..from + self.taps * width].chunks_exact_mut(width);
            for (tap, row) in rows.enumerate() {
                weight(tap, panel.first, &mut row[..used]);
            }
        }
    }

    /// Takes over the bias.
    pub(crate) fn set_bias(&mut self, bias: &[f32]) {
        self.bias[..self.outputs].copy_from_slice(bias);
    }
}

/// Outputs that a tile computes together.
struct Panel {
    first: usize,
    vectors: usize,
    /// Outputs in the last vector.
    last: usize,
}

/// Cuts outputs into panels of two vectors, and one of three if their number is odd.
fn panels(outputs: usize, lanes: usize) -> impl Iterator<Item = Panel> {
    let mut first = 0;
    std::iter::from_fn(move || {
        let left = outputs - first;
        let vectors = match left.div_ceil(lanes) {
            0 => return None,
            n @ 1..=3 => n,
            n if n % 2 == 1 => 3,
            _ => 2,
        };
        let last = (left - (vectors - 1) * lanes).min(lanes);
        let panel = Panel {
            first,
            vectors,
            last,
        };
        first += (vectors * lanes).min(left);
        Some(panel)
    })
}

/// Cuts `n` into as few pieces of at most `largest` as possible, as even as
/// possible: `(start, length)`.
fn pieces(n: usize, largest: usize) -> impl Iterator<Item = (usize, usize)> {
    runs_of_pieces(n, largest)
        .flat_map(|(start, length, count)| (0..count).map(move |i| (start + i * length, length)))
}

/// The same pieces, those of one length together: `(start, length, how many)`.
fn runs_of_pieces(n: usize, largest: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let count = n.div_ceil(largest).max(1);
    let (length, longer) = (n / count, n % count);
    let start = longer * (length + 1);
    let runs = [(0, length + 1, longer), (start, length, count - longer)];
    runs.into_iter()
        .filter(|&(_, length, count)| length > 0 && count > 0)
}

impl Kernels {
    /// The convolution of a grid of pixels with all outputs of one group.
    ///
    /// # Panics
    ///
    /// If a pixel sees or lies beyond the end of its slice.
    pub(crate) fn conv(
        &self,
        x: &[f32],
        grid: Grid,
        taps: Taps,
        weights: &PackedWeights,
        y: &mut [f32],
        finish: Finish,
    ) {
        if grid.is_empty() {
            return;
        }
        let (last_x, last_y) = grid.last();
        assert!(
            last_x + taps.span() <= x.len(),
            "a pixel sees beyond the image"
        );
        assert!(
            last_y + weights.outputs <= y.len(),
            "a pixel lies beyond the result"
        );
        assert_eq!(
            (taps.count(), self.lanes),
            (weights.taps, weights.lanes),
            "packed for this"
        );

        let grid = grid.flattened();
        for row in 0..grid.rows {
            for panel in panels(weights.outputs, weights.lanes) {
                let tiles = self.conv[panel.vectors - 1];
                for (column, pixels, n_tiles) in runs_of_pieces(grid.columns, tiles.len()) {
                    let from = row * grid.x_row + column * grid.x_column;
                    let to = row * grid.y_row + column * grid.y_column + panel.first;
                    let call = ConvCall {
                        n_tiles,
                        x: x[from..].as_ptr(),
                        x_pixel: grid.x_column,
                        taps,
                        weights: weights.values[panel.first * weights.taps..].as_ptr(),
                        bias: weights.bias[panel.first..].as_ptr(),
                        y: y[to..].as_mut_ptr(),
                        y_pixel: grid.y_column,
                        last: panel.last,
                        finish,
                    };
                    // SAFETY: `Kernels` exist only for processors that have the instructions. The
                    // assertions above bound what the last pixel sees and where it lies, and all
                    // others come before it. Weights and bias are allocated in whole vectors, and
                    // panels of `taps` rows of `vectors` vectors lie one after the other.
                    unsafe { tiles[pixels - 1](&call) };
                }
            }
        }
    }

    /// Writes to `dw`, or adds to it, the gradient of a convolution's weights from one image.
    ///
    /// # Shapes
    ///
    /// - `x`: as the convolution saw it, the pixels of `grid` and their `taps`
    /// - `dy`: the gradient of its result, at the `y` places of `grid`, `outputs` values each;
    ///   readable for whole vectors
    /// - `dw`: `[taps, outputs]`, with rows padded to whole vectors
    ///
    /// # Panics
    ///
    /// If a pixel sees or lies beyond the end of its slice.
    pub(crate) fn conv_weight(
        &self,
        x: &[f32],
        grid: Grid,
        taps: Taps,
        dy: &[f32],
        outputs: usize,
        (dw, sums): (&mut [f32], Sums),
    ) {
        if grid.is_empty() {
            return sums.end_empty(dw);
        }
        let padded = outputs.next_multiple_of(self.lanes);
        let (last_x, last_dy) = grid.last();
        assert!(
            last_x + taps.span() <= x.len(),
            "a pixel sees beyond the image"
        );
        assert!(
            last_dy + padded <= dy.len(),
            "a pixel lies beyond the gradient"
        );
        assert!(taps.count() * padded <= dw.len(), "room for all weights");

        // A few rows at a time, so that they stay in the cache while all tiles pass over them.
        for (row, rows) in pieces(grid.rows, ROWS_AT_A_TIME) {
            for run in 0..taps.rows * taps.segments {
                let (tap_row, segment) = (run / taps.segments, run % taps.segments);
                let seen =
                    row * grid.x_row + tap_row * taps.row_stride + segment * taps.segment_stride;
                for panel in panels(outputs, self.lanes) {
                    let tiles = self.weight[panel.vectors - 1];
                    for (tap, n_taps) in pieces(taps.run, tiles.len()) {
                        let call = WeightCall {
                            x: x[seen + tap..].as_ptr(),
                            x_row: grid.x_row,
                            x_pixel: grid.x_column,
                            dy: dy[row * grid.y_row + panel.first..].as_ptr(),
                            dy_row: grid.y_row,
                            dy_pixel: grid.y_column,
                            rows,
                            columns: grid.columns,
                            dw: dw[(run * taps.run + tap) * padded + panel.first..].as_mut_ptr(),
                            dw_tap: padded,
                            adds: sums == Sums::Add || row > 0,
                        };
                        // SAFETY: `Kernels` exist only for processors that have the instructions.
                        // The assertions above bound what the last pixel sees at the last tap and
                        // its whole vectors in `dy`, and all others come before; `dw` has a padded
                        // row for each tap, and panels end within a padded row.
                        unsafe { tiles[n_taps - 1](&call) };
                    }
                }
            }
        }
    }
}

const ROWS_AT_A_TIME: usize = 4;

/// The weights of a depthwise convolution: one row of all channels for each tap,
/// padded to whole vectors.
#[derive(Debug, Clone)]
pub(crate) struct DepthwiseWeights {
    values: Buffer,
    bias: Buffer,
    channels: usize,
    padded: usize,
}

impl DepthwiseWeights {
    /// Room for `taps` weights of each channel.
    pub(crate) fn new(kernels: &Kernels, taps: usize, channels: usize) -> Self {
        let padded = channels.next_multiple_of(kernels.lanes());
        Self {
            values: Buffer::zeros(taps * padded),
            bias: Buffer::zeros(padded),
            channels,
            padded,
        }
    }

    /// Takes over weights: `weight(tap, row)` writes those of all channels.
    pub(crate) fn pack(&mut self, weight: impl Fn(usize, &mut [f32])) {
        for (tap, row) in self.values.chunks_exact_mut(self.padded).enumerate() {
            weight(tap, &mut row[..self.channels]);
        }
    }

    /// Takes over the bias.
    pub(crate) fn set_bias(&mut self, bias: &[f32]) {
        self.bias[..self.channels].copy_from_slice(bias);
    }

    /// The weights of all taps, of which there are so many in a row.
    pub(crate) fn all(&self, per_row: usize) -> (&Self, TapsSeen) {
        (self, TapsSeen { first: 0, per_row })
    }
}

/// The taps of a depthwise kernel that pixels see: all, or at the borders some.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TapsSeen {
    /// The first of them, counted row by row.
    pub(crate) first: usize,
    /// Taps of a row of the whole kernel.
    pub(crate) per_row: usize,
}

impl Kernels {
    /// The depthwise convolution of a grid of pixels with the taps that they see.
    ///
    /// A tap is a whole pixel: `taps.run` is 1, `taps.segments` counts the columns of
    /// the kernel. Whole vectors of `x` are read at each.
    ///
    /// # Panics
    ///
    /// If a pixel sees or lies beyond the end of its slice.
    pub(crate) fn depthwise(
        &self,
        x: &[f32],
        grid: Grid,
        taps: Taps,
        (weights, seen): (&DepthwiseWeights, TapsSeen),
        y: &mut [f32],
        finish: Finish,
    ) {
        if grid.is_empty() {
            return;
        }
        assert!(taps.count() > 0, "something is seen");
        let DepthwiseWeights {
            channels, padded, ..
        } = *weights;
        let (last_x, last_y) = grid.last();
        assert_eq!(taps.run, 1, "a tap is a pixel");
        assert!(
            last_x + taps.span() - 1 + padded <= x.len(),
            "a pixel sees beyond the image"
        );
        assert!(
            last_y + channels <= y.len(),
            "a pixel lies beyond the result"
        );
        let end = seen.first + (taps.rows - 1) * seen.per_row + taps.segments;
        assert!(end * padded <= weights.values.len(), "packed for this");
        let steps = WeightSteps {
            tap: padded,
            row: seen.per_row * padded,
        };

        for row in 0..grid.rows {
            for (column, pixels) in pieces(grid.columns, self.depthwise.len()) {
                let from = row * grid.x_row + column * grid.x_column;
                let to = row * grid.y_row + column * grid.y_column;
                let call = ConvCall {
                    n_tiles: padded / self.lanes,
                    x: x[from..].as_ptr(),
                    x_pixel: grid.x_column,
                    taps,
                    weights: weights.values[seen.first * padded..].as_ptr(),
                    bias: weights.bias.as_ptr(),
                    y: y[to..].as_mut_ptr(),
                    y_pixel: grid.y_column,
                    last: channels + self.lanes - padded,
                    finish,
                };
                // SAFETY: `Kernels` exist only for processors that have the instructions. The
                // assertions above bound the whole vectors that the last pixel sees and where
                // it lies, and all others come before it; the last bounds the weights of the
                // last tap. Weights and bias have padded rows.
                unsafe { self.depthwise[pixels - 1](&call, steps) };
            }
        }
    }

    /// Writes to `dw`, or adds to it, the gradient of a depthwise convolution's weights from
    /// one image.
    ///
    /// # Shapes
    ///
    /// - `x`, `dy`: as in [`Kernels::conv_weight`], both readable for whole vectors
    /// - `dw`: `[taps, channels]`, with rows padded to whole vectors
    ///
    /// # Panics
    ///
    /// If a pixel sees or lies beyond the end of its slice.
    pub(crate) fn depthwise_weight(
        &self,
        x: &[f32],
        grid: Grid,
        taps: Taps,
        dy: &[f32],
        channels: usize,
        (dw, sums): (&mut [f32], Sums),
    ) {
        if grid.is_empty() {
            return sums.end_empty(dw);
        }
        let padded = channels.next_multiple_of(self.lanes);
        let (last_x, last_dy) = grid.last();
        assert_eq!(taps.run, 1, "a tap is a pixel");
        assert!(
            last_x + taps.span() - 1 + padded <= x.len(),
            "a pixel sees beyond the image"
        );
        assert!(
            last_dy + padded <= dy.len(),
            "a pixel lies beyond the gradient"
        );
        assert!(taps.count() * padded <= dw.len(), "room for all weights");

        for (row, rows) in pieces(grid.rows, ROWS_AT_A_TIME) {
            for tap_row in 0..taps.rows {
                for first in (0..channels).step_by(self.lanes) {
                    for (tap, n_taps) in pieces(taps.segments, self.depthwise_weight.len()) {
                        let seen = row * grid.x_row
                            + tap_row * taps.row_stride
                            + tap * taps.segment_stride
                            + first;
                        let weight = (tap_row * taps.segments + tap) * padded + first;
                        let call = WeightCall {
                            x: x[seen..].as_ptr(),
                            x_row: grid.x_row,
                            x_pixel: grid.x_column,
                            dy: dy[row * grid.y_row + first..].as_ptr(),
                            dy_row: grid.y_row,
                            dy_pixel: grid.y_column,
                            rows,
                            columns: grid.columns,
                            dw: dw[weight..].as_mut_ptr(),
                            dw_tap: padded,
                            adds: sums == Sums::Add || row > 0,
                        };
                        // SAFETY: as in `conv_weight`, with whole vectors of `x` as well.
                        unsafe { self.depthwise_weight[n_taps - 1](&call, taps.segment_stride) };
                    }
                }
            }
        }
    }
}
