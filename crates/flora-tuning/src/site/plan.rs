//! A server's plan for a site, and a site's profile.

use std::path::PathBuf;

use flora_clip::Checkpoint;
use flora_data::{Participants, PartitionConfig};
use flora_inference::settings_digest;
use serde::{Deserialize, Serialize};

use crate::prepare::{adapter_config, resolve_model};
use crate::{Experiment, OutputConfig, TuningError};

/// A server's plan for a site.
///
/// Of the experiment, a site follows the settings that determine the result: seed, method, training, encodings of
/// replies, and how its images are split. Its paths belong to the server; a site has its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The experiment, as TOML with every default filled in.
    pub experiment: String,
    /// The classes that the model distinguishes, by label.
    pub classes: Vec<String>,
    /// The prompt of a class, with `{}` for its name.
    pub template: String,
    /// The base model.
    pub base: Base,
    /// The site's name in the run. Its random streams are derived from this name.
    pub client: String,
}

/// Identifies a checkpoint, wherever it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// SHA-256 of the weights.
    pub weights: String,
    /// SHA-256 of configuration, preprocessing and tokenizer.
    pub settings: String,
}

impl Base {
    /// The base model of an experiment. Reads all weights.
    ///
    /// # Errors
    ///
    /// A checkpoint that does not exist or is damaged.
    pub fn of(experiment: &Experiment) -> Result<Self, TuningError> {
        Self::of_checkpoint(&Checkpoint::open(&resolve_model(experiment, &mut |_| {})?)?)
    }

    pub(super) fn of_checkpoint(checkpoint: &Checkpoint) -> Result<Self, TuningError> {
        Ok(Self { weights: checkpoint.digest()?, settings: settings_digest(checkpoint) })
    }
}

/// A site's profile, sent before the server plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteProfile {
    /// The classes of its images, by its own labels.
    pub classes: Vec<String>,
    /// Its prompt of a class, with `{}` for the name.
    pub template: String,
    /// Number of its images, of all splits.
    pub images: usize,
    /// Its model.
    pub base: Base,
    /// Its version of flora.
    pub flora: String,
}

/// The plan of `experiment` for the site named `client`. It contains the configuration of an adapter to start from; the
/// values are sent with the first task.
///
/// # Errors
///
/// An experiment that sites cannot run together, or an adapter in `method.init_adapter` that cannot be read.
pub fn plan(
    experiment: &Experiment,
    classes: Vec<String>,
    template: String,
    base: Base,
    client: String,
) -> Result<Plan, TuningError> {
    let mut planned = experiment.clone();
    let refuse = |problem| TuningError::Experiment { origin: experiment.name.clone(), problem };
    check(&planned).map_err(refuse)?;
    // Sites draw A themselves from the seed. That of an adapter would have to be sent.
    if planned.method.init_adapter.is_some() && planned.federation.strategy.sends_only_b() {
        return Err(refuse(format!(
            "federation.strategy: with {} A is not sent, and sites do not have that of method.init_adapter; choose \
             \"fedsvd\" or \"rolora\"",
            planned.federation.strategy.name()
        )));
    }
    if planned.method.init_adapter.is_some() && planned.federation.strategy.shares().is_some() {
        return Err(refuse(format!(
            "federation.strategy: with {} B is not sent, and sites do not have that of method.init_adapter; choose \
             another strategy, or merge the adapter into the model with `flora export --merged`",
            planned.federation.strategy.name()
        )));
    }
    if let Some(lora) = adapter_config(&planned)? {
        planned.method.lora = lora;
        planned.method.init_adapter = None;
    }
    // Initial sums stay on the server.
    planned.method.closed_form.start = None;
    planned.method.closed_form.leaving = false;
    // The server's file locations do not matter.
    planned.data.path = PathBuf::from(".");
    planned.data.root = None;
    planned.data.cache = None;
    planned.data.template = Some(template.clone());
    // Nor does the condition for ending the run.
    planned.training.patience = None;
    // How far back the server may be set determines how many states a site keeps.
    let OutputConfig { keep_clients, save_every, .. } = planned.output;
    planned.output = OutputConfig { keep_clients, save_every, ..OutputConfig::default() };
    Ok(Plan { experiment: planned.to_toml(), classes, template, base, client })
}

/// Maximum number of times that a site trains a round.
pub(crate) const MOST_ATTEMPTS: usize = 100;
/// Maximum number of rounds between two of the server's states: a site's own states reach back to the one before the
/// last.
pub(crate) const MOST_SAVE_EVERY: usize = 31;

/// Rejects settings that sites with their own images cannot follow, by field.
pub(crate) fn check(experiment: &Experiment) -> Result<(), String> {
    if experiment.partition != PartitionConfig::Natural {
        return Err("partition: the images are already split across the sites; choose \
                    partition = { kind = \"natural\" }"
            .to_owned());
    }
    if experiment.data.limit.is_some() {
        return Err("data.limit: each site uses all of its images; leave it out".into());
    }
    if experiment.model.random_weights {
        return Err(
            "model.random_weights: sites start from the weights of a checkpoint; leave it out"
                .into(),
        );
    }
    if !experiment.faults.is_none() {
        return Err("faults: only a simulation supports them; leave them out".into());
    }
    let OutputConfig { save_every, .. } = experiment.output;
    if save_every > MOST_SAVE_EVERY {
        return Err(format!(
            "output.save_every: sites keep the states of their last rounds only, and cannot follow a server back \
             over {save_every}; \
             choose at most {MOST_SAVE_EVERY}"
        ));
    }
    let retries = experiment.federation.retries;
    if retries > MOST_ATTEMPTS {
        return Err(format!(
            "federation.retries: sites repeat a round at most {MOST_ATTEMPTS} times, not {retries} times; choose \
             at most {MOST_ATTEMPTS}"
        ));
    }
    if experiment.method.head.is_some() {
        return Err("method.head: the classifier's file is on the server, and is not sent to sites; train without it".into());
    }
    if experiment.method.name.is_closed_form() && experiment.method.init_adapter.is_some() {
        return Err("method.init_adapter: an adapter under a classifier is not sent to sites; merge it into the model \
                    with `flora export --merged`, and give the result to all"
            .into());
    }
    match &experiment.federation.participants {
        Participants::All => Ok(()),
        Participants::LocalOnly if experiment.method.init_adapter.is_some() => Err(
            "federation.participants: with \"alone\" nothing is sent to the sites, including the adapter in \
             method.init_adapter; choose \"all\", or leave the adapter out"
                .into(),
        ),
        Participants::LocalOnly => Ok(()),
        Participants::Central | Participants::Only(_) => Err(
            "federation.participants: images stay at the sites, each of which takes part or does not connect; \
             choose \"all\" or \"alone\""
                .into(),
        ),
    }
}
