//! What a run begins with besides its checkpoint: an adapter, the sums of another run, a classifier.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flora_core::{Dtype, ParameterRecord};
use flora_data::{Dataset, Participants};
use flora_federation::Event;
use flora_inference::{Provenance, adapter_folder};
use flora_lora::{LoraConfig, PeftAdapter, load_peft};

use super::inputs::digest;
use super::wrong;
use crate::trained::{LoadedSums, adapter_digest};
use crate::{Experiment, Method, Observer, TuningError};

/// What a run begins with besides its checkpoint.
#[derive(Debug)]
pub(super) struct Begin {
    /// The experiment's method.
    pub(super) method: Arc<dyn Method>,
    /// Values of what is trained.
    pub(super) initial: Option<ParameterRecord>,
    /// An adapter under the classifier of a closed-form method, with its digest.
    pub(super) below: Option<(PeftAdapter, String)>,
    /// What flora says of the adapter.
    provenance: Option<Provenance>,
    /// The sums that are in `initial` or in the method.
    sums: Option<(&'static str, LoadedSums)>,
}

impl Begin {
    /// Reads what the experiment names. The configuration of an adapter to start from becomes the experiment's.
    pub(super) fn read(
        experiment: &mut Experiment,
        observer: &mut dyn Observer,
    ) -> Result<Self, TuningError> {
        let checked = crate::methods::check(experiment);
        checked.map_err(|problem| TuningError::Experiment {
            origin: experiment.name.clone(),
            problem,
        })?;
        if experiment.method.name.is_closed_form() {
            return Self::of_closed_form(experiment);
        }
        let adapter = initial_adapter(experiment, observer)?;
        let (initial, provenance) =
            adapter.map(|(adapter, provenance)| (adapter.record, provenance)).unzip();
        let provenance = provenance.flatten();
        let mut begin = Self { initial, provenance, ..Self::only(experiment.method.method()) };
        if let Some(path) = &experiment.method.head {
            let sums = sums(experiment, HEAD, path)?;
            begin.method = Arc::new(sums.under(&experiment.method.lora)?);
            begin.sums = Some((HEAD, sums));
        }
        Ok(begin)
    }

    /// A method of one's own, which begins with nothing else.
    pub(super) fn only(method: Arc<dyn Method>) -> Self {
        Self { method, initial: None, below: None, provenance: None, sums: None }
    }

    fn of_closed_form(experiment: &Experiment) -> Result<Self, TuningError> {
        let mut begin = Self::only(experiment.method.method());
        if let Some((adapter, provenance)) = read_adapter(experiment)? {
            let path = experiment.method.init_adapter.as_ref().expect("it was read");
            let digest = adapter_digest(path)
                .map_err(|error| wrong(experiment, "method.init_adapter", error))?;
            begin.below = Some((adapter, digest));
            begin.provenance = provenance;
        }
        if let Some(path) = &experiment.method.closed_form.start {
            let sums = sums(experiment, START, path)?;
            begin.initial = Some(sums.record.clone());
            begin.sums = Some((START, sums));
        }
        Ok(begin)
    }

    /// Whether it all belongs to the model and the classes of the run, as far as that can be known; an adapter that was
    /// trained on other weights is told.
    pub(super) fn check(
        &self,
        experiment: &Experiment,
        (base_digest, base_settings): (&str, &str),
        classes: &[String],
        observer: &mut dyn Observer,
    ) -> Result<(), TuningError> {
        warn_of_other_base(experiment, self.provenance.as_ref(), base_digest, observer);
        let Experiment { method, federation, .. } = experiment;
        if method.name.is_closed_form() && federation.upload != Dtype::F32 {
            let message = format!(
                "federation.upload: sums that are rounded to {} cost accuracy: what {} looks for in them is small beside \
                 what they have in common",
                federation.upload,
                method.name.as_str()
            );
            observer.event(&Event::Warning { message });
        }
        let Some((field, sums)) = &self.sums else { return Ok(()) };
        let below = self.below.as_ref().map(|(_, digest)| digest.as_str());
        let (then, now) = (sums.provenance.precision, experiment.model.precision);
        if *field == START && then != now {
            let problem = format!(
                "its sums are of features in {then}, and these would be in {now}; choose model.precision = \"{then}\""
            );
            return Err(wrong(experiment, START, problem));
        }
        // A classifier beside adapters has settings of its own.
        let settings = if *field == START { &method.closed_form } else { &sums.method.settings };
        sums.check((base_digest, base_settings), below, classes, settings)
            .map_err(|error| wrong(experiment, field, error))
    }

