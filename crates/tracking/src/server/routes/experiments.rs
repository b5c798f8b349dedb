//! Experiments over HTTP.

use serde_json::json;

use crate::entities::{Experiment, ExperimentId, Tag};
use crate::error::{Result, TrackingError};
use crate::requests::CreateExperiment;
use crate::server::Service;
use crate::server::params::{Params, missing};
use crate::server::reply::{Body, body, nothing};

/// The most experiments on one page.
const MAX_EXPERIMENTS: i64 = 50_000;

/// The most experiments whose data sets are looked for at once.
const MAX_SEARCHED_FOR_DATASETS: usize = 20;

pub(super) fn create(service: &Service, params: &Params) -> Result<Body> {
    let id = service.store.create_experiment(CreateExperiment {
        name: params.required("name")?.to_owned(),
        artifact_location: params.filled("artifact_location")?,
        tags: params.list("tags")?,
    })?;
    body(&json!({ "experiment_id": id }))
}

pub(super) fn get(service: &Service, params: &Params) -> Result<Body> {
    let experiment = service.store.get_experiment(&params.experiment_id()?)?;
    body(&json!({ "experiment": Described(&experiment) }))
}

pub(super) fn get_by_name(service: &Service, params: &Params) -> Result<Body> {
    let name = params.required("experiment_name")?;
    let experiment = service
        .store
        .get_experiment_by_name(name)?
        .ok_or_else(|| TrackingError::ExperimentNameNotFound(name.to_owned()))?;
    body(&json!({ "experiment": Described(&experiment) }))
}

pub(super) fn search(service: &Service, params: &Params) -> Result<Body> {
    // Protobuf reads a missing number as 0, which MLflow then refuses.
    let mut search = params.search(Some(0), i64::MAX)?;
    if search.max_results == Some(0) {
        search.max_results = params.int("max_results")?.or(Some(0));
    }
    if search.max_results > Some(MAX_EXPERIMENTS) {
        return Err(TrackingError::invalid(format!(
            "Invalid value {} for parameter 'max_results' supplied. It must be at most \
             {MAX_EXPERIMENTS}",
            search.max_results.unwrap_or_default()
        )));
    }
    let page = service
        .store
        .search_experiments(&search, params.view_type("view_type")?)?;
    let experiments: Vec<Described<'_>> = page.items.iter().map(Described).collect();
    super::page("experiments", &experiments, page.next_page_token)
}

pub(super) fn update(service: &Service, params: &Params) -> Result<Body> {
    let id = params.experiment_id()?;
    let name = params
        .filled("new_name")?
        .ok_or_else(|| missing("new_name"))?;
    service.store.rename_experiment(&id, &name)?;
    nothing()
}

pub(super) fn delete(service: &Service, params: &Params) -> Result<Body> {
    service.store.delete_experiment(&params.experiment_id()?)?;
    nothing()
}

pub(super) fn restore(service: &Service, params: &Params) -> Result<Body> {
    service.store.restore_experiment(&params.experiment_id()?)?;
    nothing()
}

pub(super) fn set_tag(service: &Service, params: &Params) -> Result<Body> {
    let tag = Tag::new(
        params.required("key")?,
        params.text("value")?.unwrap_or_default(),
    );
    service
        .store
        .set_experiment_tag(&params.experiment_id()?, &tag)?;
    nothing()
}

pub(super) fn delete_tag(service: &Service, params: &Params) -> Result<Body> {
    let key = params.required("key")?;
    service
        .store
        .delete_experiment_tag(&params.experiment_id()?, key)?;
    nothing()
}

pub(super) fn search_datasets(service: &Service, params: &Params) -> Result<Body> {
    let experiments: Vec<ExperimentId> = params.list("experiment_ids")?;
    let n_experiments = experiments.len();
    if n_experiments == 0 {
        return Err(TrackingError::invalid(
            "SearchDatasets request must specify at least one experiment_id.",
        ));
    }
    if n_experiments > MAX_SEARCHED_FOR_DATASETS {
        return Err(TrackingError::invalid(format!(
            "SearchDatasets request cannot specify more than {MAX_SEARCHED_FOR_DATASETS} \
             experiment_ids. Received {n_experiments} experiment_ids."
        )));
    }
    let found = service.store.search_datasets(&experiments)?;
    super::page("dataset_summaries", &found, None)
}

/// An experiment with its workspace, of which there is one.
struct Described<'a>(&'a Experiment);

impl serde::Serialize for Described<'_> {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct WithWorkspace<'a> {
            #[serde(flatten)]
            experiment: &'a Experiment,
            workspace: &'static str,
        }
        WithWorkspace {
            experiment: self.0,
            workspace: "default",
        }
        .serialize(serializer)
    }
}
