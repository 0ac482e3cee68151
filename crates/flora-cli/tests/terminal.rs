//! Output to a terminal: tables that fit, no control sequences, and names of any kind.

#![cfg(unix)]

mod support;

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;
use support::*;

/// Turns all following text red, rings the bell, and starts a new line.
const EVIL: &str = "\u{1b}[31mred\u{7}\nerror: fake\u{202e}";
/// How it must be shown.
const HARMLESS: &str = r"\u{1b}[31mred\u{7}\nerror: fake\u{202e}";

/// The output of a command on a terminal with this many columns.
fn on_terminal(mut command: Command, columns: u16) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let end = Path::new(OsStr::from_bytes(name.to_bytes()));
    let end = std::fs::OpenOptions::new().write(true).open(end).unwrap();
    let mut child = command.stdout(end).stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    // Reading ends with an error when the other end is closed.
    let mut shown = Vec::new();
    let _ = std::fs::File::from(terminal).read_to_end(&mut shown);
    assert!(child.wait().unwrap().success());
    text(&shown).replace('\r', "")
}

fn in_folder(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = flora(&folder.join("cache"));
    command.args(arguments).current_dir(folder);
    command
}

/// Asserts that there is only text and line breaks.
fn assert_harmless(shown: &[u8]) {
    let shown = std::str::from_utf8(shown).unwrap();
    let obeyed = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!shown.contains(obeyed), "{shown:?}");
    assert!(!shown.lines().any(|line| line.starts_with("error: fake")), "{shown}");
}

