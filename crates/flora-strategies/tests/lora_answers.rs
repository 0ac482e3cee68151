//! Answers and parameters that LoRA rules accept.

#[path = "support/lora.rs"]
mod support;

use std::sync::Arc;

use flora_core::{Dtype, HostTensor, ParameterRecord};
use flora_federation::{
    Accepted, FedAvg, Kind, Message, Metrics, Strategy, StrategyError, Value as Setting,
};
use flora_strategies::lora::{
    Aligned, Average, Fair, FairConfig, FedSvd, Ffa, FlexLora, HetLora, LORA_A, LORA_B, Procrustes,
    Ranks, Reported, RoLora, TRAIN,
};
use support::{accepted, aggregate, changed, global, name, one_rank, round, zeroed};

/// Adds other tensors, with another element type.
fn with_bias(record: &ParameterRecord, value: f32) -> ParameterRecord {
    let mut record = record.clone();
    let bias = HostTensor::from_f32([2], vec![value, -value]).unwrap().cast(Dtype::Bf16);
    record.insert("head.bias", bias).unwrap();
    record
}

/// This includes other parameters, and clients whose A is rank-deficient.
#[test]
fn equal_answers_are_their_own_mean() {
    let case = one_rank();
    let (mut ffa, mut fair) = (Ffa::new(), Fair::new(FairConfig { lambda: 0.0 }));
    let rules: [&mut dyn Strategy; 3] = [&mut ffa, &mut RoLora, &mut fair];
    let (start, trained) = (with_bias(&case.reference, 1.0), with_bias(&case.clients[0], 3.0));
    for rule in rules {
        let sent = rule.instruct(&global(0, &start), &support::info(0, 1), &Kind::Train);
        let part = sent.config.get(TRAIN).map_or("", |_| LORA_B);
        for count in [1, 3] {
            let answers = vec![trained.clone(); count];
            let aggregate = round(rule, &global(0, &start), &answers, &[7, 11, 13]);
            let expected = trained.filter(|name| name.contains(part));
            let found = aggregate.parameters.filter(|name| name.contains(part));
            assert_eq!(found, expected, "{}", rule.name());
        }
    }
    let flat = zeroed(&case.clients[0], LORA_A);
    let aggregate =
        round(&mut fair, &global(0, &case.reference), &[flat.clone(), flat.clone()], &[1, 2]);
    assert_eq!(aggregate.parameters, flat);
}

#[test]
fn an_answer_holds_what_was_to_be_trained_and_nothing_else() {
    let case = one_rank();
    let global = global(1, &case.reference);
    let own = &case.clients[0];
    let mut ffa = Ffa::new();
    let rules: [(&mut dyn Strategy, &str); 3] =
        [(&mut ffa, LORA_B), (&mut RoLora, LORA_A), (&mut FedSvd, LORA_B)];
    for (rule, part) in rules {
        let sent = rule.instruct(&global, &support::info(0, 1), &Kind::Train);
        assert_eq!(sent.config[TRAIN], Setting::Text(part.into()));
        let says = |record: ParameterRecord| {
            let answer = Message::trained(record, 1, Metrics::new());
            rule.check(&sent, &answer).err().map(|error| error.to_string())
        };
        let half = own.filter(|name| name.contains(part));
        assert_eq!(says(half.clone()), None);
        for (record, words) in [
            (own.clone(), "unexpected tensor"),
            (half.filter(|name| name.contains("fc1")), "is missing"),
            (half.cast(Dtype::F16), "element type f16"),
            (turned(&half), "has shape"),
            (changed(&half, |_, _| f32::NAN), "holds NaN"),
        ] {
            let message = says(record).expect(words);
            assert!(message.contains(words), "{}: {message}", rule.name());
        }
        let mut more = Message::trained(half, 1, Metrics::new());
        assert!(rule.check(&sent, &Message::default()).is_err());
        more.records.insert("control".to_owned(), Arc::default());
        assert!(rule.check(&sent, &more).unwrap_err().to_string().contains("control"));
    }
}

