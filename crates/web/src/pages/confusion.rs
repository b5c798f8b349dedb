//! Confusion matrices: read from a run's `confusion.csv`, laid out for pages.

use serde::Serialize;
use utoipa::ToSchema;

use super::figures::{Share, counted};

/// The most classes that are shown; a larger table is there to download.
const MAX_CLASSES: usize = 100;

/// What was taken for what.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Confusion {
    /// The classes, in the order of rows and columns.
    pub(crate) classes: Vec<String>,
    /// For each true class how many recordings were taken for each class.
    pub(crate) counts: Vec<Vec<u64>>,
    /// The share that was recognized.
    pub(crate) accuracy: Share,
}

/// A row as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) recall: Option<Share>,
    pub(crate) cells: Vec<Cell>,
}

/// A cell as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cell {
    pub(crate) count: u64,
    /// How much of the row it is, 0 to 9.
    pub(crate) shade: u64,
    pub(crate) is_right: bool,
    /// What the count says, in words.
    pub(crate) words: String,
}

impl Confusion {
    /// Reads the table; nothing when it is no confusion matrix.
    pub(crate) fn parse(table: &[u8]) -> Option<Self> {
        let mut reader = csv::Reader::from_reader(table);
        let classes: Vec<String> = reader
            .headers()
            .ok()?
            .iter()
            .skip(1)
            .map(str::to_owned)
            .collect();
        let mut counts = Vec::with_capacity(classes.len());
        for (record, class) in reader.records().zip(&classes) {
            let record = record.ok()?;
            if record.get(0)? != class {
                return None;
            }
            let row: Option<Vec<u64>> = record.iter().skip(1).map(|n| n.parse().ok()).collect();
            counts.push(row?);
        }
        if classes.is_empty() || classes.len() > MAX_CLASSES || counts.len() != classes.len() {
            return None;
        }
        let total: u64 = counts.iter().flatten().sum();
        let right: u64 = counts.iter().enumerate().map(|(i, row)| row[i]).sum();
        let accuracy = Share(right as f64 / total.max(1) as f64);
        Some(Self {
            classes,
            counts,
            accuracy,
        })
    }

    /// The rows as they are shown.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let row = |(index, counts): (usize, &Vec<u64>)| {
            let total: u64 = counts.iter().sum();
            let label = &self.classes[index];
            let cell = |(column, &count): (usize, &u64)| Cell {
                count,
                shade: (9 * count).div_ceil(total.max(1)).min(9),
                is_right: column == index,
                words: format!(
                    "{} of {label} taken for {}",
                    counted(
                        usize::try_from(count).unwrap_or(usize::MAX),
                        "recording",
                        "recordings"
                    ),
                    self.classes[column]
                ),
            };
            Row {
                label: label.clone(),
                recall: (total > 0).then(|| Share(counts[index] as f64 / total as f64)),
                cells: counts.iter().enumerate().map(cell).collect(),
            }
        };
        self.counts.iter().enumerate().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_becomes_rows_with_recall_and_shade() {
        let confusion = Confusion::parse(b"truth,frog,owl\nfrog,3,1\nowl,0,4\n").expect("a matrix");
        assert_eq!(confusion.accuracy, Share(0.875));
        let rows = confusion.rows();
        assert_eq!(rows[0].recall, Some(Share(0.75)));
        let shades: Vec<u64> = rows[0].cells.iter().map(|cell| cell.shade).collect();
        assert_eq!(shades, [7, 3]);
        assert_eq!(rows[0].cells[1].words, "1 recording of frog taken for owl");
    }

    #[test]
    fn other_tables_are_no_matrices() {
        for table in [
            "",
            "a,b\n",
            "truth,frog\nowl,1\n",
            "truth,frog\nfrog,x\n",
            "truth,a,b\na,1\nb,1\n",
        ] {
            assert_eq!(Confusion::parse(table.as_bytes()), None, "{table}");
        }
    }
}
