//! The fixtures, and Flower's Python.
#![allow(dead_code, reason = "no test needs all of it")]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flora_flower::objects::{Inflated, Limits, ObjectError, Objects, inflate};
use serde::Deserialize;

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// `objects/NAME.json`.
#[derive(Deserialize)]
pub(crate) struct Fixture {
    pub(crate) root: String,
    pub(crate) tree: serde_json::Value,
    objects: Vec<(String, String)>,
    arrays: BTreeMap<String, (Vec<usize>, String)>,
}

impl Fixture {
    pub(crate) fn load(name: &str) -> Self {
        let path = fixtures().join(format!("objects/{name}.json"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    pub(crate) fn contents(&self) -> HashMap<String, Vec<u8>> {
        let decode = |(id, text): &(String, String)| (id.clone(), STANDARD.decode(text).unwrap());
        self.objects.iter().map(decode).collect()
    }

    /// Shape and bytes of each array.
    pub(crate) fn arrays(&self) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
        let decode = |(name, (shape, text)): (&String, &(Vec<usize>, String))| {
            (name.clone(), (shape.clone(), STANDARD.decode(text).unwrap()))
        };
        self.arrays.iter().map(decode).collect()
    }

    pub(crate) fn inflate(&self) -> Inflated {
        read(&self.root, &self.contents(), Limits::default()).unwrap()
    }
}

/// Inflates from a map; an id that is not there is an object without a head.
pub(crate) fn read(
    root: &str,
    contents: &HashMap<String, Vec<u8>>,
    limits: Limits,
) -> Result<Inflated, ObjectError> {
    inflate(root, limits, &mut |id: &str| Ok(contents.get(id).cloned().unwrap_or_default()))
}

/// Inflates what was deflated.
pub(crate) fn read_back(objects: &Objects) -> Inflated {
    read(&objects.root, &objects.contents.iter().cloned().collect(), Limits::default()).unwrap()
}

/// The Python that has flwr, if the environment names one.
pub(crate) fn python() -> Option<Command> {
    let mut command = Command::new(std::env::var_os("FLORA_FLOWER_PYTHON")?);
    command.env("FLWR_TELEMETRY_ENABLED", "0").env("FLWR_DISABLE_UPDATE_CHECK", "1");
    command.arg(fixtures().join("check_flora.py"));
    Some(command)
}
