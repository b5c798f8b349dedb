//! Versions of the registered model, and which of them is in use.
//!
//! The version in use is the one that the alias `champion` means. Its bundle lies
//! among the tracked files; a folder for people, `HOME/models/NAME`, holds the same
//! files under a name that they know from the run. What people call a version is
//! understood in `tracking/reference.rs`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use biophony_tracking::{
    CHAMPION, CreateModelVersion, CreateRegisteredModel, CreateRun, ErrorCode, ExperimentId,
    LoggedModel, ModelVersion, RunStatus, Search, Tag, TrackingError, TrackingStore, now, value_of,
};

use super::{Tracking, pins, tag};
use crate::progress::note;

/// The model in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Champion {
    /// `biophony/3`, as in MLflow's `models:/biophony/3`.
    pub(crate) name: String,
    /// None for one that an earlier program put into use.
    pub(crate) version: Option<u32>,
    /// As by [`bundle_digest`], when it was registered.
    pub(crate) digest: String,
    /// Whether it is a demo's.
    pub(crate) synthetic: bool,
    /// Where its bundle lies, whole; or why it cannot be read.
    pub(crate) bundle: Result<PathBuf, String>,
}

/// Whether a version came into use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promotion {
    InUse,
    /// It was in use before, and something else was put in its place since.
    Replaced,
    /// Another one came into use than that which it was compared with.
    Overtaken,
}

/// The BLAKE3 of `bundle.json`, which itself names the digests of the rest.
pub(crate) fn bundle_digest(bundle: &Path) -> Result<String> {
    let path = bundle.join("bundle.json");
    let bytes =
        std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(blake3::hash(&bytes).to_hex().to_string())
}

/// What a version is registered with.
pub(crate) struct Candidate<'a> {
    pub(crate) logged: &'a LoggedModel,
    /// Where its files are to be had.
    pub(crate) bundle: &'a Path,
    pub(crate) tags: Vec<Tag>,
}

