//! Properties of every rule: determinism, states, equal answers, settings.

mod support;

use flora_core::ParameterRecord;
use flora_federation::{FedAvg, Message, Strategy, StrategyError, Value as Setting};
use flora_strategies::robust::{Bulyan, GeometricMedian, Krum, Median, MultiKrum, TrimmedMean};
use flora_strategies::{
    FedAdagrad, FedAdam, FedAvgM, FedNova, FedNovaConfig, FedProxConfig, FedYogi, ServerOptimizer,
    Stepped,
};
use support::{aggregate, assert_same_bits, fixture, global, inputs, refusal, saved, vector};

fn stepped(optimizer: ServerOptimizer) -> Box<dyn Strategy> {
    optimizer.check().unwrap();
    Box::new(Stepped::new(Box::new(FedAvg), optimizer))
}

fn optimizers() -> [ServerOptimizer; 4] {
    [
        ServerOptimizer::FedAvgM(FedAvgM { server_learning_rate: 0.5, server_momentum: 0.9 }),
        ServerOptimizer::FedAdam(FedAdam::default()),
        ServerOptimizer::FedYogi(FedYogi::default()),
        ServerOptimizer::FedAdagrad(FedAdagrad::default()),
    ]
}

#[test]
fn a_restored_strategy_and_another_order_give_the_same_bits() {
    let (start, rounds) = inputs(&fixture("flower.json"), "seven");
    for optimizer in optimizers() {
        let around = |rule: fn() -> Box<dyn Strategy>| {
            let optimizer = optimizer.clone();
            move || -> Box<dyn Strategy> { Box::new(Stepped::new(rule(), optimizer.clone())) }
        };
        let median = around(|| Box::new(Median::default()));
        assert_same_bits(&median, &start, &rounds, true);
        // FedAvg sums in the given order; the round loop sorts the answers.
        assert_same_bits(&around(|| Box::new(FedAvg)), &start, &rounds, false);
        let twice = around(|| stepped(ServerOptimizer::FedAdam(FedAdam::default())));
        assert_same_bits(&twice, &start, &rounds, false);
    }
    let robust: [&dyn Fn() -> Box<dyn Strategy>; 5] = [
        &|| Box::new(Median::default()),
        &|| Box::new(TrimmedMean::default()),
        &|| Box::new(Krum { num_malicious_nodes: 1 }),
        &|| Box::new(MultiKrum { num_malicious_nodes: 1, num_nodes_to_select: 3 }),
        &|| Box::new(Bulyan { num_malicious_nodes: 1 }),
    ];
    for make in robust {
        assert_same_bits(make, &start, &rounds, true);
    }
}

/// Sums of these depend on the order of their terms, whatever the rounding.
#[test]
fn large_numbers_that_cancel_show_no_order() {
    let records: Vec<_> = [
        [1e30_f32, 1.0, -1e30, 3.0],
        [1.0, -1e30, 1e30, 3.0],
        [-1e30, 1e30, 1.0, 3.0],
        [3.0, 3.0, 3.0, 3.0],
    ]
    .iter()
    .map(|values| vector(values))
    .collect();
    let rounds = vec![(vec![5, 7, 5, 9], records); 3];
    let nova = || FedNova::new(FedNovaConfig::default(), Box::new(|examples| 1 + examples % 2 * 7));
    let rules: [&dyn Fn() -> Box<dyn Strategy>; 7] = [
        &|| Box::new(Median::default()),
        &|| Box::new(TrimmedMean { beta: 0.0 }),
        &|| Box::new(Krum::default()),
        &|| Box::new(MultiKrum { num_malicious_nodes: 0, num_nodes_to_select: 4 }),
        &|| Box::new(Bulyan::default()),
        &|| Box::new(GeometricMedian { max_iterations: 1, ..GeometricMedian::default() }),
        &move || Box::new(nova()),
    ];
    for make in rules {
        assert_same_bits(make, &vector(&[0.0; 4]), &rounds, true);
    }
}

