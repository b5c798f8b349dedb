//! Pictures of a pipeline: as text for the terminal and as SVG.
//!
//! Where the boxes go is decided in [`layout`], how they look in [`svg`].

mod layout;
mod svg;

use std::fmt::Write;

use crate::graph::{Graph, InputSpec};
use crate::run::{RunRecord, StepRecord};

impl Graph {
    /// The pipeline as text: a line per source and step, in an order in which each
    /// comes after what it reads. With a run, steps have their state and time.
    ///
    /// ```text
    /// clips   source           data/animals
    /// ingest  ran       1.2 s  ← clips
    /// split   cached    0.0 s  ← ingest
    /// ```
    pub fn to_text(&self, run: Option<&RunRecord>) -> String {
        let names = self.sources.iter().map(|source| &source.name);
        let names = names.chain(self.steps.iter().map(|step| &step.name));
        let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for source in &self.sources {
            let path = &source.path;
            let (name, kind) = (&source.name, "source");
            let line = format!("{name:width$}  {kind:8}{:10}{path}", "");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        let order = self
            .check()
            .unwrap_or_else(|_| (0..self.steps.len()).collect());
        for step in order.into_iter().map(|number| &self.steps[number]) {
            let record = run.and_then(|run| run.step(&step.name));
            let state = record.map_or("step", |record| record.state.as_str());
            let time = record.and_then(time_of).unwrap_or_default();
            let inputs: Vec<_> = step.inputs.iter().map(InputSpec::name).collect();
            let inputs = match inputs[..] {
                [] => String::new(),
                _ => format!("← {}", inputs.join(", ")),
            };
            let line = format!("{:width$}  {state:8}{time:>8}  {inputs}", step.name);
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    /// The pipeline as an SVG picture, from left to right. With a run, steps have
    /// their state and time. Light and dark follow the reader's preference.
    pub fn to_svg(&self, run: Option<&RunRecord>) -> String {
        svg::draw(self, run, |_| None, Setting::Alone)
    }

    /// The same to be part of a page: steps lead to the addresses that `link` gives
    /// them, and dark colors are left to the page.
    ///
    /// There is no style in it, so that a page may forbid those it does not know.
    /// Its own reaches `.pipeline-graph`, below it the boxes by their state (`.ran`,
    /// `.cached`, `.failed`, `.skipped`, `.running`; `.step` without a run,
    /// `.source`) with `rect`, `text` and `.s` for the small one, and the arrows with
    /// `path` and `.tip`.
    pub fn to_page_svg(
        &self,
        run: Option<&RunRecord>,
        link: impl Fn(&str) -> Option<String>,
    ) -> String {
        svg::draw(self, run, link, Setting::Page)
    }
}

/// Where a picture is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    /// As a file of its own.
    Alone,
    /// As a part of a page, which has a style.
    Page,
}

/// How long a step took, for people.
fn time_of(record: &StepRecord) -> Option<String> {
    let ms = record.duration_ms?;
    Some(match ms {
        _ if ms < 1000.0 => format!("{ms:.0} ms"),
        _ if ms < 120_000.0 => format!("{:.1} s", ms / 1e3),
        _ => format!("{:.1} min", ms / 60e3),
    })
}
