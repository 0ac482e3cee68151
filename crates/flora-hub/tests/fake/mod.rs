//! A hub on a thread, with the part of HTTP that the tests need, which can misbehave.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sha2::{Digest, Sha256};

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// How the hub treats one request for a file.
#[derive(Clone, Copy)]
pub(crate) enum Mishap {
    /// The connection breaks after so many bytes of the body.
    Cut(usize),
    /// Nothing more is sent after so many bytes, but the connection stays.
    Silence(usize),
    /// This status, without a body.
    Status(u16),
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Answer every request like this.
    pub(crate) status: Option<(u16, &'static str)>,
    /// One for each of the next requests for weights.
    pub(crate) mishaps: VecDeque<Mishap>,
    pub(crate) ignore_ranges: bool,
    /// Claim that a part begins one byte later than requested.
    pub(crate) shift_ranges: bool,
    /// Send these bytes instead of a file's.
    pub(crate) forged: BTreeMap<String, Vec<u8>>,
    /// List names only, as a simple mirror does.
    pub(crate) bare_listing: bool,
    /// The whole answer to a request for the listing.
    pub(crate) listing: Option<String>,
    pub(crate) requests: Vec<Request>,
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
}

pub(crate) struct FakeHub {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl FakeHub {
    /// A hub with one repository, `ada/clip`, that has these files; `.safetensors` and `.bin` are in LFS.
    pub(crate) fn new(files: &[(&str, &[u8])]) -> Self {
        let files =
            files.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect();
        let state = Arc::new(Mutex::new(State { files, ..State::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::clone(&state);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || drop(serve(stream.unwrap(), &shared, port)));
            }
        });
        Self { port, state }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The requests since the last call.
    pub(crate) fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state().requests)
    }
}

fn is_lfs(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".bin")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn serve(stream: TcpStream, state: &Mutex<State>, port: u16) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
            None => break,
        };
    }
    let request = Request { path: path.clone(), headers };
    let mut state = state.lock().unwrap();
    state.requests.push(request.clone());
    let (status, code) = state.status.unwrap_or_default();
    if status != 0 {
        return answer(stream, status, &[("x-error-code", code)], b"", None);
    }
    let file = format!("/ada/clip/resolve/{COMMIT}/");
    if path == "/api/models/ada/clip/revision/main?blobs=true" {
        let listing = state.listing.clone().unwrap_or_else(|| listing(&state));
        drop(state);
        answer(stream, 200, &[], listing.as_bytes(), None)
    } else if let Some(name) = path.strip_prefix(&file).filter(|name| is_lfs(name)) {
        // Another host, in the eyes of a client.
        let location = format!("http://localhost:{port}/cdn/{name}");
        drop(state);
        answer(stream, 302, &[("location", &location)], b"", None)
    } else if let Some(name) = path.strip_prefix(&file).or(path.strip_prefix("/cdn/")) {
        let Some(content) = state.forged.get(name).or(state.files.get(name)).cloned() else {
            drop(state);
            return answer(stream, 404, &[], b"", None);
        };
        let mishap = if is_lfs(name) { state.mishaps.pop_front() } else { None };
        let ignore_ranges = state.ignore_ranges;
        let shift = usize::from(state.shift_ranges);
        drop(state);
        if let Some(Mishap::Status(status)) = mishap {
            return answer(stream, status, &[], b"", None);
        }
        let range = request.headers.get("range").filter(|_| !ignore_ranges);
        let Some(range) = range else {
            return answer(stream, 200, &[], &content, mishap);
        };
        let start: usize =
            range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
        if start >= content.len() {
            return answer(stream, 416, &[], b"", None);
        }
        let came = format!("bytes {}-{}/{}", start + shift, content.len() - 1, content.len());
        answer(stream, 206, &[("content-range", &came)], &content[start..], mishap)
    } else {
        drop(state);
        answer(stream, 404, &[("x-error-code", "RepoNotFound")], b"", None)
    }
}

fn listing(state: &State) -> String {
    let siblings: Vec<_> = state
        .files
        .iter()
        .map(|(name, content)| {
            if state.bare_listing {
                return serde_json::json!({ "rfilename": name });
            }
            let hash = hex(&Sha256::digest(content));
            let mut sibling = serde_json::json!({
                "rfilename": name, "size": content.len(), "blobId": hash[..40],
            });
            if is_lfs(name) {
                sibling["lfs"] = serde_json::json!({
                    "sha256": hash, "size": content.len(), "pointerSize": 134,
                });
            }
            sibling
        })
        .collect();
    serde_json::json!({ "id": "ada/clip", "sha": COMMIT, "siblings": siblings }).to_string()
}

fn answer(
    mut stream: TcpStream,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
    mishap: Option<Mishap>,
) -> std::io::Result<()> {
    let mut head =
        format!("HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    match mishap {
        Some(Mishap::Cut(length)) => stream.write_all(&body[..length])?,
        Some(Mishap::Silence(length)) => {
            stream.write_all(&body[..length])?;
            // Until the client goes, or the test is long over.
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            drop(stream.read(&mut [0]));
        }
        _ => stream.write_all(body)?,
    }
    Ok(())
}
