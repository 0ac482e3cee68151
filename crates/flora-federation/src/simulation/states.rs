//! The states of a simulation's clients, in one file.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use serde::{Deserialize, Serialize};

use crate::FleetError;

/// Slot sizes are multiples of this, so that a state that grows by a few bytes stays in place.
const ROOM: u64 = 512;

/// Number of commits whose states must stay readable: the last, and the one before it.
const GENERATIONS: usize = 2;

/// The states of clients in one file. A client has up to three slots: two for the last two commits, and one for the
/// next write. A process that dies at any moment therefore leaves the committed states intact.
#[derive(Debug)]
pub struct ClientStates {
    /// For messages; `None` for a file without a name.
    path: Option<PathBuf>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    index: Index,
    /// Whether something was written since the last commit.
    changed: bool,
}

/// The positions of all states: the description of a commit.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Index {
    /// Number of commits so far.
    commits: u64,
    end: u64,
    clients: BTreeMap<String, Vec<Slot>>,
}

/// A region of the file and the state stored there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Slot {
    offset: u64,
    room: u64,
    /// The number of the commit after the write, which orders states by age.
    commit: u64,
    /// `None` for a client whose state was reset.
    len: Option<u64>,
    crc32: u32,
}

impl ClientStates {
    /// Creates an empty file at `path`, replacing an existing one. On Unix, only its owner can read a new file, because
    /// states hold secrets.
    ///
    /// # Errors
    /// [`FleetError::States`] names the file.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, FleetError> {
        let path = path.into();
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Self::new(options.open(&path), Some(path))
    }

    /// Opens the file that an earlier process left at `path`. [`Fleet::restore`](crate::Fleet::restore) determines
    /// which states are valid.
    ///
    /// # Errors
    /// [`FleetError::States`] names the file.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FleetError> {
        let path = path.into();
        let file = OpenOptions::new().read(true).write(true).open(&path);
        Self::new(file, Some(path))
    }

    /// Creates an unnamed file in `folder`, which is created if necessary, or in the system's folder for temporary
    /// files if no folder is given or it cannot be created. The system removes the file when the process ends, for
    /// whatever reason.
    ///
    /// # Errors
    /// [`FleetError::States`].
    pub fn temporary(folder: Option<&Path>) -> Result<Self, FleetError> {
        // The system's folder is in memory on some systems, where files would save nothing.
        let inside = |folder: &Path| {
            std::fs::create_dir_all(folder)?;
            tempfile::tempfile_in(folder)
        };
        let file = folder.and_then(|folder| inside(folder).ok());
        Self::new(file.map_or_else(tempfile::tempfile, Ok), None)
    }

    fn new(file: io::Result<File>, path: Option<PathBuf>) -> Result<Self, FleetError> {
        let what =
            || path.as_ref().map_or("a temporary file".to_owned(), |it| it.display().to_string());
        let file =
            file.map_err(|error| FleetError::States(format!("cannot open {}: {error}", what())))?;
        let inner = Inner { file, index: Index::default(), changed: false };
        Ok(Self { path, inner: Mutex::new(inner) })
    }

    /// Writes a client's current state.
    pub(super) fn write(&self, client: &str, state: Option<&[u8]>) -> Result<(), FleetError> {
        let mut inner = self.lock();
        if state.is_none() && !inner.index.clients.contains_key(client) {
            return Ok(());
        }
        inner.write(client, state).map_err(|error| FleetError::State {
            client: client.to_owned(),
            problem: format!("cannot be written to {}: {error}", self.place()),
        })
    }

    /// Checks that every committed state can be read.
    pub(super) fn verify(&self) -> Result<(), FleetError> {
        let clients: Vec<String> = self.lock().index.clients.keys().cloned().collect();
        clients.iter().try_for_each(|client| self.read(client).map(drop))
    }

    /// Reads a client's state.
    pub(super) fn read(&self, client: &str) -> Result<Option<Vec<u8>>, FleetError> {
        let mut inner = self.lock();
        let Some(slot) = inner.index.newest(client) else { return Ok(None) };
        let Some(len) = slot.len else { return Ok(None) };
        let broken = |problem: String| FleetError::State {
            client: client.to_owned(),
            problem: format!("cannot be read from {}: {problem}", self.place()),
        };
        let bytes = inner.read(slot.offset, len).map_err(|error| broken(error.to_string()))?;
        match crc32fast::hash(&bytes) == slot.crc32 {
            true => Ok(Some(bytes)),
            false => Err(broken("it is damaged: its checksum does not match".to_owned())),
        }
    }

    /// Makes all states durable and describes them.
    pub(super) fn commit(&self) -> Result<serde_json::Value, FleetError> {
        let mut inner = self.lock();
        if inner.changed {
            inner.file.sync_data().map_err(|error| {
                FleetError::States(format!("cannot write {}: {error}", self.place()))
            })?;
            inner.changed = false;
        }
        inner.index.commits += 1;
        serde_json::to_value(&inner.index).map_err(|error| FleetError::States(error.to_string()))
    }

    /// Returns to the states that [`commit`](Self::commit) described.
    pub(super) fn restore(&self, committed: serde_json::Value) -> Result<(), FleetError> {
        let index: Index = serde_json::from_value(committed)
            .map_err(|error| FleetError::States(format!("their index is damaged: {error}")))?;
        if !index.is_sound() {
            let problem = "their index is damaged: it names places that cannot be";
            return Err(FleetError::States(problem.to_owned()));
        }
        let mut inner = self.lock();
        let length = inner.file.metadata().map_err(|error| {
            FleetError::States(format!("cannot read {}: {error}", self.place()))
        })?;
        // Space at the end that was never written may be missing.
        let needed = |slot: &Slot| slot.offset + slot.len.unwrap_or(0);
        let newest = index.clients.keys().filter_map(|client| index.newest(client));
        let needed = newest.map(|slot| needed(&slot)).max().unwrap_or(0);
        if length.len() < needed {
            return Err(FleetError::States(format!(
                "{} is cut off: it has {} bytes instead of at least {needed}",
                self.place(),
                length.len(),
            )));
        }
        inner.index = index;
        Ok(())
    }

    fn place(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => "a temporary file".to_owned(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every call seeks first, so an interrupted call leaves nothing to repair.
        self.inner.lock().unwrap_or_else(|error| error.into_inner())
    }
}

