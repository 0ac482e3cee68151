//! Every method, for a round of the quickstart.

use flora_e2e::scratch;

use crate::short_quickstart;

fn finishes(method: &str) {
    let call = short_quickstart(1).set(format!("method.name={method}"));
    let run = call.run_to(&scratch(&format!("method-{method}")));
    assert_eq!(run.summary()["status"], "finished");
    println!("{method}: {:.4}", run.accuracy(run.last_round()));
}

/// A test for each method.
macro_rules! methods {
    ($($test:ident: $method:literal),+ $(,)?) => {
        $(
            #[test]
            #[ignore = "end to end"]
            fn $test() {
                finishes($method);
            }
        )+
    };
}

methods! {
    flora: "flora",
    fedlc: "fedlc",
    fedaa: "fedaa",
    fedprompt: "fedprompt",
    fedvm_lc: "fedvm-lc",
    ridge: "ridge",
    gda: "gda",
    ncm: "ncm",
    zero_shot: "zero-shot",
}

#[test]
#[ignore = "end to end"]
fn alone_keeps_own_models_and_sends_nothing() {
    let call = short_quickstart(1).set("federation.participants=alone");
    let run = call.run_to(&scratch("alone"));
    assert_eq!(run.summary()["model"], "own");
    assert_eq!(run.number("bytes_up"), 0.0);
}
