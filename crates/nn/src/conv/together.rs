//! Images of a batch that go through a convolution by tiles together.
//!
//! Deep in a network there are few tiles in each image, and large weights to be read for
//! all of them. Results and gradients of inputs are made for about [`TILES_TOGETHER`] at a
//! time. What the tiles become on the way is kept for the whole batch, and the gradient of
//! the weights made of it once, each frequency by itself.

use rayon::prelude::*;

use super::{ConvGradient, Convolution, Filters, copy_rows, grid, seen_extent};
use crate::graph::ConvGeometry;
use crate::kernels::conv::Grid;
use crate::kernels::winograd::Images;
use crate::kernels::{Finish, Kernels, Sums};
use crate::layers::MAX_CHUNKS;
use crate::view::View;

/// Tiles of which images together should have about as many; those that have more alone are
/// worked on one by one.
const TILES_TOGETHER: usize = 32;

impl ConvGeometry {
    /// How many of `n` images are worked on together, if a whole batch goes through each
    /// step of the way by tiles: depends on shapes and the batch alone, never on threads,
    /// for the sake of equal sums.
    pub(crate) fn images_together(&self, kernels: &Kernels, n: usize) -> Option<usize> {
        let tiling = self.tiling(kernels)?;
        let tiles = tiling.n_tiles(self.output.height, self.output.width);
        // So many parts at most, and so many at least that threads have something to do.
        let (least, most) = (n.div_ceil(MAX_CHUNKS), n.div_ceil(4));
        (tiles <= TILES_TOGETHER).then(|| TILES_TOGETHER.div_ceil(tiles).clamp(least, most))
    }
}

impl Convolution {
    /// How many values [`Convolution::images`] wants as scratch for so many.
    pub(crate) fn images_scratch_len(&self, count: usize) -> usize {
        let output = self.geometry.output;
        let extent = [output.height, output.width];
        let tiles = self.geometry.tiling(self.kernels).map_or(0, |tiling| {
            tiling.scratch_len(count, extent, self.geometry.channels())
        });
        seen_images_len(&self.geometry, self.kernels, count) + tiles
    }

    /// Computes the results of whole images.
    ///
    /// # Shapes
    ///
    /// - `images`: `[image, height, width, channels]` of the input
    /// - `y`: `[image, height, width, channels]` of the output
    pub(crate) fn images(
        &self,
        images: View<'_>,
        scratch: &mut [f32],
        y: &mut [f32],
        finish: Finish,
    ) {
        let Filters::Tiled(weights) = &self.filters else {
            unreachable!("others have one image at a time");
        };
        let count = images.values.len() / self.geometry.input.n_values();
        let seen_len = seen_images_len(&self.geometry, self.kernels, count);
        let (seen, work) = scratch.split_at_mut(seen_len);
        let grid = see_images(&self.geometry, self.kernels, images, seen);
        self.kernels.winograd(seen, grid, weights, work, y, finish);
    }
}

impl ConvGradient {
    /// How many of `n` images are [worked on together](ConvGeometry::images_together).
    pub(crate) fn images_together(&self, n: usize) -> Option<usize> {
        self.geometry.images_together(self.kernels, n)
    }

    /// The length of what the tiles of so many images become.
    pub(crate) fn frequencies_len(&self, images: usize) -> usize {
        images * self.n_tiles(self.geometry.output.height) * self.tile_len()
    }

    /// The scratch that [`ConvGradient::frequencies`] and [`ConvGradient::input`] want for so
    /// many images together.
    pub(crate) fn images_scratch_len(&self, images: usize) -> usize {
        let ConvGeometry { input, output, .. } = self.geometry;
        let extent = [input.height, input.width];
        let channels = [output.channels, input.channels];
        let products = self
            .tiling
            .map_or(0, |tiling| tiling.scratch_len(images, extent, channels));
        seen_images_len(&self.geometry, self.kernels, images).max(products)
    }

    /// What the tiles of images and of the framed gradients of their results become, of which
    /// [`ConvGradient::tiled_weights`] makes the gradient of the weights.
    pub(crate) fn frequencies(
        &self,
        images: View<'_>,
        framed: &[f32],
        scratch: &mut [f32],
        frequencies: &mut [f32],
    ) {
        let Some(tiling) = self.tiling else {
            unreachable!("others have no tiles");
        };
        let geometry = &self.geometry;
        let (images, grid) = see_images(geometry, self.kernels, images, scratch);
        let [above, left] = self.frame.before;
        let pitch = self.frame.extent[1] * geometry.output.channels;
        let dy = &framed[above * pitch + left * geometry.output.channels..];
        let images = Images {
            y: self.frame_len(),
            ..images
        };
        let grid = Grid {
            y_row: pitch,
            ..grid
        };
        self.kernels.winograd_frequencies(
            tiling,
            scratch,
            (images, grid),
            dy,
            geometry.channels(),
            frequencies,
        );
    }

    /// Writes to `dw` the gradient of the transformed weights: `parts` are the
    /// [frequencies](ConvGradient::frequencies) of images, so many values for each part but
    /// the last.
    pub(crate) fn tiled_weights(&self, parts: &[f32], part_len: usize, dw: &mut [f32]) {
        let Some(tiling) = self.tiling else {
            unreachable!("others have no tiles");
        };
        let [inputs, outputs] = self.geometry.channels();
        let frequencies = dw.par_chunks_exact_mut(inputs * outputs).enumerate();
        frequencies.for_each(|(frequency, dw)| {
            for (index, part) in parts.chunks(part_len).enumerate() {
                let sums = if index == 0 { Sums::Write } else { Sums::Add };
                self.tiled_weight(tiling, part, frequency, (&mut *dw, sums));
            }
        });
    }
}

/// The length of copies of what the results of so many images see.
fn seen_images_len(geometry: &ConvGeometry, kernels: &Kernels, count: usize) -> usize {
    let (rows, columns) = seen_extent(geometry, kernels, geometry.output.height);
    count * rows * columns * geometry.input.channels
}

/// Copies what the results of images see, in whole tiles, with zeros beyond the borders.
fn see_images(
    geometry: &ConvGeometry,
    kernels: &Kernels,
    images: View<'_>,
    seen: &mut [f32],
) -> (Images, Grid) {
    let extent = seen_extent(geometry, kernels, geometry.output.height);
    let len = extent.0 * extent.1 * geometry.input.channels;
    let first = -(geometry.padding[0] as isize);
    let images_and_copies = images
        .values
        .chunks_exact(geometry.input.n_values())
        .zip(seen.chunks_exact_mut(len));
    let mut count = 0;
    for (image, copy) in images_and_copies {
        let image = images.part(image);
        copy_rows(geometry, kernels, image, first, extent, copy);
        count += 1;
    }
    let pitch = extent.1 * geometry.input.channels;
    let images = Images {
        count,
        x: len,
        y: geometry.output.n_values(),
    };
    (images, grid(geometry, geometry.output.height, pitch))
}
