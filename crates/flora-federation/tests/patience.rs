//! Early stopping when nothing improves.

use std::num::NonZeroUsize;

use flora_core::HostTensor;
use flora_federation::{
    Client, ClientError, ClientInfo, Event, FedAvg, Kind, Listener, Message, Metrics, Outcome,
    ParameterRecord, Rounds, RoundsConfig, RunState, Simulation, Task,
};

/// A client with a given accuracy in each round.
#[derive(Clone)]
struct Scripted(Vec<f64>);

fn record(value: f32) -> ParameterRecord {
    let mut record = ParameterRecord::new();
    record.insert("w", HostTensor::from_f32([1], vec![value]).unwrap()).unwrap();
    record
}

impl Client for Scripted {
    fn info(&self) -> ClientInfo {
        ClientInfo { id: "a".to_owned(), num_examples: 4, num_test_examples: 4 }
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        match task.kind {
            Kind::Train => Ok(Message::trained(record(task.round as f32 + 1.0), 4, Metrics::new())),
            _ => {
                let accuracy = ("accuracy".to_owned(), self.0[task.round]);
                Ok(Message::tested(4, Metrics::from([accuracy])))
            }
        }
    }
}

/// The events and states of a run.
#[derive(Default)]
struct Heard {
    events: Vec<Event>,
    states: Vec<RunState>,
}

impl Heard {
    fn trained(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Aggregated { .. })).count()
    }

    fn stops(&self) -> Vec<(usize, usize)> {
        let stop = |event: &Event| match event {
            Event::StoppedEarly { round, best_round } => Some((*round, *best_round)),
            _ => None,
        };
        self.events.iter().filter_map(stop).collect()
    }
}

impl Listener for Heard {
    fn event(&mut self, event: &Event) {
        self.events.push(event.clone());
    }

    fn keep(&mut self, state: &RunState) -> Result<(), String> {
        self.states.push(state.clone());
        Ok(())
    }
}

/// Tenths of correct predictions in each evaluation; there is one round fewer.
const SCORES: [u8; 11] = [5, 6, 6, 4, 7, 7, 1, 7, 3, 9, 9];

fn config(patience: Option<usize>) -> RoundsConfig {
    let patience = patience.and_then(NonZeroUsize::new);
    RoundsConfig { rounds: SCORES.len() - 1, patience, save_every: 100, ..RoundsConfig::default() }
}

fn fleet() -> Simulation {
    let scores = SCORES.map(|score| f64::from(score) / 10.0);
    Simulation::new(vec![Box::new(Scripted(scores.into()))], 1).unwrap()
}

fn run(patience: Option<usize>) -> (Outcome, Heard) {
    let (config, mut heard) = (config(patience), Heard::default());
    let outcome = Rounds::new(&config).run(&mut fleet(), &mut FedAvg, record(0.0), &mut heard);
    (outcome.unwrap(), heard)
}

#[test]
fn a_run_ends_after_so_many_rounds_that_were_no_better() {
    // An equal round is no better. A better one resets the patience.
    for (patience, last, best) in [(1, 2, 1), (2, 3, 1), (3, 7, 4), (4, 8, 4)] {
        let (outcome, heard) = run(Some(patience));
        assert!(outcome.stopped_early);
        assert_eq!((outcome.last_round.round, outcome.best_round.round), (last, best));
        assert_eq!(outcome.history.len(), last + 1);
        assert_eq!((heard.trained(), heard.stops()), (last, vec![(last, best)]));
        assert_eq!(outcome.last, record(last as f32));
        assert_eq!(outcome.best, record(best as f32));
    }
}

#[test]
fn a_run_that_comes_to_its_last_round_is_not_stopped() {
    for patience in [None, Some(5), Some(100)] {
        let (outcome, heard) = run(patience);
        assert!(!outcome.stopped_early && heard.stops().is_empty());
        assert_eq!((outcome.last_round.round, outcome.best_round.round), (10, 9));
        assert_eq!(heard.trained(), 10);
    }
}

/// Whatever [`RoundsConfig::save_every`] is: the final state is saved, and a resumed run does not continue from it.
#[test]
fn the_end_is_kept_and_is_the_end() {
    let (outcome, heard) = run(Some(2));
    let last = heard.states.last().unwrap();
    assert!(last.is_finished());
    assert_eq!((heard.states.len(), last.rounds_done()), (3, 3));
    let (config, mut again) = (config(Some(2)), Heard::default());
    let resumed =
        Rounds::new(&config).resume(&mut fleet(), &mut FedAvg, last.clone(), &mut again).unwrap();
    assert!(resumed.stopped_early);
    assert_eq!((resumed.history, resumed.best), (outcome.history, outcome.best));
    assert_eq!((again.trained(), again.stops()), (0, vec![]));
}
