//! Every strategy but FedAvg, which all other checks run.

use flora_e2e::scratch;

use crate::short_quickstart;

fn finishes(name: &str, strategy: &str, rounds: u64) {
    let call = short_quickstart(rounds)
        .set(format!("federation.strategy={strategy}"))
        .set("training.optimizer=sgd")
        .set("training.learning_rate=0.1");
    let run = call.run_to(&scratch(&format!("strategy-{name}")));
    run.assert_finished(rounds);
    println!("{name}: aggregation error {:.4}", run.number("aggregation_error"));
}

/// A test for each strategy.
macro_rules! strategies {
    ($($test:ident: $strategy:literal),+ $(,)?) => {
        $(
            #[test]
            #[ignore = "end to end"]
            fn $test() {
                finishes(stringify!($test), $strategy, 1);
            }
        )+
    };
}

strategies! {
    fedavgm: r#"{ kind = "fedavgm", server_momentum = 0.5 }"#,
    fedadam: r#"{ kind = "fedadam", eta = 0.01, rule = "median" }"#,
    fedyogi: "fedyogi",
    fedadagrad: "fedadagrad",
    fedprox: r#"{ kind = "fedprox", proximal_mu = 0.1 }"#,
    fednova: "fednova",
    norm_clipping: r#"{ kind = "norm-clipping", bound = 0.1 }"#,
    trimmed_mean: r#"{ kind = "trimmed-mean", beta = 0.25 }"#,
    krum: "krum",
    multi_krum: r#"{ kind = "multi-krum", num_nodes_to_select = 2 }"#,
    bulyan: "bulyan",
    geometric_median: "geometric-median",
    fedrot: "fedrot",
    ffa: "ffa",
    rolora: "rolora",
    fedsvd: "fedsvd",
    lora_fair: "lora-fair",
    scaffold: "scaffold",
    fedex: "fedex",
    stacking: r#"{ kind = "stacking", ranks = [4, 2, 4, 2] }"#,
    flexlora: r#"{ kind = "flexlora", ranks = { "*" = 2, "openmoji" = 4 }, average = "raflora" }"#,
    hetlora: r#"{ kind = "hetlora", ranks = [4, 2, 4, 2] }"#,
}

#[test]
#[ignore = "end to end"]
fn fed_sb() {
    // Its first round trains nothing.
    finishes("fed_sb", "fed-sb", 2);
}

#[test]
#[ignore = "end to end"]
fn fedsa_keeps_an_adapter_for_each_client() {
    let call = short_quickstart(1).set("federation.strategy=fedsa").arg("--keep-clients");
    let run = call.run_to(&scratch("fedsa"));
    assert_eq!(run.summary()["model"], "own");
    assert!(!run.file("clients/openmoji/adapter/adapter_model.safetensors").is_empty());
}
