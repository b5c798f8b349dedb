//! Convolutions of 3×3 by fewer products: Winograd's minimal filtering, F(4×4, 3×3) and its
//! smaller kin.
//!
//! Four by four pixels, a *tile*, see 6×6 values. These are transformed, and so are the
//! nine weights, to 36 *frequencies* each; of each frequency, all tiles of pixels times
//! all weights are one matrix product, and what comes of those is transformed back
//! (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015). That
//! takes 36 products where 144 stood, and additions beside; rounding grows to some six
//! times that of the plain sum. Tiles of 3×3 take 25 products for 81 and those of 2×2 take
//! 16 for 36, for images that larger ones would stand out of. The gradient of the weights
//! is worked out through the same transforms, turned around.
//!
//! The products are those of [`super::conv`], the transforms those of [`transforms`]; which
//! tiles there are is said in [`tiling`].

mod tiling;
mod transforms;

use rayon::prelude::*;
pub(crate) use tiling::Tiling;
use transforms::TileRowKernel;
pub(super) use transforms::{Filtering, Four, Three, TileRow, Two, look, see, unsee};

use super::Kernels;
use super::conv::{Grid, PackedWeights};
use super::tile::{Finish, Sums, Taps};
use crate::buffer::Buffer;

/// The transforms of one size of tiles.
pub(super) struct Transforms {
    pub(super) look: TileRowKernel,
    pub(super) see: TileRowKernel,
    pub(super) unsee: TileRowKernel,
}

/// Tiles of which one matrix product is made, at least, if there are as many: weights
/// are read once for all of them.
const MIN_TILES: usize = 24;

/// The transformed weights of a convolution of 3×3, all of whose channels are whole
/// vectors.
#[derive(Debug, Clone)]
pub(crate) struct WinogradWeights {
    tiling: Tiling,
    /// By frequency, each `[input, output]`.
    frequencies: Vec<PackedWeights>,
    bias: Buffer,
    inputs: usize,
    outputs: usize,
}

impl WinogradWeights {
    /// Room for the weights of so many channels.
    pub(crate) fn new(kernels: &Kernels, tiling: Tiling, [inputs, outputs]: [usize; 2]) -> Self {
        let one = PackedWeights::new(kernels, inputs, outputs);
        Self {
            tiling,
            frequencies: vec![one; tiling.frequencies()],
            bias: Buffer::zeros(outputs),
            inputs,
            outputs,
        }
    }

    /// Takes over weights: `tap` gives those of each of the nine taps row by row, all
    /// inputs with all outputs.
    pub(crate) fn pack<'w>(&mut self, order: Order, tap: impl Fn(usize) -> &'w [f32] + Sync) {
        let (tiling, inputs, outputs) = (self.tiling, self.inputs, self.outputs);
        let frequencies = self.frequencies.par_iter_mut().enumerate();
        let room = || vec![0.0; inputs * outputs];
        frequencies.for_each_init(room, |matrix, (frequency, packed)| {
            matrix.fill(0.0);
            for (index, share) in tiling.taps_of_frequency(frequency) {
                for (sum, weight) in matrix.iter_mut().zip(tap(index)) {
                    *sum += share * weight;
                }
            }
            packed.pack(|input, first, row| match order {
                Order::ByInput => {
                    row.copy_from_slice(&matrix[input * outputs + first..][..row.len()]);
                }
                Order::ByOutput => {
                    let column = matrix[first * inputs + input..].iter().step_by(inputs);
                    for (to, &weight) in row.iter_mut().zip(column) {
                        *to = weight;
                    }
                }
            });
        });
    }

    /// Takes over the bias.
    pub(crate) fn set_bias(&mut self, bias: &[f32]) {
        self.bias.copy_from_slice(bias);
    }
}

/// How the weights of one tap lie.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// `[input, output]`
    ByInput,
    /// `[output, input]`
    ByOutput,
}

/// Images that lie one after the other, all with the same grid of pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Images {
    pub(crate) count: usize,
    /// From the first value of what one sees to that of the next.
    pub(crate) x: usize,
    /// From the first value of one's results to that of the next.
    pub(crate) y: usize,
}

impl Images {
    /// A single one.
    pub(crate) const ONE: Self = Self {
        count: 1,
        x: 0,
        y: 0,
    };
}

