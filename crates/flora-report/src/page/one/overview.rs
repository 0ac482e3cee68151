//! The result of the run, in a sentence and a few numbers.

use maud::html;

use super::{count, remarks};
use crate::{
    RunState,
    page::{
        data::Run,
        html::{Card, Section, cards},
    },
    units::{self, bytes, percent, seconds},
};

pub(super) fn section(run: &Run) -> Section {
    let content = html! {
        p id="headline" class="headline" { (flora_core::text::printable(&headline(run))) }
        (remarks(run))
        (cards(&numbers(run)))
    };
    Section::new("overview", "Overview", content)
}

/// The result in a sentence.
fn headline(run: &Run) -> String {
    let record = &run.record;
    let Some((last, round)) = record.accuracy.last.zip(record.last_round) else {
        return match record.state {
            RunState::Running => "No round has finished yet.".to_owned(),
            _ => "No model was tested.".to_owned(),
        };
    };
    let of = match record.rounds {
        Some(planned) if planned != round => format!(" of {planned}"),
        _ => String::new(),
    };
    let whose = if run.is_own() { "the clients' own models" } else { "the global model" };
    let images = match record.scored_on.as_str() {
        "test" => String::new(),
        other => format!(" on the {other} images"),
    };
    let mut text = format!(
        "After round {round}{of}, {whose} reached {} % mean accuracy over {}{images}",
        percent(last.mean),
        count(last.num_clients, "client"),
    );
    let start = record.accuracy.zero_shot.filter(|_| round > 0);
    if let Some(start) = start.filter(|start| start.num_clients == last.num_clients) {
        text += &format!(", {}", against(last.mean, start.mean, "before training"));
    }
    text + "."
}

/// `9.7 points more than before training`
fn against(now: f64, then: f64, when: &str) -> String {
    let points = 100.0 * (now - then);
    match format!("{:.1}", points.abs()).as_str() {
        "0.0" => format!("the same as {when}"),
        number if points > 0.0 => format!("{number} points more than {when}"),
        number => format!("{number} points less than {when}"),
    }
}

fn numbers(run: &Run) -> Vec<Card> {
    let (record, history) = (&run.record, &run.history);
    let mut cards = Vec::new();
    let mut add = |name, value: String, detail: String| cards.push(Card { name, value, detail });
    let accuracy = record.accuracy;
    if let Some(last) = accuracy.last {
        let detail = format!("{} % weighted by images", percent(last.weighted));
        add("Accuracy, last round", share(last.mean), detail);
    }
    if let Some(start) = accuracy.zero_shot {
        let detail = format!("{} % weighted by images", percent(start.weighted));
        add("Before training", share(start.mean), detail);
    }
    if let Some((best, round)) = accuracy.best.zip(record.best_round)
        && record.last_round != Some(round)
    {
        add("Best round", share(best.mean), format!("round {round}, chosen on these images"));
    }
    if let Some(worst) = history.last().and_then(|last| last.worst()) {
        add("Worst client", share(worst.accuracy), worst.client.clone());
    }
    if let Some(round) = record.last_round {
        let detail = match (record.rounds, record.stopped_early) {
            (_, Some(_)) => "stopped early: the score no longer improved".to_owned(),
            (Some(planned), None) => format!("of {planned} planned"),
            (None, None) => String::new(),
        };
        add("Rounds", round.to_string(), detail);
    }
    let sent = record.bytes_up.saturating_add(record.bytes_down);
    if sent > 0 {
        let detail = format!("{} up, {} down", bytes(record.bytes_up), bytes(record.bytes_down));
        add("Sent", bytes(sent), detail);
    }
    if let Some(total) = record.seconds {
        let detail = match &run.summary {
            Some(summary) => format!("{} of it training", seconds(summary.seconds.training)),
            None => String::new(),
        };
        add("Time", seconds(total), detail);
    }
    if !history.failures.is_empty() {
        let detail = "replies that did not arrive or were refused".to_owned();
        add("Left out", history.failures.len().to_string(), detail);
    }
    if let Some(epsilon) = run.epsilon() {
        add("Privacy spent", format!("ε {}", units::bound(epsilon)), budget(run));
    }
    if let Some(summary) = &run.summary {
        let (trained, total) = (summary.trainable_parameters, summary.total_parameters);
        if total > 0 {
            let detail = format!("of {} parameters", units::count(total));
            add("Trained", units::count(trained), detail);
        }
        if let Some(peak) = summary.peak_memory_bytes {
            add("Memory", bytes(peak), format!("at its peak, on {}", summary.device));
        }
    }
    cards
}

fn share(accuracy: f64) -> String {
    format!("{} %", percent(accuracy))
}

fn budget(run: &Run) -> String {
    match super::progress::epsilon_budget(run) {
        Some(budget) => format!("of a budget of {}", units::figure(budget)),
        None => String::new(),
    }
}
