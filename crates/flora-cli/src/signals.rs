//! Ctrl-C and SIGTERM: once to stop gracefully, twice to stop at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use flora::federation::Stop;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::Failure;

/// Received signals.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    /// Raised by the first signal, and by other requests to stop.
    flag: Arc<AtomicBool>,
    /// Raised by the first signal only.
    heard: Arc<AtomicBool>,
    which: Arc<AtomicUsize>,
}

impl Signals {
    /// Handles signals from now on. The first raises a flag; the second ends the process with the same exit code.
    pub(crate) fn hear() -> Result<Self, Failure> {
        let signals = Self { flag: Arc::default(), heard: Arc::default(), which: Arc::default() };
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the check for a second signal comes before the flag is set.
            flag::register_conditional_shutdown(signal, code(signal), Arc::clone(&signals.heard))
                .and_then(|_| {
                    flag::register_usize(signal, Arc::clone(&signals.which), signal as usize)
                })
                .and_then(|_| flag::register(signal, Arc::clone(&signals.heard)))
                .and_then(|_| flag::register(signal, Arc::clone(&signals.flag)))
                .map_err(|error| Failure::Run(format!("cannot handle signals: {error}")))?;
        }
        Ok(signals)
    }

    /// The flag, for code that must stop.
    pub(crate) fn stop(&self) -> Stop {
        Stop::from_flag(Arc::clone(&self.flag))
    }

    /// Whether a signal arrived.
    pub(crate) fn came(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }

    /// The exit code for the signal, following shell convention.
    pub(crate) fn exit_code(&self) -> u8 {
        let signal = i32::try_from(self.which.load(Ordering::SeqCst)).unwrap_or(0);
        // The flag was raised without a signal.
        let signal = if signal == 0 { SIGINT } else { signal };
        u8::try_from(code(signal)).unwrap_or(u8::MAX)
    }
}

fn code(signal: i32) -> i32 {
    128 + signal
}
