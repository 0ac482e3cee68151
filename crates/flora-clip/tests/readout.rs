//! States of the vision tower's blocks are those that `transformers` has.

mod common;

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use common::{Expected, fixture, values};
use flora_clip::{Checkpoint, Readout, normalize};

#[test]
fn states_are_those_of_transformers_and_leave_the_feature_as_it_is() {
    let device = Device::flex();
    let checkpoint = Checkpoint::open(&fixture("tiny-clip")).unwrap();
    let model = checkpoint.load(&device).unwrap();
    let images: Tensor<4> =
        Expected::read("tiny-clip/expected.safetensors").tensor("pixel_values", &device);
    let config = &checkpoint.config.vision_config;
    let readout = Readout::of_layers(config);
    assert_eq!((&readout.class[..], &readout.patches[..]), (&[2][..], &[2, 1][..]));
    let dim = checkpoint.config.projection_dim;
    let plain = values(normalize(model.image_features(images.clone())));
    let text = std::fs::read_to_string(fixture("readout.json")).unwrap();
    let fixture: BTreeMap<String, Vec<Vec<f32>>> = serde_json::from_str(&text).unwrap();
    for (name, readout) in [("plain", readout.clone()), ("shifted", readout.shifted())] {
        let rows = model.image_rows(images.clone(), &readout);
        let [batch, width] = rows.dims();
        assert_eq!(width, 2 * dim + readout.width(config));
        let feature = values(rows.clone().slice([0..batch, 0..dim]));
        assert!(feature.iter().zip(&plain).all(|(a, b)| a.to_bits() == b.to_bits()));
        // Behind it, the mean feature and the mean states.
        let read = values(rows.slice([0..batch, dim..width]));
        let expected = &fixture[name];
        assert_eq!(expected.len(), batch);
        for (row, expected) in read.chunks(width - dim).zip(expected) {
            assert_eq!(row.len(), expected.len());
            for (a, b) in row.iter().zip(expected) {
                assert!((a - b).abs() < 3e-6, "{name}: {a} {b}");
            }
        }
    }
    // Without states there are the features alone.
    let rows = model.image_rows(images.clone(), &Readout::of_features());
    let [batch, width] = rows.dims();
    assert_eq!(width, 2 * dim);
    assert_eq!(values(rows.slice([0..batch, dim..width])), plain);
}
