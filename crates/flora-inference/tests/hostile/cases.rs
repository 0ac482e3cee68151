//! A good checkpoint with one thing wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use flora_inference::{InferenceError, Model};
use tempfile::TempDir;

/// What a file of a case is replaced by.
pub(crate) enum Change {
    Bytes(Vec<u8>),
    Missing,
    /// So many zeros, which take no room on the disk.
    Zeros(u64),
}

/// The folder of a good checkpoint, and what is different.
pub(crate) struct Case {
    pub(crate) name: String,
    /// What the message must hold.
    pub(crate) named: &'static [&'static str],
    base: &'static str,
    changes: BTreeMap<String, Change>,
    with_adapter: bool,
}

/// A case on the disk.
pub(crate) struct Folder {
    folder: TempDir,
    with_adapter: bool,
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../flora-clip/tests/fixtures").join(name)
}

pub(crate) fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

pub(crate) fn text(name: &str) -> String {
    String::from_utf8(bytes(name)).unwrap()
}

/// The checkpoint that most cases damage.
pub(crate) fn whole() -> Case {
    Case::new("whole", "tiny-clip", &[])
}

impl Case {
    pub(crate) fn new(
        name: impl Into<String>,
        base: &'static str,
        named: &'static [&'static str],
    ) -> Self {
        Self { name: name.into(), named, base, changes: BTreeMap::new(), with_adapter: false }
    }

    pub(crate) fn file(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.changes.insert(name.to_owned(), Change::Bytes(bytes.into()));
        self
    }

    pub(crate) fn change(mut self, name: &str, change: Change) -> Self {
        self.changes.insert(name.to_owned(), change);
        self
    }

    /// With the good adapter in the folder `adapter`, unless its files are changed, too.
    pub(crate) fn adapter(mut self) -> Self {
        self.with_adapter = true;
        self
    }

    pub(crate) fn write(&self) -> Folder {
        let folder = tempfile::tempdir().unwrap();
        copy(&fixture(self.base), folder.path());
        if self.with_adapter {
            copy(&fixture("tiny-clip-lora"), &folder.path().join("adapter"));
        }
        for (name, change) in &self.changes {
            let path = folder.path().join(name);
            match change {
                Change::Bytes(bytes) => std::fs::write(path, bytes).unwrap(),
                Change::Missing => std::fs::remove_file(path).unwrap(),
                Change::Zeros(length) => {
                    std::fs::File::create(path).unwrap().set_len(*length).unwrap();
                }
            }
        }
        Folder { folder, with_adapter: self.with_adapter }
    }

    pub(crate) fn open(&self) -> Result<Model, InferenceError> {
        Model::open(&self.write().model(), None, &Device::flex())
    }
}

impl Folder {
    pub(crate) fn model(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(crate) fn adapter(&self) -> Option<PathBuf> {
        self.with_adapter.then(|| self.folder.path().join("adapter"))
    }

    /// Bytes of all files.
    pub(crate) fn size(&self) -> usize {
        let of = |folder: PathBuf| -> usize {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.metadata().unwrap().len() as usize).sum()
        };
        of(self.model()) + self.adapter().map_or(0, of)
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // The expected values are no part of a checkpoint.
        if entry.file_name() != "expected.safetensors" {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
