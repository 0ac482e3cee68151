//! From an experiment to clients, and from clients to a result.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use flora_clip::{Checkpoint, Clip};
use flora_core::workers::Workers;
use flora_core::{Dtype, ParameterRecord};
use flora_data::{ClientShard, Dataset, FeatureCache, Participants, Partition, Template};
use flora_federation::{
    Alone, Client, Event, FedAvg, FederationError, Fleet, Outcome, RoundsConfig, RunStatus,
    Simulation, Strategy, run_rounds,
};
use flora_inference::checkpoint_features;
use flora_lora::save_peft;

use crate::features::{check_pictures, notices};
use crate::methods::Start;
use crate::{
    Cohort, Experiment, ImageInput, LossKind, MethodName, Objective, Observer, PathKind,
    StrategyName, Trainable, TuningClient, TuningError, TuningModel, assets,
};

/// An experiment whose data are there and whose clients wait for the first round.
pub struct Prepared {
    /// The experiment.
    pub experiment: Experiment,
    /// The images.
    pub dataset: Arc<Dataset>,
    /// Who has which.
    pub partition: Partition,
    /// Numbers that are trained and travel.
    pub trainable_parameters: usize,
    /// Numbers of the whole model, adapters included.
    pub total_parameters: usize,
    /// Seconds spent on data and image features.
    pub data_seconds: f64,
    /// SHA-256 of the checkpoint's weights.
    pub base_digest: String,
    initial: ParameterRecord,
    fleet: Simulation,
}

/// What a run came to.
pub struct Finished {
    /// Accuracies, adapters, bytes and seconds; of the rounds that were done if `failure` says that
    /// not all were. `None` if nothing could be evaluated at all.
    pub outcome: Option<Outcome>,
    /// Why the run ended early.
    pub failure: Option<FederationError>,
}

