use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_mangen::Man;
use flora::core::files::write_atomic;
use flora::core::text;

use crate::Cli;
use crate::failure::Failure;
use crate::output::{self, Overwrite};

/// Write flora's manual pages: flora.1 and one for each command
#[derive(Debug, clap::Args)]
pub(crate) struct Manual {
    /// The output folder, for example ~/.local/share/man/man1
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    overwrite: Overwrite,
}

impl Manual {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut pages = Vec::new();
        let mut command = Cli::command();
        command.build();
        collect(command, &mut pages)?;
        for (name, _) in &pages {
            self.overwrite.check("--out", &self.out.join(name), &["1"])?;
        }
        for (name, page) in &pages {
            let path = self.out.join(name);
            write_atomic(&path, page).map_err(|error| {
                Failure::Input(format!("cannot write {}: {error}", text::path(&path)))
            })?;
        }
        output::line(format!("{} pages in {}", pages.len(), text::path(Path::new(&self.out))));
        Ok(())
    }
}

/// Collects the page of a command and those of its sub-commands, each with its file name.
fn collect(command: clap::Command, pages: &mut Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
    if command.is_hide_set() || command.get_name() == "help" {
        return Ok(());
    }
    for below in command.get_subcommands() {
        collect(below.clone(), pages)?;
    }
    let man = Man::new(command);
    let mut page = Vec::new();
    man.render(&mut page).map_err(Failure::run)?;
    pages.push((man.get_filename(), page));
    Ok(())
}
