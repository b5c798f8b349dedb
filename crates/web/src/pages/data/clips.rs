//! The recordings of a collection, class by class, to listen to.

use biophony_pipeline::Store;
use serde::Serialize;
use utoipa::ToSchema;

use super::audits::Audited;
use super::{Clip, Clips};
use crate::error::ApiError;
use crate::pages::query::Query;

/// How many recordings a page has.
const PER_PAGE: usize = 24;

/// One page of recordings.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ClipsPage {
    /// The run of the pipeline that audited them.
    pub(crate) run: String,
    /// The collection.
    pub(crate) name: String,
    /// The class, if one was asked for.
    pub(crate) class: Option<String>,
    /// A part of the path, if one was asked for.
    pub(crate) contains: Option<String>,
    /// All classes.
    pub(crate) classes: Vec<String>,
    pub(crate) clips: Vec<Clip>,
    pub(crate) n_clips: usize,
    /// Counted from 1.
    pub(crate) page: usize,
    pub(crate) n_pages: usize,
    #[serde(skip)]
    pub(crate) query: Query,
}

impl ClipsPage {
    /// Lists the recordings that the address asks for.
    ///
    /// # Errors
    ///
    /// When there is no audit, or the store fails.
    pub(crate) fn load(store: Option<&Store>, query: Query) -> Result<Self, ApiError> {
        let audited = store
            .map(|store| Audited::find(store, query.one("run")))
            .transpose()?;
        let audited = audited.flatten().ok_or_else(|| {
            ApiError::NotFound(
                "no recordings were audited yet; train on some with `biophony train DIR`"
                    .to_owned(),
            )
        })?;
        let class = query.one("class").map(str::to_owned);
        let contains = query.one("contains").map(str::to_owned);
        let wanted = contains.as_ref().map(|text| text.to_lowercase());
        let audit = audited.audit();
        if let Some(class) = &class
            && !audit.classes.iter().any(|known| known.label == *class)
        {
            let reason = format!("there is no class `{class}` among these recordings");
            return Err(ApiError::NotFound(reason));
        }
        let matching: Vec<_> = audit
            .clips
            .iter()
            .filter(|clip| class.as_ref().is_none_or(|class| clip.label == *class))
            .filter(|clip| {
                wanted
                    .as_ref()
                    .is_none_or(|text| clip.path.to_lowercase().contains(text))
            })
            .collect();
        let n_pages = matching.len().div_ceil(PER_PAGE).max(1);
        let page: usize = query
            .one("page")
            .and_then(|page| page.parse().ok())
            .unwrap_or(1);
        let page = page.clamp(1, n_pages);
        let clips = Clips::of(&audited);
        Ok(Self {
            run: audited.run.to_string(),
            name: audited.name().to_owned(),
            class,
            contains,
            classes: audit
                .classes
                .iter()
                .map(|class| class.label.clone())
                .collect(),
            n_clips: matching.len(),
            clips: matching
                .into_iter()
                .skip((page - 1) * PER_PAGE)
                .take(PER_PAGE)
                .map(|clip| clips.clip(clip))
                .collect(),
            page,
            n_pages,
            query,
        })
    }

    /// The address of another page.
    pub(crate) fn page_at(&self, page: usize) -> String {
        self.query
            .with("page", Some(&page.to_string()))
            .address("/data/clips")
    }

    /// The address of the same as JSON.
    pub(crate) fn twin(&self) -> String {
        self.query.address("/api/v1/data/clips")
    }

    pub(crate) fn is_class(&self, class: &str) -> bool {
        self.class.as_deref() == Some(class)
    }
}
