//! Steps that take little time: the other poolings, flattening, dropout, addition.

use rayon::prelude::*;

use super::Arrival;
use crate::graph::Window;
use crate::kernels::Kernels;
use crate::random::Random;
use crate::{GlobalPoolKind, Shape};

/// The mean of each window.
pub(crate) fn average_pool(window: Window, input: Shape, output: Shape, x: &[f32], y: &mut [f32]) {
    let images = x
        .par_chunks(input.n_values())
        .zip(y.par_chunks_mut(output.n_values()));
    images.for_each(|(x, y)| {
        y.fill(0.0);
        each_window_value(window, input, output, |from, to| {
            for (y, x) in y[to..to + input.channels].iter_mut().zip(&x[from..]) {
                *y += x;
            }
        });
        let scale = 1.0 / (window.kernel[0] * window.kernel[1]) as f32;
        y.iter_mut().for_each(|y| *y *= scale);
    });
}

/// The gradient of [`average_pool`].
pub(crate) fn average_pool_backward(
    window: Window,
    input: Shape,
    output: Shape,
    dy: &[f32],
    dx: &mut [f32],
    arrival: Arrival,
) {
    let scale = 1.0 / (window.kernel[0] * window.kernel[1]) as f32;
    let images = dy
        .par_chunks(output.n_values())
        .zip(dx.par_chunks_mut(input.n_values()));
    images.for_each(|(dy, dx)| {
        if arrival == Arrival::First {
            dx.fill(0.0);
        }
        each_window_value(window, input, output, |to, from| {
            for (dx, dy) in dx[to..to + input.channels].iter_mut().zip(&dy[from..]) {
                *dx += scale * dy;
            }
        });
    });
}

/// Calls `visit` with the places of each pixel of each window, in the input and in the output.
fn each_window_value(
    window: Window,
    input: Shape,
    output: Shape,
    mut visit: impl FnMut(usize, usize),
) {
    let ([kernel_rows, kernel_columns], [down, across]) = (window.kernel, window.stride);
    for row in 0..output.height {
        for tap_row in 0..kernel_rows {
            for column in 0..output.width {
                for tap_column in 0..kernel_columns {
                    let from_row = row * down + tap_row;
                    let from_column = column * across + tap_column;
                    let from = (from_row * input.width + from_column) * input.channels;
                    let to = (row * output.width + column) * input.channels;
                    visit(from, to);
                }
            }
        }
    }
}

/// One value per channel. `places` keeps which pixel was the largest.
pub(crate) fn global_pool(
    kind: GlobalPoolKind,
    input: Shape,
    x: &[f32],
    y: &mut [f32],
    places: &mut [u32],
) {
    let images = x
        .par_chunks(input.n_values())
        .zip(y.par_chunks_mut(input.channels));
    let images = images.zip(places.par_chunks_mut(input.channels));
    images.for_each(|((x, y), places)| {
        y.fill(0.0);
        if kind != GlobalPoolKind::Max {
            add_mean(x, y);
        }
        if kind != GlobalPoolKind::Average {
            find_largest(x, places);
            for (channel, (y, place)) in y.iter_mut().zip(places).enumerate() {
                *y += x[*place as usize * input.channels + channel];
            }
        }
    });
}

/// [`global_pool`] without keeping places.
pub(crate) fn global_pool_values(kind: GlobalPoolKind, input: Shape, x: &[f32], y: &mut [f32]) {
    let images = x
        .chunks_exact(input.n_values())
        .zip(y.chunks_exact_mut(input.channels));
    for (x, y) in images {
        y.fill(0.0);
        if kind != GlobalPoolKind::Max {
            add_mean(x, y);
        }
        if kind != GlobalPoolKind::Average {
            add_largest(x, y);
        }
    }
}

/// Adds the maximum of each channel, a NaN if there is one.
fn add_largest(x: &[f32], y: &mut [f32]) {
    let channels = y.len();
    for (channel, y) in y.iter_mut().enumerate() {
        let values = x.iter().skip(channel).step_by(channels);
        *y += values.fold(f32::NEG_INFINITY, |largest, &value| {
            if value > largest || value.is_nan() {
                value
            } else {
                largest
            }
        });
    }
}

fn add_mean(x: &[f32], y: &mut [f32]) {
    let channels = y.len();
    let scale = 1.0 / (x.len() / channels) as f32;
    for x in x.chunks_exact(channels) {
        for (y, x) in y.iter_mut().zip(x) {
            *y += scale * x;
        }
    }
}

fn find_largest(x: &[f32], places: &mut [u32]) {
    let channels = places.len();
    places.fill(0);
    for (pixel, values) in x.chunks_exact(channels).enumerate() {
        for (channel, (place, value)) in places.iter_mut().zip(values).enumerate() {
            // The first of equals wins, and a NaN wins over everything, as in PyTorch.
            if *value > x[*place as usize * channels + channel] || value.is_nan() {
                *place = pixel as u32;
            }
        }
    }
}

