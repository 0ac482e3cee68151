//! From a folder of one's own images to a run.

#![cfg(unix)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::{Rgb, RgbImage};
use serde_json::Value;
use support::*;

/// A working folder, and `my scans` with images of two classes at three sites in five formats.
struct Setup {
    dir: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        let setup = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(setup.path("work")).unwrap();
        let formats = ["png", "jpg", "webp", "bmp", "tif"];
        for (site, name) in ["clinic-a", "clinic-b", "l'h\u{f4}pital"].into_iter().enumerate() {
            for (class, colour) in [("red_square", [200, 20, 20]), ("blue_square", [20, 20, 200])] {
                let folder = setup.images().join(name).join(class);
                fs::create_dir_all(&folder).unwrap();
                for number in 0..10_u8 {
                    let shade = |value: u8| value.saturating_add(5 * number + site as u8);
                    let picture = RgbImage::from_pixel(24, 24, Rgb(colour.map(shade)));
                    let format = formats[usize::from(number) % formats.len()];
                    picture.save(folder.join(format!("{number}.{format}"))).unwrap();
                }
            }
        }
        fs::write(setup.images().join("README.txt"), "ours").unwrap();
        setup
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn images(&self) -> PathBuf {
        self.path("my scans")
    }

    /// The program, called in the working folder.
    fn flora(&self, arguments: &[&str]) -> Command {
        let mut command = flora(&self.path("cache"));
        command.current_dir(self.path("work")).args(arguments);
        command
    }

    fn init(&self, options: &[&str]) -> Command {
        let mut command = self.flora(&["init", "../my scans"]);
        command.args(options);
        command
    }

