use flora_core::ParameterRecord;
use flora_federation::{Answer, Event, RunState};

/// Observes a run: a progress bar, a file, a test.
pub trait Observer {
    /// Called for every event.
    fn event(&mut self, event: &Event);

    /// A long phase has finished `done` of `total` steps.
    fn progress(&mut self, phase: &str, done: usize, total: usize) {
        let _ = (phase, done, total);
    }

    /// Called for every client's reply, of `of` requested ones.
    fn answered(&mut self, answer: &Answer, done: usize, of: usize) {
        let _ = (answer, done, of);
    }

    /// Saves a state from which [`Prepared::resume`](crate::Prepared::resume) can continue. See
    /// [`Listener::keep`](flora_federation::Listener::keep).
    ///
    /// # Errors
    ///
    /// Why the state cannot be saved. The run stops.
    fn keep(&mut self, state: &RunState) -> Result<(), String> {
        let _ = state;
        Ok(())
    }

    /// Saves a client's last trained parameters, at the end and only with
    /// [`OutputConfig::keep_clients`](crate::OutputConfig::keep_clients).
    ///
    /// # Errors
    ///
    /// Why the parameters cannot be saved.
    fn keep_client(&mut self, client: &str, parameters: &ParameterRecord) -> Result<(), String> {
        let _ = (client, parameters);
        Ok(())
    }
}

/// An observer that does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _event: &Event) {}
}
