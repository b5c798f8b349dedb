//! Learning curves: the loss and the watched metric over the epochs.

use super::TrainingCurves;
use super::chart::{Axis, line, place};
use super::wording::share;

/// The drawing's frame, in its own units (`viewBox`).
pub(super) const LEFT: f64 = 46.0;
pub(super) const RIGHT: f64 = 352.0;
pub(super) const TOP: f64 = 30.0;
pub(super) const BOTTOM: f64 = 230.0;
/// The line of the legend, above the frame: within it, lines could cross it.
const LEGEND: f64 = 10.0;
/// From one entry of the legend to the next.
const LEGEND_STEP: f64 = 108.0;

/// One drawing: several runs over one pair of axes.
#[derive(Debug, Clone)]
pub(super) struct CurvePanel {
    /// What the vertical axis shows.
    pub(super) title: String,
    /// A sentence for those who do not see it.
    pub(super) description: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
    /// The epochs kept: a dot on the validation line of each run that kept one.
    pub(super) best: Vec<(String, String)>,
    pub(super) legend: Vec<Legend>,
}

/// One line of a drawing.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) kind: LineKind,
    pub(super) path: String,
    /// What it is, shown on pointing at it.
    pub(super) name: String,
}

/// A line's entry in the legend.
#[derive(Debug, Clone)]
pub(super) struct Legend {
    pub(super) kind: LineKind,
    pub(super) label: &'static str,
    pub(super) x: f64,
    pub(super) y: f64,
}

/// Which part a line was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineKind {
    Training,
    Validation,
}

impl LineKind {
    /// Its class in the style sheet.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Validation => "validation",
        }
    }
}

/// The loss and, where one was watched, the metric.
pub(super) fn panels(runs: &[TrainingCurves]) -> Vec<CurvePanel> {
    [loss_panel(runs), metric_panel(runs)]
        .into_iter()
        .flatten()
        .collect()
}

/// What is to be said below the drawings, in whole sentences.
pub(super) fn note(runs: &[TrainingCurves]) -> String {
    let n_networks = |run: &TrainingCurves| run.kept_epochs.as_slice().len();
    let most = runs.iter().map(n_networks).max().unwrap_or(0);
    let mut sentences = Vec::new();
    if most > 1 {
        sentences.push(format!(
            "Each is the mean of {most} networks, which are trained alone and act as one afterwards; one that has stopped counts with the epoch that it keeps."
        ));
    }
    sentences.extend(circles(runs));
    if let [run] = runs
        && let Some(scores) = run.validation
        && most > 1
    {
        sentences.push(format!(
            "Together they reach an accuracy of {} and a macro-F1 of {} on the validation part.",
            share(scores.accuracy),
            share(scores.macro_f1)
        ));
    }
    sentences.join(" ")
}

/// What the circles mean, if there is a line to put one on.
fn circles(runs: &[TrainingCurves]) -> Option<String> {
    let mut epochs = runs.iter().flat_map(|run| &run.epochs);
    epochs.find(|epoch| epoch.validation_loss.is_some())?;
    let has_circle = |run: &&TrainingCurves| run.kept_epochs.common().is_some();
    Some(match runs.iter().filter(has_circle).count() {
        0 => format!("Each network keeps an epoch of its own: {}.", kept(runs)),
        n if n == runs.len() => "Circles mark the epoch whose weights were kept.".to_owned(),
        _ => "A circle marks the epoch whose weights were kept, where all networks of a run kept the same one.".to_owned(),
    })
}

/// The epochs kept, run by run.
fn kept(runs: &[TrainingCurves]) -> String {
    let kept: Vec<String> = runs.iter().map(|run| run.kept_epochs.to_string()).collect();
    kept.join("; ")
}

fn loss_panel(runs: &[TrainingCurves]) -> Option<CurvePanel> {
    let training = |run: &TrainingCurves| {
        run.epochs
            .iter()
            .map(|epoch| Some(epoch.training_loss))
            .collect()
    };
    let validation = |run: &TrainingCurves| {
        run.epochs
            .iter()
            .map(|epoch| epoch.validation_loss)
            .collect()
    };
    let high = runs
        .iter()
        .flat_map(|run| &run.epochs)
        .flat_map(|epoch| [Some(epoch.training_loss), epoch.validation_loss])
        .flatten()
        .filter(|loss| loss.is_finite())
        .fold(0.0, f64::max);
    let mut panel = Panel::new("loss", runs, [0.0, high * 1.04])?;
    panel.draw(runs, LineKind::Training, training);
    panel.draw(runs, LineKind::Validation, validation);
    Some(panel.finish(runs))
}

