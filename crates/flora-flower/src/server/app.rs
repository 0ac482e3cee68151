//! The app that a SuperLink requires for a run. It holds no code: flora does the work of an app.

use std::io::{Cursor, Write};

use flora_core::hex;
use sha2::{Digest, Sha256};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::wire::control::Fab;

/// An app that consists of a `pyproject.toml`, whose name `flwr ls` shows. `token` makes the app unique, so that no
/// other process takes the run's task.
pub(super) fn bundle(name: &str, token: &str) -> Fab {
    // The characters that Flower allows in a name.
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' };
    let name: String = name.chars().map(plain).take(60).collect();
    let name = name.trim_matches('-');
    let name = if name.is_empty() { "run" } else { name };
    let version = env!("CARGO_PKG_VERSION");
    let project = format!(
        "[build-system]\nrequires = [\"hatchling\"]\nbuild-backend = \"hatchling.build\"\n\n[project]\nname = \
         \"{name}\"\nversion = \"{version}\"\ndescription = \"Run by flora serve ({token})\"\nlicense = \
         \"Apache-2.0\"\ndependencies = []\n\n[tool.flwr.app]\npublisher = \"flora\"\n\n[tool.flwr.app.components]\n\
         serverapp = \"flora:serve\"\nclientapp = \"flora:node\"\n"
    );
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    // Writing to memory cannot fail.
    zip.start_file("pyproject.toml", SimpleFileOptions::default()).expect("a zip in memory");
    zip.write_all(project.as_bytes()).expect("a zip in memory");
    let content = zip.finish().expect("a zip in memory").into_inner();
    Fab { hash_str: hex::encode(&Sha256::digest(&content)), content }
}
