use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::InferenceError;

/// The items to embed.
#[derive(Debug, Clone, Copy)]
pub enum Items<'a> {
    /// Texts, one per row.
    Texts(&'a [String]),
    /// Image files, one per row.
    Images(&'a [PathBuf]),
}

impl Items<'_> {
    /// Hashes that identify the items: a text by its content, a file by name, size and time.
    pub(super) fn hashes(self) -> Result<Vec<[u8; 8]>, InferenceError> {
        let short = |hash: Sha256| *hash.finalize().first_chunk().expect("32 bytes");
        match self {
            Self::Texts(texts) => {
                let hash = |text: &String| short(Sha256::new_with_prefix(text.as_bytes()));
                Ok(texts.iter().map(hash).collect())
            }
            Self::Images(files) => files
                .iter()
                .map(|path| {
                    let metadata = path.metadata().map_err(InferenceError::read(path))?;
                    let changed = metadata.modified().ok();
                    let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                    let mut hash = Sha256::new_with_prefix(path.as_os_str().as_encoded_bytes());
                    hash.update([0]);
                    hash.update(metadata.len().to_le_bytes());
                    hash.update(changed.unwrap_or_default().as_nanos().to_le_bytes());
                    Ok(short(hash))
                })
                .collect(),
        }
    }
}
