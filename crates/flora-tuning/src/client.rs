use std::sync::Arc;

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use flora_core::record::is_correction;
use flora_core::{HostTensor, ParameterRecord};
use flora_data::{ClientShard, Split};
use flora_federation::{Client, ClientError, ClientInfo, Kind, Message, Metrics, PARAMETERS, Task};
use flora_heads::Moments;
use flora_lora::reseed_dropout;
use flora_privacy::{EPSILON, answers_of};
use flora_strategies::CONTROL;
use rand::Rng;
use rand::seq::SliceRandom;

use crate::asked::Asked;
use crate::client_bytes::StateSlot;
use crate::control::{Control, OwnControl};
use crate::estimate::estimate;
use crate::hidden::{Hidden, clip_rows};
use crate::methods::Summed;
use crate::proximal::Proximal;
use crate::{Cohort, TuningError, TuningModel, step};

/// A participant of the federation: its images, and its optimizer's state, which persists across rounds. It holds a
/// model only while training or testing; it shares everything else with its [`Cohort`].
///
/// A training task with the setting `proximal-mu`, a number above 0, is trained with the proximal term of FedProx
/// ([arXiv 1812.06127](https://arxiv.org/abs/1812.06127)): `mu/2` times the squared distance from the sent parameters
/// is added to the loss of every step. A task with the record [`CONTROL`] is trained with SCAFFOLD's control variates,
/// of which the client keeps its own.
///
/// A training task may select the trained parameters by the setting `flora.train`
/// ([`lora::TRAIN`](flora_strategies::lora::TRAIN)), and reset the optimizer by `flora.fresh-optimizer`. Parameters
/// that are not sent have their values from the start of the run. With `flora.estimate`
/// ([`lora::ESTIMATE`](flora_strategies::lora::ESTIMATE)), the client answers factors of a gradient, and trains
/// nothing.
///
/// The client answers the query `parameters` with all parameters that it last trained, shared or not, if it keeps them:
/// if not all of them are shared, or if the cohort requires it ([`Cohort::keep_own`]).
pub struct TuningClient {
    shard: ClientShard,
    /// The split on which the client is evaluated.
    scored_on: Split,
    cohort: Arc<Cohort>,
    kept: StateSlot,
    /// Protection of single images, if enabled.
    hidden: Option<Hidden>,
    /// Trained parameters leave the client only with noise.
    is_guarded: bool,
}

/// Terms added to the loss of every step.
struct Terms {
    proximal: Option<Proximal>,
    control: Option<Control>,
}

/// The result of training.
struct Trained {
    model: TuningModel,
    record: ParameterRecord,
    /// The sent record, if it differs from the trained one.
    sent: Option<ParameterRecord>,
    /// The control variate after the round, and its reply.
    control: Option<(OwnControl, ParameterRecord)>,
    /// Mean over the steps.
    loss: f64,
    /// The privacy budget spent on hidden images.
    epsilon: Option<f64>,
}

impl TuningClient {
    /// A client of `cohort` that holds `shard` and is evaluated on its test images.
    pub fn new(shard: ClientShard, cohort: Arc<Cohort>) -> Self {
        Self {
            shard,
            scored_on: Split::Test,
            cohort,
            kept: StateSlot::default(),
            hidden: None,
            is_guarded: false,
        }
    }

    /// Evaluates the client on its images of `split`; see [`Partition::scored_on`](flora_data::Partition::scored_on).
    pub fn scored_on(self, split: Split) -> Self {
        Self { scored_on: split, ..self }
    }

    /// The parameters that all clients begin with.
    pub(crate) fn initial(&self) -> &ParameterRecord {
        self.cohort.initial()
    }

    /// Keeps the client from answering its last trained parameters.
    pub(crate) fn guarded(self, is_guarded: bool) -> Self {
        Self { is_guarded, ..self }
    }

    /// Protects each of the client's images.
    pub(crate) fn hiding(self, hidden: Option<Hidden>) -> Self {
        Self { hidden, ..self }
    }

