//! Why a step ran or did not, and what differs between two runs.

use std::collections::BTreeMap;

use rusqlite::OptionalExtension;
use serde::Serialize;

use crate::cache_key::{Change, Ingredients, json_changes};
use crate::canonical::canonical_json;
use crate::error::{PipelineError, Result};
use crate::hash::ContentHash;
use crate::run::{RunId, RunRecord, StepRecord, StepState};
use crate::store::cache::parse_ingredients;
use crate::store::{Store, Until};

/// Why a step of a run ran or did not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// How it ended.
    pub state: StepState,
    /// What was said when the decision was made.
    pub reason: String,
    /// What its result depends on; `None` if the step was not reached.
    pub ingredients: Option<Ingredients>,
    /// The latest earlier run of the pipeline that had this step.
    pub compared_with: Option<RunId>,
    /// The ingredients that are not as they were in that run.
    pub changes: Vec<Change>,
    /// The files that differ in folders from outside that the step reads.
    pub files: Vec<FileChanges>,
}

/// Which files of a folder from outside are not as they were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChanges {
    /// The input.
    pub input: String,
    /// Files that were not there before.
    pub added: Vec<String>,
    /// Files that held something else before.
    pub changed: Vec<String>,
    /// Files that are not there any more.
    pub removed: Vec<String>,
}

/// How many files of a kind are named in a sentence; the rest is counted.
const N_NAMED: usize = 3;

impl std::fmt::Display for FileChanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds = [
            ("added", &self.added),
            ("changed", &self.changed),
            ("removed", &self.removed),
        ];
        let kinds = kinds.into_iter().filter(|(_, files)| !files.is_empty());
        let told = kinds.map(|(kind, files)| {
            let named = files[..files.len().min(N_NAMED)].join(", ");
            let more = if files.len() > N_NAMED { ", …" } else { "" };
            let files_word = if files.len() == 1 { "file" } else { "files" };
            format!("{} {files_word} {kind} ({named}{more})", files.len())
        });
        let told: Vec<String> = told.collect();
        write!(f, "`{}`: {}", self.input, told.join(", "))
    }
}

/// What differs between two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The first run.
    pub left: RunId,
    /// The second run.
    pub right: RunId,
    /// The differences, step by step.
    pub differences: Vec<Difference>,
}

/// Something that is not the same in two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The step; empty for what concerns the whole run.
    pub step: String,
    /// What differs: `` parameter `epochs` ``, `` output `model` ``, `duration_ms`.
    pub what: String,
    /// Its value in the first run, if it has one there.
    pub left: Option<String>,
    /// Its value in the second run, if it has one there.
    pub right: Option<String>,
}

/// The files of a folder by their paths in it.
type Members = BTreeMap<String, ContentHash>;

impl Store {
    /// Says why a step ran or did not: what was decided, and which ingredients
    /// differ from the latest earlier run of this pipeline.
    ///
    /// # Errors
    ///
    /// When there is no such run or step.
    pub fn explain(&self, run: &RunId, step: &str) -> Result<Explanation> {
        let record = self.run(run)?;
        let found = record
            .step(step)
            .ok_or_else(|| PipelineError::StepNotFound {
                run: run.clone(),
                step: step.to_owned(),
                steps: record.step_names(),
            })?;
        let ingredients = self.ingredients_of(run, step)?;
        let pipeline = &record.summary.pipeline;
        let before = self.last_begun(pipeline, step, Until::Before(run))?;
        let (changes, files) = match (&ingredients, &before) {
            (Some(now), Some(before)) => (
                now.changes_since(&before.ingredients),
                self.file_changes(&before.ingredients, now)?,
            ),
            _ => Default::default(),
        };
        Ok(Explanation {
            state: found.state,
            reason: found.reason.clone(),
            ingredients,
            compared_with: before.map(|before| before.run),
            changes,
            files,
        })
    }

    /// The files that differ in the folders from outside that a step read, where
    /// both versions of a folder are known.
    pub(crate) fn file_changes(
        &self,
        old: &Ingredients,
        new: &Ingredients,
    ) -> Result<Vec<FileChanges>> {
        let mut found = Vec::new();
        for (input, content) in &new.inputs {
            let before = old.inputs.iter().find(|(name, _)| name == input);
            let Some((_, before)) = before.filter(|(_, before)| before != content) else {
                continue;
            };
            let [old, new] = [self.members(*before)?, self.members(*content)?];
            if old.is_empty() || new.is_empty() {
                continue;
            }
            let names = |from: &Members, keep: &dyn Fn(&String, &ContentHash) -> bool| {
                let kept = from.iter().filter(|(path, content)| keep(path, content));
                kept.map(|(path, _)| path.clone()).collect()
            };
            found.push(FileChanges {
                input: input.clone(),
                added: names(&new, &|path, _| !old.contains_key(path)),
                changed: names(&new, &|path, content| {
                    old.get(path).is_some_and(|before| before != content)
                }),
                removed: names(&old, &|path, _| !new.contains_key(path)),
            });
        }
        Ok(found)
    }

