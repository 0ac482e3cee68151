use std::path::{Path, PathBuf};

use clap::ValueEnum;
use flora::data::{Dataset, Limit, Protocol, Split};
use flora::inference::{Chosen, Wishes, choose};

use super::model_args::Loaded;
use crate::failure::Failure;
use crate::output;

/// Which labelled images.
#[derive(Debug, clap::Args)]
pub(crate) struct DatasetArgs {
    /// The data set: a TOML description, a folder with a sub-folder of images for each class, or the
    /// name of one that `flora datasets` lists
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Where the images lie, instead of where the description says
    #[arg(long, value_name = "DIR", requires = "data")]
    root: Option<PathBuf>,
    /// Which images: by default the test images, or all where the data set comes without a split and the model was
    /// not trained on it
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
}

impl DatasetArgs {
    pub(crate) fn is_given(&self) -> bool {
        self.data.is_some()
    }

    pub(crate) fn split(&self) -> Option<SplitArg> {
        self.split
    }

    /// The images that were asked for, for this model; at least one.
    pub(crate) fn open(&self, loaded: &Loaded) -> Result<Chosen, Failure> {
        let wrong = |error: &dyn std::fmt::Display| Failure::Input(format!("--data: {error}"));
        let data = self.data.as_deref().ok_or_else(|| {
            wrong(&"name the labelled images (or with --run DIR, leave out all of these options)")
        })?;
        let path = find(data).map_err(|error| {
            wrong(&format!("{error} (`flora datasets` lists those that have a name)"))
        })?;
        let dataset = Dataset::open(&path, self.root.as_deref()).map_err(|error| wrong(&error))?;
        if let Some(others) = dataset.passed_over().warning() {
            output::warning(&format!("{}: {others}", dataset.name()));
        }
        let wishes = Wishes {
            splits: self.split.map(SplitArg::splits),
            protocol: self.protocol,
            limit: self.limit,
        };
        let is_trained = loaded.model.adapter.is_some();
        let chosen = choose(dataset, loaded.provenance(), is_trained, wishes);
        if chosen.dataset.is_empty() {
            let problem = format!("{} has no such images; try --split all", chosen.dataset.name());
            return Err(Failure::Input(format!("--split: {problem}")));
        }
        Ok(chosen)
    }
}

/// Sides of a split, as a word before "images".
pub(crate) fn word(splits: &[Split]) -> &'static str {
    match splits {
        [Split::Train] => "training",
        [Split::Validation] => "validation",
        [Split::Test] => "test",
        _ => "all",
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
