//! LoRA rules for clients of different ranks, compared with the papers' formulas.

#[path = "support/lora.rs"]
mod support;

use std::sync::Arc;

use flora_core::{HostTensor, ParameterRecord};
use flora_federation::{FedAvg, Kind, Strategy, Value as Setting};
use flora_strategies::lora::{
    AGGREGATION_ERROR, Average, Bases, ESTIMATE, FRESH_OPTIMIZER, FedEx, FedSb, FedSbConfig,
    FlexLora, HetLora, LORA_B, Ranks, RanksConfig, Reported, Scale, Stacking, TRAIN, best_factors,
    is_correction,
};
use serde_json::Value;
use support::{
    Products, accepted, aggregate, assert_holds, assert_products, examples, global, info, name,
    products_of, round, zeroed,
};

struct Case {
    fixture: Value,
    examples: Vec<usize>,
    ranks: Ranks,
    clients: Vec<ParameterRecord>,
    /// Of the largest rank.
    start: ParameterRecord,
}

fn case() -> Case {
    let fixture = support::fixture();
    let of = &fixture["mixed_ranks"];
    let listed = of["ranks"].as_array().unwrap().iter().map(|it| it.as_u64().unwrap() as usize);
    let ids: Vec<String> = (0..5).map(|client| info(client, 0).id).collect();
    let ranks = RanksConfig::Listed(listed.collect()).of(ids.iter().map(String::as_str)).unwrap();
    let clients = support::records(&of["clients"]);
    let start = clients[2].clone();
    Case { examples: examples(&fixture), clients, ranks, start, fixture }
}

impl Case {
    fn rule(&self, name: &str) -> &Value {
        &self.fixture["mixed_ranks"]["rules"][name]
    }

    /// Three times that of the fixture, so that it is 1 for no rank.
    fn scale(&self) -> Scale {
        let alpha = 3.0 * self.fixture["mixed_ranks"]["alpha"].as_f64().unwrap();
        Scale::new(move |rank| alpha / rank as f64)
    }

    fn flex(&self, average: Average) -> FlexLora {
        FlexLora::new(self.ranks.clone(), average).scaled(self.scale())
    }
}

/// For an initial B of zero, and a non-zero one.
#[test]
fn flexlora_makes_the_best_factors_of_every_rank() {
    let case = case();
    for (average, name) in [(Average::Plain, "flexlora"), (Average::RaFlora, "raflora")] {
        let mut rule = case.flex(average);
        assert_eq!(rule.name(), "flexlora");
        let start = global(0, &case.start);
        let made = round(&mut rule, &start, &case.clients, &case.examples);
        let next = global(1, &made.parameters);
        for expected in case.rule(name)["by_rank"].as_array().unwrap() {
            let rank = expected["rank"].as_u64().unwrap() as usize;
            let client = case.ranks.by_client.iter().find(|&(_, &it)| it == rank).unwrap().0;
            let client = flora_federation::ClientInfo {
                id: client.clone(),
                num_examples: 1,
                num_test_examples: 0,
            };
            let sent = rule.instruct(&next, &client, &Kind::Train);
            let parameters = sent.get_parameters().unwrap();
            let product = products_of(parameters, case.scale().of(rank) / 3.0);
            assert_products(&support::products(&expected["product"]), &product);
            assert_eq!(sent.config[FRESH_OPTIMIZER], Setting::Bool(true));
            // Another instance sends the same, as after a resume, and all clients of a rank share one record.
            let again = case.flex(average).instruct(&next, &client, &Kind::Train);
            assert_eq!(again.get_parameters(), Some(parameters));
            let same = rule.instruct(&next, &client, &Kind::Train);
            assert!(Arc::ptr_eq(same.get_parameters().unwrap(), parameters));
            // The resulting model is tested.
            let test = rule.instruct(&next, &client, &Kind::Evaluate);
            assert!(Arc::ptr_eq(test.get_parameters().unwrap(), &next.parameters));
            assert!(test.config.is_empty());
        }
        // The largest rank uses the global record itself.
        let all = rule.instruct(&next, &info(2, 1), &Kind::Train);
        assert!(Arc::ptr_eq(all.get_parameters().unwrap(), &next.parameters));
        let largest = case.rule(name)["by_rank"].as_array().unwrap().last().unwrap();
        let mut told = Reported::new(Box::new(case.flex(average))).scaled(case.scale());
        let told = round(&mut told, &start, &case.clients, &case.examples);
        assert_eq!(told.parameters, made.parameters);
        if average == Average::Plain {
            let error = largest["aggregation_error"]["all"].as_f64().unwrap();
            assert!((told.metrics[AGGREGATION_ERROR] - error).abs() < 1e-6);
        }
    }
}

