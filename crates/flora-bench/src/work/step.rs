use std::sync::Arc;

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::{Device, Tensor, TensorData};
use flora_lora::LoraConfig;
use flora_tuning::methods::{FedFft, Flora, Start};
use flora_tuning::{
    ImageInput, LossKind, Method, Objective, Prompts, TrainingConfig, TuningModel, step,
};

use super::{Work, random_images, random_values, synchronize};
use crate::{BenchError, BenchModel, Workload};

/// A client's step with one batch.
struct Step {
    workload: Workload,
    objective: Arc<Objective>,
    model: TuningModel,
    optimizer: ModuleOptimizer,
    /// The device with autodiff.
    device: Device,
    batch: Vec<usize>,
    done: usize,
}

impl Step {
    /// Takes a step; returns the loss before it.
    fn take(&mut self) -> Result<f32, BenchError> {
        let loss = self.objective.batch_loss(&self.model, &self.batch, &self.device)?;
        let rate = TrainingConfig::default().learning_rate;
        let loss = step(&mut self.model, &mut self.optimizer, rate, loss).map_err(|loss| {
            BenchError::Diverged { workload: self.workload, loss, steps: self.done }
        })?;
        self.done += 1;
        Ok(loss)
    }
}

impl Work for Step {
    fn run(&mut self) -> Result<(), BenchError> {
        self.take()?;
        synchronize(&self.device)
    }

    fn outcome(&mut self) -> Result<Option<Vec<f32>>, BenchError> {
        // The second loss depends on the gradients of the first.
        Ok(Some(vec![self.take()?, self.take()?]))
    }
}

/// Steps of FLoRA's adapters as in the paper. With `shared` the samples share the texts, and the states below the
/// adapters are computed here.
pub(super) fn lora(
    model: BenchModel,
    texts: Vec<Vec<u32>>,
    batch: usize,
    shared: bool,
    batches: usize,
) -> Result<Vec<Box<dyn Work>>, BenchError> {
    let dim = model.config.projection_dim;
    let values = TensorData::new(random_values("bench features", batch * dim), [batch, dim]);
    let steps = Steps {
        workload: Workload::LoraStep,
        method: Arc::new(Flora(LoraConfig::default())),
        images: ImageInput::Resident(Tensor::from_data(values, &model.device)),
        shared,
    };
    steps.build(model, texts, batch, batches)
}

/// Steps of every weight, with pictures.
pub(super) fn full(
    model: BenchModel,
    texts: Vec<Vec<u32>>,
    batch: usize,
    batches: usize,
) -> Result<Vec<Box<dyn Work>>, BenchError> {
    let steps = Steps {
        workload: Workload::FullStep,
        method: Arc::new(FedFft),
        images: ImageInput::Pixels(random_images(&model, batch)),
        shared: false,
    };
    steps.build(model, texts, batch, batches)
}

/// The common part of steps of one kind.
struct Steps {
    workload: Workload,
    method: Arc<dyn Method>,
    images: ImageInput,
    shared: bool,
}

impl Steps {
    fn build(
        self,
        model: BenchModel,
        texts: Vec<Vec<u32>>,
        batch: usize,
        batches: usize,
    ) -> Result<Vec<Box<dyn Work>>, BenchError> {
        let BenchModel { config, clip, device, .. } = model;
        let device = device.autodiff();
        let logit_scale = clip.temperature_factor();
        let labels: Vec<usize> = (0..batch).map(|index| index % texts.len()).collect();
        let prompts = Prompts::from_ids(texts, &config.text_config)?;
        let base = TuningModel::new(clip, self.method.trains_vision()).no_grad();
        let start = Start::new(0, &device, &base, &prompts);
        // Separate leaves for each: threads that share trainable tensors take turns on one graph.
        let attached = || self.method.attach(base.clone(), &start);
        let models = (0..batches).map(|_| attached()).collect::<Result<Vec<_>, _>>()?;
        // If all texts are different and full-length, the fast path saves nothing.
        let objective =
            Objective::new(self.method.clone(), self.images, labels, prompts.clone(), logit_scale);
        let objective = Arc::new(Objective {
            prefix: models.first().filter(|_| self.shared).map(|model| prompts.prefix(model)),
            loss: LossKind::Infonce,
            ..objective
        });
        let work = |model| -> Box<dyn Work> {
            Box::new(Step {
                workload: self.workload,
                objective: objective.clone(),
                model,
                optimizer: TrainingConfig::default().optimizer(),
                device: device.clone(),
                batch: (0..batch).collect(),
                done: 0,
            })
        };
        Ok(models.into_iter().map(work).collect())
    }
}
