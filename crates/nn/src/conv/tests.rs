//! Convolutions of random shapes against nested loops, on every instruction set.

use proptest::prelude::*;

use super::{ConvGradient, Convolution};
use crate::graph::ConvGeometry;
use crate::kernels::winograd::Tiling;
use crate::kernels::{Finish, Kernels, Sums};
use crate::random::Random;
use crate::view::View;
use crate::{Padding, Shape};

/// The textbook definition: `visit(output index, input index, weight index)` for
/// each product; weights are `[row, column, input, output]`.
fn each_product(geometry: &ConvGeometry, mut visit: impl FnMut(usize, usize, usize)) {
    let ConvGeometry {
        input,
        output,
        kernel,
        stride,
        padding,
        ..
    } = *geometry;
    let (inputs, outputs) = (geometry.inputs_per_group(), geometry.outputs_per_group());
    for row in 0..output.height {
        for column in 0..output.width {
            for channel in 0..output.channels {
                for tap in 0..geometry.taps() {
                    let (place, from) = (tap / inputs, tap % inputs);
                    let y = (row * stride[0] + place / kernel[1]).checked_sub(padding[0]);
                    let x = (column * stride[1] + place % kernel[1]).checked_sub(padding[1]);
                    let (Some(y), Some(x)) = (y, x) else { continue };
                    if y >= input.height || x >= input.width {
                        continue;
                    }
                    let group = channel / outputs;
                    visit(
                        (row * output.width + column) * output.channels + channel,
                        (y * input.width + x) * input.channels + group * inputs + from,
                        tap * output.channels + channel,
                    );
                }
            }
        }
    }
}

fn noise(n: usize, stream: u64) -> Vec<f32> {
    let mut random = Random::new(11, stream);
    (0..n).map(|_| random.uniform() as f32 - 0.5).collect()
}

#[track_caller]
fn assert_close(what: &str, kernels: &Kernels, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        let message = format!("{what} of {kernels:?} at {index}: {found}, expected {expected}");
        assert!(error < 1e-4, "{message}");
    }
}

fn check(geometry: ConvGeometry) {
    for kernels in Kernels::supported() {
        check_result(kernels, geometry);
        check_gradients(kernels, geometry);
    }
}

/// The result, in two bands, rectified and not.
fn check_result(kernels: &'static Kernels, geometry: ConvGeometry) {
    let ConvGeometry { input, output, .. } = geometry;
    let (x, weights) = (noise(input.n_values(), 0), noise(geometry.n_weights(), 1));
    let bias = noise(output.channels, 2);
    let mut expected: Vec<f64> = (0..output.n_values())
        .map(|index| f64::from(bias[index % output.channels]))
        .collect();
    each_product(&geometry, |to, from, weight| {
        expected[to] += f64::from(x[from]) * f64::from(weights[weight]);
    });

    let mut conv = Convolution::new(kernels, geometry);
    conv.pack(&weights, Some(&bias));
    let mut scratch = vec![f32::NAN; conv.scratch_len(View::plain(&x), output.height)];
    let mut y = vec![f32::NAN; output.n_values()];
    let half = output.height / 2;
    let (upper, lower) = y.split_at_mut(half * output.width * output.channels);
    conv.rows(View::plain(&x), 0..half, &mut scratch, upper, Finish::Write);
    conv.rows(
        View::plain(&x),
        half..output.height,
        &mut scratch,
        lower,
        Finish::Write,
    );
    assert_close("result", kernels, &y, &expected);

    conv.rows(
        View::plain(&x),
        0..output.height,
        &mut scratch,
        &mut y,
        Finish::Relu,
    );
    let rectified: Vec<f64> = expected.iter().map(|value| value.max(0.0)).collect();
    assert_close("rectified result", kernels, &y, &rectified);
}

