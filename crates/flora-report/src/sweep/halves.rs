//! Accuracies from base to novel classes, as papers report them.

use flora_federation::EvaluatedModel;

use super::SweepResult;

/// The accuracy of a global model on the classes that clients train on and on the others, 0..1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Halves {
    /// All test images of the classes that clients train on.
    pub(super) base: f64,
    /// All test images of the others.
    pub(super) novel: f64,
}

impl Halves {
    /// `None` if classes are not split like this, or if one half was not tested.
    pub(super) fn of(result: &SweepResult) -> Option<Self> {
        let name = result.novel.as_ref()?;
        let run = Some(&result.run).filter(|run| run.model == EvaluatedModel::Global)?;
        let accuracy = |novel: bool| {
            let clients = run.clients.iter().filter(|it| (it.client == *name) == novel);
            let (right, all) = clients.fold((0.0, 0), |(right, all), client| {
                let examples = client.num_examples;
                (right + client.accuracy * examples as f64, all + examples)
            });
            (all > 0).then(|| right / all as f64)
        };
        Some(Self { base: accuracy(false)?, novel: accuracy(true)? })
    }

    /// Zhou et al., arXiv 2203.05557, table 1: `2 b n / (b + n)`, and 0 if both are 0.
    pub(super) fn harmonic_mean(self) -> f64 {
        let sum = self.base + self.novel;
        if sum > 0.0 { 2.0 * self.base * self.novel / sum } else { 0.0 }
    }
}
