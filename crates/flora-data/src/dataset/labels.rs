//! Labels of classes in the files of a data set.

use std::collections::{BTreeMap, HashMap};

use super::Sample;
use super::class_names::class_names;
use super::description::Description;
use super::numbers::Numbers;
use crate::Error;

/// How a label in a file is mapped to a class.
#[derive(Debug)]
pub(super) enum Labels {
    /// By the key of a listed class, or by its name if it has no key.
    Keys(HashMap<String, usize>),
    /// By its number.
    Numbers(Numbers),
    /// No classes are listed: every label is a class, numbered in order of occurrence.
    Found(BTreeMap<String, usize>),
}

impl Labels {
    pub(super) fn new(
        description: &Description,
        first_label: Option<usize>,
    ) -> Result<Self, Error> {
        let classes = &description.classes;
        if let Some(first) = first_label {
            if classes.is_empty() {
                return Err(description.field(
                    "classes",
                    "the labels are numbers, which do not name their classes",
                    "list the classes in the order of their numbers",
                ));
            }
            if let Some(at) = classes.iter().position(|class| class.key.is_some()) {
                return Err(description.field(
                    format!("classes[{at}].key"),
                    "the labels are numbers: `layout.first_label` says so",
                    "remove one of the two",
                ));
            }
            return Ok(Self::Numbers(Numbers { first, count: classes.len() }));
        }
        if classes.is_empty() {
            return Ok(Self::Found(BTreeMap::new()));
        }
        let mut keys = HashMap::new();
        for (label, class) in classes.iter().enumerate() {
            let key = class.key.as_ref().unwrap_or(&class.name);
            if keys.insert(key.clone(), label).is_some() {
                return Err(description.field(
                    format!("classes[{label}].key"),
                    format!("{key:?} is the key of an earlier class"),
                    "give each class the key that the files of the data set have for it",
                ));
            }
        }
        Ok(Self::Keys(keys))
    }

    /// The index of the class, or the problem of the label.
    pub(super) fn place(&mut self, label: &str) -> Result<usize, String> {
        match self {
            Self::Keys(keys) => keys.get(label).copied().ok_or_else(|| {
                let mut problem =
                    format!("the class {label:?} is not among the {} listed ones", keys.len());
                if label.parse::<usize>().is_ok() {
                    problem +=
                        " (where classes are numbers, `layout.first_label` is that of the first)";
                }
                problem
            }),
            Self::Numbers(numbers) => {
                // Tables that were once floating-point write integers like this.
                let digits = label.strip_suffix(".0").unwrap_or(label);
                let number = digits.parse::<usize>().ok();
                number.and_then(|number| numbers.place(number)).ok_or_else(|| {
                    let (first, last) = (numbers.first, numbers.last());
                    let mut problem =
                        format!("the label {label:?} is not a number from {first} to {last}");
                    if number == Some(last + 1) {
                        let next = first + 1;
                        problem += &format!(
                            " (where labels begin at {next}, `layout.first_label = {next}` says so)"
                        );
                    }
                    problem
                })
            }
            Self::Found(_) if label.trim().is_empty() => Err("the label is empty".to_owned()),
            Self::Found(found) => {
                let next = found.len();
                Ok(*found.entry(label.to_owned()).or_insert(next))
            }
        }
    }

    /// The class names. Classes that were found are sorted, and the samples relabelled.
    pub(super) fn finish(
        self,
        description: &Description,
        samples: &mut [Sample],
    ) -> Result<Vec<String>, Error> {
        let Self::Found(found) = self else {
            return Ok(description.classes.iter().map(|class| class.name.clone()).collect());
        };
        let names = class_names(description, "labels", found.keys())?;
        let mut sorted = vec![0; found.len()];
        for (place, (_, &number)) in found.iter().enumerate() {
            sorted[number] = place as u32;
        }
        for sample in samples {
            sample.label = sorted[sample.label()];
        }
        Ok(names)
    }
}
