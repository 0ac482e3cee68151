//! Writes EmojiVendors as a folder of images.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;

use crate::classes::{CLASSES, TEMPLATE};
use crate::concept::{Concept, Split, concepts};
use crate::emojibase::Emojibase;
use crate::error::{Error, Result};
use crate::labels::labels;
use crate::licences;
use crate::output;
use crate::packages::{EMOJIBASE, ICONIFY, Packages};
use crate::palette::indexed_png;
use crate::render::{on_white, render};
use crate::vendors::{Drawings, HELD_OUT_VENDORS};

/// One line of `metadata.jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    hexcode: &'a str,
    emoji: &'a str,
    label: &'a str,
    tags: &'a [String],
    group: &'a str,
    subgroup: &'a str,
    split: &'a str,
    vendors: Vec<&'a str>,
}

/// How many images were written.
#[derive(Debug)]
pub(crate) struct Summary {
    /// All concepts.
    pub(crate) concepts: usize,
    /// The held-out ones among them.
    pub(crate) held_out: usize,
    /// The names to retrieve from.
    pub(crate) labels: usize,
    /// Vendor, images for training, images for testing, bytes.
    pub(crate) vendors: Vec<(&'static str, usize, usize, usize)>,
}

/// Writes `images/`, `metadata.jsonl`, `labels.jsonl` and `emoji-vendors.toml` under `out`; an older `images/` is
/// replaced as a whole.
///
/// # Errors
///
/// As [`Drawings::read`], [`Error::Render`] for the first drawing that is no SVG, and [`Error::Write`].
pub(crate) fn write(packages: &Packages, out: &Path) -> Result<Summary> {
    let base = Emojibase::read(packages)?;
    let concepts = concepts(&base)?;
    let candidates = labels(&base, &concepts);
    output::create_folder(out)?;
    let partial = out.join(".images.partial");
    remove_folder(&partial)?;

    let versions = (packages.version(ICONIFY), packages.version(EMOJIBASE));
    let mut drawn_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut summary = Summary {
        concepts: concepts.len(),
        held_out: concepts.iter().filter(|concept| concept.split == Split::Test).count(),
        labels: candidates.len(),
        vendors: Vec::new(),
    };
    for vendor in HELD_OUT_VENDORS {
        let drawings =
            Drawings::read(packages, &base, vendor, concepts.iter().map(|concept| &concept.emoji))?;
        let drawn: Vec<(&Concept, &str)> = concepts
            .iter()
            .filter_map(|concept| Some((concept, drawings.name(&concept.emoji.hexcode)?)))
            .collect();
        let folder = partial.join(vendor.prefix);
        let bytes = drawn
            .par_iter()
            .map(|(concept, name)| write_image(&folder, &drawings, concept, name))
            .sum::<Result<usize>>()?;
        output::write(
            &folder.join("LICENSE.txt"),
            licences::text(&vendor, &drawings.set.info, &versions.0).as_bytes(),
        )?;
        for (concept, _) in &drawn {
            drawn_by.entry(&concept.emoji.hexcode).or_default().push(vendor.prefix);
        }
        let test = drawn.iter().filter(|(concept, _)| concept.split == Split::Test).count();
        summary.vendors.push((vendor.prefix, drawn.len() - test, test, bytes));
    }

    output::write(&out.join("metadata.jsonl"), &metadata(&concepts, &drawn_by))?;
    output::write(&out.join("labels.jsonl"), &json_lines(&candidates))?;
    output::write(&out.join("emoji-vendors.toml"), config(concepts.len(), &versions).as_bytes())?;
    let images = out.join("images");
    remove_folder(&images)?;
    fs::rename(&partial, &images).map_err(Error::write(&images))?;
    Ok(summary)
}

fn write_image(folder: &Path, drawings: &Drawings, concept: &Concept, name: &str) -> Result<usize> {
    let failed = |message: String| Error::Render {
        set: drawings.vendor.prefix.to_owned(),
        icon: name.to_owned(),
        message,
    };
    let svg =
        drawings.set.svg(name).ok_or_else(|| failed("it is an alias of nothing".to_owned()))?;
    let image = render(&svg).map_err(failed)?;
    let png = indexed_png(&on_white(&image)).map_err(failed)?;
    let folder = folder.join(concept.split.name()).join(concept.class.folder);
    output::create_folder(&folder)?;
    // The folder above is renamed as a whole, so that no image needs a temporary name of its own.
    let path = folder.join(format!("{}.png", concept.emoji.hexcode));
    fs::write(&path, &png).map_err(Error::write(&path))?;
    Ok(png.len())
}

fn metadata(concepts: &[Concept], drawn_by: &BTreeMap<&str, Vec<&str>>) -> Vec<u8> {
    let lines: Vec<Line<'_>> = concepts
        .iter()
        .map(|concept| Line {
            hexcode: &concept.emoji.hexcode,
            emoji: &concept.emoji.emoji,
            label: &concept.emoji.label,
            tags: &concept.emoji.tags,
            group: &concept.group,
            subgroup: concept.class.folder,
            split: concept.split.name(),
            vendors: drawn_by.get(concept.emoji.hexcode.as_str()).cloned().unwrap_or_default(),
        })
        .collect();
    json_lines(&lines)
}

fn json_lines(lines: &[impl Serialize]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        bytes.extend(
            serde_json::to_vec(line).expect("strings and lists of strings are always JSON"),
        );
        bytes.push(b'\n');
    }
    bytes
}

/// The description that `flora` reads.
fn config(concepts: usize, (iconify, emojibase): &(String, String)) -> String {
    let concepts = format!("{},{:03}", concepts / 1000, concepts % 1000);
    let mut toml = format!(
        "# Written by `flora-icons emoji-vendors`; change the tool, not this file.\n\
         name = \"emoji-vendors\"\n\
         title = \"EmojiVendors: {concepts} Unicode concepts drawn by four vendors\"\n\
         template = \"{TEMPLATE}\"\n\
         license = \"per vendor: openmoji CC-BY-SA-4.0, fluent-emoji-flat and fluent-emoji MIT, fxemoji Apache-2.0; see \
         images/*/LICENSE.txt\"\n\
         source = \"npm packages {ICONIFY} {iconify} and {EMOJIBASE} {emojibase}\"\n\
         # One concept, drawn by several vendors, is called alike.\n\
         group = \"file-stem\"\n\
         \n\
         [layout]\n\
         kind = \"image-folder\"\n\
         pattern = \"images/{{domain}}/{{split}}/{{class}}\"\n\
         \n\
         # What an image is called, and what else it might be.\n\
         [texts]\n\
         file = \"labels.jsonl\"\n\
         key = \"hexcode\"\n\
         text = \"label\"\n"
    );
    for class in CLASSES {
        writeln!(toml, "\n[[classes]]\nfolder = \"{}\"\nname = \"{}\"", class.folder, class.name)
            .expect("writing to a string cannot fail");
    }
    toml
}

fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::write(path)(error))
        }
        _ => Ok(()),
    }
}
