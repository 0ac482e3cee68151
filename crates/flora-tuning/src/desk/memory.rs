//! A site's files of a run: its plan, and its client's state after each training.
//!
//! A restarted server may repeat a round that was already trained. The states of the last trainings are therefore kept,
//! each under its round and attempt, and a training starts from the newest earlier one: training a round twice gives
//! the same result twice. They reach back as far as the server's own states: to the one before its newest, in case that
//! one is lost. Of the attempts at a round, the newest two are kept.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use flora_core::files::{write_atomic, write_atomic_private};
use flora_core::sealed;
use flora_federation::Client;
use flora_federation::protocol::NOT_JOINED;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::Plan;
use crate::site::MOST_SAVE_EVERY;

/// The folder of all runs.
const RUNS_FOLDER: &str = "runs";

/// The round and the attempt of a training.
type Tag = (usize, usize);

/// The minimum number of rounds that a server can be set back.
const REACH: usize = 2;
/// Number of attempts at a round whose states are kept: the last one may be repeated, and starts from the one before.
const ATTEMPTS: usize = 2;
/// Number of runs that are kept.
const RUNS: usize = 8;

const PLAN: &str = "plan.json";
/// The round and the attempt of the first removed state.
const FORGOTTEN: &str = "forgotten";
const EXTENSION: &str = "state";
const DIGEST: usize = 32;
/// Replaces a removed state, so that no training starts from an older one unnoticed.
const EMPTIED: &[u8] = b"not kept\n";

pub(super) struct Memory {
    token: String,
    folder: PathBuf,
    /// The number of rounds that the server can be set back.
    reach: usize,
    /// The training whose result the client's state is.
    at: Option<Tag>,
    /// Whether the client has state that was not stored here.
    fresh: bool,
}

impl Memory {
    /// Opens the files of the run with this token below `folder`; its server saves a state every `save_every` rounds.
    /// Old runs are removed.
    pub(super) fn open(folder: &Path, token: &str, save_every: usize) -> Result<Self, String> {
        let runs = folder.join(RUNS_FOLDER);
        let folder = runs.join(token);
        fs::create_dir_all(&folder).map_err(problem("cannot be made", &folder))?;
        forget_old(&runs, token);
        let reach = save_every.min(MOST_SAVE_EVERY).saturating_mul(2).saturating_add(1).max(REACH);
        Ok(Self { token: token.to_owned(), folder, reach, at: None, fresh: true })
    }

    /// The training whose result the client's state is, as reported to servers.
    pub(super) fn from(&self) -> String {
        self.at.map_or_else(String::new, |(round, attempt)| format!("{round}-{attempt}"))
    }

    /// A digest of the client's state, read from its file; of empty input before the first training.
    pub(super) fn digest(&self) -> Result<[u8; DIGEST], String> {
        let Some(tag) = self.at else { return Ok([0; DIGEST]) };
        let path = self.path(tag);
        let bytes = fs::read(&path).map_err(problem("cannot be read", &path))?;
        bytes.first_chunk().copied().ok_or_else(|| format!("{} is damaged", path.display()))
    }

