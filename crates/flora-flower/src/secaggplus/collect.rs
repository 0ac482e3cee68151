//! The stage `collect_masked_vectors`.

use std::collections::HashSet;

use flora_core::{ParameterRecord, npy};

use super::error::{CHANGED, refuse, too_few};
use super::held::Held;
use super::mask::Mask;
use super::quantize::{check_range, quantize, weight};
use super::read::Fields;
use super::stage::{Shared, Training};
use super::{Random, SecAggError, fernet};

impl Training {
    /// Checks that the parameters have the shapes of those that were sent: the server adds them up.
    pub(super) fn check(&self, parameters: &ParameterRecord) -> Result<(), SecAggError> {
        if parameters.is_empty() {
            return Err(SecAggError::Answer("the site's reply has no parameters".to_owned()));
        }
        if let Some((name, _)) = parameters.iter().find(|(_, tensor)| tensor.shape().is_empty()) {
            let problem = format!(
                "{name} is a single number without an axis, of which Flower's server makes a wrong mean; give it the \
                 shape [1], or do not train it"
            );
            return Err(SecAggError::Answer(problem));
        }
        // If the server sent none, it accepts those of its nodes.
        if self.shapes.is_empty() {
            return Ok(());
        }
        if parameters.len() != self.shapes.len() {
            let problem = format!(
                "the site trained {} arrays, and the server sent {}; do both have the same experiment?",
                parameters.len(),
                self.shapes.len()
            );
            return Err(SecAggError::Answer(problem));
        }
        let mut pairs = parameters.iter().zip(&self.shapes);
        match pairs.find(|((_, tensor), shape)| tensor.shape() != shape.as_slice()) {
            None => Ok(()),
            Some(((name, tensor), shape)) => Err(SecAggError::Answer(format!(
                "the site trained {name} with the shape {:?}, and the server sent {shape:?}; do both have the same \
                 experiment?",
                tensor.shape()
            ))),
        }
    }
}

impl Shared {
    /// Decrypts the neighbours' shares that the server passed on.
    pub(super) fn receive(&self, id: u64, fields: &Fields<'_>) -> Result<Vec<Held>, SecAggError> {
        let (sources, tokens) = (fields.ids("srcs")?, fields.byte_strings("ctxts")?);
        let threshold = self.keys.settings.threshold;
        if sources.len() != tokens.len() {
            return refuse(format!(
                "there are {} sources of {} messages; {CHANGED}",
                sources.len(),
                tokens.len()
            ));
        }
        if sources.len() + 1 < threshold as usize {
            return Err(too_few(sources.len() + 1, threshold));
        }
        let open = |(source, token): (&u64, &Vec<u8>)| {
            let neighbour = self.neighbours.iter().find(|it| it.id == *source);
            let Some(neighbour) = neighbour else {
                return refuse(format!("node {source} is not a neighbour of this node; {CHANGED}"));
            };
            let key = self.keys.cipher.shared_key(&neighbour.cipher);
            let opened =
                fernet::decrypt(key.bytes(), token).and_then(|text| Held::from_plaintext(&text));
            match opened {
                None => {
                    refuse(format!("the shares from node {source} cannot be decrypted; {CHANGED}"))
                }
                Some((held, to)) if held.node != *source || to != id => refuse(format!(
                    "shares from node {} for node {to} were delivered as those from node {source} for node {id}; \
                     {CHANGED}",
                    held.node
                )),
                Some((held, _)) => Ok(held),
            }
        };
        sources.iter().zip(tokens).map(open).collect()
    }

    /// The weight and the weighted parameters, under this node's own mask and one for each remaining neighbour: one
    /// `.npy` file each.
    pub(super) fn mask(
        &self,
        id: u64,
        received: &[Held],
        parameters: &ParameterRecord,
        examples: usize,
        random: &mut Random<'_>,
    ) -> Result<Vec<Vec<u8>>, SecAggError> {
        let settings = &self.keys.settings;
        let weight = weight(settings, examples)?;
        let mut arrays = vec![vec![weight]];
        check_range(settings, weight, parameters)?;
        for (_, tensor) in parameters.iter() {
            arrays.push(quantize(settings, weight, &tensor.to_f32(), random)?);
        }
        let mut own = Mask::new(&*self.seed, settings.mod_range);
        arrays.iter_mut().for_each(|array| own.add_to(array));
        let left: HashSet<u64> = received.iter().map(|it| it.node).collect();
        for neighbour in self.neighbours.iter().filter(|it| left.contains(&it.id)) {
            let seed = self.keys.mask.shared_key(&neighbour.mask).seed();
            let mut mask = Mask::new(seed.as_bytes(), settings.mod_range);
            for array in &mut arrays {
                match id > neighbour.id {
                    true => mask.add_to(array),
                    false => mask.subtract_from(array),
                }
            }
        }
        // `mod_range` divides 2^32, so wrapping sums are right.
        let bits = (settings.mod_range - 1) as u32;
        let shapes =
            std::iter::once(&[1][..]).chain(parameters.iter().map(|(_, tensor)| tensor.shape()));
        let file = |(shape, array): (&[usize], Vec<u32>)| {
            let mut file = npy::head("<u4", shape);
            file.reserve_exact(4 * array.len());
            array.iter().for_each(|value| file.extend((value & bits).to_le_bytes()));
            file
        };
        Ok(shapes.zip(arrays).map(file).collect())
    }
}
