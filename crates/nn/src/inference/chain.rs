//! A pointwise convolution, a depthwise one and perhaps another pointwise one, computed
//! together.
//!
//! The first writes several times as many values as it reads, and a whole image of them
//! does not fit the cache. So they are computed a few rows at a time, as the depthwise
//! convolution comes to see them, and are forgotten when it has. Single steps are in
//! [`super::folded`].

use std::ops::Range;

use rayon::prelude::*;

use super::Threads;
use super::folded::FoldedStep;
use crate::Shape;
use crate::conv::Convolution;
use crate::graph::{ConvGeometry, ValueId};
use crate::kernels::{Finish, Kernels};
use crate::plan::{Plan, Step, StepOperation};
use crate::scratch::{Lengths, ScratchPool};
use crate::view::View;

/// Values that the rows of one band have between the convolutions, about: two thirds of
/// the smallest second-level caches.
const BAND_VALUES: usize = 40 * 1024;

/// Cuts steps into those that run together, in their order; most run alone.
pub(super) fn cut(kernels: &Kernels, plan: &Plan, steps: Range<usize>) -> Vec<Range<usize>> {
    let mut cut = Vec::new();
    let mut first = steps.start;
    while first < steps.end {
        let length = chain_length(kernels, plan, &plan.steps[first..steps.end]);
        cut.push(first..first + length);
        first += length;
    }
    cut
}

/// How many of the first steps run together.
fn chain_length(kernels: &Kernels, plan: &Plan, steps: &[Step]) -> usize {
    let [first, second, rest @ ..] = steps else {
        return 1;
    };
    let expands = geometry(first).is_some_and(is_pointwise);
    let sees_in_place = |conv: ConvGeometry| conv.sees_in_place(kernels.lanes());
    let depthwise = geometry(second).is_some_and(sees_in_place);
    if !(expands && depthwise && hands_over(plan, first, second)) {
        return 1;
    }
    match rest.first() {
        Some(third)
            if geometry(third).is_some_and(is_pointwise) && hands_over(plan, second, third) =>
        {
            3
        }
        _ => 2,
    }
}

/// The convolution of a step, unless it pools.
fn geometry(step: &Step) -> Option<ConvGeometry> {
    match &step.operation {
        StepOperation::Block(block) if block.pool.is_none() => block.conv.map(|conv| conv.geometry),
        _ => None,
    }
}

/// Whether each pixel of an image sees itself and nothing else.
fn is_pointwise(conv: ConvGeometry) -> bool {
    let each = conv.kernel == [1, 1] && conv.stride == [1, 1] && conv.padding == [0, 0];
    each && conv.groups == 1 && conv.input.n_pixels() > 1
}

/// Whether the second step reads the result of the first, and nobody else does.
fn hands_over(plan: &Plan, first: &Step, second: &Step) -> bool {
    let value: ValueId = first.output;
    let inputs = plan.steps.iter().flat_map(Step::inputs);
    let readers = inputs.filter(|&input| input == value).count();
    second.input == value && readers == 1 && plan.output != value
}

/// Steps that run together, for one image.
pub(super) struct Chain<'a> {
    expansion: Part<'a>,
    depthwise: Part<'a>,
    projection: Option<Part<'a>>,
}

/// A convolution with what becomes of its sums.
#[derive(Clone, Copy)]
struct Part<'a> {
    conv: &'a Convolution,
    finish: Finish,
    output: Shape,
}

impl<'a> Part<'a> {
    fn of(step: &'a FoldedStep) -> Self {
        let (conv, finish) = step.convolution().expect("chains are of convolutions");
        let output = step.output();
        Self {
            conv,
            finish,
            output,
        }
    }

    fn row_len(&self) -> usize {
        self.output.width * self.output.channels
    }
}

impl<'a> Chain<'a> {
    /// Two or three steps that [`cut`] found.
    pub(super) fn of(steps: &'a [FoldedStep]) -> Self {
        Self {
            expansion: Part::of(&steps[0]),
            depthwise: Part::of(&steps[1]),
            projection: steps.get(2).map(Part::of),
        }
    }

    /// Runs the steps for the image `x`.
    pub(super) fn run(&self, scratch: &ScratchPool, x: &[f32], y: &mut [f32], threads: Threads) {
        let last = self.projection.unwrap_or(self.depthwise);
        let row_len = last.row_len();
        let run = |first: usize, y: &mut [f32]| {
            self.run_rows(scratch, x, first..first + y.len() / row_len, y);
        };
        match threads {
            Threads::One => run(0, y),
            Threads::All => {
                // Parts see some rows twice, so there are no more of them than threads.
                let rows = last.output.height.div_ceil(rayon::current_num_threads());
                let parts = y.par_chunks_mut(rows * row_len).enumerate();
                parts.for_each(|(index, y)| run(index * rows, y));
            }
        }
    }