/// As in the first round, when all B are zero.
#[test]
fn a_product_of_zero_is_sent_and_kept_as_zero() {
    let case = case();
    let mut start = case.start.clone();
    let mut zeros = ParameterRecord::new();
    for (name, tensor) in case.start.iter().filter(|(name, _)| name.contains(LORA_B)) {
        zeros
            .insert(name, HostTensor::from_f32(tensor.shape(), vec![0.0; tensor.len()]).unwrap())
            .unwrap();
    }
    start.replace(&zeros).unwrap();
    let global = global(0, &start);
    let (mut flex, mut het) = (case.flex(Average::Plain), HetLora::new(case.ranks.clone()));
    let rules: [&mut dyn Strategy; 2] = [&mut flex, &mut het];
    for rule in rules {
        let send = |client: usize| rule.instruct(&global, &info(client, 1), &Kind::Train);
        let sent: Vec<ParameterRecord> =
            (0..5).map(send).map(|it| it.get_parameters().unwrap().as_ref().clone()).collect();
        for (sent, client) in sent.iter().zip(&case.clients) {
            sent.check_matches(client).unwrap();
            for layer in support::LAYERS {
                let (few, all) =
                    (sent.get(&name(layer, "A")).unwrap(), start.get(&name(layer, "A")).unwrap());
                assert_eq!(few.to_f32()[..], all.to_f32()[..few.len()]);
                assert!(sent.get(&name(layer, "B")).unwrap().to_f32().iter().all(|&it| it == 0.0));
            }
        }
        let made = round(rule, &global, &sent, &case.examples);
        let products = products_of(&made.parameters, 1.0);
        assert!(products.values().flatten().all(|&it| it == 0.0));
        let a = made.parameters.get(&name(support::LAYERS[0], "A")).unwrap();
        assert!(
            a.to_f32().chunks(10).all(|row| row.iter().any(|&it| it != 0.0)),
            "{}",
            rule.name()
        );
    }
}

#[test]
fn hetlora_weighs_by_the_norms_of_products() {
    let case = case();
    let mut rule = HetLora::new(case.ranks.clone());
    let made = round(&mut rule, &global(0, &case.start), &case.clients, &case.examples);
    assert_holds(&case.rule("hetlora")["whole_model"]["result"], &made.parameters);
    let sent = rule.instruct(&global(1, &made.parameters), &info(0, 1), &Kind::Train);
    let sent = sent.get_parameters().unwrap();
    sent.check_matches(&case.clients[0]).unwrap();
    let b = (
        sent.get(&name(support::LAYERS[0], "B")).unwrap().to_f32(),
        made.parameters.get(&name(support::LAYERS[0], "B")).unwrap().to_f32(),
    );
    assert_eq!(b.0[2..4], b.1[8..10]);
}

/// Rows that no client of the round has stay unchanged; the others are the only client's, in its own scale.
#[test]
fn hetlora_of_one_client_is_that_client() {
    let case = case();
    let mut rule = HetLora::new(case.ranks.clone()).scaled(case.scale());
    let client = &case.clients[..1];
    let made = round(&mut rule, &global(0, &case.start), client, &[9]);
    for layer in support::LAYERS {
        let of =
            |record: &ParameterRecord| record.get(&name(layer, "A")).unwrap().to_f32().into_owned();
        let (own, old, new) = (of(&client[0]), of(&case.start), of(&made.parameters));
        assert_eq!(new[..own.len()], own);
        assert_eq!(new[own.len()..], old[own.len()..]);
    }
    let sent = rule.instruct(&global(1, &made.parameters), &info(0, 1), &Kind::Train);
    assert_eq!(sent.get_parameters().unwrap().as_ref(), &client[0]);
}

