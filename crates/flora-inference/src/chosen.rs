//! Selection of the images of a data set on which a model is scored.

use flora_data::{Dataset, Limit, Protocol, Split};

use crate::Provenance;

/// The requested selection; open values follow from the model's training.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wishes<'a> {
    /// The sides of the split.
    pub splits: Option<&'a [Split]>,
    /// How the data set is split.
    pub protocol: Option<Protocol>,
    /// The number of images of each side, chosen at random.
    pub limit: Option<Limit>,
}

/// The selected images.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The selected images.
    pub dataset: Dataset,
    /// Their sides of the split.
    pub splits: Vec<Split>,
    /// How the data set was split; `None` if it was not.
    pub protocol: Option<Protocol>,
    /// Notes to show beside a score, for example that the model may have been trained on some of these images.
    pub notes: Vec<String>,
}

/// Selects images of `dataset` for a model with this provenance. If the model was trained on the same data set, these
/// are the images that its run held out; of other data sets, the test images, or all images without a split.
/// `is_trained` says whether the model was trained, if it has no provenance.
pub fn choose(
    dataset: Dataset,
    provenance: Option<&Provenance>,
    is_trained: bool,
    wishes: Wishes<'_>,
) -> Chosen {
    let mut notes = Vec::new();
    let trained_on = provenance.map(|it| &it.data);
    // A name is weak evidence: folders often have the same name.
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
        // In place of the run's own limit.
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
            "it was trained on a data set with the same name, {}, but other images; whether some of these were \
             among them is not known",
            it.name
        )),
        (None, Some(it)) => notes.push(format!(
            "it was trained on {} ({}); whether some of these images were among those is not known",
            it.name, it.protocol
        )),
        (None, None) if is_trained => notes.push(
            "its training images are not known: some of these images may have been among them"
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
        notes.push("there is only one class".to_owned());
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
