//! Whatever the bytes of flora's own form of a message, they are read or refused.
#![no_main]

use flora_core::{HostTensor, ParameterRecord};
use flora_federation::{Message, Value};
use flora_flower::codec::packed::{FLORA, read};
use flora_flower::codec::{Form, from_records, to_records};
use libfuzzer_sys::fuzz_target;

// The first byte tells how many of the bytes, from the end, are values in a place of their own.
fuzz_target!(|input: &[u8]| {
    let Some((&apart, bytes)) = input.split_first() else { return };
    let (bytes, many) = match usize::from(apart) {
        0 => (bytes, None),
        many if many <= bytes.len() => {
            let (bytes, many) = bytes.split_at(bytes.len() - many);
            (bytes, Some(many))
        }
        _ => return,
    };
    let Ok(message) = read(bytes, many) else { return };
    // Every value is there.
    assert!(message.byte_len() <= bytes.len() as u64 + many.map_or(0, <[u8]>::len) as u64);
    let records = to_records(&message, Form::Flora).expect("it was read");
    assert!(records.get(FLORA).is_some());
    let (again, form) = from_records(&records).expect("it was written here");
    assert!(form == Form::Flora && same(&again, &message), "{again:?} {message:?}");
});

/// Bit by bit: NaN is not itself.
fn same(a: &Message, b: &Message) -> bool {
    let numbers = |message: &Message| -> Vec<(String, u64)> {
        let metrics = message.metrics.iter();
        metrics.map(|(name, value)| (name.clone(), value.to_bits())).collect()
    };
    let settings = |message: &Message| -> Vec<(String, Result<u64, Value>)> {
        let bits = |value: &Value| match value {
            Value::Float(value) => Ok(value.to_bits()),
            other => Err(other.clone()),
        };
        message.config.iter().map(|(name, value)| (name.clone(), bits(value))).collect()
    };
    let tensors = |record: &ParameterRecord| -> Vec<_> {
        let tensor = |it: &HostTensor| (it.dtype(), it.shape().to_vec(), it.to_le_bytes().to_vec());
        record.iter().map(|(name, it)| (name.to_owned(), tensor(it))).collect()
    };
    let records = |message: &Message| -> Vec<_> {
        message.records.iter().map(|(name, record)| (name.clone(), tensors(record))).collect()
    };
    numbers(a) == numbers(b) && settings(a) == settings(b) && records(a) == records(b)
}
