//! Requests with a timeout for silence.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use ureq::Body;
use ureq::http::{HeaderMap, Response};

const PIECE: usize = 64 << 10;
/// Pieces that may wait for the disk.
const AHEAD: usize = 16;

/// Why there is no answer.
pub(super) enum Failure {
    /// The network's fault: retrying may help.
    Connection(String),
    /// Not the network's fault.
    Protocol(String),
}

/// An answer whose body is still to come.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    pieces: Receiver<io::Result<Vec<u8>>>,
    stall: Duration,
}

/// Sends a request and waits for the header of the answer.
///
/// `ureq` can limit the time of a whole download, but not that of a silence in it. So the request has its own thread,
/// which is abandoned (and ends with its connection) if it delivers nothing for `stall`.
pub(super) fn send(
    stall: Duration,
    call: impl FnOnce() -> Result<Response<Body>, ureq::Error> + Send + 'static,
) -> Result<Answer, Failure> {
    let (head, heads) = sync_channel(1);
    let (piece, pieces) = sync_channel(AHEAD);
    let work = move || match call() {
        Err(error) => drop(head.send(Err(error))),
        Ok(response) => {
            let (parts, body) = response.into_parts();
            if head.send(Ok(parts)).is_err() {
                return;
            }
            let (mut body, mut buffer) = (body.into_reader(), vec![0; PIECE]);
            loop {
                let read = match body.read(&mut buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    read => read.map(|length| buffer[..length].to_vec()),
                };
                // An empty piece marks the end.
                let over = read.as_ref().map_or(true, Vec::is_empty);
                if piece.send(read).is_err() || over {
                    return;
                }
            }
        }
    };
    thread::Builder::new()
        .name("flora-hub".into())
        .spawn(work)
        .map_err(|error| Failure::Protocol(format!("no thread can be started: {error}")))?;
    match heads.recv_timeout(stall) {
        Ok(Ok(parts)) => {
            Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, pieces, stall })
        }
        Ok(Err(error)) => Err(failure(error)),
        Err(RecvTimeoutError::Timeout) => Err(Failure::Connection(silence(stall))),
        Err(RecvTimeoutError::Disconnected) => {
            Err(Failure::Protocol("the HTTP client gave up on the answer".into()))
        }
    }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The next piece, or `None` at the end of the body.
    pub(super) fn piece(&self) -> Result<Option<Vec<u8>>, String> {
        match self.pieces.recv_timeout(self.stall) {
            Ok(Ok(piece)) => Ok(Some(piece).filter(|piece| !piece.is_empty())),
            Ok(Err(error)) => Err(error.to_string()),
            Err(RecvTimeoutError::Timeout) => Err(silence(self.stall)),
            Err(RecvTimeoutError::Disconnected) => Err("the HTTP client gave up on it".into()),
        }
    }

    /// The whole body, unless it is longer than `limit`.
    pub(super) fn whole(&self, limit: usize) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece()? {
            body.extend(piece);
            if body.len() > limit {
                return Err(format!("it is longer than {limit} bytes"));
            }
        }
        Ok(body)
    }
}

fn silence(stall: Duration) -> String {
    format!("nothing came for {} s (HF_HUB_DOWNLOAD_TIMEOUT)", stall.as_secs_f32())
}

fn failure(error: ureq::Error) -> Failure {
    use ureq::Error as E;
    match error {
        E::HostNotFound => Failure::Connection("its name cannot be looked up (DNS)".into()),
        E::Io(error) => Failure::Connection(error.to_string()),
        E::ConnectionFailed
        | E::ConnectProxyFailed(_)
        | E::Timeout(_)
        | E::Tls(_)
        | E::Rustls(_) => Failure::Connection(error.to_string()),
        other => Failure::Protocol(format!("the request failed: {other}")),
    }
}
