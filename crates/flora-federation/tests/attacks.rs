//! Replies of attackers, compared with the formulas of the papers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use flora_core::HostTensor;
use flora_federation::{
    Answer, Attack, ClientInfo, Faults, Faulty, Fleet, FleetError, Kind, Message, Metrics,
    ParameterRecord, Reason, Task, Wait,
};
use serde_json::Value;

const ROUND: usize = 3;
const SEED: u64 = 5;

/// Clients that are present but never answer.
struct Idle(Vec<ClientInfo>);

impl Fleet for Idle {
    fn clients(&mut self, _: usize) -> Result<Vec<ClientInfo>, FleetError> {
        Ok(self.0.clone())
    }

    fn exchange(
        &mut self,
        _: Vec<Task>,
        _: &Wait,
        _: &mut dyn FnMut(Answer),
    ) -> Result<(), FleetError> {
        Ok(())
    }

    fn commit(&mut self) -> Result<Vec<u8>, FleetError> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), FleetError> {
        Ok(())
    }
}

fn clients(count: usize) -> Vec<ClientInfo> {
    let info =
        |k| ClientInfo { id: format!("c{k:02}"), num_examples: 10 + k, num_test_examples: 1 };
    (0..count).map(info).collect()
}

fn faulty(count: usize, attackers: f64, attack: Attack, seed: u64) -> Faulty<Idle> {
    let faults = Faults { attackers, attack: Some(attack), ..Faults::default() };
    Faulty::new(Idle(clients(count)), faults, seed).unwrap()
}

/// For each client, the sent message and its reply.
type Answers = BTreeMap<String, (Message, Answer)>;

fn answer(id: &str, sent: &Message, trained: ParameterRecord) -> Answer {
    let task = Task {
        client: id.to_owned(),
        round: ROUND,
        attempt: 0,
        kind: Kind::Train,
        message: sent.clone(),
    };
    Answer::new(&task, Ok(Message::trained(trained, 10, Metrics::new())))
}

fn conclude(fleet: &mut dyn Fleet, answers: &mut Answers) {
    let mut pairs: Vec<(&Message, &mut Answer)> =
        answers.values_mut().map(|(sent, answer)| (&*sent, answer)).collect();
    fleet.conclude(ROUND, &mut pairs);
}

fn parameters(answer: &Answer) -> &ParameterRecord {
    answer.result.as_ref().unwrap().get_parameters().unwrap()
}

fn tensor(shape: &[usize], values: Vec<f32>) -> HostTensor {
    HostTensor::from_f32(shape, values).unwrap()
}

fn one(name: &str, values: &[f32]) -> ParameterRecord {
    let mut record = ParameterRecord::new();
    record.insert(name, tensor(&[values.len()], values.to_vec())).unwrap();
    record
}

fn message(record: ParameterRecord) -> Message {
    Message::parameters(Arc::new(record))
}

/// A record of the fixture, with `more` added to every value.
fn record(value: &Value, more: f32) -> ParameterRecord {
    let mut record = ParameterRecord::new();
    for (name, array) in value.as_object().unwrap() {
        let numbers = |key: &str| array[key].as_array().unwrap().iter();
        let shape: Vec<usize> = numbers("shape").map(|it| it.as_u64().unwrap() as usize).collect();
        let values = numbers("data").map(|it| it.as_f64().unwrap() as f32 + more).collect();
        record.insert(name.clone(), tensor(&shape, values)).unwrap();
    }
    record
}

