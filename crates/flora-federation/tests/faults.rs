//! Injected faults, one at a time.

mod support;

use std::{sync::Arc, time::Duration};

use flora_federation::{Faults, Faulty, Fleet, Kind, Message, Reason, Simulation, Task, Wait};
use support::{Pull, record};

fn faulty(faults: Faults) -> Faulty<Simulation> {
    let clients = ["a", "b", "c"].map(|id| Pull::new(id, [1.0, 0.5], 10).boxed());
    Faulty::new(Simulation::new(clients.into(), 2).unwrap(), faults, 5).unwrap()
}

fn tasks(kind: &Kind) -> Vec<Task> {
    let message = Message::parameters(Arc::new(record([0.0, 0.0])));
    let task = |id: &str| Task {
        client: id.to_owned(),
        round: 2,
        attempt: 0,
        kind: kind.clone(),
        message: message.clone(),
    };
    ["a", "b", "c"].map(task).into()
}

/// A straggler has trained. If its task stayed open, a run that is stopped and resumed would train it twice, and one
/// that is stopped after every reply would ask it for ever.
#[test]
fn a_straggler_answers_that_it_is_late() {
    let mut fleet = faulty(Faults { straggle: 1.0, delay: 60.0, ..Faults::default() });
    let wait = |seconds: Option<u64>| {
        let deadline = seconds.map(Duration::from_secs);
        Wait { deadline, ..Wait::default() }
    };
    let mut exchange = |kind: Kind, wait: Wait| {
        let mut answers = Vec::new();
        fleet.exchange(tasks(&kind), &wait, &mut |answer| answers.push(answer)).unwrap();
        assert_eq!(answers.len(), 3);
        answers
    };
    for answer in exchange(Kind::Train, wait(Some(59))) {
        assert_eq!(answer.result.unwrap_err().reason, Reason::Late);
        assert_eq!(answer.bytes_up, 0);
        assert!(answer.seconds >= 60.0);
    }
    for answer in exchange(Kind::Train, wait(None)) {
        assert!(answer.result.is_ok() && answer.seconds >= 60.0);
    }
    for answer in exchange(Kind::Evaluate, wait(Some(59))) {
        assert!(answer.result.is_ok() && answer.seconds < 60.0);
    }
}
