use std::path::{Path, PathBuf};

use clap::ValueEnum;
use flora::data::{Dataset, FeatureCache, Split};
use flora::inference::{Notice, score, sentences};
use flora::report::classification::Tally;
use flora::report::{plots, tables};

use super::model_args::ModelArgs;
use super::prompt_args::PromptArgs;
use crate::failure::Failure;
use crate::output::figure_path;
use crate::{bar, output};

/// Score a model on a labelled data set: top-1, top-5, macro, by class, confusions
#[derive(Debug, clap::Args)]
pub(crate) struct Eval {
    /// The data set: a TOML description, a folder with a sub-folder of images for each class, or the
    /// name of one that `flora datasets` lists
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Where the images lie, instead of where the description says
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Which images: by default the test images, or all where the data set comes without a split
    #[arg(long)]
    split: Option<SplitArg>,
    #[command(flatten)]
    prompts: PromptArgs,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Draw the confusion matrix into this file
    #[arg(long, value_name = "FILE.png")]
    confusion: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SplitArg {
    Train,
    Test,
    All,
}

impl Eval {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let wrong = |error: &dyn std::fmt::Display| Failure::Input(format!("--data: {error}"));
        let path = find(&self.data).map_err(|error| {
            wrong(&format!("{error} (`flora datasets` lists those that have a name)"))
        })?;
        let dataset = Dataset::open(&path, self.root.as_deref()).map_err(|error| wrong(&error))?;
        let otherwise = if dataset.has_official_split() { SplitArg::Test } else { SplitArg::All };
        let dataset = match self.split.unwrap_or(otherwise) {
            SplitArg::Train => dataset.only(Split::Train),
            SplitArg::Test => dataset.only(Split::Test),
            SplitArg::All => dataset,
        };
        if dataset.is_empty() {
            let problem = format!("{} has no such images; try --split all", dataset.name());
            return Err(Failure::Input(format!("--split: {problem}")));
        }
        self.confusion.as_deref().map(|path| figure_path("--confusion", path)).transpose()?;
        let templates = self.prompts.templates(dataset.template())?;
        let (model, workers) = self.model.load()?;
        let classifier = model.embedder.classifier(&sentences(dataset.classes(), &templates));
        let classifier = classifier.map_err(Failure::input)?;

        let cache = flora::tuning::assets::default_cache().map(FeatureCache::new);
        let bar = bar::steps("images", dataset.len());
        let mut notify = |notice| match notice {
            Notice::Progress { done, .. } => bar.set_position(done as u64),
            Notice::Warning(message) => bar.suspend(|| eprintln!("warning: {message}")),
        };
        let cache = cache.as_ref();
        let scores = score(&model, &classifier, &dataset, cache, &workers, &mut notify);
        bar.finish_and_clear();
        let scores = scores.map_err(Failure::input)?;
        let mut tally = Tally::new(dataset.classes().to_vec()).map_err(Failure::input)?;
        tally.add_all(&scores.labels, &scores.values).map_err(Failure::run)?;
        let report = tally.report().map_err(Failure::run)?;

        if self.json {
            output::line(serde_json::to_string_pretty(&report).map_err(Failure::run)?);
        } else {
            output::line(tables::classification(&report));
            output::line(tables::classes(&report, tables::ClassOrder::Listed));
        }
        if let Some(path) = &self.confusion {
            let title = format!(
                "{} on {} · top-1 {:.1} %",
                self.model.title(),
                dataset.title(),
                100.0 * report.top1
            );
            let figure = plots::confusion_matrix(&report, &title).map_err(Failure::run)?;
            plots::save_png(path, &figure).map_err(Failure::run)?;
        }
        Ok(())
    }
}

/// A path, or the name of a data set that flora describes.
fn find(data: &Path) -> Result<PathBuf, flora::hub::HubError> {
    let found = flora::hub::find(data);
    if found.is_ok() {
        return found;
    }
    let named = Path::new("datasets").join(data);
    flora::hub::find(&named)
        .or_else(|_| flora::hub::find(&named.with_added_extension("toml")))
        .or(found)
}
