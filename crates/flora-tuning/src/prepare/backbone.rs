//! The frozen model, its prompts, and the model with the method's modules.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;
use flora_clip::{Checkpoint, Clip, TextPrefix, VisionCut};
use flora_core::ParameterRecord;
use flora_core::workers::Workers;
use flora_data::{Dataset, Features, Template};
use flora_inference::Model;
use flora_lora::{LoraError, PeftAdapter, attach_peft};

use super::begin::Begin;
use super::{data, on_one_thread, wrong};
use crate::methods::Start;
use crate::{
    Experiment, Implementation, Method, Observer, Prompts, Trainable, TuningError, TuningModel,
};

/// The part of the vision tower that processes every image in every step instead of once.
pub(super) enum Vision {
    /// None of it.
    Frozen,
    /// The part above the cut.
    From(VisionCut),
    /// All of it.
    Whole,
}

/// A frozen CLIP on its device.
pub(super) struct Backbone {
    pub(super) checkpoint: Checkpoint,
    /// With autodiff.
    pub(super) device: Device,
    pub(super) method: Arc<dyn Method>,
    pub(super) prompts: Prompts,
    pub(super) logit_scale: f32,
    /// With its vision tower, until the image features are computed. `None` if it may not be needed.
    pub(super) whole: Option<Clip>,
    /// The same with an adapter under the classifier, if there is one.
    pub(super) adapted: Option<Model>,
    name: String,
    seed: u64,
    implementation: Implementation,
    base: TuningModel,
}

impl Backbone {
    pub(super) fn load(
        experiment: &Experiment,
        begin: &Begin,
        dataset: &Dataset,
        device: &Device,
        observer: &mut dyn Observer,
    ) -> Result<Self, TuningError> {
        let method = Arc::clone(&begin.method);
        let template = match &experiment.data.template {
            Some(template) => Template::new(template)
                .map_err(|error| wrong(experiment, "data.template", error))?,
            None => dataset.template().clone(),
        };
        let path = data::resolve_model(experiment, &mut |progress| {
            let total = progress.total.unwrap_or(progress.done);
            observer.progress(progress.file, progress.done as usize, total as usize);
        })?;
        let checkpoint = Checkpoint::open(&path)?;
        let device = device.clone().autodiff();
        let text_config = &checkpoint.config.text_config;
        let prompts =
            method.prompts(&checkpoint.tokenizer, text_config, &template, dataset.classes())?;
        let implementation = experiment.method.implementation;
        let with_vision = encodes_pictures(method.as_ref(), implementation);
        let below = begin.below.as_ref().map(|(adapter, _)| adapter);
        let mut whole = match (experiment.model.random_weights, with_vision || below.is_some()) {
            (true, _) => Some(Clip::random(&checkpoint.config, experiment.seed, &device)),
            (false, true) => Some(checkpoint.load(&device)?),
            (false, false) => None,
        };
        let mut adapted = None;
        if let (Some(adapter), Some(clip)) = (below, whole.take_if(|_| below.is_some())) {
            let misfit = |error: LoraError| {
                let problem = format!("it does not fit the model: {error}");
                wrong(experiment, "method.init_adapter", problem)
            };
            let model = adapted_model(&checkpoint, clip, adapter).map_err(misfit)?;
            whole = Some(model.clip().clone());
            adapted = Some(model);
        }
        let (base, logit_scale) = match &whole {
            Some(clip) => (TuningModel::new(clip.clone(), with_vision), clip.temperature_factor()),
            None => {
                let (text, logit_scale) = checkpoint.load_text(&device)?;
                (TuningModel::from_text(text), logit_scale)
            }
        };
        let (name, seed) = (experiment.name.clone(), experiment.seed);
        let base = base.no_grad();
        Ok(Self {
            checkpoint,
            device,
            method,
            prompts,
            logit_scale,
            whole,
            adapted,
            name,
            seed,
            implementation,
            base,
        })
    }

    /// The part of the vision tower that processes every image in every step.
    pub(super) fn vision(&self, model: &TuningModel) -> Vision {
        // Full fine-tuning changes the weights below adapters.
        let only_adapters = matches!(self.method.trainable(), Trainable::Adapters);
        match model.vision_cut() {
            _ if !encodes_pictures(self.method.as_ref(), self.implementation) => Vision::Frozen,
            None if self.implementation == Implementation::Fast && only_adapters => Vision::Frozen,
            Some(cut) if self.implementation == Implementation::Fast && only_adapters => {
                match cut {
                    cut if cut.is_worth_keeping() => Vision::From(cut),
                    _ => Vision::Whole,
                }
            }
            _ => Vision::Whole,
        }
    }

    /// The zero-shot classifier, if training does not change it or starts from it.
    pub(super) fn texts(&self, workers: &Workers) -> Option<Arc<Features>> {
        let wanted = self.texts_stay() || self.method.starts_from_texts();
        wanted.then(|| on_one_thread(workers, || self.start().texts()))
    }

    /// Whether every prompt is encoded once, for all rounds.
    pub(super) fn texts_stay(&self) -> bool {
        self.implementation == Implementation::Fast && !self.method.trains_text()
    }

    /// The model with the method's modules, and with the values `initial`, if given.
    pub(super) fn attach(
        &self,
        initial: Option<&ParameterRecord>,
        texts: &Option<Arc<Features>>,
    ) -> Result<TuningModel, TuningError> {
        let start = self.start().with_texts(texts.clone());
        let attached = self.method.attach(self.base.clone(), &start);
        let refuse =
            |problem: String| TuningError::Experiment { origin: self.name.clone(), problem };
        let misfit = |error: &dyn std::fmt::Display| {
            refuse(format!("method.init_adapter: it does not fit the model: {error}"))
        };
        let model = attached.map_err(|error| match error {
            // The settings are those of the adapter.
            TuningError::Lora(error) if initial.is_some() => misfit(&error),
            TuningError::Lora(error) => refuse(format!("method.{error}")),
            other => other,
        })?;
        let Some(initial) = initial else { return Ok(model) };
        self.method.trainable().load(model, initial).map_err(|error| misfit(&error))
    }

    /// The states of the prompts below all trained parameters.
    pub(super) fn prefix(&self, model: &TuningModel, workers: &Workers) -> Option<TextPrefix> {
        // A context is trained below the whole tower, and full fine-tuning changes the weights below adapters.
        let only_adapters = matches!(self.method.trainable(), Trainable::Adapters);
        let wanted = self.implementation == Implementation::Fast
            && self.method.trains_text()
            && only_adapters;
        wanted.then(|| on_one_thread(workers, || self.prompts.prefix(model)))
    }

    /// Number of parameters of the whole model, including those that `model` adds.
    pub(super) fn count(&self, model: &TuningModel) -> usize {
        self.checkpoint.num_params(&self.device) + model.num_params() - self.base.num_params()
    }

    fn start(&self) -> Start<'_> {
        Start::new(self.seed, &self.device, &self.base, &self.prompts)
            .with_vision(&self.checkpoint.config.vision_config)
    }
}

/// A model with an adapter that is not trained.
fn adapted_model(
    checkpoint: &Checkpoint,
    mut clip: Clip,
    adapter: &PeftAdapter,
) -> Result<Model, LoraError> {
    let adapter = adapter.clone().fitted(&mut clip)?;
    let clip = attach_peft(clip, &adapter)?.no_grad();
    let mut model = Model::new(checkpoint.clone(), clip);
    model.adapter = Some(adapter);
    Ok(model)
}

fn encodes_pictures(method: &dyn Method, implementation: Implementation) -> bool {
    method.trains_vision() || implementation == Implementation::Naive
}
