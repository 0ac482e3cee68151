//! A client with one tensor `w` of two values that moves towards its own target.
#![allow(dead_code, reason = "each test file uses a part")]

use flora_core::HostTensor;
use flora_federation::{
    Client, ClientError, ClientInfo, EvaluateInstruction, EvaluateReply, FitInstruction, FitReply,
    Metrics, ParameterRecord,
};

/// What a client does wrong, and from which round on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    FitFails(usize),
    FitPanics(usize),
    EvaluateFails(usize),
    SendsNan(usize),
    Idles,
}

pub(crate) struct Pull {
    pub(crate) id: String,
    pub(crate) target: [f32; 2],
    pub(crate) num_examples: usize,
    pub(crate) num_test_examples: usize,
    pub(crate) fault: Fault,
}

impl Pull {
    pub(crate) fn new(id: &str, target: [f32; 2], num_examples: usize) -> Self {
        Self { id: id.to_owned(), target, num_examples, num_test_examples: 10, fault: Fault::None }
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

    fn fit(&mut self, instruction: &FitInstruction) -> Result<FitReply, ClientError> {
        // The promise of a simulation: a client's own arithmetic finds a pool of one thread.
        assert_eq!(rayon::current_num_threads(), 1);
        let mut values = w(&instruction.parameters);
        match self.fault {
            Fault::FitFails(round) if instruction.round >= round => {
                return Err(ClientError::new(&self.id, "the disk is full"));
            }
            Fault::FitPanics(round) if instruction.round >= round => {
                panic!("index {} is out of bounds", self.num_examples)
            }
            Fault::SendsNan(round) if instruction.round >= round => values[0] = f32::NAN,
            Fault::Idles => {}
            _ => {
                for (value, target) in values.iter_mut().zip(self.target) {
                    *value += 0.3 * (target - *value);
                }
            }
        }
        Ok(FitReply {
            client: self.id.clone(),
            parameters: record(values),
            num_examples: self.num_examples,
            metrics: Metrics::from([
                ("loss".to_owned(), 0.25),
                ("accuracy".to_owned(), self.accuracy(&values).clamp(0.0, 1.0)),
            ]),
            seconds: 0.5,
        })
    }

    fn evaluate(
        &mut self,
        instruction: &EvaluateInstruction,
    ) -> Result<EvaluateReply, ClientError> {
        if matches!(self.fault, Fault::EvaluateFails(round) if instruction.round >= round) {
            return Err(ClientError::new(&self.id, "the disk is full"));
        }
        Ok(EvaluateReply {
            client: self.id.clone(),
            num_examples: self.num_test_examples,
            metrics: Metrics::from([
                ("accuracy".to_owned(), self.accuracy(&w(&instruction.parameters))),
                ("loss".to_owned(), 1.5),
            ]),
            seconds: 0.1,
        })
    }
}
