//! Effects of Ctrl-C, SIGTERM and closed pipes.

#![cfg(unix)]

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::*;

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

fn started(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// How a process ends: exit code and output.
fn end(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert!(!said.contains("panicked"), "{said}");
    (output.status.code(), said)
}

/// Runs a command as a user would who copies it from the terminal.
fn typed(cache: &Path, command: &str) {
    let program = Path::new(env!("CARGO_BIN_EXE_flora")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("PATH", path).env("FLORA_CACHE", cache);
    done(shell);
}

#[test]
fn one_signal_ends_a_run_in_good_order() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let settings = ["output.keep_every=2", "output.keep_clients=true"];
    let reference = folder.path().join("reference");
    done(small(&cache, &settings, &reference));
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let out = folder.path().join(format!("it's {name}"));
        let child = started(small(&cache, &settings, &out));
        wait_for("two rounds", || count(&out, "aggregated") == 2);
        send(name, &child);
        let (ended, said) = end(child);
        assert_eq!(ended, Some(code), "{said}");
        let (_, command) = said.trim().rsplit_once("resume with: ").expect(&said);
        let shown = out.display().to_string().replace('\'', r"'\''");
        assert_eq!(command, format!("flora run --resume '{shown}'"));
        assert_eq!(summary(&out)["status"], "interrupted");
        assert!(summary(&out)["accuracy"]["last"].is_object());
        assert!(out.join("adapter/adapter_model.safetensors").exists());
        typed(&cache, command);
        assert_same(&out, &reference, name);
    }
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    // A client works for seconds.
    let settings = ["training.rounds=1", "training.local_epochs=8"];
    let reference = folder.path().join("reference");
    done(small(&cache, &settings, &reference));
    let out = folder.path().join("run");
    let child = started(small(&cache, &settings, &out));
    wait_for("a round", || count(&out, "round_started") == 1);
    sleep(Duration::from_millis(50));
    send("INT", &child);
    sleep(Duration::from_millis(50));
    send("INT", &child);
    let (ended, said) = end(child);
    assert_eq!(ended, Some(130), "{said}");
    assert!(!out.join("run.json").exists(), "it waited for the clients");
    done(resume(&cache, &out));
    assert_same(&out, &reference, "resumed");
}

#[test]
fn signals_may_come_at_any_moment_and_often() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    // With faults, because their draws must be repeated exactly.
    let settings = [
        "training.rounds=4",
        "data.limit={train=100,test=40}",
        "faults={ fail = 0.2, straggle = 0.2, delay = 0.5 }",
        "federation.below_quorum=skip",
        "federation.deadline=100.0",
        "output.keep_clients=true",
    ];
    let (out, reference) = (folder.path().join("run"), folder.path().join("reference"));
    done(small(&cache, &settings, &reference));
    let began = Instant::now();
    done(small(&cache, &settings, &reference));
    let longest = began.elapsed();
    let mut draw = Draw::new();
    let (mut signals, mut finished) = (0, false);
    while signals < kills(10) || !finished {
        let command = match out.join("experiment.toml").exists() && !finished {
            true => resume(&cache, &out),
            false => small(&cache, &settings, &out),
        };
        let mut child = started(command);
        if signals < kills(10) {
            sleep(draw.moment(longest));
        } else {
            child.wait().unwrap();
        }
        let name = if signals % 2 == 0 { "INT" } else { "TERM" };
        let (number, code) = if name == "INT" { (SIGINT, 130) } else { (SIGTERM, 143) };
        if child.try_wait().unwrap().is_none() {
            send(name, &child);
            signals += 1;
        }
        let output = child.wait_with_output().unwrap();
        let status = output.status;
        // Before there is anything to save, a signal ends the program as usual.
        let stopped = status.code() == Some(code) || status.signal() == Some(number);
        assert!(stopped || status.success(), "{status}: {}", text(&output.stderr));
        finished = status.success();
        if finished {
            assert_same(&out, &reference, &format!("after {signals} signals"));
        }
    }
}

#[test]
fn a_run_that_is_killed_while_it_replaces_another_goes_on_as_itself() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let (out, reference) = (folder.path().join("run"), folder.path().join("reference"));
    done(small(&cache, &["training.rounds=1"], &reference));
    let next = std::fs::read_to_string(reference.join("experiment.toml")).unwrap();
    // As a kill leaves it at the first moment and at the last.
    for removed in [&[][..], &["run.json", "adapter", "partition.json"]] {
        done(small(&cache, &["training.rounds=2", "seed=5"], &out));
        assert!(!out.join("next.toml").exists(), "it was finished");
        std::fs::write(out.join("next.toml"), &next).unwrap();
        for name in removed {
            let path = out.join(name);
            match path.is_dir() {
                true => std::fs::remove_dir_all(path).unwrap(),
                false => std::fs::remove_file(path).unwrap(),
            }
        }
        let said = text(&done(resume(&cache, &out)).stdout);
        assert!(said.contains("it starts anew"), "{said}");
        assert_same(&out, &reference, "resumed");
    }
}

#[test]
fn a_signal_while_images_are_encoded_keeps_what_is_encoded() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    // Five passes for each image: there are seconds to send a signal in.
    let settings = ["data.limit={train=900,test=40}", "method.name=lda"];
    let out = folder.path().join("run");
    let child = started(small(&cache, &settings, &out));
    let partial = || {
        let mut entries = std::fs::read_dir(&cache).ok()?;
        let path = entries.find_map(|entry| {
            let path = entry.ok()?.path();
            path.extension().is_some_and(|it| it == "partial").then_some(path)
        })?;
        Some(path.metadata().ok()?.len()).filter(|&bytes| bytes > 10_000)
    };
    wait_for("features", || partial().is_some());
    // Not Ctrl-C: a shell starts background jobs with it ignored, and so are their children, until a run handles it.
    send("TERM", &child);
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success());
    let kept = partial().expect("the features are gone");
    // 940 rows of two features of 192 numbers and three states of as many.
    assert!(kept < 940 * 5 * 192 * 4, "it encoded all images first");
    assert!(!out.exists(), "nothing has begun");
    done(small(&cache, &settings, &out));
    assert!(partial().is_none());
}

#[test]
fn readers_that_leave_end_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let settings = ["training.rounds=3", "faults.fail=0.5", "federation.below_quorum=skip"];
    for voice in ["--verbose", "--json", "--quiet"] {
        let out = folder.path().join(voice);
        let mut command = small(&cache, &settings, &out);
        let mut child =
            command.arg(voice).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // As `flora run … 2>&1 | head -1`.
        drop(child.stderr.take());
        let mut line = String::new();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        if voice != "--quiet" {
            reader.read_line(&mut line).unwrap();
        }
        drop(reader);
        let status = child.wait().unwrap();
        assert!(status.success(), "{voice}: {status}");
        assert_eq!(summary(&out)["status"], "finished");
    }
    // Nor does an error message that nobody reads.
    let mut command = resume(&cache, &folder.path().join("nothing"));
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(2));
}
