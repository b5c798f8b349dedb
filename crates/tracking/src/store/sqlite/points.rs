//! Points of metrics, and how they lie in the table `metrics`.
//!
//! A row has the points of one metric of a run in one block of steps that one write
//! brought, packed one after the other in the order of steps. Rows are added and never
//! changed, so that a point that comes alone costs one small row, however many there
//! are. Of points that come together, only those are written that are not there, as long
//! as those lie in few rows. The same point may still lie in two rows, in different
//! company: whoever reads drops one of them.
//!
//! A point is packed as its step, its timestamp and its value. Of step and timestamp, the
//! differences to the point before are kept, of the first point to the block's first step
//! and to 0: as in protocol buffers, zigzag and then seven bits a byte, the lowest first.
//! The value has 8 bytes, the lowest first. That makes about 11 bytes a point.
//!
//! What is written where lives in [`super::logging`], what is read in
//! [`super::metric_history`].

use std::cmp::Ordering;

use rusqlite::{CachedStatement, Connection, Row};

use crate::entities::Metric;
use crate::error::{Result, TrackingError};

/// A block of a run's points has those of `2 ^ BLOCK_BITS` steps.
pub(super) const BLOCK_BITS: u32 = 5;

/// The most points in a row, of which many are to fit into a page.
const MAX_PACKED: usize = 64;

/// In how many rows of a place a write looks for the points that it brings: what it
/// costs is not to grow with what is there.
const FEW_ROWS: usize = 256;

/// The one form of not-a-number that is written.
const NAN_BITS: u64 = 0x7ff8_0000_0000_0000;

/// A point as it is stored: NaN apart, the infinities as the largest numbers, and zero
/// without a sign, as SQLite has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) step: i64,
    pub(super) timestamp: i64,
    pub(super) value: f64,
    pub(super) is_nan: bool,
}

impl Point {
    pub(super) fn new(step: i64, timestamp: i64, value: f64) -> Self {
        let is_nan = value.is_nan();
        Self {
            step,
            timestamp,
            value: if is_nan {
                0.0
            } else {
                value.clamp(f64::MIN, f64::MAX) + 0.0
            },
            is_nan,
        }
    }

    pub(super) fn of(metric: &Metric) -> Self {
        Self::new(metric.step, metric.timestamp, metric.value)
    }

    /// From the columns step, timestamp, value and is_nan, of which `first` is the first.
    pub(super) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let value = match row.get(first + 3)? {
            true => f64::NAN,
            false => row.get(first + 2)?,
        };
        Ok(Self::new(row.get(first)?, row.get(first + 1)?, value))
    }

    pub(super) fn metric(&self, key: &str) -> Metric {
        let value = if self.is_nan { f64::NAN } else { self.value };
        Metric::new(key, value, self.timestamp, self.step)
    }

    /// The block of its run's points that it belongs to.
    pub(super) fn block(&self) -> i64 {
        self.step >> BLOCK_BITS
    }

    /// Whether this point is the latest: the greatest in step, then time, then value.
    pub(super) fn is_after(&self, other: &Self) -> bool {
        (self.step, self.timestamp, self.value) > (other.step, other.timestamp, other.value)
    }

    /// The order in which points are packed.
    pub(super) fn by_step(&self, other: &Self) -> Ordering {
        (self.step, self.timestamp)
            .cmp(&(other.step, other.timestamp))
            .then_with(|| self.by_value(other))
    }

    /// The order of a history.
    pub(super) fn by_time(&self, other: &Self) -> Ordering {
        (self.timestamp, self.step)
            .cmp(&(other.timestamp, other.step))
            .then_with(|| self.by_value(other))
    }

    fn by_value(&self, other: &Self) -> Ordering {
        let value = self.value.total_cmp(&other.value);
        value.then(self.is_nan.cmp(&other.is_nan))
    }

    fn bits(&self) -> u64 {
        if self.is_nan {
            NAN_BITS
        } else {
            self.value.to_bits()
        }
    }
}

/// Where the points of a row belong: the first columns of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The number of the run.
    pub(super) run: i64,
    pub(super) block: i64,
    /// The number of the metric's key.
    pub(super) key: i64,
}

impl Place {
    /// From the first three columns of a row.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            run: row.get(0)?,
            block: row.get(1)?,
            key: row.get(2)?,
        })
    }

    /// What step and timestamp of a row's first point are counted from.
    fn origin(&self) -> Point {
        Point::new(self.block << BLOCK_BITS, 0, 0.0)
    }
}

/// Writes points that come place by place, and in the order of steps at each.
pub(super) struct PointWriter<'a> {
    insert: CachedStatement<'a>,
    place: Place,
    packed: Vec<u8>,
    n_packed: usize,
    last: Point,
}

