//! A run of a sweep, in its own process.
//!
//! The sweep holds the other end of standard input. It sends the experiment, terminated by a zero byte, and later
//! possibly a byte that means "stop gracefully". When the pipe closes, the sweep has ended for whatever reason, and the
//! run stops at once.

use std::io::{BufRead, Read, stdin};
use std::path::Path;
use std::sync::OnceLock;
use std::thread;

use flora::federation::Stop;
use flora::tuning::Experiment;

use crate::failure::Failure;

/// Terminates the experiment.
pub(in crate::commands) const END: u8 = 0;
/// Requests a graceful stop.
pub(in crate::commands) const STOP: u8 = b's';

/// Raised when the sweep requests a stop, once there are rounds to stop.
static WISH: OnceLock<Stop> = OnceLock::new();

/// Reads the experiment from the sweep. From here on, the process ends with the sweep.
pub(super) fn experiment() -> Result<Experiment, Failure> {
    let mut text = Vec::new();
    stdin()
        .lock()
        .read_until(END, &mut text)
        .map_err(|error| Failure::Input(format!("standard input: {error}")))?;
    if text.pop() != Some(END) {
        return Err(Failure::Input("standard input: the experiment is cut off".into()));
    }
    let text = String::from_utf8_lossy(&text);
    let experiment = Experiment::from_toml("standard input", &text, &[]).map_err(Failure::input)?;
    thread::spawn(|| {
        let mut byte = [0];
        loop {
            match stdin().lock().read(&mut byte) {
                // The sweep has ended.
                Ok(0) | Err(_) => std::process::exit(1),
                Ok(_) if byte[0] == STOP => match WISH.get() {
                    Some(stop) => stop.raise(),
                    // Nothing has been trained yet.
                    None => std::process::exit(130),
                },
                Ok(_) => {}
            }
        }
    });
    Ok(experiment)
}

/// Makes the sweep's request raise `stop`.
pub(super) fn stop_with_parent(stop: Stop) {
    let _ = WISH.set(stop);
}

/// Whether the folder holds an unfinished run of exactly this experiment.
pub(super) fn is_begun(folder: &Path, experiment: &Experiment) -> bool {
    let text = std::fs::read_to_string(folder.join("experiment.toml"));
    text.is_ok_and(|text| text == experiment.to_toml()) && folder.join("state").is_dir()
}
