use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard};

use burn::module::Module;
use burn::tensor::Device;
use flora_core::record::is_correction;
use flora_core::{HostTensor, ParameterRecord};
use flora_federation::Share;
use flora_lora::named::name_parameters;
use flora_lora::{correct, with_ranks_of};

use crate::objective::Score;
use crate::{ClassTerms, Objective, Trainable, TrainingConfig, TuningError, TuningModel};

/// The data that all clients of a run share. Besides this, a [`TuningClient`](crate::TuningClient) has only its images
/// and its training state, so that ten thousand of them need the memory of one model.
///
/// A working client trains a copy of [`model`](Cohort::new) with the values that it was sent. The copy shares the
/// frozen tensors, has its own trainable ones, and is dropped when the client is done. Parameter ids are derived from
/// names, so an optimizer finds its parameters in this process and in one that resumes the run.
#[derive(Debug)]
pub struct Cohort {
    pub(crate) objective: Objective,
    pub(crate) trainable: Trainable,
    pub(crate) training: TrainingConfig,
    pub(crate) evaluate_local: bool,
    /// The part of the trained parameters that is sent.
    pub(crate) share: Share,
    /// Clients keep their last trained parameters even if all of them are shared.
    pub(crate) keep_own: bool,
    pub(crate) seed: u64,
    device: Device,
    model: TuningModel,
    /// The initial parameters of all clients, shared or not.
    initial: Arc<ParameterRecord>,
    /// The model that was last tested, for all clients that test it.
    tested: Mutex<Option<Arc<Tested>>>,
}

/// A model that all clients test, prepared once.
#[derive(Debug)]
struct Tested {
    record: Arc<ParameterRecord>,
    /// Without autodiff.
    model: TuningModel,
    /// With the features of the prompts, which are the same for all.
    objective: Objective,
}

impl Cohort {
    /// Clients of `model`, which lives on `device` with autodiff; `seed` determines the order of their examples.
    ///
    /// # Errors
    ///
    /// Two trained parameters of one name, or class weights for classes that do not exist.
    pub fn new(
        objective: Objective,
        training: TrainingConfig,
        evaluate_local: bool,
        seed: u64,
        device: Device,
        model: TuningModel,
    ) -> Result<Self, TuningError> {
        let named = training.class_weights.check_names(&objective.class_names);
        named.map_err(TuningError::ClassWeights)?;
        let trainable = objective.method.trainable();
        let model = name_parameters(model);
        let initial = Arc::new(trainable.record(&model)?);
        Ok(Self {
            trainable,
            objective,
            training,
            evaluate_local,
            share: Share::All,
            keep_own: false,
            seed,
            device,
            model,
            initial,
            tested: Mutex::new(None),
        })
    }

    /// Sets the part of the trained parameters that is sent. The others stay with each client.
    pub fn with_share(self, share: Share) -> Self {
        // If clients' own models are evaluated anyway, once is enough.
        let evaluate_local = self.evaluate_local && share.is_all();
        Self { evaluate_local, share, ..self }
    }

    /// Makes clients keep their last trained parameters, so that they can be queried.
    pub fn keep_own(self) -> Self {
        Self { keep_own: true, ..self }
    }

    /// The initial parameters of all clients, shared or not.
    pub fn initial(&self) -> &Arc<ParameterRecord> {
        &self.initial
    }

