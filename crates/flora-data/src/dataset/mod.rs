//! Labelled images, described by a TOML file or by their folders alone.

mod built;
mod by_split;
mod cifar;
mod class_entry;
mod class_names;
mod csv_file;
mod description;
mod fill;
mod folder;
mod groups;
mod idx;
mod idx_file;
mod inspect;
pub(crate) mod json_lines;
mod labels;
mod layout;
mod limit;
mod list;
mod mat;
mod mat_bytes;
mod mat_file;
mod numbers;
mod packed;
pub(crate) mod pattern;
mod protocol;
mod read;
mod sites;
mod source;
mod stratified;
mod table;
mod template;
mod text_rows;
mod texts;
mod validation;
mod view;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use flora_core::hex;
use flora_core::images::PassedOver;
use image::DynamicImage;
use sha2::{Digest, Sha256};

use crate::Error;
use built::Built;
use description::Description;
use source::Source;

pub use inspect::{Inspection, Part, inspect};
pub use limit::Limit;
pub use protocol::{Protocol, Split};
pub use source::read_image;
pub use template::Template;
pub use texts::Texts;
pub use validation::ValidationShare;
pub use view::View;

/// Labelled images with class names, a prompt template and a split. Clones share the images.
///
/// Samples are numbered from 0 in an order that depends on the files alone. Methods that take a sample number panic,
/// like indexing, if it is not below [`len`](Dataset::len).
#[derive(Debug, Clone)]
pub struct Dataset {
    shared: Arc<Shared>,
    classes: Arc<[String]>,
    domains: Arc<[String]>,
    samples: Arc<[Sample]>,
    /// The view of images, if not the originals.
    view: Option<View>,
    /// Digest of the original images, computed on first use because it reads every image.
    fingerprint: OnceLock<String>,
}

/// Data shared by all selections of samples.
#[derive(Debug)]
struct Shared {
    name: String,
    title: String,
    license: String,
    source: String,
    homepage: Option<String>,
    template: Template,
    texts: Option<texts::TextsEntry>,
    group: Option<groups::Grouping>,
    images: Source,
    /// The folder in which the images were looked up.
    root: PathBuf,
    passed_over: PassedOver,
}

/// One image: its location and metadata.
#[derive(Debug, Clone)]
struct Sample {
    /// Index in [`Source`].
    place: u32,
    label: u32,
    domain: Option<u32>,
    official: Option<Split>,
    split: Split,
}

impl Sample {
    fn new(place: usize, label: usize, domain: Option<usize>, official: Option<Split>) -> Self {
        Self {
            place: place as u32,
            label: label as u32,
            domain: domain.map(|domain| domain as u32),
            official,
            split: official.unwrap_or(Split::Train),
        }
    }

    fn label(&self) -> usize {
        self.label as usize
    }
}

impl Dataset {
    /// Opens a data set.
    ///
    /// `path` is a TOML description or a folder. A folder contains its description (`dataset.toml` or, in a folder
    /// `pets`, `pets.toml`), or has the form of torchvision's `ImageFolder`: `<class>/*.jpg`, or `train/<class>/*.jpg`
    /// beside `test/` (or `val/`, `valid/`, `validation/`). The latter's classes are named after their folders, with
    /// `_` and `-` read as spaces.
    ///
    /// `root_override` replaces the folder in which the images are looked up. Image files are listed but not decoded;
    /// files that contain many images (idx, CIFAR's, tables of pixels) are read. The split is [`Protocol::Official`].
    ///
    /// # Errors
    ///
    /// A missing file or folder, an invalid description, or one that does not fit the data.
    pub fn open(path: &Path, root_override: Option<&Path>) -> Result<Self, Error> {
        let description = describe(path)?;
        let root = description.root(root_override);
        Self::read(description, root)
    }

