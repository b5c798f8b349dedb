//! `split`: which recordings are trained on, validated with and tested on, once
//! or once for each fold.

use std::collections::{BTreeSet, HashSet};

use anyhow::{Context, Result};
use biophony_dataset::{Dataset, Part, SplitConfig, Straddle, Usable, split};
use biophony_pipeline::{Json, Output, Pipeline};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::arguments::FoldsArgument;
use crate::collection::Collection;
use crate::commands::plural;
use crate::reviewed::Reviewed;
use crate::settings::Settings;

/// Put before the name of a division that ignores which recordings belong together.
const NAIVE: &str = "naive-";
/// Put before the name of a fold.
const FOLD: &str = "fold-";
/// The only division, where there are no folds.
pub(crate) const SINGLE: &str = "split";
/// The division whose network is deployed after a cross-validation.
const FINAL: &str = "final";

/// One way to divide the usable recordings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Division {
    /// `split`, `fold-1`, …: also the name of its checkpoint folder.
    pub(crate) name: String,
    /// The part of each usable recording.
    pub(crate) parts: Vec<Part>,
}

/// What is trained in one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Divisions whose test parts are judged; each recording is tested at most once.
    pub(crate) judged: Vec<Division>,
    /// What the model in the bundle is trained on, where that is not the one
    /// division judged: after a cross-validation, everything but a validation part
    /// if one is needed.
    pub(crate) deployed: Option<Division>,
    /// The judged divisions once more, regardless of which recordings belong
    /// together; empty unless asked for.
    pub(crate) naive: Vec<Division>,
    /// What the user should know about these divisions.
    pub(crate) warnings: Vec<String>,
}

/// Whether recordings that belong together stay together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grouping {
    /// They do: figures are honest.
    Kept,
    /// They do not: what a plain random split does, for comparison only.
    Ignored,
}

/// Adds the step.
pub(super) fn add(
    pipeline: &mut Pipeline,
    collection: &Output<Json<Collection>>,
    settings: &Settings,
    folds: Option<FoldsArgument>,
    compare_naive: bool,
    reviewed: Reviewed,
) -> Output<Json<Plan>> {
    let mut config = settings.split;
    // Where no epoch is chosen, folds can be calibrated on each other, and all that
    // a fold does not test is there to learn from.
    if folds.is_some() && !settings.train.chooses_epoch() {
        config.validation = 0.0;
    }
    let params = json!({
        "split": config,
        "folds": folds.map(|folds| folds.to_string()),
        "compare_naive": compare_naive,
        "reviewed": reviewed.count(),
    });
    super::step(pipeline, "split", &settings.run)
        .params(&params)
        .outputs(["plan"])
        .run(
            collection,
            move |context, Json(collection): Json<Collection>| {
                let usable = collection.usable()?;
                let is_reviewed: Vec<bool> =
                    usable.names.iter().map(|name| reviewed.has(name)).collect();
                let plan = |grouping| {
                    plan_around(&usable, &is_reviewed, grouping, |usable| {
                        plan(usable, &config, folds, grouping)
                    })
                };
                let mut kept = plan(Grouping::Kept)?;
                kept.warnings.extend(kept.unlearned(&usable));
                if compare_naive {
                    let naive = plan(Grouping::Ignored)?;
                    kept.naive = naive.judged;
                    for division in &mut kept.naive {
                        division.name.insert_str(0, NAIVE);
                    }
                }
                for warning in &kept.warnings {
                    context.warn(warning.as_str());
                }
                for (name, value) in kept.counts() {
                    context.attach("plan", name, value);
                }
                anyhow::Ok(Json(kept))
            },
        )
}

/// The divisions that a plan will have, by name and before anything is decoded.
pub(super) fn division_names(
    dataset: &Dataset,
    folds: Option<FoldsArgument>,
    compare_naive: bool,
) -> Vec<String> {
    let fold = |name: &dyn std::fmt::Display| format!("{FOLD}{name}");
    let judged: Vec<String> = match folds {
        None => vec![SINGLE.to_owned()],
        Some(FoldsArgument::Count(k)) => (1..=k).map(|k| fold(&k)).collect(),
        Some(FoldsArgument::Manifest) => {
            let names: BTreeSet<&String> = dataset
                .recordings
                .iter()
                .filter_map(|recording| recording.fold.as_ref())
                .collect();
            names.into_iter().map(|name| fold(name)).collect()
        }
    };
    let naive: Vec<String> = match compare_naive {
        true => judged.iter().map(|name| format!("{NAIVE}{name}")).collect(),
        false => Vec::new(),
    };
    let deployed = folds.map(|_| FINAL.to_owned());
    judged.into_iter().chain(naive).chain(deployed).collect()
}

impl Plan {
    /// The division of this name, where the recordings leave one.
    pub(crate) fn division(&self, name: &str) -> Option<&Division> {
        let mut all = self.judged.iter().chain(&self.naive).chain(&self.deployed);
        all.find(|division| division.name == name)
    }

    /// What to say of classes that a judged network does not get to hear: it is tested on
    /// them, if at all, without a chance.
    fn unlearned(&self, usable: &Usable) -> Vec<String> {
        let in_division = |division: &Division| {
            let parts = usable.labels.iter().zip(&division.parts);
            let trained: HashSet<usize> = parts
                .filter(|(_, part)| **part == Part::Train)
                .map(|(&label, _)| label)
                .collect();
            let whose = match division.name.strip_prefix(FOLD) {
                Some(fold) => format!(" of fold {fold}"),
                None => String::new(),
            };
            let classes = usable.classes.iter().enumerate();
            let missing = classes.filter(|(class, _)| !trained.contains(class));
            missing
                .map(|(_, label)| {
                    format!(
                        "class `{label}` has no recording in the training part{whose}: the network does not learn it"
                    )
                })
                .collect::<Vec<_>>()
        };
        self.judged.iter().flat_map(in_division).collect()
    }

