use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flora_core::record::is_correction;
use flora_core::{Dtype, HostTensor, ParameterRecord, seed};
use flora_federation::{Download, Message, PARAMETERS, Task};
use rand::Rng;

use crate::Codec;

/// A model, compressed on its way down; the server keeps it whole. See [`Download`].
///
/// Every tensor of the record `parameters` becomes a tensor of bytes with the same name, but those that correct the weights below
/// ([`flora_core::record::correction`]): the number of its axes, their extents as u32, little endian, and the codec's bytes.
/// All who are sent the same record in a round are sent the same bytes.
#[derive(Debug)]
pub struct Coded {
    codec: Codec,
    seed: u64,
    /// The last pairs of what is whole and what travels.
    encoded: Mutex<Vec<Pair>>,
    /// The last pairs of what travelled and what was read.
    decoded: Mutex<Vec<Pair>>,
}

/// A record in a round, and what was made of it.
#[derive(Debug)]
struct Pair {
    round: usize,
    from: Arc<ParameterRecord>,
    to: Arc<ParameterRecord>,
}

/// Clients of different ranks are sent different records; more than these are made again.
const MOST_PAIRS: usize = 8;
/// Tensors have no more axes than this, and a layer's matrix no more values than `i32` counts.
const MOST_AXES: usize = 8;
const MOST_VALUES: usize = i32::MAX as usize;

impl Coded {
    /// By `codec`, whose random numbers follow from `seed` and round.
    pub fn new(codec: Codec, seed: u64) -> Self {
        Self { codec, seed, encoded: Mutex::default(), decoded: Mutex::default() }
    }

    /// Goes through the tensors with the number that both sides draw for each.
    fn rotations(&self, round: usize) -> impl Rng + use<> {
        seed::stream(self.seed, &format!("download round {round} rotation"))
    }

    fn compress(&self, round: usize, record: &ParameterRecord) -> Result<ParameterRecord, String> {
        let mut rotations = self.rotations(round);
        let mut rng = seed::stream(self.seed, &format!("download round {round} rounding"));
        let mut coded = ParameterRecord::new();
        for (name, tensor) in record.iter() {
            let shared = rotations.next_u64();
            let travels = match tensor.dtype() == Dtype::F32 && !is_correction(name) {
                false => tensor.clone(),
                true => {
                    let mut bytes = vec![tensor.shape().len() as u8];
                    for &extent in tensor.shape() {
                        let extent = u32::try_from(extent).map_err(|error| error.to_string())?;
                        bytes.extend(extent.to_le_bytes());
                    }
                    let values = self.codec.encode(&[&tensor.to_f32()], shared, &mut rng);
                    bytes.extend(values.map_err(|error| format!("tensor `{name}`: {error}"))?);
                    HostTensor::from_bytes(bytes)
                }
            };
            coded.insert(name, travels).map_err(|error| error.to_string())?;
        }
        Ok(coded)
    }

    fn decompress(&self, round: usize, coded: &ParameterRecord) -> Result<ParameterRecord, String> {
        let mut rotations = self.rotations(round);
        let mut record = ParameterRecord::new();
        for (name, travelled) in coded.iter() {
            let shared = rotations.next_u64();
            let tensor = match travelled.as_bytes() {
                None => travelled.clone(),
                Some(bytes) => self
                    .tensor(bytes, shared)
                    .map_err(|problem| format!("tensor `{name}`: {problem}"))?,
            };
            record.insert(name, tensor).map_err(|error| error.to_string())?;
        }
        Ok(record)
    }

    fn tensor(&self, bytes: &[u8], shared: u64) -> Result<HostTensor, String> {
        const CUT: &str = "it is cut off";
        let (&axes, mut rest) = bytes.split_first().ok_or(CUT)?;
        if usize::from(axes) > MOST_AXES {
            return Err(format!("it has {axes} axes, more than {MOST_AXES}"));
        }
        let (mut shape, mut length) = (Vec::new(), 1_usize);
        for _ in 0..axes {
            let (extent, after) = rest.split_first_chunk().ok_or(CUT)?;
            let extent = u32::from_le_bytes(*extent) as usize;
            length = length
                .checked_mul(extent)
                .filter(|&length| length <= MOST_VALUES)
                .ok_or("it is larger than any tensor")?;
            shape.push(extent);
            rest = after;
        }
        // Every codec that can be a model's takes a bit for a value, or two.
        if length / 64 > rest.len().saturating_mul(1_100) {
            return Err(CUT.to_owned());
        }
        let mut values = self.codec.decode(rest, &[length], shared).map_err(|it| it.to_string())?;
        let values = values.pop().expect("one tensor in, one out");
        HostTensor::from_f32(shape, values).map_err(|error| error.to_string())
    }

    fn made(
        kept: &Mutex<Vec<Pair>>,
        task: &Task,
        make: impl FnOnce(&ParameterRecord) -> Result<ParameterRecord, String>,
    ) -> Result<Message, String> {
        let mut message = task.message.clone();
        let Some(from) = message.records.get(PARAMETERS).cloned() else { return Ok(message) };
        let mut kept = lock(kept);
        let is_it = |it: &&Pair| it.round == task.round && Arc::ptr_eq(&it.from, &from);
        let to = match kept.iter().find(is_it) {
            Some(pair) => Arc::clone(&pair.to),
            None => {
                let to = Arc::new(make(&from)?);
                if kept.len() == MOST_PAIRS {
                    kept.remove(0);
                }
                // The record is held, so that no other can be at its address.
                kept.push(Pair { round: task.round, from, to: Arc::clone(&to) });
                to
            }
        };
        message.records.insert(PARAMETERS.to_owned(), to);
        Ok(message)
    }
}

fn lock(pairs: &Mutex<Vec<Pair>>) -> MutexGuard<'_, Vec<Pair>> {
    pairs.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Download for Coded {
    fn name(&self) -> &str {
        self.codec.name()
    }

    fn encode(&self, task: &Task) -> Result<Message, String> {
        Self::made(&self.encoded, task, |record| self.compress(task.round, record))
    }

    fn decode(&self, task: &Task) -> Result<Message, String> {
        Self::made(&self.decoded, task, |coded| self.decompress(task.round, coded))
    }
}
