//! What a site remembers of a run from task to task, in files: its plan, and what its client was after each training.
//!
//! A server that was killed asks again for a round that is trained already. So the states of the last trainings are
//! kept, each under its round and attempt, and a training begins with the newest one that came before it: whoever
//! trains a round twice does the same twice.

use std::fs;
use std::path::{Path, PathBuf};

use flora_core::files::write_atomic;
use flora_core::sealed;
use flora_federation::Client;
use sha2::{Digest, Sha256};

use crate::{Plan, SiteClient};

/// The round and the attempt of a training.
type Tag = (usize, usize);

/// States that are kept of a run, and runs that are kept.
const STATES: usize = 3;
const RUNS: usize = 8;

const PLAN: &str = "plan.json";
const EXTENSION: &str = "state";
const DIGEST: usize = 32;

pub(super) struct Memory {
    token: String,
    folder: PathBuf,
    /// The training after which the client is now.
    at: Option<Tag>,
    /// Whether the client remembers anything that it was not told here.
    fresh: bool,
}

impl Memory {
    /// What is remembered of the run with this token, below `folder`. Old runs are forgotten.
    pub(super) fn open(folder: &Path, token: &str) -> Result<Self, String> {
        let runs = folder.join("runs");
        let folder = runs.join(token);
        fs::create_dir_all(&folder).map_err(problem("cannot be made", &folder))?;
        forget_old(&runs, token);
        Ok(Self { token: token.to_owned(), folder, at: None, fresh: true })
    }

    pub(super) fn is_of(&self, token: &str) -> bool {
        self.token == token
    }

    pub(super) fn keep_plan(&self, plan: &Plan) -> Result<(), String> {
        let path = self.folder.join(PLAN);
        let text = sealed::to_string(plan).expect("plain data");
        write_atomic(&path, text.as_bytes()).map_err(problem("cannot be written", &path))
    }

    pub(super) fn plan(&self) -> Result<Plan, String> {
        let path = self.folder.join(PLAN);
        let text = fs::read_to_string(&path).map_err(|_| {
            "this site has not joined the run, or has lost what it kept of it; restart flora serve with --resume"
                .to_owned()
        })?;
        sealed::check(&text).map_err(|problem| format!("{}: {problem}", path.display()))?;
        let mut value: serde_json::Value =
            serde_json::from_str(&text).map_err(problem("cannot be read", &path))?;
        if let Some(fields) = value.as_object_mut() {
            fields.remove("sha256");
        }
        serde_json::from_value(value).map_err(problem("cannot be read", &path))
    }

    /// Brings the client to what it was before this training.
    pub(super) fn before(
        &mut self,
        round: usize,
        attempt: usize,
        client: &mut SiteClient,
    ) -> Result<(), String> {
        let newest = self.tags()?.into_iter().filter(|&tag| tag < (round, attempt)).max();
        if newest == self.at && (newest.is_some() || self.fresh) {
            return Ok(());
        }
        let state = newest.map(|tag| self.read(tag)).transpose()?.flatten();
        client.restore(state.as_deref()).map_err(|error| error.to_string())?;
        (self.at, self.fresh) = (newest, true);
        Ok(())
    }

    /// Keeps what the client is after this training.
    pub(super) fn after(
        &mut self,
        round: usize,
        attempt: usize,
        client: &SiteClient,
    ) -> Result<(), String> {
        // Until it is written, it is nowhere.
        (self.at, self.fresh) = (None, false);
        let tag = (round, attempt);
        let state = client.save().map_err(|error| error.to_string())?;
        let body = match &state {
            None => vec![0],
            Some(state) => [&[1], state.as_slice()].concat(),
        };
        let path = self.path(tag);
        let bytes = [Sha256::digest(&body).as_slice(), &body].concat();
        write_atomic(&path, &bytes).map_err(problem("cannot be written", &path))?;
        self.at = Some(tag);
        let mut tags = self.tags()?;
        tags.sort_unstable();
        // What comes after this is of a server that was set back.
        let stale = tags.iter().filter(|&&other| other > tag);
        let old = tags.iter().filter(|&&other| other <= tag).rev().skip(STATES);
        for tag in stale.chain(old) {
            let _ = fs::remove_file(self.path(*tag));
        }
        Ok(())
    }

    fn read(&self, tag: Tag) -> Result<Option<Vec<u8>>, String> {
        let path = self.path(tag);
        let bytes = fs::read(&path).map_err(problem("cannot be read", &path))?;
        let whole = bytes.split_at_checked(DIGEST);
        let body = whole.filter(|(digest, body)| *digest == Sha256::digest(body).as_slice());
        let Some((_, [is_there, state @ ..])) = body else {
            let path = path.display();
            return Err(format!(
                "{path} is damaged: the optimizer's state after round {} is lost; restore it, or remove the folder \
                 it is in to begin with a new one",
                tag.0 + 1
            ));
        };
        Ok((*is_there == 1).then(|| state.to_vec()))
    }

    fn tags(&self) -> Result<Vec<Tag>, String> {
        let mut tags = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(problem("cannot be read", &self.folder))? {
            let path = entry.map_err(problem("cannot be read", &self.folder))?.path();
            let is_state = path.extension().is_some_and(|extension| extension == EXTENSION);
            let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|_| is_state);
            let numbers = stem.and_then(|stem| stem.split_once('-'));
            let tag = numbers
                .and_then(|(round, attempt)| Some((round.parse().ok()?, attempt.parse().ok()?)));
            tags.extend(tag);
        }
        Ok(tags)
    }

    fn path(&self, (round, attempt): Tag) -> PathBuf {
        self.folder.join(format!("{round:06}-{attempt:03}.{EXTENSION}"))
    }
}

/// Removes the runs that were not used for longest.
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
