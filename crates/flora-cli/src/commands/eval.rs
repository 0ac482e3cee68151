use std::path::{Path, PathBuf};

use flora::core::text::printable;
use flora::data::{Dataset, FeatureCache, Template};
use flora::inference::{Classifier, Notice, Scores, score, sentences};
use flora::report::classification::{ClassificationReport, Tally};
use flora::report::predictions::{PredictedImage, save_predictions, softmax};
use flora::report::{plots, tables, units};
use serde::Serialize;

use super::dataset_args::{DatasetArgs, SplitArg, word};
use super::evaluated_run::{OfRun, evaluate_run};
use super::model_args::{Loaded, ModelArgs};
use super::prompt_args::PromptArgs;
use crate::failure::Failure;
use crate::output::{CSV, Overwrite, PNG};
use crate::{bar, output};

/// Evaluate a model on a labelled data set: top-1, top-5, macro and per-class accuracy, confusions. With --run and no
/// --data, on the images that the run held out
#[derive(Debug, clap::Args)]
pub(crate) struct Eval {
    #[command(flatten)]
    data: DatasetArgs,
    #[command(flatten)]
    prompts: PromptArgs,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Write each image's path, label, prediction and probabilities to this CSV file
    #[arg(long, value_name = "FILE.csv")]
    predictions: Option<PathBuf>,
    /// Draw the confusion matrix into this PNG file
    #[arg(long, value_name = "FILE.png")]
    confusion: Option<PathBuf>,
    #[command(flatten)]
    overwrite: Overwrite,
    #[command(flatten)]
    model: ModelArgs,
}

/// The result of an evaluation.
#[derive(Serialize)]
pub(super) struct Evaluation {
    /// The model.
    pub(super) model: String,
    /// The data set's title.
    pub(super) data: String,
    /// `test`, `validation`, `training` or `all`.
    pub(super) split: &'static str,
    /// How the data set was split, if it was.
    pub(super) protocol: Option<String>,
    /// The prompt templates of a class.
    pub(super) templates: Vec<String>,
    /// Notes on the numbers, such as that the model may have been trained on some of the images.
    pub(super) notes: Vec<String>,
    /// The run that trained the model, if the run's own images were used.
    pub(super) run: Option<OfRun>,
    #[serde(flatten)]
    pub(super) report: ClassificationReport,
    /// Predictions by image.
    #[serde(skip)]
    pub(super) images: Vec<PredictedImage>,
}

impl Eval {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let predictions = ("--predictions", &self.predictions, CSV);
        self.overwrite.check_all([predictions, ("--confusion", &self.confusion, PNG)])?;
        let of_run = if self.data.is_given() { None } else { self.model.open_run()? };
        let evaluation = match of_run {
            Some(run) => {
                self.prompts
                    .refuse("the run's own images are evaluated with the run's own prompts")?;
                let split = self.data.split().unwrap_or(SplitArg::Test);
                evaluate_run(&run, split, self.model.title())?
            }
            None => self.evaluate()?,
        };
        self.tell(&evaluation)
    }

    /// Evaluates any model on any data set.
    fn evaluate(&self) -> Result<Evaluation, Failure> {
        let loaded = self.model.load()?;
        let chosen = self.data.open(&loaded)?;
        let dataset = &chosen.dataset;
        let (classifier, templates) = self.classifier(&loaded, dataset)?;
        let scores = scores(&loaded, &*classifier, dataset)?;
        Ok(Evaluation {
            model: self.model.title(),
            data: dataset.title().to_owned(),
            split: word(&chosen.splits),
            protocol: chosen.protocol.map(|protocol| protocol.to_string()),
            templates,
            notes: chosen.notes.clone(),
            run: None,
            report: report(dataset.classes(), &scores.labels, &scores.values)?,
            images: images(dataset, (0..dataset.len()).zip(scores.values.chunks(scores.classes))),
        })
    }

    /// The classifier, and its prompt templates.
    fn classifier(
        &self,
        loaded: &Loaded,
        dataset: &Dataset,
    ) -> Result<(Box<dyn Classifier>, Vec<String>), Failure> {
        if let Some(trained) = &loaded.trained
            && let Some(beside) = trained.beside_clip()
        {
            self.prompts.refuse(&format!("the run trained {beside}, with its own template"))?;
            let classifier = trained.classifier(dataset.classes()).map_err(Failure::input)?;
            return Ok((Box::new(classifier), vec![trained.provenance.template.clone()]));
        }
        // A model trained with a template is used with it on the same data.
        let theirs = loaded.provenance().filter(|it| it.data.name == dataset.name());
        let theirs = theirs.map(|it| Template::new(&it.template)).transpose();
        let theirs = theirs.map_err(Failure::input)?;
        let otherwise = theirs.as_ref().unwrap_or(dataset.template());
        let templates = self.prompts.templates(otherwise)?;
        let sentences = sentences(dataset.classes(), &templates);
        let classifier = loaded.model.embedder.classifier(&sentences).map_err(Failure::input)?;
        let texts = templates.iter().map(|template| template.as_str().to_owned()).collect();
        Ok((Box::new(classifier), texts))
    }

    fn tell(&self, evaluation: &Evaluation) -> Result<(), Failure> {
        let report = &evaluation.report;
        if let Some(path) = &self.predictions {
            save_predictions(path, &report.classes, &evaluation.images).map_err(Failure::run)?;
        }
        if let Some(path) = &self.confusion {
            let (model, data, top1) = (&evaluation.model, &evaluation.data, 100.0 * report.top1);
            let title = format!("{model} on {data} · top-1 {top1:.1} %");
            save_confusion(path, report, &title)?;
        }
        if self.json {
            return output::json_lines(evaluation);
        }
        let Evaluation { model, data, split, protocol, .. } = evaluation;
        let split = images_of(report.num_images as usize, split, protocol.as_deref());
        output::line(format!("model     {}", printable(model)));
        output::line(format!("data      {}", printable(data)));
        output::line(format!("images    {split}"));
        for template in &evaluation.templates {
            output::line(format!("prompt    {}", printable(template)));
        }
        for note in &evaluation.notes {
            output::line(format!("note      {}", printable(note)));
        }
        output::line("");
        let page = output::page();
        output::line(tables::classification(report, page));
        output::line(tables::classes(report, tables::ClassOrder::Listed, page));
        if let Some(run) = &evaluation.run {
            output::line(run.line());
        }
        Ok(())
    }
}

