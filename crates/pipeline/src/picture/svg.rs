//! Boxes and arrows as SVG, without scripts and with its own colors.

use std::fmt::Write;

use super::layout::{Layout, Place, layout};
use super::time_of;
use crate::graph::Graph;
use crate::run::RunRecord;

const BOX_HEIGHT: f64 = 44.0;
const ROW: f64 = 64.0;
const GAP: f64 = 56.0;
const MARGIN: f64 = 16.0;
/// The mean width of a character at 14 pixels.
const CHARACTER: f64 = 7.8;

/// States are told by the words in the boxes; color only helps to find them.
const STYLE: &str = "\
.p{--ink:#1d2a25;--line:#7b8a83;--box:#fff;--ran:#2f6f4f;--cached:#6b7a74;--failed:#b3261e}\
@media(prefers-color-scheme:dark){.p{--ink:#e6ece9;--line:#8fa099;--box:#1b2420;--ran:#7fd1a4;\
--cached:#9aa8a2;--failed:#ff8a80}}\
.p text{font:14px system-ui,sans-serif;fill:var(--ink)}\
.p .s{font-size:11px;fill:var(--line)}\
.p rect{fill:var(--box);stroke:var(--line);stroke-width:1.5}\
.p .ran rect{stroke:var(--ran)}.p .ran .s{fill:var(--ran)}\
.p .cached rect,.p .skipped rect{stroke:var(--cached);stroke-dasharray:4 3}\
.p .failed rect{stroke:var(--failed);stroke-width:2.5}.p .failed .s{fill:var(--failed)}\
.p path{fill:none;stroke:var(--line);stroke-width:1.5}\
.p .tip{fill:var(--line);stroke:none}";

/// What one box says.
struct Label {
    name: String,
    below: String,
    class: &'static str,
}

pub(super) fn draw(graph: &Graph, run: Option<&RunRecord>) -> String {
    let labels = labels(graph, run);
    let layout = layout(graph);
    let longest = labels.iter().flat_map(|label| [&label.name, &label.below]);
    let n_characters = longest.map(|text| text.chars().count()).max().unwrap_or(0);
    let box_width = (n_characters as f64 * CHARACTER + 24.0).max(80.0);
    let sheet = Sheet {
        layout: &layout,
        box_width,
    };
    let (width, height) = sheet.size();

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"p\" role=\"img\" \
         viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <title>Pipeline {}</title>\n<style>{STYLE}</style>\n",
        escape(&graph.pipeline)
    );
    for arrow in &layout.arrows {
        svg.push_str(&sheet.arrow(arrow));
    }
    for (number, label) in labels.iter().enumerate() {
        svg.push_str(&sheet.label(label, layout.places[number]));
    }
    svg.push_str("</svg>\n");
    svg
}

fn labels(graph: &Graph, run: Option<&RunRecord>) -> Vec<Label> {
    let sources = graph.sources.iter().map(|source| Label {
        name: source.name.clone(),
        below: "source".to_owned(),
        class: "source",
    });
    let steps = graph.steps.iter().map(|step| {
        let record = run.and_then(|run| run.step(&step.name));
        let state = record.map_or("", |record| record.state.as_str());
        let time = record
            .and_then(time_of)
            .map_or(String::new(), |time| format!(" · {time}"));
        Label {
            name: step.name.clone(),
            below: format!("{state}{time}"),
            class: if state.is_empty() { "step" } else { state },
        }
    });
    sources.chain(steps).collect()
}

/// Turns places into points.
struct Sheet<'a> {
    layout: &'a Layout,
    box_width: f64,
}

impl Sheet<'_> {
    fn size(&self) -> (f64, f64) {
        let n_layers = self.layout.n_layers.max(1) as f64;
        let width = n_layers * (self.box_width + GAP) - GAP;
        let height = (self.layout.n_rows.max(1) - 1) as f64 * ROW + BOX_HEIGHT;
        (width + 2.0 * MARGIN, height + 2.0 * MARGIN)
    }

    /// The upper left corner of a box.
    fn corner(&self, place: Place) -> (f64, f64) {
        let x = MARGIN + place.layer as f64 * (self.box_width + GAP);
        (x, MARGIN + place.row * ROW)
    }

    fn label(&self, label: &Label, place: Place) -> String {
        let (x, y) = self.corner(place);
        let Label { name, below, class } = label;
        let middle = x + self.box_width / 2.0;
        let name_y = if below.is_empty() { y + 27.0 } else { y + 19.0 };
        let mut svg = format!(
            "<g class=\"{class}\"><rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{BOX_HEIGHT}\" \
             rx=\"6\"/><text x=\"{middle}\" y=\"{name_y}\" text-anchor=\"middle\">{}</text>",
            self.box_width,
            escape(name)
        );
        if !below.is_empty() {
            let _ = write!(
                svg,
                "<text class=\"s\" x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                y + 35.0,
                escape(below)
            );
        }
        svg.push_str("</g>\n");
        svg
    }

    /// A smooth line that crosses the layers between at their bends.
    fn arrow(&self, nodes: &[usize]) -> String {
        let corners: Vec<_> = nodes
            .iter()
            .map(|&node| self.corner(self.layout.places[node]))
            .collect();
        let (x, y) = corners[0];
        let half = BOX_HEIGHT / 2.0;
        let mut path = format!("M{} {}", x + self.box_width, y + half);
        let last = corners.len() - 1;
        let mut from = (x + self.box_width, y + half);
        for (index, &(x, y)) in corners.iter().enumerate().skip(1) {
            let end = if index == last { x - 7.0 } else { x };
            let bend = (from.0 + end) / 2.0;
            let to = (end, y + half);
            let _ = write!(
                path,
                " C{bend} {} {bend} {} {} {}",
                from.1, to.1, to.0, to.1
            );
            from = to;
            if index < last {
                from.0 += self.box_width;
                let _ = write!(path, " H{}", from.0);
            }
        }
        let (x, y) = from;
        let tip = format!("M{x} {} L{} {y} L{x} {} Z", y - 4.0, x + 7.0, y + 4.0);
        format!("<path d=\"{path}\"/><path class=\"tip\" d=\"{tip}\"/>\n")
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
