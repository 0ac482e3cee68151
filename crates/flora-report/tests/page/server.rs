//! The server of `flora watch`.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use flora_report::page;

use crate::{copy, fixture};

/// A server on its own thread.
struct Watched {
    port: u16,
    token: String,
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
        let rest = url.strip_prefix("http://127.0.0.1:").expect("an address of this machine");
        let (port, token) = rest.split_once("/?token=").expect("a token");
        Self { port: port.parse().unwrap(), token: token.to_owned(), stop, server }
    }

    /// The answer to a request with these lines; PORT stands for the port, and TOKEN for the query with the token.
    fn ask(&self, lines: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = lines.replace("PORT", &self.port.to_string()).replace('\n', "\r\n");
        let request = request.replace("TOKEN", &format!("?token={}", self.token));
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
    let page = watched.ask("GET /TOKEN HTTP/1.1\nHost: 127.0.0.1:PORT");
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
        let answer = watched.ask("GET /versionTOKEN HTTP/1.1\nHost: LOCALHOST:PORT");
        answer.rsplit("\r\n\r\n").next().unwrap().to_owned()
    };
    let first = version(&watched);
    assert!(page.contains(&format!("<body data-version=\"{first}\">")), "{first}");
    for (request, status) in [
        // A name from elsewhere that was made to point here.
        ("GET /TOKEN HTTP/1.1\nHost: evil.example:PORT", 421),
        ("GET /versionTOKEN HTTP/1.1\nHost: 127.0.0.1.evil.example:PORT", 421),
        ("GET /TOKEN HTTP/1.1\nHost: 127.0.0.1:1", 421),
        ("GET /TOKEN HTTP/1.1\nHost: 127.0.0.1", 421),
        ("GET /TOKEN HTTP/1.1\nHost: 127.0.0.1:PORT\nHost: evil.example:PORT", 421),
        ("GET /TOKEN HTTP/1.1\nX-Host: 127.0.0.1:PORT", 421),
        ("POST /TOKEN HTTP/1.1\nHost: 127.0.0.1:PORT", 405),
        ("DELETE /TOKEN HTTP/1.1\nHost: 127.0.0.1:PORT", 405),
        ("GET /../run.jsonTOKEN HTTP/1.1\nHost: 127.0.0.1:PORT", 404),
        ("GET /metrics.jsonlTOKEN HTTP/1.1\nHost: 127.0.0.1:PORT", 404),
    ] {
        let answer = watched.ask(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
        assert!(!answer.contains("quickstart"), "{request}: {answer}");
    }
    // Another file, another page.
    fs::remove_file(folder.path().join("partition.json")).unwrap();
    assert_ne!(version(&watched), first);
    let page = watched.ask("GET /TOKEN HTTP/1.1\nHost: localhost:PORT");
    assert!(page.contains("id=\"accuracy\"") && !page.contains("id=\"partition\""));
    // A run that is gone is told, and one that comes back is shown.
    fs::rename(folder.path().join("metrics.jsonl"), folder.path().join("away")).unwrap();
    let page = watched.ask("GET /TOKEN HTTP/1.1\nHost: localhost:PORT");
    assert!(page.starts_with("HTTP/1.1 503") && page.contains("holds no run"), "{page}");
    fs::rename(folder.path().join("away"), folder.path().join("metrics.jsonl")).unwrap();
    assert!(watched.ask("GET /TOKEN HTTP/1.1\nHost: localhost:PORT").starts_with("HTTP/1.1 200"));

    let begun = Instant::now();
    watched.stop.store(true, Ordering::SeqCst);
    watched.server.join().unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "it ends when it is asked to");
}