/// Read model and data, compute or load the image features, and make the clients.
///
/// On a GPU set `federation.threads` to 1 first: one thread keeps it busy.
///
/// # Errors
///
/// Files that are missing or damaged and settings that do not fit them; nothing has been trained.
pub fn prepare(
    experiment: Experiment,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Prepared, TuningError> {
    let started = Instant::now();
    let wrong = |field: &str, problem: &dyn std::fmt::Display| TuningError::Experiment {
        origin: experiment.name.clone(),
        problem: format!("{field}: {problem}"),
    };
    experiment
        .check()
        .map_err(|problem| TuningError::Experiment { origin: experiment.name.clone(), problem })?;
    let (dataset, partition) = deal(&experiment)?;
    check_clients(&partition, &experiment).map_err(|(field, problem)| wrong(field, &problem))?;
    if experiment.method.name.has_head() && partition.class_groups.is_some() {
        let name = experiment.method.name.as_str();
        let problem = format!(
            "the head of {name} knows only the classes that it was trained on, and nothing of novel ones; choose \
             another method, or another partition"
        );
        return Err(wrong("method.name", &problem));
    }
    if experiment.method.loss() == LossKind::Infonce && experiment.rounds() > 0 {
        let lonely = partition.clients.iter().filter(|shard| shard.train.len() == 1);
        let ids: Vec<&str> = lonely.map(|shard| shard.id.as_str()).collect();
        if let [first, rest @ ..] = &ids[..] {
            let (whose, them) = match rest.len() {
                0 => (format!("client {first} has"), "it trains"),
                more => (format!("client {first} and {more} more have each"), "they train"),
            };
            let message = format!(
                "{whose} one training image, which leaves the infonce loss nothing to contrast: \
                 {them} nothing; use fewer clients or method.loss = \"class-ce\""
            );
            observer.event(&Event::Warning { message });
        }
    }
    let dataset = Arc::new(dataset);
    let template = match &experiment.data.template {
        Some(template) => {
            Template::new(template).map_err(|error| wrong("data.template", &error))?
        }
        None => dataset.template().clone(),
    };

    let mut download = |progress: flora_hub::Progress<'_>| {
        let total = progress.total.unwrap_or(progress.done);
        observer.progress(progress.file, progress.done as usize, total as usize);
    };
    let path = flora_hub::resolve(&experiment.model.path, &mut download)
        .map_err(|error| wrong("model.path", &error))?;
    let checkpoint = Checkpoint::open(&path)?;
    let device = device.clone().autodiff();
    let config = &experiment.method;
    let method = config.method();
    let encodes_pictures = config.encodes_pictures();
    let workers = Workers::new(experiment.federation.threads)
        .map_err(|error| wrong("federation.threads", &error))?;
    let text_config = &checkpoint.config.text_config;
    let prompts =
        method.prompts(&checkpoint.tokenizer, text_config, &template, dataset.classes())?;
    let random = experiment.model.random_weights;
    let whole = match (random, encodes_pictures) {
        (true, _) => Some(Clip::random(&checkpoint.config, experiment.seed, &device)),
        (false, true) => Some(checkpoint.load(&device)?),
        (false, false) => None,
    };
    let (base, factor) = match &whole {
        Some(clip) => (TuningModel::new(clip.clone(), encodes_pictures), clip.temperature_factor()),
        None => {
            let (text, factor) = checkpoint.load_text(&device)?;
            (TuningModel::from_text(text), factor)
        }
    };
    let base = base.no_grad();
    let start = Start::new(experiment.seed, &device, &base, &prompts);
    let fast = config.path == PathKind::Fast;
    let once = fast && !method.trains_text();
    if once || config.name.has_head() {
        on_one_thread(&workers, || drop(start.texts()));
    }
    // Before the images are looked at, so that a mistake is told before the long work.
    let first = method.attach(base.clone(), &start).map_err(|error| match error {
        TuningError::Lora(error) => {
            let problem = format!("method.{error}");
            TuningError::Experiment { origin: experiment.name.clone(), problem }
        }
        other => other,
    })?;
    // A context is trained below the whole tower, and full fine-tuning moves what lies below adapters.
    let only_adapters = matches!(method.trainable(), Trainable::Adapters);
    let prefix = (fast && method.trains_text() && only_adapters)
        .then(|| on_one_thread(&workers, || prompts.prefix(&first)));
    let images = if encodes_pictures {
        check_pictures(&dataset, &workers, observer)?;
        let preprocessor = checkpoint.preprocessor.clone();
        ImageInput::Pictures { dataset: dataset.clone(), preprocessor }
    } else {
        let folder = experiment.data.cache.clone().or_else(assets::default_cache);
        // The cache goes by the checkpoint's weights.
        let cache = folder.filter(|_| !random).map(FeatureCache::new);
        let cache = cache.map(|cache| cache.with_dtype(experiment.data.cache_dtype.into()));
        // The vision tower is in memory only while it computes what the cache does not have.
        let load = || whole.map_or_else(|| checkpoint.load(&device), Ok);
        let (cache, device) = (cache.as_ref(), &device);
        let notify = &mut notices(observer);
        let features =
            checkpoint_features(&checkpoint, load, device, &dataset, cache, &workers, notify)?;
        ImageInput::Features(Arc::new(features))
    };

    let objective = Objective {
        method: method.clone(),
        images,
        labels: Arc::new((0..dataset.len()).map(|index| dataset.label(index)).collect()),
        texts: once.then(|| start.texts()),
        prefix,
        prompts: prompts.clone(),
        class_groups: partition.class_groups.clone(),
        factor,
        loss: config.loss(),
        path: config.path,
    };
    let trainable = method.trainable();
    let initial = trainable.record(&first)?;
    let trainable_parameters = trainable.count(&first);
    let total_parameters = checkpoint.num_params(&device) + first.num_params() - base.num_params();
    let cohort = Cohort::new(
        objective,
        experiment.training.clone(),
        experiment.federation.evaluate_local,
        experiment.seed,
        device,
        first,
    );
    let cohort = Arc::new(place(cohort, &experiment, &partition)?);
    let client = |shard: &ClientShard| -> Box<dyn Client> {
        Box::new(TuningClient::new(shard.clone(), Arc::clone(&cohort)))
    };
    let clients = partition.clients.iter().map(client).collect();
    let fleet =
        Simulation::new(clients, workers.threads()).map_err(|error| wrong("partition", &error))?;
    Ok(Prepared {
        trainable_parameters,
        total_parameters,
        base_digest: checkpoint.digest()?,
        data_seconds: started.elapsed().as_secs_f64(),
        dataset,
        partition,
        initial,
        fleet,
        experiment,
    })
}

