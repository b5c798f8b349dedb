//! The reliability diagram: how often predictions of a given confidence are
//! right, before and after temperature scaling, above a histogram of how many
//! clips have that confidence.

use biophony_model::calibrate::{Reliability, ReliabilityBin};
use biophony_model::evaluate::CalibrationReport;

use super::chart::{Axis, line, place};

/// The frame of the upper drawing, in its own units (`viewBox`).
pub(super) const LEFT: f64 = 46.0;
pub(super) const RIGHT: f64 = 346.0;
pub(super) const TOP: f64 = 30.0;
pub(super) const BOTTOM: f64 = 280.0;
/// The frame of the histogram below it.
pub(super) const HISTOGRAM_TOP: f64 = 294.0;
pub(super) const HISTOGRAM_BOTTOM: f64 = 340.0;
/// The line of the legend, above the frame: within it, lines could cross it.
const LEGEND: f64 = 10.0;
/// The height of everything with the legend, and of what the legend takes of it.
const HEIGHT: f64 = 384.0;
const LEGEND_HEIGHT: f64 = 18.0;

/// The whole diagram.
#[derive(Debug, Clone)]
pub(super) struct ReliabilityDiagram {
    /// The part of the drawing that is used: where it begins, and how high it is.
    pub(super) view: [f64; 2],
    /// Where the legend is written, if there is more than one line to tell apart.
    pub(super) legend: Option<f64>,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// A bar per filled bin, from the confidence line to the accuracy.
    pub(super) after: Vec<Dot>,
    pub(super) after_path: String,
    pub(super) before_path: String,
    pub(super) before: Vec<Dot>,
    pub(super) histogram: Vec<Bar>,
    /// The largest number of clips in a bin.
    pub(super) most_clips: u64,
}

/// A filled bin.
#[derive(Debug, Clone)]
pub(super) struct Dot {
    pub(super) x: String,
    pub(super) y: String,
    /// Grows with the clips in the bin: a dot of few clips proves little.
    pub(super) radius: String,
    /// What it means, shown on pointing at it.
    pub(super) name: String,
}

/// A bar of the histogram.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    pub(super) x: String,
    pub(super) y: String,
    pub(super) width: String,
    pub(super) height: String,
}

impl ReliabilityDiagram {
    /// Lays the bins out.
    pub(super) fn of(calibration: &CalibrationReport) -> Self {
        let x = Axis::new([0.0, 1.0], [LEFT, RIGHT], 5);
        let y = Axis::new([0.0, 1.0], [BOTTOM, TOP], 5);
        let after = dots(&calibration.after, &x, &y);
        let before = calibration.before.as_ref();
        let bins = &calibration.after.bins;
        let most_clips = bins.iter().map(|bin| bin.n_clips).max().unwrap_or(0);
        let legend = before.map(|_| LEGEND);
        let unused = if legend.is_some() { 0.0 } else { LEGEND_HEIGHT };
        Self {
            view: [unused, HEIGHT - unused],
            legend,
            after_path: path(&calibration.after, &x, &y),
            before_path: before.map_or_else(String::new, |bins| path(bins, &x, &y)),
            before: before.map_or_else(Vec::new, |bins| dots(bins, &x, &y)),
            histogram: bins.iter().map(|bin| bar(bin, most_clips, &x)).collect(),
            after,
            most_clips,
            x,
            y,
        }
    }
}

fn dots(reliability: &Reliability, x: &Axis, y: &Axis) -> Vec<Dot> {
    let most_clips = reliability
        .bins
        .iter()
        .map(|bin| bin.n_clips)
        .max()
        .unwrap_or(0);
    let filled = reliability
        .bins
        .iter()
        .filter_map(|bin| Some((bin, bin.confidence?, bin.accuracy?)));
    let dot = |(bin, confidence, accuracy): (&ReliabilityBin, f64, f64)| Dot {
        x: place(x.place(confidence)),
        y: place(y.place(accuracy)),
        radius: place(1.8 + 4.2 * (bin.n_clips as f64 / most_clips.max(1) as f64).sqrt()),
        name: format!(
            "{} clips: mean confidence {confidence:.3}, accuracy {accuracy:.3}",
            bin.n_clips
        ),
    };
    filled.map(dot).collect()
}

fn path(reliability: &Reliability, x: &Axis, y: &Axis) -> String {
    let filled = reliability
        .bins
        .iter()
        .filter_map(|bin| Some((bin.confidence?, bin.accuracy?)));
    line(filled.map(|(confidence, accuracy)| Some((x.place(confidence), y.place(accuracy)))))
}

fn bar(bin: &ReliabilityBin, most_clips: u64, x: &Axis) -> Bar {
    let height = (HISTOGRAM_BOTTOM - HISTOGRAM_TOP) * bin.n_clips as f64 / most_clips.max(1) as f64;
    Bar {
        x: place(x.place(bin.low) + 0.5),
        y: place(HISTOGRAM_BOTTOM - height),
        width: place((x.place(bin.high) - x.place(bin.low) - 1.0).max(0.5)),
        height: place(height),
    }
}

#[cfg(test)]
mod tests {
    use biophony_model::calibrate::reliability;

    use super::*;

    #[test]
    fn the_legend_lies_above_all_lines_and_is_there_where_two_are() {
        let bins = || reliability(&[0, 1], &[vec![0.7, 0.3], vec![0.1, 0.9]], 10);
        let diagram = |before| {
            ReliabilityDiagram::of(&CalibrationReport {
                temperature: None,
                before,
                after: bins(),
            })
        };
        let two = diagram(Some(bins()));
        assert!(two.legend.is_some_and(|y| y + 8.0 < two.y.place(1.0)));
        assert_eq!(two.view, [0.0, HEIGHT]);
        let one = diagram(None);
        assert_eq!((one.legend, one.view[0]), (None, LEGEND_HEIGHT));
    }

    #[test]
    fn empty_bins_have_no_dot_and_a_bar_without_height() {
        let after = reliability(&[0, 1], &[vec![0.7, 0.3], vec![0.7, 0.3]], 10);
        let diagram = ReliabilityDiagram::of(&CalibrationReport {
            temperature: None,
            before: None,
            after,
        });
        assert_eq!(
            (
                diagram.after.len(),
                diagram.before.len(),
                diagram.most_clips
            ),
            (1, 0, 2)
        );
        assert_eq!(
            diagram
                .histogram
                .iter()
                .filter(|bar| bar.height != "0.0")
                .count(),
            1
        );
    }
}