/// The gradients of input and weights, written and added.
fn check_gradients(kernels: &'static Kernels, geometry: ConvGeometry) {
    let ConvGeometry { input, output, .. } = geometry;
    let (x, weights) = (noise(input.n_values(), 0), noise(geometry.n_weights(), 1));
    let dy = noise(output.n_values(), 3);
    let (mut dx, mut dw) = (vec![0.0f64; x.len()], vec![0.0f64; weights.len()]);
    each_product(&geometry, |to, from, weight| {
        dx[from] += f64::from(dy[to]) * f64::from(weights[weight]);
        dw[weight] += f64::from(dy[to]) * f64::from(x[from]);
    });

    let mut gradient = ConvGradient::new(kernels, geometry, true);
    gradient.pack(&weights);
    let mut frame = vec![f32::NAN; gradient.framed_len(1)];
    let row_len = output.width * output.channels;
    gradient.fill_border(&mut frame);
    for (row, values) in dy.chunks_exact(row_len).enumerate() {
        gradient.row_mut(&mut frame, row).copy_from_slice(values);
    }
    let mut scratch = vec![f32::NAN; gradient.scratch_len(View::plain(&x), output.height)];
    let mut found = vec![f32::NAN; x.len()];
    gradient.input(&frame, &mut scratch, &mut found, Finish::Write);
    assert_close("input gradient", kernels, &found, &dx);
    gradient.input(&frame, &mut scratch, &mut found, Finish::Add);
    let twice: Vec<f64> = dx.iter().map(|value| 2.0 * value).collect();
    assert_close("added input gradient", kernels, &found, &twice);

    let mut partials = vec![f32::NAN; 2 * gradient.padded_weights_len()];
    for partial in partials.chunks_exact_mut(gradient.padded_weights_len()) {
        // Not within a tile.
        let whole = geometry.tiling(kernels).map_or(1, Tiling::side);
        let half = output.height / 2 / whole * whole;
        for (rows, sums) in [(0..half, Sums::Write), (half..output.height, Sums::Add)] {
            let dw = (&mut *partial, sums);
            gradient.weights(View::plain(&x), rows, &frame, &mut scratch, dw);
        }
    }
    let partials = gradient.join(&mut partials);
    let mut found = vec![f32::NAN; weights.len()];
    for (tap, row) in found.chunks_exact_mut(output.channels).enumerate() {
        gradient.reduce_tap(partials, tap, row);
    }
    let twice: Vec<f64> = dw.iter().map(|value| 2.0 * value).collect();
    assert_close("weight gradient", kernels, &found, &twice);
}

/// Results and gradients of images together, beside those of each by itself.
fn check_together(geometry: ConvGeometry, count: usize) {
    let ConvGeometry { input, output, .. } = geometry;
    let (x, dy) = (
        noise(count * input.n_values(), 0),
        noise(count * output.n_values(), 3),
    );
    let weights = noise(geometry.n_weights(), 1);
    let mut expected = vec![0.0; dy.len()];
    let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; weights.len()]);
    for image in 0..count {
        let (in_x, in_y) = (image * input.n_values(), image * output.n_values());
        each_product(&geometry, |to, from, weight| {
            let (to, from) = (in_y + to, in_x + from);
            let (x, dy) = (f64::from(x[from]), f64::from(dy[to]));
            expected[to] += x * f64::from(weights[weight]);
            dx[from] += dy * f64::from(weights[weight]);
            dw[weight] += dy * x;
        });
    }
    for kernels in Kernels::supported() {
        if geometry.tiling(kernels).is_none() {
            continue;
        }
        let mut conv = Convolution::new(kernels, geometry);
        conv.pack(&weights, None);
        let mut scratch = vec![f32::NAN; conv.images_scratch_len(count)];
        let mut y = vec![f32::NAN; dy.len()];
        conv.images(View::plain(&x), &mut scratch, &mut y, Finish::Write);
        assert_close("results together", kernels, &y, &expected);

        let mut gradient = ConvGradient::new(kernels, geometry, true);
        gradient.pack(&weights);
        let mut framed = vec![f32::NAN; gradient.framed_len(count)];
        let frames = framed.chunks_exact_mut(gradient.frame_len());
        for (frame, dy) in frames.zip(dy.chunks_exact(output.n_values())) {
            gradient.fill_border(frame);
            let rows = dy.chunks_exact(output.width * output.channels);
            for (row, values) in rows.enumerate() {
                gradient.row_mut(frame, row).copy_from_slice(values);
            }
        }
        let mut scratch = vec![f32::NAN; gradient.images_scratch_len(count)];
        let mut found = vec![f32::NAN; x.len()];
        gradient.input(&framed, &mut scratch, &mut found, Finish::Write);
        assert_close("input gradients together", kernels, &found, &dx);

        // The last part has fewer images.
        let part = count.div_ceil(2);
        let part_len = gradient.frequencies_len(part);
        let mut parts = vec![f32::NAN; gradient.frequencies_len(count)];
        let images = x.chunks(part * input.n_values());
        for (index, (images, part_of)) in images.zip(parts.chunks_mut(part_len)).enumerate() {
            let framed = &framed[index * part * gradient.frame_len()..];
            gradient.frequencies(View::plain(images), framed, &mut scratch, part_of);
        }
        let mut sums = vec![f32::NAN; gradient.padded_weights_len()];
        gradient.tiled_weights(&parts, part_len, &mut sums);
        let mut found = vec![f32::NAN; weights.len()];
        for (tap, row) in found.chunks_exact_mut(output.channels).enumerate() {
            gradient.reduce_tap(&sums, tap, row);
        }
        assert_close("weight gradient together", kernels, &found, &dw);
    }
}

