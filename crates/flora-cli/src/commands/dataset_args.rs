use std::path::{Path, PathBuf};

use clap::ValueEnum;
use flora::data::{Dataset, Limit, Protocol, Split};
use flora::inference::{Chosen, Wishes, choose};

use super::model_args::Loaded;
use crate::failure::Failure;
use crate::output;

/// Selection of labelled images.
#[derive(Debug, clap::Args)]
pub(crate) struct DatasetArgs {
    /// The data set: a TOML description, a folder with one sub-folder of images per class, or a name listed by `flora
    /// datasets`
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Folder of the images, instead of the one in the description
    #[arg(long, value_name = "DIR", requires = "data")]
    root: Option<PathBuf>,
    /// Which images to use [default: the test images, or all if the data set has no split and the model was not trained
    /// on it]
    #[arg(long)]
    split: Option<SplitArg>,
    /// How to split the data set, as data.protocol in an experiment [default: as in the adapter's run, or official]
    #[arg(long, requires = "data")]
    protocol: Option<Protocol>,
    /// Maximum number of images of each side of the split, chosen as by data.limit: N, or train=N,test=M
    #[arg(long, value_name = "N", value_parser = limit, requires = "data")]
    limit: Option<Limit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SplitArg {
    Train,
    /// The images that data.validation of a run's experiment held out from training
    Validation,
    Test,
    All,
}

impl SplitArg {
    /// The splits that it includes.
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

    /// The selected images for this model; at least one.
    pub(crate) fn open(&self, loaded: &Loaded) -> Result<Chosen, Failure> {
        let wrong = |error: &dyn std::fmt::Display| Failure::Input(format!("--data: {error}"));
        let data = self.data.as_deref().ok_or_else(|| {
            wrong(&"name the labelled images (with --run DIR, you can leave out all of these options)")
        })?;
        let path = find(data)
            .map_err(|error| wrong(&format!("{error} (`flora datasets` lists the known names)")))?;
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

/// The kind of the splits, as a word before "images".
pub(crate) fn word(splits: &[Split]) -> &'static str {
    match splits {
        [Split::Train] => "training",
        [Split::Validation] => "validation",
        [Split::Test] => "test",
        _ => "all",
    }
}

/// Parses `100`, or `train=100,test=20`.
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

/// The path of a data set, given by path or by a known name.
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
