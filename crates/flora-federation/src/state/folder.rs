use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use flora_core::files::write_atomic_with;

use super::{RunState, StateError, file};

/// How many states are kept: the last, and the one before in case the last is damaged.
const GENERATIONS: usize = 2;

const EXTENSION: &str = "state";

/// The folder in which a run keeps its states: files `000012.state`, numbered as they are written, of
/// which the last two are kept. A file is whole or not there, and its checksum says so.
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
    /// What the caller had written with it.
    pub facts: BTreeMap<String, String>,
    /// Why a later state could not be used, if one is there.
    pub passed_over: Option<StateError>,
}

impl StateFolder {
    /// The folder at `path`, which is made if it is not there.
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

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a state, with `facts` that the caller wants back with it. The states before it stay
    /// whole if this fails.
    ///
    /// # Errors
    /// [`StateError::Io`] names the file.
    pub fn save(
        &mut self,
        state: &RunState,
        facts: &BTreeMap<String, String>,
    ) -> Result<(), StateError> {
        let path = self.file(self.next);
        write_atomic_with(&path, |out| file::write(state, facts, out))
            .map_err(io_error("write", &path))?;
        self.next += 1;
        let numbers = numbers(&self.path)?;
        for &number in &numbers[..numbers.len().saturating_sub(GENERATIONS)] {
            // One too many only takes room.
            let _ = fs::remove_file(self.file(number));
        }
        Ok(())
    }

    /// The last state that is whole.
    ///
    /// # Errors
    /// [`StateError::Missing`] if there is none at all; [`StateError::Io`] if the last one cannot be
    /// read, whatever is in it; what is wrong with the last one if none is whole.
    pub fn load(&self) -> Result<Loaded, StateError> {
        let mut passed_over = None;
        for &number in numbers(&self.path)?.iter().rev() {
            let path = self.file(number);
            // A file that cannot be read now may be whole.
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

    /// Removes the states after one that was loaded: they are damaged, and what follows would be
    /// written between.
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

/// The numbers of the states that are there, in order.
fn numbers(folder: &Path) -> Result<Vec<u64>, StateError> {
    let read = io_error("read the folder", folder);
    let entries = match fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(read(error)),
    };
    // Names that are not as they are written are not ours.
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
