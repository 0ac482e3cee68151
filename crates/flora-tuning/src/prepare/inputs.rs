//! Inputs of a run besides its settings and the weights.

use std::collections::BTreeMap;
use std::fmt::Debug;

use flora_core::hex;
use flora_data::Dataset;
use sha2::{Digest, Sha256};

use super::backbone::Backbone;
use super::begin::Begin;
use crate::{Experiment, TuningError};

/// The name of the images, whose digest is [`Dataset::fingerprint`].
pub(crate) const IMAGES: &str = "images";

/// SHA-256 of each input, by its name in messages. Experiments refer to them by paths, whose contents may change.
/// Without a data set, the images are elsewhere.
pub(super) fn digests(
    experiment: &Experiment,
    backbone: &Backbone,
    dataset: Option<&Dataset>,
    begin: &Begin,
) -> Result<BTreeMap<String, String>, TuningError> {
    let checkpoint = &backbone.checkpoint;
    let mut digests = BTreeMap::from([
        ("prompts", digest(&backbone.prompts)),
        ("model's configuration", digest(&(&checkpoint.config, &checkpoint.preprocessor))),
    ]);
    if let Some(dataset) = dataset {
        let labels: Vec<usize> = (0..dataset.len()).map(|index| dataset.label(index)).collect();
        digests.insert(IMAGES, dataset.fingerprint()?);
        digests.insert("labels", digest(&labels));
    }
    let precision = experiment.model.precision;
    if !precision.is_f32() {
        digests.insert("precision of the frozen vision tower", digest(&precision));
    }
    for (name, value) in begin.digests() {
        digests.insert(name, digest(&value));
    }
    let trains_adapter = !experiment.method.name.is_closed_form();
    if let Some(initial) = begin.initial.as_ref().filter(|_| trains_adapter) {
        let values = hex::encode(&Sha256::digest(initial.to_safetensors()));
        digests.insert("adapter to start from", digest(&(values, &experiment.method.lora)));
    }
    Ok(digests.into_iter().map(|(name, digest)| (name.to_owned(), digest)).collect())
}

pub(super) fn digest(value: &impl Debug) -> String {
    hex::encode(&Sha256::digest(format!("{value:?}")))
}
