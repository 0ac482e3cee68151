//! Keys of experiments that earlier versions of flora named differently.
//!
//! Experiments are read with either name, and runs of either version are compared by the current one.

/// Each key's earlier and current name.
pub const KEYS: [(&str, &str); 2] =
    [("method.lora.dropout", "method.lora.lora_dropout"), ("method.path", "method.implementation")];

/// The earlier and the current name of a key that is written with its earlier name.
pub fn find(key: &str) -> Option<(&'static str, &'static str)> {
    KEYS.into_iter().find(|(old, _)| *old == key)
}

/// The current name of a key, which is the key itself unless it was renamed.
pub fn current(key: &str) -> &str {
    find(key).map_or(key, |(_, new)| new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_current_name() {
        assert_eq!(current("method.path"), "method.implementation");
        assert_eq!(current("model.path"), "model.path");
        for (old, new) in KEYS {
            assert_eq!((current(old), current(new)), (new, new));
            assert_eq!((find(old), find(new)), (Some((old, new)), None));
        }
    }
}
