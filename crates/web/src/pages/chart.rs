//! Curves: as numbers for the browser's modules, and laid out as SVG for pages.
//!
//! The drawing needs no script and no inline style; colors come from the style
//! sheet by class. What is drawn here is decided in [`super::runs`].

use serde::Serialize;
use utoipa::ToSchema;

use super::figures::Figure;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 34.0;

/// How many colors the style sheet has for lines; then they come again.
const N_COLORS: usize = 6;

/// Lines over a common axis of steps.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Chart {
    /// What is measured.
    pub(crate) title: String,
    /// What a step is, such as `epoch`.
    pub(crate) x: String,
    /// The lines.
    pub(crate) series: Vec<Series>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Series {
    /// What the line shows.
    pub(crate) name: String,
    /// Step and value of each point, in the order of steps.
    pub(crate) points: Vec<(f64, f64)>,
}

/// A chart as it is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Drawing {
    pub(crate) title: String,
    /// What the drawing shows, for those who do not see it.
    pub(crate) description: String,
    pub(crate) x: String,
    pub(crate) y_ticks: Vec<Tick>,
    pub(crate) x_ticks: Vec<Tick>,
    pub(crate) lines: Vec<Line>,
}

/// A mark on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) at: String,
    pub(crate) label: String,
}

/// A line as it is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// Counted from 1; the style sheet's color.
    pub(crate) color: usize,
    /// The attribute `d` of a path.
    pub(crate) path: String,
    /// The last point, which is marked.
    pub(crate) end: Option<(String, String)>,
    /// The last value.
    pub(crate) last: Option<Figure>,
}

impl Chart {
    /// Whether there is a line to draw, rather than a point.
    pub(crate) fn is_curve(&self) -> bool {
        self.series.iter().any(|series| series.points.len() > 1)
    }

    /// Lays the chart out.
    pub(crate) fn drawing(&self) -> Drawing {
        let points = || self.series.iter().flat_map(|series| finite(&series.points));
        let x_axis = Axis::over(points().map(|(x, _)| x), true);
        let y_axis = Axis::over(points().map(|(_, y)| y), false);
        let x_at = |x: f64| LEFT + x_axis.share(x) * (WIDTH - LEFT - RIGHT);
        let y_at = |y: f64| HEIGHT - BOTTOM - y_axis.share(y) * (HEIGHT - TOP - BOTTOM);
        let lines = self.series.iter().enumerate().map(|(index, series)| {
            let places: Vec<(String, String)> = finite(&series.points)
                .map(|(x, y)| (coordinate(x_at(x)), coordinate(y_at(y))))
                .collect();
            let words: Vec<String> = places
                .iter()
                .enumerate()
                .map(|(n, (x, y))| format!("{}{x} {y}", if n == 0 { "M" } else { "L" }))
                .collect();
            Line {
                name: series.name.clone(),
                color: index % N_COLORS + 1,
                path: words.concat(),
                end: places.last().cloned(),
                last: series.points.last().map(|&(_, value)| Figure(value)),
            }
        });
        Drawing {
            title: self.title.clone(),
            description: self.description(),
            x: self.x.clone(),
            y_ticks: y_axis.ticks(y_at),
            x_ticks: x_axis.ticks(x_at),
            lines: lines.collect(),
        }
    }

    fn description(&self) -> String {
        let tell = |series: &Series| {
            let first = series.points.first().map(|&(_, value)| Figure(value));
            let last = series.points.last().map(|&(_, value)| Figure(value));
            match (first, last) {
                (Some(first), Some(last)) => {
                    format!("{} goes from {first} to {last}", series.name)
                }
                _ => format!("{} has no values", series.name),
            }
        };
        let told: Vec<String> = self.series.iter().map(tell).collect();
        format!("{}: {}", self.title, told.join("; "))
    }
}

/// The points that can be drawn.
fn finite(points: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    // Larger numbers are the infinities, as a store keeps them.
    let fine = |value: f64| value.is_finite() && value.abs() < 1e300;
    points
        .iter()
        .copied()
        .filter(move |&(x, y)| fine(x) && fine(y))
}

fn coordinate(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// An axis with marks at round numbers.
struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// Reaches over all values; over whole numbers, marks are whole too.
    fn over(values: impl Iterator<Item = f64>, whole: bool) -> Self {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        if low > high {
            return Self {
                low: 0.0,
                high: 1.0,
                step: 1.0,
            };
        }
        let width = match high - low {
            width if width > 0.0 => width,
            _ if whole => 1.0,
            _ => low.abs().max(1e-9) * 0.1,
        };
        let mut step = round_step(width / if whole { 7.0 } else { 4.0 });
        if whole {
            // Epochs are counted, and begin and end where they do.
            step = step.max(1.0);
            return Self {
                low,
                high: low + width,
                step,
            };
        }
        let low_mark = (low / step).floor() * step;
        let high_mark = (high / step).ceil() * step;
        let high_mark = if high_mark > low_mark {
            high_mark
        } else {
            low_mark + step
        };
        Self {
            low: low_mark,
            high: high_mark,
            step,
        }
    }

    /// Where a value lies between the ends, 0 to 1.
    fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    fn ticks(&self, place: impl Fn(f64) -> f64) -> Vec<Tick> {
        let first = (self.low / self.step - 1e-9).ceil() as i64;
        let last = (self.high / self.step + 1e-9).floor() as i64;
        let digits = (-self.step.log10().floor()).clamp(0.0, 8.0) as usize;
        let tick = |n: i64| {
            let value = n as f64 * self.step;
            Tick {
                at: coordinate(place(value)),
                label: match value.abs() {
                    magnitude if magnitude >= 1e6 => format!("{value:.1e}"),
                    _ if self.step < 1e-6 => format!("{value:.1e}"),
                    _ => format!("{value:.digits$}"),
                },
            }
        };
        // A step is at least a fifth of the width, or one: there are few.
        (first..=last).take(20).map(tick).collect()
    }
}

/// The next of …, 0.1, 0.2, 0.5, 1, 2, 5, 10, …
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|&factor| factor * power >= step * 0.999);
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(f64, f64)]) -> Chart {
        Chart {
            title: "loss".to_owned(),
            x: "epoch".to_owned(),
            series: vec![Series {
                name: "loss".to_owned(),
                points: points.to_vec(),
            }],
        }
    }

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn marks_are_round_and_enclose_the_values() {
        let drawing = chart(&[(0.0, 1.83), (1.0, 0.9), (2.0, 0.41)]).drawing();
        assert_eq!(
            labels(&drawing.y_ticks),
            ["0.0", "0.5", "1.0", "1.5", "2.0"]
        );
        assert_eq!(labels(&drawing.x_ticks), ["0", "1", "2"]);
    }

    #[test]
    fn a_line_goes_down_the_page_when_values_fall() {
        let line = &chart(&[(0.0, 2.0), (10.0, 0.0)]).drawing().lines[0];
        assert_eq!(line.path, "M64 14L624 226");
        assert_eq!(line.end, Some(("624".to_owned(), "226".to_owned())));
    }

    #[test]
    fn what_cannot_be_drawn_is_left_out() {
        for points in [
            &[][..],
            &[(0.0, f64::NAN)],
            &[(0.0, f64::MAX)],
            &[(3.0, 0.5)],
            &[(0.0, 1e-300), (1.0, 2e-300)],
        ] {
            let drawing = chart(points).drawing();
            let text = format!("{drawing:?}");
            assert!(
                !drawing.lines[0].path.contains("NaN") && !text.contains("inf"),
                "{text}"
            );
            assert!(drawing.y_ticks.len() < 20);
        }
    }
}
