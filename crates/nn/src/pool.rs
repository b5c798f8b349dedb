//! Working on a thread of the pool from the start.
//!
//! Whoever hands out parts of some work from outside the pool sleeps until all are done
//! and has to be woken, at each of the dozens of loops of a pass through a network. From
//! within the pool, the thread works along and nobody sleeps in between.

/// Does the work on a thread of the current pool.
pub(crate) fn in_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    // With one thread there is nothing to hand out.
    if rayon::current_thread_index().is_some() || rayon::current_num_threads() == 1 {
        return work();
    }
    rayon::scope(|_| work())
}
