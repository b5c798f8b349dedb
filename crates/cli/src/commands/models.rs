//! `biophony models`: versions of the registered model, which of them is in use,
//! and why.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use biophony_tracking::{
    AliasMove, CHAMPION, ModelVersion, PREVIOUS, Run, TrackingStore, UnixMillis, value_of,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{load_settings, print};
use crate::Outcome;
use crate::arguments::{Common, ModelsArguments, ModelsCommand};
use crate::home::Home;
use crate::tracking::{Tracking, tag};

/// The figures that a list shows.
const FIGURES: [&str; 2] = ["test_accuracy", "test_macro_f1"];

pub(crate) fn run(common: &Common, arguments: &ModelsArguments) -> Result<Outcome> {
    let mut settings = load_settings(common, Vec::new())?.tracking;
    if let Some(name) = &arguments.name {
        settings.model.clone_from(name);
    }
    let home = Home::at(&common.home);
    let Some(tracking) = Tracking::open_existing(&home, &settings)? else {
        bail!(
            "there is no model in `{}` yet; make one with `biophony train DIR`",
            home.path().display()
        );
    };
    let models = Models {
        tracking,
        json: arguments.json,
    };
    match &arguments.command {
        ModelsCommand::List => models.list()?,
        ModelsCommand::Show { which } => models.show(which)?,
        ModelsCommand::Promote { which } => models.promote(which)?,
        ModelsCommand::Rollback => models.rollback()?,
        ModelsCommand::Alias {
            alias,
            which,
            remove: _,
        } => models.alias(alias, which.as_deref())?,
        ModelsCommand::Export { which, folder } => models.export(which, folder)?,
        ModelsCommand::Compare { left, right } => models.compare(left, right)?,
    }
    Ok(Outcome::Complete)
}

struct Models {
    tracking: Tracking,
    json: bool,
}

/// A version with what its run says of it.
#[derive(Serialize)]
struct Described {
    name: String,
    version: u32,
    aliases: Vec<String>,
    registered_ms: UnixMillis,
    /// The run in the tracking store.
    run_id: Option<String>,
    /// The run of the pipeline.
    pipeline_run: Option<String>,
    data_digest: Option<String>,
    /// Where its files are.
    path: Option<PathBuf>,
    /// The final figures of its run.
    figures: BTreeMap<String, f64>,
    /// What was found for each criterion.
    gate: Value,
    #[serde(skip)]
    run: Option<Run>,
}

impl Models {
    fn list(&self) -> Result<()> {
        let versions = self.tracking.versions()?;
        let versions: Vec<Described> = versions.iter().map(|one| self.describe(one)).collect();
        if self.json {
            return print_json(&versions);
        }
        let mut text = format!(
            "{:<8} {:<20} {:>8} {:>8}  {:<20}  run\n",
            "version", "aliases", "accuracy", "macro-F1", "registered"
        );
        for one in &versions {
            let [accuracy, macro_f1] = FIGURES.map(|name| one.figure(name));
            text.push_str(&format!(
                "{:<8} {:<20} {accuracy:>8} {macro_f1:>8}  {:<20}  {}\n",
                one.version,
                one.aliases.join(", "),
                time(one.registered_ms),
                one.pipeline_run.as_deref().unwrap_or("-")
            ));
        }
        if versions.is_empty() {
            text = format!("`{}` has no version yet\n", self.tracking.settings.model);
        }
        print(&text)
    }

    fn show(&self, wanted: &str) -> Result<()> {
        let version = self.tracking.version(wanted)?;
        let one = self.describe(&version);
        let moves = self.tracking.store.alias_history(&version.name)?;
        if self.json {
            let mut value = serde_json::to_value(&one)?;
            value["moves"] = json!(moves);
            return print_json(&value);
        }
        let mut text = format!("{}/{}", one.name, one.version);
        if !one.aliases.is_empty() {
            text.push_str(&format!("  ({})", one.aliases.join(", ")));
        }
        text.push_str(&format!("\nregistered   {}\n", time(one.registered_ms)));
        let lines = [
            ("run", &one.pipeline_run),
            ("tracked as", &one.run_id),
            ("data digest", &one.data_digest),
        ];
        for (name, value) in lines {
            text.push_str(&format!("{name:<12} {}\n", value.as_deref().unwrap_or("-")));
        }
        let path = one.path.as_ref();
        let path = path.map_or_else(|| "not here".to_owned(), |path| path.display().to_string());
        text.push_str(&format!("files        {path}\n"));
        text.push_str(&figures(&one));
        text.push_str(&reasons(&one.gate));
        text.push_str(&fate(&moves, version.version));
        print(&text)
    }

