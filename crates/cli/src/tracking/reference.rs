//! What people call a model: a folder, or a version of a registered model by its
//! number, an alias or as the newest one, in our words and in MLflow's. And what they
//! are told when there is no such one.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use biophony_tracking::{ModelVersion, Search, TrackingStore};

use super::Tracking;
use super::registry::if_there;
use crate::home::Home;
use crate::settings::TrackingSettings;

/// How MLflow begins the URI of a version.
const URI: &str = "models:/";

/// What MLflow calls the newest version; no alias is called so.
const LATEST: &str = "latest";

/// How many registered models are named when another one was meant.
const MODELS_SAID: i64 = 20;

const NOTHING: &str = "nothing is registered yet";

/// Finds a model: a folder, a name below the home folder, a version or an alias of
/// the registered model, or the one in use.
///
/// # Errors
///
/// When there is none, saying where was looked.
pub(crate) fn find_model(
    home: &Home,
    settings: &TrackingSettings,
    wanted: Option<&str>,
) -> Result<PathBuf> {
    let tracking = Tracking::open_existing(home, settings)?;
    let Some(wanted) = wanted else {
        let champion = match &tracking {
            Some(tracking) => tracking.champion()?,
            None => home.old_champion()?,
        };
        let champion = champion.with_context(|| {
            format!(
                "there is no model in `{}` yet; make one with `biophony train DIR`, or name a model folder with `--model`",
                home.path().display()
            )
        })?;
        return champion.bundle.map_err(|why| {
            anyhow!(
                "the model in use, {}, cannot be read: {why}; `biophony models promote N` puts another version into use, `biophony models rollback` the one before",
                champion.name
            )
        });
    };
    if let Some(folder) = find_folder(home, wanted) {
        return Ok(folder);
    }
    let Some(tracking) = tracking else {
        return Err(no_model(home, wanted, NOTHING));
    };
    match tracking.find_version(wanted)? {
        Some(version) => tracking.whole_bundle(&version),
        None => Err(tracking.no_such_model(home, wanted)),
    }
}

/// The folder of a bundle: the one that is named, or one below the home folder.
pub(crate) fn find_folder(home: &Home, wanted: &str) -> Option<PathBuf> {
    let mut folders = [PathBuf::from(wanted), home.model(wanted)].into_iter();
    folders.find(|folder| folder.join("bundle.json").is_file())
}

/// The error for what is neither a folder nor a version.
fn no_model(home: &Home, wanted: &str, why: &str) -> anyhow::Error {
    if wanted.starts_with(URI) {
        return anyhow!("there is no model `{wanted}`: {why}");
    }
    let none = format!(
        "there is no model `{wanted}`: neither `{wanted}` nor `{}` holds a bundle.json",
        home.model(wanted).display()
    );
    // No version looks like such a path.
    match wanted.starts_with(['/', '.', '~']) || wanted.contains('\\') {
        true => anyhow!(none),
        false => anyhow!("{none}, and {why}"),
    }
}

/// What a reference to a version says.
pub(crate) struct Reference<'a> {
    /// The registered model.
    pub(crate) model: &'a str,
    pub(crate) which: Which<'a>,
}

/// Which version of a registered model.
pub(crate) enum Which<'a> {
    Version(u32),
    Alias(&'a str),
    /// The newest one.
    Latest,
}

impl Tracking {
    /// The version that is meant by `3`, `v3`, `latest`, `champion` or any other alias,
    /// also with the registered model before it (`biophony/3`, `biophony@champion`) and
    /// as MLflow's URI (`models:/biophony@champion`).
    pub(crate) fn find_version(&self, wanted: &str) -> Result<Option<ModelVersion>> {
        let Reference { model, which } = self.reference(wanted);
        let store = &self.store;
        match which {
            Which::Version(number) => if_there(store.get_model_version(model, number)),
            Which::Alias(alias) => if_there(store.get_model_version_by_alias(model, alias)),
            Which::Latest => {
                let versions = store.get_latest_versions(model, &[]);
                let newest = |versions: Vec<ModelVersion>| {
                    versions.into_iter().max_by_key(|version| version.version)
                };
                Ok(if_there(versions)?.and_then(newest))
            }
        }
    }

    /// What a reference says, whether there is such a version or not.
    pub(crate) fn reference<'a>(&'a self, wanted: &'a str) -> Reference<'a> {
        let own = self.settings.model.as_str();
        let (model, reference) = match wanted.strip_prefix(URI) {
            // A model alone names no version.
            Some(uri) => uri.split_once(['/', '@']).unwrap_or((uri, "")),
            None => wanted.split_once(['/', '@']).unwrap_or((own, wanted)),
        };
        let number = reference.strip_prefix(['v', 'V']).unwrap_or(reference);
        let which = match number.parse() {
            Ok(number) => Which::Version(number),
            Err(_) if reference.eq_ignore_ascii_case(LATEST) => Which::Latest,
            Err(_) => Which::Alias(reference),
        };
        Reference { model, which }
    }

    /// The error for what is neither a folder nor a version.
    pub(crate) fn no_such_model(&self, home: &Home, wanted: &str) -> anyhow::Error {
        no_model(home, wanted, &self.no_such_version(wanted))
    }

    /// Says that there is no such version, and which there are.
    fn no_such_version(&self, wanted: &str) -> String {
        let Reference { model, which } = self.reference(wanted);
        let known = self.known(model);
        if self.store.get_registered_model(model).is_err() {
            return known;
        }
        match which {
            Which::Version(number) => format!("`{model}` has no version `{number}`; {known}"),
            Which::Latest => format!("`{model}` has no version yet"),
            Which::Alias("") => format!(
                "it names no version; add `@ALIAS`, `/VERSION` or `/latest`: of `{model}`, {known}"
            ),
            Which::Alias(alias) => format!("`{model}` has no alias `{alias}`; {known}"),
        }
    }

    /// Such as: it has the aliases `champion` (3), `previous` (2) and the versions 1 to 3`.
    pub(crate) fn known(&self, model: &str) -> String {
        let Ok(registered) = self.store.get_registered_model(model) else {
            return format!("there is no registered model `{model}`; {}", self.models());
        };
        let aliases: Vec<String> = registered
            .aliases
            .iter()
            .map(|one| format!("`{}` ({})", one.alias, one.version))
            .collect();
        let newest = registered
            .latest_versions
            .iter()
            .map(|one| one.version)
            .max();
        let aliases = match aliases.is_empty() {
            true => "it has no alias".to_owned(),
            false => format!("it has the aliases {}", aliases.join(", ")),
        };
        match newest {
            Some(newest) => format!("{aliases}; its newest version is {newest}"),
            None => format!("{aliases} and no version"),
        }
    }

    /// The registered models that there are.
    fn models(&self) -> String {
        let search = Search {
            max_results: Some(MODELS_SAID),
            ..Search::default()
        };
        let Ok(page) = self.store.search_registered_models(&search) else {
            return "those that there are cannot be read".to_owned();
        };
        let names = page.items.iter().map(|one| format!("`{}`", one.name));
        let names: Vec<String> = names.collect();
        let more = match page.next_page_token {
            Some(_) => " and more",
            None => "",
        };
        match names.len() {
            0 => NOTHING.to_owned(),
            1 => format!("there is {}{more}", names[0]),
            _ => format!("there are {}{more}", names.join(", ")),
        }
    }

    /// The version that is meant, which must be there.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub(crate) fn version(&self, wanted: &str) -> Result<ModelVersion> {
        self.find_version(wanted)?
            .with_context(|| self.no_such_version(wanted))
    }
}
