//! One process's part of a run, from its first round to the files it writes.

use std::path::{Path, PathBuf};
use std::time::Instant;

use flora::core::{ParameterRecord, hex};
use flora::data::Split;
use flora::federation::{Outcome, RunState};
use flora::inference::Provenance;
use flora::report::{RunFacts, RunFolder, RunStates, RunSummary, TensorBoard, tables};
use flora::tuning::{Experiment, Finished, Prepared, check_copies, save_trained};
use sha2::{Digest, Sha256};

use super::Clients;
use crate::failure::Failure;
use crate::output;
use crate::progress::{Keeper, Progress, Verbosity};
use crate::signals::Signals;

/// A run whose folder exists.
pub(super) struct Session<'a> {
    pub(super) folder: RunFolder,
    pub(super) facts: RunFacts,
    /// Start time of this process.
    pub(super) started: Instant,
    pub(super) device: flora::Device,
    pub(super) clients: &'a mut dyn Clients,
}

impl Session<'_> {
    /// Runs all rounds, or resumes from `state`, and writes the results.
    pub(super) fn run(
        self,
        prepared: Prepared,
        state: Option<RunState>,
        mut progress: Progress,
    ) -> Result<RunSummary, Failure> {
        let signals = self.clients.signals()?;
        super::child::stop_with_parent(signals.stop());
        let path = self.folder.path().to_owned();
        let (experiment, provenance) = (prepared.experiment.clone(), prepared.provenance());
        let mut prepared = prepared.with_stop(signals.stop());
        progress.stop_on_trouble(signals.stop());
        let mut states = None;
        if experiment.output.save_every > 0 {
            states = Some(RunStates::open(&self.folder).map_err(Failure::run)?);
            prepared = prepared.with_states_in(RunStates::clients_file(&path));
        }
        progress.keep_with(Keeper {
            states,
            facts: self.facts.clone(),
            experiment: experiment.clone(),
            provenance: provenance.clone(),
            device: self.device.clone(),
            started: self.started,
        });
        if experiment.output.tensorboard {
            // Events after the state are emitted again.
            let again = state.as_ref().map(|state| state.rounds_done() + 1);
            progress.draw_in(TensorBoard::create(&path, again).map_err(Failure::run)?);
        }
        let validates = prepared.scored_on() == Split::Validation;
        let counts = (prepared.trainable_parameters, prepared.total_parameters, prepared.rounds());
        let finished = match state {
            None => prepared.run(&mut progress),
            Some(state) => prepared.resume(state, &mut progress),
        };
        let voice = progress.voice();
        let told = progress.finish();
        let why = finished.failure.as_ref().map(ToString::to_string);
        let mut summary = self.summarize(&experiment, &finished, counts);
        if validates {
            summary.scored_on = "validation".to_owned();
        }
        summary.tell_clients(told.clients);
        // The numbers are printed even if files cannot be written; the first error is reported at the end.
        let trained = finished.outcome.as_ref().filter(|_| !self.facts.numbers_only);
        let clients = |round: usize| finished.summed_after(round).clone();
        let provenance = |round| Provenance { clients: clients(round), ..provenance.clone() };
        let saved =
            trained.map_or(Ok(false), |outcome| self.save(&experiment, &provenance, outcome));
        summary.best_saved = *saved.as_ref().unwrap_or(&false);
        let written = self.folder.write_summary(&summary).map_err(|error| error.to_string());
        let summarized = written.map(|written| summary = written);
        if voice.is_for_people() {
            output::line(format!("\n{}\n", tables::rounds(&told.events, output::page())));
        }
        // Last, because the clients may be gone, and are retried for a while.
        self.clients.ended(finished.status(), why.as_deref());
        // A write error explains why the rest was not done.
        told.unwritten.map_or(Ok(()), |error| Err(self.failed(error)))?;
        if let Some(failure) = finished.failure {
            match voice {
                Verbosity::Quiet => {}
                Verbosity::Json => output::summary(&summary)?,
                _ => output::line(tables::summary(&summary, output::page())),
            }
            return Err(self.ended_early(&failure, &signals));
        }
        saved.and(summarized).map_err(|error| self.failed(error))?;
        if let Some(states) = told.states {
            // The result is complete: there is nothing left to resume.
            states.remove().map_err(Failure::run)?;
        }
        Ok(summary)
    }

    /// Writes the trained parameters with the `provenance` of their round; returns whether the best round differs from
    /// the last and was written, too.
    fn save(
        &self,
        experiment: &Experiment,
        provenance: &dyn Fn(usize) -> Provenance,
        outcome: &Outcome,
    ) -> Result<bool, String> {
        let path = self.folder.path();
        let save = |record: &ParameterRecord, round: usize, folder: &Path| {
            save_trained(experiment, &provenance(round), record, folder, &self.device)
                .and_then(|()| check_copies(experiment, folder, &self.facts.inputs))
                .map_err(|error| format!("cannot write {}: {error}", folder.display()))
        };
        let (last, best) = (outcome.last_round.round, outcome.best_round.round);
        save(&outcome.last, last, path)?;
        let is_better = best != last;
        if is_better {
            save(&outcome.best, best, &path.join("best"))?;
        } else if path.join("best").is_dir() {
            // From an earlier session, whose last round was not the best.
            let best = path.join("best");
            std::fs::remove_dir_all(&best)
                .map_err(|error| format!("cannot remove {}: {error}", best.display()))?;
        }
        Ok(is_better && !outcome.best.is_empty() && path.join("best").is_dir())
    }

    /// The failure of a run that stopped before its last round, and how to resume it.
    fn ended_early(
        &self,
        failure: &flora::federation::FederationError,
        signals: &Signals,
    ) -> Failure {
        let (states, resume) = (self.has_states(), self.how_to_resume());
        match failure {
            flora::federation::FederationError::Stopped { round, .. } => Failure::Stopped {
                code: signals.exit_code(),
                message: match states {
                    true => format!("stopped in round {}; resume with: {resume}", round + 1),
                    false => format!(
                        "stopped in round {}; no state was saved (output.save_every = 0)",
                        round + 1
                    ),
                },
            },
            error => self.failed(error),
        }
    }

    /// The failure of a run that can be resumed once its cause is removed.
    fn failed(&self, error: impl std::fmt::Display) -> Failure {
        let error = error.to_string();
        Failure::Run(match self.has_states() {
            true if asks_for_another_setting(&error) => {
                format!("{error}\n--resume keeps the settings; start a new run with another value")
            }
            true => format!("{error}\nonce that is fixed, resume with: {}", self.how_to_resume()),
            false => error,
        })
    }

    fn has_states(&self) -> bool {
        self.folder.path().join("state").is_dir()
    }

    fn how_to_resume(&self) -> String {
        format!(
            "{} {}",
            self.clients.resume_command(),
            flora::core::shell::quoted(self.folder.path())
        )
    }

    fn summarize(
        &self,
        experiment: &Experiment,
        finished: &Finished,
        (trainable, total, rounds): (usize, usize, usize),
    ) -> RunSummary {
        let facts = &self.facts;
        let mut summary =
            RunSummary::new(&experiment.name, finished.status(), finished.outcome.as_ref());
        summary.error = finished.failure.as_ref().map(ToString::to_string);
        summary.method = Some(experiment.method.name.as_str().to_owned());
        summary.data = Some(match self.clients.are_here() {
            true => data_name(&experiment.data.path),
            false => "the sites' own".to_owned(),
        });
        summary.rounds = Some(rounds);
        summary.seconds.data = facts.data_seconds;
        summary.seconds.total = facts.total_seconds + self.started.elapsed().as_secs_f64();
        summary.peak_memory_bytes = flora::report::peak_memory_bytes();
        summary.trainable_parameters = trainable;
        summary.total_parameters = total;
        summary.base_digest = Some(facts.base_digest.clone());
        summary.inputs = facts.inputs.clone();
        summary.uncounted = finished.uncounted.iter().cloned().collect();
        let method = &experiment.method;
        summary.leaving = method.name.is_closed_form() && method.closed_form.leaving;
        summary.seed = experiment.seed;
        summary.data_seed = self.clients.are_here().then_some(experiment.data.seed);
        summary.device = facts.device.clone();
        summary.versions = facts.versions.clone();
        summary.command = Some(facts.command.clone());
        summary.started_at = Some(facts.started_at);
        summary
    }
}

