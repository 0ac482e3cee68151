//! Checks a device in its own process: a driver that crashes or hangs does not end the run.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A message of the checking process, one line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "lowercase")]
pub(crate) enum Message {
    /// An operation starts.
    Begins {
        /// Its name.
        operation: String,
    },
    /// An operation has ended.
    Ends(Compared),
    /// The device cannot be used, or an operation on it failed.
    Failed {
        /// The reason.
        problem: String,
    },
    /// The last operation has ended.
    Done,
}

/// An operation on the device, compared with flex.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Compared {
    /// The operation's name.
    pub(crate) operation: String,
    /// The largest difference relative to the largest absolute value; `None` if it is not finite.
    pub(crate) difference: Option<f32>,
    /// The largest accepted difference.
    pub(crate) tolerance: f32,
}

impl Compared {
    pub(crate) fn holds(&self) -> bool {
        self.difference.is_some_and(|difference| difference <= self.tolerance)
    }

    /// The difference in words.
    pub(crate) fn shown(&self) -> String {
        self.difference.map_or("not finite".to_owned(), |difference| format!("{difference:.1e}"))
    }
}

/// The outcome of a check.
#[derive(Debug)]
pub(crate) enum Trial {
    /// It ran to the end.
    Ended(Vec<Compared>),
    /// The device reported an error.
    Failed(String),
    /// The process died.
    Crashed {
        /// The operation that had started, if any.
        operation: Option<String>,
        /// How it died.
        how: String,
        /// Its last output on standard error.
        said: String,
    },
    /// It hung.
    Hung {
        /// The operation that had started, if any.
        operation: Option<String>,
        /// The time limit.
        patience: Duration,
    },
}

impl Trial {
    /// The problem of the device, if any.
    pub(super) fn problem(&self) -> Option<String> {
        let at = |operation: &Option<String>| match operation {
            Some(operation) => format!("while it computed {operation}"),
            None => "while it was opened".to_owned(),
        };
        match self {
            Self::Ended(operations) => {
                let off: Vec<_> = operations
                    .iter()
                    .filter(|it| !it.holds())
                    .map(|it| match it.difference {
                        Some(difference) => format!(
                            "{} is off by {difference:.1e} of the largest value (accepted: {:.1e})",
                            it.operation, it.tolerance
                        ),
                        None => format!("{} is not finite", it.operation),
                    })
                    .collect();
                (!off.is_empty()).then(|| format!("wrong numbers: {}", off.join("; ")))
            }
            Self::Failed(problem) => Some(format!("it cannot be used: {problem}")),
            Self::Crashed { operation, how, said } => {
                let said = if said.is_empty() { String::new() } else { format!(": {said}") };
                Some(format!("the driver crashed ({how}) {}{said}", at(operation)))
            }
            Self::Hung { operation, patience } => Some(format!(
                "the driver gave no answer for {} seconds {}",
                patience.as_secs(),
                at(operation)
            )),
        }
    }
}

/// Runs the process, which prints [`Message`]s, until it is done, dies, or prints nothing for `patience`.
pub(super) fn run(
    mut command: Command,
    patience: Duration,
    tell: &mut dyn FnMut(&str),
) -> std::io::Result<Trial> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).split(b'\n')) {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let said = thread::spawn(move || stderr.map(last_words).unwrap_or_default());
    let (mut operation, mut ended) = (None, Vec::new());
    loop {
        let line = match lines.recv_timeout(patience) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                end(&mut child);
                return Ok(Trial::Hung { operation, patience });
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        // Drivers print, too.
        match serde_json::from_slice(&line) {
            Ok(Message::Begins { operation: begun }) => {
                tell(&begun);
                operation = Some(begun);
            }
            Ok(Message::Ends(compared)) => ended.push(compared),
            Ok(Message::Failed { problem }) => {
                end(&mut child);
                return Ok(Trial::Failed(problem));
            }
            Ok(Message::Done) => {
                end(&mut child);
                return Ok(Trial::Ended(ended));
            }
            Err(_) => {}
        }
    }
    // Its end of the pipe is closed, so it has ended or is about to.
    let status = child.wait()?;
    let said = said.join().unwrap_or_default();
    Ok(Trial::Crashed { operation, how: how(status), said })
}

