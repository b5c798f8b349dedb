//! What the program that embeds the server lends it.
//!
//! Training a demo model and making example sounds need the command line's crates;
//! here is only what the pages need of them.

use biophony_model::Bundle;

/// Trains the demo model, so that people without recordings see something.
pub trait DemoTrainer: Send + Sync {
    /// Trains it and puts it into use; tells a line of what it is doing now and
    /// then. Returns when the model is there. Runs on a thread of its own.
    ///
    /// # Errors
    ///
    /// Says in plain words why it could not.
    fn train(&self, progress: &DemoProgress<'_>) -> Result<(), String>;
}

/// How a training tells what it is doing, and hears that it should end.
pub struct DemoProgress<'a> {
    pub(crate) say: &'a (dyn Fn(&str) + Sync),
    pub(crate) stopped: &'a (dyn Fn() -> bool + Sync),
}

impl DemoProgress<'_> {
    /// Shows a line to whoever waits.
    pub fn say(&self, line: &str) {
        (self.say)(line);
    }

    /// Whether the server is stopping: the training should, too.
    pub fn stopped(&self) -> bool {
        (self.stopped)()
    }
}

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
