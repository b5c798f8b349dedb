//! What can go wrong between a clip and its label.

use std::path::PathBuf;

use biophony_audio::AudioError;
use biophony_nn::NnError;
use thiserror::Error;

/// Everything that can go wrong while preparing clips, training, evaluating,
/// saving or using a model.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A label set with fewer than two distinct names.
    #[error("a classifier needs at least two classes, got {names:?}")]
    TooFewClasses {
        /// The distinct names that were there.
        names: Vec<String>,
    },

    /// A label that is empty or only spaces.
    #[error("a class has an empty name")]
    EmptyLabel,

    /// Labels read from a file that are not in the order of the outputs.
    #[error("class names are not sorted and distinct: {names:?}")]
    UnsortedLabels {
        /// The names as the file has them.
        names: Vec<String>,
    },

    /// A setting whose value cannot work.
    #[error("`{field}` is {value}: {reason}")]
    InvalidSetting {
        /// The setting, as it is written in a settings file.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it would have to be.
        reason: String,
    },

    /// An architecture that does not exist.
    #[error("no architecture is called `{name}`; did you mean `{nearest}`? there are {known}")]
    UnknownArchitecture {
        /// The name that was asked for.
        name: String,
        /// The nearest name that exists.
        nearest: &'static str,
        /// All names.
        known: String,
    },

    /// A clip with a sample that is not a number.
    #[error("sample {at} of the clip is infinite or not a number")]
    NonFiniteSample {
        /// The index of the first such sample.
        at: usize,
    },

    /// Features of another shape than the front end gives.
    #[error(
        "features of `{name}` have {}x{} values, expected {} bands and at least {} frames",
        found[0], found[1], expected[0], expected[1]
    )]
    FeatureShape {
        /// The clip.
        name: String,
        /// Its bands and frames.
        found: [usize; 2],
        /// The bands it should have, and the fewest frames.
        expected: [usize; 2],
    },

    /// Features that are not numbers: samples far beyond full scale, as a rule.
    #[error("features of `{name}` are infinite or not numbers; are its samples far beyond ±1?")]
    NonFiniteFeatures {
        /// The clip.
        name: String,
    },

    /// A network, normalizer and front end that do not fit together.
    #[error(
        "the network takes {network}, the front end gives {front_end}, \
         and the normalizer has {n_bands} bands"
    )]
    PartsDiffer {
        /// The shape of the network's input.
        network: String,
        /// The shape of the front end's windows.
        front_end: String,
        /// The bands of the normalizer.
        n_bands: usize,
    },

    /// A network with another number of outputs than there are labels.
    #[error("the network has {n_outputs} outputs for {n_labels} labels")]
    LabelCount {
        /// How many labels there are.
        n_labels: usize,
        /// How many outputs the network has.
        n_outputs: usize,
    },

    /// An example whose class does not exist.
    #[error("`{name}` has class {label}, and there are {n_classes}")]
    LabelOutOfRange {
        /// The clip.
        name: String,
        /// The index of its class.
        label: usize,
        /// How many classes there are.
        n_classes: usize,
    },

    /// Training that ran away.
    #[error(
        "the loss is not a number any more, in epoch {epoch}, step {step}, at a learning rate of \
         {learning_rate}; try a smaller `learning_rate`, a longer `warmup`, or `max_gradient_norm = 1`"
    )]
    Diverged {
        /// The epoch, from 1.
        epoch: usize,
        /// The step within it, from 1.
        step: usize,
        /// The learning rate of that step.
        learning_rate: f32,
    },

    /// A checkpoint of another run.
    #[error(
        "`{path}` is the checkpoint of another run: {what} was {then} and is {now}; \
         train with the same settings and clips, or without resuming"
    )]
    OtherCheckpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        what: String,
        /// What it was when the checkpoint was written.
        then: String,
        /// What it is now.
        now: String,
    },

    /// A checkpoint that cannot be what was written.
    #[error("`{path}` is not a checkpoint that can be resumed: {reason}")]
    DamagedCheckpoint {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// Nothing to learn from.
    #[error("there are no examples")]
    NoExamples,

    /// A sound that cannot be prepared.
    #[error(transparent)]
    Audio(#[from] AudioError),

    /// A network that cannot be built, or weights that do not fit it.
    #[error(transparent)]
    Network(#[from] NnError),

    /// A file that cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    /// A file that cannot be written.
    #[error("cannot write `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },

    /// A JSON file that does not say what it should.
    #[error("`{path}` is not valid here")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },

    /// An evaluation of nothing.
    #[error("there are no clips to evaluate")]
    NothingToEvaluate,

    /// Lists that should have one entry per evaluated clip.
    #[error("{n} {what} for {n_clips} clips to evaluate")]
    UnevenEvaluation {
        /// What is listed.
        what: &'static str,
        /// How many entries it has.
        n: usize,
        /// How many clips there are.
        n_clips: usize,
    },

    /// Scores that cannot be evaluated.
    #[error("clip {clip} cannot be evaluated: {reason}")]
    UnusableScores {
        /// Its place among the clips, from 0.
        clip: usize,
        /// Why not.
        reason: String,
    },

    /// There is something where a bundle is to be written.
    #[error("`{path}` exists already")]
    BundleExists {
        /// Where the bundle was to go.
        path: PathBuf,
    },

    /// Something other than a bundle would have been replaced.
    #[error("`{path}` is not a bundle (it has no bundle.json), so it is not replaced")]
    NotABundle {
        /// What would have been replaced.
        path: PathBuf,
    },

    /// A bundle written by a later version of this program.
    #[error(
        "`{path}`: `format_version` is {found}, and this program reads up to {known}; \
         a newer version of it is needed"
    )]
    NewerBundle {
        /// The file that says so.
        path: PathBuf,
        /// The version it has.
        found: u32,
        /// The highest version that can be read.
        known: u32,
    },

    /// A file whose content is not what it was when the bundle was written.
    #[error("`{path}` is damaged: its BLAKE3 is {found}, expected {expected}")]
    DamagedFile {
        /// The file.
        path: PathBuf,
        /// The digest noted in `bundle.json`.
        expected: String,
        /// The digest of the file.
        found: String,
    },

    /// A file that is larger than any bundle's.
    #[error("`{path}` has {n_bytes} bytes, more than the {limit} that are read")]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        n_bytes: u64,
        /// The largest size that is read.
        limit: u64,
    },

    /// A part of a bundle that does not fit the others.
    #[error("`{path}`: `{field}`: {reason}")]
    BundleField {
        /// The file.
        path: PathBuf,
        /// The field or tensor.
        field: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A weights file that cannot be read or written as one.
    #[error("`{path}` is not a valid safetensors file")]
    Weights {
        /// The file.
        path: PathBuf,
        /// Why.
        source: safetensors::SafeTensorError,
    },

    /// A network's layer that calls for a tensor the network does not have.
    #[error("the network has no tensor `{name}`")]
    MissingTensor {
        /// The tensor's name.
        name: String,
    },

    /// Something that the ONNX graph cannot express.
    #[error("{what} cannot be written to ONNX")]
    NotInOnnx {
        /// What it is.
        what: String,
    },
}
