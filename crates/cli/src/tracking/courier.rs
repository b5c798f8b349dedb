//! The thread that tells a server elsewhere how a run goes, while it goes.
//!
//! It sends on what [`super::scribe`] has written. Nobody waits for it: when the
//! server is away or slow, what cannot be sent is left to the end of the run, and
//! what is left then to `biophony tracking sync`. All of it lies in the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Result;
use biophony_tracking::{LogBatch, Overwrite, RemoteStore, RunId, SEND_TO, TrackingStore};

use super::Tracking;
use super::destination::{self, PATIENT, QUICK};
use crate::progress::note;

/// How long a server that failed is left alone.
const PAUSE: Duration = Duration::from_secs(15);

/// Batches that may wait for a slow server; what comes on top is sent at the end.
const MAX_WAITING: usize = 64;

/// How long the end of a run may wait for the server.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to the thread.
#[derive(Clone)]
pub(super) struct Courier {
    letters: Sender<Letter>,
    n_waiting: Arc<AtomicUsize>,
}

enum Letter {
    /// A run has logged this.
    Batch(RunId, LogBatch),
    /// A run has logged something that was not handed over.
    Missed(RunId),
    /// These runs have ended; the last is the one that the others are nested in.
    Ended(Vec<RunId>, Sender<Result<()>>),
}

impl Courier {
    /// A courier to the server in the settings, if there is one.
    pub(super) fn start(tracking: &Tracking) -> Result<Option<Self>> {
        let Some(server) = destination::open(&tracking.settings, QUICK)? else {
            return Ok(None);
        };
        let (letters, received) = channel();
        let n_waiting = Arc::new(AtomicUsize::new(0));
        let round = Round {
            tracking: tracking.clone(),
            server,
            copies: BTreeMap::new(),
            failed: None,
            is_own: false,
            n_waiting: Arc::clone(&n_waiting),
        };
        // It may be in the middle of a letter when the process ends: whatever the
        // moment, the next copy ends in the same state.
        std::thread::spawn(move || round.walk(received));
        Ok(Some(Self { letters, n_waiting }))
    }

    /// Hands over what a run has logged.
    pub(super) fn send(&self, run: &RunId, batch: LogBatch) {
        let letter = match self.n_waiting.load(Ordering::SeqCst) < MAX_WAITING {
            true => Letter::Batch(run.clone(), batch),
            false => Letter::Missed(run.clone()),
        };
        self.n_waiting.fetch_add(1, Ordering::SeqCst);
        // A courier that is gone leaves everything to `tracking sync`.
        let _ = self.letters.send(letter);
    }

    /// Sends runs that have ended, with all that belongs to them, and waits for it a
    /// while.
    pub(super) fn finish(&self, runs: Vec<RunId>, uri: &str) {
        let (answer, answered) = channel();
        // As above.
        let _ = self.letters.send(Letter::Ended(runs, answer));
        match answered.recv_timeout(PATIENCE) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => note(&format!(
                "not sent to {uri} yet: {error:#}; `biophony tracking sync` does it later"
            )),
            Err(_) => note(&format!(
                "not sent to {uri} in full yet: it is slow; `biophony tracking sync` does the rest"
            )),
        }
    }
}

/// What the thread does.
struct Round {
    tracking: Tracking,
    server: RemoteStore,
    /// The copies that have all that their originals logged.
    copies: BTreeMap<RunId, RunId>,
    /// When the server last failed.
    failed: Option<Instant>,
    /// Whether the server serves this very store, so that there is nothing to tell it.
    is_own: bool,
    n_waiting: Arc<AtomicUsize>,
}

impl Round {
    fn walk(mut self, letters: Receiver<Letter>) {
        for letter in letters {
            match letter {
                Letter::Batch(run, batch) => {
                    self.n_waiting.fetch_sub(1, Ordering::SeqCst);
                    let sent = self.follow(&run, &batch);
                    self.heed(&run, sent);
                }
                Letter::Missed(run) => {
                    self.n_waiting.fetch_sub(1, Ordering::SeqCst);
                    self.copies.remove(&run);
                }
                Letter::Ended(runs, answer) => {
                    // Whoever asked may have gone.
                    let _ = answer.send(self.deliver(&runs));
                }
            }
        }
    }

    fn follow(&mut self, run: &RunId, batch: &LogBatch) -> Result<()> {
        if self.is_own {
            return Ok(());
        }
        if self.failed.is_some_and(|at| at.elapsed() < PAUSE) {
            self.copies.remove(run);
            return Ok(());
        }
        let mirror = self.tracking.mirror(&self.server)?;
        if let Some(copy) = self.copies.get(run) {
            return Ok(mirror.follow(copy, batch)?);
        }
        let copy = self.tracking.catch_up(&mirror, run)?;
        self.copies.insert(run.clone(), copy);
        Ok(())
    }

    /// Leaves a server that failed alone for a while.
    fn heed(&mut self, run: &RunId, sent: Result<()>) {
        match sent {
            Ok(()) => {
                if self.copies.contains_key(run) {
                    self.failed = None;
                }
            }
            Err(error) if destination::is_same_store(&error) => {
                self.is_own = true;
                note(&format!(
                    "{} serves this home folder: it shows the run as it is recorded here",
                    self.tracking.settings.uri
                ));
            }
            Err(error) => {
                if self.failed.is_none() {
                    note(&format!(
                        "warning: {} is not told for now, the run goes on: {error:#}",
                        self.tracking.settings.uri
                    ));
                }
                self.copies.remove(run);
                self.failed = Some(Instant::now());
            }
        }
    }

    fn deliver(&self, runs: &[RunId]) -> Result<()> {
        match self.deliver_to_another(runs) {
            Err(error) if destination::is_same_store(&error) => self.withdraw(runs),
            delivered => delivered,
        }
    }

    fn deliver_to_another(&self, runs: &[RunId]) -> Result<()> {
        let server = destination::open(&self.tracking.settings, PATIENT)?;
        let server = server.as_ref().unwrap_or(&self.server);
        let mirror = self.tracking.mirror(server)?;
        for run in runs {
            self.tracking.deliver(&mirror, run)?;
        }
        let model = &self.tracking.settings.model;
        let told = self
            .tracking
            .send_registry(&mirror, model, Overwrite::Own)?;
        destination::tell_conflicts(&told);
        Ok(())
    }

    /// Runs that were recorded for a server that turned out to be this store have nowhere
    /// to be sent.
    fn withdraw(&self, runs: &[RunId]) -> Result<()> {
        for run in runs {
            self.tracking.store.delete_tag(run, SEND_TO)?;
        }
        Ok(())
    }
}
