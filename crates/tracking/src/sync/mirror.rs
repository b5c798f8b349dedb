//! Copying runs to a remote server with all that belongs to them: files, logged
//! models and registered versions.
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
use crate::error::{ErrorCode, Result, TrackingError};
use crate::requests::{
    CreateLoggedModel, CreateModelVersion, CreateRegisteredModel, LogBatch, Search,
    SearchLoggedModels,
};
use crate::store::{RemoteStore, TrackingStore};

use super::{
    AliasMoves, COPY_OF, METRICS_PER_BATCH, Overwrite, begin_copy, copy_data, end_copy,
    is_of_copying, tag_for, without_model,
};

/// Copies from a store and its files to a server.
#[derive(Clone)]
pub struct Mirror<'a> {
    /// Where runs are recorded.
    pub(super) from: &'a dyn TrackingStore,
    /// Where their files lie.
    files: &'a ArtifactStore,
    /// Where the copies go.
    pub(super) to: &'a RemoteStore,
    /// Which store is behind the server.
    server: String,
    /// The tag that names copies there.
    copied_to: String,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrored {
    /// The copy.
    pub copy: RunId,
    /// Why files and models were not sent, if they were not.
    pub files_left: Option<String>,
}

impl<'a> Mirror<'a> {
    /// From a store and its files to a server, which is asked who it is.
    ///
    /// # Errors
    ///
    /// [`TrackingError::SameStore`] when the server serves the very store, and when
    /// either side fails.
    pub fn new(
        from: &'a dyn TrackingStore,
        files: &'a ArtifactStore,
        to: &'a RemoteStore,
    ) -> Result<Self> {
        Ok(Self {
            from,
            files,
            to,
            server: to.identity()?,
            copied_to: tag_for(from, to)?,
        })
    }

    /// The tag that names the finished copy of a run or a version on this server.
    pub fn copied_to(&self) -> &str {
        &self.copied_to
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }

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

    /// Copies a run and all that belongs to it; [`Mirror::registry`] does the rest.
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
        let files_left = files_left(&run, &there);
        if files_left.is_none() {
            self.send_files(&run.info.artifact_uri, &there.info.artifact_uri)?;
            self.models(&run, &there)?;
        }
        end_copy(self.from, &run, self.to, &copy, &self.copied_to)?;
        Ok(Mirrored { copy, files_left })
    }

    /// Registers copies of the versions of a registered model that the server lacks and
    /// whose runs it has, and then sees to the aliases.
    ///
    /// # Errors
    ///
    /// When either side fails; the next call goes on.
    pub fn registry(&self, model: &str, overwrite: Overwrite) -> Result<AliasMoves> {
        self.versions(model)?;
        self.aliases(model, overwrite)
    }

    /// Copies the logged models that a run made.
    fn models(&self, run: &Run, copy: &Run) -> Result<()> {
        if run.outputs.model_outputs.is_empty() {
            return Ok(());
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
        }
        Ok(())
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

    /// Registers copies of the versions that were made here and the server lacks.
    fn versions(&self, model: &str) -> Result<()> {
        let mut search = Search {
            order_by: vec!["version_number ASC".to_owned()],
            ..Search::versions_of(model)?
        };
        let is_known = |tag: &Tag| tag.key == self.copied_to || tag.key == COPY_OF;
        loop {
            let page = self.from.search_model_versions(&search)?;
            for version in page.items {
                if !version.tags.iter().any(is_known) {
                    self.send_version(&version)?;
                }
            }
            search.page_token = page.next_page_token;
            if search.page_token.is_none() {
                return Ok(());
            }
        }
    }

    /// Registers the copy of a version and notes its number; nothing happens while the
    /// server has neither the run nor the model that it came from.
    fn send_version(&self, version: &ModelVersion) -> Result<()> {
        let (Some(run), Some(model)) = (&version.run_id, &version.model_id) else {
            return Ok(());
        };
        let run = match self.from.get_run(run) {
            Ok(run) => run,
            Err(TrackingError::RunNotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(copy) = value_of(&run.data.tags, &self.copied_to) else {
            return Ok(());
        };
        let copy = match self.to.get_run(&RunId::from(copy)) {
            Ok(copy) => copy,
            // Somebody has removed it there.
            Err(error) if error.code() == ErrorCode::ResourceDoesNotExist => return Ok(()),
            Err(error) => return Err(error),
        };
        let models = self.copied_models(&copy)?;
        let Some(model) = models.get(model.as_str()) else {
            return Ok(());
        };
        let there = self.version(version, &copy.info.run_id, &model.info.model_id)?;
        let number = Tag::new(&self.copied_to, there.to_string());
        self.from
            .set_model_version_tag(&version.name, version.version, &number)
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
            Err(error) if error.code() == ErrorCode::ResourceAlreadyExists => {}
            Err(error) => return Err(error),
        }
        let tags = version.tags.iter().filter(|tag| !is_of_copying(tag));
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

/// Why the files of a run cannot be sent, if they cannot: what was imported may have left
/// them where it came from, and servers may keep them where only their users have keys.
fn files_left(run: &Run, copy: &Run) -> Option<String> {
    let (from, to) = (&run.info.artifact_uri, &copy.info.artifact_uri);
    if ArtifactPath::of_uri(from).is_err() {
        Some(format!("they lie at `{from}`, which is not read here"))
    } else if !RemoteStore::takes_files_at(to) {
        Some(format!("the server keeps them at `{to}`, past itself"))
    } else {
        None
    }
}
