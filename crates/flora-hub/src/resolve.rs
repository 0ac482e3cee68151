//! From the name of a model to its files.

use std::path::{Path, PathBuf};

use crate::plan::Kind;
use crate::{HubConfig, HubError, HubModel, ModelSource, find, hub, known};

/// The progress of a file's download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DownloadProgress<'a> {
    /// The file's name.
    pub file: &'a str,
    /// Downloaded bytes, including those of an earlier attempt. May decrease, if an earlier attempt turns out to be
    /// useless.
    pub done: u64,
    /// The total size, if the hub sent it.
    pub total: Option<u64>,
}

/// Returns the folder or file of the model that `source` names, downloaded if necessary.
///
/// - A path: found by [`find()`].
/// - A known name: a file or folder of this name if it exists, otherwise the known folder, otherwise the known
///   repository.
/// - `hf:owner/name[@revision]`: the folder of that revision in the hub's cache. A branch or tag is looked up on the
///   hub each time; a file in the cache is not requested again. If the hub cannot be reached, the cached revision is
///   used if it is complete. A full commit hash in the cache needs no request.
///
/// `progress` is called as bytes arrive. The environment configures the hub, see
/// [`HubConfig::from_env`].
///
/// # Errors
///
/// Any [`HubError`]; its message contains the remedy.
pub fn resolve(
    source: &str,
    progress: &mut dyn FnMut(DownloadProgress<'_>),
) -> Result<PathBuf, HubError> {
    located(&source.parse()?, Kind::Model, None, progress)
}

/// [`resolve`] with a parsed source and an explicit configuration of the hub.
///
/// # Errors
///
/// Any [`HubError`].
pub fn resolve_with(
    source: &ModelSource,
    config: &HubConfig,
    progress: &mut dyn FnMut(DownloadProgress<'_>),
) -> Result<PathBuf, HubError> {
    located(source, Kind::Model, Some(config), progress)
}

/// Returns the folder or file of the adapter that `source` names: a path, or `hf:owner/name[@revision]`, from which
/// `adapter_config.json` and `adapter_model.safetensors` are downloaded. Otherwise like [`resolve`]; adapters have no
/// known names.
///
/// # Errors
///
/// Any [`HubError`].
pub fn resolve_adapter(
    source: &str,
    progress: &mut dyn FnMut(DownloadProgress<'_>),
) -> Result<PathBuf, HubError> {
    located(&source.parse()?, Kind::Adapter, None, progress)
}

/// [`resolve_adapter`] with a parsed source and an explicit configuration of the hub.
///
/// # Errors
///
/// Any [`HubError`].
pub fn resolve_adapter_with(
    source: &ModelSource,
    config: &HubConfig,
    progress: &mut dyn FnMut(DownloadProgress<'_>),
) -> Result<PathBuf, HubError> {
    located(source, Kind::Adapter, Some(config), progress)
}

fn located(
    source: &ModelSource,
    kind: Kind,
    config: Option<&HubConfig>,
    progress: &mut dyn FnMut(DownloadProgress<'_>),
) -> Result<PathBuf, HubError> {
    let mut fetch = |model: &HubModel| match config {
        Some(config) => hub::fetch(model, kind, config, progress),
        // Only here, so that a wrong HF_ENDPOINT does not affect users of a folder.
        None => hub::fetch(model, kind, &HubConfig::from_env()?, progress),
    };
    match source {
        ModelSource::Local(path) => find(path).map_err(|error| explained(error, kind)),
        ModelSource::Hub(model) => fetch(model),
        ModelSource::Known(known) => {
            let itself = find(Path::new(known.name));
            if itself.is_ok() || kind == Kind::Adapter {
                return itself.map_err(|error| explained(error, kind));
            }
            match (
                find(Path::new(known.folder)),
                known.repository.and_then(|name| name.split_once('/')),
            ) {
                (Err(HubError::NotFound { .. }), Some((owner, name))) => {
                    fetch(&HubModel::new(owner, name, None)?)
                }
                (found, _) => found,
            }
        }
    }
}

/// Adds suggestions to the error for a path that does not exist.
fn explained(error: HubError, kind: Kind) -> HubError {
    let HubError::NotFound { name, tried, remedy } = error else { return error };
    // A bare word may have been meant as the name of a model; a path was not.
    let word = !name.contains(['/', '\\', '.']);
    let remedy = match kind {
        Kind::Model if word => format!(
            "a model is a folder, a file, hf:owner/name[@revision], or one of {}",
            known::names()
        ),
        // The name of a model in Python's libraries.
        Kind::Model if !name.starts_with("models/") && HubModel::parse(&name).is_ok() => {
            format!("perhaps hf:{name} is meant; otherwise {remedy}")
        }
        Kind::Model => remedy,
        Kind::Adapter => "an adapter is a folder with adapter_config.json and \
                          adapter_model.safetensors, as `flora run` and PEFT write it, or \
                          hf:owner/name[@revision]"
            .into(),
    };
    HubError::NotFound { name, tried, remedy }
}
