use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use burn::optim::ModuleOptimizer;
use flora_core::ParameterRecord;
use flora_data::ClientShard;
use flora_federation::{
    Client, ClientError, ClientInfo, EvaluateInstruction, EvaluateReply, FitInstruction, FitReply,
    Metrics,
};
use flora_lora::reseed_dropout;
use rand::Rng;
use rand::seq::SliceRandom;

use crate::states::Kept;
use crate::{Cohort, TuningError, TuningModel, step};

/// A participant of the federation: its images, and its optimizer's state, which persists across rounds. A
/// model it has only while it trains or tests; everything else it shares with its [`Cohort`].
pub struct TuningClient {
    shard: ClientShard,
    cohort: Arc<Cohort>,
    optimizer: Kept<ModuleOptimizer>,
    /// Of a client that trains by itself, once it has begun.
    own: Kept<ParameterRecord>,
}

/// What training came to.
struct Trained {
    model: TuningModel,
    record: ParameterRecord,
    /// Mean over the steps.
    loss: f64,
}

impl TuningClient {
    /// A client of `cohort` that holds `shard`.
    pub fn new(shard: ClientShard, cohort: Arc<Cohort>) -> Self {
        Self { shard, cohort, optimizer: Kept::Nothing, own: Kept::Nothing }
    }

    /// Train `model` for the local epochs of a round.
    fn train(
        &self,
        model: TuningModel,
        optimizer: &mut ModuleOptimizer,
        round: usize,
    ) -> Result<Trained, TuningError> {
        let Cohort { objective, training, trainable, seed, .. } = &*self.cohort;
        let label = format!("client {} round {round} dropout", self.shard.id);
        let masks = flora_core::seed::stream(*seed, &label).next_u64();
        let mut model = reseed_dropout(model, masks);
        let (mut sum, mut steps) = (0f64, 0usize);
        let batches = self.shard.train.len().div_ceil(training.batch_size);
        let planned = training.local_epochs * batches;
        for epoch in 0..training.local_epochs {
            let mut order = self.shard.train.clone();
            let label = format!("client {} round {round} epoch {epoch}", self.shard.id);
            order.shuffle(&mut flora_core::seed::stream(*seed, &label));
            for (batch, indices) in order.chunks(training.batch_size).enumerate() {
                let loss = objective.batch_loss(&model, indices, self.cohort.device())?;
                let rate = training.learning_rate_at(round, steps, planned);
                let loss = step(&mut model, optimizer, rate, loss)
                    .map_err(|loss| TuningError::Diverged { loss, epoch, batch })?;
                sum += f64::from(loss);
                steps += 1;
            }
        }
        let record = trainable.record(&model)?;
        record.check_finite().map_err(TuningError::NotFinite)?;
        Ok(Trained { model, record, loss: sum / steps.max(1) as f64 })
    }

    /// The parameters to go on from: those that were sent, or the own ones of a client that trains by
    /// itself and has begun.
    fn received<'a>(
        &'a self,
        sent: &'a ParameterRecord,
    ) -> Result<Cow<'a, ParameterRecord>, TuningError> {
        let own = self.cohort.states.look(&self.own, &self.cohort.training)?;
        Ok(own.unwrap_or(Cow::Borrowed(sent)))
    }

    fn try_fit(&mut self, instruction: &FitInstruction) -> Result<FitReply, TuningError> {
        let started = Instant::now();
        let cohort = Arc::clone(&self.cohort);
        cohort.forget_tested();
        let model = cohort.model(self.received(&instruction.parameters)?.as_ref())?;
        if cohort.alone && self.own.is_nothing() {
            cohort.states.keep(&mut self.own, instruction.parameters.as_ref().clone())?;
        }
        let optimizer = cohort.states.take(&mut self.optimizer, &cohort.training)?;
        let mut optimizer = optimizer.unwrap_or_else(|| cohort.training.optimizer());
        let trained = self.train(model, &mut optimizer, instruction.round);
        if trained.is_err() {
            // Moments that are no longer finite would spoil every later round of this client.
            self.optimizer.forget();
        }
        let Trained { model, record, loss } = trained?;
        cohort.states.keep(&mut self.optimizer, optimizer)?;
        if cohort.alone {
            cohort.states.keep(&mut self.own, record.clone())?;
        }
        let mut metrics = Metrics::from([("loss".into(), loss)]);
        let seconds = started.elapsed().as_secs_f64();
        if cohort.evaluate_local && !self.shard.test.is_empty() {
            let score = cohort.test(&model, &self.shard.test)?;
            metrics.insert("accuracy".into(), score.accuracy);
            metrics.insert("test_loss".into(), score.loss);
        }
        Ok(FitReply {
            client: self.shard.id.clone(),
            parameters: record,
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
        let (cohort, test) = (&self.cohort, &self.shard.test);
        let score = match cohort.states.look(&self.own, &cohort.training)? {
            Some(own) => cohort.test(&cohort.model(&own)?, test)?,
            None => cohort.test_shared(&instruction.parameters, test)?,
        };
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
