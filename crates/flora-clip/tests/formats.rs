//! Checkpoints in other libraries' layouts give the numbers of those libraries.

mod common;

use std::path::Path;

use burn::tensor::{Device, Tensor};
use common::{Expected, fixture, max_difference, values};
use flora_clip::{
    Centering, Checkpoint, CheckpointLayout, Clip, Padding, SaveOptions, Tokens, normalize,
    read_image,
};
use flora_core::Dtype;

/// The measured error is below 1.1e-5 on x86-64; the rest is a margin for other orders of summation.
const TOLERANCE: f32 = 2e-5;

fn open(path: &Path) -> (Checkpoint, Clip) {
    let checkpoint = Checkpoint::open(path).unwrap();
    let model = checkpoint.load(&Device::flex()).unwrap();
    (checkpoint, model)
}

fn assert_near<const D: usize>(place: &str, expected: &Expected, name: &str, actual: Tensor<D>) {
    let (shape, wanted) = expected.f32(name);
    assert_eq!(actual.dims().to_vec(), shape, "{place}: {name}");
    let error = max_difference(&values(actual), &wanted);
    println!("{place}: {name}: {error:e}");
    assert!(error <= TOLERANCE, "{place}: {name} differs by {error:e}");
}

/// Features, embeddings and logits of the expected file's images and texts.
fn assert_outputs(place: &str, (checkpoint, model): &(Checkpoint, Clip), expected: &Expected) {
    let device = Device::flex();
    let config = &checkpoint.config.text_config;
    let tokens = Tokens::new(&expected.input_ids(), Padding::Context, config).unwrap();
    let pixels = expected.tensor::<4>("pixel_values", &device);
    let (images, texts) = (model.image_features(pixels.clone()), model.text_features(&tokens));
    assert_near(place, expected, "image_embeds", normalize(images.clone()));
    assert_near(place, expected, "text_embeds", normalize(texts.clone()));
    assert_near(place, expected, "image_features", images);
    assert_near(place, expected, "text_features", texts);
    assert_near(place, expected, "logits_per_image", model.logits_per_image(pixels, &tokens));
}

#[test]
fn hugging_face_s_layouts() {
    for (folder, expected) in [
        ("hf-bin", "tiny-clip"),
        ("hf-f16", "hf-f16"),
        ("hf-bf16", "hf-bf16"),
        ("hf-sharded", "hf-f16"),
        ("hf-bin-legacy", "hf-f16"),
        ("hf-bin-sharded", "hf-f16"),
    ] {
        let expected = Expected::read(&format!("{expected}/expected.safetensors"));
        assert_outputs(folder, &open(&fixture(folder)), &expected);
    }
    // A file of weights with its configuration beside it.
    let expected = Expected::read("tiny-clip/expected.safetensors");
    for file in ["hf-bin/pytorch_model.bin", "tiny-clip/model.safetensors"] {
        assert_outputs(file, &open(&fixture(file)), &expected);
    }
}

#[test]
fn open_clip_s_layouts() {
    let mut compared = 0;
    for (place, expected) in [
        ("openclip", "openclip"),
        ("openclip/open_clip_pytorch_model.bin", "openclip"),
        ("openclip-quick", "openclip-quick"),
        ("openclip-custom-text", "openclip-custom-text"),
        ("openclip-training/epoch_1.pt", "openclip-quick"),
    ] {
        let expected = Expected::read(&format!("{expected}/expected.safetensors"));
        let opened = open(&fixture(place));
        assert_outputs(place, &opened, &expected);
        compared += assert_preprocessing(place, &opened.0, &expected);
    }
    assert!(compared >= 4, "{compared} images were compared");
}

#[test]
fn open_ai_s_archive_needs_no_configuration() {
    let expected = Expected::read("openai/tiny.expected.safetensors");
    let opened = open(&fixture("openai/tiny.pt"));
    assert_outputs("tiny.pt", &opened, &expected);
    assert_eq!(opened.0.config.vision_config.num_attention_heads, 2);
    assert_eq!(opened.0.preprocessor.centering, Centering::Round);
}

