//! Adapters in either tower are trained, and nothing else is sent.

use flora_core::ParameterRecord;

use crate::common::{Images, bits, max_difference, run};

fn train(images: &Images, towers: &str, path: &str) -> ParameterRecord {
    let (finished, told) = run(images.experiment(&[
        &format!("method.lora.towers={towers}"),
        &format!("method.implementation={path}"),
        "method.loss=class-ce",
        "training.rounds=4",
    ]));
    let losses = told.losses();
    assert_eq!(losses.len(), 4);
    assert!(losses[3] < losses[0] - 0.01, "{towers} {path}: {losses:?}");
    let outcome = finished.outcome.unwrap();
    let sent = outcome.last.byte_len() as u64;
    assert_eq!(outcome.bytes_up, 4 * 3 * sent);
    assert_eq!(outcome.bytes_down, 4 * 3 * sent);
    outcome.last
}

fn is_adapter(name: &str) -> bool {
    name.ends_with(".self_attn.out_proj.lora_A.weight")
        || name.ends_with(".self_attn.out_proj.lora_B.weight")
}

#[test]
fn the_text_tower_trains() {
    let images = Images::new(2, 1);
    let record = train(&images, "text", "fast");
    // 3 layers, A and B, rank 2, width 24.
    assert_eq!((record.len(), record.num_parameters()), (6, 3 * 2 * 2 * 24));
    assert!(record.names().all(|name| name.starts_with("text_model.") && is_adapter(name)));
    assert!(max_difference(&record, &train(&images, "text", "naive")) < 1e-4);
}

#[test]
fn the_vision_tower_trains_alike_on_both_paths() {
    let images = Images::new(2, 1);
    let record = train(&images, "vision", "fast");
    // 2 layers of width 32.
    assert_eq!((record.len(), record.num_parameters()), (4, 2 * 2 * 2 * 32));
    assert!(record.names().all(|name| name.starts_with("vision_model.") && is_adapter(name)));
    assert!(max_difference(&record, &train(&images, "vision", "naive")) < 1e-4);
    assert!(!images.cache().exists(), "features of a tower that trains are not kept");
}

#[test]
fn both_towers_train_at_once() {
    let images = Images::new(2, 1);
    let record = train(&images, "both", "fast");
    assert_eq!(record.num_parameters(), 3 * 2 * 2 * 24 + 2 * 2 * 2 * 32);
    assert!(record.names().all(is_adapter));
    let trained = |(name, values): &(String, Vec<u32>)| {
        !name.contains("lora_B") || values.iter().any(|&bits| f32::from_bits(bits) != 0.0)
    };
    assert!(bits(&record).iter().all(trained), "no adapter stays at zero");
}
