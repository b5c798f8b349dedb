//! Decoding and classifying: so many at a time, and a queue of bounded length.
//!
//! A file that is alone is shared out over all cores; of several, each has a core for
//! itself. Each place to work has threads of its own for that: on common ones, a
//! thread that waits for its share of one file could begin with another file
//! meanwhile, and the first would not be answered before the second.
//!
//! What can be long goes in a lane of its own ([`Lane`]), which gets at most half of
//! the places: somebody's hour of recordings does not keep others from an answer about
//! five seconds. Within a lane clients take turns ([`Turns`]), so that somebody's
//! hundreds of files do not do so either.

mod turns;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;

use crate::client::Client;
use crate::error::{ApiError, WebError};
use turns::Turns;

/// How long a piece of work takes.
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
    /// All cores for one job, and a core for each of several.
    wide: ThreadPool,
    narrow: Vec<ThreadPool>,
}

struct State {
    quick: Turns<Job>,
    long: Turns<Job>,
    n_busy: usize,
    n_long: usize,
    wide_is_free: bool,
    /// Narrow places, as indices.
    free: Vec<usize>,
}

/// Where a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Wide,
    Narrow(usize),
}

/// A job that is to run now.
struct Task {
    job: Job,
    lane: Lane,
    place: Place,
}

