//! The threads that decode and classify, with a queue of bounded length.
//!
//! Work comes in two lanes. What is known to be long may occupy at most half of the
//! workers, so that somebody's hour of recordings does not keep others from an
//! answer about five seconds. Within a lane, first come is first served.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::error::ApiError;

/// How long a piece of work takes, as far as one can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Milliseconds.
    Quick,
    /// Perhaps seconds.
    Long,
}

type Job = Box<dyn FnOnce() + Send>;

/// Threads that work off a bounded queue. Dropping it lets them end.
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Something to do, or the end.
    changed: Condvar,
    capacity: usize,
    max_long: usize,
}

#[derive(Default)]
struct State {
    quick: VecDeque<Job>,
    long: VecDeque<Job>,
    /// Workers that are busy with long work.
    n_long: usize,
    /// Workers that are busy.
    n_busy: usize,
    has_ended: bool,
}

impl Pool {
    /// `workers` threads, and room for `capacity` jobs to wait.
    ///
    /// With a single worker there would be nobody left beside long work, so there
    /// are at least two.
    pub(crate) fn new(workers: usize, capacity: usize) -> Self {
        let workers = workers.max(2);
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            capacity,
            max_long: workers / 2,
        });
        for index in 0..workers {
            let shared = Arc::clone(&shared);
            // Without this worker the others go on; without any, jobs are refused.
            let _ = std::thread::Builder::new()
                .name(format!("classify-{index}"))
                .spawn(move || shared.work());
        }
        Self { shared }
    }

    /// Does a job and waits for what comes of it.
    ///
    /// # Errors
    ///
    /// [`ApiError::Busy`] when too many wait already; what the job says otherwise.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        job: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (answer, answered) = oneshot::channel();
        let job = move || {
            // Whoever asked may have gone away meanwhile.
            if !answer.is_closed() {
                let _ = answer.send(job());
            }
        };
        self.shared.push(lane, Box::new(job))?;
        match answered.await {
            Ok(result) => result,
            Err(_) => Err(ApiError::Internal("classifying panicked".to_owned())),
        }
    }

    /// Jobs that wait, and workers that are busy.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.shared.lock();
        (state.quick.len() + state.long.len(), state.n_busy)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().has_ended = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn push(&self, lane: Lane, job: Job) -> Result<(), ApiError> {
        let mut state = self.lock();
        if state.quick.len() + state.long.len() >= self.capacity {
            return Err(ApiError::Busy);
        }
        match lane {
            Lane::Quick => state.quick.push_back(job),
            Lane::Long => state.long.push_back(job),
        }
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    fn work(&self) {
        while let Some((lane, job)) = self.next() {
            // A panic is a bug in our code, and no reason to answer nobody any more.
            // Nothing of the job is used afterwards.
            let _ = catch_unwind(AssertUnwindSafe(job));
            let mut state = self.lock();
            state.n_busy -= 1;
            if lane == Lane::Long {
                state.n_long -= 1;
                // A worker may have passed over long work.
                self.changed.notify_one();
            }
        }
    }

    /// The next job, when there is one; `None` at the end.
    fn next(&self) -> Option<(Lane, Job)> {
        let mut state = self.lock();
        loop {
            if state.has_ended {
                return None;
            }
            if let Some(found) = state.take(self.max_long) {
                return Some(found);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Jobs run outside of the lock, so what it guards is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, max_long: usize) -> Option<(Lane, Job)> {
        // Long work first, where it may run: it never takes more than its share, and
        // would wait for ever behind a steady stream of quick work.
        let may_run_long = self.n_long < max_long;
        let long = may_run_long.then(|| self.long.pop_front()).flatten();
        let found = match long {
            Some(job) => (Lane::Long, job),
            None => (Lane::Quick, self.quick.pop_front()?),
        };
        self.n_busy += 1;
        self.n_long += usize::from(found.0 == Lane::Long);
        Some(found)
    }
}
