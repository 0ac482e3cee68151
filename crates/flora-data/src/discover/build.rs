//! From a folder to its discovered contents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Unclear;
use super::columns::Wanted;
use super::found::{Discovery, FoundClass, Layout};
use super::levels;
use super::of_folders::of_folders;
use super::of_tables::of_tables;
use super::said::some_of;
use super::tables::{self, Candidate};
use super::tally::{self, Group};
use super::tree::Tree;
use crate::Error;
use crate::dataset::Dataset;

/// A folder that has a description.
pub(super) fn described(folder: PathBuf, description: PathBuf) -> Result<Discovery, Error> {
    let dataset = Dataset::open(&description, None)?;
    let official = dataset.has_official_split();
    let group = |i: usize| Group {
        class: dataset.classes()[dataset.label(i)].clone(),
        site: dataset.domain(i).map(|site| dataset.domains()[site].clone()),
        split: official.then(|| dataset.split(i)),
        formats: BTreeMap::new(),
        images: 1,
    };
    let groups: Vec<Group> = (0..dataset.len()).map(group).collect();
    let mut found = tally::count(folder, Layout::Described(description), groups);
    found.name = tally::short_name(dataset.name());
    // In the order of the description, with its own names.
    let place = |class: &FoundClass| dataset.classes().iter().position(|name| *name == class.key);
    found.classes.sort_by_key(place);
    for class in &mut found.classes {
        class.name = class.key.clone();
    }
    found.reasons.push("the folder has a description, which is used as it is".to_owned());
    Ok(found)
}

/// A folder without a description.
pub(super) fn guess(
    folder: PathBuf,
    tree: &Tree,
    only: Option<&Path>,
    wanted: Wanted<'_>,
) -> Result<Discovery, Unclear> {
    let unusable = |problem: String| {
        Unclear::new(problem, "correct the table, or name its columns with --label and --site")
    };
    let (candidates, mut remarks) =
        tables::candidates(&folder, tree, only, wanted).map_err(unusable)?;
    let (labelled, others): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|candidate| candidate.columns.label.is_some());
    let captions =
        others.iter().find(|candidate| candidate.columns.caption.is_some()).map(captions);
    let all = labelled.iter().map(|it| it.path.display().to_string()).collect::<Vec<_>>();
    let chosen = tables::choose(labelled);
    let must = only.is_some() || wanted.label.is_some() || wanted.site.is_some();
    let mut read = Vec::new();
    for candidate in chosen {
        match candidate.read(&folder) {
            Ok(content) => read.push((candidate, content)),
            Err(problem) if must => return Err(unusable(problem)),
            Err(problem) => remarks.push(format!("{}: {problem}", candidate.path.display())),
        }
    }
    let listed: usize = read.iter().map(|(_, content)| content.rows.len()).sum();
    let reading = levels::guess(tree);
    if listed > 0 && (must || reading.is_err() || 2 * listed >= tree.images()) {
        let unused: Vec<_> = all
            .into_iter()
            .filter(|path| read.iter().all(|(it, _)| it.path.display().to_string() != *path))
            .collect();
        if !unused.is_empty() {
            let say = some_of(&unused, 3);
            remarks.push(format!(
                "{say} has labels, too, and is not read; `flora init FILE` reads another table"
            ));
        }
        let mut found = of_tables(folder, tree, read);
        found.reasons.splice(0..0, remarks);
        return Ok(found);
    }
    if must {
        let problem = "there is no table that names images which are there, and their labels";
        return Err(unusable(problem.to_owned()));
    }
    match reading {
        Ok(reading) => {
            let mut found = of_folders(folder, tree, reading)?;
            found.reasons.extend(remarks.into_iter().chain(captions));
            if !all.is_empty() {
                found.reasons.push(format!(
                    "{} names fewer than half of the images, so the folders are used; `flora init FILE` reads the \
                     table",
                    some_of(&all, 3)
                ));
            }
            Ok(found)
        }
        Err(unclear) => Err(explained(unclear, tree, captions, &remarks)),
    }
}

/// Describes other contents if nothing can be read.
fn explained(
    unclear: Unclear,
    tree: &Tree,
    captions: Option<String>,
    remarks: &[String],
) -> Unclear {
    let Unclear { mut problem, remedy } = unclear;
    for remark in captions.iter().chain(remarks) {
        problem += &format!("; {remark}");
    }
    if tree.images() > 0 || tree.packed.is_empty() {
        return Unclear { problem, remedy };
    }
    let packed: Vec<_> = tree.packed.iter().copied().collect();
    let remedy = "the kinds of layouts are in docs/datasets.md";
    Unclear::new(format!("{problem}, but there are {}", packed.join("; and ")), remedy)
}

fn captions(candidate: &Candidate) -> String {
    let column = candidate.columns.caption.map(|column| candidate.name(column)).unwrap_or_default();
    format!(
        "{} has texts ({column:?}) and no labels: `flora run` needs classes; for `flora retrieve`, see [texts] in \
         docs/datasets.md",
        candidate.path.display()
    )
}
