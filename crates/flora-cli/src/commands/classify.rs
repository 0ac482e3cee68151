use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flora::core::paths::shortest_endings;
use flora::data::{Template, read_image};
use flora::inference::{Classifier, InferenceError, Prediction, classify, read_lines, sentences};
use flora::report::plots::{Tile, contact_sheet};
use flora::report::predictions::{PredictedImage, save_predictions};
use serde_json::json;

use super::model_args::{Loaded, ModelArgs};
use super::prompt_args::PromptArgs;
use crate::failure::Failure;
use crate::output::{CSV, Overwrite, PNG};
use crate::{bar, output};

/// Say what images show: zero-shot, or with what a run trained
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("classes").args(["labels", "labels_file"])))]
pub(crate) struct Classify {
    /// The images: files, or folders that are searched for them
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// The classes to choose from [default: those that the run or the adapter was trained on]; where one
    /// has a comma in it, use --labels-file
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    labels: Vec<String>,
    /// A file of classes, one a line
    #[arg(long, value_name = "FILE")]
    labels_file: Option<PathBuf>,
    #[command(flatten)]
    prompts: PromptArgs,
    /// How many classes to show, the most likely first
    #[arg(long, value_name = "K", default_value = "3", value_parser = at_least_one)]
    top: usize,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Write each image's path, prediction and probabilities into this file
    #[arg(long, value_name = "FILE.csv")]
    csv: Option<PathBuf>,
    /// Draw the images with their predictions into this file, at most the first 400
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<PathBuf>,
    #[command(flatten)]
    overwrite: Overwrite,
    #[command(flatten)]
    model: ModelArgs,
}

impl Classify {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let named = self.labels()?;
        let files = output::find_images(&self.images)?;
        self.overwrite.check_all([("--csv", &self.csv, CSV), ("--sheet", &self.sheet, PNG)])?;
        let loaded = self.model.load()?;
        let labels = match (named, loaded.provenance()) {
            (Some(labels), _) => labels,
            (None, Some(provenance)) => provenance.classes.clone(),
            (None, None) => {
                let problem = "name the classes to choose from with --labels A,B,C or --labels-file FILE: this model \
                               does not say which it was trained on";
                return Err(Failure::Input(problem.to_owned()));
            }
        };
        let classifier = self.classifier(&loaded, &labels)?;
        let Loaded { model, workers, .. } = loaded;

