//! Figures with their intervals as small horizontal drawings: one per class in
//! the table, and honest against naive side by side.

use biophony_model::bootstrap::Interval;

use super::chart::{Axis, place};

/// A dot for the figure and a line for its interval on a scale from 0 to 1.
#[derive(Debug, Clone)]
pub(super) struct IntervalMark {
    pub(super) dot: String,
    pub(super) low: String,
    pub(super) high: String,
}

impl IntervalMark {
    /// Places a figure on a scale from 0 at `start` to 1 at `end`.
    pub(super) fn new(value: f64, interval: Option<&Interval>, [start, end]: [f64; 2]) -> Self {
        let axis = Axis::new([0.0, 1.0], [start, end], 1);
        let at = |value: f64| place(axis.place(value.clamp(0.0, 1.0)));
        Self {
            dot: at(value),
            low: at(interval.map_or(value, |interval| interval.low)),
            high: at(interval.map_or(value, |interval| interval.high)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_interval_the_line_has_no_length() {
        let mark = IntervalMark::new(0.5, None, [0.0, 100.0]);
        assert_eq!(
            (mark.low.as_str(), mark.dot.as_str(), mark.high.as_str()),
            ("50.0", "50.0", "50.0")
        );
    }

    #[test]
    fn figures_outside_the_scale_stop_at_its_ends() {
        let interval = Interval {
            low: -0.5,
            high: 1.5,
        };
        let mark = IntervalMark::new(0.9, Some(&interval), [0.0, 10.0]);
        assert_eq!((mark.low.as_str(), mark.high.as_str()), ("0.0", "10.0"));
    }
}