fn picture(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let bytes = {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let image = image::RgbImage::from_pixel(32, 32, image::Rgb([200, 30, 30]));
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn tables_fit_the_terminal_and_are_plain_in_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    write_experiment(folder.path());
    let long = format!("images/acme/test/ball/{}.png", "a-name-that-goes-on".repeat(6));
    picture(&folder.path().join(&long));
    let out = format!("runs/{}", "a-run-with-a-long-name-".repeat(4));
    for number in ["1", "2"] {
        let run = ["run", "experiment.toml", "-q", "--seed", number, "--out"];
        done(in_folder(folder.path(), &[&run[..], &[&format!("{out}{number}")]].concat()));
    }
    // Paths are not shortened: the width must not depend on the checkout's location.
    std::os::unix::fs::symlink(tiny_clip(), folder.path().join("tiny-clip")).unwrap();
    let model = ["--model", "tiny-clip"];
    let classify =
        [&["classify", "--labels", "ball,cup", "--top", "2", &long], &model[..]].concat();
    let eval = [&["eval", "--data", "things.toml"], &model[..]].concat();
    let (a, b) = (format!("{out}1"), format!("{out}2"));
    for arguments in [
        &["presets"][..],
        &["datasets"],
        &["runs"],
        &["runs", "compare", &a, &b],
        &["partition", "experiment.toml"],
        &["run", "experiment.toml", "--set", "training.rounds=1"],
        &classify,
        &eval,
    ] {
        for columns in [80, 100] {
            let shown = on_terminal(in_folder(folder.path(), arguments), columns);
            assert!(shown.contains('─'), "{arguments:?}: {shown}");
            let is_path = |line: &&str| line.starts_with("results are in ");
            for line in shown.lines().filter(|line| !is_path(line)) {
                let width = line.chars().count();
                assert!(width <= columns.into(), "{arguments:?}, {width}: {line}");
            }
        }
        let plain = text(&done(in_folder(folder.path(), arguments)).stdout);
        assert!(!plain.contains(['─', '…', '\u{1b}']), "{arguments:?}: {plain}");
    }
    let plain = |arguments: &[&str]| text(&done(in_folder(folder.path(), arguments)).stdout);
    assert!(plain(&["runs"]).contains(out.strip_prefix("runs/").unwrap()), "whole names");
    assert!(plain(&classify).contains(&long), "whole names");
    assert_eq!(plain(&classify).lines().count(), 2);
}

#[test]
fn what_a_terminal_obeys_is_written_out() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for class in ["ball", EVIL] {
        for client in ["acme", EVIL] {
            for (split, count) in [("train", 3), ("test", 2)] {
                for number in 0..count {
                    let below = [client, split, class].iter().collect::<PathBuf>();
                    picture(&root.join("images").join(below).join(format!("{number}{EVIL}.png")));
                }
            }
        }
    }
    let quoted = serde_json::to_string(EVIL).unwrap().replace('\u{202e}', "\\u202e");
    let set = format!(
        "name = 'things'\ntitle = {quoted}\ntemplate = 'a {{}}.'\nlicense = {quoted}\n\
         source = {quoted}\n[layout]\nkind = 'image-folder'\n\
         pattern = 'images/{{domain}}/{{split}}/{{class}}'\n"
    );
    std::fs::create_dir(root.join("datasets")).unwrap();
    let below = set.replace("kind = 'image-folder'\n", "kind = 'image-folder'\nroot = '..'\n");
    std::fs::write(root.join("datasets/below.toml"), below.replace("'things'", &quoted)).unwrap();
    std::fs::write(root.join("things.toml"), set).unwrap();
    let model = tiny_clip();
    let experiment = format!(
        "name = 'evil'\nmodel.path = '{}'\ndata.path = 'things.toml'\npartition.kind = 'natural'\n\
         training.rounds = 1\ntraining.batch_size = 4\n",
        model.display()
    );
    std::fs::write(root.join("evil.toml"), experiment).unwrap();
    let model = ["--model", model.to_str().unwrap()];
    let images = format!("images/acme/test/{EVIL}");
    let out = format!("runs/{EVIL}");
    for arguments in [
        &["partition", "evil.toml"][..],
        &["run", "evil.toml", "-v", "--out", &out],
        &["run", "evil.toml", "--json", "--out", "runs/json"],
        &["runs"],
        &["runs", "--json"],
        &["runs", "compare", &out, "runs/json"],
        &["eval", "--run", &out],
        &["classify", &images, "--run", &out],
        &["datasets"],
        &["datasets", "check", "things.toml"],
        &[&["eval", "--data", "things.toml", "--split", "all"], &model[..]].concat(),
        &[&["eval", "--data", "things.toml", "--json"], &model[..]].concat(),
        &[&["classify", &images, "--labels", EVIL], &model[..]].concat(),
        &[&["classify", &images, "--labels", EVIL, "--json"], &model[..]].concat(),
    ] {
        let output = done(in_folder(root, arguments));
        assert_harmless(&output.stdout);
        assert_harmless(&output.stderr);
        let shown = text(&output.stdout);
        match arguments.contains(&"--json") {
            true => assert!(shown.contains(r"\u001b[31mred\u0007\nerror: fake\u202e"), "{shown}"),
            false => assert!(shown.contains(HARMLESS), "{arguments:?}: {shown}"),
        }
    }
    let broken = format!("images/{EVIL}/test/ball/0{EVIL}.png");
    std::fs::write(root.join(&broken), b"no image").unwrap();
    let unknown = format!("--{EVIL}");
    for arguments in [
        &["run", "evil.toml", "--out", "runs/again"][..],
        &[&["classify", &broken, "--labels", EVIL], &model[..]].concat(),
        &[&["embed", "--images", &broken, "--out", "x.npy"], &model[..]].concat(),
        &["run", EVIL],
        &["run", "evil.toml", "--set", &format!("training.rounds={EVIL}")],
        &["run", "evil.toml", "--set", &format!("name={quoted}")],
        &["run", "evil.toml", "--device", EVIL],
        &["classify", EVIL, "--labels", "a"],
        &["classify", &unknown],
        &[EVIL],
    ] {
        let output = in_folder(root, arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_harmless(&output.stdout);
        assert_harmless(&output.stderr);
        let said = text(&output.stderr);
        assert!(said.starts_with("error: "), "{said}");
        // clap removes sequences from its output.
        let is_clap = said.contains("For more information, try '--help'");
        assert!(is_clap || said.contains(r"\u{1b}[31mred"), "{said}");
    }
}

#[test]
fn names_that_are_not_utf8() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write_experiment(root);
    let strange = OsStr::from_bytes(b"k\xff.png");
    for place in ["", "images/acme/test/ball", "images/acme/train/cup"] {
        picture(&root.join(place).join(strange));
    }
    let model = tiny_clip();
    let with = |arguments: &[&str], path: &OsStr, more: &[&str]| {
        let mut command = in_folder(root, arguments);
        command.arg(path).args(more);
        command
    };
    let model = ["--model", model.to_str().unwrap()];
    let labels = [&["--labels", "ball,cup"], &model[..]].concat();
    let json = text(&done(with(&["classify", "--json"], strange, &labels)).stdout);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["image"], "k\u{fffd}.png");
    let table = text(&done(with(&["classify"], strange, &labels)).stdout);
    assert!(table.contains("k\u{fffd}.png"), "{table}");
    let missing = OsStr::from_bytes(b"no\xff.png");
    let said = refused(with(&["classify", "--json"], missing, &labels), 2);
    assert!(said.contains("no\u{fffd}.png"), "{said}");

    done(with(&["embed", "--out", "x.npy", "--images"], strange, &model));
    done(with(
        &["embed", "--texts", "things.toml", "--out"],
        OsStr::from_bytes(b"\xff.npy"),
        &model,
    ));
    done(in_folder(root, &[&["eval", "--data", "things.toml"], &model[..]].concat()));
    done(in_folder(root, &["partition", "experiment.toml", "--files", "files.csv"]));
    let listed = std::fs::read_to_string(root.join("files.csv")).unwrap();
    assert!(listed.contains("k\u{fffd}.png"), "{listed}");

    let out = Path::new("runs").join(OsStr::from_bytes(b"r\xff"));
    done(with(&["run", "experiment.toml", "--out"], out.as_os_str(), &[]));
    let runs = text(&done(in_folder(root, &["runs", "--json"])).stdout);
    let runs: Value = serde_json::from_str(&runs).unwrap();
    assert_eq!(runs[0]["path"], "runs/r\u{fffd}");
    assert!(text(&done(in_folder(root, &["runs"])).stdout).contains("r\u{fffd}"));
    done(with(&["eval", "--predictions", "p.csv", "--run"], out.as_os_str(), &[]));
    done(with(&["classify", "--csv", "c.csv", "images", "--run"], out.as_os_str(), &[]));
    // A run in such a folder could not be found again.
    let adapter = out.join("adapter");
    let run = ["run", "experiment.toml", "--out", "runs/other", "--init-adapter"];
    let said = refused(with(&run, adapter.as_os_str(), &[]), 2);
    assert!(said.contains("--init-adapter") && said.contains("UTF-8"), "{said}");
    let named = OsStr::from_bytes(b"e\xff.toml");
    std::fs::copy(root.join("experiment.toml"), root.join(named)).unwrap();
    let said = refused(with(&["run"], named, &[]), 2);
    assert!(said.contains("UTF-8"), "{said}");
}

