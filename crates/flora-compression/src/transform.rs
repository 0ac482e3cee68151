use std::sync::Arc;

use flora_core::record::is_correction;
use flora_core::{Dtype, HostTensor, ParameterRecord, seed};
use flora_federation::{Message, PARAMETERS, Task, Transform};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::Codec;

/// The name of the record with a compressed update, and of its only tensor.
pub const UPDATE: &str = "update";

/// Compression of a client's update: the difference between its reply and the sent parameters, for every tensor that
/// has the name and shape of a sent one. Other tensors are sent uncompressed, and so are corrections of the base
/// weights ([`flora_core::record::correction`]).
///
/// With **error feedback** (Seide et al. 2014; Karimireddy et al. 2019, <https://arxiv.org/abs/1901.09847>), a client
/// adds the error of the last compression to its next update: `e <- (d + e) - decoded`. `e` is the transform's state.
///
/// The message has a record [`UPDATE`] with one tensor of bytes: one bit for each sent tensor, in order, that tells
/// whether it is in the update, followed by the codec's bytes.
#[derive(Debug, Clone)]
pub struct Compressed {
    codec: Codec,
    seed: u64,
    has_feedback: bool,
    /// The compression errors of the last updates.
    lost: ParameterRecord,
}

impl Compressed {
    /// Compresses by `codec`; random numbers are derived from `seed`, the client and the round.
    pub fn new(codec: Codec, seed: u64) -> Self {
        Self { codec, seed, has_feedback: false, lost: ParameterRecord::new() }
    }

    /// Adds error feedback.
    #[must_use]
    pub fn with_feedback(self) -> Self {
        Self { has_feedback: true, ..self }
    }

    /// The random stream of a reply, and the number that both sides draw from it first.
    fn stream(&self, task: &Task) -> (ChaCha8Rng, u64) {
        let Task { client, round, attempt, .. } = task;
        let label = format!("upload of {client} round {round} attempt {attempt}");
        let mut rng = seed::stream(self.seed, &label);
        let shared = rng.next_u64();
        (rng, shared)
    }

    /// The tensors that an update can contain.
    fn eligible(sent: &ParameterRecord) -> Vec<(&str, &HostTensor)> {
        let can = |(name, tensor): &(&str, &HostTensor)| {
            tensor.dtype() == Dtype::F32 && !is_correction(name)
        };
        sent.iter().filter(can).collect()
    }

    fn compress(
        &mut self,
        task: &Task,
        sent: &ParameterRecord,
        answer: &ParameterRecord,
    ) -> Result<(Vec<u8>, ParameterRecord), String> {
        let eligible = Self::eligible(sent);
        let mut bytes = vec![0_u8; eligible.len().div_ceil(8)];
        let (mut names, mut updates) = (Vec::new(), Vec::new());
        for (at, (name, before)) in eligible.into_iter().enumerate() {
            let Ok(after) = answer.matching(name, before) else { continue };
            if after.dtype() != Dtype::F32 {
                continue;
            }
            bytes[at / 8] |= 1 << (at % 8);
            let (from, to) = (before.to_f32(), after.to_f32());
            let mut update: Vec<f32> =
                to.iter().zip(from.iter()).map(|(to, from)| to - from).collect();
            if let Ok(lost) = self.lost.matching(name, before) {
                update.iter_mut().zip(lost.to_f32().iter()).for_each(|(it, lost)| *it += lost);
            }
            names.push(name);
            updates.push(update);
        }
        let (mut rng, shared) = self.stream(task);
        let values: Vec<&[f32]> = updates.iter().map(Vec::as_slice).collect();
        let coded = self.codec.encode(&values, shared, &mut rng);
        let coded = coded.map_err(|error| error.to_string())?;
        if self.has_feedback && !self.codec.is_lossless() {
            let lengths: Vec<usize> = updates.iter().map(Vec::len).collect();
            let decoded = self.codec.decode(&coded, &lengths, shared);
            let decoded = decoded.map_err(|error| error.to_string())?;
            let mut lost = ParameterRecord::new();
            // The error of a tensor that was not trained this time is kept.
            for (name, tensor) in self.lost.iter().filter(|(name, _)| !names.contains(name)) {
                lost.insert(name, tensor.clone()).map_err(|error| error.to_string())?;
            }
            for ((name, update), decoded) in names.iter().zip(&updates).zip(decoded) {
                let left = update.iter().zip(decoded).map(|(all, heard)| all - heard).collect();
                let shape = sent.get(name).expect("it was found above").shape();
                let tensor = HostTensor::from_f32(shape, left);
                let inserted = tensor.and_then(|tensor| lost.insert(*name, tensor));
                inserted.map_err(|error| error.to_string())?;
            }
            self.lost = lost;
        }
        bytes.extend(coded);
        Ok((bytes, answer.filter(|name| !names.contains(&name))))
    }