/// Clients of different ranks, over two rounds: the base weights grow by the mean of the products.
#[test]
fn stacking_puts_the_mean_of_products_below_fresh_adapters() {
    let case = case();
    let mut rule = Stacking::new(case.ranks.clone(), 7);
    let start = global(0, &zeroed(&case.start, LORA_B));
    let made = round(&mut rule, &start, &case.clients, &case.examples).parameters;
    let expected = support::products(&case.rule("stacking")["product"]);
    assert_products(&expected, &updates(&made));
    for layer in support::LAYERS {
        let a_of = |it: &ParameterRecord| it.get(&name(layer, "A")).unwrap().to_f32().into_owned();
        let (old, new) = (a_of(&start.parameters), a_of(&made));
        let width = |values: &[f32]| values.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>();
        assert!(old != new && (width(&old) / width(&new) - 1.0).abs() < 1e-6);
        assert!(made.get(&name(layer, "B")).unwrap().to_f32().iter().all(|&it| it == 0.0));
    }
    let next = global(1, &made);
    let sent = rule.instruct(&next, &info(0, 1), &Kind::Train);
    let adapter = sent.get_parameters().unwrap().filter(|name| !is_correction(name));
    adapter.check_matches(&case.clients[0]).unwrap();
    assert!(sent.get_parameters().unwrap().len() > adapter.len());
    let mut told = Reported::new(Box::new(Stacking::new(case.ranks.clone(), 7)));
    let again = round(&mut told, &next, &case.clients, &case.examples);
    assert!(again.metrics[AGGREGATION_ERROR] < 1e-6, "{:?}", again.metrics);
    let twice =
        expected.into_iter().map(|(layer, it)| (layer, it.iter().map(|it| 2.0 * it).collect()));
    assert_products(&twice.collect(), &updates(&again.parameters));
}

/// The updates of the model's weights, corrections included.
fn updates(record: &ParameterRecord) -> Products {
    let mut sums = products_of(record, 1.0);
    for (layer, sum) in &mut sums {
        let part = |end: &str| record.get(&format!("{layer}.{end}.weight"));
        let added = match part("base_delta") {
            Some(dense) => dense.to_f32().iter().map(|&it| f64::from(it)).collect(),
            None => {
                let (Some(left), Some(right)) = (part("base_B"), part("base_A")) else { continue };
                let mut factors = ParameterRecord::new();
                for layer in support::LAYERS {
                    factors.insert(name(layer, "A"), right.clone()).unwrap();
                    factors.insert(name(layer, "B"), left.clone()).unwrap();
                }
                products_of(&factors, 1.0).remove(layer).unwrap()
            }
        };
        sum.iter_mut().zip(added).for_each(|(sum, it): (&mut f64, f64)| *sum += it);
    }
    sums
}

#[test]
fn fedex_gives_back_what_the_mean_lost() {
    let fixture = support::fixture();
    let (of, examples) = (&fixture["one_rank"], examples(&fixture));
    let clients = support::records(&of["clients"]);
    let start = global(0, &support::record(&of["reference"]));
    let mean = round(&mut FedAvg, &start, &clients, &examples).parameters;
    let mut rule = Reported::new(Box::new(FedEx));
    let made = round(&mut rule, &start, &clients, &examples);
    assert_eq!(made.parameters.filter(|name| !is_correction(name)), mean);
    let scale = of["scale"].as_f64().unwrap();
    let residual = updates(&made.parameters).into_iter().map(|(layer, whole)| {
        let means = products_of(&mean, 1.0).remove(&layer).unwrap();
        (layer, whole.iter().zip(means).map(|(whole, mean)| scale * (whole - mean)).collect())
    });
    assert_products(&support::products(&of["rules"]["fedex"]["residual"]), &residual.collect());
    assert!(made.metrics[AGGREGATION_ERROR] < 1e-6, "{:?}", made.metrics);
    // Earlier corrections stay.
    let again = round(&mut rule, &global(1, &made.parameters), &clients, &examples);
    assert!(again.metrics[AGGREGATION_ERROR] < 1e-6, "{:?}", again.metrics);
    // For one client nothing is lost, and there is nothing to correct.
    let alone = round(&mut FedEx, &start, &clients[..1], &examples[..1]);
    assert_eq!(alone.parameters, clients[0]);
}

