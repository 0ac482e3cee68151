//! A program, called as a user calls it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use serde_json::Value;

use crate::{Run, place};

/// Calls share the machine, unless one is to have it [alone](Call::alone).
static MACHINE: RwLock<()> = RwLock::new(());

/// A call of a program, in the root of the source tree and with the tests' cache.
#[derive(Debug)]
pub struct Call {
    command: Command,
    alone: bool,
}

/// What a program that succeeded has printed.
#[derive(Debug)]
pub struct Output {
    /// On standard output.
    pub stdout: String,
    /// On standard error.
    pub stderr: String,
}

/// A program that runs. Until this value is dropped no call has the machine alone, and the test must not make another.
#[derive(Debug)]
pub struct Started {
    /// Its process.
    pub child: Child,
    _shared: RwLockReadGuard<'static, ()>,
}

impl Call {
    /// A call of `flora`; the macro [`flora!`](crate::flora) also takes its arguments.
    ///
    /// # Panics
    ///
    /// If the program is not built.
    #[track_caller]
    pub fn flora() -> Self {
        Self::program(&place::flora())
    }

    /// A call of an example.
    ///
    /// # Panics
    ///
    /// If the example is not built.
    #[track_caller]
    pub fn example(name: &str) -> Self {
        Self::program(&place::example(name))
    }

    /// A call of the program with GPU backends.
    ///
    /// # Panics
    ///
    /// If it is not built.
    #[track_caller]
    pub fn gpu() -> Self {
        Self::program(&place::gpu_flora())
    }

    fn program(program: &Path) -> Self {
        let mut command = Command::new(program);
        command.current_dir(place::root()).env("FLORA_CACHE", place::cache()).stdin(Stdio::null());
        Self { command, alone: false }
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// With more arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// With one more setting, as `--set`.
    #[must_use]
    pub fn set(self, assignment: impl AsRef<OsStr>) -> Self {
        self.arg("--set").arg(assignment)
    }

    /// Computes and caches image features in this folder.
    #[must_use]
    pub fn cache(mut self, folder: &Path) -> Self {
        self.command.env("FLORA_CACHE", folder);
        self
    }

    /// Waits until no other call runs, and lets none begin before this one ends: for checks that measure time.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// What the program printed.
    ///
    /// # Panics
    ///
    /// With its output, if the program fails.
    #[track_caller]
    pub fn ok(self) -> Output {
        let name = format!("{:?}", self.command);
        let (code, output) = self.ended();
        assert!(
            code == Some(0),
            "{name}: exit code {code:?}\n{}\n{}",
            output.stderr,
            output.stdout
        );
        output
    }

    /// The JSON that the program printed on standard output.
    ///
    /// # Panics
    ///
    /// If the program fails or prints anything else.
    #[track_caller]
    pub fn json(self) -> Value {
        let name = format!("{:?}", self.command);
        let stdout = self.ok().stdout;
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{name}: {error}: {stdout}"))
    }

    /// The run that the program left in `folder`, which is its `--out`.
    ///
    /// # Panics
    ///
    /// If the program fails, or the folder holds no run.
    #[track_caller]
    pub fn run_to(self, folder: &Path) -> Run {
        self.arg("--out").arg(folder).ok();
        Run::open(folder)
    }

    /// The message of a program that must refuse its input: exit code 2, and a message on standard error that holds
    /// `words`.
    ///
    /// # Panics
    ///
    /// If the program ends otherwise.
    #[track_caller]
    pub fn refused(self, words: &str) -> String {
        let name = format!("{:?}", self.command);
        let (code, Output { stderr, .. }) = self.ended();
        assert!(code == Some(2), "{name}: exit code {code:?} instead of 2: {stderr}");
        assert!(stderr.contains(words), "{name}: no \"{words}\" in: {stderr}");
        assert!(!stderr.contains("panicked"), "{name}: {stderr}");
        stderr
    }

    /// The exit code, if no signal ended the program, and what it printed.
    ///
    /// # Panics
    ///
    /// If the program cannot be started.
    #[track_caller]
    pub fn ended(mut self) -> (Option<i32>, Output) {
        let (_shared, _alone);
        match self.alone {
            false => _shared = MACHINE.read().unwrap_or_else(PoisonError::into_inner),
            true => _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner),
        }
        let output = self.command.output();
        let output = output.unwrap_or_else(|error| panic!("{:?}: {error}", self.command));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        (output.status.code(), Output { stdout, stderr })
    }

    /// Starts the program, silent.
    ///
    /// # Panics
    ///
    /// If the program cannot be started.
    #[track_caller]
    pub fn start(mut self) -> Started {
        let shared = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
        let silent = self.command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = silent.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.command));
        Started { child, _shared: shared }
    }
}

impl Drop for Started {
    /// Ends the program, for a test that fails meanwhile.
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
