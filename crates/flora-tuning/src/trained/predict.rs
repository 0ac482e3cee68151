use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use flora_core::ParameterRecord;
use flora_core::workers::Workers;
use flora_data::ClientShard;
use flora_federation::ClientScore;

use super::load_trained;
use crate::objective::prediction;
use crate::{Cohort, Prepared, TuningError};

/// The parameters with which each client of a run predicts: the global ones, or its own.
#[derive(Debug, Clone)]
pub struct ClientModels(Vec<Arc<ParameterRecord>>);

/// Predictions for images of a client.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientPredictions {
    /// The client, and its accuracy on these images.
    pub score: ClientScore,
    /// The indices of the images in the data set.
    pub images: Vec<usize>,
    /// Row-major, `[images, classes]`; minus infinity for classes outside an image's group.
    pub logits: Vec<f32>,
}

impl Prepared {
    /// The clients' cohort, if they and their images are in this process.
    fn cohort(&self) -> Result<&Arc<Cohort>, TuningError> {
        self.cohort.as_ref().ok_or_else(|| {
            let problem = "the run was served to sites, and their images are not on this machine; evaluate the \
                           model on a \
                           local data set instead";
            TuningError::Sites(problem.to_owned())
        })
    }

    /// Reads the parameters that a run of this experiment saved in `folder`; if clients keep their own parameters,
    /// reads each client's from the folder that `of_client` returns.
    ///
    /// # Errors
    ///
    /// Files that are missing or damaged; a run that trained nothing, or did not save its clients' own parameters.
    pub fn client_models(
        &self,
        folder: &Path,
        of_client: &dyn Fn(&str) -> PathBuf,
        device: &Device,
    ) -> Result<ClientModels, TuningError> {
        let load = |folder: &Path| -> Result<Option<ParameterRecord>, TuningError> {
            let loaded = load_trained(&self.experiment, folder, device)?;
            if let Some(loaded) = &loaded
                && loaded.provenance.base_sha256 != self.base_digest
            {
                let problem = format!(
                    "was trained on {} with other weights than it has now; put the original back",
                    loaded.provenance.base_model_name_or_path
                );
                return Err(TuningError::trained(folder, problem));
            }
            Ok(loaded.map(|loaded| loaded.record))
        };
        let (cohort, clients) = (self.cohort()?, &self.partition.clients);
        let global = load(folder)?;
        if cohort.share.is_all() {
            let global = match global {
                Some(global) => global,
                None if cohort.initial().is_empty() => ParameterRecord::new(),
                None => {
                    let problem = "holds no trained parameters".to_owned();
                    return Err(TuningError::trained(folder, problem));
                }
            };
            let global = Arc::new(global);
            let shared = clients.iter().map(|_| Arc::clone(&global)).collect();
            return Ok(ClientModels(shared));
        }
        let global = global.unwrap_or_default();
        let own = |client: &ClientShard| -> Result<_, TuningError> {
            let path = of_client(&client.id);
            let own = load(&path)?;
            // If clients' parameters are saved, one without any has not trained yet.
            if own.is_none() && !client.train.is_empty() && !self.experiment.output.keep_clients {
                let problem = "the client's own parameters are missing; a run with output.keep_clients = true keeps \
                               them";
                return Err(TuningError::trained(&path, problem.to_owned()));
            }
            Ok(Arc::new(cohort.whole(own.as_ref(), &global)?.into_owned()))
        };
        Ok(ClientModels(clients.iter().map(own).collect::<Result<_, _>>()?))
    }

    /// The parameters with which each client of a run starts.
    ///
    /// # Errors
    ///
    /// A run that was served to sites: their images are not in this process.
    pub fn initial_models(&self) -> Result<ClientModels, TuningError> {
        let initial = self.cohort()?.initial();
        Ok(ClientModels(self.partition.clients.iter().map(|_| Arc::clone(initial)).collect()))
    }

    /// Each client's predictions for images of the data set, computed as in a round's evaluation; sorted by client,
    /// without those that have no such images.
    ///
    /// # Errors
    ///
    /// Images that cannot be read, and parameters that do not fit the model.
    pub fn predict(
        &self,
        models: &ClientModels,
        images: impl Fn(&ClientShard) -> Vec<usize>,
    ) -> Result<Vec<ClientPredictions>, TuningError> {
        let workers = Workers::new(self.experiment.federation.threads)?;
        // As in a round: without a global model, clients that never train have none.
        let has_model = |client: &ClientShard| self.shares_model() || !client.train.is_empty();
        let clients = self.partition.clients.iter().zip(&models.0);
        let clients = clients.filter(|(client, _)| has_model(client));
        let tasks = clients.map(|(client, record)| (client.id.clone(), images(client), record));
        let (cohort, dataset) = (self.cohort()?, &self.dataset);
        let one = |(client, images, record): (String, Vec<usize>, &Arc<ParameterRecord>)| {
            let logits = cohort.logits_shared(record, &images)?;
            let is_right =
                |(&image, row): (&usize, &[f32])| prediction(row) == Some(dataset.label(image));
            let rows = images.iter().zip(logits.chunks(dataset.classes().len()));
            let right = rows.filter(|&row| is_right(row)).count();
            let num_examples = images.len();
            let accuracy = right as f64 / num_examples.max(1) as f64;
            let score = ClientScore { client, accuracy, loss: None, num_examples };
            Ok(ClientPredictions { score, images, logits })
        };
        let predictions = workers.map(tasks.collect(), one, |_, _| {});
        let mut predictions: Vec<_> =
            predictions.into_iter().collect::<Result<_, TuningError>>()?;
        predictions.retain(|it| !it.images.is_empty());
        // In the order of the round loop's replies, on which a mean's last digit depends.
        predictions.sort_by(|left, right| left.score.client.cmp(&right.score.client));
        Ok(predictions)
    }

    /// Whether all clients predict with the same model.
    pub fn shares_model(&self) -> bool {
        self.experiment.federation.share().is_all()
    }
}
