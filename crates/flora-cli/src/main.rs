//! The `flora` program: arguments, progress and exit codes around the `flora` crates.

mod bar;
mod commands;
mod failure;
mod output;
mod progress;
mod signals;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// Keeps the blocks of large tensors for the next ones.
#[global_allocator]
static MEMORY: flora::kernels::memory::Recycler = flora::kernels::memory::Recycler::new();

/// Federated fine-tuning of CLIP with LoRA, in pure Rust on burn
#[derive(Debug, Parser)]
#[command(name = "flora", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(commands::init::Init),
    Run(commands::run::Run),
    Sweep(commands::sweep::Sweep),
    Runs(commands::runs::Runs),
    Presets(commands::presets::Presets),
    Datasets(commands::datasets::Datasets),
    Partition(commands::partition::Partition),
    Classify(commands::classify::Classify),
    Embed(commands::embed::Embed),
    Eval(commands::eval::Eval),
    Retrieve(commands::retrieve::Retrieve),
    Export(commands::export::Export),
    Pretrain(commands::pretrain::Pretrain),
    Bench(commands::bench::Bench),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Init(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Sweep(command) => command.run(),
        Command::Runs(command) => command.run(),
        Command::Presets(command) => command.run(),
        Command::Datasets(command) => command.run(),
        Command::Partition(command) => command.run(),
        Command::Classify(command) => command.run(),
        Command::Embed(command) => command.run(),
        Command::Eval(command) => command.run(),
        Command::Retrieve(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Pretrain(command) => command.run(),
        Command::Bench(command) => command.run(),
    };
    match result {
        Ok(()) => match output::lost() {
            None => ExitCode::SUCCESS,
            Some(error) => {
                Failure::Run(format!("cannot write to standard output: {error}")).report()
            }
        },
        Err(failure) => failure.report(),
    }
}