/// As all arithmetic whose bits matter.
fn on_one_thread<R: Send>(workers: &Workers, work: impl Fn() -> R + Sync) -> R {
    workers.map(vec![()], |()| work(), |_, _| {}).pop().expect("one item, one result")
}

/// Each by itself or not, in memory or on disk, as the experiment says.
fn place(
    cohort: Cohort,
    experiment: &Experiment,
    partition: &Partition,
) -> Result<Cohort, TuningError> {
    let federation = &experiment.federation;
    let cohort = match federation.participants {
        Participants::Alone => cohort.alone(),
        _ => cohort,
    };
    let trainers = partition.clients.iter().filter(|shard| !shard.train.is_empty()).count();
    if !federation.client_state.is_on_disk(trainers, cohort.device()) {
        return Ok(cohort);
    }
    // Where there is room for image features, there is some for this.
    let folder = experiment.data.cache.clone().or_else(assets::default_cache);
    cohort.on_disk(folder.as_deref())
}

/// SHA-256 of the weights that an experiment starts from, where they are on this machine.
///
/// # Errors
///
/// A checkpoint that is not there or cannot be read.
pub fn base_digest(experiment: &Experiment) -> Result<String, TuningError> {
    let path = flora_hub::resolve(&experiment.model.path, &mut |_| {}).map_err(|error| {
        let problem = format!("model.path: {error}");
        TuningError::Experiment { origin: experiment.name.clone(), problem }
    })?;
    Ok(Checkpoint::open(&path)?.digest()?)
}

/// Write what a run trained into `folder`, which exists: `adapter`, in PEFT's layout; for a method that
/// trains every weight `model`, a checkpoint in Hugging Face's; for the others `trained.safetensors`.
///
/// Nothing is written for a base of random weights, because an adapter is of no use without its base, nor
/// where nothing was trained or no global model is there.
///
/// # Errors
///
/// Parameters that are not those of the experiment, and what the file system reports.
pub fn save_trained(
    experiment: &Experiment,
    trained: &ParameterRecord,
    folder: &Path,
    device: &Device,
) -> Result<(), TuningError> {
    let base = &experiment.model.path;
    let alone = experiment.federation.participants == Participants::Alone;
    if experiment.model.random_weights || alone || trained.is_empty() {
        return Ok(());
    }
    match experiment.method.name {
        MethodName::Flora => {
            let folder = folder.join("adapter");
            std::fs::create_dir_all(&folder)?;
            Ok(save_peft(&folder, trained, &experiment.method.lora, base)?)
        }
        MethodName::FedFft => {
            let path = flora_hub::resolve(base, &mut |_| {}).map_err(|error| {
                let problem = format!("model.path: {error}");
                TuningError::Experiment { origin: experiment.name.clone(), problem }
            })?;
            let checkpoint = Checkpoint::open(&path)?;
            let clip = checkpoint.load(device)?;
            let factor = clip.logit_scale.clone();
            let model = Trainable::Everything.load(TuningModel::new(clip, true), trained)?;
            let clip = model.into_clip(factor).expect("it was made with its vision tower");
            let Checkpoint { config, tokenizer, preprocessor, .. } = &checkpoint;
            let folder = folder.join("model");
            Checkpoint::save(&folder, &clip, config, tokenizer, preprocessor, Dtype::F32)?;
            Ok(())
        }
        name => {
            // A head's columns are classes, and a context was learned before their names.
            let dataset = open_dataset(experiment)?;
            let template = experiment.data.template.as_deref();
            let metadata = [
                ("method", name.as_str().to_owned()),
                ("base_model_name_or_path", base.clone()),
                ("classes", serde_json::to_string(dataset.classes()).expect("texts")),
                ("template", template.unwrap_or(dataset.template().as_str()).to_owned()),
            ];
            let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
            Ok(trained.save_with(folder.join("trained.safetensors"), &metadata.into())?)
        }
    }
}

/// Read the experiment's data set and deal it out to its clients.
///
/// # Errors
///
/// Files that are missing or damaged, and a partition that they do not allow.
pub fn deal(experiment: &Experiment) -> Result<(Dataset, Partition), TuningError> {
    let data = &experiment.data;
    let mut dataset = open_dataset(experiment)?.with_protocol(data.protocol);
    if let Some(limit) = data.limit {
        dataset = dataset.limit(limit, data.seed);
    }
    let partition = experiment.partition.apply(&dataset, data.seed)?;
    let participants = &experiment.federation.participants;
    let partition =
        partition.with_participants(participants).map_err(|error| TuningError::Experiment {
            origin: experiment.name.clone(),
            problem: format!("federation.participants: {error}"),
        })?;
    Ok((dataset, partition))
}

