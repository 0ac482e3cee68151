//! The model, round by round.

use crate::{
    page::{
        charts::{Line, Lines},
        data::{Evaluation, Run},
        html::Section,
    },
    units::{self, percent_or_dash},
};

/// Accuracy, loss, and what goes with averaging and hiding.
pub(super) fn section(run: &Run) -> Option<Section> {
    let shown = [
        accuracy_chart(run).chart(),
        loss_chart(run).chart(),
        aggregation_chart(run).chart(),
        privacy_chart(run).chart(),
    ];
    Section::of_charts("progress", "Round by round", shown)
}

fn accuracy_chart(run: &Run) -> Lines {
    let history = &run.history;
    let of = |value: fn(&Evaluation) -> Option<f64>| -> Vec<(usize, f64)> {
        let points = history.evaluated.iter().map(|it| Some((it.round, 100.0 * value(it)?)));
        points.flatten().collect()
    };
    let local = history.local.iter().map(|it| (it.round, 100.0 * it.accuracy));
    let name = if run.is_own() { "own models, mean" } else { "global model, mean" };
    let lines = vec![
        Line::new(name, of(|it| Some(it.accuracy))),
        Line::new("local models, mean", local),
        Line::new("worst client", of(|it| Some(it.worst()?.accuracy))),
    ];
    let start = history.start().map(|start| start.accuracy);
    Lines {
        id: "accuracy",
        title: "Accuracy by round".to_owned(),
        says: accuracy_sentence(run),
        y: "accuracy, %",
        lines,
        level: start.map(|start| (START.to_owned(), 100.0 * start)),
        format: hundredths,
    }
}

/// What round 0 is.
pub(in crate::page) const START: &str = "before training (round 0)";

fn accuracy_sentence(run: &Run) -> String {
    let accuracy = run.record.accuracy;
    let mean = |it: Option<crate::Accuracy>| percent_or_dash(it.map(|it| it.mean));
    match (run.record.last_round, run.record.best_round) {
        (Some(0), _) => format!("{} % before training.", mean(accuracy.last)),
        (Some(last), Some(best)) => {
            let mut text = format!(
                "From {} % before training to {} % after round {last}",
                mean(accuracy.zero_shot),
                mean(accuracy.last)
            );
            if best != last {
                text += &format!("; the best was {} % after round {best}", mean(accuracy.best));
            }
            text + "."
        }
        _ => String::new(),
    }
}

fn loss_chart(run: &Run) -> Lines {
    let history = &run.history;
    let tested = history.evaluated.iter().filter_map(|it| Some((it.round, it.loss?)));
    let local = history.local.iter().filter_map(|it| Some((it.round, it.loss?)));
    let trained = history.trained().filter_map(|(round, it)| Some((round, it.loss?)));
    let tested: Vec<(usize, f64)> = tested.collect();
    let says = match (tested.first(), tested.last()) {
        (Some(first), Some(last)) if first.0 != last.0 => format!(
            "The loss on the {} images went from {} to {}.",
            run.record.scored_on,
            units::figure(first.1),
            units::figure(last.1)
        ),
        _ => String::new(),
    };
    Lines {
        id: "loss",
        title: "Loss by round".to_owned(),
        says,
        y: "loss",
        lines: vec![
            Line::new("global model", tested),
            Line::new("local models", local),
            Line::new("while training", trained),
        ],
        level: None,
        format: units::figure,
    }
}

/// How far averaged factors are from averaged products.
fn aggregation_chart(run: &Run) -> Lines {
    let errors = run
        .history
        .trained()
        .filter_map(|(round, it)| Some((round, 100.0 * it.aggregation_error?)));
    let errors: Vec<(usize, f64)> = errors.collect();
    let mean = errors.iter().map(|(_, error)| error).sum::<f64>() / errors.len().max(1) as f64;
    Lines {
        id: "aggregation-error",
        title: "Aggregation error by round".to_owned(),
        says: format!(
            "How far the product of the averaged LoRA factors is from the average of the clients' products, relative \
             to it: {} as the mean over rounds.",
            units::relative(mean / 100.0)
        ),
        y: "error, %",
        lines: vec![Line::new("aggregation error", errors)],
        level: None,
        format: units::figure,
    }
}

/// The privacy budget spent.
fn privacy_chart(run: &Run) -> Lines {
    let spent = run.history.trained().filter_map(|(round, it)| Some((round, it.epsilon?)));
    let spent: Vec<(usize, f64)> = spent.collect();
    let budget = epsilon_budget(run);
    let last = spent.last().map_or(0.0, |(_, epsilon)| *epsilon);
    let of = budget.map(|it| format!(" of a budget of {}", units::figure(it))).unwrap_or_default();
    let kind = run.settings.text("federation.privacy.kind");
    let kind = kind.map(|kind| format!(" of the kind {kind}")).unwrap_or_default();
    let delta = run.settings.values.get("federation.privacy.delta");
    let delta = delta.map(|delta| format!(", delta {delta}")).unwrap_or_default();
    Lines {
        id: "epsilon",
        title: "Privacy spent by round".to_owned(),
        says: format!(
            "Differential privacy{kind}{delta}: ε {} is spent{of}. A smaller ε hides better.",
            units::bound(last)
        ),
        y: "epsilon",
        lines: vec![Line::new("epsilon", spent)],
        level: budget.map(|budget| ("budget".to_owned(), budget)),
        format: units::figure,
    }
}

/// The budget that the experiment names.
pub(in crate::page) fn epsilon_budget(run: &Run) -> Option<f64> {
    let value = run.settings.values.get("federation.privacy.epsilon")?;
    value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64))
}

/// A percentage with two decimals.
pub(in crate::page) fn hundredths(value: f64) -> String {
    format!("{value:.2}")
}
