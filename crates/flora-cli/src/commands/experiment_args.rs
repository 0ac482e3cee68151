use std::path::Path;

use flora::core::shell::quoted;
use flora::report::is_run;
use flora::tuning::{Experiment, Preset};

use crate::failure::Failure;

/// The experiment and changes to it.
#[derive(Debug, clap::Args)]
pub(crate) struct ExperimentArgs {
    /// A preset (see `flora presets`) or an experiment file; - reads it from standard input
    #[arg(value_name = "NAME|FILE.toml")]
    experiment: String,
    /// Change a value of the experiment, for example training.rounds=5; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    assignments: Vec<String>,
}

impl ExperimentArgs {
    pub(crate) fn resolve(&self) -> Result<Experiment, Failure> {
        resolve(&self.experiment, &self.assignments)
    }
}

/// The experiment of a preset, of a file or, for `-`, of standard input.
pub(crate) fn resolve(name: &str, assignments: &[String]) -> Result<Experiment, Failure> {
    if name == "-" {
        let text = std::io::read_to_string(std::io::stdin())
            .map_err(|error| Failure::Input(format!("standard input: {error}")))?;
        return Experiment::from_toml("standard input", &text, assignments).map_err(Failure::input);
    }
    let path = Path::new(name);
    if path.is_dir() && Preset::find(name).is_none() {
        let quoted = quoted(path);
        return Err(Failure::Input(match is_run(path) {
            true => {
                format!(
                    "{name} is the folder of a run; resume it with: flora run --resume {quoted}"
                )
            }
            false => format!(
                "{name} is a folder, not an experiment; for an experiment on the images in it: flora init {quoted}"
            ),
        }));
    }
    Experiment::find(name, assignments).map_err(Failure::input)
}
