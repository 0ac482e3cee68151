use flora_core::workers::Workers;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::BenchError;
use crate::work::Work;

/// The threads of a workload.
#[derive(Debug)]
pub(crate) enum Crew {
    /// All threads share one batch.
    Together(ThreadPool),
    /// Each thread has its own batch.
    Each(Workers),
}

impl Crew {
    /// Starts this many threads; 0 means one per processor.
    pub(crate) fn new(threads: usize, each: bool) -> Result<Self, BenchError> {
        if each {
            return Workers::new(threads).map(Self::Each).map_err(BenchError::Threads);
        }
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        pool.map(Self::Together).map_err(|error| BenchError::Threads(std::io::Error::other(error)))
    }

    pub(crate) fn threads(&self) -> usize {
        match self {
            Self::Together(pool) => pool.current_num_threads(),
            Self::Each(workers) => workers.threads(),
        }
    }

    /// The number of batches that are computed at once.
    pub(crate) fn batches(&self) -> usize {
        match self {
            Self::Together(_) => 1,
            Self::Each(workers) => workers.threads(),
        }
    }

    /// The result of the first piece of work.
    pub(crate) fn outcome(
        &self,
        works: &mut [Box<dyn Work>],
    ) -> Result<Option<Vec<f32>>, BenchError> {
        let Some(work) = works.first_mut() else { return Ok(None) };
        match self {
            Self::Together(pool) => pool.install(|| work.outcome()),
            Self::Each(_) => work.outcome(),
        }
    }

    /// Does every piece of work once, one for each of the [`batches`](Self::batches).
    pub(crate) fn run(&self, works: &mut [Box<dyn Work>]) -> Result<(), BenchError> {
        match self {
            Self::Together(pool) => pool.install(|| works.iter_mut().try_for_each(|it| it.run())),
            Self::Each(workers) => {
                let works = works.iter_mut().collect();
                workers.try_map(works, |work| work.run(), |_| {}).map(drop)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Threads(usize);

    impl Work for Threads {
        fn run(&mut self) -> Result<(), BenchError> {
            assert_eq!(rayon::current_num_threads(), self.0);
            Ok(())
        }
    }

    #[test]
    fn maths_has_the_threads_that_it_should() {
        for (each, batches, maths) in [(false, 1, 3), (true, 3, 1)] {
            let crew = Crew::new(3, each).unwrap();
            assert_eq!((crew.threads(), crew.batches()), (3, batches));
            let mut works: Vec<Box<dyn Work>> = Vec::new();
            works.resize_with(batches, || Box::new(Threads(maths)));
            crew.run(&mut works).unwrap();
        }
        assert!(Crew::new(0, false).unwrap().threads() >= 1);
    }
}
