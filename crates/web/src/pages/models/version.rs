//! One version: why it was let in or not, its figures, what it hears and what it was
//! made from.

use std::path::PathBuf;

use biophony_audio::DecodeLimits;
use biophony_model::GateDecision;
use biophony_pipeline::{RunId as PipelineRunId, Store};
use biophony_tracking::{
    ArtifactPath, ArtifactStore, CHAMPION, ModelVersion, Run, Tag, TrackingStore, value_of,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::parity::{Parity, Sources};
use crate::error::ApiError;
use crate::pages::figures::{Figure, Moment, Size, Span};
use crate::pages::query::path_part;
use crate::pages::runs::detail::{PIPELINE_RUN, Pair};

/// The tag that holds the gate's decision, as JSON.
pub(crate) const GATE: &str = "biophony.gate";

/// The largest `bundle.json` that is read for a page.
const MAX_DOCUMENT_BYTES: u64 = 64 << 20;

/// A version of a registered model.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct VersionPage {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) aliases: Vec<String>,
    pub(crate) description: Option<String>,
    /// When it was registered, in milliseconds since 1970.
    pub(crate) created_ms: Moment,
    /// Where its files lie.
    pub(crate) source: String,
    /// The run that made it, if it is still there.
    pub(crate) run_id: Option<String>,
    pub(crate) run_name: Option<String>,
    /// The pipeline's run that made it.
    pub(crate) pipeline_run: Option<String>,
    pub(crate) tags: Vec<Pair>,
    /// Whether it may be used, and why; unknown for models of other programs.
    pub(crate) decision: Option<Decision>,
    /// What the bundle says of itself, if it is one.
    pub(crate) bundle: Option<BundleFacts>,
    /// Whether it answers as it did when it was trained, if that was asked for.
    pub(crate) parity: Option<Parity>,
    /// The version in use, if it is another one.
    pub(crate) champion: Option<u32>,
}

/// What the gate said.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Decision {
    pub(crate) accepted: bool,
    /// Each criterion that was held against it.
    pub(crate) checks: Vec<Check>,
    /// How long one window takes, in milliseconds.
    pub(crate) latency_ms: Option<Figure>,
    /// The model that was in use before.
    pub(crate) champion: Option<String>,
    /// The comparison with the champion, on recordings that neither was trained on.
    pub(crate) rival: Option<Rival>,
}

/// One criterion.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Check {
    /// The setting's name.
    pub(crate) criterion: String,
    pub(crate) holds: bool,
    /// What was wanted and what was found, in a sentence.
    pub(crate) reason: String,
}

/// The new model beside the champion.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Rival {
    pub(crate) n_clips: usize,
    pub(crate) macro_f1: Figure,
    pub(crate) champion_macro_f1: Figure,
    /// The share of resamples in which the new model is worse.
    pub(crate) probability_worse: Figure,
}

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct BundleFacts {
    /// What it tells apart.
    pub(crate) labels: Vec<String>,
    pub(crate) sample_rate_hz: Option<Figure>,
    pub(crate) window_seconds: Option<Figure>,
    pub(crate) n_mels: Option<Figure>,
    /// From which probability on an answer is accepted.
    pub(crate) threshold: Option<Figure>,
    pub(crate) temperature: Option<Figure>,
    /// What the evaluation found.
    pub(crate) figures: Vec<Pair>,
    /// What it was trained on.
    pub(crate) dataset: Option<String>,
    /// The digest of what it was trained on.
    pub(crate) data_digest: Option<String>,
    pub(crate) program: Option<String>,
    pub(crate) size_bytes: Size,
}

/// What the pipeline's step `deploy` decided, as far as it is shown.
#[derive(Debug, Clone, Deserialize)]
struct Deployment {
    decision: GateDecision,
    latency_ms: Option<f64>,
    champion: Option<String>,
}

