//! The idx format of MNIST and its successors.

use std::path::{Path, PathBuf};

use flora_core::images::PassedOver;

use super::description::Description;
use super::idx_file::{Array, read};
use super::layout::IdxLayout;
use super::numbers::Numbers;
use super::{Built, Sample, Source, Split};
use crate::Error;

/// Reads the four files of a layout and checks them against each other and the classes.
pub(super) fn build(
    description: &Description,
    layout: &IdxLayout,
    root: &Path,
) -> Result<Built, Error> {
    if let Some(at) = description.classes.iter().position(|c| c.key.is_some()) {
        return Err(description.field(
            format!("classes[{at}].folder"),
            "idx files have no folders",
            "remove it: the order of the classes is the order of the labels",
        ));
    }
    if description.classes.is_empty() {
        return Err(description.field(
            "classes",
            "idx files do not name their classes",
            "add one [[classes]] entry with a `name` for each label, in order",
        ));
    }
    let numbers = Numbers { first: layout.first_label, count: description.classes.len() };
    let read_split = |images: &Path, labels: &Path| {
        let images = read(&find(description, root, images)?, 3)?;
        let labels = read(&find(description, root, labels)?, 1)?;
        check_pair(&images, &labels)?;
        Ok::<_, Error>((images, labels))
    };
    let (train, train_labels) = read_split(&layout.train_images, &layout.train_labels)?;
    let (test, test_labels) = read_split(&layout.test_images, &layout.test_labels)?;
    check_labels(description, numbers, [&train_labels, &test_labels])?;
    let of = |split, labels: Array| labels.bytes.into_iter().map(move |label| (split, label));
    let labelled = of(Split::Train, train_labels).chain(of(Split::Test, test_labels));
    let samples = labelled
        .filter_map(|(split, label)| Some((split, numbers.place(label)?)))
        .enumerate()
        .map(|(at, (split, label))| Sample::new(at, label, None, Some(split)))
        .collect();
    Ok(Built {
        classes: description.classes.iter().map(|c| c.name.clone()).collect(),
        domains: Vec::new(),
        samples,
        source: Source::Idx { train, test, invert: layout.invert, transpose: layout.transpose },
        passed_over: PassedOver::default(),
    })
}

fn check_pair(images: &Array, labels: &Array) -> Result<(), Error> {
    if images.dims[0] == labels.dims[0] {
        return Ok(());
    }
    Err(Error::Damaged {
        file: labels.file.clone(),
        problem: format!(
            "it has {} labels, but {} has {} images",
            labels.dims[0],
            images.file.display(),
            images.dims[0]
        ),
        remedy: "give the labels that belong to the images".to_owned(),
    })
}

/// Checks that every label is that of a class, and every class has an image.
fn check_labels(
    description: &Description,
    numbers: Numbers,
    files: [&Array; 2],
) -> Result<(), Error> {
    let mut found = [false; 256];
    let all = files.into_iter().flat_map(|file| &file.bytes);
    all.for_each(|&label| found[usize::from(label)] = true);
    let listed = format!("`classes` lists {}", numbers.count);
    let least = found.iter().position(|found| *found).unwrap_or(0);
    let most = found.iter().rposition(|found| *found).unwrap_or(0);
    // The setting that fits the files, if only the first label is wrong.
    let begin = (least != numbers.first && most + 1 - least == numbers.count)
        .then(|| format!("labels begin at {least}: set `layout.first_label = {least}`"));
    let strange = |label: &u8| numbers.place(*label).is_none();
    for file in files {
        if let Some(index) = file.bytes.iter().position(strange) {
            let label = file.bytes[index];
            return Err(description.class_count(
                format!(
                    "{listed}, for the labels {} to {}, but item {index} of {} has label {label}",
                    numbers.first,
                    numbers.last(),
                    file.file.display()
                ),
                begin.unwrap_or_else(|| {
                    let count = most + 1 - least.min(numbers.first);
                    format!("list {count} classes, in the order of their labels")
                }),
            ));
        }
    }
    let number = |place: usize| numbers.first.saturating_add(place);
    let without = |place: &usize| found.get(number(*place)) != Some(&true);
    match (0..numbers.count).find(without) {
        None => Ok(()),
        Some(place) => Err(description.class_count(
            format!(
                "{listed}, but no image has label {} ({:?}){}",
                number(place),
                description.classes[place].name,
                if number(place) < found.len() { "" } else { ": the largest label of an idx file is 255" }
            ),
            begin.unwrap_or_else(|| {
                "list the classes that the label files have, in the order of their labels; where the labels \
                 begin at 1, set `layout.first_label = 1`"
                    .to_owned()
            }),
        )),
    }
}

/// The file, with or without `.gz`: distributions differ in whether they unpack it.
fn find(description: &Description, root: &Path, name: &Path) -> Result<PathBuf, Error> {
    let path = root.join(name);
    match [path.clone(), other_name(&path)].into_iter().find(|path| path.is_file()) {
        Some(found) => Ok(found),
        None => Err(description.missing("idx file", path)),
    }
}

/// The name of the file in packed or unpacked form, unlike in the description.
pub(super) fn other_name(path: &Path) -> PathBuf {
    match path.extension() {
        Some(extension) if extension == "gz" => path.with_extension(""),
        _ => {
            let mut longer = path.to_owned().into_os_string();
            longer.push(".gz");
            longer.into()
        }
    }
}
