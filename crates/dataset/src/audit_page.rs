//! An audit as a page for a browser: one file, no script, nothing from
//! elsewhere.

use askama::Template;

use crate::audit::{Audit, ClassSummary};
use crate::audit_table::duration;
use crate::finding::Finding;

/// The page.
#[derive(Template)]
#[template(path = "audit.html")]
struct Page<'a> {
    title: &'a str,
    classes: Vec<ClassRow<'a>>,
    total: ClassRow<'a>,
    kinds: Vec<Kind<'a>>,
    left_out: Vec<(&'static str, &'a [String])>,
    n_groups: usize,
}

/// A line of the table of classes.
struct ClassRow<'a> {
    label: &'a str,
    n_readable: usize,
    n_groups: usize,
    n_unreadable: usize,
    duration: String,
    /// Length of the bar, in percent of the largest class.
    bar_percent: usize,
    /// Of that, what independent recordings make up.
    independent_percent: usize,
}

/// The findings of one kind.
struct Kind<'a> {
    severity: &'static str,
    title: &'static str,
    advice: &'static str,
    findings: &'a [Finding],
}

impl Kind<'_> {
    /// Long lists start folded.
    fn open(&self) -> bool {
        self.findings.len() <= 6
    }
}

/// The audit as an HTML page under the given title.
pub fn audit_page(audit: &Audit, title: &str) -> String {
    let largest = audit.classes.iter().map(|class| class.n_readable).max();
    let row = |class| ClassRow::new(class, largest.unwrap_or(1).max(1));
    let total = total(&audit.classes);
    let skipped = &audit.skipped;
    let left_out = [
        ("hidden", &skipped.hidden[..]),
        ("not audio", &skipped.not_audio[..]),
        ("without a class", &skipped.unlabelled[..]),
    ];
    let page = Page {
        title,
        classes: audit.classes.iter().map(row).collect(),
        total: ClassRow::new(&total, 1),
        kinds: kinds(&audit.findings),
        left_out: left_out
            .into_iter()
            .filter(|(_, n)| !n.is_empty())
            .collect(),
        n_groups: total.n_groups,
    };
    page.render().expect("rendering writes to memory only")
}

impl<'a> ClassRow<'a> {
    fn new(class: &'a ClassSummary, largest: usize) -> Self {
        Self {
            label: &class.label,
            n_readable: class.n_readable,
            n_groups: class.n_groups,
            n_unreadable: class.n_unreadable,
            duration: duration(class.total_seconds),
            bar_percent: 100 * class.n_readable / largest,
            independent_percent: 100 * class.n_groups / largest,
        }
    }
}

fn total(classes: &[ClassSummary]) -> ClassSummary {
    ClassSummary {
        label: "all".to_owned(),
        n_readable: classes.iter().map(|class| class.n_readable).sum(),
        n_unreadable: classes.iter().map(|class| class.n_unreadable).sum(),
        n_groups: classes.iter().map(|class| class.n_groups).sum(),
        total_seconds: classes.iter().map(|class| class.total_seconds).sum(),
    }
}

fn kinds(findings: &[Finding]) -> Vec<Kind<'_>> {
    findings
        .chunk_by(|a, b| a.title() == b.title())
        .map(|findings| Kind {
            severity: findings[0].severity().name(),
            title: findings[0].title(),
            advice: findings[0].advice(),
            findings,
        })
        .collect()
}
