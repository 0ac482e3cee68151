//! A federation of a hundred clients in which much goes wrong.

use std::path::Path;

use flora_e2e::{Call, Run, flora, scratch};

const ROUNDS: u64 = 30;

fn hundred_clients() -> Call {
    flora!["run", "fashion-mnist-iid"]
        .set(r#"partition={ kind = "iid", clients = 100 }"#)
        .set(format!("training.rounds={ROUNDS}"))
}

fn with_faults(folder: &Path) -> Run {
    let faults = "faults={ fail = 0.3, nan = 0.03, wrong_shape = 0.02, huge = 0.03, stale = 0.02, \
                  straggle = 0.1, delay = 900.0 }";
    hundred_clients().set("federation.deadline=600.0").set(faults).run_to(folder)
}

#[test]
#[ignore = "end to end"]
fn clients_that_fail_poison_or_straggle_cost_little() {
    let scratch = scratch("faults");
    let clean = hundred_clients().run_to(&scratch.join("clean"));
    let faulty = with_faults(&scratch.join("faulty"));
    faulty.assert_finished(ROUNDS);
    for reason in ["failed", "late", "refused"] {
        let left_out = faulty.events("client_failed").filter(|it| it["reason"] == reason).count();
        assert!(left_out > 50, "{left_out} clients were left out as {reason}");
    }
    let (clean, faulty) = (clean.accuracy(ROUNDS), faulty.accuracy(ROUNDS));
    println!("30 % failing, 10 % poisonous, 10 % late: {faulty:.4}, and {clean:.4} without");
    assert!(faulty > clean - 0.02, "{faulty} instead of {clean}");
}
