//! Draws pairs and writes them, a source at a time.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use md5::{Digest, Md5};
use rayon::prelude::*;
use serde::Serialize;

use crate::candidates::{Pair, Selection};
use crate::concept::md5_number;
use crate::error::{Error, Result};
use crate::manifest::{Origin, PairKind, SourceSummary};
use crate::output::Pending;
use crate::render::{Rgba, SIZE, coverage};
use crate::safetensors::RowWriter;

/// An image that covers less than this share of its area shows nothing, for example the first frame of an animation.
const MIN_COVERAGE: f64 = 0.004;
/// Percentage of the pairs for validation.
const VALID_PERCENT: u128 = 1;
/// Images in memory at a time, 16 KiB each.
const CHUNK: usize = 1024;

/// One line of `pairs.jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    source: &'a str,
    license: &'a str,
    kind: PairKind,
    name: &'a str,
    captions: &'a [String],
    mono: bool,
    split: &'a str,
}

/// A pair's image and how it may be used.
pub(crate) struct Picture {
    /// The pixels.
    pub(crate) image: Rgba,
    /// What kind of picture it is.
    pub(crate) kind: PairKind,
    /// Whether it is drawn in one colour that may be changed.
    pub(crate) mono: bool,
}

/// `pairs.safetensors` and `pairs.jsonl` while they are written.
pub(crate) struct PairWriter {
    images: RowWriter,
    lines: Pending,
    /// The digests of the pictures of the source at hand, where none may repeat.
    seen: BTreeSet<[u8; 16]>,
    /// Pairs for validation so far.
    pub(crate) valid: usize,
}

impl PairWriter {
    /// Opens both files in `folder`.
    ///
    /// # Errors
    ///
    /// [`Error::Write`].
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        let side = SIZE as usize;
        Ok(Self {
            images: RowWriter::create(
                &folder.join("pairs.safetensors"),
                "images",
                &[side, side, 4],
            )?,
            lines: Pending::create(&folder.join("pairs.jsonl"))?,
            seen: BTreeSet::new(),
            valid: 0,
        })
    }

    /// Writes the pairs of one source that can be seen, each picture once if it is `distinct`. `draw` may find that a
    /// picture is broken.
    ///
    /// # Errors
    ///
    /// Those of `draw`, and [`Error::Write`].
    pub(crate) fn write(
        &mut self,
        origin: Origin,
        selection: &Selection,
        distinct: bool,
        draw: impl Fn(&Pair) -> Result<Option<Picture>> + Sync,
    ) -> Result<SourceSummary> {
        self.seen.clear();
        let mut summary = SourceSummary::new(origin, selection.forbidden());
        for chunk in selection.pairs().chunks(CHUNK) {
            let pictures: Vec<Option<Picture>> =
                chunk.par_iter().map(&draw).collect::<Result<_>>()?;
            for (pair, picture) in chunk.iter().zip(pictures) {
                match picture {
                    None => summary.broken += 1,
                    Some(picture) if coverage(&picture.image) < MIN_COVERAGE => summary.blank += 1,
                    Some(picture) if distinct && !self.is_new(&picture) => summary.repeated += 1,
                    Some(picture) => self.push(&mut summary, pair, &picture)?,
                }
            }
        }
        Ok(summary)
    }

    /// Gives both files their names.
    ///
    /// # Errors
    ///
    /// [`Error::Write`].
    pub(crate) fn finish(self) -> Result<()> {
        self.images.finish()?;
        self.lines.commit()
    }

    fn is_new(&mut self, picture: &Picture) -> bool {
        self.seen.insert(Md5::digest(picture.image.as_flattened()).into())
    }

    fn push(&mut self, summary: &mut SourceSummary, pair: &Pair, picture: &Picture) -> Result<()> {
        let split = split(summary.origin.source, &pair.name);
        self.images.push(picture.image.as_flattened())?;
        let line = Line {
            source: summary.origin.source,
            license: &summary.origin.license,
            kind: picture.kind,
            name: &pair.name,
            captions: &pair.captions,
            mono: picture.mono,
            split,
        };
        let mut json = serde_json::to_vec(&line).expect("strings are always JSON");
        json.push(b'\n');
        let path = self.lines.path().to_owned();
        self.lines.writer().write_all(&json).map_err(Error::write(path))?;
        summary.pairs += 1;
        summary.mono += usize::from(picture.mono);
        summary.with_class += usize::from(pair.class.is_some());
        *summary.kinds.entry(picture.kind).or_default() += 1;
        self.valid += usize::from(split == "valid");
        Ok(())
    }
}

/// By name, so that the two styles of an icon fall on the same side.
fn split(source: &str, name: &str) -> &'static str {
    if md5_number(&format!("{source}:{name}")) % 100 < VALID_PERCENT { "valid" } else { "train" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin {
            source: "s",
            title: String::new(),
            author: String::new(),
            url: String::new(),
            license: "MIT".to_owned(),
            license_url: String::new(),
        }
    }

    #[test]
    fn about_one_percent_is_for_validation() {
        let valid = (0..10_000).filter(|i| split("mdi", &format!("icon {i}")) == "valid").count();
        assert!((60..140).contains(&valid), "{valid} of 10,000");
    }

    #[test]
    fn what_is_blank_broken_or_repeated_is_counted_and_left_out() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut writer = PairWriter::create(folder.path()).expect("opened");
        let pair = |name: &str| Pair {
            icon: name.to_owned(),
            name: name.to_owned(),
            captions: vec![name.to_owned()],
            class: None,
        };
        let pairs = ["a", "again", "blank", "broken", "b"].map(pair).into();
        let summary = writer
            .write(origin(), &Selection::unchecked(pairs, 3), true, |pair| {
                let pixel = match pair.name.as_str() {
                    "broken" => return Ok(None),
                    "blank" => [0; 4],
                    "b" => [2, 2, 2, 255],
                    _ => [1, 1, 1, 255],
                };
                let image = vec![pixel; (SIZE * SIZE) as usize];
                Ok(Some(Picture { image, kind: PairKind::ClipArt, mono: false }))
            })
            .expect("written");
        writer.finish().expect("finished");
        let counts =
            (summary.pairs, summary.repeated, summary.blank, summary.broken, summary.forbidden);
        assert_eq!(counts, (2, 1, 1, 1, 3));
        let lines = std::fs::read_to_string(folder.path().join("pairs.jsonl")).expect("lines");
        assert_eq!(
            lines.lines().next(),
            Some(
                r#"{"source":"s","license":"MIT","kind":"clip-art","name":"a","captions":["a"],"mono":false,"split":"train"}"#
            )
        );
        assert_eq!(lines.lines().count(), 2);
    }
}
