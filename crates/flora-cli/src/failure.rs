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
            Self::Input(message) => (format!("error: {}", indented(&message)), 2),
            Self::Run(message) => (format!("error: {}", indented(&message)), 1),
            Self::Stopped { code, message } => (indented(&message), code),
        };
        crate::output::error_line(message);
        ExitCode::from(code)
    }
}

/// With all lines but the first further to the right: the name of a file, which may hold breaks of lines, cannot
/// pass for a message of its own.
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
