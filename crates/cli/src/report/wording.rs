//! How figures are written in the report, and in the terminal.

use biophony_model::Evaluation;
use biophony_model::bootstrap::Interval;

/// The figures that matter most with their intervals, a line each, for a terminal.
pub(crate) fn figure_lines(evaluation: &Evaluation) -> String {
    let figures = [
        ("accuracy", "accuracy", evaluation.accuracy),
        ("macro-F1", "macro_f1", evaluation.macro_f1),
        (
            "balanced accuracy",
            "balanced_accuracy",
            evaluation.balanced_accuracy,
        ),
    ];
    let line = |(title, name, value): (&str, &str, f64)| {
        let interval = evaluation.intervals.get(name);
        let interval = interval.map_or_else(String::new, |Interval { low, high }| {
            format!("  (95 %: {low:.3} to {high:.3})")
        });
        format!("  {title:<17}  {value:.3}{interval}\n")
    };
    figures.into_iter().map(line).collect()
}

/// A share with three decimals: `0.903`.
pub(super) fn share(value: f64) -> String {
    format!("{value:.3}")
}

/// A share, or a dash where it is not defined.
pub(super) fn share_or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), share)
}

/// An interval: `0.871–0.930`.
pub(super) fn interval(interval: Option<&Interval>) -> String {
    interval.map_or_else(String::new, |Interval { low, high }| {
        format!("{low:.3}–{high:.3}")
    })
}

/// A difference with its sign: `+0.190`, `−0.012`.
pub(super) fn difference(value: f64) -> String {
    let sign = if value < 0.0 { '−' } else { '+' };
    format!("{sign}{:.3}", value.abs())
}

/// A whole number in groups of three: `1,234,567`.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A whole percentage; what is not quite 0 or 1 is not written as 0 or 100.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        p if p > 0.0 && p < 0.5 => "<1".to_owned(),
        p if p < 100.0 && p > 99.5 => ">99".to_owned(),
        p => format!("{p:.0}"),
    }
}

/// A span of time in the two largest units that matter: `1 h 23 min`, `3.2 s`.
pub(super) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "–".to_owned();
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_groups_of_three() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
    }

    #[test]
    fn nearly_all_is_not_written_as_all() {
        assert_eq!(
            [0.0, 0.001, 0.345, 0.996, 1.0].map(percent),
            ["0", "<1", "34", ">99", "100"]
        );
    }

    #[test]
    fn durations_name_the_units_that_matter() {
        assert_eq!(
            [3.21, 80.0, 5000.0].map(duration),
            ["3.2 s", "1 min 20 s", "1 h 23 min"]
        );
        assert_eq!(duration(f64::NAN), "–");
    }

    #[test]
    fn a_difference_shows_its_sign() {
        assert_eq!([0.19, -0.012].map(difference), ["+0.190", "−0.012"]);
    }
}
