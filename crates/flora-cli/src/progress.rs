//! Progress of a run: bars on standard error, a line per round on standard output, every event in the run's folder.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use flora::core::ParameterRecord;
use flora::core::text::printable;
use flora::federation::{Answer, EvaluatedModel, Event, Reason, RunState, Stop};
use flora::inference::Provenance;
use flora::report::{ClientTally, ReportError, RunFacts, RunFolder, RunStates, TensorBoard};
use flora::tuning::{Experiment, Observer, save_trained};
use indicatif::{HumanDuration, ProgressBar};

use crate::commands::run::client_folder;
use crate::{bar, output};

/// The amount of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Warnings only.
    Quiet,
    /// A line per round.
    Normal,
    /// Also a line per client.
    Verbose,
    /// Events as JSON.
    Json,
}

impl Verbosity {
    /// Whether tables and sentences are printed on standard output.
    pub(crate) fn is_for_people(self) -> bool {
        matches!(self, Self::Normal | Self::Verbose)
    }
}

/// Saves the states of a run with additional data.
pub(crate) struct Keeper {
    /// `None` for a run that saves none.
    pub(crate) states: Option<RunStates>,
    pub(crate) facts: RunFacts,
    pub(crate) experiment: Experiment,
    pub(crate) provenance: Provenance,
    pub(crate) device: flora::Device,
    /// Start time of this process.
    pub(crate) started: Instant,
}

/// Up to this number, failed clients in a round are reported individually.
const FEW: usize = 3;

pub(crate) struct Progress {
    voice: Verbosity,
    /// Created once the data are known to be usable, so that invalid input leaves no folder.
    folder: Option<RunFolder>,
    keeper: Option<Keeper>,
    tensorboard: Option<TensorBoard>,
    /// Raised when an event cannot be written, because the run could not be resumed from later states.
    stop: Stop,
    /// Events before the folder existed, and those for tables.
    events: Vec<Event>,
    clients: ClientTally,
    bar: ProgressBar,
    /// The phase that `bar` shows.
    shown: String,
    rounds: usize,
    /// Clients excluded from the current round, and why.
    failures: Vec<(String, Reason, String)>,
    /// Start time and number of the first round of this process.
    began: Option<(Instant, usize)>,
    /// Whether the model of round 0 has an adapter, a classifier, sums or weights of an earlier run.
    begins_trained: bool,
    /// A description of the model of round 0.
    start: &'static str,
    /// Lines from elsewhere that are recorded among the events.
    aside: Option<Aside>,
    /// Receives every line printed for people.
    log: Option<Log>,
    /// The first event that could not be written; reported at the end, when the run's result is safe.
    unwritten: Option<ReportError>,
}

/// Lines from outside the round loop.
pub(crate) type Aside = Arc<Mutex<Vec<String>>>;

/// A receiver of lines.
type Log = Box<dyn Fn(&str)>;

/// The events of a finished run, as far as they are needed.
pub(crate) struct Told {
    /// The events from which [`rounds`](flora::report::tables::rounds) builds its table.
    pub(crate) events: Vec<Event>,
    pub(crate) clients: ClientTally,
    /// The first error in writing events.
    pub(crate) unwritten: Option<ReportError>,
    pub(crate) states: Option<RunStates>,
}

impl Progress {
    pub(crate) fn new(voice: Verbosity) -> Self {
        Self {
            voice,
            folder: None,
            keeper: None,
            tensorboard: None,
            stop: Stop::default(),
            events: Vec::new(),
            clients: ClientTally::default(),
            bar: ProgressBar::hidden(),
            shown: String::new(),
            rounds: 0,
            failures: Vec::new(),
            began: None,
            begins_trained: false,
            start: "",
            aside: None,
            log: None,
            unwritten: None,
        }
    }

    /// Records these lines among the events as they arrive.
    pub(crate) fn hear_aside(&mut self, aside: Aside) {
        self.aside = Some(aside);
    }

