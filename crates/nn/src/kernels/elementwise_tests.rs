//! The loops over rows, on every instruction set, against one value at a time.

use proptest::prelude::*;

use super::{Kernels, NormConstants, PoolRow, PooledGradient, period, repeat_channels};
use crate::random::Random;

fn noise(n: usize, stream: u64) -> Vec<f32> {
    let mut random = Random::new(5, stream);
    (0..n).map(|_| random.uniform() as f32 - 0.5).collect()
}

fn periodic(channels: &[f32]) -> Vec<f32> {
    let mut values = vec![0.0; period(channels.len())];
    repeat_channels(channels, &mut values);
    values
}

#[track_caller]
fn assert_close(what: &str, kernels: &Kernels, found: &[f32], expected: impl Iterator<Item = f32>) {
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let message = format!("{what} of {kernels:?} at {index}: {found}, expected {expected}");
        assert!(
            (found - expected).abs() < 1e-4 * (1.0 + expected.abs()),
            "{message}"
        );
    }
}

/// Normalization and ReLU of whole pixels.
fn check_affine(kernels: &Kernels, pixels: usize, channels: usize) {
    let n = pixels * channels;
    let (x, dy) = (noise(n, 0), noise(n, 1));
    let [scale, shift, mean] = [2, 3, 4].map(|stream| noise(channels, stream));
    let [scales, shifts, means] = [&scale, &shift, &mean].map(|values| periodic(values));
    let value = |i: usize| x[i] * scale[i % channels] + shift[i % channels];
    let centered = |i: usize| x[i] - mean[i % channels];
    let mut y = vec![f32::NAN; n];

    kernels.affine(&x, &scales, &shifts, &mut y);
    assert_close("affine", kernels, &y, (0..n).map(value));
    kernels.affine_relu(&x, &scales, &shifts, &mut y);
    assert_close(
        "affine_relu",
        kernels,
        &y,
        (0..n).map(|i| value(i).max(0.0)),
    );
    let [inverse_std, offset, a, b, c] = [5, 6, 7, 8, 9].map(|stream| noise(channels, stream));
    let norm = NormConstants {
        scale: scales,
        shift: shifts,
        inverse_std: periodic(&inverse_std),
        offset: periodic(&offset),
        a: periodic(&a),
        b: periodic(&b),
        c: periodic(&c),
    };
    let backward = |i: usize, dy: f32| {
        let channel = i % channels;
        a[channel] * dy + b[channel] * x[i] + c[channel]
    };
    let passed = |i: usize| if value(i) > 0.0 { dy[i] } else { 0.0 };
    kernels.norm_backward(&dy, &x, &norm, &mut y);
    assert_close(
        "norm_backward",
        kernels,
        &y,
        (0..n).map(|i| backward(i, dy[i])),
    );
    kernels.norm_relu_backward(&dy, &x, &norm, &mut y);
    assert_close(
        "norm_relu_backward",
        kernels,
        &y,
        (0..n).map(|i| backward(i, passed(i))),
    );

    let [mut sums, mut d_scale] = [0, 1].map(|_| vec![0.0; period(channels)]);
    let total = |periodic: &[f32]| -> f32 { periodic.iter().sum() };
    kernels.sum(&x, &mut sums);
    assert_close(
        "sum",
        kernels,
        &[total(&sums)],
        std::iter::once(x.iter().sum()),
    );
    sums.fill(0.0);
    kernels.sum_squares(&x, &means, &mut sums);
    let squares = (0..n).map(|i| centered(i) * centered(i)).sum();
    assert_close(
        "sum_squares",
        kernels,
        &[total(&sums)],
        std::iter::once(squares),
    );
    let hat = |i: usize| x[i] * inverse_std[i % channels] + offset[i % channels];
    sums.fill(0.0);
    kernels.norm_sums(&dy, &x, &norm, &mut sums, &mut d_scale);
    let expected = [dy.iter().sum(), (0..n).map(|i| dy[i] * hat(i)).sum()];
    assert_close(
        "norm_sums",
        kernels,
        &[total(&sums), total(&d_scale)],
        expected.into_iter(),
    );
    sums.fill(0.0);
    d_scale.fill(0.0);
    kernels.norm_relu_sums(&dy, &x, &norm, &mut sums, &mut d_scale);
    let expected = [
        (0..n).map(passed).sum(),
        (0..n).map(|i| passed(i) * hat(i)).sum(),
    ];
    assert_close(
        "norm_relu_sums",
        kernels,
        &[total(&sums), total(&d_scale)],
        expected.into_iter(),
    );
}

fn check_plain(kernels: &Kernels, n: usize) {
    let (a, b) = (noise(n, 0), noise(n, 1));
    let mut y = vec![f32::NAN; n];
    kernels.relu(&a, &mut y);
    assert_close("relu", kernels, &y, a.iter().map(|a| a.max(0.0)));
    kernels.add(&a, &b, &mut y);
    assert_close("add", kernels, &y, a.iter().zip(&b).map(|(a, b)| a + b));
    kernels.add_relu(&a, &b, &mut y);
    assert_close(
        "add_relu",
        kernels,
        &y,
        a.iter().zip(&b).map(|(a, b)| (a + b).max(0.0)),
    );
    y.copy_from_slice(&b);
    kernels.accumulate(&a, &mut y);
    assert_close(
        "accumulate",
        kernels,
        &y,
        a.iter().zip(&b).map(|(a, b)| a + b),
    );
    kernels.relu_backward(&b, &a, &mut y);
    let passed = a
        .iter()
        .zip(&b)
        .map(|(a, b)| if *a > 0.0 { *b } else { 0.0 });
    assert_close("relu_backward", kernels, &y, passed);
    y.copy_from_slice(&a);
    kernels.relu_in_place(&mut y);
    assert_close("relu_in_place", kernels, &y, a.iter().map(|a| a.max(0.0)));
}

