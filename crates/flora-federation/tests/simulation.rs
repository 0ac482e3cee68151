//! The in-process fleet: parallel, deterministic, and robust against failing clients.

mod support;

use std::{
    sync::{Arc, Barrier, Mutex},
    thread::{self, ThreadId},
};

use flora_federation::{
    Answer, Client, ClientError, ClientInfo, Fleet, Kind, Message, Metrics, Reason, Simulation,
    Stop, Task, Wait,
};
use support::{Fault, Pull, record};

fn task(client: &str, round: usize, kind: Kind) -> Task {
    let message = Message::parameters(Arc::new(record([0.0, 0.0])));
    Task { client: client.to_owned(), round, attempt: 0, kind, message }
}

fn train(clients: &[&str], round: usize) -> Vec<Task> {
    clients.iter().map(|client| task(client, round, Kind::Train)).collect()
}

/// The replies, sorted by client.
fn exchange(fleet: &mut Simulation, tasks: Vec<Task>) -> Vec<Answer> {
    let caller = thread::current().id();
    let mut answers = Vec::new();
    fleet
        .exchange(tasks, &Wait::default(), &mut |answer| {
            assert_eq!(thread::current().id(), caller);
            answers.push(answer);
        })
        .unwrap();
    answers.sort_by(|left, right| left.client.cmp(&right.client));
    answers
}

fn failure(answer: &Answer) -> (Reason, &str) {
    let failure = answer.result.as_ref().unwrap_err();
    (failure.reason, &failure.message)
}

#[test]
fn every_task_is_answered_once_on_the_callers_thread() {
    let clients = ["a", "b", "c", "d"].map(|id| Pull::new(id, [1.0, 2.0], id.len()).boxed());
    let mut fleet = Simulation::new(clients.into(), 3).unwrap();
    let all: Vec<_> = fleet.clients(0).unwrap().into_iter().map(|info| info.id).collect();
    assert_eq!(all, ["a", "b", "c", "d"]);

    let answers = exchange(&mut fleet, train(&["c", "nobody", "a", "c"], 3));
    let told: Vec<_> = answers.iter().map(|answer| answer.client.as_str()).collect();
    assert_eq!(told, ["a", "c", "c", "nobody"]);
    assert!(answers.iter().all(|answer| answer.round == 3));
    assert!(answers[0].result.is_ok());
    assert_eq!(answers[0].bytes_up, 8);
    let (twice, once): (Vec<_>, Vec<_>) =
        answers[1..3].iter().partition(|answer| answer.result.is_err());
    assert_eq!(once.len(), 1);
    assert!(failure(twice[0]).1.contains("asked twice"));
    assert!(failure(&answers[3]).1.contains("no such client"));
}

#[test]
fn a_panic_is_an_error_of_that_client_alone_and_it_is_not_called_again() {
    let clients = vec![
        Pull::new("a", [1.0, 2.0], 5).boxed(),
        Pull::new("b", [1.0, 2.0], 7).with(Fault::FitPanics(0)).boxed(),
    ];
    let mut fleet = Simulation::new(clients, 1).unwrap();
    let answers = exchange(&mut fleet, train(&["a", "b"], 0));
    assert!(answers[0].result.is_ok());
    let panicked = (Reason::Failed, "it panicked: index 7 is out of bounds");
    assert_eq!(failure(&answers[1]), panicked);
    let tasks = ["a", "b"].map(|id| task(id, 1, Kind::Evaluate));
    let answers = exchange(&mut fleet, tasks.into());
    assert!(answers[0].result.is_ok());
    assert!(failure(&answers[1]).1.contains("earlier call"));
}

#[test]
fn a_task_that_a_client_does_not_know_is_an_error() {
    let mut fleet = Simulation::new(vec![Pull::new("a", [1.0; 2], 5).boxed()], 1).unwrap();
    let answers = exchange(&mut fleet, vec![task("a", 0, Kind::Query("weather".to_owned()))]);
    assert!(failure(&answers[0]).1.contains("weather"));
}