    fn promote(&self, wanted: &str) -> Result<()> {
        let version = self.tracking.version(wanted)?;
        // Whoever uses it next must find it.
        self.tracking.whole_bundle(&version)?;
        let before = self.tracking.champion()?;
        let promoted = self
            .tracking
            .store
            .promote(&version.name, version.version)?;
        self.tell_move(&promoted, before.map(|champion| champion.name))
    }

    fn rollback(&self) -> Result<()> {
        let before = self.tracking.champion()?;
        let model = &self.tracking.settings.model;
        let previous = self
            .tracking
            .version(PREVIOUS)
            .with_context(|| format!("`{model}` has no previous version to go back to"))?;
        self.tracking.whole_bundle(&previous)?;
        let back = self.tracking.store.rollback(model)?;
        self.tell_move(&back, before.map(|champion| champion.name))
    }

    fn tell_move(&self, version: &ModelVersion, before: Option<String>) -> Result<()> {
        self.tracking.tell_aliases();
        let name = format!("{}/{}", version.name, version.version);
        if self.json {
            return print_json(&json!({ "champion": name, "before": before }));
        }
        match before {
            Some(before) if before == name => print(&format!("{name} is in use already\n")),
            Some(before) => print(&format!("{name} is in use now, in place of {before}\n")),
            None => print(&format!("{name} is in use now\n")),
        }
    }

    fn alias(&self, alias: &str, wanted: Option<&str>) -> Result<()> {
        if matches!(alias, CHAMPION | PREVIOUS) {
            bail!(
                "`{alias}` is moved by `biophony models promote` and `rollback`, which keep a record"
            );
        }
        let (store, model) = (&self.tracking.store, &self.tracking.settings.model);
        let Some(wanted) = wanted else {
            if store.get_model_version_by_alias(model, alias).is_err() {
                let known = self.tracking.known(model);
                bail!("`{model}` has no alias `{alias}`; {known}");
            }
            store.delete_registered_model_alias(model, alias)?;
            self.tracking.tell_aliases();
            return match self.json {
                true => print_json(&json!({ "alias": alias, "version": null })),
                false => print(&format!("`{alias}` means no version any more\n")),
            };
        };
        let version = self.tracking.version(wanted)?;
        store.set_registered_model_alias(&version.name, alias, version.version)?;
        self.tracking.tell_aliases();
        match self.json {
            true => print_json(&json!({ "alias": alias, "version": version.version })),
            false => print(&format!(
                "`{alias}` means {}/{} now\n",
                version.name, version.version
            )),
        }
    }

    fn export(&self, wanted: &str, folder: &Path) -> Result<()> {
        let version = self.tracking.version(wanted)?;
        let bundle = self.files_of(&version)?;
        let bundle = biophony_model::Bundle::load(&bundle)
            .with_context(|| format!("cannot open the model `{}`", bundle.display()))?;
        bundle.save(folder, biophony_model::Existing::Refuse)?;
        let name = format!("{}/{}", version.name, version.version);
        match self.json {
            true => print_json(&json!({ "version": name, "folder": folder })),
            false => print(&format!("{name} is in `{}`\n", folder.display())),
        }
    }

    fn compare(&self, left: &str, right: &str) -> Result<()> {
        let [left, right] = [self.tracking.version(left)?, self.tracking.version(right)?];
        let [left, right] = [self.describe(&left), self.describe(&right)];
        let params = differing_params(&left, &right);
        let mut names: Vec<&String> = left.figures.keys().chain(right.figures.keys()).collect();
        names.sort_unstable();
        names.dedup();
        if self.json {
            let figures: Vec<Value> = names
                .iter()
                .map(|&name| {
                    json!({ "name": name, "left": left.figures.get(name), "right": right.figures.get(name) })
                })
                .collect();
            let params: Vec<Value> = params
                .iter()
                .map(|(name, l, r)| json!({ "name": name, "left": l, "right": r }))
                .collect();
            return print_json(&json!({
                "left": left, "right": right, "figures": figures, "params": params,
            }));
        }
        let heading = |one: &Described| format!("{}/{}", one.name, one.version);
        let mut text = format!(
            "{:<28} {:>14} {:>14}\n",
            "",
            heading(&left),
            heading(&right)
        );
        for name in names {
            let [l, r] = [&left, &right].map(|one| one.figure(name));
            text.push_str(&format!("{name:<28} {l:>14} {r:>14}\n"));
        }
        if left.data_digest == right.data_digest {
            text.push_str("\nthe same recordings\n");
        } else {
            text.push_str("\nother recordings\n");
        }
        for (name, l, r) in params {
            let value = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
            text.push_str(&format!("{name}: {} → {}\n", value(l), value(r)));
        }
        print(&text)
    }

