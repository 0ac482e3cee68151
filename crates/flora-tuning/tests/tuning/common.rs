//! The tiny CLIP, small image folders, and helpers to run experiments on them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use flora_clip::{Checkpoint, Clip, VisionCut};
use flora_core::workers::Workers;
use flora_core::{HostTensor, ParameterRecord};
use flora_data::{Dataset, Features};
use flora_federation::{
    Client, ClientError, Event, Kind, Message, Metrics, Outcome, PARAMETERS, Task,
};
use flora_lora::{LoraConfig, adapter_record, attach, load_adapter_record};
use flora_tuning::{
    Cohort, Experiment, Finished, ImageInput, Implementation, LossKind, Objective, Observer,
    Prompts, Silent, TrainedModel, TrainingConfig, TuningError, TuningModel, methods::Flora,
    prepare, save_trained,
};
use image::{DynamicImage, Rgb, RgbImage};
use rand::RngExt;
use tempfile::TempDir;

/// Class folders, whose names are the class names: prompts of different lengths.
const CLASSES: [&str; 4] = ["cat", "house", "sunflower seeds", "big red truck"];
const DOMAINS: [&str; 3] = ["alpha", "beta", "gamma"];

/// The tiny CLIP's folder.
pub(crate) fn tiny_clip() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../flora-clip/tests/fixtures/tiny-clip")
}

/// A data set of coloured noise in a temporary folder, with its description and space for a cache.
pub(crate) struct Images {
    folder: TempDir,
}

impl Images {
    /// `train` and `test` images for each of 4 classes of each of 3 domains.
    pub(crate) fn new(train: usize, test: usize) -> Self {
        let images = Self { folder: tempfile::tempdir().unwrap() };
        for (d, domain) in DOMAINS.into_iter().enumerate() {
            for (c, class) in CLASSES.into_iter().enumerate() {
                for (split, count) in [("train", train), ("test", test)] {
                    let folder = images.path().join("images").join(domain).join(split).join(class);
                    std::fs::create_dir_all(&folder).unwrap();
                    for number in 0..count {
                        let label = format!("{domain} {split} {class} {number}");
                        noise(&label, c, d).save(folder.join(format!("{number}.png"))).unwrap();
                    }
                }
            }
        }
        images.describe(&CLASSES);
        images
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The cache folder of the experiments of [`Images::experiment`].
    pub(crate) fn cache(&self) -> PathBuf {
        self.path().join("cache")
    }

    /// Writes the description with these classes.
    pub(crate) fn describe(&self, classes: &[&str]) {
        let mut text = "name = 'noise'\ntemplate = 'a {}.'\n[layout]\nkind = 'image-folder'\n\
                        pattern = 'images/{domain}/{split}/{class}'\n"
            .to_owned();
        for class in classes {
            text += &format!("[[classes]]\nname = '{class}'\nfolder = '{class}'\n");
        }
        std::fs::write(self.path().join("dataset.toml"), text).unwrap();
    }

    pub(crate) fn dataset(&self) -> Arc<Dataset> {
        Arc::new(Dataset::open(self.path(), None).unwrap())
    }

    /// A short experiment on these images, after `--set` assignments.
    pub(crate) fn try_experiment(&self, set: &[&str]) -> Result<Experiment, String> {
        let text = format!(
            "name = 'noise'\nseed = 3\nmodel.path = '{}'\ndata.path = '{}'\ndata.cache = '{}'\n\
             partition = {{ kind = 'natural' }}\n\
             [training]\nrounds = 2\nbatch_size = 5\nlearning_rate = 1e-3\n\
             [federation]\nthreads = 2\n",
            tiny_clip().display(),
            self.path().display(),
            self.cache().display(),
        );
        let set: Vec<String> = set.iter().map(|&assignment| assignment.to_owned()).collect();
        Experiment::from_toml("noise.toml", &text, &set).map_err(|error| error.to_string())
    }

    pub(crate) fn experiment(&self, set: &[&str]) -> Experiment {
        self.try_experiment(set).unwrap()
    }
}

/// A class has its colour and a domain its brightness; the rest is noise, strong enough to distinguish images of one
/// class.
fn noise(label: &str, class: usize, domain: usize) -> RgbImage {
    let mut random = flora_core::seed::stream(0, label);
    let base = [[200, 60, 40], [50, 190, 70], [60, 70, 200], [180, 170, 40]][class];
    RgbImage::from_fn(40, 36, |_, _| {
        let shift = random.random_range(-60..60) + 15 * domain as i32;
        Rgb(base
            .map(|value: i32| (value + shift + random.random_range(-20..20)).clamp(0, 255) as u8))
    })
}

/// Saves the trained parameters of a run of the experiment, as the program does.
pub(crate) fn save(
    experiment: &Experiment,
    trained: &ParameterRecord,
    folder: &Path,
) -> Result<(), TuningError> {
    let device = Device::flex();
    let provenance = prepare(experiment.clone(), &device, &mut Silent)?.provenance();
    save_trained(experiment, &provenance, trained, folder, &device)
}

/// Records the events.
#[derive(Default)]
pub(crate) struct Listener {
    pub(crate) events: Vec<Event>,
    pub(crate) progress: Vec<(String, usize, usize)>,
}

impl Observer for Listener {
    fn event(&mut self, event: &Event) {
        self.events.push(event.clone());
    }

