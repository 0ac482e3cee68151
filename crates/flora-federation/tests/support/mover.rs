//! A stateful client: momentum, a growing diary, and parameters that are not shared.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use flora_core::HostTensor;
use flora_federation::{
    Client, ClientError, ClientInfo, Kind, Message, Metrics, ParameterRecord, Share, Stop, Task,
    Value,
};
use serde::{Deserialize, Serialize};

/// Not in alphabetical order: a resumed run must keep the order, too.
pub(crate) const TENSORS: [&str; 4] = ["z.body", "m.body", "a.head", "k.head"];

pub(crate) fn initial() -> ParameterRecord {
    let mut record = ParameterRecord::new();
    for (index, name) in TENSORS.into_iter().enumerate() {
        let values = vec![0.125 * index as f32, -0.5];
        record.insert(name, HostTensor::from_f32([2], values).unwrap()).unwrap();
    }
    record
}

/// State that all clients of a process share with the test.
#[derive(Default)]
pub(crate) struct Hooks {
    /// The calls: client, kind, round and attempt.
    pub(crate) calls: Mutex<Vec<Call>>,
    /// Number of calls until `stop` is raised; 0 or less: never.
    pub(crate) calls_to_stop: AtomicI64,
    pub(crate) stop: Stop,
}

pub(crate) type Call = (String, bool, usize, usize);

impl Hooks {
    pub(crate) fn stopping_after(calls: usize) -> Arc<Self> {
        let calls_to_stop = AtomicI64::new(calls as i64);
        Arc::new(Self { calls_to_stop, ..Self::default() })
    }

    fn called(&self, task: &Task) {
        let Task { client, round, attempt, kind, .. } = task;
        self.calls.lock().unwrap().push((client.clone(), *kind == Kind::Train, *round, *attempt));
        if self.calls_to_stop.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.stop.raise();
        }
    }
}

pub(crate) struct Mover {
    number: usize,
    share: Share,
    hooks: Arc<Hooks>,
    memory: Memory,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    velocity: BTreeMap<String, [f32; 2]>,
    own: BTreeMap<String, [f32; 2]>,
    /// Grows, so that the state outgrows its slot in the file.
    diary: String,
}

/// The same clients for every fleet with the same arguments.
pub(crate) fn movers(count: usize, share: &Share, hooks: &Arc<Hooks>) -> Vec<Box<dyn Client>> {
    let mover = |number| -> Box<dyn Client> {
        let (share, hooks) = (share.clone(), Arc::clone(hooks));
        Box::new(Mover { number, share, hooks, memory: Memory::default() })
    };
    (0..count).map(mover).collect()
}

impl Mover {
    fn id(&self) -> String {
        format!("c{}", self.number)
    }

    /// The sent parameters in their order, then the others.
    fn parameters(&self, task: &Task) -> Result<Vec<(String, [f32; 2])>, ClientError> {
        let sent = task.message.expect_parameters(&self.id())?;
        let values = |tensor: &HostTensor| tensor.to_f32()[..].try_into().unwrap();
        let mut parameters: Vec<_> =
            sent.iter().map(|(name, tensor)| (name.to_owned(), values(tensor))).collect();
        let initial = initial();
        for name in TENSORS.into_iter().filter(|name| !self.share.covers(name)) {
            assert!(sent.get(name).is_none(), "{name} does not travel");
            let own = self.memory.own.get(name).copied();
            let own = own.unwrap_or_else(|| values(initial.get(name).unwrap()));
            parameters.push((name.to_owned(), own));
        }
        assert_eq!(parameters.len(), TENSORS.len());
        Ok(parameters)
    }

    fn target(&self, index: usize) -> f32 {
        ((self.number + 1) as f32 * 1.7 + index as f32).sin()
    }

    fn accuracy(&self, parameters: &[(String, [f32; 2])]) -> f64 {
        let distance = |(index, (_, values)): (usize, &(String, [f32; 2]))| {
            values.iter().map(|value| f64::from((value - self.target(index)).abs())).sum::<f64>()
        };
        1.0 / (1.0 + parameters.iter().enumerate().map(distance).sum::<f64>())
    }

    fn train(&mut self, task: &Task) -> Result<Message, ClientError> {
        let mut parameters = self.parameters(task)?;
        self.memory.diary.push_str(&format!("{} {}; ", task.round, "x".repeat(90)));
        if self.number == 5 && task.round % 3 == 1 {
            // The state has changed already.
            return Err(ClientError::new(self.id(), "the data cannot be read"));
        }
        if self.number == 6 && task.round >= 3 {
            panic!("client 6 has a bug");
        }
        let rate = match task.message.config.get("rate") {
            Some(Value::Float(rate)) => *rate as f32,
            _ => 0.25,
        };
        // Depends on the order of the tensors and on every bit.
        let mut carry = 0.1_f32;
        for (index, (name, values)) in parameters.iter_mut().enumerate() {
            let target = self.target(index);
            let velocity = self.memory.velocity.entry(name.clone()).or_default();
            for (value, velocity) in values.iter_mut().zip(velocity) {
                *velocity = 0.7 * *velocity + rate * (target - *value) + 0.01 * carry;
                *value += *velocity;
                carry = 0.3 * carry + *value;
            }
        }
        let metrics = Metrics::from([
            ("loss".to_owned(), 1.0 / self.accuracy(&parameters)),
            ("accuracy".to_owned(), self.accuracy(&parameters)),
            ("update_norm".to_owned(), f64::from(carry.abs())),
        ]);
        let mut trained = ParameterRecord::new();
        for (name, values) in parameters {
            if self.share.covers(&name) {
                trained.insert(name, HostTensor::from_f32([2], values.to_vec()).unwrap()).unwrap();
            } else {
                self.memory.own.insert(name, values);
            }
        }
        Ok(Message::trained(trained, 5 + self.number, metrics))
    }

    fn evaluate(&self, task: &Task) -> Result<Message, ClientError> {
        let accuracy = self.accuracy(&self.parameters(task)?);
        let loss = -accuracy.ln();
        let metrics = [("accuracy".to_owned(), accuracy), ("loss".to_owned(), loss)];
        Ok(Message::tested(7 + self.number, Metrics::from(metrics)))
    }
}

impl Client for Mover {
    fn info(&self) -> ClientInfo {
        ClientInfo {
            id: self.id(),
            num_examples: 5 + self.number,
            num_test_examples: 7 + self.number,
        }
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        self.hooks.called(task);
        match &task.kind {
            Kind::Train => self.train(task),
            Kind::Evaluate => self.evaluate(task),
            Kind::Query(_) => Err(task.unsupported()),
        }
    }

    fn save(&self) -> Result<Option<Vec<u8>>, ClientError> {
        let is_new = self.memory.diary.is_empty();
        Ok((!is_new).then(|| serde_json::to_vec(&self.memory).unwrap()))
    }

    fn restore(&mut self, state: Option<&[u8]>) -> Result<(), ClientError> {
        self.memory = match state {
            None => Memory::default(),
            Some(bytes) => serde_json::from_slice(bytes)
                .map_err(|error| ClientError::new(self.id(), error.to_string()))?,
        };
        Ok(())
    }

    fn needs_state(&self, kind: &Kind) -> bool {
        *kind != Kind::Evaluate || !self.share.is_all()
    }
}
