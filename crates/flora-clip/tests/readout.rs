//! States of the vision tower's blocks are those that `transformers` has.

mod common;

use burn::tensor::{Device, Tensor};
use common::{Expected, fixture, values};
use flora_clip::{Checkpoint, Readout};

#[test]
fn states_are_those_of_transformers_and_leave_the_feature_as_it_is() {
    let device = Device::flex();
    let checkpoint = Checkpoint::open(&fixture("tiny-clip")).unwrap();
    let model = checkpoint.load(&device).unwrap();
    let images: Tensor<4> =
        Expected::read("tiny-clip/expected.safetensors").tensor("pixel_values", &device);
    let config = &checkpoint.config.vision_config;
    let readout = Readout::usual(config);
    assert_eq!(readout, Readout { class: vec![2], patches: vec![2, 1] });
    let rows = model.image_rows(images.clone(), &readout);
    let [batch, width] = rows.dims();
    let dim = checkpoint.config.projection_dim;
    assert_eq!(width, dim + readout.width(config));

    let feature = values(rows.clone().slice([0..batch, 0..dim]));
    let alone = values(model.image_features(images));
    assert!(feature.iter().zip(&alone).all(|(a, b)| a.to_bits() == b.to_bits()));

    let text = std::fs::read_to_string(fixture("readout.json")).unwrap();
    let expected: Vec<Vec<f32>> = serde_json::from_str(&text).unwrap();
    let read = values(rows.slice([0..batch, dim..width]));
    assert_eq!(expected.len(), batch);
    for (row, expected) in read.chunks(width - dim).zip(&expected) {
        assert_eq!(row.len(), expected.len());
        for (a, b) in row.iter().zip(expected) {
            assert!((a - b).abs() < 2e-6, "{a} {b}");
        }
    }
}
