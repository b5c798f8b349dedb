//! An audit as text for a terminal.

use std::fmt::Write;

use crate::audit::Audit;

/// At most so many findings of a kind are written out.
const SHOWN: usize = 8;

impl Audit {
    /// The classes and the findings as text.
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_classes(&mut text);
        let _ = self.write_findings(&mut text);
        text
    }

    fn write_classes(&self, out: &mut String) -> std::fmt::Result {
        let labels: Vec<_> = self.classes.iter().map(|one| visible(&one.label)).collect();
        let widths = labels.iter().map(|label| label.chars().count());
        let width = widths.max().unwrap_or(0).max(5);
        writeln!(
            out,
            "{:width$}  recordings  independent  unreadable  duration",
            "class"
        )?;
        let (mut n_readable, mut n_groups, mut n_unreadable, mut seconds) = (0, 0, 0, 0.0);
        let mut row = |label: &str, counts: [usize; 3], seconds: f64| {
            let [readable, groups, unreadable] = counts;
            let duration = duration(seconds);
            writeln!(
                out,
                "{label:width$}  {readable:>10}  {groups:>11}  {unreadable:>10}  {duration:>8}"
            )
        };
        for (class, label) in self.classes.iter().zip(&labels) {
            let counts = [class.n_readable, class.n_groups, class.n_unreadable];
            row(label, counts, class.total_seconds)?;
            n_readable += class.n_readable;
            n_groups += class.n_groups;
            n_unreadable += class.n_unreadable;
            seconds += class.total_seconds;
        }
        row("all", [n_readable, n_groups, n_unreadable], seconds)?;
        let skipped = &self.skipped;
        if skipped.count() > 0 {
            writeln!(
                out,
                "left out: {} hidden, {} not audio, {} without a class",
                skipped.hidden.len(),
                skipped.not_audio.len(),
                skipped.unlabelled.len()
            )?;
        }
        Ok(())
    }

    fn write_findings(&self, out: &mut String) -> std::fmt::Result {
        if self.findings.is_empty() {
            return writeln!(out, "\nnothing to complain about");
        }
        for kind in self.findings.chunk_by(|a, b| a.title() == b.title()) {
            let first = &kind[0];
            let severity = first.severity().name();
            writeln!(out, "\n{severity}: {} ({})", first.title(), kind.len())?;
            for finding in kind.iter().take(SHOWN) {
                writeln!(out, "  {}", shortened(&visible(&finding.message()), 160))?;
            }
            if kind.len() > SHOWN {
                writeln!(out, "  … and {} more", kind.len() - SHOWN)?;
            }
            writeln!(out, "  → {}", first.advice())?;
        }
        Ok(())
    }
}

/// The text with escapes for its control characters, which would move the cursor, end
/// the line, or tell the terminal to do things.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => shown.push_str(&format!("\\u{:04x}", u32::from(character))),
            false => shown.push(character),
        }
    }
    shown
}

/// `1:02:03` or `2:03.4`.
pub(crate) fn duration(seconds: f64) -> String {
    let (minutes, rest) = ((seconds / 60.0).floor(), seconds % 60.0);
    if minutes >= 60.0 {
        let hours = (minutes / 60.0).floor();
        return format!("{hours:.0}:{:02.0}:{:02.0}", minutes % 60.0, rest.floor());
    }
    // Rounding 59.97 must not give `0:60.0`.
    let tenths = (rest * 10.0).floor() / 10.0;
    format!("{minutes:.0}:{tenths:04.1}")
}

fn shortened(text: &str, n_chars: usize) -> String {
    if text.chars().count() <= n_chars {
        return text.to_owned();
    }
    let kept: String = text.chars().take(n_chars - 1).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_a_clock() {
        assert_eq!(duration(0.25), "0:00.2");
        assert_eq!(duration(59.97), "0:59.9");
        assert_eq!(duration(123.4), "2:03.4");
        assert_eq!(duration(3_723.0), "1:02:03");
    }

    #[test]
    fn names_cannot_speak_to_the_terminal() {
        assert_eq!(
            visible("ä\x1b]0;x\x07\n\u{9b}"),
            r"ä\u001b]0;x\u0007\u000a\u009b"
        );
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äö…");
    }
}
