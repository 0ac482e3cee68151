//! What a run looks like while it goes on: bars on standard error, a line a round on standard
//! output, every event in the run's folder.

use flora::federation::{EvaluatedModel, Event};
use flora::report::{ClientTally, ReportError, RunFolder};
use flora::tuning::Observer;
use indicatif::ProgressBar;

use crate::{bar, output};

pub(crate) struct Progress {
    /// Made once the data are known to be usable: bad input leaves no folder behind.
    folder: Option<RunFolder>,
    /// What came before there was a folder, and what tables are made of.
    events: Vec<Event>,
    clients: ClientTally,
    bar: ProgressBar,
    /// The phase that `bar` shows.
    shown: String,
    rounds: usize,
    /// What the model of round 0 is.
    start: &'static str,
    /// The first event that could not be written: told at the end, when the run's result is safe.
    unwritten: Option<ReportError>,
}

/// A run's events, as far as they matter once it is over.
pub(crate) struct Told {
    /// Those of which [`rounds`](flora::report::tables::rounds) makes its table.
    pub(crate) events: Vec<Event>,
    pub(crate) clients: ClientTally,
    /// The first error in writing them.
    pub(crate) unwritten: Option<ReportError>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            folder: None,
            events: Vec::new(),
            clients: ClientTally::default(),
            bar: ProgressBar::hidden(),
            shown: String::new(),
            rounds: 0,
            start: "",
            unwritten: None,
        }
    }

    /// Record every event in `folder`, those told so far included.
    pub(crate) fn record_in(&mut self, folder: RunFolder) {
        self.folder = Some(folder);
        for event in std::mem::take(&mut self.events) {
            self.keep(&event);
        }
    }

    /// What is told at the end.
    pub(crate) fn finish(self) -> Told {
        self.bar.finish_and_clear();
        Told { events: self.events, clients: self.clients, unwritten: self.unwritten }
    }

    fn keep(&mut self, event: &Event) {
        if let Some(Err(error)) = self.folder.as_ref().map(|folder| folder.record(event)) {
            self.unwritten.get_or_insert(error);
        }
        // The replies of thousands of clients in every round are in the file; here they would add up.
        let in_tables = matches!(event, Event::Evaluated { .. } | Event::Aggregated { .. });
        if self.folder.is_none() || in_tables {
            self.events.push(event.clone());
        }
    }

    /// Replace the bar by one of `total` steps.
    fn show(&mut self, phase: String, total: usize) {
        self.bar.finish_and_clear();
        self.bar = bar::steps(&phase, total);
        self.shown = phase;
    }

    fn say(&self, line: String) {
        self.bar.suspend(|| output::line(line));
    }

    fn tell(&mut self, event: &Event) {
        match event {
            Event::RunStarted {
                method,
                clients,
                trainable_parameters,
                total_parameters,
                rounds,
                ..
            } => {
                self.rounds = *rounds;
                // These begin, or may begin, with something that CLIP does not have.
                let changed = matches!(method.as_str(), "fedaa" | "fedprompt");
                self.start = if changed { " (before training)" } else { " (zero-shot)" };
                let examples: usize = clients.iter().map(|client| client.num_examples).sum();
                self.say(format!(
                    "{} clients, {examples} training images; {trainable_parameters} of \
                     {total_parameters} parameters are trained",
                    clients.len()
                ));
            }
            Event::RoundStarted { round, selected } => {
                self.show(format!("round {}/{}", round + 1, self.rounds), selected.len());
            }
            Event::ClientReplied { .. } => self.bar.inc(1),
            Event::ClientFailed { client, message, .. } => {
                self.bar.inc(1);
                self.say(format!("warning: client {client}: {message}"));
            }
            Event::Evaluated { model: EvaluatedModel::Local, .. } => {}
            Event::Evaluated { round, model, accuracy, accuracy_weighted, .. } => {
                let model = match model {
                    EvaluatedModel::Own => "own models ",
                    _ => "global model",
                };
                self.bar.finish_and_clear();
                let what = if *round == 0 { self.start } else { "" };
                self.say(format!(
                    "round {round:>2}  {model} {:5.1} % mean over clients, {:5.1} % weighted \
                     by examples{what}",
                    100.0 * accuracy,
                    100.0 * accuracy_weighted
                ));
            }
            Event::Warning { message } => self.say(format!("warning: {message}")),
            _ => {}
        }
    }
}

impl Observer for Progress {
    fn event(&mut self, event: &Event) {
        self.tell(event);
        self.clients.hear(event);
        self.keep(event);
    }

    fn progress(&mut self, phase: &str, done: usize, total: usize) {
        if self.shown != phase {
            self.show(phase.to_owned(), total);
        }
        self.bar.set_position(done as u64);
        if done == total {
            self.bar.finish_and_clear();
        }
    }
}
