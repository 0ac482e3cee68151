//! The last stage of every codec: DEFLATE ([RFC 1951](https://www.rfc-editor.org/rfc/rfc1951)), if it saves bytes.
//!
//! | bytes | contents |
//! |---|---|
//! | 1 | 0: stored uncompressed, 1: compressed |
//! | the rest | the plain bytes, or one DEFLATE stream that ends with the message |
//!
//! Codes look random to a match finder, but some bytes are more frequent than others. The encoder therefore searches
//! for runs only, and every section of a message (scales, codes, positions) has its own Huffman code. Sizes in bytes of
//! 24,576 Gaussian numbers with `miniz_oxide` 0.9, and with zstd by `ruzstd` 0.9:
//!
//! | codes | plain | Huffman and runs | DEFLATE 9 | zstd | order-0 entropy |
//! |---|---|---|---|---|---|
//! | int8 | 24,576 | 22,466 | 22,492 | 24,369 | 22,270 |
//! | int4 | 12,288 | 9,639 | 9,777 | 10,736 | 9,483 |
//! | EDEN, 2 bits | 6,144 | 5,956 | 5,965 | 6,157 | 5,840 |
//! | bf16, high bytes first | 49,152 | 35,443 | 37,078 | 40,530 | 37,979 |

use std::borrow::Cow;

use miniz_oxide::deflate::core::{
    CompressionStrategy, CompressorOxide, TDEFLFlush, compress_to_output,
    create_comp_flags_from_zip_params,
};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

use crate::error::CodecError;

const STORED: u8 = 0;
const COMPRESSED: u8 = 1;

/// The maximum expansion by DEFLATE: 2 bits can copy 258 bytes.
const MOST_PER_BYTE: usize = 1032;

/// Joins the sections of a message, compressed if that is shorter.
pub(crate) fn pack(sections: &[Vec<u8>]) -> Vec<u8> {
    let plain = sections.iter().map(Vec::len).sum::<usize>();
    let mut packed = vec![COMPRESSED];
    // Raw DEFLATE: no header and no checksum.
    let strategy = CompressionStrategy::RLE as i32;
    let mut compressor = CompressorOxide::new(create_comp_flags_from_zip_params(6, 0, strategy));
    let last = sections.len().saturating_sub(1);
    for (at, section) in sections.iter().enumerate() {
        // Ends a block, and with it a Huffman code, without padding.
        let flush = if at == last { TDEFLFlush::Finish } else { TDEFLFlush::NoSync };
        compress_to_output(&mut compressor, section, flush, |bytes| {
            packed.extend_from_slice(bytes);
            true
        });
    }
    if !sections.is_empty() && packed.len() <= plain {
        return packed;
    }
    packed.clear();
    packed.push(STORED);
    sections.iter().for_each(|section| packed.extend_from_slice(section));
    packed
}

/// The plain bytes, of which there may be at most `most`.
///
/// # Errors
/// [`CodecError::Damaged`] and [`CodecError::Length`].
pub(crate) fn unpack(message: &[u8], most: usize) -> Result<Cow<'_, [u8]>, CodecError> {
    let (&tag, packed) = message.split_first().ok_or(CodecError::Damaged("it is empty"))?;
    match tag {
        STORED if packed.len() > most => {
            Err(CodecError::Length { expected: most, actual: packed.len() })
        }
        STORED => Ok(Cow::Borrowed(packed)),
        COMPRESSED => inflate(packed, most).map(Cow::Owned),
        _ => Err(CodecError::Damaged("its first byte is neither 0 nor 1")),
    }
}

fn inflate(packed: &[u8], most: usize) -> Result<Vec<u8>, CodecError> {
    // Reading one more byte detects an excess.
    let room = most.min(packed.len().saturating_mul(MOST_PER_BYTE)).saturating_add(1);
    let mut plain = vec![0; room];
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut state = Box::<DecompressorOxide>::default();
    let (status, consumed, length) = decompress(&mut state, packed, &mut plain, 0, flags);
    if length > most || status == TINFLStatus::HasMoreOutput {
        return Err(CodecError::Damaged("it expands to more bytes than the tensors need"));
    }
    if status != TINFLStatus::Done || consumed != packed.len() {
        return Err(CodecError::Damaged("its DEFLATE stream is broken"));
    }
    plain.truncate(length);
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_form_is_chosen() {
        let zeros = pack(&[vec![0; 50_000], vec![1; 50_000]]);
        assert!(zeros[0] == COMPRESSED && zeros.len() < 200, "{}", zeros.len());
        let plain = unpack(&zeros, 100_000).unwrap();
        assert_eq!((plain[49_999], plain[50_000], plain.len()), (0, 1, 100_000));
        let short = pack(&[vec![1, 2], vec![], vec![3]]);
        assert_eq!(short, [STORED, 1, 2, 3]);
        assert_eq!(*unpack(&short, 3).unwrap(), [1, 2, 3]);
        assert_eq!(pack(&[]), [STORED]);
    }

    #[test]
    fn more_than_expected_is_refused() {
        for packed in [pack(&[vec![0; 50_000]]), pack(&[vec![7, 8]])] {
            let error = unpack(&packed, 1).unwrap_err();
            assert!(error.to_string().contains("bytes"), "{error}");
        }
        let mut longer = pack(&[vec![0; 5_000]]);
        longer.push(0);
        assert!(unpack(&longer, 5_000).is_err());
        assert!(unpack(&[], 5).is_err() && unpack(&[2, 0], 5).is_err());
    }
}