    /// Passes all lines printed for people to `log`.
    pub(crate) fn log_with(&mut self, log: Log) {
        self.log = Some(log);
    }

    fn record_aside(&mut self) {
        let Some(aside) = &self.aside else { return };
        let lines = std::mem::take(&mut *aside.lock().unwrap_or_else(PoisonError::into_inner));
        for line in lines {
            if let Some(log) = &self.log {
                log(&line);
            }
            let message = line.strip_prefix("warning: ").unwrap_or(&line).to_owned();
            let event = Event::Warning { message };
            if self.voice == Verbosity::Json {
                let _ = output::json(&event);
            }
            self.keep_event(&event);
        }
    }

    pub(crate) fn voice(&self) -> Verbosity {
        self.voice
    }

    /// Records every event in `folder`, including earlier ones.
    pub(crate) fn record_in(&mut self, folder: RunFolder) {
        self.folder = Some(folder);
        for event in std::mem::take(&mut self.events) {
            self.keep_event(&event);
        }
    }

    /// Records every event in `folder`, which has those that an earlier process emitted.
    pub(crate) fn go_on_in(&mut self, folder: RunFolder, told: Vec<Event>) {
        self.events.clear();
        self.clients = ClientTally::default();
        for event in told {
            if let Event::RunStarted { rounds, method, .. } = &event {
                self.begin(*rounds, method);
            }
            self.clients.hear(&event);
            if is_in_tables(&event) {
                self.events.push(event);
            }
        }
        self.folder = Some(folder);
    }

    /// Saves the run's states.
    pub(crate) fn keep_with(&mut self, keeper: Keeper) {
        self.keeper = Some(keeper);
    }

    /// Writes figures for TensorBoard.
    pub(crate) fn draw_in(&mut self, tensorboard: TensorBoard) {
        self.tensorboard = Some(tensorboard);
    }

    /// Sets the model of round 0 from the experiment.
    pub(crate) fn start_with(&mut self, experiment: &Experiment) {
        let method = &experiment.method;
        // A checkpoint that flora trained contains its provenance.
        let base = flora::hub::find(Path::new(&experiment.model.path));
        let is_trained = base.is_ok_and(|base| base.join(Provenance::FILE).is_file());
        self.begins_trained = is_trained
            || method.init_adapter.is_some()
            || method.head.is_some()
            || method.closed_form.start.is_some();
    }

    /// Raises `stop` when an event cannot be written.
    pub(crate) fn stop_on_trouble(&mut self, stop: Stop) {
        self.stop = stop;
    }

    /// Ends progress reporting and returns the recorded events.
    pub(crate) fn finish(self) -> Told {
        self.bar.finish_and_clear();
        Told {
            events: self.events,
            clients: self.clients,
            unwritten: self.unwritten,
            states: self.keeper.and_then(|keeper| keeper.states),
        }
    }

    fn keep_event(&mut self, event: &Event) {
        let recorded = self.folder.as_ref().map_or(Ok(()), |folder| folder.record(event));
        let drawn = self.tensorboard.as_mut().map_or(Ok(()), |it| it.hear(event));
        if let Err(error) = recorded.and(drawn) {
            self.stop.raise();
            self.unwritten.get_or_insert(error);
        }
        // The replies of thousands of clients per round are in the file; in memory they would add up.
        if self.folder.is_none() || is_in_tables(event) {
            self.events.push(event.clone());
        }
    }

    /// Replaces the bar by one with `total` steps.
    fn show(&mut self, phase: String, total: usize) {
        self.bar.finish_and_clear();
        self.bar = match self.voice.is_for_people() {
            true => bar::steps(&phase, total),
            false => ProgressBar::hidden(),
        };
        self.shown = phase;
    }

    fn say(&self, line: String) {
        if let Some(log) = &self.log {
            log(&line);
        }
        if self.voice.is_for_people() {
            self.bar.suspend(|| output::line(line));
        }
    }

