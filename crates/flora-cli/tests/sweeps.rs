//! Sweeps that are killed, stopped and started twice: their runs end with them, and the same command resumes.
//!
//! `FLORA_KILLS=100 cargo test --release -p flora-cli --test sweeps` for more kills.

#![cfg(target_os = "linux")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::*;

/// How long a run may outlive its sweep.
const A_MOMENT: Duration = Duration::from_secs(30);

struct Setup {
    folder: tempfile::TempDir,
}

impl Setup {
    fn new(rounds: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sweep = r#"
            name = "few"
            base = "quickstart"
            set = ["training.rounds=ROUNDS", "training.batch_size=32", "data.limit={train=100,test=40}"]
            [[rows]]
            name = "FLoRA"
            [[rows]]
            name = "a head"
            set = ["method.name=fedlc", "federation.client_state=disk"]
            [[rows]]
            name = "alone"
            set = ["federation.participants=alone"]
        "#;
        let sweep = sweep.replace("ROUNDS", &rounds.to_string());
        std::fs::write(folder.path().join("few.toml"), sweep).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sweep(&self, out: &Path, jobs: u32) -> Command {
        let mut command = flora(&self.path("cache"));
        command.arg("sweep").arg(self.path("few.toml")).arg("--out").arg(out);
        command.args(["--jobs", &jobs.to_string()]);
        command
    }

    /// The result of an undisturbed sweep.
    fn reference(&self) -> String {
        let out = self.path("reference");
        done(self.sweep(&out, 1));
        accuracies(&out)
    }
}

fn started(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The table without its last six columns, which are seconds and memory.
fn accuracies(out: &Path) -> String {
    let table = std::fs::read_to_string(out.join("results.csv")).unwrap();
    let lines = table.lines().map(|line| line.rsplitn(7, ',').last().unwrap().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// Processes that write to `out`.
fn runs_in(out: &Path) -> usize {
    let out = out.display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let commands = processes.filter_map(|it| std::fs::read(it.path().join("cmdline")).ok());
    commands.filter(|it| text(it).contains("--child") && text(it).contains(&out)).count()
}

fn assert_no_run_stays(out: &Path) {
    let began = Instant::now();
    while runs_in(out) > 0 {
        assert!(began.elapsed() < A_MOMENT, "a run outlives its sweep");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_runs_of_a_sweep_that_is_killed_end_with_it() {
    let setup = Setup::new(2);
    let reference = setup.reference();
    let began = Instant::now();
    done(setup.sweep(&setup.path("warm"), 1));
    let longest = began.elapsed();
    let mut draw = Draw::new();
    let (mut killed, mut sweeps) = (0, 0);
    while killed < kills(10) {
        sweeps += 1;
        let out = setup.path(&format!("sweep-{sweeps}"));
        loop {
            let mut child = started(setup.sweep(&out, 1 + sweeps % 2));
            let until = Instant::now() + draw.moment(longest);
            while Instant::now() < until && child.try_wait().unwrap().is_none() {
                sleep(Duration::from_millis(1));
            }
            if child.try_wait().unwrap().is_none() && killed < kills(10) {
                child.kill().unwrap();
                child.wait().unwrap();
                killed += 1;
                // Sometimes the next one starts while the runs of this one are still ending.
                if killed % 3 > 0 {
                    assert_no_run_stays(&out);
                }
                continue;
            }
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            break;
        }
        assert_eq!(accuracies(&out), reference, "sweep {sweeps} after {killed} kills");
        assert!(raw(&out).keys().all(|name| !name.contains("adapter")), "{:?}", raw(&out).keys());
    }
}

#[test]
fn a_signal_to_the_sweep_alone_stops_its_runs_in_good_order() {
    let setup = Setup::new(8);
    let reference = setup.reference();
    for (jobs, signal, code) in [(1, "INT", 130), (2, "TERM", 143)] {
        let out = setup.path(signal);
        let child = started(setup.sweep(&out, jobs));
        let begun = |out: &Path| {
            let runs = std::fs::read_dir(out).into_iter().flatten().flatten();
            runs.map(|run| run.path()).find(|run| run.join("state").is_dir())
        };
        wait_for("a round", || begun(&out).is_some_and(|run| count(&run, "aggregated") == 1));
        send(signal, &child);
        let output = child.wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("repeat the command to resume"), "{said}");
        assert_eq!(runs_in(&out), 0);
        let run = begun(&out).unwrap();
        assert_eq!(summary(&run)["status"], "interrupted");
        if jobs == 2 {
            // The run cannot be resumed from this, so it is repeated, as a finished one would be.
            for entry in std::fs::read_dir(run.join("state")).unwrap() {
                std::fs::write(entry.unwrap().path(), "damaged").unwrap();
            }
        }
        done(setup.sweep(&out, jobs));
        assert_eq!(accuracies(&out), reference, "{signal}");
    }
}

#[test]
fn two_signals_end_a_sweep_at_once_and_two_sweeps_do_not_share_a_folder() {
    let setup = Setup::new(8);
    let out = setup.path("sweep");
    let child = started(setup.sweep(&out, 2));
    wait_for("a run", || runs_in(&out) > 0);
    let said = refused(setup.sweep(&out, 1), 2);
    assert!(said.contains("sweep is in use by another process"), "{said}");
    send("INT", &child);
    send("INT", &child);
    let began = Instant::now();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    assert!(began.elapsed() < A_MOMENT, "{:?}", began.elapsed());
    assert_no_run_stays(&out);
}

#[test]
fn runs_on_different_images_are_no_row() {
    let setup = Setup::new(1);
    let images = setup.path("images");
    let vendor = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../datasets/emoji-vendors/images/fxemoji/test");
    for class in ["animal-bird", "animal-bug"] {
        copy(&vendor.join(class), &images.join(class));
    }
    let out = setup.path("sweep");
    let sweep = |seeds: &str| {
        let set = [
            "training.rounds=1".to_owned(),
            format!("data.path={}", images.display()),
            "partition={ kind = 'iid', clients = 2 }".to_owned(),
        ];
        let toml = format!("name = 'few'\nbase = 'quickstart'\nseeds = {seeds}\nset = {set:?}\n");
        std::fs::write(setup.path("few.toml"), toml + "[[rows]]\nname = 'FLoRA'\n").unwrap();
        setup.sweep(&out, 1)
    };
    done(sweep("[0]"));
    // Replaces one image by another, under the same name.
    let mut pictures: Vec<PathBuf> =
        raw(&images).into_keys().map(|name| images.join(name)).collect();
    pictures.sort();
    std::fs::copy(&pictures[1], &pictures[0]).unwrap();
    let said = refused(sweep("[0, 1]"), 1);
    assert!(said.contains("row FLoRA") && said.contains("different images"), "{said}");
    let mut anew = sweep("[0, 1]");
    done({
        anew.arg("--overwrite");
        anew
    });
}

#[test]
fn folders_that_cannot_be_a_sweep_or_its_runs_are_refused_first() {
    let setup = Setup::new(1);
    let (cache, out) = (setup.path("cache"), setup.path("run"));
    done(small(&cache, &[], &out));
    let before = raw(&out);
    for more in [&[][..], &["--overwrite"]] {
        let mut command = setup.sweep(&out, 1);
        command.args(more);
        let said = refused(command, 2);
        assert!(said.contains("is the folder of a run; name another folder"), "{said}");
    }
    assert!(differences(&raw(&out), &before).is_empty());
    let file = setup.path("few.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("a head", &"a".repeat(300));
    std::fs::write(&file, text).unwrap();
    let said = refused(setup.sweep(&setup.path("new"), 1), 2);
    assert!(said.contains("shorten the name of the row"), "{said}");
    assert!(!setup.path("new").exists());
}
