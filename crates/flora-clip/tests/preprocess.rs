//! The same pictures give the same pixels as `transformers.CLIPImageProcessorPil`.

mod common;

use std::collections::BTreeMap;

use common::{Expected, fixture, max_difference};
use flora_clip::{
    ClipConfig, Filter, Preprocessor, Resize, Transparency, VisionConfig, read_image,
};
use image::{DynamicImage, RgbImage};

fn sized(side: usize) -> Preprocessor {
    Preprocessor::new(&VisionConfig { image_size: side, ..VisionConfig::default() })
}

fn open(file: &str) -> DynamicImage {
    image::open(fixture("preprocess").join(file)).unwrap()
}

#[test]
fn every_kind_of_file_gives_the_pixels_of_transformers() {
    assert_eq!(assert_crops("preprocess"), 24);
}

#[test]
fn every_mode_gives_the_pixels_of_pillow() {
    assert_eq!(assert_crops("preprocess_modes"), 49);
}

/// Compare every `<file>/rgb<side>` of a folder; how many there are.
fn assert_crops(folder: &str) -> usize {
    let expected = Expected::read(&format!("{folder}/expected.safetensors"));
    let mut seen = 0;
    let mut wrong = Vec::new();
    for name in expected.names() {
        let (file, what) = name.split_once('/').unwrap();
        // `…-alpha-dropped` is what other libraries do, `pixel_values32` another test.
        let Some(side) = what.strip_prefix("rgb").and_then(|side| side.parse().ok()) else {
            continue;
        };
        let image = read_image(&fixture(folder).join(file)).expect(file);
        let crop = sized(side).crop(&image).unwrap();
        let (shape, pixels) = expected.u8(&name);
        assert_eq!(shape, [crop.height() as usize, crop.width() as usize, 3], "{name}");
        let differences: Vec<u8> =
            crop.as_raw().iter().zip(&pixels).map(|(a, b)| a.abs_diff(*b)).collect();
        let (most, differing) =
            (*differences.iter().max().unwrap(), differences.iter().filter(|&&d| d > 0).count());
        println!("{name}: {most} level(s), {differing} of {} values", differences.len());
        // Without losses nearly all are equal: Pillow's integers and these floats may fall on
        // either side of a half. Lossy files come out of different decoders.
        let lossy = file.ends_with(".jpg") || file.starts_with("lossy");
        if most > 1 || !lossy && differing > differences.len() / 1000 {
            wrong.push(format!(
                "{name}: {most} level(s), {differing} of {} values",
                differences.len()
            ));
        }
        seen += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    seen
}

/// `Image.convert("RGB")` before the resize.
#[test]
fn transparency_can_be_ignored() {
    let mut seen = 0;
    for folder in ["preprocess", "preprocess_modes"] {
        let expected = Expected::read(&format!("{folder}/expected.safetensors"));
        for name in expected.names() {
            let Some(file) = name.strip_suffix("/rgb32-alpha-dropped") else { continue };
            // A colour key survives Pillow's conversion, and transformers' processor, which made these
            // values, lays the picture on white after all.
            if file.contains("-key-") {
                continue;
            }
            let mut preprocessor = sized(32);
            preprocessor.transparency = Transparency::Ignored;
            let crop =
                preprocessor.crop(&read_image(&fixture(folder).join(file)).unwrap()).unwrap();
            let (_, pixels) = expected.u8(&name);
            let most = crop.as_raw().iter().zip(&pixels).map(|(a, b)| a.abs_diff(*b)).max();
            println!("{folder}/{name}: {most:?}");
            // GIF: the decoder forgets the colour under a transparent pixel, and so may WebP's.
            if !file.ends_with(".gif") {
                assert!(most.unwrap() <= 1, "{folder}/{name}: {most:?}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen}");
}

#[test]
fn every_setting_gives_the_values_of_transformers() {
    let text = std::fs::read_to_string(fixture("preprocess_modes/settings.json")).unwrap();
    let settings: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    let expected = Expected::read("preprocess_modes/settings.safetensors");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("preprocessor_config.json");
    for name in expected.names() {
        let (setting, file) = name.split_once('/').unwrap();
        std::fs::write(&path, settings[setting].to_string()).unwrap();
        let (shape, wanted) = expected.f32(&name);
        let config = VisionConfig { image_size: shape[1], ..VisionConfig::default() };
        let read = Preprocessor::from_folder(folder.path(), &config);
        // A model takes squares of one size: other pictures cannot be used.
        if ["stretch", "no-crop", "no-resize", "crop-with-margin"].contains(&setting) {
            let error = read.expect_err(setting).to_string();
            assert!(error.contains("preprocessor_config.json"), "{error}");
            continue;
        }
        let preprocessor = read.unwrap();
        let image = read_image(&fixture("preprocess_modes").join(file)).unwrap();
        let error = max_difference(&preprocessor.pixel_values(&image).unwrap(), &wanted);
        let level = preprocessor.rescale_factor as f32
            / preprocessor.image_std.iter().fold(f32::INFINITY, |least, &std| least.min(std));
        println!("{name}: {error:e} where a level is {level:e}");
        assert!(error <= 1.01 * level, "{name}: {error:e}, where a level is {level:e}");
    }
}

/// One of the folders that `makers/settings.py` showed to transformers.
#[derive(serde::Deserialize)]
struct Taken {
    files: BTreeMap<String, serde_json::Value>,
    size: BTreeMap<String, u32>,
    crop_size: BTreeMap<String, u32>,
    resample: u64,
    image_mean: serde_json::Value,
    image_std: serde_json::Value,
}

#[test]
fn the_files_of_a_folder_count_as_in_transformers() {
    let text = std::fs::read_to_string(fixture("preprocess_modes/folders.json")).unwrap();
    let folders: Vec<Taken> = serde_json::from_str(&text).unwrap();
    assert!(folders.len() >= 13);
    let each = |value: &serde_json::Value| -> [f32; 3] {
        let channel = |at: usize| value.get(at).unwrap_or(value).as_f64().unwrap() as f32;
        [0, 1, 2].map(channel)
    };
    for Taken { files, size, crop_size, resample, image_mean, image_std } in folders {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in &files {
            std::fs::write(folder.path().join(name), content.to_string()).unwrap();
        }
        let side = crop_size["height"];
        let config = VisionConfig { image_size: side as usize, ..VisionConfig::default() };
        let read = Preprocessor::from_folder(folder.path(), &config).unwrap();
        let resize = match size.get("shortest_edge") {
            Some(&side) => Resize::ShortestEdge(side),
            None => Resize::Exact { width: size["width"], height: size["height"] },
        };
        assert_eq!((read.resize, read.crop_size), (resize, side), "{files:?}");
        let filter = if resample == 2 { Filter::Bilinear } else { Filter::Bicubic };
        assert_eq!(read.resample, filter, "{files:?}");
        let channels = (each(&image_mean), each(&image_std));
        assert_eq!((read.image_mean, read.image_std), channels, "{files:?}");
    }
}

#[test]
fn values_are_rescaled_and_normalised() {
    let expected = Expected::read("preprocess/expected.safetensors");
    let config = ClipConfig::from_file(&fixture("tiny-clip/config.json")).unwrap().vision_config;
    let preprocessor = Preprocessor::from_folder(&fixture("tiny-clip"), &config).unwrap();
    let values = preprocessor.pixel_values(&open("rgb-67x64.png")).unwrap();
    let (shape, pixels) = expected.f32("rgb-67x64.png/pixel_values32");
    assert_eq!(shape, [3, 32, 32]);
    let error = max_difference(&values, &pixels);
    println!("pixel_values: {error:e}");
    assert!(error <= 1e-5, "{error:e}");

    let images = [open("rgb-67x64.png"), open("rgb-5x5.png")];
    let batch = preprocessor.batch(&images, &burn::tensor::Device::flex()).unwrap();
    assert_eq!(batch.dims(), [2, 3, 32, 32]);
    assert_eq!(common::values(batch)[..values.len()], values);
}

#[test]
fn pictures_without_use_are_refused() {
    let image = |width, height| DynamicImage::ImageRgb8(RgbImage::new(width, height));
    for (width, height) in [(0, 0), (0, 5), (5, 0)] {
        let error = sized(32).crop(&image(width, height)).unwrap_err().to_string();
        assert!(error.contains(&format!("{width} x {height}")), "{error}");
    }
    // Its shorter side at 32 pixels would make the longer one 3,200,000.
    let error = sized(32).crop(&image(1, 100_000)).unwrap_err().to_string();
    assert!(error.contains("1 x 100000"), "{error}");
    sized(32).crop(&image(1, 1_000)).unwrap();
    let error = sized(32).batch(&[], &burn::tensor::Device::flex()).unwrap_err().to_string();
    assert!(error.contains("at least one"), "{error}");
}

#[test]
fn saved_settings_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let config = VisionConfig { image_size: 32, ..VisionConfig::default() };
    let mut preprocessor = Preprocessor::new(&config);
    preprocessor.resize = Resize::ShortestEdge(40);
    preprocessor.resample = Filter::Lanczos;
    preprocessor.image_mean = [0.5, 0.25, 0.1];
    preprocessor.save(folder.path()).unwrap();
    assert_eq!(Preprocessor::from_folder(folder.path(), &config).unwrap(), preprocessor);
}

#[test]
fn without_a_file_the_settings_are_clip_s() {
    let folder = tempfile::tempdir().unwrap();
    let config = VisionConfig { image_size: 32, ..VisionConfig::default() };
    let found = Preprocessor::from_folder(folder.path(), &config).unwrap();
    assert_eq!(found, Preprocessor::new(&config));
    assert_eq!(found, Preprocessor::from_folder(&fixture("tiny-clip"), &config).unwrap());
}

#[test]
fn settings_that_cannot_be_met_are_named() {
    let config = VisionConfig { image_size: 32, ..VisionConfig::default() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("preprocessor_config.json");
    for (text, named) in [
        ("{", "preprocessor_config.json"),
        (r#"{"size": "large"}"#, "preprocessor_config.json"),
        (r#"{"resample": 6}"#, "resample"),
        (r#"{"crop_size": 64}"#, "crop_size is 64"),
        (r#"{"crop_size": {"height": 32, "width": 16}}"#, "crop_size is 32 x 16"),
        (r#"{"crop_size": {"shortest_edge": 32}}"#, "crop_size has a shortest_edge"),
        (r#"{"resample": 2}"#, "crop_size is 224, but the model takes images of 32"),
        (r#"{"size": {"shortest_edge": 16}, "crop_size": 32}"#, "size 16"),
        (r#"{"size": {"shortest_edge": 32, "longest_edge": 64}}"#, "\"longest_edge\""),
        (r#"{"size": {"max_height": 32, "max_width": 64}}"#, "size has ["),
        (r#"{"size": [32]}"#, "size: "),
        (r#"{"size": null}"#, "size is null"),
        (r#"{"image_mean": null}"#, "image_mean is null"),
        (r#"{"image_mean": [0.5, 0.5]}"#, "image_mean: "),
        (r#"{"size": 4000000000, "crop_size": 32}"#, "size is 4000000000"),
        (r#"{"size": 513, "crop_size": 32}"#, "size is 513; at most 512"),
        (r#"{"size": {"height": 32, "width": 513}, "crop_size": 32}"#, "size is 513; at most 512"),
        (r#"{"crop_size": 32, "image_std": [0.5, 0, 0.5]}"#, "image_std"),
        (r#"{"crop_size": 32, "image_mean": [1e60, 0, 0.5]}"#, "image_mean must be finite"),
        (r#"{"do_resize": null}"#, "do_resize"),
        (r#"{"do_pad": true, "pad_size": {"height": 40, "width": 40}}"#, "do_pad"),
        (r#"{"image_processor_type": "ViTImageProcessor"}"#, "image_processor_type is \"ViT"),
        (r#"{"feature_extractor_type": "ViTFeatureExtractor"}"#, "feature_extractor_type is"),
        ("[]", "not a JSON object"),
        (r#"{"do_resize": false}"#, "do_resize"),
        (r#"{"do_center_crop": false}"#, "do_center_crop"),
        (r#"{"rescale_factor": 1e999}"#, "preprocessor_config.json"),
        (r#"{"size": {"height": 32, "width": 70000}, "crop_size": 32}"#, "size is 70000"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = Preprocessor::from_folder(folder.path(), &config).expect_err(text).to_string();
        assert!(error.contains(named) && error.contains(path.to_str().unwrap()), "{error}");
    }
    // Sizes in the spellings of the years, and steps that are switched off.
    let clip = Preprocessor::new(&config);
    let squash = Resize::Exact { width: 32, height: 32 };
    for (text, expected) in [
        (r#"{"size": 32, "crop_size": 32}"#, clip.clone()),
        (
            r#"{"size": {"height": 32, "width": 32}, "crop_size": 32}"#,
            Preprocessor { resize: squash, ..clip.clone() },
        ),
        (
            r#"{"size": {"height": 32, "width": 32}, "do_center_crop": false, "resample": 2}"#,
            Preprocessor { resize: squash, resample: Filter::Bilinear, ..clip.clone() },
        ),
        (
            r#"{"do_normalize": false, "do_rescale": false, "size": 32, "crop_size": 32}"#,
            Preprocessor {
                rescale_factor: 1.0,
                image_mean: [0.0; 3],
                image_std: [1.0; 3],
                ..clip.clone()
            },
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(Preprocessor::from_folder(folder.path(), &config).expect(text), expected);
    }
}
