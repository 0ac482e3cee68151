//! Passes the commit of the build to the program, if it is known.

use std::path::Path;
use std::process::Command;

/// Number of digits of the commit that are shown.
const DIGITS: usize = 9;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=FLORA_COMMIT");
    let commit = std::env::var("FLORA_COMMIT").ok().or_else(packaged).or_else(checked_out);
    let commit = commit.unwrap_or_default();
    let short = commit.get(..DIGITS).unwrap_or(&commit);
    println!("cargo::rustc-env=FLORA_COMMIT={short}");
}

/// The commit that `cargo package` wrote into the package.
fn packaged() -> Option<String> {
    let text = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, rest) = text.split_once("\"sha1\"")?;
    rest.split('"').nth(1).map(str::to_owned)
}

/// The commit of the work tree that contains this crate.
fn checked_out() -> Option<String> {
    // A package unpacked inside another repository does not belong to that repository's commit.
    let root = git(&["rev-parse", "--show-toplevel"])?;
    let here = Path::new("../..").canonicalize().ok()?;
    if Path::new(&root).canonicalize().ok()? != here {
        return None;
    }
    // The log of HEAD changes exactly with every new or checked-out commit. Watching a file that does not exist would
    // rebuild the program every time.
    for file in ["logs/HEAD", "HEAD"] {
        let path = git(&["rev-parse", "--git-path", file])?;
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
            break;
        }
    }
    git(&["rev-parse", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
