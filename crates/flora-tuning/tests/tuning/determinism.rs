//! Results depend on the seed only, not on the number of threads.

use flora_federation::Outcome;

use crate::common::{Images, bits, outcome};

fn same(left: &Outcome, right: &Outcome) -> bool {
    left.history == right.history && bits(&left.last) == bits(&right.last)
}

/// Each with its own cache: the features are computed anew.
fn run(images: &Images, number: usize, set: &[&str]) -> Outcome {
    let cache = format!("data.cache={}", images.path().join(format!("cache-{number}")).display());
    outcome(images.experiment(&[set, &[&cache]].concat()))
}

#[test]
fn the_same_seed_gives_the_same_bits_on_any_number_of_threads() {
    // 54 images: two batches of features.
    let images = Images::new(3, 2);
    let first = run(&images, 0, &["federation.threads=1"]);
    assert_eq!(first.history.len(), 3);
    for (number, threads) in [(1, 1), (2, 2), (3, 4)] {
        let again = run(&images, number, &[&format!("federation.threads={threads}")]);
        assert!(same(&first, &again), "{threads} threads");
        let file = |number: usize| {
            let folder = images.path().join(format!("cache-{number}"));
            let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
            std::fs::read(file.path()).unwrap()
        };
        assert!(file(0) == file(number), "features on {threads} threads");
    }
}

#[test]
fn pictures_and_selected_clients_do_not_change_that() {
    let images = Images::new(2, 1);
    let set = [
        "method.implementation=naive",
        "method.lora.towers=both",
        "federation.fraction=0.6",
        "partition={ kind = 'dirichlet', clients = 3, beta = 0.5 }",
    ];
    let run = |threads: &str| outcome(images.experiment(&[&set[..], &[threads]].concat()));
    let first = run("federation.threads=1");
    assert!(same(&first, &run("federation.threads=4")));
}

#[test]
fn another_seed_gives_other_adapters() {
    let images = Images::new(2, 1);
    let [three, four] = [3, 4].map(|seed| outcome(images.experiment(&[&format!("seed={seed}")])));
    assert_ne!(bits(&three.last), bits(&four.last));
    // Before training, the adapters change nothing, whatever they are.
    assert_eq!(three.initial, four.initial);
}
