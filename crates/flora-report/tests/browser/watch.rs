use std::{
    fs,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use flora_report::page;

use crate::{
    chromium::{Shown, fixture},
    expected::{self, compare, events},
    pages::copy,
};

/// A run that goes on: lines come one by one, the last of them in two halves.
#[test]
#[ignore = "needs Chromium"]
fn the_page_follows_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    copy(&fixture("one"), &path);
    let all = events(&path);
    let text = fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    let summary = fs::read(path.join("run.json")).unwrap();
    fs::remove_file(path.join("run.json")).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let second =
        lines.iter().position(|line| line.contains("\"round_started\",\"round\":1")).unwrap();
    fs::write(path.join("metrics.jsonl"), lines[..second].concat()).unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let (told, url) = mpsc::channel();
    let server = thread::spawn({
        let (stop, path) = (Arc::clone(&stop), path.clone());
        move || {
            page::serve(
                &[path],
                0,
                |url| told.send(url.to_owned()).unwrap(),
                || stop.load(Ordering::SeqCst),
            )
        }
    });
    let shown = Shown::open(&url.recv_timeout(Duration::from_secs(30)).unwrap());
    shown.look(390, 800, "light");
    let name = "global model, mean";
    let of_accuracy = |shown: &Shown| -> Vec<[String; 3]> {
        shown.marks("accuracy").into_iter().filter(|mark| mark[0] == name).collect()
    };
    compare(&of_accuracy(&shown), expected::accuracy(&all[..second], name), "at the start");

    // A reader in the middle of the page, with a table open.
    let _ = shown.tab.evaluate(
        "document.getElementById('loss-data').open = true;
         document.querySelector('#loss-data summary').focus();
         window.scrollTo(0, 700); 0",
        false,
    );
    assert!(shown.number("window.scrollY") > 0.0);
    let place =
        || shown.number("document.querySelector('#loss-data summary').getBoundingClientRect().top");
    let top = place();
    let until = |count: usize| {
        let begun = Instant::now();
        while of_accuracy(&shown).len() != count {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", of_accuracy(&shown));
            thread::sleep(Duration::from_millis(100));
        }
    };
    let mut file = fs::OpenOptions::new().append(true).open(path.join("metrics.jsonl")).unwrap();
    let (rest, last) = (lines[second..lines.len() - 1].concat(), lines[lines.len() - 1]);
    file.write_all(rest.as_bytes()).unwrap();
    file.write_all(&last.as_bytes()[..20]).unwrap();
    let count = expected::accuracy(&all, name).len();
    until(count);
    compare(&of_accuracy(&shown), expected::accuracy(&all, name), "after more rounds");
    assert!((place() - top).abs() < 2.0, "the page stays where it is: {} is not {top}", place());
    let kept = shown.json(
        "JSON.stringify([document.getElementById('loss-data').open, document.activeElement.tagName])",
    );
    assert_eq!(kept, serde_json::json!([true, "SUMMARY"]));
    let said = shown.json("JSON.stringify(document.getElementById('watch').textContent)");
    assert!(said.as_str().unwrap().starts_with("Updated: After round 5"), "{said}");

    // Its end.
    file.write_all(&last.as_bytes()[20..]).unwrap();
    fs::write(path.join("run.json"), summary).unwrap();
    let begun = Instant::now();
    let state = || shown.json("JSON.stringify(document.getElementById('state').textContent)");
    while state() != "finished" {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", state());
        thread::sleep(Duration::from_millis(100));
    }
    shown.audit("a watched page");
    shown.picture("watch", 390, "light");
    stop.store(true, Ordering::SeqCst);
    server.join().unwrap().unwrap();
}