    /// The complete parameters of a client with `own` parameters (if it has started) and the received shared ones. If
    /// all are shared, those that a strategy did not send have their initial values.
    pub(crate) fn whole<'a>(
        &self,
        own: Option<&ParameterRecord>,
        sent: &'a ParameterRecord,
    ) -> Result<Cow<'a, ParameterRecord>, TuningError> {
        let own = own.filter(|_| !self.share.is_all());
        if self.share.is_all() && sent.len() >= self.initial.len() {
            return Ok(Cow::Borrowed(sent));
        }
        let mut whole = own.unwrap_or(&self.initial).clone();
        whole.replace(sent)?;
        Ok(Cow::Owned(whole))
    }

    /// Whether the initial parameters of the same names have the same shapes. The record may contain others.
    pub(crate) fn has_shapes_of(&self, record: &ParameterRecord) -> bool {
        let fits = |(name, tensor): (&str, &HostTensor)| {
            self.initial.get(name).is_none_or(|initial| initial.shape() == tensor.shape())
        };
        record.iter().all(fits)
    }

    /// The class weights and offsets in the loss of a client that trains on `indices`.
    pub(crate) fn class_terms(&self, indices: &[usize]) -> ClassTerms {
        let objective = &self.objective;
        let labels: Vec<usize> = indices.iter().map(|&i| objective.labels[i]).collect();
        let classes = objective.prompts.classes();
        ClassTerms {
            weights: self.training.class_weights.of(&labels, classes, &objective.class_names),
            offsets: objective.softmax.offsets(&labels, classes),
        }
    }

    /// The device of tensors that take part in training.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// A model to train, with these values: adapters may have other ranks than initially, and corrections of the base
    /// weights ([`flora_core::record::correction`]).
    pub(crate) fn model(&self, record: &ParameterRecord) -> Result<TuningModel, TuningError> {
        // Trainable tensors are created anew: threads that share them would take turns on one graph.
        let model = self.model.clone();
        if self.trainable != Trainable::Adapters {
            return Ok(self.trainable.load(model, record)?);
        }
        let model = with_ranks_of(model, record);
        if !record.names().any(is_correction) {
            return Ok(self.trainable.load(model, record)?);
        }
        let adapters = record.filter(|name| !is_correction(name));
        Ok(self.trainable.load(correct(model, record)?, &adapters)?)
    }

    /// The score of a model of one client.
    pub(crate) fn test(
        &self,
        model: &TuningModel,
        indices: &[usize],
    ) -> Result<Score, TuningError> {
        let device = self.device.clone().inner();
        let model = self.objective.method.ready(&self.objective, model.valid(), &device)?;
        self.objective.score(&model, indices, &device)
    }

    /// The score of a model that all clients are sent. The first client to ask prepares it for the others.
    pub(crate) fn test_shared(
        &self,
        record: &Arc<ParameterRecord>,
        indices: &[usize],
    ) -> Result<Score, TuningError> {
        let tested = self.tested(record)?;
        tested.objective.score(&tested.model, indices, &self.device.clone().inner())
    }

    /// The logits of these images in [`test_shared`](Self::test_shared); see [`Objective::logits`].
    pub(crate) fn logits_shared(
        &self,
        record: &Arc<ParameterRecord>,
        indices: &[usize],
    ) -> Result<Vec<f32>, TuningError> {
        if indices.is_empty() {
            return Ok(Vec::new());
        }
        let tested = self.tested(record)?;
        tested.objective.logits(&tested.model, indices, &self.device.clone().inner())
    }

    fn tested(&self, record: &Arc<ParameterRecord>) -> Result<Arc<Tested>, TuningError> {
        // Held while the model is prepared: all others need it, too.
        let mut kept = self.lock();
        // The record is kept alive, so that no other can have its address.
        if let Some(tested) = kept.as_ref().filter(|tested| Arc::ptr_eq(&tested.record, record)) {
            return Ok(Arc::clone(tested));
        }
        // Never two of them at once.
        *kept = None;
        let model = self.model(self.whole(None, record)?.as_ref())?.valid();
        let device = self.device.clone().inner();
        let objective = self.objective.with_texts(&model, &device);
        let model = objective.method.ready(&objective, model, &device)?;
        let tested = Arc::new(Tested { record: Arc::clone(record), model, objective });
        *kept = Some(Arc::clone(&tested));
        Ok(tested)
    }

    /// Drops the tested model, which is no longer needed: if every weight is trained, it is as large as the base.
    pub(crate) fn forget_tested(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Tested>>> {
        // A panic during preparation leaves no model.
        self.tested.lock().unwrap_or_else(|error| error.into_inner())
    }
}
