//! A model in use, with the adapter of the quickstart.

use std::sync::LazyLock;

use flora_e2e::{Call, assert_found, captured, flora, scratch};

use crate::quickstart;

/// The share of EmojiVendors' test images that are classified rightly.
fn top1(call: Call) -> f64 {
    call.json()["top1"].as_f64().unwrap()
}

/// With the adapter beside the weights.
fn with_adapter() -> f64 {
    static TOP1: LazyLock<f64> = LazyLock::new(|| {
        let adapter = quickstart::shared().folder().join("adapter");
        top1(flora!["eval", "--data", "emoji-vendors", "--adapter", adapter, "--json"])
    });
    *TOP1
}

#[test]
#[ignore = "end to end"]
fn the_adapter_raises_the_accuracy() {
    let confusion = scratch("eval").join("confusion.png");
    let call = flora!["eval", "--data", "emoji-vendors", "--json", "--confusion", &confusion];
    let (before, after) = (top1(call), with_adapter());
    println!("eval: {before:.4}, with the adapter {after:.4}");
    assert!(after > before + 0.05, "{before} -> {after}");
    assert!(confusion.metadata().unwrap().len() > 0, "the confusion matrix is empty");
}

#[test]
#[ignore = "end to end"]
fn eval_of_a_run_agrees_with_its_summary() {
    let predictions = scratch("eval-run").join("predictions.csv");
    let run = quickstart::shared().folder();
    let shown = flora!["eval", "--run", run, "--predictions", predictions].ok().stdout;
    println!("eval --run: {}", shown.lines().last().unwrap_or_default());
    assert_found("as in run.json$", &shown);
}

fn merged_is_as_accurate(layout: &str) {
    let out = scratch(&format!("export-{layout}"));
    let adapter = quickstart::shared().folder().join("adapter");
    let export = flora!["export", "--adapter", adapter, "--merged", "--layout", layout];
    export.arg("--out").arg(&out).ok();
    let merged = top1(flora!["eval", "--data", "emoji-vendors", "--model", &out, "--json"]);
    println!("export --layout {layout}: top-1 {merged:.4}");
    assert!((merged - with_adapter()).abs() < 0.005, "{merged}, not {}", with_adapter());
}

#[test]
#[ignore = "end to end"]
fn export_in_the_layout_of_hugging_face() {
    merged_is_as_accurate("hf");
}

#[test]
#[ignore = "end to end"]
fn export_in_the_layout_of_openclip() {
    merged_is_as_accurate("openclip");
}

#[test]
#[ignore = "end to end"]
fn retrieve() {
    let shown = flora!["retrieve", "--data", "emoji-vendors", "--split", "train", "--json"].json();
    let vendors = shown.as_array().unwrap();
    assert_eq!(vendors.len(), 4);
    for vendor in vendors {
        assert_eq!(vendor["image_to_text"]["candidates"], 1613, "{vendor}");
    }
    let shown = flora!["retrieve", "--data", "emoji-vendors", "--split", "train"].ok().stdout;
    let recall = captured(r"^mean +[0-9.]+ / [0-9.]+ / ([0-9.]+)", &shown);
    println!("retrieve: recall at 10 of {recall} %");
    assert!(recall > 50.0, "{shown}");
}

#[test]
#[ignore = "end to end"]
fn embed() {
    let scratch = scratch("embed");
    let (texts, array) = (scratch.join("texts.txt"), scratch.join("texts.npy"));
    std::fs::write(&texts, "a cat\n\nein Hund\n").unwrap();
    flora!["embed", "--texts", texts, "--out", &array].ok();
    // A header of 128 bytes, then three rows of 192 numbers.
    assert_eq!(array.metadata().unwrap().len(), 128 + 3 * 192 * 4);

    let images = "datasets/emoji-vendors/images/fxemoji/test";
    let out = scratch.join("images.safetensors");
    let shown = flora!["embed", "--images", images, "--out", out].ok();
    assert_found(": 66 images, 192 numbers each", &(shown.stdout + &shown.stderr));
}