    /// Reads the data set of a description.
    fn read(description: Description, root: PathBuf) -> Result<Self, Error> {
        let root = description.folder(root)?;
        let built = Built::read(&description, &description.layout, &root)?;
        built.check(&description)?;
        if description.group.is_some() && !built.source.has_names() {
            let problem = "the images are not files of their own, and have no names";
            return Err(description.field("group", problem, "remove the key"));
        }
        let mut samples = built.samples;
        protocol::split(&mut samples, Protocol::Official);
        Ok(Self {
            shared: Arc::new(Shared {
                name: description.name,
                title: description.title,
                license: description.license,
                source: description.source,
                homepage: description.homepage,
                template: description.template,
                texts: description.texts,
                group: description.group,
                images: built.source,
                root,
                passed_over: built.passed_over,
            }),
            classes: built.classes.into(),
            domains: built.domains.into(),
            samples: samples.into(),
            view: None,
            fingerprint: OnceLock::new(),
        })
    }

    /// The short name, as in `fashion-mnist`.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The name for people; the short name if the description has no title.
    pub fn title(&self) -> &str {
        &self.shared.title
    }

    /// The licence of the images; `unspecified` if the description has none.
    pub fn license(&self) -> &str {
        &self.shared.license
    }

    /// Where the images come from; `unspecified` if the description does not say.
    pub fn source(&self) -> &str {
        &self.shared.source
    }

    /// The homepage of the data set.
    pub fn homepage(&self) -> Option<&str> {
        self.shared.homepage.as_deref()
    }

    /// The class names that fill the template, by label.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The prompt of every class.
    pub fn template(&self) -> &Template {
        &self.shared.template
    }

    /// The domains (vendors, sites, styles), sorted; empty if the layout has none.
    pub fn domains(&self) -> &[String] {
        &self.domains
    }

    /// The number of samples in all splits.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there are no samples, which is only possible after [`limit`](Dataset::limit) or
    /// [`named`](Dataset::named).
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The label of sample `i`: its index in [`classes`](Dataset::classes).
    pub fn label(&self, i: usize) -> usize {
        self.samples[i].label()
    }

    /// The domain of sample `i`: its index in [`domains`](Dataset::domains).
    pub fn domain(&self, i: usize) -> Option<usize> {
        self.samples[i].domain.map(|domain| domain as usize)
    }

    /// The split of sample `i`.
    pub fn split(&self, i: usize) -> Split {
        self.samples[i].split
    }

    /// The samples of a split, ascending.
    pub fn indices(&self, split: Split) -> Vec<usize> {
        (0..self.len()).filter(|&i| self.split(i) == split).collect()
    }

    /// The name of sample `i` in messages: its path, `train-images-idx3-ubyte.gz[17]`, or `fer2013.csv, line 17`.
    pub fn describe(&self, i: usize) -> String {
        self.shared.images.describe(self.samples[i].place as usize)
    }

    /// The file of sample `i`; `None` if images share one file.
    pub fn file(&self, i: usize) -> Option<&Path> {
        self.shared.images.file(self.samples[i].place as usize)
    }

    /// Decodes sample `i`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] or [`Error::Image`], naming the file, if it cannot be read or decoded.
    pub fn image(&self, i: usize) -> Result<DynamicImage, Error> {
        let place = self.samples[i].place as usize;
        let picture = self.shared.images.image(place)?;
        Ok(match self.view {
            None => picture,
            Some(view) => {
                let mut hash = Sha256::new();
                self.shared.images.digest(place, &mut hash)?;
                view.of(&picture, &hex::encode(&hash.finalize()))
            }
        })
    }

    /// SHA-256, in hexadecimal, of everything that determines the pixels of the samples, in order.
    ///
    /// A key for values computed from the images alone: names, labels and splits do not affect it. The images are read
    /// once, on first use.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if an image file cannot be read.
    pub fn fingerprint(&self) -> Result<String, Error> {
        if let Some(fingerprint) = self.fingerprint.get() {
            return Ok(self.as_seen(fingerprint.clone()));
        }
        let fingerprint = self.digest_of_first(self.len())?;
        Ok(self.as_seen(self.fingerprint.get_or_init(|| fingerprint).clone()))
    }

