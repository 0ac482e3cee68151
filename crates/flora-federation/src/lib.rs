//! Federated rounds over named parameter records: strategies, selection, simulation.
//!
//! This crate knows neither CLIP nor a tensor library. It moves [`ParameterRecord`]s between a
//! server and its clients, and every rule in it is host arithmetic on named tensors.
//!
//! - A [`Client`] trains and evaluates: [`fit`](Client::fit) and [`evaluate`](Client::evaluate).
//! - A [`Fleet`] says who is there and carries instructions and replies. [`Simulation`] is the
//!   fleet whose clients are values of this process.
//! - A [`Strategy`] makes the next global record from the replies; [`FedAvg`] is one.
//! - A [`ClientSelector`] draws who takes part in a round.
//! - [`run_rounds`] ties them together and tells everything worth telling as [`Event`]s.

mod alone;
mod client;
mod error;
mod event;
mod fedavg;
mod fleet;
mod outcome;
mod rounds;
mod score;
mod selection;
mod simulation;
mod strategy;

pub use alone::Alone;
pub use client::{
    Client, ClientError, ClientInfo, EvaluateInstruction, EvaluateReply, FitInstruction, FitReply,
    Metrics,
};
pub use error::{FederationError, Stage};
pub use event::{EvaluatedModel, Event, RunStatus};
pub use fedavg::FedAvg;
pub use fleet::Fleet;
pub use flora_core::ParameterRecord;
pub use outcome::{Outcome, Partial, PhaseSeconds};
pub use rounds::{RoundsConfig, run_rounds};
pub use score::{ClientScore, RoundScore};
pub use selection::ClientSelector;
pub use simulation::Simulation;
pub use strategy::{Aggregate, Strategy, StrategyError};
