//! Client states have the same bits on disk, and a model that all clients test is prepared once.

use std::sync::Arc;

use flora_core::{HostTensor, ParameterRecord};
use flora_data::ClientShard;
use flora_federation::{
    AtRest, Client, ClientStates, Fleet, Kind, Message, PARAMETERS, Share, Simulation, Wait,
};
use flora_lora::{LoraConfig, adapter_record};
use flora_tuning::{Cohort, Implementation, LossKind, OptimizerName, TrainingConfig, TuningClient};

use crate::common::{Images, Setup, bits, extreme, fit, outcome, own, task, test};

const OPTIMIZERS: [[&str; 2]; 4] = [
    ["training.optimizer=adam", "training.momentum=0.0"],
    ["training.optimizer=adamw", "training.momentum=0.0"],
    ["training.optimizer=sgd", "training.momentum=0.9"],
    ["training.optimizer=sgd", "training.momentum=0.0"],
];

#[test]
fn states_on_disk_change_no_bit() {
    let images = Images::new(3, 2);
    for participants in ["all", "alone"] {
        for optimizer in OPTIMIZERS {
            let run = |state: &str, threads: usize| {
                let set = [
                    &format!("federation.participants={participants}")[..],
                    &format!("federation.client_state={state}"),
                    &format!("federation.threads={threads}"),
                    "federation.fraction=0.6",
                    "partition={ kind = 'iid', clients = 5 }",
                    "training.rounds=4",
                    "method.loss=class-ce",
                ];
                outcome(images.experiment(&[&set[..], &optimizer].concat()))
            };
            let memory = run("memory", 1);
            let losses: Vec<_> = memory.history.iter().map(|score| score.loss).collect();
            assert!(losses.windows(2).all(|pair| pair[0] != pair[1]), "{losses:?}");
            for threads in [1, 2] {
                let disk = run("disk", threads);
                let what = format!("{participants}, {optimizer:?}, {threads} threads");
                assert_eq!(disk.history, memory.history, "{what}");
                assert_eq!(bits(&disk.last), bits(&memory.last), "{what}");
            }
        }
    }
}

#[test]
fn moments_outlive_a_round_on_disk() {
    let images = Images::new(1, 1);
    let setup = setup(&images);
    let start = adapter_record(&setup.model).unwrap();
    for (optimizer, momentum) in REMEMBERING {
        let training = training(optimizer, momentum);
        let cohort = || setup.cohort(training.clone());
        let mut here = client(cohort(), "a");
        // Two of them, so that each has to find its own slot.
        let mut there = on_disk(cohort(), &["a", "b"]);
        let mut parameters = start.clone();
        for round in 0..4 {
            let [a, b] = ["a", "b"].map(|id| trained(&mut there, id, round, &parameters).unwrap());
            let expected = fit(&mut here, round, &parameters);
            assert_eq!(bits(&a), bits(&expected), "{optimizer:?}, round {round}");
            // The same images in one batch: only the order of summation differs.
            assert!(bits(&b) != bits(&parameters), "{optimizer:?}, round {round}");
            if round > 0 {
                let forgetful = fit(&mut client(cohort(), "a"), round, &parameters);
                assert_ne!(bits(&a), bits(&forgetful), "{optimizer:?}, round {round}");
            }
            parameters = expected;
        }
    }
}

