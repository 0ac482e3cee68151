use flora::tuning::{PRESETS, Preset};

use crate::failure::Failure;
use crate::output;

/// List the experiments that ship with flora
#[derive(Debug, clap::Args)]
pub(crate) struct Presets {
    /// Print the TOML file of this preset, as a starting point for your own experiment
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

impl Presets {
    pub(crate) fn run(self) -> Result<(), Failure> {
        if let Some(name) = self.name {
            let preset = Preset::find(&name).ok_or_else(|| {
                let names = PRESETS.map(|preset| preset.name).join(", ");
                Failure::Input(format!("{name}: no such preset; choose one of {names}"))
            })?;
            output::script(preset.toml);
            return Ok(());
        }
        let mut rows = Vec::new();
        for preset in PRESETS {
            rows.push([preset.name.to_owned(), preset.description()]);
        }
        output::table(["preset", "description"], rows);
        output::line("\n`flora presets NAME` prints its file; `flora run NAME` runs it.");
        Ok(())
    }
}
