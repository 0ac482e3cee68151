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

/// What all clients of a run share. A [`TuningClient`](crate::TuningClient) has besides only its images and
/// what its training left behind, so that ten thousand of them take the memory of one model.
///
/// A client at work trains on a copy of [`model`](Cohort::new), with the values that it was sent. The copy
/// shares what is frozen, has trainable tensors of its own, and is gone when the client is done. Its
/// parameters have identities that follow from their names, by which optimizers know theirs, in this process
/// and in the one that resumes the run.
#[derive(Debug)]
pub struct Cohort {
    pub(crate) objective: Objective,
    pub(crate) trainable: Trainable,
    pub(crate) training: TrainingConfig,
    pub(crate) evaluate_local: bool,
    /// What of the trained parameters travels.
    pub(crate) share: Share,
    /// Clients keep what they trained last, although all of it travels.
    pub(crate) keep_own: bool,
    pub(crate) seed: u64,
    device: Device,
    model: TuningModel,
    /// What everybody starts from, shared or not.
    initial: Arc<ParameterRecord>,
    /// The model that was tested last, for all who test it.
    tested: Mutex<Option<Arc<Tested>>>,
}

/// A model that everybody tests, made ready once.
#[derive(Debug)]
struct Tested {
    record: Arc<ParameterRecord>,
    /// Without autodiff.
    model: TuningModel,
    /// With the features of the prompts, which are the same for all.
    objective: Objective,
}

impl Cohort {
    /// Clients of `model`, which lives on `device` with autodiff; `seed` is that of their order of examples.
    ///
    /// # Errors
    ///
    /// Two trained parameters of one name, and class weights for classes that there are not.
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

    /// The same clients, of whose trained parameters only `share` travels. The others stay with each client.
    pub fn with_share(self, share: Share) -> Self {
        // Where a client's own model is what is evaluated anyway, once is enough.
        let evaluate_local = self.evaluate_local && share.is_all();
        Self { evaluate_local, share, ..self }
    }

    /// The same clients, which keep what they trained last, so that they can be asked for it.
    pub fn keep_own(self) -> Self {
        Self { keep_own: true, ..self }
    }

    /// What everybody starts from, shared or not.
    pub fn initial(&self) -> &Arc<ParameterRecord> {
        &self.initial
    }

    /// The parameters of a client that has `own`, if it has begun, and was sent the shared ones. Where all are shared,
    /// those that a strategy did not send are what they were at the start.
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

    /// Whether parameters have the shapes of those that everybody starts from, by their names. Others may be there besides.
    pub(crate) fn has_shapes_of(&self, record: &ParameterRecord) -> bool {
        let fits = |(name, tensor): (&str, &HostTensor)| {
            self.initial.get(name).is_none_or(|initial| initial.shape() == tensor.shape())
        };
        record.iter().all(fits)
    }

    /// What the loss of a client that trains on `indices` makes of its classes.
    pub(crate) fn class_terms(&self, indices: &[usize]) -> ClassTerms {
        let objective = &self.objective;
        let labels: Vec<usize> = indices.iter().map(|&i| objective.labels[i]).collect();
        let classes = objective.prompts.classes();
        ClassTerms {
            weights: self.training.class_weights.of(&labels, classes, &objective.class_names),
            offsets: objective.softmax.offsets(&labels, classes),
        }
    }

    /// Where tensors that take part in training are.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// A model to train, with these values: adapters may be of other ranks than at the start, and have corrections of the
    /// weights below them ([`flora_core::record::correction`]).
    pub(crate) fn model(&self, record: &ParameterRecord) -> Result<TuningModel, TuningError> {
        // Trainable tensors are made anew: threads that share them take turns on one graph.
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

    /// How a model of one client alone does.
    pub(crate) fn test(
        &self,
        model: &TuningModel,
        indices: &[usize],
    ) -> Result<Score, TuningError> {
        let device = self.device.clone().inner();
        let model = self.objective.method.ready(&self.objective, model.valid(), &device)?;
        self.objective.score(&model, indices, &device)
    }

    /// How a model does that everybody is sent. The first who asks makes it ready for the others.
    pub(crate) fn test_shared(
        &self,
        record: &Arc<ParameterRecord>,
        indices: &[usize],
    ) -> Result<Score, TuningError> {
        let tested = self.tested(record)?;
        tested.objective.score(&tested.model, indices, &self.device.clone().inner())
    }

    /// The logits of these images behind [`test_shared`](Self::test_shared); see [`Objective::logits`].
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
        // Held while the model is made: everybody else needs it, too.
        let mut kept = self.lock();
        // The record is held, so that no other can be at its address.
        if let Some(tested) = kept.as_ref().filter(|tested| Arc::ptr_eq(&tested.record, record)) {
            return Ok(Arc::clone(tested));
        }
        // Never two of them.
        *kept = None;
        let model = self.model(self.whole(None, record)?.as_ref())?.valid();
        let device = self.device.clone().inner();
        let objective = self.objective.with_texts(&model, &device);
        let model = objective.method.ready(&objective, model, &device)?;
        let tested = Arc::new(Tested { record: Arc::clone(record), model, objective });
        *kept = Some(Arc::clone(&tested));
        Ok(tested)
    }

    /// Nobody tests that model again: where every weight is trained, it is as large as the base.
    pub(crate) fn forget_tested(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Tested>>> {
        // A panic while a model was made leaves none behind.
        self.tested.lock().unwrap_or_else(|error| error.into_inner())
    }
}
