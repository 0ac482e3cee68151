//! Pages of runs whose files are damaged, special or absurd.

use std::{fs, sync::mpsc, thread, time::Duration};
#[cfg(unix)]
use std::{os::unix::net::UnixListener, path::Path, path::PathBuf, process::Command};

use flora_report::page;
#[cfg(unix)]
use flora_report::{FolderLock, compare, runs::list};

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

#[test]
fn predictions_that_were_cut_are_told_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture("one"), folder.path());
    let folders = [folder.path().to_owned()];
    let cut = |name: &str| {
        let file = folder.path().join(name);
        let text = fs::read(&file).unwrap();
        fs::write(&file, &text[..text.len() - 3]).unwrap();
    };
    cut("predictions-before.csv");
    let html = page::render(&folders).unwrap();
    let left_out = "predictions-before.csv is left out: its last line is cut. Write it again";
    assert!(html.contains(left_out) && html.contains("id=\"confusion\""));
    assert!(!html.contains("id=\"confusion-before\""));
    cut("predictions.csv");
    let html = page::render(&folders).unwrap();
    let told = "<strong>Error: </strong>predictions.csv: its last line is cut; write it again";
    assert!(html.contains(told) && !html.contains("id=\"confusion\""));
    assert!(html.contains("id=\"accuracy\""));
}

/// A path of special files by kind: a pipe without a writer, a socket, and a device without an end.
#[cfg(unix)]
fn special(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let pipe = folder.join("special-pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let socket = folder.join("special-socket");
    drop(UnixListener::bind(&socket).unwrap());
    vec![("a named pipe", pipe), ("a socket", socket), ("a device", "/dev/zero".into())]
}

/// The value of `work`, which must not wait for anything.
#[cfg(unix)]
fn at_once<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (told, result) = mpsc::channel();
    thread::spawn(move || told.send(work()));
    let result = result.recv_timeout(Duration::from_secs(60));
    result.unwrap_or_else(|_| panic!("{what}: no end"))
}

/// Reading them would wait for ever, or fill the memory.
#[cfg(unix)]
#[test]
fn special_files_in_place_of_a_runs_files_are_told() {
    let parent = tempfile::tempdir().unwrap();
    for (kind, special) in special(parent.path()) {
        let told = format!("it is {kind}, not a regular file");
        let place = |name: &str, fixture_name: &str| {
            let folder = tempfile::tempdir_in(parent.path()).unwrap();
            copy(&fixture(fixture_name), folder.path());
            let _ = fs::remove_file(folder.path().join(name));
            std::os::unix::fs::symlink(&special, folder.path().join(name)).unwrap();
            folder
        };
        for name in ["partition.json", "run.json", "predictions.csv", "predictions-before.csv"] {
            let folder = place(name, "one");
            let folders = [folder.path().to_owned()];
            let html = at_once(name, move || page::render(&folders)).unwrap();
            assert!(html.contains(&told) && html.contains("id=\"accuracy\""), "{name}: {told}");
        }
        for name in ["metrics.jsonl", "experiment.toml"] {
            let folder = place(name, "one");
            let folders = [folder.path().to_owned()];
            let (paged, listed, compared) =
                at_once(name, move || (page::render(&folders), list(&folders), compare(&folders)));
            for error in [paged.unwrap_err().to_string(), compared.unwrap_err().to_string()] {
                assert!(error.contains(&told) && error.contains(name), "{error}");
            }
            let problem = listed.unwrap()[0].problem.clone().unwrap();
            assert!(problem.contains(&told) && problem.contains(name), "{problem}");
        }
        // A lock that nobody holds.
        let folder = place("run.lock", "three");
        let folders = [folder.path().to_owned()];
        let html = at_once("run.lock", move || page::render(&folders)).unwrap();
        assert!(!html.contains("state open"), "it is not running");
        let folder = folder.path().to_owned();
        let error = at_once("a lock", move || FolderLock::acquire(&folder)).unwrap_err();
        assert!(error.to_string().contains(&told), "{error}");
        let folder = place("sweep.json", "sweep");
        let folders = [folder.path().to_owned()];
        let error = at_once("a sweep", move || page::render(&folders)).unwrap_err().to_string();
        assert!(error.contains(&told) && error.contains("sweep.json"), "{error}");
        // The file of an image.
        let folder = place("picture.png", "one");
        let file = folder.path().join("predictions.csv");
        let text = fs::read_to_string(&file).unwrap();
        let picture = folder.path().join("picture.png").display().to_string();
        let line = |line: &str| match line.split_once(',') {
            Some((path, rest)) if path != "path" => format!("{picture},{rest}\n"),
            _ => format!("{line}\n"),
        };
        fs::write(&file, text.lines().map(line).collect::<String>()).unwrap();
        let folders = [folder.path().to_owned()];
        let html = at_once("an image", move || page::render(&folders)).unwrap();
        assert!(html.contains("24 of 24 image files are not where predictions.csv says"));
    }
}

