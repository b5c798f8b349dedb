//! The confusion matrix as a table whose cells are shaded by their share of the
//! row: one hue for what was recognized, another for what was mistaken.

use biophony_model::Evaluation;

use super::wording::{count, percent};

/// Above this many classes, cells carry counts only.
const MOST_CLASSES_WITH_PERCENTAGES: usize = 16;

/// The whole table.
#[derive(Debug, Clone)]
pub(super) struct ConfusionTable {
    pub(super) labels: Vec<String>,
    pub(super) rows: Vec<ConfusionRow>,
    /// Whether cells carry counts only, to fit many classes.
    pub(super) is_dense: bool,
}

/// The clips of one class.
#[derive(Debug, Clone)]
pub(super) struct ConfusionRow {
    pub(super) label: String,
    pub(super) n_clips: String,
    pub(super) cells: Vec<ConfusionCell>,
}

/// The clips of one class that were taken for another, or for itself.
#[derive(Debug, Clone)]
pub(super) struct ConfusionCell {
    pub(super) n_clips: String,
    pub(super) percent: String,
    /// `hit`, `miss` or `none`: its class in the style sheet.
    pub(super) class: &'static str,
    /// How strongly it is shaded, between 0 and 1.
    pub(super) shade: String,
    /// A sentence for pointing at it.
    pub(super) name: String,
}

impl ConfusionTable {
    /// Lays the matrix out.
    pub(super) fn of(evaluation: &Evaluation) -> Self {
        let labels = &evaluation.classes;
        let rows = evaluation.confusion_matrix.rows().iter().enumerate();
        let row = |(truth, counts): (usize, &Vec<u64>)| {
            let n_clips = counts.iter().sum();
            let cells = counts.iter().enumerate();
            ConfusionRow {
                label: labels[truth].clone(),
                n_clips: count(n_clips),
                cells: cells
                    .map(|(predicted, &n)| cell(labels, truth, predicted, n, n_clips))
                    .collect(),
            }
        };
        Self {
            labels: labels.clone(),
            rows: rows.map(row).collect(),
            is_dense: labels.len() > MOST_CLASSES_WITH_PERCENTAGES,
        }
    }
}

fn cell(labels: &[String], truth: usize, predicted: usize, n: u64, n_clips: u64) -> ConfusionCell {
    let share = if n_clips == 0 {
        0.0
    } else {
        n as f64 / n_clips as f64
    };
    // A single mistake among hundreds should still be seen, hence the root.
    let (class, shade) = match (n, truth == predicted) {
        (0, _) => ("none", 0.0),
        (_, true) => ("hit", 0.08 + 0.47 * share),
        (_, false) => ("miss", 0.08 + 0.47 * share.sqrt()),
    };
    let (truth, predicted) = (&labels[truth], &labels[predicted]);
    ConfusionCell {
        n_clips: count(n),
        percent: percent(share),
        class,
        shade: format!("{shade:.2}"),
        name: format!("{truth} taken for {predicted}: {n} of {n_clips} clips"),
    }
}

/// What a class is most often mistaken for: "owl (3)".
pub(super) fn most_frequent_mistake(evaluation: &Evaluation, truth: usize) -> Option<String> {
    let row = evaluation.confusion_matrix.rows().get(truth)?;
    let mistaken = row
        .iter()
        .enumerate()
        .filter(|&(predicted, &n)| predicted != truth && n > 0);
    // `max_by_key` keeps the last of equals; reversed, the first in label order.
    let (predicted, n) = mistaken.rev().max_by_key(|&(_, &n)| n)?;
    Some(format!("{} ({n})", evaluation.classes[predicted]))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn hits_and_mistakes_are_told_apart_and_zeros_stay_blank() {
        let table = ConfusionTable::of(&sample::evaluation());
        for (truth, row) in table.rows.iter().enumerate() {
            for (predicted, cell) in row.cells.iter().enumerate() {
                let expected = if cell.n_clips == "0" {
                    "none"
                } else if truth == predicted {
                    "hit"
                } else {
                    "miss"
                };
                assert_eq!(cell.class, expected, "{}", cell.name);
            }
        }
    }

    #[test]
    fn the_most_frequent_mistake_is_never_the_class_itself() {
        let evaluation = sample::evaluation();
        for (truth, label) in evaluation.classes.iter().enumerate() {
            let mistake = most_frequent_mistake(&evaluation, truth);
            assert!(mistake.is_none_or(|mistake| !mistake.starts_with(&format!("{label} ("))));
        }
    }
}
