//! The archive of the model and data sets that ship: made from the source tree, and cut into the halves that two crates
//! hold, because crates.io takes 10 MiB at most for a crate.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use tar::{Builder, Header};

/// The folders whose files are in the archive, relative to the root of the source tree.
pub(crate) const FOLDERS: [&str; 3] =
    ["models/clip-nano", "datasets/emoji-vendors", "datasets/fashion-mnist-6k"];

/// The files that belong into the archive, relative to the root, sorted.
///
/// # Errors
///
/// A folder cannot be read.
pub(crate) fn files(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = vec![PathBuf::from("NOTICE")];
    for folder in FOLDERS {
        below(root, Path::new(folder), &mut files)?;
    }
    for entry in fs::read_dir(root.join("datasets"))? {
        let name = PathBuf::from(entry?.file_name());
        if name.extension().is_some_and(|extension| extension == "toml") {
            files.push(Path::new("datasets").join(name));
        }
    }
    files.sort();
    Ok(files)
}

fn below(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if !entry.file_type()?.is_dir() {
            files.push(path);
        } else if entry.file_name() != "__pycache__" {
            below(root, &path, files)?;
        }
    }
    Ok(())
}

/// The halves of the archive. The same files make the same bytes: it has no times and no names of users.
///
/// # Errors
///
/// A file cannot be read.
pub(crate) fn halves(root: &Path) -> io::Result<[Vec<u8>; 2]> {
    let out = GzBuilder::new().write(Vec::new(), Compression::best());
    let mut archive = Builder::new(out);
    for name in files(root)? {
        let path = root.join(&name);
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(fs::metadata(&path)?.len());
        archive.append_data(&mut header, &name, File::open(&path)?)?;
    }
    let mut first = archive.into_inner()?.finish()?;
    let second = first.split_off(first.len() / 2);
    Ok([first, second])
}

/// The place of a half in the package of a crate.
pub(crate) fn asset(half: usize) -> String {
    format!("assets/examples.tar.gz.{half}")
}

/// For a build script: tells the compiler, as `FLORA_EXAMPLES`, the file of a half. In the source tree the half is made anew;
/// a package brings it along.
///
/// # Panics
///
/// If it can neither be found nor made.
pub(crate) fn provide(half: usize) {
    let folder = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = folder.join("../..");
    let file = if root.join(FOLDERS[0]).is_dir() {
        for path in ["NOTICE", "datasets"].into_iter().chain(FOLDERS) {
            println!("cargo:rerun-if-changed={}", root.join(path).display());
        }
        let file = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it")).join("half");
        let halves = halves(&root).expect("the model and data sets of the source tree are read");
        fs::write(&file, &halves[half]).expect("the folder of outputs is written");
        file
    } else {
        println!("cargo:rerun-if-changed={}", asset(half));
        folder.join(asset(half))
    };
    assert!(
        file.is_file(),
        "{}: missing; make it with `cargo run -p flora-examples --example pack` before packaging",
        file.display()
    );
    println!("cargo:rustc-env=FLORA_EXAMPLES={}", file.display());
}