/// The gradient of [`global_pool`].
pub(crate) fn global_pool_backward(
    kind: GlobalPoolKind,
    input: Shape,
    dy: &[f32],
    places: &[u32],
    dx: &mut [f32],
    arrival: Arrival,
) {
    let channels = input.channels;
    let scale = 1.0 / input.n_pixels() as f32;
    let images = dy
        .par_chunks(channels)
        .zip(dx.par_chunks_mut(input.n_values()));
    images
        .zip(places.par_chunks(channels))
        .for_each(|((dy, dx), places)| {
            if arrival == Arrival::First {
                dx.fill(0.0);
            }
            if kind != GlobalPoolKind::Max {
                for dx in dx.chunks_exact_mut(channels) {
                    for (dx, dy) in dx.iter_mut().zip(dy) {
                        *dx += scale * dy;
                    }
                }
            }
            if kind != GlobalPoolKind::Average {
                for (channel, (dy, place)) in dy.iter().zip(places).enumerate() {
                    dx[*place as usize * channels + channel] += dy;
                }
            }
        });
}

/// Images become vectors in PyTorch's order, channel by channel.
pub(crate) fn flatten(input: Shape, x: &[f32], y: &mut [f32]) {
    let len = input.n_values();
    x.par_chunks(len)
        .zip(y.par_chunks_mut(len))
        .for_each(|(x, y)| {
            for (pixel, x) in x.chunks_exact(input.channels).enumerate() {
                let values = y.iter_mut().skip(pixel).step_by(input.n_pixels());
                for (y, x) in values.zip(x) {
                    *y = *x;
                }
            }
        });
}

/// The gradient of [`flatten`].
pub(crate) fn flatten_backward(input: Shape, dy: &[f32], dx: &mut [f32], arrival: Arrival) {
    let len = input.n_values();
    dy.par_chunks(len)
        .zip(dx.par_chunks_mut(len))
        .for_each(|(dy, dx)| {
            for (pixel, dx) in dx.chunks_exact_mut(input.channels).enumerate() {
                let values = dy.iter().skip(pixel).step_by(input.n_pixels());
                for (dx, dy) in dx.iter_mut().zip(values) {
                    *dx = match arrival {
                        Arrival::First => *dy,
                        Arrival::Joins => *dx + dy,
                    };
                }
            }
        });
}

/// `y = a + b`, rectified or not.
pub(crate) fn add(kernels: &Kernels, relu: bool, a: &[f32], b: &[f32], y: &mut [f32]) {
    const PIECE: usize = 32 * 1024;
    let pieces = a
        .par_chunks(PIECE)
        .zip(b.par_chunks(PIECE))
        .zip(y.par_chunks_mut(PIECE));
    pieces.for_each(|((a, b), y)| match relu {
        true => kernels.add_relu(a, b, y),
        false => kernels.add(a, b, y),
    });
}

/// `dy = 0` where `y`, the result of a ReLU, is not positive.
pub(crate) fn relu_mask(dy: &mut [f32], y: &[f32]) {
    const PIECE: usize = 32 * 1024;
    dy.par_chunks_mut(PIECE)
        .zip(y.par_chunks(PIECE))
        .for_each(|(dy, y)| {
            for (dy, y) in dy.iter_mut().zip(y) {
                *dy = if *y > 0.0 { *dy } else { 0.0 };
            }
        });
}

/// Which values a dropout zeroes: a function of seed, layer and place alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DropoutMask {
    rate: f32,
    seed: u64,
    layer: u64,
}

impl DropoutMask {
    /// The mask of the step with the given index in the plan.
    pub(crate) fn new(rate: f32, seed: u64, step: usize) -> Self {
        Self {
            rate,
            seed,
            layer: step as u64,
        }
    }

    /// `y = x · mask`, or its gradient, as both are the same product.
    pub(crate) fn apply(self, x: &[f32], y: &mut [f32], arrival: Arrival) {
        const PIECE: usize = 4096;
        let scale = 1.0 / (1.0 - self.rate);
        let threshold = f64::from(self.rate);
        let stream = Random::new(self.seed, self.layer);
        let pieces = x.par_chunks(PIECE).zip(y.par_chunks_mut(PIECE)).enumerate();
        pieces.for_each(|(index, (x, y))| {
            let mut random = stream.skip((index * PIECE) as u64);
            for (x, y) in x.iter().zip(y) {
                let kept = if random.uniform() < threshold {
                    0.0
                } else {
                    x * scale
                };
                *y = match arrival {
                    Arrival::First => kept,
                    Arrival::Joins => *y + kept,
                };
            }
        });
    }
}