    /// Whether the client's state is that after this training.
    pub(super) fn is_at(&self, round: usize, attempt: usize) -> bool {
        self.at == Some((round, attempt))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn is_of(&self, token: &str) -> bool {
        self.token == token
    }

    pub(super) fn keep_plan(&self, plan: &Plan) -> Result<(), String> {
        let path = self.folder.join(PLAN);
        let text = sealed::to_string(plan).expect("plain data");
        write_atomic(&path, text.as_bytes()).map_err(problem("cannot be written", &path))
    }

    /// The stored plan of the run with this token below `folder`. Nothing is created for an unknown run.
    pub(super) fn plan(folder: &Path, token: &str) -> Result<Plan, String> {
        let path = folder.join(RUNS_FOLDER).join(token).join(PLAN);
        let text = fs::read_to_string(&path).map_err(|_| {
            format!(
                "{NOT_JOINED}, or has lost what it kept of it; restart flora serve with --resume"
            )
        })?;
        sealed::check(&text).map_err(|problem| format!("{}: {problem}", path.display()))?;
        let mut value: serde_json::Value =
            serde_json::from_str(&text).map_err(problem("cannot be read", &path))?;
        if let Some(fields) = value.as_object_mut() {
            fields.remove("sha256");
        }
        serde_json::from_value(value).map_err(problem("cannot be read", &path))
    }

    /// Restores the client's state before this training; with `anew`, even if it is current.
    pub(super) fn before(
        &mut self,
        round: usize,
        attempt: usize,
        anew: bool,
        client: &mut dyn Client,
    ) -> Result<(), String> {
        let newest = self.tags()?.into_iter().filter(|&tag| tag < (round, attempt)).max();
        if !anew && newest == self.at && (newest.is_some() || self.fresh) {
            return Ok(());
        }
        if newest.is_none() && self.forgotten()?.is_some_and(|tag| tag < (round, attempt)) {
            return Err(format!(
                "the server went back to round {}, and this site remembers its last {} rounds only; begin the run anew",
                round.saturating_add(1),
                self.reach
            ));
        }
        let state = newest.map(|tag| self.read(tag)).transpose()?.flatten();
        client
            .restore(state.as_ref().map(|state| state.as_slice()))
            .map_err(|error| error.to_string())?;
        (self.at, self.fresh) = (newest, true);
        Ok(())
    }

    /// Saves the client's state after this training.
    pub(super) fn after(
        &mut self,
        round: usize,
        attempt: usize,
        client: &dyn Client,
    ) -> Result<(), String> {
        // Until it is written, the client has no stored state.
        (self.at, self.fresh) = (None, false);
        let tag = (round, attempt);
        // It may hold secrets of noise and masks.
        let state = client.save().map_err(|error| error.to_string())?.map(Zeroizing::new);
        let body = Zeroizing::new(match &state {
            None => vec![0],
            Some(state) => [&[1], state.as_slice()].concat(),
        });
        let path = self.path(tag);
        let bytes = Zeroizing::new([Sha256::digest(&*body).as_slice(), &body].concat());
        write_atomic_private(&path, &bytes).map_err(problem("cannot be written", &path))?;
        self.at = Some(tag);
        let mut tags = self.tags()?;
        tags.sort_unstable();
        // Later states belong to a server that was set back.
        let stale = tags.split_off(tags.partition_point(|&other| other <= tag));
        // Those before this one were emptied earlier.
        let of_round = tags.iter().rev().take_while(|(other, _)| *other == round);
        let older = of_round.copied().nth(ATTEMPTS);
        // A server that is set back needs the state before the first round that it repeats.
        let first = (round + 1).saturating_sub(self.reach);
        let before = tags.partition_point(|&(round, _)| round < first);
        tags.truncate(before.saturating_sub(1));
        if let Some(&(round, attempt)) = tags.first()
            && self.forgotten()?.is_none()
        {
            let path = self.folder.join(FORGOTTEN);
            let text = format!("{round}-{attempt}\n");
            write_atomic(&path, text.as_bytes()).map_err(problem("cannot be written", &path))?;
        }
        for tag in stale.into_iter().chain(tags) {
            let _ = fs::remove_file(self.path(tag));
        }
        match older {
            None => Ok(()),
            Some(older) => {
                let path = self.path(older);
                write_atomic(&path, EMPTIED).map_err(problem("cannot be written", &path))
            }
        }
    }

    /// The first training whose state was removed.
    fn forgotten(&self) -> Result<Option<Tag>, String> {
        let path = self.folder.join(FORGOTTEN);
        match fs::read_to_string(&path) {
            // Whatever it contained, the file exists.
            Ok(text) => Ok(Some(tag(text.trim()).unwrap_or_default())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(problem("cannot be read", &path)(error)),
        }
    }

    fn read(&self, tag: Tag) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        let path = self.path(tag);
        let bytes = Zeroizing::new(fs::read(&path).map_err(problem("cannot be read", &path))?);
        if *bytes == EMPTIED {
            return Err(format!(
                "the server went back to an earlier attempt at round {}, and this site remembers the last {ATTEMPTS} \
                 only; start the run anew",
                tag.0.saturating_add(1)
            ));
        }
        let whole = bytes.split_at_checked(DIGEST);
        let body = whole.filter(|(digest, body)| *digest == Sha256::digest(body).as_slice());
        let Some((_, [is_there, state @ ..])) = body else {
            let path = path.display();
            return Err(format!(
                "{path} is damaged: the optimizer's state after round {} is lost; restore it, or remove the folder \
                 it is in and restart flora serve with --resume to continue with a new one",
                tag.0.saturating_add(1)
            ));
        };
        Ok((*is_there == 1).then(|| Zeroizing::new(state.to_vec())))
    }

    fn tags(&self) -> Result<Vec<Tag>, String> {
        let mut tags = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(problem("cannot be read", &self.folder))? {
            let path = entry.map_err(problem("cannot be read", &self.folder))?.path();
            let is_state = path.extension().is_some_and(|extension| extension == EXTENSION);
            let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_state);
            tags.extend(stem.and_then(tag));
        }
        Ok(tags)
    }

    fn path(&self, (round, attempt): Tag) -> PathBuf {
        self.folder.join(format!("{round:06}-{attempt:03}.{EXTENSION}"))
    }
}

/// Parses the round and the attempt from the name of a state file.
fn tag(text: &str) -> Option<Tag> {
    let (round, attempt) = text.split_once('-')?;
    Some((round.parse().ok()?, attempt.parse().ok()?))
}

/// Removes the least recently used runs.
fn forget_old(runs: &Path, token: &str) {
    let Ok(entries) = fs::read_dir(runs) else { return };
    let mut used: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_name() != token)
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    used.sort();
    let many = used.len().saturating_sub(RUNS - 1);
    for (_, path) in used.into_iter().take(many) {
        let _ = fs::remove_dir_all(path);
    }
}

fn problem<E: std::fmt::Display>(what: &'static str, path: &Path) -> impl Fn(E) -> String {
    let path = path.display().to_string();
    move |error| format!("{path} {what}: {error}")
}