#[test]
fn a_rule_without_spread_is_the_answer_itself() {
    let values = [0.1_f32, -3.7e-9, 2.5e4, 1.0 / 3.0];
    let same = vec![vector(&values); 7];
    let examples = [3, 1, 4, 1, 5, 9, 2];
    let start = vector(&[1e10, 1.0, -1.0, 0.0]);
    let nova = || FedNova::new(FedNovaConfig { momentum: 0.9 }, Box::new(|_| 3));
    let rules: [Box<dyn Strategy>; 8] = [
        Box::new(Median::default()),
        Box::new(TrimmedMean::default()),
        Box::new(Krum { num_malicious_nodes: 2 }),
        Box::new(MultiKrum { num_malicious_nodes: 1, num_nodes_to_select: 4 }),
        Box::new(GeometricMedian::default()),
        Box::new(nova()),
        Box::new(Bulyan { num_malicious_nodes: 1 }),
        stepped(ServerOptimizer::FedAvgM(FedAvgM::default())),
    ];
    for mut rule in rules {
        let next = aggregate(rule.as_mut(), 0, &start, &examples, &same).unwrap().parameters;
        assert_eq!(support::bits(&next), support::bits(&same[0]), "{}", rule.name());
        assert_eq!(rule.state(), Message::default(), "{}", rule.name());
    }
    for mut rule in [
        Box::new(Median::default()) as Box<dyn Strategy>,
        Box::new(GeometricMedian::default()),
        Box::new(nova()),
        Box::new(TrimmedMean::default()),
        stepped(ServerOptimizer::FedAvgM(FedAvgM::default())),
    ] {
        let next = aggregate(rule.as_mut(), 0, &start, &[3], &same[..1]).unwrap().parameters;
        assert_eq!(support::bits(&next), support::bits(&same[0]), "{} of one", rule.name());
    }
}

#[test]
fn krum_takes_the_first_client_of_equal_scores() {
    let answers: Vec<_> = [0.0_f32, 1.0, 2.0, 3.0].iter().map(|&x| vector(&[x])).collect();
    let mut krum = Krum::default();
    // With two neighbours each: 1 + 4, 1 + 1, 1 + 1, 1 + 4.
    let next = aggregate(&mut krum, 0, &vector(&[9.0]), &[1, 1, 9, 1], &answers).unwrap();
    assert_eq!(next.parameters, answers[1]);
    let global = global(0, &vector(&[9.0]));
    let mut turned = support::answers(&global, &[1, 1, 9, 1], answers.clone());
    turned.reverse();
    assert_eq!(krum.aggregate(&global, &turned).unwrap().parameters, answers[1]);
}

#[test]
fn an_optimizer_leaves_what_the_rule_left() {
    for optimizer in optimizers() {
        let mut strategy = stepped(optimizer);
        let start = vector(&[0.3, -2e-7]);
        let next =
            aggregate(strategy.as_mut(), 0, &start, &[2], std::slice::from_ref(&start)).unwrap();
        assert_eq!(next.parameters, start, "{}", strategy.name());
    }
}