    /// The [`fingerprint`](Self::fingerprint) of a data set of the first `count` samples alone.
    ///
    /// # Errors
    ///
    /// The errors of [`fingerprint`](Self::fingerprint).
    pub fn fingerprint_of_first(&self, count: usize) -> Result<String, Error> {
        Ok(self.as_seen(self.digest_of_first(count)?))
    }

    /// The fingerprint of the viewed images, from that of the originals.
    fn as_seen(&self, digest: String) -> String {
        match self.view {
            None => digest,
            Some(view) => hex::encode(&Sha256::digest(format!("{digest}, {view}"))),
        }
    }

    fn digest_of_first(&self, count: usize) -> Result<String, Error> {
        let mut hash = Sha256::new();
        hash.update((count as u64).to_le_bytes());
        for sample in &self.samples[..count] {
            self.shared.images.digest(sample.place as usize, &mut hash)?;
        }
        Ok(hex::encode(&hash.finalize()))
    }

    /// The skipped files in the image folders, by kind.
    pub fn passed_over(&self) -> &PassedOver {
        &self.shared.passed_over
    }

    /// Whether the data set has an official split.
    pub fn has_official_split(&self) -> bool {
        self.samples.iter().all(|sample| sample.official.is_some())
    }

    /// The same samples, split by `protocol`.
    pub fn with_protocol(self, protocol: Protocol) -> Self {
        let mut samples = self.samples.to_vec();
        protocol::split(&mut samples, protocol);
        Self { samples: samples.into(), ..self }
    }

    /// The same samples, with a share of the training images as validation images; see [`ValidationShare`]. The choice
    /// is deterministic in `seed`. If images [have groups](Self::has_groups), whole groups are chosen.
    ///
    /// Apply the [`Protocol`] and the [`limit`](Dataset::limit) first.
    pub fn with_validation(self, share: ValidationShare, seed: u64) -> Self {
        let mut samples = self.samples.to_vec();
        validation::hold_out(&mut samples, self.groups().as_deref(), share, seed);
        Self { samples: samples.into(), ..self }
    }

    /// The samples of one split, renumbered in their old order.
    pub fn only(self, split: Split) -> Self {
        let samples = self.samples.iter().filter(|sample| sample.split == split).cloned().collect();
        Self { samples, fingerprint: OnceLock::new(), ..self }
    }

    /// The same samples with another view: [`image`](Dataset::image) returns that part.
    pub fn seen_as(self, view: View) -> Self {
        Self { view: Some(view), ..self }
    }

    /// A random subset of each split, deterministic in `seed`, that keeps the class proportions (by largest remainder).
    /// Samples are renumbered in their old order.
    ///
    /// Apply the [`Protocol`] first: it splits the remaining samples. Validation images are all kept.
    pub fn limit(self, limit: Limit, seed: u64) -> Self {
        let kept = limit::keep(&self.samples, self.classes().len(), limit, seed);
        Self { samples: kept.into(), fingerprint: OnceLock::new(), ..self }
    }
}

fn describe(path: &Path) -> Result<Description, Error> {
    if !path.is_dir() {
        if path.is_file() {
            return Description::read(path);
        }
        return Err(Error::Missing {
            what: "data set",
            path: path.to_owned(),
            remedy: "give a TOML description or a folder with one sub-folder of images per class"
                .to_owned(),
        });
    }
    match described_in(path) {
        Some(file) => Description::read(&file),
        None => Description::of_folder(path),
    }
}

/// The description contained in a folder.
pub(crate) fn described_in(path: &Path) -> Option<PathBuf> {
    let named = path.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_owned()));
    let inside = [
        Some(path.join("dataset.toml")),
        named.map(|mut name| {
            name.push(".toml");
            path.join(name)
        }),
    ];
    inside.into_iter().flatten().find(|file| file.is_file())
}
