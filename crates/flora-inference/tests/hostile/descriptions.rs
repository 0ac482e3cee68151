//! Configurations, tokenizers and preprocessing.

use crate::cases::{Case, Change, text};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = configurations();
    cases.extend(tokenizers());
    cases.extend(others());
    cases
}

fn configurations() -> Vec<Case> {
    const CONFIG: &str = "config.json";
    let whole = text("tiny-clip/config.json");
    let case = |name: &str, named, text: String| {
        Case::new(format!("config: {name}"), "tiny-clip", named).file(CONFIG, text)
    };
    let with = |from: &str, to: &str| {
        let changed = whole.replace(from, to);
        assert_ne!(changed, whole, "{from}");
        changed
    };
    vec![
        case("empty", &[CONFIG], String::new()),
        case("no JSON", &[CONFIG], "weights".into()),
        case("no fields", &[CONFIG, "model_type"], "{}".into()),
        case("deep brackets", &[CONFIG], "[".repeat(1_000_000)),
        case(
            "siglip",
            &[CONFIG, "siglip"],
            with("\"model_type\": \"clip\",", "\"model_type\": \"siglip\","),
        ),
        // Tensors of this size would take petabytes.
        case("huge widths", &["shape"], with("\"hidden_size\": 24", "\"hidden_size\": 65536")),
        case(
            "huge depth",
            &["missing"],
            with("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 256"),
        ),
        case(
            "a huge vocabulary",
            &["token_embedding"],
            with("\"vocab_size\": 1024", "\"vocab_size\": 16777216"),
        ),
        case(
            "a vocabulary beyond any",
            &[CONFIG, "vocab_size"],
            with("\"vocab_size\": 1024", "\"vocab_size\": 4294967296"),
        ),
        case(
            "no heads",
            &[CONFIG, "num_attention_heads"],
            with("\"num_attention_heads\": 4", "\"num_attention_heads\": 0"),
        ),
        case("a text for a number", &[CONFIG], with("\"patch_size\": 8", "\"patch_size\": \"8\"")),
        case(
            "a fraction for a number",
            &[CONFIG],
            with("\"patch_size\": 8", "\"patch_size\": 8.5"),
        ),
        case("tanh GELU", &[CONFIG, "gelu_new"], with("\"quick_gelu\"", "\"gelu_new\"")),
        Case::new("config: gone", "tiny-clip", &[CONFIG]).change(CONFIG, Change::Missing),
        Case::new("config: 100 MB of zeros", "tiny-clip", &[CONFIG])
            .change(CONFIG, Change::Zeros(100 << 20)),
        Case::new("config: no text", "tiny-clip", &[CONFIG]).file(CONFIG, [0xff, 0xfe, 0x00]),
    ]
}

fn tokenizers() -> Vec<Case> {
    let case = |name: &str, file: &'static [&'static str], bytes: &str| {
        Case::new(format!("tokenizer: {name}"), "tiny-clip", file).file(file[0], bytes)
    };
    let merges = text("tiny-clip/merges.txt");
    vec![
        case("a vocabulary that is none", &["vocab.json"], "[1, 2]"),
        case("a negative id", &["vocab.json"], r#"{"a": -1}"#),
        case("an id beyond the model", &["vocab.json", "4000000000"], r#"{"a": 4000000000}"#),
        case("no end token", &["vocab.json"], r#"{"a": 1}"#),
        Case::new("tokenizer: merges of unknown words", "tiny-clip", &["vocab.json"])
            .file("merges.txt", "one line\n"),
        case("merges that are no pairs", &["merges.txt"], &merges.replace(' ', "")),
        case("a pipeline that is none", &["tokenizer.json"], "{}"),
        case(
            "a pipeline with a wrong model",
            &["tokenizer.json"],
            r#"{"model":{"type":"BPE","vocab":{"a":0},"merges":["x y"]}}"#,
        ),
        case("a pipeline of brackets", &["tokenizer.json"], &"[".repeat(1_000_000)),
        case(
            "a pattern that does not compile",
            &["tokenizer.json"],
            r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":{"type":"Replace","pattern":{"Regex":"("},"content":""},"pre_tokenizer":null,"post_processor":null,"decoder":null,"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}"#,
        ),
    ]
}

fn others() -> Vec<Case> {
    const STEPS: &str = "preprocessor_config.json";
    let steps = |name: &str, text: &str| {
        Case::new(format!("preprocessing: {name}"), "tiny-clip", &[STEPS]).file(STEPS, text)
    };
    let open_clip = |name: &str, text: String| {
        Case::new(format!("open_clip: {name}"), "openclip", &["open_clip_config.json"])
            .file("open_clip_config.json", text)
    };
    let whole = text("openclip/open_clip_config.json");
    vec![
        steps("no JSON", "{"),
        steps("a huge size", r#"{"size": 4000000000}"#),
        steps("another size than the model's", r#"{"crop_size": 33}"#),
        steps("no deviation", r#"{"image_std": [0, 0, 0]}"#),
        steps("an unknown filter", r#"{"resample": 99}"#),
        open_clip("no JSON", "{".into()),
        open_clip(
            "a ResNet",
            whole.replace("\"layers\": 2,\n      \"mlp", "\"layers\": [3],\n      \"mlp"),
        ),
        open_clip(
            "an overflowing ratio",
            whole.replace("\"mlp_ratio\": 4.0", "\"mlp_ratio\": 1e300"),
        ),
        open_clip("no width", whole.replace("\"width\": 32", "\"width\": 0")),
        Case::new("open_clip: other weights", "openclip", &["open_clip_model.safetensors"]).file(
            "open_clip_model.safetensors",
            crate::cases::bytes("tiny-clip/model.safetensors"),
        ),
    ]
}
