//! The rules that Flower does not have, compared with the papers' formulas in numpy.

mod support;

use std::sync::Arc;

use flora_core::{Dtype, ParameterRecord};
use flora_federation::{Accepted, ClientInfo, FedAvg, Kind, Strategy};
use flora_strategies::robust::GeometricMedian;
use flora_strategies::{
    CONTROL, FedNova, FedNovaConfig, NormClipping, NormClippingConfig, Scaffold, ScaffoldConfig,
    answered_control, client_control,
};
use serde_json::Value;
use support::{
    TOLERANCE, aggregate, answer, answers, assert_close, assert_same_bits, bits, counts, fixture,
    global, list, number, numbers, plus, record, refusal, vector,
};

/// The initial record of a case, and its clients' answers.
fn answered(case: &Value) -> (ParameterRecord, Vec<ParameterRecord>) {
    let start = record(&case["global"]);
    let records = list(&case["updates"]).iter().map(|it| plus(&start, &record(it))).collect();
    (start, records)
}

/// FedNova with the steps of each client by its number of examples, which differs between clients.
fn fednova(case: &Value) -> FedNova {
    let known: Vec<(usize, usize)> =
        counts(&case["num_examples"]).into_iter().zip(counts(&case["local_steps"])).collect();
    let steps = move |examples| known.iter().find(|(count, _)| *count == examples).unwrap().1;
    FedNova::new(FedNovaConfig { momentum: number(&case["momentum"]) }, Box::new(steps))
}

#[test]
fn fednova_is_the_papers() {
    let all = fixture("formulas.json");
    for case in list(&all["fednova"]) {
        let (start, records) = answered(case);
        let examples = counts(&case["num_examples"]);
        let what = format!("fednova, {}", case["name"]);
        let next = aggregate(&mut fednova(case), 0, &start, &examples, &records).unwrap();
        assert_close(&next.parameters, &case["result"], TOLERANCE, &what);
        let rounds = [(examples.clone(), records.clone()), (examples.clone(), records.clone())];
        assert_same_bits(&|| Box::new(fednova(case)), &start, &rounds, true);
        if case["name"] == "equal steps" {
            let mean = aggregate(&mut FedAvg, 0, &start, &examples, &records).unwrap();
            assert_eq!(bits(&next.parameters), bits(&mean.parameters));
        }
        let one = aggregate(&mut fednova(case), 0, &start, &examples[..1], &records[..1]).unwrap();
        assert_eq!(bits(&one.parameters), bits(&records[0]), "{what}: one client");
    }
}

#[test]
fn fednova_refuses_clients_without_steps() {
    let mut rule = FedNova::new(FedNovaConfig::default(), Box::new(|examples| examples / 32));
    let start = vector(&[1.0]);
    let message =
        refusal(aggregate(&mut rule, 0, &start, &[40, 31], &[start.clone(), start.clone()]));
    assert!(message.contains("client 01 takes no step on its 31 examples"), "{message}");
    for momentum in [1.0, -0.5, f64::NAN] {
        assert!(FedNovaConfig { momentum }.check().unwrap_err().starts_with("momentum: "));
    }
}

fn info(client: usize) -> ClientInfo {
    ClientInfo { id: format!("client {client}"), num_examples: 9, num_test_examples: 0 }
}

