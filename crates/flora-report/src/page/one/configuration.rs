//! The settings of the run, and the command that repeats it.

use flora_core::shell::quoted;
use maud::{Markup, html};

use crate::{
    EXPERIMENT,
    page::{
        data::Run,
        html::{Section, Table, Tone, callout, command},
    },
    units::count,
};

pub(super) fn section(run: &Run) -> Section {
    let content = html! {
        h3 { "Repeat it" }
        (repeat(run))
        h3 { "Versions and inputs" }
        (versions(run).html())
        details class="data" id="settings-data" {
            summary { "All settings" }
            (settings(run).html())
        }
        (told(run))
    };
    Section::new("configuration", "Configuration", content)
}

/// The command that repeats the run.
pub(in crate::page) fn repeat(run: &Run) -> Markup {
    let made = run.summary.as_ref().and_then(|summary| summary.command.as_deref());
    // Of the words in front of the experiment, the second.
    let is_served = made.is_some_and(|made| made.split(' ').nth(1) == Some("serve"));
    let verb = if is_served { "serve" } else { "run" };
    let file = quoted(&run.path.join(EXPERIMENT));
    html! {
        (command(&format!("flora {verb} {file} --out NEW_FOLDER")))
        @if let Some(made) = made {
            p { "The original command line, without the quotes of the shell:" }
            (command(made))
        }
    }
}

fn versions(run: &Run) -> Table {
    let mut table = Table::new("Versions, device and inputs", ["", "value"]).text();
    let Some(summary) = &run.summary else {
        table.row(["run.json", "missing: it is written when the run ends"]);
        return table;
    };
    table.row(["flora", summary.versions.flora.as_str()]);
    table.row(["burn", summary.versions.burn.as_str()]);
    table.row(["device", summary.device.as_str()]);
    table.row(["seed", &summary.seed.to_string()]);
    if let Some(seed) = summary.data_seed {
        table.row(["seed of the partition", &seed.to_string()]);
    }
    let trained = count(summary.trainable_parameters);
    table.row(["trained parameters", &trained]);
    table.row(["parameters", &count(summary.total_parameters)]);
    if let Some(digest) = &summary.base_digest {
        table.row(["base model, SHA-256", digest]);
    }
    for (name, digest) in &summary.inputs {
        table.row([format!("{name}, SHA-256"), digest.clone()]);
    }
    table
}

/// The experiment as resolved.
pub(in crate::page) fn settings(run: &Run) -> Table {
    let mut table = Table::new(format!("Settings ({EXPERIMENT})"), ["key", "value"]).text();
    for (key, value) in &run.settings.values {
        table.row([key.clone(), value.to_string()]);
    }
    if run.settings.values.is_empty() {
        // What is wrong with the file is said at the top.
        table.notes.push(run.experiment.clone());
    }
    table
}

/// What the run said while it went on.
fn told(run: &Run) -> Markup {
    let history = &run.history;
    html! {
        @if !history.warnings.is_empty() || !history.notes.is_empty() {
            h3 { "Notes and warnings of the run" }
            @for warning in history.warnings.iter().take(50) { (callout(Tone::Warning, warning)) }
            @for note in history.notes.iter().take(50) { (callout(Tone::Note, note)) }
            @if history.warnings.len() > 50 || history.notes.len() > 50 {
                p class="note" { "The rest is in metrics.jsonl." }
            }
        }
    }
}
