//! Initial values of a run besides its checkpoint: an adapter, the sums of another run, a classifier.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flora_core::ParameterRecord;
use flora_data::{Dataset, Participants, Partition};
use flora_federation::Event;
use flora_inference::Provenance;
use flora_lora::PeftAdapter;

use super::adapter::{initial_adapter, read_adapter, warn_of_other_base};
use super::inputs::digest;
use super::{data, refused, seen, wrong};
use crate::methods::HeadFeatures;
use crate::trained::{LoadedSums, adapter_digest};
use crate::{Experiment, Method, MethodName, Observer, TuningError};

/// Initial values of a run besides its checkpoint.
#[derive(Debug)]
pub(super) struct Begin {
    /// The experiment's method.
    pub(super) method: Arc<dyn Method>,
    /// Initial values of the trained parameters.
    pub(super) initial: Option<ParameterRecord>,
    /// An adapter under the classifier of a closed-form method, with its digest.
    pub(super) below: Option<(PeftAdapter, String)>,
    /// The provenance of the adapter.
    provenance: Option<Provenance>,
    /// The sums in `initial` or in the method.
    sums: Option<(&'static str, LoadedSums)>,
}

impl Begin {
    /// Reads the files that the experiment names. The configuration of an adapter to start from replaces the
    /// experiment's.
    pub(super) fn read(
        experiment: &mut Experiment,
        observer: &mut dyn Observer,
    ) -> Result<Self, TuningError> {
        let checked = crate::methods::check(experiment);
        checked.map_err(|problem| refused(experiment, problem))?;
        for (old, new) in &experiment.renamed {
            let message =
                format!("{old} is called {new} now; the next release refuses the old name");
            observer.event(&Event::Warning { message });
        }
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

    /// A custom method, without other initial values.
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

    /// Checks that everything belongs to the model and the classes of the run, as far as that is known; warns of an
    /// adapter that was trained on other weights.
    pub(super) fn check(
        &self,
        experiment: &Experiment,
        (base_digest, base_settings): (&str, &str),
        classes: &[String],
        observer: &mut dyn Observer,
    ) -> Result<(), TuningError> {
        warn_of_other_base(experiment, self.provenance.as_ref(), base_digest, observer);
        self.warn_of_missing_head(experiment, observer);
        let Experiment { method, federation, .. } = experiment;
        // The other methods use all of the sums, and half precision costs them a few tenths of a point.
        if method.name == MethodName::Lda && !federation.upload.is_lossless() {
            let message = format!(
                "federation.upload: sums rounded to {} can cost {} many points of accuracy: the signal that it \
                 uses, the \
                 spread within a class, is small compared with the common mean of all images; choose \"f32\", or \
                 method.name = \"ridge\"",
                federation.upload.name(),
                method.name.as_str()
            );
            observer.event(&Event::Warning { message });
        }
        let Some((field, sums)) = &self.sums else { return Ok(()) };
        let (then, now) = (sums.provenance.precision, experiment.model.precision);
        if then != now {
            let problem = format!(
                "its sums are of features in {then}, but this run's would be in {now}; choose model.precision = \
                 \"{then}\""
            );
            return Err(wrong(experiment, field, problem));
        }
        if *field == START {
            let below = self.below.as_ref().map(|(_, digest)| digest.as_str());
            let settings = &method.closed_form;
            return sums
                .check((base_digest, base_settings), below, classes, settings)
                .map_err(|error| wrong(experiment, START, error));
        }
        let below = adapter_below_head(experiment, sums)?;
        // A classifier beside adapters has its own settings.
        sums.check((base_digest, base_settings), below.as_deref(), classes, &sums.method.settings)
            .map_err(|error| wrong(experiment, HEAD, error))
    }

    /// Checks that the initial values were not trained on images that the run is evaluated on, or on its novel classes.
    pub(super) fn check_scored(
        &self,
        experiment: &Experiment,
        dataset: &Dataset,
        partition: &Partition,
        observer: &mut dyn Observer,
    ) -> Result<(), TuningError> {
        let adapter = self.provenance.as_ref().map(|it| ("method.init_adapter", it));
        let sums = match &self.sums {
            Some((field, sums)) if sums.has_images()? => Some((*field, &sums.provenance)),
            _ => None,
        };
        let base = base_provenance(experiment)?;
        let base = base.as_ref().map(|it| ("model.path", it));
        let mut whole = None;
        for begun in adapter.into_iter().chain(sums).chain(base) {
            seen::check_classes(experiment, begun, (dataset, partition))?;
            let whole = match &whole {
                Some(whole) => whole,
                None => whole.insert(data::open_dataset(experiment)?),
            };
            seen::check_images(experiment, begun, whole, (dataset, partition), observer)?;
        }
        Ok(())
    }

    /// Warns of an adapter that was trained together with a classifier, which is missing or another one.
    fn warn_of_missing_head(&self, experiment: &Experiment, observer: &mut dyn Observer) {
        let Some(head) = self.provenance.as_ref().and_then(|it| it.head_sha256.as_ref()) else {
            return;
        };
        let ours = self.sums.as_ref().filter(|(field, _)| *field == HEAD);
        if ours.is_some_and(|(_, sums)| digest(&sums_digest(sums)) == *head) {
            return;
        }
        let remedy = match experiment.method.name.is_closed_form() {
            true => {
                "solve over an adapter that was trained alone, or the texts are not what was trained"
            }
            false => {
                "name it as method.head, otherwise training starts from other predictions than those of the \
                 adapter's run"
            }
        };
        let message = format!(
            "the adapter in method.init_adapter was trained together with a classifier that is missing here: {remedy}"
        );
        observer.event(&Event::Warning { message });
    }

    /// The clients whose images are in the initial sums.
    pub(super) fn summed(&self) -> BTreeSet<String> {
        self.start().map(|sums| sums.provenance.clients.clone()).unwrap_or_default()
    }

    /// The initial sums.
    fn start(&self) -> Option<&LoadedSums> {
        self.sums.as_ref().filter(|(field, _)| *field == START).map(|(_, sums)| sums)
    }

    /// Checks that training clients are not counted in the sums yet, or that leaving clients are: by their ids, and by
    /// the settings that determine which images of the data set `data_name` are theirs. Without a data set, the images
    /// are elsewhere.
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
            let problem = "it does not say whose images its sums contain, so that a client could be counted twice; \
                           start from \
                           a run that records it, or without sums";
            return Err(wrong(experiment, START, problem));
        }
        let fingerprint = || Ok(dataset.map(Dataset::fingerprint).transpose()?);
        if let Some(field) = sums.other_images(experiment, data_name, fingerprint)? {
            let problem = format!(
                "its sums are of the same data set, but {field} now gives its clients other images, so that an id \
                 does not \
                 identify a client; choose the value of that run"
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
                    "the sums contain all clients' images (federation.participants = \"central\"), so {id} can \
                     neither join \
                     late nor leave; start from a run of single clients"
                ),
                false => "federation.participants = \"central\" has all clients' images, and some are counted in \
                          the sums \
                          already; name the late clients"
                    .to_owned(),
            };
            return Err(wrong(experiment, START, problem));
        }
        let problem = match trainers.into_iter().find(|&id| summed.contains(id) != leaving) {
            None => return Ok(()),
            Some(id) if leaving => format!(
                "the sums do not contain {id}, which cannot leave; name the leaving clients as federation.participants"
            ),
            Some(id) => format!(
                "{id} is counted in the sums already; name the late clients as federation.participants"
            ),
        };
        Err(wrong(experiment, START, problem))
    }

    /// SHA-256 of untrained and initial values, by their names in messages.
    pub(super) fn digests(&self) -> Vec<(&'static str, String)> {
        let below = self.below.iter().map(|(_, digest)| (BELOW, digest.clone()));
        let sums = self.sums.iter().map(|(field, sums)| {
            let name = if *field == START { "sums to start from" } else { BESIDE };
            (name, sums_digest(sums))
        });
        below.chain(sums).collect()
    }
}

