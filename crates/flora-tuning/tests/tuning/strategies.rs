//! Strategies of experiment files: trained and sent parameters, and refused settings.

use std::sync::Arc;

use flora_core::{HostTensor, ParameterRecord};
use flora_data::ClientShard;
use flora_federation::{AGGREGATION_ERROR, Client, Event, Kind, Outcome, Value};
use flora_lora::{LoraConfig, adapter_record};
use flora_strategies::lora::{ESTIMATE, LORA_A, LORA_B, is_correction, pairs};
use flora_strategies::{CONTROL, COUNTED, TASK};
use flora_tuning::{
    Experiment, Implementation, LossKind, OptimizerName, TrainingConfig, TuningClient,
};

use crate::common::{Images, Listener, Setup, bits, max_difference, outcome, refusal, run, task};

fn set(strategy: &str) -> String {
    format!("federation.strategy={strategy}")
}

fn trained(images: &Images, strategy: &str, rounds: usize) -> (Outcome, Listener) {
    let rounds = format!("training.rounds={rounds}");
    let (finished, listener) = run(images.experiment(&[&set(strategy), &rounds]));
    assert!(finished.failure.is_none(), "{strategy}: {}", finished.failure.unwrap());
    assert_eq!(listener.failures(), [""; 0], "{strategy}");
    (finished.outcome.unwrap(), listener)
}

/// The aggregation error of each round.
fn errors(listener: &Listener) -> Vec<f64> {
    let error = |event: &Event| match event {
        Event::Aggregated { metrics, .. } => Some(metrics[AGGREGATION_ERROR]),
        _ => None,
    };
    listener.events.iter().filter_map(error).collect()
}

fn factors(record: &ParameterRecord, name: &str) -> Vec<(String, Vec<u32>)> {
    bits(&record.filter(|tensor| tensor.contains(name)))
}

#[test]
fn rules_of_one_factor_average_products() {
    let images = Images::new(2, 1);
    for strategy in ["ffa", "rolora", "fedsvd"] {
        let (_, listener) = trained(&images, strategy, 3);
        let errors = errors(&listener);
        assert_eq!(errors.len(), 3, "{strategy}");
        assert!(errors.iter().all(|&error| error < 1e-6), "{strategy}: {errors:?}");
    }
    let (_, listener) = trained(&images, "fedavg", 3);
    assert!(errors(&listener).iter().all(|&error| error > 1e-5), "{:?}", errors(&listener));
    // A fair correction is closer than the mean, from the same initial values.
    let (_, corrected) = trained(&images, "{ kind = \"lora-fair\", lambda = 1e-6 }", 1);
    assert!(errors(&corrected)[0] < errors(&listener)[0], "{:?}", errors(&corrected));
}

/// Rules that keep the part of the mean product beyond the adapters' rank, and one with a rank that contains it.
#[test]
fn rules_of_products_lose_nothing() {
    let images = Images::new(2, 1);
    for (strategy, more) in [
        ("fedex", "method.lora.r=2"),
        ("stacking", "method.lora.r=2"),
        ("{ kind = \"stacking\", ranks = [2, 1, 2] }", "method.lora.r=2"),
        // Clients of rank 1, whose mean has rank 3.
        ("{ kind = \"flexlora\", ranks = { alpha = 1, beta = 1, gamma = 1 } }", "method.lora.r=1"),
    ] {
        let (finished, listener) =
            run(images.experiment(&[&set(strategy), "training.rounds=3", more]));
        assert!(finished.failure.is_none(), "{strategy}: {}", finished.failure.unwrap());
        assert_eq!(listener.failures(), [""; 0], "{strategy}");
        let errors = errors(&listener);
        let exact = !strategy.contains("flexlora");
        assert_eq!(errors.iter().all(|&error| error < 1e-6), exact, "{strategy}: {errors:?}");
        assert!(errors.len() == 3 && errors.iter().all(|&error| error < 0.9), "{errors:?}");
    }
    // At full rank nothing is truncated.
    let full = "method.lora.r=24";
    let (finished, listener) =
        run(images.experiment(&[&set("flexlora"), "training.rounds=2", full]));
    assert!(finished.failure.is_none(), "{}", finished.failure.unwrap());
    assert!(errors(&listener).iter().all(|&error| error < 1e-6), "{:?}", errors(&listener));
}

