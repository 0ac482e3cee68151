//! A finished run with its trained parameters.

use std::path::{Path, PathBuf};

use flora::core::shell::quoted;
use flora::federation::RunStatus;
use flora::report::{EXPERIMENT, METRICS, PARTITION, RunSummary, SUMMARY, runs};
use flora::tuning::{ClientModels, Experiment, Prepared, TrainedModel, prepare};

use super::run::{SERVED, client_folder};
use crate::device::{DeviceArgs, Place};
use crate::failure::Failure;
use crate::output;
use crate::progress::{Progress, Verbosity};

/// The run, and which of its models.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Use the model that a run trained, on its own base model, with its classes, prompts and split: the run's folder,
    /// or its name below runs/
    #[arg(long, value_name = "DIR", conflicts_with_all = ["model", "adapter"])]
    run: Option<PathBuf>,
    /// Use the parameters of that run's best round
    #[arg(long)]
    best: bool,
    /// Use this client's own parameters from that run, saved with output.keep_clients
    #[arg(long, value_name = "ID", conflicts_with = "best")]
    client: Option<String>,
}

/// A run that has ended.
pub(crate) struct TrainedRun {
    path: PathBuf,
    pub(crate) summary: RunSummary,
    experiment: Experiment,
    pub(crate) best: bool,
    pub(crate) client: Option<String>,
    pub(crate) place: Place,
}

impl RunArgs {
    /// The model of this run after its last round.
    pub(crate) fn of(run: PathBuf) -> Self {
        Self { run: Some(run), best: false, client: None }
    }

    pub(crate) fn title(&self) -> Option<String> {
        let run = self.run.as_ref()?.display().to_string();
        Some(match (&self.client, self.best) {
            (Some(client), _) => format!("{run}, client {client}"),
            (None, true) => format!("{run}, best round"),
            (None, false) => run,
        })
    }

    pub(crate) fn open(&self, device: &DeviceArgs) -> Result<Option<TrainedRun>, Failure> {
        let Some(run) = &self.run else {
            let lonely = [(self.best, "--best"), (self.client.is_some(), "--client")];
            return match lonely.iter().find(|(given, _)| *given) {
                Some((_, option)) => Err(Failure::Input(format!(
                    "{option} selects parameters of a run; name the run with --run DIR"
                ))),
                None => Ok(None),
            };
        };
        let wrong = |problem: &dyn std::fmt::Display| Failure::Input(format!("--run: {problem}"));
        let path = runs::resolve(run).map_err(|error| wrong(&error))?;
        let summary_file = path.join(SUMMARY);
        if !summary_file.exists() {
            let path = path.display();
            return Err(wrong(&format!(
                "{path} has not ended: resume it first (flora run --resume {path})"
            )));
        }
        let summary = RunSummary::load(summary_file).map_err(|error| wrong(&error))?;
        // All files that are read back; events are not.
        for name in summary.files.keys().filter(|name| *name != METRICS) {
            summary.check_file(&path, name).map_err(|error| wrong(&error))?;
        }
        let file = path.join(EXPERIMENT);
        let origin = file.display().to_string();
        let text = std::fs::read_to_string(&file)
            .map_err(|error| wrong(&format!("{origin} cannot be read: {error}")))?;
        let mut experiment = Experiment::from_toml(&origin, &text, &[]).map_err(Failure::input)?;
        let place = device.open_or(&summary.device)?;
        place.set_threads(&mut experiment);
        if summary.status != RunStatus::Finished {
            output::warning(&format!(
                "{} stopped before its last round: this is the model at that point",
                path.display()
            ));
        }
        let (best, client) = (self.best, self.client.clone());
        let run = TrainedRun { path, summary, experiment, best, client, place };
        run.check_best()?;
        Ok(Some(run))
    }
}

impl TrainedRun {
    fn shares_all(&self) -> bool {
        self.experiment.federation.share().is_all()
    }

    fn check_best(&self) -> Result<(), Failure> {
        if self.best && !self.shares_all() {
            let problem = "the clients' own parameters are kept for their last training only";
            return Err(Failure::Input(format!("--best: {problem}")));
        }
        let RunSummary { best_saved, best_round, last_round, .. } = &self.summary;
        if self.best && !best_saved && best_round != last_round {
            let problem = "the parameters of the best round were not kept";
            return Err(Failure::Input(format!("--best: {problem}")));
        }
        Ok(())
    }

