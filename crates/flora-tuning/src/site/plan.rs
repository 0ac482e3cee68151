//! What a server asks of a site, and what a site says of itself.

use std::path::PathBuf;

use flora_clip::Checkpoint;
use flora_data::{Participants, PartitionConfig};
use flora_inference::settings_digest;
use serde::{Deserialize, Serialize};

use crate::prepare::{adapter_config, resolve_model};
use crate::{Experiment, OutputConfig, TuningError};

/// What a server asks of a site.
///
/// Of the experiment, a site follows what determines the numbers: seed, method, training, how answers travel, and how
/// its images are split. Paths in it are the server's and mean nothing to a site, which has its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The experiment, as TOML with every default filled in.
    pub experiment: String,
    /// The classes that all sites tell apart, by label.
    pub classes: Vec<String>,
    /// The prompt of a class, with `{}` for its name.
    pub template: String,
    /// What everybody starts from.
    pub base: Base,
    /// What the site is called in the run. Its random streams are drawn for this name.
    pub client: String,
}

/// A checkpoint, wherever it lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// SHA-256 of the weights.
    pub weights: String,
    /// SHA-256 of configuration, preprocessing and tokenizer.
    pub settings: String,
}

impl Base {
    /// What an experiment starts from. All weights are read.
    ///
    /// # Errors
    ///
    /// A checkpoint that is not there or is damaged.
    pub fn of(experiment: &Experiment) -> Result<Self, TuningError> {
        Self::of_checkpoint(&Checkpoint::open(&resolve_model(experiment, &mut |_| {})?)?)
    }

    pub(super) fn of_checkpoint(checkpoint: &Checkpoint) -> Result<Self, TuningError> {
        Ok(Self { weights: checkpoint.digest()?, settings: settings_digest(checkpoint) })
    }
}

/// What a site says of itself before a server plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteProfile {
    /// The classes of its images, by its own labels.
    pub classes: Vec<String>,
    /// Its prompt of a class, with `{}` for the name.
    pub template: String,
    /// Its images, of all splits.
    pub images: usize,
    /// Its model.
    pub base: Base,
    /// The version of flora that it runs.
    pub flora: String,
}

/// The plan of `experiment` for the site that is called `client`. An adapter to start from travels as its configuration
/// here, and as values with the first task.
///
/// # Errors
///
/// An experiment that sites cannot do together, and an adapter in `method.init_adapter` that cannot be read.
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
    // Sites draw A themselves, by the seed. That of an adapter would have to travel.
    if planned.method.init_adapter.is_some() && planned.federation.strategy.sends_only_b() {
        return Err(refuse(format!(
            "federation.strategy: with {} A does not travel, and sites do not have that of method.init_adapter; choose \
             \"fedsvd\" or \"rolora\"",
            planned.federation.strategy.name()
        )));
    }
    if planned.method.init_adapter.is_some() && planned.federation.strategy.shares().is_some() {
        return Err(refuse(format!(
            "federation.strategy: with {} B does not travel, and sites do not have that of method.init_adapter; choose \
             another strategy, or merge the adapter into the model with `flora export --merged`",
            planned.federation.strategy.name()
        )));
    }
    if let Some(lora) = adapter_config(&planned)? {
        planned.method.lora = lora;
        planned.method.init_adapter = None;
    }
    // The sums that a run begins with stay on the server.
    planned.method.closed_form.start = None;
    planned.method.closed_form.leaving = false;
    // Where the server keeps its files is its own affair.
    planned.data.path = PathBuf::from(".");
    planned.data.root = None;
    planned.data.cache = None;
    planned.data.template = Some(template.clone());
    // So is when it ends the run.
    planned.training.patience = None;
    // How far back the server may be set decides how much a site remembers.
    let OutputConfig { keep_clients, save_every, .. } = planned.output;
    planned.output = OutputConfig { keep_clients, save_every, ..OutputConfig::default() };
    Ok(Plan { experiment: planned.to_toml(), classes, template, base, client })
}

/// How often a site trains a round again at most.
pub(crate) const MOST_ATTEMPTS: usize = 100;
/// The most rounds between two of the server's states: a site's own states reach back to the one before the last.
pub(crate) const MOST_SAVE_EVERY: usize = 31;

/// What of an experiment sites with images of their own cannot do, by field.
pub(crate) fn check(experiment: &Experiment) -> Result<(), String> {
    if experiment.partition != PartitionConfig::Natural {
        return Err("partition: the images are split across the sites already; choose \
                    partition = { kind = \"natural\" }"
            .to_owned());
    }
    if experiment.data.limit.is_some() {
        return Err(
            "data.limit: how many images a site has is the site's affair; leave it out".into()
        );
    }
    if experiment.model.random_weights {
        return Err(
            "model.random_weights: sites start from the weights of a checkpoint; leave it out"
                .into(),
        );
    }
    if !experiment.faults.is_none() {
        return Err("faults: they are made in a simulation only; leave them out".into());
    }
    let OutputConfig { save_every, .. } = experiment.output;
    if save_every > MOST_SAVE_EVERY {
        return Err(format!(
            "output.save_every: sites remember their last rounds only, and cannot follow a server back over {save_every}; \
             choose at most {MOST_SAVE_EVERY}"
        ));
    }
    let retries = experiment.federation.retries;
    if retries > MOST_ATTEMPTS {
        return Err(format!(
            "federation.retries: sites try a round again {MOST_ATTEMPTS} times at most, and not {retries} times; choose \
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
        Participants::Alone if experiment.method.init_adapter.is_some() => Err(
            "federation.participants: \"alone\" sends nothing to the sites, and so not the adapter in \
             method.init_adapter either; choose \"all\", or leave the adapter out"
                .into(),
        ),
        Participants::Alone => Ok(()),
        Participants::Central | Participants::Only(_) => Err(
            "federation.participants: images stay at the sites, each of which takes part or does not connect; \
             choose \"all\" or \"alone\""
                .into(),
        ),
    }
}
