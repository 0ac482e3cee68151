use std::io::BufReader;

use zip::{CompressionMethod, ZipArchive};

use crate::TorchError;
use crate::error::shorten;
use crate::source::{Extent, Source};
use crate::storage::Storages;

/// The content of a zip archive of `torch.save` or `torch.jit.save`:
///
/// ```text
/// <name>/data.pkl      the pickle
/// <name>/byteorder     "little" or "big"; missing in older files
/// <name>/data/<key>    the storages
/// ```
///
/// and other entries that are ignored, such as the code of TorchScript.
pub(crate) struct Archive {
    pub(crate) pickle: Extent,
    pub(crate) storages: Storages,
}

impl Archive {
    /// Reads the archive's table of contents. No entry is unpacked: entries must be stored uncompressed, and only their
    /// positions are recorded.
    pub(crate) fn read(source: &Source, path: &str) -> Result<Self, TorchError> {
        let file = |problem: String| TorchError::file(path, problem);
        let mut contents = Contents::read(source)
            .map_err(|error| file(format!("not a complete zip archive ({error}); {AGAIN}")))?;
        let prefix = contents.prefix().map_err(file)?;
        let pickle_name = format!("{prefix}/data.pkl");
        let pickle = contents
            .take(&pickle_name)
            .ok_or_else(|| format!("has no {pickle_name}"))
            .flatten()
            .map_err(file)?;
        if let Some(entry) = contents.take(&format!("{prefix}/byteorder")) {
            check_byte_order(source, path, entry.map_err(file)?)?;
        }
        let folder = format!("{prefix}/data/");
        let entries = contents.entries.into_iter();
        let storages = entries
            .filter_map(|entry| Some((entry.name.strip_prefix(&folder)?.to_owned(), entry.extent)))
            .collect();
        Ok(Self { pickle, storages })
    }
}

const AGAIN: &str = "copy or download it again";

/// The positions of the entries of an archive, or why one cannot be read.
struct Contents {
    entries: Vec<Entry>,
}

struct Entry {
    name: String,
    extent: Result<Extent, String>,
}

impl Contents {
    fn read(source: &Source) -> Result<Self, String> {
        let mut reader = source.lock();
        let mut zip =
            ZipArchive::new(BufReader::new(&mut **reader)).map_err(|error| error.to_string())?;
        if zip.has_duplicate_names() {
            return Err("two entries have the same name".into());
        }
        // No entry may overlap the next one, or the table of contents.
        let mut borders: Vec<u64> = (0..zip.len())
            .filter_map(|index| Some(zip.by_index_data(index).ok()?.header_start()))
            .chain([zip.central_directory_start(), source.len()])
            .collect();
        borders.sort_unstable();
        let entries = (0..zip.len())
            .map(|index| {
                let name =
                    zip.by_index_data(index).and_then(|entry| Ok(entry.name()?.into_owned()));
                let name = name.map_err(|error| error.to_string())?;
                let extent = extent(&mut zip, index, &borders)
                    .map_err(|problem| format!("entry {:?} {problem}", shorten(&name)));
                Ok(Entry { name, extent })
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { entries })
    }

    /// The one folder that contains everything, found by the pickle.
    fn prefix(&self) -> Result<String, String> {
        let mut prefixes = self.entries.iter().filter_map(|entry| {
            let prefix = entry.name.strip_suffix("/data.pkl")?;
            (!prefix.contains('/')).then_some(prefix)
        });
        match (prefixes.next(), prefixes.next()) {
            (Some(prefix), None) => Ok(prefix.to_owned()),
            (None, _) => Err("a zip archive, but not of torch.save or torch.jit.save: it has no \
                              data.pkl"
                .into()),
            (Some(first), Some(second)) => Err(format!(
                "a zip archive with two pickles, {:?} and {:?}",
                format!("{}/data.pkl", shorten(first)),
                format!("{}/data.pkl", shorten(second))
            )),
        }
    }

    fn take(&mut self, name: &str) -> Option<Result<Extent, String>> {
        let index = self.entries.iter().position(|entry| entry.name == name)?;
        Some(self.entries.swap_remove(index).extent)
    }
}

/// The position of the data of an entry.
fn extent<R: std::io::Read + std::io::Seek>(
    zip: &mut ZipArchive<R>,
    index: usize,
    borders: &[u64],
) -> Result<Extent, String> {
    let entry = zip
        .by_index_raw(index)
        .map_err(|error| format!("has a damaged header ({error}); {AGAIN}"))?;
    if entry.encrypted() {
        return Err("is encrypted, which torch.save does not do; decrypt the archive first".into());
    }
    if entry.compression() != CompressionMethod::Stored {
        return Err("is compressed, which torch.save does not do; unpack the archive and pack it \
                    again with `zip -0 -r`, or load it with PyTorch and save it again"
            .into());
    }
    let (header, len) = (entry.header_start(), entry.size());
    let start = entry.data_start().ok_or("has no data")?;
    let next = borders.get(borders.partition_point(|&border| border < header) + 1);
    let end = start.checked_add(len).filter(|&end| next.is_some_and(|&next| end <= next));
    if entry.compressed_size() != len || end.is_none() {
        return Err(format!("has not the {len} bytes that the archive's directory says; {AGAIN}"));
    }
    Ok(Extent { start, len })
}

fn check_byte_order(source: &Source, path: &str, entry: Extent) -> Result<(), TorchError> {
    let mut order = vec![0; entry.len.min(16) as usize];
    source.read_exact_at(entry.start, &mut order).map_err(|error| TorchError::read(path, error))?;
    match order.as_slice() {
        b"little" => Ok(()),
        b"big" => Err(TorchError::file(
            path,
            "its numbers are big-endian; load and save it with PyTorch on a little-endian machine",
        )),
        other => Err(TorchError::file(
            path,
            format!("its byte order is {:?}, not \"little\"", String::from_utf8_lossy(other)),
        )),
    }
}
