//! The idx format of MNIST and its successors.

use std::path::{Path, PathBuf};

use super::description::Description;
use super::idx_file::{Array, read};
use super::layout::IdxLayout;
use super::{Built, Sample, Source, Split};
use crate::Error;

/// Read the four files of a layout and check them against each other and the classes.
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
    let classes = description.classes.len();
    let mut samples = Vec::new();
    let mut read_split = |split, images: &Path, labels: &Path| {
        let images = read(&find(description, root, images)?, 3)?;
        let labels = read(&find(description, root, labels)?, 1)?;
        check_pair(description, &images, &labels)?;
        for &label in &labels.bytes {
            samples.push(Sample::new(samples.len(), usize::from(label), None, Some(split)));
        }
        Ok::<_, Error>(images)
    };
    let train = read_split(Split::Train, &layout.train_images, &layout.train_labels)?;
    let test = read_split(Split::Test, &layout.test_images, &layout.test_labels)?;
    for (label, class) in description.classes.iter().enumerate() {
        if !samples.iter().any(|sample| sample.label() == label) {
            return Err(description.class_count(
                format!(
                    "`classes` lists {classes}, but no image has label {label} ({:?})",
                    class.name
                ),
                "list the classes that the label files have, in the order of their labels",
            ));
        }
    }
    Ok(Built {
        classes: description.classes.iter().map(|c| c.name.clone()).collect(),
        domains: Vec::new(),
        samples,
        source: Source::Idx { train, test, invert: layout.invert },
    })
}

fn check_pair(description: &Description, images: &Array, labels: &Array) -> Result<(), Error> {
    if images.dims[0] != labels.dims[0] {
        return Err(Error::Damaged {
            file: labels.file.clone(),
            problem: format!(
                "it has {} labels, but {} has {} images",
                labels.dims[0],
                images.file.display(),
                images.dims[0]
            ),
            remedy: "give the labels that belong to the images".to_owned(),
        });
    }
    let classes = description.classes.len();
    let worst = labels.bytes.iter().enumerate().max_by_key(|(_, label)| **label);
    match worst {
        Some((index, &label)) if usize::from(label) >= classes => Err(description.class_count(
            format!(
                "`classes` lists {classes}, but item {index} of {} has label {label}",
                labels.file.display()
            ),
            format!("list {} classes, in the order of their labels", u16::from(label) + 1),
        )),
        _ => Ok(()),
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

/// The name that a file has if it is packed, or unpacked, against what the description says.
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
