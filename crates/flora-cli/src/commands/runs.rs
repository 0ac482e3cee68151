use std::path::{Path, PathBuf};

use flora::report::runs::{RUNS, list, resolve};
use flora::report::{compare, tables};

use crate::failure::Failure;
use crate::output;

/// List runs with their status and accuracy, or compare some
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Runs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Folders to search for run folders, including subfolders [default: runs]
    #[arg(value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Compare runs: settings that differ, accuracy by round, bytes, seconds, memory
    Compare {
        /// Run folders, or names below runs/
        #[arg(value_name = "RUN", required = true, num_args = 2..)]
        runs: Vec<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Runs {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.action {
            Some(Action::Compare { runs, json }) => side_by_side(&runs, json),
            None => overview(self.folders, self.json),
        }
    }
}

fn overview(mut folders: Vec<PathBuf>, json: bool) -> Result<(), Failure> {
    // Before the first run there is no such folder, which is not an error.
    if folders.is_empty() && Path::new(RUNS).exists() {
        folders.push(RUNS.into());
    }
    let runs = list(&folders).map_err(Failure::input)?;
    if json {
        output::json_lines(&runs)?;
    } else if runs.is_empty() {
        output::line("no runs here; `flora run quickstart` creates one in runs/quickstart");
    } else {
        output::line(tables::runs(&runs, output::page()));
    }
    Ok(())
}

fn side_by_side(runs: &[PathBuf], json: bool) -> Result<(), Failure> {
    let folders: Result<Vec<_>, _> = runs.iter().map(resolve).collect();
    let comparison = compare(&folders.map_err(Failure::input)?).map_err(Failure::input)?;
    if json {
        return output::json_lines(&comparison);
    }
    output::line(tables::comparison(&comparison, output::page()));
    Ok(())
}
