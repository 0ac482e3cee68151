//! The program is killed while it encodes images, and resumes where it was.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Kills before a process may finish.
const KILLS: usize = 3;

fn flora(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flora"));
    command.args(arguments).current_dir(folder).env("FLORA_CACHE", folder.join("cache"));
    command
}

fn output(mut command: Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The file whose name ends in `.partial`, and its length.
fn partial(folder: &Path) -> Option<(PathBuf, u64)> {
    let path =
        files(folder).into_iter().find(|path| path.extension() == Some("partial".as_ref()))?;
    let length = path.metadata().ok()?.len();
    Some((path, length))
}

/// Waits until the partial file in `folder` is longer than `length` bytes.
fn grown(child: &mut Child, folder: &Path, length: u64) -> u64 {
    let started = Instant::now();
    loop {
        if let Some((_, now)) = partial(folder).filter(|&(_, now)| now > length) {
            return now;
        }
        assert!(child.try_wait().unwrap().is_none(), "it was done before it could be killed");
        assert!(started.elapsed() < Duration::from_secs(180), "no rows are kept");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Kills `command` a few times, each time after it has stored more rows than before.
fn kill(command: impl Fn() -> Command, folder: &Path) {
    // More than the first line.
    let mut length = 200;
    for _ in 0..KILLS {
        let mut child = start(command());
        length = grown(&mut child, folder, length);
        // SIGKILL on Unix: nothing is cleaned up.
        child.kill().unwrap();
        child.wait().unwrap();
        let (_, left) = partial(folder).expect("the rows stay");
        assert!(left >= length);
        length = left;
    }
}

/// The contents of the only file in a cache. A process killed while it renames the file leaves a temporary one.
fn cached(folder: &Path) -> Vec<u8> {
    let mut files = files(&folder.join("cache"));
    files.retain(|path| !flora::core::files::is_leftover(path.file_name().unwrap()));
    let [file] = &files[..] else { panic!("one file, and no partial one: {files:?}") };
    std::fs::read(file).unwrap()
}

const EVAL: [&str; 6] = ["eval", "--data", "emoji-vendors", "--split", "test", "--json"];

#[test]
fn image_features_survive_kills_and_are_computed_by_one_process_at_a_time() {
    let [calm, killed, two] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let expected = output(flora(calm.path(), &EVAL)).stdout;
    let whole = cached(calm.path());

    let command = || flora(killed.path(), &EVAL);
    kill(command, &killed.path().join("cache"));
    assert_eq!(output(command()).stdout, expected);
    assert!(cached(killed.path()) == whole, "the same bytes");

    let command = || flora(two.path(), &EVAL);
    let mut first = start(command());
    grown(&mut first, &two.path().join("cache"), 200);
    let second = output(command());
    assert!(first.wait().unwrap().success());
    assert_eq!(second.stdout, expected);
    assert!(cached(two.path()) == whole, "the same bytes");
}

#[test]
fn embeddings_survive_kills() {
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/emoji-vendors/images");
    let folder = tempfile::tempdir().unwrap();
    let embed = |out: &str| {
        let images = images.to_str().unwrap();
        flora(folder.path(), &["embed", "--images", images, "--out", out])
    };
    output(embed("calm.npy"));
    kill(|| embed("killed.npy"), folder.path());
    let said = String::from_utf8(output(embed("killed.npy")).stdout).unwrap();
    assert!(said.contains("from an interrupted command"), "{said}");
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert!(read("calm.npy") == read("killed.npy"), "the same bytes");
    assert!(partial(folder.path()).is_none());
}
