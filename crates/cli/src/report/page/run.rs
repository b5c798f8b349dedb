//! What else is to be said of a run, written out: folds, mistakes, data and
//! network.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::report::wording::{count, duration, share};
use crate::report::{AuditSummary, ClassAudit, Fold, Mistake, NetworkSummary};

pub(super) struct FoldRow {
    pub(super) name: String,
    pub(super) n_training: String,
    pub(super) n_test: String,
    pub(super) accuracy: String,
    pub(super) balanced_accuracy: String,
    pub(super) macro_f1: String,
    pub(super) kept_epochs: String,
}

pub(super) struct MistakeCard<'a> {
    pub(super) mistake: &'a Mistake,
    pub(super) probability: String,
    pub(super) truth_probability: String,
    pub(super) picture: Option<String>,
}

pub(super) struct AuditView<'a> {
    pub(super) audit: &'a AuditSummary,
    pub(super) n_clips: String,
    pub(super) n_groups: String,
    pub(super) duration: String,
    pub(super) classes: Vec<ClassBar<'a>>,
}

pub(super) struct ClassBar<'a> {
    pub(super) label: &'a str,
    pub(super) n_clips: String,
    pub(super) duration: String,
    /// Its length in percent of the longest.
    pub(super) percent: String,
}

pub(super) struct NetworkView<'a> {
    pub(super) architecture: &'a str,
    /// How many networks it is made of, as a clause, where these are several.
    pub(super) members: String,
    pub(super) layers: Vec<LayerRow<'a>>,
    pub(super) parameters: String,
    pub(super) macs: String,
}

pub(super) struct LayerRow<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    pub(super) output: String,
    pub(super) parameters: String,
    pub(super) macs: String,
}

/// The folds, and their mean and standard deviation below them.
pub(super) fn fold_rows(folds: &[Fold]) -> Vec<FoldRow> {
    let mut rows: Vec<FoldRow> = folds
        .iter()
        .map(|fold| FoldRow {
            name: fold.name.clone(),
            n_training: count(fold.n_training as u64),
            n_test: count(fold.n_test as u64),
            accuracy: share(fold.accuracy),
            balanced_accuracy: share(fold.balanced_accuracy),
            macro_f1: share(fold.macro_f1),
            kept_epochs: fold.kept_epochs.to_string(),
        })
        .collect();
    if folds.len() > 1 {
        rows.push(FoldRow {
            name: "Mean ± SD".to_owned(),
            n_training: String::new(),
            n_test: String::new(),
            accuracy: mean_and_deviation(folds, |fold| fold.accuracy),
            balanced_accuracy: mean_and_deviation(folds, |fold| fold.balanced_accuracy),
            macro_f1: mean_and_deviation(folds, |fold| fold.macro_f1),
            kept_epochs: String::new(),
        });
    }
    rows
}

fn mean_and_deviation(folds: &[Fold], of: fn(&Fold) -> f64) -> String {
    let n = folds.len() as f64;
    let mean = folds.iter().map(of).sum::<f64>() / n;
    let squares: f64 = folds.iter().map(|fold| (of(fold) - mean).powi(2)).sum();
    format!("{} ± {}", share(mean), share((squares / (n - 1.0)).sqrt()))
}

pub(super) fn mistake_card(mistake: &Mistake) -> MistakeCard<'_> {
    MistakeCard {
        mistake,
        probability: share(mistake.probability),
        truth_probability: share(mistake.truth_probability),
        picture: mistake
            .picture_png
            .as_ref()
            .map(|png| format!("data:image/png;base64,{}", STANDARD.encode(png))),
    }
}

pub(super) fn audit_view(audit: &AuditSummary) -> AuditView<'_> {
    let most = audit
        .classes
        .iter()
        .map(|class| class.n_clips)
        .max()
        .unwrap_or(0)
        .max(1);
    let bar = |class: &ClassAudit| {
        (
            count(class.n_clips as u64),
            100.0 * class.n_clips as f64 / most as f64,
        )
    };
    AuditView {
        audit,
        n_clips: count(audit.n_clips as u64),
        n_groups: count(audit.n_groups as u64),
        duration: duration(audit.duration_seconds),
        classes: audit
            .classes
            .iter()
            .map(|class| ClassBar {
                label: &class.label,
                n_clips: bar(class).0,
                duration: duration(class.duration_seconds),
                percent: format!("{:.1}", bar(class).1),
            })
            .collect(),
    }
}

pub(super) fn network_view(network: &NetworkSummary) -> NetworkView<'_> {
    let layers = &network.layers;
    let members = match network.members {
        1 => String::new(),
        n => {
            let each = count(network.n_parameters as u64);
            format!("; {n} networks of {each} parameters side by side, which act as one")
        }
    };
    NetworkView {
        architecture: &network.architecture,
        members,
        parameters: count(layers.iter().map(|layer| layer.parameters as u64).sum()),
        macs: count(layers.iter().map(|layer| layer.macs).sum()),
        layers: layers
            .iter()
            .map(|layer| LayerRow {
                name: &layer.name,
                kind: &layer.kind,
                output: format!(
                    "{} × {} × {}",
                    layer.output.height, layer.output.width, layer.output.channels
                ),
                parameters: count(layer.parameters as u64),
                macs: count(layer.macs),
            })
            .collect(),
    }
}
