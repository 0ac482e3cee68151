use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use burn::lr_scheduler::LrSchedulerConfig;
use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::lr_scheduler::sequential::SequentialLrSchedulerConfig;
use burn::module::{Module, ParamGroup};
use burn::optim::{AdamWConfig, ModuleOptimizer};
use burn::tensor::Device;
use burn::train::metric::{AccuracyMetric, LearningRateMetric, LossMetric};
use burn::train::{Interrupter, Learner, SupervisedTraining};
use flora_clip::{Checkpoint, Clip, ClipTokenizer, Preprocessor};
use flora_core::Dtype;
use flora_core::workers::Workers;
use serde::Serialize;

use crate::batches::{PairLoader, PairSource, PatchDropout};
use crate::center::center;
use crate::model::{PretrainModel, Run};
use crate::sampling::Sampler;
use crate::sharded::Setting;
use crate::{PairSet, PretrainConfig, PretrainError};

/// The number of pairs for centring the outputs of an untrained model.
const CENTERED: usize = 256;

/// The summary of a pretraining run, as written to `pretraining.json` beside the weights.
#[derive(Debug, Clone, Serialize)]
pub struct PretrainSummary {
    /// The run's configuration.
    pub config: PretrainConfig,
    /// The number of training pairs.
    pub train_pairs: usize,
    /// The number of validation pairs.
    pub valid_pairs: usize,
    /// The number of distinct captions.
    pub captions: usize,
    /// The number of optimizer steps.
    pub steps: usize,
    /// The number of parameters of the model.
    pub parameters: usize,
    /// Wall-clock seconds of this run.
    pub seconds: f64,
    /// Training pairs per second, including validation and saving.
    pub pairs_per_second: f64,
}

/// Trains a model with `config` and writes it, in f16, to `config.out`.
///
/// # Errors
///
/// A configuration, file or model that cannot be used, or a training that stopped early; burn-train's checkpoints so
/// far are in the log folder.
pub fn pretrain(
    config: &PretrainConfig,
    device: &Device,
) -> Result<PretrainSummary, PretrainError> {
    config.check()?;
    let clip_config = config.clip_config()?;
    let tokenizer = ClipTokenizer::openai(&clip_config.text_config)?;
    let preprocessor = Preprocessor::new(&clip_config.vision_config);
    let set = PairSet::open(&config.pairs)?;
    let side = clip_config.vision_config.image_size;
    if set.side() != side {
        let problem =
            format!("pictures are {0} x {0}, the model takes {side} x {side}", set.side());
        return Err(PretrainError::file(&config.pairs, problem));
    }
    let (train, valid): (Vec<usize>, Vec<usize>) =
        (0..set.pairs().len()).partition(|&index| set.pairs()[index].split == "train");
    let (captions, captions_of) = tokenize(&set, &tokenizer)?;
    let (train_pairs, valid_pairs, distinct) = (train.len(), valid.len(), captions.len());

    let mut kinds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for index in train {
        kinds.entry(set.pairs()[index].kind.clone()).or_default().push(index);
    }
    let sampler = Sampler::new(kinds, &config.mix, config.epoch_pairs, config.seed)?;
    let patches = clip_config.vision_config.grid().pow(2);
    let source = Arc::new(PairSource {
        set,
        preprocessor: preprocessor.clone(),
        captions,
        captions_of,
        augmentation: config.augmentation.clone(),
        patches: PatchDropout {
            all: patches,
            kept: (((1.0 - config.patch_dropout) * patches as f64).round() as usize).max(1),
            until: config.epochs.saturating_sub(config.whole_epochs) as u64,
        },
        seed: config.seed,
    });
    let done = config.resume_from.unwrap_or(0);
    // From the mix of the training.
    let first: Vec<usize> = sampler.pass(0).into_iter().take(CENTERED).collect();
    let first = source
        .batch(&first, None)
        .map_err(|error| PretrainError::file(&config.pairs, format!("cannot be read: {error}")))?;
    let train = PairLoader::training(source.clone(), sampler, config.batch_size, done);
    let valid = PairLoader::validation(source, valid, config.batch_size);
    let (train, valid) = (Arc::new(train), Arc::new(valid));
    let steps_an_epoch = train.steps();
    if steps_an_epoch == 0 {
        let problem = format!("{train_pairs} training pairs do not fill a batch");
        return Err(PretrainError::file(&config.pairs, problem));
    }
    let steps = steps_an_epoch * config.epochs;

    let workers = Workers::new(config.threads)
        .map_err(|error| PretrainError::Config { field: "threads", problem: error.to_string() })?;
    let autodiff = device.clone().autodiff();
    let setting = Setting {
        text: clip_config.text_config.clone(),
        side,
        shard_size: match config.shard_size {
            0 => config.batch_size,
            size => size,
        },
        precision: config.precision,
    };
    let clip = Clip::random(&clip_config, config.seed, &autodiff);
    let clip = center(clip, &setting, &first, &autodiff);
    let interrupter = Interrupter::new();
    let run = Run {
        setting,
        workers: Arc::new(workers),
        device: autodiff.clone(),
        interrupter: interrupter.clone(),
    };
    let parameters = clip.num_params();
    let optimizer = optimizer(config.weight_decay as f32);
    let log = config.log_folder();
    // Now rather than after an hour of training.
    std::fs::create_dir_all(&config.out)
        .map_err(|error| PretrainError::file(&config.out, format!("cannot be created: {error}")))?;
    let started = Instant::now();
    let mut training = SupervisedTraining::new(&log, train, valid)
        .metric_train_numeric(LossMetric::new())
        .metric_valid_numeric(LossMetric::new())
        .metric_valid_numeric(AccuracyMetric::new())
        .metric_train_numeric(LearningRateMetric::new())
        .with_default_checkpointers()
        .num_epochs(config.epochs)
        .with_interrupter(interrupter)
        .summary();
    if let Some(epoch) = config.resume_from {
        check_resumable(&log, epoch)?;
        training = training.checkpoint(epoch);
    }
    let model = PretrainModel { clip, run };
    let schedule = schedule(config, steps)?;
    let result = training.launch(Learner::new(model, optimizer, schedule));
    if let Some(error) = result.error {
        return Err(PretrainError::Stopped(error.to_string()));
    }
    if let Some(interruption) = result.interrupted {
        let reason = interruption.reason.unwrap_or_else(|| "it was stopped".into());
        let remedy = "resume with resume_from, the last pass whose checkpoint is in the log folder";
        return Err(PretrainError::Stopped(format!("{reason}; {remedy}")));
    }

    let seconds = started.elapsed().as_secs_f64();
    let epochs_run = config.epochs - done;
    let summary = PretrainSummary {
        config: config.clone(),
        train_pairs,
        valid_pairs,
        captions: distinct,
        steps,
        parameters,
        seconds,
        pairs_per_second: (steps_an_epoch * epochs_run * config.batch_size) as f64 / seconds,
    };
    let clip = result.model.clip;
    Checkpoint::save(&config.out, &clip, &clip_config, &tokenizer, &preprocessor, Dtype::F16)
        .map_err(PretrainError::from)
        .and_then(|()| write_summary(&config.out, &summary))
        .map_err(|error| PretrainError::Stopped(format!("trained, but {error}")))?;
    Ok(summary)
}

