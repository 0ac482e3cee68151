use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use flora_clip::Checkpoint;
use flora_core::files::write_atomic;
use flora_core::{Dtype, ParameterRecord};
use flora_inference::{Provenance, adapter_folder};
use flora_lora::{save_peft, standalone};
use flora_strategies::lora::has_pairs;

use super::sums::{ADAPTER_FILES, ClosedFormFacts, sums_file};
use super::{ADAPTER, CLOSED_FORM, MODEL, PARAMETERS, PROVENANCE, SHA256, digest};
use crate::prepare::resolve_model;
use crate::{Experiment, MethodName, Trainable, TuningError, TuningModel};

/// Copies the adapter under a classifier, if there is one: the classifier is useless without it.
fn copy_adapter(experiment: &Experiment, folder: &Path) -> Result<(), TuningError> {
    let Some(adapter) = &experiment.method.init_adapter else { return Ok(()) };
    let (from, to) = (adapter_folder(adapter), folder.join(ADAPTER));
    std::fs::create_dir_all(&to)?;
    for name in ADAPTER_FILES {
        if from.join(name).exists() {
            copy(&from.join(name), &to.join(name))?;
        }
    }
    Ok(())
}

/// Copies atomically.
fn copy(from: &Path, to: &Path) -> Result<(), TuningError> {
    let bytes = std::fs::read(from)
        .map_err(|error| TuningError::trained(from, format!("cannot be read: {error}")))?;
    // A resumed run may use files that an earlier session wrote here.
    if std::fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    Ok(write_atomic(to, &bytes)?)
}

/// SHA-256 of the base weights of an experiment, which must be on this machine.
///
/// # Errors
///
/// A checkpoint that does not exist or cannot be read.
pub fn base_digest(experiment: &Experiment) -> Result<String, TuningError> {
    Ok(Checkpoint::open(&resolve_model(experiment, &mut |_| {})?)?.digest()?)
}

/// Saves the trained parameters of a run into `folder`, which is created if necessary:
///
/// - `adapter/`, in PEFT's format, with a higher rank if the strategy corrected the base weights
///   ([`flora_lora::standalone`]), and a [`Provenance::FILE`] beside it;
/// - `model/`, a checkpoint in Hugging Face's format, for a method that trains every weight, with a
///   [`Provenance::FILE`] beside it;
/// - `trained.safetensors` for the other methods, with the provenance in its metadata. For a closed-form method it
///   contains sums, and the adapter under its classifier, if any, is copied beside it.
///
/// Adapters trained together with a classifier (`method.head`) get a copy of its `trained.safetensors`.
/// [`load_trained`](super::load_trained) reads these files.
///
/// Nothing is written for a base with random weights, because an adapter is useless without its base, nor if nothing
/// was trained or there is no global model.
///
/// # Errors
///
/// Parameters that do not belong to the experiment, and errors of the file system.
pub fn save_trained(
    experiment: &Experiment,
    provenance: &Provenance,
    trained: &ParameterRecord,
    folder: &Path,
    device: &Device,
) -> Result<(), TuningError> {
    let base = &experiment.model.path;
    if experiment.model.random_weights || trained.is_empty() {
        return Ok(());
    }
    match experiment.method.name {
        MethodName::Flora => {
            // If each client has its own B, A alone is not an adapter.
            if !experiment.federation.share().is_all() && !has_pairs(trained) {
                return Ok(());
            }
            if let Some(head) = &experiment.method.head {
                std::fs::create_dir_all(folder)?;
                copy(&sums_file(head), &folder.join(PARAMETERS))?;
            }
            let folder = folder.join(ADAPTER);
            std::fs::create_dir_all(&folder)?;
            let (adapter, lora) = standalone(trained, &experiment.method.lora)?;
            save_peft(&folder, &adapter, &lora, base)?;
            Ok(provenance.save(&folder)?)
        }
        MethodName::FedFft => {
            let checkpoint = Checkpoint::open(&resolve_model(experiment, &mut |_| {})?)?;
            let clip = checkpoint.load(device)?;
            let logit_scale = clip.logit_scale.clone();
            let model = Trainable::Everything.load(TuningModel::new(clip, true), trained)?;
            let clip = model.into_clip(logit_scale).expect("it was made with its vision tower");
            let Checkpoint { config, tokenizer, preprocessor, .. } = &checkpoint;
            let folder = folder.join(MODEL);
            Checkpoint::save(&folder, &clip, config, tokenizer, preprocessor, Dtype::F32)?;
            Ok(provenance.save(&folder)?)
        }
        name => {
            // A head's columns are classes, and a context was learned before their names. Other tools expect these
            // keys; the last one contains all of them.
            let metadata = [
                ("method", name.as_str().to_owned()),
                ("base_model_name_or_path", base.clone()),
                ("classes", serde_json::to_string(&provenance.classes).expect("texts")),
                ("template", provenance.template.clone()),
                (PROVENANCE, provenance.to_text()),
                (SHA256, digest(trained)),
            ];
            let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
            let mut metadata = BTreeMap::from(metadata);
            if name.is_closed_form() {
                let facts = ClosedFormFacts::new(experiment)?;
                let facts = serde_json::to_string(&facts).expect("plain data");
                metadata.insert(CLOSED_FORM.to_owned(), facts);
                copy_adapter(experiment, folder)?;
            }
            Ok(trained.save_with(folder.join(PARAMETERS), &metadata)?)
        }
    }
}