/// How the pixels of grids fall into tiles.
#[derive(Debug, Clone, Copy)]
struct Tiles {
    tiling: Tiling,
    /// Rows of one image.
    image_rows: usize,
    /// Rows of all images.
    rows: usize,
    columns: usize,
    /// Rows of tiles that are worked on together.
    rows_at_once: usize,
}

impl Tiles {
    fn of(tiling: Tiling, images: usize, rows: usize, columns: usize) -> Self {
        let [image_rows, columns] = [rows, columns].map(|pixels| pixels.div_ceil(tiling.side()));
        let rows = images * image_rows;
        Self {
            tiling,
            image_rows,
            rows,
            columns,
            rows_at_once: Self::rows_at_once(rows, columns),
        }
    }

    /// As many rows of tiles as there are [`MIN_TILES`] in, all parts alike.
    fn rows_at_once(rows: usize, columns: usize) -> usize {
        let parts = (rows * columns / MIN_TILES).max(1);
        rows.div_ceil(parts)
    }

    /// The most tiles that are worked on together where there are no more rows of them:
    /// fewer rows may be cut into larger parts.
    fn most_at_once(&self) -> usize {
        let at_once = |rows| Self::rows_at_once(rows, self.columns);
        (1..=self.rows).map(at_once).max().unwrap_or(0) * self.columns
    }

    /// The image and the row of it that a row of all images is.
    fn place(&self, row: usize) -> (usize, usize) {
        (row / self.image_rows, row % self.image_rows)
    }
}

impl Tiling {
    /// How many values [`Kernels::winograd`] wants as scratch for so many pixels of so many
    /// images, or for fewer rows or images.
    pub(crate) fn scratch_len(
        self,
        images: usize,
        [rows, columns]: [usize; 2],
        [inputs, outputs]: [usize; 2],
    ) -> usize {
        let tiles = Tiles::of(self, images, rows, columns);
        self.frequencies() * tiles.most_at_once() * (inputs + outputs)
    }
}

impl Kernels {
    /// Whether a convolution of 3×3 with so many channels can go by tiles: vectors have
    /// to be whole, and products many enough to be worth the transforms.
    pub(crate) fn tiles_channels(&self, inputs: usize, outputs: usize) -> bool {
        let fits = |channels: usize| channels >= 16 && channels.is_multiple_of(self.lanes());
        fits(inputs) && fits(outputs)
    }

    /// The convolution of a grid of pixels of each image with a kernel of 3×3 and no stride.
    ///
    /// `x` is seen in whole tiles: [`Tiling::seen_by`] so many rows and columns.
    ///
    /// # Panics
    ///
    /// If a tile sees or a pixel lies beyond the end of its slice, or `scratch` is shorter
    /// than [`Tiling::scratch_len`].
    pub(crate) fn winograd(
        &self,
        x: &[f32],
        (images, grid): (Images, Grid),
        weights: &WinogradWeights,
        scratch: &mut [f32],
        y: &mut [f32],
        finish: Finish,
    ) {
        let WinogradWeights {
            tiling,
            inputs,
            outputs,
            ..
        } = *weights;
        if images.count == 0 || grid.rows == 0 || grid.columns == 0 {
            return;
        }
        self.check_sight(x, tiling, (images, grid), inputs);
        let last_y = (images.count - 1) * images.y
            + (grid.rows - 1) * grid.y_row
            + (grid.columns - 1) * grid.y_column;
        assert!(
            last_y + outputs <= y.len(),
            "a pixel lies beyond the result"
        );
        assert!(self.tiles_channels(inputs, outputs), "whole vectors");
        let tiles = Tiles::of(tiling, images.count, grid.rows, grid.columns);
        for first in (0..tiles.rows).step_by(tiles.rows_at_once) {
            let n_rows = tiles.rows_at_once.min(tiles.rows - first);
            let n_tiles = n_rows * tiles.columns;
            let (seen, rest) = scratch.split_at_mut(tiling.frequencies() * n_tiles * inputs);
            let products = &mut rest[..tiling.frequencies() * n_tiles * outputs];
            self.look_at_rows(
                x,
                (images, grid),
                tiles,
                first..first + n_rows,
                inputs,
                seen,
            );
            let frequencies = seen
                .chunks_exact(n_tiles * inputs)
                .zip(products.chunks_exact_mut(n_tiles * outputs));
            for ((seen, product), weights) in frequencies.zip(&weights.frequencies) {
                let grid = line(n_tiles, inputs, outputs);
                self.conv(seen, grid, run(inputs), weights, product, Finish::Write);
            }
            for row in 0..n_rows {
                let (image, image_row) = tiles.place(first + row);
                let pixel_row = tiling.side() * image_row;
                let call = TileRow {
                    pixels: std::ptr::null(),
                    results: y[image * images.y + pixel_row * grid.y_row..].as_mut_ptr(),
                    row: grid.y_row,
                    column: grid.y_column,
                    tiles: products[row * tiles.columns * outputs..].as_mut_ptr(),
                    frequency: n_tiles * outputs,
                    tile: outputs,
                    n_tiles: tiles.columns,
                    n_vectors: outputs / self.lanes(),
                    bias: weights.bias.as_ptr(),
                    n_rows: tiling.side().min(grid.rows - pixel_row),
                    n_columns: grid.columns,
                    finish,
                };
                // SAFETY: `Kernels` exist only for processors that have the instructions. The
                // assertions above bound where the last pixel lies, and that outputs, of which
                // there are as many biases, are whole vectors; `products` has all frequencies
                // of `n_tiles`.
                unsafe { (self.transforms(tiling).see)(&call) };
            }
        }
    }