fn metric_panel(runs: &[TrainingCurves]) -> Option<CurvePanel> {
    let name = &runs.first()?.metric;
    let metric = |run: &TrainingCurves| {
        run.epochs
            .iter()
            .map(|epoch| epoch.validation_metric)
            .collect()
    };
    let mut panel = Panel::new(name, runs, [0.0, 1.0])?;
    panel.draw(runs, LineKind::Validation, metric);
    let was_watched = !panel.drawing.lines.is_empty();
    was_watched.then(|| panel.finish(runs))
}

/// A drawing in the making.
struct Panel {
    drawing: CurvePanel,
}

impl Panel {
    fn new(title: &str, runs: &[TrainingCurves], range: [f64; 2]) -> Option<Self> {
        let n_epochs = runs
            .iter()
            .map(|run| run.epochs.len())
            .max()
            .filter(|&n| n > 0)?;
        // A single epoch gets an axis, too, so that its dot has a place.
        let last = n_epochs.max(2);
        // Never more ticks than epochs: there is nothing at epoch 1.5.
        Some(Self {
            drawing: CurvePanel {
                title: title.to_owned(),
                description: String::new(),
                x: Axis::new([1.0, last as f64], [LEFT, RIGHT], (last - 1).min(6)),
                y: Axis::new(range, [BOTTOM, TOP], 5),
                lines: Vec::new(),
                best: Vec::new(),
                legend: Vec::new(),
            },
        })
    }

    fn draw(
        &mut self,
        runs: &[TrainingCurves],
        kind: LineKind,
        of: impl Fn(&TrainingCurves) -> Vec<Option<f64>>,
    ) {
        for run in runs {
            let values = of(run);
            let point = |index: usize| {
                let value = (*values.get(index)?)?;
                Some((
                    self.drawing.x.place((index + 1) as f64),
                    self.drawing.y.place(value),
                ))
            };
            let path = line((0..values.len()).map(point));
            let best = run
                .kept_epochs
                .common()
                .and_then(|epoch| point(epoch.checked_sub(1)?))
                .filter(|best| best.1.is_finite());
            if path.is_empty() {
                continue;
            }
            if let (LineKind::Validation, Some((x, y))) = (kind, best) {
                self.drawing.best.push((place(x), place(y)));
            }
            let name = format!("{} {}", run.name, kind.class()).trim().to_owned();
            self.drawing.lines.push(Line { kind, path, name });
        }
    }

    fn finish(mut self, runs: &[TrainingCurves]) -> CurvePanel {
        let mut kinds: Vec<LineKind> = self.drawing.lines.iter().map(|line| line.kind).collect();
        kinds.dedup();
        self.drawing.legend = kinds
            .into_iter()
            .enumerate()
            .map(|(place, kind)| Legend {
                kind,
                label: kind.class(),
                x: LEFT + LEGEND_STEP * place as f64,
                y: LEGEND,
            })
            .collect();
        self.drawing.description = format!(
            "{} over the epochs; weights kept from epoch {}",
            self.drawing.title,
            kept(runs)
        );
        self.drawing
    }
}

#[cfg(test)]
mod tests {
    use biophony_model::{KeptEpochs, ValidationScores};

    use super::super::EpochFigures;
    use super::*;

    fn run(losses: &[f64]) -> TrainingCurves {
        let epochs = losses
            .iter()
            .map(|&loss| EpochFigures {
                training_loss: loss,
                validation_loss: Some(loss + 0.1),
                validation_metric: Some(0.5),
            })
            .collect();
        TrainingCurves {
            name: String::new(),
            metric: "macro-F1".to_owned(),
            epochs,
            kept_epochs: KeptEpochs::one(losses.len()),
            validation: None,
        }
    }

    #[test]
    fn each_run_has_a_line_per_part_and_a_dot_where_it_was_best() {
        let panels = panels(&[run(&[2.0, 1.0]), run(&[2.0, 1.5, 1.2])]);
        let shape = |panel: &CurvePanel| (panel.lines.len(), panel.best.len(), panel.legend.len());
        assert_eq!(
            panels.iter().map(shape).collect::<Vec<_>>(),
            [(4, 2, 2), (2, 2, 1)]
        );
    }

