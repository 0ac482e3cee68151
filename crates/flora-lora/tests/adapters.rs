//! The life of an adapter: attached, trained, merged or discarded.

mod common;

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::Device;
use common::{Two, bits, config, inputs, max_difference, trained, values};
use flora_lora::{
    Init, LoraConfig, LoraLinear, Scaling, adapter_record, attach, detach, load_adapter_record,
    merge, num_adapter_parameters,
};

/// The weights and biases of both layers, without the adapters.
fn base(model: &Two) -> Vec<Vec<u32>> {
    let layer = |layer: &LoraLinear| {
        let bias = layer.bias.as_ref().map(|bias| bits(bias.val().detach()));
        [Some(bits(layer.weight.val().detach())), bias]
    };
    [layer(&model.first), layer(&model.second)].into_iter().flatten().flatten().collect()
}

fn step(model: Two, optimizer: &mut ModuleOptimizer, device: &Device) -> Two {
    let loss = (model.forward(inputs(device)) - 1.0).powi_scalar(2).mean();
    let grads = GradientsParams::from_grads(loss.backward(), &model);
    assert_eq!(grads.len(), 4, "gradients of two As and two Bs, and of nothing else");
    optimizer.step(1e-2, model, grads)
}

#[test]
fn attaching_changes_no_bit_of_the_output() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        let model = Two::new(&device);
        let before = bits(model.forward(inputs(&device)));
        let model = attach(model, &config(), 0).unwrap();
        assert!(model.first.lora.is_some() && model.second.lora.is_some());
        assert_eq!(bits(model.forward(inputs(&device))), before);
        assert_eq!(bits(model.valid().forward(inputs(&Device::flex()))), before);
    }
}

#[test]
fn training_moves_the_adapters_and_nothing_else() {
    let device = Device::flex().autodiff();
    let model = Two::new(&device);
    let (weights, before) = (base(&model), values(model.forward(inputs(&device))));
    let model = attach(model, &config(), 0).unwrap();
    let fresh = adapter_record(&model).unwrap();
    let mut optimizer = AdamConfig::new().init();

    let model = step(model, &mut optimizer, &device);
    let once = adapter_record(&model).unwrap();
    for (name, tensor) in once.iter() {
        // While B is zero A has no gradient.
        assert_eq!(fresh.get(name) == Some(tensor), name.ends_with("lora_A.weight"), "{name}");
    }
    assert!(max_difference(&before, &values(model.forward(inputs(&device)))) > 1e-3);

    let model = step(model, &mut optimizer, &device);
    for (name, tensor) in adapter_record(&model).unwrap().iter() {
        assert_ne!(once.get(name), Some(tensor), "{name}");
    }
    assert_eq!(base(&model), weights);

    let model = detach(model);
    assert_eq!(
        bits(model.forward(inputs(&device))),
        before.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    );
    assert_eq!(base(&model), weights);
    assert_eq!(num_adapter_parameters(&model), 0);
}

#[test]
fn merging_equals_the_adapters() {
    for scaling in [Scaling::Standard, Scaling::RsLora, Scaling::Unscaled] {
        for device in [Device::flex(), Device::flex().autodiff()] {
            let config = LoraConfig { scaling, lora_alpha: 3.0, ..config() };
            let model = attach(Two::new(&device), &config, 0).unwrap();
            let plain = values(model.forward(inputs(&device)));
            let model = load_adapter_record(model, &trained()).unwrap();
            let adapted = values(model.forward(inputs(&device)));
            assert!(max_difference(&adapted, &plain) > 1e-2, "the adapters do nothing");

            let merged = merge(model);
            assert_eq!(num_adapter_parameters(&merged), 0);
            assert!(merged.first.lora.is_none() && merged.second.lora.is_none());
            assert!(!merged.first.weight.val().is_require_grad());
            let error = max_difference(&values(merged.forward(inputs(&device))), &adapted);
            assert!(error <= 1e-5, "{scaling:?}: {error:e}");
        }
    }
}

#[test]
fn the_output_is_that_of_the_formula() {
    let device = Device::flex();
    let config = LoraConfig { r: 2, lora_alpha: 6.0, scaling: Scaling::Standard, ..config() };
    let model = load_adapter_record(attach(Two::new(&device), &config, 0).unwrap(), &trained());
    let layer = model.unwrap().first;
    let lora = layer.lora.as_ref().unwrap();
    assert_eq!(lora.scale, 3.0);
    let x = inputs(&device);
    let (w, b) = (layer.weight.val(), layer.bias.as_ref().unwrap().val());
    let update = x.clone().matmul(lora.lora_a.val()).matmul(lora.lora_b.val()) * 3.0;
    let expected = x.clone().matmul(w) + b.unsqueeze() + update;
    assert!(max_difference(&values(layer.forward(x.clone())), &values(expected)) < 1e-6);
    let delta = values(x.clone().matmul(lora.delta()));
    assert!(max_difference(&values(lora.forward(x)), &delta) < 1e-6);
}

#[test]
fn a_pattern_attaches_what_it_matches() {
    let device = Device::flex();
    let pattern = flora_lora::TargetModules::Pattern("(?!first).*".into());
    let config = LoraConfig { target_modules: pattern, ..config() };
    let record = adapter_record(&attach(Two::new(&device), &config, 0).unwrap()).unwrap();
    assert_eq!(
        record.names().collect::<Vec<_>>(),
        ["second.lora_A.weight", "second.lora_B.weight"]
    );
}

