//! A bounded set of worker threads whose maths is single-threaded.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Threads that each run one item at a time inside a rayon pool of one thread.
///
/// burn's CPU kernels split their work over the rayon pool that they are called in. The products of
/// a small model are too small for that: it is faster to give each thread items of its own. And a
/// result no longer depends on how many threads there are, because no sum is ever split.
#[derive(Debug)]
pub struct Workers {
    pools: Vec<ThreadPool>,
}

impl Workers {
    /// `threads` workers; 0 means one a processor.
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

    /// Apply `work` to every item; the results keep the order of the items. `done` hears on the
    /// calling thread, after each item, how many are done and what came of this one. Items are
    /// begun in their order: put the longest first.
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
        let items = Mutex::new(items.into_iter().enumerate());
        let (items, work) = (&items, &work);
        std::thread::scope(|scope| {
            let (sender, receiver) = channel();
            for pool in &self.pools {
                let sender = sender.clone();
                scope.spawn(move || {
                    loop {
                        // Not in the loop's condition: the lock would be held during the work.
                        let next = items.lock().unwrap_or_else(|error| error.into_inner()).next();
                        let Some((index, item)) = next else { break };
                        let result = pool.install(|| work(item));
                        if sender.send((index, result)).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            for (count, (index, result)) in receiver.iter().enumerate() {
                done(count + 1, &result);
                results[index] = Some(result);
            }
        });
        results.into_iter().map(|result| result.expect("a panic above ends the scope")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