    /// Computes some rows of the result, band after band.
    fn run_rows(&self, scratch: &ScratchPool, x: &[f32], rows: Range<usize>, y: &mut [f32]) {
        let band = self.band_rows().min(rows.len());
        let most = |rows: Range<usize>| self.depthwise.conv.rows_seen(&rows).len();
        let starts = rows.clone().step_by(band);
        let bands = starts.map(|start| start..(start + band).min(rows.end));
        let most_seen = bands.clone().map(most).max().unwrap_or(0);
        let lengths = Lengths {
            image: most_seen * self.expansion.row_len(),
            frame: match self.projection {
                Some(_) => band * self.depthwise.row_len(),
                None => 0,
            },
            ..Lengths::default()
        };
        let row_len = y.len() / rows.len();
        scratch.with(lengths, |scratch| {
            let mut held = 0..0;
            for (rows, y) in bands.zip(y.chunks_mut(band * row_len)) {
                let seen = self.depthwise.conv.rows_seen(&rows);
                self.expand(x, &mut held, &seen, scratch.image);
                let seen = &scratch.image[..seen.len() * self.expansion.row_len()];
                self.reduce(seen, rows, scratch.frame, y);
            }
        });
    }

    /// Rows of the result in a band.
    fn band_rows(&self) -> usize {
        let depthwise = self.depthwise.conv;
        let per_row = depthwise.rows_seen(&(0..1)).len() * self.expansion.row_len();
        (BAND_VALUES / per_row).max(1)
    }

    /// Brings the rows that are seen into the buffer, in which other rows are held.
    fn expand(&self, x: &[f32], held: &mut Range<usize>, seen: &Range<usize>, buffer: &mut [f32]) {
        let row_len = self.expansion.row_len();
        let kept = seen.start..held.end.max(seen.start);
        if !kept.is_empty() {
            let from = (kept.start - held.start) * row_len;
            buffer.copy_within(from..from + kept.len() * row_len, 0);
        }
        let new = &mut buffer[kept.len() * row_len..seen.len() * row_len];
        let Part { conv, finish, .. } = self.expansion;
        conv.rows(View::plain(x), kept.end..seen.end, &mut [], new, finish);
        *held = seen.clone();
    }

    /// From the rows that are seen to some rows of the result.
    fn reduce(&self, seen: &[f32], rows: Range<usize>, between: &mut [f32], y: &mut [f32]) {
        let Part { conv, finish, .. } = self.depthwise;
        let Some(projection) = self.projection else {
            return conv.rows_of_seen(seen, rows, y, finish);
        };
        let n_rows = rows.len();
        let between = &mut between[..n_rows * self.depthwise.row_len()];
        conv.rows_of_seen(seen, rows, between, finish);
        let Part { conv, finish, .. } = projection;
        conv.rows(View::plain(between), 0..n_rows, &mut [], y, finish);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::Random;
    use crate::{Inference, Layer, Network, NetworkSpec, Padding};

    fn conv(outputs: usize, kernel: [usize; 2], stride: [usize; 2], groups: usize) -> Layer {
        Layer::Conv2d {
            outputs,
            kernel,
            stride,
            padding: Padding::Same,
            groups,
            bias: true,
        }
    }

    /// The same layers, some of which are followed by dropout, which does nothing in
    /// inference but to keep steps apart.
    fn network(layers: &[Layer], input: Shape, apart: bool) -> Network {
        let mut spec = NetworkSpec {
            input,
            layers: Vec::new(),
        };
        for layer in layers {
            spec.layers.push(layer.clone());
            if apart {
                spec.layers.push(Layer::Dropout { rate: 0.5 });
            }
        }
        Network::new(&spec, 5).expect("layers that fit")
    }

    proptest! {
        #[test]
        fn steps_together_give_what_they_give_alone(
            height in 2_usize..20,
            width in 2_usize..20,
            kernel in (1_usize..6, 1_usize..4),
            stride in (1_usize..4, 1_usize..3),
            groups in 1_usize..4,
            ends in 0_usize..3,
            n_threads in 1_usize..4,
        ) {
            let input = Shape { height, width, channels: 5 };
            let kernel = [kernel.0.min(height), kernel.1.min(width)];
            let inner = 16 * groups;
            let mut layers = vec![conv(inner, [1, 1], [1, 1], 1)];
            layers.push(conv(inner, kernel, stride.into(), inner));
            if ends > 0 {
                layers.push(conv(7, [1, 1], [1, 1], 1));
            }
            if ends > 1 {
                layers.push(Layer::Relu);
            }
            let mut random = Random::new(3, 4);
            let x: Vec<f32> = (0..input.n_values()).map(|_| random.uniform() as f32).collect();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            for kernels in Kernels::supported() {
                let [together, apart] = [false, true].map(|apart| {
                    let network = network(&layers, input, apart);
                    let mut space = Inference::with_kernels(kernels, &network, 1);
                    let n_units = space.units.len();
                    (pool.install(|| network.forward(&mut space, &x, 1).to_vec()), n_units)
                });
                // To the last bit.
                prop_assert_eq!(together.0, apart.0);
                prop_assert_eq!(together.1, 1);
                // Steps on a single pixel are the whole batch's, and no units here.
                prop_assert!(apart.1 > 1);
            }
        }
    }
}