    /// A command as it was printed, with further arguments, in a shell.
    fn shell(&self, printed: &str, further: &str) -> Command {
        let rest = printed.strip_prefix("flora ").unwrap();
        let mut command = Command::new("sh");
        command.current_dir(self.path("work")).env("FLORA_CACHE", self.path("cache"));
        command.args(["-c", &format!("\"$FLORA\" {rest} {further}")]);
        command.env("FLORA", env!("CARGO_BIN_EXE_flora"));
        command
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_printed_commands_take_a_folder_to_predictions() {
    let setup = Setup::new();
    let before = raw(&setup.images());
    let said = text(&done(setup.init(&[])).stdout);
    for words in [
        "my-scans: 60 images of 2 classes",
        "{domain}/{class}",
        "blue square (30) and red square (30)",
        "clinic-a (20), clinic-b (20) and l'h\u{f4}pital (20)",
        "12 .bmp, 12 .jpg, 12 .png, 12 .tif, 12 .webp",
        "other files: 1 .txt",
        "to read them the other way round: --pattern \"{class}/{domain}\"",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(names(&setup.path("work")), ["my-scans-experiment.toml", "my-scans.toml"]);
    assert!(differences(&raw(&setup.images()), &before).is_empty(), "the images are as they were");

    let commands: Vec<&str> = said.lines().filter(|line| line.starts_with("flora ")).collect();
    let [check, run, eval, classify] = commands[..] else { panic!("{said}") };
    let checked = text(&done(setup.shell(check, "")).stdout);
    assert!(checked.contains("2 classes, 48 training and 12 test images"), "{checked}");
    done(setup.shell(run, "--set training.rounds=2"));
    let summary = summary(&setup.path("work/runs/my-scans"));
    assert_eq!(
        (summary["status"].as_str(), summary["rounds"].as_u64()),
        (Some("finished"), Some(2))
    );
    assert_eq!(summary["clients"].as_array().unwrap().len(), 3);
    // Exactly the held-out images, and the run's own number to the last digit.
    let scored: Value = serde_json::from_slice(&done(setup.shell(eval, "--json")).stdout).unwrap();
    assert_eq!(scored["run"]["accuracy"], summary["accuracy"]["last"]);
    let work = |name: &str| fs::read_to_string(setup.path("work").join(name)).unwrap();
    done(setup.flora(&["partition", "my-scans-experiment.toml", "--files", "dealt.csv"]));
    let (dealt, predicted) = (work("dealt.csv"), work("my-scans-predictions.csv"));
    let held_out: BTreeSet<&str> = dealt
        .lines()
        .filter(|line| line.contains(",test,"))
        .map(|line| line.rsplit_once(',').unwrap().1)
        .collect();
    let of: Vec<&str> = predicted.lines().skip(1).map(|it| it.split(',').next().unwrap()).collect();
    assert_eq!(of.len(), 12);
    assert_eq!(of.into_iter().collect::<BTreeSet<_>>(), held_out);
    done(setup.shell(classify, ""));
    assert_eq!(work("my-scans-classified.csv").lines().count(), 61, "a header and all images");
    // From any folder.
    let mut elsewhere = flora(&setup.path("cache"));
    elsewhere.arg("run").arg(setup.path("work/my-scans-experiment.toml"));
    elsewhere.args(["-q", "--set", "training.rounds=1", "--out"]).arg(setup.path("run"));
    done(elsewhere);
    // The method that its comments suggest.
    done(setup.shell(run, "--overwrite -q --set method.name=lda"));
}

#[test]
fn files_that_are_there_are_kept() {
    let setup = Setup::new();
    let mine = setup.path("work/my-scans-experiment.toml");
    fs::write(&mine, "mine").unwrap();
    let said = refused(setup.init(&[]), 2);
    assert!(said.contains("my-scans-experiment.toml exists already"), "{said}");
    assert_eq!(names(&setup.path("work")), ["my-scans-experiment.toml"]);
    assert_eq!(fs::read(&mine).unwrap(), b"mine");
    done(setup.init(&["--overwrite"]));
    assert!(fs::read_to_string(&mine).unwrap().contains("kind = \"natural\""));
    done(setup.init(&["--out", "new/folder", "--model", "vit-base-patch32"]));
    let experiment = setup.path("work/new/folder/my-scans-experiment.toml");
    assert!(fs::read_to_string(experiment).unwrap().contains("path = \"vit-base-patch32\""));

    let mut among = setup.flora(&["init", "."]);
    among.current_dir(setup.images());
    let said = refused(among, 2);
    assert!(said.contains("among the images") && said.contains("--out "), "{said}");
    let said = refused(setup.init(&["--model", "models/none", "--overwrite"]), 2);
    assert!(said.contains("--model") && said.contains("models/none"), "{said}");
    let said = refused(setup.init(&["--pattern", "{class}/x/y", "--overwrite"]), 2);
    assert!(said.contains("no image fits"), "{said}");
    let said = refused(setup.flora(&["init", "../none"]), 2);
    assert!(said.contains("../none"), "{said}");
}

#[test]
fn a_folder_in_the_place_of_an_experiment_is_told_what_to_do() {
    let setup = Setup::new();
    let said = refused(setup.flora(&["run", "../my scans"]), 2);
    assert!(said.contains("flora init '../my scans'"), "{said}");
    done(setup.init(&[]));
    done(setup.flora(&[
        "run",
        "my-scans-experiment.toml",
        "-q",
        "--set",
        "training.rounds=0",
        "--out",
        "it",
    ]));
    let said = refused(setup.flora(&["run", "it"]), 2);
    assert!(said.contains("flora run --resume it"), "{said}");
    let said = refused(setup.flora(&["init", "it"]), 2);
    assert!(said.contains("the folder of a run"), "{said}");
}

#[test]
fn errors_of_layouts_name_the_pattern_that_fits() {
    let setup = Setup::new();
    for arguments in [&["datasets", "check", "../my scans"][..], &["eval", "--data", "../my scans"]]
    {
        let output = setup.flora(arguments).output().unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        for words in
            ["two levels down, as in clinic-a/", "flora init '../my scans'", "{domain}/{class}"]
        {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
    done(setup.init(&[]));
    let file = setup.path("work/my-scans.toml");
    for wrong in ["images/{domain}/{class}", "{domain}/x/{class}"] {
        let right = fs::read_to_string(&file).unwrap();
        fs::write(&file, right.replace("\"{domain}/{class}\"", &format!("{wrong:?}"))).unwrap();
        let check = setup.flora(&["datasets", "check", "my-scans.toml"]).output().unwrap();
        let said = text(&check.stdout);
        let words = "layout.pattern = \"{domain}/{class}\" would fit";
        assert!(said.contains(words), "{said}{}", text(&check.stderr));
        fs::write(&file, right).unwrap();
    }
}

/// What ships is written whole into a folder that is empty, and is of use there.
#[test]
fn examples_are_unpacked() {
    let setup = Setup::new();
    let mut unpack = setup.flora(&["init", "--examples", "--out", "shipped"]);
    let said = text(&unpack.output().unwrap().stdout);
    let shipped = setup.path("work").join("shipped");
    assert!(said.contains(&format!("FLORA_HOME={}", shipped.display())), "{said}");
    assert!(shipped.join("NOTICE").is_file());
    let model = fs::read(shipped.join("models/clip-nano/model.safetensors")).unwrap();
    let of_tree =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/clip-nano/model.safetensors");
    assert!(model == fs::read(of_tree).unwrap());

    let mut check = setup.flora(&["datasets", "check", "emoji-vendors"]);
    check.current_dir(&shipped);
    let said = text(&done(check).stdout);
    assert!(said.contains("3154 training and 473 test images"), "{said}");

    let message = refused(setup.flora(&["init", "--examples", "--out", "shipped"]), 2);
    assert!(message.contains("--overwrite"), "{message}");
    done(setup.flora(&["init", "--examples", "--out", "shipped", "--overwrite"]));
    let message = refused(setup.flora(&["init", "--examples", "../my scans"]), 2);
    assert!(message.contains("--examples"), "{message}");
    // Neither a folder nor --examples.
    refused(setup.flora(&["init"]), 2);
}

/// Without --out they go into the user's data folder, once.
#[cfg(target_os = "linux")]
#[test]
fn examples_are_installed() {
    let setup = Setup::new();
    let data = setup.path("data");
    for _ in 0..2 {
        let mut install = setup.flora(&["init", "--examples"]);
        install.env("XDG_DATA_HOME", &data);
        let said = text(&done(install).stdout);
        let inside: Vec<_> = fs::read_dir(data.join("flora")).unwrap().collect();
        assert_eq!(inside.len(), 1, "{inside:?}");
        let folder = inside[0].as_ref().unwrap().path();
        assert!(said.contains(folder.to_str().unwrap()), "{said}");
        assert!(folder.join("models/clip-nano/config.json").is_file());
    }
}
