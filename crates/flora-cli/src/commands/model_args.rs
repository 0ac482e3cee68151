use std::path::PathBuf;

use flora::core::text::printable;
use flora::core::workers::Workers;
use flora::inference::Model;

use crate::bar;
use crate::failure::Failure;

/// Which model, and where it computes.
#[derive(Debug, clap::Args)]
pub(crate) struct ModelArgs {
    /// The model: a folder or file of Hugging Face, OpenCLIP or OpenAI, the name of a known model,
    /// or hf:owner/name[@revision]
    #[arg(long, value_name = "MODEL", default_value = "clip-nano")]
    model: String,
    /// A LoRA adapter in PEFT's format: a folder, or hf:owner/name[@revision]
    #[arg(long, value_name = "DIR")]
    adapter: Option<String>,
    /// Where to compute
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    device: String,
}

impl ModelArgs {
    /// The model, and the threads that go with its device.
    pub(crate) fn load(&self) -> Result<(Model, Workers), Failure> {
        let device = flora::device::parse(&self.device).map_err(Failure::input)?;
        let path = resolve(&self.model)?;
        let adapter: Option<PathBuf> = self
            .adapter
            .as_ref()
            .map(|adapter| shown(|progress| flora::hub::resolve_adapter(adapter, progress)))
            .transpose()
            .map_err(|error| Failure::Input(format!("--adapter: {error}")))?;
        let model = Model::open(&path, adapter.as_deref(), &device).map_err(Failure::input)?;
        // One thread keeps a GPU busy.
        let threads = if flora::device::is_cpu(&self.device) { 0 } else { 1 };
        let workers = Workers::new(threads).map_err(Failure::run)?;
        Ok((model, workers))
    }

    /// What the model is called, for titles.
    pub(crate) fn title(&self) -> String {
        match &self.adapter {
            None => self.model.clone(),
            Some(adapter) => format!("{} + {adapter}", self.model),
        }
    }

    pub(crate) fn has_adapter(&self) -> bool {
        self.adapter.is_some()
    }
}

/// Where the model is that `--model` names.
pub(super) fn resolve(model: &str) -> Result<PathBuf, Failure> {
    shown(|progress| flora::hub::resolve(model, progress))
        .map_err(|error| Failure::Input(format!("--model: {error}")))
}

/// Show what is downloaded.
fn shown<R>(work: impl FnOnce(&mut dyn FnMut(flora::hub::Progress<'_>)) -> R) -> R {
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
