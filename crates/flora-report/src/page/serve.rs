//! The server of `flora watch`: on this machine only, for those who know its address only, and read-only.

use std::{io, mem, net::Ipv4Addr, path::PathBuf, thread, time::Duration};

use flora_core::hex;
use sha2::{Digest, Sha256};
use tiny_http::{Header, Method, Request, Response, Server};

use super::{
    html::{Use, policy},
    page,
    versions::version,
};
use crate::ReportError;

/// The interval at which `stop` is called.
const PAUSE: Duration = Duration::from_millis(200);
/// A request that announces a longer body is left without an answer: `tiny_http` would reserve memory for all of it.
const MOST_BODY: usize = 64 << 10;
/// Of the token in the address; 128 bits cannot be guessed.
const TOKEN_BYTES: usize = 16;

/// Serves the page of a run, of several runs or of a sweep to browsers on this machine, until `stop` returns true. The
/// page is rendered again when files have changed, and open pages follow. Port 0 chooses a free one; `started` receives
/// the address, such as `http://127.0.0.1:37219/?token=5d0c...`.
///
/// The token is random, and new in each call. Requests without it are answered with status 403, so that other users of
/// this machine cannot read the report. Of the others, only GET requests whose `Host` names this machine are answered,
/// so that no other web page can read it by DNS rebinding.
///
/// # Errors
/// As [`render`](super::render) for the folders at the start, and [`ReportError::Serve`] if the port is taken or the
/// system has no random numbers. Later errors are sent as answers with status 503.
pub fn serve(
    folders: &[PathBuf],
    port: u16,
    started: impl FnOnce(&str),
    stop: impl Fn() -> bool,
) -> Result<(), ReportError> {
    // Invalid folders are refused before a browser is opened.
    page(folders)?;
    let refuse = |problem: String| ReportError::Serve { port, problem };
    let server = Server::http((Ipv4Addr::LOCALHOST, port)).map_err(|it| refuse(it.to_string()))?;
    let address = server.server_addr().to_ip().ok_or_else(|| refuse("it has no address".into()))?;
    let mut token = [0; TOKEN_BYTES];
    getrandom::fill(&mut token).map_err(|it| refuse(format!("no random numbers: {it}")))?;
    let token = hex::encode(&token);
    started(&format!("http://{address}/?token={token}"));
    let mut site = Site { folders, port: address.port(), token: digest(&token), shown: None };
    while !stop() {
        match server.recv_timeout(PAUSE) {
            Ok(Some(request)) => site.answer(request),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(refuse(error.to_string())),
        }
    }
    Ok(())
}

struct Site<'a> {
    folders: &'a [PathBuf],
    port: u16,
    /// The digest of the token: the time to compare digests tells nothing about it.
    token: [u8; 32],
    /// The page of a version of the files.
    shown: Option<(String, String)>,
}

impl Site<'_> {
    fn answer(&mut self, request: Request) {
        if request.body_length().is_some_and(|length| length > MOST_BODY) {
            mem::forget(request);
            return;
        }
        let (status, kind, text) = self.text(&request);
        let mut response = Response::from_string(text).with_status_code(status);
        let content = format!("text/{kind}; charset=utf-8");
        let policy = format!("{}; frame-ancestors 'none'", policy(Use::Watched("")));
        for (name, value) in [
            ("Content-Type", content.as_str()),
            ("Content-Security-Policy", &policy),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
        ] {
            response.add_header(Header::from_bytes(name, value).expect("these are plain"));
        }
        // On a thread of its own: a browser that reads slowly, or that sends less than it announced, would otherwise keep
        // all others waiting, and the end of the server. One that has gone is no trouble.
        let _ = thread::Builder::new().spawn(move || request.respond(response));
    }

    /// Status, kind of text, and text.
    fn text(&mut self, request: &Request) -> (u16, &'static str, String) {
        let refused = |status, why: &str| (status, "plain", format!("{why}\n"));
        if !self.is_for_here(request) {
            let port = self.port;
            let remedy = format!(
                "The Host header does not name this server: open the address that `flora watch` has printed, which \
                 begins with http://127.0.0.1:{port}/ (or with http://localhost:{port}/), and forward this port as \
                 {port}."
            );
            return refused(421, &remedy);
        }
        let (path, query) = request.url().split_once('?').unwrap_or((request.url(), ""));
        if !self.has_token(query) {
            return refused(
                403,
                "This address lacks the token, or has that of an earlier server: open the whole address that `flora \
                 watch` has printed.",
            );
        }
        if *request.method() != Method::Get {
            return refused(405, "Only GET is answered.");
        }
        match path {
            "/version" => (200, "plain", version(self.folders)),
            "/" => match self.page() {
                Ok(html) => (200, "html", html),
                Err(error) => refused(503, &error.to_string()),
            },
            _ => refused(404, "There is one page here: /"),
        }
    }

    /// Against other users of this machine.
    fn has_token(&self, query: &str) -> bool {
        let mut tokens = query.split('&').filter_map(|pair| pair.strip_prefix("token="));
        tokens.any(|token| digest(token) == self.token)
    }

    /// Against DNS rebinding: a name from elsewhere may lead here, but browsers say which name they asked for.
    fn is_for_here(&self, request: &Request) -> bool {
        let mut hosts = request.headers().iter().filter(|header| header.field.equiv("Host"));
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let host = host.value.as_str();
        let name = match host.rsplit_once(':') {
            Some((name, port)) => Some(name).filter(|_| port.parse() == Ok(self.port)),
            // The port of HTTP needs not be said.
            None => Some(host).filter(|_| self.port == 80),
        };
        name.is_some_and(|name| name == "127.0.0.1" || name.eq_ignore_ascii_case("localhost"))
    }

    fn page(&mut self) -> Result<String, ReportError> {
        // Before the files are read: what changes while they are read is read again.
        let now = version(self.folders);
        if let Some((version, html)) = &self.shown
            && *version == now
        {
            return Ok(html.clone());
        }
        let html = page(self.folders)?.html(Use::Watched(&now));
        self.shown = Some((now, html.clone()));
        Ok(html)
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
