//! Adapters out of a module and in again, by name.

mod common;

use burn::module::Module;
use burn::tensor::Device;
use common::{HIDDEN, INPUTS, OUTPUTS, Two, bits, config, inputs, shapes, trained, values};
use flora_core::{Dtype, HostTensor, ParameterRecord};
use flora_lora::{adapter_record, attach, load_adapter_record, num_adapter_parameters};

fn model(device: &Device) -> Two {
    attach(Two::new(device), &config(), 0).unwrap()
}

#[test]
fn a_record_has_the_names_and_the_layout_of_peft() {
    let model = model(&Device::flex().autodiff());
    let record = adapter_record(&model).unwrap();
    let found: Vec<_> = record.iter().map(|(name, tensor)| (name, tensor.shape())).collect();
    let wanted = shapes();
    assert_eq!(found, wanted.iter().map(|(name, shape)| (*name, &shape[..])).collect::<Vec<_>>());
    assert_eq!(num_adapter_parameters(&model), 2 * (INPUTS + HIDDEN) + 2 * (HIDDEN + OUTPUTS));
    assert_eq!(num_adapter_parameters(&model), record.num_parameters());

    let a = values(model.first.lora.unwrap().lora_a.val());
    let transposed: Vec<f32> = (0..2)
        .flat_map(|row| (0..INPUTS).map(move |column| (row, column)))
        .map(|(row, column)| a[column * 2 + row])
        .collect();
    assert_eq!(*record.get("first.lora_A.weight").unwrap().to_f32(), transposed);
}

#[test]
fn a_record_comes_back() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        let loaded = load_adapter_record(model(&device), &trained()).unwrap();
        assert_eq!(adapter_record(&loaded).unwrap(), trained());
        // The order of the tensors is no part of a record.
        let mut reversed = ParameterRecord::new();
        let tensors: Vec<_> = trained().iter().map(|(n, t)| (n.to_owned(), t.clone())).collect();
        for (name, tensor) in tensors.into_iter().rev() {
            reversed.insert(name, tensor).unwrap();
        }
        let again = load_adapter_record(model(&device), &reversed).unwrap();
        assert_eq!(bits(again.forward(inputs(&device))), bits(loaded.forward(inputs(&device))));
    }
}

#[test]
fn loading_keeps_identities_and_what_trains() {
    let device = Device::flex().autodiff();
    let before = model(&device);
    let (a, weight) = (before.first.lora.as_ref().unwrap().lora_a.id, before.first.weight.id);
    let mut after = load_adapter_record(before, &trained()).unwrap();
    let lora = after.first.lora.as_ref().unwrap();
    assert_eq!((lora.lora_a.id, after.first.weight.id), (a, weight));
    assert!(lora.lora_a.val().is_require_grad() && lora.lora_b.val().is_require_grad());
    assert!(!after.first.weight.val().is_require_grad());

    let lora = after.first.lora.as_mut().unwrap();
    lora.lora_a = lora.lora_a.clone().no_grad();
    let lora = load_adapter_record(after, &trained()).unwrap().first.lora.unwrap();
    assert!(!lora.lora_a.val().is_require_grad() && lora.lora_b.val().is_require_grad());

    // Into a copy for inference, and from there back to training.
    let valid = load_adapter_record(model(&device).valid(), &trained()).unwrap();
    assert!(!valid.first.lora.as_ref().unwrap().lora_a.val().is_require_grad());
    let lora = valid.train().first.lora.unwrap();
    assert!(lora.lora_a.val().is_require_grad());
}

#[test]
fn half_precision_is_widened() {
    let device = Device::flex();
    let half = trained().cast(Dtype::F16);
    let record = adapter_record(&load_adapter_record(model(&device), &half).unwrap()).unwrap();
    assert_eq!(record, half.cast(Dtype::F32));
}

#[test]
fn records_that_do_not_fit_are_refused_by_name() {
    let tensor = |shape: [usize; 2], value: f32| {
        HostTensor::from_f32(shape, vec![value; shape[0] * shape[1]]).unwrap()
    };
    let name = "second.lora_B.weight";
    let other = "third.lora_A.weight";
    for (named, drop, add, problem) in [
        (name, true, None, "missing"),
        (other, false, Some((other, tensor([2, 5], 0.0))), "unexpected"),
        // The transpose has as many numbers, and is wrong.
        (name, true, Some((name, tensor([2, OUTPUTS], 0.0))), "shape [2, 4], expected [4, 2]"),
        (name, true, Some((name, tensor([OUTPUTS, 2], f32::NAN))), "NaN"),
        (name, true, Some((name, tensor([OUTPUTS, 2], f32::NEG_INFINITY))), "-inf"),
    ] {
        let mut record = ParameterRecord::new();
        for (name, tensor) in trained().iter().filter(|(name, _)| !(drop && *name == named)) {
            record.insert(name, tensor.clone()).unwrap();
        }
        if let Some((name, tensor)) = add {
            record.insert(name, tensor).unwrap();
        }
        let error = load_adapter_record(model(&Device::flex()), &record).unwrap_err().to_string();
        assert!(error.contains(named) && error.contains(problem), "{error}");
    }
    // A module without adapters takes none.
    let bare = load_adapter_record(Two::new(&Device::flex()), &trained()).unwrap_err().to_string();
    assert!(bare.contains("first.lora_A.weight"), "{bare}");
}
