//! Boxes and arrows as SVG, without scripts.

use std::fmt::Write;

use super::layout::{Layout, Place, layout};
use super::{Setting, time_of};
use crate::graph::Graph;
use crate::run::RunRecord;

const BOX_HEIGHT: f64 = 44.0;
const ROW: f64 = 64.0;
const GAP: f64 = 56.0;
const MARGIN: f64 = 16.0;
/// The mean width of a character at 14 pixels.
const CHARACTER: f64 = 7.8;

/// Colors and fonts are attributes: a style sheet comes before them, and readers
/// that know none still see the picture.
const INK: &str = "#1d2a25";
const LINE: &str = "#7b8a83";
const PAPER: &str = "#ffffff";
const RAN: &str = "#2f6f4f";
const WAITING: &str = "#6b7a74";
const FAILED: &str = "#b3261e";

/// The same in the dark, for readers who prefer it.
const DARK: &str = "\
@media(prefers-color-scheme:dark){.pipeline-graph text{fill:#e6ece9}\
.pipeline-graph rect{fill:#1b2420}.pipeline-graph .s{fill:#8fa099}\
.pipeline-graph .ran rect{stroke:#7fd1a4}.pipeline-graph .ran .s{fill:#7fd1a4}\
.pipeline-graph .failed rect{stroke:#ff8a80}.pipeline-graph .failed .s{fill:#ff8a80}}";

/// What one box says.
struct Label {
    name: String,
    below: String,
    class: &'static str,
    /// Where a click on it leads.
    link: Option<String>,
}

/// Draws the picture; `link` gives the address of a step, if it has one.
pub(super) fn draw(
    graph: &Graph,
    run: Option<&RunRecord>,
    link: impl Fn(&str) -> Option<String>,
    setting: Setting,
) -> String {
    let labels = labels(graph, run, link);
    let layout = layout(graph);
    let longest = labels.iter().flat_map(|label| [&label.name, &label.below]);
    let n_characters = longest.map(|text| text.chars().count()).max().unwrap_or(0);
    let box_width = (n_characters as f64 * CHARACTER + 24.0).max(80.0);
    let sheet = Sheet {
        layout: &layout,
        box_width,
    };
    let (width, height) = sheet.size();

    // What is one picture to a reader has no links in it.
    let role = match labels.iter().any(|label| label.link.is_some()) {
        true => "group",
        false => "img",
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"pipeline-graph\" role=\"{role}\" \
         viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"14\">\n<title>Pipeline {}</title>\n",
        escape(&graph.pipeline)
    );
    if setting == Setting::Alone {
        let _ = writeln!(svg, "<style>{DARK}</style>");
    }
    for arrow in &layout.arrows {
        svg.push_str(&sheet.arrow(arrow));
    }
    for (number, label) in labels.iter().enumerate() {
        svg.push_str(&sheet.label(label, layout.places[number]));
    }
    svg.push_str("</svg>\n");
    svg
}

fn labels(
    graph: &Graph,
    run: Option<&RunRecord>,
    link: impl Fn(&str) -> Option<String>,
) -> Vec<Label> {
    let sources = graph.sources.iter().map(|source| Label {
        name: source.name.clone(),
        below: "source".to_owned(),
        class: "source",
        link: None,
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
            link: link(&step.name),
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
        let Label {
            name, below, class, ..
        } = label;
        let middle = x + self.box_width / 2.0;
        let name_y = if below.is_empty() { y + 27.0 } else { y + 19.0 };
        // States are told by the words; color and line only help to find them.
        let (color, line) = match *class {
            "ran" => (RAN, "stroke-width=\"1.5\""),
            "cached" | "skipped" => (WAITING, "stroke-width=\"1.5\" stroke-dasharray=\"4 3\""),
            "failed" => (FAILED, "stroke-width=\"2.5\""),
            _ => (LINE, "stroke-width=\"1.5\""),
        };
        let mut svg = format!(
            "<g class=\"{class}\"><rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{BOX_HEIGHT}\" \
             rx=\"6\" fill=\"{PAPER}\" stroke=\"{color}\" {line}/>\
             <text x=\"{middle}\" y=\"{name_y}\" text-anchor=\"middle\" fill=\"{INK}\">{}</text>",
            self.box_width,
            escape(name)
        );
        if !below.is_empty() {
            let _ = write!(
                svg,
                "<text class=\"s\" x=\"{middle}\" y=\"{}\" text-anchor=\"middle\" \
                 font-size=\"11\" fill=\"{color}\">{}</text>",
                y + 35.0,
                escape(below)
            );
        }
        svg.push_str("</g>\n");
        match &label.link {
            Some(link) => format!("<a href=\"{}\">{}</a>\n", escape(link), svg.trim_end()),
            None => svg,
        }
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
        format!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"{LINE}\" stroke-width=\"1.5\"/>\
             <path class=\"tip\" d=\"{tip}\" fill=\"{LINE}\"/>\n"
        )
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
