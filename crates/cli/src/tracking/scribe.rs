//! The thread that writes metrics into the store while the others compute.
//!
//! Another process may hold the database for a moment; training shall not wait for
//! it. A failure is told once and never stops a training: what is recorded about a
//! run is worth less than the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use biophony_tracking::{LogBatch, Metric, Param, RunId, SqliteStore, Tag, TrackingStore};

use super::courier::Courier;
use crate::progress::note;

/// The most of each that one batch may hold.
const METRICS_PER_BATCH: usize = 1000;
const PAIRS_PER_BATCH: usize = 100;

/// Takes down what is said about runs, and hands it on to a server elsewhere.
pub(super) struct Scribe {
    store: Arc<SqliteStore>,
    words: Option<Sender<Word>>,
    thread: Option<JoinHandle<()>>,
    has_complained: Arc<AtomicBool>,
}

enum Word {
    Batch(RunId, LogBatch),
    /// Answered when everything before it is written.
    Mark(Sender<()>),
}

impl Scribe {
    pub(super) fn new(store: &Arc<SqliteStore>, courier: Option<Courier>) -> Self {
        let (sender, words) = channel();
        let has_complained = Arc::new(AtomicBool::new(false));
        let (own_store, own_flag) = (Arc::clone(store), Arc::clone(&has_complained));
        let thread = std::thread::spawn(move || {
            for word in words {
                match word {
                    Word::Batch(run, batch) => {
                        let written = own_store.log_batch(&run, &batch);
                        complain(&own_flag, written);
                        if let Some(courier) = &courier {
                            courier.send(&run, batch);
                        }
                    }
                    // Whoever asked may have gone.
                    Word::Mark(answer) => drop(answer.send(())),
                }
            }
        });
        Self {
            store: Arc::clone(store),
            words: Some(sender),
            thread: Some(thread),
            has_complained,
        }
    }

    pub(super) fn metrics(&self, run: &RunId, metrics: &[Metric]) {
        for metrics in metrics.chunks(METRICS_PER_BATCH) {
            self.say(run, |batch| batch.metrics = metrics.to_vec());
        }
    }

    pub(super) fn params(&self, run: &RunId, params: &[Param]) {
        for params in params.chunks(PAIRS_PER_BATCH) {
            self.say(run, |batch| batch.params = params.to_vec());
        }
    }

    pub(super) fn tags(&self, run: &RunId, tags: &[Tag]) {
        for tags in tags.chunks(PAIRS_PER_BATCH) {
            self.say(run, |batch| batch.tags = tags.to_vec());
        }
    }

    /// Does something with the store at once, after all that was said before.
    pub(super) fn at_once<T>(
        &self,
        work: impl FnOnce(&SqliteStore) -> biophony_tracking::Result<T>,
    ) -> Option<T> {
        self.catch_up();
        complain(&self.has_complained, work(&self.store))
    }

    /// Waits until everything that was said is written.
    pub(super) fn catch_up(&self) {
        let (answer, answered) = channel();
        let words = self.words.as_ref().expect("the scribe works until dropped");
        if words.send(Word::Mark(answer)).is_ok() {
            // An error means that the thread is gone, and with it its work.
            let _ = answered.recv();
        }
    }

    fn say(&self, run: &RunId, fill: impl FnOnce(&mut LogBatch)) {
        let mut batch = LogBatch::default();
        fill(&mut batch);
        let words = self.words.as_ref().expect("the scribe works until dropped");
        // Without a thread there is nobody to write, which it has told.
        let _ = words.send(Word::Batch(run.clone(), batch));
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        self.words = None;
        if let Some(thread) = self.thread.take() {
            // A panic has printed what there is to know.
            let _ = thread.join();
        }
    }
}

/// Tells the first failure, and goes on.
fn complain<T>(has_complained: &AtomicBool, outcome: biophony_tracking::Result<T>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(error) => {
            if !has_complained.swap(true, Ordering::SeqCst) {
                note(&format!(
                    "warning: this run is not fully recorded: {}",
                    crate::commands::chain(&error)
                ));
            }
            None
        }
    }
}
