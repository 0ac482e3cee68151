use std::str::FromStr;

use flora_clip::{Precision, TextConfig};

use crate::BenchError;

/// The settings of a benchmark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Images, texts or samples per batch.
    pub batch: usize,
    /// The length of texts.
    pub tokens: TextLength,
    /// The classes in a batch of [`Workload::LoraStep`](crate::Workload::LoraStep). With a number, the step is that of
    /// a client with that many classes, on the fast path: only distinct prompts are encoded and their features
    /// gathered, and nothing that training does not change is recomputed. Without it, nothing is saved: every sample
    /// has its own text, encoded from its tokens.
    pub classes: Option<usize>,
    /// The precision of products of the frozen vision tower in [`Workload::ImageEncode`](crate::Workload::ImageEncode).
    /// The other workloads are in `f32`.
    pub precision: Precision,
    /// The number of clients whose adapters are averaged.
    pub clients: usize,
    /// The number of threads; 0 means one per processor.
    pub threads: usize,
    /// Whether each thread computes its own batch with single-threaded maths, like the clients of a simulation, rather
    /// than all threads sharing one batch.
    pub each: bool,
    /// Warm-up repeats, which do not count.
    pub warmup: usize,
    /// Repeats that count.
    pub repeats: usize,
    /// Whether to record the results for [`Report::compare`](crate::Report::compare): features once more, and two more
    /// steps, before all repeats.
    pub outcomes: bool,
}

/// The length of texts, including start and end tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TextLength {
    /// The longest that the model allows: 77 tokens in OpenAI's CLIPs. This is the cost of texts that are padded to the
    /// context.
    #[default]
    Context,
    /// This many tokens.
    Tokens(usize),
    /// The lengths of prompts: 8 to 12 tokens ("a photo of a {}." with names of one to five tokens) with a common
    /// beginning, padded to the longest of them.
    Longest,
}

/// The lengths of [`TextLength::Longest`].
const SHORTEST: usize = 8;
const LONGEST: usize = 12;
/// Its common beginning: the start token and "a photo of a".
const BEGINNING: usize = 5;

/// More threads than any machine has processors are a mistake, and so are sizes beyond any memory.
const MOST_THREADS: usize = 1024;
const MOST_BATCH: usize = 1 << 16;
const MOST_CLIENTS: usize = 100_000;
const MOST_REPEATS: usize = 100_000;

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch: 32,
            tokens: TextLength::Context,
            classes: None,
            precision: Precision::F32,
            clients: 10,
            threads: 0,
            each: false,
            warmup: 1,
            repeats: 5,
            outcomes: false,
        }
    }
}

impl Settings {
    /// Checks the values for a model with such texts.
    pub(crate) fn check(&self, texts: &TextConfig) -> Result<(), BenchError> {
        let between = |setting, value: usize, least: usize, most: usize| match value {
            value if value < least || value > most => {
                Err(BenchError::setting(setting, format!("{value}; choose {least} to {most}")))
            }
            _ => Ok(()),
        };
        between("batch", self.batch, 1, MOST_BATCH)?;
        between("clients", self.clients, 1, MOST_CLIENTS)?;
        between("threads", self.threads, 0, MOST_THREADS)?;
        between("warmup", self.warmup, 0, MOST_REPEATS)?;
        between("repeats", self.repeats, 1, MOST_REPEATS)?;
        if let Some(classes) = self.classes.filter(|&classes| classes == 0 || classes > self.batch)
        {
            let problem = format!("{classes}; a batch of {0} has 1 to {0} of them", self.batch);
            return Err(BenchError::setting("classes", problem));
        }
        let context = texts.max_position_embeddings;
        match self.tokens {
            TextLength::Tokens(tokens) if tokens < 2 || tokens > context => {
                let problem = format!(
                    "{tokens}; texts of this model have 2 (start and end) to {context} tokens"
                );
                Err(BenchError::setting("tokens", problem))
            }
            _ => Ok(()),
        }
    }
}

impl TextLength {
    /// The number of initial tokens shared by all texts.
    pub(crate) fn beginning(self) -> usize {
        if self == Self::Longest { BEGINNING } else { 1 }
    }

    /// The lengths of `count` texts of a model with this context.
    pub(crate) fn lengths(self, count: usize, context: usize) -> Vec<usize> {
        let length = |index: usize| match self {
            Self::Context => context,
            Self::Tokens(tokens) => tokens,
            // The longest first: even a single text is as long as the others would be padded.
            Self::Longest => (LONGEST - index % (LONGEST - SHORTEST + 1)).min(context),
        };
        (0..count).map(length).collect()
    }
}

impl FromStr for TextLength {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "longest" => Ok(Self::Longest),
            number => number
                .parse()
                .map(Self::Tokens)
                .map_err(|_| "neither a number of tokens nor \"longest\"".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_that_were_asked_for() {
        assert_eq!("9".parse(), Ok(TextLength::Tokens(9)));
        assert!("short".parse::<TextLength>().unwrap_err().contains("longest"));
        let longest: TextLength = "longest".parse().unwrap();
        assert_eq!(longest.lengths(7, 77), [12, 11, 10, 9, 8, 12, 11]);
        assert_eq!(longest.lengths(2, 10), [10, 10]);
        assert_eq!(TextLength::default().lengths(2, 77), [77, 77]);
        assert_eq!(TextLength::Tokens(5).lengths(1, 77), [5]);
    }

    #[test]
    fn senseless_settings_are_refused_by_name() {
        let texts = TextConfig::default();
        let good = Settings::default;
        good().check(&texts).unwrap();
        for (settings, name) in [
            (Settings { batch: 0, ..good() }, "batch: 0"),
            (Settings { batch: usize::MAX, ..good() }, "batch: "),
            (Settings { classes: Some(33), ..good() }, "classes: 33"),
            (Settings { classes: Some(0), ..good() }, "classes: 0"),
            (Settings { clients: 0, ..good() }, "clients: 0"),
            (Settings { threads: 5000, ..good() }, "threads: 5000"),
            (Settings { repeats: 0, ..good() }, "repeats: 0"),
            (Settings { warmup: usize::MAX, ..good() }, "warmup: "),
            (Settings { tokens: TextLength::Tokens(78), ..good() }, "tokens: 78"),
            (Settings { tokens: TextLength::Tokens(1), ..good() }, "tokens: 1"),
        ] {
            let message = settings.check(&texts).unwrap_err().to_string();
            assert!(message.starts_with(name), "{message}");
        }
    }
}
