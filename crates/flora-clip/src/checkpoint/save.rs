use std::collections::BTreeMap;
use std::path::Path;

use flora_core::{Dtype, HostTensor, ParameterRecord, RecordError, transpose};
use flora_lora::named::{self, Entry};

use super::names::Naming;
use super::{Checkpoint, locate, open_clip};
use crate::{Clip, ClipConfig, ClipError, ClipTokenizer, Preprocessor, files};

/// The layout of a written checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CheckpointLayout {
    /// `config.json` and `model.safetensors`, for `transformers.CLIPModel`.
    #[default]
    HuggingFace,
    /// `open_clip_config.json` and `open_clip_model.safetensors`, for OpenCLIP.
    OpenClip,
}

/// Options for writing a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaveOptions {
    /// The layout.
    pub layout: CheckpointLayout,
    /// The type of the values.
    pub dtype: Dtype,
}

impl From<Dtype> for SaveOptions {
    fn from(dtype: Dtype) -> Self {
        Self { layout: CheckpointLayout::HuggingFace, dtype }
    }
}

impl Checkpoint {
    /// Writes a model as a folder that [`Checkpoint::open`] and the library of the chosen layout read: configuration,
    /// weights, tokenizer and preprocessing. Adapters are not written: merge them first to include them.
    ///
    /// # Errors
    ///
    /// An I/O error, with the file's name; a weight that is not finite or exceeds the range of the type, by name; or a
    /// feature that the layout cannot represent.
    pub fn save(
        folder: &Path,
        model: &Clip,
        config: &ClipConfig,
        tokenizer: &ClipTokenizer,
        preprocessor: &Preprocessor,
        options: impl Into<SaveOptions>,
    ) -> Result<(), ClipError> {
        let SaveOptions { layout, dtype } = options.into();
        let (file, naming, description) = match layout {
            CheckpointLayout::HuggingFace => {
                ("model.safetensors", Naming::HuggingFace, locate::HUGGING_FACE_CONFIG)
            }
            CheckpointLayout::OpenClip => (
                "open_clip_model.safetensors",
                Naming::OpenClip { text: "" },
                locate::OPEN_CLIP_CONFIG,
            ),
        };
        let description = folder.join(description);
        let document = match layout {
            CheckpointLayout::HuggingFace => hugging_face_json(config),
            CheckpointLayout::OpenClip => open_clip::to_json(config, preprocessor)
                .map_err(|problem| ClipError::file(&description, problem))?,
        };
        let weights = folder.join(file);
        for (name, layer) in [
            ("text_projection", &model.text_projection),
            ("visual_projection", &model.visual_projection),
        ] {
            if layer.bias.is_some() {
                let problem = format!(
                    "{name} has a bias, of an adapter with lora_bias, for which neither CLIP has a \
                     place; use the adapter beside its base"
                );
                return Err(ClipError::file(&weights, problem));
            }
        }
        std::fs::create_dir_all(folder)
            .map_err(|error| ClipError::file(folder, format!("cannot be created: {error}")))?;
        save_weights(&weights, model, naming, dtype)
            .map_err(|error| ClipError::file(&weights, error.to_string()))?;
        files::write(&description, &document)?;
        tokenizer.save(folder)?;
        match layout {
            CheckpointLayout::HuggingFace => preprocessor.save(folder),
            CheckpointLayout::OpenClip => Ok(()),
        }
    }
}

fn hugging_face_json(config: &ClipConfig) -> String {
    let mut document = serde_json::to_value(config).expect("plain data");
    document["architectures"] = serde_json::json!(["CLIPModel"]);
    // Read by transformers' classes for one tower.
    for (tower, kind) in
        [("text_config", "clip_text_model"), ("vision_config", "clip_vision_model")]
    {
        document[tower]["model_type"] = kind.into();
        document[tower]["projection_dim"] = config.projection_dim.into();
    }
    serde_json::to_string_pretty(&document).expect("plain JSON") + "\n"
}

fn save_weights(
    path: &Path,
    model: &Clip,
    naming: Naming,
    dtype: Dtype,
) -> Result<(), RecordError> {
    let record = record(model, naming, dtype)?;
    // `load` refuses such weights: it is better not to write a file that cannot be read.
    record.check_finite()?;
    // transformers refuses weights whose metadata does not name the framework.
    record.save_with(path, &[("format".to_owned(), "pt".to_owned())].into())
}

/// The weights of `model` under the names of this layout.
fn record(model: &Clip, naming: Naming, dtype: Dtype) -> Result<ParameterRecord, RecordError> {
    let mut saved = Ok(ParameterRecord::new());
    // OpenCLIP's tensors of three parts whose last part has not arrived yet.
    let mut thirds: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    named::visit(model, |place, parameter| {
        let (Some(entry), Ok(record)) = (Entry::pytorch(place), &mut saved) else { return };
        let (mut shape, mut values) = (parameter.shape(), parameter.values());
        let source = naming.source(&entry.name);
        // A weight that OpenCLIP stores transposed relative to PyTorch's layout is stored as in burn.
        if entry.transposed != source.transposed {
            values = transpose(&values, [shape[0], shape[1]]);
            shape.reverse();
        }
        if entry.name == "logit_scale" {
            shape.clear();
        }
        // Query, key and value are visited in this order, one directly after the other.
        if let Some(third) = source.third {
            let parts = thirds.entry(source.name.clone()).or_default();
            parts.extend(values);
            if third < 2 {
                return;
            }
            values = thirds.remove(&source.name).unwrap_or_default();
            shape[0] *= 3;
        }
        let inserted = HostTensor::from_f32(shape, values)
            .and_then(|tensor| record.insert(source.name, tensor.cast(dtype)));
        if let Err(error) = inserted {
            saved = Err(error);
        }
    });
    saved
}