/// An answer that the server did not count changes nothing on the client either.
#[test]
fn a_control_variate_is_that_of_the_last_answer_that_counted() {
    let images = Images::new(2, 1);
    let setup =
        Setup::new(&images, &LoraConfig::default(), LossKind::ClassCe, Implementation::Fast);
    let start = adapter_record(&setup.model).unwrap();
    let training = TrainingConfig {
        optimizer: OptimizerName::Sgd,
        batch_size: 2,
        learning_rate: 0.05,
        ..TrainingConfig::default()
    };
    let cohort = Arc::new(setup.cohort(training));
    let client = || {
        let shard =
            ClientShard { id: "a".into(), train: vec![0, 3, 4, 7], ..ClientShard::default() };
        TuningClient::new(shard, Arc::clone(&cohort))
    };
    let control = Arc::new(changed(&start, 0.01));
    let answer = |client: &mut TuningClient, number: i64, counted: Option<i64>| {
        let mut task = task("a", 2, Kind::Train, Arc::new(start.clone()));
        task.message.records.insert(CONTROL.to_owned(), Arc::clone(&control));
        task.message.config.insert(TASK.to_owned(), Value::Int(number));
        if let Some(counted) = counted {
            task.message.config.insert(COUNTED.to_owned(), Value::Int(counted));
        }
        let answer = client.handle(&task).unwrap();
        answer.records[CONTROL].as_ref().clone()
    };
    let mut one = client();
    let first = answer(&mut one, 4, None);
    // A client's state survives a restart.
    let state = one.save().unwrap().unwrap();
    let mut other = client();
    other.restore(Some(&state)).unwrap();
    assert_eq!(answer(&mut one, 5, None), first, "the answer 4 did not count");
    assert_ne!(answer(&mut other, 5, Some(4)), first, "it did");
    for cut in [1, state.len() / 2, state.len() - 1] {
        let message = client().restore(Some(&state[..cut])).unwrap_err().to_string();
        assert!(message.contains("cut off"), "{message}");
    }
}

/// Shifts every value by this amount.
fn changed(record: &ParameterRecord, by: f32) -> ParameterRecord {
    let mut changed = ParameterRecord::new();
    for (name, tensor) in record.iter() {
        let values = tensor.to_f32().iter().map(|value| value + by).collect();
        changed.insert(name, HostTensor::from_f32(tensor.shape(), values).unwrap()).unwrap();
    }
    changed
}

/// The first round only estimates; then only the core is trained and sent, and its mean is exact.
#[test]
fn fed_sb_trains_a_core() {
    let images = Images::new(2, 1);
    let of = |rounds: usize, more: &[&str]| {
        let (strategy, rounds) = (set("fed-sb"), format!("training.rounds={rounds}"));
        let (finished, listener) = run(images.experiment(&[&[&*strategy, &rounds], more].concat()));
        assert!(finished.failure.is_none(), "{}", finished.failure.unwrap());
        assert_eq!(listener.failures(), [""; 0]);
        (finished.outcome.unwrap(), listener)
    };
    let (estimate, told) = of(2, &[]);
    let [start, after, _] = &estimate.history[..] else { panic!("three evaluations") };
    // Whatever the factors, a core of zeros is the initial model.
    let apart = (start.loss.unwrap() - after.loss.unwrap()).abs();
    assert!(start.accuracy == after.accuracy && apart < 1e-5, "{start:?} {after:?}");
    let no_error = |event: &Event| match event {
        Event::Aggregated { round: 0, metrics, .. } => !metrics.contains_key(AGGREGATION_ERROR),
        _ => true,
    };
    assert!(told.events.iter().all(no_error));
    let (trained, listener) = of(3, &["training.learning_rate=0.05"]);
    let [_, _, first, second] = &trained.history[..] else { panic!("four evaluations") };
    assert!(first.loss < after.loss && second.loss < first.loss, "{:?}", trained.history);
    let error = |event: &Event| match event {
        Event::Aggregated { round, metrics, .. } if *round > 0 => Some(metrics[AGGREGATION_ERROR]),
        _ => None,
    };
    let errors: Vec<f64> = listener.events.iter().filter_map(error).collect();
    assert!(errors.len() == 2 && errors.iter().all(|&it| it < 1e-6), "{errors:?}");
    let is_core = |name: &str| name.contains("lora_R");
    let of_factors = |outcome: &Outcome| bits(&outcome.last.filter(|name| !is_core(name)));
    assert_eq!(of_factors(&trained), of_factors(&estimate), "only the core moves");
    // Another round with three cores of rank 2 per layer.
    let core = trained.last.filter(is_core).byte_len() as u64;
    assert_eq!(trained.bytes_up, estimate.bytes_up + 3 * core);
}

