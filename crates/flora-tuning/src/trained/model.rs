use std::path::Path;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use flora_clip::Checkpoint;
use flora_core::ParameterRecord;
use flora_data::{Dataset, Features, Template};
use flora_inference::{Changes, Classifier, Model, Provenance, TrainedOn, settings_digest};
use flora_lora::{attach_peft, load_peft};

use super::{ADAPTER, LoadedSums, digest, load_trained};
use crate::methods::Start;
use crate::prepare::{open_dataset, resolve_model};
use crate::{Experiment, ImageInput, Method, MethodName, Objective, TuningError, TuningModel};

/// The trained model of a run: its CLIP and its classifier.
#[derive(Debug, Clone)]
pub struct TrainedModel {
    /// CLIP, with its trained parameters. Modules that the method adds beside CLIP are only in the
    /// [classifier](TrainedModel::classifier).
    pub model: Model,
    /// Its provenance.
    pub provenance: Provenance,
    method: Arc<dyn Method>,
    name: MethodName,
    /// Without autodiff.
    tuned: TuningModel,
    logit_scale: f32,
}

/// The module that closed-form methods add beside CLIP, in words.
const BESIDE_PROMPTS: &str = "a classifier of image features beside the prompts";

/// A [`TrainedModel`] as a classifier of certain classes.
#[derive(Debug)]
pub struct TrainedClassifier {
    objective: Objective,
    model: TuningModel,
    classes: Vec<usize>,
}

impl TrainedModel {
    /// Opens the model that a run of `experiment` saved in `folder`, on `device`; `None` if it saved none, for example
    /// because every client keeps its own.
    ///
    /// # Errors
    ///
    /// Files that are missing or damaged, and a base model whose weights differ from those of the training.
    pub fn open(
        experiment: &Experiment,
        folder: &Path,
        device: &Device,
    ) -> Result<Option<Self>, TuningError> {
        if experiment.model.random_weights {
            let problem = "the run's base had random weights, which are not saved";
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
                "was trained on {}, and the configuration, preprocessing or tokenizer in {} have changed; put the \
                 original back",
                provenance.base_model_name_or_path,
                checkpoint.path().display()
            );
            return Err(TuningError::trained(folder, problem));
        }
        let lora = method.lora.clone();
        // An adapter under a classifier, and a classifier beside an adapter, are saved beside the trained parameters.
        let below = name.is_closed_form() && method.init_adapter.is_some();
        let below = below.then(|| load_peft(&folder.join(ADAPTER))).transpose()?;
        let method: Arc<dyn Method> = match &method.head {
            Some(_) => Arc::new(LoadedSums::open(folder)?.under(&method.lora)?),
            None => method.method(),
        };
        let template = Template::new(&provenance.template)
            .map_err(|error| TuningError::trained(folder, error.to_string()))?;
        let (tokenizer, config) = (&checkpoint.tokenizer, &checkpoint.config.text_config);
        let prompts = method.prompts(tokenizer, config, &template, &provenance.classes)?;

