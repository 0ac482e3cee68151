//! Download of one file into the cache.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::Agent;
use ureq::config::RedirectAuthHeaders;

use super::failure::{Context, is_passing};
use super::store::{disk, is_whole, link, lock, make_parent};
use super::wire::{self, Answer, Failure};
use crate::cache::{CachePaths, is_hash};
use crate::{DownloadProgress, HubError};

/// How often in a row a download is tried without progress.
const ATTEMPTS: u32 = 4;
/// The bytes that count as progress. A connection that breaks once a minute can still transfer 2 GB.
const GAIN: u64 = 1 << 20;

/// A file in the listing of a repository.
pub(super) struct Listed {
    pub(super) size: Option<u64>,
    /// The hash of the content; known for files in LFS, as all large ones are.
    pub(super) sha256: Option<String>,
    /// Git's hash.
    pub(super) blob_id: Option<String>,
}

impl Listed {
    /// The name of the blob: the hub's ETag, which Python uses as well. Only hashes become part of paths.
    fn etag(&self, name: &str, commit: &str) -> String {
        let hash = self.sha256.as_ref().or(self.blob_id.as_ref()).filter(|hash| is_hash(hash));
        // A mirror may not list hashes; at a commit, the name identifies the file, too.
        hash.cloned().unwrap_or_else(|| format!("{commit}-{name}"))
    }
}

/// Downloads of files of one commit.
pub(super) struct Transfer<'a> {
    context: &'a Context<'a>,
    layout: &'a CachePaths,
    commit: &'a str,
    agent: Agent,
}

/// The result of an unsuccessful attempt.
enum Setback {
    /// Retrying may help, from the current position.
    Broken(Failure),
    /// Retrying may help, from the start.
    Corrupt(String),
    Final(HubError),
}