impl VersionPage {
    /// Reads a version; with limits for decoding, its parity is checked as well.
    ///
    /// # Errors
    ///
    /// When there is no such version, or the store fails.
    pub(crate) fn load(
        store: &dyn TrackingStore,
        artifacts: &ArtifactStore,
        pipelines: Option<&Store>,
        name: &str,
        version: u32,
        parity_limits: Option<DecodeLimits>,
    ) -> Result<Self, ApiError> {
        let version = store.get_model_version(name, version)?;
        let run = version
            .run_id
            .as_ref()
            .and_then(|id| store.get_run(id).ok());
        let pipeline_run = pipeline_run(&version, run.as_ref())
            .filter(|id| pipelines.is_some_and(|store| store.run(id).is_ok()));
        let parity = parity_limits.map(|limits| {
            let sources = Sources {
                tracking: store,
                artifacts,
                pipelines,
                limits,
            };
            let pipeline_run = pipeline_run.as_ref().map(PipelineRunId::as_str);
            Parity::check(&sources, &version, run.as_ref(), pipeline_run)
        });
        let in_use = store.get_model_version_by_alias(name, CHAMPION).ok();
        let champion = in_use.map(|champion| champion.version);
        Ok(Self {
            decision: Decision::of_tags(&version.tags)
                .or_else(|| Decision::of_tags(&run.as_ref()?.data.tags))
                .or_else(|| Decision::of_pipeline(pipelines?, pipeline_run.as_ref()?)),
            parity: parity.transpose()?,
            bundle: BundleFacts::load(store, artifacts, &version),
            champion: champion.filter(|champion| *champion != version.version),
            pipeline_run: pipeline_run.map(|id| id.to_string()),
            run_id: run.as_ref().map(|run| run.info.run_id.to_string()),
            run_name: run.map(|run| run.info.run_name),
            tags: version
                .tags
                .iter()
                .filter(|tag| tag.key != GATE)
                .map(|tag| Pair {
                    key: tag.key.clone(),
                    value: tag.value.clone(),
                })
                .collect(),
            created_ms: Moment(version.creation_timestamp),
            description: version.description.filter(|text| !text.is_empty()),
            source: version.source,
            aliases: version.aliases,
            version: version.version,
            name: version.name,
        })
    }

    pub(crate) fn is_champion(&self) -> bool {
        self.aliases.iter().any(|alias| alias == CHAMPION)
    }

    /// What is shown large: what the evaluation found, and how long one window takes.
    pub(crate) fn figures(&self) -> Vec<Pair> {
        let found = self.bundle.as_ref().map(|bundle| bundle.figures.clone());
        let mut figures = found.unwrap_or_default();
        let latency = self
            .decision
            .as_ref()
            .and_then(|decision| decision.latency_ms);
        figures.extend(latency.map(|latency| Pair {
            key: "one window takes".to_owned(),
            value: Span(latency.0).to_string(),
        }));
        figures
    }

    /// How commands name it.
    pub(crate) fn reference(&self) -> String {
        match self.is_champion() {
            true => CHAMPION.to_owned(),
            false => format!("v{}", self.version),
        }
    }

    /// Its address.
    pub(crate) fn href(&self) -> String {
        format!("/models/{}/{}", path_part(&self.name), self.version)
    }

    /// Whether what is downloaded is there.
    pub(crate) fn has_files(&self) -> bool {
        self.bundle.is_some()
    }
}

/// The pipeline's run, named by the version or by the run that made it.
fn pipeline_run(version: &ModelVersion, run: Option<&Run>) -> Option<PipelineRunId> {
    let of_version = value_of(&version.tags, PIPELINE_RUN);
    let of_run = run.and_then(|run| value_of(&run.data.tags, PIPELINE_RUN));
    of_version.or(of_run)?.parse().ok()
}

impl Decision {
    /// What a version's or a run's tags say of it.
    pub(crate) fn of_tags(tags: &[Tag]) -> Option<Self> {
        let deployment = serde_json::from_str(value_of(tags, GATE)?).ok()?;
        Some(Self::new(deployment))
    }

