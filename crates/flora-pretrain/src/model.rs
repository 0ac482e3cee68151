//! The model in the form that burn-train needs.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, ExecutionError, Int, Tensor, TensorData};
use burn::train::metric::{AccuracyInput, Adaptor, LossInput};
use burn::train::{InferenceStep, Interrupter, ItemLazy, TrainOutput, TrainStep};
use flora_clip::{Clip, loss};
use flora_core::workers::Workers;

use crate::batches::PairBatch;
use crate::sharded::{self, Setting};

/// A CLIP with the context of its training step.
#[derive(Module, Debug)]
pub(crate) struct PretrainModel {
    pub(crate) clip: Clip,
    #[module(skip)]
    pub(crate) run: Run,
}

/// The context of the step.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) setting: Setting,
    /// The workers of the shards.
    pub(crate) workers: Arc<Workers>,
    /// The device with autodiff.
    pub(crate) device: Device,
    /// Stops the training if the loss becomes NaN or infinite.
    pub(crate) interrupter: Interrupter,
}

/// burn-train shows this at the end of a training: readable information on one line.
impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run")
            .field("shard_size", &self.setting.shard_size)
            .field("threads", &self.workers.threads())
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// The output of a step for the metrics.
pub(crate) struct PretrainOutput {
    loss: Tensor<1>,
    /// Similarities, in validation.
    logits: Option<Tensor<2>>,
}

impl TrainStep for PretrainModel {
    type Input = PairBatch;
    type Output = PretrainOutput;

    fn step(&self, batch: PairBatch) -> TrainOutput<PretrainOutput> {
        let Run { setting, workers, device, interrupter } = &self.run;
        let step = sharded::step(&self.clip, setting, &batch, workers, device);
        let loss = step.loss.clone().into_scalar::<f32>();
        if !loss.is_finite() {
            let reason = format!("the loss is {loss}; lower learning_rate");
            interrupter.stop(Some(&reason));
        }
        let item = PretrainOutput { loss: step.loss, logits: None };
        TrainOutput { grads: step.gradients, item }
    }
}

impl InferenceStep for PretrainModel {
    type Input = PairBatch;
    type Output = PretrainOutput;

    fn step(&self, batch: PairBatch) -> PretrainOutput {
        let device = self.run.device.clone().inner();
        let logits = sharded::evaluate(&self.clip, &self.run.setting, &batch, &device);
        let loss = loss::multi_positive_contrastive(logits.clone(), &batch.text_of);
        PretrainOutput { loss, logits: Some(logits) }
    }
}

impl ItemLazy for PretrainOutput {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(self)
    }
}

impl Adaptor<LossInput> for PretrainOutput {
    fn adapt(&self) -> LossInput {
        LossInput::new(self.loss.clone())
    }
}

/// The share of pictures whose own caption is the most similar in the batch.
impl Adaptor<AccuracyInput> for PretrainOutput {
    fn adapt(&self) -> AccuracyInput {
        let logits = self.logits.clone().expect("only registered for validation");
        let rows = logits.dims()[0];
        let own = TensorData::new((0..rows as i32).collect::<Vec<_>>(), [rows]);
        let own = Tensor::<1, Int>::from_data(own, &logits.device());
        AccuracyInput::new(logits, own)
    }
}
