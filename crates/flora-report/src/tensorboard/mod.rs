//! Event files for [TensorBoard](https://www.tensorflow.org/tensorboard).
//!
//! Scalars are two small messages in a frame with two checksums. The crates that write them were compared in November
//! 2026. `tensorboard-rs` 0.5.9 needs `image` 0.23 and `protobuf` 2; `tfrecord` 0.15 needs about twenty crates and a
//! build script; `tboard` 0.1.1 needs `protoc` at build time. None of them uses the current `prost`. So the messages
//! are derived with `prost` here, and `crc32c` computes the checksum.

mod proto;
mod record;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use flora_federation::{AGGREGATION_ERROR, ClientScore, EPSILON, EvaluatedModel, Event};

use self::{
    proto::{SessionLog, Summary, Value, What},
    record::record,
};
use crate::{ReportError, append::Appender, folder::TENSORBOARD};

/// The largest number of clients whose accuracies get a curve each.
const MOST_CLIENTS: usize = 64;

/// Writes the values of a run's events into an event file in the run folder's `tensorboard/`.
///
/// The step is the number of rounds that the model has seen, counted as in evaluations. The cost of round t (which
/// `aggregated` counts from 0) is at step t + 1, with the accuracy that it led to.
///
/// | tag | value |
/// |---|---|
/// | `accuracy/global` | unweighted mean over clients; `accuracy/own` where there is no global model |
/// | `accuracy/weighted` | mean weighted by test examples |
/// | `accuracy/local` | the clients' own models after their training, before averaging |
/// | `accuracy/<client>` | each client with test examples, where there are at most 64 |
/// | `loss/global` (`loss/own`), `loss/training` | mean loss in the test and in training |
/// | `aggregation/error` | relative distance between the product of averaged LoRA factors and the average of products |
/// | `bytes/up`, `bytes/down` | bytes of values sent in the round |
/// | `seconds/round` | from the selection of clients to the aggregate, wall clock |
/// | `seconds/aggregation`, `seconds/evaluation` | of these |
#[derive(Debug)]
pub struct TensorBoard {
    file: Appender,
    /// When the round began.
    began: Option<Instant>,
}

impl TensorBoard {
    /// Begins an event file in `<run folder>/tensorboard/`.
    ///
    /// A resumed run writes a new file beside the earlier ones. With `resume_step`, TensorBoard drops the values of
    /// this and later steps from the earlier files. `resume_step` is the first step that will be written again: one
    /// more than the last round whose evaluation precedes the state from which the run is resumed.
    ///
    /// # Errors
    /// [`ReportError::Io`].
    pub fn create(
        run_folder: impl AsRef<Path>,
        resume_step: Option<usize>,
    ) -> Result<Self, ReportError> {
        let folder = run_folder.as_ref().join(TENSORBOARD);
        fs::create_dir_all(&folder).map_err(ReportError::io("create the folder", &folder))?;
        let mut writer = Self { file: create_file(&folder)?, began: None };
        writer.write(0, What::FileVersion("brain.Event:2".to_owned()))?;
        // TensorBoard interprets the first of these as the start of a run, and each later one as a restart.
        let start = What::SessionLog(SessionLog { status: SessionLog::START });
        writer.write(resume_step.unwrap_or(0), start)?;
        Ok(writer)
    }

    /// Writes the values of the event, and flushes them. Most events have no values and are ignored.
    ///
    /// # Errors
    /// [`ReportError::Io`]; after the first one, nothing more is written, and every later call returns it again.
    pub fn hear(&mut self, event: &Event) -> Result<(), ReportError> {
        match event {
            Event::RoundStarted { .. } => {
                self.began = Some(Instant::now());
                Ok(())
            }
            Event::Aggregated { round, bytes_up, bytes_down, seconds, metrics, .. } => {
                let mut scalars = Scalars::default();
                scalars.push("bytes/up", *bytes_up as f64);
                scalars.push("bytes/down", *bytes_down as f64);
                scalars.push("seconds/aggregation", *seconds);
                if let Some(began) = self.began.take() {
                    scalars.push("seconds/round", began.elapsed().as_secs_f64());
                }
                if let Some(&loss) = metrics.get("loss") {
                    scalars.push("loss/training", loss);
                }
                if let Some(&error) = metrics.get(AGGREGATION_ERROR) {
                    scalars.push("aggregation/error", error);
                }
                if let Some(&epsilon) = metrics.get(EPSILON) {
                    scalars.push("privacy/epsilon", epsilon);
                }
                self.write(round + 1, scalars.into())
            }
            Event::Evaluated { round, model: EvaluatedModel::Local, accuracy, .. } => {
                let mut scalars = Scalars::default();
                scalars.push("accuracy/local", *accuracy);
                self.write(*round, scalars.into())
            }
            Event::Evaluated {
                round,
                model,
                accuracy,
                accuracy_weighted,
                loss,
                clients,
                seconds,
            } => {
                let model = if *model == EvaluatedModel::Own { "own" } else { "global" };
                let mut scalars = Scalars::default();
                scalars.push(format!("accuracy/{model}"), *accuracy);
                scalars.push("accuracy/weighted", *accuracy_weighted);
                if let Some(loss) = loss {
                    scalars.push(format!("loss/{model}"), *loss);
                }
                scalars.push("seconds/evaluation", *seconds);
                scalars.clients(clients);
                self.write(*round, scalars.into())
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, step: usize, what: What) -> Result<(), ReportError> {
        let wall_time =
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        self.file.append(&record(&proto::Event { wall_time, step, what: Some(what) }))
    }
}

/// A file with a name that TensorBoard recognises as an event file and, because it reads in the order of names, reads
/// after earlier ones.
fn create_file(folder: &Path) -> Result<Appender, ReportError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    for number in 0.. {
        let path = folder.join(format!("events.out.tfevents.{now:010}.flora.{number}"));
        match OpenOptions::new().create_new(true).write(true).open(&path) {
            Ok(file) => return Appender::new(file, path, 0),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(ReportError::io("create", path)(error)),
        }
    }
    unreachable!("the numbers do not end")
}

/// Values of one step.
#[derive(Default)]
struct Scalars(Vec<Value>);

impl Scalars {
    fn push(&mut self, tag: impl Into<String>, value: f64) {
        self.0.push(Value { tag: tag.into(), simple_value: Some(value as f32) });
    }

    fn clients(&mut self, clients: &[ClientScore]) {
        let tested = || clients.iter().filter(|score| score.num_examples > 0);
        if tested().count() > MOST_CLIENTS {
            return;
        }
        for ClientScore { client, accuracy, .. } in tested() {
            // Clients may have any names.
            let tag = match client.as_str() {
                "global" | "own" | "weighted" | "local" => format!("accuracy/client {client}"),
                _ => format!("accuracy/{client}"),
            };
            self.push(tag, *accuracy);
        }
    }
}

impl From<Scalars> for What {
    fn from(scalars: Scalars) -> Self {
        Self::Summary(Summary { value: scalars.0 })
    }
}
