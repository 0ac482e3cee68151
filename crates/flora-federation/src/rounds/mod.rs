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

/// Hears what happens in a run, and keeps its state.
///
/// Every `FnMut(&Event)` is one that hears events and keeps nothing.
pub trait Listener {
    /// Something happened.
    fn event(&mut self, event: &Event);

    /// A client answered: for a progress bar. Which answers count is decided when all are there, and
    /// told as events then.
    fn answered(&mut self, answer: &Answer, done: usize, of: usize) {
        let _ = (answer, done, of);
    }

    /// A step of the run is done; from `state`, another process can go on. Called after the
    /// evaluation of each [`save_every`](RoundsConfig::save_every)th round and of the last, and when the run stops
    /// because it was asked to.
    ///
    /// # Errors
    /// The state cannot be kept. The run stops at once; what was kept before must stay whole.
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

/// A run of rounds: its settings, and the parts that have defaults.
pub struct Rounds<'a> {
    config: &'a RoundsConfig,
    selection: &'a dyn Selection,
    stop: Stop,
}

/// Everybody trains in every round.
static EVERYBODY: ClientSelector = ClientSelector { fraction: 1.0, min_clients: 1 };

impl<'a> Rounds<'a> {
    /// Rounds in which everybody trains.
    pub fn new(config: &'a RoundsConfig) -> Self {
        Self { config, selection: &EVERYBODY, stop: Stop::default() }
    }

    /// The same with other participants.
    #[must_use]
    pub fn with_selection(self, selection: &'a dyn Selection) -> Self {
        Self { selection, ..self }
    }

    /// The same, to be stopped by `stop`: clients at work finish, the state is kept, and the run
    /// ends with [`FederationError::Stopped`].
    #[must_use]
    pub fn with_stop(self, stop: Stop) -> Self {
        Self { stop, ..self }
    }

    /// Trains for all rounds from the parameters `initial`, of which
    /// [`RoundsConfig::share`] travels.
    ///
    /// # Errors
    /// Settings that make no sense, before anything runs. [`FederationError::RoundFailed`] if a round
    /// failed as a whole, and [`FederationError::Stopped`]; both carry what was computed until then.
    pub fn run(
        &self,
        fleet: &mut dyn Fleet,
        strategy: &mut dyn Strategy,
        initial: ParameterRecord,
        listener: &mut dyn Listener,
    ) -> Result<Outcome, FederationError> {
        run::start(self, fleet, strategy, Begin::Anew(initial), listener)
    }

    /// Goes on from a state that an earlier run kept, with the same settings, fleet and strategy.
    /// The result has the bits that the earlier run would have come to. A state after the last round
    /// gives its outcome; it is not trained further, whatever the settings say now.
    ///
    /// # Errors
    /// As [`run`](Self::run), and a state that fleet or strategy do not understand.
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
