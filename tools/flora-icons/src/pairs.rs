//! Writes the pretraining pairs.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;

use crate::candidates::{Context, Pair};
use crate::concept::{Split, concepts, md5_number};
use crate::emoji_index::EmojiIndex;
use crate::emojibase::Emojibase;
use crate::error::{Error, Result};
use crate::held_out::HeldOut;
use crate::iconify::IconSet;
use crate::output::{self, Pending};
use crate::packages::{EMOJIBASE, ICONIFY, Packages};
use crate::render::{Rgba, SIZE, coverage, is_black, render};
use crate::safetensors::RowWriter;
use crate::sources::{FREE_LICENCES, SOURCES, Source};

/// An image that covers less than this share of its area shows nothing, for example the first frame of an animation.
const MIN_COVERAGE: f64 = 0.004;
/// Percentage of the pairs for validation.
const VALID_PERCENT: u128 = 1;
/// Images in memory at a time, 16 KiB each.
const CHUNK: usize = 1024;
/// The sets that list code points, whose names help to recognise the emoji of the others.
const NAMED_SETS: [&str; 2] = ["twemoji", "noto"];

/// One line of `pairs.jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    source: &'a str,
    license: &'a str,
    name: &'a str,
    captions: &'a [String],
    mono: bool,
    split: &'a str,
}

/// What `manifest.json` says about one source.
#[derive(Debug, Serialize)]
pub(crate) struct SourceSummary {
    /// The icon set.
    pub(crate) source: &'static str,
    title: String,
    author: String,
    url: String,
    /// SPDX identifier.
    pub(crate) license: String,
    license_url: String,
    /// Pairs written.
    pub(crate) pairs: usize,
    /// Of these, single-colour icons.
    pub(crate) mono: usize,
    /// Icons left out because they are held out.
    pub(crate) forbidden: usize,
    /// Icons left out because nothing can be seen.
    pub(crate) blank: usize,
}

/// `manifest.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Manifest {
    format: &'static str,
    packages: BTreeMap<&'static str, String>,
    image_size: u32,
    /// All pairs.
    pub(crate) pairs: usize,
    /// Of these, for validation.
    pub(crate) valid: usize,
    held_out_concepts: usize,
    /// Pairs by SPDX identifier.
    pub(crate) licenses: BTreeMap<String, usize>,
    /// The sources in the order of the file.
    pub(crate) sources: Vec<SourceSummary>,
}

/// Writes `pairs.safetensors` (`images`, U8, `[N, 64, 64, 4]`, straight RGBA), `pairs.jsonl` (one line per image, in the
/// same order) and `manifest.json` to `out`. At most a thousand images are in memory at a time.
///
/// # Errors
///
/// As [`Packages::read`], [`Error::Licence`] for a set that is not free, [`Error::Render`] for an icon that is no SVG,
/// and [`Error::Write`].
pub(crate) fn write(packages: &Packages, out: &Path) -> Result<Manifest> {
    let base = Emojibase::read(packages)?;
    let concepts = concepts(&base)?;
    let named: Vec<IconSet> =
        NAMED_SETS.iter().map(|prefix| IconSet::read(packages, prefix)).collect::<Result<_>>()?;
    let context = Context {
        base: &base,
        index: EmojiIndex::new(&base, &named.iter().collect::<Vec<_>>()),
        held_out: HeldOut::new(&base, &concepts),
    };
    drop(named);

    output::create_folder(out)?;
    let side = SIZE as usize;
    let mut images = RowWriter::create(&out.join("pairs.safetensors"), "images", &[side, side, 4])?;
    let mut lines = Pending::create(&out.join("pairs.jsonl"))?;
    let mut manifest = Manifest {
        format: "flora-icons pairs 1",
        packages: [ICONIFY, EMOJIBASE].map(|package| (package, packages.version(package))).into(),
        image_size: SIZE,
        pairs: 0,
        valid: 0,
        held_out_concepts: concepts.iter().filter(|concept| concept.split == Split::Test).count(),
        licenses: BTreeMap::new(),
        sources: Vec::new(),
    };
    for source in SOURCES {
        let set = IconSet::read(packages, source.prefix)?;
        let summary =
            write_source(&context, *source, &set, &mut images, &mut lines, &mut manifest.valid)?;
        *manifest.licenses.entry(summary.license.clone()).or_default() += summary.pairs;
        manifest.pairs += summary.pairs;
        eprintln!(
            "{:<28} {:>6} pairs, {:>3} held out",
            summary.source, summary.pairs, summary.forbidden
        );
        manifest.sources.push(summary);
    }
    images.finish()?;
    lines.commit()?;
    let mut json =
        serde_json::to_vec_pretty(&manifest).expect("strings and numbers are always JSON");
    json.push(b'\n');
    output::write(&out.join("manifest.json"), &json)?;
    Ok(manifest)
}

