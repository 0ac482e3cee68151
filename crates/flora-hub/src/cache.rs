//! The cache folder, in the layout of Python's `huggingface_hub`:
//!
//! ```text
//! models--owner--name/
//!   refs/main                    the commit that the branch had when it was last asked for
//!   blobs/<etag>                 contents, each once
//!   snapshots/<commit>/<file>    links to blobs
//! .locks/models--owner--name/<etag>.lock
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::HubModel;
use crate::plan::{Kind, Weights, needs_config, plan, shards};

/// The paths of one repository's files.
pub(crate) struct CachePaths {
    repository: PathBuf,
    #[cfg(feature = "hub")]
    locks: PathBuf,
}

impl CachePaths {
    pub(crate) fn new(cache: &Path, model: &HubModel) -> Self {
        let folder = format!("models--{}--{}", model.owner(), model.name());
        Self {
            #[cfg(feature = "hub")]
            locks: cache.join(".locks").join(&folder),
            repository: cache.join(folder),
        }
    }

    #[cfg(feature = "hub")]
    pub(crate) fn blob(&self, etag: &str) -> PathBuf {
        self.repository.join("blobs").join(etag)
    }

    #[cfg(feature = "hub")]
    pub(crate) fn lock(&self, etag: &str) -> PathBuf {
        self.locks.join(format!("{etag}.lock"))
    }

    pub(crate) fn reference(&self, revision: &str) -> PathBuf {
        self.repository.join("refs").join(revision)
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repository.join("snapshots").join(commit)
    }

    /// The snapshot of the model's revision, if it has all files that `kind` requires; otherwise the missing part.
    pub(crate) fn complete(&self, model: &HubModel, kind: Kind) -> Result<PathBuf, String> {
        let revision = model.revision_or_main();
        let commit = match std::fs::read_to_string(self.reference(revision)) {
            Ok(commit) => commit.trim().to_owned(),
            Err(_) => revision.to_owned(),
        };
        // The commit becomes part of a path.
        if !is_hash(&commit) {
            return Err(format!("there is no revision {revision}"));
        }
        let folder = self.snapshot(&commit);
        let entries =
            std::fs::read_dir(&folder).map_err(|_| format!("there is no revision {revision}"))?;
        let names: BTreeSet<String> = entries
            .flatten()
            // Follows the link: a dangling link is not a file.
            .filter(|entry| entry.path().is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        let read = |name: &str| {
            std::fs::read(folder.join(name))
                .map_err(|error| format!("{name} cannot be read: {error}"))
        };
        let config = needs_config(kind, &names).then(|| read("config.json")).transpose()?;
        let plan = plan(kind, &names, config.as_deref())?;
        if let Weights::Index(name) = plan.weights {
            shards(&read(name)?, &names).map_err(|problem| format!("{name}: {problem}"))?;
        }
        Ok(folder)
    }
}

/// A full hash, SHA-1 or SHA-256, as Git writes it.
pub(crate) fn is_hash(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn cached(
        files: &[(&str, &str)],
        revision: Option<&str>,
        kind: Kind,
    ) -> Result<PathBuf, String> {
        let cache = tempfile::tempdir().unwrap();
        let repository = cache.path().join("models--a--b");
        std::fs::create_dir_all(repository.join("refs")).unwrap();
        std::fs::write(repository.join("refs/main"), COMMIT).unwrap();
        std::fs::write(repository.join("refs/evil"), "../../../etc").unwrap();
        let snapshot = repository.join("snapshots").join(COMMIT);
        std::fs::create_dir_all(&snapshot).unwrap();
        for (name, content) in files {
            std::fs::write(snapshot.join(name), content).unwrap();
        }
        let model = HubModel::new("a", "b", revision).unwrap();
        let found = CachePaths::new(cache.path(), &model).complete(&model, kind)?;
        assert_eq!(found, snapshot);
        Ok(found)
    }

    #[test]
    fn complete_snapshots() {
        let files = [("config.json", "{}"), ("model.safetensors", "")];
        for revision in [None, Some("main"), Some(COMMIT)] {
            cached(&files, revision, Kind::Model).unwrap();
        }
        cached(
            &[("adapter_config.json", ""), ("adapter_model.safetensors", "")],
            None,
            Kind::Adapter,
        )
        .unwrap();
    }

    #[test]
    fn what_is_missing_is_named() {
        let problem =
            |files: &[_], revision: Option<&str>| cached(files, revision, Kind::Model).unwrap_err();
        assert!(problem(&[], None).contains("config.json"));
        assert!(problem(&[("config.json", "{}")], None).contains("weights"));
        assert!(problem(&[], Some("v2")).contains("revision v2"));
        assert!(problem(&[], Some("evil")).contains("revision evil"));
        let another = COMMIT.replace('0', "1");
        assert!(problem(&[], Some(&another)).contains("revision"));
        let index = r#"{"weight_map": {"x": "1.safetensors", "y": "2.safetensors"}}"#;
        let sharded =
            [("config.json", "{}"), ("model.safetensors.index.json", index), ("1.safetensors", "")];
        assert!(problem(&sharded, None).contains("2.safetensors"));
    }
}
