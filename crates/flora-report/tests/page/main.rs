//! Pages without a browser: what is in them, what they refuse, and their server.

mod damaged;
mod server;

use std::{
    fs,
    path::{Path, PathBuf},
};

use flora_report::page;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/page").join(name)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn refused(folders: &[PathBuf]) -> String {
    page::render(folders).unwrap_err().to_string()
}

#[test]
fn a_page_is_one_file_that_loads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new/report.html");
    page::write(&[fixture("one")], &file).unwrap();
    let html = fs::read_to_string(file).unwrap();
    assert!(html.starts_with("<!DOCTYPE html><html lang=\"en\">"));
    assert!(!html.contains("<script"), "a file needs none");
    for attribute in [" src=\"", " href=\""] {
        for rest in html.split(attribute).skip(1) {
            let target = rest.split('"').next().unwrap();
            assert!(target.starts_with('#') || target.starts_with("data:"), "{attribute}{target}");
        }
    }
    assert!(html.contains("default-src &#39;none&#39;") || html.contains("default-src 'none'"));
    for text in ["33.6 %", "flora run ", "experiment.toml", "0.22.1", "dfc891321034e821dd85be35"] {
        assert!(html.contains(text), "{text} is missing");
    }
}

#[test]
fn a_run_that_goes_on_is_shown_up_to_its_last_whole_line() {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture("one"), folder.path());
    fs::remove_file(folder.path().join("run.json")).unwrap();
    let file = folder.path().join("metrics.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let third = text.find("{\"event\":\"round_started\",\"round\":2").unwrap();
    let folders = [folder.path().to_owned()];
    let headline = |html: &str| {
        let rest = html.split("id=\"headline\" class=\"headline\">").nth(1).unwrap();
        rest.split('<').next().unwrap().to_owned()
    };
    fs::write(&file, &text[..third + 30]).unwrap();
    let html = page::render(&folders).unwrap();
    assert!(headline(&html).starts_with("After round 2 of 5, "), "{}", headline(&html));
    assert!(!html.contains("<strong>Error"), "half a line is none");
    // Nothing but the beginning of the first line.
    fs::write(&file, &text[..30]).unwrap();
    let html = page::render(&folders).unwrap();
    assert_eq!(headline(&html), "No model was tested.");
    // A line that is whole and damaged is told, and what comes before it is shown.
    let damaged =
        text[..third].to_owned() + "{\"event\":\"evaluated\",\"round\":x}\n" + &text[third..];
    fs::write(&file, damaged).unwrap();
    let html = page::render(&folders).unwrap();
    assert!(html.contains("<strong>Error: </strong>metrics.jsonl, line "), "{}", headline(&html));
    assert!(html.contains("After round 2 of 5, "), "{}", headline(&html));
    // An event that a later version added is not.
    let newer = text[..third].to_owned() + "{\"event\":\"danced\",\"round\":1}\n" + &text[third..];
    fs::write(&file, newer).unwrap();
    let html = page::render(&folders).unwrap();
    assert!(
        !html.contains("<strong>Error") && html.contains("After round 5, "),
        "{}",
        headline(&html)
    );
}

#[test]
fn a_run_without_predictions_says_how_to_get_them() {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture("two"), folder.path());
    let html = page::render(&[folder.path().to_owned()]).unwrap();
    let path = folder.path().display();
    let command = format!("flora report {path} --predictions --overwrite");
    assert!(html.contains(&command), "{command}");
}

#[test]
fn names_are_text_wherever_they_stand() {
    const EVIL: &str = "</style></svg><script>alert(1)</script>]]>\\\"'&\u{202e}gpj";
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("<b onclick='x'>&");
    copy(&fixture("faults"), &run);
    fs::remove_file(run.join("run.json")).unwrap();
    for name in ["metrics.jsonl", "partition.json", "experiment.toml"] {
        let text = fs::read_to_string(run.join(name)).unwrap();
        let text = text.replace("\"fluent-emoji\"", &format!("\"{EVIL}\""));
        let text = text.replace("\"bird\"", &format!("\"{EVIL}2\""));
        let text = text.replace("it failed on purpose", &format!("{EVIL}3"));
        fs::write(run.join(name), text.replace("\"quickstart\"", &format!("\"{EVIL}4\""))).unwrap();
    }
    for folders in [vec![run.clone()], vec![run, fixture("one")]] {
        let html = page::render(&folders).unwrap();
        assert!(!html.contains("<script") && !html.contains("<b onclick"), "{folders:?}");
        assert_eq!(html.matches("</style>").count(), 1, "{folders:?}");
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;]]"), "{folders:?}");
        assert!(!html.contains('\u{202e}') && html.contains(r"\u{202e}gpj"), "{folders:?}");
    }
}

