use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Check, Credentials, Verdict, examine, host, is_local};
use crate::{LinkConfig, NodeKey};

/// Answers to requests by the beginning of their path: status, content type and body. Flower's answers are those of
/// 1.42.0.
type Answers = &'static [(&'static str, &'static str, &'static str)];

const FLEET: (&str, &str, &str) = (
    "/v1/fleet/send-node-heartbeat",
    "401 Unauthorized",
    r#"{"detail":"Invalid SuperNode authentication"}"#,
);
const KNOWN: (&str, &str, &str) = (
    "/v1/fleet/activate-node",
    "400 Bad Request",
    r#"{"code":2003,"detail":"Invalid heartbeat interval."}"#,
);
const UNKNOWN: (&str, &str, &str) = (
    "/v1/fleet/activate-node",
    "412 Precondition Failed",
    r#"{"code":2004,"detail":"Failed to activate SuperNode."}"#,
);
const RUNTIME: (&str, &str, &str) = (
    "/v1/runtime/get-nodes",
    "412 Precondition Failed",
    r#"{"code":1001,"detail":"Runtime version compatibility check failed.","extra":"SuperLink version 1.42.0 detected a runtime version mismatch: expected a peer from the same major.minor release, but received SuperExec version 0.0.1."}"#,
);
const CONTROL: (&str, &str, &str) =
    ("/v1/control/list-runs", "404 Not Found", r#"{"code":16,"detail":"Run ID not found."}"#);

/// A server with these answers, and with this date in its header.
fn server(answers: Answers, date: Option<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut first, mut length) = (String::new(), 0);
            stream.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                let line = line.trim().to_lowercase();
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
            }
            stream.read_exact(&mut vec![0; length]).unwrap();
            let path = first.split(' ').nth(1).unwrap();
            let found = answers.iter().find(|(begin, ..)| path.starts_with(begin));
            let (_, status, body) =
                found.copied().unwrap_or(("", "404 Not Found", "<html>no</html>"));
            let date = date.as_ref().map_or(String::new(), |date| format!("date: {date}\r\n"));
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\n{date}content-type: application/json\r\nconnection: close\r\ncontent-length: \
                 {length}\r\n\r\n{body}"
            );
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    url
}

fn date(seconds: i64) -> Option<String> {
    let time = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    Some(jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap())
}

fn examined(url: &str) -> Vec<Check> {
    let key = Arc::new(NodeKey::generate().unwrap());
    let credentials = Credentials { key, public_key: Path::new("node.key.pub") };
    let config = LinkConfig { patience: Duration::ZERO, ..LinkConfig::new(url) };
    examine(&config, Some(&credentials))
}

fn check<'a>(checks: &'a [Check], name: &str) -> &'a Check {
    checks.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("{name}: {checks:?}"))
}

#[test]
fn a_superlink_in_order() {
    let url = server(&[FLEET, KNOWN, RUNTIME, CONTROL], date(0));
    let checks = examined(&url);
    assert!(checks.iter().all(|check| check.verdict == Verdict::Ok), "{checks:?}");
    let names: Vec<_> = checks.iter().map(|check| check.name).collect();
    let all = ["superlink", "encryption", "clock", "node key", "control", "runtime", "version"];
    assert_eq!(names, all);
    assert!(check(&checks, "node key").found.ends_with("is registered"));
    assert_eq!(check(&checks, "version").found, "Flower 1.42.0");
    assert!(check(&checks, "control").found.contains("is open to this machine"));
}

#[test]
fn a_proxy_that_closes_what_it_should() {
    let checks = examined(&server(&[FLEET, UNKNOWN], date(0)));
    assert!(check(&checks, "control").found.contains("is closed (HTTP 404)"));
    assert!(check(&checks, "runtime").found.contains("is closed (HTTP 404)"));
    let key = check(&checks, "node key");
    assert_eq!(key.verdict, Verdict::Warning);
    assert!(key.remedy.as_ref().unwrap().contains("flwr supernode register node.key.pub"));
}

#[test]
fn open_services_and_plain_http_are_told_where_others_may_come() {
    for (url, local) in [
        ("http://localhost:8000", true),
        ("http://127.0.0.2", true),
        ("http://[::1]:8000/x", true),
        ("https://fl.example.org", false),
        ("http://192.168.0.7:8000", false),
    ] {
        assert_eq!(is_local(url), local, "{url}");
    }
    assert_eq!(host("https://fl.example.org:8443/flower"), "fl.example.org");
}

#[test]
fn clocks() {
    for (seconds, verdict) in [
        (0, Verdict::Ok),
        (20, Verdict::Ok),
        (120, Verdict::Warning),
        (-600, Verdict::Failed),
        (600, Verdict::Failed),
    ] {
        let checks = examined(&server(&[FLEET, KNOWN], date(seconds)));
        assert_eq!(check(&checks, "clock").verdict, verdict, "{seconds}: {checks:?}");
    }
    let checks = examined(&server(&[FLEET, KNOWN], date(-600)));
    assert!(check(&checks, "clock").remedy.as_ref().unwrap().contains("600 s ahead of"));
    let checks = examined(&server(&[FLEET, KNOWN], None));
    assert_eq!(check(&checks, "clock").verdict, Verdict::Warning);
}

#[test]
fn something_else_answers() {
    let fails = |answers: Answers, words: &str| {
        let checks = examined(&server(answers, date(0)));
        let first = &checks[0];
        assert_eq!((first.name, first.verdict), ("superlink", Verdict::Failed));
        assert!(first.found.contains(words), "{first:?}");
        assert!(first.remedy.is_some());
        // No further requests were made.
        assert!(checks.len() <= 2, "{checks:?}");
    };
    fails(&[], "a web server answers");
    fails(&[("/", "200 OK", "hello")], "not answer as a SuperLink does (HTTP 200)");
    fails(&[("/", "401 Unauthorized", "<html>")], "name and password");
    fails(&[("/", "502 Bad Gateway", "<html>")], "cannot reach the SuperLink");
    fails(&[("/", "301 Moved Permanently", "")], "redirects");
    fails(&[("/", "404 Not Found", r#"{"detail":"Not Found"}"#)], "lacks Flower's Fleet");
}

#[test]
fn nobody_answers() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let checks = examined(&format!("http://{free}"));
    assert_eq!(checks.len(), 1, "{checks:?}");
    assert!(checks[0].remedy.as_ref().unwrap().contains("Nothing listens on this port"));
    let checks = examined("fl.example.org");
    assert!(checks[0].found.contains("does not begin with"), "{checks:?}");
}