/// The experiment's data set, whole.
fn open_dataset(experiment: &Experiment) -> Result<Dataset, TuningError> {
    let data = &experiment.data;
    let root = data.root.as_ref().map(|root| find(experiment, "data.root", root)).transpose()?;
    Ok(Dataset::open(&find(experiment, "data.path", &data.path)?, root.as_deref())?)
}

/// What `field` of the experiment names.
fn find(experiment: &Experiment, field: &str, path: &Path) -> Result<PathBuf, TuningError> {
    flora_hub::find(path).map_err(|error| TuningError::Experiment {
        origin: experiment.name.clone(),
        problem: format!("{field}: {error}"),
    })
}

/// What would only be noticed when the rounds begin: the field and what is wrong with it.
fn check_clients(
    partition: &Partition,
    experiment: &Experiment,
) -> Result<(), (&'static str, String)> {
    let clients = partition.clients.iter().filter(|shard| !shard.train.is_empty()).count();
    let least = experiment.federation.min_clients;
    if least > clients {
        let problem =
            format!("{least}, but {clients} clients have training images; lower it to {clients}");
        return Err(("federation.min_clients", problem));
    }
    if partition.clients.iter().all(|shard| shard.test.is_empty()) {
        let problem = "no client has a test image, so nothing could be evaluated; raise \
                       data.limit.test, or choose data.protocol = \"merged-80-20\"";
        return Err(("data", problem.to_owned()));
    }
    Ok(())
}

impl Prepared {
    /// Train for the experiment's rounds, telling `observer` everything. A run that fails part-way
    /// keeps what it computed.
    pub fn run(mut self, observer: &mut dyn Observer) -> Finished {
        let experiment = &self.experiment;
        let started = Instant::now();
        observer.event(&Event::RunStarted {
            name: experiment.name.clone(),
            method: experiment.method.name.as_str().into(),
            clients: self.fleet.clients(),
            rounds: experiment.rounds(),
            trainable_parameters: self.trainable_parameters,
            total_parameters: self.total_parameters,
            bytes_per_client: match experiment.federation.participants {
                Participants::Alone => 0,
                _ => self.initial.byte_len() as u64,
            },
            seed: experiment.seed,
        });
        let seconds = self.data_seconds;
        observer.event(&Event::PhaseFinished { phase: "data".into(), seconds });
        let config = RoundsConfig {
            rounds: experiment.rounds(),
            selection: experiment.federation.selector(),
            seed: experiment.seed,
            evaluate_local: experiment.federation.evaluate_local,
        };
        let federation = &experiment.federation;
        let mut strategy: Box<dyn Strategy> = match (&federation.participants, federation.strategy)
        {
            (Participants::Alone, _) => Box::new(Alone),
            (_, StrategyName::FedAvg) => Box::new(FedAvg),
        };
        let result =
            run_rounds(&mut self.fleet, strategy.as_mut(), self.initial, &config, &mut |event| {
                observer.event(event);
            });
        let finished = match result {
            Ok(outcome) => Finished { outcome: Some(outcome), failure: None },
            Err(error) => {
                let outcome = match &error {
                    FederationError::Interrupted { partial, .. } => partial.outcome.clone(),
                    _ => None,
                };
                Finished { outcome, failure: Some(error) }
            }
        };
        let outcome = finished.outcome.as_ref();
        observer.event(&Event::RunFinished {
            status: match finished.failure {
                None => RunStatus::Finished,
                Some(_) => RunStatus::Failed,
            },
            message: finished.failure.as_ref().map(ToString::to_string),
            last_round: outcome.map(|outcome| outcome.last_round),
            best_round: outcome.map(|outcome| outcome.best_round),
            bytes_up: outcome.map_or(0, |outcome| outcome.bytes_up),
            bytes_down: outcome.map_or(0, |outcome| outcome.bytes_down),
            seconds: self.data_seconds + started.elapsed().as_secs_f64(),
        });
        finished
    }
}
