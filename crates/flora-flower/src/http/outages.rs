use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A time in which a SuperLink did not answer, or said that it cannot.
#[derive(Debug, Clone, PartialEq)]
pub struct Outage {
    /// What happened at first.
    pub problem: String,
    /// Until it answered again.
    pub seconds: f64,
}

/// Nobody has to be told of a longer list.
const MOST: usize = 100;

/// The outages of a connection.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// Since when nobody has answered, and what happened then.
    silent: Mutex<Option<(Instant, String)>>,
    over: Mutex<Vec<Outage>>,
}

impl Outages {
    /// Those that are over, since this was asked last.
    pub(super) fn take(&self) -> Vec<Outage> {
        std::mem::take(&mut *lock(&self.over))
    }

    /// Notes that it answers, or why not.
    pub(super) fn note(&self, problem: Option<String>) {
        let mut silent = lock(&self.silent);
        match (problem, silent.as_ref()) {
            (Some(problem), None) => *silent = Some((Instant::now(), problem)),
            (None, Some(_)) => {
                let Some((since, problem)) = silent.take() else { return };
                let seconds = since.elapsed().as_secs_f64();
                let mut over = lock(&self.over);
                if over.len() < MOST {
                    over.push(Outage { problem, seconds });
                }
            }
            _ => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
