//! The same work on many things, by a few threads.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// As many threads as the machine runs at once.
pub(crate) fn available_threads() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Maps every item, in the order of the items; stops early at an error.
pub(crate) fn try_map<T: Sync, U: Send, E: Send>(
    n_threads: usize,
    items: &[T],
    f: impl Fn(&T) -> Result<U, E> + Sync,
) -> Result<Vec<U>, E> {
    let n_threads = n_threads.min(items.len());
    if n_threads < 2 {
        return items.iter().map(f).collect();
    }
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let work = || {
        let mut done = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { break };
            let value = f(item);
            failed.fetch_or(value.is_err(), Ordering::Relaxed);
            done.push((index, value));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let threads: Vec<_> = (1..n_threads).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for thread in threads {
            match thread.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|&(index, _)| index);
    done.into_iter().map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..100).collect();
        for n_threads in [1, 3] {
            let doubled = try_map(n_threads, &items, |i| Ok::<_, ()>(i * 2));
            assert_eq!(doubled, Ok((0..100).map(|i| i * 2).collect()));
            let failed = try_map(n_threads, &items, |&i| if i == 50 { Err(i) } else { Ok(i) });
            assert_eq!(failed, Err(50));
        }
    }
}
