//! Decoding and classifying: so many at a time, and a queue of bounded length.
//!
//! Work runs on the threads of rayon's global pool, as a command's would: one file
//! alone is shared out over all cores, and when there are as many files as cores each
//! has one for itself, without a hand-over in between. Who has finished takes the next
//! of the queue along.
//!
//! Work comes in two lanes. What is known to be long may occupy at most half of the
//! places, so that somebody's hour of recordings does not keep others from an answer
//! about five seconds. Within a lane, first come is first served.
//!
//! A job must not hold a lock that another job waits for while it computes: a thread
//! that waits for its share of work may begin another job meanwhile.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// Places to work, and a bounded queue before them.
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Jobs that may wait.
    capacity: usize,
    /// Jobs that may run, and long ones among them.
    max_busy: usize,
    max_long: usize,
}

#[derive(Default)]
struct State {
    quick: VecDeque<Job>,
    long: VecDeque<Job>,
    n_busy: usize,
    n_long: usize,
}

impl Pool {
    /// `places` jobs at a time, and room for `capacity` more to wait.
    ///
    /// With a single place there would be none left beside long work, so there are at
    /// least two.
    pub(crate) fn new(places: usize, capacity: usize) -> Self {
        let places = places.max(2);
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                capacity,
                max_busy: places,
                max_long: places / 2,
            }),
        }
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
        Shared::accept(&self.shared, lane, Box::new(job))?;
        match answered.await {
            Ok(result) => result,
            Err(_) => Err(ApiError::Internal("classifying panicked".to_owned())),
        }
    }

    /// Jobs that wait, and jobs that run.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.shared.lock();
        (state.quick.len() + state.long.len(), state.n_busy)
    }
}

impl Shared {
    fn accept(shared: &Arc<Self>, lane: Lane, job: Job) -> Result<(), ApiError> {
        let mut state = shared.lock();
        if state.quick.len() + state.long.len() >= shared.capacity {
            return Err(ApiError::Busy);
        }
        match lane {
            Lane::Quick => state.quick.push_back(job),
            Lane::Long => state.long.push_back(job),
        }
        if let Some((lane, job)) = state.next(shared.max_busy, shared.max_long) {
            let shared = Arc::clone(shared);
            rayon::spawn(move || shared.work(lane, job));
        }
        Ok(())
    }

    /// Does a job, and then those that wait, while there are any.
    fn work(&self, lane: Lane, job: Job) {
        let mut now = Some((lane, job));
        while let Some((lane, job)) = now {
            // A panic is a bug in our code, and no reason to answer nobody any more.
            // Nothing of the job is used afterwards.
            let _ = catch_unwind(AssertUnwindSafe(job));
            let mut state = self.lock();
            state.n_busy -= 1;
            state.n_long -= usize::from(lane == Lane::Long);
            now = state.next(self.max_busy, self.max_long);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Jobs run outside of the lock, so what it guards is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the job that is to run now, if there is one and a place for it.
    fn next(&mut self, max_busy: usize, max_long: usize) -> Option<(Lane, Job)> {
        if self.n_busy >= max_busy {
            return None;
        }
        // Long work first, where it may run: it never takes more than its share, and
        // would wait for ever behind a steady stream of quick work.
        let may_run_long = self.n_long < max_long;
        let long = may_run_long.then(|| self.long.pop_front()).flatten();
        let next = match long {
            Some(job) => (Lane::Long, job),
            None => (Lane::Quick, self.quick.pop_front()?),
        };
        self.n_busy += 1;
        self.n_long += usize::from(next.0 == Lane::Long);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn push(pool: &Pool, lane: Lane, job: impl FnOnce() + Send + 'static) -> bool {
        Shared::accept(&pool.shared, lane, Box::new(job)).is_ok()
    }

    #[test]
    fn every_job_is_done_and_never_more_at_once_than_there_are_places() {
        let pool = Pool::new(2, 1_000);
        let running = Arc::new(AtomicUsize::new(0));
        let (done, all_done) = mpsc::channel();
        for _ in 0..200 {
            let (running, done) = (Arc::clone(&running), done.clone());
            assert!(push(&pool, Lane::Quick, move || {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                std::thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                done.send(now).expect("somebody counts");
            }));
        }
        let most = (0..200).map(|_| all_done.recv().expect("is done")).max();
        assert!(most <= Some(2));
    }

    #[test]
    fn beyond_the_capacity_jobs_are_refused_and_a_panic_frees_its_place() {
        let pool = Pool::new(2, 1);
        let gate = Arc::new(Barrier::new(2));
        // One place is held, the other one by a job that panics when it may.
        let held = Arc::clone(&gate);
        assert!(push(&pool, Lane::Long, move || {
            held.wait();
            panic!("a bug");
        }));
        // A second long job has no place, and fills the queue.
        let (done, is_done) = mpsc::channel();
        assert!(push(&pool, Lane::Long, move || done
            .send(())
            .expect("is awaited")));
        assert!(!push(&pool, Lane::Quick, || ()));
        assert_eq!(pool.load(), (1, 1));
        gate.wait();
        is_done.recv().expect("the queue goes on after a panic");
    }
}
