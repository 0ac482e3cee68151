//! A real SuperLink of `flwr==1.42.0`, with nodes and servers as separate processes.
//!
//! The programs are in the folder named by `FLORA_FLWR_BIN`: `python3 -m venv venv && venv/bin/pip install
//! flwr==1.42.0`, then `FLORA_FLWR_BIN=venv/bin`.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{assert_same_but, events, flora, text, write_experiment};

/// A program of Flower's.
pub(crate) fn flwr_program(name: &str) -> PathBuf {
    let folder = std::env::var_os("FLORA_FLWR_BIN").expect(
        "FLORA_FLWR_BIN: the folder of flower-superlink and flwr, as pip install flwr==1.42.0 makes it",
    );
    // Tests run in the crate's folder, but the variable is relative to the workspace.
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder).join(name)
}

/// A free port.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A cache for all tests, which share image features.
pub(crate) fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("superlink-cache")
}

/// A process whose output goes to a file, and which ends with the test.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(mut command: Command, log: PathBuf) -> Self {
        let file = File::options().create(true).append(true).open(&log).unwrap();
        // Kept open: openssl s_server ends every connection at the end of its input.
        command.stdin(Stdio::piped()).stdout(file.try_clone().unwrap()).stderr(file);
        let name = format!("{command:?}");
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name, child, log }
    }

    /// Its output.
    pub(crate) fn said(&self) -> String {
        text(&std::fs::read(&self.log).unwrap())
    }

    pub(crate) fn says(&self, words: &str) -> bool {
        self.said().contains(words)
    }

    /// Waits until these words occur this many times in its output.
    pub(crate) fn wait_for_words(&mut self, words: &str, times: usize) {
        let until = Instant::now() + LONGEST;
        while self.said().matches(words).count() < times {
            let over = self.child.try_wait().unwrap();
            assert!(over.is_none(), "{}: it ended before it said {words:?}", self.name);
            assert!(Instant::now() < until, "{}: it does not say {words:?}", self.name);
            sleep(Duration::from_millis(5));
        }
    }

    /// Kills the process with `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "{}: it ended before it was killed", self.name);
    }

    pub(crate) fn send(&self, signal: &str) {
        super::send(signal, &self.child);
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + LONGEST;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "{}: it does not end", self.name);
            sleep(Duration::from_millis(5));
        }
    }

    /// Waits for it to end successfully.
    pub(crate) fn finish(&mut self) {
        let status = self.wait();
        assert!(status.success(), "{}: {status}", self.name);
    }
}

/// Upper bound of all waits here.
const LONGEST: Duration = Duration::from_secs(180);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = self.said();
            let lines: Vec<&str> =
                said.lines().filter(|line| !line.contains("uvicorn.access")).collect();
            let last = lines[lines.len().saturating_sub(30)..].join("\n");
            eprintln!("--- {}\n{last}", self.name);
        }
    }
}

/// A test's folder, its SuperLink, and its nodes.
pub(crate) struct World {
    // Ended before the folder is removed.
    pub(crate) nodes: Vec<Process>,
    pub(crate) superlink: Process,
    arguments: Vec<String>,
    pub(crate) port: u16,
    pub(crate) root_certificates: Option<PathBuf>,
    /// The address for nodes, if it differs from the SuperLink's.
    pub(crate) through: Option<String>,
    folder: tempfile::TempDir,
}

impl World {
    /// A SuperLink on this machine only, without TLS.
    pub(crate) fn new(arguments: &[&str]) -> Self {
        let mut all = vec!["--insecure", "--host", "127.0.0.1"];
        all.extend(arguments);
        Self::with(tempfile::tempdir().unwrap(), &all, None)
    }

