//! `pytorch_model.bin` and OpenAI's archives; the crate that reads them has a corpus of its own.

use crate::cases::{Case, Change, bytes};

const BIN: &str = "pytorch_model.bin";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (base, kind) in [("hf-bin", "zip"), ("hf-bin-legacy", "legacy")] {
        let whole = bytes(&format!("{base}/{BIN}"));
        for (part, of) in [(0, 1), (1, 1000), (1, 3), (9, 10), (999, 1000)] {
            let cut = whole[..whole.len() * part / of].to_vec();
            cases.push(
                Case::new(format!("{kind}: cut to {part}/{of}"), base, &[BIN]).file(BIN, cut),
            );
        }
        // The table at the end of a zip, the pickles at the beginning of the other.
        let places = if kind == "zip" {
            [1000, 2000, 3000].map(|back| whole.len() - back)
        } else {
            [4, 30, 64]
        };
        for place in places {
            let mut damaged = whole.clone();
            damaged[place..place + 16].fill(0xff);
            cases.push(
                Case::new(format!("{kind}: overwritten at {place}"), base, &[BIN])
                    .file(BIN, damaged),
            );
        }
    }
    let bin = |name: &str, bytes: &[u8]| {
        Case::new(format!("bin: {name}"), "hf-bin", &[BIN]).file(BIN, bytes)
    };
    // os.system("touch /tmp/…"): read as data, never looked up.
    cases.push(bin("a call", b"\x80\x02cos\nsystem\nX\x06\x00\x00\x00touch q\x00\x85q\x01Rq\x02."));
    cases.push(bin("a recursive list", b"\x80\x02]q\x00h\x00a."));
    cases.push(bin("deep tuples", &[b"\x80\x02N".as_slice(), &[0x85; 1_000_000], b"."].concat()));
    cases.push(bin("a string of 4 GB", b"\x80\x02X\xff\xff\xff\xffq\x00."));
    cases.push(bin("an unknown opcode", b"\x80\x02\xee."));
    cases.push(bin("text", b"not a model at all"));
    cases.push(bin("an empty zip", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"));
    cases.push(bin("safetensors of another model", &{
        let header = br#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        [&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat()
    }));
    let zeros = Case::new("bin: a gigabyte of zeros", "hf-bin", &[BIN]);
    cases.push(zeros.change(BIN, Change::Zeros(1 << 30)));
    cases
}
