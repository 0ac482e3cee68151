use std::io::Write;

use flora::device::{CheckError, Step};

use crate::device::{Compared, Message};
use crate::failure::Failure;

/// Compare a device with flex, on behalf of the calling process
#[derive(Debug, clap::Args)]
pub(crate) struct TryDevice {
    /// The device
    #[arg(value_name = "NAME")]
    device: String,
}

impl TryDevice {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let opened = flora::device::open(&self.device).map_err(Failure::input)?;
        let measured = flora::device::measure(&opened.device, &mut |step| {
            say(&match step {
                Step::Begins(operation) => Message::Begins { operation: operation.to_owned() },
                Step::Ends(finding) => Message::Ends(Compared {
                    operation: finding.operation.to_owned(),
                    difference: Some(finding.difference).filter(|it| it.is_finite()),
                    tolerance: finding.tolerance,
                }),
            });
        });
        say(&match measured {
            Ok(_) => Message::Done,
            Err(error @ CheckError::NoReference) => Message::Failed {
                problem: format!("{error}; --trust-device uses it without a check"),
            },
            Err(error) => Message::Failed { problem: error.to_string() },
        });
        Ok(())
    }
}

/// Prints a line on standard output and flushes it: the next operation may crash.
fn say(message: &Message) {
    let line = serde_json::to_string(message).expect("strings and numbers");
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