/// Whether the remedy of the error is another value of a setting. A resumed run has the settings of the interrupted one,
/// so it would fail in the same way.
fn asks_for_another_setting(error: &str) -> bool {
    let settings =
        ["federation.secure.", "lower the learning rate", "lower training.learning_rate"];
    settings.iter().any(|setting| error.contains(setting))
}

/// The data set's name in lists of runs: the name of the file or folder.
fn data_name(path: &Path) -> String {
    let name = if path.extension().is_some_and(|it| it == "toml") {
        path.file_stem()
    } else {
        path.file_name()
    };
    name.map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The longest file name that all usual file systems accept, in bytes.
const LONGEST_NAME: usize = 255;

/// The folder of a client below `parent`, safe for any client name. If the escaped name is too long for a file system,
/// its end is replaced by a digest of the whole name: `%h` and 32 hexadecimal digits. No escape begins with `%h`, so the
/// folder is never that of another client.
pub(crate) fn client_folder(parent: &Path, client: &str) -> PathBuf {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let escaped =
        client.bytes().map(|byte| match plain(byte) || byte == b'.' && client.len() > 2 {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        });
    let mut name: String = escaped.clone().collect();
    if name.len() > LONGEST_NAME {
        let end = format!("%h{}", hex::encode(&Sha256::digest(client)[..16]));
        name.clear();
        for part in escaped {
            if name.len() + part.len() + end.len() > LONGEST_NAME {
                break;
            }
            name.push_str(&part);
        }
        name.push_str(&end);
    }
    parent.join("clients").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_has_a_folder_below_that_of_clients() {
        let folder = |client: &str| client_folder(Path::new("run"), client).display().to_string();
        assert_eq!(folder("client-007"), "run/clients/client-007");
        assert_eq!(folder("../x y"), "run/clients/..%2Fx%20y");
        assert_eq!(folder(".."), "run/clients/%2E%2E");
        assert_eq!(folder("é"), "run/clients/%C3%A9");
    }

    #[test]
    fn long_names_of_clients_are_shortened_and_stay_distinct() {
        let name = |client: &str| {
            let folder = client_folder(Path::new("run"), client);
            folder.file_name().unwrap().to_str().unwrap().to_owned()
        };
        let longest = "a".repeat(255);
        assert_eq!(name(&longest), longest);
        // SHA-256 of 256 letters "a" begins with these bytes.
        let shortened = name(&"a".repeat(256));
        assert_eq!(shortened, format!("{}%h02d7160d77e18c6447be80c2e355c7ed", "a".repeat(221)));
        // An escape is never cut: 221 bytes hold 73 of three.
        let word = "مستشفى".repeat(18);
        let first = name(&word);
        assert_eq!(first.find("%h"), Some(219));
        assert_eq!(first.len(), 219 + 34);
        let second = name(&format!("{word}x"));
        assert_eq!(first[..219], second[..219]);
        assert_ne!(first, second);
        // A client that is called like the shortened folder of another has another folder.
        assert_ne!(name(&first), first);
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(client_folder(folder.path(), &word)).unwrap();
    }
}