    fn warn(&self, message: &str) {
        match self.voice {
            Verbosity::Normal | Verbosity::Verbose => {
                self.say(format!("warning: {}", printable(message)))
            }
            // The JSON output has this as an event.
            Verbosity::Json => {}
            Verbosity::Quiet => output::warning(message),
        }
    }

    fn begin(&mut self, rounds: usize, method: &str) {
        self.rounds = rounds;
        // These methods start, or may start, with parameters beside CLIP.
        let changed = matches!(method, "fedaa" | "fedprompt");
        let changed = changed || self.begins_trained;
        self.start = if changed { " (before training)" } else { " (zero-shot)" };
    }

    /// Estimated remaining time at the current speed.
    fn remaining(&mut self, round: usize) -> Option<String> {
        let (began, first) = *self.began.get_or_insert((Instant::now(), round));
        let done = round.checked_sub(first).filter(|&done| done > 0)?;
        let left = self.rounds.saturating_sub(round);
        let left = began.elapsed().mul_f64(left as f64 / done as f64);
        Some(format!("(about {} for all rounds)", HumanDuration(left)))
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
                self.begin(*rounds, method);
                let examples: usize = clients.iter().map(|client| client.num_examples).sum();
                self.say(format!(
                    "{}, {examples} training images; {trainable_parameters} of \
                     {total_parameters} parameters are trained",
                    match clients.len() {
                        1 => "1 client".to_owned(),
                        count => format!("{count} clients"),
                    }
                ));
            }
            Event::RoundStarted { round, selected } => {
                let remaining = self.remaining(*round);
                self.show(format!("round {}/{}", round + 1, self.rounds), selected.len());
                if let Some(remaining) = remaining {
                    self.bar.set_message(remaining);
                }
            }
            Event::ClientReplied { round, client, seconds, metrics, .. }
                if self.voice == Verbosity::Verbose =>
            {
                let loss =
                    metrics.get("loss").map_or(String::new(), |loss| format!(", loss {loss:.4}"));
                let client = printable(client);
                self.say(format!("round {:>2}  client {client}: {seconds:.1} s{loss}", round + 1));
            }
            Event::ClientFailed { client, reason, message, .. } => {
                self.failures.push((client.clone(), *reason, message.clone()));
            }
            Event::Aggregated { round, .. } => self.tell_failures(round + 1),
            Event::BelowQuorum { round, accepted, quorum, then, message } => {
                self.tell_failures(round + 1);
                let then = match then {
                    flora::federation::BelowQuorum::Retry => "the round is repeated",
                    flora::federation::BelowQuorum::Skip => "the round is skipped",
                    _ => "the run ends",
                };
                self.warn(&format!(
                    "round {}: {accepted} of at least {quorum} replies were accepted; {then} ({message})",
                    round + 1
                ));
            }
            Event::Evaluated { model: EvaluatedModel::Local, .. } => {}
            Event::Evaluated { round, model, accuracy, accuracy_weighted, clients, .. } => {
                self.tell_failures(*round);
                let model = match model {
                    EvaluatedModel::Own => "own models ",
                    _ => "global model",
                };
                self.bar.finish_and_clear();
                let what = if *round == 0 { self.start } else { "" };
                self.say(format!(
                    "round {round:>2}  {model} {:5.1} % mean over clients, {:5.1} % weighted{what}",
                    100.0 * accuracy,
                    100.0 * accuracy_weighted
                ));
                if self.voice == Verbosity::Verbose {
                    for score in clients {
                        let (client, accuracy) = (printable(&score.client), 100.0 * score.accuracy);
                        self.say(format!("          {client}: {accuracy:.1} %"));
                    }
                }
            }
            Event::Note { message } => self.say(printable(message).to_string()),
            Event::StoppedEarly { round, best_round } => self.say(format!(
                "stopped after round {round}: no improvement since round {best_round} (training.patience)"
            )),
            Event::Warning { message } => self.warn(message),
            Event::RunFinished { .. } => self.tell_failures(self.rounds),
            _ => {}
        }
    }

    /// Reports failed clients: one line each, or one for all if there are many.
    fn tell_failures(&mut self, round: usize) {
        let failures = std::mem::take(&mut self.failures);
        if failures.len() <= FEW || self.voice == Verbosity::Verbose {
            for (client, _, message) in failures {
                self.warn(&format!("round {round}: client {client}: {message}"));
            }
            return;
        }
        let count = |wanted| failures.iter().filter(|(_, reason, _)| *reason == wanted).count();
        let counts =
            [(Reason::Failed, "failed"), (Reason::Late, "late"), (Reason::Refused, "refused")]
                .map(|(reason, word)| (count(reason), word));
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
        let (client, _, message) = &failures[0];
        self.warn(&format!(
            "round {round}: {} clients left out: {}; the first, {client}: {message}",
            failures.len(),
            counts.join(", ")
        ));
    }
}

