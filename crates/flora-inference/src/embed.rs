//! Embeddings of texts and of images, in files that other tools read.
//!
//! What has been computed is kept beside the target, in `<target>.partial`, until the target is whole:
//! the same call goes on where an earlier one stopped.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use flora_clip::normalize;
use flora_core::workers::Workers;
use flora_core::{HostTensor, ParameterRecord};
use flora_data::read_image;
use npyz::WriterBuilder;
use sha2::{Digest, Sha256};

use crate::encode::{BATCH, values};
use crate::{InferenceError, Model};

/// The tensor's name in a safetensors file.
pub const TENSOR: &str = "embeddings";

/// Texts a step: enough that those of a length fill a batch of the tower.
const TEXTS: usize = 256;

/// What to embed.
#[derive(Debug, Clone, Copy)]
pub enum Items<'a> {
    /// Texts, one a row.
    Texts(&'a [String]),
    /// Image files, one a row.
    Images(&'a [PathBuf]),
}

/// The kinds of file that embeddings are written as, by extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// NumPy's `.npy`, f32.
    Npy,
    /// `.safetensors` with one f32 tensor, [`TENSOR`].
    Safetensors,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Embedded {
    /// Rows of the file.
    pub rows: usize,
    /// Numbers a row.
    pub dim: usize,
    /// Rows that an earlier call had computed.
    pub resumed: usize,
}

impl Items<'_> {
    fn len(self) -> usize {
        match self {
            Self::Texts(texts) => texts.len(),
            Self::Images(files) => files.len(),
        }
    }

    /// What tells these items from others: texts by themselves, files by name, size and time.
    fn digest(self, hash: &mut Sha256) -> Result<(), InferenceError> {
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        match self {
            Self::Texts(texts) => {
                part(b"texts");
                texts.iter().for_each(|text| part(text.as_bytes()));
            }
            Self::Images(files) => {
                part(b"images");
                for path in files {
                    let metadata = path.metadata().map_err(InferenceError::read(path))?;
                    let changed = metadata.modified().ok();
                    let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                    part(path.as_os_str().as_encoded_bytes());
                    part(&metadata.len().to_le_bytes());
                    part(&changed.unwrap_or_default().as_nanos().to_le_bytes());
                }
            }
        }
        Ok(())
    }
}

impl Format {
    /// The format that the extension of `path` asks for.
    ///
    /// # Errors
    ///
    /// Another extension than `.npy` and `.safetensors`.
    pub fn of(path: &Path) -> Result<Self, InferenceError> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("npy") => Ok(Self::Npy),
            Some("safetensors") => Ok(Self::Safetensors),
            _ => Err(InferenceError::file(
                path,
                "ends neither in .npy nor in .safetensors; one must",
            )),
        }
    }
}

/// Embed `items` into the file `target`: row i is that of item i, `[items, projection_dim]`, each of
/// length 1 unless `raw`. `done` hears how many rows there are, first those of an earlier call.
///
/// # Errors
///
/// An item that cannot be embedded, by name; what was computed is kept for the next call. Files that
/// cannot be written.
pub fn embed(
    model: &Model,
    items: Items<'_>,
    target: &Path,
    raw: bool,
    workers: &Workers,
    mut done: impl FnMut(usize),
) -> Result<Embedded, InferenceError> {
    let format = Format::of(target)?;
    let dim = model.checkpoint.config.projection_dim;
    let rows = items.len();
    if rows == 0 {
        return Err(InferenceError::file(target, "nothing to embed"));
    }
    let mut hash = Sha256::new();
    hash.update(model.fingerprint()?);
    hash.update([u8::from(raw)]);
    items.digest(&mut hash)?;
    let key: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut partial = Partial::open(target, &key, dim)?;
    let resumed = partial.rows.min(rows);
    done(resumed);
    let finish = |features| values(if raw { features } else { normalize(features) });
    match items {
        Items::Texts(texts) => {
            for batch in texts[resumed..].chunks(TEXTS) {
                partial.append(&finish(model.embedder.texts(batch)?))?;
                done(partial.rows);
            }
        }
        Items::Images(files) => {
            // Each round gives every thread a batch; rows are appended in their order.
            for round in files[resumed..].chunks(BATCH * workers.threads()) {
                let before = partial.rows;
                let encode = |batch: &[PathBuf]| images(model, batch).map(&finish);
                let parts = workers.try_map(round.chunks(BATCH).collect(), encode, |batches| {
                    done(before + (batches * BATCH).min(round.len()));
                })?;
                partial.append(&parts.concat())?;
            }
        }
    }
    partial.finish(target, format, rows)?;
    Ok(Embedded { rows, dim, resumed })
}

