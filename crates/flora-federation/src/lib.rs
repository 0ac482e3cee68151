//! Federated rounds over named parameter records.
//!
//! This crate knows neither CLIP nor a tensor library. It moves [`ParameterRecord`]s between a
//! server and its clients, and every rule in it is host arithmetic on named tensors.
//!
//! # The parts
//!
//! - A [`Client`] holds data and does [`Task`]s: train, evaluate, answer a query.
//! - A [`Fleet`] says who is there and carries tasks and answers. [`Simulation`] is the fleet whose
//!   clients are values of this process; [`Faulty`] is a fleet around another one that goes wrong on
//!   purpose; [`Layered`] puts [`Transform`]s around clients and fleet, for what travels to be smaller or
//!   safer.
//! - A [`Selection`] chooses who trains in a round; [`ClientSelector`] draws a share at random, [`DynamicSampling`]
//!   one that falls, [`Poisson`] each client by itself, [`PowerOfChoice`] prefers high losses, and [`Named`] always
//!   takes the same.
//! - A [`Strategy`] says what each client is sent and makes the next global parameters from what
//!   comes back; [`FedAvg`] is one, [`Sums`] another.
//! - A [`Listener`] hears what happens as [`Event`]s, and keeps the [`RunState`] from which another
//!   process can go on.
//! - [`Rounds`] ties them together.
//!
//! Client, strategy and selection can be written in any crate; each trait's page has an example.
//!
//! # A round
//!
//! 1. **Evaluate.** Every client with test examples tests the global parameters. Round 0 is exactly
//!    the initial parameters.
//! 2. **Keep.** The state is handed to the listener: whatever happens to the process later, the run
//!    can be resumed from here, and ends with the same bits.
//! 3. **Select.** The [`Selection`] chooses among the clients that are there and hold training
//!    examples.
//! 4. **Instruct.** The [`Strategy`] makes a [`Message`] for each of them: records, settings, metrics.
//!    Of the trained parameters, those travel that [`Share`] names; the others stay with the client.
//! 5. **Exchange.** The [`Fleet`] carries the tasks out, and answers come in any order, until all are
//!    there, the deadline of the [`RoundPolicy`] passes, or a [`Stop`] is raised. A client that
//!    fails or panics does not take the others' work with it.
//! 6. **Check.** This is the one trust boundary, for every strategy. Answers are sorted by client. An
//!    answer is refused that is nobody's, a client's second, of another round, or claims more
//!    examples than the client registered with; whose records do not have the names, shapes and
//!    element types that were sent (so that only shared parameters can change); that is not finite;
//!    or whose update, of all records, is too large ([`RoundPolicy::max_update_norm`]). A strategy can add checks
//!    ([`Strategy::check`]), and remove only those on records. Every exclusion is an
//!    [`Event::ClientFailed`] with a [`Reason`]. Clients that changed nothing are told of in a
//!    warning.
//! 7. **Quorum.** With fewer accepted answers than the policy asks for, the round is tried again,
//!    skipped, or fails the run.
//! 8. **Aggregate.** The strategy makes the next parameters, which are checked as well.
//!
//! After the last round, the parameters are evaluated once more.
//!
//! Sums are taken in f64 and in the order of client ids: results do not depend on the order of
//! arrival or on the number of threads.

mod client;
mod compared;
mod error;
mod event;
mod faults;
mod fedavg;
mod fleet;
mod gate;
mod layers;
mod message;
mod outcome;
pub mod protocol;
mod rounds;
mod score;
mod selection;
mod share;
mod simulation;
mod state;
mod strategy;
mod sums;

pub use client::{Client, ClientError, ClientInfo, Kind, Task};
pub use compared::Compared;
pub use error::{FederationError, Stage};
pub use event::{EvaluatedModel, Event, RunStatus};
pub use faults::{Attack, Faults, Faulty};
pub use fedavg::{FedAvg, weighted_mean};
pub use fleet::{Answer, Failure, Fleet, FleetError, Reason, Stop, Wait};
pub use flora_core::ParameterRecord;
pub use layers::{Download, Layered, Rounded, Transform, read_answer};
pub use message::{
    AGGREGATION_ERROR, Config, EPSILON, Message, Metrics, NUM_EXAMPLES, PARAMETERS, Records, Value,
};
pub use outcome::{Outcome, Partial, PhaseSeconds};
pub use rounds::{BelowQuorum, Listener, RoundPolicy, Rounds, RoundsConfig};
pub use score::{ClientScore, RoundScore};
pub use selection::{
    ClientSelector, Draw, DynamicSampling, Named, Poisson, PowerOfChoice, Selection,
    SelectionConfig,
};
pub use share::Share;
pub use simulation::{AtRest, ClientStates, Simulation};
pub use state::{Loaded, RunState, StateError, StateFolder};
pub use strategy::{Accepted, Aggregate, CheckError, Global, Strategy, StrategyError};
pub use sums::Sums;
