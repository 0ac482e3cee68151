//! Adapters written by the real `peft`: their outputs, and training after loading. The fixtures' README describes their
//! origin.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use burn::module::{Module, Param};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData, activation};
use common::{bits, max_difference, numbers, values};
use flora_core::{HostTensor, ParameterRecord};
use flora_lora::{
    AdaptableModule, Init, LoraConfig, LoraLinear, PeftAdapter, Scaling, TargetModules, Towers,
    adapter_record, attach_peft, detach, load_peft, merge, num_adapter_parameters, reseed_dropout,
    save_peft,
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The module of `net.py`, with its weights.
#[derive(Module, Debug)]
struct Net {
    encoder: Encoder,
    head: LoraLinear,
}

#[derive(Module, Debug)]
struct Encoder {
    first: LoraLinear,
    second: LoraLinear,
}

impl Net {
    fn new(expected: &ParameterRecord, device: &Device) -> Self {
        let linear = |name: &str| {
            let weight = expected.get(&format!("{name}.weight")).unwrap();
            let weight = tensor::<2>(weight, device).transpose();
            // torch's layout is the transpose; stored as burn's own layers are.
            let weight = Param::from_tensor(Tensor::from_data(weight.into_data(), device));
            let bias = expected.get(&format!("{name}.bias"));
            LoraLinear::of(weight, bias.map(|bias| Param::from_tensor(tensor(bias, device))))
        };
        let encoder = Encoder { first: linear("encoder.first"), second: linear("encoder.second") };
        Self { encoder, head: linear("head") }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let x = activation::tanh(self.encoder.first.forward(x));
        self.head.forward(activation::tanh(self.encoder.second.forward(x)))
    }
}

impl AdaptableModule for Net {
    fn adaptable_layers(&mut self) -> Vec<(String, &mut LoraLinear)> {
        vec![
            ("encoder.first".into(), &mut self.encoder.first),
            ("encoder.second".into(), &mut self.encoder.second),
            ("head".into(), &mut self.head),
        ]
    }
}

fn tensor<const D: usize>(tensor: &HostTensor, device: &Device) -> Tensor<D> {
    let data = TensorData::new(tensor.to_f32().into_owned(), tensor.shape().to_vec());
    Tensor::from_data(data, device)
}

struct Case {
    expected: ParameterRecord,
    net: Net,
    x: Tensor<2>,
}

impl Case {
    fn new(device: &Device) -> Self {
        let expected = ParameterRecord::load(fixtures().join("expected.safetensors")).unwrap();
        let net = Net::new(&expected, device);
        let x = tensor(expected.get("x").unwrap(), device);
        Self { expected, net, x }
    }

    /// How far the output of `net` is from what torch computed.
    fn error(&self, net: &Net, output: &str) -> f32 {
        let expected = self.expected.get(output).unwrap().to_f32();
        max_difference(&values(net.forward(self.x.clone())), &expected)
    }
}

fn standard(r: usize, lora_alpha: f64, target_modules: impl Into<TargetModules>) -> LoraConfig {
    LoraConfig {
        r,
        lora_alpha,
        scaling: Scaling::Standard,
        target_modules: target_modules.into(),
        exclude_modules: None,
        towers: Towers::Both,
        init: Init::KaimingUniform,
        lora_dropout: 0.0,
        rank_pattern: Default::default(),
        alpha_pattern: Default::default(),
    }
}

/// The fixtures, with what their files should be read as and how many layers they adapt.
fn adapters() -> [(&'static str, LoraConfig, usize); 8] {
    let regex = TargetModules::Pattern(r"(?!head)encoder\.(first|second)".into());
    let all = ["encoder.first", "encoder.second", "head"];
    [
        ("list", standard(2, 3.0, ["first", "head"]), 2),
        ("regex", standard(3, 6.0, regex), 2),
        (
            "rslora",
            LoraConfig {
                scaling: Scaling::RsLora,
                init: Init::Gaussian,
                ..standard(4, 2.0, ["first", "head", "second"])
            },
            3,
        ),
        ("float-alpha", standard(2, 0.75, ["encoder.second"]), 1),
        ("dropout", LoraConfig { lora_dropout: 0.25, ..standard(2, 4.0, all) }, 3),
        ("bf16", standard(2, 4.0, ["first", "second"]), 2),
        ("f16", standard(2, 4.0, ["first", "second"]), 2),
        (
            "patterns",
            LoraConfig {
                rank_pattern: [("first".into(), 4), (r"he\w+".into(), 1)].into(),
                alpha_pattern: [(r"encoder\..*".into(), 1.5)].into(),
                ..standard(3, 6.0, all)
            },
            3,
        ),
    ]
}

#[test]
fn peft_s_adapters_give_peft_s_outputs() {
    let device = Device::flex();
    let case = Case::new(&device);
    assert!(case.error(&case.net, "base") <= 1e-6);
    for (name, config, layers) in adapters() {
        let adapter = load_peft(&fixtures().join(name)).unwrap();
        assert_eq!(adapter.config, config, "{name}");
        assert_eq!((adapter.record.len(), &adapter.base_model), (2 * layers, &None), "{name}");
        let net = attach_peft(case.net.clone(), &adapter).unwrap();
        assert_eq!(adapter_record(&net).unwrap(), adapter.record, "{name}");
        for (what, net) in [("attached", net.clone()), ("merged", merge(net.clone()))] {
            let error = case.error(&net, name);
            println!("{name} {what}: {error:e}");
            assert!(error <= 1e-5, "{name} {what}: {error:e}");
        }
        let bare = detach(net);
        assert_eq!(bits(bare.forward(case.x.clone())), bits(case.net.forward(case.x.clone())));
    }
}

#[test]
fn a_loaded_adapter_trains_on() {
    let device = Device::flex().autodiff();
    let case = Case::new(&device);
    for (name, _, layers) in adapters() {
        let adapter = load_peft(&fixtures().join(name)).unwrap();
        let net = attach_peft(case.net.clone(), &adapter).unwrap();
        let loss = net.forward(case.x.clone()).powi_scalar(2).mean();
        let grads = GradientsParams::from_grads(loss.backward(), &net);
        assert_eq!(grads.len(), 2 * layers, "{name}: the adapters' gradients alone");
        let net = AdamConfig::new().init().step(1e-2, net, grads);
        for (tensor, values) in adapter_record(&net).unwrap().iter() {
            assert_ne!(Some(values), adapter.record.get(tensor), "{name}: {tensor} did not move");
        }
    }
}

#[test]
fn dropout_is_on_in_training_alone_and_can_be_reseeded() {
    let device = Device::flex().autodiff();
    let case = Case::new(&device);
    let adapter = load_peft(&fixtures().join("dropout")).unwrap();
    let attached = || attach_peft(case.net.clone(), &adapter).unwrap();
    let train = |net: Net| values(net.forward(case.x.clone()));
    assert_eq!(train(attached()), train(attached()));
    assert_ne!(train(attached()), train(reseed_dropout(attached(), 1)));
    assert_ne!(train(attached()), case.expected.get("dropout").unwrap().to_f32().into_owned());
    let valid = attached().valid().forward(case.x.clone().inner());
    let expected = case.expected.get("dropout").unwrap().to_f32();
    assert!(max_difference(&values(valid), &expected) <= 1e-5);
}

#[test]
fn attaching_replaces_what_was_there() {
    let case = Case::new(&Device::flex());
    let load = |name: &str| load_peft(&fixtures().join(name)).unwrap();
    let net = attach_peft(case.net.clone(), &load("rslora")).unwrap();
    let net = attach_peft(net, &load("float-alpha")).unwrap();
    assert_eq!(num_adapter_parameters(&net), load("float-alpha").record.num_parameters());
    assert!(case.error(&net, "float-alpha") <= 1e-5);
}

#[test]
fn names_that_the_module_lacks_may_be_targets() {
    let case = Case::new(&Device::flex());
    let mut adapter = load_peft(&fixtures().join("list")).unwrap();
    adapter.config.target_modules = ["first", "head", "fc3"].into();
    let net = attach_peft(case.net.clone(), &adapter).unwrap();
    assert!(case.error(&net, "list") <= 1e-5);
}

#[test]
fn what_does_not_fit_the_module_is_named() {
    let case = Case::new(&Device::flex());
    let list = load_peft(&fixtures().join("list")).unwrap();
    let shape = |name: &str, shape: [usize; 2]| {
        let tensor = HostTensor::from_f32(shape, numbers(shape[0] * shape[1], 0)).unwrap();
        edited(&list.record, name, Some(tensor))
    };
    let nan = HostTensor::from_f32([2, 5], vec![f32::NAN; 10]).unwrap();
    let with = |record: ParameterRecord| PeftAdapter { record, ..list.clone() };
    let targets = |target_modules: TargetModules| PeftAdapter {
        config: LoraConfig { target_modules, ..list.config.clone() },
        ..list.clone()
    };
    let mut third = list.record.clone();
    for (matrix, shape) in [("A", [2, 5]), ("B", [5, 2])] {
        let tensor = HostTensor::from_f32(shape, vec![0.0; 10]).unwrap();
        third.insert(format!("third.lora_{matrix}.weight"), tensor).unwrap();
    }
    let all = ["first", "head", "second"].into();
    let slow = TargetModules::Pattern(r"(?:(?=.)(?:(?=.).*)*)*\d".into());
    for (adapter, named, problem) in [
        (targets(all), "layer `encoder.second`", "may be an adapter of another model"),
        (targets(["first"].into()), "layer `head`", "leaves it out"),
        (with(third), "layer `third`", "no adaptable layer"),
        (targets(slow), "lora.target_modules", "too long"),
        (targets(Vec::new().into()), "lora.target_modules", "empty"),
        (with(shape("head.lora_A.weight", [2, 4])), "head.lora_A.weight", "[2, 5]"),
        (with(shape("head.lora_B.weight", [5, 2])), "head.lora_B.weight", "[4, 2]"),
        (with(shape("head.lora_A.weight", [3, 5])), "head.lora_A.weight", "rank 3, but r is 2"),
        (with(edited(&list.record, "head.lora_B.weight", None)), "head.lora_B.weight", "missing"),
        (with(edited(&list.record, "head.lora_A.weight", Some(nan))), "head.lora_A.weight", "NaN"),
        (with(ParameterRecord::new()), "lora_A.weight", "empty"),
    ] {
        let error = attach_peft(case.net.clone(), &adapter).unwrap_err().to_string();
        assert!(error.contains(named) && error.contains(problem), "{named}: {error}");
    }
}

/// `record` with one tensor replaced or left out.
fn edited(record: &ParameterRecord, name: &str, by: Option<HostTensor>) -> ParameterRecord {
    let mut edited = ParameterRecord::new();
    for (other, tensor) in record.iter().filter(|(other, _)| *other != name) {
        edited.insert(other, tensor.clone()).unwrap();
    }
    if let Some(tensor) = by {
        edited.insert(name, tensor).unwrap();
    }
    edited
}

/// The reverse direction: `peft` loads the files written here. Its README tells how to run this.
#[test]
#[ignore = "needs Python with peft; PYTHON says which"]
fn peft_reads_what_is_written() {
    let case = Case::new(&Device::flex());
    let folder = tempfile::tempdir().unwrap();
    let mut outputs = ParameterRecord::new();
    for (name, config, _) in adapters() {
        let adapter = load_peft(&fixtures().join(name)).unwrap();
        for (scaling, lora_alpha) in
            [(config.scaling, config.lora_alpha), (Scaling::Unscaled, config.scale())]
        {
            let config = LoraConfig { scaling, lora_alpha, ..config.clone() };
            let adapter = PeftAdapter { config, ..adapter.clone() };
            let net = attach_peft(case.net.clone(), &adapter).unwrap();
            let written = format!("{name}-{scaling:?}");
            save_peft(&folder.path().join(&written), &adapter.record, &adapter.config, "").unwrap();
            let output = values(net.forward(case.x.clone()));
            outputs.insert(written, HostTensor::from_f32([7, 4], output).unwrap()).unwrap();
        }
    }
    outputs.save(folder.path().join("outputs.safetensors")).unwrap();
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let status = Command::new(python)
        .arg(fixtures().join("check_written.py"))
        .arg(folder.path())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}