    /// Whose sums the run begins with.
    pub(super) fn summed(&self) -> BTreeSet<String> {
        self.start().map(|sums| sums.provenance.clients.clone()).unwrap_or_default()
    }

    /// The sums that the run begins with.
    fn start(&self) -> Option<&LoadedSums> {
        self.sums.as_ref().filter(|(field, _)| *field == START).map(|(_, sums)| sums)
    }

    /// Whether those who train are not counted in the sums yet, or those who leave are: by their ids, and by what says
    /// which images of the data set called `data_name` are theirs. Without a data set, the images are elsewhere.
    pub(super) fn check_trainers<'a>(
        &self,
        experiment: &Experiment,
        data_name: &str,
        dataset: Option<&Dataset>,
        trainers: impl Iterator<Item = &'a str>,
    ) -> Result<(), TuningError> {
        let Some(sums) = self.start() else { return Ok(()) };
        let (summed, leaving) = (self.summed(), experiment.method.closed_form.leaving);
        if summed.is_empty() && !leaving && !sums.has_images()? {
            return Ok(());
        }
        if summed.is_empty() {
            let problem = "it does not say whose images its sums are of, so that a client could be counted twice; begin with \
                           a run that says so, or anew";
            return Err(wrong(experiment, START, problem));
        }
        let fingerprint = || Ok(dataset.map(Dataset::fingerprint).transpose()?);
        if let Some(field) = sums.other_images(experiment, data_name, fingerprint)? {
            let problem = format!(
                "its sums are of the same data set, and {field} gives its clients other images now, so that an id does not \
                 tell who is counted; choose what that run had"
            );
            return Err(wrong(experiment, START, problem));
        }
        let same_data = sums.provenance.data.name == data_name;
        let of_all = same_data && summed.contains(Participants::CENTRAL);
        let trainers: Vec<&str> = trainers.collect();
        let is_all = |id: &str| same_data && id == Participants::CENTRAL;
        if let Some(id) = trainers.iter().find(|id| of_all != is_all(id) && (of_all || !leaving)) {
            let problem = match of_all {
                true => format!(
                    "the sums are of everybody's images (federation.participants = \"central\"), and {id} can neither come \
                     late nor leave; begin with a run of single clients"
                ),
                false => "federation.participants = \"central\" has everybody's images, and some are counted in the sums \
                          already; name those who come late"
                    .to_owned(),
            };
            return Err(wrong(experiment, START, problem));
        }
        let problem = match trainers.into_iter().find(|&id| summed.contains(id) != leaving) {
            None => return Ok(()),
            Some(id) if leaving => format!(
                "the sums are not of {id}, who cannot leave; name those who do as federation.participants"
            ),
            Some(id) => format!(
                "{id} is counted in the sums already; name those who come late as federation.participants"
            ),
        };
        Err(wrong(experiment, START, problem))
    }

    /// SHA-256 of what is not trained and of what is begun with, by what it is called in a message.
    pub(super) fn digests(&self) -> Vec<(&'static str, String)> {
        let below = self.below.iter().map(|(_, digest)| (BELOW, digest.clone()));
        let sums = self.sums.iter().map(|(field, sums)| {
            let name = if *field == START { "sums to start from" } else { BESIDE };
            (name, sums_digest(sums))
        });
        below.chain(sums).collect()
    }
}

/// What the inputs of a run call an adapter under a classifier, and a classifier beside prompts.
const BELOW: &str = "adapter under the classifier";
const BESIDE: &str = "classifier beside the prompts";

fn sums_digest(sums: &LoadedSums) -> String {
    format!("{} {:?}", crate::trained::digest(&sums.record), sums.method)
}

