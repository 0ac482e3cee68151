//! The walk by names, on a module with more than linear layers.

mod common;

use burn::module::{Module, Param, ParamId};
use burn::nn::{BatchNorm, BatchNormConfig, LinearConfig, LinearLayout};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData};
use common::{HIDDEN, INPUTS, OUTPUTS, Two, config, inputs};
use flora_lora::named::{self, Entry, Place, name_parameters, parameter_id};
use flora_lora::{adapter_record, attach};

/// A module with a list, an option, statistics and integers.
#[derive(Module, Debug)]
struct Mixed {
    layers: Vec<Two>,
    norm: Option<BatchNorm>,
    order: Param<Tensor<1, Int>>,
}

impl Mixed {
    fn new(device: &Device) -> Self {
        let order = Tensor::from_data(TensorData::from([2, 0, 1]), device);
        Self {
            layers: vec![Two::new(device), Two::new(device)],
            norm: Some(BatchNormConfig::new(3).init(device)),
            order: Param::initialized(ParamId::new(), order),
        }
    }
}

/// Every identity, by name.
fn ids(module: &Mixed) -> Vec<(&'static str, ParamId)> {
    let (last, norm) = (&module.layers[1], module.norm.as_ref().unwrap());
    vec![
        ("layers.0.first.weight", module.layers[0].first.weight.id),
        ("layers.1.first.bias", last.first.bias.as_ref().unwrap().id),
        ("layers.1.second.weight", last.second.weight.id),
        ("norm.gamma", norm.gamma.id),
        ("order", module.order.id),
    ]
}

#[test]
fn identities_follow_from_names() {
    let device = Device::flex();
    let fresh = Mixed::new(&device);
    assert_ne!(ids(&fresh), ids(&Mixed::new(&device)), "burn draws them");
    let named = name_parameters(fresh);
    for (name, id) in ids(&named) {
        assert_eq!(id, parameter_id(name), "{name}");
    }
    assert_eq!(ids(&named), ids(&name_parameters(Mixed::new(&device))));
}

#[test]
fn visitors_see_names_and_containers() {
    let mut seen = Vec::new();
    named::visit(&Mixed::new(&Device::flex()), |place, parameter| {
        seen.push((place.name.to_owned(), place.container.to_owned(), parameter.shape()));
    });
    let of = |name: &str| seen.iter().find(|(seen, _, _)| seen == name).unwrap();
    assert_eq!(of("layers.1.first.weight").1, "Struct:LoraLinear");
    assert_eq!(of("layers.1.first.weight").2, [INPUTS, HIDDEN]);
    assert_eq!(of("norm.gamma").1, "Struct:BatchNorm");
    assert!(seen.iter().all(|(name, _, _)| name != "order"), "no floats");
}

#[test]
fn a_record_holds_what_has_a_name() {
    let device = Device::flex();
    let entry = |place: Place<'_>| {
        let name = place.name.strip_prefix("layers.1.")?;
        Some(Entry { name: name.to_owned(), transposed: name == "second.weight" })
    };
    let module = Mixed::new(&device);
    let record = named::collect(&module, entry).unwrap();
    let found: Vec<_> = record.iter().map(|(name, tensor)| (name, tensor.shape())).collect();
    let (first, bias, second) = ([INPUTS, HIDDEN], [HIDDEN], [OUTPUTS, HIDDEN]);
    let wanted: [(&str, &[usize]); 3] =
        [("first.weight", &first), ("first.bias", &bias), ("second.weight", &second)];
    assert_eq!(found, wanted);
    assert_eq!(named::count(&module, entry), record.num_parameters());

    let emptied = named::map(module.clone(), |_, parameter| {
        let count = parameter.values().len();
        parameter.set_values(vec![0.0; count]);
    });
    assert_eq!(ids(&emptied), ids(&module));
    let filled = named::assign(emptied, entry, &record).unwrap();
    assert_eq!(named::collect(&filled, entry).unwrap(), record);
    let other = named::collect(&filled, |place| Some(Entry::plain(place.name))).unwrap();
    assert!(other.get("layers.0.first.weight").unwrap().to_f32().iter().all(|&value| value == 0.0));
    assert!(named::assign(filled, entry, &other).is_err(), "another module's record");
}

/// Values come in a parameter's own layout: burn's mapper for files would transpose them.
#[test]
fn lazy_parameters_take_values_as_they_are() {
    let device = Device::flex();
    let lazy = LinearConfig::new(2, 2).with_layout(LinearLayout::Col).init(&device);
    assert!(!lazy.weight.is_initialized());
    let id = lazy.weight.id;
    let set = named::map(lazy, |place, parameter| {
        if place.name == "weight" {
            parameter.set_values(vec![1.0, 2.0, 3.0, 4.0]);
        }
    });
    assert_eq!(set.weight.id, id);
    named::visit(&set, |place, parameter| {
        if place.name == "weight" {
            assert_eq!(parameter.values(), [1.0, 2.0, 3.0, 4.0]);
        }
    });
}

fn step(model: Two, optimizer: &mut ModuleOptimizer, device: &Device) -> Two {
    let loss = model.forward(inputs(device)).square().mean();
    let gradients = GradientsParams::from_grads(loss.backward(), &model);
    optimizer.step(0.1, model, gradients)
}

/// A client in another process: its own module and optimizer, with the first one's values and the bytes of its state.
#[test]
fn the_state_of_an_optimizer_fits_another_module() {
    let device = Device::flex().autodiff();
    let build = || name_parameters(attach(Two::new(&device), &config(), 3).unwrap());
    let mut optimizer = AdamConfig::new().init();
    let model = step(step(build(), &mut optimizer, &device), &mut optimizer, &device);
    let (record, state) = (adapter_record(&model).unwrap(), optimizer.into_bytes().unwrap());

    let other = flora_lora::load_adapter_record(build(), &record).unwrap();
    let mut resumed = AdamConfig::new().init().from_bytes(state).unwrap();
    let there = adapter_record(&step(other.clone(), &mut resumed, &device)).unwrap();
    let here = adapter_record(&step(model, &mut optimizer, &device)).unwrap();
    assert_eq!(there, here);

    let mut fresh = AdamConfig::new().init();
    assert_ne!(adapter_record(&step(other, &mut fresh, &device)).unwrap(), here, "Adam's moments");
}
