//! Whatever one of the small files of a checkpoint holds, it opens as a model that works or is refused.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use flora_clip::{Checkpoint, ClipTokenizer};
use flora_fuzz::{scratch, write};
use image::DynamicImage;
use libfuzzer_sys::fuzz_target;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../crates/flora-clip/tests/fixtures/", $name)).as_slice()
    };
}

type Files = &'static [(&'static str, &'static [u8])];

const VOCABULARY: (&str, &[u8]) = ("vocab.json", fixture!("tiny-clip/vocab.json"));
const MERGES: (&str, &[u8]) = ("merges.txt", fixture!("tiny-clip/merges.txt"));
const CONFIG: (&str, &[u8]) = ("config.json", fixture!("tiny-clip/config.json"));
const OPEN_CLIP: (&str, &[u8]) =
    ("open_clip_config.json", fixture!("openclip/open_clip_config.json"));
/// Opening looks whether the weights are there, and no further.
const NOTHING: &[u8] = b"";

const HUGGING_FACE: Files = &[CONFIG, VOCABULARY, MERGES, ("model.safetensors", NOTHING)];

/// The file that is fuzzed, by the first byte of the input, and those beside it.
const CASES: [(&str, Files); 8] = [
    ("config.json", HUGGING_FACE),
    ("preprocessor_config.json", HUGGING_FACE),
    ("vocab.json", HUGGING_FACE),
    ("merges.txt", HUGGING_FACE),
    ("tokenizer.json", HUGGING_FACE),
    (
        "model.safetensors.index.json",
        &[
            CONFIG,
            VOCABULARY,
            MERGES,
            ("model-00001-of-00003.safetensors", NOTHING),
            ("model-00002-of-00003.safetensors", NOTHING),
            ("model-00003-of-00003.safetensors", NOTHING),
        ],
    ),
    ("open_clip_config.json", &[VOCABULARY, MERGES, ("open_clip_model.safetensors", NOTHING)]),
    // Opened as a file: the names of the tensors tell which configuration belongs to them.
    ("weights.safetensors", &[CONFIG, OPEN_CLIP, VOCABULARY, MERGES]),
];

/// One folder for each case.
static FOLDERS: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
    let folders = CASES.iter().enumerate().map(|(case, (_, files))| {
        let folder = scratch().join(case.to_string());
        for (name, bytes) in *files {
            write(&folder.join(name), bytes);
        }
        folder
    });
    folders.collect()
});

fuzz_target!(init: let_tokenizers_panic(), |input: &[u8]| {
    let Some((&case, bytes)) = input.split_first() else { return };
    let case = usize::from(case) % CASES.len();
    let folder = &FOLDERS[case];
    let file = folder.join(CASES[case].0);
    write(&file, bytes);
    let path = if file.ends_with("weights.safetensors") { &file } else { folder };
    let Ok(checkpoint) = Checkpoint::open(path) else { return };

    let Checkpoint { config, tokenizer, preprocessor, .. } = &checkpoint;
    config.check().expect("it was checked");
    preprocessor.check(&config.vision_config).expect("it was checked");
    checkpoint.digest().expect("the weights are there");

    let text = &config.text_config;
    let ids = encode(tokenizer);
    if let Some(ids) = &ids {
        assert!(ids.len() <= text.max_position_embeddings.max(2));
        assert!(ids.iter().all(|&id| (id as usize) < text.vocab_size));
    }
    let saved = scratch().join("saved");
    std::fs::create_dir_all(&saved).expect("the temporary folder has room");
    tokenizer.save(&saved).expect("the temporary folder has room");
    let again = ClipTokenizer::from_folder(&saved, text).expect("it was written here");
    assert_eq!(encode(&again), ids);
    for name in ["tokenizer.json", "vocab.json", "merges.txt"] {
        let _ = std::fs::remove_file(saved.join(name));
    }

    // The size of the model's images is the configuration's to choose; all else has to follow from it.
    if config.vision_config.image_size <= 64 {
        let crop = preprocessor.crop(&DynamicImage::new_rgb8(5, 4)).expect("a plain image");
        assert_eq!(crop.width() as usize, config.vision_config.image_size);
        assert_eq!(crop.dimensions(), (crop.height(), crop.width()));
    }
});

/// `tokenizers` panics on some files, which flora-clip catches; elsewhere a panic ends the run.
fn let_tokenizers_panic() {
    let end = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.location().is_some_and(|place| place.file().contains("/tokenizers-")) {
            end(info);
        }
    }));
}

/// The ids of a text; none where the tokenizer refuses it.
fn encode(tokenizer: &ClipTokenizer) -> Option<Vec<u32>> {
    tokenizer.encode("A photo of the cat's  2 \u{e9}t\u{e9}s, \u{1f642}!").ok()
}