    fn scored(&self) -> &[usize] {
        self.shard.images(self.scored_on)
    }

    /// Trains `model` for the local epochs of a round; also returns the number of steps.
    fn train(
        &self,
        model: TuningModel,
        optimizer: &mut ModuleOptimizer,
        terms: &Terms,
        task: &Task,
    ) -> Result<(Trained, usize), TuningError> {
        let round = task.round;
        let hidden = self.hidden.as_ref().map(|hidden| hidden.of(task));
        let Cohort { objective, training, trainable, seed, .. } = &*self.cohort;
        let label = format!("client {} round {round} dropout", self.shard.id);
        let masks = flora_core::seed::stream(*seed, &label).next_u64();
        let mut model = reseed_dropout(model, masks);
        let class_terms = self.cohort.class_terms(&self.shard.train);
        let (mut sum, mut steps) = (0f64, 0usize);
        let batches = self.shard.train.len().div_ceil(training.batch_size);
        let planned = training.local_epochs * batches;
        for epoch in 0..training.local_epochs {
            let mut order = self.shard.train.clone();
            let label = format!("client {} round {round} epoch {epoch}", self.shard.id);
            order.shuffle(&mut flora_core::seed::stream(*seed, &label));
            // A server may send any round number: the product of two `usize` always fits.
            let number = round as u128 * training.local_epochs as u128 + epoch as u128;
            let objective = objective.in_epoch(number);
            let drawn;
            let batches: Vec<&[usize]> = match &hidden {
                None => order.chunks(training.batch_size).collect(),
                Some(hidden) => {
                    let first = self.kept.spent + steps as u64;
                    let of = |step: usize| hidden.batch(&self.shard.train, first + step as u64);
                    drawn = (0..batches).map(of).collect::<Vec<_>>();
                    drawn.iter().map(Vec::as_slice).collect()
                }
            };
            for (batch, indices) in batches.into_iter().enumerate() {
                let device = self.cohort.device();
                let (loss, nats) = match &hidden {
                    None => {
                        let loss = objective.client_loss(&model, indices, &class_terms, device)?;
                        (loss, None)
                    }
                    Some(hidden) => {
                        let (step, all) = (self.kept.spent + steps as u64, self.shard.train.len());
                        let of = (indices, all);
                        let (loss, nats) = hidden.loss(&objective, &model, of, step, device)?;
                        (loss, Some(nats))
                    }
                };
                let loss = match &terms.proximal {
                    None => loss,
                    Some(proximal) => proximal.add_to(loss, &model),
                };
                // The loss of the steps is not a loss of the model.
                let (told, loss) = match &terms.control {
                    None => (None, loss),
                    Some(control) => (Some(loss.clone().detach()), control.add_to(loss, &model)),
                };
                let rate = training.learning_rate_at(round, steps, planned);
                let loss = step(&mut model, optimizer, rate, loss)
                    .map_err(|loss| TuningError::Diverged { loss, epoch, batch })?;
                let loss = told.map_or(loss, |told| told.into_scalar::<f32>());
                // With hidden images, the quantity stepped by is not a loss, and an empty batch has none.
                sum += nats.map_or(f64::from(loss), |nats| if nats.is_nan() { 0.0 } else { nats });
                steps += 1;
            }
        }
        let record = trainable.record(&model)?;
        record.check_finite().map_err(TuningError::NotFinite)?;
        check_squares(&record)?;
        let loss = sum / steps.max(1) as f64;
        let trained = Trained { model, record, sent: None, control: None, loss, epsilon: None };
        Ok((trained, steps.max(1)))
    }

