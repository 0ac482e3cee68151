//! LoRA rules for clients of one rank, compared with the papers' formulas.

#[path = "support/lora.rs"]
mod support;

use std::sync::Arc;

use flora_federation::{FedAvg, Kind, Metrics, Strategy, Value as Setting};
use flora_strategies::lora::{
    self, AGGREGATION_ERROR, Average, FRESH_OPTIMIZER, Fair, FairConfig, FedSvd, Ffa, FlexLora,
    LORA_A, LORA_B, Ranks, Reported, RoLora, TRAIN,
};
use serde_json::Value;
use support::{assert_holds, assert_products, global, name, one_rank, round, zeroed};

fn error_of(rule: &Value) -> f64 {
    rule["aggregation_error"]["all"].as_f64().unwrap()
}

fn reported(rule: impl Strategy + 'static) -> Reported {
    Reported::new(Box::new(rule))
}

fn assert_error(expected: f64, metrics: &Metrics) {
    let error = metrics[AGGREGATION_ERROR];
    assert!((error - expected).abs() < 1e-6, "{error} {expected}");
}

#[test]
fn the_aggregation_error_of_fedavg_is_told() {
    let case = one_rank();
    let global = global(0, &case.reference);
    let aggregate = round(&mut reported(FedAvg), &global, &case.clients, &case.examples);
    assert_holds(&case.rule("fedavg")["result"], &aggregate.parameters);
    assert_error(error_of(case.rule("fedavg")), &aggregate.metrics);
    let error = lora::aggregation_error(
        &aggregate.parameters,
        case.examples.iter().map(|&it| it as f64).zip(&case.clients),
    )
    .unwrap();
    assert_eq!(error, aggregate.metrics[AGGREGATION_ERROR]);
    // A single client, and zeros only.
    let one = lora::aggregation_error(&case.clients[0], [(3.0, &case.clients[0])]).unwrap();
    assert!(one < 1e-14, "{one}");
    let zeros = zeroed(&case.reference, LORA_B);
    assert_eq!(lora::aggregation_error(&zeros, [(1.0, &zeros)]), Some(0.0));
    assert_eq!(lora::aggregation_error(&case.reference, [(1.0, &zeros)]), None);
    assert_eq!(lora::aggregation_error(&case.reference, []), None);
    // Without pairs there is no error to report.
    let alone = case.reference.filter(|name| name.contains(LORA_A));
    assert_eq!(lora::aggregation_error(&alone, [(1.0, &alone)]), None);
    assert!(!lora::has_pairs(&alone) && lora::has_pairs(&case.reference));
}

#[test]
fn ffa_keeps_a_and_is_exact() {
    let case = one_rank();
    let global = global(0, &case.reference);
    let mut rule = reported(Ffa::new());
    let aggregate = round(&mut rule, &global, &case.clients, &case.examples);
    assert_holds(&case.rule("ffa")["result"], &aggregate.parameters);
    assert_products(
        &support::products(&case.rule("ffa")["product"]),
        &support::products_of(&aggregate.parameters, 1.0),
    );
    let is_a = |name: &str| name.contains(LORA_A);
    assert_eq!(aggregate.parameters.filter(is_a), case.reference.filter(is_a));
    assert_error(0.0, &aggregate.metrics);
    // All are sent the same record, half the size, with the setting that names that half.
    let sent = [Kind::Train, Kind::Evaluate]
        .map(|kind| rule.instruct(&global, &support::info(0, 1), &kind));
    let [train, test] = sent.each_ref().map(|it| it.get_parameters().unwrap());
    assert!(Arc::ptr_eq(train, test));
    assert_eq!(train.names().collect::<Vec<_>>(), LAYERS_B);
    assert!(sent.iter().all(|it| it.config[TRAIN] == Setting::Text(LORA_B.into())));
}

const LAYERS_B: [&str; 2] =
    ["text.layers.0.fc1.lora_B.weight", "text.layers.0.out_proj.lora_B.weight"];

