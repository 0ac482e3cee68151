//! Differential privacy accounting and mechanisms: how much a run reveals about one of its clients or examples.
//!
//! A round with noise is the **Poisson-subsampled Gaussian mechanism**: each record takes part with a probability
//! `rate`; the participants' contributions are clipped to an L2 norm and summed, and Gaussian noise with a standard
//! deviation of `noise` times that norm is added. Neighbouring data sets differ by one additional record (add or remove
//! one). Rounds are composed.
//!
//! | accountant | result |
//! |---|---|
//! | [`Accountant::Rdp`] | an upper bound, by Rényi divergences of many orders; fast |
//! | [`Accountant::Pld`] | an upper bound that is nearly tight, by the distribution of the privacy loss |
//! | [`Accountant::Exact`] | the true epsilon, for full participation only |
//!
//! ```
//! use flora_privacy::{Accountant, Mechanism};
//!
//! let run = Mechanism { rate: 0.1, noise: 1.0, rounds: 50, ..Mechanism::default() };
//! let epsilon = Accountant::Rdp.epsilon(&run, 1e-5)?;
//! assert!((epsilon - 5.880979).abs() < 1e-5);
//! let tight = Accountant::Pld.epsilon(&run, 1e-5)?;
//! assert!(tight < epsilon);
//! # Ok::<(), flora_privacy::PrivacyError>(())
//! ```

mod accountant;
mod central;
mod config;
mod error;
mod exact;
mod local;
mod noise;
mod normal;
mod pld;
mod rdp;
mod releases;
mod update;
mod without;

pub use accountant::{Accountant, Mechanism, Sampling};
pub use central::{Central, CentralFacts};
pub use config::{
    Adaptive, Budget, CentralConfig, ClearMetrics, LocalConfig, PrivacyConfig, SampleConfig,
};
pub use error::PrivacyError;
pub use flora_federation::EPSILON;
pub use local::{ANSWERS, Noised, Quiet, RELEASE, answers_of};
pub use noise::Secret;
pub use rdp::{orders, subsampled_gaussian};
pub use releases::Releases;
