//! A connection and the answers it may receive.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use flora_federation::Stop;
use flora_flower::services::{AcquiredTask, ControlService, FleetService, RuntimeService};
use flora_flower::wire::fleet::NodeId;
use flora_flower::wire::runtime::{AcquireTaskResponse, Task};
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

/// An answer with this status and without Flower's number for a reason.
fn busy(status: &str) -> (String, Vec<u8>) {
    (format!("{status}\r\ncontent-type: application/json\r\n"), br#"{"detail":"later"}"#.to_vec())
}

#[test]
fn what_may_pass_is_waited_for() {
    let answers = ["429 Too Many Requests", "500 Internal Server Error", "408 Request Timeout"];
    let answers = answers.into_iter().map(busy).chain([found(7)]).collect();
    let (url, asked) = server(answers);
    assert_eq!(fleet(&url).register().unwrap(), 7);
    assert_eq!(asked.lock().unwrap().len(), 4);
    // Errors with Flower's number are final.
    let (url, asked) = server(vec![error("500 Internal Server Error", 9, "no"), found(7)]);
    assert!(fleet(&url).register().unwrap_err().is_refused());
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn what_does_not_pass_is_told_in_the_end() {
    let impatient = |status: &str| {
        let (url, _) = server(vec![busy(status)]);
        ControlService::new(link(&url, Duration::ZERO)).runs().unwrap_err()
    };
    let full = impatient("507 Insufficient Storage");
    assert!(full.is_refused() && full.to_string().contains("HTTP 507): later"), "{full}");
    assert!(impatient("429 Too Many Requests").is_refused());
    assert!(impatient("502 Bad Gateway").is_unreachable());
}

/// Answers one request piece by piece, with pauses before each.
fn slow_server(pieces: Vec<Vec<u8>>, pause: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        for piece in pieces {
            thread::sleep(pause);
            if stream.write_all(&piece).is_err() {
                return;
            }
        }
    });
    url
}

#[test]
fn a_slow_line_is_none_that_is_dead() {
    const TIMEOUT: Duration = Duration::from_millis(1500);
    let (head, body) = found(7);
    let head = format!("HTTP/1.1 {head}content-length: {}\r\n\r\n", body.len()).into_bytes();
    let pieces = || std::iter::once(head.clone()).chain(body.iter().map(|&byte| vec![byte]));
    let runs = |pause| {
        let url = slow_server(pieces().collect(), pause);
        let config =
            LinkConfig { patience: Duration::ZERO, timeout: TIMEOUT, ..LinkConfig::new(&url) };
        let key = Arc::new(NodeKey::generate().unwrap());
        FleetService::new(Link::new(&config, Stop::default()).unwrap(), key).register()
    };
    let began = Instant::now();
    assert_eq!(runs(TIMEOUT / 3).unwrap(), 7);
    assert!(began.elapsed() > TIMEOUT);
    let dead = runs(TIMEOUT * 20).unwrap_err();
    assert!(dead.is_unreachable() && dead.to_string().contains("timeout"), "{dead}");
}

#[test]
fn a_log_line_does_not_hold_up_a_run() {
    let task = Some(Task { run_id: 5, ..Task::default() });
    let task = AcquireTaskResponse { task, token: "t".to_owned() }.encode_to_vec();
    let unready = || ("503 Service Unavailable\r\n".to_owned(), Vec::new());
    let (url, asked) = server(vec![(format!("200 OK\r\n{PROTOBUF}"), task), unready(), unready()]);
    let link = link(&url, Duration::from_secs(20));
    let AcquiredTask { service, run_id } =
        RuntimeService::acquire(&link, None, None).unwrap().unwrap();
    assert_eq!(run_id, 5);
    let began = Instant::now();
    let error = service.push_logs(vec!["line\n".to_owned()]).unwrap_err();
    assert!(error.is_unreachable(), "{error}");
    assert!(began.elapsed() < Duration::from_secs(15));
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1].0, "/v1/runtime/push-logs");
    assert!(asked[1].1.contains("flwr-task-token: t"));
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
    assert!(began.elapsed() < Duration::from_secs(15));
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
    // A SuperLink that refuses its own version, or names another one each time, is not asked for ever.
    let other = detail.replace("1.42.0", "1.41.0");
    let tells = |detail: &str| error("412 Precondition Failed", 1001, detail);
    for second in [detail, &other] {
        let (url, asked) = server(vec![tells(detail), tells(second), found(3)]);
        assert!(fleet(&url).register().unwrap_err().is_refused());
        assert_eq!(asked.lock().unwrap().len(), 2);
    }
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
    // Control characters are escaped.
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