/// The geometry of valid settings, or `None`.
fn geometry(
    extent: [usize; 2],
    channels: [usize; 2],
    groups: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: Padding,
) -> Option<ConvGeometry> {
    let padding = padding.zeros(kernel);
    let [height, width] = [0, 1].map(|axis| {
        (extent[axis] + 2 * padding[axis])
            .checked_sub(kernel[axis])
            .map(|n| n / stride[axis] + 1)
    });
    Some(ConvGeometry {
        input: Shape {
            height: extent[0],
            width: extent[1],
            channels: channels[0] * groups,
        },
        output: Shape {
            height: height?,
            width: width?,
            channels: channels[1] * groups,
        },
        kernel,
        stride,
        padding,
        groups,
    })
}

/// Channels of a group: small, and around the widths of tiles.
fn channels() -> impl Strategy<Value = usize> {
    prop_oneof![
        1usize..=9,
        prop::sample::select(vec![15, 16, 17, 24, 32, 33, 40, 48, 50, 80])
    ]
}

fn pair(range: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = [usize; 2]> {
    prop::array::uniform2(range)
}

fn padding() -> impl Strategy<Value = Padding> {
    prop::sample::select(vec![Padding::Same, Padding::Valid])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_convolution_is_the_sum_of_its_products(
        extent in pair(1..=14),
        inputs in channels(),
        outputs in channels(),
        groups in prop::sample::select(vec![1, 1, 1, 2, 3]),
        kernel in pair(1..=5),
        stride in pair(1..=3),
        padding in padding(),
    ) {
        let channels = [inputs, outputs];
        if let Some(geometry) = geometry(extent, channels, groups, kernel, stride, padding) {
            check(geometry);
        }
    }

    #[test]
    fn a_convolution_by_tiles_is_the_sum_of_its_products(
        extent in pair(2..=15),
        inputs in 1usize..=4,
        outputs in 1usize..=4,
        padding in padding(),
    ) {
        let channels = [16 * inputs, 16 * outputs];
        if let Some(geometry) = geometry(extent, channels, 1, [3, 3], [1, 1], padding) {
            check(geometry);
        }
    }

    #[test]
    fn images_together_are_as_by_themselves(
        extent in pair(2..=11),
        inputs in 1usize..=3,
        outputs in 1usize..=3,
        count in 1usize..=5,
        padding in padding(),
    ) {
        let channels = [16 * inputs, 16 * outputs];
        if let Some(geometry) = geometry(extent, channels, 1, [3, 3], [1, 1], padding) {
            check_together(geometry, count);
        }
    }

    #[test]
    fn a_depthwise_convolution_is_the_sum_of_its_products(
        extent in pair(1..=20),
        // Whole vectors are read in place, others from a copy.
        groups in prop_oneof![2usize..=9, 15usize..=40, (1usize..=4).prop_map(|n| 16 * n)],
        kernel in pair(1..=5),
        stride in pair(1..=3),
        padding in padding(),
    ) {
        if let Some(geometry) = geometry(extent, [1, 1], groups, kernel, stride, padding) {
            check(geometry);
        }
    }
}

#[test]
fn a_long_row_is_cut_into_whole_tiles_and_a_rest() {
    for width in 20..=29 {
        let padding = Padding::Same;
        let geometry = geometry([3, width], [2, 70], 1, [3, 3], [1, 1], padding);
        check(geometry.expect("valid settings"));
    }
}
