//! Detecting the roles of table columns.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flora_core::images::{EXTENSIONS, has_extension};

use super::rows::Head;
use super::tree::Tree;
use super::words::{have_splits, names_holder};

/// Maximum number of folders in which the images of a table are searched.
const MOST_FOLDERS: usize = 64;
/// Number of values of a column that are looked up.
const PROBES: usize = 48;

/// The roles of a table's columns, by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) image: usize,
    /// Text before and after the values of that column in the paths of images.
    pub(super) prefix: String,
    pub(super) suffix: String,
    pub(super) label: Option<usize>,
    pub(super) site: Option<usize>,
    pub(super) split: Option<usize>,
    /// Sentences about the images.
    pub(super) caption: Option<usize>,
    /// Other possible label columns.
    pub(super) other_labels: Vec<usize>,
}

/// Column names in order of preference.
const IMAGES: [&str; 10] = [
    "file_name",
    "filename",
    "image_path",
    "filepath",
    "path",
    "image",
    "file",
    "img",
    "image_id",
    "id",
];
const LABELS: [&str; 20] = [
    "label",
    "labels",
    "label_name",
    "class",
    "class_name",
    "classname",
    "category",
    "category_name",
    "target",
    "diagnosis",
    "dx",
    "species",
    "breed",
    "finding",
    "kind",
    "type",
    "label_id",
    "class_id",
    "cls",
    "y",
];
const CAPTIONS: [&str; 6] = ["text", "caption", "captions", "description", "title", "sentence"];

fn rank(names: &[&str], column: &str) -> Option<usize> {
    let name = column.trim().to_lowercase().replace([' ', '-', '.'], "_");
    names.iter().position(|known| *known == name)
}

/// Columns requested by name.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted<'a> {
    pub(super) label: Option<&'a str>,
    pub(super) site: Option<&'a str>,
}

impl Columns {
    /// Detects the columns; `None` for a table that names no existing image. `table` is the path below `root`.
    pub(super) fn find(
        root: &Path,
        tree: &Tree,
        table: &Path,
        head: &Head,
        wanted: Wanted<'_>,
    ) -> Result<Option<Self>, String> {
        let places = places(tree, table);
        let usable = |column: &usize| is_placeable(&head.columns[*column]);
        let images = (0..head.columns.len()).filter(usable).filter_map(|column| {
            let (found, prefix, suffix) = locate(root, &places, &values(head, column))?;
            Some((column, found, prefix, suffix))
        });
        let best = images.max_by_key(|&(column, found, ..)| {
            let rank = rank(&IMAGES, &head.columns[column]).unwrap_or(IMAGES.len());
            (found, IMAGES.len() - rank, head.columns.len() - column)
        });
        let Some((image, _, prefix, suffix)) = best else { return Ok(None) };
        let named = |name: &str| {
            let at = head.columns.iter().position(|column| column == name);
            at.filter(|&column| column != image).ok_or_else(|| {
                format!("{} has no column {name:?}, but {:?}", table.display(), head.columns)
            })
        };
        let mut columns = Self {
            image,
            prefix,
            suffix,
            label: None,
            site: None,
            split: None,
            caption: None,
            other_labels: Vec::new(),
        };
        columns.site = wanted.site.map(named).transpose()?;
        columns.label = wanted.label.map(named).transpose()?;
        let rest = |taken: &Self| {
            let taken = [Some(image), taken.site, taken.label, taken.split, taken.caption];
            (0..head.columns.len())
                .filter(move |column| !taken.contains(&Some(*column)))
                .filter(|&column| is_placeable(&head.columns[column]))
                .collect::<Vec<_>>()
        };
        columns.split = rest(&columns)
            .into_iter()
            .find(|&column| have_splits(distinct(head, column).iter().copied()));
        if columns.site.is_none() {
            columns.site = rest(&columns).into_iter().find(|&column| {
                names_holder(&head.columns[column]) && is_grouping(head, column, 2)
            });
        }
        columns.caption = rest(&columns).into_iter().find(|&column| {
            rank(&CAPTIONS, &head.columns[column]).is_some() && is_text(head, column)
        });
        if columns.label.is_none() {
            let mut labels = labels(head, &rest(&columns));
            // A caption shared by several images is a label.
            labels.extend(
                columns.caption.filter(|&it| labels.is_empty() && is_grouping(head, it, 2)),
            );
            if !labels.is_empty() {
                columns.label = Some(labels.remove(0));
                columns.caption = columns.caption.filter(|caption| columns.label != Some(*caption));
                columns.other_labels = labels;
            }
        }
        Ok(Some(columns))
    }

