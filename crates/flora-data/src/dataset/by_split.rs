//! Training and test images in different layouts.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use flora_core::images::PassedOver;

use super::description::Description;
use super::layout::BySplitLayout;
use super::{Built, Sample, Source, Split};
use crate::Error;

/// Reads the part of each split, and joins them.
pub(super) fn build(
    description: &Description,
    layout: &BySplitLayout,
    root: &Path,
) -> Result<Built, Error> {
    if description.classes.is_empty() {
        let problem = "the two parts could number their classes differently";
        return Err(description.field("classes", problem, "list the classes"));
    }
    let parts = [(Split::Train, &layout.train, "train"), (Split::Test, &layout.test, "test")];
    let mut built = Vec::new();
    for (split, part, name) in parts {
        let folder = part.root().map_or_else(|| root.to_owned(), |below| root.join(below));
        let folder = description.folder(folder)?;
        let part =
            Built::read(description, part, &folder).map_err(|error| error.in_layout_part(name))?;
        built.push((split, name, part));
    }
    let domains: BTreeSet<String> =
        built.iter().flat_map(|(_, _, part)| part.domains.iter().cloned()).collect();
    let numbers: BTreeMap<&String, usize> = domains.iter().zip(0..).collect();
    let mut images = Vec::new();
    let mut samples = Vec::new();
    let mut seen = HashSet::new();
    let mut passed_over = PassedOver::default();
    for (split, name, part) in built {
        passed_over.extend(part.passed_over);
        let unusable = |problem: String| {
            let remedy = "use a part that is one kind of image files, without a split";
            description.field(format!("layout.{name}"), problem, remedy)
        };
        let Source::Files(files) = part.source else {
            return Err(unusable("its images are not files of their own".to_owned()));
        };
        if part.domains.is_empty() && !domains.is_empty() {
            return Err(unusable("it has no domains, and the other part has some".to_owned()));
        }
        for sample in part.samples {
            if sample.official.is_some() {
                return Err(unusable("it has a split of its own".to_owned()));
            }
            let file = &files[sample.place as usize];
            if !seen.insert(file.clone()) {
                return Err(unusable(format!("the image {} is in both parts", file.display())));
            }
            let domain = sample.domain.map(|domain| numbers[&part.domains[domain as usize]]);
            samples.push(Sample::new(images.len(), sample.label(), domain, Some(split)));
            images.push(file.clone());
        }
    }
    Ok(Built {
        classes: description.classes.iter().map(|class| class.name.clone()).collect(),
        domains: domains.into_iter().collect(),
        samples,
        source: Source::Files(images),
        passed_over,
    })
}
