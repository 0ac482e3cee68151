//! The one place where files of runs and sweeps are opened for reading. A folder may come from anybody, so whatever has
//! the name of such a file is read only if it is a regular file, and only up to a limit.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use flora_core::files;

/// The largest file that is read as a whole: 1 GiB. A `partition.json` has about 60 bytes for each image.
const MOST_BYTES: u64 = 1 << 30;
/// The longest line of a `metrics.jsonl`: 256 MiB. A test of a million clients has less than half of that.
const MOST_LINE: u64 = 256 << 20;

/// Opens a regular file. All others are refused at once, because reading them may never end.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    files::open_regular(path)
}

/// Opens a regular file of at most 1 GiB.
pub(crate) fn open_limited(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    let bytes = file.metadata()?.len();
    if bytes > MOST_BYTES {
        let problem = format!("it has {bytes} bytes, and at most {MOST_BYTES} are read");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(file)
}

/// The text of a regular file of at most 1 GiB.
pub(crate) fn text(path: &Path) -> io::Result<String> {
    // Of a file that grows meanwhile, no more is read.
    io::read_to_string(open_limited(path)?.take(MOST_BYTES))
}

/// The lines of a `metrics.jsonl`, without their ends. A last line that has no end is left out: it is still being
/// written, or was when the run was killed.
#[derive(Debug)]
pub(crate) struct Lines {
    file: BufReader<File>,
    line: Vec<u8>,
    most: u64,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = BufReader::with_capacity(1 << 16, open(path)?);
        Ok(Self { file, line: Vec::new(), most: MOST_LINE })
    }

    /// The next line.
    ///
    /// # Errors
    /// The operating system's, and [`io::ErrorKind::FileTooLarge`] for a line of more than 256 MiB.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        self.file.by_ref().take(self.most).read_until(b'\n', &mut self.line)?;
        if self.line.len() as u64 == self.most && self.line.last() != Some(&b'\n') {
            let problem = format!("it has more than {} bytes", self.most);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
        }
        Ok(self.line.strip_suffix(b"\n"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_have_a_limit_and_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        fs::write(&path, "one\n\nthree\nfou").unwrap();
        let mut lines = Lines::open(&path).unwrap();
        for expected in [Some(&b"one"[..]), Some(b""), Some(b"three"), None, None] {
            assert_eq!(lines.next().unwrap(), expected);
        }
        let mut lines = Lines { most: 5, ..Lines::open(&path).unwrap() };
        assert_eq!(lines.next().unwrap(), Some(&b"one"[..]));
        assert_eq!(lines.next().unwrap(), Some(&b""[..]));
        let error = lines.next().unwrap_err();
        assert_eq!(error.to_string(), "it has more than 5 bytes");
    }

    /// Without the memory for it: the file has no blocks.
    #[test]
    fn files_of_absurd_sizes_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        File::create(&path).unwrap().set_len(10 << 30).unwrap();
        for error in [text(&path).unwrap_err(), Lines::open(&path).unwrap().next().unwrap_err()] {
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge, "{error}");
        }
    }
}