impl Index {
    /// Whether the numbers are plausible for a file: sums of them do not overflow.
    fn is_sound(&self) -> bool {
        let fits = |slot: &Slot| {
            let end = slot.offset.checked_add(slot.room).filter(|&end| end <= self.end);
            end.is_some() && slot.len.unwrap_or(0) <= slot.room && slot.commit <= self.commits
        };
        // No disk is that large, and no run that long.
        let most = u64::MAX / 4;
        self.end <= most && self.commits <= most && self.clients.values().flatten().all(fits)
    }

    fn newest(&self, client: &str) -> Option<Slot> {
        self.clients.get(client)?.iter().copied().max_by_key(|slot| slot.commit)
    }
}

impl Inner {
    fn write(&mut self, client: &str, state: Option<&[u8]>) -> io::Result<()> {
        let bytes = state.unwrap_or_default();
        let len = bytes.len() as u64;
        let commit = self.index.commits + 1;
        let mut slots = self.index.clients.get(client).cloned().unwrap_or_default();
        slots.sort_by_key(|slot| std::cmp::Reverse(slot.commit));
        // A slot newer than the last commit is replaced. Of the others, the newest two are those of the last two
        // commits, and at least the newest of those in between.
        let uncommitted = slots.iter().position(|slot| slot.commit == commit);
        let replaced = uncommitted.or_else(|| (slots.len() > GENERATIONS).then(|| slots.len() - 1));
        let earlier = replaced.map(|at| slots.remove(at));
        let (offset, room) = match earlier.filter(|slot| len <= slot.room) {
            Some(slot) => (slot.offset, slot.room),
            None => (self.index.end, len.next_multiple_of(ROOM).max(ROOM)),
        };
        // A write that fails half-way leaves nothing that is used.
        self.index.clients.insert(client.to_owned(), slots.clone());
        self.index.end = self.index.end.max(offset + room);
        self.changed = true;
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.write_all(bytes)?;
        slots.push(Slot {
            offset,
            room,
            commit,
            len: state.map(|_| len),
            crc32: crc32fast::hash(bytes),
        });
        self.index.clients.insert(client.to_owned(), slots);
        Ok(())
    }

