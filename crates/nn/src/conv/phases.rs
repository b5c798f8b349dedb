//! The phases that the gradient of a convolution's input falls into, and the frame of
//! zeros that its result's gradient needs around it.

use std::ops::Range;

use crate::graph::ConvGeometry;
use crate::kernels::Kernels;
use crate::kernels::conv::{DepthwiseWeights, PackedWeights};
use crate::kernels::winograd::{Order, Tiling, WinogradWeights};

/// Where the gradient of a result lies in a larger image of zeros, so that every
/// phase finds a value wherever it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Zeros above and to the left.
    pub(super) before: [usize; 2],
    /// Extent with all zeros.
    pub(super) extent: [usize; 2],
}

/// The input pixels that the same taps reach.
#[derive(Debug)]
pub(super) struct Phase {
    pub(super) down: AxisPhase,
    pub(super) across: AxisPhase,
    pub(super) filters: PhaseFilters,
}

#[derive(Debug)]
pub(super) enum PhaseFilters {
    Grouped(Vec<PackedWeights>),
    Tiled(WinogradWeights),
    Depthwise(DepthwiseWeights),
}

/// One axis of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AxisPhase {
    /// The first input coordinate; the next is one stride further.
    pub(super) first: usize,
    pub(super) count: usize,
    /// The output coordinate that the first input sees first; may lie before the border.
    pub(super) seen: isize,
    pub(super) n_taps: usize,
    /// The kernel's coordinate at the first tap; the next is one stride less.
    pub(super) last_tap: usize,
}

impl AxisPhase {
    /// All phases of one axis that have any pixels.
    fn all(
        input: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> impl Iterator<Item = Self> {
        (0..stride.min(input)).map(move |first| {
            // Input `first + stride · a` is reached from output `a + base - t` by tap `tap + stride · t`.
            let tap = (first + padding) % stride;
            let base = ((first + padding) / stride) as isize;
            let n_taps = kernel.saturating_sub(tap).div_ceil(stride);
            let steps_back = n_taps.saturating_sub(1);
            Self {
                first,
                count: (input - first).div_ceil(stride),
                seen: base - steps_back as isize,
                n_taps,
                last_tap: tap + stride * steps_back,
            }
        })
    }

    /// The output coordinates seen, from the first to beyond the last.
    fn range(&self) -> Range<isize> {
        self.seen..self.seen + (self.count + self.n_taps) as isize - 1
    }
}

impl Frame {
    /// Just large enough for the phases, and for whole tiles if it goes by them.
    pub(super) fn around(
        geometry: &ConvGeometry,
        phases: &[[AxisPhase; 2]],
        tiling: Option<Tiling>,
    ) -> Self {
        let whole = tiling.map_or(1, Tiling::side);
        let output = [geometry.output.height, geometry.output.width];
        let output = output.map(|extent| extent.next_multiple_of(whole));
        let range = move |phase: AxisPhase| match tiling {
            Some(tiling) => phase.seen..phase.seen + tiling.seen_by(phase.count) as isize,
            None => phase.range(),
        };
        let seen = |axis: usize| phases.iter().map(move |phase| range(phase[axis]));
        let before = [0, 1].map(|axis| {
            seen(axis)
                .map(|range| (-range.start).max(0) as usize)
                .max()
                .unwrap_or(0)
        });
        let extent = [0, 1].map(|axis| {
            let end = seen(axis)
                .map(|range| range.end.max(0) as usize)
                .max()
                .unwrap_or(0);
            before[axis] + end.max(output[axis])
        });
        Self { before, extent }
    }
}

/// The phases of both axes.
pub(super) fn axis_phases(geometry: &ConvGeometry) -> [Vec<AxisPhase>; 2] {
    let input = [geometry.input.height, geometry.input.width];
    [0, 1].map(|axis| {
        let (kernel, stride) = (geometry.kernel[axis], geometry.stride[axis]);
        AxisPhase::all(input[axis], kernel, stride, geometry.padding[axis]).collect()
    })
}

impl Phase {
    pub(super) fn new(
        kernels: &'static Kernels,
        geometry: &ConvGeometry,
        [down, across]: [AxisPhase; 2],
    ) -> Self {
        let n_taps = down.n_taps * across.n_taps;
        let filters = if geometry.is_depthwise() {
            let channels = geometry.output.channels;
            PhaseFilters::Depthwise(DepthwiseWeights::new(kernels, n_taps, channels))
        } else if let Some(tiling) = geometry.tiling(kernels) {
            let (inputs, outputs) = (geometry.input.channels, geometry.output.channels);
            PhaseFilters::Tiled(WinogradWeights::new(kernels, tiling, [outputs, inputs]))
        } else {
            let taps = n_taps * geometry.outputs_per_group();
            let one = PackedWeights::new(kernels, taps, geometry.inputs_per_group());
            PhaseFilters::Grouped(vec![one; geometry.groups])
        };
        Self {
            down,
            across,
            filters,
        }
    }

    pub(super) fn n_taps(&self) -> usize {
        self.down.n_taps * self.across.n_taps
    }

    /// Takes over the weights in the order of the taps, which is that of the outputs
    /// seen and turns the kernel around.
    pub(super) fn pack(&mut self, geometry: &ConvGeometry, weights: &[f32]) {
        let outputs = geometry.output.channels;
        let (inputs, per_group) = (geometry.inputs_per_group(), geometry.outputs_per_group());
        let Self {
            down,
            across,
            filters,
        } = self;
        let kernel_index = |place: usize| {
            let (row, column) = (place / across.n_taps, place % across.n_taps);
            let row = down.last_tap - row * geometry.stride[0];
            let column = across.last_tap - column * geometry.stride[1];
            row * geometry.kernel[1] + column
        };
        match filters {
            PhaseFilters::Grouped(groups) => {
                for (group, packed) in groups.iter_mut().enumerate() {
                    packed.pack(|tap, first, row| {
                        let (place, output) = (tap / per_group, tap % per_group);
                        let from = (kernel_index(place) * inputs + first) * outputs
                            + group * per_group
                            + output;
                        let column = weights[from..].iter().step_by(outputs);
                        for (to, &weight) in row.iter_mut().zip(column) {
                            *to = weight;
                        }
                    });
                }
            }
            // Outputs are what the gradient of the input is made of.
            PhaseFilters::Tiled(packed) => packed.pack(Order::ByOutput, |place| {
                let len = inputs * outputs;
                &weights[kernel_index(place) * len..][..len]
            }),
            PhaseFilters::Depthwise(packed) => packed.pack(|place, row| {
                row.copy_from_slice(&weights[kernel_index(place) * outputs..][..outputs]);
            }),
        }
    }

    /// Writes zeros to pixels that no tap reaches.
    pub(super) fn clear(&self, geometry: &ConvGeometry, dx: &mut [f32]) {
        let channels = geometry.input.channels;
        for row in 0..self.down.count {
            let row = self.down.first + row * geometry.stride[0];
            for column in 0..self.across.count {
                let column = self.across.first + column * geometry.stride[1];
                dx[(row * geometry.input.width + column) * channels..][..channels].fill(0.0);
            }
        }
    }
}