#[test]
fn a_state_dict_needs_one() {
    let error = Checkpoint::open(&fixture("openai/tiny-state-dict.pt")).unwrap_err().to_string();
    assert!(
        error.contains("which activation") && error.contains("open_clip_config.json"),
        "{error}"
    );

    // Views into one storage, one of them by columns.
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("tiny-state-dict.pt");
    std::fs::copy(fixture("openai/tiny-state-dict.pt"), &weights).unwrap();
    let config = r#"{"model_cfg": {"embed_dim": EMBED, "quick_gelu": true,
        "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 64, "layers": 1},
        "text_cfg": {"context_length": 16, "vocab_size": 1024, "width": 64, "heads": 1, "layers": 1}}}"#;
    let expected = Expected::read("openai/tiny-state-dict.expected.safetensors");
    let embed = expected.f32("text_embeds").0[1].to_string();
    std::fs::write(folder.path().join("open_clip_config.json"), config.replace("EMBED", &embed))
        .unwrap();
    assert_outputs("tiny-state-dict.pt", &open(&weights), &expected);
}

/// The owner's own transform of a few files, centred as it centres them; how many there are.
fn assert_preprocessing(place: &str, checkpoint: &Checkpoint, expected: &Expected) -> usize {
    let files = expected.names().into_iter().filter(|name| name.contains('/'));
    let mut seen = 0;
    for name in files {
        let image = read_image(&fixture(&name)).unwrap();
        let values = checkpoint.preprocessor.pixel_values(&image).unwrap();
        let (_, wanted) = expected.f32(&name);
        let level =
            1.01 / 255.0 / checkpoint.preprocessor.image_std.iter().fold(1f32, |a, &b| a.min(b));
        let error = max_difference(&values, &wanted);
        println!("{place}: {name}: {error:e}");
        assert!(error <= level, "{place}: {name} differs by {error:e}");
        seen += 1;
    }
    seen
}

#[test]
fn every_layout_comes_back_from_every_layout() {
    let device = Device::flex();
    for place in ["tiny-clip", "openclip", "openclip-quick", "openai/tiny.pt"] {
        let (original, model) = open(&fixture(place));
        let Checkpoint { config, tokenizer, preprocessor, .. } = &original;
        let pixels = Tensor::<4>::random(
            [2, 3, 32, 32],
            burn::tensor::Distribution::Normal(0.0, 1.0),
            &device,
        );
        for layout in [CheckpointLayout::HuggingFace, CheckpointLayout::OpenClip] {
            let folder = tempfile::tempdir().unwrap();
            let options = SaveOptions { layout, dtype: Dtype::F32 };
            Checkpoint::save(folder.path(), &model, config, tokenizer, preprocessor, options)
                .unwrap();
            let (saved, again) = open(folder.path());
            assert_eq!(
                common::bits(model.image_features(pixels.clone())),
                common::bits(again.image_features(pixels.clone())),
                "{place} as {layout:?}"
            );
            let sentence = "a photo of a cat";
            let (ids, again_ids) = (tokenizer.encode(sentence), saved.tokenizer.encode(sentence));
            assert_eq!(ids.unwrap(), again_ids.unwrap(), "{place} as {layout:?}");
            assert_eq!(saved.config.vision_config, config.vision_config);
            assert_eq!(saved.preprocessor.image_mean, preprocessor.image_mean);
            assert_eq!(saved.preprocessor.resize, preprocessor.resize);
        }
    }
}

