use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A time in which a SuperLink did not answer, or refused temporarily.
#[derive(Debug, Clone, PartialEq)]
pub struct Outage {
    /// The first problem.
    pub problem: String,
    /// Seconds until it answered again.
    pub seconds: f64,
}

/// The longest list of outages.
const MOST: usize = 100;

/// The outages of a connection.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// Since when nobody has answered, and the first problem.
    silent: Mutex<Option<(Instant, String)>>,
    over: Mutex<Vec<Outage>>,
}

impl Outages {
    /// Takes the outages that have ended since the last call.
    pub(super) fn take(&self) -> Vec<Outage> {
        std::mem::take(&mut *lock(&self.over))
    }

    /// Records an answer, or the reason for its absence.
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