/// The B of a fresh adapter has the gradient `(s dL/dW) A^t`.
#[test]
fn an_estimate_is_the_gradient() {
    let images = Images::new(2, 1);
    // As large as the layers, so that nothing of the gradient is truncated.
    let lora = LoraConfig { r: 24, lora_alpha: 3.0, ..LoraConfig::default() };
    for batch_size in [6, 4] {
        let setup = Setup::new(&images, &lora, LossKind::ClassCe, Implementation::Fast);
        let indices = [0, 3, 4, 7, 8, 11];
        let (loss, gradients) = setup.loss_and_gradients(&indices);
        let training = TrainingConfig { batch_size, ..TrainingConfig::default() };
        let shard =
            ClientShard { id: "alpha".into(), train: indices.to_vec(), ..ClientShard::default() };
        let mut client = TuningClient::new(shard, Arc::new(setup.cohort(training)));
        let start = adapter_record(&setup.model).unwrap();
        let mut task = task("alpha", 0, Kind::Train, Arc::new(start.clone()));
        task.message.config.insert(ESTIMATE.to_owned(), Value::Bool(true));
        let answer = client.handle(&task).unwrap();
        assert!((answer.metrics["loss"] - f64::from(loss)).abs() < 1e-6);
        let factors = answer.get_parameters().unwrap();
        factors.check_matches(&start).unwrap();
        for pair in pairs(&start).unwrap() {
            let values = |record: &ParameterRecord, name: &str| {
                record.get(name).unwrap().to_f32().into_owned()
            };
            let (b, a) = (values(factors, &pair.b), values(factors, &pair.a));
            let drawn = values(&start, &pair.a);
            let expected = values(&gradients, &pair.b);
            let largest = expected.iter().fold(0f32, |most, it| most.max(it.abs()));
            let product = |row: usize, column: usize| -> f32 {
                (0..pair.rank).map(|k| b[row * pair.rank + k] * a[k * pair.width + column]).sum()
            };
            for (at, expected) in expected.iter().enumerate() {
                let (row, of) = (at / pair.rank, at % pair.rank);
                let along = |it: usize| product(row, it) * drawn[of * pair.width + it];
                let found: f32 = -(0..pair.width).map(along).sum::<f32>();
                assert!(
                    (found - expected).abs() < 1e-4 * largest,
                    "{}: {found} {expected}",
                    pair.b
                );
            }
        }
    }
}