    /// The files of a folder from outside; empty if it is none, or forgotten.
    fn members(&self, folder: ContentHash) -> Result<Members> {
        self.read(|db| {
            db.prepare_cached("SELECT path, content FROM members WHERE folder = ?1")?
                .query_map([folder], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
    }

    /// Lists what differs between two runs: settings of the run, and of each step
    /// its ingredients, state, outputs, their metadata and durations.
    ///
    /// # Errors
    ///
    /// When one of the runs does not exist.
    pub fn compare(&self, left: &RunId, right: &RunId) -> Result<Comparison> {
        let runs = [self.run(left)?, self.run(right)?];
        let mut differences = run_differences(&runs);
        let [left_run, right_run] = &runs;
        let mut steps: Vec<&str> = left_run.steps.iter().map(|step| &*step.step).collect();
        let added = right_run.steps.iter().map(|step| &*step.step);
        steps.extend(added.filter(|step| left_run.step(step).is_none()));
        for step in steps {
            let records = [left_run.step(step), right_run.step(step)];
            if let [Some(_), Some(_)] = records {
                let [old, new] = [
                    self.ingredients_of(left, step)?,
                    self.ingredients_of(right, step)?,
                ];
                if let (Some(old), Some(new)) = (old, new) {
                    let changes = new.changes_since(&old).into_iter();
                    differences.extend(changes.map(|change| Difference {
                        step: step.to_owned(),
                        what: change.ingredient,
                        left: change.old,
                        right: change.new,
                    }));
                }
            }
            differences.extend(step_differences(step, records));
        }
        let (left, right) = (left.clone(), right.clone());
        Ok(Comparison {
            left,
            right,
            differences,
        })
    }

    fn ingredients_of(&self, run: &RunId, step: &str) -> Result<Option<Ingredients>> {
        let text: Option<String> = self.read(|db| {
            db.prepare_cached(
                "SELECT ingredients FROM step_runs JOIN executions ON id = execution
                 WHERE step_runs.run = ?1 AND step_runs.step = ?2",
            )?
            .query_row([run.as_str(), step], |row| row.get(0))
            .optional()
        })?;
        text.map(|text| parse_ingredients(&text)).transpose()
    }
}

/// Facts about something, by name and as text, in the order they are shown.
type Facts = Vec<(String, String)>;

fn run_differences(runs: &[RunRecord; 2]) -> Vec<Difference> {
    let facts = |run: &RunRecord| -> Facts {
        let run = &run.summary;
        let mut facts = vec![
            ("pipeline".to_owned(), run.pipeline.clone()),
            ("state".to_owned(), run.state.to_string()),
            ("program".to_owned(), run.program.clone()),
            ("host".to_owned(), run.host.clone()),
        ];
        let commit = run.git_commit.clone();
        facts.extend(commit.map(|commit| ("git commit".to_owned(), commit)));
        facts
    };
    let mut found = differences("", [facts(&runs[0]), facts(&runs[1])]);
    let configs = runs.each_ref().map(|run| &run.summary.config);
    let settings = json_changes(configs[0], configs[1]).into_iter();
    found.extend(settings.map(|change| Difference {
        step: String::new(),
        what: match change.ingredient.as_str() {
            "" => "settings".to_owned(),
            path => format!("setting `{path}`"),
        },
        left: change.old,
        right: change.new,
    }));
    found
}

fn step_differences(name: &str, steps: [Option<&StepRecord>; 2]) -> Vec<Difference> {
    let facts = |step: &StepRecord| -> Facts {
        let mut facts = vec![("state".to_owned(), step.state.to_string())];
        for output in &step.outputs {
            facts.push((format!("output `{}`", output.name), output.content.short()));
            for (entry, value) in &output.metadata {
                let what = format!("{entry} of output `{}`", output.name);
                facts.push((what, canonical_json(value)));
            }
        }
        if let Some(duration_ms) = step.duration_ms {
            facts.push(("duration_ms".to_owned(), format!("{duration_ms:.1}")));
        }
        facts
    };
    differences(name, steps.map(|step| step.map(facts).unwrap_or_default()))
}

fn differences(step: &str, [left, right]: [Facts; 2]) -> Vec<Difference> {
    let value = |facts: &Facts, what: &str| {
        let found = facts.iter().find(|(name, _)| name == what);
        found.map(|(_, value)| value.clone())
    };
    let only_right = right
        .iter()
        .filter(|(what, _)| value(&left, what).is_none());
    let names = left.iter().chain(only_right).map(|(what, _)| what);
    let difference = |what: &String| {
        let (left, right) = (value(&left, what), value(&right, what));
        (left != right).then(|| Difference {
            step: step.to_owned(),
            what: what.clone(),
            left,
            right,
        })
    };
    names.filter_map(difference).collect()
}
