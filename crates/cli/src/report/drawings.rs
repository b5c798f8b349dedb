//! The learning curves and the confusion matrix as files of their own, for pages
//! that show pictures: `learning_curves.svg` and `confusion.svg`.
//!
//! They are the report's own drawings with a style of their own; where lines and
//! cells go is laid out in [`super::curves`] and [`super::confusion`].

use std::path::Path;

use anyhow::Result;
use askama::Template;

use super::confusion::ConfusionTable;
use super::curves::{CurvePanel, panels};
use super::{Report, write_atomically};

/// The width of one panel of curves with the room beside it.
const PANEL: usize = 384;

/// The side of a cell of the matrix, and the room for the names of its classes.
const CELL: usize = 36;
const NAMES: usize = 150;

#[derive(Template)]
#[template(path = "learning_curves.svg")]
struct Curves<'a> {
    report: &'a Report,
    curves: Vec<CurvePanel>,
}

#[derive(Template)]
#[template(path = "confusion.svg")]
struct Confusion {
    table: ConfusionTable,
    side: usize,
}

/// Writes both into a folder; without epochs there are no curves.
pub(crate) fn write_drawings(folder: &Path, report: &Report) -> Result<()> {
    let curves = Curves {
        report,
        curves: panels(&report.training),
    };
    if !curves.curves.is_empty() {
        let text = curves.render()?;
        write_atomically(&folder.join("learning_curves.svg"), text.as_bytes())?;
    }
    let table = ConfusionTable::of(&report.evaluation);
    let side = NAMES + CELL * table.labels.len();
    let text = Confusion { table, side }.render()?;
    write_atomically(&folder.join("confusion.svg"), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn drawings_stand_alone_and_show_what_the_page_shows() {
        let folder = tempfile::tempdir().unwrap();
        let report = sample::report();
        write_drawings(folder.path(), &report).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let curves = read("learning_curves.svg");
        let matrix = read("confusion.svg");
        for text in [&curves, &matrix] {
            assert!(text.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
            assert!(text.trim_end().ends_with("</svg>"));
            assert!(!text.contains("var("), "colors need no page");
        }
        assert_eq!(
            curves.matches("<g transform").count(),
            panels(&report.training).len()
        );
        for label in &report.evaluation.classes {
            assert!(matrix.contains(label.as_str()), "{label}");
        }
        let n = report.evaluation.classes.len();
        assert_eq!(matrix.matches("<rect class=").count(), n * n);
    }
}