impl<'a> PointWriter<'a> {
    pub(super) fn new(db: &'a Connection) -> Result<Self> {
        let place = Place {
            run: 0,
            block: 0,
            key: 0,
        };
        Ok(Self {
            insert: db.prepare_cached(
                "INSERT INTO metrics (run, block, key, points) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING",
            )?,
            place,
            packed: Vec::new(),
            n_packed: 0,
            last: place.origin(),
        })
    }

    /// Adds a point. Nothing is certain to be written before [`PointWriter::finish`].
    pub(super) fn add(&mut self, place: Place, point: Point) -> Result<()> {
        if self.place != place || self.n_packed == MAX_PACKED {
            self.finish()?;
            self.place = place;
            self.last = place.origin();
        } else if self.n_packed > 0 && self.last == point {
            return Ok(());
        }
        pack(&self.last, &point, &mut self.packed);
        self.n_packed += 1;
        self.last = point;
        Ok(())
    }

    /// Writes what was added last.
    pub(super) fn finish(&mut self) -> Result<()> {
        if self.n_packed > 0 {
            let Place { run, block, key } = self.place;
            self.insert.execute((run, block, key, &self.packed))?;
            self.packed.clear();
            self.n_packed = 0;
        }
        Ok(())
    }
}

/// The points of a place, in the order of steps, each once.
pub(super) fn points_at(db: &Connection, place: Place) -> Result<Vec<Point>> {
    let mut statement = db.prepare_cached(
        "SELECT run, block, key, points FROM metrics WHERE run = ?1 AND block = ?2 AND key = ?3",
    )?;
    let mut rows = statement.query((place.run, place.block, place.key))?;
    let mut points = Vec::new();
    while let Some(row) = rows.next()? {
        unpack_row(row, &mut points)?;
    }
    points.sort_by(Point::by_step);
    points.dedup();
    Ok(points)
}

