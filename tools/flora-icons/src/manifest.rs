//! `manifest.json`: what the pairs are made of, and whom to thank.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::iconify::Info;
use crate::render::SIZE;

/// What pictures a pair has; the text is what `pairs.jsonl` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PairKind {
    /// An emoji.
    Emoji,
    /// An icon in colours of its own.
    Color,
    /// An icon in one colour, which may be changed.
    Mono,
    /// A drawing.
    ClipArt,
}

/// Who made a source and under which terms.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Origin {
    /// The name in `pairs.jsonl`.
    pub(crate) source: &'static str,
    /// The full name.
    pub(crate) title: String,
    /// Who drew it.
    pub(crate) author: String,
    /// Its home.
    pub(crate) url: String,
    /// SPDX identifier.
    pub(crate) license: String,
    /// The licence text.
    pub(crate) license_url: String,
}

impl Origin {
    /// The origin of an icon set.
    pub(crate) fn of(source: &'static str, info: &Info) -> Self {
        Self {
            source,
            title: info.name.clone(),
            author: info.author.name.clone(),
            url: info.author.url.clone(),
            license: info.license.spdx.clone(),
            license_url: info.license.url.clone(),
        }
    }
}

/// What `manifest.json` says about one source.
#[derive(Debug, Serialize)]
pub(crate) struct SourceSummary {
    /// Where it is from.
    #[serde(flatten)]
    pub(crate) origin: Origin,
    /// Pairs written.
    pub(crate) pairs: usize,
    /// Of these, drawn in one colour that may be changed.
    pub(crate) mono: usize,
    /// Of these, with captions that name their class.
    pub(crate) with_class: usize,
    /// Pictures left out because they are held out.
    pub(crate) forbidden: usize,
    /// Pictures left out because nothing can be seen.
    pub(crate) blank: usize,
    /// Pictures left out because another has the same pixels; looked for in clip art only.
    pub(crate) repeated: usize,
    /// Pictures left out because they cannot be drawn; in an icon set that is an error.
    pub(crate) broken: usize,
    /// Pairs by kind.
    pub(crate) kinds: BTreeMap<PairKind, usize>,
}

impl SourceSummary {
    /// A source of which nothing is written yet.
    pub(crate) fn new(origin: Origin, forbidden: usize) -> Self {
        Self {
            origin,
            pairs: 0,
            mono: 0,
            with_class: 0,
            forbidden,
            blank: 0,
            repeated: 0,
            broken: 0,
            kinds: BTreeMap::new(),
        }
    }
}

/// `manifest.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Manifest {
    format: &'static str,
    pub(crate) packages: BTreeMap<&'static str, String>,
    pub(crate) image_size: u32,
    /// All pairs.
    pub(crate) pairs: usize,
    /// Of these, for validation.
    pub(crate) valid: usize,
    pub(crate) held_out_concepts: usize,
    /// Pairs by SPDX identifier.
    pub(crate) licenses: BTreeMap<String, usize>,
    /// Pairs by kind.
    pub(crate) kinds: BTreeMap<PairKind, usize>,
    /// The sources in the order of the file.
    pub(crate) sources: Vec<SourceSummary>,
}

impl Manifest {
    /// A manifest without sources.
    pub(crate) fn new(packages: BTreeMap<&'static str, String>, held_out_concepts: usize) -> Self {
        Self {
            format: "flora-icons pairs 2",
            packages,
            image_size: SIZE,
            pairs: 0,
            valid: 0,
            held_out_concepts,
            licenses: BTreeMap::new(),
            kinds: BTreeMap::new(),
            sources: Vec::new(),
        }
    }

    /// Appends a source that is written.
    pub(crate) fn push(&mut self, summary: SourceSummary) {
        *self.licenses.entry(summary.origin.license.clone()).or_default() += summary.pairs;
        for (kind, pairs) in &summary.kinds {
            *self.kinds.entry(*kind).or_default() += pairs;
        }
        self.pairs += summary.pairs;
        self.sources.push(summary);
    }
}
