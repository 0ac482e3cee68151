use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The weight of each class in the loss [`ClassCe`](crate::LossKind::ClassCe).
///
/// In TOML `"none"`, `"balanced"`, or a table of class names and weights. The loss of a batch is the weighted mean, as
/// in `torch.nn.CrossEntropyLoss(weight=...)`: `sum_i w[y_i] l_i / sum_i w[y_i]`, where `l_i` is the cross-entropy of
/// image `i` and `y_i` its class.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum ClassWeights {
    /// Every image has the same weight.
    #[default]
    None,
    /// Every class has the same total weight: each of the `n_c` images of class `c` has the weight `n / (k n_c)`, where
    /// `n` is the number of a client's training images and `k` the number of classes among them. These are the weights
    /// of scikit-learn's `compute_class_weight("balanced", ...)`. Each client has its own.
    Balanced,
    /// The given weights, the same for all clients; classes that are not named have a weight of 1.
    Table(BTreeMap<String, f64>),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"none\", \"balanced\" or a table of class names and weights"
)]
enum Written {
    Word(String),
    Table(BTreeMap<String, f64>),
}

impl TryFrom<Written> for ClassWeights {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Word(word) if word == "none" => Ok(Self::None),
            Written::Word(word) if word == "balanced" => Ok(Self::Balanced),
            Written::Word(word) => Err(format!(
                "{word:?} is neither \"none\" or \"balanced\" nor a table of class names and weights"
            )),
            Written::Table(table) => Ok(Self::Table(table)),
        }
    }
}

impl From<ClassWeights> for Written {
    fn from(weights: ClassWeights) -> Self {
        match weights {
            ClassWeights::None => Self::Word("none".to_owned()),
            ClassWeights::Balanced => Self::Word("balanced".to_owned()),
            ClassWeights::Table(table) => Self::Table(table),
        }
    }
}

impl ClassWeights {
    /// Whether every image has the same weight.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Checks that the weights are valid; an error names the class.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self::Table(table) = self else { return Ok(()) };
        for (class, &weight) in table {
            // With weights of zero only, a batch has no mean.
            if !(weight.is_finite() && weight > 0.0) {
                return Err(format!("{weight} for {class:?} is not a positive number"));
            }
            let single = weight as f32;
            if !single.is_finite() || single == 0.0 {
                return Err(format!("{weight:e} for {class:?} does not fit in single precision"));
            }
        }
        Ok(())
    }

    /// Checks that the named classes exist.
    pub(crate) fn check_names(&self, classes: &[String]) -> Result<(), String> {
        let Self::Table(table) = self else { return Ok(()) };
        match table.keys().find(|name| !classes.contains(name)) {
            Some(name) => {
                Err(format!("there is no class {name:?}; choose among {}", classes.join(", ")))
            }
            None => Ok(()),
        }
    }

    /// The weight of every class for a client whose training images have these labels; `None` if every image has the
    /// same weight. A class that the client lacks has a weight of 1, which is never used.
    pub(crate) fn of(
        &self,
        labels: &[usize],
        classes: usize,
        names: &[String],
    ) -> Option<Vec<f32>> {
        match self {
            Self::None => None,
            Self::Balanced => {
                let mut counts = vec![0usize; classes];
                for &label in labels {
                    counts[label] += 1;
                }
                let held = counts.iter().filter(|&&count| count > 0).count();
                let weight = |count| match count {
                    0 => 1.0,
                    count => (labels.len() as f64 / (held * count) as f64) as f32,
                };
                Some(counts.into_iter().map(weight).collect())
            }
            Self::Table(table) => {
                let weight = |name| table.get(name).map_or(1.0, |&weight| weight as f32);
                Some(names.iter().map(weight).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Document {
        weights: ClassWeights,
    }

    fn read(text: &str) -> Result<Document, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn words_and_tables_survive_toml() {
        for text in ["weights = \"none\"\n", "weights = \"balanced\"\n", "[weights]\ncat = 2.5\n"] {
            assert_eq!(toml::to_string(&read(text).unwrap()).unwrap(), text);
        }
        assert!(read("weights = \"even\"").unwrap_err().contains("\"balanced\""));
        assert!(read("weights = 3").unwrap_err().contains("expected \"none\""));
    }

    #[test]
    fn weights_are_positive_and_of_classes_that_there_are() {
        let table = |weight| ClassWeights::Table([("cat".to_owned(), weight)].into());
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-300, 1e300] {
            assert!(table(bad).check().unwrap_err().contains("\"cat\""));
        }
        table(0.1).check().unwrap();
        let message = table(1.0).check_names(&["dog".into(), "cow".into()]).unwrap_err();
        assert!(message.contains("\"cat\"") && message.contains("dog, cow"), "{message}");
        table(1.0).check_names(&["dog".into(), "cat".into()]).unwrap();
    }

    #[test]
    fn a_table_names_some_classes() {
        let classes = ["cat", "dog"].map(str::to_owned);
        let table = ClassWeights::Table([("dog".to_owned(), 3.0)].into());
        assert_eq!(table.of(&[0, 0], 2, &classes), Some(vec![1.0, 3.0]));
        assert_eq!(ClassWeights::None.of(&[0], 2, &classes), None);
    }

    #[derive(Deserialize)]
    struct Fixture {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        classes: usize,
        labels: Vec<usize>,
        weights: Vec<f64>,
    }

    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        let fixture: Fixture =
            serde_json::from_str(include_str!("../tests/fixtures/class_weights.json")).unwrap();
        assert!(fixture.cases.len() >= 5);
        for Case { classes, labels, weights } in fixture.cases {
            let ours = ClassWeights::Balanced.of(&labels, classes, &[]).unwrap();
            for (class, weight) in weights.into_iter().enumerate() {
                assert_eq!(ours[class], weight as f32, "class {class} of {labels:?}");
            }
        }
    }
}
