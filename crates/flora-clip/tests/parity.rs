//! The same weights give the same numbers as `transformers.CLIPModel`.

mod common;

use burn::tensor::{Device, Tensor};
use common::{Expected, fixture, max_difference, unpadded, values};
use flora_clip::{Checkpoint, Clip, Padding, TextConfig, Tokens, ZeroShot, loss, normalize};

/// The measured error is below 7e-6 on x86-64; the rest is a margin for other orders of summation.
const TOLERANCE: f32 = 2e-5;

/// The texts behind `input_ids`, from `make_fixtures.py`.
const TEXTS: [&str; 4] = [
    "a",
    "a cat",
    "two small dogs in the snow",
    "a photo of a red mushroom, seen from a long way above",
];

struct Case {
    name: &'static str,
    model: Clip,
    checkpoint: Checkpoint,
    expected: Expected,
    device: Device,
}

impl Case {
    fn open(name: &'static str) -> Self {
        let device = Device::flex();
        let checkpoint = Checkpoint::open(&fixture(name)).unwrap();
        let model = checkpoint.load(&device).unwrap();
        let expected = Expected::read(&format!("{name}/expected.safetensors"));
        Self { name, model, checkpoint, expected, device }
    }

    fn config(&self) -> &TextConfig {
        &self.checkpoint.config.text_config
    }

    fn images(&self) -> Tensor<4> {
        self.expected.tensor("pixel_values", &self.device)
    }

    /// All texts at once, padded to the context by `transformers`, and by this crate.
    fn batches(&self) -> [Tokens; 3] {
        let padded = self.expected.input_ids();
        let bare: Vec<_> = padded.iter().map(|row| unpadded(row)).collect();
        let tokens =
            |rows: &[Vec<u32>], padding| Tokens::new(rows, padding, self.config()).unwrap();
        [
            tokens(&padded, Padding::Context),
            tokens(&bare, Padding::Context),
            tokens(&bare, Padding::Longest),
        ]
    }

    fn assert_near<const D: usize>(&self, what: &str, actual: Tensor<D>) {
        self.assert_near_values(what, what, actual, |values| values);
    }

    /// `actual` against what `part` takes of the tensor `name` of the fixture.
    fn assert_near_values<const D: usize>(
        &self,
        what: &str,
        name: &str,
        actual: Tensor<D>,
        part: impl FnOnce(Vec<f32>) -> Vec<f32>,
    ) {
        let expected = part(self.expected.f32(name).1);
        let error = max_difference(&values(actual), &expected);
        println!("{} {what}: {error:e}", self.name);
        assert!(error <= TOLERANCE, "{} {what} differs by {error:e}", self.name);
    }
}

fn check_all(name: &'static str) {
    let case = Case::open(name);
    let image_features = case.model.image_features(case.images());
    case.assert_near("image_features", image_features.clone());
    case.assert_near("image_embeds", normalize(image_features));
    for tokens in case.batches() {
        let text_features = case.model.text_features(&tokens);
        case.assert_near("text_features", text_features.clone());
        case.assert_near("text_embeds", normalize(text_features));
        let logits = case.model.logits_per_image(case.images(), &tokens);
        case.assert_near("logits_per_image", logits.clone());
        case.assert_near("logits_per_text", logits.clone().transpose());
        case.assert_near("loss", loss::contrastive(logits.slice([0..3, 0..3])));
    }
}

#[test]
fn quick_gelu() {
    check_all("tiny-clip");
}

/// The exact GELU, and the layout of OpenAI's repositories: an `eos_token_id` of 2 that means "the
/// largest id", and `position_ids` among the weights.
#[test]
fn gelu_and_the_legacy_layout() {
    check_all("tiny-clip-gelu");
}

#[test]
fn short_batches_give_the_features_of_padded_ones() {
    for name in ["tiny-clip", "tiny-clip-gelu"] {
        let case = Case::open(name);
        let width = case.checkpoint.config.projection_dim;
        for (row, ids) in case.expected.input_ids().iter().enumerate() {
            let ids = unpadded(ids);
            let tokens = Tokens::new(&[ids], Padding::Longest, case.config()).unwrap();
            if row < 3 {
                assert!(tokens.length() < case.config().max_position_embeddings);
            }
            let features = case.model.text_features(&tokens);
            let what = format!("text {row} alone");
            case.assert_near_values(&what, "text_features", features, |all| {
                all[row * width..(row + 1) * width].to_vec()
            });
        }
    }
}

#[test]
fn from_sentences_to_probabilities() {
    let case = Case::open("tiny-clip");
    let tokenizer = &case.checkpoint.tokenizer;
    let ids: Vec<_> = case.expected.input_ids().iter().map(|row| unpadded(row)).collect();
    assert_eq!(tokenizer.encode_all(&TEXTS).unwrap(), ids);

    let zero_shot = ZeroShot::new(&case.model, tokenizer, case.config(), &TEXTS).unwrap();
    let images = case.model.image_features(case.images());
    case.assert_near("logits_per_image", zero_shot.logits(images.clone()));
    for row in values(zero_shot.probabilities(images)).chunks(TEXTS.len()) {
        let sum: f32 = row.iter().sum();
        assert!((sum - 1.0).abs() < 1e-6, "{row:?}");
    }

    let none: [&str; 0] = [];
    let error = ZeroShot::new(&case.model, tokenizer, case.config(), &none).unwrap_err();
    assert!(error.to_string().contains("class names"), "{error}");
}

#[test]
fn the_halves_compute_what_the_whole_does() {
    let case = Case::open("tiny-clip");
    let [tokens, ..] = case.batches();
    let (text, vision) = case.model.clone().split();
    case.assert_near("text_features", text.features(&tokens));
    case.assert_near("image_features", vision.features(case.images()));
}

#[test]
fn an_autodiff_device_gives_the_same_numbers() {
    // There burn computes attention and layer norms from parts, not by its fused kernels.
    let mut case = Case::open("tiny-clip");
    case.device = Device::flex().autodiff();
    case.model = case.checkpoint.load(&case.device).unwrap();
    let [tokens, ..] = case.batches();
    case.assert_near("logits_per_image", case.model.logits_per_image(case.images(), &tokens));
}
