use std::path::PathBuf;

use flora::data::FeatureCache;
use flora::inference::{Notice, score, sentences};
use flora::report::classification::Tally;
use flora::report::{plots, tables};

use super::dataset_args::DatasetArgs;
use super::model_args::ModelArgs;
use super::prompt_args::PromptArgs;
use crate::failure::Failure;
use crate::output::{Overwrite, PNG};
use crate::{bar, output};

/// Score a model on a labelled data set: top-1, top-5, macro, by class, confusions
#[derive(Debug, clap::Args)]
pub(crate) struct Eval {
    #[command(flatten)]
    data: DatasetArgs,
    #[command(flatten)]
    prompts: PromptArgs,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Draw the confusion matrix into this file
    #[arg(long, value_name = "FILE.png")]
    confusion: Option<PathBuf>,
    #[command(flatten)]
    overwrite: Overwrite,
    #[command(flatten)]
    model: ModelArgs,
}

impl Eval {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let dataset = self.data.open()?;
        let check = |path| self.overwrite.check("--confusion", path, PNG);
        self.confusion.as_deref().map(check).transpose()?;
        let templates = self.prompts.templates(dataset.template())?;
        let (model, workers) = self.model.load()?;
        let classifier = model.embedder.classifier(&sentences(dataset.classes(), &templates));
        let classifier = classifier.map_err(Failure::input)?;

        let cache = flora::tuning::assets::default_cache().map(FeatureCache::new);
        let bar = bar::steps("images", dataset.len());
        let mut notify = |notice| match notice {
            Notice::Progress { done, .. } => bar.set_position(done as u64),
            Notice::Warning(message) => bar.suspend(|| output::warning(&message)),
        };
        let cache = cache.as_ref();
        let scores = score(&model, &classifier, &dataset, cache, &workers, &mut notify);
        bar.finish_and_clear();
        let scores = scores.map_err(Failure::input)?;
        let mut tally = Tally::new(dataset.classes().to_vec()).map_err(Failure::input)?;
        tally.add_all(&scores.labels, &scores.values).map_err(Failure::run)?;
        let report = tally.report().map_err(Failure::run)?;

        if self.json {
            output::json_lines(&report)?;
        } else {
            output::line(tables::classification(&report, output::page()));
            let order = tables::ClassOrder::Listed;
            output::line(tables::classes(&report, order, output::page()));
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
