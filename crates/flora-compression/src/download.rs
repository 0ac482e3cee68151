use std::collections::BTreeMap;
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
///
/// A few bytes can encode many zeros, so a message does not limit the memory that it takes to decode. A client that
/// knows the model therefore [sets its shapes](Self::with_shapes_of), and tensors that are larger are refused before
/// they are decoded. All other tensors of a message may together have 16,777,216 numbers, or 32 per byte of the
/// message if that is more.
#[derive(Debug)]
pub struct Coded {
    codec: Codec,
    seed: u64,
    /// The largest permitted shapes, by name.
    shapes: BTreeMap<String, Vec<usize>>,
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
/// Limits of all tensors of a message whose shapes are not known: their number of values, whatever the message's
/// length, and per byte. A model in one bit per number has 8 per byte, and one that is half zeros about 16.
const MOST_UNKNOWN: usize = 1 << 24;
const MOST_UNKNOWN_PER_BYTE: usize = 32;

impl Coded {
    /// Compresses by `codec`; random numbers are derived from `seed` and the round.
    pub fn new(codec: Codec, seed: u64) -> Self {
        let (encoded, decoded) = (Mutex::default(), Mutex::default());
        Self { codec, seed, shapes: BTreeMap::new(), encoded, decoded }
    }

    /// Limits decoded tensors to the shapes of those of the same names in `model`. A tensor may be smaller along any
    /// axis, as adapters of a lower rank are.
    #[must_use]
    pub fn with_shapes_of(self, model: &ParameterRecord) -> Self {
        let shape =
            |(name, tensor): (&str, &HostTensor)| (name.to_owned(), tensor.shape().to_vec());
        Self { shapes: model.iter().map(shape).collect(), ..self }
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
        let named = |name: &str, problem: String| format!("tensor `{name}`: {problem}");
        // All shapes are checked before anything is decoded.
        let mut parts = Vec::with_capacity(coded.len());
        let (mut unknown, mut length) = (0_usize, 0_usize);
        for (name, travelled) in coded.iter() {
            let part = travelled.as_bytes().map(part).transpose();
            let part = part.map_err(|problem| named(name, problem))?;
            if let Some(part) = &part {
                length += part.codes.len();
                match self.shapes.get(name) {
                    Some(known) => part.check_within(known).map_err(|it| named(name, it))?,
                    None => unknown = unknown.saturating_add(part.length),
                }
            }
            parts.push((name, travelled, part));
        }
        let most = MOST_UNKNOWN.max(length.saturating_mul(MOST_UNKNOWN_PER_BYTE));
        if unknown > most {
            return Err(format!(
                "tensors of unknown shapes have {unknown} numbers in {length} bytes, more than the limit of {most}"
            ));
        }
        let mut rotations = self.rotations(round);
        let mut record = ParameterRecord::new();
        for (name, travelled, part) in parts {
            let shared = rotations.next_u64();
            let tensor = match part {
                None => travelled.clone(),
                Some(part) => self.tensor(part, shared).map_err(|it| named(name, it))?,
            };
            record.insert(name, tensor).map_err(|error| error.to_string())?;
        }
        Ok(record)
    }

    fn tensor(&self, part: Part<'_>, shared: u64) -> Result<HostTensor, String> {
        let Part { shape, length, codes } = part;
        let values = self.codec.decode(codes, &[length], shared).map_err(|it| it.to_string())?;
        let values = values.into_iter().next().expect("one tensor in, one out");
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

/// An encoded tensor: its shape, number of values and the codec's bytes.
struct Part<'a> {
    shape: Vec<usize>,
    length: usize,
    codes: &'a [u8],
}

impl Part<'_> {
    fn check_within(&self, known: &[usize]) -> Result<(), String> {
        let is_within = |(extent, most): (&usize, &usize)| extent <= most;
        match self.shape.len() == known.len() && self.shape.iter().zip(known).all(is_within) {
            true => Ok(()),
            false => Err(format!("its shape is {:?}, and the model's is {known:?}", self.shape)),
        }
    }
}

/// Reads the head of an encoded tensor.
fn part(bytes: &[u8]) -> Result<Part<'_>, String> {
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
    Ok(Part { shape, length, codes: rest })
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
