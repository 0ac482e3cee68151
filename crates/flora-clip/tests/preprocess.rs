//! The same pictures give the same pixels as `transformers.CLIPImageProcessorPil`.

mod common;

use common::{Expected, fixture, max_difference};
use flora_clip::{ClipConfig, Preprocessor, VisionConfig};
use image::{DynamicImage, RgbImage};

fn sized(side: usize) -> Preprocessor {
    Preprocessor::new(&VisionConfig { image_size: side, ..VisionConfig::default() })
}

fn open(file: &str) -> DynamicImage {
    image::open(fixture("preprocess").join(file)).unwrap()
}

#[test]
fn every_kind_of_file_gives_the_pixels_of_transformers() {
    let expected = Expected::read("preprocess/expected.safetensors");
    let mut seen = 0;
    for name in expected.names() {
        let (file, what) = name.split_once('/').unwrap();
        // `…-alpha-dropped` is what other libraries do, `pixel_values32` another test.
        let Some(side) = what.strip_prefix("rgb").and_then(|side| side.parse().ok()) else {
            continue;
        };
        let crop = sized(side).crop(&open(file)).unwrap();
        let (shape, pixels) = expected.u8(&name);
        assert_eq!(shape, [crop.height() as usize, crop.width() as usize, 3], "{name}");
        let differences: Vec<u8> =
            crop.as_raw().iter().zip(&pixels).map(|(a, b)| a.abs_diff(*b)).collect();
        let (most, differing) =
            (differences.iter().max().unwrap(), differences.iter().filter(|&&d| d > 0).count());
        println!("{name}: {most} level(s), {differing} of {} values", differences.len());
        assert!(*most <= 1, "{name} differs by {most} levels");
        // Without losses nearly all are equal: Pillow's integers and these floats may fall on
        // either side of a half. JPEG files come out of different decoders.
        if !file.ends_with(".jpg") {
            assert!(differing <= differences.len() / 1000, "{name}: {differing} values differ");
        }
        seen += 1;
    }
    assert_eq!(seen, 24);
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
    preprocessor.shortest_edge = 40;
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
        (r#"{"resample": 2}"#, "resample"),
        (r#"{"crop_size": 64}"#, "crop_size is 64"),
        (r#"{"crop_size": {"height": 32, "width": 16}}"#, "crop_size is 32 x 16"),
        (r#"{"size": {"shortest_edge": 16}}"#, "size 16"),
        (r#"{"size": 4000000000}"#, "size is 4000000000"),
        (r#"{"image_std": [0.5, 0, 0.5]}"#, "image_std"),
        (r#"{"image_mean": [1e60, 0, 0.5]}"#, "image_mean"),
        (r#"{"do_normalize": false}"#, "do_normalize"),
        (r#"{"do_center_crop": false}"#, "do_center_crop"),
        (r#"{"rescale_factor": 0.5}"#, "rescale_factor"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = Preprocessor::from_folder(folder.path(), &config).expect_err(text).to_string();
        assert!(error.contains(named) && error.contains(path.to_str().unwrap()), "{error}");
    }
    // Both spellings of sizes, as the years wrote them.
    for text in [r#"{"size": 32, "crop_size": 32}"#, r#"{"size": {"height": 32, "width": 32}}"#] {
        std::fs::write(&path, text).unwrap();
        let found = Preprocessor::from_folder(folder.path(), &config).expect(text);
        assert_eq!(found, Preprocessor::new(&config));
    }
}
