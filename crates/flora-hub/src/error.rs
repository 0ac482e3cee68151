use std::path::PathBuf;

/// Errors of finding or downloading a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The name of a model or an adapter is invalid.
    #[error("{text:?}: {problem}")]
    Source {
        /// The name as given.
        text: String,
        /// The problem.
        problem: String,
    },
    /// A file or folder was not found.
    #[error("{}", not_found(name, tried, remedy))]
    NotFound {
        /// The path or word as given.
        name: String,
        /// The places that were searched.
        tried: Vec<String>,
        /// The remedy, or possible names.
        remedy: String,
    },
    /// The program brings a file or folder along, but cannot unpack it.
    #[error(
        "{name}: flora brings it along, but cannot unpack it: {problem}; run `flora init --examples --out DIR` with a folder \
         that can be written, and set FLORA_HOME to it"
    )]
    Shipped {
        /// The path as it was given.
        name: String,
        /// What the system says.
        problem: String,
    },
    /// An environment variable has an invalid value.
    #[error("environment variable {name} {problem}")]
    Environment {
        /// The variable.
        name: &'static str,
        /// The problem with its value.
        problem: String,
    },
    /// The model is not in the cache, and this program cannot download.
    #[error(
        "{model}: not in the cache ({problem}), and this program was built without downloads; build it \
         with --features hub, or run `hf download {}{} --local-dir models/{}` (`pip install \
         huggingface_hub`) and name that folder",
        model.repository(),
        model.revision().map(|revision| format!(" --revision {revision}")).unwrap_or_default(),
        model.name()
    )]
    NotBuilt {
        /// The model.
        model: crate::HubModel,
        /// The missing part.
        problem: String,
    },
    /// Offline, and the cache is incomplete.
    #[error(
        "{repository}: {problem} in {}; unset HF_HUB_OFFLINE to download, or set HF_HUB_CACHE to the \
         folder that has the model",
        cache.display()
    )]
    Offline {
        /// The repository.
        repository: String,
        /// The cache folder.
        cache: PathBuf,
        /// The missing part.
        problem: String,
    },
    /// No connection to the hub.
    #[error(
        "{repository}: cannot reach {endpoint}: {problem}; check the network, the proxy (HTTPS_PROXY) and \
         HF_ENDPOINT, or download elsewhere and name the folder"
    )]
    Unreachable {
        /// The repository.
        repository: String,
        /// The address of the hub.
        endpoint: String,
        /// The system's error.
        problem: String,
    },
    /// The hub refuses access (401 or 403).
    #[error("{repository}: {endpoint} answers {status}: {}", refused(repository, endpoint, *token))]
    Refused {
        /// The repository.
        repository: String,
        /// The address of the hub.
        endpoint: String,
        /// 401 or 403.
        status: u16,
        /// Whether a token was sent.
        token: bool,
    },
    /// The repository or its revision does not exist.
    #[error(
        "{repository}: {endpoint} has no {what}; check the spelling at {endpoint}/{repository}"
    )]
    Unknown {
        /// The repository.
        repository: String,
        /// The address of the hub.
        endpoint: String,
        /// The missing repository or revision.
        what: String,
    },
    /// A repository lacks files of a model (or an adapter).
    #[error("{repository}: {problem}")]
    Incomplete {
        /// The repository.
        repository: String,
        /// The missing file, or the file with a problem.
        problem: String,
    },
    /// An invalid answer.
    #[error("{repository}: {endpoint}: {problem}")]
    Answer {
        /// The repository.
        repository: String,
        /// The address of the hub.
        endpoint: String,
        /// The problem with the answer.
        problem: String,
    },
    /// The connection broke repeatedly.
    #[error(
        "{repository}: {file}: the download failed {attempts} times, the last time because {problem}; \
         the received part is kept: run it again to resume"
    )]
    Broken {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
        /// The number of attempts.
        attempts: u32,
        /// The problem of the last attempt.
        problem: String,
    },
    /// The downloaded file does not match the hub's listing.
    #[error("{repository}: {file}: {problem}; it was deleted; try again, or another HF_ENDPOINT")]
    Corrupt {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
        /// The difference.
        problem: String,
    },
    /// Another program downloads the same file.
    #[error("{repository}: {file}: another program is downloading it; wait for that one to finish")]
    Busy {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
    },
    /// The cache folder cannot be written.
    #[error("{}: {error}; {}", path.display(), disk_remedy(error))]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
}

impl HubError {
    pub(crate) fn source(text: &str, problem: &str) -> Self {
        Self::Source { text: text.into(), problem: problem.into() }
    }

    pub(crate) fn environment(name: &'static str, problem: impl Into<String>) -> Self {
        Self::Environment { name, problem: problem.into() }
    }
}

fn not_found(name: &str, tried: &[String], remedy: &str) -> String {
    if tried.is_empty() {
        return "an empty path names no file and no folder".into();
    }
    format!("{name}: not found; looked in {}; {remedy}", tried.join(", "))
}

fn refused(repository: &str, endpoint: &str, token: bool) -> String {
    let token = if token {
        "the token that was sent (HF_TOKEN, or the token file) is not valid or may not read it"
    } else {
        "no token was sent; make one at {endpoint}/settings/tokens and set HF_TOKEN"
    };
    format!(
        "it is gated, private, or does not exist; check the spelling, accept its licence at \
         {endpoint}/{repository}; {}",
        token.replace("{endpoint}", endpoint)
    )
}

fn disk_remedy(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded => {
            "the disk is full: make room, or set HF_HOME to a folder on another disk; the received part is kept"
        }
        _ => "set HF_HOME (or HF_HUB_CACHE) to a folder that can be written",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_closed_one() {
        let message = |kind: std::io::ErrorKind| {
            HubError::Disk { path: "models--a--b".into(), error: kind.into() }.to_string()
        };
        let full = message(std::io::ErrorKind::StorageFull);
        assert!(full.contains("the disk is full") && full.contains("models--a--b"), "{full}");
        let closed = message(std::io::ErrorKind::PermissionDenied);
        assert!(closed.contains("can be written") && !closed.contains("full"), "{closed}");
    }
}
