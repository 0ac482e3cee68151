use std::{
    fs,
    path::{Path, PathBuf},
};

use flora_report::page;

use crate::{
    chromium::{SCHEMES, Shown, WIDTHS, fixture, repository},
    expected::{self, Marks, compare, events, of_kind},
};

/// Makes the page of these fixtures, and checks it in all sizes and schemes.
fn shown(folders: &[PathBuf], name: &str) -> (tempfile::TempDir, Shown) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    // Where the predictions were made.
    std::env::set_current_dir(repository()).unwrap();
    page::write(folders, &file).unwrap();
    let shown = Shown::open_file(&file);
    let mut grounds = Vec::new();
    for scheme in SCHEMES {
        for width in WIDTHS {
            shown.look(width, 900, scheme);
            shown.audit(&format!("{name}, {width} pixels, {scheme}"));
            shown.picture(name, width, scheme);
        }
        grounds.push(shown.json("JSON.stringify(getComputedStyle(document.body).backgroundColor)"));
    }
    assert_ne!(grounds[0], grounds[1], "{name}: dark is not light");
    (folder, shown)
}

/// Checks charts that both a run and several runs have.
fn compare_all(shown: &Shown, charts: Vec<(&str, Marks)>) {
    for (id, marks) in charts {
        compare(&shown.marks(id), marks, id);
    }
}

#[test]
#[ignore = "needs Chromium"]
fn a_run() {
    let folder = fixture("one");
    let events = events(&folder);
    let (_folder, shown) = shown(std::slice::from_ref(&folder), "run");
    let join = |parts: Vec<Marks>| parts.concat();
    compare_all(
        &shown,
        vec![
            (
                "accuracy",
                join(vec![
                    expected::accuracy(&events, "global model, mean"),
                    expected::local_accuracy(&events, "local models, mean"),
                    expected::worst(&events, "worst client"),
                ]),
            ),
            (
                "loss",
                join(vec![
                    expected::loss(&events, false, "global model"),
                    expected::loss(&events, true, "local models"),
                    expected::metric(&events, "loss", 1.0, "while training"),
                ]),
            ),
            ("client-accuracy", expected::clients(&events)),
            (
                "aggregation-error",
                expected::metric(&events, "aggregation_error", 100.0, "aggregation error"),
            ),
        ],
    );
    // Two bars a round, in KiB.
    let aggregated: Vec<_> = of_kind(&events, "aggregated").collect();
    let bytes = |key: &str, name: &str| -> Marks {
        let mark = |it: &&serde_json::Value| {
            (name.to_owned(), it["round"].as_u64().unwrap() + 1, it[key].as_f64().unwrap() / 1024.0)
        };
        aggregated.iter().map(mark).collect()
    };
    let sent = [bytes("bytes_up", "from clients"), bytes("bytes_down", "to clients")].concat();
    compare(&shown.marks("bytes"), sent, "bytes");
    assert_eq!(shown.marks("seconds").len(), 3 * aggregated.len());
    assert_eq!(shown.marks("phases").len(), of_kind(&events, "phase_finished").count());
    // A cell for each class that a client has images of.
    let partition = fs::read_to_string(folder.join("partition.json")).unwrap();
    let partition: serde_json::Value = serde_json::from_str(&partition).unwrap();
    let clients = partition["clients"].as_array().unwrap().iter();
    let cells = clients.map(|it| it["train_classes"].as_object().unwrap().len()).sum::<usize>();
    let shown_cells = shown.marks("partition");
    assert_eq!(shown_cells.len(), cells);
    let images: f64 = shown_cells.iter().map(|it| it[2].parse::<f64>().unwrap()).sum();
    let trained = events[0]["clients"].as_array().unwrap().iter();
    assert_eq!(images, trained.map(|it| it["num_examples"].as_f64().unwrap()).sum::<f64>());
    // Every predicted image is in a cell of the confusions.
    let lines = fs::read_to_string(folder.join("predictions.csv")).unwrap().lines().count() - 1;
    let confused: f64 =
        shown.marks("confusion").iter().map(|it| it[2].parse::<f64>().unwrap()).sum();
    assert_eq!(confused as usize, lines);
    // The numbers beside a chart are those of the chart.
    let rows = shown.number("document.querySelectorAll('#accuracy-data tbody tr').length");
    assert_eq!(rows as usize, expected::accuracy(&events, "").len());
    // Twice 24 examples: there are image files for all of them.
    assert_eq!(shown.number("document.querySelectorAll('.gallery img').length"), 24.0);
}

