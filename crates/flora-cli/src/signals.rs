//! Ctrl-C and SIGTERM: once to stop in good order, twice to stop at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use flora::federation::Stop;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::Failure;

/// What a signal asks for.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    /// Raised by the first signal, and by whoever else wants the run to stop.
    flag: Arc<AtomicBool>,
    /// Raised by the first signal alone.
    heard: Arc<AtomicBool>,
    which: Arc<AtomicUsize>,
}

impl Signals {
    /// Hears the signals from now on. The first raises a flag; the next one ends the process with the same
    /// exit code.
    pub(crate) fn hear() -> Result<Self, Failure> {
        let signals = Self { flag: Arc::default(), heard: Arc::default(), which: Arc::default() };
        for signal in [SIGINT, SIGTERM] {
            // In this order: whether it is the second is asked before the flag says so.
            flag::register_conditional_shutdown(signal, code(signal), Arc::clone(&signals.heard))
                .and_then(|_| {
                    flag::register_usize(signal, Arc::clone(&signals.which), signal as usize)
                })
                .and_then(|_| flag::register(signal, Arc::clone(&signals.heard)))
                .and_then(|_| flag::register(signal, Arc::clone(&signals.flag)))
                .map_err(|error| Failure::Run(format!("cannot hear signals: {error}")))?;
        }
        Ok(signals)
    }

    /// The flag, for whoever is to stop.
    pub(crate) fn stop(&self) -> Stop {
        Stop::from_flag(Arc::clone(&self.flag))
    }

    /// Whether a signal came.
    pub(crate) fn came(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }

    /// The exit code that tells of the signal, as a shell does.
    pub(crate) fn exit_code(&self) -> u8 {
        let signal = i32::try_from(self.which.load(Ordering::SeqCst)).unwrap_or(0);
        // A flag that was raised by another than a signal.
        let signal = if signal == 0 { SIGINT } else { signal };
        u8::try_from(code(signal)).unwrap_or(u8::MAX)
    }
}

fn code(signal: i32) -> i32 {
    128 + signal
}