#[test]
fn shells_and_manuals_know_every_command() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = text(&done(in_folder(folder.path(), &["completions", shell])).stdout);
        for words in ["datasets", "compare", "init-adapter"] {
            assert!(script.contains(words), "{shell}: {words}");
        }
    }
    done(in_folder(folder.path(), &["man", "--out", "man"]));
    let page = |name: &str| std::fs::read_to_string(folder.path().join("man").join(name)).unwrap();
    assert!(page("flora.1").contains(r"flora\-datasets(1)"));
    assert!(page("flora-run.1").contains(r"\-\-resume") && !page("flora-run.1").contains("child"));
    assert!(page("flora-datasets-check.1").contains("missing"));
    let pages = std::fs::read_dir(folder.path().join("man")).unwrap().count();
    assert!(pages > 15, "{pages}");
    // If bash is installed, it must accept its script.
    let mut bash = Command::new("bash");
    let script = format!(
        "source <({} completions bash) && COMP_WORDS=(flora datasets ch) COMP_CWORD=2 && \
         _flora flora ch datasets && echo \"${{COMPREPLY[*]}}\"",
        env!("CARGO_BIN_EXE_flora")
    );
    if let Ok(output) = bash.args(["-c", &script]).output() {
        assert_eq!(text(&output.stdout).trim(), "check", "{}", text(&output.stderr));
    }
}

#[test]
fn the_version_says_what_was_built() {
    let folder = tempfile::tempdir().unwrap();
    let short = text(&done(in_folder(folder.path(), &["-V"])).stdout);
    let long = text(&done(in_folder(folder.path(), &["--version"])).stdout);
    let version = env!("CARGO_PKG_VERSION");
    assert!(short.starts_with(&format!("flora {version}")), "{short}");
    assert!(long.starts_with(&short) && long.contains("devices: "), "{long}");
    // Built from a work tree, it shows the commit.
    let git = Command::new("git").args(["rev-parse", "HEAD"]).output();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.git");
    if let Some(git) = git.ok().filter(|it| it.status.success() && Path::new(root).exists()) {
        let commit = text(&git.stdout);
        assert!(short.contains(&format!("({})", &commit[..9])), "{short} {commit}");
    }
}

/// Eighty columns are enough for every help page.
#[test]
fn help_fits_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let help = text(&done(in_folder(folder.path(), &["help"])).stdout);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = commands.take_while(|line| !line.is_empty());
    let names: Vec<&str> =
        names.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    assert!(names.contains(&"run") && names.contains(&"bench"), "{help}");
    for name in names.iter().filter(|name| !name.is_empty() && **name != "help") {
        let mut command = in_folder(folder.path(), &[name, "--help"]);
        command.env("NO_COLOR", "1");
        let help = on_terminal(command, 80);
        assert!(!help.contains('\u{1b}'), "{help}");
        // clap does not wrap its usage line.
        let lines = help.lines().filter(|line| !line.starts_with("Usage: "));
        let long: Vec<&str> = lines.filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{name}: {long:?}");
    }
}
