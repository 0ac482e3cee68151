//! The folder that holds the unpacked archive.
//!
//! It has a list of its files and their sizes, [`LIST`], which is written last. Programs that are killed, and people who
//! tidy up, leave folders that are not whole: what is missing or has another size is then unpacked again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::{named, unpack_listed};

/// The list in an installed folder: a line `SIZE PATH` for each file.
const LIST: &str = ".files";

/// The beginning of the names of folders that are being unpacked.
const UNFINISHED: &str = ".examples-";

/// Unfinished folders of this age belong to programs that were killed: unpacking takes seconds.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// Unpacks beside `folder` and moves the result there. If `folder` exists, only files that are missing or have another
/// size are moved.
pub(crate) fn install(folder: &Path) -> io::Result<()> {
    if is_whole(folder) {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| named(parent, error))?;
    remove_abandoned(parent, SystemTime::now());
    let unpacked = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(parent);
    let unpacked = unpacked.map_err(|error| named(parent, error))?;
    let files = unpack_listed(unpacked.path())?;
    let list: String = files.iter().map(|(name, size)| format!("{size} {name}\n")).collect();
    if !folder.is_dir() {
        let path = unpacked.path().join(LIST);
        fs::write(&path, &list).map_err(|error| named(&path, error))?;
        return rename(unpacked, folder);
    }
    mend(unpacked.path(), folder, &list)
}

fn rename(unpacked: TempDir, folder: &Path) -> io::Result<()> {
    match fs::rename(unpacked.path(), folder) {
        // Another process was faster.
        Err(_) if is_whole(folder) => Ok(()),
        Err(error) => Err(named(folder, error)),
        Ok(()) => {
            // It has another name now, and stays.
            let _ = unpacked.keep();
            Ok(())
        }
    }
}

/// Moves the files of `list` that `folder` lacks, or that have another size there. Each file is replaced at once, so
/// that other processes can read it or mend the same folder meanwhile.
fn mend(unpacked: &Path, folder: &Path, list: &str) -> io::Result<()> {
    for (size, name) in entries(list) {
        let target = folder.join(name);
        if has_size(&target, size) {
            continue;
        }
        let parent = target.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| named(parent, error))?;
        fs::rename(unpacked.join(name), &target).map_err(|error| named(&target, error))?;
    }
    let (new, path) = (unpacked.join(LIST), folder.join(LIST));
    fs::write(&new, list).map_err(|error| named(&new, error))?;
    fs::rename(new, &path).map_err(|error| named(&path, error))
}

/// Whether the folder has a list, and all files of it with their sizes. Their content is not read, because programs
/// check this whenever they start.
fn is_whole(folder: &Path) -> bool {
    let Ok(list) = fs::read_to_string(folder.join(LIST)) else { return false };
    let mut entries = entries(&list).peekable();
    entries.peek().is_some() && entries.all(|(size, name)| has_size(&folder.join(name), size))
}

fn has_size(path: &Path, size: u64) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() == size)
}

/// The folders of other versions beside `folder`.
pub(crate) fn others(folder: &Path) -> Vec<PathBuf> {
    let beside = folders(folder.parent().unwrap_or(Path::new(".")), "examples-");
    let mut others: Vec<_> = beside.filter(|path| path != folder).collect();
    others.sort();
    others
}

/// Removes the folders in `parent` that programs left when they were killed while they unpacked. A folder that cannot be
/// removed does no harm.
fn remove_abandoned(parent: &Path, now: SystemTime) {
    for path in folders(parent, UNFINISHED) {
        let changed = fs::metadata(&path).and_then(|folder| folder.modified());
        let age = changed.ok().and_then(|changed| now.duration_since(changed).ok());
        if age.is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// The folders in `parent` whose names begin like this. Links are not followed.
fn folders(parent: &Path, prefix: &str) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let is_called = entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix));
        (is_folder && is_called).then(|| entry.path())
    })
}

