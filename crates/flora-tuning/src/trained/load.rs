use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use flora_clip::Checkpoint;
use flora_core::{ParameterRecord, TensorFile};
use flora_inference::Provenance;
use flora_lora::{LoraConfig, load_peft};

use super::{ADAPTER, MODEL, PARAMETERS, PROVENANCE, SHA256, digest};
use crate::{Experiment, MethodName, Trainable, TuningError, TuningModel};

/// Trained parameters read from a folder.
#[derive(Debug, Clone)]
pub struct LoadedParameters {
    /// The parameters, by name.
    pub record: ParameterRecord,
    /// Their provenance.
    pub provenance: Provenance,
    /// The configuration of an adapter.
    pub lora: Option<LoraConfig>,
}

/// Reads the parameters that [`save_trained`](super::save_trained) wrote into `folder` for `experiment`; `None` if it
/// wrote none. For a method that trains every weight, they temporarily occupy `device`.
///
/// # Errors
///
/// Files that are missing, damaged or of another method, by name.
pub fn load_trained(
    experiment: &Experiment,
    folder: &Path,
    device: &Device,
) -> Result<Option<LoadedParameters>, TuningError> {
    let name = match experiment.method.name {
        MethodName::ZeroShot => return Ok(None),
        MethodName::Flora => ADAPTER,
        MethodName::FedFft => MODEL,
        _ => PARAMETERS,
    };
    let path = folder.join(name);
    if !path.exists() {
        return Ok(None);
    }
    let mut lora = None;
    let (record, provenance) = match experiment.method.name {
        MethodName::Flora => {
            let provenance = Provenance::load(&path)?;
            let adapter = load_peft(&path)?;
            lora = Some(adapter.config);
            (adapter.record, provenance)
        }
        MethodName::FedFft => {
            let provenance = Provenance::load(&path)?;
            let model = TuningModel::new(Checkpoint::open(&path)?.load(device)?, true);
            (Trainable::Everything.record(&model)?, provenance)
        }
        _ => {
            let (record, provenance, _) = parameters(&path)?;
            (record, Some(provenance))
        }
    };
    let provenance = provenance.ok_or_else(|| {
        let file = Provenance::FILE;
        TuningError::trained(
            &path,
            format!("has no {file}, in which a run says what it was trained for"),
        )
    })?;
    let method = experiment.method.name.as_str();
    if provenance.method != method {
        let problem =
            format!("was trained by {}, and the run's method is {method}", provenance.method);
        return Err(TuningError::trained(&path, problem));
    }
    Ok(Some(LoadedParameters { record, provenance, lora }))
}

/// Parameters by name, their provenance, and all metadata.
pub(super) fn parameters(
    path: &Path,
) -> Result<(ParameterRecord, Provenance, BTreeMap<String, String>), TuningError> {
    let wrong = |problem: String| TuningError::trained(path, problem);
    let file = TensorFile::open(path)?;
    let fact = |key: &str| {
        let missing = || {
            wrong(format!("its metadata have no {key:?}: this version of flora did not write it"))
        };
        file.metadata().get(key).cloned().ok_or_else(missing)
    };
    let provenance = Provenance::from_text(&fact(PROVENANCE)?)
        .map_err(|problem| wrong(format!("its metadata {PROVENANCE:?}: {problem}")))?;
    let told = fact(SHA256)?;
    let record = ParameterRecord::load(path)?;
    if digest(&record) != told {
        return Err(wrong(
            "is damaged: its values do not match their SHA-256; restore it".to_owned(),
        ));
    }
    Ok((record, provenance, file.metadata().clone()))
}
