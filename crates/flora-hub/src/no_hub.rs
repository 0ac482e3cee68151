//! Replacement of `hub/` in builds without downloads: the cache is only read.

use std::path::PathBuf;

use crate::cache::CachePaths;
use crate::plan::Kind;
use crate::{DownloadProgress, HubConfig, HubError, HubModel};

pub(crate) fn fetch(
    model: &HubModel,
    kind: Kind,
    config: &HubConfig,
    _progress: &mut dyn FnMut(DownloadProgress<'_>),
) -> Result<PathBuf, HubError> {
    CachePaths::new(&config.cache, model)
        .complete(model, kind)
        .map_err(|problem| HubError::NotBuilt { model: model.clone(), problem })
}
