use std::path::{Path, PathBuf};

use clap::ValueEnum;
use flora::data::{Dataset, Split};

use crate::failure::Failure;
use crate::output;

/// Which labelled images.
#[derive(Debug, clap::Args)]
pub(crate) struct DatasetArgs {
    /// The data set: a TOML description, a folder with a sub-folder of images for each class, or the
    /// name of one that `flora datasets` lists
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Where the images lie, instead of where the description says
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Which images: by default the test images, or all where the data set comes without a split
    #[arg(long)]
    split: Option<SplitArg>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SplitArg {
    Train,
    Test,
    All,
}

impl DatasetArgs {
    /// The images that were asked for; at least one.
    pub(crate) fn open(&self) -> Result<Dataset, Failure> {
        let wrong = |error: &dyn std::fmt::Display| Failure::Input(format!("--data: {error}"));
        let path = find(&self.data).map_err(|error| {
            wrong(&format!("{error} (`flora datasets` lists those that have a name)"))
        })?;
        let dataset = Dataset::open(&path, self.root.as_deref()).map_err(|error| wrong(&error))?;
        if let Some(others) = dataset.passed_over().warning() {
            output::warning(&format!("{}: {others}", dataset.name()));
        }
        let otherwise = if dataset.has_official_split() { SplitArg::Test } else { SplitArg::All };
        let dataset = match self.split.unwrap_or(otherwise) {
            SplitArg::Train => dataset.only(Split::Train),
            SplitArg::Test => dataset.only(Split::Test),
            SplitArg::All => dataset,
        };
        if dataset.is_empty() {
            let problem = format!("{} has no such images; try --split all", dataset.name());
            return Err(Failure::Input(format!("--split: {problem}")));
        }
        Ok(dataset)
    }
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
