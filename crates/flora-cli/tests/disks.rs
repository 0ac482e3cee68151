//! Full or read-only disks, as small file systems in memory. Mounting them needs root: without it, these tests say so
//! and do nothing.

#![cfg(target_os = "linux")]

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::*;

/// A file system in memory.
struct Disk {
    path: PathBuf,
}

impl Disk {
    fn new(path: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).stderr(Stdio::null());
        if !mount.status().is_ok_and(|status| status.success()) {
            println!("skipped: this user may not mount a tmpfs");
            return None;
        }
        Some(Self { path })
    }

    fn remount(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{options}")]).arg(&self.path);
        assert!(mount.status().unwrap().success());
    }

    /// Fills the disk.
    fn fill(&self) {
        let path = self.path.join("others");
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

const SETTINGS: [&str; 3] =
    ["training.rounds=3", "data.limit={train=100,test=40}", "output.keep_clients=true"];

#[test]
fn a_disk_that_is_full_from_the_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let reference = folder.path().join("reference");
    done(small(&cache, &SETTINGS, &reference));
    for kib in [4, 8, 24, 40, 80, 150, 250, 400] {
        let path = folder.path().join(format!("disk-{kib}"));
        let Some(disk) = Disk::new(path, &format!("{kib}k")) else { return };
        let out = disk.path.join("run");
        let output = small(&cache, &SETTINGS, &out).output().unwrap();
        let said = text(&output.stderr);
        println!("{kib} KiB: {} {said}", output.status);
        if !output.status.success() {
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("No space left on device"), "{said}");
            assert!(said.contains(&out.display().to_string()), "no file is named: {said}");
        }
        disk.remount("size=64m");
        match out.join("experiment.toml").exists() {
            true => done(resume(&cache, &out)),
            false => done(small(&cache, &SETTINGS, &out)),
        };
        assert_same(&out, &reference, &format!("{kib} KiB"));
    }
}

#[test]
fn a_disk_that_is_full_at_some_moment() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let reference = folder.path().join("reference");
    done(small(&cache, &SETTINGS, &reference));
    for state in 0..3 {
        let path = folder.path().join(format!("disk-{state}"));
        let Some(disk) = Disk::new(path, "8m") else { return };
        let out = disk.path.join("run");
        let mut command = small(&cache, &SETTINGS, &out);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let first = out.join(format!("state/00000{state}.state"));
        wait_for("a state", || first.exists());
        while child.try_wait().unwrap().is_none() {
            disk.fill();
        }
        let output = child.wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("No space left on device"), "{said}");
        assert!(said.contains("resume with: flora run --resume"), "{said}");
        std::fs::remove_file(disk.path.join("others")).unwrap();
        done(resume(&cache, &out));
        assert_same(&out, &reference, &said);
    }
}

#[test]
fn a_disk_that_is_read_only() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let reference = folder.path().join("reference");
    done(small(&cache, &SETTINGS, &reference));
    let Some(disk) = Disk::new(folder.path().join("disk"), "8m") else { return };
    let (out, finished) = (disk.path.join("run"), disk.path.join("finished"));
    killed(small(&cache, &SETTINGS, &out), &out);
    copy(&reference, &finished);
    let before = raw(&disk.path);
    disk.remount("ro");
    let new = disk.path.join("new");
    let sweep = |out: &Path| {
        let mut command = flora(&cache);
        command.args(["sweep", "examples/learning-rates.toml", "--out"]).arg(out);
        command
    };
    for (command, place) in [
        (resume(&cache, &out), "run/run.lock"),
        (small(&cache, &SETTINGS, &out), "run/run.lock"),
        (small(&cache, &SETTINGS, &new), "disk/new"),
        (sweep(&new), "disk/new"),
    ] {
        let said = refused(command, 2);
        assert!(said.contains("Read-only file system") && said.contains(place), "{said}");
    }
    // This command writes nothing.
    let shown = text(&done(resume(&cache, &finished)).stdout);
    assert!(shown.contains("is already finished"), "{shown}");
    assert!(differences(&raw(&disk.path), &before).is_empty());
    disk.remount("rw");
    done(resume(&cache, &out));
    assert_same(&out, &reference, "writable again");
}

#[test]
fn a_disk_without_room_for_all_views() {
    let folder = tempfile::tempdir().unwrap();
    write_experiment(folder.path());
    let Some(disk) = Disk::new(folder.path().join("disk"), "400k") else { return };
    let run = |views: &str| {
        let mut command = flora(&disk.path);
        command.current_dir(folder.path()).args(["run", "experiment.toml"]);
        command.args(["--set", "training.rounds=1", "--set", views]);
        command.args(["--set", "method.lora.towers=vision", "--set"]);
        command.arg("method.lora.target_modules=[\"layers.1.self_attn.v_proj\"]");
        command.args(["--overwrite", "--out"]).arg(folder.path().join("run"));
        command
    };
    // 60 images without views, of which 30 have views: 128 KiB, and 64 KiB per view. Five of these files would fit.
    let said = refused(run("data.views=10"), 2);
    assert!(said.contains("data.cache") && said.contains("360 images x 17 x 32"), "{said}");
    assert!(said.contains("767 KiB are still to be written"), "{said}");
    assert!(raw(&disk.path).is_empty(), "nothing was computed");
    done(run("data.views=3"));
    // Existing files need no more space.
    assert_eq!(refused(run("data.views=5"), 2).matches("128 KiB are still").count(), 1);
}
