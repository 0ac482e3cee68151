//! The images and their partition, checked against the settings.

use std::path::{Path, PathBuf};

use flora_data::{ClientShard, Dataset, Partition, PartitionConfig, Protocol, Split};
use flora_federation::{BelowQuorum, ClientInfo, Event, SelectionConfig};

use super::{refused, wrong};
use crate::client::client_info;
use crate::methods::check_ranks;
use crate::objective::{NO_CLASSES, NO_SOFTMAX};
use crate::{Experiment, LossKind, Method, Observer, SoftmaxKind, TuningError};

/// Reads the experiment's data set and splits it across its clients.
///
/// # Errors
///
/// Files that are missing or damaged, and a partition that they do not support.
pub fn partition(experiment: &Experiment) -> Result<(Dataset, Partition), TuningError> {
    let data = &experiment.data;
    let mut dataset = open_dataset(experiment)?.with_protocol(data.protocol);
    if let Some(limit) = data.limit {
        dataset = dataset.limit(limit, data.seed);
    }
    let dataset = dataset.with_validation(data.validation, data.seed);
    let partition = experiment.partition.apply(&dataset, data.seed)?;
    let partition = partition
        .with_participants(&experiment.federation.participants)
        .map_err(|error| wrong(experiment, "federation.participants", error))?;
    Ok((dataset, partition))
}

/// The experiment's complete data set.
pub(crate) fn open_dataset(experiment: &Experiment) -> Result<Dataset, TuningError> {
    let data = &experiment.data;
    let root = data.root.as_ref().map(|root| find(experiment, "data.root", root)).transpose()?;
    Ok(Dataset::open(&find(experiment, "data.path", &data.path)?, root.as_deref())?)
}

