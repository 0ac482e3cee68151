//! Run folders of processes that die, of runs that go on, and of disks that are full.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use flora_federation::{Event, RunStatus};
use flora_report::{EventsMark, Existing, ReportError, RunFolder, RunSummary, read_events};

/// Where a process that a test starts finds its folder.
const FOLDER: &str = "FLORA_TEST_FOLDER";

fn warning(message: &str) -> Event {
    Event::Warning { message: message.to_owned() }
}

/// A process that writes a run into `folder`, and holds it until it is killed.
fn other_process(folder: &Path) -> Child {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "hold_a_folder", "--nocapture"])
        .env(FOLDER, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("holding")));
    child
}

/// A part of another test, which runs it in a process of its own.
#[test]
fn hold_a_folder() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let folder = RunFolder::create(folder, Existing::Refuse, "seed = 1\n").unwrap();
    folder.record(&warning("from the other process")).unwrap();
    println!("\nholding");
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn a_folder_that_a_living_process_writes_is_locked() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run");
    assert!(!RunFolder::is_locked(&path));
    let mut child = other_process(&path);
    assert!(RunFolder::is_locked(&path));
    let nothing = EventsMark { bytes: 0, sha256: String::new() };
    for error in [
        RunFolder::check(&path, Existing::Refuse).unwrap_err(),
        RunFolder::check(&path, Existing::ReplaceRun).unwrap_err(),
        RunFolder::create(&path, Existing::ReplaceRun, "").unwrap_err(),
        RunFolder::resume(&path, &nothing).unwrap_err(),
    ] {
        assert!(matches!(error, ReportError::Locked { .. }), "{error}");
        assert!(error.to_string().contains("run is in use by another process"), "{error}");
    }
    // Nothing of it was touched.
    assert_eq!(read_events(path.join("metrics.jsonl")).unwrap().len(), 1);

    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!RunFolder::is_locked(&path), "the system takes back a dead process's lock");
    assert!(path.join("run.lock").exists());
    RunFolder::create(&path, Existing::ReplaceRun, "").unwrap();
}

#[test]
fn a_folder_is_locked_within_a_process_until_its_last_clone_is_gone() {
    let parent = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(parent.path(), Existing::Refuse, "").unwrap();
    let clone = folder.clone();
    drop(folder);
    let error = RunFolder::create(parent.path(), Existing::ReplaceRun, "").unwrap_err();
    assert!(matches!(error, ReportError::Locked { .. }), "{error}");
    drop(clone);
    RunFolder::create(parent.path(), Existing::ReplaceRun, "").unwrap();
}

#[test]
fn a_run_that_was_killed_as_it_began_leaves_an_empty_folder() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("run.lock"), "").unwrap();
    RunFolder::check(parent.path(), Existing::Refuse).unwrap();
    fs::write(parent.path().join("metrics.jsonl"), "").unwrap();
    // Amid its first file: what is written has a name of its own until it is whole.
    fs::write(parent.path().join(".flora-x1y2z3"), "seed = ").unwrap();
    RunFolder::create(parent.path(), Existing::Refuse, "").unwrap();
    assert!(!parent.path().join(".flora-x1y2z3").exists());

    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("metrics.jsonl"), "mine").unwrap();
    let error = RunFolder::create(parent.path(), Existing::ReplaceRun, "").unwrap_err();
    assert!(matches!(error, ReportError::NotEmpty { .. }), "{error}");
}

#[test]
fn a_finished_run_that_was_killed_amid_tidying_is_tidied() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path();
    let leave = |status| {
        let folder = RunFolder::create(path, Existing::ReplaceRun, "").unwrap();
        folder.write_summary(&RunSummary::new("x", status, None)).unwrap();
        for file in ["state/000001.state", ".flora-state/clients.bin", ".flora-x1y2z3"] {
            flora_core::files::write_atomic(&path.join(file), b"left").unwrap();
        }
        folder
    };
    let left = || ["state", ".flora-state", ".flora-x1y2z3"].map(|name| path.join(name).exists());
    let living = leave(RunStatus::Finished);
    RunFolder::tidy(path);
    assert_eq!(left(), [true; 3], "its process is at it");
    drop(living);
    RunFolder::tidy(path);
    assert_eq!(left(), [false; 3]);
    assert!(path.join("run.json").exists() && path.join("metrics.jsonl").exists());

    drop(leave(RunStatus::Interrupted));
    RunFolder::tidy(path);
    assert_eq!(left(), [true; 3], "it is to be resumed");
}

