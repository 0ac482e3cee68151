//! The rules that Flower 1.42 has, compared with its results for the same answers.

mod support;

use flora_federation::{ClientInfo, FedAvg, Kind, Message, Strategy, Value as Setting};
use flora_strategies::robust::{Bulyan, Krum, Median, MultiKrum, TrimmedMean};
use flora_strategies::{FedAdagrad, FedAdam, FedAvgM, FedProx, FedYogi, ServerOptimizer, Stepped};
use serde::de::DeserializeOwned;
use serde_json::Value;
use support::{
    TOLERANCE, aggregate, assert_close, counts, fixture, global, inputs, list, refusal, vector,
};

/// Flower's parameters, without `eta_l`, which it does not use.
fn settings<T: DeserializeOwned>(parameters: &Value) -> T {
    let mut parameters = parameters.clone();
    parameters.as_object_mut().unwrap().remove("eta_l");
    serde_json::from_value(parameters).unwrap()
}

fn stepped(optimizer: ServerOptimizer) -> Box<dyn Strategy> {
    optimizer.check().unwrap();
    Box::new(Stepped::new(Box::new(FedAvg), optimizer))
}

/// Ours of that name; `None` for one that we do not have.
fn ours(kind: &str, parameters: &Value) -> Option<Box<dyn Strategy>> {
    Some(match kind {
        "FedAvg" => Box::new(FedAvg),
        "FedProx" => Box::new(FedProx::new(Box::new(FedAvg), settings(parameters))),
        "FedAvgM" => stepped(ServerOptimizer::FedAvgM(settings(parameters))),
        "FedAdam" => stepped(ServerOptimizer::FedAdam(settings(parameters))),
        "FedYogi" => stepped(ServerOptimizer::FedYogi(settings(parameters))),
        "FedAdagrad" => stepped(ServerOptimizer::FedAdagrad(settings(parameters))),
        "FedMedian" => Box::new(settings::<Median>(parameters)),
        "FedTrimmedAvg" => Box::new(settings::<TrimmedMean>(parameters)),
        "Krum" => Box::new(settings::<Krum>(parameters)),
        "MultiKrum" => Box::new(settings::<MultiKrum>(parameters)),
        "Bulyan" => Box::new(settings::<Bulyan>(parameters)),
        _ => return None,
    })
}

/// Runs that Flower accepts and we refuse, with words of our message.
const REFUSED: [(&str, &str); 2] = [
    ("Bulyan, too few", "bulyan: it needs 7 replies, but 6 passed"),
    // Flower uses a single neighbour where four of six may be malicious.
    ("Krum, one neighbour", "krum: it needs 11 replies, but 6 passed"),
];

#[test]
fn every_rule_gives_the_record_that_flower_gives() {
    let all = fixture("flower.json");
    let mut compared = 0;
    for run in list(&all["runs"]).iter().filter(|run| run["api"] == "serverapp") {
        let what = run["name"].as_str().unwrap();
        let kind = run["strategy"].as_str().unwrap();
        let Some(mut strategy) = ours(kind, &run["parameters"]) else {
            assert_eq!(kind, "QFedAvg", "{what}");
            continue;
        };
        let (mut parameters, rounds) = inputs(&all, run["inputs"].as_str().unwrap());
        for (round, (examples, records)) in rounds.iter().enumerate() {
            let result = aggregate(strategy.as_mut(), round, &parameters, examples, records);
            if let Some((_, words)) = REFUSED.iter().find(|(name, _)| *name == what) {
                let message = refusal(result);
                assert!(message.contains(words) && message.contains("num_malicious"), "{message}");
                compared += 1;
                continue;
            }
            let next = result.unwrap().parameters;
            let expected = &run["rounds"][round];
            assert_close(&next, &expected["arrays"], TOLERANCE, &format!("{what}, {round}"));
            assert!(next.names().eq(parameters.names()), "{what}: the order of the tensors");
            parameters = next;
            compared += 1;
        }
    }
    assert_eq!(compared, 94);
}

#[test]
fn krum_selects_whom_flower_selects() {
    let all = fixture("flower.json");
    let runs = list(&all["runs"]).iter().filter(|run| run["strategy"] == "Krum");
    for run in runs.filter(|run| run["name"] != "Krum, one neighbour") {
        let mut strategy = ours("Krum", &run["parameters"]).unwrap();
        let (start, rounds) = inputs(&all, run["inputs"].as_str().unwrap());
        for (round, (examples, records)) in rounds.iter().enumerate() {
            let next = aggregate(strategy.as_mut(), round, &start, examples, records).unwrap();
            let selected = counts(&run["rounds"][round]["selected"])[0];
            assert_eq!(next.parameters, records[selected], "{}, round {round}", run["name"]);
        }
    }
}

#[test]
fn the_defaults_are_flowers() {
    assert_eq!(FedAvgM::default(), FedAvgM { server_learning_rate: 1.0, server_momentum: 0.0 });
    let all = fixture("flower.json");
    let parameters = |name: &str| {
        let run = list(&all["runs"]).iter().find(|run| run["name"] == name);
        run.unwrap_or_else(|| panic!("{name}"))["parameters"].clone()
    };
    assert_eq!(settings::<FedAvgM>(&parameters("FedAvgM, defaults")), FedAvgM::default());
    assert_eq!(settings::<FedAdam>(&parameters("FedAdam, defaults")), FedAdam::default());
    assert_eq!(settings::<FedYogi>(&parameters("FedYogi, defaults")), FedYogi::default());
    assert_eq!(settings::<FedAdagrad>(&parameters("FedAdagrad, defaults")), FedAdagrad::default());
    let trimmed = settings::<TrimmedMean>(&parameters("FedTrimmedAvg, defaults"));
    assert_eq!(trimmed, TrimmedMean::default());
    assert_eq!(settings::<Krum>(&parameters("Krum, defaults")), Krum::default());
    assert_eq!(settings::<Bulyan>(&parameters("Bulyan, defaults")), Bulyan::default());
}

#[test]
fn only_tasks_to_train_carry_the_proximal_term() {
    let all = fixture("flower.json");
    let run = list(&all["runs"]).iter().find(|run| run["name"] == "FedProx").unwrap();
    let mut strategy = ours("FedProx", &run["parameters"]).unwrap();
    let start = global(0, &vector(&[1.0]));
    let client = ClientInfo { id: "a".to_owned(), num_examples: 1, num_test_examples: 1 };
    let train = strategy.instruct(&start, &client, &Kind::Train);
    let mu = run["rounds"][0]["config"]["proximal-mu"].as_f64().unwrap();
    assert_eq!(train.config["proximal-mu"], Setting::Float(mu));
    assert_eq!(train.get_parameters(), Some(&start.parameters));
    let evaluate = strategy.instruct(&start, &client, &Kind::Evaluate);
    assert_eq!(evaluate, Message::parameters(start.parameters));
}
