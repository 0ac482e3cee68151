use std::path::PathBuf;

use thiserror::Error;

/// Why a SuperLink cannot be talked to, or refuses.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// An address that is none.
    #[error(
        "--superlink {url}: {problem}; write it as http://HOST:8000 or https://HOST:8000, or as it is behind your proxy"
    )]
    Url {
        /// As given.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// Certificates that cannot be used.
    #[error("{}: {problem}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Nobody answers.
    #[error(
        "{url} does not answer ({problem}); tried for {seconds:.0} s. Is the SuperLink running, and its port open?"
    )]
    Unreachable {
        /// The SuperLink.
        url: String,
        /// The last attempt's error.
        problem: String,
        /// How long it was tried.
        seconds: f64,
    },
    /// Whoever answers is not who it should be. Never tried again.
    #[error(
        "{url}: no trust in its certificate ({problem}); name the CA that signed it with --root-certificates. If \
         you did, another machine may be answering in the SuperLink's place"
    )]
    Certificate {
        /// The SuperLink.
        url: String,
        /// What TLS says.
        problem: String,
    },
    /// HTTP spoken to an HTTPS port, or the other way round.
    #[error("{url}: {problem}")]
    Protocol {
        /// The SuperLink.
        url: String,
        /// What came, and what to do.
        problem: String,
    },
    /// 401.
    #[error("{url} does not accept this key or this clock: {detail}{}", clock(*.skew))]
    Unauthorized {
        /// The SuperLink.
        url: String,
        /// What it says.
        detail: String,
        /// By how many seconds this machine's clock is ahead of the SuperLink's, if that is known.
        skew: Option<f64>,
    },
    /// 404, or what a proxy says of a path that it keeps closed.
    #[error(
        "{url}{path} is not served (HTTP {status}); {}",
        if path.starts_with("/v1/fleet") {
            "is this a SuperLink of Flower 1.40 or later, and does its proxy let /v1/fleet/ through?"
        } else {
            "ask the SuperLink itself and not its proxy, which keeps this service closed, as it should"
        }
    )]
    NotServed {
        /// The SuperLink.
        url: String,
        /// The path.
        path: String,
        /// The HTTP status.
        status: u16,
    },
    /// Any other refusal.
    #[error("{url}{path} refuses (HTTP {status}{}): {detail}", code.map_or(String::new(), |code| format!(", code {code}")))]
    Refused {
        /// The SuperLink.
        url: String,
        /// The path.
        path: String,
        /// The HTTP status.
        status: u16,
        /// Flower's number for the reason.
        code: Option<u32>,
        /// What it says.
        detail: String,
    },
    /// Something came that Flower does not send.
    #[error("{url}{path}: the answer cannot be read: {problem}")]
    Unreadable {
        /// The SuperLink.
        url: String,
        /// The path.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// It was to stop.
    #[error("stopped while {url} was asked")]
    Stopped {
        /// The SuperLink.
        url: String,
    },
}

fn clock(skew: Option<f64>) -> String {
    match skew {
        Some(skew) if !(-300.0..=4.0).contains(&skew) => {
            let (seconds, how) = (skew.abs(), if skew > 0.0 { "ahead of" } else { "behind" });
            format!(
                ". This machine's clock is {seconds:.0} s {how} the SuperLink's; set it (timedatectl set-ntp true)"
            )
        }
        Some(_) => {
            ". The clocks agree, so it is the key: is it the one that was registered?".to_owned()
        }
        None => String::new(),
    }
}

impl LinkError {
    /// The run that a node's message belongs to is over: the message is to be forgotten.
    pub fn is_run_over(&self) -> bool {
        matches!(self, Self::Refused { code: Some(RUN_STATUS), .. })
    }

    /// The SuperLink takes only keys that its operator registered.
    pub fn is_registration_closed(&self) -> bool {
        matches!(self, Self::Refused { code: Some(REGISTRATION_DISABLED), .. })
    }

    /// The node is online already, as after a crash.
    pub fn is_activation_failed(&self) -> bool {
        matches!(self, Self::Refused { code: Some(ACTIVATION_FAILED), .. })
    }

    /// A refusal of the request itself, which stays one however often it is asked.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Nobody answered, which may pass.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// Flower's numbers.
const REGISTRATION_DISABLED: u32 = 2001;
const ACTIVATION_FAILED: u32 = 2004;
const RUN_STATUS: u32 = 2007;

/// Why a node cannot go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The SuperLink.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A message is not what it says it is.
    #[error(transparent)]
    Object(#[from] crate::objects::ObjectError),
    /// The operator has not registered the key.
    #[error(
        "the SuperLink takes only nodes that its operator registered, and does not know this one; send the operator \
         {}, who runs: flwr supernode register {} CONNECTION",
        key.display(),
        key.file_name().unwrap_or_default().display()
    )]
    NotRegistered {
        /// The file of the public key.
        key: PathBuf,
    },
    /// The node's folder cannot be used.
    #[error("{}: {problem}", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        problem: std::io::Error,
    },
    /// Another node uses the folder.
    #[error(
        "{}: another node uses this folder; stop it, or give this one a folder of its own with --state",
        path.display()
    )]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The SuperLink no longer has what a message is made of.
    #[error("the SuperLink no longer has the content of the message")]
    Gone,
}

impl NodeError {
    pub(crate) fn folder(path: &std::path::Path) -> impl Fn(std::io::Error) -> Self {
        let path = path.to_owned();
        move |problem| Self::Folder { path: path.clone(), problem }
    }
}

/// Why a server's run cannot go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The SuperLink.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Something cannot be sent.
    #[error("a message cannot be sent: {0}")]
    Codec(#[from] crate::CodecError),
    /// An answer is not what it says it is.
    #[error(transparent)]
    Object(#[from] crate::objects::ObjectError),
    /// Another process took the server's part of the run.
    #[error(
        "{url} had the run taken by a process of its own, or by nobody; start the SuperLink with --isolation process"
    )]
    Taken {
        /// The SuperLink.
        url: String,
    },
    /// The SuperLink handed out the server's part of somebody else's run.
    #[error(
        "the SuperLink handed out run {run_id}, which was begun elsewhere and has no server; end it (flwr stop \
         {run_id}), and try again"
    )]
    Foreign {
        /// The other run.
        run_id: u64,
    },
    /// The SuperLink forgets what it is sent.
    #[error("{url} does not keep what it is sent; is its disk full?")]
    NotStored {
        /// The SuperLink.
        url: String,
    },
    /// The SuperLink ended the run.
    #[error("the SuperLink ended the run (flwr stop, or it heard nothing from us for a minute)")]
    Over,
    /// An answer was announced, and is not there yet.
    #[error("an answer is on its way")]
    NotYet,
    /// An answer was announced and never came.
    #[error("the SuperLink does not have all of an answer")]
    Lost,
}
