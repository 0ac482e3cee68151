//! The page of one run.

mod clients;
mod configuration;
mod costs;
mod overview;
mod predictions;
mod progress;

use maud::{Markup, html};

pub(super) use self::{
    configuration::{repeat, settings},
    costs::{REASONS, partition, phases},
    progress::{START, hundredths},
};
use super::{
    data::Run,
    html::{Page, Tone, callout},
};
use crate::RunState;

/// A report on one run.
pub(super) fn page(run: &Run) -> Page {
    let sections = [
        Some(overview::section(run)),
        progress::section(run),
        clients::section(run),
        costs::data(run),
        costs::costs(run),
        costs::failures(run),
        Some(predictions::section(run)),
        Some(configuration::section(run)),
    ];
    Page {
        title: run.title(),
        kind: "Run",
        subtitle: subtitle(run),
        state: Some(state(run)),
        sections: sections.into_iter().flatten().collect(),
    }
}

fn subtitle(run: &Run) -> String {
    let record = &run.record;
    let mut parts: Vec<String> = record.method.iter().cloned().collect();
    parts.extend(record.data.iter().cloned());
    let clients = run.history.clients.len();
    parts.extend((clients > 0).then(|| count(clients, "client")));
    parts.extend(record.started_at.map(|at| format!("{} UTC", crate::units::date(at))));
    parts.push(run.path.display().to_string());
    parts.join(" · ")
}

/// How the run stands, for people, and the class of its badge.
pub(super) fn state(run: &Run) -> (String, &'static str) {
    let (word, class) = match run.record.state {
        RunState::Running => ("running", "open"),
        RunState::Finished => ("finished", "good"),
        RunState::Interrupted => ("interrupted", "bad"),
        RunState::Failed => ("failed", "bad"),
        RunState::Unreadable => ("damaged", "bad"),
    };
    (word.to_owned(), class)
}

/// What is wrong with the run, and what speaks against its result.
pub(super) fn remarks(run: &Run) -> Markup {
    html! {
        @for problem in &run.problems { (callout(Tone::Error, problem)) }
        @if let Some(error) = &run.record.error { (callout(Tone::Error, error)) }
        @if let Some(warning) = &run.record.warning { (callout(Tone::Warning, warning)) }
        @if run.record.resumable {
            (callout(Tone::Note, &format!(
                "the run can be resumed: flora run --resume {}",
                flora_core::shell::quoted(&run.path)
            )))
        }
    }
}

/// `1 client`, `4 clients`.
pub(super) fn count(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        more => format!("{} {what}s", crate::units::count(more)),
    }
}
