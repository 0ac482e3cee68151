//! Fashion-MNIST: the part that ships, and the whole set of a Debian package.

use std::path::Path;

use flora_e2e::{Call, Run, flora, scratch};

/// One round on 2,000 images.
fn one_round(call: Call, name: &str) -> Run {
    let call = call.set("training.rounds=1").set("data.limit={train=2000,test=500}");
    let run = call.run_to(&scratch(name));
    run.assert_finished(1);
    run
}

#[test]
#[ignore = "end to end"]
fn fashion_mnist_iid() {
    let run = one_round(flora!["run", "fashion-mnist-iid"], "fashion-mnist-iid");
    assert_eq!(run.num_clients(), 10);
}

#[test]
#[ignore = "end to end"]
fn fashion_mnist_dirichlet() {
    let run = one_round(flora!["run", "fashion-mnist-dirichlet"], "fashion-mnist-dirichlet");
    assert_eq!(run.num_clients(), 10);
}

#[test]
#[ignore = "end to end"]
fn all_of_fashion_mnist() {
    let folder = Path::new("/usr/share/datasets/fashion-mnist");
    if !folder.is_dir() {
        let ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!ci, "{}: .ci/run should have installed it", folder.display());
        println!("skip  {} is missing: apt-get install dataset-fashion-mnist", folder.display());
        return;
    }
    let call = flora!["run", "fashion-mnist-iid"].set("data.path=datasets/fashion-mnist.toml");
    one_round(call, "fashion-mnist");
}