/// Bytes sent by clients of other ranks, and bytes received with corrections.
#[test]
fn ranks_and_corrections_have_their_bytes() {
    let images = Images::new(2, 1);
    let (mean, _) = trained(&images, "fedavg", 2);
    let (ranks, _) = trained(&images, "{ kind = \"flexlora\", ranks = [2, 1, 1] }", 2);
    assert_eq!(
        (ranks.bytes_up * 6, ranks.bytes_down * 6),
        (mean.bytes_up * 4, mean.bytes_down * 4)
    );
    let (fedsa, _) = trained(&images, "fedsa", 2);
    assert_eq!((fedsa.bytes_up * 2, fedsa.bytes_down * 2), (mean.bytes_up, mean.bytes_down));
    let (fedex, _) = trained(&images, "fedex", 2);
    assert_eq!(fedex.bytes_up, mean.bytes_up);
    // Three answers of rank 2 add 4 to each of three clients, in the second round.
    assert_eq!(fedex.bytes_down, mean.bytes_down + 2 * mean.bytes_down / 2);
}

/// With one client, every rule equals continued training.
#[test]
fn one_client_alone_trains_on() {
    let images = Images::new(2, 1);
    let sgd = "training={ optimizer = \"sgd\", learning_rate = 0.05, rounds = 3, batch_size = 2 }";
    let of = |strategy: &str| {
        let one = "federation.participants=[\"beta\"]";
        let (finished, _) = run(images.experiment(&[&set(strategy), one, sgd]));
        assert!(finished.failure.is_none(), "{strategy}: {}", finished.failure.unwrap());
        finished.outcome.unwrap()
    };
    let central = of("fedavg");
    assert!(max_difference(&central.last, &of("scaffold").last) < 1e-6);
    let fedex = of("fedex");
    let factors = fedex.last.filter(|name| !is_correction(name));
    assert_eq!(bits(&factors), bits(&central.last));
    // For the training client only; the others start with other adapters.
    let fedsa = of("fedsa").last;
    assert_eq!(bits(&fedsa), bits(&central.last.filter(|name| name.contains(LORA_A))));
}

/// If clients take several steps: with one step each, the corrections sum to zero.
#[test]
fn control_variates_change_what_clients_come_to() {
    let images = Images::new(2, 1);
    let of = |strategy: &str, rounds: usize| {
        let sgd = format!(
            "training={{ optimizer = \"sgd\", learning_rate = 0.05, batch_size = 2, rounds = {rounds} }}"
        );
        let (finished, listener) = run(images.experiment(&[&set(strategy), &sgd]));
        assert!(finished.failure.is_none(), "{strategy}: {}", finished.failure.unwrap());
        (finished.outcome.unwrap(), listener)
    };
    // All clients have the same number of images, and none has a control variate in the first round.
    let ([(mean, plain), (scaffold, told)], [(second, _), (other, _)]) =
        ([of("fedavg", 1), of("scaffold", 1)], [of("fedavg", 2), of("scaffold", 2)]);
    assert!(max_difference(&mean.last, &scaffold.last) < 1e-6);
    assert!((plain.losses()[0] - told.losses()[0]).abs() < 1e-6, "the loss is that of the model");
    assert!(max_difference(&second.last, &other.last) > 1e-6);
    assert_eq!((scaffold.bytes_up, scaffold.bytes_down), (2 * mean.bytes_up, 2 * mean.bytes_down));
}

#[test]
fn clients_train_and_send_what_the_strategy_says() {
    let images = Images::new(2, 1);
    let (start, _) = trained(&images, "fedavg", 0);
    let (whole, _) = trained(&images, "fedavg", 2);
    let [a, b] = [LORA_A, LORA_B];
    let same = |left: &Outcome, right: &Outcome, name| {
        factors(&left.last, name) == factors(&right.last, name)
    };

    let (ffa, _) = trained(&images, "ffa", 2);
    assert!(same(&ffa, &start, a) && !same(&ffa, &start, b));
    // The tiny model's layers are square, so half the parameters are in B.
    assert_eq!((ffa.bytes_up, ffa.bytes_down), (whole.bytes_up / 2, whole.bytes_down / 2));

    let rolora = [1, 2].map(|rounds| trained(&images, "rolora", rounds).0);
    assert!(same(&rolora[0], &start, a) && !same(&rolora[0], &start, b));
    assert!(!same(&rolora[1], &rolora[0], a) && same(&rolora[1], &rolora[0], b));
    let sent = (rolora[1].bytes_up, rolora[1].bytes_down);
    assert_eq!(sent, (whole.bytes_up / 2, whole.bytes_down));

    let (fedsvd, _) = trained(&images, "fedsvd", 2);
    assert_eq!((fedsvd.bytes_up, fedsvd.bytes_down), sent);
    assert!(!same(&fedsvd, &start, a));
    // Until the second round begins, both have the same model: accuracy and loss depend on the product.
    let ([_, one, ..], [_, other, ..]) = (&ffa.history[..], &fedsvd.history[..]) else {
        panic!("two rounds are scored")
    };
    let apart = (one.loss.unwrap() - other.loss.unwrap()).abs();
    assert!(apart < 1e-5 && one.accuracy == other.accuracy, "{one:?} {other:?}");
}