impl Tracking {
    /// The model in use, if there is one, also where its files are damaged or elsewhere.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(crate) fn champion(&self) -> Result<Option<Champion>> {
        let version = match self.by_alias(CHAMPION)? {
            Some(version) => version,
            None => return self.home.old_champion(),
        };
        let name = format!("{}/{}", version.name, version.version);
        let bundle = self.whole_bundle(&version);
        let registered = value_of(&version.tags, tag::BUNDLE_DIGEST).map(str::to_owned);
        Ok(Some(Champion {
            digest: match (registered, &bundle) {
                (Some(digest), _) => digest,
                (None, Ok(path)) => bundle_digest(path)?,
                (None, Err(_)) => name.clone(),
            },
            version: Some(version.version),
            synthetic: value_of(&version.tags, tag::SYNTHETIC).is_some(),
            bundle: bundle.map_err(|error| format!("{error:#}")),
            name,
        }))
    }

    /// Where the bundle of a version lies, whole. What is damaged or gone is laid out
    /// anew from the artifact that it was copied from, while that is kept.
    ///
    /// # Errors
    ///
    /// When it cannot be read, saying why.
    pub(crate) fn whole_bundle(&self, version: &ModelVersion) -> Result<PathBuf> {
        self.check_bundle(version).or_else(|fault| {
            let kept = pins::bundle_of(&self.home, version)?.ok_or(fault)?;
            // Files that are kept elsewhere cannot be mended, but need not be read.
            Ok(self.lay_out_again(version, &kept).unwrap_or(kept))
        })
    }

    fn lay_out_again(&self, version: &ModelVersion, bundle: &Path) -> Result<PathBuf> {
        let (name, number) = (&version.name, version.version);
        let uri = self.store.model_version_download_uri(name, number)?;
        self.add_files(&uri, bundle)?;
        note(&format!(
            "the files of {name}/{number} were damaged or gone, and are laid out anew"
        ));
        self.check_bundle(version)
    }

    /// The bundle as it was registered.
    fn check_bundle(&self, version: &ModelVersion) -> Result<PathBuf> {
        let path = self.bundle_of(version)?;
        if !path.join("bundle.json").is_file() {
            bail!("`{}` holds no bundle.json", path.display());
        }
        biophony_model::Bundle::verify(&path)?;
        let registered = value_of(&version.tags, tag::BUNDLE_DIGEST);
        if registered.is_some_and(|digest| bundle_digest(&path).is_ok_and(|now| now != digest)) {
            bail!(
                "`{}` is not as it was registered",
                path.join("bundle.json").display()
            );
        }
        Ok(path)
    }

    fn files_of(&self, version: &ModelVersion) -> Result<PathBuf> {
        Ok(self.artifacts.version_folder(&*self.store, version)?)
    }

    /// Where the bundle of a version lies.
    pub(crate) fn bundle_of(&self, version: &ModelVersion) -> Result<PathBuf> {
        self.files_of(version).with_context(|| {
            format!(
                "the files of `{}/{}` are not in this home folder",
                version.name, version.version
            )
        })
    }

    fn by_alias(&self, alias: &str) -> Result<Option<ModelVersion>> {
        if_there(
            self.store
                .get_model_version_by_alias(&self.settings.model, alias),
        )
    }

    /// All versions of the registered model, the newest first.
    pub(crate) fn versions(&self) -> Result<Vec<ModelVersion>> {
        let mut search = Search {
            order_by: vec!["version_number DESC".to_owned()],
            ..Search::versions_of(&self.settings.model)?
        };
        let mut found = Vec::new();
        loop {
            let page = self.store.search_model_versions(&search)?;
            found.extend(page.items);
            search.page_token = page.next_page_token;
            if search.page_token.is_none() {
                return Ok(found);
            }
        }
    }

    /// The version of an accepted model: the one that is registered already, by its
    /// content, or a new one.
    pub(crate) fn version_for(&self, candidate: &Candidate<'_>) -> Result<ModelVersion> {
        let digest = value_of(&candidate.logged.info.tags, tag::BUNDLE_DIGEST).unwrap_or_default();
        let mut same = self.versions()?;
        same.retain(|version| value_of(&version.tags, tag::BUNDLE_DIGEST) == Some(digest));
        // Of equals, the one in use.
        same.sort_by_key(|version| !version.aliases.iter().any(|alias| alias == CHAMPION));
        let is_whole = |version: &ModelVersion| {
            let checked = self.check_bundle(version);
            let whole = checked.or_else(|_| self.lay_out_again(version, candidate.bundle));
            whole.is_ok()
        };
        match same.into_iter().find(is_whole) {
            Some(version) => Ok(version),
            None => self.register(candidate, digest),
        }
    }

    /// Puts a version into use in the place of the one that it was compared with,
    /// unless it was in use before: that it is not any more was decided since.
    pub(crate) fn promote_over(
        &self,
        version: &ModelVersion,
        rival: Option<u32>,
    ) -> Result<Promotion> {
        let (name, number) = (&version.name, version.version);
        let champion = self.by_alias(CHAMPION)?.map(|champion| champion.version);
        let was_in_use = || -> Result<bool> {
            let moves = self.store.alias_history(name)?;
            Ok(moves.iter().any(|one| one.to_version == number))
        };
        if champion != Some(number) && was_in_use()? {
            return Ok(Promotion::Replaced);
        }
        Ok(match self.store.promote_over(name, number, rival)? {
            Some(_) => Promotion::InUse,
            None => Promotion::Overtaken,
        })
    }

    fn register(&self, candidate: &Candidate<'_>, digest: &str) -> Result<ModelVersion> {
        let name = self.settings.model.clone();
        let created = self.store.create_registered_model(CreateRegisteredModel {
            name: name.clone(),
            ..CreateRegisteredModel::default()
        });
        match created {
            Ok(_) | Err(TrackingError::AlreadyExists(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let info = &candidate.logged.info;
        let mut tags = candidate.tags.clone();
        tags.push(Tag::new(tag::BUNDLE_DIGEST, digest));
        Ok(self.store.create_model_version(CreateModelVersion {
            name,
            source: info.artifact_uri.clone(),
            run_id: info.source_run_id.clone(),
            model_id: Some(info.model_id.clone()),
            tags,
            ..CreateModelVersion::default()
        })?)
    }

    /// Registers the model that an earlier program put into use, once.
    pub(crate) fn adopt_old_champion(&self) -> Result<()> {
        if self.by_alias(CHAMPION)?.is_some() {
            return Ok(());
        }
        let Some(champion) = self.home.old_champion()? else {
            return Ok(());
        };
        let Ok(bundle) = &champion.bundle else {
            return Ok(());
        };
        let run = self.store.create_run(CreateRun {
            run_name: Some(champion.name.clone()),
            tags: vec![Tag::new(tag::PIPELINE_RUN, &champion.name)],
            ..CreateRun::new(ExperimentId::default_experiment())
        })?;
        let id = &run.info.run_id;
        let logged = self.log_model(id, bundle)?;
        self.store.finish_run(id, RunStatus::Finished, now())?;
        let version = self.version_for(&Candidate {
            logged: &logged,
            bundle,
            tags: vec![
                Tag::new(tag::PIPELINE_RUN, &champion.name),
                Tag::new(tag::FOLDER, &champion.name),
            ],
        })?;
        self.store.promote(&version.name, version.version)?;
        self.home.forget_old_champion()
    }
}

/// What is there, or nothing where there is no such model, version or alias.
pub(super) fn if_there<T>(found: biophony_tracking::Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(TrackingError::AliasNotFound(_)) => Ok(None),
        // A text that can be no name is the name of nothing.
        Err(error)
            if matches!(
                error.code(),
                ErrorCode::ResourceDoesNotExist | ErrorCode::InvalidParameterValue
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
