//! Prepares the icon and emoji data sets from two npm packages, offline once these lie in a folder.

mod candidates;
mod classes;
mod concept;
mod dataset;
mod emoji_index;
mod emojibase;
mod error;
mod fxemoji;
mod held_out;
mod iconify;
mod licences;
mod names;
mod output;
mod packages;
mod pairs;
mod palette;
mod render;
mod safetensors;
mod sources;
mod vendors;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::error::Result;
use crate::packages::Packages;

/// Prepares flora's icon and emoji data sets from npm packages, offline once they are installed.
///
/// Fetch the packages first (490 MB on disk, versions pinned):
///
///   npm install --ignore-scripts --no-save --prefix DIR @iconify/json@2.2.535 emojibase-data@17.0.0
///
/// DIR may also be a `node_modules` folder or hold the bare JSON files side by side.
#[derive(Parser)]
#[command(name = "flora-icons", version, verbatim_doc_comment)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the EmojiVendors data set: 39 classes, four vendors, split by concept.
    EmojiVendors(Folders),
    /// Write the pretraining pairs: emoji of other vendors and free icon sets, nothing that is held out.
    Pairs(Folders),
    /// List the files that `pairs` reads, relative to the packages folder, one a line.
    PairsInputs,
}

#[derive(Args)]
struct Folders {
    /// The folder that holds the npm packages.
    #[arg(long, value_name = "DIR")]
    packages: PathBuf,
    /// The folder to write to; it is created if need be.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::EmojiVendors(folders) => {
            let summary = dataset::write(&Packages::new(folders.packages), &folders.out)?;
            println!("{} concepts, {} of them held out", summary.concepts, summary.held_out);
            for (vendor, train, test, bytes) in summary.vendors {
                println!("{vendor:<18} {train:>5} train  {test:>4} test  {bytes:>9} bytes");
            }
        }
        Command::Pairs(folders) => {
            let manifest = pairs::write(&Packages::new(folders.packages), &folders.out)?;
            println!("{} pairs, {} of them for validation", manifest.pairs, manifest.valid);
            for (license, pairs) in manifest.licenses {
                println!("{license:<12} {pairs:>6}");
            }
        }
        Command::PairsInputs => pairs::inputs().for_each(|file| println!("{file}")),
    }
    Ok(())
}