/// Moments that are no longer finite would spoil every later round; the client's own parameters are from before, and it
/// has no others.
#[test]
fn a_failed_training_forgets_the_optimizer_and_nothing_else() {
    let images = Images::new(1, 1);
    let setup = setup(&images);
    let start = adapter_record(&setup.model).unwrap();
    let training = training(OptimizerName::Adam, 0.0);
    let alone = || setup.cohort(training.clone()).with_share(Share::Nothing);
    let nothing = ParameterRecord::new();
    let mut there = on_disk(alone(), &["a"]);
    let mut here = client(alone(), "a");
    let kept = |fleet: &mut Simulation| {
        ask(fleet, "a", 0, Kind::Query(PARAMETERS.into()), &nothing).unwrap()
    };

    assert!(trained(&mut there, "a", 0, &nothing).unwrap().is_empty(), "it keeps its parameters");
    fit(&mut here, 0, &nothing);
    let before = kept(&mut there);
    assert_eq!(bits(&before), bits(&own(&mut here)));

    // A local-only client is sent nothing, but this makes its training fail.
    let error = trained(&mut there, "a", 1, &extreme(&start)).unwrap_err();
    assert!(error.contains("training.learning_rate"), "{error}");
    assert_eq!(bits(&kept(&mut there)), bits(&before));

    trained(&mut there, "a", 2, &nothing).unwrap();
    let forgetful = fit(&mut client(setup.cohort(training.clone()), "a"), 2, &before);
    assert_eq!(bits(&kept(&mut there)), bits(&forgetful));
    fit(&mut here, 2, &nothing);
    assert_ne!(bits(&own(&mut here)), bits(&forgetful), "there was something to forget");
}

/// As when another process resumes a run: it prepares the same experiment, and finds only bytes.
#[test]
fn a_state_is_understood_by_another_cohort_of_the_same_experiment() {
    let images = Images::new(1, 1);
    for (optimizer, momentum) in REMEMBERING {
        for share in [Share::All, Share::Nothing, Share::Matching(vec!["lora_A".into()])] {
            let cohort = || {
                let cohort = setup(&images).cohort(training(optimizer, momentum));
                cohort.with_share(share.clone())
            };
            let (mut first, mut second) = (client(cohort(), "a"), client(cohort(), "a"));
            assert_eq!(first.save().unwrap(), None, "it has not begun");
            let start = share.part(&adapter_record(&setup(&images).model).unwrap());
            let sent = fit(&mut first, 0, &start);
            let state = first.save().unwrap().expect("it has begun");
            second.restore(Some(&state)).unwrap();
            let what = format!("{optimizer:?}, {share:?}");
            assert_eq!(bits(&own(&mut second)), bits(&own(&mut first)), "{what}");
            let tested = Arc::new(sent.clone());
            assert_eq!(test(&mut second, &tested), test(&mut first, &tested), "{what}");
            assert_eq!(bits(&fit(&mut second, 1, &sent)), bits(&fit(&mut first, 1, &sent)));
            assert_eq!(bits(&own(&mut second)), bits(&own(&mut first)), "{what}");

            second.restore(None).unwrap();
            assert_eq!(second.save().unwrap(), None, "{what}");
            assert_eq!(bits(&fit(&mut second, 0, &start)), bits(&sent), "{what}");
        }
    }
}

#[test]
fn a_state_that_is_cut_off_or_of_nobody_is_refused() {
    let images = Images::new(1, 1);
    let cohort = setup(&images).cohort(training(OptimizerName::Adam, 0.0)).keep_own();
    let mut client = client(cohort, "a");
    fit(&mut client, 0, &adapter_record(&setup(&images).model).unwrap());
    let state = client.save().unwrap().unwrap();
    let cut = [0, 1, 7, 9, 40, state.len() / 4, state.len() / 2, state.len() - 1];
    for bytes in cut.map(|len| &state[..len]).into_iter().chain([&[0xff; 64][..]]) {
        let error = client.restore(Some(bytes)).unwrap_err().to_string();
        assert!(error.starts_with("client a: its "), "{error}");
    }
    assert_eq!(client.save().unwrap().unwrap(), state, "it has what it had");
}