/// The files that [`write()`] reads, relative to `node_modules`.
pub(crate) fn inputs() -> impl Iterator<Item = String> {
    let texts = ["package.json", "en/data.json", "meta/groups.json", "meta/unicode-names.json"];
    let texts = texts.map(|file| format!("{EMOJIBASE}/{file}"));
    let sets = SOURCES.iter().map(|source| format!("{ICONIFY}/json/{}.json", source.prefix));
    texts.into_iter().chain([format!("{ICONIFY}/package.json")]).chain(sets)
}

fn write_source(
    context: &Context<'_>,
    source: Source,
    set: &IconSet,
    images: &mut RowWriter,
    lines: &mut Pending,
    valid: &mut usize,
) -> Result<SourceSummary> {
    let license = &set.info.license;
    if !FREE_LICENCES.contains(&license.spdx.as_str()) {
        return Err(Error::Licence {
            set: source.prefix.to_owned(),
            licence: license.spdx.clone(),
        });
    }
    let selection = context.select(source, set);
    let mut summary = SourceSummary {
        source: source.prefix,
        title: set.info.name.clone(),
        author: set.info.author.name.clone(),
        url: set.info.author.url.clone(),
        license: license.spdx.clone(),
        license_url: license.url.clone(),
        pairs: 0,
        mono: 0,
        forbidden: selection.forbidden,
        blank: 0,
    };
    for chunk in selection.pairs.chunks(CHUNK) {
        let rendered: Vec<Rgba> =
            chunk.par_iter().map(|pair| draw(source.prefix, set, pair)).collect::<Result<_>>()?;
        for (pair, image) in chunk.iter().zip(rendered) {
            if coverage(&image) < MIN_COVERAGE {
                summary.blank += 1;
                continue;
            }
            let mono = set.is_mono(&pair.icon) && is_black(&image);
            let split = split(source.prefix, &pair.name);
            images.push(image.as_flattened())?;
            let line = Line {
                source: source.prefix,
                license: &license.spdx,
                name: &pair.name,
                captions: &pair.captions,
                mono,
                split,
            };
            let mut json = serde_json::to_vec(&line).expect("strings are always JSON");
            json.push(b'\n');
            let path = lines.path().to_owned();
            lines.writer().write_all(&json).map_err(Error::write(path))?;
            summary.pairs += 1;
            summary.mono += usize::from(mono);
            *valid += usize::from(split == "valid");
        }
    }
    Ok(summary)
}

fn draw(prefix: &str, set: &IconSet, pair: &Pair) -> Result<Rgba> {
    let failed = |message: String| Error::Render {
        set: prefix.to_owned(),
        icon: pair.icon.clone(),
        message,
    };
    let svg = set.svg(&pair.icon).ok_or_else(|| failed("it is an alias of nothing".to_owned()))?;
    render(&svg).map_err(failed)
}

/// By name, so that the two styles of an icon fall on the same side.
fn split(source: &str, name: &str) -> &'static str {
    if md5_number(&format!("{source}:{name}")) % 100 < VALID_PERCENT { "valid" } else { "train" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_one_percent_is_for_validation() {
        let valid = (0..10_000).filter(|i| split("mdi", &format!("icon {i}")) == "valid").count();
        assert!((60..140).contains(&valid), "{valid} of 10,000");
    }
}