/// Three rounds with varying clients, for both cases.
#[test]
fn scaffold_is_the_papers() {
    let all = fixture("formulas.json");
    for case in list(&all["scaffold"]) {
        let config = ScaffoldConfig { server_learning_rate: number(&case["server_rate"]) };
        let clients = case["clients"].as_u64().unwrap() as usize;
        let rate = number(&case["client_rate"]);
        let make = || Scaffold::new(config.clone(), clients);
        let mut rule = make();
        let mut own: Vec<Option<ParameterRecord>> = vec![None; clients];
        let mut parameters = record(&case["global"]);
        for (round, of) in list(&case["rounds"]).iter().enumerate() {
            let start = global(round, &parameters);
            let who = counts(&of["participants"]);
            let trained: Vec<_> = list(&of["trained"]).iter().map(record).collect();
            let mut accepted = Vec::new();
            for ((&client, trained), steps) in
                who.iter().zip(&trained).zip(counts(&of["local_steps"]))
            {
                // Weights have no effect.
                let info = info(client);
                let sent = rule.instruct(&start, &info, &Kind::Train);
                let mut answer = answer(&info.id, client + 1, sent, trained.clone());
                let control = Arc::clone(&answer.sent.records[CONTROL]);
                let before = own[client].take();
                let after = client_control(
                    before.as_ref(),
                    &control,
                    (&start.parameters, trained),
                    (steps, rate),
                );
                let after = after.unwrap();
                let told = answered_control(&control, before.as_ref(), &after).unwrap();
                own[client] = Some(after);
                answer.message.records.insert(CONTROL.to_owned(), Arc::new(told));
                rule.check(&answer.sent, &answer.message).unwrap();
                accepted.push(answer);
            }
            // A resumed server, and answers in another order, give the same result.
            let mut other = make();
            other.restore(support::saved(rule.state())).unwrap();
            let reversed: Vec<Accepted> = accepted.iter().rev().cloned().collect();
            let again = other.aggregate(&start, &reversed).unwrap();
            parameters = rule.aggregate(&start, &accepted).unwrap().parameters;
            assert_eq!(bits(&again.parameters), bits(&parameters));
            assert_eq!(other.state(), rule.state());
            let what = format!("scaffold, {}, round {round}", case["name"]);
            assert_close(&parameters, &of["global"], TOLERANCE, &what);
            let sent = rule.instruct(&global(round + 1, &parameters), &info(0), &Kind::Train);
            assert_close(&sent.records[CONTROL], &of["control"], TOLERANCE, &what);
        }
        for (own, expected) in own.iter().zip(list(&case["client_controls"])) {
            if let Some(own) = own {
                assert_close(own, expected, TOLERANCE, "a client's control variate");
            }
        }
        // Evaluations need none.
        let test = rule.instruct(&global(9, &parameters), &info(0), &Kind::Evaluate);
        assert!(!test.records.contains_key(CONTROL));
    }
}

#[test]
fn scaffold_refuses_what_lacks_a_control_variate() {
    let start = vector(&[1.0]);
    let mut rule = Scaffold::new(ScaffoldConfig::default(), 2);
    let global = global(0, &start);
    let sent = rule.instruct(&global, &info(0), &Kind::Train);
    let answer = answer("client 0", 1, sent, start.clone());
    assert!(rule.check(&answer.sent, &answer.message).unwrap_err().to_string().contains(CONTROL));
    let message = refusal(rule.aggregate(&global, &[answer]));
    assert!(message.contains("did not return a record `control`"), "{message}");
    for server_learning_rate in [0.0, f64::NAN] {
        let problem = ScaffoldConfig { server_learning_rate }.check().unwrap_err();
        assert!(problem.starts_with("server_learning_rate: "));
    }
}

fn geometric(nu: f64, max_iterations: usize, tolerance: f64) -> GeometricMedian {
    let rule = GeometricMedian { nu, max_iterations, tolerance };
    rule.check().unwrap();
    rule
}

/// The smoothed (below `nu`) mean distance, weighted by examples.
fn objective(
    point: &ParameterRecord,
    nu: f64,
    num_examples: &[usize],
    records: &[ParameterRecord],
) -> f64 {
    let total: usize = num_examples.iter().sum();
    let each = records.iter().zip(num_examples).map(|(record, &examples)| {
        let distance = point.distance(record);
        let smooth =
            if distance > nu { distance } else { distance.powi(2) / (2.0 * nu) + nu / 2.0 };
        examples as f64 / total as f64 * smooth
    });
    each.sum()
}

#[test]
fn the_geometric_median_is_the_papers() {
    let all = fixture("formulas.json");
    for case in list(&all["geometric_median"]) {
        let records: Vec<_> = list(&case["updates"]).iter().map(record).collect();
        let (examples, nu) = (counts(&case["num_examples"]), number(&case["nu"]));
        let result = |mut rule: GeometricMedian| {
            aggregate(&mut rule, 0, &records[0], &examples, &records).unwrap().parameters
        };
        let what = |suffix: String| format!("geometric median, {}, {suffix}", case["name"]);
        for after in list(&case["after"]) {
            let count = after["iterations"].as_u64().unwrap() as usize;
            let found = result(geometric(nu, count, 0.0));
            assert_close(&found, &after["result"], TOLERANCE, &what(format!("{count} steps")));
        }
        let found = result(geometric(nu, 100_000, 1e-12));
        assert_close(&found, &case["converged"], TOLERANCE, &what("converged".to_owned()));
        // With the defaults the iteration stops early, at a sum of distances close to the minimum.
        let defaults = result(GeometricMedian { nu, ..GeometricMedian::default() });
        let more = objective(&defaults, nu, &examples, &records) / number(&case["objective"]) - 1.0;
        assert!((-1e-7..1e-4).contains(&more), "{}: {more:e}", case["name"]);
        let rounds = [(examples.clone(), records.clone()), (examples.clone(), records.clone())];
        let make = || -> Box<dyn Strategy> { Box::new(geometric(nu, 8, 0.0)) };
        assert_same_bits(&make, &records[0], &rounds, true);
        let mut one = geometric(nu, 8, 0.0);
        let alone = aggregate(&mut one, 0, &records[1], &examples[..1], &records[..1]).unwrap();
        assert_eq!(bits(&alone.parameters), bits(&records[0]));
        let same = vec![records[0].clone(); 5];
        let equal = aggregate(&mut one, 0, &records[1], &examples, &same).unwrap();
        assert_eq!(bits(&equal.parameters), bits(&records[0]));
    }
    for (field, rule) in [
        ("nu", GeometricMedian { nu: 0.0, ..GeometricMedian::default() }),
        ("max_iterations", GeometricMedian { max_iterations: 0, ..GeometricMedian::default() }),
        ("tolerance", GeometricMedian { tolerance: f64::NAN, ..GeometricMedian::default() }),
    ] {
        assert!(rule.check().unwrap_err().starts_with(&format!("{field}: ")));
    }
}