fn images(model: &Model, files: &[PathBuf]) -> Result<burn::tensor::Tensor<2>, InferenceError> {
    let preprocessor = &model.embedder.preprocessor;
    let mut pixels = Vec::new();
    for path in files {
        let image = read_image(path)?;
        let values = preprocessor.pixel_values(&image);
        pixels.extend(values.map_err(|error| InferenceError::file(path, error.to_string()))?);
    }
    let pixels = preprocessor.stack(pixels, model.embedder.device());
    Ok(model.clip().image_features(pixels))
}

/// The rows so far: a line with the key, then the values, little-endian.
struct Partial {
    path: PathBuf,
    file: File,
    head: u64,
    dim: usize,
    rows: usize,
}

impl Partial {
    fn open(target: &Path, key: &str, dim: usize) -> Result<Self, InferenceError> {
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        let path = PathBuf::from(name);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(InferenceError::write(folder))?;
        }
        let head = format!("flora embeddings {key}\n");
        let row = 4 * dim as u64;
        let kept = kept_rows(&path, &head, row).map_err(InferenceError::read(&path))?;
        let write = InferenceError::write;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .append(true)
            .open(&path)
            .map_err(write(&path))?;
        let head_length = head.len() as u64;
        match kept {
            // A row that was cut off is computed again.
            Some(rows) => file.set_len(head_length + rows * row).map_err(write(&path))?,
            None => {
                file.set_len(0).map_err(write(&path))?;
                file.write_all(head.as_bytes()).map_err(write(&path))?;
            }
        }
        let rows = kept.unwrap_or(0) as usize;
        Ok(Self { path, file, head: head_length, dim, rows })
    }

    fn append(&mut self, values: &[f32]) -> Result<(), InferenceError> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.file.write_all(&bytes).map_err(InferenceError::write(&self.path))?;
        self.rows += values.len() / self.dim;
        Ok(())
    }

    /// Write the target, and remove this file.
    fn finish(self, target: &Path, format: Format, rows: usize) -> Result<(), InferenceError> {
        let read = InferenceError::read(&self.path);
        let mut values = File::open(&self.path).map_err(read)?;
        let written = values.seek(SeekFrom::Start(self.head)).and_then(|_| match format {
            Format::Npy => self.write_npy(target, values, rows),
            Format::Safetensors => self.write_safetensors(target, values, rows),
        });
        written.map_err(InferenceError::write(target))?;
        // The target is whole; a file that cannot be removed only takes room.
        let _ = std::fs::remove_file(&self.path);
        Ok(())
    }

    fn write_npy(&self, target: &Path, mut values: File, rows: usize) -> io::Result<()> {
        flora_core::files::write_atomic_with(target, |out| {
            let shape = [rows as u64, self.dim as u64];
            let header = npyz::WriteOptions::new_header_only();
            let dtype = npyz::DType::Plain("<f4".parse().expect("a type of NumPy's"));
            header.dtype(dtype).shape(&shape).writer(&mut *out).write_header_only()?;
            io::copy(&mut values, out).map(drop)
        })
    }

    fn write_safetensors(&self, target: &Path, mut values: File, rows: usize) -> io::Result<()> {
        let mut bytes = Vec::new();
        values.read_to_end(&mut bytes)?;
        let tensor = HostTensor::from_le_bytes(flora_core::Dtype::F32, [rows, self.dim], &bytes);
        let mut record = ParameterRecord::new();
        tensor.and_then(|tensor| record.insert(TENSOR, tensor)).map_err(io::Error::other)?;
        flora_core::files::write_atomic(target, &record.to_safetensors())
    }
}

/// How many whole rows of `row` bytes an earlier call of the same `head` left.
fn kept_rows(path: &Path, head: &str, row: u64) -> io::Result<Option<u64>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let mut line = String::new();
    let read = BufReader::new(file).take(head.len() as u64).read_line(&mut line);
    // What is no text was not written here.
    if read.is_err() || line != head {
        return Ok(None);
    }
    Ok(Some((length - head.len() as u64) / row))
}