#[test]
fn corrections_are_factors_as_long_as_these_are_smaller() {
    let record = |rank: usize, value: f32| {
        let mut record = ParameterRecord::new();
        for (end, shape) in [("A", [rank, 40]), ("B", [30, rank])] {
            let values = (0..shape[0] * shape[1]).map(|it| value + (it % 7) as f32).collect();
            record
                .insert(name("layer", end), HostTensor::from_f32(shape, values).unwrap())
                .unwrap();
        }
        record
    };
    let names = |record: &ParameterRecord| {
        let mut names: Vec<String> =
            record.names().filter(|it| is_correction(it)).map(str::to_owned).collect();
        names.sort_unstable();
        names
    };
    let factors = ["layer.base_A.weight", "layer.base_B.weight"];
    // Three answers of rank 3 add 6, and 18 times 70 numbers are more than 30 times 40.
    let mut at = record(3, 0.0);
    for (round, expected) in
        [&factors[..], &factors, &["layer.base_delta.weight"], &["layer.base_delta.weight"]]
            .into_iter()
            .enumerate()
    {
        let answers = [record(3, round as f32 - 1.0), record(3, 0.5), record(3, 0.1)];
        let mut rule = Reported::new(Box::new(FedEx));
        let made = support::round(&mut rule, &global(round, &at), &answers, &[1, 3, 2]);
        assert_eq!(names(&made.parameters), expected);
        assert!(made.metrics[AGGREGATION_ERROR] < 1e-6, "{round}: {:?}", made.metrics);
        at = made.parameters;
    }
}

#[test]
fn a_rank_above_that_of_the_shared_adapter_is_refused() {
    let case = case();
    let small = &case.clients[1];
    let start = global(0, small);
    let (mut flex, mut het) = (case.flex(Average::Plain), HetLora::new(case.ranks.clone()));
    let rules: [&mut dyn Strategy; 2] = [&mut flex, &mut het];
    for rule in rules {
        let answers = accepted(rule, &start, std::slice::from_ref(&case.clients[0]), &[1]);
        let message = aggregate(rule, &start, &answers).unwrap_err().to_string();
        assert!(message.contains("client-2 has 8") && message.contains("rank 4"), "{message}");
    }
}

