use std::path::Path;

use burn::tensor::Device;
use flora_clip::Checkpoint;
use flora_core::{Dtype, ParameterRecord};
use flora_inference::Provenance;
use flora_lora::save_peft;

use super::{ADAPTER, MODEL, PARAMETERS, PROVENANCE, SHA256, digest};
use crate::prepare::resolve_model;
use crate::{Experiment, MethodName, Trainable, TuningError, TuningModel};

/// SHA-256 of the weights that an experiment starts from, where they are on this machine.
///
/// # Errors
///
/// A checkpoint that is not there or cannot be read.
pub fn base_digest(experiment: &Experiment) -> Result<String, TuningError> {
    Ok(Checkpoint::open(&resolve_model(experiment, &mut |_| {})?)?.digest()?)
}

/// Writes what a run trained into `folder`, which is made if it is not there: `adapter/`, in PEFT's layout; for a
/// method that trains every weight `model/`, a checkpoint in Hugging Face's; both with a [`Provenance::FILE`] beside
/// them. For the others `trained.safetensors`, with the provenance in its metadata. [`load_trained`](super::load_trained)
/// reads them.
///
/// Nothing is written for a base of random weights, because an adapter is of no use without its base, nor
/// where nothing was trained or no global model is there.
///
/// # Errors
///
/// Parameters that are not those of the experiment, and what the file system reports.
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
            let folder = folder.join(ADAPTER);
            std::fs::create_dir_all(&folder)?;
            save_peft(&folder, trained, &experiment.method.lora, base)?;
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
            // A head's columns are classes, and a context was learned before their names. These are what other tools
            // look for; all of them are in the last.
            let metadata = [
                ("method", name.as_str().to_owned()),
                ("base_model_name_or_path", base.clone()),
                ("classes", serde_json::to_string(&provenance.classes).expect("texts")),
                ("template", provenance.template.clone()),
                (PROVENANCE, provenance.to_text()),
                (SHA256, digest(trained)),
            ];
            let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
            Ok(trained.save_with(folder.join(PARAMETERS), &metadata.into())?)
        }
    }
}
