//! From a picture to the numbers that the vision tower takes, as Pillow and `transformers` do it.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use fast_image_resize as fir;
use fir::images::{TypedImage, TypedImageRef};
use fir::pixels::F32x3;
use image::{DynamicImage, RgbImage};
use serde::{Deserialize, Serialize};

use crate::{ClipError, VisionConfig};

/// The longest side that an image may have after resizing. Without a limit an image of 1 x 65535
/// pixels, a file of a few bytes, would ask for 10 GB at CLIP's size.
const LONGEST: u32 = 1 << 16;

/// How many rows are widened to f32 at a time: a large photograph as a whole would take four times
/// its memory.
const STRIP: usize = 256;

/// Resize the shorter side (Pillow's antialiased bicubic), cut the centre, scale to `[0, 1]`, and
/// normalise by channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessor {
    /// Length of the shorter side after resizing, in pixels.
    pub shortest_edge: u32,
    /// Side of the square cut from the centre, in pixels.
    pub crop_size: u32,
    /// Mean of each channel, subtracted.
    pub image_mean: [f32; 3],
    /// Standard deviation of each channel, divided by.
    pub image_std: [f32; 3],
}

/// `preprocessor_config.json` in both spellings of its sizes.
#[derive(Deserialize)]
struct PreprocessorFile {
    size: Option<Size>,
    crop_size: Option<Size>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    resample: Option<u32>,
    rescale_factor: Option<f64>,
    do_resize: Option<bool>,
    do_center_crop: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Size {
    Side(u32),
    ShortestEdge { shortest_edge: u32 },
    Box { height: u32, width: u32 },
}

impl Preprocessor {
    /// CLIP's mean and deviation at the size that the vision tower takes.
    pub fn new(config: &VisionConfig) -> Self {
        Self {
            shortest_edge: config.image_size as u32,
            crop_size: config.image_size as u32,
            image_mean: [0.48145466, 0.4578275, 0.40821073],
            image_std: [0.26862954, 0.261_302_6, 0.275_777_1],
        }
    }

    /// What a checkpoint's `preprocessor_config.json` says, or [`Preprocessor::new`] if the folder
    /// has none.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or asks for what this cannot do, by field.
    pub fn from_folder(folder: &Path, config: &VisionConfig) -> Result<Self, ClipError> {
        let path = folder.join("preprocessor_config.json");
        let mut found = Self::new(config);
        if !path.exists() {
            return Ok(found);
        }
        let text = std::fs::read_to_string(&path).map_err(|error| ClipError::read(&path, error))?;
        let file: PreprocessorFile = serde_json::from_str(&text)
            .map_err(|error| ClipError::file(&path, format!("not understood: {error}")))?;
        let side = |field: &str, size: Size| match size {
            Size::Side(side) | Size::ShortestEdge { shortest_edge: side } => Ok(side),
            Size::Box { height, width } if height == width => Ok(height),
            Size::Box { height, width } => {
                let problem = format!("{field} is {height} x {width}; only squares are supported");
                Err(ClipError::file(&path, problem))
            }
        };
        if let Some(size) = file.size {
            found.shortest_edge = side("size", size)?;
        }
        if let Some(size) = file.crop_size {
            found.crop_size = side("crop_size", size)?;
        }
        found.image_mean = file.image_mean.unwrap_or(found.image_mean);
        found.image_std = file.image_std.unwrap_or(found.image_std);
        const BICUBIC: u32 = 3;
        let steps = [
            ("do_resize", file.do_resize),
            ("do_center_crop", file.do_center_crop),
            ("do_rescale", file.do_rescale),
            ("do_normalize", file.do_normalize),
        ];
        let problem = if let Some((field, _)) = steps.iter().find(|(_, on)| *on == Some(false)) {
            format!("{field} is false; every step of CLIP's preprocessing is needed")
        } else if file.rescale_factor.is_some_and(|factor| (factor * 255.0 - 1.0).abs() > 1e-6) {
            "rescale_factor is not 1/255, the only one supported".to_owned()
        } else if file.resample.is_some_and(|resample| resample != BICUBIC) {
            "resample is not 3 (bicubic), the only filter supported".to_owned()
        } else if found.crop_size as usize != config.image_size {
            format!(
                "crop_size is {}, but the model takes images of {}",
                found.crop_size, config.image_size
            )
        } else if found.shortest_edge < found.crop_size {
            format!("size {} is less than crop_size {}", found.shortest_edge, found.crop_size)
        } else if found.shortest_edge > LONGEST {
            format!("size is {}; at most {LONGEST} is supported", found.shortest_edge)
        } else if !found.image_mean.iter().all(|mean| mean.is_finite()) {
            "image_mean must be finite".to_owned()
        } else if !found.image_std.iter().all(|&std| std.is_finite() && std > 0.0) {
            "image_std must be positive and finite".to_owned()
        } else {
            return Ok(found);
        };
        Err(ClipError::file(&path, problem))
    }

