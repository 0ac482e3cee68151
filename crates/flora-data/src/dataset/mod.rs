//! Labelled images, described by one TOML file or by nothing but their folders.

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

/// Labelled images with class names, a prompt template and a split. A clone shares the images.
///
/// Samples are numbered from 0 in an order that depends on the files alone. The methods that take the
/// number of a sample panic, as indexing does, when it is not below [`len`](Dataset::len).
#[derive(Debug, Clone)]
pub struct Dataset {
    shared: Arc<Shared>,
    classes: Arc<[String]>,
    domains: Arc<[String]>,
    samples: Arc<[Sample]>,
    /// How pictures are seen, if not as they are.
    view: Option<View>,
    /// Of the pictures as they are, once it was asked for: it reads every image.
    fingerprint: OnceLock<String>,
}

/// What no choice of samples and no other names of theirs change.
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
    /// The folder that the images were looked up in.
    root: PathBuf,
    passed_over: PassedOver,
}

/// One image: where it is, and what is known of it.
#[derive(Debug, Clone)]
struct Sample {
    /// In [`Source`].
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
    /// Open a data set.
    ///
    /// `path` is a TOML description, or a folder: one with its description in it (`dataset.toml` or, in a
    /// folder `pets`, `pets.toml`), or one of torchvision's `ImageFolder` form, `<class>/*.jpg` or
    /// `train/<class>/*.jpg` beside `test/` (else `val/`, `valid/`, `validation/`), whose classes are
    /// called after their folders with `_` and `-` read as spaces.
    ///
    /// `root_override` replaces the folder that the images are looked up in. Image files are listed but not
    /// decoded; files that hold many images (idx, CIFAR's, tables of pixels) are read. The split is [`Protocol::Official`].
    ///
    /// # Errors
    ///
    /// When a file or folder is missing, the description is wrong, or it does not fit the data.
    pub fn open(path: &Path, root_override: Option<&Path>) -> Result<Self, Error> {
        let description = describe(path)?;
        let root = description.root(root_override);
        Self::read(description, root)
    }

    /// Read what a description describes.
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

    /// The name for people; the short name when the description has no title.
    pub fn title(&self) -> &str {
        &self.shared.title
    }

    /// The licence of the images; `unspecified` when the description does not say.
    pub fn license(&self) -> &str {
        &self.shared.license
    }

    /// Where the images come from; `unspecified` when the description does not say.
    pub fn source(&self) -> &str {
        &self.shared.source
    }

    /// The page of the data set.
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

    /// The domains (vendors, sites, styles), sorted; empty when the layout has none.
    pub fn domains(&self) -> &[String] {
        &self.domains
    }

    /// The number of samples of all splits.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is no sample, which only [`limit`](Dataset::limit) and [`named`](Dataset::named) bring about.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The label of sample `i`: its place in [`classes`](Dataset::classes).
    pub fn label(&self, i: usize) -> usize {
        self.samples[i].label()
    }

    /// The domain of sample `i`: its place in [`domains`](Dataset::domains).
    pub fn domain(&self, i: usize) -> Option<usize> {
        self.samples[i].domain.map(|domain| domain as usize)
    }

    /// The side of the split that sample `i` is on.
    pub fn split(&self, i: usize) -> Split {
        self.samples[i].split
    }

    /// The samples of a split, ascending.
    pub fn indices(&self, split: Split) -> Vec<usize> {
        (0..self.len()).filter(|&i| self.split(i) == split).collect()
    }

    /// What to call sample `i` in a message: its path, `train-images-idx3-ubyte.gz[17]`, or
    /// `fer2013.csv, line 17`.
    pub fn describe(&self, i: usize) -> String {
        self.shared.images.describe(self.samples[i].place as usize)
    }

    /// The file of sample `i`; `None` where images lie in one file.
    pub fn file(&self, i: usize) -> Option<&Path> {
        self.shared.images.file(self.samples[i].place as usize)
    }

    /// Decode sample `i`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] or [`Error::Image`], naming the file, when it cannot be read or decoded.
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

    /// SHA-256, in hexadecimal, of everything that determines the pixels of the samples, in their order.
    ///
    /// A key for what is computed from the images alone: neither names, labels nor splits change it. The
    /// images are read once, when it is asked for first.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when an image file cannot be read.
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
    /// As [`fingerprint`](Self::fingerprint).
    pub fn fingerprint_of_first(&self, count: usize) -> Result<String, Error> {
        Ok(self.as_seen(self.digest_of_first(count)?))
    }

    /// The fingerprint of the pictures as they are seen, from that of the pictures themselves.
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

    /// The files in the folders of the images that are not read, by kind.
    pub fn passed_over(&self) -> &PassedOver {
        &self.shared.passed_over
    }

    /// Whether the data set ships with a split.
    pub fn has_official_split(&self) -> bool {
        self.samples.iter().all(|sample| sample.official.is_some())
    }

    /// The same samples, split by `protocol`.
    pub fn with_protocol(self, protocol: Protocol) -> Self {
        let mut samples = self.samples.to_vec();
        protocol::split(&mut samples, protocol);
        Self { samples: samples.into(), ..self }
    }

    /// The same samples, of which a share of the training images are validation images; see
    /// [`ValidationShare`]. The same for the same `seed`. Where images [have groups](Self::has_groups), whole groups.
    ///
    /// Choose the [`Protocol`] and the [`limit`](Dataset::limit) first.
    pub fn with_validation(self, share: ValidationShare, seed: u64) -> Self {
        let mut samples = self.samples.to_vec();
        validation::hold_out(&mut samples, self.groups().as_deref(), share, seed);
        Self { samples: samples.into(), ..self }
    }

    /// The samples of one split. Samples are numbered anew, in their old order.
    pub fn only(self, split: Split) -> Self {
        let samples = self.samples.iter().filter(|sample| sample.split == split).cloned().collect();
        Self { samples, fingerprint: OnceLock::new(), ..self }
    }

    /// The same samples, of which another part is seen: [`image`](Dataset::image) gives that part.
    pub fn seen_as(self, view: View) -> Self {
        Self { view: Some(view), ..self }
    }

    /// A random subset of each split, the same for the same `seed`, in which the classes keep their
    /// proportions (by largest remainder). Samples are numbered anew, in their old order.
    ///
    /// Choose the [`Protocol`] first: it splits what it is given. Validation images all stay.
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

/// The description that a folder has in it.
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