#[test]
fn a_layer_s_numbers_depend_on_its_name_and_the_seed_alone() {
    let device = Device::flex();
    let draw = |targets: &[&str], seed| {
        let targets: Vec<String> = targets.iter().map(|&target| target.to_owned()).collect();
        let config = LoraConfig { target_modules: targets.into(), ..config() };
        adapter_record(&attach(Two::new(&device), &config, seed).unwrap()).unwrap()
    };
    let (both, second) = (draw(&["first", "second"], 5), draw(&["second"], 5));
    assert_eq!(
        second.names().collect::<Vec<_>>(),
        ["second.lora_A.weight", "second.lora_B.weight"]
    );
    let name = "second.lora_A.weight";
    assert_eq!(both.get(name), second.get(name));
    assert_ne!(draw(&["second"], 6).get(name), second.get(name));
    assert_eq!(draw(&["first", "second"], 5), both);
}

#[test]
fn attaching_again_starts_afresh() {
    let device = Device::flex().autodiff();
    let model = attach(Two::new(&device), &config(), 0).unwrap();
    let model = load_adapter_record(model, &trained()).unwrap();
    let config = LoraConfig { target_modules: ["second"].into(), ..config() };
    let again = attach(model, &config, 0).unwrap();
    let fresh = attach(Two::new(&device), &config, 0).unwrap();
    assert_eq!(adapter_record(&again).unwrap(), adapter_record(&fresh).unwrap());
    assert_eq!(
        bits(again.forward(inputs(&device))),
        bits(Two::new(&device).forward(inputs(&device)))
    );
}

#[test]
fn layers_have_ranks_and_scales_of_their_own() {
    let device = Device::flex();
    let patterned = |ranks: &[(&str, usize)], alphas: &[(&str, f64)]| LoraConfig {
        rank_pattern: ranks.iter().map(|&(key, r)| (key.to_owned(), r)).collect(),
        alpha_pattern: alphas.iter().map(|&(key, alpha)| (key.to_owned(), alpha)).collect(),
        ..config()
    };
    let model =
        attach(Two::new(&device), &patterned(&[("sec.*", 3)], &[("first", 5.0)]), 0).unwrap();
    let adapters = [model.first.lora.unwrap(), model.second.lora.unwrap()];
    let shapes = adapters.each_ref().map(|lora| (lora.lora_a.dims(), lora.lora_b.dims()));
    assert_eq!(shapes, [([6, 2], [2, 5]), ([5, 3], [3, 4])]);
    assert_eq!(adapters.map(|lora| lora.scale), [5.0, config().lora_alpha]);

    let error = |config: LoraConfig| attach(Two::new(&device), &config, 0).unwrap_err().to_string();
    let unused = error(patterned(&[("third", 3)], &[]));
    assert!(unused.contains("rank_pattern") && unused.contains("matches no"), "{unused}");
    let twice = error(patterned(&[], &[("first", 3.0), ("f.*", 4.0)]));
    assert!(twice.contains("alpha_pattern") && twice.contains("both match"), "{twice}");
    assert!(error(patterned(&[("second", 5)], &[])).contains("r <= 4"));
}

#[test]
fn what_cannot_be_attached_is_named() {
    let device = Device::flex();
    let error = |config: LoraConfig| attach(Two::new(&device), &config, 0).unwrap_err().to_string();
    let nothing = error(LoraConfig { target_modules: ["third"].into(), ..config() });
    assert!(nothing.contains("third") && nothing.contains("first"), "{nothing}");
    let pattern = flora_lora::TargetModules::Pattern("th(ir)d|fir".into());
    let nothing = error(LoraConfig { target_modules: pattern, ..config() });
    assert!(nothing.contains("th(ir)d|fir") && nothing.contains("whole names"), "{nothing}");
    let rank = error(LoraConfig { r: 5, ..config() });
    assert!(rank.contains("second") && rank.contains("r <= 4"), "{rank}");
    assert!(error(LoraConfig { r: 0, ..config() }).contains("lora.r"));
}

/// The first `A` of a layer of 600 x 300 at rank 100, and of nothing smaller.
fn drawn(init: Init) -> Vec<f32> {
    let device = Device::flex();
    let layer = |input, output| {
        LoraLinear::new(input, output, true, &burn::module::Initializer::Zeros, &device)
    };
    let model = Two { first: layer(600, 300), second: layer(300, 200) };
    let model = attach(model, &LoraConfig { r: 100, init, ..config() }, 1).unwrap();
    let lora = model.first.lora.unwrap();
    assert_eq!(lora.lora_a.dims(), [600, 100]);
    assert!(values(lora.lora_b.val()).iter().all(|&b| b == 0.0));
    values(lora.lora_a.val())
}

fn moments(values: &[f32]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

#[test]
fn initial_values_have_the_distribution_that_is_asked_for() {
    let bound = 1.0 / 600f64.sqrt();
    for (init, deviation) in [
        (Init::KaimingUniform, bound / 3f64.sqrt()),
        (Init::Gaussian, 1.0 / 100.0),
        (Init::GaussianSqrt, 1.0 / 10.0),
    ] {
        let values = drawn(init);
        let (mean, measured) = moments(&values);
        // 60,000 numbers: the standard error of the deviation is at most 0.3 %.
        assert!(
            (measured / deviation - 1.0).abs() < 0.015,
            "{init:?}: {measured}, not {deviation}"
        );
        assert!(mean.abs() < 0.02 * deviation, "{init:?}: mean {mean}");
        let most = values.iter().fold(0f32, |most, x| most.max(x.abs()));
        if init == Init::KaimingUniform {
            assert!(
                f64::from(most) <= bound && f64::from(most) > 0.999 * bound,
                "{most} of {bound}"
            );
        } else {
            assert!(f64::from(most) > 3.0 * deviation, "{init:?} has no tails: {most}");
        }
    }
}