    /// What the step `deploy` of a run decided, if it came to that.
    fn of_pipeline(store: &Store, run: &PipelineRunId) -> Option<Self> {
        let record = store.run(run).ok()?;
        let outputs = &record.step("deploy")?.outputs;
        let output = outputs.iter().find(|output| output.name == "decision")?;
        let text = std::fs::read(store.artifact_path(output.content).ok()?).ok()?;
        serde_json::from_slice::<Deployment>(&text)
            .ok()
            .map(Self::new)
    }

    fn new(deployment: Deployment) -> Self {
        let Deployment {
            decision,
            latency_ms,
            champion,
        } = deployment;
        Self {
            accepted: decision.accepted,
            checks: decision
                .checks
                .into_iter()
                .map(|check| Check {
                    criterion: check.criterion,
                    holds: check.holds,
                    reason: check.reason,
                })
                .collect(),
            latency_ms: latency_ms.map(Figure),
            champion,
            rival: decision.champion.map(|rival| Rival {
                n_clips: rival.n_clips,
                macro_f1: Figure(rival.macro_f1),
                champion_macro_f1: Figure(rival.champion_macro_f1),
                probability_worse: Figure(rival.probability_worse),
            }),
        }
    }
}

impl BundleFacts {
    fn load(
        store: &dyn TrackingStore,
        artifacts: &ArtifactStore,
        version: &ModelVersion,
    ) -> Option<Self> {
        let location = store.model_version_download_uri(&version.name, version.version);
        let folder = ArtifactPath::of_uri(&location.ok()?).ok()?;
        let size_bytes = super::download::size_of(artifacts, &folder).ok()?;
        let (file, size) = artifacts.read(&folder.join("bundle.json").ok()?).ok()?;
        if size > MAX_DOCUMENT_BYTES {
            return None;
        }
        let document: Value = serde_json::from_reader(std::io::BufReader::new(file)).ok()?;
        let number = |path: &str| document.pointer(path)?.as_f64().map(Figure);
        let text = |path: &str| document.pointer(path)?.as_str().map(str::to_owned);
        let figures = [
            ("accuracy", "/metrics/accuracy"),
            ("balanced accuracy", "/metrics/balanced_accuracy"),
            ("macro-F1", "/metrics/macro_f1"),
            ("calibration error", "/metrics/expected_calibration_error"),
            ("recordings tested", "/metrics/n_clips"),
        ];
        let labels = document["labels"].as_array()?.iter();
        Some(Self {
            labels: labels
                .filter_map(|label| label.as_str().map(str::to_owned))
                .collect(),
            sample_rate_hz: number("/front_end/features/sample_rate"),
            window_seconds: number("/front_end/clip/clip_seconds"),
            n_mels: number("/front_end/features/n_mels"),
            threshold: number("/calibration/threshold"),
            temperature: number("/calibration/temperature"),
            figures: figures
                .iter()
                .filter_map(|(name, path)| {
                    let value = number(path)?.to_string();
                    Some(Pair {
                        key: (*name).to_owned(),
                        value,
                    })
                })
                .collect(),
            dataset: text("/provenance/dataset/name"),
            data_digest: text("/provenance/dataset/digest"),
            program: text("/provenance/program"),
            size_bytes: Size(size_bytes),
        })
    }
}

/// The version that an address names.
pub(crate) fn version_number(text: &str) -> Result<u32, ApiError> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| ApiError::NotFound(format!("`{text}` is no version of a model")))
}

/// A folder of a version's files, to be downloaded.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) folder: ArtifactPath,
    /// The name of the download.
    pub(crate) name: PathBuf,
}

impl Files {
    /// Finds a version's files.
    ///
    /// # Errors
    ///
    /// When there is no such version, or its files are kept elsewhere.
    pub(crate) fn find(
        store: &dyn TrackingStore,
        name: &str,
        version: u32,
    ) -> Result<Self, ApiError> {
        let location = store.model_version_download_uri(name, version)?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let safe: String = name
            .chars()
            .map(|c| if is_plain(c) { c } else { '_' })
            .collect();
        Ok(Self {
            folder: ArtifactPath::of_uri(&location)?,
            name: PathBuf::from(format!("{safe}-{version}")),
        })
    }
}