#[test]
fn a_state_of_another_kind_is_refused() {
    let (start, rounds) = inputs(&fixture("flower.json"), "seven");
    let mut adam = stepped(ServerOptimizer::FedAdam(FedAdam::default()));
    aggregate(adam.as_mut(), 0, &start, &rounds[0].0, &rounds[0].1).unwrap();
    let state = saved(adam.state());
    assert_eq!(state.records.keys().collect::<Vec<_>>(), ["fedadam.m", "fedadam.v"]);

    let refused = |strategy: &mut dyn Strategy, state: Message, words: &str| {
        let error = strategy.restore(state).unwrap_err();
        assert!(matches!(error, StrategyError::State(_)), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(strategy.state(), Message::default());
    };
    let mut yogi = stepped(ServerOptimizer::FedYogi(FedYogi::default()));
    refused(yogi.as_mut(), state.clone(), "`fedyogi.m` is missing");
    let mut fresh = stepped(ServerOptimizer::FedAdam(FedAdam::default()));
    let mut half = state.clone();
    half.records.remove("fedadam.v");
    refused(fresh.as_mut(), half, "`fedadam.v` is missing");
    let mut more = state.clone();
    more.config.insert("steps".to_owned(), Setting::Int(1));
    refused(fresh.as_mut(), more, "`steps` is not part");
    let mut of_rule = state.clone();
    of_rule.config.insert("rule.steps".to_owned(), Setting::Int(1));
    refused(fresh.as_mut(), of_rule, "fedavg keeps no state");
    let mut infinite = state.clone();
    infinite.records.insert("fedadam.v".to_owned(), vector(&[f32::INFINITY]).into());
    refused(fresh.as_mut(), infinite, "finite");
    // Its moments belong to another model.
    fresh.restore(state).unwrap();
    let name = start.names().next().unwrap();
    let mut other = ParameterRecord::new();
    other.insert(name, vector(&[1.0]).get("w").unwrap().clone()).unwrap();
    let message = refusal(aggregate(fresh.as_mut(), 1, &other, &[1], &[other.clone()]));
    assert!(message.contains("saved state") && message.contains(name), "{message}");
}

#[test]
fn settings_are_checked() {
    let nan = f64::NAN;
    let adam = FedAdam::default();
    let yogi = FedYogi::default();
    let momentum = FedAvgM::default();
    let of = |mu: f64| FedProxConfig { proximal_mu: mu }.check();
    for (field, result) in [
        ("server_learning_rate", FedAvgM { server_learning_rate: 0.0, ..momentum.clone() }.check()),
        ("server_learning_rate", FedAvgM { server_learning_rate: nan, ..momentum.clone() }.check()),
        ("server_momentum", FedAvgM { server_momentum: 1.0, ..momentum.clone() }.check()),
        ("server_momentum", FedAvgM { server_momentum: -0.1, ..momentum }.check()),
        ("eta", FedAdam { eta: f64::INFINITY, ..adam.clone() }.check()),
        ("beta_1", FedAdam { beta_1: 1.0, ..adam.clone() }.check()),
        ("beta_2", FedAdam { beta_2: nan, ..adam.clone() }.check()),
        ("tau", FedAdam { tau: 0.0, ..adam }.check()),
        ("eta", FedYogi { eta: -1.0, ..yogi.clone() }.check()),
        ("beta_2", FedYogi { beta_2: 1.5, ..yogi }.check()),
        ("tau", FedAdagrad { tau: 0.0, ..FedAdagrad::default() }.check()),
        ("proximal_mu", of(0.0)),
        ("proximal_mu", of(-1.0)),
        ("proximal_mu", of(1e300)),
        ("beta", TrimmedMean { beta: 0.5 }.check()),
        ("beta", TrimmedMean { beta: nan }.check()),
        (
            "num_nodes_to_select",
            MultiKrum { num_malicious_nodes: 1, num_nodes_to_select: 0 }.check(),
        ),
    ] {
        let message = result.unwrap_err();
        assert!(message.starts_with(&format!("{field}: ")), "{message}");
    }
    // Without a prior check, the first aggregation reports the error.
    let mut wrong = TrimmedMean { beta: 0.7 };
    let start = vector(&[1.0]);
    let message = refusal(aggregate(&mut wrong, 0, &start, &[1], std::slice::from_ref(&start)));
    assert!(message.starts_with("trimmed-mean: beta: "), "{message}");
    assert!(serde_json::from_str::<FedAdam>(r#"{"eta_l": 0.1}"#).is_err());
}

#[test]
fn each_rule_says_how_many_answers_it_needs() {
    assert_eq!(Median::default().fewest(), 1);
    for (beta, count) in [(0.0, 1), (0.2, 5), (0.3, 4), (0.1, 10), (0.49, 3), (0.07, 15)] {
        assert_eq!(TrimmedMean { beta }.fewest(), count, "{beta}");
    }
    assert_eq!(Krum { num_malicious_nodes: 2 }.fewest(), 7);
    let multi = |num_nodes_to_select| MultiKrum { num_malicious_nodes: 2, num_nodes_to_select };
    assert_eq!((multi(3).fewest(), multi(8).fewest()), (7, 10));
    assert_eq!(Bulyan { num_malicious_nodes: 2 }.fewest(), 11);
    let start = vector(&[1.0]);
    let many = usize::MAX;
    let refused = [
        refusal(aggregate(
            &mut Krum { num_malicious_nodes: many },
            0,
            &start,
            &[1],
            std::slice::from_ref(&start),
        )),
        refusal(aggregate(&mut multi(many), 0, &start, &[1], std::slice::from_ref(&start))),
        refusal(aggregate(&mut Median::default(), 0, &start, &[], &[])),
    ];
    for message in refused {
        assert!(message.contains("it needs"), "{message}");
    }
}
