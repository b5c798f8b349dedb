//! Numbers, times and sizes: plain in JSON, written for people on pages.
//!
//! Times are shown in UTC, so that a page says the same everywhere; the browser may
//! show its own zone beside it. Names are shown as they are, escaped by the templates.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

/// A point in time: milliseconds since 1970-01-01 00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(transparent)]
pub(crate) struct Moment(pub(crate) i64);

/// A span of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[serde(transparent)]
pub(crate) struct Span(pub(crate) f64);

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
pub(crate) struct Size(pub(crate) u64);

/// A measured value; `null` in JSON when it is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[serde(transparent)]
pub(crate) struct Figure(pub(crate) f64);

/// A share between 0 and 1, shown in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[serde(transparent)]
pub(crate) struct Share(pub(crate) f64);

impl Moment {
    /// As the attribute `datetime` wants it: `2026-08-01T09:30:15Z`.
    pub(crate) fn iso(self) -> String {
        let Clock {
            date: (year, month, day),
            time: (hour, minute, second),
        } = self.clock();
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// The time of day: `09:30:15`.
    pub(crate) fn time(self) -> String {
        let (hour, minute, second) = self.clock().time;
        format!("{hour:02}:{minute:02}:{second:02}")
    }

    /// Days become dates after Howard Hinnant's `civil_from_days`.
    fn clock(self) -> Clock {
        let seconds = self.0.div_euclid(1000);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let days = days + 719_468; // since the first of March of year 0
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153; // 0 is March
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Clock {
            date: (year, month, day),
            time: (second / 3600, second / 60 % 60, second % 60),
        }
    }
}

/// A moment taken apart.
struct Clock {
    date: (i64, i64, i64),
    time: (i64, i64, i64),
}

impl fmt::Display for Moment {
    /// `2026-08-01 09:30`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Clock {
            date: (year, month, day),
            time: (hour, minute, _),
        } = self.clock();
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
    }
}

impl Span {
    /// From one moment to another; none when the second comes first.
    pub(crate) fn between(start: Moment, end: Moment) -> Option<Self> {
        (end >= start).then(|| Self((end.0 - start.0) as f64))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1e3;
        match seconds {
            _ if self.0 < 10.0 => write!(f, "{:.1} ms", self.0),
            _ if seconds < 1.0 => write!(f, "{:.0} ms", self.0),
            _ if seconds < 60.0 => write!(f, "{seconds:.1} s"),
            _ if seconds < 3600.0 => {
                let whole = seconds.round() as u64;
                write!(f, "{} min {} s", whole / 60, whole % 60)
            }
            _ => {
                let minutes = (seconds / 60.0).round() as u64;
                write!(f, "{} h {} min", minutes / 60, minutes % 60)
            }
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        match self.0 {
            0..1000 => write!(f, "{} B", self.0),
            1000..1_000_000 => write!(f, "{:.1} kB", bytes / 1e3),
            1_000_000..1_000_000_000 => write!(f, "{:.1} MB", bytes / 1e6),
            _ => write!(f, "{:.1} GB", bytes / 1e9),
        }
    }
}

impl fmt::Display for Figure {
    /// Whole numbers as they are, others with four digits that count.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        let magnitude = value.abs();
        if !value.is_finite() {
            write!(f, "{value}")
        } else if magnitude >= 1e300 {
            // A store keeps the infinities as the largest finite numbers.
            f.write_str(if value > 0.0 { "∞" } else { "−∞" })
        } else if value == value.trunc() && magnitude < 1e9 {
            write!(f, "{value:.0}")
        } else if !(1e-3..1e6).contains(&magnitude) {
            write!(f, "{value:.3e}")
        } else {
            let digits_before = magnitude.log10().floor() as i32 + 1;
            let digits_after = (4 - digits_before).clamp(0, 6) as usize;
            write!(f, "{value:.digits_after$}")
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} %", 100.0 * self.0)
    }
}

/// `1 recording`, `2 recordings`.
pub(crate) fn counted(n: usize, one: &str, many: &str) -> String {
    match n {
        1 => format!("1 {one}"),
        _ => format!("{n} {many}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates_of_the_calendar() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_785_576_615_999, "2026-08-01T09:30:15Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(Moment(ms).iso(), expected);
        }
        assert_eq!(Moment(1_785_576_615_999).to_string(), "2026-08-01 09:30");
    }

    #[test]
    fn spans_and_sizes_have_the_unit_that_suits_them() {
        for (ms, expected) in [
            (0.44, "0.4 ms"),
            (350.0, "350 ms"),
            (4210.0, "4.2 s"),
            (200_000.0, "3 min 20 s"),
            (7_500_000.0, "2 h 5 min"),
        ] {
            assert_eq!(Span(ms).to_string(), expected);
        }
        assert_eq!(Size(999).to_string(), "999 B");
        assert_eq!(Size(480_000).to_string(), "480.0 kB");
    }

    #[test]
    fn figures_keep_four_digits() {
        for (value, expected) in [
            (3.0, "3"),
            (0.123_456, "0.1235"),
            (12.345_67, "12.35"),
            (0.000_012, "1.200e-5"),
            (f64::NAN, "NaN"),
            (f64::MAX, "∞"),
        ] {
            assert_eq!(Figure(value).to_string(), expected);
        }
    }
}