#[test]
fn attackers_send_what_the_papers_say() {
    let fixture: Value =
        serde_json::from_str(include_str!("fixtures/attacks.json")).expect("the fixture is JSON");
    let updates = fixture["updates"].as_array().unwrap();
    let share = 3.0 / 9.0;
    let mut checked = 0;
    for case in fixture["cases"].as_array().unwrap() {
        let number = |key: &str| case[key].as_f64().unwrap();
        let attacks = match case["attack"].as_str().unwrap() {
            "sign_flip" => vec![Attack::SignFlip { factor: 1.0 }],
            "scale" if number("factor") < 0.0 => vec![
                Attack::SignFlip { factor: -number("factor") },
                Attack::Scaled { factor: number("factor") },
            ],
            "scale" => vec![Attack::Scaled { factor: number("factor") }],
            "a_little_is_enough" if case["std"] == "sample" => continue,
            "a_little_is_enough" if number("z") < 1.0 => {
                let z = Some(number("z"));
                vec![Attack::LittleIsEnough { z }, Attack::LittleIsEnough { z: None }]
            }
            "a_little_is_enough" => vec![Attack::LittleIsEnough { z: Some(number("z")) }],
            "inner_product" => vec![Attack::InnerProduct { epsilon: number("epsilon") }],
            other => panic!("{other}"),
        };
        for attack in attacks {
            let mut fleet = faulty(9, share, attack, SEED);
            let who = fleet.attackers().clone();
            assert_eq!(who.len(), 3);
            // The first attack of the fixture.
            let others = clients(9).into_iter().map(|info| info.id).filter(|id| !who.contains(id));
            let ids: Vec<String> = who.iter().cloned().chain(others).collect();
            let sent = message(record(&fixture["updates"][0], 0.25));
            let before = |update: &ParameterRecord| {
                let mut sum = ParameterRecord::new();
                for (name, by) in update.iter() {
                    let from = sent.get_parameters().unwrap().get(name).unwrap();
                    let (from, delta) = (from.to_f32(), by.to_f32());
                    let values = from.iter().zip(delta.iter()).map(|(x, y)| x + y);
                    sum.insert(name, tensor(by.shape(), values.collect())).unwrap();
                }
                sum
            };
            let mut answers = Answers::new();
            for (id, update) in ids.iter().zip(updates) {
                let trained = before(&record(update, 0.0));
                answers.insert(id.clone(), (sent.clone(), answer(id, &sent, trained)));
            }
            let honest = answers.clone();
            conclude(&mut fleet, &mut answers);
            for (id, expected) in ids.iter().zip(case["sent"].as_array().unwrap()) {
                assert!(who.contains(id));
                let expected = before(&record(expected, 0.0));
                let found = parameters(&answers[id].1);
                found.check_matches(&expected).unwrap();
                for (name, expected) in expected.iter() {
                    let found = found.get(name).unwrap().to_f32();
                    for (x, y) in found.iter().zip(expected.to_f32().iter()) {
                        assert!((x - y).abs() < 1e-6, "{attack:?} {id} {name}: {x} {y}");
                    }
                }
                checked += 1;
            }
            for id in &ids[3..] {
                assert_eq!(answers[id].1, honest[id].1, "{id} is honest");
            }
        }
    }
    assert_eq!(checked, 9 * 3);
}

/// `count` clients with one tensor, each with its own starting value and update.
fn moved(count: usize) -> Answers {
    let of = |(k, info): (usize, ClientInfo)| {
        let sent = message(one("w", &[10.0 * k as f32, 0.0]));
        let trained = one("w", &[10.0 * k as f32 + k as f32, -(k as f32)]);
        (info.id.clone(), (sent.clone(), answer(&info.id, &sent, trained)))
    };
    clients(count).into_iter().enumerate().map(of).collect()
}

fn number(id: &str) -> f32 {
    id[1..].parse().unwrap()
}

#[test]
fn attackers_know_the_updates_of_the_sound_and_honest_alone() {
    let mut fleet = faulty(10, 0.3, Attack::InnerProduct { epsilon: 1.0 }, SEED);
    let who = fleet.attackers().clone();
    let mut answers = moved(10);
    let honest: Vec<String> = answers.keys().filter(|id| !who.contains(*id)).cloned().collect();
    // One failed, one diverged, one answers another round, and one sends something else.
    let answered = |answers: &mut Answers, id: &str, record| {
        let (sent, it) = answers.get_mut(id).unwrap();
        *it = answer(id, sent, record);
    };
    answers.get_mut(&honest[0]).unwrap().1.result =
        Err(flora_federation::Failure { reason: Reason::Late, message: "late".to_owned() });
    answered(&mut answers, &honest[1], one("w", &[f32::NAN, 0.0]));
    answers.get_mut(&honest[2]).unwrap().1.round = ROUND - 1;
    answered(&mut answers, &honest[3], one("w", &[7.0]));
    // One of the attackers failed, too.
    let (failed, acting) = (who.first().unwrap(), who.iter().skip(1));
    answers.get_mut(failed).unwrap().1.result =
        Err(flora_federation::Failure { reason: Reason::Failed, message: "no".to_owned() });
    let before = answers.clone();
    conclude(&mut fleet, &mut answers);
    let mean = honest[4..].iter().map(|id| number(id)).sum::<f32>() / 3.0;
    for id in acting {
        // Relative to the parameters that the attacker itself was sent.
        let found = parameters(&answers[id].1).get("w").unwrap().to_f32().into_owned();
        let expected = [10.0 * number(id) - mean, mean];
        for (x, y) in found.iter().zip(expected) {
            assert!((x - y).abs() < 1e-5, "{id}: {found:?} {expected:?}");
        }
    }
    for id in honest.iter().chain([failed]).filter(|id| **id != honest[1]) {
        assert_eq!(answers[id].1, before[id].1, "{id}");
    }
}

