use super::*;

const WIDTH: usize = 5;

fn row(number: u8) -> [u8; WIDTH] {
    [number, 1, 2, 3, number]
}

fn open(path: &Path, key: &str) -> RowJournal {
    RowJournal::try_open(path, "numbers", key, WIDTH).unwrap().expect("nobody else has it")
}

/// The rows read back, and the state of the file.
fn resumed(path: &Path, most: usize, step: usize) -> (Vec<Vec<u8>>, Held) {
    let mut rows = Vec::new();
    let mut journal = open(path, "key");
    let held = journal.resume(most, step, |row| {
        rows.push(row.to_vec());
        true
    });
    rows.truncate(journal.rows());
    (rows, held.unwrap())
}

/// A journal of seven rows.
fn seven() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/rows.partial");
    let mut journal = open(&path, "key");
    assert_eq!(journal.resume(9, 1, |_| true).unwrap(), Held::Rows { kept: 0, damaged: None });
    journal.append(&(0..3).flat_map(row).collect::<Vec<_>>()).unwrap();
    journal.append(&[]).unwrap();
    journal.append(&(3..7).flat_map(row).collect::<Vec<_>>()).unwrap();
    assert_eq!(journal.rows(), 7);
    let bytes = std::fs::read(&path).unwrap();
    (folder, path, bytes)
}

#[test]
fn rows_come_back_in_whole_steps() {
    let (_folder, path, bytes) = seven();
    for (most, step, kept) in [(9, 1, 7), (9, 2, 6), (9, 4, 4), (9, 8, 0), (5, 1, 5), (0, 1, 0)] {
        std::fs::write(&path, &bytes).unwrap();
        let (rows, held) = resumed(&path, most, step);
        assert_eq!(held, Held::Rows { kept, damaged: None });
        assert_eq!(rows, (0..kept as u8).map(row).collect::<Vec<_>>());
    }
}

#[test]
fn a_cut_at_any_length_keeps_the_rows_before_it() {
    let (_folder, path, bytes) = seven();
    let head = "flora numbers key\n".len();
    for end in 0..=bytes.len() {
        std::fs::write(&path, &bytes[..end]).unwrap();
        let kept = end.saturating_sub(head) / (CHECKSUM + WIDTH);
        let mut journal = open(&path, "key");
        let held = journal.resume(9, 1, |_| true).unwrap();
        assert_eq!(held, Held::Rows { kept, damaged: None }, "{end}");
        journal.append(&(kept as u8..7).flat_map(row).collect::<Vec<_>>()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{end}");
    }
}

#[test]
fn any_changed_byte_ends_the_rows_before_it() {
    let (_folder, path, bytes) = seven();
    let (kind, head) = ("flora numbers ".len(), "flora numbers key\n".len());
    for at in 0..bytes.len() {
        for change in [1, 0x80, bytes[at]] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            if changed == bytes {
                continue;
            }
            std::fs::write(&path, &changed).unwrap();
            let (rows, held) = resumed(&path, 9, 1);
            let damaged = at.checked_sub(head).map(|at| at / (CHECKSUM + WIDTH));
            let expected = match damaged {
                _ if at < kind => Held::Foreign,
                None => Held::OtherKey,
                Some(row) => Held::Rows { kept: row, damaged },
            };
            assert_eq!(held, expected, "byte {at}");
            assert_eq!(rows, (0..damaged.unwrap_or(0) as u8).map(row).collect::<Vec<_>>());
        }
    }
}

#[test]
fn zeros_and_rows_in_the_wrong_place_are_damaged() {
    let (_folder, path, bytes) = seven();
    let head = "flora numbers key\n".len();
    let record = CHECKSUM + WIDTH;
    let mut zeroed = bytes.clone();
    zeroed[head + 2 * record..].fill(0);
    let mut moved = bytes.clone();
    moved.copy_within(head..head + record, head + 2 * record);
    for bytes in [zeroed, moved] {
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(resumed(&path, 9, 1).1, Held::Rows { kept: 2, damaged: Some(2) });
    }
    // A row that is damaged after it was accepted is detected when it is read.
    std::fs::write(&path, &bytes).unwrap();
    let mut journal = open(&path, "key");
    journal.resume(9, 1, |_| true).unwrap();
    let mut damaged = bytes;
    damaged[head + 5 * record + CHECKSUM] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let mut read = 0;
    let error = journal.read(|_| {
        read += 1;
        Ok(())
    });
    assert_eq!((read, error.unwrap_err().kind()), (5, io::ErrorKind::InvalidData));
}

#[test]
fn what_is_not_accepted_is_replaced() {
    let (_folder, path, bytes) = seven();
    let mut journal = open(&path, "key");
    let held = journal.resume(9, 1, |row| row[0] < 4).unwrap();
    assert_eq!(held, Held::Rows { kept: 4, damaged: None });
    drop(journal);

    std::fs::write(&path, &bytes).unwrap();
    let mut journal = open(&path, "other");
    assert_eq!(journal.resume(9, 1, |_| true).unwrap(), Held::OtherKey);
    assert_eq!(std::fs::read(&path).unwrap(), b"flora numbers other\n");
    drop(journal);

    std::fs::write(&path, "a letter").unwrap();
    let mut journal = open(&path, "key");
    assert_eq!(journal.resume(9, 1, |_| true).unwrap(), Held::Foreign);
    assert_eq!(std::fs::read(&path).unwrap(), b"a letter");
    journal.clear().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"flora numbers key\n");
}

#[test]
fn one_has_it_and_the_next_waits() {
    let (_folder, path, _) = seven();
    let mut first = open(&path, "key");
    first.resume(9, 1, |_| true).unwrap();
    assert!(RowJournal::try_open(&path, "numbers", "key", WIDTH).unwrap().is_none());
    let (sender, waits) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            let mut second = RowJournal::open(&path, "numbers", "key", WIDTH, || {
                sender.send(()).unwrap();
            })
            .unwrap();
            second.resume(9, 1, |_| true).unwrap()
        });
        waits.recv().unwrap();
        first.append(&row(7)).unwrap();
        drop(first);
        assert_eq!(second.join().unwrap(), Held::Rows { kept: 8, damaged: None });
    });
    open(&path, "key").remove();
    assert!(!path.exists());
}
