//! Makes the archive of the models and data sets in the source tree, in the halves that two crates hold:
//! `cargo run --release -p flora-examples --example pack`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use tar::{Builder, Header};

#[path = "../tests/tree.rs"]
mod tree;

fn main() -> io::Result<()> {
    // Without times and names of users, the same files make the same archive.
    let out = GzBuilder::new().write(Vec::new(), Compression::best());
    let mut archive = Builder::new(out);
    for name in tree::files()? {
        let path = tree::root().join(&name);
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(fs::metadata(&path)?.len());
        archive.append_data(&mut header, &name, File::open(&path)?)?;
    }
    let bytes = archive.into_inner()?.finish()?;
    let (first, second) = bytes.split_at(bytes.len() / 2);
    for (part, name) in [
        (first, "crates/flora-examples/assets/examples.tar.gz.0"),
        (second, "crates/flora-examples-rest/assets/examples.tar.gz.1"),
    ] {
        File::create(Path::new(&tree::root()).join(name))?.write_all(part)?;
        println!("{name}: {} bytes", part.len());
    }
    Ok(())
}
