//! Small runs of the program, and their files.

// Each test binary uses a part of it.
#![allow(dead_code)]

#[cfg(unix)]
pub(crate) mod superlink;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program, with its own cache.
pub(crate) fn flora(cache: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flora"));
    command.env("FLORA_CACHE", cache);
    // The folder where models and data sets are found.
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    command
}

/// A quickstart with few images, changed by `settings`.
pub(crate) fn small(cache: &Path, settings: &[&str], out: &Path) -> Command {
    let mut command = flora(cache);
    command.args(["run", "quickstart", "--overwrite", "--out"]).arg(out);
    let few = ["training.rounds=6", "training.batch_size=32", "data.limit={train=160,test=40}"];
    for assignment in few.iter().chain(settings) {
        command.args(["--set", assignment]);
    }
    command
}

/// Resumes the run in `out`.
pub(crate) fn resume(cache: &Path, out: &Path) -> Command {
    let mut command = flora(cache);
    command.args(["run", "--resume"]).arg(out);
    command
}

/// The folder of the smallest CLIP.
pub(crate) fn tiny_clip() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../flora-clip/tests/fixtures/tiny-clip")
}

/// Images of two vendors and three classes, and an experiment on them with the tiny CLIP.
pub(crate) fn write_experiment(folder: &Path) {
    for vendor in ["acme", "zenith"] {
        for split in ["train", "test"] {
            for (class, color) in
                [("ball", [200, 30, 30]), ("cup", [30, 200, 30]), ("hat", [30, 30, 200])]
            {
                let path = folder.join("images").join(vendor).join(split).join(class);
                std::fs::create_dir_all(&path).unwrap();
                for number in 0..5u8 {
                    let image = image::RgbImage::from_fn(32, 32, |x, y| {
                        let shade = ((x * 7 + y * 3) as u8).wrapping_mul(number + 1) / 8;
                        image::Rgb(color.map(|value: u8| value.saturating_add(shade)))
                    });
                    image.save(path.join(format!("{number}.png"))).unwrap();
                }
            }
        }
    }
    let dataset = "name = 'things'\ntitle = 'Things'\ntemplate = 'a photo of a {}.'\n\
                   license = 'CC0-1.0'\nsource = 'made by a test'\n[layout]\nkind = 'image-folder'\n\
                   pattern = 'images/{domain}/{split}/{class}'\n";
    std::fs::write(folder.join("things.toml"), dataset).unwrap();
    let experiment = format!(
        "name = 'things'\nmodel.path = '{}'\ndata.path = 'things.toml'\n\
         partition.kind = 'natural'\ntraining.rounds = 2\ntraining.batch_size = 8\n\
         training.learning_rate = 1e-3\n",
        tiny_clip().display()
    );
    std::fs::write(folder.join("experiment.toml"), experiment).unwrap();
}

/// Runs a command that must succeed.
pub(crate) fn done(mut command: Command) -> Output {
    let output = command.output().unwrap();
    let (said, shown) = (text(&output.stderr), text(&output.stdout));
    assert!(output.status.success(), "{command:?}: {}\n{said}{shown}", output.status);
    output
}

/// Runs a command that must end with this exit code, and returns its standard error.
pub(crate) fn refused(mut command: Command, code: i32) -> String {
    let output = command.output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {said}{}", text(&output.stdout));
    assert!(!said.contains("panicked"), "{said}");
    said
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Sends a signal, such as `INT`.
pub(crate) fn send(signal: &str, child: &Child) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success());
}

/// Waits for an expected event.
pub(crate) fn wait_for(what: &str, mut it: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(180);
    while !it() {
        assert!(Instant::now() < until, "{what}: it did not come");
        sleep(Duration::from_millis(2));
    }
}

/// The events of a run so far, except for a half-written last line.
pub(crate) fn events(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The number of events of this name so far.
pub(crate) fn count(run: &Path, event: &str) -> usize {
    events(run).iter().filter(|it| it["event"] == event).count()
}

/// The summary of a run.
pub(crate) fn summary(run: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(run.join("run.json")).unwrap()).unwrap()
}

/// Kills a run once two rounds are done.
pub(crate) fn killed(mut command: Command, out: &Path) {
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    wait_for("two rounds", || out.join("state/000002.state").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!out.join("run.json").exists(), "too late: it had finished");
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Number of kills per test.
pub(crate) fn kills(usual: u32) -> u32 {
    let asked = std::env::var("FLORA_KILLS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(usual)
}

/// Random numbers of low quality that differ in every run.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Self(now.as_nanos() as u64 | 1)
    }

    /// A moment below `longest`.
    pub(crate) fn moment(&mut self, longest: Duration) -> Duration {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        longest.mul_f64((self.0 >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

/// Every file of a run's folder by name, without times and command lines.
pub(crate) fn leftovers(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    collect(run, run, &mut files);
    files
}

/// Every file of a folder by name, unchanged.
pub(crate) fn raw(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(some) = folders.pop() {
        for entry in std::fs::read_dir(some).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
    files
}

/// Asserts that two runs left the same files, except for some.
pub(crate) fn assert_same_but(run: &Path, reference: &Path, apart: &[&str], what: &str) {
    let mut differ = differences(&leftovers(run), &leftovers(reference));
    differ.retain(|name| !apart.contains(&name.as_str()));
    assert!(differ.is_empty(), "{what}: {differ:?}");
}

/// Asserts that two runs left the same files.
pub(crate) fn assert_same(run: &Path, reference: &Path, what: &str) {
    let differ = differences(&leftovers(run), &leftovers(reference));
    assert!(differ.is_empty(), "{what}: {differ:?}");
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
            continue;
        }
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let bytes = std::fs::read(&path).unwrap();
        let bytes = match name.as_str() {
            "run.json" => timeless(&bytes),
            "metrics.jsonl" => {
                let lines: Vec<Vec<u8>> =
                    bytes.split_inclusive(|&byte| byte == b'\n').map(timeless).collect();
                lines.join(&b'\n')
            }
            _ => bytes,
        };
        files.insert(name, bytes);
    }
}

fn timeless(json: &[u8]) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(json).unwrap();
    if let Some(object) = value.as_object_mut() {
        // This includes their checksums.
        for key in ["seconds", "peak_memory_bytes", "command", "started_at", "files", "sha256"] {
            object.remove(key);
        }
    }
    serde_json::to_vec(&value).unwrap()
}

/// The files that only one of the two has, or that differ.
pub(crate) fn differences(
    one: &BTreeMap<String, Vec<u8>>,
    other: &BTreeMap<String, Vec<u8>>,
) -> Vec<String> {
    let names = one.keys().chain(other.keys()).collect::<std::collections::BTreeSet<_>>();
    names.into_iter().filter(|name| one.get(*name) != other.get(*name)).cloned().collect()
}
