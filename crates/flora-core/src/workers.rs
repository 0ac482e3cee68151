//! A fixed number of worker threads with single-threaded maths.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Threads that each process one item at a time inside a rayon pool of one thread.
///
/// burn's CPU kernels split their work over the rayon pool that calls them. The matrix products of a small model are
/// too small for that: it is faster to give each thread its own items. Results also do not depend on the number of
/// threads, because no sum is ever split.
#[derive(Debug)]
pub struct Workers {
    pools: Vec<ThreadPool>,
}

impl Workers {
    /// Starts `threads` workers; 0 means one per processor.
    ///
    /// # Errors
    ///
    /// The system cannot start a thread.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let pool = |_| {
            ThreadPoolBuilder::new().num_threads(1).build().map_err(|error| {
                std::io::Error::other(format!("cannot start a worker thread: {error}"))
            })
        };
        Ok(Self { pools: (0..threads).map(pool).collect::<Result<_, _>>()? })
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pools.len()
    }

    /// Applies `work` to every item and returns the results in the order of the items. After each item, `done` is
    /// called on the calling thread with the number of finished items and the result. Items are started in order: put
    /// the longest first.
    ///
    /// # Panics
    ///
    /// Panics if `work` does.
    pub fn map<T: Send, R: Send>(
        &self,
        items: Vec<T>,
        work: impl Fn(T) -> R + Sync,
        mut done: impl FnMut(usize, &R),
    ) -> Vec<R> {
        let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
        let mut count = 0;
        self.each(items, &AtomicBool::new(false), work, |index, result| {
            count += 1;
            done(count, &result);
            results[index] = Some(result);
        });
        results.into_iter().map(|result| result.expect("a panic above ends the scope")).collect()
    }

    /// Applies `work` to items in order until `stop` is set; `heard` gets each result as it arrives, with the item's
    /// index.
    fn each<T: Send, R: Send>(
        &self,
        items: Vec<T>,
        stop: &AtomicBool,
        work: impl Fn(T) -> R + Sync,
        mut heard: impl FnMut(usize, R),
    ) {
        let items = Mutex::new(items.into_iter().enumerate());
        let (items, work) = (&items, &work);
        std::thread::scope(|scope| {
            let (sender, receiver) = channel();
            for pool in &self.pools {
                let sender = sender.clone();
                scope.spawn(move || {
                    loop {
                        // Not in the loop's condition: the lock would be held during the work.
                        let next = {
                            let mut items = items.lock().unwrap_or_else(|error| error.into_inner());
                            // Under the lock, so that all items before a failed one are processed.
                            items.next().filter(|_| !stop.load(Ordering::Relaxed))
                        };
                        let Some((index, item)) = next else { break };
                        let result = pool.install(|| work(item));
                        if sender.send((index, result)).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            for (index, result) in receiver {
                heard(index, result);
            }
        });
    }

    /// [`Workers::map`] for work that may fail: after a failure, no further item is started.
    ///
    /// # Errors
    ///
    /// The error of the first item, in their order, among those that failed.
    pub fn try_map<T: Send, R: Send, E: Send>(
        &self,
        items: Vec<T>,
        work: impl Fn(T) -> Result<R, E> + Sync,
        mut done: impl FnMut(usize),
    ) -> Result<Vec<R>, E> {
        let failed = AtomicBool::new(false);
        let mut results: Vec<Option<Result<R, E>>> = items.iter().map(|_| None).collect();
        let mut count = 0;
        self.each(items, &failed, telling(&failed, work), |index, result| {
            count += 1;
            done(count);
            results[index] = Some(result);
        });
        // Items that were not started are omitted; an error precedes them.
        results.into_iter().flatten().collect()
    }

    /// Applies `work` to every item and passes the results to `take` on the calling thread, in the order of the items
    /// and as early as that order allows. Once `work` or `take` has failed, no further item is started.
    ///
    /// # Errors
    ///
    /// The error of the first item, in their order, that failed in `work` or `take`. `take` has received the results of
    /// all items before it, and none after it.
    pub fn try_in_order<T: Send, R: Send, E: Send>(
        &self,
        items: Vec<T>,
        work: impl Fn(T) -> Result<R, E> + Sync,
        mut take: impl FnMut(R) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = AtomicBool::new(false);
        let (mut early, mut next) = (BTreeMap::new(), 0);
        let mut outcome = Ok(());
        self.each(items, &failed, telling(&failed, work), |index, result| {
            early.insert(index, result);
            while outcome.is_ok()
                && let Some(result) = early.remove(&next)
            {
                next += 1;
                outcome = result.and_then(&mut take);
                failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
            }
        });
        outcome
    }
}

/// Runs `work` and sets `failed` if it fails.
fn telling<T, R, E>(
    failed: &AtomicBool,
    work: impl Fn(T) -> Result<R, E> + Sync,
) -> impl Fn(T) -> Result<R, E> + Sync {
    move |item| work(item).inspect_err(|_| failed.store(true, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn results_keep_their_order_and_maths_stays_on_one_thread() {
        for threads in [1, 3] {
            let workers = Workers::new(threads).unwrap();
            let mut heard = Vec::new();
            let squares = workers.map(
                (0..50u64).collect(),
                |x| (x * x, rayon::current_num_threads()),
                |done, _| heard.push(done),
            );
            assert_eq!(squares, (0..50u64).map(|x| (x * x, 1)).collect::<Vec<_>>());
            assert_eq!(heard, (1..=50).collect::<Vec<_>>());
        }
    }

    #[test]
    fn nothing_is_begun_after_a_failure() {
        let begun = AtomicUsize::new(0);
        let work = |x: u32| {
            begun.fetch_add(1, Ordering::Relaxed);
            if x == 3 { Err(x) } else { Ok(x) }
        };
        let workers = Workers::new(1).unwrap();
        assert_eq!(workers.try_map((0..100).collect(), work, |_| ()), Err(3));
        assert_eq!(begun.load(Ordering::Relaxed), 4);
        assert_eq!(workers.try_map(vec![0, 1, 2], work, |_| ()), Ok(vec![0, 1, 2]));
    }

    #[test]
    fn results_are_taken_in_order_up_to_the_first_failure() {
        for threads in [1, 4] {
            let workers = Workers::new(threads).unwrap();
            // The first of every four items takes longest.
            let work = |x: u64| {
                std::thread::sleep(std::time::Duration::from_millis(4 - x % 4));
                if x == 33 { Err("work") } else { Ok(x) }
            };
            let taken = |items: std::ops::Range<u64>, refused: u64| {
                let mut taken = Vec::new();
                let outcome = workers.try_in_order(items.collect(), work, |x| {
                    taken.push(x);
                    if x == refused { Err("take") } else { Ok(()) }
                });
                (taken, outcome)
            };
            assert_eq!(taken(0..30, 99), ((0..30).collect(), Ok(())));
            assert_eq!(taken(0..40, 99), ((0..33).collect(), Err("work")));
            assert_eq!(taken(0..40, 12), ((0..=12).collect(), Err("take")));
        }
    }
}