fn clipping(bound: f64) -> NormClipping {
    NormClipping::new(Box::new(FedAvg), NormClippingConfig { bound })
}

#[test]
fn updates_are_clipped_to_the_bound() {
    let all = &fixture("formulas.json")["norm_clipping"];
    let (start, records) = answered(all);
    let examples = counts(&all["num_examples"]);
    for case in list(&all["cases"]) {
        let bound = number(&case["bound"]);
        let next = aggregate(&mut clipping(bound), 0, &start, &examples, &records).unwrap();
        assert_close(&next.parameters, &case["result"], TOLERANCE, &format!("bound {bound}"));
        assert_eq!(next.metrics["clipped"], number(&case["clipped"]), "bound {bound}");
        for (factor, one) in numbers(&case["factors"]).into_iter().zip(&records) {
            let alone = aggregate(&mut clipping(bound), 0, &start, &[1], std::slice::from_ref(one))
                .unwrap();
            let norm = start.distance(&alone.parameters);
            assert!((norm - factor * start.distance(one)).abs() < 1e-6);
            if factor == 1.0 {
                assert_eq!(bits(&alone.parameters), bits(one), "nothing to clip");
            }
        }
    }
    let rounds = [(examples.clone(), records.clone()), (examples.clone(), records.clone())];
    let optimizer = flora_strategies::ServerOptimizer::FedAdam(Default::default());
    let make = || -> Box<dyn Strategy> {
        let rule = flora_strategies::Stepped::new(Box::new(FedAvg), optimizer.clone());
        Box::new(NormClipping::new(Box::new(rule), NormClippingConfig { bound: 0.25 }))
    };
    assert_same_bits(&make, &start, &rounds, false);
    for bound in [0.0, -1.0, f64::NAN] {
        assert!(NormClippingConfig { bound }.check().unwrap_err().starts_with("bound: "));
        let message = refusal(aggregate(&mut clipping(bound), 0, &start, &examples, &records));
        assert!(message.starts_with("norm-clipping: bound: "), "{message}");
    }
}

/// The update is relative to the parameters that this client was sent.
#[test]
fn an_update_is_measured_from_what_was_sent() {
    let now = global(0, &vector(&[0.0, 0.0]));
    let mut answers = answers(&now, &[1], [vector(&[13.0, 14.0])]);
    answers[0].sent = flora_federation::Message::parameters(vector(&[10.0, 10.0]).into());
    let next = clipping(2.5).aggregate(&now, &answers).unwrap();
    assert_eq!(next.parameters, vector(&[11.5, 12.0]));
}

#[test]
fn half_precision_stays_half_precision() {
    let start = vector(&[1.0, 2.0]).cast(Dtype::F16);
    let records: Vec<_> =
        [[1.5, 2.5], [1.0, 3.0], [2.0, 8.0]].iter().map(|it| vector(it).cast(Dtype::F16)).collect();
    let rules: [Box<dyn Strategy>; 4] = [
        Box::new(GeometricMedian::default()),
        Box::new(flora_strategies::robust::Median::default()),
        Box::new(clipping(1.0)),
        Box::new(FedNova::new(FedNovaConfig::default(), Box::new(|examples| examples))),
    ];
    for mut rule in rules {
        let next = aggregate(rule.as_mut(), 0, &start, &[1, 2, 3], &records).unwrap().parameters;
        assert!(next.iter().all(|(_, tensor)| tensor.dtype() == Dtype::F16), "{}", rule.name());
    }
}
