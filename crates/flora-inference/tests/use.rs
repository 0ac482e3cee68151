//! Embedding, classifying, scoring and exporting, with the small fixtures and the bundled model.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use flora_clip::{Checkpoint, CheckpointLayout, Padding, SaveOptions, Tokens, normalize};
use flora_core::workers::Workers;
use flora_core::{Dtype, ParameterRecord};
use flora_data::{Dataset, FeatureCache, Limit, Split, Template};
use flora_inference::embed::{Embedded, Items, embed};
use flora_inference::{Model, Notice, classify, export_merged, image_files, score, sentences};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn fixture(name: &str) -> PathBuf {
    root().join("crates/flora-clip/tests/fixtures").join(name)
}

fn open(name: &str, adapter: Option<&str>) -> Model {
    let adapter = adapter.map(fixture);
    Model::open(&fixture(name), adapter.as_deref(), &Device::flex()).unwrap()
}

fn texts() -> Vec<String> {
    // More than a step takes, of many lengths, one of them empty and one too long for the model.
    let mut texts: Vec<String> =
        (0..300).map(|i| "a cat ".repeat(i % 9) + &i.to_string()).collect();
    texts[7] = String::new();
    texts[8] = "a very long text ".repeat(50);
    texts
}

fn rows(path: &Path) -> (Vec<usize>, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    if path.extension().unwrap() == "safetensors" {
        let record = ParameterRecord::from_safetensors(&bytes).unwrap();
        let tensor = record.get("embeddings").unwrap();
        return (tensor.shape().to_vec(), tensor.to_f32().into_owned());
    }
    let file = npyz::NpyFile::new(&bytes[..]).unwrap();
    let shape = file.shape().iter().map(|&extent| extent as usize).collect();
    (shape, file.into_vec::<f32>().unwrap())
}

#[test]
fn a_row_is_its_text_s_whatever_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let model = open("tiny-clip", None);
    let workers = Workers::new(2).unwrap();
    let texts = texts();
    for (name, raw) in [("x.npy", false), ("y.safetensors", false), ("z.npy", true)] {
        let path = folder.path().join("new").join(name);
        let embedded =
            embed(&model, Items::Texts(&texts), &path, raw, &workers, &mut |_| {}).unwrap();
        assert_eq!(embedded, Embedded { rows: 300, dim: 20, resumed: 0 });
        let (shape, values) = rows(&path);
        assert_eq!(shape, [300, 20]);
        for at in [0, 7, 8, 155, 299] {
            let config = &model.checkpoint.config.text_config;
            let ids = model.embedder.tokenizer.encode(&texts[at]).unwrap();
            let tokens = Tokens::new(&[ids], Padding::Context, config).unwrap();
            let alone = model.clip().text_features(&tokens);
            let alone = if raw { alone } else { normalize(alone) };
            let alone = alone.into_data().try_into_vec::<f32>().unwrap();
            let row = &values[at * 20..][..20];
            let most = row.iter().zip(&alone).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(most < 1e-5, "{name}, row {at}: {most}");
        }
    }
    assert_eq!(std::fs::read_dir(folder.path().join("new")).unwrap().count(), 3, "no partial file");
}

#[test]
fn an_interrupted_embedding_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let model = open("tiny-clip", None);
    let workers = Workers::new(2).unwrap();
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures).unwrap();
    for index in 0..150u32 {
        let pixel = image::Rgb([index as u8, 255 - index as u8, 7]);
        image::RgbImage::from_pixel(9, 7, pixel)
            .save(pictures.join(format!("{index:03}.png")))
            .unwrap();
    }
    let files = image_files(std::slice::from_ref(&pictures)).unwrap();
    let whole = folder.path().join("whole.npy");
    embed(&model, Items::Images(&files), &whole, false, &workers, &mut |_| {}).unwrap();

    // The picture in the middle breaks, and is repaired.
    let broken = &files[100];
    let good = std::fs::read(broken).unwrap();
    let changed = broken.metadata().unwrap().modified().unwrap();
    let same_time = |bytes: &[u8]| {
        std::fs::write(broken, bytes).unwrap();
        std::fs::File::options().write(true).open(broken).unwrap().set_modified(changed).unwrap();
    };
    let damaged: Vec<u8> = good.iter().map(|byte| !byte).collect();
    same_time(&damaged);
    let target = folder.path().join("target.npy");
    let error =
        embed(&model, Items::Images(&files), &target, false, &workers, &mut |_| {}).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("100.png") && error.contains("96 of 150 rows are kept"), "{error}");
    assert!(!target.exists());
    // Half a row more, as a crash would leave it.
    let partial = folder.path().join("target.npy.partial");
    let mut kept = std::fs::read(&partial).unwrap();
    kept.extend([1; 30]);
    std::fs::write(&partial, kept).unwrap();
    same_time(&good);
    let mut first = None;
    let embedded = embed(&model, Items::Images(&files), &target, false, &workers, &mut |notice| {
        first.get_or_insert(notice);
    });
    let embedded = embedded.unwrap();
    assert_eq!(embedded, Embedded { rows: 150, dim: 20, resumed: 96 });
    assert_eq!(first, Some(Notice::Progress { done: 96, total: 150 }));
    assert_eq!(std::fs::read(&target).unwrap(), std::fs::read(&whole).unwrap());
    assert!(!partial.exists());

    // Without the broken picture the rows before it are taken, too.
    same_time(&damaged);
    embed(&model, Items::Images(&files), &target, false, &workers, &mut |_| {}).unwrap_err();
    let others: Vec<PathBuf> = files.iter().filter(|&file| file != broken).cloned().collect();
    let embedded =
        embed(&model, Items::Images(&others), &target, false, &workers, &mut |_| {}).unwrap();
    assert_eq!(embedded, Embedded { rows: 149, dim: 20, resumed: 96 });
    same_time(&good);
    let (all, but_one) = (rows(&whole).1, rows(&target).1);
    assert_eq!([&all[..2000], &all[2020..]].concat(), but_one);

    // Two calls do not write one file, and a file of the user's is left alone.
    std::fs::write(&partial, "hello").unwrap();
    let error =
        embed(&model, Items::Images(&files), &target, false, &workers, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("move it away"), "{error}");
    assert_eq!(std::fs::read(&partial).unwrap(), b"hello");
    std::fs::write(&partial, "").unwrap();
    let held = std::fs::File::open(&partial).unwrap();
    held.lock().unwrap();
    let error =
        embed(&model, Items::Images(&files), &target, false, &workers, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("another call"), "{error}");
    drop(held);

    // What was computed with another model is not taken.
    std::fs::write(&partial, "flora embeddings of something else\n").unwrap();
    let embedded = embed(&model, Items::Images(&files[..9]), &target, false, &workers, &mut |_| {});
    assert_eq!(embedded.unwrap(), Embedded { rows: 9, dim: 20, resumed: 0 });
    let error =
        embed(&model, Items::Images(&files), Path::new("x.csv"), false, &workers, &mut |_| {});
    assert!(error.unwrap_err().to_string().contains(".npy"));
}

