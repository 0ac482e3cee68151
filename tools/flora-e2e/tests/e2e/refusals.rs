//! Bad input ends with exit code 2 and a message that helps, and leaves no folder behind.

use std::path::{Path, PathBuf};

use flora_e2e::{Call, flora, root, scratch};

use crate::{images_of_fxemoji, quickstart};

const MODEL: &str = "models/clip-nano";

/// A call that must be refused with `words`, and that must leave nothing in its `--out`.
fn is_refused(words: &str, call: Call, out: &Path) {
    call.arg("--out").arg(out).refused(words);
    assert!(!out.exists(), "the refused call left {}", out.display());
}

/// The quickstart with a setting that must be refused with `words`.
fn setting_is_refused(name: &str, words: &str, assignment: &str) {
    let call = flora!["run", "quickstart"].set(assignment);
    is_refused(words, call, &scratch(&format!("refused-{name}")).join("out"));
}

#[test]
#[ignore = "end to end"]
fn an_unknown_setting() {
    setting_is_refused("setting", "learnig_rate", "training.learnig_rate=1");
}

#[test]
#[ignore = "end to end"]
fn an_unknown_field_of_a_file() {
    let scratch = scratch("refused-field");
    let file = scratch.join("typo.toml");
    let preset = flora!["presets", "quickstart"].ok().stdout;
    std::fs::write(&file, preset + "\n[federation]\nfracton = 0.5\n").unwrap();
    is_refused("fracton", flora!["run", file], &scratch.join("out"));
}

#[test]
#[ignore = "end to end"]
fn a_model_that_is_not_there() {
    setting_is_refused("model", "model.path", "model.path=no/such/folder");
}

#[test]
#[ignore = "end to end"]
fn data_that_are_not_there() {
    setting_is_refused("data", "data.root", "data.root=no/such/folder");
}

#[test]
#[ignore = "end to end"]
fn a_device_that_is_not_compiled() {
    let call = flora!["run", "quickstart", "--device", "cuda"];
    is_refused("--features cuda", call, &scratch("refused-device").join("out"));
}

#[test]
#[ignore = "end to end"]
fn a_partition_without_enough_images() {
    let partition = r#"partition={kind="dirichlet",clients=10,beta=0.1,min_samples=1000}"#;
    setting_is_refused("partition", "min_samples", partition);
}

#[test]
#[ignore = "end to end"]
fn a_rule_that_a_method_cannot_use() {
    let call =
        flora!["run", "quickstart"].set("federation.strategy=median").set("method.name=ridge");
    is_refused("median has no effect; leave it out", call, &scratch("refused-rule").join("out"));
}

#[test]
#[ignore = "end to end"]
fn an_unknown_preset() {
    let out = scratch("refused-preset").join("out");
    is_refused("no such preset", flora!["run", "no-such-preset"], &out);
}

#[test]
#[ignore = "end to end"]
fn weights_that_are_cut_off() {
    let scratch = scratch("refused-weights");
    let model = scratch.join("cut");
    std::fs::create_dir(&model).unwrap();
    for entry in std::fs::read_dir(root().join(MODEL)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, model.join(path.file_name().unwrap())).unwrap();
    }
    let weights = std::fs::File::options().write(true).open(model.join("model.safetensors"));
    weights.unwrap().set_len(100_000).unwrap();
    let call = flora!["run", "quickstart"].set(format!("model.path={}", model.display()));
    is_refused("model.safetensors", call, &scratch.join("out"));
}

#[test]
#[ignore = "end to end"]
fn weights_outside_their_folder() {
    let model = scratch("refused-index");
    std::fs::copy(root().join(MODEL).join("config.json"), model.join("config.json")).unwrap();
    let index = r#"{"weight_map": {"logit_scale": "../../etc/passwd"}}"#;
    std::fs::write(model.join("model.safetensors.index.json"), index).unwrap();
    let call = flora!["classify", "--labels", "a,b", "--model", model, &images_of_fxemoji()[0]];
    call.refused("same folder");
}

#[test]
#[ignore = "end to end"]
fn an_image_that_is_none() {
    let image = scratch("refused-image").join("broken.png");
    std::fs::write(&image, "not an image").unwrap();
    flora!["classify", "--labels", "cat,dog", image].refused("broken.png");
}

#[test]
#[ignore = "end to end"]
fn an_unknown_model() {
    let image = &images_of_fxemoji()[0];
    flora!["classify", "--labels", "a,b", "--model", "no-such-model", image].refused("clip-nano");
}

/// A folder with a file of texts to embed.
fn texts(name: &str) -> (PathBuf, PathBuf) {
    let scratch = scratch(name);
    let texts = scratch.join("texts.txt");
    std::fs::write(&texts, "a cat\n\nein Hund\n").unwrap();
    (scratch, texts)
}

#[test]
#[ignore = "end to end"]
fn a_download_without_the_feature() {
    let (scratch, texts) = texts("refused-download");
    let call = flora!["embed", "--texts", texts, "--model", "hf:owner/no-such-model"];
    is_refused("--features hub", call, &scratch.join("x.npy"));
}

#[test]
#[ignore = "end to end"]
fn a_folder_without_an_adapter() {
    let (scratch, texts) = texts("refused-adapter");
    let call = flora!["embed", "--texts", texts, "--adapter", &scratch];
    is_refused("adapter_config.json", call, &scratch.join("x.npy"));
}

#[test]
#[ignore = "end to end"]
fn an_unknown_format_of_embeddings() {
    let (scratch, texts) = texts("refused-format");
    is_refused(".npy", flora!["embed", "--texts", texts], &scratch.join("x.csv"));
}

#[test]
#[ignore = "end to end"]
fn a_folder_that_is_not_empty() {
    let run = quickstart::shared().folder();
    flora!["export", "--out", run].refused("is not empty");
}

#[test]
#[ignore = "end to end"]
fn a_run_that_is_there_already() {
    let run = quickstart::shared().folder();
    flora!["run", "quickstart", "--out", run].refused("--overwrite");
}

#[test]
#[ignore = "end to end"]
fn an_empty_batch() {
    flora!["bench", "--batch", "0"].refused("--batch");
}
