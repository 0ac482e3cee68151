//! Hugging Face's `processor_config.json` and `preprocessor_config.json`.

use std::path::Path;

use serde_json::Value;

use super::settings::Settings;
use super::{Preprocessor, Resize};
use crate::files::{read_object, write};
use crate::{ClipError, VisionConfig};

impl Preprocessor {
    /// What a checkpoint says of its images, from the file that transformers 5 would take: the
    /// `image_processor` of `processor_config.json`, all that its `CLIPProcessor` writes (an older
    /// `preprocessor_config.json` stays beside it); else `preprocessor_config.json`; and
    /// [`Preprocessor::new`] where neither says anything. A step that the file leaves out is that
    /// of transformers' `CLIPImageProcessor`, whose sizes are 224.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or asks for what this cannot do, by field.
    pub fn from_folder(folder: &Path, config: &VisionConfig) -> Result<Self, ClipError> {
        let (both, image) =
            (folder.join("processor_config.json"), folder.join("preprocessor_config.json"));
        // Also files of other contents have this name: chat templates, for example.
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

    /// From the object of `path` whose fields have `prefix` before their names.
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

    /// Write `preprocessor_config.json` as Hugging Face's `CLIPImageProcessor` reads it. It has no
    /// word for [`Centering::Round`](super::Centering::Round) and
    /// [`Transparency::Ignored`](super::Transparency::Ignored): there, odd margins may be cut a pixel
    /// further to the left or up, and what is transparent is white.
    ///
    /// # Errors
    ///
    /// What the file system reports, with the file's name.
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
