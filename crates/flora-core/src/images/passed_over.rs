//! Files that a search for images skipped, counted by kind.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::has_extension;

/// Image formats that are not decoded: AVIF, HEIF and JPEG XL have no maintained pure-Rust decoder, and the others are
/// not used for photographs.
const NOT_DECODED: [&str; 13] =
    ["avif", "dcm", "dds", "dng", "exr", "hdr", "heic", "heif", "ico", "jp2", "jxl", "svg", "tga"];
/// Names (without extension) of files that people and systems keep beside images.
const NOTES: [&str; 9] = [
    "authors", "citation", "copying", "desktop", "licence", "license", "notice", "readme", "thumbs",
];
/// Longer ones are not treated as extensions: `holiday.with everybody`.
const LONGEST_EXTENSION: usize = 8;
/// Number of kinds listed by name; the rest are summed up.
const SHOWN: usize = 8;

/// Files in image folders that were not read, counted by kind. Hidden files are not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassedOver {
    counts: BTreeMap<Kind, usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// The extension, in lower case.
    Extension(String),
    NoExtension,
    /// Neither a file nor a folder: a broken link or a pipe.
    NoFile,
    /// An image above the class folders.
    Outside,
    /// Images of a split that the data set description does not name.
    OtherSplit,
    /// A description, a note or a system file, which nobody would take for an image.
    Note,
}

impl PassedOver {
    /// Counts a file in an image folder whose name is not that of an image.
    pub fn add(&mut self, path: &Path) {
        let kind = match extension(path) {
            _ if !path.is_file() => Kind::NoFile,
            _ if is_note(path) => Kind::Note,
            Some(extension) => Kind::Extension(extension),
            None => Kind::NoExtension,
        };
        *self.counts.entry(kind).or_default() += 1;
    }

    /// Counts a file above the folders that are searched for images.
    pub fn add_outside(&mut self, path: &Path) {
        let is_picture =
            || extension(path).is_some_and(|name| NOT_DECODED.contains(&name.as_str()));
        let kind = if has_extension(path) || is_picture() { Kind::Outside } else { Kind::Note };
        *self.counts.entry(kind).or_default() += 1;
    }

    /// Counts images (table rows or files) of splits that a data set description does not name.
    pub fn add_other_splits(&mut self, images: usize) {
        if images > 0 {
            *self.counts.entry(Kind::OtherSplit).or_default() += images;
        }
    }

    /// Adds the counts of another search.
    pub fn extend(&mut self, other: Self) {
        for (kind, count) in other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
    }

    /// Whether nothing was skipped.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The number of files.
    pub fn count(&self) -> usize {
        self.counts.values().sum()
    }

    /// A warning about the files that somebody may have meant as images: `12 files passed over: 7 .avif, 3 .txt, 2
    /// without an extension`. `None` if only descriptions, notes and other splits were skipped.
    pub fn warning(&self) -> Option<String> {
        let known = |kind: &Kind| matches!(kind, Kind::Note | Kind::OtherSplit);
        let others = self.counts.iter().filter(|(kind, _)| !known(kind));
        let others = Self { counts: others.map(|(kind, &count)| (kind.clone(), count)).collect() };
        let files = match others.count() {
            0 => return None,
            1 => "1 file".to_owned(),
            count => format!("{count} files"),
        };
        let convert = others.counts.keys().any(
            |kind| matches!(kind, Kind::Extension(name) if NOT_DECODED.contains(&name.as_str())),
        );
        let remedy = if convert { "; convert pictures to .png, .jpg or .webp" } else { "" };
        Some(format!("{files} passed over: {others}{remedy}"))
    }
}

/// `7 .avif, 3 .txt, 2 without an extension`, the most frequent first.
impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts: Vec<_> = self.counts.iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (at, (kind, count)) in counts.iter().take(SHOWN).enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}{count} ")?;
            match kind {
                Kind::Extension(name) => write!(f, ".{name}")?,
                Kind::NoExtension => write!(f, "without an extension")?,
                Kind::NoFile => write!(f, "that lead to no file")?,
                Kind::Outside => write!(f, "outside the class folders")?,
                Kind::OtherSplit => write!(f, "of other splits")?,
                Kind::Note => write!(f, "of descriptions and notes")?,
            }
        }
        match counts.iter().skip(SHOWN).map(|(_, count)| **count).sum() {
            0_usize => Ok(()),
            rest => write!(f, ", {rest} of other kinds"),
        }
    }
}

/// The extension in lower case, if the name has one.
fn extension(path: &Path) -> Option<String> {
    let name = path.extension()?.to_str()?.to_ascii_lowercase();
    let looks = name.len() <= LONGEST_EXTENSION && name.chars().all(|c| c.is_ascii_alphanumeric());
    (looks && !name.is_empty()).then_some(name)
}

fn is_note(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let stem = stem.to_ascii_lowercase();
    let described = matches!(extension(path).as_deref(), Some("toml"))
        || stem == "metadata" && matches!(extension(path).as_deref(), Some("csv" | "jsonl"));
    described || NOTES.contains(&stem.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_and_notes_are_no_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let mut passed = PassedOver::default();
        let names = ["a.avif", "b.AVIF", "c.txt", "d", "README.md", "Thumbs.db", "metadata.csv"];
        for name in names {
            std::fs::write(folder.path().join(name), "").unwrap();
            passed.add(&folder.path().join(name));
        }
        passed.add(&folder.path().join("nowhere.png"));
        assert_eq!(
            passed.to_string(),
            "3 of descriptions and notes, 2 .avif, 1 .txt, 1 without an extension, 1 that lead to no file"
        );
        let warning = passed.warning().unwrap();
        assert!(warning.starts_with("5 files passed over: 2 .avif, 1 .txt, "), "{warning}");
        assert!(warning.contains("convert pictures"), "{warning}");

        let mut outside = PassedOver::default();
        outside.add_outside(Path::new("labels.csv"));
        assert_eq!(outside.warning(), None);
        outside.add_other_splits(0);
        outside.add_other_splits(3);
        assert_eq!(outside.warning(), None);
        outside.add_outside(Path::new("stray.png"));
        let warning = outside.warning().unwrap();
        assert_eq!(warning, "1 file passed over: 1 outside the class folders");
        outside.extend(passed);
        assert_eq!((outside.count(), outside.is_empty()), (13, false));
    }

    #[test]
    fn many_kinds_are_summed_up_and_odd_names_are_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let mut passed = PassedOver::default();
        let odd = ["x.\u{1b}[31m", "x.with everybody", "x."];
        let many = ('a'..='j').map(|letter| format!("x.{letter}"));
        for name in odd.map(str::to_owned).into_iter().chain(many) {
            std::fs::write(folder.path().join(&name), "").unwrap();
            passed.add(&folder.path().join(&name));
        }
        let text = passed.to_string();
        assert!(text.starts_with("3 without an extension, 1 .a, "), "{text}");
        assert!(text.ends_with(", 3 of other kinds") && !text.contains('\u{1b}'), "{text}");
    }
}
