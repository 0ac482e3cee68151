use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use flora_core::files::write_atomic_private_with;

use super::{RunState, StateError, file};

/// Number of states kept: the last, and the one before in case the last is damaged.
const GENERATIONS: usize = 2;

const EXTENSION: &str = "state";

/// The folder in which a run keeps its states: files `000012.state`, numbered in the order of writing, of which the
/// last two are kept. Files are written atomically, and each has a checksum. A state holds single clients' answers and
/// the keys of noise, so on Unix only its owner can read it.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    next: u64,
}

/// A state that was read.
#[derive(Debug)]
pub struct Loaded {
    /// The state.
    pub state: RunState,
    /// The facts that the caller saved with it.
    pub facts: BTreeMap<String, String>,
    /// Why a later state was skipped, if there is one.
    pub passed_over: Option<StateError>,
}

impl StateFolder {
    /// Opens the folder at `path`, which is created if necessary.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateError> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(io_error("create the folder", &path))?;
        let last = numbers(&path)?.pop();
        let next = last.map_or(Some(0), |last| last.checked_add(1));
        let next = next.ok_or_else(|| StateError::File {
            path: path.clone(),
            problem: "it holds a state of the highest number there is; remove it".to_owned(),
        })?;
        Ok(Self { path, next })
    }

    /// Path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Saves a state with `facts` that [`load`](Self::load) returns with it. Earlier states stay intact if this fails.
    ///
    /// # Errors
    /// [`StateError::Io`] names the file.
    pub fn save(
        &mut self,
        state: &RunState,
        facts: &BTreeMap<String, String>,
    ) -> Result<(), StateError> {
        let path = self.file(self.next);
        write_atomic_private_with(&path, |out| file::write(state, facts, out))
            .map_err(io_error("write", &path))?;
        self.next += 1;
        let numbers = numbers(&self.path)?;
        for &number in &numbers[..numbers.len().saturating_sub(GENERATIONS)] {
            // A surplus state only takes space.
            let _ = fs::remove_file(self.file(number));
        }
        Ok(())
    }

    /// Loads the last undamaged state.
    ///
    /// # Errors
    /// [`StateError::Missing`] if there is none at all; [`StateError::Io`] if the last one cannot be read; the problem
    /// of the last one if all are damaged.
    pub fn load(&self) -> Result<Loaded, StateError> {
        let mut passed_over = None;
        for &number in numbers(&self.path)?.iter().rev() {
            let path = self.file(number);
            // A file that cannot be read now may be intact.
            let bytes = fs::read(&path).map_err(io_error("read", &path))?;
            match file::read(&bytes) {
                Ok((state, facts)) => return Ok(Loaded { state, facts, passed_over }),
                Err(problem) => {
                    passed_over = passed_over.or(Some(StateError::File { path, problem }));
                }
            }
        }
        Err(passed_over.unwrap_or(StateError::Missing { path: self.path.clone() }))
    }

    /// Removes the states after a loaded one: they are damaged, and new states would be numbered among them.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn forget_damaged(&mut self) -> Result<(), StateError> {
        for &number in numbers(&self.path)?.iter().rev() {
            let path = self.file(number);
            let bytes = fs::read(&path).map_err(io_error("read", &path))?;
            if file::read(&bytes).is_ok() {
                break;
            }
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
        Ok(())
    }

    fn file(&self, number: u64) -> PathBuf {
        self.path.join(file_name(number))
    }
}

fn file_name(number: u64) -> String {
    format!("{number:06}.{EXTENSION}")
}

/// The numbers of the existing states, in order.
fn numbers(folder: &Path) -> Result<Vec<u64>, StateError> {
    let read = io_error("read the folder", folder);
    let entries = match fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(read(error)),
    };
    // Ignores file names that this folder would not write.
    let number = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let number = name.strip_suffix(EXTENSION)?.strip_suffix('.')?.parse().ok()?;
        (file_name(number) == name).then_some(number)
    };
    let mut numbers: Vec<u64> = entries.into_iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { action, path, source }
}
