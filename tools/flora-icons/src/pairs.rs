//! Writes the pretraining pairs.

use std::collections::BTreeMap;
use std::path::Path;

use crate::attribution;
use crate::candidates::{Pair, Selection};
use crate::categories::Categories;
use crate::clip_art::{self, ClipArt};
use crate::concept::{Split, concepts};
use crate::context::Context;
use crate::emoji_index::EmojiIndex;
use crate::emojibase::Emojibase;
use crate::error::{Error, Result};
use crate::held_out::HeldOut;
use crate::iconify::IconSet;
use crate::manifest::{Manifest, Origin, PairKind, SourceSummary};
use crate::output;
use crate::packages::{EMOJIBASE, ICONIFY, Packages, WORDNET};
use crate::pair_writer::{PairWriter, Picture};
use crate::render::{is_black, render, render_content};
use crate::sources::{FREE_LICENCES, Kind, SOURCES, Source};
use crate::wordnet::{self, WordNet};

/// The sets that list code points, whose names help to recognise the emoji of the others.
const NAMED_SETS: [&str; 2] = ["twemoji", "noto"];

/// Writes `pairs.safetensors` (`images`, U8, `[N, 64, 64, 4]`, straight RGBA), `pairs.jsonl` (one line per image, in the
/// same order) `manifest.json` and `SOURCES.md` to `out`. At most a thousand images are in memory at a time.
///
/// # Errors
///
/// As [`Packages::read`], [`WordNet::read`] and [`ClipArt::candidates`], [`Error::Licence`] for a set that is not free,
/// [`Error::Render`] for an icon that is no SVG, and [`Error::Write`].
pub(crate) fn write(packages: &Packages, clip_art: Option<&Path>, out: &Path) -> Result<Manifest> {
    let clip_art = clip_art.map(ClipArt::open).transpose()?;
    let base = Emojibase::read(packages)?;
    let concepts = concepts(&base)?;
    let wordnet = WordNet::read(packages)?;
    let held_out = HeldOut::new(&base, &concepts);
    let categories = Categories::new(&wordnet, &held_out, &concepts)?;
    let named: Vec<IconSet> =
        NAMED_SETS.iter().map(|prefix| IconSet::read(packages, prefix)).collect::<Result<_>>()?;
    let context = Context {
        base: &base,
        index: EmojiIndex::new(&base, &named.iter().collect::<Vec<_>>()),
        held_out: &held_out,
        categories: &categories,
    };
    drop(named);

    output::create_folder(out)?;
    let mut writer = PairWriter::create(out)?;
    let mut versions: BTreeMap<&str, String> =
        [ICONIFY, EMOJIBASE, WORDNET].map(|package| (package, packages.version(package))).into();
    versions.extend(clip_art.as_ref().map(|art| (clip_art::PACKAGE, art.version())));
    let test = concepts.iter().filter(|concept| concept.split == Split::Test).count();
    let mut manifest = Manifest::new(versions, test);
    let mut add = |summary: SourceSummary| {
        let (name, pairs) = (summary.origin.source, summary.pairs);
        eprintln!("{name:<28} {pairs:>6} pairs, {:>3} held out", summary.forbidden);
        manifest.push(summary);
    };
    for source in SOURCES {
        let set = IconSet::read(packages, source.prefix)?;
        add(write_set(&context, *source, &set, &mut writer)?);
    }
    if let Some(art) = &clip_art {
        let candidates = art.candidates(&wordnet, &categories)?;
        let selection = Selection::of(clip_art::SOURCE, candidates, &held_out);
        add(writer.write(clip_art::origin(), &selection, true, |pair| draw_clip(art, pair))?);
    }
    manifest.valid = writer.valid;
    writer.finish()?;
    let mut json =
        serde_json::to_vec_pretty(&manifest).expect("strings and numbers are always JSON");
    json.push(b'\n');
    output::write(&out.join("manifest.json"), &json)?;
    output::write(&out.join("SOURCES.md"), attribution::markdown(&manifest).as_bytes())?;
    Ok(manifest)
}

/// The files of the npm packages that [`write()`] reads, relative to `node_modules`.
pub(crate) fn inputs() -> impl Iterator<Item = String> {
    let texts = ["package.json", "en/data.json", "meta/groups.json", "meta/unicode-names.json"];
    let texts = texts.map(|file| format!("{EMOJIBASE}/{file}"));
    let words = std::iter::once("package.json").chain(wordnet::FILES);
    let words = words.map(|file| format!("{WORDNET}/{file}"));
    let sets = SOURCES.iter().map(|source| format!("{ICONIFY}/json/{}.json", source.prefix));
    texts.into_iter().chain(words).chain([format!("{ICONIFY}/package.json")]).chain(sets)
}

fn write_set(
    context: &Context<'_>,
    source: Source,
    set: &IconSet,
    writer: &mut PairWriter,
) -> Result<SourceSummary> {
    let license = &set.info.license.spdx;
    if !FREE_LICENCES.contains(&license.as_str()) {
        return Err(Error::Licence { set: source.prefix.to_owned(), licence: license.clone() });
    }
    let origin = Origin::of(source.prefix, &set.info);
    writer.write(origin, &context.select(source, set), false, |pair| {
        draw_icon(source, set, pair).map(Some)
    })
}

fn draw_icon(source: Source, set: &IconSet, pair: &Pair) -> Result<Picture> {
    let failed = |message: String| Error::Render {
        set: source.prefix.to_owned(),
        icon: pair.icon.clone(),
        message,
    };
    let svg = set.svg(&pair.icon).ok_or_else(|| failed("it is an alias of nothing".to_owned()))?;
    let image = render(&svg).map_err(failed)?;
    let mono = set.is_mono(&pair.icon) && is_black(&image);
    let kind = match (source.kind, mono) {
        (Kind::Emoji { .. }, _) => PairKind::Emoji,
        (Kind::Icons(_), true) => PairKind::Mono,
        (Kind::Icons(_), false) => PairKind::Color,
    };
    Ok(Picture { image, kind, mono })
}

/// Clip art was drawn by hundreds of persons with many programs; what cannot be drawn is left out.
fn draw_clip(art: &ClipArt, pair: &Pair) -> Result<Option<Picture>> {
    let image = render_content(&art.svg(&pair.icon)?).ok();
    Ok(image.map(|image| Picture { image, kind: PairKind::ClipArt, mono: false }))
}
