//! One request of a connection, and its answer: all of HTTP/1.1 that the server of `flora watch` needs. The head is
//! parsed by `httparse`. Every client has the same few seconds, whatever it sends or leaves unread.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

/// The time for a request, and for the client to take a part of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest head of a request.
const MOST_HEAD: usize = 16 << 10;
const MOST_HEADERS: usize = 64;
/// What is read of a body, so that the client gets its answer before the connection ends.
const MOST_BODY: u64 = 64 << 10;

/// The first line of a request, and its `Host` if there is exactly one.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) host: Option<&'a str>,
}

pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) text: Arc<str>,
}

/// Reads a request, answers it, and ends the connection. A client that has gone is no trouble.
pub(super) fn answer(mut stream: TcpStream, respond: impl FnOnce(&Request<'_>) -> Response) {
    let _ = try_answer(&mut stream, respond);
}

fn try_answer(
    stream: &mut TcpStream,
    respond: impl FnOnce(&Request<'_>) -> Response,
) -> io::Result<()> {
    // Not inherited from the listener everywhere.
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let end = Instant::now() + PATIENCE;
    let mut head = Vec::new();
    let response = loop {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        match parsed.parse(&head) {
            Ok(httparse::Status::Complete(_)) => {
                let hosts = parsed.headers.iter().filter(|it| it.name.eq_ignore_ascii_case("host"));
                let hosts: Vec<&[u8]> = hosts.map(|header| header.value).collect();
                let host = match hosts[..] {
                    [host] => str::from_utf8(host).ok(),
                    _ => None,
                };
                let (method, target) = (parsed.method.unwrap_or(""), parsed.path.unwrap_or(""));
                break respond(&Request { method, target, host });
            }
            Ok(httparse::Status::Partial) if head.len() < MOST_HEAD => {}
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                break refused(431, "The head of the request is too long.");
            }
            Err(error) => break refused(400, &format!("This is no HTTP request: {error}.")),
        }
        let mut part = [0; 4096];
        let count = read(stream, &mut part, end)?;
        if count == 0 {
            return Ok(());
        }
        head.extend_from_slice(&part[..count]);
    };
    write(stream, &response)?;
    // Bytes that are not read would make the system discard what the client has not received yet.
    stream.shutdown(Shutdown::Write)?;
    let (mut part, mut left) = ([0; 4096], MOST_BODY);
    while left > 0 {
        let count = read(stream, &mut part, end)?;
        if count == 0 {
            break;
        }
        left = left.saturating_sub(count as u64);
    }
    Ok(())
}

fn refused(status: u16, why: &str) -> Response {
    let headers = vec![("Content-Type", "text/plain; charset=utf-8".to_owned())];
    Response { status, headers, text: format!("{why}\n").into() }
}

fn read(stream: &mut TcpStream, part: &mut [u8], end: Instant) -> io::Result<usize> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    stream.set_read_timeout(Some(left))?;
    stream.read(part)
}

fn write(stream: &mut TcpStream, response: &Response) -> io::Result<()> {
    let Response { status, headers, text } = response;
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    };
    let mut head = format!("HTTP/1.1 {status} {reason}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", text.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(text.as_bytes())
}
