//! Axes and paths: from values to places in an SVG drawing.
//!
//! Drawings are laid out here and written by the templates, so that labels are
//! escaped and colors follow the page's style.

/// One axis of a drawing.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
    /// Where it carries numbers.
    pub(super) ticks: Vec<Tick>,
}

/// A number on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// Its place in the drawing.
    pub(super) at: String,
    /// What is written there.
    pub(super) label: String,
}

impl Axis {
    /// An axis from `low` to `high`, drawn from `start` to `end`, with ticks at
    /// about `n_ticks` round numbers.
    ///
    /// An axis without extent is widened, so that every value has a place.
    pub(super) fn new([low, high]: [f64; 2], [start, end]: [f64; 2], n_ticks: usize) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let mut axis = Self {
            low,
            high,
            start,
            end,
            ticks: Vec::new(),
        };
        let step = round_step((high - low) / n_ticks.max(1) as f64);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        axis.ticks = (first..=last)
            .map(|index| index as f64 * step)
            .map(|value| Tick {
                at: place(axis.place(value)),
                label: format!("{value:.decimals$}"),
            })
            .collect();
        axis
    }

    /// Where a value lies in the drawing.
    pub(super) fn place(&self, value: f64) -> f64 {
        self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is at least `step`.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&round| round >= step * 0.999_999)
        .unwrap_or(step)
}

/// A coordinate as it is written into a drawing.
pub(super) fn place(pixels: f64) -> String {
    format!("{pixels:.1}")
}

/// A line through the points; it is interrupted where there is none.
pub(super) fn line(points: impl Iterator<Item = Option<(f64, f64)>>) -> String {
    let mut path = String::new();
    let mut pen = 'M';
    for point in points {
        match point {
            Some((x, y)) if x.is_finite() && y.is_finite() => {
                path.push_str(&format!("{pen}{x:.1} {y:.1}"));
                pen = 'L';
            }
            _ => pen = 'M',
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(range: [f64; 2], n_ticks: usize) -> Vec<String> {
        Axis::new(range, [0.0, 100.0], n_ticks)
            .ticks
            .into_iter()
            .map(|tick| tick.label)
            .collect()
    }

    #[test]
    fn ticks_are_round_numbers_inside_the_axis() {
        assert_eq!(
            labels([0.0, 1.0], 5),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(labels([1.0, 47.0], 5), ["10", "20", "30", "40"]);
        assert_eq!(labels([0.0, 0.03], 3), ["0.00", "0.01", "0.02", "0.03"]);
    }

    #[test]
    fn an_axis_without_extent_still_places_its_value() {
        assert_eq!(Axis::new([2.0, 2.0], [0.0, 100.0], 4).place(2.0), 0.0);
    }

    #[test]
    fn a_line_is_interrupted_where_a_value_is_missing() {
        let points = [
            Some((0.0, 1.0)),
            None,
            Some((2.0, f64::NAN)),
            Some((3.0, 4.0)),
            Some((5.0, 6.0)),
        ];
        assert_eq!(line(points.into_iter()), "M0.0 1.0M3.0 4.0L5.0 6.0");
    }
}
