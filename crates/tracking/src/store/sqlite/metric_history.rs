//! Reading every point of a metric, or a fair sample of them.

use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use super::points::{BLOCK_BITS, Point, unpack_row};
use crate::entities::{Metric, RunId};
use crate::error::Result;
use crate::requests::Page;
use crate::search::PageWindow;

/// The most points on one page.
const MAX_POINTS: i64 = 50_000_000;

/// The points of a metric, ?2, of a run, ?1, in the blocks from ?3 to ?4, block by block:
/// from each block the next is found at once, however far it is away.
const POINTS: &str = "
    WITH RECURSIVE blocks(block) AS (
        SELECT min(block) FROM metrics WHERE run = ?1 AND block BETWEEN ?3 AND ?4
        UNION ALL
        SELECT (SELECT m.block FROM metrics m
                WHERE m.run = ?1 AND m.block > b.block AND m.block <= ?4
                ORDER BY m.block LIMIT 1)
        FROM blocks b WHERE b.block IS NOT NULL
    )
    SELECT m.run, m.block, m.key, m.points
    FROM blocks b CROSS JOIN metrics m
    WHERE m.run = ?1 AND m.block = b.block AND m.key = ?2";

impl SqliteStore {
    pub(super) fn history(
        &self,
        run: &RunId,
        key: &str,
        max_results: Option<i64>,
        page_token: Option<&str>,
    ) -> Result<Page<Metric>> {
        let window = PageWindow::new(max_results, page_token, MAX_POINTS)?;
        let mut points = self.read(|db| points(db, run, key, i64::MIN, i64::MAX))?;
        points.sort_by(Point::by_time);
        points.dedup();
        let (offset, limit) = (window.offset as usize, window.limit as usize);
        let rest = points.get(offset..).unwrap_or_default();
        let page = &rest[..limit.min(rest.len())];
        Ok(Page {
            items: page.iter().map(|point| point.metric(key)).collect(),
            next_page_token: (page.len() < rest.len()).then(|| window.next_token()),
        })
    }

    /// Points at equal distances in the order of steps, the ends among them: those that
    /// MLflow picks.
    pub(super) fn sampled_history(
        &self,
        run: &RunId,
        key: &str,
        steps: Option<(i64, i64)>,
        max_points: usize,
    ) -> Result<Vec<Metric>> {
        let (first, last) = steps.unwrap_or((i64::MIN, i64::MAX));
        let mut points = self.read(|db| points(db, run, key, first, last))?;
        points.retain(|point| (first..=last).contains(&point.step));
        points.sort_by(Point::by_step);
        points.dedup();
        let sample = sample(points, max_points.max(1));
        Ok(sample.iter().map(|point| point.metric(key)).collect())
    }
}

/// All points of a metric in the blocks that have steps from `first` to `last`.
fn points(db: &Connection, run: &RunId, key: &str, first: i64, last: i64) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    let Some((run, key)) = numbers(db, run, key)? else {
        return Ok(points);
    };
    let mut statement = db.prepare_cached(POINTS)?;
    let mut rows = statement.query((run, key, first >> BLOCK_BITS, last >> BLOCK_BITS))?;
    while let Some(row) = rows.next()? {
        unpack_row(row, &mut points)?;
    }
    Ok(points)
}

/// The numbers of a run and a metric, if both are there.
fn numbers(db: &Connection, run: &RunId, key: &str) -> Result<Option<(i64, i64)>> {
    let mut statement = db.prepare_cached(
        "SELECT r.id, k.id FROM runs r, metric_keys k WHERE r.run_id = ?1 AND k.name = ?2",
    )?;
    let found = statement.query_row(params![run.as_str(), key], |row| {
        Ok((row.get(0)?, row.get(1)?))
    });
    Ok(found.optional()?)
}

/// The first point of each of `max_points` stretches that are as long as each other,
/// the earlier ones by one longer where that cannot be; the last point is the last.
fn sample(mut points: Vec<Point>, max_points: usize) -> Vec<Point> {
    let n_points = points.len();
    if n_points <= max_points {
        return points;
    }
    let (length, n_longer) = (n_points / max_points, n_points % max_points);
    for i in 0..max_points - 1 {
        points.swap(i, i * length + i.min(n_longer));
    }
    points.swap(max_points - 1, n_points - 1);
    points.truncate(max_points);
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(n: i64) -> Vec<Point> {
        (0..n).map(|step| Point::new(step, 0, 0.0)).collect()
    }

    #[test]
    fn a_sample_keeps_the_ends() {
        for (n, max) in [(10, 3), (1000, 7), (5, 4), (2, 2)] {
            let sample = sample(points(n), max);
            assert_eq!(sample.len(), max.min(n as usize));
            assert_eq!(sample.first().map(|m| m.step), Some(0));
            assert_eq!(sample.last().map(|m| m.step), Some(n - 1));
        }
        assert_eq!(sample(points(9), 1)[0].step, 8);
        let steps = |n, max| -> Vec<i64> {
            let sample = sample(points(n), max);
            sample.iter().map(|point| point.step).collect()
        };
        assert_eq!(steps(10, 4), [0, 3, 6, 9]);
        assert_eq!(steps(11, 4), [0, 3, 6, 10]);
    }
}
