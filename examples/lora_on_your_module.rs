//! Low-rank adapters on a module of your own, with `flora::lora` alone:
//!
//! ```sh
//! cargo run --release -p flora --example lora_on_your_module
//! ```
//!
//! A small classifier is frozen; only its adapters learn a new task, and only they are saved.

use burn::module::{Initializer, Module};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Tensor, activation};
use flora::lora::{
    AdaptableModule, LoraConfig, LoraLinear, Scaling, Towers, adapter_record, attach,
    num_adapter_parameters,
};

/// Two layers that can carry adapters. They take the place of `burn::nn::Linear`.
#[derive(Module, Debug)]
struct Classifier {
    hidden: LoraLinear,
    output: LoraLinear,
}

impl Classifier {
    fn new(device: &Device) -> Self {
        let drawn = Initializer::Normal { mean: 0.0, std: 0.3 };
        Self {
            hidden: LoraLinear::new(8, 32, true, &drawn, device),
            output: LoraLinear::new(32, 1, true, &drawn, device),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.output.forward(activation::relu(self.hidden.forward(x)))
    }
}

/// The layers by name: what `target_modules` is compared with, and what adapters are saved as.
impl AdaptableModule for Classifier {
    fn adaptable_layers(&mut self) -> Vec<(String, &mut LoraLinear)> {
        vec![("hidden".into(), &mut self.hidden), ("output".into(), &mut self.output)]
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = flora::device::take_from(&mut std::env::args().skip(1).collect())?.autodiff();
    let config = LoraConfig {
        r: 1,
        lora_alpha: 2.0,
        scaling: Scaling::Standard,
        target_modules: ["hidden", "output"].into(),
        towers: Towers::Both,
        ..LoraConfig::default()
    };
    let mut model = attach(Classifier::new(&device), &config, 0)?;
    let (adapters, all) = (num_adapter_parameters(&model), model.num_params());
    println!("{adapters} of {all} parameters train");

    // The new task: the sum of the first two inputs.
    let x = Tensor::<2>::random([64, 8], burn::tensor::Distribution::Default, &device);
    let y = x.clone().slice([0..64, 0..2]).sum_dim(1);
    let mut adam = AdamConfig::new().init();
    for step in 0..=200 {
        let loss = (model.forward(x.clone()) - y.clone()).powi_scalar(2).mean();
        if step % 50 == 0 {
            println!("step {step}: loss {:.4}", loss.clone().into_scalar::<f32>());
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = adam.step(0.02, model, gradients);
    }
    let record = adapter_record(&model)?;
    println!("{} bytes to save or to send", record.to_safetensors().len());
    Ok(())
}
