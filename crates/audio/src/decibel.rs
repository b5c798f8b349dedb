//! Decibels: `librosa.power_to_db`, fast.
//!
//! The logarithm is a polynomial that the compiler turns into vector code ([`instructions`]); its
//! error against `f64::log10` stays below 2e-5 dB for powers of ±100 dB, an
//! `f32`'s own rounding included (tested here for every exponent).

use serde::{Deserialize, Serialize};

use crate::error::AudioError;
use crate::features::within;
use crate::instructions::{self, dispatch};

/// The power that counts as 0 dB.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "WrittenReference", into = "WrittenReference")]
pub enum Reference {
    /// This power.
    Value(f32),
    /// The largest power present; librosa's `ref=np.max`.
    Max,
}

impl Default for Reference {
    fn default() -> Self {
        Reference::Value(1.0)
    }
}

/// A number, or the word "max".
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "neither a number nor \"max\"")]
enum WrittenReference {
    Number(f32),
    Word(String),
}

impl TryFrom<WrittenReference> for Reference {
    type Error = String;

    fn try_from(written: WrittenReference) -> Result<Self, String> {
        match written {
            WrittenReference::Number(value) => Ok(Reference::Value(value)),
            WrittenReference::Word(word) if word == "max" => Ok(Reference::Max),
            WrittenReference::Word(word) => {
                Err(format!("`ref` is \"{word}\", neither a number nor \"max\""))
            }
        }
    }
}

impl From<Reference> for WrittenReference {
    fn from(reference: Reference) -> Self {
        match reference {
            Reference::Value(value) => WrittenReference::Number(value),
            Reference::Max => WrittenReference::Word("max".into()),
        }
    }
}

/// Turns powers into decibels in place: `10 · log10(max(amin, power) / ref)`,
/// and nothing more than `top_db` below the largest.
///
/// # Errors
///
/// When `amin` is not positive or `top_db` is negative.
pub fn power_to_db(
    power: &mut [f32],
    reference: Reference,
    amin: f32,
    top_db: Option<f32>,
) -> Result<(), AudioError> {
    within("amin", amin.into(), f32::MIN_POSITIVE.into(), f64::MAX)?;
    within("top_db", top_db.unwrap_or(0.0).into(), 0.0, f64::MAX)?;
    let zero = match reference {
        Reference::Value(value) => value.abs(),
        Reference::Max => largest(power),
    };
    to_db(power, amin);
    shift_and_clip(power, level(zero, amin), top_db);
    Ok(())
}

/// The level of a reference power, which is subtracted from every other.
pub(crate) fn level(reference: f32, amin: f32) -> f32 {
    (10.0 * f64::from(reference.max(amin)).log10()) as f32
}

/// `10 · log10(max(amin, power))`, in place.
pub(crate) fn to_db(power: &mut [f32], amin: f32) {
    dispatch!(instructions::level(), _simd => ten_log10_of_each(power, amin));
}

#[inline(always)]
fn ten_log10_of_each(power: &mut [f32], amin: f32) {
    for value in power {
        *value = ten_log10(if *value < amin { amin } else { *value });
    }
}

/// Subtracts the level of the reference and lifts what lies more than `top_db`
/// below the largest value.
pub(crate) fn shift_and_clip(db: &mut [f32], level: f32, top_db: Option<f32>) {
    let floor = top_db.map_or(f32::NEG_INFINITY, |top_db| largest(db) - level - top_db);
    if level == 0.0 && top_db.is_none() {
        return;
    }
    dispatch!(instructions::level(), _simd => subtract_and_lift(db, level, floor));
}

#[inline(always)]
fn subtract_and_lift(db: &mut [f32], level: f32, floor: f32) {
    for value in db {
        let shifted = *value - level;
        *value = if shifted < floor { floor } else { shifted };
    }
}

/// The largest value of each column.
pub(crate) fn largest_of_rows<const N: usize>(rows: &[[f32; N]]) -> [f32; N] {
    dispatch!(instructions::level(), _simd => largest_of_columns(rows))
}

#[inline(always)]
fn largest_of_columns<const N: usize>(rows: &[[f32; N]]) -> [f32; N] {
    let mut largest = [f32::NEG_INFINITY; N];
    for row in rows {
        for i in 0..N {
            largest[i] = if row[i] > largest[i] {
                row[i]
            } else {
                largest[i]
            };
        }
    }
    largest
}

