use flora_core::ParameterRecord;
use flora_federation::{Answer, Event, RunState};

/// Who wants to know how a run goes: a progress bar, a file, a test.
pub trait Observer {
    /// Something worth telling happened.
    fn event(&mut self, event: &Event);

    /// A long phase got to `done` of `total`.
    fn progress(&mut self, phase: &str, done: usize, total: usize) {
        let _ = (phase, done, total);
    }

    /// A client answered, as one of `of` that were asked.
    fn answered(&mut self, answer: &Answer, done: usize, of: usize) {
        let _ = (answer, done, of);
    }

    /// A step is done from which [`Prepared::resume`](crate::Prepared::resume) can go on. See
    /// [`Listener::keep`](flora_federation::Listener::keep).
    ///
    /// # Errors
    ///
    /// Why the state cannot be kept. The run stops.
    fn keep(&mut self, state: &RunState) -> Result<(), String> {
        let _ = state;
        Ok(())
    }

    /// At the end, with [`OutputConfig::keep_clients`](crate::OutputConfig::keep_clients): what a client trained
    /// last.
    ///
    /// # Errors
    ///
    /// Why the parameters cannot be kept.
    fn keep_client(&mut self, client: &str, parameters: &ParameterRecord) -> Result<(), String> {
        let _ = (client, parameters);
        Ok(())
    }
}

/// Nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _event: &Event) {}
}
