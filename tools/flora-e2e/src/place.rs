//! Where things are: the source tree, the programs, and a folder for what the tests write.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The root of the source tree.
///
/// # Panics
///
/// If the tree has moved since the tests were built.
#[track_caller]
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", root.display()))
}

/// An empty folder for one test, below `tmp/e2e` in the target folder. It remains until the next run of the tests, so
/// that what a failed test has left can be looked at.
///
/// # Panics
///
/// If another test took the same name, or the folder cannot be made.
#[track_caller]
pub fn scratch(name: &str) -> PathBuf {
    let folder = SCRATCH.0.join(name);
    std::fs::create_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    folder
}

/// The folder of all tests, and a lock on it while this process lives: a second run of the tests waits for the first.
static SCRATCH: LazyLock<(PathBuf, File)> = LazyLock::new(|| {
    let folder = target().join("tmp/e2e");
    let make = || {
        std::fs::create_dir_all(target().join("tmp"))?;
        let lock = File::create(folder.with_extension("lock"))?;
        lock.lock()?;
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir(&folder)?;
        Ok::<_, std::io::Error>(lock)
    };
    let lock = make().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    (folder, lock)
});

/// A cache for all tests: the first one computes the image features, the others read them.
pub(crate) fn cache() -> PathBuf {
    SCRATCH.0.join("cache")
}

/// The program.
pub(crate) fn flora() -> PathBuf {
    let program = named_by("FLORA_BIN").unwrap_or_else(|| profile().join("flora"));
    built(program, "cargo build --release -p flora-cli, or name the program in FLORA_BIN")
}

/// An example, beside the program.
pub(crate) fn example(name: &str) -> PathBuf {
    let example = flora().with_file_name("examples").join(name);
    built(example, "cargo build --release -p flora-cli -p flora --bins --examples")
}

/// The program with GPU backends.
pub(crate) fn gpu_flora() -> PathBuf {
    let program = named_by("FLORA_GPU_BIN").unwrap_or_else(|| target().join("backends/flora"));
    built(program, "cargo build --profile backends -p flora-cli --features wgpu")
}

/// What a variable names, relative to the root of the source tree: tests run in their crate's folder.
fn named_by(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(|path| root().join(path))
}

fn built(program: PathBuf, remedy: &str) -> PathBuf {
    let program = program.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(program.is_file(), "{} is not built: {remedy}", program.display());
    program
}

/// The folder of the profile, such as `target/release`: this test is `target/release/deps/e2e-...`.
fn profile() -> PathBuf {
    let test = std::env::current_exe().expect("the operating system names the running test");
    let folder = test.ancestors().nth(2);
    folder.expect("a test lies in the folder deps of its profile").to_owned()
}

/// The target folder.
fn target() -> PathBuf {
    let profile = profile();
    profile.parent().expect("a profile lies in a target folder").to_owned()
}
