use flora::tuning::{PRESETS, Preset};

use crate::failure::Failure;
use crate::output;

/// List the experiments that ship with flora
#[derive(Debug, clap::Args)]
pub(crate) struct Presets {
    /// Print this preset's TOML file, to start an experiment of your own from
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
        output::table(["preset", "what it does"], rows);
        output::line("\n`flora presets NAME` prints one as a file; `flora run NAME` runs it.");
        Ok(())
    }
}
