//! The state of a rule inside the state of a strategy that wraps it.

use std::collections::BTreeMap;

use flora_federation::Message;

/// Prefix of every name in the inner rule's state. A wrapper's own names never begin with it, so that wrappers of the
/// same kind can be nested.
const RULE: &str = "rule.";

/// The rule's state, as a part of a wrapper's.
pub(super) fn state_of(rule: Message) -> Message {
    Message {
        records: prefixed(rule.records),
        config: prefixed(rule.config),
        metrics: prefixed(rule.metrics),
    }
}

/// Splits a state into the rule's and the wrapper's own.
pub(super) fn split(state: Message) -> (Message, Message) {
    let (records, own_records) = parted(state.records);
    let (config, own_config) = parted(state.config);
    let (metrics, own_metrics) = parted(state.metrics);
    let own = Message { records: own_records, config: own_config, metrics: own_metrics };
    (Message { records, config, metrics }, own)
}

/// The name of any entry of the message.
pub(super) fn any_name(message: &Message) -> Option<&str> {
    let names = message.records.keys().chain(message.config.keys()).chain(message.metrics.keys());
    names.map(String::as_str).next()
}

fn prefixed<T>(map: BTreeMap<String, T>) -> BTreeMap<String, T> {
    map.into_iter().map(|(name, value)| (format!("{RULE}{name}"), value)).collect()
}

fn parted<T>(map: BTreeMap<String, T>) -> (BTreeMap<String, T>, BTreeMap<String, T>) {
    let (mut of_rule, mut own) = (BTreeMap::new(), BTreeMap::new());
    for (name, value) in map {
        match name.strip_prefix(RULE) {
            Some(inner) => of_rule.insert(inner.to_owned(), value),
            None => own.insert(name, value),
        };
    }
    (of_rule, own)
}
