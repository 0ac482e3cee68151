use flora_federation::Message;

use super::agree::{Secret, public_to_pem};
use super::read::{Fields, short};
use super::settings::Settings;
use super::share::nodes;
use super::stage::{Keys, Shares, Stage, Training};
use super::{CONFIGS, Random, SecAggError, legacy};
use crate::objects::{Record, RecordDict};
use crate::wire::records::{BytesList, ConfigRecord, ConfigValue, SintList, UintList};

/// A node's role in the rounds of one run, without any input or output.
///
/// [`receive`](Self::receive) handles a message. At the stage `collect_masked_vectors` the caller trains, and passes
/// the result to [`trained`](Self::trained).
///
/// It holds the node's secrets. To survive a restart, write [`to_bytes`](Self::to_bytes) after each step **before the
/// reply is sent**, as [`StateFolder`](super::StateFolder) does; a node that is restarted without it takes part again
/// in the next round. Never reuse an older state: it would mask other parameters with the same masks.
pub struct SecAggNode {
    pub(super) id: u64,
    pub(super) stage: Stage,
}

/// The result of handling a message.
#[derive(Debug)]
pub enum Step {
    /// Send these records.
    Reply(RecordDict),
    /// Train with these parameters, called `0`, `1` and so on, and settings; then call [`SecAggNode::trained`].
    Train(Message),
}

impl SecAggNode {
    /// A node outside any round. `id` is its id on the SuperLink, the destination of its messages.
    pub fn new(id: u64) -> Self {
        Self { id, stage: Stage::Idle }
    }

    /// The node's id on the SuperLink.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether no round is in progress, so that there is no state to store.
    pub fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    /// Does the step that a message requests.
    ///
    /// # Errors
    ///
    /// [`SecAggError`] for a message that is malformed, out of order, or would reveal parameters. The node keeps its
    /// stage. A message `setup` begins a new round at any time.
    pub fn receive(
        &mut self,
        records: &RecordDict,
        random: &mut Random<'_>,
    ) -> Result<Step, SecAggError> {
        let fields = Fields::of(records, CONFIGS)?;
        let stage = fields.text("stage")?;
        let reply = match (stage, &mut self.stage) {
            ("setup", _) => self.set_up(&fields, random)?,
            ("share_keys", Stage::SetUp(_)) => self.share_keys(&fields, random)?,
            ("collect_masked_vectors", Stage::Shared(shared, training)) => {
                let received = shared.receive(self.id, &fields)?;
                let message = legacy::instruction(records)?;
                let sent = message.get_parameters().into_iter().flat_map(|it| it.iter());
                let shapes = sent.map(|(_, tensor)| tensor.shape().to_vec()).collect();
                *training = Some(Training { received, shapes });
                return Ok(Step::Train(message));
            }
            ("unmask", Stage::Masked(shares)) => {
                let (nodes, shares) = shares.reveal(self.id, &fields)?;
                // Only once: other lists would receive other shares.
                self.stage = Stage::Idle;
                let mut reply = ConfigRecord::default();
                reply.push("nids", ids(nodes));
                reply.push("shares", ConfigValue::BytesList(BytesList { vals: shares }));
                reply
            }
            (found, at) => {
                return Err(SecAggError::Stage { expected: at.expects(), found: short(found) });
            }
        };
        Ok(Step::Reply(RecordDict(vec![(CONFIGS.to_owned(), Record::Config(reply))])))
    }

    /// Masks the result of the training that [`Step::Train`] requested. `answer` has its number of examples, and as
    /// many parameters as were sent, in the same order and with the same shapes; their names may differ.
    ///
    /// # Errors
    ///
    /// [`SecAggError::Stage`] if no training was requested, [`SecAggError::Answer`] for parameters that are missing,
    /// have other shapes or are not finite, and [`SecAggError::Range`] and [`SecAggError::Setting`] for values that
    /// would be clipped or overflow on the server.
    pub fn trained(
        &mut self,
        answer: &Message,
        random: &mut Random<'_>,
    ) -> Result<RecordDict, SecAggError> {
        let Stage::Shared(shared, Some(training)) = &self.stage else {
            let found = "the end of a training".to_owned();
            return Err(SecAggError::Stage { expected: self.stage.expects(), found });
        };
        let examples = answer.num_examples();
        let examples = examples.ok_or_else(|| {
            SecAggError::Answer("the site's reply does not say how many examples it has".to_owned())
        })?;
        let parameters = answer.get_parameters();
        let parameters = parameters
            .ok_or_else(|| SecAggError::Answer("the site's reply has no parameters".to_owned()))?;
        training.check(parameters)?;
        let masked = shared.mask(self.id, &training.received, parameters, examples, random)?;

        let mut held = vec![shared.own.clone()];
        held.extend(training.received.iter().cloned());
        self.stage = Stage::Masked(Shares { threshold: shared.keys.settings.threshold, held });
        let mut reply = ConfigRecord::default();
        reply.push("masked_params", ConfigValue::BytesList(BytesList { vals: masked }));
        let mut records = legacy::result(answer, examples);
        records.push((CONFIGS.to_owned(), Record::Config(reply)));
        Ok(RecordDict(records))
    }

    fn set_up(
        &mut self,
        fields: &Fields<'_>,
        random: &mut Random<'_>,
    ) -> Result<ConfigRecord, SecAggError> {
        let settings = Settings::read(fields)?;
        // New keys each round: with the same keys, the masks would be the same.
        let (mask, cipher) = (Secret::generate(random)?, Secret::generate(random)?);
        let mut reply = ConfigRecord::default();
        for (name, secret) in [("pk1", &mask), ("pk2", &cipher)] {
            reply.push(name, ConfigValue::Bytes(public_to_pem(&secret.public()).into_bytes()));
        }
        self.stage = Stage::SetUp(Keys { settings, mask, cipher });
        Ok(reply)
    }

    fn share_keys(
        &mut self,
        fields: &Fields<'_>,
        random: &mut Random<'_>,
    ) -> Result<ConfigRecord, SecAggError> {
        let nodes = nodes(fields)?;
        let (keys, place) = match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::SetUp(keys) => match keys.check(self.id, &nodes) {
                Ok(place) => (keys, place),
                Err(error) => {
                    self.stage = Stage::SetUp(keys);
                    return Err(error);
                }
            },
            _ => unreachable!("the caller looked"),
        };
        let (shared, tokens) = keys.share(self.id, nodes, place, random)?;
        let mut reply = ConfigRecord::default();
        reply.push("dsts", ids(shared.neighbours.iter().map(|it| it.id).collect()));
        reply.push("ctxts", ConfigValue::BytesList(BytesList { vals: tokens }));
        self.stage = Stage::Shared(shared, None);
        Ok(reply)
    }
}

/// Ids as Flower writes them: unsigned if one needs all 64 bits.
fn ids(ids: Vec<u64>) -> ConfigValue {
    match ids.iter().map(|id| i64::try_from(*id)).collect() {
        Ok(vals) => ConfigValue::SintList(SintList { vals }),
        Err(_) => ConfigValue::UintList(UintList { vals: ids }),
    }
}
