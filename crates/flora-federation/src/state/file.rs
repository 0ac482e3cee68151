//! The file format of a state: a line that names the format, a JSON head preceded by its length, the records and other
//! bytes that the head lists, and the SHA-256 of all of these.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
};

use flora_core::ParameterRecord;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{RunState, Step};
use crate::{
    Answer, Message, PhaseSeconds, RoundScore,
    outcome::{Evaluated, RunProgress},
};

/// The first line. Each layout has its own number.
const FORMAT: &[u8] = b"flora state 1\n";
/// The prefix of the first line of every layout.
const ANY_FORMAT: &[u8] = b"flora state ";
const DIGEST: usize = 32;

/// Why a state cannot be used or saved.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StateError {
    /// The folder contains no state.
    #[error("{} holds no state to resume from", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// A file is damaged or of another version of flora.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// The operating system reported an error.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The attempted action.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct Head {
    step: Option<Step>,
    begun: Option<Vec<Answer>>,
    strategy: Message,
    history: Vec<RoundScore>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    losses: BTreeMap<String, f64>,
    best_at: Option<usize>,
    bytes_up: u64,
    bytes_down: u64,
    seconds: PhaseSeconds,
    facts: BTreeMap<String, String>,
    /// The blobs that follow the head.
    blobs: Vec<Blob>,
}

/// A run of bytes in the file.
#[derive(Serialize, Deserialize)]
struct Blob {
    place: Place,
    bytes: usize,
    /// The record's tensor names in order, if it differs from the alphabetical order: sums over tensors depend on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    order: Vec<String>,
}

/// The role of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Global,
    /// Stored only if it differs from the global record.
    Last,
    /// Stored only if it differs from the last.
    Best,
    Strategy(String),
    Begun(usize, String),
    Fleet,
}

/// Writes the state, with additional facts of the caller.
pub(super) fn write(
    state: &RunState,
    facts: &BTreeMap<String, String>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let RunState { step, begun, progress, strategy, fleet } = state;
    let mut records: Vec<(Place, &ParameterRecord)> = vec![(Place::Global, &progress.global)];
    if let Some(Evaluated { last, best, .. }) = &progress.evaluated {
        // Usually the last is the current one, and after a good round the best is the last.
        if !Arc::ptr_eq(last, &progress.global) {
            records.push((Place::Last, last));
        }
        if !Arc::ptr_eq(best, last) {
            records.push((Place::Best, best));
        }
    }
    for (name, record) in &strategy.records {
        records.push((Place::Strategy(name.clone()), record));
    }
    for (index, answer) in begun.iter().flatten().enumerate() {
        let of_answer = answer.result.as_ref().map(|message| &message.records);
        for (name, record) in of_answer.into_iter().flatten() {
            records.push((Place::Begun(index, name.clone()), record));
        }
    }
    let mut blobs: Vec<(Blob, Vec<u8>)> =
        records.into_iter().map(|(place, record)| blob(place, record)).collect();
    let members = Blob { place: Place::Fleet, bytes: fleet.len(), order: Vec::new() };
    blobs.push((members, fleet.clone()));
    let (blobs, contents): (Vec<Blob>, Vec<Vec<u8>>) = blobs.into_iter().unzip();

    let best = progress.evaluated.as_ref().map(|evaluated| evaluated.best_at);
    let head = Head {
        step: *step,
        begun: begun.clone(),
        strategy: strategy.clone(),
        history: progress.history.clone(),
        losses: progress.losses.clone(),
        best_at: best,
        bytes_up: progress.bytes_up,
        bytes_down: progress.bytes_down,
        seconds: progress.seconds,
        facts: facts.clone(),
        blobs,
    };
    let head = serde_json::to_vec(&head).map_err(io::Error::other)?;
    let mut digest = Sha256::new();
    let mut put = |bytes: &[u8]| {
        digest.update(bytes);
        out.write_all(bytes)
    };
    put(FORMAT)?;
    put(&(head.len() as u64).to_le_bytes())?;
    put(&head)?;
    for bytes in &contents {
        put(bytes)?;
    }
    out.write_all(&digest.finalize())
}

/// A record as bytes, with the tensor order that the bytes do not contain.
fn blob(place: Place, record: &ParameterRecord) -> (Blob, Vec<u8>) {
    let order = match record.names().is_sorted() {
        true => Vec::new(),
        false => record.names().map(str::to_owned).collect(),
    };
    let bytes = record.to_safetensors();
    (Blob { place, bytes: bytes.len(), order }, bytes)
}

