//! Small runs of the program, and what they leave.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The program, with a cache of its own.
pub(crate) fn flora(cache: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flora"));
    command.env("FLORA_CACHE", cache);
    // Where models and data sets are found.
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

/// Every file of a run's folder, by its name, without what a clock or the command line says.
pub(crate) fn leftovers(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    collect(run, run, &mut files);
    files
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
        for key in ["seconds", "peak_memory_bytes", "command", "started_at"] {
            object.remove(key);
        }
    }
    serde_json::to_vec(&value).unwrap()
}

/// The files that one has and the other has not, or with other contents.
pub(crate) fn differences(
    one: &BTreeMap<String, Vec<u8>>,
    other: &BTreeMap<String, Vec<u8>>,
) -> Vec<String> {
    let names = one.keys().chain(other.keys()).collect::<std::collections::BTreeSet<_>>();
    names.into_iter().filter(|name| one.get(*name) != other.get(*name)).cloned().collect()
}
