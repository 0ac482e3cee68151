//! Hugging Face's `processor_config.json` and `preprocessor_config.json`.

use std::path::Path;

use serde_json::Value;

use super::settings::Settings;
use super::{Preprocessor, Resize};
use crate::files::{read_object, write};
use crate::{ClipError, VisionConfig};

impl Preprocessor {
    /// The preprocessing of a checkpoint, from the file that transformers 5 would use: the `image_processor` of
    /// `processor_config.json`, which is all that its `CLIPProcessor` writes (an older `preprocessor_config.json` stays
    /// beside it); else `preprocessor_config.json`; else [`Preprocessor::new`]. A step that the file omits is that of
    /// transformers' `CLIPImageProcessor`, whose sizes are 224.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or a field with an unsupported value, by name.
    pub fn from_folder(folder: &Path, config: &VisionConfig) -> Result<Self, ClipError> {
        let (both, image) =
            (folder.join("processor_config.json"), folder.join("preprocessor_config.json"));
        // Files with other content have this name, too: chat templates, for example.
        if both.exists()
            && let Some(nested) = read_object(&both)?.remove("image_processor")
            && !nested.is_null()
        {
            return Self::from_json(nested, &both, "image_processor.", config);
        }
        if !image.exists() {
            return Ok(Self::new(config));
        }
        Self::from_json(read_object(&image)?.into(), &image, "", config)
    }

    /// Reads the object of `path`; `prefix` precedes the names of its fields.
    fn from_json(
        value: Value,
        path: &Path,
        prefix: &str,
        config: &VisionConfig,
    ) -> Result<Self, ClipError> {
        let wrong = |problem: String| ClipError::file(path, format!("{prefix}{problem}"));
        let found = Settings::parse(value).and_then(Settings::convert).map_err(wrong)?;
        found.check(config).map_err(wrong)?;
        Ok(found)
    }

    /// Writes `preprocessor_config.json` for Hugging Face's `CLIPImageProcessor`. That format cannot represent
    /// [`Centering::Round`](super::Centering::Round) and [`Transparency::Ignored`](super::Transparency::Ignored):
    /// there, odd margins may be cut a pixel further to the left or up, and transparent parts are white.
    ///
    /// # Errors
    ///
    /// An I/O error, with the file's name.
    pub fn save(&self, folder: &Path) -> Result<(), ClipError> {
        let document = serde_json::json!({
            "image_processor_type": "CLIPImageProcessor",
            "do_convert_rgb": true,
            "do_resize": true,
            "size": match self.resize {
                Resize::ShortestEdge(side) => serde_json::json!({ "shortest_edge": side }),
                Resize::Exact { width, height } => {
                    serde_json::json!({ "height": height, "width": width })
                }
            },
            "resample": self.resample.to_pillow(),
            "do_center_crop": true,
            "crop_size": { "height": self.crop_size, "width": self.crop_size },
            "do_rescale": true,
            "rescale_factor": self.rescale_factor,
            "do_normalize": true,
            "image_mean": self.image_mean,
            "image_std": self.image_std,
        });
        let text = serde_json::to_string_pretty(&document).expect("plain JSON") + "\n";
        write(&folder.join("preprocessor_config.json"), &text)
    }
}
