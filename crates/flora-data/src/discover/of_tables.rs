//! Images labelled by tables.

use std::collections::BTreeMap;
use std::path::PathBuf;

use flora_core::text::printable;

use super::found::{Discovery, Layout, TablePart};
use super::said::{counted, some_of};
use super::sample;
use super::tables::{Candidate, Content};
use super::tally::{self, Group};
use super::tree::Tree;
use crate::dataset::Split;

/// Reads the images listed in tables.
pub(super) fn of_tables(
    folder: PathBuf,
    tree: &Tree,
    read: Vec<(Candidate, Content)>,
) -> Discovery {
    let sides: [Option<Split>; 2] = match read.len() {
        2 => [Some(Split::Train), Some(Split::Test)],
        _ => [None, None],
    };
    let (mut parts, mut groups, mut images, mut remarks, mut warnings) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((candidate, content), side) in read.into_iter().zip(sides) {
        let splits = candidate.splits(&content);
        let columns = &candidate.columns;
        let place = |column: usize| format!("{{{}}}", candidate.name(column));
        let file = candidate.path.to_string_lossy().into_owned();
        let mut left_out = BTreeMap::<String, usize>::new();
        for row in content.rows {
            let split = match (&splits, &row.split) {
                (Some((train, test)), Some(split)) => match () {
                    () if train.contains(split) => Some(Split::Train),
                    () if test.contains(split) => Some(Split::Test),
                    () => {
                        *left_out.entry(split.clone()).or_default() += 1;
                        continue;
                    }
                },
                _ => side,
            };
            let extension = row.image.extension().unwrap_or_default().to_string_lossy();
            groups.push(Group {
                class: row.label,
                site: row.site,
                split,
                formats: BTreeMap::from([(extension.to_lowercase(), 1)]),
                images: 1,
            });
            images.push(folder.join(row.image));
        }
        for (name, rows) in left_out {
            let rows = counted(rows, "row");
            remarks.push(format!(
                "{file}: {} ({rows}) is left out; [layout.split] can name it",
                printable(&name)
            ));
        }
        if !columns.other_labels.is_empty() {
            let others: Vec<_> =
                columns.other_labels.iter().map(|it| candidate.name(*it)).collect();
            let label = columns.label.map(|label| candidate.name(label)).unwrap_or_default();
            remarks.push(format!(
                "the labels are taken from the column {label:?}; --label takes them from another ({})",
                some_of(&others, 4)
            ));
        }
        for (wrong, (rows, line)) in content.wrong {
            let rows = counted(rows, "row");
            warnings.push(format!(
                "{file}: {rows} {wrong}, the first in line {line}; correct or remove them"
            ));
        }
        parts.push(TablePart {
            kind: candidate.head.kind,
            image: format!("{}{}{}", columns.prefix, place(columns.image), columns.suffix),
            label: columns.label.map(place).unwrap_or_default(),
            domain: columns.site.map(place),
            split: candidate
                .columns
                .split
                .zip(splits)
                .map(|(column, (train, test))| (candidate.name(column).to_owned(), train, test)),
            file,
        });
    }
    let root = folder.clone();
    let mut found = tally::count(folder, Layout::Tables { root, parts }, groups);
    found.reasons.extend(remarks);
    found.warnings.extend(warnings);
    tally::finish(&mut found, tree, sample::of_files(&images));
    found
}
