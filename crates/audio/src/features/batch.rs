//! Several frames side by side, from samples to bands.
//!
//! A power of each frame is a lane of a vector, and so is a band. Which frames need
//! double precision is decided in [`super::precision`]; the transforms live in
//! [`crate::stft`].

use fearless_simd::{Level, Simd, SimdBase};

use super::FeatureConfig;
use super::filters::Filters;
use crate::instructions::{self, dispatch};
use crate::mel::MelFilterbank;
use crate::stft::{
    Aligned, Frames, LaneScratch, LaneTransform, MAX_LANES, RealScratch, Sample, Transform,
};

/// One value of each frame of a batch.
pub(super) type Values = [f32; MAX_LANES];

/// How frames become bands in one precision.
pub(super) struct Analysis<T: Sample> {
    spectra: Spectra<T>,
    filters: Filters<T>,
    n_bins: usize,
    power: f32,
    level: Level,
}

/// How frames become spectra: all lanes at once, where the length allows it.
enum Spectra<T: Sample> {
    SideBySide(LaneTransform<T>),
    OneByOne(Transform<T>),
}

/// What a transform writes to on its way.
enum Scratch<T> {
    SideBySide(LaneScratch<T>),
    OneByOne(RealScratch<T>, Vec<T>),
}

impl<T: Sample> Analysis<T> {
    /// # Shapes
    ///
    /// - `window`: `[n_fft]`
    pub(super) fn new(window: &[f64], config: &FeatureConfig, filterbank: &MelFilterbank) -> Self {
        let spectra = match LaneTransform::new(window) {
            Some(transform) => Spectra::SideBySide(transform),
            None => Spectra::OneByOne(Transform::new(window)),
        };
        Self {
            spectra,
            filters: Filters::of(filterbank),
            n_bins: filterbank.n_bins(),
            power: config.power(),
            level: instructions::level(),
        }
    }

    /// A batch without frames in it.
    pub(super) fn batch(&self) -> Batch<'_, T> {
        let scratch = match &self.spectra {
            Spectra::SideBySide(transform) => Scratch::SideBySide(transform.scratch()),
            Spectra::OneByOne(transform) => {
                Scratch::OneByOne(transform.scratch(), vec![T::ZERO; self.n_bins])
            }
        };
        Batch {
            analysis: self,
            bands: vec![[0.0; MAX_LANES]; self.filters.n_bands()],
            energies: [0.0; MAX_LANES],
            scratch,
            powers: Aligned::new((self.n_bins + 1) * MAX_LANES),
            padded: Vec::new(),
        }
    }

    /// How many frames go into a batch.
    fn capacity(&self) -> usize {
        dispatch!(self.level, simd => lanes::<T, _>(simd))
    }
}

#[inline(always)]
fn lanes<T: Sample, S: Simd>(_simd: S) -> usize {
    T::Native::<S>::LEN
}

/// The bands of a few frames, and room to compute them.
pub(super) struct Batch<'a, T: Sample> {
    analysis: &'a Analysis<T>,
    /// `[n_mels]`
    pub(super) bands: Vec<Values>,
    /// The sum of `|X|²` of each frame.
    pub(super) energies: Values,
    scratch: Scratch<T>,
    /// `|X|^power`, `[n_bins + 1, lanes]`; the last row is what [`LaneTransform`] wants.
    powers: Aligned<T>,
    /// Frames that reach beyond the signal, with their padding.
    padded: Vec<f32>,
}

impl<T: Sample> Batch<'_, T> {
    /// How many frames there may be.
    pub(super) fn capacity(&self) -> usize {
        self.analysis.capacity()
    }

    /// Computes the bands of the frames at some places in time, at most as many as the
    /// capacity. What lanes without a frame hold does not count.
    pub(super) fn fill(&mut self, frames: &Frames<'_>, times: &[usize]) {
        let Analysis { spectra, level, .. } = self.analysis;
        let powers = self.powers.get();
        match (spectra, &mut self.scratch) {
            (Spectra::SideBySide(transform), Scratch::SideBySide(scratch)) => {
                let sources = sources(frames, times, &mut self.padded);
                dispatch!(*level, simd => {
                    let energies = transform.powers(simd, &sources, scratch, powers);
                    write_lanes(simd, energies, &mut self.energies);
                });
            }
            (Spectra::OneByOne(transform), Scratch::OneByOne(scratch, spectrum)) => {
                let lanes = self.analysis.capacity();
                for (lane, &t) in times.iter().enumerate() {
                    transform.spectrum(frames, t, scratch, spectrum, |bin| {
                        bin.re * bin.re + bin.im * bin.im
                    });
                    for (row, &bin) in powers.chunks_exact_mut(lanes).zip(&*spectrum) {
                        row[lane] = bin;
                    }
                }
                let powers = &powers[..self.analysis.n_bins * lanes];
                dispatch!(*level, simd => {
                    let energies = sum_of_rows(simd, powers);
                    write_lanes(simd, energies, &mut self.energies);
                });
            }
            _ => unreachable!("the scratch is that of the spectra"),
        }
        self.gather();
    }

    /// From powers to bands.
    fn gather(&mut self) {
        let Analysis { filters, level, .. } = self.analysis;
        let n_values = self.analysis.n_bins * self.analysis.capacity();
        let powers = &mut self.powers.get()[..n_values];
        raise(powers, self.analysis.power);
        dispatch!(*level, simd => filters.apply(simd, powers, &mut self.bands));
    }
}

/// The samples of some frames, by way of `padded` where they reach beyond the signal. The
/// last stands in for those that are not there.
fn sources<'a>(
    frames: &Frames<'a>,
    times: &[usize],
    padded: &'a mut Vec<f32>,
) -> [&'a [f32]; MAX_LANES] {
    padded.clear();
    for &t in times.iter().filter(|&&t| frames.inside(t).is_none()) {
        padded.extend(frames.padded(t));
    }
    let mut outside = padded.chunks_exact(frames.n_fft());
    let mut sources: [&[f32]; MAX_LANES] = [&[]; MAX_LANES];
    let mut last: &[f32] = &[];
    for (lane, source) in sources.iter_mut().enumerate() {
        if let Some(&t) = times.get(lane) {
            let next_outside = || outside.next().expect("all of them are padded");
            last = frames.inside(t).unwrap_or_else(next_outside);
        }
        *source = last;
    }
    sources
}

#[inline(always)]
fn write_lanes<T: Sample, S: Simd, V: SimdBase<S, Element = T>>(
    _simd: S,
    lanes: V,
    values: &mut Values,
) {
    for (value, &lane) in values.iter_mut().zip(lanes.as_slice()) {
        *value = lane.single();
    }
}

#[inline(always)]
fn sum_of_rows<T: Sample, S: Simd>(simd: S, rows: &[T]) -> T::Native<S> {
    let mut sum = T::Native::<S>::splat(simd, T::ZERO);
    for row in rows.chunks_exact(T::Native::<S>::LEN) {
        sum += T::Native::<S>::from_slice(simd, row);
    }
    sum
}

/// Turns `|X|²` into `|X|^power`.
fn raise<T: Sample>(values: &mut [T], power: f32) {
    if power != 2.0 {
        let half = power / 2.0;
        values
            .iter_mut()
            .for_each(|value| *value = value.raised(half));
    }
}
