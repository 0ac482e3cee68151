//! What a connection does with what may answer it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use flora_federation::Stop;
use flora_flower::services::{ControlService, FleetService};
use flora_flower::wire::fleet::NodeId;
use flora_flower::{Link, LinkConfig, LinkError, NodeKey};
use prost::Message;

const PROTOBUF: &str = "content-type: application/protobuf\r\n";

/// A request as it came: its path, and its header fields in lower case.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// Answers each request with the next of `answers`: status line and header fields, and a body.
fn server(answers: Vec<(String, Vec<u8>)>) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Asked::default();
    let heard = Arc::clone(&asked);
    thread::spawn(move || {
        for (head, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut lines, mut length) = (Vec::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let line = line.trim().to_lowercase();
                if line.is_empty() {
                    break;
                }
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
                lines.push(line);
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            let path = lines[0].split(' ').nth(1).unwrap().to_owned();
            heard.lock().unwrap().push((path, lines.join("\n")));
            let length = body.len();
            let head =
                format!("HTTP/1.1 {head}content-length: {length}\r\nconnection: close\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
        }
    });
    (url, asked)
}

fn error(status: &str, code: u32, detail: &str) -> (String, Vec<u8>) {
    let body = format!(r#"{{"code":{code},"detail":"{detail}"}}"#);
    (format!("{status}\r\ncontent-type: application/json\r\n"), body.into_bytes())
}

fn found(node_id: u64) -> (String, Vec<u8>) {
    (format!("200 OK\r\n{PROTOBUF}"), NodeId { node_id }.encode_to_vec())
}

fn link(url: &str, patience: Duration) -> Link {
    Link::new(&LinkConfig { patience, ..LinkConfig::new(url) }, Stop::default()).unwrap()
}

fn fleet(url: &str) -> FleetService {
    let key = Arc::new(NodeKey::generate().unwrap());
    FleetService::new(link(url, Duration::from_secs(20)), key)
}

fn refusal(answer: (String, Vec<u8>)) -> LinkError {
    let (url, _) = server(vec![answer]);
    fleet(&url).register().unwrap_err()
}

#[test]
fn a_superlink_that_is_restarted_is_asked_again() {
    let unready = ("503 Service Unavailable\r\n".to_owned(), Vec::new());
    let (url, asked) = server(vec![unready, found(7)]);
    assert_eq!(fleet(&url).register().unwrap(), 7);
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|(path, _)| path == "/v1/fleet/register-node"));
    // Signed anew, each time: a signature holds for minutes only.
    let time = |at: usize| {
        let (_, head) = &asked[at];
        head.lines().find(|line| line.starts_with("flwr-timestamp: ")).unwrap().to_owned()
    };
    assert_ne!(time(0), time(1));
    assert!(time(0).ends_with("+00:00"), "{}", time(0));
}

#[test]
fn nobody_is_asked_for_ever() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let began = Instant::now();
    let link = link(&url, Duration::from_millis(700));
    let error = ControlService::new(link).runs().unwrap_err();
    assert!(error.is_unreachable() && error.to_string().contains(&url), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn whoever_stops_does_not_wait() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let stop = Stop::default();
    stop.raise();
    let config = LinkConfig::new(format!("http://127.0.0.1:{port}"));
    let error = ControlService::new(Link::new(&config, stop).unwrap()).runs().unwrap_err();
    assert!(matches!(error, LinkError::Stopped { .. }), "{error}");
}

#[test]
fn a_superlink_that_wants_its_version_named_gets_it_once() {
    let detail = "client flwr unknown is not compatible with server flwr 1.42.0";
    let (url, asked) = server(vec![error("412 Precondition Failed", 1001, detail), found(3)]);
    assert_eq!(fleet(&url).register().unwrap(), 3);
    let (_, head) = &asked.lock().unwrap()[1];
    assert!(head.contains("flwr-package-version: 1.42.0"), "{head}");
    // One that is not content with its own version is not asked for ever.
    let again = || error("412 Precondition Failed", 1001, detail);
    let (url, _) = server(vec![again(), again()]);
    assert!(fleet(&url).register().unwrap_err().is_refused());
}

#[test]
fn refusals_say_what_to_do() {
    let closed = refusal(error("412 Precondition Failed", 2001, "registration is disabled"));
    assert!(closed.is_registration_closed() && closed.to_string().contains("disabled"), "{closed}");
    assert!(refusal(error("403 Forbidden", 2007, "not running")).is_run_over());
    let old = "401 Unauthorized\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n".to_owned();
    let clock = refusal((old, br#"{"code":1008,"detail":"denied"}"#.to_vec()));
    assert!(clock.to_string().contains("clock"), "{clock}");
    let unknown = refusal(("404 Not Found\r\n".to_owned(), b"<html>".to_vec()));
    assert!(unknown.to_string().contains("/v1/fleet"), "{unknown}");
    let tls = b"<html>The plain HTTP request was sent to HTTPS port</html>".to_vec();
    let tls = refusal(("400 Bad Request\r\n".to_owned(), tls));
    assert!(tls.to_string().contains("https://"), "{tls}");
    let elsewhere = refusal(("302 Found\r\nlocation: http://evil/\r\n".to_owned(), Vec::new()));
    assert!(elsewhere.to_string().contains("redirect"), "{elsewhere}");
    // What a terminal would obey is written out.
    let evil = refusal(error("500 Internal Server Error", 9, "\\u001b[2J"));
    assert!(!evil.to_string().contains('\u{1b}'), "{evil}");
}

#[test]
fn what_is_no_superlink_is_told_from_one() {
    let page = ("200 OK\r\ncontent-type: text/html\r\n".to_owned(), b"<html>".to_vec());
    assert!(matches!(refusal(page), LinkError::Unreadable { .. }));
    let garbage = (format!("200 OK\r\n{PROTOBUF}"), vec![0xff; 20]);
    assert!(matches!(refusal(garbage), LinkError::Unreadable { .. }));
    let huge = (format!("200 OK\r\n{PROTOBUF}"), vec![0; 65 << 20]);
    let huge = refusal(huge);
    assert!(matches!(huge, LinkError::Unreadable { .. } | LinkError::Unreachable { .. }), "{huge}");
}

#[test]
fn certificates_are_checked_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text, words) in [
        ("empty.pem", "", "no certificate"),
        ("text.pem", "hello", "no certificate"),
        (
            "key.pem",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "private key",
        ),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let config =
            LinkConfig { root_certificates: Some(path), ..LinkConfig::new("https://127.0.0.1:1") };
        let error = Link::new(&config, Stop::default()).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(words), "{error}");
    }
    let config = LinkConfig {
        root_certificates: Some("/no/such/ca.pem".into()),
        ..LinkConfig::new("https://127.0.0.1:1")
    };
    let error = Link::new(&config, Stop::default()).unwrap_err().to_string();
    assert!(error.contains("/no/such/ca.pem"), "{error}");
}
