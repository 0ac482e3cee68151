//! One file in the idx format, plain or gzipped.
//!
//! A big-endian header (two zero bytes, the element type, the number of dimensions, then each dimension as
//! 32 bits) and the elements: <http://yann.lecun.com/exdb/mnist/>.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::Error;

/// Element type "unsigned byte".
const UBYTE: u8 = 0x08;
/// Far above any data set in this format (EMNIST has 640 MB), far below a compression bomb.
const MOST_BYTES: u64 = 8 << 30;
const RENEW: &str = "fetch the file again";

/// The bytes of an idx file.
#[derive(Debug)]
pub(super) struct Array {
    /// The file as found on the disk.
    pub(super) file: PathBuf,
    /// `[items]` or `[items, rows, columns]`.
    pub(super) dims: Vec<usize>,
    pub(super) bytes: Vec<u8>,
}

impl Array {
    /// The bytes of one item.
    pub(super) fn item(&self, index: usize) -> &[u8] {
        let size = self.dims[1..].iter().product::<usize>();
        &self.bytes[index * size..][..size]
    }
}

/// Reads a file, which must contain unsigned bytes in `rank` dimensions.
pub(super) fn read(path: &Path, rank: usize) -> Result<Array, Error> {
    let damaged = |problem: String| Error::Damaged {
        file: path.to_owned(),
        problem,
        remedy: RENEW.to_owned(),
    };
    let cut = |error: std::io::Error| damaged(format!("it is damaged or cut short ({error})"));
    let mut input = open(path)?;

    let mut magic = [0; 4];
    input.read_exact(&mut magic).map_err(cut)?;
    if magic != [0, 0, UBYTE, rank as u8] {
        return Err(Error::Damaged {
            file: path.to_owned(),
            problem: format!(
                "it starts with {magic:02x?}; an idx file of unsigned bytes in {rank} dimension(s) \
                 starts with {:02x?}",
                [0, 0, UBYTE, rank as u8]
            ),
            remedy: "check that images and labels are not mixed up, or fetch the file again"
                .to_owned(),
        });
    }
    let mut dims = Vec::with_capacity(rank);
    for _ in 0..rank {
        let mut dim = [0; 4];
        input.read_exact(&mut dim).map_err(cut)?;
        dims.push(u32::from_be_bytes(dim));
    }
    let size = dims
        .iter()
        .try_fold(1_u64, |size, &dim| size.checked_mul(u64::from(dim)))
        .filter(|size| *size <= MOST_BYTES);
    let size = match size {
        Some(0) => return Err(damaged(format!("it is empty: its dimensions are {dims:?}"))),
        Some(size) => size,
        None => return Err(damaged(format!("its dimensions {dims:?} cannot be right"))),
    };

    // The header is not trusted: the buffer grows with the bytes actually read. Requesting one byte more than announced
    // detects a surplus and makes the decoder check its checksum.
    let mut bytes = Vec::new();
    input.take(size + 1).read_to_end(&mut bytes).map_err(cut)?;
    if bytes.len() as u64 != size {
        let found = match bytes.len() as u64 {
            more if more > size => "more".to_owned(),
            fewer => fewer.to_string(),
        };
        return Err(damaged(format!(
            "its dimensions {dims:?} announce {size} bytes, but there are {found}"
        )));
    }
    bytes.shrink_to_fit();
    Ok(Array {
        file: path.to_owned(),
        dims: dims.into_iter().map(|dim| dim as usize).collect(),
        bytes,
    })
}

/// Gzip is recognised by its first two bytes, whatever the file's name.
fn open(path: &Path) -> Result<Box<dyn Read>, Error> {
    let mut file = BufReader::new(File::open(path).map_err(Error::io("read", path))?);
    let start = std::io::BufRead::fill_buf(&mut file).map_err(Error::io("read", path))?;
    if start.starts_with(&[0x1f, 0x8b]) {
        Ok(Box::new(MultiGzDecoder::new(file)))
    } else {
        Ok(Box::new(file))
    }
}
