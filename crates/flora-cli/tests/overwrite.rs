//! Existing files are never replaced without --overwrite, and the refusal comes before any long computation.

mod support;

use std::path::Path;
use std::process::Command;

use support::*;

const OWN: &[u8] = b"somebody's own";

/// Commands in a folder with the images and the experiment of the tests.
struct Setup(tempfile::TempDir);

impl Setup {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_experiment(folder.path());
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn flora(&self, arguments: &[&str]) -> Command {
        let mut command = flora(&self.path().join("cache"));
        command.args(arguments).current_dir(self.path());
        command
    }

    fn own(&self, name: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, OWN).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).unwrap()
    }

    /// The command must leave `file` unchanged, name it, and replace it with `--overwrite`.
    fn spares(&self, arguments: &[&str], file: &str) {
        self.own(file);
        let said = refused(self.flora(arguments), 2);
        assert!(said.contains(file) && said.contains("--overwrite"), "{said}");
        assert_eq!(self.read(file), OWN, "{arguments:?}");
        done(self.flora(&[arguments, &["--overwrite"]].concat()));
        assert_ne!(self.read(file), OWN, "{arguments:?}");
        // This includes files that flora wrote.
        refused(self.flora(arguments), 2);
    }

    /// The command must leave `file` unchanged, whatever the options.
    fn refuses(&self, arguments: &[&str], file: &str, words: &str) {
        self.own(file);
        for more in [&[][..], &["--overwrite"]] {
            let said = refused(self.flora(&[arguments, more].concat()), 2);
            assert!(said.contains(file) && said.contains(words), "{words}: {said}");
            assert_eq!(self.read(file), OWN, "{arguments:?}");
        }
    }
}

#[test]
fn files_that_users_name() {
    let setup = Setup::new();
    let model = tiny_clip();
    let model = ["--model", model.to_str().unwrap()];
    let partition = ["partition", "experiment.toml"];
    setup.spares(&[&partition[..], &["--out", "dealt.json"]].concat(), "dealt.json");
    setup.spares(&[&partition[..], &["--files", "new/dealt.csv"]].concat(), "new/dealt.csv");
    setup.spares(&[&partition[..], &["--png", "dealt.PNG"]].concat(), "dealt.PNG");
    let classify = [&["classify", "images/acme/test", "--labels", "ball,cup"], &model[..]].concat();
    setup.spares(&[&classify[..], &["--sheet", "k.png"]].concat(), "k.png");
    setup.spares(&[&classify[..], &["--csv", "k.csv"]].concat(), "k.csv");
    let eval = [&["eval", "--data", "things.toml"], &model[..]].concat();
    setup.spares(&[&eval[..], &["--confusion", "confusion.png"]].concat(), "confusion.png");
    setup.spares(&[&eval[..], &["--predictions", "predicted.csv"]].concat(), "predicted.csv");
    std::fs::write(setup.path().join("texts.txt"), "a cat\na dog\n").unwrap();
    let embed = [&["embed", "--texts", "texts.txt"], &model[..]].concat();
    setup.spares(&[&embed[..], &["--out", "texts.npy"]].concat(), "texts.npy");
    setup.spares(&["man", "--out", "man"], "man/flora-run.1");
}

#[test]
fn files_of_another_kind() {
    let setup = Setup::new();
    let partition = ["partition", "experiment.toml"];
    let before = setup.read("experiment.toml");
    let own = [&partition[..], &["--out", "experiment.toml", "--overwrite"]].concat();
    let said = refused(setup.flora(&own), 2);
    assert!(said.contains("does not end in .json; try experiment.json"), "{said}");
    assert_eq!(setup.read("experiment.toml"), before);
    for (arguments, file, words) in [
        (["--files", "mine.json"], "mine.json", ".csv"),
        (["--png", "mine.jpg"], "mine.jpg", "try mine.png"),
        (["--out", "mine"], "mine", "try mine.json"),
    ] {
        setup.refuses(&[partition, arguments].concat(), file, words);
    }
    let embed = ["embed", "--texts", "texts.txt", "--out", "texts.csv"];
    setup.refuses(&embed, "texts.csv", ".npy or .safetensors");
    std::fs::create_dir(setup.path().join("folder.json")).unwrap();
    let said = refused(setup.flora(&[&partition[..], &["--out", "folder.json"]].concat()), 2);
    assert!(said.contains("is a folder"), "{said}");
}

#[cfg(unix)]
#[test]
fn links_and_devices_are_no_files_to_replace() {
    let setup = Setup::new();
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, setup.path().join(name));
    link("/dev/null", "null.json").unwrap();
    link("nowhere", "dangling.json").unwrap();
    for name in ["null.json", "dangling.json"] {
        let arguments = ["partition", "experiment.toml", "--overwrite", "--out", name];
        let said = refused(setup.flora(&arguments), 2);
        assert!(said.contains("is not a regular file"), "{said}");
    }
}

#[test]
fn a_sweep_takes_no_tables_for_its_own_that_are_not() {
    let setup = Setup::new();
    let sweep = "name = 'small'\nbase = 'experiment.toml'\nset = ['training.rounds=1']\n\
                 [[rows]]\nname = 'FLoRA'\n";
    std::fs::write(setup.path().join("sweep.toml"), sweep).unwrap();
    let sweep = ["sweep", "sweep.toml", "--out", "."];
    setup.own("results.csv");
    let said = refused(setup.flora(&sweep), 2);
    assert!(said.contains("results.csv") && said.contains("--overwrite"), "{said}");
    assert_eq!(setup.read("results.csv"), OWN);
    assert!(!setup.path().join("run.lock").exists(), "nothing was touched");
    done(setup.flora(&[&sweep[..], &["--overwrite"]].concat()));
    assert!(setup.read("results.csv").starts_with(b"row,"));
    // Its own tables are updated.
    done(setup.flora(&sweep));
}

#[test]
fn a_model_is_not_trained_over_another_one() {
    let setup = Setup::new();
    let config = "model = 'clip-nano'\npairs = 'pairs'\nout = 'model'\nepochs = 1\nbatch_size = 2\n\
                  learning_rate = 1e-3\n";
    std::fs::write(setup.path().join("pretrain.toml"), config).unwrap();
    setup.own("model/config.json");
    let pretrain = ["pretrain", "pretrain.toml"];
    let said = refused(setup.flora(&pretrain), 2);
    assert!(said.contains("out: model is not empty") && said.contains("--overwrite"), "{said}");
    std::fs::remove_file(setup.path().join("model/config.json")).unwrap();
    setup.own("model-training/experiment.log");
    let said = refused(setup.flora(&pretrain), 2);
    assert!(said.contains("log: model-training is not empty") && said.contains("--resume-from"));
    // Then the pairs are searched.
    let said = refused(setup.flora(&[&pretrain[..], &["--overwrite"]].concat()), 2);
    assert!(said.contains("pairs"), "{said}");
}
