//! Predictions image by image, as `flora eval --predictions` writes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

pub(in crate::page) use crate::folder::{PREDICTIONS as AFTER, PREDICTIONS_BEFORE as BEFORE};
use crate::{folder::read, page::charts::Counts};

/// The remedy for a damaged list of the trained model's predictions. The page has the command.
const AGAIN: &str = "write it again, with the command in the section Predictions";

/// Predictions of labelled images, before and after training.
#[derive(Debug, Default)]
pub(in crate::page) struct Predictions {
    /// In the order of the file.
    pub(in crate::page) classes: Vec<String>,
    pub(in crate::page) images: Vec<Image>,
    /// What the reader of the numbers should know.
    pub(in crate::page) notes: Vec<String>,
    /// Whether there are predictions of the model before training.
    pub(in crate::page) has_before: bool,
}

/// An image with its true class.
#[derive(Debug, PartialEq)]
pub(in crate::page) struct Image {
    pub(in crate::page) path: String,
    pub(in crate::page) label: usize,
    pub(in crate::page) after: Guess,
    pub(in crate::page) before: Option<Guess>,
}

/// What an image was taken for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::page) struct Guess {
    pub(in crate::page) class: usize,
    /// The share that the class gets, 0..1.
    pub(in crate::page) probability: f64,
}

impl Image {
    pub(in crate::page) fn is_right(&self) -> bool {
        self.after.class == self.label
    }

    pub(in crate::page) fn was_right(&self) -> Option<bool> {
        self.before.map(|before| before.class == self.label)
    }
}

/// A file as it is.
struct Listed {
    classes: Vec<String>,
    rows: Vec<Row>,
}

struct Row {
    path: String,
    label: usize,
    guess: Guess,
}

impl Predictions {
    /// Reads the predictions in a run's folder; `None` where there are none of the trained model.
    pub(in crate::page) fn read(folder: &Path) -> Result<Option<Self>, String> {
        let file = folder.join(AFTER);
        if !file.exists() {
            return Ok(None);
        }
        let after = Listed::read(&file).map_err(|it| format!("{AFTER}: {it}; {AGAIN}"))?;
        if after.rows.is_empty() {
            return Err(format!("{AFTER}: it lists no labelled images; {AGAIN}"));
        }
        let mut predictions = Self { classes: after.classes, ..Self::default() };
        let earlier = folder.join(BEFORE);
        let mut before = BTreeMap::new();
        if earlier.exists() {
            let listed = Listed::read(&earlier).and_then(|listed| match listed.classes {
                ref classes if *classes == predictions.classes => Ok(listed.rows),
                _ => Err(format!("its classes are not those of {AFTER}")),
            });
            match listed {
                Ok(rows) => {
                    predictions.has_before = true;
                    before.extend(rows.into_iter().map(|it| ((it.path, it.label), it.guess)));
                }
                Err(problem) => predictions.notes.push(format!(
                    "{BEFORE} is left out: {problem}. Write it again, of the same images."
                )),
            }
        }
        // A file that was cut at the end of a line is like one of fewer images.
        let listed: BTreeSet<_> = after.rows.iter().map(|row| (&row.path, row.label)).collect();
        let more = before.keys().filter(|(path, label)| !listed.contains(&(path, *label))).count();
        if more > 0 {
            predictions.notes.push(format!(
                "{AFTER} lacks {more} of the {} images in {BEFORE}. Write both again, of the same images.",
                before.len()
            ));
        }
        let image = |row: Row| {
            let before = before.get(&(row.path.clone(), row.label)).copied();
            Image { path: row.path, label: row.label, after: row.guess, before }
        };
        predictions.images = after.rows.into_iter().map(image).collect();
        let lacking = predictions.images.iter().filter(|it| it.before.is_none()).count();
        if predictions.has_before && lacking > 0 {
            predictions.notes.push(format!(
                "{BEFORE} lacks {lacking} of {} images; what is said of before training is of the others.",
                predictions.images.len()
            ));
        }
        Ok(Some(predictions))
    }

    /// How many images of each class were taken for each class, by true and predicted class.
    pub(in crate::page) fn confusion(&self) -> Counts {
        self.count(|image| Some(image.after.class))
    }

    /// The same before training; `None` where that is not known of all images.
    pub(in crate::page) fn confusion_before(&self) -> Option<Counts> {
        let known = self.has_before && self.images.iter().all(|image| image.before.is_some());
        known.then(|| self.count(|image| image.before.map(|guess| guess.class)))
    }

    fn count(&self, class: impl Fn(&Image) -> Option<usize>) -> Counts {
        let mut counts = Counts::new();
        for image in &self.images {
            if let Some(class) = class(image) {
                *counts.entry((image.label, class)).or_default() += 1;
            }
        }
        counts
    }

    /// Share of right answers after training, and before it; each of the images of which it is known.
    pub(in crate::page) fn accuracies(&self) -> (Option<f64>, Option<f64>) {
        let share = |right: Vec<bool>| {
            let count = right.iter().filter(|right| **right).count();
            (!right.is_empty()).then(|| count as f64 / right.len() as f64)
        };
        let after = self.images.iter().map(Image::is_right).collect();
        (share(after), share(self.images.iter().filter_map(Image::was_right).collect()))
    }
}

