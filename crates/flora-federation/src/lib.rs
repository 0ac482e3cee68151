//! Federated rounds over named parameter records.
//!
//! This crate depends neither on CLIP nor on a tensor library. It moves [`ParameterRecord`]s between a server and its
//! clients, and all its rules are host arithmetic on named tensors.
//!
//! # Parts
//!
//! - A [`Client`] holds data and performs [`Task`]s: train, evaluate, answer a query.
//! - A [`Fleet`] lists the clients and carries tasks and replies. [`Simulation`] is a fleet of clients in this process.
//!   [`Faulty`] wraps a fleet and injects faults. [`Layered`] puts [`Transform`]s around clients and fleet, to make
//!   messages smaller or safer.
//! - A [`Selection`] chooses the clients that train in a round: [`ClientSelector`] draws a constant share,
//!   [`DynamicSampling`] a falling one, [`Poisson`] each client independently, [`PowerOfChoice`] prefers high losses,
//!   [`Named`] always takes the same clients, and [`Registered`] draws from absent clients, too.
//! - A [`Strategy`] decides what to send to each client and computes the next global parameters from the replies, such as
//!   [`FedAvg`] and [`Sums`].
//! - A [`Listener`] receives [`Event`]s and saves the [`RunState`] from which another process can resume.
//! - [`Rounds`] runs the round loop over these parts.
//!
//! Clients, strategies and selections can be implemented in any crate; each trait's documentation has an example.
//!
//! # A round
//!
//! 1. **Evaluate.** Every client with test examples tests the global parameters. Round 0 is exactly
//!    the initial parameters.
//! 2. **Save.** The listener receives the state. If the process dies later, the run can be resumed from here with a
//!    bit-identical result.
//! 3. **Select.** The [`Selection`] chooses among the clients that are present and hold training examples.
//! 4. **Instruct.** The [`Strategy`] creates a [`Message`] for each of them: records, settings, metrics. Only the
//!    trained parameters that [`Share`] names are sent; the others stay with the client.
//! 5. **Exchange.** The [`Fleet`] delivers the tasks. Replies arrive in any order, until all have arrived, the deadline
//!    of the [`RoundPolicy`] passes, or a [`Stop`] is raised. A client that fails or panics does not affect the others'
//!    work.
//! 6. **Check.** This is the single trust boundary, for every strategy. Replies are sorted by client. A reply is
//!    rejected if it comes from an unknown client, is a client's second, belongs to another round, or claims more
//!    examples than the client registered with. It is also rejected if its records do not have the names, shapes and
//!    element types that were sent (so that only shared parameters can change), if a value is not finite, or if its
//!    update, over all records, is too large ([`RoundPolicy::max_update_norm`]). A strategy can add checks
//!    ([`Strategy::check`]); it can remove only those on records. Every exclusion is an [`Event::ClientFailed`] with a
//!    [`Reason`]. A warning names clients that changed nothing.
//! 7. **Quorum.** With fewer accepted replies than the policy requires, the round is retried, skipped, or fails the
//!    run.
//! 8. **Aggregate.** The strategy computes the next parameters, which are checked as well.
//!
//! After the last round, the parameters are evaluated once more.
//!
//! Sums are taken in f64 and in the order of client ids, so results depend neither on the order of arrival nor on the
//! number of threads.

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
    ClientSelector, Draw, DynamicSampling, Named, Poisson, PowerOfChoice, Registered, Selection,
    SelectionConfig,
};
pub use share::Share;
pub use simulation::{AtRest, ClientStates, Simulation};
pub use state::{Loaded, RunState, StateError, StateFolder};
pub use strategy::{Accepted, Aggregate, CheckError, Global, Strategy, StrategyError};
pub use sums::Sums;
