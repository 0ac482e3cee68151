//! The messages that a node received and has not answered: a SuperLink delivers each only once.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use flora_core::files::write_atomic;
use flora_federation::Kind;
use prost::Message as _;

use super::NodeFolder;
use crate::NodeError;
use crate::wire::message::{Message, Metadata};

/// A message to answer, with valid metadata.
pub(super) struct Entry(Message);

impl Entry {
    /// `None` for a message without the metadata that a reply needs.
    pub(super) fn new(message: Message) -> Option<Self> {
        let metadata = message.metadata.as_ref()?;
        // The id becomes a file name.
        let id = &metadata.message_id;
        let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then_some(Self(message))
    }

    pub(super) fn metadata(&self) -> &Metadata {
        self.0.metadata.as_ref().expect("checked when it was made")
    }

    pub(super) fn run_id(&self) -> u64 {
        self.metadata().run_id
    }

    pub(super) fn message_id(&self) -> &str {
        &self.metadata().message_id
    }

    /// The requested work: Flower's type is `train`, `evaluate` or `query`, possibly with a name.
    pub(super) fn kind(&self) -> Kind {
        let kind = self.metadata().message_type.as_str();
        match kind.split_once('.').unwrap_or((kind, "")) {
            ("train", _) => Kind::Train,
            ("evaluate", _) => Kind::Evaluate,
            ("query", name) => Kind::Query(name.to_owned()),
            _ => Kind::Query(kind.to_owned()),
        }
    }

    /// Whether the time limit of a message from an earlier process is over. Clocks may differ by minutes.
    pub(super) fn is_over(&self) -> bool {
        const SKEW: f64 = 300.0;
        let Metadata { created_at, ttl, .. } = self.metadata();
        let until = created_at + ttl + SKEW;
        // NaN counts as over, too.
        until.is_nan() || until < now()
    }
}

/// Seconds since 1970-01-01 UTC.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// A folder with one file per entry.
pub(super) struct Journal(PathBuf);

const EXTENSION: &str = "message";

impl Journal {
    pub(super) fn open(folder: &NodeFolder) -> Result<Self, NodeError> {
        let path = folder.path().join("journal");
        fs::create_dir_all(&path).map_err(NodeError::folder(&path))?;
        Ok(Self(path))
    }

    /// The entries of earlier processes, in the order of their creation.
    pub(super) fn entries(&self) -> Result<Vec<Entry>, NodeError> {
        let mut entries = Vec::new();
        for file in fs::read_dir(&self.0).map_err(NodeError::folder(&self.0))? {
            let path = file.map_err(NodeError::folder(&self.0))?.path();
            if path.extension().is_none_or(|extension| extension != EXTENSION) {
                continue;
            }
            let bytes = fs::read(&path).map_err(NodeError::folder(&path))?;
            match Message::decode(bytes.as_slice()).ok().and_then(Entry::new) {
                Some(entry) => entries.push(entry),
                // Files are written atomically, so this one is not ours.
                None => drop(fs::remove_file(path)),
            }
        }
        let created = |entry: &Entry| entry.metadata().created_at;
        entries.sort_by(|left, right| created(left).total_cmp(&created(right)));
        Ok(entries)
    }

    pub(super) fn add(&self, entry: &Entry) -> Result<(), NodeError> {
        let path = self.path(entry);
        write_atomic(&path, &entry.0.encode_to_vec()).map_err(NodeError::folder(&path))
    }

    pub(super) fn remove(&self, entry: &Entry) -> Result<(), NodeError> {
        self.forget_tries(entry);
        let path = self.path(entry);
        fs::remove_file(&path).map_err(NodeError::folder(&path))
    }

    /// Counts another attempt at an entry; returns the number of attempts. A task may crash its process, and would
    /// crash every later one, too.
    pub(super) fn count_try(&self, entry: &Entry) -> Result<usize, NodeError> {
        let path = self.tries_path(entry);
        let before = fs::read_to_string(&path).ok().and_then(|text| text.parse().ok());
        let tries = before.unwrap_or(0_usize) + 1;
        write_atomic(&path, tries.to_string().as_bytes()).map_err(NodeError::folder(&path))?;
        Ok(tries)
    }

    /// A deliberate postponement does not count as an attempt.
    pub(super) fn forget_tries(&self, entry: &Entry) {
        let _ = fs::remove_file(self.tries_path(entry));
    }

    fn tries_path(&self, entry: &Entry) -> PathBuf {
        self.0.join(entry.message_id()).with_extension("tries")
    }

    fn path(&self, entry: &Entry) -> PathBuf {
        self.0.join(entry.message_id()).with_extension(EXTENSION)
    }
}
