//! Finds the files of a checkpoint in a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::ClipError;
use crate::files::read_small;

pub(super) const HUGGING_FACE_CONFIG: &str = "config.json";
pub(super) const OPEN_CLIP_CONFIG: &str = "open_clip_config.json";

/// The library whose layout a weights file belongs to.
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    HuggingFace,
    OpenClip,
}

/// The weights files, best first; repositories on hubs have several. A name ending in `.index.json` is the index of a
/// model in several files. `flora-hub` fetches in the same order.
const WEIGHTS: [(Owner, &str); 6] = [
    (Owner::HuggingFace, "model.safetensors"),
    (Owner::HuggingFace, "model.safetensors.index.json"),
    (Owner::OpenClip, "open_clip_model.safetensors"),
    (Owner::HuggingFace, "pytorch_model.bin"),
    (Owner::HuggingFace, "pytorch_model.bin.index.json"),
    (Owner::OpenClip, "open_clip_pytorch_model.bin"),
];

/// A folder's configuration and weights.
#[derive(Debug)]
pub(super) enum Found {
    HuggingFace { config: PathBuf, weights: Vec<PathBuf> },
    OpenClip { config: PathBuf, weights: Vec<PathBuf> },
}

/// Finds the configuration and weights in `folder`.
pub(super) fn locate(folder: &Path) -> Result<Found, ClipError> {
    let there = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
    let (theirs, ours) = (there(HUGGING_FACE_CONFIG), there(OPEN_CLIP_CONFIG));
    // timm's repositories have timm's own config.json beside OpenCLIP's files.
    let theirs = theirs.filter(|path| ours.is_none() || describes_towers(path));
    for (owner, name) in WEIGHTS {
        let config = if owner == Owner::HuggingFace { &theirs } else { &ours };
        if let (Some(config), Some(weights)) = (config.clone(), there(name)) {
            let weights = parts(weights)?;
            return Ok(match owner {
                Owner::HuggingFace => Found::HuggingFace { config, weights },
                Owner::OpenClip => Found::OpenClip { config, weights },
            });
        }
    }
    let lacks = match (folder.is_dir(), theirs.or(ours)) {
        (false, _) => "no such folder".to_owned(),
        (true, None) => {
            format!("there is neither {HUGGING_FACE_CONFIG} nor {OPEN_CLIP_CONFIG} in it")
        }
        (true, Some(_)) => "there are no weights in it".to_owned(),
    };
    let names = |owner| {
        let names = WEIGHTS.iter().filter(|&&(of, _)| of == owner).map(|&(_, name)| name);
        names.collect::<Vec<_>>().join(", ")
    };
    let mut problem = format!(
        "{lacks}; a model is a folder with {HUGGING_FACE_CONFIG} and one of {}, or with \
         {OPEN_CLIP_CONFIG} and one of {}, or a file of weights itself",
        names(Owner::HuggingFace),
        names(Owner::OpenClip)
    );
    if there("adapter_config.json").is_some() {
        problem.push_str("; this is an adapter: name it as --adapter, and its base as the model");
    } else if let Some(file) = other_weights(folder) {
        problem.push_str(&format!("; perhaps {} is meant", file.display()));
    }
    Err(ClipError::file(folder, problem))
}

/// Whether a `config.json` describes the towers of a CLIP, or at least a kind of model.
fn describes_towers(path: &Path) -> bool {
    let document = read_small(path).ok().and_then(|text| serde_json::from_str(&text).ok());
    let document: serde_json::Value = document.unwrap_or_default();
    ["model_type", "text_config", "vision_config"].iter().any(|key| document.get(key).is_some())
}

/// A file that may hold weights, by its extension.
fn other_weights(folder: &Path) -> Option<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.into_iter().find(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("pt" | "pth" | "bin" | "safetensors")) && path.is_file()
    })
}

/// The weights files: the path itself, or the files that an index names.
fn parts(path: PathBuf) -> Result<Vec<PathBuf>, ClipError> {
    if path.extension().is_none_or(|extension| extension != "json") {
        return Ok(vec![path]);
    }
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_str(&read_small(&path)?)
        .map_err(|error| ClipError::file(&path, format!("not an index of weights: {error}")))?;
    let files: BTreeSet<String> = index.weight_map.into_values().collect();
    if files.is_empty() {
        return Err(ClipError::file(&path, "weight_map is empty; download the file again"));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let part = |name: String| {
        // No file outside the folder is opened, whatever the index says.
        let plain = Path::new(&name).file_name().is_some_and(|file| file == name.as_str())
            && !name.contains(['/', '\\', ':', '\0']);
        if !plain {
            let problem =
                format!("weight_map names {name:?}; only files of the same folder are read");
            return Err(ClipError::file(&path, problem));
        }
        let part = folder.join(&name);
        if !part.is_file() {
            let problem = format!("missing, but {} names it; download it, too", path.display());
            return Err(ClipError::file(&part, problem));
        }
        Ok(part)
    };
    files.into_iter().map(part).collect()
}