    /// The reply of a method that takes no steps; `None` if the method takes steps. The loss is that of the sent
    /// parameters.
    fn sum_up(
        &self,
        model: &TuningModel,
        sent: &Arc<ParameterRecord>,
        task: &Task,
    ) -> Result<Option<Trained>, TuningError> {
        let (cohort, images) = (&*self.cohort, &self.shard.train);
        let Cohort { objective, trainable, .. } = cohort;
        let device = cohort.device().clone().inner();
        let summed = match &self.hidden {
            Some(hidden) if model.moments().is_some() => {
                let (summed, epsilon) = self.hidden_sums(&hidden.of(task), model)?;
                Some((summed, Some(epsilon)))
            }
            _ => {
                let summed = objective.method.sum_up(objective, &model.valid(), images, &device)?;
                summed.map(|summed| (summed, None))
            }
        };
        let Some((Summed { sums, means }, epsilon)) = summed else { return Ok(None) };
        // All clients are sent the same parameters, which are prepared once.
        let loss = match cohort.share.is_all() {
            true => cohort.test_shared(sent, images)?.loss,
            false => cohort.test(model, images)?.loss,
        };
        let model = trainable.load(model.clone(), &sums)?;
        let sent = Some(means);
        Ok(Some(Trained { model, record: sums, sent, control: None, loss, epsilon }))
    }

    fn fit(&mut self, task: &Task) -> Result<Message, TuningError> {
        let cohort = Arc::clone(&self.cohort);
        let asked = Asked::of(&task.message.config)?;
        let sent = self.sent(task, &asked)?;
        let start = cohort.whole(self.kept.own.as_ref(), sent)?;
        let model = cohort.model(&start)?;
        if let Some(trained) = self.sum_up(&model, sent, task)? {
            return self.answer(trained, &start);
        }
        cohort.forget_tested();
        let hides = self.hidden.is_some() || self.is_guarded;
        // Whatever the plan says, the server determines the settings of a task.
        if hides && (asked.estimates || task.message.records.len() > 1) {
            return Err(TuningError::Privacy(
                "this client protects its images, and the task requests data that no noise covers"
                    .to_owned(),
            ));
        }
        if asked.estimates {
            let label = format!("client {} round {} estimate", self.shard.id, task.round);
            let masks = flora_core::seed::stream(cohort.seed, &label).next_u64();
            let (factors, loss) = estimate(&cohort, &start, &self.shard.train, masks)?;
            let record = cohort.trainable.record(&model)?;
            let (sent, control) = (Some(factors), None);
            let trained = Trained { model, record, sent, control, loss, epsilon: None };
            return self.answer(trained, &start);
        }
        let model = asked.freeze(model, cohort.trainable)?;
        let terms = Terms {
            proximal: Proximal::asked(&task.message.config, cohort.trainable, &model, sent)?,
            control: Control::asked(
                &task.message,
                &cohort,
                (&model, &start),
                self.kept.control.as_ref(),
            )?,
        };
        // If training fails, the optimizer is not restored: moments that are no longer finite would spoil every later
        // round.
        let goes_on = !asked.begins_anew && cohort.has_shapes_of(&start);
        let optimizer = self.kept.optimizer.take().filter(|_| goes_on);
        let mut optimizer = optimizer.unwrap_or_else(|| cohort.training.optimizer());
        self.may_spend(task)?;
        let (mut trained, steps) = self.train(model, &mut optimizer, &terms, task)?;
        if self.hidden.is_some() {
            self.kept.spent += steps as u64;
            trained.epsilon = self.epsilon(task)?;
        }
        if let Some(control) = terms.control {
            let rate = cohort.training.learning_rate;
            trained.control = Some(control.after(&start, &trained.record, (steps, rate))?);
        }
        // Moments of other shapes are useless later, and would not fit.
        self.kept.optimizer = cohort.has_shapes_of(&start).then_some(optimizer);
        trained.sent = asked.part(&trained.record);
        self.answer(trained, &start)
    }

    /// Checks that the privacy budget of hidden images allows another round.
    fn may_spend(&self, task: &Task) -> Result<(), TuningError> {
        let Some(hidden) = &self.hidden else { return Ok(()) };
        let (images, steps) = (self.shard.train.len(), self.steps_of_round(hidden));
        let earlier = answers_of(task).saturating_sub(1).saturating_mul(steps as u64);
        hidden.check(images, self.kept.spent.max(earlier), steps)
    }

