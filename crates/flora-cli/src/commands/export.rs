use std::path::PathBuf;

use clap::ValueEnum;
use flora::clip::{CheckpointLayout, SaveOptions};
use flora::core::{Dtype, text};
use flora::inference::export_merged;

use super::model_args::{Loaded, ModelArgs};
use crate::failure::Failure;
use crate::output;

/// Write a model as a checkpoint for other tools, with its adapter merged into the weights
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    #[command(flatten)]
    model: ModelArgs,
    /// Merge the adapter into the weights; required for a model with an adapter. With --run, this is the default
    #[arg(long)]
    merged: bool,
    /// The folder to write; must be empty or new
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The checkpoint format
    #[arg(long, default_value = "hf")]
    layout: LayoutArg,
    /// The element type of the values
    #[arg(long, default_value = "f32")]
    dtype: DtypeArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LayoutArg {
    /// Hugging Face: config.json, model.safetensors
    Hf,
    /// OpenCLIP: open_clip_config.json, open_clip_model.safetensors
    Openclip,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DtypeArg {
    F32,
    F16,
    Bf16,
}

/// Vocabulary size of CLIP, which OpenCLIP assumes for every model.
const OPEN_CLIP_VOCABULARY: usize = 49_408;

impl Export {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if self.model.has_adapter() && !self.merged {
            let problem = "a checkpoint contains the adapter merged into the weights: add --merged (the \
                           adapter alone is already in PEFT's format)";
            return Err(Failure::Input(problem.into()));
        }
        self.model
            .refuse_precision("an export contains the original weights; round them with --dtype")?;
        let taken = std::fs::read_dir(&self.out).is_ok_and(|mut entries| entries.next().is_some());
        if taken || self.out.is_file() {
            let out = self.out.display();
            return Err(Failure::Input(format!("--out: {out} is not empty; name a new folder")));
        }
        let Loaded { model, trained, .. } = self.model.load()?;
        let beside = trained.as_ref().and_then(|trained| trained.beside_clip());
        let head = trained.as_ref().is_some_and(|trained| trained.has_head_beside_prompts());
        if let Some(beside) = beside.filter(|_| !head) {
            output::warning(&format!(
                "the run trained {beside}, which a CLIP checkpoint cannot contain: only its CLIP is written"
            ));
        }
        let layout = match self.layout {
            LayoutArg::Hf => CheckpointLayout::HuggingFace,
            LayoutArg::Openclip => CheckpointLayout::OpenClip,
        };
        let dtype = match self.dtype {
            DtypeArg::F32 => Dtype::F32,
            DtypeArg::F16 => Dtype::F16,
            DtypeArg::Bf16 => Dtype::Bf16,
        };
        let vocabulary = model.checkpoint.config.text_config.vocab_size;
        if layout == CheckpointLayout::OpenClip && vocabulary != OPEN_CLIP_VOCABULARY {
            output::warning(&format!(
                "OpenCLIP's own tokenizer has {OPEN_CLIP_VOCABULARY} ids, and this model has \
                 {vocabulary}: make its token ids with the tokenizer beside the checkpoint"
            ));
        }
        export_merged(model, &self.out, SaveOptions { layout, dtype }).map_err(Failure::input)?;
        if let (true, Some(trained)) = (head, &trained) {
            let name = trained.save_head(&self.out).map_err(Failure::input)?;
            if let Some(name) = name {
                output::line(format!(
                    "{name}: the classifier whose logits are added to those of the prompts, which a CLIP \
                     checkpoint cannot contain"
                ));
            }
        }
        output::line(format!("written to {}", text::path(&self.out)));
        Ok(())
    }
}