#[test]
#[ignore = "needs Chromium"]
fn three_runs_one_over_the_other() {
    let folders = ["one", "two", "three"].map(fixture);
    let (_folder, shown) = shown(&folders, "runs");
    let over = |marks: fn(&[serde_json::Value], &str) -> Marks| -> Marks {
        let of = |folder: &PathBuf| {
            marks(&events(folder), folder.file_name().unwrap().to_str().unwrap())
        };
        folders.iter().flat_map(of).collect()
    };
    compare_all(
        &shown,
        vec![
            ("accuracy", over(expected::accuracy)),
            ("worst", over(expected::worst)),
            ("loss", over(|events, name| expected::loss(events, false, name))),
            (
                "aggregation-error",
                over(|events, name| expected::metric(events, "aggregation_error", 100.0, name)),
            ),
        ],
    );
}

#[test]
#[ignore = "needs Chromium"]
fn a_run_under_faults() {
    let folder = fixture("faults");
    let all = events(&folder);
    let (_folder, shown) = shown(&[folder], "faults");
    compare(&shown.marks("client-accuracy"), expected::clients(&all), "client-accuracy");
    let failed = of_kind(&all, "client_failed").count();
    assert!(failed > 0);
    let text =
        shown.json("JSON.stringify(document.querySelector('#failures figcaption').textContent)");
    assert!(text.as_str().unwrap().contains(&format!("{failed} replies left out")), "{text}");
    for word in ["failed", "late", "refused"] {
        let expected = of_kind(&all, "client_failed").filter(|it| it["reason"] == word).count();
        let marks = shown.marks("failures");
        let sum: f64 =
            marks.iter().filter(|it| it[0] == word).map(|it| it[2].parse::<f64>().unwrap()).sum();
        assert_eq!(sum as usize, expected, "{word}: {marks:?}");
    }
}

#[test]
#[ignore = "needs Chromium"]
fn a_run_with_a_budget() {
    let folder = fixture("private");
    let events = events(&folder);
    let (_folder, shown) = shown(&[folder], "private");
    compare(
        &shown.marks("epsilon"),
        expected::metric(&events, "epsilon", 1.0, "epsilon"),
        "epsilon",
    );
}

#[test]
#[ignore = "needs Chromium"]
fn a_sweep() {
    let (_folder, shown) = shown(&[fixture("sweep")], "sweep");
    // Two rates, two ranks: a point for each of the four rows.
    assert_eq!(shown.marks("sweep").len(), 4);
    // Round 0 and two rounds of four rows.
    assert_eq!(shown.marks("accuracy").len(), 4 * 3);
    let runs = shown.number("document.querySelectorAll('#runs tbody tr').length");
    assert_eq!(runs, 8.0);
    let tables = shown.number("document.querySelectorAll('#tables table').length");
    assert!(tables >= 4.0, "{tables}");
}