impl Pool {
    /// `places` jobs at a time, and room for `capacity` more to wait.
    ///
    /// With a single place there would be none left beside long work, so there are at
    /// least two.
    ///
    /// # Errors
    ///
    /// When the system has no threads left.
    pub(crate) fn new(places: usize, capacity: usize) -> Result<Self, WebError> {
        let threads = |n: usize| {
            let named = ThreadPoolBuilder::new().thread_name(|_| "classify".to_owned());
            let pool = named.num_threads(n).build();
            pool.map_err(|error| WebError::System {
                doing: "start threads",
                source: std::io::Error::other(error),
            })
        };
        let places = places.max(2);
        Ok(Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    quick: Turns::default(),
                    long: Turns::default(),
                    n_busy: 0,
                    n_long: 0,
                    wide_is_free: true,
                    free: (0..places).collect(),
                }),
                capacity,
                max_busy: places,
                max_long: places / 2,
                wide: threads(rayon::current_num_threads())?,
                narrow: (0..places).map(|_| threads(1)).collect::<Result<_, _>>()?,
            }),
        })
    }

    /// Does a job and waits for what comes of it.
    ///
    /// # Errors
    ///
    /// [`ApiError::Busy`] when too many wait already; what the job says otherwise.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        client: Client,
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
        self.shared.accept(client, lane, Box::new(job))?;
        match answered.await {
            Ok(result) => result,
            Err(_) => Err(ApiError::Internal("classifying panicked".to_owned())),
        }
    }

    /// Jobs that wait, and jobs that run.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.shared.lock();
        (state.n_waiting(), state.n_busy)
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, client: Client, lane: Lane, job: Job) -> Result<(), ApiError> {
        let mut state = self.lock();
        // One client leaves room for others.
        let n_own = state.quick.n_of(client) + state.long.n_of(client);
        if state.n_waiting() >= self.capacity || n_own >= self.capacity.div_ceil(2) {
            return Err(ApiError::Busy);
        }
        match lane {
            Lane::Quick => state.quick.push(client, job),
            Lane::Long => state.long.push(client, job),
        }
        if let Some(task) = state.next(self.max_busy, self.max_long) {
            self.start(task);
        }
        Ok(())
    }

    fn start(self: &Arc<Self>, task: Task) {
        let shared = Arc::clone(self);
        let threads = match task.place {
            Place::Wide => &self.wide,
            Place::Narrow(index) => &self.narrow[index],
        };
        threads.spawn(move || shared.work(task));
    }

    /// Does a job, and then those that wait, while there are any for this place.
    fn work(self: &Arc<Self>, mut task: Task) {
        loop {
            let Task { job, lane, place } = task;
            // A panic is a bug in our code, and no reason to answer nobody any more.
            // Nothing of the job is used afterwards.
            let _ = catch_unwind(AssertUnwindSafe(job));
            let mut state = self.lock();
            state.leave(lane, place);
            match state.next(self.max_busy, self.max_long) {
                None => return,
                Some(next) if next.place == place => task = next,
                Some(next) => {
                    drop(state);
                    return self.start(next);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Jobs run outside of the lock, so what it guards is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn n_waiting(&self) -> usize {
        self.quick.len() + self.long.len()
    }

    /// Takes the job that is to run now, if there is one and a place for it.
    fn next(&mut self, max_busy: usize, max_long: usize) -> Option<Task> {
        if self.n_busy >= max_busy {
            return None;
        }
        // Long work first, where it may run: it never takes more than its share, and
        // would wait for ever behind a steady stream of quick work.
        let may_run_long = self.n_long < max_long;
        let long = may_run_long.then(|| self.long.pop()).flatten();
        let (lane, job) = match long {
            Some(job) => (Lane::Long, job),
            None => (Lane::Quick, self.quick.pop()?),
        };
        let is_alone = self.n_busy == 0 && self.n_waiting() == 0;
        let place = match is_alone && self.wide_is_free {
            true => Place::Wide,
            // There are as many as jobs that may run.
            false => Place::Narrow(self.free.pop()?),
        };
        self.wide_is_free &= place != Place::Wide;
        self.n_busy += 1;
        self.n_long += usize::from(lane == Lane::Long);
        Some(Task { job, lane, place })
    }

    /// A job has ended.
    fn leave(&mut self, lane: Lane, place: Place) {
        self.n_busy -= 1;
        self.n_long -= usize::from(lane == Lane::Long);
        match place {
            Place::Wide => self.wide_is_free = true,
            // The last one to be freed is the next to be taken: its job goes on there.
            Place::Narrow(index) => self.free.push(index),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const SOMEBODY: Client = Client::UNKNOWN;

    fn pool(places: usize, capacity: usize) -> Pool {
        Pool::new(places, capacity).expect("has threads")
    }

    fn push(pool: &Pool, lane: Lane, job: impl FnOnce() + Send + 'static) -> bool {
        pool.shared.accept(SOMEBODY, lane, Box::new(job)).is_ok()
    }

    #[test]
    fn every_job_is_done_and_never_more_at_once_than_there_are_places() {
        let pool = pool(2, 1_000);
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
    fn on_a_single_core_long_work_is_done_and_quick_work_beside_it() {
        let pool = pool(1, 10);
        let gate = Arc::new(Barrier::new(3));
        for lane in [Lane::Long, Lane::Quick] {
            let held = Arc::clone(&gate);
            assert!(push(&pool, lane, move || {
                held.wait();
            }));
        }
        assert_eq!(pool.load(), (0, 2), "neither waits");
        gate.wait();
    }

    #[test]
    fn beyond_the_capacity_jobs_are_refused_and_a_panic_frees_its_place() {
        let pool = pool(2, 1);
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

    #[test]
    fn a_job_that_is_alone_has_all_threads_and_others_beside_it_one_each() {
        let pool = pool(2, 10);
        let gate = Arc::new(Barrier::new(3));
        let (told, widths) = mpsc::channel();
        for _ in 0..2 {
            let (gate, told) = (Arc::clone(&gate), told.clone());
            assert!(push(&pool, Lane::Quick, move || {
                told.send(rayon::current_num_threads()).expect("is heard");
                gate.wait();
            }));
        }
        let mut widths: Vec<usize> = widths.iter().take(2).collect();
        widths.sort_unstable();
        assert_eq!(widths[0], 1);
        assert_eq!(widths[1], rayon::current_num_threads());
        gate.wait();
    }
}
