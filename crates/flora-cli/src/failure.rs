use std::fmt::Display;
use std::process::ExitCode;

/// Why the program stops, with its exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Arguments, a configuration or files are unusable: exit code 2.
    Input(String),
    /// A run failed after it started: exit code 1.
    Run(String),
    /// Stopped by a signal: 128 plus the signal's number.
    Stopped {
        /// The exit code.
        code: u8,
        /// How to resume.
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

    /// Prints the error and returns the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (message, code) = match self {
            Self::Input(message) => (format!("error: {}", indented(&message)), 2),
            Self::Run(message) => (format!("error: {}", indented(&message)), 1),
            Self::Stopped { code, message } => (indented(&message), code),
        };
        crate::output::error_line(message);
        ExitCode::from(code)
    }
}

/// Indents all lines but the first: a file name with line breaks cannot imitate a message.
fn indented(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join("\n  ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_line_but_the_first_begins_at_the_left() {
        assert_eq!(super::indented("a\nerror: b\r\n\nc\n"), "a\n  error: b\n  \n  c");
    }
}
