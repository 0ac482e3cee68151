//! Pages without a browser: what is in them, what they refuse, and their server.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
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
    const EVIL: &str = "</style></svg><script>alert(1)</script>]]>\\\"'&";
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
    }
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

/// A server on its own thread.
struct Watched {
    port: u16,
    stop: Arc<AtomicBool>,
    server: thread::JoinHandle<Result<(), flora_report::ReportError>>,
}

impl Watched {
    fn start(folder: PathBuf) -> Self {
        let (told, url) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let server = thread::spawn(move || {
            let started = |url: &str| told.send(url.to_owned()).unwrap();
            page::serve(&[folder], 0, started, || stopped.load(Ordering::SeqCst))
        });
        let url = url.recv_timeout(Duration::from_secs(30)).unwrap();
        let port = url.strip_prefix("http://127.0.0.1:").and_then(|it| it.strip_suffix('/'));
        Self { port: port.expect("an address of this machine").parse().unwrap(), stop, server }
    }

    /// The answer to a request with these lines; PORT stands for the port.
    fn ask(&self, lines: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = lines.replace("PORT", &self.port.to_string()).replace('\n', "\r\n");
        write!(stream, "{request}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

#[test]
fn the_server_shows_the_page_to_this_machine_alone() {
    let folder = tempfile::tempdir().unwrap();
    copy(&fixture("three"), folder.path());
    let watched = Watched::start(folder.path().to_owned());
    let page = watched.ask("GET / HTTP/1.1\nHost: 127.0.0.1:PORT");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    for header in [
        "Content-Type: text/html; charset=utf-8",
        "frame-ancestors 'none'",
        "connect-src 'self'",
        "X-Content-Type-Options: nosniff",
        "Cache-Control: no-store",
    ] {
        assert!(page.contains(header), "{header}");
    }
    let version = |watched: &Watched| {
        let answer = watched.ask("GET /version HTTP/1.1\nHost: LOCALHOST:PORT");
        answer.rsplit("\r\n\r\n").next().unwrap().to_owned()
    };
    let first = version(&watched);
    assert!(page.contains(&format!("<body data-version=\"{first}\">")), "{first}");
    for (request, status) in [
        // A name from elsewhere that was made to point here.
        ("GET / HTTP/1.1\nHost: evil.example:PORT", 421),
        ("GET /version HTTP/1.1\nHost: 127.0.0.1.evil.example:PORT", 421),
        ("GET / HTTP/1.1\nHost: 127.0.0.1:1", 421),
        ("GET / HTTP/1.1\nHost: 127.0.0.1", 421),
        ("GET / HTTP/1.1\nHost: 127.0.0.1:PORT\nHost: evil.example:PORT", 421),
        ("GET / HTTP/1.1\nX-Host: 127.0.0.1:PORT", 421),
        ("POST / HTTP/1.1\nHost: 127.0.0.1:PORT", 405),
        ("DELETE / HTTP/1.1\nHost: 127.0.0.1:PORT", 405),
        ("GET /../run.json HTTP/1.1\nHost: 127.0.0.1:PORT", 404),
        ("GET /metrics.jsonl HTTP/1.1\nHost: 127.0.0.1:PORT", 404),
    ] {
        let answer = watched.ask(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
        assert!(!answer.contains("quickstart"), "{request}: {answer}");
    }
    // Another file, another page.
    fs::remove_file(folder.path().join("partition.json")).unwrap();
    assert_ne!(version(&watched), first);
    let page = watched.ask("GET / HTTP/1.1\nHost: localhost:PORT");
    assert!(page.contains("id=\"accuracy\"") && !page.contains("id=\"partition\""));
    // A run that is gone is told, and one that comes back is shown.
    fs::rename(folder.path().join("metrics.jsonl"), folder.path().join("away")).unwrap();
    let page = watched.ask("GET / HTTP/1.1\nHost: localhost:PORT");
    assert!(page.starts_with("HTTP/1.1 503") && page.contains("holds no run"), "{page}");
    fs::rename(folder.path().join("away"), folder.path().join("metrics.jsonl")).unwrap();
    assert!(watched.ask("GET / HTTP/1.1\nHost: localhost:PORT").starts_with("HTTP/1.1 200"));

    let begun = Instant::now();
    watched.stop.store(true, Ordering::SeqCst);
    watched.server.join().unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "it ends when it is asked to");
}

/// Not even if they send less than they announced, or do not read what they asked for.
#[test]
fn slow_clients_keep_neither_others_nor_the_end_waiting() {
    let watched = Watched::start(fixture("three"));
    let begin = |request: &str, header: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", watched.port)).unwrap();
        let host = format!("Host: 127.0.0.1:{}", watched.port);
        write!(stream, "{request} / HTTP/1.1\r\n{host}\r\n{header}\r\n\r\n").unwrap();
        stream
    };
    let post = |length: &str| begin("POST", &format!("Content-Length: {length}"));
    let waiting = [post("4000"), post("1000000000000000000"), post("18446744073709551615")];
    // What does not fit into the buffers of a connection.
    let mut many = begin("GET", "Accept: */*");
    for _ in 0..200 {
        let request = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", watched.port);
        many.write_all(request.as_bytes()).unwrap();
    }
    let (told, answer) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| told.send(watched.ask("GET / HTTP/1.1\nHost: localhost:PORT")).unwrap());
        let answer = answer.recv_timeout(Duration::from_secs(90));
        // Ends the wait of a server that fails the test.
        drop((waiting, many));
        assert!(answer.expect("an answer").starts_with("HTTP/1.1 200"));
    });
    watched.stop.store(true, Ordering::SeqCst);
    watched.server.join().unwrap().unwrap();
}

#[test]
fn a_port_that_is_taken_and_a_folder_that_is_no_run_are_told_at_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let serve = |folder: PathBuf, port| {
        let started = |url: &str| panic!("it has started: {url}");
        page::serve(&[folder], port, started, || true).unwrap_err().to_string()
    };
    let error = serve(fixture("one"), port);
    assert!(error.contains(&format!("port {port}")) && error.contains("choose another"), "{error}");
    assert!(serve(fixture("absent"), 0).contains("holds no run"));
}