fn is_in_tables(event: &Event) -> bool {
    matches!(event, Event::Evaluated { .. } | Event::Aggregated { .. })
}

impl Observer for Progress {
    fn event(&mut self, event: &Event) {
        self.record_aside();
        if self.voice == Verbosity::Json {
            // Standard output may lose it, which is reported at the end; the run's folder has it, too.
            let _ = output::json(event);
        }
        self.tell(event);
        self.clients.hear(event);
        self.keep_event(event);
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

    fn answered(&mut self, _answer: &Answer, done: usize, _of: usize) {
        self.bar.set_position(done as u64);
    }

    fn keep(&mut self, state: &RunState) -> Result<(), String> {
        if let Some(error) = &self.unwritten {
            return Err(error.to_string());
        }
        let (Some(keeper), Some(folder)) = (&mut self.keeper, &self.folder) else { return Ok(()) };
        keeper.keep(state, folder)
    }

    fn keep_client(&mut self, client: &str, parameters: &ParameterRecord) -> Result<(), String> {
        let (Some(keeper), Some(folder)) = (&self.keeper, &self.folder) else { return Ok(()) };
        // A client's sums are of its own images.
        let is_sum = keeper.experiment.method.name.is_closed_form();
        let clients = is_sum.then(|| client.to_owned()).into_iter().collect();
        keeper.save(parameters, clients, &client_folder(folder.path(), client))
    }
}

impl Keeper {
    fn keep(&mut self, state: &RunState, folder: &RunFolder) -> Result<(), String> {
        let (round, every) = (state.rounds_done(), self.experiment.output.keep_every);
        if every > 0 && round > 0 && round.is_multiple_of(every) && state.is_at_boundary() {
            let path = folder.path().join("rounds").join(format!("round-{round:04}"));
            let clients = self.experiment.summed(&self.provenance.clients, state.strategy());
            self.save(state.global(), clients, &path)?;
        }
        let Some(states) = &mut self.states else { return Ok(()) };
        let total = self.facts.total_seconds + self.started.elapsed().as_secs_f64();
        let facts = RunFacts { total_seconds: total, ..self.facts.clone() };
        states.save(state, &facts).map_err(|error| error.to_string())
    }

    /// Writes parameters; `clients` are those whose images the sums are of.
    fn save(
        &self,
        parameters: &ParameterRecord,
        clients: BTreeSet<String>,
        folder: &std::path::Path,
    ) -> Result<(), String> {
        if self.facts.numbers_only {
            return Ok(());
        }
        let provenance = Provenance { clients, ..self.provenance.clone() };
        let saved = save_trained(&self.experiment, &provenance, parameters, folder, &self.device);
        saved.map_err(|error| format!("cannot write {}: {error}", folder.display()))
    }
}
