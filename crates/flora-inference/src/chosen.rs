//! Which images of a data set a model is scored on.

use flora_data::{Dataset, Limit, Protocol, Split};

use crate::Provenance;

/// What is asked for; what is left open follows from what the model was trained on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wishes<'a> {
    /// These sides of the split.
    pub splits: Option<&'a [Split]>,
    /// How the data set is split.
    pub protocol: Option<Protocol>,
    /// How many images of each side, chosen at random.
    pub limit: Option<Limit>,
}

/// The images that were chosen.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// They alone.
    pub dataset: Dataset,
    /// The sides of the split that they are of.
    pub splits: Vec<Split>,
    /// How the data set was split; `None` where it was not.
    pub protocol: Option<Protocol>,
    /// What is to be known of them beside a score, such as that the model may have been trained on some.
    pub notes: Vec<String>,
}

/// Chooses images of `dataset` for a model of this provenance. Of the very images that it was trained on these are the
/// ones that its run held out, of other data sets the test images, or all where there is no split. `is_trained` says whether
/// somebody trained it, if it has no provenance.
pub fn choose(
    dataset: Dataset,
    provenance: Option<&Provenance>,
    is_trained: bool,
    wishes: Wishes<'_>,
) -> Chosen {
    let mut notes = Vec::new();
    let trained_on = provenance.map(|it| &it.data);
    // A name says little: folders are often called alike.
    let named = trained_on.filter(|it| it.name == dataset.name());
    let theirs = named.map(|it| (it, it.split(dataset.clone())));
    let theirs = theirs.filter(|(it, split)| it.is_exactly(split));
    let classes = dataset.classes().to_vec();
    let whole = dataset.clone();
    let (chosen, protocol) = match (&theirs, wishes.protocol) {
        (Some((it, split)), None) => (split.clone(), Some(it.protocol)),
        (_, Some(protocol)) => (dataset.with_protocol(protocol), Some(protocol)),
        (None, None) if dataset.has_official_split() => (dataset, Some(Protocol::Official)),
        (None, None) => (dataset, None),
    };
    let splits = match (wishes.splits, protocol) {
        (Some(splits), _) => splits.to_vec(),
        (None, Some(_)) => vec![Split::Test],
        (None, None) => Split::ALL.to_vec(),
    };
    let chosen = match (wishes.limit, &theirs, protocol) {
        (None, _, _) => chosen,
        // In the place of the run's own limit.
        (Some(limit), Some((it, _)), Some(protocol)) => whole
            .with_protocol(protocol)
            .limit(limit, it.seed)
            .with_validation(it.validation, it.seed),
        (Some(limit), _, _) => chosen.limit(limit, 0),
    };
    let trains = provenance.is_some_and(Provenance::trains);
    match (&theirs, trained_on) {
        _ if provenance.is_some() && !trains => {}
        (Some((it, _)), _) if protocol != Some(it.protocol) => {
            notes.push(format!(
                "it was trained on images of this data set, split by {}; split otherwise, some of these were among them",
                it.protocol
            ));
        }
        (Some(_), _) if splits.contains(&Split::Train) => {
            notes.push("it was trained on the training images among these".to_owned());
        }
        (Some(_), _) if splits.contains(&Split::Validation) && wishes.limit.is_some() => {
            notes.push("with another limit, some of these validation images were trained on".to_owned());
        }
        (Some(_), _) => {}
        (None, Some(it)) if named.is_some() => notes.push(format!(
            "it was trained on a data set that is called {}, too, and had other images; whether some of these were among \
             them is not known",
            it.name
        )),
        (None, Some(it)) => notes.push(format!(
            "it was trained on {} ({}); whether some of these images were among those is not known",
            it.name, it.protocol
        )),
        (None, None) if is_trained => notes.push(
            "what it was trained on is not known: some of these images may have been among that"
                .to_owned(),
        ),
        (None, None) => {}
    }
    if let Some(others) = provenance.filter(|it| trains && it.classes != classes) {
        notes.push(format!(
            "it was trained on other classes ({}) than these ({})",
            some(&others.classes),
            some(&classes)
        ));
    }
    if classes.len() == 1 {
        notes.push("there is one class, and nothing to tell it from".to_owned());
    }
    let chosen = match splits[..] {
        [one] => chosen.only(one),
        _ => chosen,
    };
    Chosen { dataset: chosen, splits, protocol, notes }
}

/// The first few names.
fn some(classes: &[String]) -> String {
    const FEW: usize = 3;
    let more = if classes.len() > FEW { ", …" } else { "" };
    format!("{}{more}", classes[..classes.len().min(FEW)].join(", "))
}