/// Names of clients, classes, files and the experiment that try to be more than names.
#[test]
#[ignore = "needs Chromium"]
fn hostile_names_stay_names() {
    const EVIL: &str = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>]]>'\"&\\u0007";
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture("one"), folder.path());
    fs::remove_file(folder.path().join("run.json")).unwrap();
    let evil = EVIL.replace('"', "\\\"");
    for name in ["metrics.jsonl", "partition.json", "experiment.toml"] {
        let file = folder.path().join(name);
        let text = fs::read_to_string(&file).unwrap();
        let text = text.replace("\"fluent-emoji\"", &format!("\"{evil}\""));
        let text = text.replace("\"bird\"", &format!("\"bird {evil}\""));
        fs::write(file, text.replace("name = \"quickstart\"", &format!("name = \"{evil}\"")))
            .unwrap();
    }
    for name in ["predictions.csv", "predictions-before.csv"] {
        let file = folder.path().join(name);
        let text = fs::read_to_string(&file).unwrap();
        let quoted = EVIL.replace('"', "\"\"");
        let text = text.replace(",p(mammal)", &format!(",\"p(mammal{quoted})\""));
        // Twice: one match ends where the next one begins.
        let replace = |text: String| text.replace(",mammal,", &format!(",\"mammal{quoted}\","));
        fs::write(file, replace(replace(text))).unwrap();
    }
    let (_folder, shown) = shown(&[folder.path().to_owned()], "hostile");
    let title = shown.tab.get_title().unwrap();
    assert!(title.contains("<script>"), "the name is shown as it is: {title}");
    assert_eq!(shown.number("document.scripts.length"), 0.0);
    assert_eq!(shown.number("document.querySelectorAll('[onerror]').length"), 0.0);
    let confused = shown.marks("confusion");
    assert!(confused.iter().any(|it| it[0].contains("onerror")), "{confused:?}");
    let names = shown.marks("client-accuracy");
    assert!(names.iter().any(|it| it[0].contains("onerror")), "{names:?}");
}

/// By keyboard alone.
#[test]
#[ignore = "needs Chromium"]
fn a_keyboard_reaches_everything() {
    let (_folder, shown) = shown(&[fixture("one")], "keyboard");
    shown.look(1440, 900, "light");
    let focused = || {
        shown.json(
            "JSON.stringify([document.activeElement.tagName, document.activeElement.className])",
        )
    };
    shown.tab.press_key("Tab").unwrap();
    assert_eq!(focused(), serde_json::json!(["A", "skip"]));
    let top = shown.number("document.activeElement.getBoundingClientRect().top");
    assert!(top >= 0.0, "the link to the report is seen when it has the focus: {top}");
    shown.tab.press_key("Enter").unwrap();
    assert_eq!(focused(), serde_json::json!(["MAIN", ""]));
    // The next stops are the numbers of charts, which Enter opens.
    for _ in 0..20 {
        shown.tab.press_key("Tab").unwrap();
        if focused()[0] == "SUMMARY" {
            break;
        }
    }
    assert_eq!(focused()[0], "SUMMARY");
    let outline =
        shown.json("JSON.stringify(getComputedStyle(document.activeElement).outlineStyle)");
    assert_eq!(outline, "solid", "the focus is seen");
    let open = || shown.number("document.querySelectorAll('details[open]').length");
    let before = open();
    shown.tab.press_key("Enter").unwrap();
    assert_eq!(open(), before + 1.0);
    shown.tab.press_key("Tab").unwrap();
    assert_eq!(focused()[1], "scroll", "its table can be scrolled");
}

pub(crate) fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// The checks of the other tests notice a page that is wrong.
#[test]
#[ignore = "needs Chromium"]
fn a_faulty_page_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    let html = page::render(&[fixture("three")]).unwrap();
    let problems = |html: String| {
        fs::write(&file, html).unwrap();
        let shown = Shown::open_file(&file);
        shown.look(390, 900, "light");
        let audit = std::panic::AssertUnwindSafe(|| shown.audit("faulty"));
        let panic = std::panic::catch_unwind(audit).expect_err("nothing was noticed");
        panic.downcast_ref::<String>().unwrap().clone()
    };
    for (from, to, problem) in [
        ("</main>", "<script>console.log(1)</script></main>", "the console says"),
        ("</main>", "<img alt=\"x\" src=\"https://example.com/x.png\"></main>", "a broken image"),
        ("<caption>", "<caption hidden></caption><caption>", "a chart without its table"),
        ("role=\"img\"", "", "a chart without a role"),
        ("<main id=\"main\"", "<main id=\"progress\"", "ids twice"),
    ] {
        assert!(html.contains(from), "{from}");
        let noticed = problems(html.replace(from, to));
        assert!(noticed.contains(problem), "{to}: {noticed}");
    }
}