    /// What is worth showing of the plan: how many recordings are in each part.
    fn counts(&self) -> Vec<(&'static str, usize)> {
        let [first, ..] = &self.judged[..] else {
            return Vec::new();
        };
        let count = |part: Part| first.parts.iter().filter(|p| **p == part).count();
        let mut counts: Vec<_> = Part::ALL.map(|part| (part.name(), count(part))).to_vec();
        if self.judged.len() > 1 {
            counts = vec![
                ("folds", self.judged.len()),
                ("recordings", first.parts.len()),
            ];
        }
        counts
    }
}

/// Divides the recordings that nobody has reviewed; the others are trained on in
/// every division. Where groups are kept, so are the relatives of reviewed ones: a
/// copy of what is trained on judges nothing.
fn plan_around(
    usable: &Usable,
    is_reviewed: &[bool],
    grouping: Grouping,
    divide: impl Fn(&Usable) -> Result<Plan>,
) -> Result<Plan> {
    let of = |wanted: bool| (0..is_reviewed.len()).filter(move |&i| is_reviewed[i] == wanted);
    let (reviewed, others): (Vec<usize>, Vec<usize>) = (of(true).collect(), of(false).collect());
    if reviewed.is_empty() {
        return divide(usable);
    }
    let mut plan = divide(&Usable {
        recordings: others.iter().map(|&i| usable.recordings[i]).collect(),
        names: others.iter().map(|&i| usable.names[i].clone()).collect(),
        classes: usable.classes.clone(),
        labels: others.iter().map(|&i| usable.labels[i]).collect(),
        groups: others.iter().map(|&i| usable.groups[i]).collect(),
    })?;
    let groups: HashSet<usize> = match grouping {
        Grouping::Kept => reviewed.iter().map(|&i| usable.groups[i]).collect(),
        Grouping::Ignored => HashSet::new(),
    };
    for division in plan.judged.iter_mut().chain(&mut plan.deployed) {
        let mut parts = vec![Part::Train; is_reviewed.len()];
        for (&i, &part) in others.iter().zip(&division.parts) {
            if !groups.contains(&usable.groups[i]) {
                parts[i] = part;
            }
        }
        division.parts = parts;
    }
    let relatives = others
        .iter()
        .filter(|&&i| groups.contains(&usable.groups[i]));
    plan.warnings.push(format!(
        "{} trained on, too; {} nothing",
        plural(
            reviewed.len(),
            "reviewed recording is",
            "reviewed recordings are"
        ),
        plural(
            relatives.count(),
            "copy or relative judges",
            "copies and relatives judge"
        )
    ));
    Ok(plan)
}

/// Divides the recordings as the command line and the manifest ask for.
fn plan(
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
        name: FINAL.to_owned(),
        parts,
    });
    Ok(Plan {
        judged,
        deployed,
        naive: Vec::new(),
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
        (split.parts, straddling("parts", &split.straddling))
    } else {
        let parts = split(&usable.labels, groups, config).or_else(|error| match grouping {
            // The same error with the class's name in it.
            Grouping::Kept => usable.split(config),
            Grouping::Ignored => Err(error),
        })?;
        (parts, Vec::new())
    };
    let judged = vec![Division {
        name: SINGLE.to_owned(),
        parts,
    }];
    Ok(Plan {
        judged,
        deployed: None,
        naive: Vec::new(),
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
            name: format!("{FOLD}{name}"),
            parts,
        })
    };
    names.iter().enumerate().map(divide).collect()
}

/// How many recordings tested by some divisions have a relative in the training part of
/// the same one.
pub(super) fn count_leaks<'a>(
    divisions: impl IntoIterator<Item = &'a Division>,
    groups: &[usize],
) -> usize {
    let leaks = |division: &Division| {
        let of = |part: Part| (0..groups.len()).filter(move |&i| division.parts[i] == part);
        let trained: HashSet<usize> = of(Part::Train).map(|i| groups[i]).collect();
        of(Part::Test)
            .filter(|&i| trained.contains(&groups[i]))
            .count()
    };
    divisions.into_iter().map(leaks).sum()
}

/// Takes a validation part, if the settings want one, out of the recordings `among`;
/// all others are for test.
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

/// What to say of recordings that belong together and that the manifest has put into
/// different folds or parts.
fn straddling(sides: &str, torn: &[Straddle]) -> Vec<String> {
    let warn = |torn: &Straddle| {
        format!(
            "the manifest puts recordings that belong together into different {sides} ({}), which makes the figures too good: {}",
            torn.sides.join(", "),
            torn.names.join(", ")
        )
    };
    torn.iter().map(warn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_divides_what_belongs_together_is_told_so() {
        let torn = Straddle {
            names: vec!["a.wav".to_owned(), "b.wav".to_owned()],
            sides: vec!["test".to_owned(), "train".to_owned()],
        };
        assert_eq!(
            straddling("parts", &[torn]),
            [
                "the manifest puts recordings that belong together into different parts (test, train), \
              which makes the figures too good: a.wav, b.wav"
            ]
        );
    }
}
