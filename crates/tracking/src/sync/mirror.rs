//! Copying runs to a remote server with all that belongs to them: files, logged
//! models, registered versions and aliases.
//!
//! What the copy of a run rests on is said in [`super`]; the same holds here. A copy
//! of a logged model or version is found again by the tag [`COPY_OF`], a file that
//! is there in its full length is not sent again: files of runs and models are never
//! changed once a run has ended.

use std::collections::BTreeMap;

use crate::artifacts::{ArtifactPath, ArtifactStore};
use crate::entities::{
    LoggedModel, LoggedModelId, LoggedModelStatus, Metric, ModelOutput, ModelVersion, Run, RunId,
    Tag, value_of,
};
use crate::error::{Result, TrackingError};
use crate::requests::{
    CreateLoggedModel, CreateModelVersion, CreateRegisteredModel, LogBatch, Search,
    SearchLoggedModels,
};
use crate::store::{RemoteStore, TrackingStore};

use super::{
    COPIED_TO, COPY_OF, METRICS_PER_BATCH, begin_copy, copy_data, end_copy, without_model,
};

/// The tag of a registered model that says which aliases were sent where.
const ALIASES_SENT: &str = "biophony.aliases_sent";

/// Copies from a store and its files to a server.
#[derive(Clone, Copy)]
pub struct Mirror<'a> {
    /// Where runs are recorded.
    pub from: &'a dyn TrackingStore,
    /// Where their files lie.
    pub files: &'a ArtifactStore,
    /// Where the copies go.
    pub to: &'a RemoteStore,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrored {
    /// The copy.
    pub copy: RunId,
    /// Where the server keeps files, if it does not take them itself: then none
    /// were sent.
    pub files_elsewhere: Option<String>,
}

