//! Parameter identities that are the same in every process.

use burn::module::{Module, ParamId};
use sha2::{Digest, Sha256};

use super::walk;

/// Returns `module` with identities derived from the names of its parameters, by [`parameter_id`].
///
/// burn gives every parameter a random identity, under which optimizers keep their state. With these identities, the
/// state from [`ModuleOptimizer::into_bytes`] fits every module of the same shape, in this process and in others.
/// Values, devices and gradient settings do not change, and lazy parameters stay lazy.
///
/// Call it once the module is complete, with adapters attached, and before the first step: an optimizer does not find
/// state under the old identities. A tensor that a module holds under two names gets two identities.
///
/// [`ModuleOptimizer::into_bytes`]: burn::optim::ModuleOptimizer::into_bytes
pub fn name_parameters<M: Module>(module: M) -> M {
    walk::map_ids(module, |name, id| *id = parameter_id(name))
}

/// The identity of the parameter with this dotted name: the first 8 bytes of the name's SHA-256, little-endian.
pub fn parameter_id(name: &str) -> ParamId {
    let digest: [u8; 32] = Sha256::digest(name).into();
    let (first, _) = digest.split_first_chunk().expect("32 bytes");
    ParamId::from(u64::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::parameter_id;

    #[test]
    fn the_identity_is_the_documented_one() {
        // python: int.from_bytes(hashlib.sha256(b"encoder.layers.0.fc1.weight").digest()[:8], "little")
        assert_eq!(parameter_id("encoder.layers.0.fc1.weight").val(), 13_900_007_000_105_468_839);
    }
}