/// The record from the bytes of [`blob`].
fn record(bytes: &[u8], order: &[String]) -> Result<ParameterRecord, String> {
    let sorted = ParameterRecord::from_safetensors(bytes).map_err(|error| error.to_string())?;
    if order.is_empty() {
        return Ok(sorted);
    }
    let mut record = ParameterRecord::new();
    for name in order {
        let tensor = sorted.get(name).ok_or_else(|| format!("there is no tensor `{name}`"))?;
        record.insert(name, tensor.clone()).map_err(|error| error.to_string())?;
    }
    match record.len() == sorted.len() {
        true => Ok(record),
        false => Err("the order of its tensors is not complete".to_owned()),
    }
}

/// Whether the first line is complete and names another layout.
fn is_of_another_version(bytes: &[u8]) -> bool {
    let rest = bytes.strip_prefix(ANY_FORMAT).unwrap_or_default();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && rest.get(digits) == Some(&b'\n')
}

/// Reads the bytes of [`write`]; an error names the problem.
pub(super) fn read(bytes: &[u8]) -> Result<(RunState, BTreeMap<String, String>), String> {
    if !bytes.starts_with(FORMAT) {
        return Err(match is_of_another_version(bytes) {
            true => "it was written by another version of flora; resume with that one".to_owned(),
            false => "it is damaged: not a state of flora".to_owned(),
        });
    }
    let split = bytes.len().checked_sub(DIGEST).filter(|&at| at >= FORMAT.len() + 8);
    let (body, digest) = bytes.split_at(split.ok_or("it is damaged: cut off")?);
    if Sha256::digest(body).as_slice() != digest {
        return Err("it is damaged: its checksum does not match".to_owned());
    }
    // The checksum matches: from here on, only a file written by another program can be invalid.
    let foreign = |what: &dyn std::fmt::Display| format!("it is not understood: {what}");
    let (length, rest) = body[FORMAT.len()..].split_at(8);
    let length = u64::from_le_bytes(length.try_into().expect("8 bytes"));
    let length = usize::try_from(length).ok().filter(|&length| length <= rest.len());
    let (head, mut rest) = rest.split_at(length.ok_or_else(|| foreign(&"its head is too long"))?);
    let head: Head = serde_json::from_slice(head).map_err(|error| foreign(&error))?;

    let mut begun = head.begun;
    let (mut global, mut last, mut best) = (None, None, None);
    let (mut strategy, mut fleet) = (head.strategy, Vec::new());
    for Blob { place, bytes: length, order } in head.blobs {
        if length > rest.len() {
            return Err(foreign(&"it is too short"));
        }
        let (bytes, after) = rest.split_at(length);
        rest = after;
        if place == Place::Fleet {
            fleet = bytes.to_vec();
            continue;
        }
        let record = Arc::new(record(bytes, &order).map_err(|error| foreign(&error))?);
        match place {
            Place::Global => global = Some(record),
            Place::Last => last = Some(record),
            Place::Best => best = Some(record),
            Place::Strategy(name) => {
                strategy.records.insert(name, record);
            }
            Place::Begun(index, name) => {
                let answer = begun.as_mut().and_then(|answers| answers.get_mut(index));
                let message = answer.and_then(|answer| answer.result.as_mut().ok());
                let message = message.ok_or_else(|| foreign(&"a record of no reply"))?;
                message.records.insert(name, record);
            }
            Place::Fleet => {}
        }
    }
    let global = global.ok_or_else(|| foreign(&"it holds no global parameters"))?;
    let evaluated = match head.best_at {
        None if head.step.is_none() => return Err(foreign(&"it ends without an evaluation")),
        None => None,
        Some(at) => {
            if at >= head.history.len() {
                return Err(foreign(&"its best round is not there"));
            }
            let last = last.unwrap_or_else(|| Arc::clone(&global));
            let best = best.unwrap_or_else(|| Arc::clone(&last));
            Some(Evaluated { last, best, best_at: at })
        }
    };
    let progress = RunProgress {
        global,
        evaluated,
        history: head.history,
        losses: head.losses,
        bytes_up: head.bytes_up,
        bytes_down: head.bytes_down,
        seconds: head.seconds,
    };
    let state = RunState { step: head.step, begun, progress, strategy, fleet };
    Ok((state, head.facts))
}
