//! The quickstart as the README has it, and with other seeds.

use std::sync::LazyLock;

use flora_e2e::{Run, flora, scratch};

/// The run that other checks use, too. It has the machine and a cache to itself: its time is checked.
pub(crate) fn shared() -> &'static Run {
    static QUICKSTART: LazyLock<Run> = LazyLock::new(|| {
        let folder = scratch("quickstart");
        let call = flora!["run", "quickstart"].cache(&folder.join("cache")).alone();
        call.run_to(&folder.join("run"))
    });
    &QUICKSTART
}

/// The accuracies before training and after the last round.
fn before_and_after(run: &Run) -> (f64, f64) {
    (run.accuracy(0), run.accuracy(run.last_round()))
}

#[test]
#[ignore = "end to end"]
fn learns_unseen_concepts_in_ten_rounds_or_more() {
    let run = shared();
    let rounds = run.last_round();
    run.assert_finished(rounds);
    assert!(rounds >= 10, "{rounds} rounds");
    assert_eq!(run.num_clients(), 4);
    let (before, after) = before_and_after(run);
    println!(
        "quickstart: accuracy on unseen concepts {before:.4} -> {after:.4} in {rounds} rounds"
    );
    assert!(after > before + 0.05, "{before} -> {after}");
    // What clip-nano reaches.
    assert!(before > 0.25 && after > 0.35, "{before} -> {after}");
}

#[test]
#[ignore = "end to end"]
fn takes_less_than_three_minutes() {
    let seconds = shared().summary()["seconds"]["total"].as_f64().unwrap();
    println!("quickstart: {seconds:.1} s");
    assert!(seconds > 0.0 && seconds < 180.0, "{seconds} s");
}

fn learns_with_seed(seed: &str) {
    let folder = scratch(&format!("quickstart-seed-{seed}"));
    let run = flora!["run", "quickstart", "--seed", seed].run_to(&folder);
    assert_eq!(run.last_round(), shared().last_round());
    let (before, after) = before_and_after(&run);
    println!("quickstart, seed {seed}: {before:.4} -> {after:.4}");
    assert!(after > before + 0.05, "{before} -> {after}");
}

#[test]
#[ignore = "end to end"]
fn learns_with_seed_1() {
    learns_with_seed("1");
}

#[test]
#[ignore = "end to end"]
fn learns_with_seed_2() {
    learns_with_seed("2");
}
