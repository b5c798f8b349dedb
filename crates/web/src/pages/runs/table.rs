//! The table of runs: searched, ordered, with columns to choose, page by page.

use std::collections::{BTreeMap, BTreeSet};

use biophony_tracking::{ExperimentId, Run, Search, TrackingError, TrackingStore, ViewType};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Experiments, RunHead, latest, pairs};
use crate::error::ApiError;
use crate::pages::figures::Figure;
use crate::pages::query::Query;

/// How many runs a page has.
const PER_PAGE: i64 = 50;

/// Figures that are shown unless others are chosen, as far as the runs have them.
const PREFERRED: [&str; 6] = [
    "metrics.test_accuracy",
    "metrics.test_macro_f1",
    "metrics.val_macro_f1",
    "metrics.val_loss",
    "metrics.accuracy",
    "metrics.loss",
];

/// Runs that match a search.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct RunsPage {
    /// The experiments, and which of them were searched.
    pub(crate) experiments: Vec<ExperimentChoice>,
    /// The filter, in MLflow's language.
    pub(crate) filter: String,
    /// The order, such as `metrics.val_loss ASC`.
    pub(crate) order_by: String,
    /// `active`, `deleted` or `all`.
    pub(crate) view: String,
    /// The runs.
    pub(crate) runs: Vec<RunRow>,
    /// Ask with this as `page_token` for the next page.
    pub(crate) next_page_token: Option<String>,
    /// What can be shown of the runs, and what is.
    #[serde(skip)]
    pub(crate) columns: Vec<Column>,
    /// Why nothing could be searched.
    #[serde(skip)]
    pub(crate) problem: Option<Problem>,
    #[serde(skip)]
    pub(crate) query: Query,
}

/// An experiment to search in.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ExperimentChoice {
    pub(crate) experiment_id: String,
    pub(crate) name: String,
    /// Whether it was searched.
    pub(crate) is_chosen: bool,
}

/// One run in the table.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct RunRow {
    #[serde(flatten)]
    pub(crate) head: RunHead,
    /// The latest value of each metric.
    pub(crate) metrics: BTreeMap<String, Figure>,
    pub(crate) params: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
}

/// A metric, parameter or tag as a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    /// `metrics.`, `params.` or `tags.` and the key.
    pub(crate) field: String,
    /// The key alone.
    pub(crate) key: String,
    /// `metrics`, `params` or `tags`.
    pub(crate) kind: &'static str,
    pub(crate) is_shown: bool,
}

/// A search that was refused.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    /// Whether the filter is to blame; otherwise the order or the page.
    pub(crate) is_filter: bool,
    /// The store's exact words.
    pub(crate) message: String,
}

