use std::sync::Arc;

use flora_core::ParameterRecord;
use flora_core::workers::Workers;
use flora_data::{ClientShard, Split};
use flora_federation::{Client, ClientError, ClientInfo, Kind, Message, Task};

use crate::prepare::client;
use crate::{Cohort, Experiment, TuningError};

/// A site at work for a plan. Whatever thread it is called on, it computes on one thread of its own: a sum that is
/// split over threads has other bits.
pub struct SiteClient {
    client: Box<dyn Client>,
    initial: Arc<ParameterRecord>,
    worker: Workers,
}

impl SiteClient {
    pub(super) fn new(
        experiment: &Experiment,
        shard: ClientShard,
        scored_on: Split,
        cohort: &Arc<Cohort>,
    ) -> Result<Self, TuningError> {
        let client = client(experiment, shard, scored_on, cohort);
        Ok(Self { client, initial: Arc::clone(cohort.initial()), worker: Workers::new(1)? })
    }

    /// The parameters that the method starts from, as every site and the server draw them. A server that was given an
    /// adapter to start from sends others.
    pub fn initial(&self) -> &ParameterRecord {
        &self.initial
    }
}

impl Client for SiteClient {
    fn info(&self) -> ClientInfo {
        self.client.info()
    }

    fn handle(&mut self, task: &Task) -> Result<Message, ClientError> {
        let work = |client: &mut Box<dyn Client>| client.handle(task);
        let mut answers = self.worker.map(vec![&mut self.client], work, |_, _| {});
        answers.pop().expect("one item, one result")
    }

    fn save(&self) -> Result<Option<Vec<u8>>, ClientError> {
        self.client.save()
    }

    fn restore(&mut self, state: Option<&[u8]>) -> Result<(), ClientError> {
        self.client.restore(state)
    }

    fn needs_state(&self, kind: &Kind) -> bool {
        self.client.needs_state(kind)
    }
}