    fn read(&mut self, offset: u64, len: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states() -> (tempfile::TempDir, ClientStates) {
        let folder = tempfile::tempdir().unwrap();
        let states = ClientStates::create(folder.path().join("clients.bin")).unwrap();
        (folder, states)
    }

    fn reopened(folder: &tempfile::TempDir, committed: &serde_json::Value) -> ClientStates {
        let states = ClientStates::open(folder.path().join("clients.bin")).unwrap();
        states.restore(committed.clone()).unwrap();
        states
    }

    #[test]
    fn every_client_keeps_its_own_and_writes_over_itself() {
        let (_folder, states) = states();
        states.write("a", Some(&[1; 700])).unwrap();
        states.write("b", Some(&[2; 10])).unwrap();
        states.write("a", Some(&[3; 1024])).unwrap();
        states.write("a", Some(&[4; 1025])).unwrap();
        assert_eq!(states.read("a").unwrap().unwrap(), [4; 1025]);
        assert_eq!(states.read("b").unwrap().unwrap(), [2; 10]);
        assert_eq!(states.read("c").unwrap(), None);
        states.write("b", None).unwrap();
        states.write("c", None).unwrap();
        assert_eq!(states.read("b").unwrap(), None);
        assert!(!states.lock().index.clients.contains_key("c"));
        // Nothing was committed: a client needs one slot.
        assert_eq!(states.lock().index.end, 1024 + 512 + 1536);
    }

    #[test]
    fn the_last_two_commits_stay_readable_whatever_is_written_after_them() {
        let (folder, states) = states();
        let mut commits = Vec::new();
        for round in 0..9_u8 {
            // One client trains always, one sometimes, one once.
            states.write("often", Some(&[round; 600])).unwrap();
            if round % 3 == 0 {
                states.write("seldom", Some(&[100 + round; 600])).unwrap();
            }
            if round == 2 {
                states.write("once", Some(b"once")).unwrap();
            }
            if round == 5 {
                states.write("once", None).unwrap();
            }
            commits.push(states.commit().unwrap());
            // A round that is not committed also writes, more than once.
            for scribble in [200, 201] {
                states.write("often", Some(&[scribble; 700])).unwrap();
                states.write("seldom", Some(&[scribble; 600])).unwrap();
                states.write("once", Some(&[scribble; 600])).unwrap();
            }
            for back in 0..GENERATIONS.min(commits.len()) {
                let then = round - back as u8;
                let states = reopened(&folder, &commits[usize::from(then)]);
                assert_eq!(states.read("often").unwrap().unwrap(), [then; 600], "{round} {back}");
                assert_eq!(states.read("seldom").unwrap().unwrap(), [100 + then / 3 * 3; 600]);
                let once = states.read("once").unwrap();
                assert_eq!(once.as_deref(), (2..5).contains(&then).then_some(&b"once"[..]));
            }
            // The run continues from the commit, as a resumed one does.
            states.restore(commits[usize::from(round)].clone()).unwrap();
        }
        assert!(states.lock().index.clients.values().all(|slots| slots.len() <= GENERATIONS + 1));
    }

    #[test]
    fn a_flipped_bit_or_a_cut_file_is_told() {
        let (folder, states) = states();
        states.write("a", Some(&[7; 600])).unwrap();
        states.write("b", Some(&[8; 600])).unwrap();
        let committed = states.commit().unwrap();
        let path = folder.path().join("clients.bin");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[300] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let states = reopened(&folder, &committed);
        let error = states.read("a").unwrap_err().to_string();
        assert!(error.contains("client a") && error.contains("checksum"), "{error}");
        assert!(states.read("b").is_ok());
        std::fs::write(&path, &bytes[..1100]).unwrap();
        let states = ClientStates::open(&path).unwrap();
        let error = states.restore(committed).unwrap_err().to_string();
        assert!(error.contains("cut off"), "{error}");
    }

    #[test]
    fn a_temporary_file_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("not/there/yet");
        let states = ClientStates::temporary(Some(&inside)).unwrap();
        states.write("a", Some(b"state")).unwrap();
        assert_eq!(states.read("a").unwrap().unwrap(), b"state");
        drop(states);
        assert_eq!(std::fs::read_dir(&inside).unwrap().count(), 0);
        // A folder that cannot be created is no obstacle.
        let taken = folder.path().join("taken");
        std::fs::write(&taken, "").unwrap();
        let states = ClientStates::temporary(Some(&taken)).unwrap();
        states.write("a", Some(b"state")).unwrap();
        assert_eq!(states.read("a").unwrap().unwrap(), b"state");
    }
}