fn entries(list: &str) -> impl Iterator<Item = (u64, &str)> {
    list.lines().filter_map(|line| {
        let (size, name) = line.split_once(' ')?;
        Some((size.parse().ok()?, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn it_is_installed_once_and_whole() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("flora/examples-0");
        install(&folder).unwrap();
        assert!(folder.join("models/clip-nano/config.json").is_file());
        assert!(folder.join("datasets/emoji-vendors/emoji-vendors.toml").is_file());

        // What is there is not written again.
        let notice = fs::read(folder.join("NOTICE")).unwrap();
        let changed = vec![b'x'; notice.len()];
        fs::write(folder.join("NOTICE"), &changed).unwrap();
        install(&folder).unwrap();
        assert_eq!(fs::read(folder.join("NOTICE")).unwrap(), changed);
        assert_eq!(names(&home.path().join("flora")), ["examples-0"], "nothing is left beside it");
    }

    #[test]
    fn a_folder_that_is_not_whole_is_mended() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("examples-0");
        install(&folder).unwrap();
        let config = folder.join("models/clip-nano/config.json");
        let (notice, own) = (folder.join("NOTICE"), folder.join("own.txt"));
        let whole = (fs::read(&config).unwrap(), fs::read(&notice).unwrap());
        // Of the same size, so that nothing shows that it is another file.
        let other = vec![b'x'; fs::read(folder.join("datasets/dtd.toml")).unwrap().len()];
        let damages: [&dyn Fn(); 4] = [
            &|| fs::remove_dir_all(folder.join("models")).unwrap(),
            &|| fs::write(&notice, "cut").unwrap(),
            &|| fs::remove_file(folder.join(LIST)).unwrap(),
            // As a program leaves it that was killed while it unpacked into the folder.
            &|| fs::write(folder.join(LIST), "").unwrap(),
        ];
        for damage in damages {
            fs::write(&own, "mine").unwrap();
            fs::write(folder.join("datasets/dtd.toml"), &other).unwrap();
            damage();
            assert!(!is_whole(&folder));
            install(&folder).unwrap();
            assert!(is_whole(&folder));
            assert_eq!((fs::read(&config).unwrap(), fs::read(&notice).unwrap()), whole);
            assert_eq!(fs::read(folder.join("datasets/dtd.toml")).unwrap(), other, "as it was");
            assert_eq!(fs::read(&own).unwrap(), b"mine");
            assert_eq!(names(home.path()), ["examples-0"], "nothing is left beside it");
        }
        // A folder in a file's place cannot be replaced, and is named.
        fs::remove_file(&notice).unwrap();
        fs::create_dir(&notice).unwrap();
        fs::write(notice.join("mine"), "").unwrap();
        let error = install(&folder).unwrap_err().to_string();
        assert!(error.starts_with(notice.to_str().unwrap()), "{error}");
    }

    #[test]
    fn several_at_once_make_one_folder() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("examples-0");
        let at_once = || {
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| install(&folder).unwrap());
                }
            });
            assert!(is_whole(&folder));
            assert_eq!(names(home.path()), ["examples-0"]);
        };
        at_once();
        fs::remove_dir_all(folder.join("datasets")).unwrap();
        at_once();
    }

    #[test]
    fn folders_of_killed_programs_are_removed_after_a_day() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        for name in [".examples-x1y2z3", "examples-0", ".examples", "other"] {
            fs::create_dir_all(path(name).join("models")).unwrap();
        }
        fs::write(path(".examples-file"), "").unwrap();
        let before = names(home.path());
        let hours = |count: u64| SystemTime::now() + Duration::from_secs(count * 3600);
        // Clocks are sometimes put back.
        for now in [SystemTime::UNIX_EPOCH, hours(0), hours(23)] {
            remove_abandoned(home.path(), now);
            assert_eq!(names(home.path()), before);
        }
        remove_abandoned(home.path(), hours(25));
        assert_eq!(names(home.path()), [".examples", ".examples-file", "examples-0", "other"]);
    }

    #[test]
    fn folders_of_other_versions_are_listed() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        for name in ["examples-2", "examples-0", "examples-1", ".examples-x", "runs"] {
            fs::create_dir(path(name)).unwrap();
        }
        fs::write(path("examples-file"), "").unwrap();
        let expected = ["examples-0", "examples-2"].map(path);
        assert_eq!(others(&path("examples-1")), expected);
        assert_eq!(others(&path("nowhere/examples-1")), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        let error = install(&file.join("examples-0")).unwrap_err().to_string();
        assert!(error.starts_with(file.to_str().unwrap()), "{error}");
    }
}
