use std::sync::Arc;

use flora_core::{HostTensor, ParameterRecord};
use flora_federation::{FedAvg, FitReply, Metrics, Strategy};
use flora_lora::{LoraConfig, attach};
use flora_tuning::{Trainable, TuningModel};

use super::{Work, random_values};
use crate::{BenchError, BenchModel};

/// The mean of the clients' adapters.
struct Aggregation {
    current: Arc<ParameterRecord>,
    replies: Arc<Vec<FitReply>>,
}

impl Work for Aggregation {
    fn run(&mut self) -> Result<(), BenchError> {
        FedAvg.aggregate(0, &self.current, &self.replies)?;
        Ok(())
    }
}

/// FedAvg of FLoRA's adapters, and how many numbers they are.
pub(super) fn fedavg(
    model: &BenchModel,
    clients: usize,
    batches: usize,
) -> Result<(Vec<Box<dyn Work>>, usize), BenchError> {
    let base = TuningModel::new(model.clip.clone(), false);
    let adapted =
        attach(base, &LoraConfig::default(), 0).map_err(flora_tuning::TuningError::from)?;
    let current = Trainable::Adapters.record(&adapted)?;
    let parameters = current.num_parameters();
    let reply = |client| -> Result<FitReply, BenchError> {
        let mut reply = ParameterRecord::new();
        for (name, tensor) in current.iter() {
            let values = random_values(&format!("bench client {client} {name}"), tensor.len());
            reply.insert(name, HostTensor::from_f32(tensor.shape(), values)?)?;
        }
        Ok(FitReply {
            client: format!("client-{client}"),
            parameters: reply,
            num_examples: 100 + client,
            metrics: Metrics::from([("loss".to_owned(), 1.0)]),
            seconds: 1.0,
        })
    };
    let replies = Arc::new((0..clients).map(reply).collect::<Result<Vec<_>, _>>()?);
    let current = Arc::new(current);
    let work = |_| -> Box<dyn Work> {
        Box::new(Aggregation { current: current.clone(), replies: replies.clone() })
    };
    Ok(((0..batches).map(work).collect(), parameters))
}