/// The images in words, by their split and how it was made.
fn images_of(count: usize, split: &str, protocol: Option<&str>) -> String {
    let count = units::count(count);
    let images = match split {
        "all" => format!("all {count}"),
        split => format!("{count} {split} images"),
    };
    match protocol {
        None => images,
        Some("official") => format!("{images} of the official split"),
        Some(protocol) => format!("{images} of the split {protocol}"),
    }
}

fn scores(
    loaded: &Loaded,
    classifier: &dyn Classifier,
    dataset: &Dataset,
) -> Result<Scores, Failure> {
    let cache = flora::tuning::assets::default_cache().map(FeatureCache::new);
    let bar = bar::steps("images", dataset.len());
    let mut notify = |notice| match notice {
        Notice::Progress { done, .. } => bar.set_position(done as u64),
        Notice::Warning(message) => bar.suspend(|| output::warning(&message)),
        Notice::Note(_) => {}
    };
    let Loaded { model, workers, .. } = loaded;
    let scores = score(model, classifier, dataset, cache.as_ref(), workers, &mut notify);
    bar.finish_and_clear();
    scores.map_err(Failure::input)
}

/// The report of images with these labels and logits, row by row.
pub(super) fn report(
    classes: &[String],
    labels: &[usize],
    logits: &[f32],
) -> Result<ClassificationReport, Failure> {
    let mut tally = Tally::new(classes.to_vec()).map_err(Failure::input)?;
    tally.add_all(labels, logits).map_err(Failure::run)?;
    tally.report().map_err(Failure::run)
}

/// The predictions for these images of the data set, from their logits.
pub(super) fn images<'a>(
    dataset: &Dataset,
    rows: impl Iterator<Item = (usize, &'a [f32])>,
) -> Vec<PredictedImage> {
    let image = |(index, logits): (usize, &[f32])| PredictedImage {
        path: dataset.describe(index),
        label: Some(dataset.label(index)),
        probabilities: softmax(logits),
    };
    rows.map(image).collect()
}

fn save_confusion(path: &Path, report: &ClassificationReport, title: &str) -> Result<(), Failure> {
    let figure = plots::confusion_matrix(report, title).map_err(Failure::run)?;
    output::figure(path, &figure).map_err(Failure::run)
}

#[cfg(test)]
mod tests {
    use super::images_of;

    #[test]
    fn images_in_words() {
        for (count, split, protocol, words) in [
            (1613, "test", Some("official"), "1,613 test images of the official split"),
            (
                40,
                "validation",
                Some("merged-80-20"),
                "40 validation images of the split merged-80-20",
            ),
            (7, "training", None, "7 training images"),
            (7, "all", None, "all 7"),
        ] {
            assert_eq!(images_of(count, split, protocol), words);
        }
    }
}