/// Random bases are orthonormal, those of the seed, and sent in the first round, which averages cores already.
#[test]
fn fed_sb_begins_with_random_bases() {
    let mut start = ParameterRecord::new();
    for (part, shape) in [("A", [2, 5]), ("B", [4, 2])] {
        let zeros = vec![0.0; shape[0] * shape[1]];
        start.insert(name("x", part), HostTensor::from_f32(shape, zeros).unwrap()).unwrap();
    }
    let config = FedSbConfig { bases: Bases::Random };
    let of = |seed: u64| Reported::new(Box::new(FedSb::new(config, seed)));
    let mut rule = of(7);
    let global = global(0, &start);
    let sent = rule.instruct(&global, &info(0, 1), &Kind::Train);
    assert!(!sent.config.contains_key(ESTIMATE));
    let bases = sent.get_parameters().unwrap();
    let tensor = |end: &str| bases.get(&name("x", end)).unwrap().to_f32().into_owned();
    let (a, b) = (tensor("A"), tensor("B"));
    let of_a = |i: usize, j: usize| (0..5).map(|k| a[i * 5 + k] * a[j * 5 + k]).sum::<f32>();
    let of_b = |i: usize, j: usize| (0..4).map(|k| b[k * 2 + i] * b[k * 2 + j]).sum::<f32>();
    for (i, j) in [(0, 0), (0, 1), (1, 1)] {
        let wanted = f32::from(u8::from(i == j));
        assert!((of_a(i, j) - wanted).abs() < 1e-6 && (of_b(i, j) - wanted).abs() < 1e-6);
    }
    assert_eq!(tensor("R"), [0.0; 4]);
    let again = of(7).instruct(&global, &info(0, 1), &Kind::Train);
    assert_eq!(again.get_parameters(), sent.get_parameters(), "a restarted server draws the same");
    let other = of(8).instruct(&global, &info(0, 1), &Kind::Train);
    assert_ne!(other.get_parameters(), sent.get_parameters());
    let with_core = |values: [f32; 4]| {
        let mut record = ParameterRecord::clone(bases);
        let mut core = ParameterRecord::new();
        core.insert("x.lora_R.weight", HostTensor::from_f32([2, 2], values.to_vec()).unwrap())
            .unwrap();
        record.replace(&core).unwrap();
        record
    };
    let clients = [with_core([1.0, 2.0, 3.0, 4.0]), with_core([4.0, 2.0, 0.0, -2.0])];
    let made = round(&mut rule, &global, &clients, &[1, 2]);
    assert!(made.metrics[AGGREGATION_ERROR] < 1e-6);
    assert_eq!(made.parameters.get("x.lora_R.weight").unwrap().to_f32()[..], [3.0, 2.0, 1.0, 0.0]);
    assert_eq!(made.parameters.get(&name("x", "A")), bases.get(&name("x", "A")));
    let later = self::global(1, &made.parameters);
    assert_eq!(
        rule.instruct(&later, &info(0, 1), &Kind::Train).get_parameters(),
        Some(&later.parameters)
    );
}

/// A layer may have fewer outputs or inputs than the adapter's rank.
#[test]
fn random_bases_of_more_than_full_rank_end_with_zeros() {
    let mut start = ParameterRecord::new();
    for (part, shape) in [("A", [4, 2]), ("B", [3, 4])] {
        let zeros = vec![0.0; shape[0] * shape[1]];
        start.insert(name("x", part), HostTensor::from_f32(shape, zeros).unwrap()).unwrap();
    }
    let mut rule = FedSb::new(FedSbConfig { bases: Bases::Random }, 7);
    let sent = rule.instruct(&global(0, &start), &info(0, 1), &Kind::Train);
    let bases = sent.get_parameters().unwrap();
    let tensor = |end: &str| bases.get(&name("x", end)).unwrap();
    assert_eq!((tensor("A").shape(), tensor("B").shape()), (&[4, 2][..], &[3, 4][..]));
    let (a, b) = (tensor("A").to_f32(), tensor("B").to_f32());
    let norm = |values: &[f32]| values.iter().map(|it| it * it).sum::<f32>();
    assert!((norm(&a[..4]) - 2.0).abs() < 1e-6 && norm(&a[4..]) == 0.0, "{a:?}");
    let last: Vec<f32> = b.iter().skip(3).step_by(4).copied().collect();
    assert!((norm(&b) - 3.0).abs() < 1e-6 && norm(&last) == 0.0, "{b:?}");
}