    /// The `crop_size` x `crop_size` pixels that the model sees. What is transparent lies on white,
    /// as in `transformers` 5 (OpenAI's code drops transparency and shows whatever is under it).
    ///
    /// # Errors
    ///
    /// An image without pixels, or one so narrow that its longer side would exceed 65,536 pixels.
    pub fn crop(&self, image: &DynamicImage) -> Result<RgbImage, ClipError> {
        let rgb = on_white(image);
        let (width, height) = rgb.dimensions();
        if width == 0 || height == 0 {
            return Err(ClipError::Image(format!("{width} x {height} pixels; nothing to see")));
        }
        let resized = self.resize(rgb)?;
        let (width, height) = resized.dimensions();
        let (left, top) = ((width - self.crop_size) / 2, (height - self.crop_size) / 2);
        let view = image::imageops::crop_imm(&resized, left, top, self.crop_size, self.crop_size);
        Ok(view.to_image())
    }

    fn resize(&self, image: RgbImage) -> Result<RgbImage, ClipError> {
        let (width, height) = image.dimensions();
        let (short, long) = (width.min(height), width.max(height));
        // Truncated, as `transformers.image_transforms.get_resize_output_image_size` does.
        let long = u64::from(self.shortest_edge) * u64::from(long) / u64::from(short);
        let long = u32::try_from(long).ok().filter(|&long| long <= LONGEST).ok_or_else(|| {
            ClipError::Image(format!(
                "{width} x {height} pixels is too narrow: with its shorter side at {} the longer \
                 one would exceed {LONGEST}; cut it first",
                self.shortest_edge
            ))
        })?;
        let (new_width, new_height) =
            if width <= height { (self.shortest_edge, long) } else { (long, self.shortest_edge) };
        if (new_width, new_height) == (width, height) {
            return Ok(image);
        }
        // Pillow goes over the rows first, and rounds and clips in between. In the other order, which
        // `fast_image_resize` takes by itself, sharp edges come out 20 levels apart.
        let mut narrow = Vec::with_capacity(new_width as usize * height as usize * 3);
        for rows in image.as_raw().chunks(STRIP * width as usize * 3) {
            let count = (rows.len() / (width as usize * 3)) as u32;
            narrow.extend(scale(rows, [width, count], [new_width, count])?);
        }
        let resized = scale(&narrow, [new_width, height], [new_width, new_height])?;
        Ok(RgbImage::from_raw(new_width, new_height, resized)
            .expect("the buffer has the size that was asked for"))
    }

    /// The normalised pixels of one image, channel by channel: `3 * crop_size * crop_size` numbers.
    ///
    /// # Errors
    ///
    /// Those of [`Preprocessor::crop`].
    pub fn pixel_values(&self, image: &DynamicImage) -> Result<Vec<f32>, ClipError> {
        let crop = self.crop(image)?;
        let plane = (self.crop_size * self.crop_size) as usize;
        let mut values = vec![0f32; 3 * plane];
        for (index, pixel) in crop.pixels().enumerate() {
            for channel in 0..3 {
                let value = f32::from(pixel.0[channel]) / 255.0;
                values[channel * plane + index] =
                    (value - self.image_mean[channel]) / self.image_std[channel];
            }
        }
        Ok(values)
    }