    /// The privacy budget spent on hidden images, this round included.
    fn epsilon(&self, task: &Task) -> Result<Option<f64>, TuningError> {
        let of = |hidden: &Hidden| {
            // A client that was set back has taken more steps than its state says.
            let all = answers_of(task).saturating_mul(self.steps_of_round(hidden) as u64);
            hidden.spent(self.shard.train.len(), self.kept.spent.max(all))
        };
        self.hidden.as_ref().filter(|_| self.kept.spent > 0).map(of).transpose()
    }

    fn steps_of_round(&self, hidden: &Hidden) -> usize {
        self.cohort.training.local_epochs * hidden.steps(self.shard.train.len())
    }

    /// Noised sums of hidden images, and the budget that they spend.
    fn hidden_sums(
        &self,
        hidden: &Hidden,
        model: &TuningModel,
    ) -> Result<(Summed, f64), TuningError> {
        let objective = &self.cohort.objective;
        let device = self.cohort.device().clone().inner();
        let model = model.valid();
        let dim = model.moments().expect("only ridge hides its sums").dim();
        let mut moments = Moments::new(dim, objective.prompts.classes());
        let images = &self.shard.train;
        objective.features_in_batches(&model, images, &device, |images, mut features| {
            clip_rows(&mut features, dim);
            let labels: Vec<usize> = images.iter().map(|&image| objective.labels[image]).collect();
            Ok(moments.add_batch(&features, &labels, 1.0)?)
        })?;
        let (noised, spent) = hidden.sums(&moments)?;
        // By the declared number of images, not by the noised count.
        let mut means = ParameterRecord::new();
        let count = images.len() as f32;
        let sums = noised.to_record()?;
        for (name, tensor) in sums.iter() {
            let values = tensor.to_f32().iter().map(|value| value / count).collect();
            means.insert(name, HostTensor::from_f32(tensor.shape(), values)?)?;
        }
        Ok((Summed { sums, means }, spent))
    }

    /// The reply of a client that trained from the parameters `start`.
    fn answer(
        &mut self,
        Trained { model, record, sent, control, loss, epsilon }: Trained,
        start: &ParameterRecord,
    ) -> Result<Message, TuningError> {
        let cohort = Arc::clone(&self.cohort);
        let moved = start.distance(sent.as_ref().unwrap_or(&record));
        let mut metrics = Metrics::from([("loss".into(), loss), ("update_norm".into(), moved)]);
        metrics.extend(epsilon.map(|epsilon| (EPSILON.to_owned(), epsilon)));
        if cohort.evaluate_local && !self.scored().is_empty() {
            let score = cohort.test(&model, self.scored())?;
            metrics.insert("accuracy".into(), score.accuracy);
            metrics.insert("test_loss".into(), score.loss);
        }
        let sent = sent.as_ref().unwrap_or(&record);
        let shared = match cohort.share.is_all() {
            true => sent.clone(),
            false => cohort.share.part(sent),
        };
        let keeps = cohort.keep_own || !cohort.share.is_all();
        self.kept.own = keeps.then(|| with_corrections(record, start)).transpose()?;
        let mut message = Message::trained(shared, self.shard.train.len(), metrics);
        if let Some((after, answered)) = control {
            self.kept.control = Some(after);
            message.records.insert(CONTROL.to_owned(), Arc::new(answered));
        }
        Ok(message)
    }

