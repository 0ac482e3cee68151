use std::path::Path;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use flora_clip::Checkpoint;
use flora_core::ParameterRecord;
use flora_data::{Dataset, Features, Template};
use flora_inference::{Changes, Classifier, Model, Provenance, TrainedOn, settings_digest};

use super::{digest, load_trained};
use crate::methods::Start;
use crate::prepare::{open_dataset, resolve_model};
use crate::{Experiment, ImageInput, Method, MethodName, Objective, TuningError, TuningModel};

/// What a run trained, in use: its CLIP, and its way to tell classes apart.
#[derive(Debug, Clone)]
pub struct TrainedModel {
    /// CLIP, with what was trained of it. What the method puts beside CLIP is only in the
    /// [classifier](TrainedModel::classifier).
    pub model: Model,
    /// What it was trained from and for.
    pub provenance: Provenance,
    method: Arc<dyn Method>,
    name: MethodName,
    /// Without autodiff.
    tuned: TuningModel,
    logit_scale: f32,
}

/// A [`TrainedModel`] that tells some classes apart.
#[derive(Debug)]
pub struct TrainedClassifier {
    objective: Objective,
    model: TuningModel,
    classes: Vec<usize>,
}

impl TrainedModel {
    /// The model that a run of `experiment` left in `folder`, on `device`; `None` where it left none, as where every
    /// client keeps its own.
    ///
    /// # Errors
    ///
    /// Files that are missing or damaged, and a base model whose weights are not those that were trained on.
    pub fn open(
        experiment: &Experiment,
        folder: &Path,
        device: &Device,
    ) -> Result<Option<Self>, TuningError> {
        if experiment.model.random_weights {
            let problem = "the run's base had random weights, which are kept nowhere";
            return Err(TuningError::trained(folder, problem.to_owned()));
        }
        let checkpoint = Checkpoint::open(&resolve_model(experiment, &mut |_| {})?)?;
        let base_sha256 = checkpoint.digest()?;
        let settings = settings_digest(&checkpoint);
        let name = experiment.method.name;
        let mut method = experiment.method.clone();
        let (record, provenance) = if name == MethodName::ZeroShot {
            let dataset = open_dataset(experiment)?;
            (ParameterRecord::new(), experiment.provenance(&dataset, &base_sha256, &settings, None))
        } else {
            let Some(loaded) = load_trained(experiment, folder, device)? else { return Ok(None) };
            method.lora = loaded.lora.unwrap_or(method.lora);
            (loaded.record, loaded.provenance)
        };
        if provenance.base_sha256 != base_sha256 {
            let problem = format!(
                "was trained on {} with the weights {}, and those of {} are {base_sha256} now; put the original back",
                provenance.base_model_name_or_path,
                provenance.base_sha256,
                checkpoint.path().display()
            );
            return Err(TuningError::trained(folder, problem));
        }
        if provenance.base_settings_sha256 != settings {
            let problem = format!(
                "was trained on {}, and the configuration, preprocessing or tokenizer in {} are others now; put the \
                 original back",
                provenance.base_model_name_or_path,
                checkpoint.path().display()
            );
            return Err(TuningError::trained(folder, problem));
        }
        let lora = method.lora.clone();
        let method = method.method();
        let template = Template::new(&provenance.template)
            .map_err(|error| TuningError::trained(folder, error.to_string()))?;
        let (tokenizer, config) = (&checkpoint.tokenizer, &checkpoint.config.text_config);
        let prompts = method.prompts(tokenizer, config, &template, &provenance.classes)?;

        let device = device.clone().autodiff();
        let clip = checkpoint.load(&device)?;
        let logit_scale = clip.temperature_factor();
        let temperature = clip.valid().logit_scale;
        let base = TuningModel::new(clip, true).no_grad();
        let start = Start::new(experiment.seed, &device, &base, &prompts);
        let tuned = method.attach(base.clone(), &start)?;
        let tuned = method.trainable().load(tuned, &record)?.valid();
        let clip = tuned.clone().into_clip(temperature).expect("it has its vision tower");
        // The same matrices with another factor are another adapter.
        let key = format!("{} {lora:?}", digest(&record));
        let changes = Changes { key, vision: method.trains_vision() };
        let mut model = Model::new(checkpoint, clip).changed(changes);
        model.provenance = Some(provenance.clone());
        Ok(Some(Self { model, provenance, method, name, tuned, logit_scale }))
    }

    /// What the method puts beside CLIP, in words; `None` where it changes CLIP and nothing else, so that classes are
    /// told apart by their prompts as in any CLIP.
    pub fn beside_clip(&self) -> Option<&'static str> {
        match self.name {
            MethodName::Flora | MethodName::FedFft | MethodName::ZeroShot => None,
            MethodName::FedLc | MethodName::FedVmLc => Some("a classifier of its own"),
            MethodName::FedAa => Some("weights of image features"),
            MethodName::FedPrompt => Some("words of its own before class names"),
        }
    }

    /// The classifier of `classes`, in the run's template.
    ///
    /// # Errors
    ///
    /// Prompts that cannot be tokenised, and other classes than those of the run where it trained a head for these.
    pub fn classifier(&self, classes: &[String]) -> Result<TrainedClassifier, TuningError> {
        let checkpoint = &self.model.checkpoint;
        if self.method.has_head() && classes != self.provenance.classes {
            return Err(TuningError::Classes(format!(
                "{} trained a classifier of the run's own {} classes, in their order, and knows nothing of others",
                self.provenance.method,
                self.provenance.classes.len()
            )));
        }
        let template = Template::new(&self.provenance.template)?;
        let (tokenizer, config) = (&checkpoint.tokenizer, &checkpoint.config.text_config);
        let prompts = self.method.prompts(tokenizer, config, &template, classes)?;
        // Whoever asks brings the features of the images.
        let none = Features { dim: checkpoint.config.projection_dim, values: Vec::new() };
        let images = ImageInput::Features(Arc::new(none.into()));
        let method = Arc::clone(&self.method);
        let objective = Objective::new(method, images, Vec::new(), prompts, self.logit_scale);
        let objective = objective.with_texts(&self.tuned, self.model.embedder.device());
        let (model, classes) = (self.tuned.clone(), (0..classes.len()).collect());
        Ok(TrainedClassifier { objective, model, classes })
    }
}

impl Classifier for TrainedClassifier {
    fn logits(&self, images: Tensor<2>) -> Tensor<2> {
        self.objective.method.logits(&self.objective, &self.model, images, &self.classes)
    }
}

impl Experiment {
    /// What its run trains from and for; `fingerprint` is that of the images that are kept of the data set.
    pub(crate) fn provenance(
        &self,
        dataset: &Dataset,
        base_sha256: &str,
        base_settings_sha256: &str,
        fingerprint: Option<String>,
    ) -> Provenance {
        let template = self.data.template.as_deref().unwrap_or(dataset.template().as_str());
        Provenance {
            flora: env!("CARGO_PKG_VERSION").to_owned(),
            method: self.method.name.as_str().to_owned(),
            base_model_name_or_path: self.model.path.clone(),
            base_sha256: base_sha256.to_owned(),
            base_settings_sha256: base_settings_sha256.to_owned(),
            classes: dataset.classes().to_vec(),
            template: template.to_owned(),
            data: TrainedOn {
                name: dataset.name().to_owned(),
                protocol: self.data.protocol,
                limit: self.data.limit,
                validation: self.data.validation,
                seed: self.data.seed,
                fingerprint,
            },
            files: Default::default(),
        }
    }
}
