use std::sync::Arc;
use std::time::Instant;

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::Device;
use flora_core::ParameterRecord;
use flora_data::ClientShard;
use flora_federation::{
    Client, ClientError, ClientInfo, EvaluateInstruction, EvaluateReply, FitInstruction, FitReply,
    Metrics,
};
use flora_lora::reseed_dropout;
use rand::Rng;
use rand::seq::SliceRandom;

use crate::objective::Score;
use crate::{Objective, Trainable, TrainingConfig, TuningError, TuningModel, step};

/// A participant of the federation: its images, its trained parameters, and its optimizer's state, which
/// persists across rounds. What is frozen is shared with all others.
pub struct TuningClient {
    shard: ClientShard,
    objective: Arc<Objective>,
    training: TrainingConfig,
    evaluate_local: bool,
    seed: u64,
    device: Device,
    model: TuningModel,
    trainable: Trainable,
    optimizer: ModuleOptimizer,
    /// Trains by itself: what it is sent is only where it begins.
    alone: bool,
    begun: bool,
}

impl TuningClient {
    /// A client that trains on `model`, which lives on `device` with autodiff.
    pub fn new(
        shard: ClientShard,
        objective: Arc<Objective>,
        training: TrainingConfig,
        evaluate_local: bool,
        seed: u64,
        device: Device,
        model: TuningModel,
    ) -> Self {
        Self {
            trainable: objective.method.trainable(),
            optimizer: training.optimizer(),
            alone: false,
            begun: false,
            shard,
            objective,
            training,
            evaluate_local,
            seed,
            device,
            model,
        }
    }

    /// The same client by itself: it goes on from its own parameters, whatever it is sent later.
    pub fn alone(self) -> Self {
        // Its own model is what is evaluated anyway.
        Self { alone: true, evaluate_local: false, ..self }
    }

    /// The mean loss of the round's steps, and the trained parameters after them.
    fn train(&mut self, round: usize) -> Result<(f64, ParameterRecord), TuningError> {
        let label = format!("client {} round {round} dropout", self.shard.id);
        let masks = flora_core::seed::stream(self.seed, &label).next_u64();
        self.model = reseed_dropout(self.model.clone(), masks);
        let (mut sum, mut steps) = (0f64, 0usize);
        let batches = self.shard.train.len().div_ceil(self.training.batch_size);
        let planned = self.training.local_epochs * batches;
        for epoch in 0..self.training.local_epochs {
            let mut order = self.shard.train.clone();
            let label = format!("client {} round {round} epoch {epoch}", self.shard.id);
            order.shuffle(&mut flora_core::seed::stream(self.seed, &label));
            for (batch, indices) in order.chunks(self.training.batch_size).enumerate() {
                let loss = self.objective.batch_loss(&self.model, indices, &self.device)?;
                let rate = self.training.learning_rate_at(round, steps, planned);
                let loss = step(&mut self.model, &mut self.optimizer, rate, loss)
                    .map_err(|loss| TuningError::Diverged { loss, epoch, batch })?;
                sum += f64::from(loss);
                steps += 1;
            }
        }
        let record = self.trainable.record(&self.model)?;
        record.check_finite().map_err(TuningError::NotFinite)?;
        Ok((sum / steps.max(1) as f64, record))
    }

    /// The model with these parameters; a client that goes on by itself keeps its own.
    fn received(&self, record: &ParameterRecord) -> Result<TuningModel, TuningError> {
        match self.alone && self.begun {
            true => Ok(self.model.clone()),
            false => Ok(self.trainable.load(self.model.clone(), record)?),
        }
    }

    fn load(&mut self, record: &ParameterRecord) -> Result<(), TuningError> {
        self.model = self.received(record)?;
        self.begun = true;
        Ok(())
    }

    fn test(&self, model: &TuningModel) -> Result<Score, TuningError> {
        let device = self.device.clone().inner();
        self.objective.score(&model.valid(), &self.shard.test, &device)
    }

    fn try_fit(&mut self, instruction: &FitInstruction) -> Result<FitReply, TuningError> {
        let started = Instant::now();
        self.load(&instruction.parameters)?;
        let before = self.model.clone();
        let trained = self.train(instruction.round);
        if trained.is_err() {
            // Numbers that are no longer finite would spoil every later round of this client.
            (self.model, self.optimizer) = (before, self.training.optimizer());
        }
        let (loss, parameters) = trained?;
        let mut metrics = Metrics::from([("loss".into(), loss)]);
        let seconds = started.elapsed().as_secs_f64();
        if self.evaluate_local && !self.shard.test.is_empty() {
            let score = self.test(&self.model)?;
            metrics.insert("accuracy".into(), score.accuracy);
            metrics.insert("test_loss".into(), score.loss);
        }
        Ok(FitReply {
            client: self.shard.id.clone(),
            parameters,
            num_examples: self.shard.train.len(),
            metrics,
            seconds,
        })
    }

    fn try_evaluate(
        &mut self,
        instruction: &EvaluateInstruction,
    ) -> Result<EvaluateReply, TuningError> {
        let started = Instant::now();
        // Not kept: a client that only tests needs no weights of its own.
        let score = self.test(&self.received(&instruction.parameters)?)?;
        Ok(EvaluateReply {
            client: self.shard.id.clone(),
            num_examples: self.shard.test.len(),
            metrics: Metrics::from([
                ("accuracy".into(), score.accuracy),
                ("loss".into(), score.loss),
            ]),
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    fn failed(&self, error: &TuningError) -> ClientError {
        ClientError::new(&self.shard.id, error.to_string())
    }
}

impl Client for TuningClient {
    fn info(&self) -> ClientInfo {
        ClientInfo {
            id: self.shard.id.clone(),
            num_examples: self.shard.train.len(),
            num_test_examples: self.shard.test.len(),
        }
    }

    fn fit(&mut self, instruction: &FitInstruction) -> Result<FitReply, ClientError> {
        self.try_fit(instruction).map_err(|error| self.failed(&error))
    }

    fn evaluate(
        &mut self,
        instruction: &EvaluateInstruction,
    ) -> Result<EvaluateReply, ClientError> {
        self.try_evaluate(instruction).map_err(|error| self.failed(&error))
    }
}