/// Values of the windows of one pooled pixel and channel, in the order of their places.
fn window(row: &PoolRow, x: &[f32], pixel: usize, channel: usize) -> Vec<f32> {
    let [rows, columns] = row.kernel;
    let places = (0..rows * columns).map(|place| (place / columns, place % columns));
    places
        .map(|(down, across)| {
            x[down * row.x_row + (pixel * row.stride + across) * row.channels + channel]
        })
        .collect()
}

fn check_pool(kernels: &Kernels, row: PoolRow, pixels: usize) {
    let channels = row.channels;
    let x = noise(row.x_row * row.kernel[0], 0);
    let n = pixels * channels;
    let at = |i: usize| window(&row, &x, i / channels, i % channels);
    let largest = |i: usize| at(i).into_iter().fold(f32::NEG_INFINITY, f32::max);
    let (mut y, mut places) = (vec![f32::NAN; n], vec![255; n]);
    kernels.max_pool_values(&row, &x, &mut y);
    assert_close("max_pool_values", kernels, &y, (0..n).map(largest));
    kernels.max_pool(&row, &x, &mut y, &mut places);
    assert_close("max_pool", kernels, &y, (0..n).map(largest));
    let placed = (0..n).map(|i| at(i)[usize::from(places[i])]);
    assert_close("places", kernels, &y, placed);

    let scale: Vec<f32> = (0..channels)
        .map(|c| if c % 2 == 0 { 2.0 } else { -0.5 })
        .collect();
    let shift = noise(channels, 1);
    let (scales, shifts) = (periodic(&scale), periodic(&shift));
    let mut scaled_places = vec![255; n];
    kernels.max_pool_scaled(&row, &x, [&scales, &shifts], &mut y, &mut scaled_places);
    let least_or_largest = |i: usize| {
        let window = at(i).into_iter();
        match i % channels % 2 {
            0 => window.fold(f32::NEG_INFINITY, f32::max),
            _ => window.fold(f32::INFINITY, f32::min),
        }
    };
    assert_close("max_pool_scaled", kernels, &y, (0..n).map(least_or_largest));
    let placed = (0..n).map(|i| at(i)[usize::from(scaled_places[i])]);
    assert_close("scaled places", kernels, &y, placed);

    let dy = noise(n, 2);
    for tap_row in 0..row.kernel[0] {
        let mut expected = vec![0.0; row.x_row];
        for i in 0..n {
            let place = usize::from(places[i]);
            if place / row.kernel[1] == tap_row {
                let column = i / channels * row.stride + place % row.kernel[1];
                expected[column * channels + i % channels] += dy[i];
            }
        }
        let mut dx = vec![0.0; row.x_row];
        kernels.max_unpool(&row, tap_row, &dy, &places, &mut dx);
        assert_close("max_unpool", kernels, &dx, expected.into_iter());
        if row.stride == row.kernel[1] {
            let pooled = PooledGradient {
                dy: &dy,
                places: &places,
            };
            check_unpool_in_one_pass(kernels, row, tap_row, pooled, &dx);
        }
    }
    let none = PooledGradient {
        dy: &[],
        places: &[],
    };
    check_unpool_in_one_pass(kernels, row, 0, none, &vec![0.0; row.x_row]);
}

/// The same as going back step by step from the gradient `unpooled`.
fn check_unpool_in_one_pass(
    kernels: &Kernels,
    row: PoolRow,
    tap_row: usize,
    pooled: PooledGradient<'_>,
    unpooled: &[f32],
) {
    let x = noise(row.x_row, 3);
    let constants = |stream| periodic(&noise(row.channels, stream));
    let norm = NormConstants {
        scale: constants(4),
        shift: constants(5),
        a: constants(6),
        b: constants(7),
        c: constants(8),
        ..NormConstants::default()
    };
    let mut expected = vec![f32::NAN; row.x_row];
    kernels.norm_relu_backward(unpooled, &x, &norm, &mut expected);
    let mut dx = vec![f32::NAN; row.x_row];
    kernels.norm_relu_unpool(&row, tap_row, &pooled, &x, &norm, &mut dx);
    assert_close("norm_relu_unpool", kernels, &dx, expected.into_iter());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_worked_on_value_by_value(pixels in 1usize..40, channels in 1usize..50) {
        for kernels in Kernels::supported() {
            check_affine(kernels, pixels, channels);
            check_plain(kernels, pixels * channels);
        }
    }

    #[test]
    fn pooling_finds_the_largest_of_each_window(
        pixels in 1usize..12,
        channels in 1usize..50,
        kernel in prop::array::uniform2(1usize..=3),
        stride in 1usize..=3,
        beyond in 0usize..3,
    ) {
        let width = (pixels - 1) * stride + kernel[1] + beyond;
        let row = PoolRow { channels, kernel, stride, x_row: width * channels };
        for kernels in Kernels::supported() {
            check_pool(kernels, row, pixels);
        }
    }
}

#[test]
fn a_nan_is_never_hidden() {
    for kernels in Kernels::supported() {
        let mut y = [0.0; 3];
        kernels.relu(&[f32::NAN, -1.0, 1.0], &mut y);
        assert!(y[0].is_nan(), "{kernels:?}");
        let row = PoolRow {
            channels: 1,
            kernel: [1, 3],
            stride: 1,
            x_row: 3,
        };
        let (mut y, mut places) = ([0.0], [0]);
        kernels.max_pool(&row, &[1.0, f32::NAN, 2.0], &mut y, &mut places);
        assert!(y[0].is_nan() && places[0] == 1, "{kernels:?}");
    }
}
