//! Checks whether initial values were trained on images or classes that the run is evaluated on.

use std::collections::HashSet;

use flora_data::{Dataset, Partition, Split};
use flora_federation::Event;
use flora_inference::Provenance;

use super::wrong;
use crate::{Experiment, Observer, TuningError};

/// Refuses trained parameters with this `provenance` if their training images include images that `experiment`
/// evaluates its rounds or its result on: the accuracy would be meaningless, and the best round would be chosen by it.
/// If the images are not known to be those of that run, there is a warning.
///
/// `field` is the experiment's field that names them, `whole` the complete data set.
pub(super) fn check_images(
    experiment: &Experiment,
    (field, provenance): (&str, &Provenance),
    whole: &Dataset,
    (dataset, partition): (&Dataset, &Partition),
    observer: &mut dyn Observer,
) -> Result<(), TuningError> {
    let then = &provenance.data;
    if then.name != dataset.name() || !provenance.trains() {
        return Ok(());
    }
    let theirs = then.split(whole.clone());
    if !is_exactly(experiment, provenance, &theirs, dataset)? {
        let message = format!(
            "{field}: was trained on a data set with the same name, {}, but other images; whether images that this \
             run is \
             evaluated on were among them is not known",
            then.name
        );
        observer.event(&Event::Warning { message });
        return Ok(());
    }
    let train = theirs.indices(Split::Train).into_iter();
    let trained: HashSet<String> = train.map(|index| theirs.describe(index)).collect();
    for side in [partition.scored_on(), Split::Test] {
        let images = partition.clients.iter().flat_map(|shard| shard.images(side));
        let images: HashSet<usize> = images.copied().collect();
        let seen = images.iter().filter(|&&image| trained.contains(&dataset.describe(image)));
        let (seen, all, side) = (seen.count(), images.len(), side.as_str());
        if seen > 0 {
            let limit =
                if then.limit == experiment.data.limit { "" } else { ", and its data.limit" };
            let problem = format!(
                "{seen} of this run's {all} {side} images were among the training images of its run; choose the \
                 settings \
                 of that run (data.protocol = \"{}\", data.validation = {}, data.seed = {}{limit}), or start from \
                                                something \
                 else",
                then.protocol,
                f64::from(then.validation),
                then.seed,
            );
            return Err(wrong(experiment, field, problem));
        }
    }
    Ok(())
}

/// Whether `theirs`, split as in the earlier run, are the images of that run.
fn is_exactly(
    experiment: &Experiment,
    provenance: &Provenance,
    theirs: &Dataset,
    dataset: &Dataset,
) -> Result<bool, TuningError> {
    let (then, now) = (&provenance.data, &experiment.data);
    let is_same_split = (then.protocol, then.limit, then.validation, then.seed)
        == (now.protocol, now.limit, now.validation, now.seed);
    if !is_same_split {
        return Ok(then.is_exactly(theirs));
    }
    // The run reads its own images anyway.
    Ok(then.fingerprint.as_ref() == Some(&dataset.fingerprint()?))
}

/// Refuses trained parameters with this `provenance` if they were trained on classes that are novel in this run.
pub(super) fn check_classes(
    experiment: &Experiment,
    (field, provenance): (&str, &Provenance),
    (dataset, partition): (&Dataset, &Partition),
) -> Result<(), TuningError> {
    let novel = partition.novel_classes().map(|class| &dataset.classes()[class]);
    let was_trained_on = |class: &&String| {
        provenance.classes.contains(class) && !provenance.novel_classes.contains(*class)
    };
    match novel.into_iter().find(was_trained_on).filter(|_| provenance.trains()) {
        None => Ok(()),
        Some(class) => {
            let problem = format!(
                "was trained on {class:?}, which is a novel class of this run; start from something that was \
                 trained with \
                 the same partition"
            );
            Err(wrong(experiment, field, problem))
        }
    }
}