        let bar = bar::steps("images", files.len());
        let predictions = classify(&model, &*classifier, &files, &workers, |done| {
            bar.set_position(done as u64);
        });
        bar.finish_and_clear();
        self.print(&labels, &files, &predictions)?;
        // The other images have been classified all the same, and the first trouble spares the rest.
        let unusable = predictions.iter().filter_map(|prediction| prediction.as_ref().err());
        let mut troubles: Vec<String> = unusable.map(ToString::to_string).collect();
        if let Some(path) = &self.csv {
            let images = rows(&files, &predictions, labels.len());
            let saved = save_predictions(path, &labels, &images);
            troubles.extend(saved.err().map(|error| error.to_string()));
        }
        if let Some(path) = &self.sheet {
            troubles.extend(self.draw(path, &labels, &files, &predictions).err());
        }
        if troubles.is_empty() { Ok(()) } else { Err(Failure::Input(troubles.join("\n"))) }
    }

    /// What tells these classes apart.
    fn classifier(
        &self,
        loaded: &Loaded,
        labels: &[String],
    ) -> Result<Box<dyn Classifier>, Failure> {
        if let Some(trained) = &loaded.trained
            && let Some(beside) = trained.beside_clip()
        {
            self.prompts.refuse(&format!("the run trained {beside}, with its own template"))?;
            return Ok(Box::new(trained.classifier(labels).map_err(Failure::input)?));
        }
        let usual = loaded.provenance().map_or("a photo of a {}.", |it| it.template.as_str());
        let usual = Template::new(usual).map_err(Failure::input)?;
        let templates = self.prompts.templates(&usual)?;
        let classifier = loaded.model.embedder.classifier(&sentences(labels, &templates));
        Ok(Box::new(classifier.map_err(Failure::input)?))
    }

    /// The classes that were named, if any were.
    fn labels(&self) -> Result<Option<Vec<String>>, Failure> {
        let (place, labels) = match &self.labels_file {
            Some(path) => (path.display().to_string(), read_lines(path).map_err(Failure::input)?),
            None if self.labels.is_empty() => return Ok(None),
            None => ("--labels".to_owned(), self.labels.clone()),
        };
        let labels: Vec<String> = labels.iter().map(|label| label.trim().to_owned()).collect();
        let mut seen = BTreeSet::new();
        if let Some(twice) = labels.iter().find(|label| !seen.insert(label.as_str())) {
            return Err(Failure::Input(format!("{place}: {twice:?} is there twice")));
        }
        match labels.iter().position(String::is_empty) {
            Some(empty) => Err(Failure::Input(format!("{place}: number {} is empty", empty + 1))),
            None => Ok(Some(labels)),
        }
    }

    fn print(
        &self,
        labels: &[String],
        files: &[PathBuf],
        predictions: &[Result<Prediction, InferenceError>],
    ) -> Result<(), Failure> {
        let rows = files.iter().zip(predictions);
        if self.json {
            let row = |(path, prediction): (&PathBuf, &Result<Prediction, _>)| match prediction {
                Ok(prediction) => {
                    let top = prediction.ranked.iter().take(self.top).map(
                        |&(class, share)| json!({ "label": labels[class], "probability": share }),
                    );
                    json!({ "image": path.to_string_lossy(), "predictions": top.collect::<Vec<_>>() })
                }
                Err(error) => {
                    let error: &InferenceError = error;
                    json!({ "image": path.to_string_lossy(), "error": error.to_string() })
                }
            };
            let document = serde_json::Value::Array(rows.map(row).collect());
            return output::json_lines(&document);
        }
        let rows = rows.filter_map(|(path, prediction)| {
            let shown = tops(prediction.as_ref().ok()?, labels, self.top);
            Some([path.display().to_string(), shown.join(", ")])
        });
        output::table(["image", "most likely"], rows.collect());
        Ok(())
    }

    fn draw(
        &self,
        path: &Path,
        labels: &[String],
        files: &[PathBuf],
        predictions: &[Result<Prediction, InferenceError>],
    ) -> Result<(), String> {
        let shown = files
            .iter()
            .zip(predictions)
            .filter_map(|(file, prediction)| Some((file, prediction.as_ref().ok()?)));
        let shown: Vec<_> = shown.take(MOST_TILES).collect();
        let drawn: Vec<_> = shown.iter().map(|(file, _)| file).collect();
        let names = shortest_endings(&drawn);
        let mut tiles = Vec::new();
        for ((file, prediction), name) in shown.into_iter().zip(names) {
            let image = read_image(file).map_err(|error| error.to_string())?;
            let mut lines = vec![name];
            lines.extend(tops(prediction, labels, self.top.min(2)));
            tiles.push(Tile::new(&image, lines, None).map_err(|error| error.to_string())?);
        }
        if tiles.is_empty() {
            return Ok(());
        }
        let count = match files.len() {
            all if all > tiles.len() => format!("{} of {all} images", tiles.len()),
            all => format!("{all} images"),
        };
        let title = format!("{} · {count}", self.model.title());
        contact_sheet(&tiles, &title, None)
            .and_then(|sheet| output::figure(path, &sheet))
            .map_err(|error| format!("--sheet: {error}"))
    }
}

/// The images that could be classified.
fn rows(
    files: &[PathBuf],
    predictions: &[Result<Prediction, InferenceError>],
    classes: usize,
) -> Vec<PredictedImage> {
    let row = |(file, prediction): (&PathBuf, &Result<Prediction, _>)| {
        let prediction = prediction.as_ref().ok()?;
        let mut probabilities = vec![0.0; classes];
        for &(class, share) in &prediction.ranked {
            probabilities[class] = share;
        }
        Some(PredictedImage { path: file.display().to_string(), label: None, probabilities })
    };
    files.iter().zip(predictions).filter_map(row).collect()
}

/// More pictures make a sheet that nobody looks at.
const MOST_TILES: usize = 400;

/// `cat 87.1 %`, the likeliest first.
fn tops(prediction: &Prediction, labels: &[String], count: usize) -> Vec<String> {
    let top = prediction.ranked.iter().take(count);
    top.map(|&(class, share)| format!("{} {:.1} %", labels[class], 100.0 * share)).collect()
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected 1 or more".into()),
        Ok(number) => Ok(number),
    }
}