impl RunsPage {
    /// Searches as the address asks. A filter that makes no sense is no error but a
    /// page that says so.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) fn load(store: &dyn TrackingStore, query: Query) -> Result<Self, ApiError> {
        let experiments = Experiments::load(store)?;
        let chosen: BTreeSet<&str> = query.all("experiment").collect();
        let choices: Vec<ExperimentChoice> = experiments
            .active()
            .map(|experiment| ExperimentChoice {
                experiment_id: experiment.experiment_id.to_string(),
                name: experiment.name.clone(),
                is_chosen: chosen.contains(experiment.experiment_id.to_string().as_str()),
            })
            .collect();
        let searched: Vec<ExperimentId> = experiments
            .active()
            .map(|experiment| experiment.experiment_id.clone())
            .filter(|id| chosen.is_empty() || chosen.contains(id.to_string().as_str()))
            .collect();
        let (view, view_type) = match query.one("view") {
            Some("deleted") => ("deleted", ViewType::DeletedOnly),
            Some("all") => ("all", ViewType::All),
            _ => ("active", ViewType::ActiveOnly),
        };
        let search = search_of(&query);
        let (found, problem) = match store.search_runs(&searched, &search, view_type) {
            Ok(page) => (page, None),
            Err(TrackingError::InvalidParameter(message)) => {
                let filter_alone = Search {
                    filter: search.filter.clone(),
                    max_results: Some(1),
                    ..Search::default()
                };
                let is_filter = store
                    .search_runs(&searched, &filter_alone, view_type)
                    .is_err();
                let nothing = biophony_tracking::Page {
                    items: Vec::new(),
                    next_page_token: None,
                };
                (nothing, Some(Problem { is_filter, message }))
            }
            Err(error) => return Err(error.into()),
        };
        let columns = columns(&found.items, &query);
        let rows = found.items.iter().map(|run| RunRow {
            head: RunHead::new(run, &experiments),
            metrics: latest(&run.data.metrics),
            params: pairs(&run.data.params),
            tags: pairs(&run.data.tags),
        });
        Ok(Self {
            experiments: choices,
            filter: search.filter.clone(),
            order_by: query.one("order_by").unwrap_or_default().to_owned(),
            view: view.to_owned(),
            runs: rows.collect(),
            next_page_token: found.next_page_token,
            columns,
            problem,
            query,
        })
    }

    /// Why the filter was refused.
    pub(crate) fn filter_problem(&self) -> Option<&str> {
        let problem = self.problem.as_ref().filter(|problem| problem.is_filter);
        problem.map(|problem| problem.message.as_str())
    }

    /// Why the order, or the page, was refused.
    pub(crate) fn order_problem(&self) -> Option<&str> {
        let problem = self.problem.as_ref().filter(|problem| !problem.is_filter);
        problem.map(|problem| problem.message.as_str())
    }

    pub(crate) fn shown(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.is_shown)
    }

    /// The columns of one kind, for the choice.
    pub(crate) fn of_kind(&self, kind: &str) -> Vec<&Column> {
        self.columns
            .iter()
            .filter(|column| column.kind == kind)
            .collect()
    }

    /// Whether something was asked for, so that an empty table means no match.
    pub(crate) fn is_narrowed(&self) -> bool {
        !self.filter.is_empty() || self.query.one("experiment").is_some() || self.view != "active"
    }

    /// Whether a run of the page is under way.
    pub(crate) fn is_live(&self) -> bool {
        self.runs.iter().any(|run| run.head.is_live())
    }

    /// The address of the next page.
    pub(crate) fn next(&self) -> Option<String> {
        let token = self.next_page_token.as_deref()?;
        Some(self.query.with("page_token", Some(token)).address("/runs"))
    }

    /// The address of the first page, unless this is it.
    pub(crate) fn first(&self) -> Option<String> {
        self.query.one("page_token")?;
        Some(self.query.with("page_token", None).address("/runs"))
    }

    /// The address of the same runs in another order: the other way round if they
    /// are in the order of this field already.
    pub(crate) fn ordered_by(&self, field: &str) -> String {
        let quoted = quoted(field);
        let order = match self.direction(field) {
            "descending" => format!("{quoted} ASC"),
            _ => format!("{quoted} DESC"),
        };
        let query = self.query.with("page_token", None);
        query.with("order_by", Some(&order)).address("/runs")
    }

    /// What `aria-sort` says of a column.
    pub(crate) fn direction(&self, field: &str) -> &'static str {
        let quoted = quoted(field);
        match self.order_by.strip_prefix(&quoted).map(str::trim) {
            Some("DESC") => "descending",
            Some("ASC" | "") => "ascending",
            _ => "none",
        }
    }

    /// The address of the twin.
    pub(crate) fn twin(&self) -> String {
        self.query.address("/api/v1/runs")
    }
}

impl RunRow {
    /// Whether it is a part of another run, as a fold of a cross-validation is.
    pub(crate) fn is_nested(&self) -> bool {
        self.tags.contains_key(super::PARENT)
    }

    /// What stands in a column.
    pub(crate) fn cell(&self, column: &Column) -> String {
        match column.kind {
            "metrics" => self.metrics.get(&column.key).map(Figure::to_string),
            "params" => self.params.get(&column.key).cloned(),
            _ => self.tags.get(&column.key).cloned(),
        }
        .unwrap_or_default()
    }
}

impl Column {
    /// Whether it holds numbers.
    pub(crate) fn is_number(&self) -> bool {
        self.kind == "metrics"
    }
}

fn search_of(query: &Query) -> Search {
    Search {
        filter: query.one("filter").unwrap_or_default().trim().to_owned(),
        order_by: query.all("order_by").map(str::to_owned).collect(),
        max_results: Some(PER_PAGE),
        page_token: query.one("page_token").map(str::to_owned),
    }
}

/// `metrics.a b` as the search language wants it.
fn quoted(field: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    match field.split_once('.') {
        Some((kind, key)) if !key.chars().all(is_plain) => format!("{kind}.`{key}`"),
        _ => field.to_owned(),
    }
}

/// What the runs have, and which of it is shown.
fn columns(runs: &[Run], query: &Query) -> Vec<Column> {
    let mut fields = BTreeSet::new();
    for run in runs {
        let data = &run.data;
        fields.extend(
            data.metrics
                .iter()
                .map(|metric| ("metrics", metric.key.as_str())),
        );
        fields.extend(
            data.params
                .iter()
                .map(|param| ("params", param.key.as_str())),
        );
        let own = data.tags.iter().filter(|tag| tag.key != "mlflow.runName");
        fields.extend(own.map(|tag| ("tags", tag.key.as_str())));
    }
    let name = |(kind, key): &(&str, &str)| format!("{kind}.{key}");
    let mut chosen: BTreeSet<String> = query.all("column").map(str::to_owned).collect();
    if chosen.is_empty() {
        let has = |field: &&&str| fields.iter().any(|known| name(known) == **field);
        chosen = PREFERRED
            .iter()
            .filter(has)
            .take(4)
            .map(|&field| field.to_owned())
            .collect();
    }
    let columns = fields.iter().map(|&(kind, key)| {
        let field = name(&(kind, key));
        Column {
            is_shown: chosen.contains(&field),
            field,
            key: key.to_owned(),
            kind,
        }
    });
    columns.collect()
}
