//! Which files of a folder make a checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::ClipError;
use crate::files::read_small;

/// The weights that Hugging Face's libraries write, best first: what ends in `.index.json` names the
/// parts of a model in several files.
const HUGGING_FACE: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// The weights that OpenCLIP writes.
const OPEN_CLIP: [&str; 2] = ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"];

pub(super) const HUGGING_FACE_CONFIG: &str = "config.json";
pub(super) const OPEN_CLIP_CONFIG: &str = "open_clip_config.json";

/// A folder's configuration and weights.
#[derive(Debug)]
pub(super) enum Found {
    HuggingFace { config: PathBuf, weights: Vec<PathBuf> },
    OpenClip { config: PathBuf, weights: Vec<PathBuf> },
}

/// What `folder` holds. Hubs have repositories with both layouts: Hugging Face's is taken first.
pub(super) fn locate(folder: &Path) -> Result<Found, ClipError> {
    let there = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
    let first = |names: &[&str]| names.iter().find_map(|name| there(name));
    if let (Some(config), Some(weights)) = (there(HUGGING_FACE_CONFIG), first(&HUGGING_FACE)) {
        return Ok(Found::HuggingFace { config, weights: parts(weights)? });
    }
    if let (Some(config), Some(weights)) = (there(OPEN_CLIP_CONFIG), first(&OPEN_CLIP)) {
        return Ok(Found::OpenClip { config, weights: vec![weights] });
    }
    let config = there(HUGGING_FACE_CONFIG).or_else(|| there(OPEN_CLIP_CONFIG));
    let lacks = match (folder.is_dir(), config) {
        (false, _) => "no such folder".to_owned(),
        (true, None) => {
            format!("there is neither {HUGGING_FACE_CONFIG} nor {OPEN_CLIP_CONFIG} in it")
        }
        (true, Some(_)) => "there are no weights in it".to_owned(),
    };
    let problem = format!(
        "{lacks}; a model is a folder with {HUGGING_FACE_CONFIG} and one of {}, or with \
         {OPEN_CLIP_CONFIG} and one of {}, or a file as OpenAI published it",
        HUGGING_FACE.join(", "),
        OPEN_CLIP.join(", ")
    );
    Err(ClipError::file(folder, problem))
}

/// The files of the weights: the path itself, or those that an index names.
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
        // Nothing outside the folder is opened, whatever an index from elsewhere says.
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
