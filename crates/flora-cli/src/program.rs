//! The program, as it calls itself.

use std::path::PathBuf;

/// This very program. A sweep may go on for days: on Linux, even if the file has been replaced since.
pub(crate) fn path() -> std::io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok("/proc/self/exe".into());
    }
    std::env::current_exe()
}

/// Ends this process when the pipe that is its standard input closes: when the process that holds the other end is over,
/// however it ended.
pub(crate) fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(1);
    });
}
