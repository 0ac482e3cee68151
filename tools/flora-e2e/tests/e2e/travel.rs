//! Updates that travel short, hidden or masked.

use std::sync::LazyLock;

use flora_e2e::{Run, assert_found, flora, scratch};

use crate::short_quickstart;

/// Two rounds with these settings.
fn two_rounds(name: &str, settings: &[&str]) -> Run {
    let mut call = short_quickstart(2).set("federation.evaluate_local=false");
    for setting in settings {
        call = call.set(setting);
    }
    let run = call.run_to(&scratch(&format!("travel-{name}")));
    run.assert_finished(2);
    run
}

/// Two rounds of plain updates.
fn plain() -> &'static Run {
    static PLAIN: LazyLock<Run> = LazyLock::new(|| two_rounds("plain", &[]));
    &PLAIN
}

/// Two rounds whose uploads must be at least `ratio` times fewer bytes than plain ones.
fn travels(name: &str, ratio: f64, settings: &[&str]) -> Run {
    let run = two_rounds(name, settings);
    let (plain, short) = (plain().number("bytes_up"), run.number("bytes_up"));
    println!("{name}: {short} bytes up instead of {plain}");
    assert!(plain >= ratio * short, "{name}: {short} bytes up, and {plain} plain");
    run
}

#[test]
#[ignore = "end to end"]
fn eden() {
    travels("eden", 14.0, &["federation.upload=eden", "federation.download=int8"]);
}

#[test]
#[ignore = "end to end"]
fn ternary() {
    travels("ternary", 60.0, &["federation.upload=ternary"]);
}

#[test]
#[ignore = "end to end"]
fn masks_do_not_change_the_mean() {
    let masked = travels("masked", 0.7, &["federation.secure={}"]);
    let (one, other) = (plain().accuracy(2), masked.accuracy(2));
    // What is masked is exact to its lanes.
    assert!((one - other).abs() < 0.002, "{one} plain, {other} masked");
}

#[test]
#[ignore = "end to end"]
fn hidden_images_stay_within_the_budget() {
    let budget = r#"federation.privacy={ kind = "sample", epsilon = 8.0 }"#;
    let run = travels("hidden", 0.9, &[budget, "method.loss=class-ce"]);
    let epsilon = run.number("epsilon");
    println!("hidden: epsilon {epsilon}");
    assert!(epsilon > 0.0 && epsilon < 8.0, "{epsilon}");
}

#[test]
#[ignore = "end to end"]
fn noise_of_the_server() {
    let noise = r#"federation.privacy={ kind = "central", clip = 0.5, noise = 2.0 }"#;
    travels("noised", 0.9, &[noise, "federation.strategy=ffa"]);
}

#[test]
#[ignore = "end to end"]
fn a_budget_is_planned_as_the_reference_does() {
    let plan = ["--rate", "0.1", "--noise", "1", "--rounds", "50", "--delta", "1e-5"];
    let call = flora!["privacy", "epsilon", "--accountant", "rdp", "--json"].args(plan);
    let shown = call.ok().stdout;
    assert_found(r#""epsilon":5\.88"#, &shown);
}