/// A sparse file, which takes no space: neither memory nor minutes.
#[cfg(unix)]
#[test]
fn files_of_absurd_sizes_are_told() {
    for name in ["metrics.jsonl", "partition.json", "run.json", "predictions.csv"] {
        let folder = tempfile::tempdir().unwrap();
        copy(&fixture("one"), folder.path());
        // Its checksums are a matter of seconds.
        fs::remove_file(folder.path().join("run.json")).unwrap();
        let file = fs::File::options().create(true).append(true).open(folder.path().join(name));
        file.unwrap().set_len(10_737_418_240).unwrap();
        let folders = [folder.path().to_owned()];
        let html = at_once(name, move || page::render(&folders)).unwrap();
        let told = match name {
            "metrics.jsonl" => {
                "metrics.jsonl, line 49: it has more than 268435456 bytes".to_owned()
            }
            name => format!("{name}: it has 10737418240 bytes, and at most 1073741824 are read"),
        };
        assert!(html.contains(&told), "{told}");
        assert!(html.contains("id=\"accuracy\""), "{name}");
    }
}

/// More parts of bars than there are colours for.
#[test]
fn a_chart_that_cannot_be_drawn_leaves_the_others() {
    let parent = tempfile::tempdir().unwrap();
    let folders = ["a", "b"].map(|name| {
        let folder = parent.path().join(name);
        copy(&fixture("three"), &folder);
        let file = folder.join("metrics.jsonl");
        let mut text = fs::read_to_string(&file).unwrap();
        for phase in 0..40 {
            text += &format!(
                "{{\"event\":\"phase_finished\",\"phase\":\"phase {phase}\",\"seconds\":{phase}.5}}\n"
            );
        }
        fs::write(&file, text).unwrap();
        folder
    });
    let html = page::render(&folders).unwrap();
    assert_eq!(html.matches("this chart cannot be drawn (bars: ").count(), 1);
    assert!(html.contains("<details class=\"data\" id=\"seconds-data\" open>"));
    assert!(html.contains("phase 39") && html.contains("39.5"), "the table has its numbers");
    assert!(html.contains("id=\"accuracy-usual-title\"") && html.contains("id=\"bytes-usual"));
}

/// More series than there are colours and symbols for.
#[test]
fn a_sweep_whose_figure_cannot_be_drawn_has_its_tables() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(fixture("sweep/sweep.json")).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
    record["figure"] = serde_json::Value::Null;
    let grid = &mut record["grid"];
    let axis = grid["axes"][0]["values"].as_array_mut().unwrap();
    let first = axis.len();
    axis.extend((0..200).map(|value| serde_json::json!(format!("value {value}"))));
    let rows = grid["rows"].as_array_mut().unwrap();
    for value in 0..200 {
        let mut row = rows[0].clone();
        row["name"] = serde_json::json!(format!("row {value}"));
        row["values"] = serde_json::json!([first + value, 0]);
        rows.push(row);
    }
    fs::write(folder.path().join("sweep.json"), record.to_string()).unwrap();
    let html = page::render(&[folder.path().to_owned()]).unwrap();
    assert!(html.contains("this chart cannot be drawn (chart: 202 series"));
    assert!(html.contains("<caption>Accuracy in %</caption>") && html.contains("id=\"runs\""));
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
