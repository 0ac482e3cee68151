use std::sync::Arc;

use flora_core::{HostTensor, ParameterRecord};
use flora_federation::{
    Accepted, ClientInfo, FedAvg, Global, Message, Metrics, Strategy, StrategyError,
};
use flora_lora::{LoraConfig, attach};
use flora_tuning::{Trainable, TuningModel};

use super::{Work, random_values};
use crate::{BenchError, BenchModel};

/// The checks and the mean of the clients' adapters.
struct Aggregation {
    global: Global,
    answers: Arc<Vec<Accepted>>,
}

impl Work for Aggregation {
    fn run(&mut self) -> Result<(), BenchError> {
        for answer in self.answers.iter() {
            FedAvg
                .check(&answer.sent, &answer.message)
                .map_err(|error| BenchError::Strategy(StrategyError::Other(error.to_string())))?;
        }
        FedAvg.aggregate(&self.global, &self.answers)?;
        Ok(())
    }
}

/// FedAvg of FLoRA's adapters; also returns their number of parameters.
pub(super) fn fedavg(
    model: &BenchModel,
    clients: usize,
    batches: usize,
) -> Result<(Vec<Box<dyn Work>>, usize), BenchError> {
    let base = TuningModel::new(model.clip.clone(), false);
    let adapted =
        attach(base, &LoraConfig::default(), 0).map_err(flora_tuning::TuningError::from)?;
    let current = Arc::new(Trainable::Adapters.record(&adapted)?);
    let parameters = current.num_parameters();
    let answer = |client| -> Result<Accepted, BenchError> {
        let mut trained = ParameterRecord::new();
        for (name, tensor) in current.iter() {
            let values = random_values(&format!("bench client {client} {name}"), tensor.len());
            trained.insert(name, HostTensor::from_f32(tensor.shape(), values)?)?;
        }
        let num_examples = 100 + client;
        let metrics = Metrics::from([("loss".to_owned(), 1.0)]);
        let message = Message::trained(trained, num_examples, metrics);
        Ok(Accepted {
            client: ClientInfo {
                id: format!("client-{client}"),
                num_examples,
                num_test_examples: 0,
            },
            sent: Message::parameters(Arc::clone(&current)),
            num_examples,
            parameters: Arc::clone(message.get_parameters().expect("it was trained")),
            message,
        })
    };
    let answers = Arc::new((0..clients).map(answer).collect::<Result<Vec<_>, _>>()?);
    let work = |_| -> Box<dyn Work> {
        let global = Global { round: 0, parameters: Arc::clone(&current) };
        Box::new(Aggregation { global, answers: Arc::clone(&answers) })
    };
    Ok(((0..batches).map(work).collect(), parameters))
}