#[test]
fn a_run_goes_on_from_a_mark() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path();
    let metrics = path.join("metrics.jsonl");
    let folder = RunFolder::create(path, Existing::Refuse, "seed = 1\n").unwrap();
    let beginning = folder.mark().unwrap();
    folder.record(&warning("1")).unwrap();
    folder.record(&warning("2")).unwrap();
    let mark = folder.mark().unwrap();
    let json = serde_json::to_string(&mark).unwrap();
    assert_eq!(serde_json::from_str::<EventsMark>(&json).unwrap(), mark);
    folder.record(&warning("lost")).unwrap();
    folder.write_summary(&RunSummary::new("x", RunStatus::Interrupted, None)).unwrap();
    drop(folder);
    let mut torn = fs::OpenOptions::new().append(true).open(&metrics).unwrap();
    torn.write_all(b"{\"event\":\"warn").unwrap();

    let folder = RunFolder::resume(path, &mark).unwrap();
    assert_eq!(folder.mark().unwrap(), mark);
    assert!(!path.join("run.json").exists());
    folder.record(&warning("3")).unwrap();
    let later = folder.mark().unwrap();
    drop(folder);
    let expected = ["1", "2", "3"].map(warning);
    assert_eq!(read_events(&metrics).unwrap(), expected);
    assert_eq!(fs::read_to_string(path.join("experiment.toml")).unwrap(), "seed = 1\n");

    // The running digest is that of the whole file, whoever wrote its beginning.
    drop(RunFolder::resume(path, &later).unwrap());
    let folder = RunFolder::resume(path, &beginning).unwrap();
    assert_eq!(folder.mark().unwrap(), beginning);
    assert_eq!(fs::metadata(&metrics).unwrap().len(), 0);
}

#[test]
fn events_that_are_not_those_of_the_mark_are_refused_and_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path();
    let metrics = path.join("metrics.jsonl");
    let folder = RunFolder::create(path, Existing::Refuse, "").unwrap();
    folder.record(&warning("1")).unwrap();
    let mark = folder.mark().unwrap();
    folder.record(&warning("2")).unwrap();
    folder.write_summary(&RunSummary::new("x", RunStatus::Interrupted, None)).unwrap();
    drop(folder);
    let whole = fs::read(&metrics).unwrap();

    let mut flipped = whole.clone();
    flipped[mark.bytes as usize / 2] ^= 1;
    for (bytes, problem) in [
        (flipped, "its first 34 bytes have changed"),
        (whole[..20].to_vec(), "it has 20 bytes, but had 34"),
        (Vec::new(), "it has 0 bytes, but had 34"),
    ] {
        fs::write(&metrics, &bytes).unwrap();
        let error = RunFolder::resume(path, &mark).unwrap_err();
        assert!(matches!(error, ReportError::EventsChanged { .. }), "{error}");
        assert!(error.to_string().contains(problem), "{error}");
        assert!(error.to_string().contains("metrics.jsonl was cut or changed"), "{error}");
        assert_eq!(fs::read(&metrics).unwrap(), bytes);
        assert!(path.join("run.json").exists());
    }
    // A byte behind the mark does not matter.
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(&metrics, flipped).unwrap();
    RunFolder::resume(path, &mark).unwrap();

    fs::remove_file(path.join("experiment.toml")).unwrap();
    for path in [path.to_owned(), path.join("nowhere")] {
        let error = RunFolder::resume(&path, &mark).unwrap_err();
        assert!(matches!(error, ReportError::NotARun { .. }), "{error}");
        assert!(!path.join("nowhere").exists());
    }
}

/// The system refuses to let files grow beyond a limit of the process, as a full disk does: half a line is written.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_whole_lines_and_is_told_again() {
    let parent = tempfile::tempdir().unwrap();
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "fill_the_disk", "--nocapture"])
        .env(FOLDER, parent.path().join("run"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{error}");
}

/// A part of another test, which runs it in a process of its own.
#[test]
fn fill_the_disk() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let folder = RunFolder::create(folder, Existing::Refuse, "").unwrap();
    let line = warning(&"x".repeat(100));
    let error = (0..1000).find_map(|_| folder.record(&line).err()).unwrap().to_string();
    let metrics = folder.path().join("metrics.jsonl");
    assert!(error.contains("cannot append to") && error.contains("metrics.jsonl: "), "{error}");

    let text = fs::read_to_string(&metrics).unwrap();
    assert!(!text.is_empty() && text.ends_with('\n'), "{text}");
    // A short line would fit. But the one before it is missing.
    assert_eq!(folder.record(&warning("x")).unwrap_err().to_string(), error);
    assert_eq!(folder.mark().unwrap_err().to_string(), error);
    assert_eq!(fs::read_to_string(&metrics).unwrap(), text);
}