    /// The folder of the requested parameters.
    fn folder(&self) -> PathBuf {
        match &self.client {
            Some(client) => client_folder(&self.path, client),
            // If the last round is the best, it is not written twice.
            None if self.best && self.summary.best_saved => self.path.join("best"),
            None => self.path.clone(),
        }
    }

    /// The trained parameters.
    pub(crate) fn model(&self) -> Result<TrainedModel, Failure> {
        let model = TrainedModel::open(&self.experiment, &self.folder(), &self.place.device);
        model.map_err(Failure::input)?.ok_or_else(|| self.nothing())
    }

    /// Why there are no trained parameters.
    fn nothing(&self) -> Failure {
        let path = self.path.display();
        let problem = match &self.client {
            Some(client) => format!(
                "{path} holds no parameters of a client {client:?}: a run with output.keep_clients = true keeps the \
                 parameters of each \
                 client's last training"
            ),
            None if !self.shares_all() => format!(
                "in {path} every client has its own model; choose one with --client ID (kept by a run with \
                 output.keep_clients = true)"
            ),
            None => {
                format!("{path} holds no trained parameters: it was run with --numbers-only")
            }
        };
        Failure::Input(format!("--run: {problem}"))
    }

    /// The run's images, its clients, and the models for their predictions.
    pub(crate) fn prepare(&self) -> Result<(Prepared, ClientModels), Failure> {
        self.check_here()?;
        let mut progress = Progress::new(Verbosity::Quiet);
        // The run folder's own copies are used, because other files may have moved.
        let experiment = self.experiment.clone().with_copies_in(&self.path);
        let prepared =
            prepare(experiment, &self.place.device, &mut progress).map_err(Failure::input)?;
        self.check_inputs(&prepared)?;
        let of_client = |client: &str| client_folder(&self.path, client);
        let folder = if self.shares_all() { self.folder() } else { self.path.clone() };
        if let Some(client) = &self.client
            && !prepared.partition.clients.iter().any(|shard| shard.id == *client)
        {
            return Err(Failure::Input(format!(
                "--client: {} has no client {client:?}; partition.json lists them",
                self.path.display()
            )));
        }
        if prepared.trainable_parameters > 0 {
            self.check_kept(&folder)?;
        }
        let models = prepared.client_models(&folder, &of_client, &self.place.device);
        Ok((prepared, models.map_err(Failure::input)?))
    }

    /// Checks that the requested parameters exist.
    fn check_kept(&self, folder: &Path) -> Result<(), Failure> {
        if self.shares_all() {
            let names = ["adapter", "model", "trained.safetensors"];
            let any = names.iter().any(|name| folder.join(name).exists());
            return if any { Ok(()) } else { Err(self.nothing()) };
        }
        let trained = self.summary.clients.iter().filter(|client| client.trained);
        match trained.map(|it| &it.client).find(|it| !client_folder(&self.path, it).exists()) {
            None => Ok(()),
            Some(client) => Err(Failure::Input(format!(
                "--run: {}: the parameters of client {client} are missing; a run with output.keep_clients = true \
                 keeps them",
                self.path.display()
            ))),
        }
    }

    /// Checks that model, images, labels and prompts are those of the run.
    fn check_inputs(&self, prepared: &Prepared) -> Result<(), Failure> {
        let other = |what: &str| {
            let path = self.path.display();
            Failure::Input(format!(
                "--run: the {what} changed since {path} ended, so that its held-out images and its results are not \
                 known: put the original back"
            ))
        };
        let summary = &self.summary;
        if summary.base_digest.as_ref().is_some_and(|digest| *digest != prepared.base_digest) {
            return Err(other("weights of the base model"));
        }
        let inputs = &summary.inputs;
        if let Some((name, _)) =
            inputs.iter().find(|(name, digest)| prepared.inputs.get(*name) != Some(*digest))
        {
            return Err(other(name));
        }
        let partition = std::fs::read_to_string(self.path.join(PARTITION)).unwrap_or_default();
        if prepared.partition_json() != partition {
            return Err(other("images, or how they are split,"));
        }
        Ok(())
    }

    /// Checks that the run's images were on this machine.
    fn check_here(&self) -> Result<(), Failure> {
        if !self.path.join(SERVED).is_file() {
            return Ok(());
        }
        let path = self.path.display();
        Err(Failure::Input(format!(
            "--run: the images of {path} are at its sites, which evaluated them: its accuracies are in run.json. \
             Images \
             of your own are evaluated by: flora eval --adapter {} --data FOLDER",
            quoted(&self.path)
        )))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
