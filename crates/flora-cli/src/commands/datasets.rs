use std::path::{Path, PathBuf};

use flora::core::text::{self, printable};
use flora::core::workers::Workers;
use flora::data::{Dataset, Inspection, Split, inspect};
use flora::inference::unusable_images;

use super::dataset_args::find;
use crate::failure::Failure;
use crate::{bar, output};

/// List the known data sets, and whether their images are present
#[derive(Debug, clap::Args)]
pub(crate) struct Datasets {
    #[command(subcommand)]
    action: Option<Action>,
    /// Folder of the descriptions
    #[arg(long, value_name = "DIR", default_value = "datasets")]
    folder: PathBuf,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Check whether a data set is complete, and where to get missing parts
    Check {
        /// A description, a folder of images, or the name of a listed data set
        path: PathBuf,
        /// Folder of the images, instead of the one in the description
        #[arg(long, value_name = "DIR")]
        root: Option<PathBuf>,
        /// Decode every image, and name all that cannot be read
        #[arg(long)]
        decode: bool,
    },
}

impl Datasets {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match &self.action {
            None => list(&self.folder),
            Some(Action::Check { path, root, decode }) => {
                let path = find(path).map_err(|error| {
                    let hint = "`flora datasets` lists the known names";
                    Failure::Input(format!("{error} ({hint})"))
                })?;
                check(inspect(&path, root.as_deref()).map_err(Failure::input)?, *decode)
            }
        }
    }
}

fn list(folder: &Path) -> Result<(), Failure> {
    let folder = flora::hub::find(folder).map_err(Failure::input)?;
    let mut found = descriptions(&folder)
        .map_err(|error| Failure::Input(format!("{}: {error}", folder.display())))?;
    found.sort();
    let mut rows = Vec::new();
    let mut absent = Vec::new();
    let mut unusable = Vec::new();
    for path in found {
        match inspect(&path, None) {
            Ok(inspection) if inspection.is_absent() => {
                let place = inspection.homepage.or(inspection.how);
                absent.push([inspection.name, place.unwrap_or_default()]);
            }
            Ok(Inspection { dataset: Ok(dataset), .. }) => rows.push(row(&dataset)),
            Ok(Inspection { dataset: Err(error), .. }) | Err(error) => {
                unusable.push(error.to_string());
            }
        }
    }
    let header = ["data set", "classes", "domains", "train", "test", "licence"];
    output::table(header, rows);
    if !absent.is_empty() {
        output::line("");
        output::table(["missing", "where to get it"], absent);
        output::line("\n`flora datasets check NAME` says how to get it.");
    }
    for problem in unusable {
        output::line(format!("not usable: {}", printable(&problem)));
    }
    Ok(())
}

fn row(dataset: &Dataset) -> [String; 6] {
    [
        dataset.name().to_owned(),
        dataset.classes().len().to_string(),
        dataset.domains().len().to_string(),
        dataset.indices(Split::Train).len().to_string(),
        dataset.indices(Split::Test).len().to_string(),
        dataset.license().to_owned(),
    ]
}

fn check(inspection: Inspection, decode: bool) -> Result<(), Failure> {
    let head = format!("{}: {}", inspection.name, inspection.title);
    output::line(printable(&head));
    output::line(format!("licence: {}", printable(&inspection.license)));
    output::line(format!("source:  {}", printable(&inspection.source)));
    if let Some(homepage) = &inspection.homepage {
        output::line(format!("page:    {}", printable(homepage)));
    }
    for part in &inspection.parts {
        let state = if part.here { "found:  " } else { "missing:" };
        output::line(format!("{state} {}", text::path(&part.path)));
    }
    match inspection.dataset {
        Ok(set) => {
            let split = |split| set.indices(split).len();
            let official = match set.has_official_split() {
                true => "the official split",
                false => {
                    "a random split, because it has none of its own; data.protocol of an experiment sets how it is \
                     split there"
                }
            };
            output::line(format!(
                "total:   {} classes, {} training and {} test images ({official})",
                set.classes().len(),
                split(Split::Train),
                split(Split::Test)
            ));
            let others = set.passed_over();
            if !others.is_empty() {
                output::line(format!("passed over: {others}"));
            }
            if let Some(groups) = set.count_groups(&Split::ALL) {
                output::line(format!(
                    "groups:  {groups}, of images with related file names; data.validation holds out whole groups"
                ));
            }
            let texts = if set.has_texts() { check_texts(&set) } else { Ok(()) };
            let images = if decode {
                check_images(&set)
            } else if set.file(0).is_none() {
                Ok(())
            } else {
                output::line("images:  not decoded; --decode checks each");
                Ok(())
            };
            images.and(texts)
        }
        Err(error) => {
            output::line(format!("problem: {}", printable(&error.to_string())));
            // Most problem messages contain the remedy already.
            if let Some(how) = inspection.how.filter(|how| !error.to_string().contains(how)) {
                output::line(format!("to get it: {}", printable(&how)));
            }
            Err(Failure::Input(format!("{} is incomplete", inspection.name)))
        }
    }
}

/// Reports the number of texts.
fn check_texts(set: &Dataset) -> Result<(), Failure> {
    match set.texts() {
        Ok(texts) => {
            let (with, all) = (texts.images(), set.len());
            let count = texts.texts.len();
            output::line(format!("texts:   {count}; {with} of the {all} images have at least one"));
            Ok(())
        }
        Err(error) => {
            output::line(format!("problem: {}", printable(&error.to_string())));
            Err(Failure::Input(format!("the texts of {} cannot be used", set.name())))
        }
    }
}

/// Decodes every image, and names each that cannot be read.
fn check_images(set: &Dataset) -> Result<(), Failure> {
    let workers = Workers::new(0).map_err(Failure::run)?;
    let bar = bar::steps("images", set.len());
    let problems = unusable_images(set, None, &workers, &mut |done, _| {
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    for problem in &problems {
        output::line(format!("problem: {}", printable(&problem.to_string())));
    }
    match problems.len() {
        0 => {
            output::line(format!("images:  all {} can be decoded", set.len()));
            Ok(())
        }
        count => {
            let (all, remedy) = (set.len(), "repair, convert or remove these files");
            Err(Failure::Input(format!("{count} of {all} images cannot be read; {remedy}")))
        }
    }
}

/// The TOML files in the folder and in its direct sub-folders.
fn descriptions(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    for folder in folders {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                found.push(path);
            }
        }
    }
    Ok(found)
}
