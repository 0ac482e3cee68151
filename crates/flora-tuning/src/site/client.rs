use std::sync::Arc;

use flora_core::ParameterRecord;
use flora_core::workers::Workers;
use flora_data::{ClientShard, Split};
use flora_federation::{
    Client, ClientError, ClientInfo, Download, Kind, Message, Task, Transform, read_answer,
};

use crate::prepare::{Masking, site_client};
use crate::travel::Noise;
use crate::{Cohort, Experiment, TuningError};

/// A site's client for a plan. Whatever thread calls it, it computes on one thread of its own, because splitting a sum
/// over threads would change its bits.
pub struct SiteClient {
    client: Box<dyn Client>,
    initial: Arc<ParameterRecord>,
    worker: Workers,
    /// The encodings of replies and tasks on the server's side.
    layers: Vec<Box<dyn Transform>>,
    download: Option<Arc<dyn Download>>,
}

impl SiteClient {
    pub(super) fn new(
        experiment: &Experiment,
        shard: ClientShard,
        scored_on: Split,
        cohort: &Arc<Cohort>,
        noise: &Noise,
        masking: Masking,
    ) -> Result<Self, TuningError> {
        let client = site_client(experiment, shard, scored_on, cohort, noise, masking)?;
        let (initial, worker) = (Arc::clone(cohort.initial()), Workers::new(1)?);
        let (layers, download) = (experiment.fleet_layers(), experiment.download(&initial));
        Ok(Self { client, initial, worker, layers, download })
    }

    /// The initial parameters of the method, as every site and the server draw them. A server that starts from an
    /// adapter sends others.
    pub fn initial(&self) -> &ParameterRecord {
        &self.initial
    }

    /// The sent message and the reply as the server will decode them.
    ///
    /// # Errors
    /// A message that the server could not decode.
    pub(crate) fn as_read(
        &self,
        task: &Task,
        answer: Message,
    ) -> Result<(Message, Message), String> {
        read_answer(&self.layers, self.download.as_deref(), task, answer)
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