    /// A run of networks that keep these epochs.
    fn run_of(kept_epochs: &[usize]) -> TrainingCurves {
        let each: Vec<KeptEpochs> = kept_epochs.iter().map(|&n| KeptEpochs::one(n)).collect();
        TrainingCurves {
            kept_epochs: each.iter().collect(),
            validation: Some(ValidationScores {
                loss: 0.5,
                accuracy: 0.903,
                balanced_accuracy: 0.8,
                macro_f1: 0.782,
            }),
            ..run(&[2.0, 1.5, 1.2])
        }
    }

    #[track_caller]
    fn check_note(runs: &[TrainingCurves], n_circles: usize, said: &[&str]) {
        let text = note(runs);
        for sentence in said {
            assert!(text.contains(sentence), "{text}");
        }
        assert_eq!(
            text.contains(". Circles") || text.starts_with("Circles"),
            n_circles == runs.len()
        );
        assert!(
            panels(runs)
                .iter()
                .all(|panel| panel.best.len() == n_circles)
        );
    }

    #[test]
    fn circles_are_drawn_where_all_networks_keep_the_same_epoch() {
        let together = "Together they reach an accuracy of 0.903 and a macro-F1 of 0.782 on the validation part.";
        let mean = "Each is the mean of 3 networks";
        check_note(&[run_of(&[3])], 1, &[]);
        check_note(&[run_of(&[3, 3, 3])], 1, &[mean, together]);
        let own = "Each network keeps an epoch of its own: 1/3/2.";
        check_note(&[run_of(&[1, 3, 2])], 0, &[mean, own, together]);
        let some = "where all networks of a run kept the same one";
        check_note(&[run_of(&[1, 3, 2]), run_of(&[2, 2, 2])], 1, &[mean, some]);
        assert!(!note(&[run_of(&[3])]).contains("mean"));
    }

    #[test]
    fn the_legend_lies_above_all_lines() {
        for panel in panels(&[run(&[2.0, 1.0])]) {
            let high = panel.lines.iter().map(|line| highest(&line.path));
            let high = high.fold(TOP, f64::min);
            assert!(panel.legend.iter().all(|entry| entry.y + 8.0 < high));
            let xs: Vec<f64> = panel.legend.iter().map(|entry| entry.x).collect();
            assert!(xs.windows(2).all(|pair| pair[0] + 90.0 < pair[1]), "{xs:?}");
        }
    }

    /// The least `y` of a path.
    fn highest(path: &str) -> f64 {
        let points = path
            .split(['M', 'L'])
            .filter_map(|point| point.split_once(' '));
        points
            .map(|(_, y)| y.parse().expect("a number"))
            .fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn a_loss_that_is_not_finite_interrupts_the_line_only() {
        let panels = panels(&[run(&[2.0, f64::NAN, f64::INFINITY, 1.0])]);
        assert!(
            panels[0]
                .lines
                .iter()
                .all(|line| !line.path.contains("NaN") && !line.path.contains("inf"))
        );
        assert_eq!(panels[0].lines[0].path.matches('M').count(), 2);
    }

    #[test]
    fn epochs_are_whole_numbers_however_few_there_are() {
        for n_epochs in 1..12 {
            let panels = panels(&[run(&vec![1.0; n_epochs])]);
            let ticks = &panels[0].x.ticks;
            assert!(
                ticks.iter().all(|tick| tick.label.parse::<usize>().is_ok()),
                "{ticks:?}"
            );
        }
    }

    #[test]
    fn without_a_validation_part_there_is_the_training_loss_alone() {
        let mut run = run(&[2.0, 1.0]);
        for epoch in &mut run.epochs {
            epoch.validation_loss = None;
            epoch.validation_metric = None;
        }
        let panels = panels(&[run]);
        assert_eq!(panels.len(), 1);
        assert_eq!((panels[0].lines.len(), panels[0].legend.len()), (1, 1));
    }

    #[test]
    fn without_epochs_there_is_nothing_to_draw() {
        assert!(panels(&[]).is_empty());
        assert!(panels(&[run(&[])]).is_empty());
    }
}
