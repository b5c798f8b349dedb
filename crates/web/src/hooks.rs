//! What the program that embeds the server lends it.
//!
//! Making example sounds needs the command line's crates; here is only what the pages
//! need of them.

use biophony_model::Bundle;

/// Sounds to try the model with.
pub trait ExampleClips: Send + Sync {
    /// What there is for this model.
    fn list(&self, model: Option<&Bundle>) -> Vec<ExampleClip>;

    /// The file of one of them.
    fn read(&self, model: Option<&Bundle>, name: &str) -> Option<Vec<u8>>;
}

/// A sound to try the model with.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ExampleClip {
    /// Names it among the others, as a file: `owl.wav`.
    pub name: String,
    /// What is heard in it.
    pub label: String,
    /// Where it comes from, in plain words.
    pub source: String,
    /// Whether it was made by a program rather than recorded.
    pub synthetic: bool,
}

/// For programs that have none.
pub(crate) struct NoExamples;

impl ExampleClips for NoExamples {
    fn list(&self, _: Option<&Bundle>) -> Vec<ExampleClip> {
        Vec::new()
    }

    fn read(&self, _: Option<&Bundle>, _: &str) -> Option<Vec<u8>> {
        None
    }
}