impl Listed {
    /// Reads a whole file. Of a file that was cut, nothing is used: images are in the order of their classes, so that the
    /// shares of a part of them are not those of the whole.
    fn read(path: &Path) -> Result<Self, String> {
        let mut file = read::open_limited(path).map_err(|error| error.to_string())?;
        if is_cut(&mut file).map_err(|error| error.to_string())? {
            return Err("its last line is cut".to_owned());
        }
        let mut table = csv::Reader::from_reader(file);
        let header = table.headers().map_err(|error| error.to_string())?.clone();
        let column = |name: &str| {
            let found = header.iter().position(|title| title == name);
            found.ok_or_else(|| {
                format!(
                    "has no column {name}: `flora eval --predictions` writes it, of labelled images"
                )
            })
        };
        let (at_path, at_label) = (column("path")?, column("label")?);
        let (at_class, at_probability) = (column("prediction")?, column("probability")?);
        let class = |title: &str| Some(title.strip_prefix("p(")?.strip_suffix(')')?.to_owned());
        let classes: Vec<String> =
            header.iter().skip(at_probability + 1).filter_map(class).collect();
        let number: BTreeMap<&str, usize> =
            classes.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        let mut rows = Vec::new();
        for record in table.records() {
            let record = record.map_err(|error| match error.kind() {
                csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
                    let line = pos.as_ref().map_or(0, csv::Position::line);
                    format!("line {line} has {len} values, and the first line has {expected_len}")
                }
                _ => error.to_string(),
            })?;
            let line = record.position().map_or(0, csv::Position::line);
            let known = |at: usize| {
                let name = &record[at];
                let found = number.get(name).copied();
                found.ok_or_else(|| format!("line {line}: there is no column p({name})"))
            };
            let probability = record[at_probability].parse();
            let probability: f64 = probability.map_err(|_| {
                format!("line {line}: {:?} is no probability", &record[at_probability])
            })?;
            // Images without a true class, of a file of many.
            if record[at_label].is_empty() {
                continue;
            }
            let guess = Guess { class: known(at_class)?, probability };
            rows.push(Row { path: record[at_path].to_owned(), label: known(at_label)?, guess });
        }
        Ok(Self { classes, rows })
    }
}

/// Whether the last line lacks its end. Without it, a number may lack digits and still be a number.
fn is_cut(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    let bytes = file.metadata()?.len();
    if bytes > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        file.rewind()?;
    }
    Ok(bytes > 0 && last != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LIST: &str = "path,label,prediction,probability,p(cat),p(dog)\n\
                        a.png,cat,cat,0.75,0.75,0.25\n\
                        b.png,cat,dog,0.5625,0.4375,0.5625\n\
                        c.png,dog,dog,0.98,0.02,0.98\n";

    /// At every byte, such as between the digits of 0.98.
    #[test]
    fn of_a_cut_file_nothing_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let (after, before) = (folder.path().join(AFTER), folder.path().join(BEFORE));
        let read = || Predictions::read(folder.path()).map(Option::unwrap);
        fs::write(&before, LIST).unwrap();
        for end in 1..LIST.len() {
            fs::write(&after, &LIST[..end]).unwrap();
            if LIST[..end].ends_with('\n') {
                continue;
            }
            let problem = read().unwrap_err();
            assert_eq!(problem, format!("predictions.csv: its last line is cut; {AGAIN}"), "{end}");
        }
        // Between two lines.
        let lines = |count: usize| LIST.split_inclusive('\n').take(count).collect::<String>();
        fs::write(&after, lines(3)).unwrap();
        assert_eq!(
            read().unwrap().notes,
            [
                "predictions.csv lacks 1 of the 3 images in predictions-before.csv. Write both again, of the same images."
            ]
        );
        for whole in [String::new(), lines(1)] {
            fs::write(&after, &whole).unwrap();
            let problem = read().unwrap_err();
            assert!(problem.starts_with("predictions.csv: ") && problem.ends_with(AGAIN));
        }
        fs::write(&after, LIST).unwrap();
        let whole = read().unwrap();
        assert_eq!((whole.images.len(), whole.has_before, whole.notes.len()), (3, true, 0));
        // The trained model's predictions are whole, whatever is wrong with the others.
        for end in 1..LIST.len() {
            fs::write(&before, &LIST[..end]).unwrap();
            if LIST[..end].ends_with('\n') {
                continue;
            }
            let read = read().unwrap();
            assert_eq!((read.images.len(), read.has_before), (3, false), "{end}");
            assert_eq!(
                read.notes,
                [
                    "predictions-before.csv is left out: its last line is cut. Write it again, of the same images."
                ]
            );
        }
    }

    #[test]
    fn a_line_with_too_few_values_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let short = LIST.replace(",0.4375,0.5625", ",0.4375");
        fs::write(folder.path().join(AFTER), short).unwrap();
        let problem = Predictions::read(folder.path()).unwrap_err();
        let expected = "predictions.csv: line 3 has 5 values, and the first line has 6; ";
        assert!(problem.starts_with(expected), "{problem}");
    }
}