/// Files, and the memory of browsers, have limits.
#[test]
fn the_page_of_thousands_of_clients_is_small() {
    const CLIENTS: usize = 5_000;
    const ROUNDS: usize = 12;
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture("three"), folder.path());
    fs::remove_file(folder.path().join("run.json")).unwrap();
    let all = |item: &dyn Fn(usize) -> String| (0..CLIENTS).map(item).collect::<Vec<_>>().join(",");
    let infos = all(&|at| {
        format!("{{\"id\":\"client {at}\",\"num_examples\":9,\"num_test_examples\":1000}}")
    });
    let mut text = format!(
        "{{\"event\":\"run_started\",\"name\":\"many\",\"method\":\"flora\",\"clients\":[{infos}],\
         \"rounds\":{ROUNDS},\"trainable_parameters\":8,\"total_parameters\":80,\"bytes_per_client\":32,\
         \"seed\":3}}\n"
    );
    for round in 0..ROUNDS {
        // All of them fail, each in its own words.
        for at in 0..CLIENTS {
            text += &format!(
                "{{\"event\":\"client_failed\",\"round\":{round},\"client\":\"client {at}\",\
                 \"reason\":\"late\",\"message\":\"no answer of client {at}\"}}\n"
            );
        }
        let scores = all(&|at| {
            let accuracy = ((at + round) % 1001) as f64 / 1000.0;
            format!(
                "{{\"client\":\"client {at}\",\"accuracy\":{accuracy},\"loss\":1.5,\"num_examples\":1000}}"
            )
        });
        text += &format!(
            "{{\"event\":\"evaluated\",\"round\":{},\"model\":\"global\",\"accuracy\":0.5,\
             \"accuracy_weighted\":0.5,\"loss\":1.5,\"clients\":[{scores}],\"seconds\":1.5}}\n",
            round + 1
        );
    }
    fs::write(folder.path().join("metrics.jsonl"), text).unwrap();
    // A quarter of 400 classes.
    let classes = |at: usize| {
        let class = |class: usize| format!("\"class {}\":{}", 4 * class + at % 4, 1 + class % 7);
        (0..100).map(class).collect::<Vec<_>>().join(",")
    };
    let shares =
        all(&|at| format!("{{\"id\":\"client {at}\",\"train_classes\":{{{}}}}}", classes(at)));
    fs::write(folder.path().join("partition.json"), format!("{{\"clients\":[{shares}]}}")).unwrap();
    let html = page::render(&[folder.path().to_owned()]).unwrap();
    assert!(!html.contains("<strong>Error"), "all of it is read");
    for told in [
        "60,000 replies left out: 0 failed, 60,000 late, 0 refused.",
        "4,800 more are in metrics.jsonl.",
        "The 100 clients with the lowest accuracy; 4,900 more are in metrics.jsonl.",
        "The first 100 clients are shown.",
    ] {
        assert!(html.contains(told), "{told}");
    }
    assert!(html.len() < 2_500_000, "{} bytes", html.len());
}

/// More than bars of a figure can be.
#[test]
fn a_run_with_thousands_of_rounds_has_a_page() {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture("one"), folder.path());
    let file = folder.path().join("metrics.jsonl");
    let mut text = fs::read_to_string(&file).unwrap();
    let line = text.lines().find(|line| line.contains("\"aggregated\"")).unwrap().to_owned();
    for round in 5..2_500 {
        text += &line.replace("\"round\":0", &format!("\"round\":{round}"));
        text.push('\n');
    }
    fs::write(&file, text).unwrap();
    let html = page::render(&[folder.path().to_owned()]).unwrap();
    assert!(html.contains("A bar is the sum of 5 rounds."));
}

/// More than a heat map can have.
#[test]
fn a_run_with_thousands_of_classes_has_a_page() {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture("one"), folder.path());
    let classes = (0..2_500).map(|class| format!("\"class {class}\":1")).collect::<Vec<_>>();
    let clients =
        format!("{{\"clients\":[{{\"id\":\"a\",\"train_classes\":{{{}}}}}]}}", classes.join(","));
    fs::write(folder.path().join("partition.json"), clients).unwrap();
    let html = page::render(&[folder.path().to_owned()]).unwrap();
    assert!(html.contains("2500 classes") && html.contains("the first 1,000 of each are shown"));
}

#[test]
fn what_is_no_run_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    assert!(
        refused(std::slice::from_ref(&path)).contains("holds no run: a run folder has the files")
    );
    assert!(refused(&[path.join("absent")]).contains("holds no run"));
    assert!(refused(&[]).contains("name the folder of a run or of a sweep"));
    copy(&fixture("one"), &path.join("a run"));
    let error = refused(std::slice::from_ref(&path));
    assert!(error.contains("it is no run, but holds some") && error.contains("/a run'"), "{error}");
    fs::write(path.join("results.csv"), "").unwrap();
    let error = refused(&[path]);
    assert!(error.contains("a sweep without a sweep.json: repeat its `flora sweep`"), "{error}");
    let error = refused(&[fixture("one"), fixture("sweep")]);
    assert!(error.contains("sweep: it is a sweep, which has a page of its own"), "{error}");
    let error = refused(&vec![fixture("one"); page::MOST_RUNS + 1]);
    assert!(error.contains("13 runs are too many"), "{error}");
}

#[test]
fn a_sweep_is_shown_without_its_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    fs::copy(fixture("sweep/sweep.json"), path.join("sweep.json")).unwrap();
    let html = page::render(std::slice::from_ref(&path)).unwrap();
    assert!(html.contains("<caption>Accuracy in %</caption>") && html.contains("id=\"sweep\""));
    assert!(!html.contains("id=\"accuracy\""), "rounds are in the folders of the runs");
    fs::write(path.join("sweep.json"), "{}").unwrap();
    assert!(refused(&[path]).contains("sweep.json"));
}
