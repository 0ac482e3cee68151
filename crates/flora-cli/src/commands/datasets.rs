use std::path::{Path, PathBuf};

use flora::data::{Dataset, Split};

use crate::failure::Failure;
use crate::output;

/// List the data sets that flora knows, and whether their images are here
#[derive(Debug, clap::Args)]
pub(crate) struct Datasets {
    /// Where the descriptions lie
    #[arg(long, value_name = "DIR", default_value = "datasets")]
    folder: PathBuf,
}

impl Datasets {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let folder = flora::hub::find(&self.folder).map_err(Failure::input)?;
        let mut found = descriptions(&folder)
            .map_err(|error| Failure::Input(format!("{}: {error}", folder.display())))?;
        found.sort();
        let mut rows = Vec::new();
        let mut missing = Vec::new();
        for path in found {
            match Dataset::open(&path, None) {
                Ok(dataset) => {
                    rows.push([
                        dataset.name().to_owned(),
                        dataset.classes().len().to_string(),
                        dataset.domains().len().to_string(),
                        dataset.indices(Split::Train).len().to_string(),
                        dataset.indices(Split::Test).len().to_string(),
                        dataset.license().to_owned(),
                    ]);
                }
                Err(error) => missing.push(error.to_string()),
            }
        }
        let header = ["data set", "classes", "domains", "train", "test", "licence"];
        output::table(header, rows);
        for problem in missing {
            output::line(format!("not usable: {problem}"));
        }
        Ok(())
    }
}

/// The TOML files in the folder and in the folders directly below it.
fn descriptions(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    for folder in folders {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                found.push(path);
            }
        }
    }
    Ok(found)
}
