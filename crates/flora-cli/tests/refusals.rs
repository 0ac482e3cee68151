//! A run that cannot be resumed is refused with a clear message, and left unchanged.

#![cfg(unix)]

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::*;

/// An interrupted run, and the result of the uninterrupted one.
struct Setup {
    folder: tempfile::TempDir,
    settings: Vec<String>,
}

impl Setup {
    fn new(settings: &[String]) -> Self {
        let few = ["training.rounds=4", "data.limit={train=100,test=40}"].map(str::to_owned);
        let settings = few.iter().chain(settings).cloned().collect();
        let setup = Self { folder: tempfile::tempdir().unwrap(), settings };
        done(setup.begin(&setup.path("reference")));
        killed(setup.begin(&setup.path("killed")), &setup.path("killed"));
        setup
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn begin(&self, out: &Path) -> Command {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        small(&self.path("cache"), &settings, out)
    }

    fn resume(&self, out: &Path) -> Command {
        resume(&self.path("cache"), out)
    }

    /// A copy of the interrupted run.
    fn another(&self, name: &str) -> PathBuf {
        let out = self.path(name);
        copy(&self.path("killed"), &out);
        out
    }

    /// The run must not resume, give the reason, and stay unchanged.
    fn refuses(&self, out: &Path, words: &[&str]) {
        let before = raw(out);
        let said = refused(self.resume(out), 2);
        for word in words {
            assert!(said.contains(word), "{word}: {said}");
        }
        let differ = differences(&raw(out), &before);
        assert!(differ.is_empty(), "{said}{differ:?}");
    }

    fn goes_on(&self, out: &Path, what: &str) -> String {
        let said = text(&done(self.resume(out)).stderr);
        assert_same(out, &self.path("reference"), what);
        said
    }
}

/// The files of the last two states, in order.
fn states(out: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(out.join("state")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|it| it.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "state"));
    paths.sort();
    // A run killed between writing one and removing another has three.
    let last = paths.split_off(paths.len().saturating_sub(2));
    paths.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    last
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

fn flip(path: &Path, part: f64) {
    change(path, |bytes| {
        let at = (part * (bytes.len() - 1) as f64) as usize;
        bytes[at] ^= 1;
    });
}

#[test]
fn folders_that_hold_no_interrupted_run() {
    let setup = Setup::new(&[]);
    let said = refused(setup.resume(&setup.path("nowhere")), 2);
    assert!(said.contains("nowhere holds no run"), "{said}");
    assert!(!setup.path("nowhere").exists());
    std::fs::create_dir(setup.path("empty")).unwrap();
    setup.refuses(&setup.path("empty"), &["empty holds no run"]);

    // A finished run has nothing left to do.
    let finished = setup.path("reference");
    let before = raw(&finished);
    let shown = text(&done(setup.resume(&finished)).stdout);
    assert!(shown.contains("is already finished"), "{shown}");
    assert!(differences(&raw(&finished), &before).is_empty());

    // A run that a living process writes.
    let out = setup.another("living");
    let mut child = setup.resume(&out);
    child.args(["--threads", "1"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut first = child.spawn().unwrap();
    wait_for("the other one's lock", || count(&out, "round_started") > 2);
    // It must not finish before the other one gives up.
    send("STOP", &first);
    let said = refused(setup.resume(&out), 2);
    assert!(said.contains("in use by another process"), "{said}");
    send("CONT", &first);
    assert!(first.wait().unwrap().success());
    assert_same(&out, &setup.path("reference"), "resumed twice");

    // If two start at the same moment, at least one resumes, or both one after the other.
    let out = setup.another("raced");
    let two = [(); 2]
        .map(|()| setup.resume(&out).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let codes = two.map(|child| child.wait_with_output().unwrap().status.code());
    assert!(codes.contains(&Some(0)) && codes.iter().all(|it| [Some(0), Some(2)].contains(it)));
    assert_same(&out, &setup.path("reference"), "raced");

    // It resumes from any location.
    let (from, to) = (setup.another("moved"), setup.path("a new place"));
    std::fs::rename(from, &to).unwrap();
    setup.goes_on(&to, "moved");
}

#[test]
fn files_that_were_edited_or_damaged() {
    let setup = Setup::new(&["federation.fraction=0.5".to_owned()]);
    let out = setup.another("experiment");
    let text = std::fs::read_to_string(out.join("experiment.toml")).unwrap();
    std::fs::write(out.join("experiment.toml"), text.replace("rounds = 4", "rounds = 5")).unwrap();
    setup.refuses(&out, &["experiment.toml is not the one", "put the original back"]);
    std::fs::write(out.join("experiment.toml"), "rounds = [").unwrap();
    setup.refuses(&out, &["experiment.toml"]);
    std::fs::write(out.join("experiment.toml"), text).unwrap();
    setup.goes_on(&out, "experiment.toml put back");

    let out = setup.another("partition");
    flip(&out.join("partition.json"), 0.5);
    setup.refuses(&out, &["partition.json is not the one"]);
    std::fs::remove_file(out.join("partition.json")).unwrap();
    setup.refuses(&out, &["partition.json"]);

    let out = setup.another("metrics");
    flip(&out.join("metrics.jsonl"), 0.1);
    setup.refuses(&out, &["metrics.jsonl", "changed since"]);
    flip(&out.join("metrics.jsonl"), 0.1);
    // Events after the last state do not count.
    change(&out.join("metrics.jsonl"), |bytes| bytes.extend(b"{ half a li"));
    setup.goes_on(&out, "metrics.jsonl put back");
    let out = setup.another("cut");
    change(&out.join("metrics.jsonl"), |bytes| bytes.truncate(200));
    setup.refuses(&out, &["metrics.jsonl", "it has 200 bytes"]);

    let clients = |out: &Path| out.join("state/clients.bin");
    let out = setup.another("clients missing");
    std::fs::remove_file(clients(&out)).unwrap();
    setup.refuses(&out, &["clients.bin", "No such file"]);
    let out = setup.another("clients cut");
    change(&clients(&out), |bytes| bytes.truncate(bytes.len() / 4));
    setup.refuses(&out, &["clients.bin", "cut off", "--overwrite"]);
    for part in 0..12 {
        let part = f64::from(part) / 12.0 + 0.01;
        let out = setup.another(&format!("clients {part}"));
        flip(&clients(&out), part);
        let before = raw(&out);
        let output = setup.resume(&out).output().unwrap();
        match output.status.code() {
            // In a slot that is not used.
            Some(0) => assert_same(&out, &setup.path("reference"), "an old slot"),
            Some(2) => {
                let said = support::text(&output.stderr);
                assert!(said.contains("clients.bin") && said.contains("checksum"), "{said}");
                assert!(differences(&raw(&out), &before).is_empty());
            }
            code => panic!("{code:?}: {}", support::text(&output.stderr)),
        }
    }
}

#[test]
fn states_that_are_damaged_or_of_another_version() {
    let setup = Setup::new(&["output.keep_clients=true".to_owned()]);
    let length = std::fs::metadata(states(&setup.path("killed")).pop().unwrap()).unwrap().len();
    for cut in [0, 10, 100, length / 2, length - 1] {
        let out = setup.another(&format!("cut {cut}"));
        change(&states(&out)[1], |bytes| bytes.truncate(cut as usize));
        let said = setup.goes_on(&out, "cut");
        assert!(said.contains("resumes from the previous state"), "{said}");
    }
    for part in [0.0, 0.1, 0.9, 1.0] {
        let out = setup.another(&format!("flipped {part}"));
        flip(&states(&out)[1], part);
        let said = setup.goes_on(&out, "flipped");
        assert!(said.contains("is damaged") || said.contains("another version"), "{said}");
    }
    let out = setup.another("both");
    states(&out).iter().for_each(|path| flip(path, 0.5));
    setup.refuses(&out, &[".state", "is damaged"]);

    // Another version of flora, in an undamaged state.
    let out = setup.another("version");
    for path in states(&out) {
        change(&path, |bytes| {
            bytes.truncate(bytes.len() - 32);
            let now = format!(r#"\"flora\":\"{}\""#, env!("CARGO_PKG_VERSION"));
            let then = now.replace(|it: char| it.is_ascii_digit(), "9");
            let at = bytes.windows(now.len()).position(|it| it == now.as_bytes()).unwrap();
            bytes[at..at + now.len()].copy_from_slice(then.as_bytes());
            let digest = sha256(bytes);
            bytes.extend(digest);
        });
    }
    setup.refuses(&out, &["was started by flora 9.9.9", "--overwrite"]);

    // A missing state folder must not lose the rest.
    let out = setup.another("gone");
    std::fs::remove_dir_all(out.join("state")).unwrap();
    setup.refuses(&out, &["holds no state to resume from", "state/ is gone"]);

    let out = setup.another("options");
    let mut command = setup.resume(&out);
    command.args(["--device", "cuda"]);
    let said = refused(command, 2);
    assert!(said.contains("--device cuda") && said.contains("cpu"), "{said}");
    for options in [
        &["--set", "training.rounds=9"][..],
        &["quickstart"],
        &["--out", "elsewhere"],
        &["--overwrite"],
        &["--seed", "1"],
        &["--numbers-only"],
        &["--keep-clients"],
        &["--save-every", "2"],
    ] {
        let mut command = setup.resume(&out);
        command.args(options);
        let said = refused(command, 2);
        assert!(said.contains("cannot be used with"), "{said}");
    }
    setup.goes_on(&out, "after all refusals");
}

/// Computed by a program that every system has.
fn sha256(bytes: &[u8]) -> Vec<u8> {
    let mut child =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let hex = text(&child.wait_with_output().unwrap().stdout);
    (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

#[test]
fn inputs_that_changed_since() {
    let inputs = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (model, data) = (inputs.path().join("model"), inputs.path().join("data"));
    copy(&root.join("models/clip-nano"), &model);
    copy(&root.join("datasets/emoji-vendors"), &data);
    // The adapter to start from.
    let cache = inputs.path().join("cache");
    let earlier = inputs.path().join("earlier");
    done(small(&cache, &["training.rounds=1"], &earlier));
    let toml = data.join("emoji-vendors.toml");
    let setup = Setup::new(&[
        format!("model.path={}", model.display()),
        format!("data.path={}", toml.display()),
        format!("method.init_adapter={}", earlier.display()),
    ]);
    let out = setup.another("run");

    let refuses_with = |path: &Path, words: &[&str], edit: &dyn Fn(&mut Vec<u8>)| {
        let bytes = std::fs::read(path).unwrap();
        change(path, |bytes| edit(bytes));
        assert_ne!(std::fs::read(path).unwrap(), bytes, "{}", path.display());
        setup.refuses(&out, words);
        std::fs::write(path, bytes).unwrap();
    };
    let replace = |from: &'static str, to: &'static str| {
        move |bytes: &mut Vec<u8>| *bytes = text(bytes).replace(from, to).into_bytes()
    };
    let last = |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1;
    let weights = model.join("model.safetensors");
    refuses_with(&weights, &["the weights of", "changed since the run began"], &last);
    let config = model.join("config.json");
    refuses_with(&config, &["model's configuration"], &replace("quick_gelu", "gelu"));
    refuses_with(&toml, &["prompts"], &replace("{}", "one {}"));
    let adapter = earlier.join("adapter/adapter_model.safetensors");
    refuses_with(&adapter, &["method.init_adapter", "is not the file that flora wrote"], &last);
    // For adapters from elsewhere, only their contents are known.
    std::fs::remove_file(earlier.join("adapter/flora.json")).unwrap();
    refuses_with(&adapter, &["adapter to start from"], &last);
    let adapter = earlier.join("adapter/adapter_config.json");
    let alpha = replace("\"lora_alpha\": 32", "\"lora_alpha\": 16");
    refuses_with(&adapter, &["adapter to start from"], &alpha);
    // The same names, and other images.
    let names = raw(&data).into_keys().filter(|it| it.contains("/test/") && it.ends_with(".png"));
    let names: Vec<PathBuf> = names.map(|name| data.join(name)).collect();
    let swap = || {
        let aside = data.join("aside");
        for pair in names.chunks_exact(2) {
            std::fs::rename(&pair[0], &aside).unwrap();
            std::fs::rename(&pair[1], &pair[0]).unwrap();
            std::fs::rename(&aside, &pair[1]).unwrap();
        }
    };
    swap();
    setup.refuses(&out, &["images"]);
    swap();
    setup.goes_on(&out, "all put back");
}