    /// The path of an image below the root.
    pub(super) fn path(&self, value: &str) -> PathBuf {
        PathBuf::from(format!("{}{value}{}", self.prefix, self.suffix))
    }
}

/// Whether a description can name a column: braces mark placeholders, and `:05` pads them.
fn is_placeable(column: &str) -> bool {
    let pads = column.rsplit_once(":0").is_some_and(|(_, width)| width.parse::<u8>().is_ok());
    !column.is_empty() && !column.contains(['{', '}']) && !pads
}

/// Possible label columns, the likeliest first.
fn labels(head: &Head, columns: &[usize]) -> Vec<usize> {
    let mut named: Vec<(bool, usize, usize)> = columns
        .iter()
        .filter_map(|&column| {
            let rank = rank(&LABELS, &head.columns[column])?;
            // Words are of more use to CLIP than numbers.
            (is_grouping(head, column, 1) || head.rows.len() < 10).then_some((
                !is_text(head, column),
                rank,
                column,
            ))
        })
        .collect();
    named.sort_unstable();
    if !named.is_empty() {
        return named.into_iter().map(|(.., column)| column).collect();
    }
    let mut any: Vec<usize> =
        columns.iter().copied().filter(|&column| is_grouping(head, column, 2)).collect();
    any.sort_by_key(|&column| (!is_text(head, column), distinct(head, column).len()));
    any
}

/// The non-empty values of a column at the start of the table.
fn values(head: &Head, column: usize) -> Vec<&str> {
    let values = head.rows.iter().map(|row| row[column].as_str());
    values.filter(|value| !value.is_empty()).collect()
}

fn distinct(head: &Head, column: usize) -> BTreeSet<&str> {
    values(head, column).into_iter().map(str::trim).collect()
}

/// Whether the values of a column group the images: at least `least` values, and fewer than one per two images.
fn is_grouping(head: &Head, column: usize, least: usize) -> bool {
    let (all, different) = (values(head, column).len(), distinct(head, column).len());
    different >= least && 2 * different <= all.max(2 * least)
}

/// Whether the values of a column are words.
fn is_text(head: &Head, column: usize) -> bool {
    let values = distinct(head, column);
    !values.is_empty() && !values.iter().all(|value| value.parse::<f64>().is_ok())
}

/// Possible folders of a table's images, as path prefixes: that of the table first.
fn places(tree: &Tree, table: &Path) -> Vec<String> {
    let slashed =
        |levels: &[String]| levels.iter().map(|name| format!("{name}/")).collect::<String>();
    let beside = table.parent().map(|it| it.iter().map(|it| it.to_string_lossy().into_owned()));
    let beside: Vec<String> = beside.map(Iterator::collect).unwrap_or_default();
    let mut places = vec![slashed(&beside), String::new()];
    let mut folders: Vec<&[String]> = tree.with_images().map(|it| it.levels.as_slice()).collect();
    folders.sort_by_key(|levels| levels.len());
    // Values may start with folders, too.
    let above =
        folders.iter().flat_map(|levels| (0..=levels.len()).rev().map(|end| &levels[..end]));
    for place in above.map(slashed) {
        if places.len() >= MOST_FOLDERS {
            break;
        }
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places.retain(|place| !place.contains(['{', '}']));
    places
}

/// Locates the images with these values: their number, and the text before and after the values.
fn locate(root: &Path, places: &[String], values: &[&str]) -> Option<(usize, String, String)> {
    let probes: Vec<&str> = values.iter().copied().take(PROBES).collect();
    let absolute = probes.first().is_some_and(|value| Path::new(value).is_absolute());
    let nowhere = [String::new()];
    let places = if absolute { &nowhere[..] } else { places };
    let are_files = probes.iter().any(|value| has_extension(Path::new(value)));
    let suffixes: Vec<String> = match are_files {
        true => vec![String::new()],
        false => EXTENSIONS
            .iter()
            .flat_map(|extension| {
                [format!(".{extension}"), format!(".{}", extension.to_uppercase())]
            })
            .collect(),
    };
    let mut best: Option<(usize, String, String)> = None;
    for place in places {
        for suffix in &suffixes {
            let there = |value: &&&str| {
                !value.contains("..") && root.join(format!("{place}{value}{suffix}")).is_file()
            };
            // A few values rule out most columns and places.
            if !probes.iter().take(4).any(|value| there(&value)) {
                continue;
            }
            let found = probes.iter().filter(there).count();
            if best.as_ref().is_none_or(|(most, ..)| found > *most) {
                best = Some((found, place.clone(), suffix.clone()));
            }
        }
    }
    best.filter(|(found, ..)| 2 * found >= probes.len())
}
