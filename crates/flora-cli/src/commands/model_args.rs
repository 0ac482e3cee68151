use std::path::{Path, PathBuf};

use flora::clip::Precision;
use flora::core::text::printable;
use flora::core::workers::Workers;
use flora::inference::{Model, Provenance, adapter_folder};
use flora::tuning::TrainedModel;

use super::trained_run::{RunArgs, TrainedRun};
use crate::device::DeviceArgs;
use crate::failure::Failure;
use crate::{bar, output};

/// The model, and the device to compute on.
#[derive(Debug, clap::Args)]
pub(crate) struct ModelArgs {
    /// The model: a folder or file of Hugging Face, OpenCLIP or OpenAI, the name of a known model,
    /// or hf:owner/name[@revision] [default: clip-nano]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// A LoRA adapter in PEFT's format: a folder (including the folder of a run), or hf:owner/name[@revision]
    #[arg(long, value_name = "DIR")]
    adapter: Option<String>,
    #[command(flatten)]
    run: RunArgs,
    /// Precision in which the vision tower's frozen weights are multiplied: f32, bf16 or f16; layers above an adapter
    /// stay in f32. A run's model uses the run's precision [default: f32]
    #[arg(long, value_name = "PRECISION", conflicts_with = "run")]
    precision: Option<Precision>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// A model in memory.
pub(crate) struct Loaded {
    pub(crate) model: Model,
    /// The worker threads for its device.
    pub(crate) workers: Workers,
    /// For a model trained by a run: its additional parameters beside CLIP.
    pub(crate) trained: Option<TrainedModel>,
}

/// The default model.
const DEFAULT: &str = "clip-nano";

impl ModelArgs {
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        if let Some(run) = self.open_run()? {
            let trained = run.model()?;
            let model = trained.model.clone();
            warn(model.precision(), &run.place.device);
            let workers = workers(&run.place.name)?;
            return Ok(Loaded { model, workers, trained: Some(trained) });
        }
        let place = self.device.open()?;
        let path = resolve(self.name())?;
        let adapter: Option<PathBuf> = self
            .adapter
            .as_ref()
            .map(|adapter| shown(|progress| flora::hub::resolve_adapter(adapter, progress)))
            .transpose()
            .map_err(|error| Failure::Input(format!("--adapter: {error}")))?;
        let adapter = adapter.as_deref().map(find_adapter).transpose()?;
        let precision = self.precision.unwrap_or_default();
        // Checked before the weights are read.
        precision.check(&place.device).map_err(Failure::input)?;
        let model =
            Model::open(&path, adapter.as_deref(), &place.device).map_err(Failure::input)?;
        let model = model.in_precision(precision).map_err(Failure::input)?;
        warn(precision, &place.device);
        if let Some(warning) = self.other_base(&model)? {
            output::warning(&warning);
        }
        if model.provenance.as_ref().is_some_and(|it| it.head_sha256.is_some()) {
            output::warning(
                "the adapter was trained together with a classifier (method.head of its run), and is of little use \
                 without it: name the run with --run, which has both",
            );
        }
        Ok(Loaded { model, workers: workers(&place.name)?, trained: None })
    }

    /// Rejects a precision in commands that encode no images.
    pub(crate) fn refuse_precision(&self, why: &str) -> Result<(), Failure> {
        match self.precision {
            None => Ok(()),
            Some(_) => Err(Failure::Input(format!("--precision: {why}"))),
        }
    }

    /// The run given by the user, if any.
    pub(crate) fn open_run(&self) -> Result<Option<TrainedRun>, Failure> {
        self.run.open(&self.device)
    }

    /// Why the adapter may belong to another base model.
    fn other_base(&self, model: &Model) -> Result<Option<String>, Failure> {
        let warning = model.other_base().map_err(Failure::input)?;
        let adapter = model.adapter.as_ref().filter(|_| model.provenance.is_none());
        let Some(base) = adapter.and_then(|adapter| adapter.base_model.as_deref()) else {
            return Ok(warning);
        };
        // Other tools store only a name, and copies of a model lie in many places.
        let ends = ['/', '\\'];
        let last =
            |name: &str| name.trim_end_matches(ends).rsplit(ends).next().map(str::to_lowercase);
        Ok((last(base) != last(self.name())).then(|| {
            format!(
                "the adapter names {base} as its base model, and this is {}: if they differ, the results are not \
                 those of the trained model",
                self.name()
            )
        }))
    }

    fn name(&self) -> &str {
        self.model.as_deref().unwrap_or(DEFAULT)
    }

    /// The model's name, for titles.
    pub(crate) fn title(&self) -> String {
        match (&self.adapter, self.run.title()) {
            (_, Some(run)) => run,
            (None, None) => self.name().to_owned(),
            (Some(adapter), None) => format!("{} + {adapter}", self.name()),
        }
    }

    pub(crate) fn has_adapter(&self) -> bool {
        self.adapter.is_some()
    }
}

impl Loaded {
    /// The origin of the model, if flora trained it.
    pub(crate) fn provenance(&self) -> Option<&Provenance> {
        let trained = self.trained.as_ref().map(|trained| &trained.provenance);
        trained.or(self.model.provenance.as_ref())
    }
}

/// Warns of a precision that saves no time on this device.
fn warn(precision: Precision, device: &flora::Device) {
    if let Some(warning) = precision.warning(device) {
        output::warning(&warning);
    }
}

fn workers(device: &str) -> Result<Workers, Failure> {
    // One thread keeps a GPU busy.
    let threads = if flora::device::is_cpu(device) { 0 } else { 1 };
    Workers::new(threads).map_err(Failure::run)
}

/// The adapter's own folder, if the path leads to one.
fn find_adapter(path: &Path) -> Result<PathBuf, Failure> {
    let folder = adapter_folder(path);
    let other = ["trained.safetensors", "model"].iter().find(|name| path.join(name).exists());
    match other {
        Some(other) if !folder.join("adapter_config.json").exists() => {
            Err(Failure::Input(format!(
                "--adapter: {path} holds {other} and no adapter; use --run {path}",
                path = path.display()
            )))
        }
        _ => Ok(folder),
    }
}

/// The path of the model given by `--model`.
pub(super) fn resolve(model: &str) -> Result<PathBuf, Failure> {
    shown(|progress| flora::hub::resolve(model, progress))
        .map_err(|error| Failure::Input(format!("--model: {error}")))
}

/// Shows download progress.
fn shown<R>(work: impl FnOnce(&mut dyn FnMut(flora::hub::DownloadProgress<'_>)) -> R) -> R {
    let download = bar::bytes("download");
    let result = work(&mut |progress| {
        download.set_prefix(printable(progress.file).into_owned());
        if let Some(total) = progress.total {
            download.set_length(total);
        }
        download.set_position(progress.done);
    });
    download.finish_and_clear();
    result
}
