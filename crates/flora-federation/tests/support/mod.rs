//! A client with one tensor `w` of two values that moves towards its own target, and helpers shared by several test
//! files.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod mover;
pub(crate) mod process;
pub(crate) mod server;

use flora_core::HostTensor;
use flora_federation::{
    Client, ClientError, ClientInfo, Event, Kind, Message, Metrics, ParameterRecord, Task,
};

/// A client's fault, and the first round in which it occurs.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    FitFails(usize),
    FitPanics(usize),
    EvaluateFails(usize),
    SendsNan(usize),
    LossIsNan(usize),
    Idles,
    /// The client fails in the first attempts of every round, this many times, before it trains.
    FailsAttempts(usize),
}

pub(crate) struct Pull {
    pub(crate) id: String,
    pub(crate) target: [f32; 2],
    pub(crate) num_examples: usize,
    pub(crate) num_test_examples: usize,
    pub(crate) fault: Fault,
    /// Its own parameters, for rounds in which none are sent.
    own: [f32; 2],
}

impl Pull {
    pub(crate) fn new(id: &str, target: [f32; 2], num_examples: usize) -> Self {
        Self {
            id: id.to_owned(),
            target,
            num_examples,
            num_test_examples: 10,
            fault: Fault::None,
            own: [0.0; 2],
        }
    }

    pub(crate) fn with(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }

    pub(crate) fn boxed(self) -> Box<dyn Client> {
        Box::new(self)
    }

    /// 1 at the target, falling towards 0 with the distance.
    fn accuracy(&self, w: &[f32]) -> f64 {
        let [x, y] = [w[0] - self.target[0], w[1] - self.target[1]];
        1.0 / (1.0 + f64::from(x.hypot(y)))
    }

    fn fit(&mut self, task: &Task, mut values: [f32; 2]) -> Result<Message, ClientError> {
        // Guaranteed by a simulation: a client's own arithmetic runs in a pool of one thread.
        assert_eq!(rayon::current_num_threads(), 1);
        match self.fault {
            Fault::FitFails(round) if task.round >= round => {
                return Err(ClientError::new(&self.id, "the disk is full"));
            }
            Fault::FailsAttempts(attempts) if task.attempt < attempts => {
                return Err(ClientError::new(&self.id, "the disk is full"));
            }
            Fault::FitPanics(round) if task.round >= round => {
                panic!("index {} is out of bounds", self.num_examples)
            }
            Fault::SendsNan(round) if task.round >= round => values[0] = f32::NAN,
            Fault::Idles => {}
            _ => {
                for (value, target) in values.iter_mut().zip(self.target) {
                    *value += 0.3 * (target - *value);
                }
            }
        }
        let metrics = Metrics::from([
            ("loss".to_owned(), 0.25),
            ("accuracy".to_owned(), self.accuracy(&values).clamp(0.0, 1.0)),
        ]);
        let is_sent = !task.message.expect_parameters(&self.id)?.is_empty();
        let trained = if is_sent { record(values) } else { ParameterRecord::new() };
        self.own = values;
        Ok(Message::trained(trained, self.num_examples, metrics))
    }

    fn evaluate(&self, task: &Task, values: [f32; 2]) -> Result<Message, ClientError> {
        if matches!(self.fault, Fault::EvaluateFails(round) if task.round >= round) {
            return Err(ClientError::new(&self.id, "the disk is full"));
        }
        let diverged = matches!(self.fault, Fault::LossIsNan(round) if task.round >= round);
        let loss = if diverged { f64::NAN } else { 1.5 };
        let metrics = Metrics::from([
            ("accuracy".to_owned(), self.accuracy(&values)),
            ("loss".to_owned(), loss),
        ]);
        Ok(Message::tested(self.num_test_examples, metrics))
    }
}

pub(crate) fn record(w: [f32; 2]) -> ParameterRecord {
    let mut record = ParameterRecord::new();
    record.insert("w", HostTensor::from_f32([2], w.to_vec()).unwrap()).unwrap();
    record
}

pub(crate) fn w(record: &ParameterRecord) -> [f32; 2] {
    record.get("w").unwrap().to_f32()[..].try_into().unwrap()
}

impl Client for Pull {
    fn info(&self) -> ClientInfo {
        ClientInfo {
            id: self.id.clone(),
            num_examples: self.num_examples,
            num_test_examples: self.num_test_examples,
        }
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        let sent = task.message.expect_parameters(&self.id)?;
        let values = if sent.is_empty() { self.own } else { w(sent) };
        match &task.kind {
            Kind::Train => self.fit(task, values),
            Kind::Evaluate => self.evaluate(task, values),
            Kind::Query(_) => Err(task.unsupported()),
        }
    }
}

/// The kinds of these events, in snake case.
pub(crate) fn names(events: &[Event]) -> Vec<String> {
    let name = |event| serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned();
    events.iter().map(name).collect()
}