    /// A batch on a device: `[images, 3, crop_size, crop_size]`.
    ///
    /// # Errors
    ///
    /// No image at all, and those of [`Preprocessor::crop`] for the first image that has any.
    pub fn batch(&self, images: &[DynamicImage], device: &Device) -> Result<Tensor<4>, ClipError> {
        if images.is_empty() {
            return Err(ClipError::Image("a batch needs at least one".into()));
        }
        let mut values = Vec::new();
        for image in images {
            values.extend(self.pixel_values(image)?);
        }
        Ok(self.stack(values, device))
    }

    /// [`Preprocessor::pixel_values`] of several images, one after the other, as a batch on a
    /// device: `[images, 3, crop_size, crop_size]`.
    pub fn stack(&self, values: Vec<f32>, device: &Device) -> Tensor<4> {
        let side = self.crop_size as usize;
        let images = values.len() / (3 * side * side);
        Tensor::from_data(TensorData::new(values, [images, 3, side, side]), device)
    }

    /// Write `preprocessor_config.json` as Hugging Face's `CLIPImageProcessor` reads it.
    ///
    /// # Errors
    ///
    /// What the file system reports, with the file's name.
    pub fn save(&self, folder: &Path) -> Result<(), ClipError> {
        let document = serde_json::json!({
            "image_processor_type": "CLIPImageProcessor",
            "do_convert_rgb": true,
            "do_resize": true,
            "size": { "shortest_edge": self.shortest_edge },
            "resample": 3,
            "do_center_crop": true,
            "crop_size": { "height": self.crop_size, "width": self.crop_size },
            "do_rescale": true,
            "rescale_factor": 1.0 / 255.0,
            "do_normalize": true,
            "image_mean": self.image_mean,
            "image_std": self.image_std,
        });
        let path = folder.join("preprocessor_config.json");
        let text = serde_json::to_string_pretty(&document).expect("plain JSON") + "\n";
        flora_core::files::write_atomic(&path, text.as_bytes())
            .map_err(|error| ClipError::file(&path, format!("cannot be written: {error}")))
    }
}

/// Pillow's `BICUBIC` from one width and height to another, on three channels of 8 bits; one of the
/// two must stay.
fn scale(
    values: &[u8],
    [width, height]: [u32; 2],
    [new_width, new_height]: [u32; 2],
) -> Result<Vec<u8>, ClipError> {
    if (new_width, new_height) == (width, height) {
        return Ok(values.to_vec());
    }
    let failed = |error: &dyn std::fmt::Display| {
        ClipError::Image(format!("resizing {width} x {height} failed: {error}"))
    };
    // In f32: the crate's 8-bit kernels round the filter's weights more coarsely than Pillow, whose
    // have 22 bits, so that one value in 300 comes out a level apart and some come out two.
    let pixels: Vec<F32x3> = values
        .as_chunks()
        .0
        .iter()
        .map(|&pixel: &[u8; 3]| F32x3::new(pixel.map(f32::from)))
        .collect();
    let source = TypedImageRef::new(width, height, &pixels).map_err(|error| failed(&error))?;
    let mut target = TypedImage::new(new_width, new_height);
    // Pillow's BICUBIC is the cubic with a = -1/2, which is Catmull-Rom, over the support that the
    // scale asks for.
    let filter = fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom);
    let options = fir::ResizeOptions::new().resize_alg(filter).use_alpha(false);
    fir::Resizer::new()
        .resize_typed::<F32x3>(&source, &mut target, &options)
        .map_err(|error| failed(&error))?;
    // The conversion cuts fractions off and keeps to 0..=255.
    Ok(target.pixels().iter().flat_map(|pixel| pixel.0.map(|value| (value + 0.5) as u8)).collect())
}

fn on_white(image: &DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.to_rgb8();
    }
    let rgba = image.to_rgba8();
    let blend = |pixel: &image::Rgba<u8>| {
        let [color @ .., alpha] = pixel.0;
        let alpha = u32::from(alpha);
        image::Rgb(color.map(|c| ((u32::from(c) * alpha + 255 * (255 - alpha) + 127) / 255) as u8))
    };
    let mut rgb = RgbImage::new(rgba.width(), rgba.height());
    for (target, source) in rgb.pixels_mut().zip(rgba.pixels()) {
        *target = blend(source);
    }
    rgb
}