    /// The frequencies of all tiles of images and of the gradient of their results, of which
    /// [`Kernels::winograd_weight`] makes the gradient of the weights.
    ///
    /// # Shapes
    ///
    /// - `x`: as the convolution saw it
    /// - `dy`: the gradient of the results, at the `y` places of `grid` and, where these are no
    ///   whole tiles, zeros or what else shall count in the rows and columns that are missing
    /// - `frequencies`: `[frequency, tile, input]`, then `[frequency, tile, output]`
    ///
    /// # Panics
    ///
    /// If a tile sees or a pixel lies beyond the end of its slice, or `frequencies` has not
    /// that length.
    pub(crate) fn winograd_frequencies(
        &self,
        tiling: Tiling,
        x: &[f32],
        (images, grid): (Images, Grid),
        dy: &[f32],
        [inputs, outputs]: [usize; 2],
        frequencies: &mut [f32],
    ) {
        if images.count == 0 || grid.rows == 0 || grid.columns == 0 {
            return;
        }
        self.check_sight(x, tiling, (images, grid), inputs);
        let side = tiling.side();
        let [rows, columns] = [grid.rows, grid.columns].map(|n| n.next_multiple_of(side));
        let last_y =
            (images.count - 1) * images.y + (rows - 1) * grid.y_row + (columns - 1) * grid.y_column;
        assert!(
            last_y + outputs <= dy.len(),
            "a pixel lies beyond the gradient"
        );
        assert!(self.tiles_channels(inputs, outputs), "whole vectors");
        let tiles = Tiles::of(tiling, images.count, grid.rows, grid.columns);
        let n_tiles = tiles.rows * tiles.columns;
        let (seen, spread) = frequencies.split_at_mut(tiling.frequencies() * n_tiles * inputs);
        assert_eq!(
            spread.len(),
            tiling.frequencies() * n_tiles * outputs,
            "room for all"
        );
        self.look_at_rows(x, (images, grid), tiles, 0..tiles.rows, inputs, seen);
        for row in 0..tiles.rows {
            let (image, image_row) = tiles.place(row);
            let call = TileRow {
                pixels: dy[image * images.y + side * image_row * grid.y_row..].as_ptr(),
                results: std::ptr::null_mut(),
                row: grid.y_row,
                column: grid.y_column,
                tiles: spread[row * tiles.columns * outputs..].as_mut_ptr(),
                frequency: n_tiles * outputs,
                tile: outputs,
                n_tiles: tiles.columns,
                n_vectors: outputs / self.lanes(),
                bias: std::ptr::null(),
                n_rows: side,
                n_columns: columns,
                finish: Finish::Write,
            };
            // SAFETY: `Kernels` exist only for processors that have the instructions. The
            // assertions above bound the last pixel in whole tiles, and that outputs are
            // whole vectors; `spread` has all frequencies of `n_tiles`.
            unsafe { (self.transforms(tiling).unsee)(&call) };
        }
    }