    fn progress(&mut self, phase: &str, done: usize, total: usize) {
        self.progress.push((phase.to_owned(), done, total));
    }
}

impl Listener {
    pub(crate) fn warnings(&self) -> Vec<&str> {
        let found = self.events.iter().filter_map(|event| match event {
            Event::Warning { message } => Some(message.as_str()),
            _ => None,
        });
        found.collect()
    }

    pub(crate) fn notes(&self) -> Vec<&str> {
        let found = self.events.iter().filter_map(|event| match event {
            Event::Note { message } => Some(message.as_str()),
            _ => None,
        });
        found.collect()
    }

    /// The messages of failed clients.
    pub(crate) fn failures(&self) -> Vec<&str> {
        let found = self.events.iter().filter_map(|event| match event {
            Event::ClientFailed { message, .. } => Some(message.as_str()),
            _ => None,
        });
        found.collect()
    }

    /// The clients' mean training loss, by round.
    pub(crate) fn losses(&self) -> Vec<f64> {
        let loss = |event: &Event| match event {
            Event::Aggregated { metrics, .. } => Some(metrics["loss"]),
            _ => None,
        };
        self.events.iter().filter_map(loss).collect()
    }
}

pub(crate) fn run(experiment: Experiment) -> (Finished, Listener) {
    let mut listener = Listener::default();
    let prepared = prepare(experiment, &Device::flex(), &mut listener).unwrap();
    (prepared.run(&mut listener), listener)
}

/// Run to the end.
pub(crate) fn outcome(experiment: Experiment) -> Outcome {
    let (finished, _) = run(experiment);
    assert!(finished.failure.is_none(), "{}", finished.failure.unwrap());
    finished.outcome.unwrap()
}

/// The largest difference of two values of records that have the same tensors.
pub(crate) fn max_difference(left: &ParameterRecord, right: &ParameterRecord) -> f32 {
    left.check_matches(right).unwrap();
    let pairs = left.iter().flat_map(|(name, tensor)| {
        let other = right.get(name).unwrap().to_f32().into_owned();
        tensor.to_f32().into_owned().into_iter().zip(other)
    });
    pairs.fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

/// The input of a classifier of `trained` for images.
pub(crate) fn rows(trained: &TrainedModel, pictures: &[DynamicImage]) -> Tensor<2> {
    let (model, embedder) = (&trained.model, &trained.model.embedder);
    model.image_rows(embedder.preprocessor.batch(pictures, embedder.device()).unwrap())
}

/// The message of an experiment that cannot be prepared.
pub(crate) fn refusal(experiment: Experiment) -> String {
    match prepare(experiment, &Device::flex(), &mut Listener::default()) {
        Ok(_) => panic!("this should have been refused"),
        Err(error) => error.to_string(),
    }
}

/// Names and bits, which distinguish `-0.0` from `0.0`.
pub(crate) fn bits(record: &ParameterRecord) -> Vec<(String, Vec<u32>)> {
    let bits = |tensor: &HostTensor| tensor.to_f32().iter().map(|x| x.to_bits()).collect();
    record.iter().map(|(name, tensor)| (name.to_owned(), bits(tensor))).collect()
}

/// Runs `work` as clients do, on one thread.
pub(crate) fn single_threaded<R: Send>(work: impl Fn() -> R + Sync) -> R {
    let mut results = Workers::new(1).unwrap().map(vec![()], |()| work(), |_, _| {});
    results.pop().unwrap()
}

/// A task for the client `client`.
pub(crate) fn task(
    client: &str,
    round: usize,
    kind: Kind,
    parameters: Arc<ParameterRecord>,
) -> Task {
    let message = Message::parameters(parameters);
    Task { client: client.into(), round, attempt: 0, kind, message }
}

/// Let a client train from parameters.
pub(crate) fn try_fit(
    client: &mut dyn Client,
    round: usize,
    from: &ParameterRecord,
) -> Result<Message, ClientError> {
    client.handle(&task(&client.info().id, round, Kind::Train, Arc::new(from.clone())))
}

/// The parameters of a client that trained.
pub(crate) fn fit(
    client: &mut dyn Client,
    round: usize,
    from: &ParameterRecord,
) -> ParameterRecord {
    let trained = try_fit(client, round, from).unwrap();
    trained.get_parameters().unwrap().as_ref().clone()
}

/// The metrics of a client that tests parameters.
pub(crate) fn test(client: &mut dyn Client, parameters: &Arc<ParameterRecord>) -> Metrics {
    let task = task(&client.info().id, 0, Kind::Evaluate, Arc::clone(parameters));
    client.handle(&task).unwrap().metrics
}

/// All parameters that a client last trained.
pub(crate) fn own(client: &mut dyn Client) -> ParameterRecord {
    let query = Kind::Query(PARAMETERS.to_owned());
    let answer = client.handle(&task(&client.info().id, 0, query, Arc::default())).unwrap();
    answer.get_parameters().unwrap().as_ref().clone()
}

pub(crate) fn autodiff() -> Device {
    Device::flex().autodiff()
}

pub(crate) fn checkpoint() -> Checkpoint {
    Checkpoint::open(&tiny_clip()).unwrap()
}

/// Image features of all images, computed without the crate's code, in its batches of 32.
pub(crate) fn features(checkpoint: &Checkpoint, dataset: &Dataset) -> Features {
    let device = Device::flex();
    let clip = checkpoint.load(&device).unwrap();
    let indices: Vec<usize> = (0..dataset.len()).collect();
    let encode = |batch: &[usize]| {
        let images: Vec<_> = batch.iter().map(|&index| dataset.image(index).unwrap()).collect();
        let features =
            clip.image_features(checkpoint.preprocessor.batch(&images, &device).unwrap());
        features.into_data().try_into_vec::<f32>().unwrap()
    };
    Features { dim: 20, values: indices.chunks(32).flat_map(encode).collect() }
}

/// The states below the first adapter, of all images.
fn activations(
    checkpoint: &Checkpoint,
    dataset: &Dataset,
    model: &TuningModel,
    cut: VisionCut,
) -> Features {
    let indices: Vec<usize> = (0..dataset.len()).collect();
    let encode = |batch: &[usize]| {
        let images: Vec<_> = batch.iter().map(|&index| dataset.image(index).unwrap()).collect();
        let images = checkpoint.preprocessor.batch(&images, &Device::flex()).unwrap();
        model.valid().image_prefix(images, cut).into_data().try_into_vec::<f32>().unwrap()
    };
    Features { dim: cut.numbers(), values: indices.chunks(32).flat_map(encode).collect() }
}

/// A configuration to compute the loss of a batch, with a model that fits it.
pub(crate) struct Setup {
    pub(crate) objective: Objective,
    pub(crate) model: TuningModel,
}

impl Setup {
    /// Freshly attached adapters; without the vision tower if the fast path does not need it.
    pub(crate) fn new(
        images: &Images,
        lora: &LoraConfig,
        loss: LossKind,
        implementation: Implementation,
    ) -> Self {
        let (checkpoint, dataset) = (checkpoint(), images.dataset());
        let clip: Clip = checkpoint.load(&autodiff()).unwrap();
        let logit_scale = clip.temperature_factor();
        let pictures =
            implementation == Implementation::Naive || lora.towers != flora_lora::Towers::Text;
        let config = &checkpoint.config.text_config;
        let prompts =
            Prompts::new(&checkpoint.tokenizer, config, dataset.template(), dataset.classes())
                .unwrap();
        let labels = (0..dataset.len()).map(|index| dataset.label(index)).collect();
        let model = attach(TuningModel::new(clip, pictures), lora, 3).unwrap();
        let input = match (implementation, model.vision_cut()) {
            (Implementation::Naive, _) => {
                let preprocessor = checkpoint.preprocessor.clone();
                ImageInput::Pictures { dataset: dataset.clone(), preprocessor }
            }
            (Implementation::Fast, None) => {
                ImageInput::Features(Arc::new(features(&checkpoint, &dataset).into()))
            }
            (Implementation::Fast, Some(cut)) => {
                let below = activations(&checkpoint, &dataset, &model, cut);
                ImageInput::Activations { below: Arc::new(below.into()), cut }
            }
        };
        let prefix = (implementation == Implementation::Fast).then(|| prompts.prefix(&model));
        let method = Arc::new(Flora(lora.clone()));
        let objective = Objective::new(method, input, labels, prompts, logit_scale);
        Self { objective: Objective { prefix, loss, implementation, ..objective }, model }
    }

    /// The same with non-zero adapters.
    pub(crate) fn trained(self) -> Self {
        let record = random_like(&adapter_record(&self.model).unwrap());
        Self { model: load_adapter_record(self.model, &record).unwrap(), ..self }
    }

    /// Clients that test after training, with the seed 3.
    pub(crate) fn cohort(&self, training: TrainingConfig) -> Cohort {
        let (objective, model) = (self.objective.clone(), self.model.clone());
        Cohort::new(objective, training, true, 3, autodiff(), model).unwrap()
    }

    /// The loss of a batch, and its gradient for every adapter, in the record's layout.
    pub(crate) fn loss_and_gradients(&self, indices: &[usize]) -> (f32, ParameterRecord) {
        let loss = self.objective.batch_loss(&self.model, indices, &autodiff()).unwrap();
        let gradients = loss.backward();
        let mut taker = Taker { gradients: &gradients, path: Vec::new(), found: Vec::new() };
        self.model.visit(&mut taker);
        let mut record = ParameterRecord::new();
        for (name, tensor) in taker.found {
            record.insert(name, tensor).unwrap();
        }
        record.check_matches(&adapter_record(&self.model).unwrap()).unwrap();
        (loss.into_scalar::<f32>(), record)
    }
}

/// Values as training might produce: `A` of order 1, `B` small.
pub(crate) fn random_like(record: &ParameterRecord) -> ParameterRecord {
    let mut random = flora_core::seed::stream(11, "adapters");
    let mut drawn = ParameterRecord::new();
    for (name, tensor) in record.iter() {
        let most = if name.contains("lora_A") { 1.0 } else { 0.02 };
        let values = (0..tensor.len()).map(|_| random.random_range(-most..most)).collect();
        drawn.insert(name, HostTensor::from_f32(tensor.shape(), values).unwrap()).unwrap();
    }
    drawn
}

/// Adapters with a product of moderate size, whose factors have gradients beyond f32.
pub(crate) fn extreme(record: &ParameterRecord) -> ParameterRecord {
    let mut extreme = ParameterRecord::new();
    for (name, tensor) in record.iter() {
        let factor = if name.contains("lora_A") { 1e-39 } else { 3e38 / 0.02 };
        let values = tensor.to_f32().into_owned().into_iter();
        let values = values.map(|value| (f64::from(value) * factor) as f32);
        let tensor = HostTensor::from_f32(tensor.shape(), values.collect()).unwrap();
        extreme.insert(name, tensor).unwrap();
    }
    extreme.check_finite().unwrap();
    extreme
}

struct Taker<'a> {
    gradients: &'a burn::tensor::Gradients,
    path: Vec<String>,
    found: Vec<(String, HostTensor)>,
}

impl burn::module::ModuleVisitor for Taker<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
        let name = self.path.join(".");
        let gradient = param.val().grad(self.gradients);
        if !name.contains(".lora.") {
            assert!(gradient.is_none(), "{name} is frozen and has a gradient");
            return;
        }
        let gradient = gradient.expect("every adapter has a gradient").swap_dims(0, 1);
        let shape = gradient.dims().to_vec();
        let values = gradient.into_data().try_into_vec::<f32>().unwrap();
        let name = name.replace(".lora.lora_a", ".lora_A.weight");
        let name = name.replace(".lora.lora_b", ".lora_B.weight");
        self.found.push((name, HostTensor::from_f32(shape, values).unwrap()));
    }
}