/// Raises a stop while it works.
struct Stopper(String, Stop);

impl Client for Stopper {
    fn info(&self) -> ClientInfo {
        ClientInfo { id: self.0.clone(), num_examples: 1, num_test_examples: 0 }
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        self.1.raise();
        let parameters = task.message.expect_parameters(&self.0)?;
        Ok(Message::trained(parameters.as_ref().clone(), 1, Metrics::new()))
    }
}

#[test]
fn nothing_is_begun_once_a_stop_is_raised() {
    let all: Vec<String> = (0..50).map(|k| format!("c{k:02}")).collect();
    let tasks = || all.iter().map(|id| task(id, 0, Kind::Train)).collect::<Vec<_>>();
    for (threads, most) in [(1, 1), (4, 4)] {
        let stop = Stop::default();
        let client =
            |id: &String| -> Box<dyn Client> { Box::new(Stopper(id.clone(), stop.clone())) };
        let mut fleet = Simulation::new(all.iter().map(client).collect(), threads).unwrap();
        let wait = Wait { deadline: None, stop: stop.clone() };
        let mut answers = 0;
        fleet.exchange(tasks(), &wait, &mut |_| answers += 1).unwrap();
        assert!((1..=most).contains(&answers), "{answers} of {threads} threads");
        // Already raised: no client is asked.
        fleet.exchange(tasks(), &wait, &mut |answer| panic!("{answer:?}")).unwrap();
        // Withdrawn clients are available again.
        let answers = exchange(&mut fleet, tasks());
        assert!(answers.len() == 50 && answers.iter().all(|answer| answer.result.is_ok()));
    }
}

#[test]
fn senseless_fleets_are_refused() {
    let client = |id| Pull::new(id, [0.0; 2], 1).boxed();
    for (clients, threads, message) in [
        (vec![], 1, "at least one client"),
        (vec![client("a"), client("b"), client("a")], 1, "named `a`"),
        (vec![client("a")], 0, "threads = 0"),
    ] {
        let error = Simulation::new(clients, threads).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

/// Waits for all the others, and notes the thread that it runs on.
struct Meet {
    id: String,
    barrier: Arc<Barrier>,
    threads: Arc<Mutex<Vec<ThreadId>>>,
}

impl Client for Meet {
    fn info(&self) -> ClientInfo {
        ClientInfo { id: self.id.clone(), num_examples: 1, num_test_examples: 0 }
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        self.barrier.wait();
        self.threads.lock().unwrap().push(thread::current().id());
        let parameters = task.message.expect_parameters(&self.id)?;
        Ok(Message::trained(parameters.as_ref().clone(), 1, Metrics::new()))
    }
}

#[test]
fn clients_run_at_the_same_time_on_threads_that_are_kept() {
    let barrier = Arc::new(Barrier::new(3));
    let threads = Arc::new(Mutex::new(Vec::new()));
    let client = |id: &str| -> Box<dyn Client> {
        Box::new(Meet {
            id: id.to_owned(),
            barrier: Arc::clone(&barrier),
            threads: Arc::clone(&threads),
        })
    };
    let clients = vec![client("a"), client("b"), client("c")];
    // More threads than clients: no more than needed are started. With fewer than three workers, the barrier would
    // block for ever.
    let mut fleet = Simulation::new(clients, 64).unwrap();
    assert!(format!("{fleet:?}").contains("threads: 3"));
    for round in 0..2 {
        let answers = exchange(&mut fleet, train(&["a", "b", "c"], round));
        assert!(answers.iter().all(|answer| answer.result.is_ok()));
    }
    let mut threads = threads.lock().unwrap().clone();
    assert_eq!(threads.len(), 6);
    threads.sort_by_key(|id| format!("{id:?}"));
    threads.dedup();
    assert_eq!(threads.len(), 3);
}