#[test]
fn one_client_alone_is_every_rules_mean() {
    let images = Images::new(2, 1);
    let of = |strategy: &str| {
        let one = "federation.participants=[\"beta\"]";
        outcome(images.experiment(&[&set(strategy), one, "training.rounds=2"])).last
    };
    let mean = of("fedavg");
    for strategy in ["median", "geometric-median", "{ kind = \"norm-clipping\", bound = 1e6 }"] {
        assert!(max_difference(&of(strategy), &mean) < 1e-6, "{strategy}");
    }
}

#[test]
fn a_server_optimizer_goes_as_far_as_its_rate_says() {
    let images = Images::new(2, 1);
    let after = |strategy, rounds| trained(&images, strategy, rounds).0.last;
    let (start, mean) = (after("fedavg", 0), after("fedavg", 1));
    let half = after("{ kind = \"fedavgm\", server_learning_rate = 0.5 }", 1);
    let [to_start, to_mean] = [&start, &mean].map(|end| half.distance(end));
    assert!((to_start - to_mean).abs() < 1e-6 && to_mean > 1e-3, "{to_start} {to_mean}");
    let plain = after("fedavg", 2);
    let fast = after("{ kind = \"fedavgm\", server_momentum = 0.9 }", 2);
    assert!(fast.distance(&start) > 1.2 * plain.distance(&start));
}

#[test]
fn a_proximal_term_holds_clients_back() {
    let images = Images::new(2, 1);
    let moved = |strategy: &str| {
        let (_, listener) = trained(&images, strategy, 1);
        let norm = |event: &Event| match event {
            Event::ClientReplied { metrics, .. } => Some(metrics["update_norm"]),
            _ => None,
        };
        listener.events.iter().filter_map(norm).sum::<f64>()
    };
    let (free, held) = (moved("fedavg"), moved("{ kind = \"fedprox\", proximal_mu = 100.0 }"));
    assert!(held < 0.9 * free, "{held} and {free}");
}

#[test]
fn attackers_by_labels_train_on_wrong_ones_and_are_scored_on_right_ones() {
    let images = Images::new(2, 1);
    let attacked = "faults={ attackers = 0.34, attack = \"label-flip\" }";
    let of = |set: &[&str]| run(images.experiment(&[set, &["training.rounds=1"]].concat()));
    let ((honest, told), (other, heard)) = (of(&[]), of(&[attacked]));
    let [honest, other] = [honest, other].map(|finished| finished.outcome.unwrap());
    assert_eq!(honest.history[0], other.history[0], "before anybody trained");
    let losses = |listener: &Listener| -> Vec<f64> {
        let loss = |event: &Event| match event {
            Event::ClientReplied { metrics, .. } => Some(metrics["loss"]),
            _ => None,
        };
        listener.events.iter().filter_map(loss).collect()
    };
    let (told, heard) = (losses(&told), losses(&heard));
    let differ = told.iter().zip(&heard).filter(|(left, right)| left != right).count();
    assert_eq!((told.len(), differ), (3, 1), "one of three: {told:?} {heard:?}");
}