/// The largest of the values; eight at a time, so that it can be vector code.
pub(crate) fn largest(values: &[f32]) -> f32 {
    dispatch!(instructions::level(), _simd => largest_of_lanes(values))
}

#[inline(always)]
fn largest_of_lanes(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 8];
    let mut chunks = values.chunks_exact(8);
    for chunk in &mut chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    let rest = chunks.remainder().iter().chain(&lanes);
    rest.copied().fold(f32::NEG_INFINITY, f32::max)
}

/// `10 · log10(x)` of a positive, normal `x`; infinity and NaN pass through.
///
/// `x` is split into `2^e · (1 + f)` with `1 + f` between √½ and √2; the
/// logarithm of `1 + f` is the polynomial of Cephes' `logf` (S. Moshier,
/// "Methods and Programs for Mathematical Functions", 1989), whose relative
/// error is below 1e-7.
#[inline(always)]
fn ten_log10(x: f32) -> f32 {
    const DB_PER_OCTAVE: f32 = 3.010_3;
    const DB_PER_NEPER: f32 = 4.342_944_8;
    /// The bits of √½: subtracting them makes the exponent field round there.
    const SQRT_HALF: u32 = 0x3f35_04f3;

    let bits = x.to_bits();
    let shifted = bits.wrapping_sub(SQRT_HALF) as i32;
    let exponent = (shifted >> 23) as f32;
    let mantissa = bits.wrapping_sub((shifted as u32) & 0xff80_0000);
    let f = f32::from_bits(mantissa) - 1.0;

    let square = f * f;
    let mut tail = 7.037_683_6e-2;
    for coefficient in [
        -1.151_461e-1,
        1.167_699_87e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_7e-1,
        2.000_071_4e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ] {
        tail = tail * f + coefficient;
    }
    let log = f + (tail * f - 0.5) * square;
    let db = exponent * DB_PER_OCTAVE + log * DB_PER_NEPER;
    if x < f32::INFINITY { db } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest error in dB over one octave from `2^exponent` on.
    fn largest_error(exponent: i32) -> f64 {
        let first = 2.0_f32.powi(exponent).to_bits();
        (first..first + (1 << 23))
            .step_by(1013)
            .map(f32::from_bits)
            .map(|x| (f64::from(ten_log10(x)) - 10.0 * f64::from(x).log10()).abs())
            .fold(0.0, f64::max)
    }

    #[test]
    fn the_fast_logarithm_keeps_its_bound_in_every_octave() {
        for exponent in -126_i32..128 {
            // Beyond ±100 dB the spacing of `f32` itself is wider.
            let bound = if exponent.abs() <= 33 { 2e-5 } else { 8e-5 };
            let error = largest_error(exponent);
            assert!(error < bound, "{error:e} dB from 2^{exponent} on");
        }
    }

    #[test]
    fn exact_powers_of_ten_are_near_exact_levels() {
        assert_eq!(ten_log10(1.0), 0.0);
        assert_eq!(ten_log10(f32::INFINITY), f32::INFINITY);
        assert!(ten_log10(f32::NAN).is_nan());
    }

    #[track_caller]
    fn check(reference: Reference, top_db: Option<f32>, expected: [f32; 3]) {
        let mut values = [100.0, 1e-3, 0.0];
        power_to_db(&mut values, reference, 1e-6, top_db).expect("valid");
        for (value, expected) in values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-4, "{values:?}");
        }
    }

    #[test]
    fn levels_are_counted_from_the_reference_and_end_at_the_floor() {
        check(Reference::Value(1.0), None, [20.0, -30.0, -60.0]);
        check(Reference::Max, None, [0.0, -50.0, -80.0]);
        check(Reference::Value(10.0), Some(45.0), [10.0, -35.0, -35.0]);
        check(Reference::Value(0.0), Some(0.0), [80.0, 80.0, 80.0]);
    }

    #[test]
    fn an_impossible_floor_is_refused() {
        assert!(power_to_db(&mut [1.0], Reference::Max, 0.0, None).is_err());
        assert!(power_to_db(&mut [1.0], Reference::Max, 1e-9, Some(-1.0)).is_err());
        assert!(power_to_db(&mut [1.0], Reference::Max, f32::NAN, None).is_err());
    }
}