        let device = device.clone().autodiff();
        let mut clip = checkpoint.load(&device)?;
        let below = below.map(|adapter| adapter.fitted(&mut clip)).transpose()?;
        if let Some(adapter) = &below {
            clip = attach_peft(clip, adapter)?;
        }
        let logit_scale = clip.temperature_factor();
        let temperature = clip.valid().logit_scale;
        let base = TuningModel::new(clip, true).no_grad();
        let vision = checkpoint.config.vision_config.clone();
        let start = Start::new(experiment.seed, &device, &base, &prompts).with_vision(&vision);
        let tuned = method.attach(base.clone(), &start)?;
        let tuned = method.trainable().load(tuned, &record)?.valid();
        let clip = tuned.clone().into_clip(temperature).expect("it has its vision tower");
        let mut model = Model::new(checkpoint, clip).in_precision(experiment.model.precision)?;
        if !name.is_closed_form() {
            // The same matrices with another scale are another adapter.
            let key = format!("{} {lora:?}", digest(&record));
            model = model.changed(Changes { key, vision: method.trains_vision() });
        }
        model.adapter = below;
        model.readout = method.readout(&vision);
        model.provenance = Some(provenance.clone());
        Ok(Some(Self { model, provenance, method, name, tuned, logit_scale }))
    }

    /// The method's modules beside CLIP, in words; `None` if it changes only CLIP, so that prompts alone distinguish
    /// classes as in any CLIP.
    pub fn beside_clip(&self) -> Option<&'static str> {
        match self.name {
            MethodName::Flora if self.tuned.head().is_some() => Some(BESIDE_PROMPTS),
            MethodName::Flora | MethodName::FedFft | MethodName::ZeroShot => None,
            MethodName::FedLc | MethodName::FedVmLc => Some("a classifier of its own"),
            MethodName::FedAa => Some("weights of image features"),
            MethodName::FedPrompt => Some("words of its own before class names"),
            MethodName::Ridge | MethodName::Lda | MethodName::Gda | MethodName::Ncm => {
                Some(BESIDE_PROMPTS)
            }
        }
    }

    /// Whether it has a classifier whose logits are added to those of the prompts; see [`save_head`](Self::save_head).
    pub fn has_head_beside_prompts(&self) -> bool {
        self.beside_clip() == Some(BESIDE_PROMPTS)
    }

    /// The classifier of `classes`, with the run's template.
    ///
    /// # Errors
    ///
    /// Prompts that cannot be tokenised, and classes other than the run's, if it trained a head for these only. A class
    /// unknown to a classifier beside the prompts has the logit of its prompt alone.
    pub fn classifier(&self, classes: &[String]) -> Result<TrainedClassifier, TuningError> {
        if self.method.has_head() && classes != self.provenance.classes {
            return Err(TuningError::Classes(format!(
                "{} trained a classifier of the run's own {} classes, in their order, and supports no others",
                self.provenance.method,
                self.provenance.classes.len()
            )));
        }
        let own = &self.provenance.classes;
        // Values derived from the trained parameters are for the run's own classes.
        let ready = self.objective(own)?;
        let device = self.model.embedder.device();
        let mut model = ready.method.ready(&ready, self.tuned.clone(), device)?;
        let objective = match classes == own {
            true => ready,
            false => {
                if let Some(head) = model.head() {
                    let head = head.of_classes(own, classes);
                    model = model.with_head(head);
                }
                self.objective(classes)?
            }
        };
        Ok(TrainedClassifier { objective, model, classes: (0..classes.len()).collect() })
    }

    pub(super) fn method(&self) -> &dyn Method {
        &*self.method
    }

    /// The objective that distinguishes `classes`, with the features of their prompts. The caller provides the image
    /// features.
    fn objective(&self, classes: &[String]) -> Result<Objective, TuningError> {
        let checkpoint = &self.model.checkpoint;
        let template = Template::new(&self.provenance.template)?;
        let (tokenizer, config) = (&checkpoint.tokenizer, &checkpoint.config.text_config);
        let prompts = self.method.prompts(tokenizer, config, &template, classes)?;
        let none = Features { dim: checkpoint.config.projection_dim, values: Vec::new() };
        let images = ImageInput::Features(Arc::new(none.into()));
        let method = Arc::clone(&self.method);
        let objective = Objective::new(method, images, Vec::new(), prompts, self.logit_scale);
        Ok(objective.with_texts(&self.tuned, self.model.embedder.device()))
    }
}

impl TrainedClassifier {
    /// Its parameters.
    pub(super) fn model(&self) -> &TuningModel {
        &self.model
    }
}

impl Classifier for TrainedClassifier {
    fn logits(&self, images: Tensor<2>) -> Tensor<2> {
        self.objective.method.logits(&self.objective, &self.model, images, &self.classes)
    }
}

impl Experiment {
    /// The provenance of the run's trained parameters; `fingerprint` is that of the retained images of the data set.
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
            precision: self.model.precision,
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
            clients: Default::default(),
            novel_classes: Default::default(),
            head_sha256: None,
            files: Default::default(),
        }
    }
}