#[test]
fn a_plain_name_is_written_as_it_was() {
    let images = Images::new(1, 1);
    let text = images.experiment(&[]).to_toml();
    assert!(text.contains("strategy = \"fedavg\""), "{text}");
    let strategy = "{ kind = \"fedadam\", eta = 0.01, rule = \"median\" }";
    let experiment = images.experiment(&[&set(strategy)]);
    let again = Experiment::from_toml("again", &experiment.to_toml(), &[]).unwrap();
    assert_eq!(again.federation, experiment.federation);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let images = Images::new(1, 1);
    let of = |set: &[&str]| match images.try_experiment(set) {
        Ok(experiment) => refusal(experiment),
        Err(message) => message,
    };
    for (strategy, more, words) in [
        ("fedavgg", "", "did you mean `fedavg`?"),
        ("{ kind = \"krum\", num_malicious = 1 }", "", "num_malicious_nodes"),
        ("{ kind = \"fedavgm\", server_momentum = 1.5 }", "", "strategy.server_momentum: "),
        ("{ kind = \"median\", rule = \"fedavg\" }", "", "strategy.rule: median aggregates"),
        ("{ kind = \"fedadam\", rule = \"fedyogi\" }", "", "strategy.rule: fedadam cannot"),
        ("{ kind = \"fedadam\", rule = \"fedsvd\" }", "", "invalidates momentum"),
        ("{ kind = \"fedadam\", rule = \"rolora\" }", "", "that was not trained"),
        ("{ kind = \"fedrot\", rule = \"ffa\" }", "", "clients train one factor"),
        (
            "{ kind = \"norm-clipping\", bound = 1, rule = { kind = \"norm-clipping\", bound = 2 } }",
            "",
            "keep one",
        ),
        (
            "{ kind = \"fedprox\", proximal_mu = 1, rule = \"fednova\" }",
            "training.optimizer=sgd",
            "proximal",
        ),
        ("fedavgm", "", "strategy.server_momentum: 0"),
        ("fedprox", "", "strategy.proximal_mu: "),
        ("norm-clipping", "", "strategy.bound: "),
        ("{ kind = \"fedrot\", lambda = 0.0 }", "", "strategy.lambda: 0 aligns nothing"),
        ("{ kind = \"fedprox\", rule = { kind = \"krum\", x = 1 } }", "", "unknown field `x`"),
        ("median", "method.name=ridge", "ridge adds up the clients' sums"),
        ("median", "method.name=zero-shot", "nothing is trained"),
        ("median", "federation.participants=alone", "\"alone\" send nothing"),
        ("ffa", "method.name=fedaa", "choose method.name = \"flora\""),
        ("fednova", "", "training.optimizer = \"sgd\""),
        ("fednova", "training={ optimizer = \"sgd\", schedule = \"cosine\" }", "training.schedule"),
        ("{ kind = \"krum\", num_malicious_nodes = 2 }", "", "3 clients train in a round"),
        ("scaffold", "", "training.optimizer = \"sgd\""),
        ("scaffold", "training={ optimizer = \"sgd\", momentum = 0.9 }", "training.momentum = 0"),
        ("{ kind = \"norm-clipping\", bound = 1, rule = \"scaffold\" }", "", "unclipped"),
        ("{ kind = \"fedadam\", rule = \"scaffold\" }", "", "server_learning_rate"),
        ("{ kind = \"fedadam\", rule = \"fedex\" }", "", "fits the mean"),
        ("{ kind = \"fedrot\", rule = \"stacking\" }", "", "averages products"),
        ("{ kind = \"fedrot\", rule = \"fedsa\" }", "", "B stays"),
        ("fedsa", "method.name=fedaa", "choose method.name = \"flora\""),
        ("hetlora", "", "strategy.ranks: the list is empty"),
        ("fed-sb", "training.rounds=1", "choose 2 or more"),
        ("fed-sb", "federation.max_update_norm=1", "is answered by a gradient"),
        ("fedsa", "federation.participants=central", "shares with no other client"),
        (
            "{ kind = \"fedavgm\", server_momentum = 0.5, rule = { kind = \"fedrot\", rule = \"fedex\" } }",
            "",
            "fedavgm cannot wrap fedex",
        ),
        ("{ kind = \"fedprox\", proximal_mu = 1, rule = \"fed-sb\" }", "", "estimates a gradient"),
        (
            "{ kind = \"fedavgm\", server_momentum = 0.5, rule = \"fed-sb\" }",
            "",
            "makes other factors",
        ),
        (
            "{ kind = \"fedadam\", rule = { kind = \"fed-sb\", bases = \"random\" } }",
            "",
            "puts drawn bases in place of A and B",
        ),
        ("{ kind = \"flexlora\", average = \"raflora\" }", "", "strategy.average: "),
        ("{ kind = \"flexlora\", ranks = [2, 4, 8] }", "", "choose method.lora.r = 8"),
        ("{ kind = \"flexlora\", ranks = [2, 2] }", "", "ranks: 2 are listed for 3 clients"),
        (
            "{ kind = \"fedprox\", proximal_mu = 1, rule = { kind = \"flexlora\", ranks = [2] } }",
            "",
            "strategy.rule.ranks: 1 are listed",
        ),
        (
            "{ kind = \"flexlora\", ranks = [2, 2, 2], average = \"raflora\" }",
            "",
            "strategy.average: ",
        ),
        ("{ kind = \"stacking\", ranks = { \"site-*\" = 2 } }", "", "no client's name is `site-*`"),
        (
            "{ kind = \"hetlora\", ranks = [2, 2, 2] }",
            "method.lora.rank_pattern={ \"q_proj\" = 1 }",
            "method.lora.rank_pattern",
        ),
    ] {
        let strategy = set(strategy);
        let more: &[&str] = if more.is_empty() { &[] } else { &[more] };
        let message = of(&[&[strategy.as_str()], more].concat());
        let field = ["federation.", "training."].iter().any(|field| message.contains(field));
        assert!(field && message.contains(words), "{message}");
    }
}