/// Names of an adapter under a classifier, and of a classifier beside prompts, among the inputs of a run.
const BELOW: &str = "adapter under the classifier";
pub(crate) const BESIDE: &str = "classifier beside the prompts";

fn sums_digest(sums: &LoadedSums) -> String {
    format!("{} {:?}", crate::trained::digest(&sums.record), sums.method)
}

/// Checks the copies that [`save_trained`](crate::save_trained) made in `folder` of an adapter under a classifier or of
/// a classifier beside the prompts: they must equal the files that the run read at its start, by its
/// [`inputs`](crate::Prepared::inputs).
///
/// # Errors
///
/// A copy that cannot be read, or of a file that was changed meanwhile.
pub fn check_copies(
    experiment: &Experiment,
    folder: &Path,
    inputs: &BTreeMap<String, String>,
) -> Result<(), TuningError> {
    let copies = experiment.clone().with_copies_in(folder).method;
    let is_copied = |copy: &Option<PathBuf>| copy.clone().filter(|path| path.starts_with(folder));
    let check = |field: &str, name: &str, now: String| match inputs.get(name) {
        Some(then) if *then != digest(&now) => {
            let problem = "it was changed after the run began, and the trained parameters cannot be used with the \
                           changed one; restore it";
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
    let remedy = "name the folder of a run of ridge, lda, gda or ncm, or its trained.safetensors";
    LoadedSums::open(path).map_err(|error| wrong(experiment, field, format!("{error}; {remedy}")))
}

/// The provenance of the checkpoint, if flora trained it or stored trained weights in it.
fn base_provenance(experiment: &Experiment) -> Result<Option<Provenance>, TuningError> {
    let path = data::resolve_model(experiment, &mut |_| {})?;
    if experiment.model.random_weights || !path.is_dir() {
        return Ok(None);
    }
    Provenance::load(&path).map_err(|error| wrong(experiment, "model.path", error))
}

/// The adapter over which a classifier beside the prompts was solved, if training continues from that very adapter: the
/// logits of both are then those of the run that solved it.
///
/// Its features come from the frozen vision tower, because `method.head` only supports adapters of the text tower. Its
/// prior must not contain texts, because those of the base differ.
fn adapter_below_head(
    experiment: &Experiment,
    sums: &LoadedSums,
) -> Result<Option<String>, TuningError> {
    let Some(adapter) = &experiment.method.init_adapter else { return Ok(None) };
    if sums.adapter.is_none() {
        // Its features do not depend on the texts that they are compared with.
        return Ok(None);
    }
    if sums.method.settings.features != HeadFeatures::Layers {
        let problem = "was solved over an adapter, whose texts are its prior; solve it without method.init_adapter, or with \
                       method.closed_form.features = \"layers\"";
        return Err(wrong(experiment, HEAD, TuningError::trained(&sums.path, problem.to_owned())));
    }
    let digest = adapter_digest(adapter);
    digest.map(Some).map_err(|error| wrong(experiment, "method.init_adapter", error))
}