/// A client with its own parameters is tested alone, the others by a model that is prepared once: for the same
/// parameters, both must give the same result.
#[test]
fn a_shared_test_has_the_bits_of_ones_own() {
    let images = Images::new(1, 3);
    for class_groups in [None, Some(vec![vec![3, 0], vec![1, 2]])] {
        let mut setup = setup(&images);
        setup.objective.class_groups = class_groups;
        let cohort = || setup.cohort(TrainingConfig::default());
        let alone = Arc::new(cohort().with_share(Share::Nothing));
        let mut own = TuningClient::new(shard("a"), Arc::clone(&alone));
        let mut begins = TuningClient::new(shard("b"), alone);
        let together = Arc::new(cohort());
        let [mut shared, mut again] =
            ["c", "d"].map(|id| TuningClient::new(shard(id), Arc::clone(&together)));

        let start = Arc::new(adapter_record(&setup.model).unwrap());
        let expected = test(&mut own, &start);
        assert!(expected["loss"] > 0.0);
        assert_eq!(test(&mut begins, &Arc::default()), expected, "all begin with the same model");
        assert_eq!(test(&mut shared, &start), expected);
        assert_eq!(test(&mut again, &start), expected);

        // Another record replaces it, whatever its address.
        let other = Arc::new(halved(&start));
        drop(start);
        let after = test(&mut shared, &other);
        assert_eq!(after, test(&mut client(cohort(), "d"), &other));
        assert_eq!(after, test(&mut own, &other));
        assert_ne!(after, expected);
    }
}

/// Optimizers with a state.
const REMEMBERING: [(OptimizerName, f64); 3] =
    [(OptimizerName::Adam, 0.0), (OptimizerName::AdamW, 0.0), (OptimizerName::Sgd, 0.9)];

fn training(optimizer: OptimizerName, momentum: f64) -> TrainingConfig {
    TrainingConfig { optimizer, momentum, learning_rate: 1e-3, ..Default::default() }
}

/// Clients of a simulation with their states on disk.
fn on_disk(cohort: Cohort, ids: &[&str]) -> Simulation {
    let cohort = Arc::new(cohort);
    let client = |id: &&str| -> Box<dyn Client> {
        Box::new(TuningClient::new(shard(id), Arc::clone(&cohort)))
    };
    let fleet = Simulation::new(ids.iter().map(client).collect(), 1).unwrap();
    fleet.with_states(ClientStates::temporary(None).unwrap(), AtRest::Disk)
}

/// The parameters of a client's answer, or the reason why there is none.
fn ask(
    fleet: &mut Simulation,
    id: &str,
    round: usize,
    kind: Kind,
    parameters: &ParameterRecord,
) -> Result<ParameterRecord, String> {
    let mut answer = None;
    let task = task(id, round, kind, Arc::new(parameters.clone()));
    fleet.exchange(vec![task], &Wait::default(), &mut |it| answer = Some(it.result)).unwrap();
    let parameters = |message: Message| message.get_parameters().unwrap().as_ref().clone();
    answer.expect("it was asked").map(parameters).map_err(|failure| failure.message)
}

fn trained(
    fleet: &mut Simulation,
    id: &str,
    round: usize,
    parameters: &ParameterRecord,
) -> Result<ParameterRecord, String> {
    ask(fleet, id, round, Kind::Train, parameters)
}

fn halved(record: &ParameterRecord) -> ParameterRecord {
    let mut halved = ParameterRecord::new();
    for (name, tensor) in record.iter() {
        let values = tensor.to_f32().iter().map(|value| value / 2.0).collect();
        halved.insert(name, HostTensor::from_f32(tensor.shape(), values).unwrap()).unwrap();
    }
    halved
}

/// With non-zero adapters.
fn setup(images: &Images) -> Setup {
    Setup::new(images, &LoraConfig::default(), LossKind::ClassCe, Implementation::Fast).trained()
}

fn shard(id: &str) -> ClientShard {
    ClientShard {
        id: id.into(),
        train: vec![1, 2, 4, 7],
        test: (0..12).collect(),
        ..ClientShard::default()
    }
}

fn client(cohort: Cohort, id: &str) -> TuningClient {
    TuningClient::new(shard(id), Arc::new(cohort))
}