/// A round with fewer answers than the rule needs is below its quorum, whatever `federation.quorum` is.
#[test]
fn a_rule_has_the_quorum_that_it_needs() {
    let images = Images::new(1, 1);
    let below = |strategy: &str| {
        // One of three clients sends a rejected answer.
        let lost = ["faults={ nan = 0.34 }", "training.rounds=1", "federation.below_quorum=skip"];
        let (finished, listener) =
            run(images.experiment(&[&[&*set(strategy)], &lost[..]].concat()));
        assert!(finished.failure.is_none(), "{:?}", finished.failure);
        let below = |event: &Event| match event {
            Event::BelowQuorum { accepted, quorum, .. } => Some((*accepted, *quorum)),
            _ => None,
        };
        listener.events.iter().find_map(below)
    };
    assert_eq!(below("krum"), Some((2, 3)));
    assert_eq!(below("median"), None);
}

#[test]
fn attacks_on_nothing_are_refused() {
    let images = Images::new(1, 1);
    let of = |set: &[&str]| images.try_experiment(set).unwrap_err();
    let attack = "faults={ attackers = 0.5, attack = \"sign-flip\" }";
    for more in ["federation.participants=alone", "training.rounds=0", "method.name=zero-shot"] {
        let message = of(&[attack, more]);
        assert!(message.contains("faults.attack: "), "{message}");
    }
    let later = |set: &[&str]| refusal(images.experiment(set));
    let few = "faults={ attackers = 0.1, attack = \"sign-flip\" }";
    assert!(later(&[few]).contains("0.1 of 3 clients rounds to no client"));
    let stranger = "federation.selection={ kind = \"named\", clients = [\"stranger\"] }";
    assert!(later(&[stranger]).contains("stranger"));
    let message =
        of(&["method.name=ridge", "federation.selection={ kind = \"poisson\", rate = 0.5 }"]);
    assert!(message.contains("federation.selection: ridge has one round"), "{message}");
}