/// The path of the experiment's checkpoint.
pub(crate) fn resolve_model(
    experiment: &Experiment,
    download: &mut dyn FnMut(flora_hub::DownloadProgress<'_>),
) -> Result<PathBuf, TuningError> {
    flora_hub::resolve(&experiment.model.path, download)
        .map_err(|error| wrong(experiment, "model.path", error))
}

/// The path that `field` of the experiment names.
fn find(experiment: &Experiment, field: &str, path: &Path) -> Result<PathBuf, TuningError> {
    flora_hub::find(path).map_err(|error| wrong(experiment, field, error))
}

/// Warns of files beside the images that are not read.
pub(super) fn warn_of_passed_over(dataset: &Dataset, observer: &mut dyn Observer) {
    if let Some(others) = dataset.passed_over().warning() {
        let message = format!("{}: {others}", dataset.name());
        observer.event(&Event::Warning { message });
    }
}

/// Checks for problems that would otherwise only appear when the rounds begin.
pub(super) fn check(
    experiment: &Experiment,
    method: &dyn Method,
    dataset: &Dataset,
    partition: &Partition,
    observer: &mut dyn Observer,
) -> Result<(), TuningError> {
    let trainers = partition.clients.iter().filter(|shard| !shard.train.is_empty());
    check_trainers(experiment, &trainers.map(|shard| shard.id.as_str()).collect::<Vec<_>>())?;
    let scored_on = partition.scored_on();
    if !experiment.data.validation.is_zero() && scored_on == Split::Test {
        let problem = "no client has a validation image; raise it, raise data.limit.train, or put validation images \
                       into the saved partition";
        return Err(wrong(experiment, "data.validation", problem));
    }
    if partition.clients.iter().all(|shard| shard.images(scored_on).is_empty()) {
        let problem = "no client has a test image, so nothing could be evaluated; raise \
                       data.limit.test, or choose data.protocol = \"merged-80-20\"";
        return Err(wrong(experiment, "data", problem));
    }
    if method.has_head() && partition.class_groups.is_some() {
        let problem = format!(
            "the head of {} supports only the classes that it was trained on, not novel ones; choose \
             another method, or another partition",
            method.name()
        );
        return Err(wrong(experiment, "method.name", problem));
    }
    let loss = check_loss(experiment, method, dataset.classes())?;
    let infos: Vec<_> =
        partition.clients.iter().map(|shard| client_info(shard, scored_on)).collect();
    if experiment.rounds() > 0 {
        let trainers: Vec<_> = infos.iter().filter(|it| it.num_examples > 0).cloned().collect();
        let selection = experiment.federation.selection().check(&trainers);
        let attackers = experiment.faults.check_clients(&infos, experiment.seed);
        selection.and(attackers).map_err(|error| refused(experiment, error.to_string()))?;
    }
    if experiment.federation.strategy.shares().is_some() && !experiment.output.keep_clients {
        let message = format!(
            "with {} every client has its own model, and none is saved; set output.keep_clients = true to save them",
            experiment.federation.strategy.name()
        );
        observer.event(&Event::Warning { message });
    }
    warn_of_single_images(experiment, loss, &infos, observer);
    warn_of_single_classes(experiment, dataset, partition, observer);
    if is_natural(&experiment.partition) {
        warn_of_unscored(experiment, dataset, partition, observer);
    }
    Ok(())
}

/// Checks that enough clients have training images, and that the strategy knows them.
pub(super) fn check_trainers(experiment: &Experiment, ids: &[&str]) -> Result<(), TuningError> {
    let clients = ids.len();
    if let Some((field, ranks)) = experiment.federation.strategy.ranks() {
        let outer = field.strip_suffix("ranks").unwrap_or_default();
        let fit = ranks.of(ids.iter().copied());
        let of_table = format!("federation.strategy.{outer}");
        let fit = fit.map_err(|problem| format!("{of_table}{problem}"));
        let fit = fit.map(|_| ()).and_then(|()| check_ranks(experiment));
        fit.map_err(|problem| refused(experiment, problem))?;
    }
    let least = experiment.federation.min_clients;
    if least > clients {
        let problem =
            format!("{least}, but {clients} clients have training images; lower it to {clients}");
        return Err(wrong(experiment, "federation.min_clients", problem));
    }
    let federation = &experiment.federation;
    let selection = &federation.selection;
    let train = selection.fewest(federation.selector(), clients, experiment.rounds());
    let quorum = federation.quorum;
    let needed = federation.strategy.fewest();
    if needed > train && experiment.rounds() > 0 {
        let problem = format!(
            "{} needs {needed} answers to leave any out, but {train} clients train in a round; change its settings, or \
             choose another",
            federation.strategy.name()
        );
        return Err(wrong(experiment, "federation.strategy", problem));
    }
    let by_chance = matches!(selection, SelectionConfig::Poisson { .. });
    if by_chance && needed > 1 && federation.below_quorum == BelowQuorum::Fail {
        let problem = format!(
            "{} needs {needed} replies, but independent draws sometimes select fewer; choose \"skip\"",
            federation.strategy.name()
        );
        return Err(wrong(experiment, "federation.below_quorum", problem));
    }
    if quorum > train && experiment.rounds() > 0 {
        let problem =
            format!("{quorum}, but {train} clients train in a round; lower it to {train}");
        return Err(wrong(experiment, "federation.quorum", problem));
    }
    Ok(())
}

/// The loss, if it fits the classes.
pub(super) fn check_loss(
    experiment: &Experiment,
    method: &dyn Method,
    classes: &[String],
) -> Result<LossKind, TuningError> {
    let loss = experiment.method.loss.unwrap_or_else(|| method.usual_loss());
    let weights = &experiment.training.class_weights;
    if !weights.is_none() && loss == LossKind::Infonce && experiment.rounds() > 0 {
        return Err(wrong(experiment, "training.class_weights", NO_CLASSES));
    }
    let softmax = experiment.method.softmax;
    if !softmax.is_all() && loss == LossKind::Infonce && experiment.rounds() > 0 {
        return Err(wrong(experiment, "method.softmax", NO_SOFTMAX));
    }
    let named = weights.check_names(classes);
    named.map_err(|problem| wrong(experiment, "training.class_weights", problem))?;
    Ok(loss)
}

/// Whether each client holds the images of one domain.
fn is_natural(config: &PartitionConfig) -> bool {
    match config {
        PartitionConfig::Natural => true,
        PartitionConfig::FewShot { of, .. } | PartitionConfig::BaseToNovel { of } => is_natural(of),
        _ => false,
    }
}

/// Warns of domains that train but are in no mean.
fn warn_of_unscored(
    experiment: &Experiment,
    dataset: &Dataset,
    partition: &Partition,
    observer: &mut dyn Observer,
) {
    let split = partition.scored_on();
    let is_domain = |shard: &ClientShard| dataset.domains().contains(&shard.id);
    let unscored =
        partition.clients.iter().filter(|shard| is_domain(shard) && shard.images(split).is_empty());
    let ids: Vec<&str> = unscored.map(|shard| shard.id.as_str()).collect();
    let image = format!("no {} image", split.as_str());
    let who = match &ids[..] {
        [] => return,
        [one] => format!("{one} has {image} and is"),
        [first, rest @ ..] => format!("{first} and {} more have {image} and are", rest.len()),
    };
    let remedy = match (split, experiment.data.protocol) {
        (Split::Validation, _) | (_, Protocol::Stratified8020 { .. }) => {
            "there are too few images to hold one out"
        }
        _ => "data.protocol = \"stratified-80-20\" tests every domain that has two images",
    };
    let message = format!("{who} in no accuracy of this run; {remedy}");
    observer.event(&Event::Warning { message });
}

/// Warns of clients with a single class, from which a softmax over their own classes learns nothing.
fn warn_of_single_classes(
    experiment: &Experiment,
    dataset: &Dataset,
    partition: &Partition,
    observer: &mut dyn Observer,
) {
    if experiment.method.softmax != SoftmaxKind::Restricted || experiment.rounds() == 0 {
        return;
    }
    let has_one = |shard: &&ClientShard| {
        let mut labels = shard.train.iter().map(|&index| dataset.label(index));
        labels.next().is_some_and(|first| labels.all(|label| label == first))
    };
    let ids = partition.clients.iter().filter(has_one).map(|shard| shard.id.as_str());
    let ids: Vec<&str> = ids.collect();
    let [first, rest @ ..] = &ids[..] else { return };
    let (whose, them) = match rest.len() {
        0 => (format!("client {first} has"), "it learns"),
        more => (format!("client {first} and {more} more have each"), "they learn"),
    };
    let message = format!(
        "{whose} training images of one class, so the restricted softmax has nothing to distinguish: {them} \
         nothing; use fewer clients or method.softmax = \"balanced\""
    );
    observer.event(&Event::Warning { message });
}

/// Warns of clients with a single image, on which a contrastive loss cannot train.
pub(super) fn warn_of_single_images(
    experiment: &Experiment,
    loss: LossKind,
    clients: &[ClientInfo],
    observer: &mut dyn Observer,
) {
    if loss != LossKind::Infonce || experiment.rounds() == 0 {
        return;
    }
    let lonely = clients.iter().filter(|client| client.num_examples == 1);
    let ids: Vec<&str> = lonely.map(|client| client.id.as_str()).collect();
    let [first, rest @ ..] = &ids[..] else { return };
    let (whose, them) = match rest.len() {
        0 => (format!("client {first} has"), "it trains"),
        more => (format!("client {first} and {more} more have each"), "they train"),
    };
    let message = format!(
        "{whose} one training image, which leaves the infonce loss nothing to contrast: \
         {them} nothing; use fewer clients or method.loss = \"class-ce\""
    );
    observer.event(&Event::Warning { message });
}
