//! Whether what a run begins with was trained on images that the run is scored on.

use std::collections::HashSet;

use flora_data::{Dataset, Partition};
use flora_federation::Event;
use flora_inference::Provenance;

use super::wrong;
use crate::{Experiment, Observer, TuningError};

/// Refuses what was trained, says its `provenance`, on images by which `experiment` scores its rounds: their accuracy
/// would say nothing, and the best round would be chosen by it. Where it is not sure that these are the same images, a
/// warning says so.
///
/// `field` is where the experiment names it, `whole` the data set before anything of it was chosen.
pub(super) fn check(
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
    let trained: HashSet<String> = (0..theirs.len())
        .filter(|&i| theirs.split(i) == flora_data::Split::Train)
        .map(|i| theirs.describe(i))
        .collect();
    let scored_on = partition.scored_on();
    let scored: HashSet<usize> =
        partition.clients.iter().flat_map(|shard| shard.images(scored_on)).copied().collect();
    let seen = scored.iter().filter(|&&i| trained.contains(&dataset.describe(i))).count();
    if seen == 0 {
        return Ok(());
    }
    let (all, side) = (scored.len(), scored_on.as_str());
    if then.is_exactly(&theirs) {
        let problem = format!(
            "was trained on {seen} of the {all} {side} images that this run is scored on; choose what its run had \
             (data.protocol = \"{}\", data.validation = {}, data.seed = {}{}), or begin with something else",
            then.protocol,
            f64::from(then.validation),
            then.seed,
            if then.limit == experiment.data.limit { "" } else { ", and its data.limit" },
        );
        return Err(wrong(experiment, field, problem));
    }
    let message = format!(
        "{field}: was trained on a data set that is called {}, too; if it had the same images, {seen} of the {all} {side} \
         images that this run is scored on were trained on",
        then.name
    );
    observer.event(&Event::Warning { message });
    Ok(())
}
