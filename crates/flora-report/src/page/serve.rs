//! The server of `flora watch`: on this machine only, for those who know its address only, and read-only.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use flora_core::hex;
use sha2::{Digest, Sha256};

use super::{
    html::{Use, policy},
    http::{Request, Response, answer},
    page,
    versions::version,
};
use crate::ReportError;

/// The interval at which connections are accepted, and `stop` is called.
const PAUSE: Duration = Duration::from_millis(20);
/// Connections at a time; a further one is closed at once.
const MOST_CONNECTIONS: usize = 64;
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
    let bound = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        Ok((listener.local_addr()?, listener))
    };
    let (address, listener) = bound().map_err(|it: io::Error| refuse(it.to_string()))?;
    let mut token = [0; TOKEN_BYTES];
    getrandom::fill(&mut token).map_err(|it| refuse(format!("no random numbers: {it}")))?;
    let token = hex::encode(&token);
    started(&format!("http://{address}/?token={token}"));
    let site = Arc::new(Site {
        folders: folders.to_owned(),
        port: address.port(),
        token: digest(&token),
        shown: Mutex::new(None),
    });
    while !stop() {
        match listener.accept() {
            Ok((stream, _)) if Arc::strong_count(&site) <= MOST_CONNECTIONS => {
                // A browser that is slow keeps neither others nor the end of the server waiting. One that has gone is
                // no trouble, and neither is a thread that cannot be made.
                let site = Arc::clone(&site);
                let answer = move || answer(stream, |request| site.response(request));
                let _ = thread::Builder::new().spawn(answer);
            }
            // More than that many clients, of which each has a few seconds.
            Ok(_) => {}
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
                io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                _ => return Err(refuse(error.to_string())),
            },
        }
    }
    Ok(())
}

struct Site {
    folders: Vec<PathBuf>,
    port: u16,
    /// The digest of the token: the time to compare digests tells nothing about it.
    token: [u8; 32],
    /// The page of a version of the files.
    shown: Mutex<Option<(String, Arc<str>)>>,
}

impl Site {
    fn response(&self, request: &Request<'_>) -> Response {
        let (status, kind, text) = self.text(request);
        let policy = format!("{}; frame-ancestors 'none'", policy(Use::Watched("")));
        let headers = vec![
            ("Content-Type", format!("text/{kind}; charset=utf-8")),
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff".to_owned()),
            ("Referrer-Policy", "no-referrer".to_owned()),
            ("Cross-Origin-Resource-Policy", "same-origin".to_owned()),
            ("Cache-Control", "no-store".to_owned()),
        ];
        Response { status, headers, text }
    }

    /// Status, kind of text, and text.
    fn text(&self, request: &Request<'_>) -> (u16, &'static str, Arc<str>) {
        let refused = |status, why: &str| (status, "plain", format!("{why}\n").into());
        if !self.is_for_here(request) {
            let port = self.port;
            let remedy = format!(
                "The Host header does not name this server: open the address that `flora watch` has printed, which \
                 begins with http://127.0.0.1:{port}/ (or with http://localhost:{port}/), and forward this port as \
                 {port}."
            );
            return refused(421, &remedy);
        }
        let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
        if !self.has_token(query) {
            return refused(
                403,
                "This address lacks the token, or has that of an earlier server: open the whole address that `flora \
                 watch` has printed.",
            );
        }
        if request.method != "GET" {
            return refused(405, "Only GET is answered.");
        }
        match path {
            "/version" => (200, "plain", version(&self.folders).into()),
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
    fn is_for_here(&self, request: &Request<'_>) -> bool {
        let Some(host) = request.host else { return false };
        let name = match host.rsplit_once(':') {
            Some((name, port)) => Some(name).filter(|_| port.parse() == Ok(self.port)),
            // The port of HTTP needs not be said.
            None => Some(host).filter(|_| self.port == 80),
        };
        name.is_some_and(|name| name == "127.0.0.1" || name.eq_ignore_ascii_case("localhost"))
    }

    fn page(&self) -> Result<Arc<str>, ReportError> {
        // One at a time: others wait for the page that is being made.
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the files are read: what changes while they are read is read again.
        let now = version(&self.folders);
        if let Some((version, html)) = &*shown
            && *version == now
        {
            return Ok(Arc::clone(html));
        }
        let html: Arc<str> = page(&self.folders)?.html(Use::Watched(&now)).into();
        *shown = Some((now, Arc::clone(&html)));
        Ok(html)
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
