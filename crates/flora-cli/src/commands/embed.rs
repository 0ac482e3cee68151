use std::path::PathBuf;

use flora::core::text;
use flora::inference::embed::{Items, embed};
use flora::inference::{Notice, read_texts};

use super::model_args::{Loaded, ModelArgs};
use crate::failure::Failure;
use crate::output::Overwrite;
use crate::{bar, output};

/// Write the embeddings of texts or images to a file, one per row
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("items").required(true).args(["texts", "images"])))]
pub(crate) struct Embed {
    /// A file of texts, one per line; empty lines are texts, too
    #[arg(long, value_name = "FILE")]
    texts: Option<PathBuf>,
    /// Images: files in the given order, or folders to search for images, sorted by path
    #[arg(long, value_name = "PATH", num_args = 1..)]
    images: Vec<PathBuf>,
    /// The file to write, f32 of shape [rows, dimensions]: NumPy's .npy, or .safetensors with a tensor named
    /// "embeddings". An interrupted command resumes when it is repeated
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    overwrite: Overwrite,
    /// Do not normalise the rows to length 1
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    model: ModelArgs,
}

impl Embed {
    pub(crate) fn run(self) -> Result<(), Failure> {
        self.overwrite.check("--out", &self.out, &["npy", "safetensors"])?;
        let texts = self.texts.as_deref().map(read_texts).transpose().map_err(Failure::input)?;
        let files = match &texts {
            Some(_) => Vec::new(),
            None => output::find_images(&self.images)?,
        };
        let (items, what, count) = match &texts {
            Some(texts) => (Items::Texts(texts), "texts", texts.len()),
            None => (Items::Images(&files), "images", files.len()),
        };
        let Loaded { model, workers, trained } = self.model.load()?;
        if let Some(beside) = trained.as_ref().and_then(|trained| trained.beside_clip()) {
            output::warning(&format!(
                "the run trained {beside}, which embeddings do not use: rows come from its CLIP alone"
            ));
        }
        let bar = bar::steps(what, count);
        let mut notify = |notice| match notice {
            Notice::Progress { done, .. } => bar.set_position(done as u64),
            Notice::Warning(message) => bar.suspend(|| output::warning(&message)),
            Notice::Note(_) => {}
        };
        let embedded = embed(&model, items, &self.out, self.raw, &workers, &mut notify);
        bar.finish_and_clear();
        let embedded = embedded.map_err(Failure::input)?;
        let resumed = match embedded.resumed {
            0 => String::new(),
            rows => format!(" ({rows} from an interrupted command)"),
        };
        output::line(format!(
            "{}: {} {what}{resumed}, {} numbers each",
            text::path(&self.out),
            embedded.rows,
            embedded.dim
        ));
        Ok(())
    }
}