#[test]
fn what_open_clip_has_and_this_has_not_is_refused_by_name() {
    let text = std::fs::read_to_string(fixture("openclip/open_clip_config.json")).unwrap();
    for (from, to, named) in [
        ("\"width\": 32,", "\"width\": 32, \"timm_model_name\": \"vit\",", "timm_model_name"),
        ("\"heads\": 4,", "\"heads\": 4, \"hf_model_name\": \"roberta\",", "hf_model_name"),
        ("\"heads\": 4,", "\"heads\": 4, \"pool_type\": \"last\",", "text_cfg.pool_type"),
        ("\"heads\": 4,", "\"heads\": 4, \"no_causal_mask\": true,", "no_causal_mask"),
        ("\"width\": 32,", "\"width\": 32, \"ls_init_value\": 0.1,", "ls_init_value"),
        ("\"embed_dim\": 20,", "\"embed_dim\": 20, \"init_logit_bias\": -10,", "init_logit_bias"),
        (
            "\"embed_dim\": 20,",
            "\"embed_dim\": 20, \"multimodal_cfg\": {\"a\": 1},",
            "multimodal_cfg",
        ),
        (
            "\"layers\": 2,\n      \"mlp",
            "\"layers\": [3, 4, 6, 3],\n      \"mlp",
            "vision_cfg.layers",
        ),
        ("\"image_size\": 32", "\"image_size\": [32, 48]", "32 x 48"),
        ("\"head_width\": 8", "\"head_width\": 0", "num_attention_heads"),
        ("\"interpolation\": \"bicubic\"", "\"interpolation\": \"sinc\"", "interpolation"),
        ("\"resize_mode\": \"shortest\"", "\"resize_mode\": \"longest\"", "resize_mode"),
        ("\"embed_dim\": 20,", "", "embed_dim"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("open_clip_config.json");
        std::fs::write(&path, changed).unwrap();
        std::fs::write(folder.path().join("open_clip_model.safetensors"), "").unwrap();
        let error = Checkpoint::open(folder.path()).expect_err(named).to_string();
        assert!(error.starts_with(path.to_str().unwrap()) && error.contains(named), "{error}");
    }
}

/// Hubs have repositories with several layouts, and timm's have a `config.json` of timm's own.
#[test]
fn of_several_layouts_the_best_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let put = |from: &str, to: &str| std::fs::copy(fixture(from), folder.path().join(to)).unwrap();
    let layers = || open(folder.path()).0.config.text_config.num_hidden_layers;
    // OpenCLIP's fixture has two layers, Hugging Face's three.
    put("openclip/open_clip_config.json", "open_clip_config.json");
    put("openclip/open_clip_pytorch_model.bin", "open_clip_pytorch_model.bin");
    std::fs::write(folder.path().join("config.json"), r#"{"architecture": "vit_base_patch32"}"#)
        .unwrap();
    std::fs::write(folder.path().join("model.safetensors"), "timm's").unwrap();
    assert_eq!(layers(), 2);
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    put("tiny-clip/config.json", "config.json");
    assert_eq!(layers(), 2);
    put("hf-bin/pytorch_model.bin", "pytorch_model.bin");
    assert_eq!(layers(), 3);
    put("openclip/open_clip_model.safetensors", "open_clip_model.safetensors");
    assert_eq!(layers(), 2, "no pickle where there is none needed");
    put("tiny-clip/model.safetensors", "model.safetensors");
    assert_eq!(layers(), 3);
}

#[test]
fn common_mistakes_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("model.safetensors");
    std::fs::copy(fixture("tiny-clip/config.json"), folder.path().join("config.json")).unwrap();
    for (bytes, named) in [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "git lfs pull"),
        ("<!DOCTYPE html><html></html>", "web page"),
    ] {
        std::fs::write(&weights, bytes).unwrap();
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let error = checkpoint.load(&Device::flex()).unwrap_err().to_string();
        assert!(error.starts_with(weights.to_str().unwrap()) && error.contains(named), "{error}");
    }
    std::fs::remove_file(&weights).unwrap();
    std::fs::copy(fixture("openai/tiny.pt"), folder.path().join("ViT.pt")).unwrap();
    let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("ViT.pt is meant"), "{error}");
}

/// All that `CLIPProcessor.save_pretrained` of transformers 5 writes.
#[test]
fn a_processor_s_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("tiny-clip").join(file), folder.path().join(file)).unwrap();
    }
    let path = folder.path().join("processor_config.json");
    let mean = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Checkpoint::open(folder.path()).map(|checkpoint| checkpoint.preprocessor.image_mean)
    };
    let file =
        r#"{"image_processor": {"image_mean": [0.5, 0.25, 0.125], "size": 32, "crop_size": 32}}"#;
    assert_eq!(mean(file).unwrap(), [0.5, 0.25, 0.125]);
    assert_ne!(mean(r#"{"processor_class": "CLIPProcessor"}"#).unwrap(), [0.5, 0.25, 0.125]);
    let error = mean(r#"{"image_processor": {"crop_size": 33}}"#).unwrap_err().to_string();
    assert!(error.contains("processor_config.json") && error.contains("crop_size"), "{error}");
}
