//! Which recordings are trained on, validated with and tested on: one division
//! of the collection, or one for each fold.

use std::collections::HashSet;

use anyhow::{Context, Result};
use biophony_dataset::{Part, SplitConfig, Straddle, Usable, split};

use crate::arguments::FoldsArgument;

/// One way to divide the usable recordings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Division {
    /// `split`, `fold-1`, …: also the name of its checkpoint folder.
    pub(crate) name: String,
    /// The part of each usable recording.
    pub(crate) parts: Vec<Part>,
}

/// What is trained in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Divisions whose test parts are judged; each recording is tested at most once.
    pub(crate) judged: Vec<Division>,
    /// What the model in the bundle is trained on, where that is not the one
    /// division judged: after a cross-validation, everything but a validation part.
    pub(crate) deployed: Option<Division>,
    /// What the user should know about these divisions.
    pub(crate) warnings: Vec<String>,
}

/// Whether recordings that belong together stay together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// They do: figures are honest.
    Kept,
    /// They do not: what a plain random split does, for comparison only.
    Ignored,
}

/// Divides the recordings as the command line and the manifest ask for.
pub(crate) fn plan(
    usable: &Usable,
    config: &SplitConfig,
    wanted: Option<FoldsArgument>,
    grouping: Grouping,
) -> Result<Plan> {
    let alone: Vec<usize> = (0..usable.labels.len()).collect();
    let groups = match grouping {
        Grouping::Kept => &usable.groups,
        Grouping::Ignored => &alone,
    };
    let (fold_of, names, warnings) = match wanted {
        None => return single(usable, config, groups, grouping),
        Some(FoldsArgument::Count(k)) => {
            let fold_of = biophony_dataset::folds(&usable.labels, groups, k, config.seed)?;
            let names = (1..=k).map(|fold| fold.to_string()).collect();
            (fold_of, names, scarce(usable, k))
        }
        Some(FoldsArgument::Manifest) => {
            let folds = usable.manifest_folds()?;
            (
                folds.fold_of,
                folds.names,
                straddling("folds", &folds.straddling),
            )
        }
    };
    let judged = cross_validation(usable, config, groups, &fold_of, &names)?;
    let everything: Vec<usize> = (0..usable.labels.len()).collect();
    let parts = validate_within(usable, config, groups, &everything)?;
    let deployed = Some(Division {
        name: "final".to_owned(),
        parts,
    });
    Ok(Plan {
        judged,
        deployed,
        warnings,
    })
}

fn single(
    usable: &Usable,
    config: &SplitConfig,
    groups: &[usize],
    grouping: Grouping,
) -> Result<Plan> {
    let by_manifest = usable
        .recordings
        .iter()
        .any(|recording| recording.split.is_some());
    let (parts, warnings) = if by_manifest && grouping == Grouping::Kept {
        let split = usable.manifest_split()?;
        (split.parts, straddling("split", &split.straddling))
    } else {
        let parts = split(&usable.labels, groups, config).or_else(|error| match grouping {
            // The same error with the class's name in it.
            Grouping::Kept => usable.split(config),
            Grouping::Ignored => Err(error),
        })?;
        (parts, Vec::new())
    };
    let judged = vec![Division {
        name: "split".to_owned(),
        parts,
    }];
    Ok(Plan {
        judged,
        deployed: None,
        warnings,
    })
}

fn cross_validation(
    usable: &Usable,
    config: &SplitConfig,
    groups: &[usize],
    fold_of: &[usize],
    names: &[String],
) -> Result<Vec<Division>> {
    let divide = |(fold, name): (usize, &String)| {
        let others: Vec<usize> = (0..fold_of.len()).filter(|&i| fold_of[i] != fold).collect();
        let parts = validate_within(usable, config, groups, &others)
            .with_context(|| format!("fold {name} leaves too little to learn from"))?;
        Ok(Division {
            name: format!("fold-{name}"),
            parts,
        })
    };
    names.iter().enumerate().map(divide).collect()
}

impl Plan {
    /// How many tested recordings have a relative in their own training part.
    pub(crate) fn count_leaks(&self, groups: &[usize]) -> usize {
        let leaks = |division: &Division| {
            let of = |part: Part| (0..groups.len()).filter(move |&i| division.parts[i] == part);
            let trained: HashSet<usize> = of(Part::Train).map(|i| groups[i]).collect();
            of(Part::Test)
                .filter(|&i| trained.contains(&groups[i]))
                .count()
        };
        self.judged.iter().map(leaks).sum()
    }
}

/// Takes a validation part out of the recordings `among`; all others are for test.
fn validate_within(
    usable: &Usable,
    config: &SplitConfig,
    groups: &[usize],
    among: &[usize],
) -> Result<Vec<Part>> {
    let labels: Vec<usize> = among.iter().map(|&i| usable.labels[i]).collect();
    let own_groups: Vec<usize> = among.iter().map(|&i| groups[i]).collect();
    let config = SplitConfig {
        test: 0.0,
        ..*config
    };
    let mut parts = vec![Part::Test; usable.labels.len()];
    for (&i, part) in among.iter().zip(split(&labels, &own_groups, &config)?) {
        parts[i] = part;
    }
    Ok(parts)
}

fn scarce(usable: &Usable, k: usize) -> Vec<String> {
    let warn = |class: biophony_dataset::ScarceClass| {
        format!(
            "class `{}` has {} independent recordings, fewer than {k} folds; some folds are tested without it",
            class.label, class.n_groups
        )
    };
    usable.scarce_classes(k).into_iter().map(warn).collect()
}

fn straddling(what: &str, torn: &[Straddle]) -> Vec<String> {
    let warn = |torn: &Straddle| {
        format!(
            "the manifest's {what} tear apart recordings that belong together, which makes the figures too good: {}",
            torn.names.join(", ")
        )
    };
    torn.iter().map(warn).collect()
}