/// Checks the copies that [`save_trained`](crate::save_trained) made in `folder` of an adapter under a classifier or of a
/// classifier beside the prompts: that they are what the run read when it began, by its [`inputs`](crate::Prepared::inputs).
///
/// # Errors
///
/// A copy that cannot be read, or of something that was changed meanwhile.
pub fn check_copies(
    experiment: &Experiment,
    folder: &Path,
    inputs: &BTreeMap<String, String>,
) -> Result<(), TuningError> {
    let copies = experiment.clone().with_copies_in(folder).method;
    let is_copied = |copy: &Option<PathBuf>| copy.clone().filter(|path| path.starts_with(folder));
    let check = |field: &str, name: &str, now: String| match inputs.get(name) {
        Some(then) if *then != digest(&now) => {
            let problem = "it was changed after the run began, and what was trained with it is of no use with what is \
                           there now; restore it";
            Err(wrong(experiment, field, problem))
        }
        _ => Ok(()),
    };
    if experiment.method.name.is_closed_form()
        && let Some(adapter) = is_copied(&copies.init_adapter)
    {
        check("method.init_adapter", BELOW, adapter_digest(&adapter)?)?;
    }
    if let Some(head) = is_copied(&copies.head) {
        check(HEAD, BESIDE, sums_digest(&sums(experiment, HEAD, &head)?))?;
    }
    Ok(())
}

const START: &str = "method.closed_form.start";
const HEAD: &str = "method.head";

fn sums(experiment: &Experiment, field: &str, path: &Path) -> Result<LoadedSums, TuningError> {
    LoadedSums::open(path).map_err(|error| wrong(experiment, field, error))
}

/// An adapter to start from, trained on other weights.
fn warn_of_other_base(
    experiment: &Experiment,
    adapter: Option<&Provenance>,
    base_digest: &str,
    observer: &mut dyn Observer,
) {
    let Some(adapter) = adapter.filter(|adapter| adapter.base_sha256 != base_digest) else {
        return;
    };
    let message = format!(
        "the adapter in method.init_adapter was trained on {}, and not on the weights of {}: it starts from \
         something else than what was trained",
        adapter.base_model_name_or_path, experiment.model.path
    );
    observer.event(&Event::Warning { message });
}

/// The configuration of the adapter to start from, if there is one.
pub(crate) fn adapter_config(experiment: &Experiment) -> Result<Option<LoraConfig>, TuningError> {
    Ok(read_adapter(experiment)?.map(|(adapter, _)| adapter.config))
}

/// The adapter to start from, and what flora says of it.
fn read_adapter(
    experiment: &Experiment,
) -> Result<Option<(PeftAdapter, Option<Provenance>)>, TuningError> {
    let Some(path) = &experiment.method.init_adapter else { return Ok(None) };
    let folder = &adapter_folder(path);
    let provenance = Provenance::load(folder)
        .map_err(|error| wrong(experiment, "method.init_adapter", error))?;
    let adapter =
        load_peft(folder).map_err(|error| wrong(experiment, "method.init_adapter", error))?;
    let path = folder.display();
    if !adapter.extras.is_empty() {
        let problem = format!(
            "{path} has more than A and B (use_dora, lora_bias, bias or modules_to_save), and training \
             goes on from these alone; fold it into its base with `flora export --merged`, and train \
             a fresh adapter on that"
        );
        return Err(wrong(experiment, "method.init_adapter", problem));
    }
    if adapter.names_no_tower() {
        let problem = format!(
            "{path} does not say of which tower it is; add \"auto_mapping\": {{\"base_model_class\": \
             \"CLIPTextModel\"}}, or \"CLIPVisionModel\", to its adapter_config.json"
        );
        return Err(wrong(experiment, "method.init_adapter", problem));
    }
    Ok(Some((adapter, provenance)))
}

/// The adapter to start from, and what flora says of it. Its configuration becomes the experiment's.
fn initial_adapter(
    experiment: &mut Experiment,
    observer: &mut dyn Observer,
) -> Result<Option<(PeftAdapter, Option<Provenance>)>, TuningError> {
    let Some((adapter, provenance)) = read_adapter(experiment)? else { return Ok(None) };
    let lora = std::mem::replace(&mut experiment.method.lora, adapter.config.clone());
    if lora != LoraConfig::default() && lora != experiment.method.lora {
        observer.event(&Event::Warning {
            message: "method.lora is that of the adapter in method.init_adapter, and not what the \
                      experiment says"
                .to_owned(),
        });
    }
    Ok(Some((adapter, provenance)))
}
