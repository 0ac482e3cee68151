//! The app that a SuperLink wants for a run. It holds no code: flora does what an app would.

use std::io::{Cursor, Write};

use flora_core::hex;
use sha2::{Digest, Sha256};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::wire::control::Fab;

/// An app with nothing but a `pyproject.toml`, which is what `flwr ls` shows of the run. `token` makes it an app
/// of its own, so that nobody else takes the run's task.
pub(super) fn bundle(name: &str, token: &str) -> Fab {
    // What Flower takes for a name.
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
    // Into memory, which takes everything.
    zip.start_file("pyproject.toml", SimpleFileOptions::default()).expect("a zip in memory");
    zip.write_all(project.as_bytes()).expect("a zip in memory");
    let content = zip.finish().expect("a zip in memory").into_inner();
    Fab { hash_str: hex::encode(&Sha256::digest(&content)), content }
}
