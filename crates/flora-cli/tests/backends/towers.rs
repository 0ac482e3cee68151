//! The towers give the numbers of `transformers`, and the device passes flora's own check.

use flora::clip::{Padding, Precision, Tokens, ZeroShot, loss, normalize};

use super::{Case, FORWARD, assert_near, device, name, values};

#[test]
fn the_device_passes_the_check() {
    let findings = flora::device::measure(&device(), &mut |_| {}).unwrap();
    for finding in &findings {
        println!("{}: {}: {:.1e}", name(), finding.operation, finding.difference);
        assert!(finding.holds(), "{finding:?}");
        // The check's tolerance leaves room for tensor cores; the devices tested here have none.
        assert!(finding.difference <= 1e-4, "{finding:?}");
    }
    assert!(findings.len() >= 6);
}

#[test]
fn features_and_logits_are_those_of_transformers() {
    for model in ["tiny-clip", "tiny-clip-gelu"] {
        let case = Case::open(model, &device());
        case.assert_features(&case.clip, &case.inputs, "", model);
        let logits = case.clip.logits_per_image(case.images.clone(), &case.tokens);
        let (_, expected) = case.inputs.f32("logits_per_image");
        assert_near(&values(logits.clone()), &expected, FORWARD, &format!("{model}, logits"));
        let (_, expected) = case.inputs.f32("loss");
        let loss = loss::contrastive(logits.slice([0..3, 0..3]));
        assert_near(&values(loss), &expected, FORWARD, &format!("{model}, loss"));
    }
}

/// Padding to the longest text, and computing a common prefix once, change nothing.
#[test]
fn shorter_work_gives_the_same_texts() {
    let case = Case::open("tiny-clip", &device());
    let config = &case.checkpoint.config.text_config;
    let end = config.vocab_size as u32 - 1;
    let bare = |row: Vec<u32>| {
        let length = row.iter().position(|&id| id == end).expect("every text ends") + 1;
        row[..length].to_vec()
    };
    let bare: Vec<Vec<u32>> = case.inputs.input_ids().into_iter().map(bare).collect();
    let short = Tokens::new(&bare, Padding::Longest, config).unwrap();
    let expected = values(case.clip.text_features(&case.tokens));
    assert_near(&values(case.clip.text_features(&short)), &expected, FORWARD, "padding");
    let prefix = case.clip.text_model.prefix(&short);
    let all: Vec<usize> = (0..bare.len()).collect();
    let whole = case.clip.text_model.forward(&short);
    let shared = case.clip.text_model.forward_from(&prefix, &all);
    assert_near(&values(shared), &values(whole), FORWARD, "common beginning");
}

#[test]
fn probabilities_of_sentences_add_up() {
    let case = Case::open("tiny-clip", &device());
    let (tokenizer, config) = (&case.checkpoint.tokenizer, &case.checkpoint.config.text_config);
    let zero_shot = ZeroShot::new(&case.clip, tokenizer, config, &["a cat", "a", "a dog"]).unwrap();
    let images = normalize(case.clip.image_features(case.images.clone()));
    for row in values(zero_shot.probabilities(images)).chunks(3) {
        let sum: f32 = row.iter().sum();
        assert!((sum - 1.0).abs() < 1e-5 && row.iter().all(|&it| it > 0.0), "{row:?}");
    }
}

/// In 16 bits, if the device supports them: a layer's products are off by at most 2/256 (bf16) or 2/2048 (f16) of the
/// sum of their magnitudes, and features of these small towers by no more than a few layers of that.
#[test]
fn images_in_16_bits_are_near_those_in_f32() {
    let case = Case::open("tiny-clip", &device());
    let expected = values(case.clip.image_features(case.images.clone()));
    for (precision, tolerance) in [(Precision::Bf16, 2e-2), (Precision::F16, 4e-3)] {
        let rounded = match case.clip.clone().in_precision(precision) {
            Ok(clip) => values(clip.image_features(case.images.clone())),
            Err(error) => {
                println!("{}: {error}", name());
                assert!(
                    error.to_string().contains("no such numbers") && name() != "flex",
                    "{error}"
                );
                continue;
            }
        };
        assert_near(&rounded, &expected, tolerance, precision.as_str());
        assert_ne!(rounded, expected, "{precision}");
    }
}
