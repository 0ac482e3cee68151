//! One test suite for all backends: it runs on the device named by `FLORA_TEST_DEVICE`, by default `flex`.
//!
//! ```sh
//! cargo test --release -p flora-cli --features wgpu,ndarray --test backends
//! FLORA_TEST_DEVICE=wgpu cargo test --release -p flora-cli --features wgpu,ndarray --test backends
//! ```
//!
//! Results are compared with the fixtures of `transformers` and PEFT on every device; `flex` has stricter tests in the
//! crates.

mod adapters;
mod program;
mod towers;

#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::sync::LazyLock;

use burn::tensor::{Device, Tensor, TensorData};
use flora::clip::{Checkpoint, Clip, Padding, Tokens};
use flora::core::ParameterRecord;
use safetensors::{Dtype, SafeTensors};

/// The device's name.
fn name() -> String {
    std::env::var("FLORA_TEST_DEVICE").unwrap_or_else(|_| "flex".to_owned())
}

/// The device, opened once.
fn device() -> Device {
    static DEVICE: LazyLock<Device> =
        LazyLock::new(|| flora::device::parse(&name()).unwrap_or_else(|error| panic!("{error}")));
    DEVICE.clone()
}

/// Tolerance of features and logits, relative to the largest value: other orders of summation stay below 1e-5, and a
/// GPU's exp and rsqrt add as much.
const FORWARD: f32 = 1e-4;
/// Tolerance of gradients, relative to the largest of each tensor.
const BACKWARD: f32 = 1e-3;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../flora-clip/tests/fixtures").join(name)
}

/// A safetensors file of expected values.
struct Expected(Vec<u8>);

impl Expected {
    fn read(name: &str) -> Self {
        Self(std::fs::read(fixture(name)).unwrap())
    }

    fn raw(&self, name: &str, dtype: Dtype) -> (Vec<usize>, Vec<u8>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        assert_eq!(view.dtype(), dtype, "{name}");
        (view.shape().to_vec(), view.data().to_vec())
    }

    fn f32(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let (shape, bytes) = self.raw(name, Dtype::F32);
        (shape, bytes.as_chunks().0.iter().copied().map(f32::from_le_bytes).collect())
    }

    fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        let (shape, values) = self.f32(name);
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    fn input_ids(&self) -> Vec<Vec<u32>> {
        let (shape, bytes) = self.raw("input_ids", Dtype::I64);
        let ids = bytes.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b) as u32);
        ids.collect::<Vec<_>>().chunks(shape[1]).map(<[u32]>::to_vec).collect()
    }
}

/// A model of the fixtures with the inputs of its expected outputs.
struct Case {
    checkpoint: Checkpoint,
    clip: Clip,
    tokens: Tokens,
    images: Tensor<4>,
    inputs: Expected,
}

impl Case {
    fn open(name: &str, device: &Device) -> Self {
        let checkpoint = Checkpoint::open(&fixture(name)).unwrap();
        let inputs = Expected::read(&format!("{name}/expected.safetensors"));
        let config = &checkpoint.config.text_config;
        Self {
            clip: checkpoint.load(device).unwrap(),
            tokens: Tokens::new(&inputs.input_ids(), Padding::Context, config).unwrap(),
            images: inputs.tensor("pixel_values", device),
            inputs,
            checkpoint,
        }
    }

    /// Asserts that text and image features equal those in `expected`.
    fn assert_features(&self, clip: &Clip, expected: &Expected, prefix: &str, what: &str) {
        let images = clip.image_features(self.images.clone());
        for (kind, features) in
            [("text_features", clip.text_features(&self.tokens)), ("image_features", images)]
        {
            let (_, expected) = expected.f32(&format!("{prefix}{kind}"));
            assert_near(&values(features), &expected, FORWARD, &format!("{what}, {kind}"));
        }
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().unwrap()
}

/// The largest difference, relative to the largest expected value.
fn difference(actual: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(actual.len(), expected.len());
    let size = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
    let apart = actual.iter().zip(expected).map(|(a, b)| (a - b).abs());
    // `f32::max` would swallow a NaN.
    apart.fold(0.0, |most, x| if x.is_nan() || x > most { x } else { most }) / size
}

fn assert_near(actual: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    let difference = difference(actual, expected);
    println!("{}: {what}: {difference:.1e}", name());
    assert!(difference <= tolerance, "{}: {what} differ by {difference:.1e}", name());
}

/// The same for every tensor of a record.
fn assert_records_near(
    actual: &ParameterRecord,
    expected: &ParameterRecord,
    tolerance: f32,
    what: &str,
) {
    actual.check_matches(expected).unwrap();
    let mut most = 0.0f32;
    for (tensor_name, tensor) in expected.iter() {
        let actual = actual.get(tensor_name).unwrap().to_f32();
        let apart = difference(&actual, &tensor.to_f32());
        assert!(apart <= tolerance, "{}: {what}, {tensor_name}: {apart:.1e}", name());
        most = most.max(apart);
    }
    println!("{}: {what}: {most:.1e}", name());
}
