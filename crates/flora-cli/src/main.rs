//! The `flora` program: arguments, progress and exit codes around the `flora` crates.

mod bar;
mod commands;
mod device;
mod failure;
mod output;
mod program;
mod progress;
#[cfg(feature = "examples")]
mod shipped;
mod signals;
mod version;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use flora::core::text::is_control;

use crate::failure::Failure;

/// Reuses the memory of large tensors.
#[global_allocator]
static MEMORY: flora::kernels::memory::Recycler = flora::kernels::memory::Recycler::new();

/// Federated fine-tuning of CLIP with LoRA, in pure Rust on burn
#[derive(Debug, Parser)]
#[command(name = "flora", version = version::short(), long_version = version::long())]
#[command(max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(commands::init::Init),
    Run(commands::run::Run),
    #[cfg(feature = "flower")]
    Serve(commands::serve::Serve),
    #[cfg(feature = "flower")]
    Node(commands::node::Node),
    #[cfg(feature = "flower")]
    Doctor(commands::doctor::Doctor),
    Sweep(commands::sweep::Sweep),
    Runs(commands::runs::Runs),
    Report(commands::report::Report),
    Watch(commands::watch::Watch),
    Presets(commands::presets::Presets),
    Datasets(commands::datasets::Datasets),
    Devices(commands::devices::Devices),
    Partition(commands::partition::Partition),
    Privacy(commands::privacy::Privacy),
    Classify(commands::classify::Classify),
    Embed(commands::embed::Embed),
    Eval(commands::eval::Eval),
    Retrieve(commands::retrieve::Retrieve),
    Export(commands::export::Export),
    Pretrain(commands::pretrain::Pretrain),
    Bench(commands::bench::Bench),
    Completions(commands::completions::Completions),
    Man(commands::man::Manual),
    #[command(name = device::TRY, hide = true)]
    TryDevice(commands::try_device::TryDevice),
}

fn main() -> ExitCode {
    #[cfg(feature = "examples")]
    flora::hub::set_shipped(shipped::folder);
    let command = match Cli::try_parse() {
        Ok(arguments) => arguments.command,
        Err(error) => return refuse(&error),
    };
    let result = match command {
        Command::Init(command) => command.run(),
        Command::Run(command) => command.run(),
        #[cfg(feature = "flower")]
        Command::Serve(command) => command.run(),
        #[cfg(feature = "flower")]
        Command::Node(command) => command.run(),
        #[cfg(feature = "flower")]
        Command::Doctor(command) => command.run(),
        Command::Sweep(command) => command.run(),
        Command::Runs(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Watch(command) => command.run(),
        Command::Presets(command) => command.run(),
        Command::Datasets(command) => command.run(),
        Command::Devices(command) => command.run(),
        Command::Partition(command) => command.run(),
        Command::Privacy(command) => command.run(),
        Command::Classify(command) => command.run(),
        Command::Embed(command) => command.run(),
        Command::Eval(command) => command.run(),
        Command::Retrieve(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Pretrain(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
        Command::TryDevice(command) => command.run(),
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

/// Prints clap's output: help, version, or an error in the arguments.
fn refuse(error: &clap::Error) -> ExitCode {
    // A file name may look like an option, and contain any characters.
    let mut arguments = std::env::args_os();
    if arguments.any(|argument| argument.to_string_lossy().contains(is_control)) {
        let text = error.to_string();
        return Failure::input(text.strip_prefix("error: ").unwrap_or(&text)).report();
    }
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