#[test]
fn with_nobody_honest_or_nothing_sent_attackers_send_what_they_trained() {
    let attack = Attack::LittleIsEnough { z: None };
    let mut fleet = faulty(4, 1.0, attack, SEED);
    let mut answers = moved(4);
    let before = answers.clone();
    conclude(&mut fleet, &mut answers);
    assert_eq!(answers, before);

    // Tensors that were not sent, and records of other names.
    let mut fleet = faulty(4, 0.5, Attack::SignFlip { factor: 1.0 }, SEED);
    let mut answers = moved(4);
    for (_, answer) in answers.values_mut() {
        let message = answer.result.as_mut().unwrap();
        message.records.insert("control".to_owned(), Arc::new(one("w", &[1.0, 2.0])));
        let mut trained = message.get_parameters().unwrap().as_ref().clone();
        trained.insert("own", tensor(&[1], vec![3.0])).unwrap();
        message.records.insert("parameters".to_owned(), Arc::new(trained));
    }
    conclude(&mut fleet, &mut answers);
    for id in fleet.attackers() {
        let message = answers[id].1.result.as_ref().unwrap();
        assert_eq!(*message.records["control"], one("w", &[1.0, 2.0]));
        let trained = message.get_parameters().unwrap();
        assert_eq!(trained.get("own").unwrap().to_f32()[..], [3.0]);
        assert_eq!(trained.get("w").unwrap().to_f32()[..], [9.0 * number(id), number(id)]);
    }
}

#[test]
fn noise_takes_the_place_of_the_update() {
    const LENGTH: usize = 20_000;
    let noise = |seed: u64, round: usize, attempt: usize, names: [&str; 2]| {
        let mut fleet = faulty(1, 1.0, Attack::GaussianNoise { std: 0.5 }, seed);
        let mut sent = ParameterRecord::new();
        let mut trained = ParameterRecord::new();
        for name in names {
            sent.insert(name, tensor(&[LENGTH], vec![2.0; LENGTH])).unwrap();
            trained.insert(name, tensor(&[LENGTH], vec![f32::NAN; LENGTH])).unwrap();
        }
        let sent = message(sent);
        let mut answer = answer("c00", &sent, trained);
        (answer.round, answer.attempt) = (round, attempt);
        fleet.conclude(round, &mut [(&sent, &mut answer)]);
        let values = |name| parameters(&answer).get(name).unwrap().to_f32().into_owned();
        (values("a"), values("b"))
    };
    let (a, b) = noise(1, 3, 0, ["a", "b"]);
    for values in [&a, &b] {
        let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / LENGTH as f64;
        let square = |x: &f32| (f64::from(*x) - mean).powi(2);
        let std = (values.iter().map(square).sum::<f64>() / LENGTH as f64).sqrt();
        // Their own standard deviations are 0.0035 and 0.0025.
        assert!((mean - 2.0).abs() < 0.015 && (std - 0.5).abs() < 0.01, "{mean} {std}");
    }
    assert_ne!(a, b);
    assert_eq!(noise(1, 3, 0, ["b", "a"]), (a.clone(), b.clone()), "the order makes no difference");
    for (seed, round, attempt) in [(2, 3, 0), (1, 4, 0), (1, 3, 1)] {
        assert_ne!(noise(seed, round, attempt, ["a", "b"]).0, a);
    }
    // The draw must stay the same for a seed.
    assert_eq!(a[..3], [2.7614627, 1.9941949, 1.8846473]);
}

#[test]
fn the_same_clients_attack_in_every_way_and_none_of_them_sends_poison() {
    let all = clients(40);
    let faults = Faults { nan: 0.1, stale: 0.1, ..Faults::default() };
    let with = |attackers, attack| Faults { attackers, attack: Some(attack), ..faults };
    let few = with(0.1, Attack::LabelFlip {}).attackers(&all, 7);
    let many = with(0.3, Attack::SignFlip { factor: 1.0 }).attackers(&all, 7);
    assert_eq!((few.len(), many.len()), (4, 12));
    assert!(few.is_subset(&many));
    let mut reversed = all.clone();
    reversed.reverse();
    assert_eq!(with(0.3, Attack::LabelFlip {}).attackers(&reversed, 7), many);
    assert_ne!(with(0.3, Attack::LabelFlip {}).attackers(&all, 8), many);
    let fleet = Faulty::new(Idle(all.clone()), with(0.3, Attack::LabelFlip {}), 7).unwrap();
    assert_eq!(*fleet.attackers(), many);
    // Every client has a role, and only one.
    assert_eq!(with(0.8, Attack::LabelFlip {}).attackers(&all, 7).len(), 32);
    assert!(faults.attackers(&all, 7).is_empty());
}

#[test]
fn attackers_are_among_those_who_train() {
    let mut all = clients(20);
    for info in &mut all[5..] {
        info.num_examples = 0;
    }
    let faults = Faults { attackers: 0.4, attack: Some(Attack::LabelFlip {}), ..Faults::default() };
    let trainers: BTreeSet<String> = all[..5].iter().map(|info| info.id.clone()).collect();
    let attackers = faults.attackers(&all, 1);
    assert!(attackers.len() == 2 && attackers.is_subset(&trainers), "{attackers:?}");
}

#[test]
fn a_share_that_is_nobody_is_refused() {
    let faults =
        Faults { attackers: 0.04, attack: Some(Attack::LabelFlip {}), ..Faults::default() };
    let error = Faulty::new(Idle(clients(10)), faults, 1).err().expect("refused").to_string();
    assert!(error.contains("faults.attackers: 0.04 of 10 clients rounds to no client"), "{error}");
}
