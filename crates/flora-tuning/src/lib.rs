//! Federated fine-tuning of CLIP: experiments, methods and clients.
//!
//! An [`Experiment`] names a checkpoint, a data set with its partition, the adapters and the training. [`prepare`]
//! turns it into clients that share one backbone; [`Prepared::run`] trains them in rounds, as in the FLoRA paper
//! ([arXiv 2404.15182](https://arxiv.org/abs/2404.15182)).
//!
//! If the images stay at the sites that own them, [`prepare_serving`] prepares the server, and a [`Site`] turns the
//! server's [`Plan`] into a [`SiteClient`], which is bit-identical to the simulation's client of that name.

mod asked;
pub mod assets;
mod class_weights;
mod client;
mod client_bytes;
mod client_state;
mod cohort;
mod control;
mod desk;
mod error;
mod estimate;
mod experiment;
mod features;
mod heads;
mod hidden;
mod homing;
mod joined;
mod members;
pub mod methods;
mod model;
mod objective;
mod observer;
mod overrides;
mod possible_sums;
mod prepare;
mod presets;
mod privacy;
mod prompts;
mod proximal;
mod run;
mod site;
mod softmax;
mod starter;
mod step;
mod sweep;
mod trainable;
mod trained;
mod training;
mod travel;
mod uncounted;
mod views;

pub use class_weights::ClassWeights;
pub use client::TuningClient;
pub use client_state::ClientState;
pub use cohort::Cohort;
pub use desk::{Desk, INITIAL, Policy, Request};
pub use error::TuningError;
pub use experiment::{
    CacheDtype, DataConfig, Experiment, FederationConfig, Implementation, LossKind, MethodConfig,
    ModelConfig, OutputConfig,
};
pub use heads::{AttentionAdapter, LinearHead, MomentSums};
pub use methods::{Method, MethodName};
pub use model::TuningModel;
pub use objective::{ImageInput, Objective};
pub use observer::{Observer, Silent};
pub use prepare::{check_copies, partition, prepare, prepare_method, prepare_serving};
pub use presets::{PRESETS, Preset};
pub use prompts::Prompts;
pub use run::{Finished, Prepared};
pub use site::{
    Agreed, Base, Plan, Site, SiteClient, SiteConfig, SiteProfile, agree, plan, read_profile,
};
pub use softmax::{ClassTerms, SoftmaxKind};
pub use starter::starter_experiment;
pub use step::step;
pub use sweep::{
    Baseline, Combination, Compared, Names, Sweep, SweepAxis, SweepFigure, SweepRow, SweepRun,
};
pub use trainable::Trainable;
pub use trained::{
    ClientModels, ClientPredictions, LoadedParameters, TrainedClassifier, TrainedModel,
    base_digest, load_trained, save_trained,
};
pub use training::{OptimizerName, Schedule, TrainingConfig};
pub use views::Views;