impl Mirror<'_> {
    /// The copy of a run that is under way, with all that it has logged so far.
    ///
    /// # Errors
    ///
    /// When either side fails; the next call goes on.
    pub fn catch_up(&self, id: &RunId) -> Result<RunId> {
        let run = self.from.get_run(id)?;
        let copy = begin_copy(self.from, &run, self.to)?;
        copy_data(self.from, &run, self.to, &self.to.get_run(&copy)?)?;
        Ok(copy)
    }

    /// Sends on what a run has just logged; `copy` is what [`Mirror::catch_up`] gave.
    ///
    /// # Errors
    ///
    /// When the server fails.
    pub fn follow(&self, copy: &RunId, batch: &LogBatch) -> Result<()> {
        let metrics = batch.metrics.iter().map(without_model).collect();
        let batch = LogBatch {
            metrics,
            ..batch.clone()
        };
        self.to.log_batch(copy, &batch)
    }

    /// Copies a run and all that belongs to it.
    ///
    /// # Errors
    ///
    /// When either side fails; what was copied by then stays, and the next call goes
    /// on.
    pub fn run(&self, id: &RunId) -> Result<Mirrored> {
        let run = self.from.get_run(id)?;
        let copy = begin_copy(self.from, &run, self.to)?;
        let there = self.to.get_run(&copy)?;
        copy_data(self.from, &run, self.to, &there)?;
        let target = there.info.artifact_uri.clone();
        let mut files_elsewhere = None;
        if RemoteStore::takes_files_at(&target) {
            self.send_files(&run.info.artifact_uri, &target)?;
            let models = self.models(&run, &there)?;
            self.versions(id, &copy, &models)?;
        } else {
            files_elsewhere = Some(target);
        }
        end_copy(self.from, &run, self.to, &copy)?;
        Ok(Mirrored {
            copy,
            files_elsewhere,
        })
    }

    /// Lets the aliases of a registered model mean there what they mean here, if they
    /// have changed since they were last sent; returns whether they had.
    ///
    /// # Errors
    ///
    /// When either side fails; the next call does it again.
    pub fn aliases(&self, model: &str) -> Result<bool> {
        let here = match self.from.get_registered_model(model) {
            Ok(model) => model,
            Err(TrackingError::RegisteredModelNotFound(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut wanted = BTreeMap::new();
        for alias in &here.aliases {
            let version = self.from.get_model_version(model, alias.version)?;
            // A version whose run was not sent has no copy to be named.
            let copy = value_of(&version.tags, COPIED_TO).and_then(|text| text.parse().ok());
            wanted.extend(copy.map(|copy: u32| (alias.alias.clone(), copy)));
        }
        let state = format!("{} {}", self.to.uri(), describe(&wanted));
        let sent = value_of(&here.tags, ALIASES_SENT).unwrap_or_default();
        if sent == state || (wanted.is_empty() && sent.is_empty()) {
            return Ok(false);
        }
        let is_gone = |alias: &&str| here.aliases.iter().all(|known| known.alias != *alias);
        for alias in names_in(sent).filter(is_gone) {
            self.to.delete_registered_model_alias(model, alias)?;
        }
        // From behind, so that `previous` is set before `champion` moves.
        for (alias, version) in wanted.iter().rev() {
            self.to.set_registered_model_alias(model, alias, *version)?;
        }
        self.from
            .set_registered_model_tag(model, &Tag::new(ALIASES_SENT, state))?;
        Ok(true)
    }

    /// Copies the logged models that a run made; returns which became which.
    fn models(&self, run: &Run, copy: &Run) -> Result<BTreeMap<LoggedModelId, LoggedModelId>> {
        let mut copies = BTreeMap::new();
        if run.outputs.model_outputs.is_empty() {
            return Ok(copies);
        }
        let earlier = self.copied_models(copy)?;
        for output in &run.outputs.model_outputs {
            let model = match self.from.get_logged_model(&output.model_id) {
                Ok(model) if model.info.status == LoggedModelStatus::Ready => model,
                // What is deleted or incomplete is of use to nobody.
                Ok(_) | Err(TrackingError::LoggedModelNotFound(_)) => continue,
                Err(error) => return Err(error),
            };
            let there = match earlier.get(output.model_id.as_str()) {
                Some(there) => there.clone(),
                None => self.start_model(&model, copy)?,
            };
            self.send_files(&model.info.artifact_uri, &there.info.artifact_uri)?;
            let id = there.info.model_id;
            // In this order: a model that is ready there is complete.
            let outputs = &copy.outputs.model_outputs;
            if !outputs.iter().any(|output| output.model_id == id) {
                let step = output.step;
                let made = ModelOutput {
                    model_id: id.clone(),
                    step,
                };
                self.to.log_outputs(&copy.info.run_id, &[made])?;
            }
            if there.info.status != LoggedModelStatus::Ready {
                self.measure(&model, &id, &copy.info.run_id)?;
                self.to
                    .finalize_logged_model(&id, LoggedModelStatus::Ready)?;
            }
            copies.insert(output.model_id.clone(), id);
        }
        Ok(copies)
    }

    /// The models of a copied run, by what they are copies of.
    fn copied_models(&self, copy: &Run) -> Result<BTreeMap<String, LoggedModel>> {
        let page = self.to.search_logged_models(&SearchLoggedModels {
            experiment_ids: vec![copy.info.experiment_id.clone()],
            filter: format!("source_run_id = '{}'", copy.info.run_id),
            ..SearchLoggedModels::default()
        })?;
        let models = page.items.into_iter();
        Ok(models
            .filter_map(|model| {
                let original = value_of(&model.info.tags, COPY_OF)?.to_owned();
                Some((original, model))
            })
            .collect())
    }

    fn start_model(&self, model: &LoggedModel, copy: &Run) -> Result<LoggedModel> {
        let mut tags = model.info.tags.clone();
        tags.push(Tag::new(COPY_OF, model.info.model_id.as_str()));
        self.to.create_logged_model(CreateLoggedModel {
            experiment_id: copy.info.experiment_id.clone(),
            name: Some(model.info.name.clone()),
            model_type: model.info.model_type.clone(),
            source_run_id: Some(copy.info.run_id.clone()),
            params: model.data.params.clone(),
            tags,
        })
    }

    /// Says of the copied model what was measured of the original.
    fn measure(&self, model: &LoggedModel, there: &LoggedModelId, copy: &RunId) -> Result<()> {
        let of_copy = |metric: &Metric| Metric {
            model_id: Some(there.clone()),
            run_id: None,
            ..metric.clone()
        };
        let metrics: Vec<Metric> = model.data.metrics.iter().map(of_copy).collect();
        for metrics in metrics.chunks(METRICS_PER_BATCH) {
            let batch = LogBatch {
                metrics: metrics.to_vec(),
                ..LogBatch::default()
            };
            self.to.log_batch(copy, &batch)?;
        }
        Ok(())
    }

    /// Registers copies of the versions that came from a run.
    fn versions(
        &self,
        run: &RunId,
        copy: &RunId,
        models: &BTreeMap<LoggedModelId, LoggedModelId>,
    ) -> Result<()> {
        let versions = self
            .from
            .search_model_versions(&Search::matching(format!("run_id = '{run}'")))?;
        for version in versions.items {
            let Some(model) = version.model_id.as_ref().and_then(|id| models.get(id)) else {
                continue;
            };
            let there = self.version(&version, copy, model)?;
            let number = Tag::new(COPIED_TO, there.to_string());
            self.from
                .set_model_version_tag(&version.name, version.version, &number)?;
        }
        Ok(())
    }

    /// The number of the copy of a version, registered now if there is none.
    fn version(&self, version: &ModelVersion, copy: &RunId, model: &LoggedModelId) -> Result<u32> {
        let name = &version.name;
        let origin = version.model_id.as_ref().map_or("", LoggedModelId::as_str);
        let earlier = self
            .to
            .search_model_versions(&Search::matching(format!("run_id = '{copy}'")))?;
        let is_copy = |there: &&ModelVersion| {
            there.name == *name && value_of(&there.tags, COPY_OF) == Some(origin)
        };
        if let Some(there) = earlier.items.iter().find(is_copy) {
            return Ok(there.version);
        }
        let registered = self.to.create_registered_model(CreateRegisteredModel {
            name: name.clone(),
            ..CreateRegisteredModel::default()
        });
        match registered {
            Ok(_) => {}
            Err(error) if error.code() == crate::ErrorCode::ResourceAlreadyExists => {}
            Err(error) => return Err(error),
        }
        let tags = version.tags.iter().filter(|tag| tag.key != COPIED_TO);
        let created = self.to.create_model_version(CreateModelVersion {
            name: name.clone(),
            source: format!("models:/{model}"),
            run_id: Some(copy.clone()),
            model_id: Some(model.clone()),
            description: version.description.clone(),
            // It comes with the version, in one request.
            tags: tags.cloned().chain([Tag::new(COPY_OF, origin)]).collect(),
            ..CreateModelVersion::default()
        })?;
        Ok(created.version)
    }

    /// Sends the files below one URI to another; those that are there in full stay.
    fn send_files(&self, from: &str, to: &str) -> Result<()> {
        self.send_folder(&ArtifactPath::of_uri(from)?, to, "")
    }

    fn send_folder(&self, from: &ArtifactPath, to: &str, below: &str) -> Result<()> {
        let folder = from.join(below)?;
        let listed = self.files.list(&folder)?;
        if listed.is_empty() {
            return Ok(());
        }
        let there: BTreeMap<String, Option<u64>> = self
            .to
            .list_files(to, below)?
            .into_iter()
            .map(|info| (info.path, info.file_size))
            .collect();
        for info in listed {
            let path = match below {
                "" => info.path.clone(),
                below => format!("{below}/{}", info.path),
            };
            if info.is_dir {
                self.send_folder(from, to, &path)?;
                continue;
            }
            let (file, size) = self.files.read(&folder.join(&info.path)?)?;
            if there.get(&info.path) != Some(&Some(size)) {
                self.to.send_file(to, &path, file)?;
            }
        }
        Ok(())
    }
}

/// `champion=3 previous=2`.
fn describe(aliases: &BTreeMap<String, u32>) -> String {
    let pairs: Vec<String> = aliases
        .iter()
        .map(|(alias, version)| format!("{alias}={version}"))
        .collect();
    pairs.join(" ")
}

/// The aliases in what [`describe`] wrote after a server's address.
fn names_in(sent: &str) -> impl Iterator<Item = &str> {
    let pairs = sent.split(' ').skip(1);
    pairs.filter_map(|pair| pair.split_once('=').map(|(alias, _)| alias))
}
