//! Pictures with captions, as written by `flora-icons pairs`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Mutex;

use serde::Deserialize;

use crate::PretrainError;

/// The description of one picture: a line of `pairs.jsonl`.
#[derive(Debug, Clone, Deserialize)]
pub struct Pair {
    /// The set of its origin.
    pub source: String,
    /// The kind, for the mix of a pass, such as `emoji`.
    pub kind: String,
    /// Descriptions of its content, at least one.
    pub captions: Vec<String>,
    /// Whether it is drawn in one colour, which may be changed.
    pub mono: bool,
    /// `train` or `valid`.
    pub split: String,
}

/// A folder of pairs; pictures stay on disk until they are needed.
#[derive(Debug)]
pub struct PairSet {
    pairs: Vec<Pair>,
    file: Mutex<File>,
    offset: u64,
    side: usize,
}

impl PairSet {
    /// Opens a folder with `pairs.safetensors`, which has one tensor `images` of type U8 and shape `[pairs, side, side,
    /// 4]` (RGBA, not premultiplied), and `pairs.jsonl`, one [`Pair`] per line.
    ///
    /// # Errors
    ///
    /// Files that are missing, damaged, or of different lengths.
    pub fn open(folder: &Path) -> Result<Self, PretrainError> {
        let list = folder.join("pairs.jsonl");
        let text = flora_core::files::read_text(&list).map_err(|error| {
            let problem =
                format!("cannot be read: {error}; make the folder with `flora-icons pairs`");
            PretrainError::file(&list, problem)
        })?;
        let pairs = text
            .lines()
            .enumerate()
            .map(|(index, line)| {
                let wrong = |problem: String| {
                    PretrainError::file(&list, format!("line {}: {problem}", index + 1))
                };
                let pair: Pair =
                    serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
                if !["train", "valid"].contains(&pair.split.as_str()) {
                    return Err(wrong(format!(
                        "split {:?} is neither train nor valid",
                        pair.split
                    )));
                }
                if pair.captions.is_empty() {
                    return Err(wrong("a pair without caption".into()));
                }
                Ok(pair)
            })
            .collect::<Result<Vec<_>, _>>()?;

        let path = folder.join("pairs.safetensors");
        let (file, offset, shape) = open_images(&path)?;
        match shape[..] {
            [count, height, width, 4] if count == pairs.len() && height == width && height > 0 => {
                Ok(Self { pairs, file: Mutex::new(file), offset, side: height })
            }
            _ => {
                let problem = format!(
                    "images have shape {shape:?}, but {} pairs are listed; expected \
                     [pairs, side, side, 4]",
                    pairs.len()
                );
                Err(PretrainError::file(&path, problem))
            }
        }
    }

    /// The pairs, in the order of the pictures.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// Side of the square pictures, in pixels.
    pub fn side(&self) -> usize {
        self.side
    }

    /// The picture of pair `index`, `side * side` RGBA pixels.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    ///
    /// # Panics
    ///
    /// If there is no such pair.
    pub fn image(&self, index: usize) -> std::io::Result<Vec<u8>> {
        assert!(index < self.pairs.len(), "pair {index} of {}", self.pairs.len());
        let bytes = self.side * self.side * 4;
        let mut pixels = vec![0; bytes];
        let mut file = self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        file.seek(SeekFrom::Start(self.offset + (index * bytes) as u64))?;
        file.read_exact(&mut pixels)?;
        Ok(pixels)
    }
}

/// The file, the offset of its only tensor, and the tensor's shape. The pictures are not read: they may be larger than
/// the memory.
fn open_images(path: &Path) -> Result<(File, u64, Vec<usize>), PretrainError> {
    let wrong = |problem: String| PretrainError::file(path, problem);
    let unread = |error: std::io::Error| wrong(format!("cannot be read: {error}"));
    let mut file = File::open(path).map_err(unread)?;
    let total = file.metadata().map_err(unread)?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(unread)?;
    let length = u64::from_le_bytes(length);
    if length > total.saturating_sub(8).min(1 << 20) {
        return Err(wrong("not a safetensors file of one tensor".into()));
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(unread)?;
    let metadata: safetensors::tensor::Metadata = serde_json::from_slice(&header)
        .map_err(|error| wrong(format!("not a safetensors file: {error}")))?;
    let info = metadata.info("images").ok_or_else(|| wrong("has no tensor `images`".into()))?;
    let (begin, end) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
    let offset = 8 + length + begin;
    if info.dtype != safetensors::Dtype::U8 || offset + (end - begin) != total {
        return Err(wrong("is cut short or holds more than U8 `images`".into()));
    }
    Ok((file, offset, info.shape.clone()))
}
