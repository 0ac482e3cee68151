//! Resuming runs with unusual settings.

mod support;

use std::path::Path;
use std::process::Stdio;

use support::*;

#[test]
fn client_names_that_are_no_file_names() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    // Escaped, the last name has 600 bytes.
    let long = "ü".repeat(100);
    let names = ["a b", "%2E", "c..", "ü:*", "-x", "'q\"", "client\\n", &long];
    for name in names {
        for (class, color) in [("ball", [200, 30, 30]), ("cup", [30, 200, 30])] {
            for (split, count) in [("train", 4), ("test", 2)] {
                let path = images.join(name).join(split).join(class);
                std::fs::create_dir_all(&path).unwrap();
                for number in 0..count {
                    let image = image::RgbImage::from_pixel(32, 32, image::Rgb(color));
                    image.save(path.join(format!("{number}.png"))).unwrap();
                }
            }
        }
    }
    let toml = folder.path().join("things.toml");
    let description = "name = 'things'\ntemplate = 'a {}.'\nlicense = 'CC0-1.0'\nsource = 'a test'\n\
                       [layout]\nkind = 'image-folder'\npattern = 'images/{domain}/{split}/{class}'\n";
    std::fs::write(&toml, description).unwrap();
    let cache = folder.path().join("cache");
    let data = format!("data={{ path = '{}' }}", toml.display());
    let begin = |out: &Path| {
        let mut command = flora(&cache);
        command.args(["run", "quickstart", "--overwrite", "--keep-clients", "--tensorboard"]);
        command.args(["--set", &data, "--set", "training.rounds=5", "--out"]).arg(out);
        command
    };
    let (out, reference) = (folder.path().join("run"), folder.path().join("reference"));
    done(begin(&reference));
    let folders = std::fs::read_dir(reference.join("clients")).unwrap().count();
    assert_eq!(folders, names.len());
    let mut eval = flora(&cache);
    eval.arg("eval").arg("--run").arg(&reference).args(["--client", &long]);
    done(eval);
    killed(begin(&out), &out);
    done(resume(&cache, &out));
    // Event files have the time in their names and contents.
    let mut left = leftovers(&out);
    let mut expected = leftovers(&reference);
    for files in [&mut left, &mut expected] {
        files.retain(|name, _| !name.starts_with("tensorboard/"));
    }
    let differ = differences(&left, &expected);
    assert!(differ.is_empty(), "{differ:?}");
}

#[test]
fn a_run_that_saves_nothing_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, out) = (folder.path().join("cache"), folder.path().join("run"));
    for signal in ["INT", "KILL"] {
        let mut command = small(&cache, &["output.save_every=0"], &out);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for("a round", || count(&out, "aggregated") == 2);
        send(signal, &child);
        let output = child.wait_with_output().unwrap();
        if signal == "INT" {
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(130), "{said}");
            assert!(said.contains("no state was saved (output.save_every = 0)"), "{said}");
            assert!(out.join("adapter").is_dir());
        }
        let before = raw(&out);
        let said = refused(resume(&cache, &out), 2);
        assert!(said.contains("output.save_every = 0") && said.contains("--overwrite"), "{said}");
        assert!(differences(&raw(&out), &before).is_empty());
    }
}

#[test]
fn a_run_that_fails_by_its_settings_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, out) = (folder.path().join("cache"), folder.path().join("run"));
    for key in ["range", "norm"] {
        let secure = format!("federation.secure={{{key}=1e-9}}");
        let said = refused(small(&cache, &[&secure], &out), 1);
        assert!(said.contains(&format!("raise federation.secure.{key}")), "{said}");
        assert!(said.contains("--resume keeps the settings; start a new run"), "{said}");
        assert!(!said.contains("resume with"), "{said}");
    }
}

#[test]
fn an_adapter_with_a_relative_path_is_found_from_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let few = ["training.rounds=4", "data.limit={train=100,test=40}"];
    done(small(&cache, &few, &folder.path().join("earlier")));
    let begin = |out: &Path| {
        let mut command = small(&cache, &few, out);
        command.args(["--init-adapter", "earlier"]).current_dir(folder.path());
        command
    };
    let (out, reference) = (folder.path().join("run"), folder.path().join("reference"));
    done(begin(&reference));
    killed(begin(&out), &out);
    let mut command = resume(&cache, &out);
    command.current_dir("/");
    done(command);
    assert_same(&out, &reference, "from another folder");
}

/// The states of many clients are on disk, and take no more space in later rounds.
#[test]
fn three_hundred_clients() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let settings = [
        "partition={ kind = \"iid\", clients = 300 }",
        "data.limit={train=1200,test=300}",
        "federation.client_state=disk",
        "federation.fraction=0.1",
        "federation.evaluate_local=false",
        "output.save_every=2",
        "training.rounds=4",
    ];
    let (out, reference) = (folder.path().join("run"), folder.path().join("reference"));
    done(small(&cache, &settings, &reference));
    killed(small(&cache, &settings, &out), &out);
    done(resume(&cache, &out));
    assert_same(&out, &reference, "resumed");
}

#[test]
fn the_state_does_not_grow() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, out) = (folder.path().join("cache"), folder.path().join("run"));
    let settings = ["training.rounds=14", "data.limit={train=60,test=30}"];
    let mut command = small(&cache, &settings, &out);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let size = |round: usize| {
        let state = out.join(format!("state/{round:06}.state"));
        wait_for("a state", || state.exists());
        std::fs::metadata(out.join("state/clients.bin")).unwrap().len()
    };
    let early = size(4);
    let late = size(12);
    let states = raw(&out.join("state")).keys().filter(|it| it.ends_with(".state")).count();
    assert!(child.wait().unwrap().success());
    assert_eq!(early, late);
    assert!(states <= 3, "{states}");
    assert!(!out.join("state").exists());
}
