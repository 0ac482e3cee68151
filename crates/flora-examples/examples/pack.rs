//! Puts the two halves of the archive where `cargo package` takes them from:
//! `cargo run --release -p flora-examples --example pack`.

use std::fs;
use std::io;
use std::path::Path;

#[path = "../archive.rs"]
#[allow(dead_code, reason = "build scripts use the rest")]
mod archive;

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let crates = ["crates/flora-examples", "crates/flora-examples-rest"];
    for (half, (bytes, name)) in archive::halves(&root)?.iter().zip(crates).enumerate() {
        let path = root.join(name).join(archive::asset(half));
        fs::create_dir_all(path.parent().expect("it is in a folder"))?;
        fs::write(&path, bytes)?;
        println!("{name}/{}: {} bytes", archive::asset(half), bytes.len());
    }
    Ok(())
}