/// Wherever a killed process stopped, and whatever happened to its file: the target is the same.
#[test]
fn a_partial_file_is_resumed_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let model = open("tiny-clip", None);
    let workers = Workers::new(2).unwrap();
    let files: Vec<PathBuf> = (0..70u32)
        .map(|index| {
            let path = folder.path().join(format!("{index:03}.png"));
            let picture =
                |x, y| image::Rgb([index as u8, (x * index) as u8, (y * 9 + index) as u8]);
            image::RgbImage::from_fn(9, 7, picture).save(&path).unwrap();
            path
        })
        .collect();
    let embedded = |files: &[PathBuf], target: &Path| {
        let mut warnings = Vec::new();
        let embedded =
            embed(&model, Items::Images(files), target, false, &workers, &mut |notice| {
                if let Notice::Warning(warning) = notice {
                    warnings.push(warning);
                }
            });
        (embedded.map(|embedded| embedded.resumed), warnings)
    };
    let whole = folder.path().join("whole.npy");
    embedded(&files, &whole).0.unwrap();
    let whole = std::fs::read(whole).unwrap();

    // Two whole batches, because the last one cannot be read.
    let target = folder.path().join("target.npy");
    let partial = folder.path().join("target.npy.partial");
    let mut broken = files.clone();
    broken[69] = folder.path().join("broken.png");
    std::fs::write(&broken[69], "not an image").unwrap();
    embedded(&broken, &target).0.unwrap_err();
    let kept = std::fs::read(&partial).unwrap();
    let row = 4 + 8 + 4 * 20;
    let head = kept.len() - 64 * row;

    for end in [0, 5, head - 1, head, head + 1, head + 33 * row, head + 64 * row - 1, kept.len()] {
        std::fs::write(&partial, &kept[..end]).unwrap();
        let (resumed, warnings) = embedded(&files, &target);
        assert_eq!(resumed.unwrap(), end.saturating_sub(head) / row / 32 * 32, "{end}");
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(std::fs::read(&target).unwrap(), whole, "cut at {end}");
    }
    for (damaged, resumed) in [(0, 0), (31, 0), (32, 32), (63, 32)] {
        let row_at = head + damaged * row;
        for change in [row_at..row_at + 1, row_at + 6..row_at + 7, row_at + row - 1..row_at + row] {
            let mut bytes = kept.clone();
            bytes[change].iter_mut().for_each(|byte| *byte ^= 0x40);
            std::fs::write(&partial, bytes).unwrap();
            let (took, warnings) = embedded(&files, &target);
            assert_eq!(took.unwrap(), resumed);
            let expected = format!("{resumed} rows kept, row {damaged} was damaged");
            assert!(matches!(&warnings[..], [one] if one.contains(&expected)), "{warnings:?}");
            assert_eq!(std::fs::read(&target).unwrap(), whole);
        }
    }
    // Of another version, or with a damaged key: told, and computed again.
    let mut bytes = kept.clone();
    bytes[head - 5] ^= 1;
    std::fs::write(&partial, bytes).unwrap();
    let (resumed, warnings) = embedded(&files, &target);
    assert_eq!(resumed.unwrap(), 0);
    assert!(matches!(&warnings[..], [one] if one.contains("another version")), "{warnings:?}");
    assert_eq!(std::fs::read(&target).unwrap(), whole);
}