    /// The parameters in a task: all shared ones, or those of them that are to be trained.
    fn sent<'a>(
        &self,
        task: &'a Task,
        asked: &Asked,
    ) -> Result<&'a Arc<ParameterRecord>, TuningError> {
        let sent = task.message.get_parameters().ok_or(TuningError::NoParameters)?;
        let (cohort, initial) = (&self.cohort, self.cohort.initial());
        if cohort.share.is_all() && sent.len() < initial.len() && !asked.of_a_part() {
            sent.check_matches(initial)?;
        }
        Ok(sent)
    }

    fn test(&mut self, task: &Task) -> Result<Message, TuningError> {
        let (cohort, test) = (&self.cohort, self.scored());
        let sent = self.sent(task, &Asked::of(&task.message.config)?)?;
        let score = match &self.kept.own {
            Some(own) if !cohort.share.is_all() => {
                let whole = cohort.whole(Some(own), sent)?;
                cohort.test(&cohort.model(&whole)?, test)?
            }
            // All clients that have not started have the same model.
            _ => cohort.test_shared(sent, test)?,
        };
        let metrics =
            Metrics::from([("accuracy".into(), score.accuracy), ("loss".into(), score.loss)]);
        Ok(Message::tested(test.len(), metrics))
    }
}

/// A client's trained parameters with the received corrections of the base weights, without which they are a different
/// model.
fn with_corrections(
    mut record: ParameterRecord,
    start: &ParameterRecord,
) -> Result<ParameterRecord, TuningError> {
    for (name, tensor) in start.iter().filter(|(name, _)| is_correction(name)) {
        record.insert(name, tensor.clone())?;
    }
    Ok(record)
}

/// Checks that the squares of the values do not overflow. A layer norm turns values whose squares overflow into zeros,
/// and nothing else would show the problem.
fn check_squares(record: &ParameterRecord) -> Result<(), TuningError> {
    for (name, tensor) in record.iter() {
        let value = tensor.to_f32().iter().fold(0f32, |most, value| most.max(value.abs()));
        if !(value * value).is_finite() {
            return Err(TuningError::Overflow { tensor: name.to_owned(), value });
        }
    }
    Ok(())
}

/// The id and numbers of examples of the client that holds the shard and is evaluated on its images of `split`.
pub(crate) fn client_info(shard: &ClientShard, split: Split) -> ClientInfo {
    ClientInfo {
        id: shard.id.clone(),
        num_examples: shard.train.len(),
        num_test_examples: shard.images(split).len(),
    }
}

impl Client for TuningClient {
    fn info(&self) -> ClientInfo {
        client_info(&self.shard, self.scored_on)
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        let answer = match &task.kind {
            Kind::Train => self.fit(task),
            Kind::Evaluate => self.test(task),
            // Noise does not cover them.
            Kind::Query(name) if name == PARAMETERS && self.is_guarded => Err(
                TuningError::Privacy("what it trained does not leave it without noise".to_owned()),
            ),
            Kind::Query(name) if name == PARAMETERS => {
                let own = self.kept.own.clone().unwrap_or_default();
                Ok(Message::parameters(Arc::new(own)))
            }
            Kind::Query(_) => return Err(task.unsupported()),
        };
        answer.map_err(|error| {
            // Its values are trained parameters without noise.
            let says = match self.is_guarded && task.kind == Kind::Train {
                true => "it could not train; the reason is withheld (federation.privacy is local)"
                    .to_owned(),
                false => error.to_string(),
            };
            ClientError::new(&self.shard.id, says)
        })
    }

    fn save(&self) -> Result<Option<Vec<u8>>, ClientError> {
        self.kept.pack().map_err(|problem| ClientError::new(&self.shard.id, problem))
    }

    fn restore(&mut self, state: Option<&[u8]>) -> Result<(), ClientError> {
        let (training, device) = (&self.cohort.training, self.cohort.device());
        let state = state.map(|bytes| StateSlot::unpack(bytes, training, device)).transpose();
        let state = state.map_err(|problem| ClientError::new(&self.shard.id, problem))?;
        self.kept = state.unwrap_or_default();
        Ok(())
    }

    fn needs_state(&self, kind: &Kind) -> bool {
        // An evaluation of the global model needs only the global parameters.
        *kind != Kind::Evaluate || !self.cohort.share.is_all()
    }
}