fn turned(record: &ParameterRecord) -> ParameterRecord {
    let mut turned = ParameterRecord::new();
    for (name, tensor) in record.iter() {
        let shape: Vec<usize> = tensor.shape().iter().rev().copied().collect();
        turned
            .insert(name, HostTensor::from_f32(shape, tensor.to_f32().into_owned()).unwrap())
            .unwrap();
    }
    turned
}

#[test]
fn parameters_without_pairs_are_an_error() {
    let case = one_rank();
    let a = case.reference.filter(|name| name.contains(LORA_A));
    let mut none = ParameterRecord::new();
    none.insert("w", HostTensor::from_f32([2], vec![1.0, 2.0]).unwrap()).unwrap();
    let mut unequal = zeroed(&case.reference, LORA_A).filter(|name| name.contains(LORA_A));
    for (layer, out) in [("text.layers.0.out_proj", 12), ("text.layers.0.fc1", 9)] {
        unequal
            .insert(name(layer, "B"), HostTensor::from_f32([out, 3], vec![0.0; out * 3]).unwrap())
            .unwrap();
    }
    for (record, words) in [
        (none, "there is no LoRA pair"),
        (a, "lora_B.weight: it is missing"),
        (unequal, "is of rank 4, but lora_B of 3"),
    ] {
        let (mut ffa, mut fair) = (Ffa::new(), Fair::new(FairConfig::default()));
        let rules: [&mut dyn Strategy; 4] = [&mut ffa, &mut RoLora, &mut FedSvd, &mut fair];
        for rule in rules {
            let global = global(0, &record);
            let answers: Vec<Accepted> =
                accepted(rule, &global, std::slice::from_ref(&record), &[1]);
            let message = aggregate(rule, &global, &answers).unwrap_err().to_string();
            assert!(message.contains(words), "{}: {message}", rule.name());
        }
        let aggregate = round(
            &mut Reported::new(Box::new(FedAvg)),
            &global(0, &record),
            std::slice::from_ref(&record),
            &[1],
        );
        assert!(aggregate.metrics.is_empty());
    }
}

type Made = Box<dyn Strategy>;

fn all_rules() -> Vec<fn() -> Made> {
    vec![
        || Box::new(Ffa::new()),
        || Box::new(RoLora),
        || Box::new(FedSvd),
        || Box::new(Fair::new(FairConfig::default())),
        || Box::new(FlexLora::new(Ranks::default(), Average::Plain)),
        || Box::new(FlexLora::new(Ranks::default(), Average::RaFlora)),
        || Box::new(HetLora::new(Ranks::default())),
        || Box::new(Aligned::new(Box::new(FedAvg), Procrustes::default())),
        || Box::new(Reported::new(Box::new(RoLora))),
    ]
}

/// Two rounds by one instance, and the second by another one; in 16 bits, too.
#[test]
fn a_resumed_run_has_the_same_bits() {
    let case = one_rank();
    for make in all_rules() {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            let start = with_bias(&case.reference, 1.0).cast(dtype);
            let trained = |by: f32| -> Vec<ParameterRecord> {
                let client = |it: &ParameterRecord| {
                    with_bias(&changed(it, |_, value| value * by), by).cast(dtype)
                };
                case.clients.iter().map(client).collect()
            };
            let mut whole = make();
            let first = round(whole.as_mut(), &global(0, &start), &trained(1.0), &case.examples);
            let second = |rule: &mut dyn Strategy| {
                round(rule, &global(1, &first.parameters), &trained(0.5), &case.examples)
            };
            let mut resumed = make();
            resumed.restore(whole.state()).unwrap();
            assert_eq!(second(whole.as_mut()), second(resumed.as_mut()), "{}", whole.name());
            let mut state = Message::default();
            state.config.insert("momentum".to_owned(), Setting::Int(1));
            assert!(matches!(resumed.restore(state), Err(StrategyError::State(_))));
        }
    }
}

/// The values are such that a sum in another order differs in f32, too.
#[test]
fn the_order_of_answers_changes_no_bit() {
    let case = one_rank();
    let start = global(1, &case.reference);
    let client = |factor: f32| changed(&case.reference, |_, value| value * factor);
    let clients = [1e10, -1e10, 0.3].map(client);
    for make in all_rules() {
        // `round` also aggregates the answers in reverse order and compares.
        round(make().as_mut(), &start, &clients, &[1, 1, 1]);
    }
}
