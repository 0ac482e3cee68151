//! Malicious files of all known kinds: each ends in an error that names the problem, or in correct values.

mod common;

use std::time::{Duration, Instant};

use common::*;

#[track_caller]
fn refused(bytes: &[u8], words: &str) {
    let start = Instant::now();
    let error = open(bytes).expect_err("must be refused").to_string();
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert!(error.starts_with("test.pt: "), "{error}");
    assert!(error.contains(words), "{error}");
    assert!(error.len() < 1000, "{} bytes of message", error.len());
}

/// A valid file, which the tests below damage.
fn sound() -> Vec<u8> {
    archive(&dict(&[("a", vector()), ("b", tensor(1, &[2, 2], &[1, 3]))]))
}

#[test]
fn the_sound_file_is_read() {
    let file = open(&sound()).unwrap();
    assert_eq!(file.read_f32("a").unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(file.read_f32("b").unwrap(), [1.0, 4.0, 2.0, 5.0]);
    let two = [&6u64.to_le_bytes()[..], &six()].concat();
    let item = tuple(&[
        text("storage"),
        global("torch", "FloatStorage"),
        text("0"),
        text("cpu"),
        int(6),
        b"N".to_vec(),
    ]);
    let item = tensor_in([item, b"Q".to_vec()].concat(), 0, &[6], &[1]);
    let file = open(&legacy(&dict(&[("a", item)]), &["0"], &two)).unwrap();
    assert_eq!(file.read_f32("a").unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
}

#[test]
fn truncations() {
    for name in ["protocol-5.pt", "legacy-types.pt"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        assert!(exhaust(&whole));
        for len in 0..whole.len() {
            assert!(open(&whole[..len]).is_err(), "{name} cut to {len} bytes");
        }
    }
}

#[test]
fn flipped_bytes() {
    let masks: [u8; 3] = [0xff, 0x01, 0x80];
    for (name, masks) in [
        ("types.pt", &masks[..]),
        ("legacy-types.pt", &masks),
        ("objects.pt", &masks),
        ("script.pt", &masks[..1]),
    ] {
        let mut bytes = std::fs::read(fixture(name)).unwrap();
        for position in 0..bytes.len() {
            for mask in masks {
                bytes[position] ^= mask;
                exhaust(&bytes);
                bytes[position] ^= mask;
            }
        }
    }
}

#[test]
fn nothing_is_executed() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("executed");
    let command = text(&format!("touch '{}'", marker.display()));
    for (module, name) in [("os", "system"), ("posix", "system"), ("builtins", "eval")] {
        let evil = call(module, name, std::slice::from_ref(&command));
        // The whole file; beside a tensor; the data of a tensor; its hooks; a state that is set.
        refused(&archive(&evil), &format!("a whole object ({module}.{name})"));
        let beside = open(&archive(&dict(&[("evil", evil.clone()), ("a", vector())]))).unwrap();
        assert_eq!(beside.tensors().len(), 1);
        let inside = tensor_in(evil.clone(), 0, &[6], &[1]);
        refused(&archive(&dict(&[("a", inside)])), "its data are not a storage of this file");
        let built = [&dict(&[])[..], &vector(), &evil, b"b0"].concat();
        let built = dict(&[("a", vector()), ("b", [b"N".to_vec(), built, b"0".to_vec()].concat())]);
        assert!(open(&archive(&built)).is_ok());
        refused(&legacy(&evil, &[], &[]), &format!("a whole object ({module}.{name})"));
    }
    assert!(!marker.exists());
}

#[test]
fn nesting_without_end() {
    const DEEP: usize = 200_000;
    let lists = [vec![b']'; DEEP], vec![b'a'; DEEP - 1]].concat();
    refused(&archive(&lists), "no state dict");
    let tuples = [vec![b')'], vec![0x85; DEEP]].concat();
    refused(&archive(&tuples), "no state dict");
    refused(&archive(&vec![b'('; DEEP]), "takes from an empty stack");
    let beside = dict(&[("deep", lists), ("a", vector())]);
    assert!(exhaust(&archive(&beside)));

    let mut modules = vector();
    for _ in 0..2000 {
        modules = module(&[("m", modules)]);
    }
    refused(&archive(&modules), "an attribute's name has");
}

#[test]
fn values_that_hold_themselves() {
    refused(&archive(b"]q\x00h\x00a"), "no state dict");
    refused(&archive(&[b"}q\x00", &text("state_dict")[..], b"h\x00s"].concat()), "without tensors");
    let own = [b"}q\x00", &text("a")[..], &vector(), b"s", &text("self"), b"h\x00s"].concat();
    assert!(exhaust(&archive(&own)));
    let own = [&global("__torch__", "M")[..], b")\x81q\x00}", &text("m"), b"h\x00sb"].concat();
    refused(&archive(&own), "an attribute's name has");
}

#[test]
fn laughter_by_the_billion() {
    // Modules of which each holds the last one ten times: 10^30 paths.
    let mut bomb = [module(&[("a", vector())]), b"r\0\0\0\0".to_vec()].concat();
    for level in 1u32..=30 {
        let last = [b"j", &(level - 1).to_le_bytes()[..]].concat();
        let names = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        let attributes = names.map(|name| (name, last.clone()));
        bomb.extend([&module(&attributes)[..], b"r", &level.to_le_bytes()].concat());
    }
    refused(&archive(&bomb), "more than");
    let long = "n".repeat(400);
    let shared = [module(&[(&long, vector())]), b"q\x00".to_vec()].concat();
    let names: Vec<String> = (0..60_000).map(|index| format!("{index}{long}")).collect();
    let mut attributes = vec![("first", shared)];
    attributes.extend(names.iter().map(|name| (name.as_str(), b"h\x00".to_vec())));
    refused(&archive(&module(&attributes)), "bytes of names");

    refused(&archive(&[vec![b'N'], vec![b'2'; 3 << 20]].concat()), "more than 262144 values");
    refused(&archive(&vec![b'N'; 3 << 20]), "more than 262144 values");
    let appended = [&b"]N"[..], &b"2a".repeat(3 << 20)].concat();
    assert!(open(&archive(&appended)).is_err());
}

#[test]
fn lengths_that_are_not_there() {
    for opcode in
        [&b"\x8a\xff"[..], b"\x8b\xff\xff\xff\xff", b"X\xff\xff\xff\xff", b"T\xff\xff\xff\x7f"]
    {
        refused(&archive(opcode), "are left; the file is damaged");
    }
    for opcode in [b'\x8d', b'\x8e', b'\x96'] {
        let bytes = [&[opcode][..], &u64::MAX.to_le_bytes()].concat();
        refused(&archive(&bytes), "asks for 18446744073709551615 bytes");
    }
}

#[test]
fn programs_that_make_no_sense() {
    for (program, words) in [
        (&b"0"[..], "takes from an empty stack"),
        (b"t", "no MARK"),
        (b"h\x07", "memo entry 7"),
        (b"NNR", "a call of something that is not a function"),
        (b"N}b", "BUILD of something that is not an object"),
        (b"NNa", "APPENDS to something that is not a list"),
        (b"}(Nu", "a key that has no value"),
        (b"](NNu", "SETITEMS to something that is not a dict"),
        (b"NN\x93", "STACK_GLOBAL"),
        (b"cos", "a name is not terminated"),
        (b"I01\n", "opcode INT, which"),
        (b"(ios\nsystem\n", "opcode INST, which"),
        (b"\x82\x01", "opcode EXT, which"),
        (b"\xee", "unknown opcode 0xee"),
        (b"\x80\x01", "protocol 1"),
        (b"N(0", "no state dict"),
        (b"", "takes from an empty stack"),
    ] {
        let program = pickle(program);
        let program =
            program.strip_suffix(b".").filter(|p| p.ends_with(b"cos")).unwrap_or(&program);
        let file = zip(&[Entry::new("x/data.pkl", program)]);
        refused(&file, words);
    }
}

#[test]
fn tensors_that_lie() {
    let huge = 1 << 62;
    for (tensor, words) in [
        (tensor(0, &[7], &[1]), "its last element is number 6 of a storage of 6"),
        (tensor(1, &[6], &[1]), "its last element is number 6 of a storage of 6"),
        (tensor(i64::MAX, &[1], &[1]), "of a storage of 6"),
        (tensor(-1, &[1], &[1]), "a negative offset (-1)"),
        (tensor(0, &[-6], &[1]), "a negative size (-6)"),
        (tensor(5, &[6], &[-1]), "a negative stride (-1)"),
        (tensor(0, &[1 << 40], &[0]), "its elements overlap"),
        (tensor(0, &[3, 3], &[1, 1]), "its elements overlap"),
        (tensor(0, &[3, 2], &[1, 2]), "its elements overlap"),
        (tensor(0, &[huge, 4], &[4, 1]), "overflows"),
        (tensor(0, &[2, 2, 3], &[huge, huge + 1, 1]), "overlap"),
        (tensor(0, &[2, 2], &[huge, i64::MAX]), "of a storage of 6"),
        (tensor(0, &[3, 2], &[1]), "2 dimensions, but 1 strides"),
        (tensor(0, &[1; 17], &[1; 17]), "17 dimensions; at most 16"),
        (tensor(7, &[0], &[1]), "it begins after the end"),
        (tensor_in(storage("FloatStorage", "0", 7), 0, &[6], &[1]), "should have 28 bytes"),
        (tensor_in(storage("FloatStorage", "0", huge), 0, &[6], &[1]), "overflows"),
        (tensor_in(storage("DoubleStorage", "0", 6), 0, &[6], &[1]), "should have 48 bytes"),
        (tensor_in(storage("FloatStorage", "0", -6), 0, &[6], &[1]), "has no size"),
        (tensor_in(storage("FloatStorage", "1", 6), 0, &[6], &[1]), "(\"1\") are not in the file"),
        (tensor_in(storage("FloatStorage", "../0", 6), 0, &[6], &[1]), "are not in the file"),
        (tensor_in(storage("QInt8Storage", "0", 6), 0, &[6], &[1]), "torch.QInt8Storage"),
        (tensor_in(storage("UntypedStorage", "0", 6), 0, &[6], &[1]), "no dtype"),
        (call("torch._utils", "_rebuild_tensor_v2", &[]), "not described as torch.save does"),
        (call("torch._utils", "_rebuild_parameter", &[]), "a Parameter without data"),
        (call("torch._utils", "_rebuild_future", &[]), "of an unknown kind"),
    ] {
        refused(&archive(&dict(&[("t", tensor.clone())])), words);
        refused(&archive(&module(&[("t", tensor)])), words);
    }
    let empty = dict(&[("t", tensor(6, &[0, huge], &[huge, huge]))]);
    let empty = open(&archive(&empty)).unwrap();
    assert!(empty.read_f32("t").unwrap().is_empty());
    let rows = dict(&[("t", tensor(0, &[huge, 0], &[huge, huge]))]);
    let rows = open(&archive(&rows)).unwrap();
    assert!(rows.read_rows_f32("t", 1..1 << 40).unwrap().is_empty());
}

#[test]
fn names_that_lie() {
    let twice = dict(&[("t", vector()), ("t", vector())]);
    refused(&archive(&twice), "tensor \"t\": occurs twice");
    let same = module(&[("a.b", vector()), ("a", module(&[("b", vector())]))]);
    refused(&archive(&same), "tensor \"a.b\": occurs twice");
    let some = dict(&[("module.a", vector()), ("b", vector())]);
    assert!(open(&archive(&some)).unwrap().get("module.a").is_some());
    let all = dict(&[("module.a", vector()), ("module.b", vector())]);
    assert!(open(&archive(&all)).unwrap().get("a").is_some());
    refused(&archive(&dict(&[])), "a dict without tensors (its keys: none)");
    refused(&archive(&module(&[])), "a module without tensors");
    let long = "ü".repeat(1 << 20);
    refused(&archive(&dict(&[(&long, tensor(9, &[9], &[9]))])), "üü");
    let error = open(&sound()).unwrap().read_f32("c").unwrap_err().to_string();
    assert!(error.contains("tensor \"c\": not in this file"), "{error}");
}

#[test]
fn archives_that_lie() {
    let data = pickle(&dict(&[("a", vector())]));
    let entries = || [Entry::new("x/data.pkl", &data), Entry::new("x/data/0", &six())];
    assert!(exhaust(&zip(&entries())));

    let mut wrong = entries();
    wrong[0].method = 8;
    refused(&zip(&wrong), "\"x/data.pkl\" is compressed");
    let mut wrong = entries();
    wrong[1].method = 8;
    refused(&zip(&wrong), "\"x/data/0\" is compressed, which torch.save does not do; unpack");
    let mut wrong = entries();
    wrong[1].flags = 1;
    refused(&zip(&wrong), "is encrypted");
    for (compressed, uncompressed) in [(24, 1 << 30), (1 << 30, 24), (1 << 30, 1 << 30), (25, 25)] {
        let mut wrong = entries();
        (wrong[1].compressed, wrong[1].uncompressed) = (compressed, uncompressed);
        refused(&zip(&wrong), "that the archive's directory says");
    }
    let mut wrong = entries();
    (wrong[1].compressed, wrong[1].uncompressed) = (20, 20);
    refused(&zip(&wrong), "should have 24 bytes, but there are 20");
    let mut wrong = entries();
    wrong[1].header = Some(0);
    refused(&zip(&wrong), "that the archive's directory says");
    let mut wrong = entries();
    wrong[1].header = Some(1 << 30);
    refused(&zip(&wrong), "a damaged header");

    refused(&zip(&[Entry::new("x/data/0", &six())]), "it has no data.pkl");
    refused(&zip(&[Entry::new("x/y/data.pkl", &data)]), "it has no data.pkl");
    refused(&zip(&[]), "without entries");
    let two = [Entry::new("x/data.pkl", &data), Entry::new("y/data.pkl", &data)];
    refused(&zip(&two), "two pickles, \"x/data.pkl\" and \"y/data.pkl\"");
    let two = [Entry::new("x/data.pkl", &data), Entry::new("x/data.pkl", &data)];
    refused(&zip(&two), "two entries have the same name");
    let [pickle, storage] = entries();
    refused(&zip(&[pickle, storage, Entry::new("x/byteorder", b"big")]), "big-endian");
    let [pickle, storage] = entries();
    refused(&zip(&[pickle, storage, Entry::new("x/byteorder", b"pdp")]), "\"pdp\"");
    let [mut pickle, storage] = entries();
    pickle.name = "../../etc/data.pkl".into();
    refused(&zip(&[pickle, storage]), "it has no data.pkl");
}

#[test]
fn old_files_that_lie() {
    let value = dict(&[("a", vector())]);
    let data = |count: i64| [&count.to_le_bytes()[..], &six()].concat();
    assert!(exhaust(&legacy(&value, &["0"], &data(6))));
    refused(&legacy(&value, &["0"], &data(5)), "another size than its tensors say");
    refused(&legacy(&value, &["0"], &data(-1)), "another size than its tensors say");
    refused(&legacy(&value, &["1"], &data(6)), "list of storages does not fit");
    refused(&legacy(&value, &["0", "0"], &data(6)), "list of storages does not fit");
    refused(&legacy(&value, &[], &data(6)), "are not in the file");
    let huge = tensor_in(storage("FloatStorage", "0", 1 << 61), 0, &[6], &[1]);
    refused(&legacy(&dict(&[("a", huge)]), &["0"], &data(1 << 61)), "ends before its last tensor");
    let both = tensor_in(storage("HalfStorage", "0", 6), 0, &[6], &[1]);
    let both = dict(&[("a", vector()), ("b", both)]);
    refused(&legacy(&both, &["0"], &data(6)), "described in two ways");
    refused(&pickle(&value), "not one of torch.save");
}

#[test]
fn files_of_something_else() {
    refused(b"", "is empty");
    refused(b"hello", "first bytes");
    refused(b"<!DOCTYPE html><html>", "a web page");
    refused(b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer");
    refused(b"\x40\0\0\0\0\0\0\0{\"a\":{}}", "it looks like safetensors");
    refused(b"PK\x03\x04", "not a complete zip archive");
    refused(&[b"PK\x03\x04", &[0; 70_000][..]].concat(), "not a complete zip archive");
    refused(&b"PK\x03\x04PK\x05\x06PK\x01\x02".repeat(10_000), "");
    let missing = flora_torch::TorchFile::open("no/such/file.pt".as_ref()).unwrap_err();
    assert!(missing.to_string().contains("no/such/file.pt: cannot be read"));
}

/// More elements than are read at once, in order and transposed.
#[test]
fn large_tensors() {
    let (rows, columns) = (300, 700);
    let count = rows * columns;
    let storage = || storage("FloatStorage", "0", count);
    let value = dict(&[
        ("in order", tensor_in(storage(), 0, &[rows, columns], &[columns, 1])),
        ("transposed", tensor_in(storage(), 0, &[columns, rows], &[1, columns])),
        ("apart", tensor_in(storage(), 5, &[3, rows], &[2, columns])),
    ]);
    let bytes: Vec<u8> = (0..count).flat_map(|value| (value as f32).to_le_bytes()).collect();
    let file = zip(&[Entry::new("x/data.pkl", &pickle(&value)), Entry::new("x/data/0", &bytes)]);
    let file = open(&file).unwrap();
    let expect = |name: &str, value: &dyn Fn(i64) -> i64| {
        let read = file.read_f32(name).unwrap();
        assert!(read.iter().zip(0..).all(|(&read, index)| read == value(index) as f32), "{name}");
    };
    expect("in order", &|index| index);
    expect("transposed", &|index| index % rows * columns + index / rows);
    expect("apart", &|index| 5 + index % rows * columns + index / rows * 2);
    let part = file.read_rows_f32("in order", 100..200).unwrap();
    assert_eq!(part.first(), Some(&70_000.0));
    assert_eq!(part.len(), 70_000);
}
