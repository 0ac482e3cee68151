use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flora_core::record::is_correction;
use flora_core::{Dtype, HostTensor, ParameterRecord, seed};
use flora_federation::{Download, Message, PARAMETERS, Task};
use rand::Rng;

use crate::Codec;

/// Compression of the model on its way to clients; the server keeps full precision. See [`Download`].
///
/// Every tensor of the record `parameters`, except corrections of the base weights
/// ([`flora_core::record::correction`]), becomes a tensor of bytes with the same name: the number of its axes, their
/// extents as little-endian u32, and the codec's bytes. Clients that are sent the same record in a round are sent the
/// same bytes.
#[derive(Debug)]
pub struct Coded {
    codec: Codec,
    seed: u64,
    /// Cache of original and transmitted records.
    encoded: Mutex<Vec<Pair>>,
    /// Cache of transmitted and decoded records.
    decoded: Mutex<Vec<Pair>>,
}

/// A record in a round, and its converted form.
#[derive(Debug)]
struct Pair {
    round: usize,
    from: Arc<ParameterRecord>,
    to: Arc<ParameterRecord>,
}

/// Size of the caches. Clients of different ranks are sent different records; further ones are converted again.
const MOST_PAIRS: usize = 8;
/// Limits of a tensor: the number of axes, and as many values as `i32` counts.
const MOST_AXES: usize = 8;
const MOST_VALUES: usize = i32::MAX as usize;

impl Coded {
    /// Compresses by `codec`; random numbers are derived from `seed` and the round.
    pub fn new(codec: Codec, seed: u64) -> Self {
        Self { codec, seed, encoded: Mutex::default(), decoded: Mutex::default() }
    }

    /// The random number that both sides draw for each tensor.
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
        // Every codec for models uses at least one bit per value.
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
                // The record is kept alive, so that no other can have its address.
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