/// The points of a place from `first` to `last`, as [`points_at`] has them, or none where
/// the place has more than [`FEW_ROWS`].
pub(super) fn points_in_few_rows(
    db: &Connection,
    place: Place,
    first: &Point,
    last: &Point,
) -> Result<Vec<Point>> {
    let mut statement = db.prepare_cached(
        "SELECT points FROM metrics WHERE run = ?1 AND block = ?2 AND key = ?3 LIMIT ?4",
    )?;
    let limit = FEW_ROWS as i64 + 1;
    let rows = statement
        .query_map((place.run, place.block, place.key, limit), |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<Vec<u8>>>>()?;
    let mut points = Vec::new();
    if rows.len() > FEW_ROWS {
        return Ok(points);
    }
    for packed in &rows {
        unpack(place, packed, &mut points)?;
    }
    points.retain(|point| point.by_step(first).is_ge() && point.by_step(last).is_le());
    points.sort_by(Point::by_step);
    points.dedup();
    Ok(points)
}

/// Appends the points of a row, whose first four columns are those of the table.
pub(super) fn unpack_row(row: &Row<'_>, points: &mut Vec<Point>) -> Result<()> {
    let packed = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
    unpack(Place::read(row)?, packed, points)
}

/// Appends a point that follows `last`.
fn pack(last: &Point, point: &Point, packed: &mut Vec<u8>) {
    write_difference(point.step.wrapping_sub(last.step), packed);
    write_difference(point.timestamp.wrapping_sub(last.timestamp), packed);
    packed.extend_from_slice(&point.bits().to_le_bytes());
}

/// Appends the points that [`pack`] made this of.
///
/// # Errors
///
/// When it is not what [`pack`] makes of points of this place.
fn unpack(place: Place, mut packed: &[u8], points: &mut Vec<Point>) -> Result<()> {
    let mut last = place.origin();
    loop {
        let point = unpack_one(&last, &mut packed).filter(|point| point.block() == place.block);
        last = point.ok_or(TrackingError::DamagedPoints {
            run: place.run,
            block: place.block,
            key: place.key,
        })?;
        points.push(last);
        if packed.is_empty() {
            return Ok(());
        }
    }
}

fn unpack_one(last: &Point, packed: &mut &[u8]) -> Option<Point> {
    let step = last.step.wrapping_add(read_difference(packed)?);
    let timestamp = last.timestamp.wrapping_add(read_difference(packed)?);
    let (bits, rest) = packed.split_first_chunk()?;
    *packed = rest;
    let bits = u64::from_le_bytes(*bits);
    let point = Point::new(step, timestamp, f64::from_bits(bits));
    (point.bits() == bits).then_some(point)
}

/// Small differences of either sign become small numbers, and those few bytes.
fn write_difference(difference: i64, packed: &mut Vec<u8>) {
    let mut left = ((difference << 1) ^ (difference >> 63)) as u64;
    while left >= 0x80 {
        packed.push(left as u8 | 0x80);
        left >>= 7;
    }
    packed.push(left as u8);
}

fn read_difference(packed: &mut &[u8]) -> Option<i64> {
    let mut zigzag = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = packed.split_first()?;
        *packed = rest;
        let bits = u64::from(byte & 0x7f);
        // Of the tenth byte, one bit has room.
        if bits << shift >> shift != bits {
            return None;
        }
        zigzag |= bits << shift;
        if byte < 0x80 {
            return Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLACES: [i64; 5] = [0, -1, 7, i64::MIN >> BLOCK_BITS, i64::MAX >> BLOCK_BITS];

    fn place(block: i64) -> Place {
        let (run, key) = (1, 2);
        Place { run, block, key }
    }

    fn packed(place: Place, points: &[Point]) -> Vec<u8> {
        let (mut last, mut packed) = (place.origin(), Vec::new());
        for point in points {
            pack(&last, point, &mut packed);
            last = *point;
        }
        packed
    }

    fn unpacked(place: Place, packed: &[u8]) -> Result<Vec<Point>> {
        let mut points = Vec::new();
        unpack(place, packed, &mut points).map(|()| points)
    }

    fn check(place: Place, points: &[Point]) {
        let found = unpacked(place, &packed(place, points)).expect("whole");
        let exact = |points: &[Point]| -> Vec<_> {
            let parts = |p: &Point| (p.step, p.timestamp, p.value.to_bits(), p.is_nan);
            points.iter().map(parts).collect()
        };
        assert_eq!(exact(&found), exact(points));
    }

    #[test]
    fn extremes_come_back_as_they_were() {
        for block in PLACES {
            let place = place(block);
            let first = block << BLOCK_BITS;
            let mut points = Vec::new();
            for step in [first, first + 31, first + 1] {
                for timestamp in [i64::MIN, i64::MAX, 0, -1, 1_790_000_000_000] {
                    for value in [
                        f64::NAN,
                        -f64::NAN,
                        f64::INFINITY,
                        f64::MIN,
                        f64::MIN_POSITIVE,
                        f64::from_bits(1),
                        -0.0,
                        0.1,
                    ] {
                        points.push(Point::new(step, timestamp, value));
                    }
                }
            }
            check(place, &points);
        }
    }

    #[test]
    fn a_point_takes_eleven_bytes() {
        let points: Vec<Point> = (0..32)
            .map(|step| Point::new(step, 1_790_000_000_000 + 900 * step, 0.1))
            .collect();
        assert!(packed(place(0), &points).len() < 32 * 11 + 8);
    }

    #[test]
    fn rows_that_are_damaged_are_refused() {
        let points = [Point::new(3, 1_790_000_000_000, 0.1), Point::new(5, 0, 0.2)];
        let whole = packed(place(0), &points);
        let first = packed(place(0), &points[..1]).len();
        for n in (0..whole.len()).filter(|&n| n != first) {
            assert!(unpacked(place(0), &whole[..n]).is_err(), "{n} bytes");
        }
        let error = unpacked(place(1), &whole[..first - 1]).expect_err("cut off");
        assert_eq!(
            error.to_string(),
            "the tracking database is damaged: in its table `metrics`, a row with run = 1, \
             block = 1 and key = 2 holds no points that can be read"
        );
        let value = |bits: u64| [[0, 0].as_slice(), &bits.to_le_bytes()].concat();
        assert!(unpacked(place(0), &value(NAN_BITS)).is_ok());
        let another_nan = value(NAN_BITS + 1);
        let infinity = value(f64::INFINITY.to_bits());
        // 64 is in the third block; the last two have too many bits for a number.
        let elsewhere = [[0x80, 1, 0].as_slice(), &[0; 8]].concat();
        let long = [[0xff; 9].as_slice(), &[2, 0], &[0; 8]].concat();
        let endless = vec![0x80; 1000];
        for row in [another_nan, infinity, elsewhere, long, endless] {
            assert!(unpacked(place(0), &row).is_err(), "{row:?}");
        }
    }

    proptest! {
        #[test]
        fn points_come_back_as_they_were(
            block in (i64::MIN >> BLOCK_BITS)..=(i64::MAX >> BLOCK_BITS),
            points in prop::collection::vec((0..32_i64, any::<i64>(), any::<u64>()), 1..100),
        ) {
            let of = |&(step, timestamp, bits): &(i64, i64, u64)| {
                Point::new((block << BLOCK_BITS) + step, timestamp, f64::from_bits(bits))
            };
            check(place(block), &points.iter().map(of).collect::<Vec<_>>());
        }

        #[test]
        fn whatever_can_be_unpacked_is_as_it_was_packed(
            bytes in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..60),
        ) {
            if let Ok(points) = unpacked(place(0), &bytes) {
                check(place(0), &points);
            }
        }
    }
}