#[test]
fn fedsvd_changes_the_basis_and_not_the_product() {
    let case = one_rank();
    let global = global(0, &case.reference);
    let mut rule = reported(FedSvd);
    let aggregate = round(&mut rule, &global, &case.clients, &case.examples);
    assert_products(
        &support::products(&case.rule("ffa")["product"]),
        &support::products_of(&aggregate.parameters, 1.0),
    );
    assert_error(0.0, &aggregate.metrics);
    for layer in support::LAYERS {
        let a = aggregate.parameters.get(&name(layer, "A")).unwrap();
        let rows: Vec<&[f32]> =
            a.to_f32().chunks(a.shape()[1]).map(|it| it.to_vec().leak() as &[f32]).collect();
        for (i, j) in (0..16).map(|it| (it / 4, it % 4)) {
            let dot: f32 = rows[i].iter().zip(rows[j]).map(|(x, y)| x * y).sum();
            assert!((dot - if i == j { 1.0 } else { 0.0 }).abs() < 1e-6);
        }
        let b = aggregate.parameters.get(&name(layer, "B")).unwrap();
        let expected = &case.rule("fedsvd")["singular_values"][layer]["data"];
        for (column, expected) in expected.as_array().unwrap().iter().enumerate() {
            let squares = b
                .to_f32()
                .iter()
                .skip(column)
                .step_by(4)
                .map(|&it| f64::from(it).powi(2))
                .sum::<f64>();
            assert!((squares.sqrt() - expected.as_f64().unwrap()).abs() < 2e-6);
        }
    }
    let sent = rule.instruct(&global, &support::info(0, 1), &Kind::Train);
    assert_eq!(sent.config[FRESH_OPTIMIZER], Setting::Bool(true));
    assert_eq!(sent.get_parameters().unwrap().len(), 4);
    assert!(rule.instruct(&global, &support::info(0, 1), &Kind::Evaluate).config.is_empty());
}

#[test]
fn fedsvd_leaves_a_product_of_zero_as_it_is() {
    let case = one_rank();
    for part in [LORA_A, LORA_B] {
        let start = zeroed(&case.reference, part);
        let answers = [start.clone(), start.clone()];
        let aggregate = round(&mut FedSvd, &global(0, &start), &answers, &[1, 2]);
        assert_eq!(aggregate.parameters, start);
    }
}

#[test]
fn rolora_takes_turns() {
    let case = one_rank();
    let rounds = &case.rule("rolora")["rounds"];
    let mut rule = reported(RoLora);
    let first = round(&mut rule, &global(0, &case.reference), &case.clients, &case.examples);
    assert_holds(&rounds[0]["result"], &first.parameters);
    assert_error(0.0, &first.metrics);
    let second = round(&mut rule, &global(1, &first.parameters), &case.clients, &case.examples);
    assert_holds(&rounds[1]["result"], &second.parameters);
    assert_error(0.0, &second.metrics);
    assert_products(
        &support::products(&rounds[1]["product"]),
        &support::products_of(&second.parameters, 1.0),
    );
    let third = rule.instruct(&global(2, &second.parameters), &support::info(0, 1), &Kind::Train);
    assert_eq!(third.config[TRAIN], Setting::Text(LORA_B.into()));
    assert_eq!(third.get_parameters().unwrap().len(), 4);
}

#[test]
fn fair_corrects_b() {
    let case = one_rank();
    let mut means_of_a = case.rule("fedavg")["result"].clone();
    means_of_a.as_object_mut().unwrap().retain(|name, _| name.contains(LORA_A));
    for expected in case.rule("fair").as_array().unwrap() {
        let config = FairConfig { lambda: expected["lambda"].as_f64().unwrap() };
        let mut rule = reported(Fair::new(config));
        let aggregate =
            round(&mut rule, &global(0, &case.reference), &case.clients, &case.examples);
        assert_holds(&expected["result"], &aggregate.parameters);
        assert_holds(&means_of_a, &aggregate.parameters);
        assert_error(error_of(expected), &aggregate.metrics);
    }
    assert_eq!(FairConfig::default().lambda, 0.01);
    for lambda in [-1.0, f64::NAN, f64::INFINITY] {
        let config = FairConfig { lambda };
        assert!(config.check().unwrap_err().starts_with("lambda: "));
        let global = global(0, &case.reference);
        assert!(Fair::new(config).aggregate(&global, &[]).is_err());
    }
}

/// For clients of one rank, the adapter can hold everything, so nothing is truncated.
#[test]
fn flexlora_is_the_best_of_its_rank() {
    let case = one_rank();
    let expected = &case.rule("flexlora")[0];
    for average in [Average::Plain, Average::RaFlora] {
        let mut rule = reported(FlexLora::new(Ranks::default(), average));
        let made = round(&mut rule, &global(0, &case.reference), &case.clients, &case.examples);
        assert_error(error_of(expected), &made.metrics);
        assert_products(
            &support::products(&expected["product"]),
            &support::products_of(&made.parameters, 1.0),
        );
        // Exact, if the mean of the products has the adapter's rank.
        let twins = vec![case.clients[0].clone(); 3];
        let exact = round(&mut rule, &global(0, &case.reference), &twins, &[1, 2, 3]);
        assert_error(0.0, &exact.metrics);
    }
}
