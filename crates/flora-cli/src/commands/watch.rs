use std::path::{Path, PathBuf};

use flora::report::page;
use flora::report::runs::resolve;

use crate::failure::Failure;
use crate::output;
use crate::signals::Signals;

/// Show the page of `flora report` in a browser on this machine, and follow a run in progress
///
/// The page is served on 127.0.0.1 only, at an address with a random token, and updates whenever the run writes
/// something. Ctrl-C ends it.
#[derive(Debug, clap::Args)]
pub(crate) struct Watch {
    /// Run folders or names below runs/, or the folder of one sweep
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
    /// The port; 0 for any that is free
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
}

impl Watch {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let folders = folders(&self.folders);
        let signals = Signals::hear()?;
        let started =
            |url: &str| output::line(format!("open {url} in a browser; Ctrl-C ends this"));
        page::serve(&folders, self.port, started, || signals.came()).map_err(Failure::input)
    }
}

/// Folders by their names: those of runs as `flora runs compare` takes them, others as they are.
pub(super) fn folders(names: &[PathBuf]) -> Vec<PathBuf> {
    let folder = |name: &PathBuf| match resolve(name) {
        Ok(path) => path,
        // A sweep below runs/, or something that the page's own error is about.
        Err(_) if !name.is_dir() && Path::new("runs").join(name).is_dir() => {
            Path::new("runs").join(name)
        }
        Err(_) => name.clone(),
    };
    names.iter().map(folder).collect()
}