/// burn-train panics if a checkpoint is missing.
fn check_resumable(log: &Path, epoch: usize) -> Result<(), PretrainError> {
    for part in ["model", "optim", "scheduler"] {
        let path = log.join(format!("checkpoint/{part}-{epoch}.bpk"));
        if !path.is_file() {
            let problem =
                "missing; resume_from names an epoch whose checkpoint is in the log folder";
            return Err(PretrainError::file(&path, problem));
        }
    }
    Ok(())
}

fn write_summary(folder: &Path, summary: &PretrainSummary) -> Result<(), PretrainError> {
    let path = folder.join("pretraining.json");
    let text = serde_json::to_string_pretty(summary).expect("plain data") + "\n";
    flora_core::files::write_atomic(&path, text.as_bytes())
        .map_err(|error| PretrainError::file(&path, format!("cannot be written: {error}")))
}

/// Each distinct caption once, tokenised, and each pair's captions as indices.
#[allow(clippy::type_complexity, reason = "two plain lists, named at the only call")]
fn tokenize(
    set: &PairSet,
    tokenizer: &ClipTokenizer,
) -> Result<(Vec<Vec<u32>>, Vec<Vec<usize>>), PretrainError> {
    let mut place = HashMap::new();
    let mut captions = Vec::new();
    let mut captions_of = Vec::with_capacity(set.pairs().len());
    for pair in set.pairs() {
        let mut places = Vec::with_capacity(pair.captions.len());
        for caption in &pair.captions {
            let next = captions.len();
            let at = *place.entry(caption.as_str()).or_insert(next);
            if at == next {
                captions.push(tokenizer.encode(caption)?);
            }
            places.push(at);
        }
        captions_of.push(places);
    }
    Ok((captions, captions_of))
}

/// AdamW with CLIP's betas; vectors (biases, norms, the temperature) have no weight decay. They are recognised by name:
/// the identities of parameters change when a checkpoint is loaded.
fn optimizer(weight_decay: f32) -> ModuleOptimizer {
    let vectors = ParamGroup::from_regex(r"(bias|gamma|beta|class_embedding|logit_scale)$")
        .expect("a valid expression");
    let adam = AdamWConfig::new().with_beta_1(0.9).with_beta_2(0.98).with_epsilon(1e-6);
    let undecayed = adam.clone().with_weight_decay(0.0).build();
    adam.with_weight_decay(weight_decay).init().with_group(vectors, undecayed, None)
}

/// A linear rise, then half a cosine down to a hundredth of the peak.
fn schedule(
    config: &PretrainConfig,
    steps: usize,
) -> Result<burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler, PretrainError> {
    let peak = config.learning_rate;
    let rise = config.warmup_steps.min(steps.saturating_sub(1)).max(1);
    let fall = (steps - rise).max(1);
    let stages = vec![
        LrSchedulerConfig::Linear(LinearLrSchedulerConfig::new(peak / rise as f64, peak, rise)),
        LrSchedulerConfig::Cosine(
            CosineAnnealingLrSchedulerConfig::new(peak, fall).with_min_lr(peak / 100.0),
        ),
    ];
    SequentialLrSchedulerConfig::new(stages, vec![rise])
        .init()
        .map_err(|problem| PretrainError::Config { field: "learning_rate", problem })
}