    /// Writes to `dw`, `[input, output]`, or adds to it, one frequency of the gradient of the
    /// transformed weights, from [all frequencies](Kernels::winograd_frequencies) of so many
    /// tiles; [`Tiling::shares_of_tap`] says how the gradient of the weights follows.
    ///
    /// # Panics
    ///
    /// If `frequencies` is shorter than those, or `dw` than one.
    pub(crate) fn winograd_weight(
        &self,
        frequencies: &[f32],
        (tiling, n_tiles): (Tiling, usize),
        frequency: usize,
        [inputs, outputs]: [usize; 2],
        (dw, sums): (&mut [f32], Sums),
    ) {
        let (seen, spread) = frequencies.split_at(tiling.frequencies() * n_tiles * inputs);
        let seen = &seen[frequency * n_tiles * inputs..][..n_tiles * inputs];
        let spread = &spread[frequency * n_tiles * outputs..][..n_tiles * outputs];
        let grid = line(n_tiles, inputs, outputs);
        self.conv_weight(seen, grid, run(inputs), spread, outputs, (dw, sums));
    }

    fn transforms(&self, tiling: Tiling) -> &Transforms {
        match tiling {
            Tiling::Two => &self.tiles_of_two,
            Tiling::Three => &self.tiles_of_three,
            Tiling::Four => &self.tiles_of_four,
        }
    }

    /// Checks that all tiles see values of `x`.
    fn check_sight(
        &self,
        x: &[f32],
        tiling: Tiling,
        (images, grid): (Images, Grid),
        inputs: usize,
    ) {
        let (rows, columns) = (tiling.seen_by(grid.rows), tiling.seen_by(grid.columns));
        let last =
            (images.count - 1) * images.x + (rows - 1) * grid.x_row + (columns - 1) * grid.x_column;
        assert!(last + inputs <= x.len(), "a tile sees beyond the image");
    }

    /// The frequencies of some rows of tiles, `[frequency, tile, input]`.
    fn look_at_rows(
        &self,
        x: &[f32],
        (images, grid): (Images, Grid),
        tiles: Tiles,
        rows: std::ops::Range<usize>,
        inputs: usize,
        seen: &mut [f32],
    ) {
        let (tiling, n_tiles) = (tiles.tiling, rows.len() * tiles.columns);
        let len = tiling.frequencies() * n_tiles * inputs;
        assert_eq!(seen.len(), len, "room for all");
        for (index, row) in rows.enumerate() {
            let (image, row) = tiles.place(row);
            let call = TileRow {
                pixels: x[image * images.x + tiling.side() * row * grid.x_row..].as_ptr(),
                results: std::ptr::null_mut(),
                row: grid.x_row,
                column: grid.x_column,
                tiles: seen[index * tiles.columns * inputs..].as_mut_ptr(),
                frequency: n_tiles * inputs,
                tile: inputs,
                n_tiles: tiles.columns,
                n_vectors: inputs / self.lanes(),
                bias: std::ptr::null(),
                n_rows: tiling.seen(),
                n_columns: tiling.seen_by(grid.columns),
                finish: Finish::Write,
            };
            // SAFETY: `Kernels` exist only for processors that have the instructions. Callers
            // have checked what all tiles of the grid see, and that inputs are whole vectors;
            // `seen` has all frequencies of `n_tiles`.
            unsafe { (self.transforms(tiling).look)(&call) };
        }
    }
}

/// Tiles one after the other, for a matrix product.
fn line(n_tiles: usize, inputs: usize, outputs: usize) -> Grid {
    Grid {
        rows: 1,
        columns: n_tiles,
        x_row: 0,
        x_column: inputs,
        y_row: 0,
        y_column: outputs,
    }
}

/// What a tile sees of one frequency.
fn run(inputs: usize) -> Taps {
    Taps {
        rows: 1,
        row_stride: 0,
        segments: 1,
        segment_stride: 0,
        run: inputs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_for_many_rows_and_images_is_enough_for_fewer() {
        let channels = [16, 32];
        for tiling in [Tiling::Two, Tiling::Three, Tiling::Four] {
            for columns in 1..70 {
                for (images, rows) in (1..6).flat_map(|n| (1..70).map(move |rows| (n, rows))) {
                    let len = tiling.scratch_len(images, [rows, columns], channels);
                    for (images, rows) in [(images - 1, rows), (images, rows - 1)] {
                        let fewer = tiling.scratch_len(images, [rows, columns], channels);
                        assert!(fewer <= len, "{images} × {rows} × {columns}");
                    }
                    let tiles = Tiles::of(tiling, images, rows, columns);
                    let used = tiling.frequencies() * tiles.rows_at_once * tiles.columns * 48;
                    assert!(used <= len, "{images} × {rows} × {columns}");
                }
            }
        }
    }
}
