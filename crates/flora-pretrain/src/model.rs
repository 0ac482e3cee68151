//! The model as burn-train drives it.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, ExecutionError, Int, Tensor, TensorData};
use burn::train::metric::{AccuracyInput, Adaptor, LossInput};
use burn::train::{InferenceStep, ItemLazy, TrainOutput, TrainStep};
use flora_clip::{Clip, TextConfig, loss};
use flora_core::workers::Workers;

use crate::batches::PairBatch;
use crate::sharded;

/// A CLIP with what its training step needs to know.
#[derive(Module, Debug)]
pub(crate) struct PretrainModel {
    pub(crate) clip: Clip,
    #[module(skip)]
    pub(crate) setting: Setting,
}

/// What the step needs besides weights.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) text: TextConfig,
    pub(crate) side: usize,
    /// Pairs a shard.
    pub(crate) shard_size: usize,
    /// What the shards run on.
    pub(crate) workers: Arc<Workers>,
    /// The device with autodiff.
    pub(crate) device: Device,
}

/// burn-train shows this at the end of a training: what a reader can use, on one line.
impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting")
            .field("shard_size", &self.shard_size)
            .field("threads", &self.workers.threads())
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// What a step tells the metrics.
pub(crate) struct PretrainOutput {
    loss: Tensor<1>,
    /// Similarities, in validation.
    logits: Option<Tensor<2>>,
}

impl TrainStep for PretrainModel {
    type Input = PairBatch;
    type Output = PretrainOutput;

    fn step(&self, batch: PairBatch) -> TrainOutput<PretrainOutput> {
        let Setting { text, side, shard_size, workers, device } = &self.setting;
        let step = sharded::step(&self.clip, text, *side, &batch, *shard_size, workers, device);
        let item = PretrainOutput { loss: step.loss, logits: None };
        TrainOutput { grads: step.gradients, item }
    }
}

impl InferenceStep for PretrainModel {
    type Input = PairBatch;
    type Output = PretrainOutput;

    fn step(&self, batch: PairBatch) -> PretrainOutput {
        let Setting { text, side, device, .. } = &self.setting;
        let device = device.clone().inner();
        let all = 0..batch.texts.len();
        let (images, texts) = sharded::forward(&self.clip, text, *side, &batch, all, &device);
        let logits = sharded::similarities(&self.clip, images, texts);
        let loss = loss::multi_positive_contrastive(logits.clone(), &batch.groups);
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

/// The share of pictures whose own caption is the most similar of the batch.
impl Adaptor<AccuracyInput> for PretrainOutput {
    fn adapt(&self) -> AccuracyInput {
        let logits = self.logits.clone().expect("only registered for validation");
        let rows = logits.dims()[0];
        let own = TensorData::new((0..rows as i32).collect::<Vec<_>>(), [rows]);
        let own = Tensor::<1, Int>::from_data(own, &logits.device());
        AccuracyInput::new(logits, own)
    }
}