#[test]
fn what_is_no_request_is_refused() {
    let watched = Watched::start(fixture("three"));
    let long = format!("GET / HTTP/1.1\nHost: 127.0.0.1:PORT\nX-Long: {}", "x".repeat(20_000));
    let many = format!("GET / HTTP/1.1\nHost: 127.0.0.1:PORT{}", "\nX-Many: 1".repeat(100));
    for (request, status) in
        [("\u{0}\u{1}", 400), ("GET / HTTP/9", 400), ("GET", 400), (&*long, 431), (&*many, 431)]
    {
        let answer = watched.ask(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {answer}");
    }
    watched.stop.store(true, Ordering::SeqCst);
    watched.server.join().unwrap().unwrap();
}

/// Other users of the machine can connect, but do not know the address.
#[test]
fn the_server_shows_nothing_without_the_token() {
    let watched = Watched::start(fixture("three"));
    let is_hex = |digit: char| digit.is_ascii_digit() || ('a'..='f').contains(&digit);
    assert!(watched.token.len() == 32 && watched.token.chars().all(is_hex), "{}", watched.token);
    let other = Watched::start(fixture("three"));
    assert_ne!(watched.token, other.token);
    let short = &watched.token[1..];
    for path in [
        "/",
        "/version",
        "/?token=",
        "/?token",
        "/absent",
        &format!("/?token={short}"),
        &format!("/?token=0{short}0"),
        &format!("/?token={}", other.token),
        &format!("/?key={}", watched.token),
        &format!("/{}", watched.token),
    ] {
        for method in ["GET", "POST"] {
            let request = format!("{method} {path} HTTP/1.1\nHost: 127.0.0.1:PORT");
            let answer = watched.ask(&request);
            assert!(answer.starts_with("HTTP/1.1 403"), "{request}: {answer}");
            assert!(answer.contains("open the whole address that `flora watch` has printed"));
            assert!(!answer.contains("quickstart") && !answer.contains(&watched.token));
        }
    }
    // Others that a browser or a person adds do not matter.
    for query in ["a=b&", ""] {
        let request = format!("GET /version?{query}token={}&c HTTP/1.1", watched.token);
        let answer = watched.ask(&format!("{request}\nHost: localhost:PORT"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{request}: {answer}");
    }
    for server in [watched, other] {
        server.stop.store(true, Ordering::SeqCst);
        server.server.join().unwrap().unwrap();
    }
}

/// Not even if they send less than they announced, or do not read what they asked for.
#[test]
fn slow_clients_keep_neither_others_nor_the_end_waiting() {
    let watched = Watched::start(fixture("three"));
    let begin = |request: &str, header: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", watched.port)).unwrap();
        let host = format!("Host: 127.0.0.1:{}", watched.port);
        let path = format!("/?token={}", watched.token);
        write!(stream, "{request} {path} HTTP/1.1\r\n{host}\r\n{header}\r\n\r\n").unwrap();
        stream
    };
    let post = |length: &str| begin("POST", &format!("Content-Length: {length}"));
    let waiting = [post("4000"), post("1000000000000000000"), post("18446744073709551615")];
    // More than there are threads of many servers, which have sent half a line or nothing.
    let silent: Vec<TcpStream> = (0..30)
        .map(|at| {
            let mut stream = TcpStream::connect(("127.0.0.1", watched.port)).unwrap();
            stream.write_all(&b"GET /"[..at % 6]).unwrap();
            stream
        })
        .collect();
    // What does not fit into the buffers of a connection.
    let mut many = begin("GET", "Accept: */*");
    for _ in 0..200 {
        let (port, token) = (watched.port, &watched.token);
        let request = format!("GET /?token={token} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
        // The server may have ended the connection.
        let _ = many.write_all(request.as_bytes());
    }
    let (told, answer) = mpsc::channel();
    thread::scope(|scope| {
        scope
            .spawn(|| told.send(watched.ask("GET /TOKEN HTTP/1.1\nHost: localhost:PORT")).unwrap());
        let answer = answer.recv_timeout(Duration::from_secs(5));
        // Ends the wait of a server that fails the test.
        drop((waiting, silent, many));
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
