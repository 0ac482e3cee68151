use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::Cli;
use crate::failure::Failure;
use crate::output;

/// Print a shell completion script for flora's commands and options
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Where shells look for it:
  bash  flora completions bash > ~/.local/share/bash-completion/completions/flora
  zsh   flora completions zsh > _flora    in a folder of $fpath
  fish  flora completions fish > ~/.config/fish/completions/flora.fish
  PowerShell, elvish: load the output in the shell's profile")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut command: Command = Cli::command();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "flora", &mut script);
        output::script(&String::from_utf8(script).map_err(Failure::run)?);
        Ok(())
    }
}
