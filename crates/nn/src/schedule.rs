//! How the learning rate changes over a training run.

use serde::{Deserialize, Serialize};

/// A learning rate as a function of the step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "schedule", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// The base rate throughout.
    Constant,
    /// A linear rise to the base rate, then half a cosine down to zero (Loshchilov and Hutter, 2017).
    Cosine {
        /// The part of all steps spent rising, from 0 to 1.
        #[serde(default)]
        warmup: f32,
    },
    /// Half a cosine up to the base rate and half a cosine down to almost nothing;
    /// `torch.optim.lr_scheduler.OneCycleLR`.
    OneCycle {
        /// The part of all steps spent rising, from 0 to 1.
        #[serde(default = "default_rise")]
        rise: f32,
        /// The first rate is the base rate divided by this.
        #[serde(default = "default_first_divisor")]
        first_divisor: f32,
        /// The last rate is the first rate divided by this.
        #[serde(default = "default_last_divisor")]
        last_divisor: f32,
    },
    /// The rate is multiplied by `factor` each time that `period` of all steps have passed.
    Step {
        /// The part of all steps between changes, above 0.
        period: f32,
        /// What the rate is multiplied by.
        factor: f32,
    },
}

impl Schedule {
    /// The learning rate of a step, counted from 0.
    ///
    /// ```
    /// # use biophony_nn::Schedule;
    /// let schedule = Schedule::Cosine { warmup: 0.1 };
    /// assert_eq!(schedule.learning_rate(0.5, 10, 100), 0.5);
    /// assert!(schedule.learning_rate(0.5, 99, 100) < 1e-3);
    /// ```
    pub fn learning_rate(&self, base: f32, step: u64, total_steps: u64) -> f32 {
        let (base, step, total) = (f64::from(base), step as f64, total_steps.max(1) as f64);
        let rate = match *self {
            Self::Constant => base,
            Self::Cosine { warmup } => {
                let rising = (f64::from(warmup) * total).round();
                if step < rising {
                    base * (step + 1.0) / (rising + 1.0)
                } else {
                    let rest = (total - rising).max(1.0);
                    base * half_cosine(1.0, 0.0, (step - rising) / rest)
                }
            }
            Self::OneCycle {
                rise,
                first_divisor,
                last_divisor,
            } => {
                let first = base / f64::from(first_divisor);
                let last = first / f64::from(last_divisor);
                let peak = f64::from(rise) * total - 1.0;
                if step <= peak {
                    half_cosine(first, base, step / peak.max(1.0))
                } else {
                    half_cosine(base, last, (step - peak) / (total - 1.0 - peak).max(1.0))
                }
            }
            Self::Step { period, factor } => {
                let passed = (step / (f64::from(period) * total).max(1.0)).floor();
                base * f64::from(factor).powf(passed)
            }
        };
        rate as f32
    }
}

/// From `start` to `end` along a cosine, as `progress` goes from 0 to 1.
fn half_cosine(start: f64, end: f64, progress: f64) -> f64 {
    let progress = progress.clamp(0.0, 1.0);
    end + (start - end) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

fn default_rise() -> f32 {
    0.3
}

fn default_first_divisor() -> f32 {
    25.0
}

fn default_last_divisor() -> f32 {
    1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schedule: Schedule, step: u64, total: u64, expected: f32) {
        let found = schedule.learning_rate(0.1, step, total);
        let close = (found - expected).abs() <= 1e-6 * expected.abs().max(1e-3);
        assert!(
            close,
            "step {step} of {total}: {found}, expected {expected}"
        );
    }

    #[test]
    fn cosine_rises_linearly_and_ends_near_zero() {
        let schedule = Schedule::Cosine { warmup: 0.2 };
        check(schedule, 0, 10, 0.1 / 3.0);
        check(schedule, 1, 10, 0.2 / 3.0);
        check(schedule, 2, 10, 0.1);
        check(schedule, 6, 10, 0.05);
        check(schedule, 10, 10, 0.0);
    }

    #[test]
    fn one_cycle_begins_peaks_and_ends_where_pytorch_does() {
        let schedule = Schedule::OneCycle {
            rise: 0.3,
            first_divisor: 25.0,
            last_divisor: 1e4,
        };
        check(schedule, 0, 100, 0.004);
        check(schedule, 29, 100, 0.1);
        check(schedule, 99, 100, 4e-7);
    }

    #[test]
    fn step_multiplies_after_each_period() {
        let schedule = Schedule::Step {
            period: 0.5,
            factor: 0.1,
        };
        check(schedule, 4, 10, 0.1);
        check(schedule, 5, 10, 0.01);
        check(schedule, 9, 10, 0.01);
    }

    #[test]
    fn no_schedule_divides_by_zero() {
        for schedule in [
            Schedule::Constant,
            Schedule::Cosine { warmup: 1.0 },
            Schedule::OneCycle {
                rise: 1.0,
                first_divisor: 25.0,
                last_divisor: 1e4,
            },
            Schedule::OneCycle {
                rise: 0.0,
                first_divisor: 25.0,
                last_divisor: 1e4,
            },
            Schedule::Step {
                period: 0.0,
                factor: 0.5,
            },
        ] {
            for (step, total) in [(0, 0), (0, 1), (1, 1), (5, 5)] {
                assert!(
                    schedule.learning_rate(0.1, step, total).is_finite(),
                    "{schedule:?}"
                );
            }
        }
    }
}