#[test]
fn an_adapter_changes_what_it_adapts_and_merges_into_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, adapted) = (open("tiny-clip", None), open("tiny-clip", Some("tiny-clip-lora")));
    assert!(!adapted.adapts_vision());
    assert_ne!(plain.fingerprint().unwrap(), adapted.fingerprint().unwrap());
    let features = |model: &Model| {
        let features = model.embedder.texts(&["a cat", "two small dogs in the snow"]).unwrap();
        features.into_data().try_into_vec::<f32>().unwrap()
    };
    let (before, after) = (features(&plain), features(&adapted));
    assert_ne!(before, after);
    for layout in [CheckpointLayout::HuggingFace, CheckpointLayout::OpenClip] {
        let target = folder.path().join(format!("{layout:?}"));
        let options = SaveOptions { layout, dtype: Dtype::F32 };
        export_merged(adapted.clone(), &target, options).unwrap();
        let merged = features(&Model::open(&target, None, &Device::flex()).unwrap());
        let most = merged.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(most < 1e-5, "{layout:?}: {most}");
        let checkpoint = Checkpoint::open(&target).unwrap();
        assert_eq!(checkpoint.config.vision_config, plain.checkpoint.config.vision_config);
    }
}

#[test]
fn every_image_has_its_answer() {
    let model = open("tiny-clip", None);
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.png");
    std::fs::write(&broken, "no picture").unwrap();
    let mut files = image_files(&[fixture("preprocess")]).unwrap();
    files.insert(3, broken);
    let templates = ["a photo of a {}.", "a drawing of a {}."].map(|t| Template::new(t).unwrap());
    let classes = sentences(&["cat", "dog", "car"], &templates);
    assert_eq!(classes[1], ["a photo of a dog.", "a drawing of a dog."]);
    let classifier = model.embedder.classifier(&classes).unwrap();
    let predictions =
        [1, 2].map(|n| classify(&model, &classifier, &files, &Workers::new(n).unwrap(), |_| {}));
    for (index, prediction) in predictions[0].iter().enumerate() {
        match prediction {
            Err(error) => {
                assert_eq!(index, 3);
                assert!(error.to_string().contains("broken.png"), "{error}");
            }
            Ok(prediction) => {
                let sum: f32 = prediction.ranked.iter().map(|(_, share)| share).sum();
                assert!((sum - 1.0).abs() < 1e-5, "{sum}");
                assert!(prediction.ranked.is_sorted_by(|a, b| a.1 >= b.1));
                assert_eq!(Some(prediction), predictions[1][index].as_ref().ok());
            }
        }
    }
    let error = model.embedder.classifier(&[]).unwrap_err().to_string();
    assert!(error.contains("name at least one"), "{error}");
}

/// An ensemble is the mean of directions: twice the same template changes nothing, and the order of
/// the templates does not matter.
#[test]
fn ensembles_are_means() {
    let model = open("tiny-clip", None);
    let logits = |templates: &[&str]| {
        let templates: Vec<_> = templates.iter().map(|t| Template::new(*t).unwrap()).collect();
        let classifier =
            model.embedder.classifier(&sentences(&["cat", "dog"], &templates)).unwrap();
        let image = burn::tensor::Tensor::<2>::ones([1, 20], &Device::flex());
        classifier.logits(image).into_data().try_into_vec::<f32>().unwrap()
    };
    let near = |a: Vec<f32>, b: Vec<f32>| a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4);
    assert!(near(logits(&["a {}", "a {}"]), logits(&["a {}"])));
    assert!(near(logits(&["a {}", "two {}s"]), logits(&["two {}s", "a {}"])));
    assert!(!near(logits(&["a {}", "two {}s"]), logits(&["a {}"])));
}

#[test]
fn scores_are_the_same_from_the_cache() {
    let model = Model::open(&root().join("models/clip-nano"), None, &Device::flex()).unwrap();
    let path = root().join("datasets/emoji-vendors/emoji-vendors.toml");
    let dataset = Dataset::open(&path, None).unwrap();
    let dataset = dataset.limit(Limit { train: Some(40), test: Some(60) }, 0);
    let (whole, dataset) = (dataset.len(), dataset.only(Split::Test));
    assert!(dataset.len() < whole && dataset.indices(Split::Train).is_empty());
    let templates = [dataset.template().clone()];
    let classifier = model.embedder.classifier(&sentences(dataset.classes(), &templates)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let cache = FeatureCache::new(folder.path());
    let workers = Workers::new(2).unwrap();
    let mut notices = 0;
    let mut run = |cache: Option<&FeatureCache>| {
        score(&model, &classifier, &dataset, cache, &workers, &mut |_| notices += 1).unwrap()
    };
    let computed = run(None);
    assert_eq!(computed, run(Some(&cache)));
    assert_eq!(computed, run(Some(&cache)));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(computed.labels.len(), dataset.indices(Split::Test).len());
    assert_eq!(computed.values.len(), computed.labels.len() * computed.classes);
}
