//! Adapters of other ranks than configured, and corrections of the weights below them.

use burn::module::{Initializer, Module};
use burn::tensor::{Device, Tensor, Tolerance};
use flora_core::{HostTensor, ParameterRecord};
use flora_lora::{
    AdaptableModule, LoraConfig, LoraLinear, Scaling, Towers, adapter_record, attach, attach_peft,
    correct, load_adapter_record, load_peft, save_peft, standalone, with_ranks_of,
};

#[derive(Module, Debug)]
struct Mlp {
    up: LoraLinear,
    down: LoraLinear,
}

impl Mlp {
    fn new(device: &Device) -> Self {
        let init = Initializer::KaimingUniform { gain: 1.0, fan_out_only: false };
        Self {
            up: LoraLinear::new(8, 12, true, &init, device),
            down: LoraLinear::new(12, 6, true, &init, device),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.down.forward(self.up.forward(x).tanh())
    }
}

impl AdaptableModule for Mlp {
    fn adaptable_layers(&mut self) -> Vec<(String, &mut LoraLinear)> {
        vec![("up".into(), &mut self.up), ("down".into(), &mut self.down)]
    }
}

fn config() -> LoraConfig {
    LoraConfig {
        r: 2,
        lora_alpha: 3.0,
        scaling: Scaling::Standard,
        target_modules: ["up", "down"].into(),
        towers: Towers::Both,
        alpha_pattern: [("down".to_owned(), 5.0)].into(),
        ..LoraConfig::default()
    }
}

fn insert(record: &mut ParameterRecord, name: &str, shape: [usize; 2]) {
    let seed = name.len() as f32;
    let values = (0..shape[0] * shape[1]).map(|it| (it as f32 * 0.7 + seed).sin() * 0.3).collect();
    record.insert(name, HostTensor::from_f32(shape, values).unwrap()).unwrap();
}

/// Adapters of both layers, whose dimensions are `[in, out]`.
fn adapters(ranks: [usize; 2]) -> ParameterRecord {
    let mut record = ParameterRecord::new();
    for ((layer, [width, out]), rank) in [("up", [8, 12]), ("down", [12, 6])].into_iter().zip(ranks)
    {
        insert(&mut record, &format!("{layer}.lora_A.weight"), [rank, width]);
        insert(&mut record, &format!("{layer}.lora_B.weight"), [out, rank]);
    }
    record
}

fn input(device: &Device) -> Tensor<2> {
    Tensor::from_floats([[0.3, -1.0, 0.5, 2.0, -0.2, 0.1, 0.9, -0.6]], device)
}

/// The output of `base` with `record`, as clients compute it.
fn output(base: &Mlp, record: &ParameterRecord, device: &Device) -> Tensor<2> {
    let module = attach(base.clone(), &config(), 7).unwrap();
    let adapters = record.filter(|name| name.contains("lora_"));
    let module = with_ranks_of(correct(module, record).unwrap(), record);
    let module = load_adapter_record(module, &adapters).unwrap();
    assert_eq!(adapter_record(&module).unwrap(), adapters);
    module.forward(input(device))
}

#[test]
fn an_adapter_with_corrections_is_one_of_a_higher_rank() {
    let device = Device::flex();
    let base = Mlp::new(&device);
    let plain = adapters([2, 2]);
    let mut factors = adapters([2, 1]);
    insert(&mut factors, "up.base_A.weight", [3, 8]);
    insert(&mut factors, "up.base_B.weight", [12, 3]);
    let mut many = adapters([2, 2]);
    insert(&mut many, "down.base_A.weight", [5, 12]);
    insert(&mut many, "down.base_B.weight", [6, 5]);
    let mut dense = adapters([2, 2]);
    insert(&mut dense, "up.base_delta.weight", [12, 8]);
    insert(&mut dense, "down.base_delta.weight", [6, 12]);
    let mut cores = adapters([2, 3]);
    insert(&mut cores, "up.lora_R.weight", [2, 2]);
    insert(&mut cores, "down.lora_R.weight", [3, 3]);
    assert_core_is_between(&base, &cores, &device);
    for (record, ranks) in
        [(cores, [2, 3]), (plain, [2, 2]), (factors, [5, 1]), (many, [2, 6]), (dense, [8, 6])]
    {
        let (whole, lora) = standalone(&record, &config()).unwrap();
        for (layer, rank) in ["up", "down"].into_iter().zip(ranks) {
            let a = whole.get(&format!("{layer}.lora_A.weight")).unwrap();
            assert_eq!(a.shape()[0], rank, "{layer}");
        }
        assert_eq!(whole.len(), 4);
        let expected = output(&base, &record, &device);
        let alone = attach(base.clone(), &lora, 1).unwrap();
        let alone = load_adapter_record(alone, &whole).unwrap().forward(input(&device));
        let near = Tolerance::<f32>::absolute(1e-5);
        alone.into_data().assert_approx_eq::<f32>(&expected.to_data(), near);
        // With the scales of before, for clients that continue from it.
        let again = output(&base, &whole, &device);
        again.into_data().assert_approx_eq::<f32>(&expected.to_data(), near);
        let folder = tempfile::tempdir().unwrap();
        save_peft(folder.path(), &whole, &lora, "base").unwrap();
        let read = load_peft(folder.path()).unwrap();
        let read = attach_peft(base.clone(), &read).unwrap().forward(input(&device));
        read.into_data().assert_approx_eq::<f32>(&expected.to_data(), near);
    }
}

/// A core that is the unit matrix changes nothing, another does.
fn assert_core_is_between(base: &Mlp, cores: &ParameterRecord, device: &Device) {
    let values = |record: &ParameterRecord| {
        output(base, record, device).into_data().try_into_vec::<f32>().unwrap()
    };
    let without = cores.filter(|name| !name.contains("lora_R"));
    let mut unit = without.clone();
    for (name, tensor) in cores.iter().filter(|(name, _)| name.contains("lora_R")) {
        let n = tensor.shape()[0];
        let ones = (0..n * n).map(|at| if at % (n + 1) == 0 { 1.0 } else { 0.0 }).collect();
        unit.insert(name, HostTensor::from_f32([n, n], ones).unwrap()).unwrap();
    }
    assert_eq!(values(&unit), values(&without));
    assert_ne!(values(cores), values(&without));
}

#[test]
fn what_is_as_configured_stays_as_it_is() {
    let record = adapters([2, 2]);
    let (whole, lora) = standalone(&record, &config()).unwrap();
    assert_eq!((whole, lora), (record, config()));
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = Device::flex();
    let attached = || attach(Mlp::new(&device), &config(), 7).unwrap();
    let mut stranger = adapters([2, 2]);
    insert(&mut stranger, "side.base_delta.weight", [6, 12]);
    let mut half = adapters([2, 2]);
    insert(&mut half, "up.base_A.weight", [3, 8]);
    let mut large = adapters([2, 2]);
    insert(&mut large, "up.base_delta.weight", [8, 12]);
    let mut odd = adapters([2, 2]);
    insert(&mut odd, "up.base_A.weight", [3, 8]);
    insert(&mut odd, "up.base_B.weight", [12, 4]);
    for (record, words) in [
        (&stranger, "side.base_delta.weight"),
        (&half, "up.base_B.weight"),
        (&large, "up.base_delta.weight"),
        (&odd, "up.base_A.weight"),
    ] {
        let message = correct(attached(), record).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
    for record in [&half, &large, &odd] {
        assert!(standalone(record, &config()).unwrap_err().to_string().contains("up"));
    }
    // A rank that the layer cannot hold is left to the check of the values.
    let large = with_ranks_of(attached(), &adapters([9, 2]));
    assert!(load_adapter_record(large, &adapters([9, 2])).is_err());
}
