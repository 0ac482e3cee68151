//! Predictions image by image, as `flora eval --predictions` writes them.

use std::{collections::BTreeMap, path::Path};

pub(in crate::page) use crate::folder::{PREDICTIONS as AFTER, PREDICTIONS_BEFORE as BEFORE};
use crate::page::charts::Counts;

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
        let after = Listed::read(&file).map_err(|problem| format!("{AFTER}: {problem}"))?;
        let mut predictions = Self { classes: after.classes, ..Self::default() };
        let earlier = folder.join(BEFORE);
        let mut before = BTreeMap::new();
        if earlier.exists() {
            let listed = Listed::read(&earlier).map_err(|it| format!("{BEFORE}: {it}"))?;
            if listed.classes == predictions.classes {
                predictions.has_before = true;
                before.extend(listed.rows.into_iter().map(|it| ((it.path, it.label), it.guess)));
            } else {
                predictions.notes.push(format!(
                    "{BEFORE} is left out: its classes are not those of {AFTER}. Write it again, of the same images."
                ));
            }
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
    fn read(path: &Path) -> Result<Self, String> {
        let mut table = csv::Reader::from_path(path).map_err(|error| error.to_string())?;
        let header = table.headers().map_err(|error| error.to_string())?.clone();
        let column = |name: &str| {
            let found = header.iter().position(|title| title == name);
            found.ok_or_else(|| {
                format!("has no column {name}: write it with `flora eval --predictions`, of labelled images")
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
            let record = record.map_err(|error| error.to_string())?;
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
