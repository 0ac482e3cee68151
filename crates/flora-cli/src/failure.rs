use std::fmt::Display;
use std::process::ExitCode;

/// Why the program stops, and with which exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Arguments, a configuration or files that cannot be used: exit code 2.
    Input(String),
    /// A run that began and failed: exit code 1.
    Run(String),
    /// A signal asked for it: 128 and the signal's number.
    Stopped {
        /// The exit code.
        code: u8,
        /// How to go on.
        message: String,
    },
}

impl Failure {
    pub(crate) fn input(error: impl Display) -> Self {
        Self::Input(error.to_string())
    }

    pub(crate) fn run(error: impl Display) -> Self {
        Self::Run(error.to_string())
    }

    /// Tell the user and give the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (message, code) = match self {
            Self::Input(message) => (format!("error: {message}"), 2),
            Self::Run(message) => (format!("error: {message}"), 1),
            Self::Stopped { code, message } => (message, code),
        };
        crate::output::error_line(message);
        ExitCode::from(code)
    }
}
