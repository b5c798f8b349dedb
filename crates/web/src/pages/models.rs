//! Registered models: which version is in use, why it was let in, and changing that.
//!
//! | page | twin | file |
//! |---|---|---|
//! | `/models` | `/api/v1/models` | here |
//! | `/models/{name}/{version}` | `/api/v1/models/{name}/{version}` | `models/version.rs` |
//! | `?parity=1` on it | the same | `models/parity.rs` |
//! | its bundle | `…/bundle.zip` | `models/download.rs` |

pub(crate) mod download;
pub(crate) mod parity;
pub(crate) mod routes;
pub(crate) mod version;

use biophony_tracking::{
    Alias, AliasMove, CHAMPION, ModelVersion, PREVIOUS, RegisteredModel, Search, TrackingStore,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::figures::{Figure, Moment};
use super::query::path_part;
use super::runs::detail::VersionLink;
use super::runs::latest;
use crate::error::ApiError;

/// The figures of a version that a table shows, by the keys of its run's metrics.
const FIGURES: [(&str, &[&str]); 2] = [
    ("accuracy", &["test_accuracy", "accuracy"]),
    ("macro-F1", &["test_macro_f1", "macro_f1"]),
];

/// All registered models.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ModelsPage {
    pub(crate) models: Vec<ModelSummary>,
}

/// A registered model with its versions.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ModelSummary {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// When it or a version of it last changed, in milliseconds since 1970.
    pub(crate) updated_ms: Moment,
    /// The version of each alias.
    pub(crate) aliases: Vec<AliasOf>,
    /// The newest first.
    pub(crate) versions: Vec<VersionRow>,
    /// Which version was in use when, the newest first.
    pub(crate) history: Vec<Move>,
}

/// A name for a version.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct AliasOf {
    pub(crate) alias: String,
    pub(crate) version: u32,
}

/// One version in the table.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct VersionRow {
    pub(crate) version: u32,
    pub(crate) aliases: Vec<String>,
    /// When it was registered, in milliseconds since 1970.
    pub(crate) created_ms: Moment,
    pub(crate) description: Option<String>,
    /// The run that made it, if it is still there.
    pub(crate) run_id: Option<String>,
    pub(crate) run_name: Option<String>,
    /// What it achieved on recordings that it was not trained on.
    pub(crate) figures: Vec<NamedFigure>,
}

/// A figure with its name.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct NamedFigure {
    pub(crate) name: String,
    pub(crate) value: Option<Figure>,
}

/// One change of the version in use.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Move {
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: Moment,
    /// `promote` or `rollback`.
    pub(crate) action: String,
    pub(crate) from_version: Option<u32>,
    pub(crate) to_version: u32,
}

impl ModelsPage {
    /// Reads the registry.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) fn load(store: &dyn TrackingStore) -> Result<Self, ApiError> {
        let mut models = Vec::new();
        let mut search = Search::default();
        loop {
            let page = store.search_registered_models(&search)?;
            for model in &page.items {
                models.push(ModelSummary::load(store, model)?);
            }
            search.page_token = page.next_page_token;
            if search.page_token.is_none() {
                return Ok(Self { models });
            }
        }
    }
}

impl ModelSummary {
    fn load(store: &dyn TrackingStore, model: &RegisteredModel) -> Result<Self, ApiError> {
        let mut versions = versions_of(store, &model.name)?;
        versions.sort_by_key(|version| std::cmp::Reverse(version.version));
        let moved = |moved: AliasMove| Move {
            at_ms: Moment(moved.timestamp),
            action: moved.action,
            from_version: moved.from_version,
            to_version: moved.to_version,
        };
        let alias = |alias: &Alias| AliasOf {
            alias: alias.alias.clone(),
            version: alias.version,
        };
        Ok(Self {
            name: model.name.clone(),
            description: model.description.clone().filter(|text| !text.is_empty()),
            updated_ms: Moment(model.last_updated_timestamp),
            aliases: model.aliases.iter().map(alias).collect(),
            versions: versions
                .iter()
                .map(|version| VersionRow::load(store, version))
                .collect(),
            history: store
                .alias_history(&model.name)?
                .into_iter()
                .rev()
                .map(moved)
                .collect(),
        })
    }

    /// The version of an alias.
    pub(crate) fn version_of(&self, alias: &str) -> Option<u32> {
        self.aliases
            .iter()
            .find(|of| of.alias == alias)
            .map(|of| of.version)
    }

    /// The version that a rollback leads to.
    pub(crate) fn previous(&self) -> Option<u32> {
        self.version_of(PREVIOUS)
    }

    /// Its part of an address.
    pub(crate) fn path(&self) -> String {
        path_part(&self.name)
    }

    /// The names of the table's figures.
    pub(crate) fn figure_names(&self) -> [&'static str; 2] {
        FIGURES.map(|(name, _)| name)
    }
}

impl VersionRow {
    fn load(store: &dyn TrackingStore, version: &ModelVersion) -> Self {
        // A run may have been removed, or be kept on another server.
        let run = version
            .run_id
            .as_ref()
            .and_then(|id| store.get_run(id).ok());
        let metrics = run
            .as_ref()
            .map(|run| latest(&run.data.metrics))
            .unwrap_or_default();
        let figure = |(name, keys): (&str, &[&str])| NamedFigure {
            name: name.to_owned(),
            value: keys.iter().find_map(|&key| metrics.get(key).copied()),
        };
        Self {
            version: version.version,
            aliases: version.aliases.clone(),
            created_ms: Moment(version.creation_timestamp),
            description: version.description.clone().filter(|text| !text.is_empty()),
            run_id: run.as_ref().map(|run| run.info.run_id.to_string()),
            run_name: run.map(|run| run.info.run_name),
            figures: FIGURES.map(figure).into(),
        }
    }

    pub(crate) fn is_champion(&self) -> bool {
        self.aliases.iter().any(|alias| alias == CHAMPION)
    }
}

fn versions_of(store: &dyn TrackingStore, name: &str) -> Result<Vec<ModelVersion>, ApiError> {
    let mut versions = Vec::new();
    let mut search = Search::matching(format!("name = '{}'", name.replace('\'', "''")));
    loop {
        let page = store.search_model_versions(&search)?;
        versions.extend(page.items);
        search.page_token = page.next_page_token;
        if search.page_token.is_none() {
            return Ok(versions);
        }
    }
}
