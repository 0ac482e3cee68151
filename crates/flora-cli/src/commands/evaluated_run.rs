//! Evaluation of a run's model on the run's own images.

use std::collections::BTreeSet;

use flora::data::{ClientShard, Split};
use flora::federation::{ClientScore, RoundScore};
use flora::report::predictions::save_predictions;
use flora::report::{Accuracy, PREDICTIONS, PREDICTIONS_BEFORE};
use flora::tuning::{ClientPredictions, Prepared};
use serde::Serialize;

use super::dataset_args::{SplitArg, word};
use super::eval::{Evaluation, images, report};
use super::trained_run::TrainedRun;
use crate::failure::Failure;
use crate::output;

/// Comparison with the run's own evaluation of the same images.
#[derive(Serialize)]
pub(super) struct OfRun {
    /// Accuracy over clients, computed as in the run's rounds.
    pub(super) accuracy: Accuracy,
    /// Scores by client.
    pub(super) clients: Vec<ClientScore>,
    /// The accuracy in `run.json` for the same round, if it covers the same images and clients.
    pub(super) told: Option<Accuracy>,
}

impl OfRun {
    /// The comparison as one line of text.
    pub(super) fn line(&self) -> String {
        let Accuracy { mean, weighted, num_clients } = self.accuracy;
        let (mean, weighted) = (100.0 * mean, 100.0 * weighted);
        let clients = match num_clients {
            1 => "1 client".to_owned(),
            more => format!("{more} clients"),
        };
        let same = if self.told == Some(self.accuracy) { ", as in run.json" } else { "" };
        format!("over {clients}: mean {mean:.1} %, weighted {weighted:.1} %{same}")
    }
}

pub(super) fn evaluate_run(
    run: &TrainedRun,
    split: SplitArg,
    model: String,
) -> Result<Evaluation, Failure> {
    let (prepared, models) = run.prepare()?;
    let of_split = |client: &ClientShard| {
        let is_asked = run.client.as_ref().is_none_or(|asked| *asked == client.id);
        let images = |&split: &Split| client.images(split).to_vec();
        if is_asked { split.splits().iter().flat_map(images).collect() } else { Vec::new() }
    };
    let predictions = prepared.predict(&models, of_split).map_err(Failure::run)?;
    if predictions.is_empty() {
        let problem = match split {
            SplitArg::Validation => "the run held out no validation images (data.validation)",
            _ => "the run has no such images; try --split all",
        };
        return Err(Failure::Input(format!("--split: {problem}")));
    }
    let dataset = &prepared.dataset;
    let classes = dataset.classes();
    let clients: Vec<ClientScore> = predictions.iter().map(|it| it.score.clone()).collect();
    let of_run = compare(run, split.splits() == [prepared.partition.scored_on()], clients);

    let kept = by_image(&prepared, &predictions);
    let labels: Vec<usize> = kept.iter().map(|&(index, _)| dataset.label(index)).collect();
    let logits: Vec<f32> = kept.iter().flat_map(|&(_, row)| row).copied().collect();
    let provenance = prepared.provenance();
    let note = match split {
        SplitArg::Train | SplitArg::All if provenance.trains() => {
            Some("it was trained on the training images among these")
        }
        SplitArg::Validation if run.best => Some("the best round was chosen by these images"),
        _ => None,
    };
    Ok(Evaluation {
        model,
        data: dataset.title().to_owned(),
        split: word(split.splits()),
        protocol: Some(provenance.data.protocol.to_string()),
        templates: vec![provenance.template],
        notes: note.map(str::to_owned).into_iter().collect(),
        run: Some(of_run),
        report: report(classes, &labels, &logits)?,
        images: images(dataset, kept.into_iter()),
    })
}

/// Indices of images with their logits, in order. If all clients have the same model, an image that several hold counts
/// once.
fn by_image<'a>(
    prepared: &Prepared,
    predictions: &'a [ClientPredictions],
) -> Vec<(usize, &'a [f32])> {
    let classes = prepared.dataset.classes().len();
    let mut seen = BTreeSet::new();
    let mut kept: Vec<(usize, &[f32])> = predictions
        .iter()
        .flat_map(|it| it.images.iter().copied().zip(it.logits.chunks(classes)))
        .filter(|&(index, _)| seen.insert(index) || !prepared.shares_model())
        .collect();
    kept.sort_by_key(|&(index, _)| index);
    kept
}

/// Writes the predictions for the run's test images into its folder: those of its model, and those of the model before
/// training.
pub(super) fn write_predictions(run: &TrainedRun) -> Result<(), Failure> {
    let (prepared, models) = run.prepare()?;
    let initial = prepared.initial_models().map_err(Failure::input)?;
    for (models, file) in [(&models, PREDICTIONS), (&initial, PREDICTIONS_BEFORE)] {
        let test = |client: &ClientShard| client.images(Split::Test).to_vec();
        let predictions = prepared.predict(models, test).map_err(Failure::run)?;
        if predictions.is_empty() {
            return Err(Failure::Input("--predictions: the run has no test images".to_owned()));
        }
        let dataset = &prepared.dataset;
        let rows = images(dataset, by_image(&prepared, &predictions).into_iter());
        let path = run.path().join(file);
        save_predictions(&path, dataset.classes(), &rows).map_err(Failure::run)?;
    }
    Ok(())
}

/// The accuracy of the same evaluation in the run's `run.json`, if these are the images that its rounds were evaluated
/// on. A difference is reported.
fn compare(run: &TrainedRun, is_scored: bool, clients: Vec<ClientScore>) -> OfRun {
    let round = run.summary.last_round.unwrap_or_default();
    let mean = RoundScore::mean(round, &clients).expect("every client here has images");
    let accuracy = Accuracy::from(&mean);
    let told = if run.best { run.summary.accuracy.best } else { run.summary.accuracy.last };
    let comparable = is_scored && run.client.is_none();
    // A client that failed is missing from the run's means.
    let told = told.filter(|told| comparable && told.num_clients == accuracy.num_clients);
    if let Some(told) = told
        && told != accuracy
    {
        let why = match run.place.name == run.summary.device {
            true => {
                "the number differs from the run's, although its inputs are the same; another processor may round \
                 differently"
            }
            false => "other devices round differently",
        };
        output::warning(&format!(
            "{}/run.json has an average of {:.3} % instead of {:.3} %: {why}",
            run.path().display(),
            100.0 * told.mean,
            100.0 * accuracy.mean
        ));
    }
    OfRun { accuracy, clients, told }
}
