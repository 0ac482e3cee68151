mod config;
mod evaluation;
mod run;
mod training;

use flora_core::ParameterRecord;

pub use config::{BelowQuorum, RoundPolicy, RoundsConfig};

use crate::{
    Answer, ClientSelector, Event, FederationError, Fleet, Outcome, RunState, Selection, Stop,
    Strategy, state::Begin,
};

/// Receives the events of a run and saves its state.
///
/// Every `FnMut(&Event)` is a listener that receives events and saves nothing.
pub trait Listener {
    /// Called for every event.
    fn event(&mut self, event: &Event);

    /// Called for every reply as it arrives, for progress bars. Which replies count is decided when all have arrived;
    /// events report it then.
    fn answered(&mut self, answer: &Answer, done: usize, of: usize) {
        let _ = (answer, done, of);
    }

    /// Saves `state`, from which another process can resume. Called after the evaluation of each
    /// [`save_every`](RoundsConfig::save_every)th round and of the last, and when the run is asked to stop.
    ///
    /// # Errors
    /// The state cannot be saved. The run stops at once; the states saved before must stay intact.
    fn keep(&mut self, state: &RunState) -> Result<(), String> {
        let _ = state;
        Ok(())
    }
}

impl<F: FnMut(&Event)> Listener for F {
    fn event(&mut self, event: &Event) {
        self(event);
    }
}

/// A run of rounds: its settings and its optional parts.
pub struct Rounds<'a> {
    config: &'a RoundsConfig,
    selection: &'a dyn Selection,
    stop: Stop,
    is_masked: bool,
}

/// Without a selection, every client trains in every round.
static EVERYBODY: ClientSelector = ClientSelector { fraction: 1.0, min_clients: 1 };

impl<'a> Rounds<'a> {
    /// Rounds in which every client trains.
    pub fn new(config: &'a RoundsConfig) -> Self {
        Self { config, selection: &EVERYBODY, stop: Stop::default(), is_masked: false }
    }

    /// Sets the client selection.
    #[must_use]
    pub fn with_selection(self, selection: &'a dyn Selection) -> Self {
        Self { selection, ..self }
    }

    /// Makes the run stop when `stop` is raised: working clients finish, the state is saved, and the run ends with
    /// [`FederationError::Stopped`].
    #[must_use]
    pub fn with_stop(self, stop: Stop) -> Self {
        Self { stop, ..self }
    }

    /// The replies are the mean of updates that were rounded to masked integers (secure aggregation): a mean of zero is
    /// reported as a matter of the rounding.
    #[must_use]
    pub fn under_masks(self, is_masked: bool) -> Self {
        Self { is_masked, ..self }
    }

    /// Trains for all rounds from the parameters `initial`, of which [`RoundsConfig::share`] is sent.
    ///
    /// # Errors
    /// Invalid settings, before anything runs. [`FederationError::RoundFailed`] if a round failed as a whole, and
    /// [`FederationError::Stopped`]; both contain the results until then.
    pub fn run(
        &self,
        fleet: &mut dyn Fleet,
        strategy: &mut dyn Strategy,
        initial: ParameterRecord,
        listener: &mut dyn Listener,
    ) -> Result<Outcome, FederationError> {
        run::start(self, fleet, strategy, Begin::Anew(initial), listener)
    }

    /// Resumes from a state that an earlier run saved, with the same settings, fleet and strategy. The result is
    /// bit-identical to that of an uninterrupted run. A state after the last round returns its outcome and does not
    /// train further, whatever the current settings.
    ///
    /// # Errors
    /// The errors of [`run`](Self::run), and a state that the fleet or strategy cannot restore.
    pub fn resume(
        &self,
        fleet: &mut dyn Fleet,
        strategy: &mut dyn Strategy,
        state: RunState,
        listener: &mut dyn Listener,
    ) -> Result<Outcome, FederationError> {
        run::start(self, fleet, strategy, Begin::From(Box::new(state)), listener)
    }
}
