use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use burn::module::Module;
use burn::tensor::Device;
use flora_core::ParameterRecord;

use crate::objective::Score;
use crate::states::States;
use crate::{Objective, Trainable, TrainingConfig, TuningError, TuningModel};

/// What all clients of a run share. A [`TuningClient`](crate::TuningClient) has besides only its images and
/// what its training left behind, so that ten thousand of them take the memory of one model.
///
/// A client at work trains on a copy of [`model`](Cohort::new), with the values that it was sent. The copy
/// shares what is frozen, has trainable tensors of its own, and is gone when the client is done. Its
/// parameters have the identities of the original, which is what optimizers know theirs by.
#[derive(Debug)]
pub struct Cohort {
    pub(crate) objective: Objective,
    pub(crate) trainable: Trainable,
    pub(crate) training: TrainingConfig,
    pub(crate) evaluate_local: bool,
    /// Everybody trains by itself: what it is sent is only where it begins.
    pub(crate) alone: bool,
    pub(crate) seed: u64,
    pub(crate) states: States,
    device: Device,
    model: TuningModel,
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
    pub fn new(
        objective: Objective,
        training: TrainingConfig,
        evaluate_local: bool,
        seed: u64,
        device: Device,
        model: TuningModel,
    ) -> Self {
        Self {
            trainable: objective.method.trainable(),
            objective,
            training,
            evaluate_local,
            alone: false,
            seed,
            states: States::default(),
            device,
            model,
            tested: Mutex::new(None),
        }
    }

    /// The same clients, each by itself: it goes on from its own parameters, whatever it is sent later.
    pub fn alone(self) -> Self {
        // Its own model is what is evaluated anyway.
        Self { alone: true, evaluate_local: false, ..self }
    }

    /// The same clients, whose optimizers (and own parameters) lie in a temporary file while they do not
    /// train: in `folder`, or where that is not possible, in the system's folder of temporary files. It
    /// goes with the process. The bits of all results stay.
    ///
    /// # Errors
    ///
    /// Neither folder can be written to.
    pub fn on_disk(self, folder: Option<&Path>) -> Result<Self, TuningError> {
        Ok(Self { states: States::on_disk(folder)?, ..self })
    }

    /// Where tensors that take part in training are.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// A model to train, with these values.
    pub(crate) fn model(&self, record: &ParameterRecord) -> Result<TuningModel, TuningError> {
        // Trainable tensors are made anew: threads that share them take turns on one graph.
        Ok(self.trainable.load(self.model.clone(), record)?)
    }

    /// How a model of one client alone does.
    pub(crate) fn test(
        &self,
        model: &TuningModel,
        indices: &[usize],
    ) -> Result<Score, TuningError> {
        self.objective.score(&model.valid(), indices, &self.device.clone().inner())
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

    fn tested(&self, record: &Arc<ParameterRecord>) -> Result<Arc<Tested>, TuningError> {
        // Held while the model is made: everybody else needs it, too.
        let mut kept = self.lock();
        // The record is held, so that no other can be at its address.
        if let Some(tested) = kept.as_ref().filter(|tested| Arc::ptr_eq(&tested.record, record)) {
            return Ok(Arc::clone(tested));
        }
        // Never two of them.
        *kept = None;
        let model = self.model(record)?.valid();
        let objective = self.objective.settled(&model, &self.device.clone().inner());
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