/// The first round computes the singular vectors of the clients' gradients; later rounds average cores.
#[test]
fn fed_sb_averages_cores_between_singular_vectors() {
    let fixture = support::fixture();
    let of = &fixture["fed_sb"];
    let (rank, examples) = (of["rank"].as_u64().unwrap() as usize, examples(&fixture));
    // Every client answers the fixture's gradient.
    let mut answer = ParameterRecord::new();
    let mut start = ParameterRecord::new();
    for layer in support::LAYERS {
        let array = &of["gradient"][layer];
        let [out, width] = [0, 1].map(|it| array["shape"][it].as_u64().unwrap() as usize);
        let values = support::numbers(&array["data"]);
        let [a, b] = best_factors(&values, [out, width], rank).unwrap();
        answer.insert(name(layer, "A"), a).unwrap();
        answer.insert(name(layer, "B"), b).unwrap();
        for (part, shape) in [("A", [rank, width]), ("B", [out, rank])] {
            let drawn = (0..shape[0] * shape[1]).map(|it| it as f32 - 7.0).collect();
            start.insert(name(layer, part), HostTensor::from_f32(shape, drawn).unwrap()).unwrap();
        }
    }
    assert_products(&support::products(&of["initial_product"]), &products_of(&answer, 1.0));
    let mut rule = Reported::new(Box::new(FedSb::default()));
    let clients = vec![answer; examples.len()];
    let sent = rule.instruct(&global(0, &start), &info(0, 1), &Kind::Train);
    assert_eq!(sent.config[ESTIMATE], Setting::Bool(true));
    let made = round(&mut rule, &global(0, &start), &clients, &examples);
    assert!(!made.metrics.contains_key(AGGREGATION_ERROR));
    // With the core `B^t G A^t`, the update is the best one of the rank. Signs are arbitrary.
    let mut projected = ParameterRecord::new();
    for layer in support::LAYERS {
        let values = |end: &str| {
            let tensor = made.parameters.get(&name(layer, end)).unwrap();
            (tensor.shape().to_vec(), tensor.to_f32().into_owned())
        };
        let ((a_shape, a), (b_shape, b)) = (values("A"), values("B"));
        let (out, width) = (b_shape[0], a_shape[1]);
        let gradient = support::numbers(&of["gradient"][layer]["data"]);
        let entry = |row: usize, column: usize| -> f64 {
            let along = |it: usize| {
                let (i, j) = (it / width, it % width);
                f64::from(b[i * rank + row]) * gradient[it] * f64::from(a[column * width + j])
            };
            (0..out * width).map(along).sum()
        };
        let core: Vec<f64> = (0..rank * rank).map(|it| entry(it / rank, it % rank)).collect();
        let with_core = (0..out * rank).map(|it| {
            let (row, column) = (it / rank, it % rank);
            (0..rank).map(|k| f64::from(b[row * rank + k]) * core[k * rank + column]).sum::<f64>()
                as f32
        });
        let b = HostTensor::from_f32(b_shape, with_core.collect()).unwrap();
        projected.insert(name(layer, "A"), HostTensor::from_f32(a_shape, a).unwrap()).unwrap();
        projected.insert(name(layer, "B"), b).unwrap();
    }
    assert_products(&support::products(&of["initial_product"]), &products_of(&projected, 1.0));
    let bases = support::record(&of["bases"]);
    // With the fixture's own bases, its cores and their mean.
    let core = |layer: &str| format!("{layer}.lora_R.weight");
    let with_cores = |cores: &Value| {
        let mut record = bases.clone();
        for layer in support::LAYERS {
            let array = &cores[layer];
            let values = support::numbers(&array["data"]).iter().map(|&it| it as f32).collect();
            record
                .insert(core(layer), HostTensor::from_f32([rank, rank], values).unwrap())
                .unwrap();
        }
        record
    };
    let clients: Vec<_> = of["cores"].as_array().unwrap().iter().map(with_cores).collect();
    let start = global(1, &clients[0]);
    let sent = rule.instruct(&start, &info(0, 1), &Kind::Train);
    assert_eq!(sent.config[TRAIN], Setting::Text("lora_R".into()));
    let made = round(&mut rule, &start, &clients, &examples);
    let mean = with_cores(&of["core"]);
    for layer in support::LAYERS {
        let of = |record: &ParameterRecord| record.get(&core(layer)).unwrap().to_f32().into_owned();
        let (ours, theirs) = (of(&made.parameters), of(&mean));
        assert!(ours.iter().zip(theirs).all(|(ours, theirs)| (ours - theirs).abs() < 1e-6));
    }
    assert!(made.metrics[AGGREGATION_ERROR] < 1e-6, "{:?}", made.metrics);
}