    fn describe(&self, version: &ModelVersion) -> Described {
        let run = version.run_id.as_ref();
        let run = run.and_then(|id| self.tracking.store.get_run(id).ok());
        let figures = run.iter().flat_map(|run| &run.data.metrics);
        let is_final = |key: &str| key.starts_with("test_") || key == "ms_per_window";
        let tag = |key: &str| value_of(&version.tags, key).map(str::to_owned);
        Described {
            name: version.name.clone(),
            version: version.version,
            aliases: version.aliases.clone(),
            registered_ms: version.creation_timestamp,
            run_id: version.run_id.as_ref().map(ToString::to_string),
            pipeline_run: tag(tag::PIPELINE_RUN),
            data_digest: tag(tag::DATA_DIGEST),
            path: self.files_of(version).ok(),
            figures: figures
                .filter(|metric| is_final(&metric.key))
                .map(|metric| (metric.key.clone(), metric.value))
                .collect(),
            gate: tag(tag::GATE)
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default(),
            run,
        }
    }

    fn files_of(&self, version: &ModelVersion) -> Result<PathBuf> {
        let path = self.tracking.bundle_of(version)?;
        if !path.join("bundle.json").is_file() {
            bail!(
                "the files of {}/{} are gone: `{}` holds no bundle.json",
                version.name,
                version.version,
                path.display()
            );
        }
        Ok(path)
    }
}

impl Described {
    fn figure(&self, name: &str) -> String {
        let value = self.figures.get(name);
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
    }
}

/// The final figures with their intervals.
fn figures(one: &Described) -> String {
    let mut text = String::from("\n");
    for (name, value) in &one.figures {
        if name.ends_with("_low") || name.ends_with("_high") {
            continue;
        }
        let end = |which: &str| one.figures.get(&format!("{name}_{which}"));
        let interval = match (end("low"), end("high")) {
            (Some(low), Some(high)) => format!("  (95 %: {low:.3} to {high:.3})"),
            _ => String::new(),
        };
        text.push_str(&format!("{name:<28} {value:>9.3}{interval}\n"));
    }
    text.push('\n');
    text
}

/// Why the gate let it pass.
fn reasons(gate: &Value) -> String {
    let checks = gate["decision"]["checks"].as_array();
    let mut text = String::new();
    for check in checks.into_iter().flatten() {
        let verdict = if check["holds"] == true {
            "holds"
        } else {
            "fails"
        };
        let reason = check["reason"].as_str().unwrap_or_default();
        text.push_str(&format!("{verdict}: {reason}\n"));
    }
    text
}

/// Parameters that are not the same in both, with both values.
fn differing_params(
    left: &Described,
    right: &Described,
) -> Vec<(String, Option<String>, Option<String>)> {
    let params = |one: &Described| one.run.as_ref().map(|run| run.data.params.clone());
    let (left, right) = (
        params(left).unwrap_or_default(),
        params(right).unwrap_or_default(),
    );
    let mut names: Vec<&str> = left
        .iter()
        .chain(&right)
        .map(|param| param.key.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    let value =
        |params: &[biophony_tracking::Param], name: &str| value_of(params, name).map(str::to_owned);
    names
        .into_iter()
        .map(|name| (name.to_owned(), value(&left, name), value(&right, name)))
        .filter(|(_, left, right)| left != right)
        .collect()
}

/// The promotions and rollbacks that a version had a part in.
fn fate(moves: &[AliasMove], version: u32) -> String {
    let touches = |one: &&AliasMove| one.to_version == version || one.from_version == Some(version);
    let line = |one: &AliasMove| {
        let from = one.from_version;
        let from = from.map_or_else(String::new, |from| format!(" in place of {from}"));
        let when = time(one.timestamp);
        format!("{when}  {} of {}{from}\n", one.action, one.to_version)
    };
    moves.iter().filter(touches).map(line).collect()
}

fn time(ms: UnixMillis) -> String {
    let since = std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + since).to_string()
}

fn print_json(value: &impl Serialize) -> Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}