    fn decompress(
        &self,
        task: &Task,
        sent: &ParameterRecord,
        bytes: &[u8],
        rest: &ParameterRecord,
    ) -> Result<ParameterRecord, String> {
        let eligible = Self::eligible(sent);
        let (flags, coded) = bytes
            .split_at_checked(eligible.len().div_ceil(8))
            .ok_or("it is shorter than the list of its tensors")?;
        let is_set = |at: usize| flags[at / 8] >> (at % 8) & 1 == 1;
        if (eligible.len()..8 * flags.len()).any(is_set) {
            return Err("it names more tensors than were sent".to_owned());
        }
        let those = eligible.into_iter().enumerate().filter(|&(at, _)| is_set(at));
        let those: Vec<(&str, &HostTensor)> = those.map(|(_, it)| it).collect();
        let lengths: Vec<usize> = those.iter().map(|(_, tensor)| tensor.len()).collect();
        let (_, shared) = self.stream(task);
        let decoded = self.codec.decode(coded, &lengths, shared);
        let decoded = decoded.map_err(|error| error.to_string())?;
        let mut answer = ParameterRecord::new();
        for ((name, before), update) in those.into_iter().zip(decoded) {
            let values = before.to_f32().iter().zip(update).map(|(from, by)| from + by).collect();
            let tensor = HostTensor::from_f32(before.shape(), values);
            let inserted = tensor.and_then(|tensor| answer.insert(name, tensor));
            inserted.map_err(|error| error.to_string())?;
        }
        for (name, tensor) in rest.iter() {
            answer.insert(name, tensor.clone()).map_err(|error| error.to_string())?;
        }
        Ok(answer)
    }
}

/// The parameters in the task.
fn sent(task: &Task) -> Result<&Arc<ParameterRecord>, String> {
    task.message.get_parameters().ok_or_else(|| "the task came without parameters".to_owned())
}

impl Transform for Compressed {
    fn name(&self) -> &str {
        "compression"
    }

    fn encode(&mut self, task: &Task, mut message: Message) -> Result<Message, String> {
        let answer = message.records.remove(PARAMETERS).ok_or("the answer has no parameters")?;
        let (bytes, rest) = self.compress(task, sent(task)?, &answer)?;
        let mut update = ParameterRecord::new();
        let inserted = update.insert(UPDATE, HostTensor::from_bytes(bytes));
        inserted.map_err(|error| error.to_string())?;
        message.records.insert(UPDATE.to_owned(), Arc::new(update));
        if !rest.is_empty() {
            message.records.insert(PARAMETERS.to_owned(), Arc::new(rest));
        }
        Ok(message)
    }

    fn decode(&self, task: &Task, mut message: Message) -> Result<Message, String> {
        let update = message.records.remove(UPDATE).ok_or_else(|| {
            let name = self.codec.name();
            format!("the answer is not compressed by {name}; does the client know federation.upload of this run?")
        })?;
        let bytes = match update.get(UPDATE) {
            Some(tensor) if update.len() == 1 => tensor.as_bytes(),
            _ => None,
        };
        let bytes = bytes.ok_or("the record `update` is not one tensor of bytes")?;
        let rest = message.records.remove(PARAMETERS).unwrap_or_default();
        let answer = self.decompress(task, sent(task)?, bytes, &rest)?;
        message.records.insert(PARAMETERS.to_owned(), Arc::new(answer));
        Ok(message)
    }

    fn save(&self) -> Vec<u8> {
        match self.lost.is_empty() {
            true => Vec::new(),
            false => self.lost.to_safetensors(),
        }
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        self.lost = match state.is_empty() {
            true => ParameterRecord::new(),
            false => ParameterRecord::from_safetensors(state).map_err(|error| error.to_string())?,
        };
        Ok(())
    }
}
