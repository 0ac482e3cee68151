//! Pages of runs whose files are damaged, special or absurd.

use std::{fs, sync::mpsc, thread, time::Duration};

use flora_report::page;

use crate::{copy, fixture};

#[test]
fn damaged_files_are_told_and_the_rest_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture("one"), folder.path());
    let folders = [folder.path().to_owned()];
    fs::write(folder.path().join("partition.json"), "{").unwrap();
    fs::write(folder.path().join("predictions.csv"), "path,prediction\na,b\n").unwrap();
    let html = page::render(&folders).unwrap();
    assert!(html.contains("<strong>Error: </strong>partition.json: "), "{html}");
    assert!(
        html.contains("<strong>Error: </strong>predictions.csv: has no column label"),
        "{html}"
    );
    assert!(html.contains("id=\"accuracy\""));
    // Predictions of other classes are of another data set.
    copy(&fixture("one"), folder.path());
    let before = folder.path().join("predictions-before.csv");
    let text = fs::read_to_string(&before)
        .unwrap()
        .replace("p(bird)", "p(plane)")
        .replace(",bird,", ",plane,");
    fs::write(&before, text).unwrap();
    let html = page::render(&folders).unwrap();
    assert!(html.contains("predictions-before.csv is left out: its classes are not those of"));
}

/// No page would come, or none ever.
#[test]
fn numbers_without_bounds_leave_a_page() {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture("one"), folder.path());
    let file = folder.path().join("metrics.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let digits = |it: char| it.is_ascii_digit() || "+-.e".contains(it);
    for (field, number) in [
        ("loss", "1.7e308"),
        ("seconds", "1.7e308"),
        ("accuracy", "-1.7e308"),
        ("bytes_up", "18446744073709551615"),
        ("round", "18446744073709551615"),
    ] {
        let field = format!("\"{field}\":");
        let mut parts = text.split(&field);
        let mut changed = parts.next().unwrap().to_owned();
        for part in parts {
            changed += &format!("{field}{number}{}", part.trim_start_matches(digits));
        }
        fs::write(&file, changed).unwrap();
        let (told, page) = mpsc::channel();
        let folders = [folder.path().to_owned()];
        thread::spawn(move || told.send(page::render(&folders).map(|html| html.len())));
        let page = page.recv_timeout(Duration::from_secs(60));
        assert!(page.expect("an end").is_ok(), "{field}");
    }
}