    /// A SuperLink with these arguments.
    pub(crate) fn with(
        folder: tempfile::TempDir,
        arguments: &[&str],
        root_certificates: Option<PathBuf>,
    ) -> Self {
        let port = free_port();
        let arguments: Vec<String> = arguments.iter().map(|&it| it.to_owned()).collect();
        let superlink = start_superlink(folder.path(), port, &arguments);
        let trust = match &root_certificates {
            Some(path) => format!("root-certificates = {path:?}"),
            None => "insecure = true".to_owned(),
        };
        let config = format!(
            "[superlink]\ndefault = \"test\"\n[superlink.test]\naddress = \"127.0.0.1:{port}\"\n{trust}\n"
        );
        std::fs::write(folder.path().join("flwr-home/config.toml"), config).unwrap();
        let (nodes, through) = (Vec::new(), None);
        Self { nodes, superlink, arguments, port, root_certificates, through, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.root_certificates.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Restarts the SuperLink after it was killed.
    pub(crate) fn restart_superlink(&mut self) {
        self.superlink = start_superlink(self.folder.path(), self.port, &self.arguments);
    }

    /// Calls Flower's own program as its user would.
    pub(crate) fn flwr(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(flwr_program("flwr"));
        command.args(arguments).current_dir(self.folder.path());
        quiet(&mut command, self.folder.path()).output().unwrap()
    }

    /// `flora node` with the images in `data` and its own state.
    pub(crate) fn node_command(&self, data: &Path, domain: &str) -> Command {
        let mut command = flora(&cache());
        let url = self.through.clone().unwrap_or_else(|| self.url());
        command.args(["node", "--heartbeat", "10", "--superlink", &url, "--domain", domain]);
        command.arg("--data").arg(data).arg("--state").arg(self.path(domain));
        if let Some(path) = &self.root_certificates {
            command.arg("--root-certificates").arg(path);
        }
        command
    }

    /// Starts it, and waits until its key exists.
    pub(crate) fn start_node(&mut self, command: Command, domain: &str) -> &mut Process {
        let mut node = Process::start(command, self.path(&format!("{domain}.log")));
        node.wait_for_words("the key ", 1);
        self.nodes.push(node);
        self.nodes.last_mut().unwrap()
    }

    /// The file of names of all nodes with a state here.
    pub(crate) fn names(&self) -> PathBuf {
        let mut lines = String::new();
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let key = entry.unwrap().path().join("node.key.pub");
            lines += &std::fs::read_to_string(key).unwrap_or_default();
        }
        let path = self.path("names");
        std::fs::write(&path, lines).unwrap();
        path
    }

    /// `flora serve`, for the sites in the file of names.
    pub(crate) fn serve_command(&self, out: &Path) -> Command {
        let mut command = flora(&cache());
        command.args(["serve", "--superlink", &self.url(), "--out"]).arg(out);
        if let Some(path) = &self.root_certificates {
            command.arg("--root-certificates").arg(path);
        }
        command
    }

    pub(crate) fn start_server(&self, command: Command) -> Process {
        Process::start(command, self.path("serve.log"))
    }
}

fn start_superlink(folder: &Path, port: u16, arguments: &[String]) -> Process {
    std::fs::create_dir_all(folder.join("flwr-home")).unwrap();
    let mut command = Command::new(flwr_program("flower-superlink"));
    command.args(["--isolation", "process", "--port", &port.to_string()]);
    command.args(arguments).current_dir(folder);
    quiet(&mut command, folder);
    let mut process = Process::start(command, folder.join("superlink.log"));
    let until = Instant::now() + LONGEST;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(process.child.try_wait().unwrap().is_none(), "the SuperLink ended");
        assert!(Instant::now() < until, "the SuperLink does not listen");
        sleep(Duration::from_millis(20));
    }
    process
}

/// Makes Flower's programs send no telemetry, and keep their files in the test's folder.
fn quiet<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    let variables =
        [("FLWR_TELEMETRY_ENABLED", "0"), ("FLWR_DISABLE_UPDATE_CHECK", "1"), ("COLUMNS", "200")];
    command.envs(variables).env("FLWR_HOME", folder.join("flwr-home"))
}

/// Files that differ between a simulated and a served run: the server does not know the image files.
const APART: [&str; 7] = [
    "adapter/flora.json",
    "best/adapter/flora.json",
    "metrics.jsonl",
    "partition.json",
    "run.json",
    "serve.json",
    // Its metadata contain its provenance, as flora.json does.
    TRAINED,
];

const TRAINED: &str = "trained.safetensors";

/// The header of a safetensors file without its metadata, and the values.
fn tensors(path: &Path) -> Option<(Value, Vec<u8>)> {
    let bytes = std::fs::read(path).ok()?;
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let (header, values) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: Value = serde_json::from_slice(header).unwrap();
    header.as_object_mut().unwrap().remove("__metadata__");
    Some((header, values.to_vec()))
}

/// Asserts that a served run is bit-identical to a simulated one, round by round.
pub(crate) fn assert_same_bits(served: &Path, simulated: &Path, what: &str) {
    assert_same_but(served, simulated, &APART, what);
    let (one, other) = (tensors(&served.join(TRAINED)), tensors(&simulated.join(TRAINED)));
    assert!(one == other, "{what}: {TRAINED}");
    let differences: Vec<(Value, Value)> =
        told(served).into_iter().zip(told(simulated)).filter(|(one, other)| one != other).collect();
    assert!(differences.is_empty(), "{what}: {:?}", differences.first());
    assert_eq!(told(served).len(), told(simulated).len(), "{what}");
}

/// The events of a run, without seconds and bytes, and without events of sites.
pub(crate) fn told(run: &Path) -> Vec<Value> {
    let mut events = events(run);
    for event in &mut events {
        for key in ["seconds", "bytes_up", "bytes_down"] {
            event.as_object_mut().unwrap().remove(key);
        }
    }
    events.retain(|event| event["event"] != "warning" && event["event"] != "phase_finished");
    events
}

/// The warnings among a run's events.
pub(crate) fn warnings(run: &Path) -> Vec<String> {
    let events = events(run).into_iter().filter(|event| event["event"] == "warning");
    events.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

/// The failures of clients among a run's events: the client, the kind, and the message.
pub(crate) fn failures(run: &Path) -> Vec<(String, String, String)> {
    let events = events(run).into_iter().filter(|event| event["event"] == "client_failed");
    let word = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
    events
        .map(|event| (word(&event, "client"), word(&event, "reason"), word(&event, "message")))
        .collect()
}

/// Three vendors' images, the tiny CLIP, and an experiment whose rounds take seconds: long enough to be interrupted.
pub(crate) fn write_small_experiment(folder: &Path, rounds: usize, epochs: usize) -> PathBuf {
    write_experiment(folder);
    let path = folder.join("experiment.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("training.rounds = 2", &format!("training.rounds = {rounds}"));
    std::fs::write(&path, format!("{text}training.local_epochs = {epochs}\n")).unwrap();
    path
}
