//! Methods, strategies and selections of other crates.

use std::sync::Arc;

use burn::tensor::Device;
use flora_core::{HostTensor, ParameterRecord};
use flora_federation::{
    Accepted, Aggregate, ClientInfo, Draw, Event, FedAvg, FederationError, Global, Metrics,
    Selection, Strategy, StrategyError,
};
use flora_tuning::methods::{Method, Start};
use flora_tuning::{
    Experiment, LossKind, Prepared, Trainable, TuningError, TuningModel, prepare, prepare_method,
};

use crate::common::{Images, Listener, bits, outcome};

/// Trains the projection of the text tower.
#[derive(Debug)]
struct Projection;

impl Method for Projection {
    fn name(&self) -> &str {
        "projection"
    }

    fn usual_loss(&self) -> LossKind {
        LossKind::ClassCe
    }

    fn trainable(&self) -> Trainable {
        Trainable::Parts(&["text_projection."])
    }

    fn trains_text(&self) -> bool {
        true
    }

    fn attach(&self, base: TuningModel, start: &Start<'_>) -> Result<TuningModel, TuningError> {
        Ok(self.trainable().release(base, start.device))
    }
}

fn projection(experiment: Experiment) -> Prepared {
    let method = Arc::new(Projection);
    prepare_method(experiment, method, &Device::flex(), &mut Listener::default()).unwrap()
}

fn trained(prepared: Prepared) -> (ParameterRecord, Listener) {
    let mut listener = Listener::default();
    let finished = prepared.run(&mut listener);
    assert!(finished.failure.is_none(), "{}", finished.failure.unwrap());
    (finished.outcome.unwrap().last, listener)
}

#[test]
fn a_method_of_ones_own_trains_what_it_says() {
    let images = Images::new(3, 2);
    let experiment = |more: &str| images.experiment(&["training.rounds=4", more]);
    let prepared = projection(experiment("federation.threads=1"));
    assert_eq!(prepared.trainable_parameters, 24 * 20);
    let (last, listener) = trained(prepared);
    assert_eq!(last.names().collect::<Vec<_>>(), ["text_projection.weight"]);
    assert_eq!(last.num_parameters(), 24 * 20);
    let losses = listener.losses();
    assert!(losses[3] < losses[0] - 0.01, "{losses:?}");
    let Event::RunStarted { method, .. } = &listener.events[0] else { panic!("it starts") };
    assert_eq!(method, "projection");
    let (again, _) = trained(projection(experiment("federation.threads=3")));
    assert_eq!(bits(&again), bits(&last));

    let (start, listener) = trained(projection(images.experiment(&["training.rounds=0"])));
    assert_ne!(bits(&start), bits(&last));
    let zero_shot = outcome(images.experiment(&["method.name=zero-shot"])).initial;
    let Some(Event::RunFinished { last_round: Some(score), .. }) = listener.events.last() else {
        panic!("it ends")
    };
    assert_eq!(score.accuracy, zero_shot.accuracy);
    assert!((score.loss.unwrap() - zero_shot.loss.unwrap()).abs() < 1e-5);
}

/// The experiment's loss if it sets one, otherwise the method's usual one, however the experiment was created.
#[test]
fn the_loss_of_a_method_of_ones_own() {
    let images = Images::new(3, 2);
    let loss = |set: &[&str]| {
        let (_, listener) = trained(projection(images.experiment(set)));
        listener.losses()[0]
    };
    let [usual, said, other] = [
        loss(&["training.rounds=1"]),
        loss(&["training.rounds=1", "method.loss=class-ce"]),
        loss(&["training.rounds=1", "method.loss=infonce"]),
    ];
    assert_eq!(usual, said);
    assert_ne!(usual, other);
}

/// Half a step towards the mean.
struct Halfway {
    rounds: usize,
}

impl Strategy for Halfway {
    fn name(&self) -> &str {
        "halfway"
    }

    fn aggregate(
        &mut self,
        global: &Global,
        accepted: &[Accepted],
    ) -> Result<Aggregate, StrategyError> {
        let mean = FedAvg.aggregate(global, accepted)?.parameters;
        self.rounds += 1;
        let metrics = Metrics::from([("rounds".to_owned(), self.rounds as f64)]);
        let parameters = halfway(&global.parameters, &mean)?;
        Ok(Aggregate { metrics, ..Aggregate::new(parameters) })
    }
}

fn halfway(from: &ParameterRecord, to: &ParameterRecord) -> Result<ParameterRecord, StrategyError> {
    let mut record = ParameterRecord::new();
    for (name, tensor) in from.iter() {
        let (from, to) = (tensor.to_f32(), to.get(name).expect("they match").to_f32());
        let values = from.iter().zip(to.iter()).map(|(a, b)| (a + b) / 2.0).collect();
        record.insert(name, HostTensor::from_f32(tensor.shape(), values)?)?;
    }
    Ok(record)
}

fn flora(experiment: Experiment) -> Prepared {
    prepare(experiment, &Device::flex(), &mut Listener::default()).unwrap()
}

#[test]
fn a_strategy_of_ones_own_makes_the_next_model() {
    let images = Images::new(2, 1);
    let after = |rounds: usize| {
        let experiment = images.experiment(&[&format!("training.rounds={rounds}")]);
        trained(flora(experiment.clone()).with_strategy(Box::new(Halfway { rounds: 0 })))
    };
    let start = outcome(images.experiment(&["training.rounds=0"])).last;
    let mean = outcome(images.experiment(&["training.rounds=1"])).last;
    let (last, _) = after(1);
    assert_eq!(bits(&last), bits(&halfway(&start, &mean).unwrap()));

    let (_, listener) = after(2);
    let told = listener.events.iter().filter_map(|event| match event {
        Event::Aggregated { strategy, metrics, .. } => Some((&strategy[..], metrics["rounds"])),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [("halfway", 1.0), ("halfway", 2.0)]);
}

/// Selects one client after the other.
struct InTurn {
    least: usize,
}

impl Selection for InTurn {
    fn check(&self, trainers: &[ClientInfo]) -> Result<(), FederationError> {
        match trainers.len() < self.least {
            true => Err(FederationError::NoTrainingExamples),
            false => Ok(()),
        }
    }

    fn select(&self, draw: Draw, trainers: &[ClientInfo]) -> Vec<String> {
        vec![trainers[draw.round % trainers.len()].id.clone()]
    }
}

#[test]
fn a_selection_of_ones_own_says_who_trains() {
    let images = Images::new(2, 1);
    let experiment = images.experiment(&["training.rounds=4"]);
    let in_turn = |least| flora(experiment.clone()).with_selection(Box::new(InTurn { least }));
    let (_, listener) = trained(in_turn(3));
    let selected = listener.events.iter().filter_map(|event| match event {
        Event::RoundStarted { selected, .. } => Some(&selected[..]),
        _ => None,
    });
    assert_eq!(selected.collect::<Vec<_>>(), [["alpha"], ["beta"], ["gamma"], ["alpha"]]);

    let refused = in_turn(4).run(&mut Listener::default());
    assert!(refused.outcome.is_none());
    assert!(matches!(refused.failure, Some(FederationError::NoTrainingExamples)));
}
