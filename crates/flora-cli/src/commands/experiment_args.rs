use std::path::Path;

use flora::tuning::{Experiment, PRESETS, Preset};

use crate::failure::Failure;

/// Which experiment, and what to change in it.
#[derive(Debug, clap::Args)]
pub(crate) struct ExperimentArgs {
    /// A preset (see `flora presets`) or an experiment's file
    #[arg(value_name = "NAME|FILE.toml")]
    experiment: String,
    /// Change a value of the experiment, for example training.rounds=5; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    assignments: Vec<String>,
}

impl ExperimentArgs {
    pub(crate) fn resolve(&self) -> Result<Experiment, Failure> {
        let path = Path::new(&self.experiment);
        let is_file = path.extension().is_some_and(|extension| extension == "toml");
        if let Some(preset) = Preset::find(&self.experiment).filter(|_| !is_file) {
            return preset.experiment(&self.assignments).map_err(Failure::input);
        }
        if is_file {
            return Experiment::from_file(path, &self.assignments).map_err(Failure::input);
        }
        let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
        Err(Failure::Input(format!(
            "{}: no such preset; choose one of {}, or name a file that ends in .toml",
            self.experiment,
            names.join(", ")
        )))
    }
}
