use std::path::{Path, PathBuf};

use clap::ValueEnum;
use flora::data::{Dataset, Limit, Protocol, Split};
use flora::inference::{Provenance, TrainedOn};

use crate::failure::Failure;
use crate::output;

/// Which labelled images.
#[derive(Debug, clap::Args)]
pub(crate) struct DatasetArgs {
    /// The data set: a TOML description, a folder with a sub-folder of images for each class, or the
    /// name of one that `flora datasets` lists
    #[arg(long, value_name = "PATH", required_unless_present = "run")]
    data: Option<PathBuf>,
    /// Where the images lie, instead of where the description says
    #[arg(long, value_name = "DIR", requires = "data")]
    root: Option<PathBuf>,
    /// Which images: by default the test images, or all where the data set comes without a split and nothing was
    /// trained on it
    #[arg(long)]
    split: Option<SplitArg>,
    /// How they are split, as data.protocol in an experiment [default: as the adapter's run did, or official]
    #[arg(long, requires = "data")]
    protocol: Option<Protocol>,
    /// At most so many images of each side of the split, chosen as data.limit does: N, or train=N,test=M
    #[arg(long, value_name = "N", value_parser = limit, requires = "data")]
    limit: Option<Limit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SplitArg {
    Train,
    /// What data.validation of a run's experiment holds out of its training images
    Validation,
    Test,
    All,
}

impl SplitArg {
    /// The sides that it stands for.
    pub(crate) fn splits(self) -> &'static [Split] {
        match self {
            Self::Train => &[Split::Train],
            Self::Validation => &[Split::Validation],
            Self::Test => &[Split::Test],
            Self::All => &Split::ALL,
        }
    }

    /// As a word before "images".
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::Validation => "validation",
            Self::Test => "test",
            Self::All => "all",
        }
    }
}

/// The images that were asked for, and how they were chosen.
pub(crate) struct Chosen {
    pub(crate) dataset: Dataset,
    pub(crate) split: SplitArg,
    pub(crate) protocol: Protocol,
    /// Why a model may have been trained on some of them.
    pub(crate) doubt: Option<String>,
}

impl DatasetArgs {
    pub(crate) fn is_given(&self) -> bool {
        self.data.is_some()
    }

    pub(crate) fn split(&self) -> Option<SplitArg> {
        self.split
    }

    /// The images that were asked for; at least one. Those that a model of this provenance was not trained on, where
    /// that is known. `is_trained` says whether the model was trained by somebody.
    pub(crate) fn open(
        &self,
        provenance: Option<&Provenance>,
        is_trained: bool,
    ) -> Result<Chosen, Failure> {
        let wrong = |error: &dyn std::fmt::Display| Failure::Input(format!("--data: {error}"));
        let data = self.data.as_deref().ok_or_else(|| wrong(&"name the labelled images"))?;
        let path = find(data).map_err(|error| {
            wrong(&format!("{error} (`flora datasets` lists those that have a name)"))
        })?;
        let dataset = Dataset::open(&path, self.root.as_deref()).map_err(|error| wrong(&error))?;
        if let Some(others) = dataset.passed_over().warning() {
            output::warning(&format!("{}: {others}", dataset.name()));
        }
        let trained_on = provenance.map(|it| &it.data).filter(|it| it.is_of(&dataset));
        let theirs = trained_on.map(|it| it.protocol);
        let protocol = self.protocol.or(theirs).unwrap_or(Protocol::Official);
        let has_split = protocol != Protocol::Official || dataset.has_official_split();
        let mut dataset = dataset.with_protocol(protocol);
        let limit = self.limit.or(trained_on.and_then(|it| it.limit));
        if let Some(limit) = limit {
            dataset = dataset.limit(limit, trained_on.map_or(0, |it| it.seed));
        }
        if let Some(TrainedOn { validation, seed, .. }) = trained_on {
            dataset = dataset.with_validation(*validation, *seed);
        }
        let otherwise = match has_split || trained_on.is_some() {
            true => SplitArg::Test,
            false => SplitArg::All,
        };
        let split = self.split.unwrap_or(otherwise);
        let dataset = match split.splits() {
            [one] => dataset.only(*one),
            _ => dataset,
        };
        if dataset.is_empty() {
            let problem = format!("{} has no such images; try --split all", dataset.name());
            return Err(Failure::Input(format!("--split: {problem}")));
        }
        let doubt = match (trained_on, theirs) {
            (Some(_), Some(theirs)) if theirs != protocol => Some(format!(
                "it was trained on images of this data set, split by {theirs}; split by {protocol}, some of these were \
                 among them"
            )),
            (Some(_), _) if split.splits().contains(&Split::Train) => {
                Some("it was trained on the training images among these".to_owned())
            }
            (Some(_), _) => None,
            (None, _) => match provenance {
                Some(it) => Some(format!(
                    "it was trained on {} ({}); whether images of these were among those is not known",
                    it.data.name, it.data.protocol
                )),
                None if is_trained => Some(
                    "what it was trained on is not known: some of these images may have been among that"
                        .to_owned(),
                ),
                None => None,
            },
        };
        Ok(Chosen { dataset, split, protocol, doubt })
    }
}

/// `100`, or `train=100,test=20`.
fn limit(text: &str) -> Result<Limit, String> {
    let number = |text: &str| {
        let parsed = text.trim().parse::<usize>();
        parsed.map_err(|_| "expected a whole number, or train=N,test=M".to_owned())
    };
    if !text.contains('=') {
        let most = Some(number(text)?);
        return Ok(Limit { train: most, test: most });
    }
    let mut limit = Limit::default();
    for part in text.split(',') {
        match part.split_once('=').map(|(side, most)| (side.trim(), most)) {
            Some(("train", most)) => limit.train = Some(number(most)?),
            Some(("test", most)) => limit.test = Some(number(most)?),
            _ => return Err("expected a whole number, or train=N,test=M".to_owned()),
        }
    }
    Ok(limit)
}

/// A path, or the name of a data set that flora describes.
pub(crate) fn find(data: &Path) -> Result<PathBuf, flora::hub::HubError> {
    let found = flora::hub::find(data);
    if found.is_ok() {
        return found;
    }
    let named = Path::new("datasets").join(data);
    flora::hub::find(&named)
        .or_else(|_| flora::hub::find(&named.with_added_extension("toml")))
        .or(found)
}