/// Some drivers hang while they are unloaded.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// The last lines of a text that may be long.
fn last_words(text: impl Read) -> String {
    const LINES: usize = 3;
    let mut last = VecDeque::new();
    for line in BufReader::new(text).split(b'\n') {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line).trim().to_owned();
        // Skips the backtrace hint that Rust prints after each panic.
        if line.is_empty() || line.starts_with("note: ") {
            continue;
        }
        last.push_back(line);
        if last.len() > LINES {
            last.pop_front();
        }
    }
    Vec::from(last).join(" ")
}

#[cfg(unix)]
fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        Some(4) => "illegal instruction".to_owned(),
        Some(6) => "aborted".to_owned(),
        Some(7) => "bus error".to_owned(),
        Some(8) => "arithmetic exception".to_owned(),
        Some(9) => "killed".to_owned(),
        Some(11) => "segmentation fault".to_owned(),
        Some(signal) => format!("signal {signal}"),
        None => status.to_string(),
    }
}

#[cfg(not(unix))]
fn how(status: ExitStatus) -> String {
    status.to_string()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str, patience: Duration) -> (Trial, Vec<String>) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut told = Vec::new();
        let trial = run(command, patience, &mut |operation| told.push(operation.to_owned()));
        (trial.unwrap(), told)
    }

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_device_that_computes_correctly_has_no_problem() {
        let script = r#"echo 'a driver says hello'
            echo '{"step":"begins","operation":"matmul"}'
            echo '{"step":"ends","operation":"matmul","difference":1e-7,"tolerance":0.005}'
            echo '{"step":"done"}'; sleep 600"#;
        let (trial, told) = shell(script, LONG);
        let expected =
            Compared { operation: "matmul".into(), difference: Some(1e-7), tolerance: 0.005 };
        assert!(matches!(&trial, Trial::Ended(all) if *all == [expected]), "{trial:?}");
        assert_eq!((trial.problem(), told), (None, vec!["matmul".to_owned()]));
    }

    #[test]
    fn wrong_numbers_are_a_problem() {
        let script = r#"echo '{"step":"ends","operation":"softmax","difference":0.5,"tolerance":0.005}'
            echo '{"step":"ends","operation":"copy","difference":0,"tolerance":0}'
            echo '{"step":"ends","operation":"CLIP","difference":null,"tolerance":0.01}'
            echo '{"step":"done"}'"#;
        let (trial, _) = shell(script, LONG);
        assert_eq!(
            trial.problem().unwrap(),
            "wrong numbers: softmax is off by 5.0e-1 of the largest value (accepted: 5.0e-3); CLIP is not finite"
        );
    }

    #[test]
    fn a_driver_that_crashes_is_told_with_what_it_did() {
        let script = r#"echo '{"step":"begins","operation":"attention"}'; echo 'out of luck' >&2; kill -SEGV $$"#;
        let (trial, _) = shell(script, LONG);
        assert_eq!(
            trial.problem().unwrap(),
            "the driver crashed (segmentation fault) while it computed attention: out of luck"
        );
        let (trial, _) = shell("kill -ABRT $$", LONG);
        assert_eq!(trial.problem().unwrap(), "the driver crashed (aborted) while it was opened");
        // Without a signal or any output.
        let (trial, _) = shell("exit 3", LONG);
        assert_eq!(
            trial.problem().unwrap(),
            "the driver crashed (exit status: 3) while it was opened"
        );
    }

    #[test]
    fn a_driver_that_hangs_is_ended() {
        let script = r#"echo '{"step":"begins","operation":"matmul"}'; exec sleep 600"#;
        let (trial, _) = shell(script, Duration::from_secs(1));
        assert_eq!(
            trial.problem().unwrap(),
            "the driver gave no answer for 1 seconds while it computed matmul"
        );
    }

    #[test]
    fn a_device_that_says_no_is_told_why() {
        let (trial, _) =
            shell(r#"echo '{"step":"failed","problem":"no memory"}'; sleep 600"#, LONG);
        assert_eq!(trial.problem().unwrap(), "it cannot be used: no memory");
    }
}
