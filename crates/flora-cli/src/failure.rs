use std::fmt::Display;
use std::process::ExitCode;

/// Why the program stops, and with which exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Arguments, a configuration or files that cannot be used: exit code 2.
    Input(String),
    /// A run that began and failed: exit code 1.
    Run(String),
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
            Self::Input(message) => (message, 2),
            Self::Run(message) => (message, 1),
        };
        eprintln!("error: {message}");
        ExitCode::from(code)
    }
}