impl<'a> Transfer<'a> {
    pub(super) fn new(context: &'a Context<'a>, layout: &'a CachePaths, commit: &'a str) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // Large files are redirected to other hosts, which must not receive the token.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .user_agent(concat!("flora/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { context, layout, commit, agent }
    }

    /// The path of `file` in the snapshot, downloaded from `url` if it is missing.
    pub(super) fn file(
        &self,
        url: &str,
        name: &str,
        file: &Listed,
        progress: &mut dyn FnMut(DownloadProgress<'_>),
    ) -> Result<PathBuf, HubError> {
        let pointer = self.layout.snapshot(self.commit).join(name);
        if is_whole(&pointer, file.size) {
            return Ok(pointer);
        }
        let etag = file.etag(name, self.commit);
        let blob = self.layout.blob(&etag);
        for path in [&pointer, &blob] {
            make_parent(path)?;
        }
        let _held =
            lock(&self.layout.lock(&etag), self.context.config.stall)?.ok_or_else(|| {
                HubError::Busy { repository: self.context.model.repository(), file: name.into() }
            })?;
        // Another program may have downloaded it meanwhile, and be about to read it;
        if is_whole(&pointer, file.size) {
            return Ok(pointer);
        }
        // another revision may have the same file.
        if !is_whole(&blob, file.size) {
            let part = self.layout.blob(&format!("{etag}.incomplete"));
            self.download(url, name, file, &part, progress)?;
            fs::rename(&part, &blob).map_err(|error| disk(&blob, error))?;
        }
        link(&blob, &pointer).map_err(|error| disk(&pointer, error))?;
        Ok(pointer)
    }

    fn download(
        &self,
        url: &str,
        name: &str,
        file: &Listed,
        part: &Path,
        progress: &mut dyn FnMut(DownloadProgress<'_>),
    ) -> Result<(), HubError> {
        let repository = || self.context.model.repository();
        let (mut attempts, mut reached, mut restarted) = (0, 0, false);
        loop {
            let setback = match self.attempt(url, name, file, part, progress) {
                Ok(()) => return Ok(()),
                Err(setback) => setback,
            };
            attempts += 1;
            let there = fs::metadata(part).map_or(0, |part| part.len());
            if there >= reached + GAIN {
                (attempts, reached) = (1, there);
            }
            match setback {
                Setback::Final(error) => return Err(error),
                Setback::Corrupt(problem) => {
                    fs::remove_file(part).map_err(|error| disk(part, error))?;
                    // The part may be damaged since an earlier run. The second time it is the hub's fault.
                    if std::mem::replace(&mut restarted, true) {
                        return Err(HubError::Corrupt {
                            repository: repository(),
                            file: name.into(),
                            problem,
                        });
                    }
                    reached = 0;
                }
                Setback::Broken(failure @ Failure::Connection(_))
                    if attempts >= ATTEMPTS && there == 0 =>
                {
                    return Err(self.context.unreachable(failure));
                }
                Setback::Broken(Failure::Connection(problem) | Failure::Protocol(problem)) => {
                    if attempts >= ATTEMPTS {
                        let file = name.into();
                        return Err(HubError::Broken {
                            repository: repository(),
                            file,
                            attempts,
                            problem,
                        });
                    }
                    thread::sleep(Duration::from_millis(250) * attempts.pow(2));
                }
            }
        }
    }

    /// Continues `part` until it is complete.
    fn attempt(
        &self,
        url: &str,
        name: &str,
        file: &Listed,
        part: &Path,
        progress: &mut dyn FnMut(DownloadProgress<'_>),
    ) -> Result<(), Setback> {
        let on_disk = |error| Setback::Final(disk(part, error));
        let mut out = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(part)
            .map_err(on_disk)?;
        let mut done = out.metadata().map_err(on_disk)?.len();
        if file.size.is_some_and(|size| done > size) {
            return Err(Setback::Corrupt(format!(
                "{done} bytes are there of an older attempt, too many"
            )));
        }
        let mut hash = Sha256::new();
        if done > 0 {
            read_into(&mut out, &mut hash).map_err(on_disk)?;
        }
        if done == 0 || file.size.is_none_or(|size| done < size) {
            let answer = self.ask(url, done, name)?;
            if done > 0 && answer.status == 200 {
                // The server cannot resume, and sends the whole file.
                (done, hash) = (0, Sha256::new());
                out.set_len(0).and_then(|()| out.seek(SeekFrom::Start(0))).map_err(on_disk)?;
            }
            progress(DownloadProgress { file: name, done, total: file.size });
            while let Some(piece) =
                answer.piece().map_err(|problem| Setback::Broken(Failure::Connection(problem)))?
            {
                done += piece.len() as u64;
                if file.size.is_some_and(|size| done > size) {
                    return Err(Setback::Corrupt(format!(
                        "it is longer than the {} bytes listed",
                        file.size.unwrap_or(0)
                    )));
                }
                out.write_all(&piece).map_err(on_disk)?;
                hash.update(&piece);
                progress(DownloadProgress { file: name, done, total: file.size });
            }
            if let Some(size) = file.size.filter(|size| done < *size) {
                let problem = format!("the connection was closed after {done} of {size} bytes");
                return Err(Setback::Broken(Failure::Connection(problem)));
            }
        }
        if let Some(listed) = &file.sha256 {
            let came = flora_core::hex::encode(&hash.finalize());
            if came != *listed {
                return Err(Setback::Corrupt(format!(
                    "its SHA-256 is {came}, the hub lists {listed}"
                )));
            }
        }
        out.sync_all().map_err(on_disk)
    }

    /// Requests the bytes from `start` on.
    fn ask(&self, url: &str, start: u64, name: &str) -> Result<Answer, Setback> {
        // Bytes of a compressed answer could not be counted.
        let mut request = self.agent.get(url).header("accept-encoding", "identity");
        if let Some(token) = &self.context.config.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if start > 0 {
            request = request.header("range", format!("bytes={start}-"));
        }
        let answer =
            wire::send(self.context.config.stall, move || request.call()).map_err(|failure| {
                match failure {
                    Failure::Connection(_) => Setback::Broken(failure),
                    Failure::Protocol(_) => Setback::Final(self.context.unreachable(failure)),
                }
            })?;
        match answer.status {
            200 => Ok(answer),
            206 if continues(&answer, start) => Ok(answer),
            206 => {
                let problem = format!("{name}: other bytes came than those from {start} on");
                Err(Setback::Final(self.context.answer(problem)))
            }
            416 if start > 0 => {
                Err(Setback::Corrupt(format!("the hub has less than {start} bytes of it")))
            }
            status if is_passing(status) => Err(Setback::Broken(Failure::Protocol(format!(
                "the hub answered HTTP status {status}"
            )))),
            _ => Err(Setback::Final(self.context.status(&answer, Some(name)))),
        }
    }
}

/// Whether the body is the rest from byte `start` on.
fn continues(answer: &Answer, start: u64) -> bool {
    let range = answer.header("content-range").unwrap_or_default();
    range.starts_with(&format!("bytes {start}-"))
}

fn read_into(file: &mut File, hash: &mut Sha256) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            length => hash.update(&buffer[..length]),
        }
    }
}
