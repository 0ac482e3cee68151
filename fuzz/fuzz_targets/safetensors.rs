//! Whatever the bytes, the record in memory and the file read piece by piece agree on them.
#![no_main]

use flora_core::{HostTensor, ParameterRecord, RecordError, TensorFile, read_metadata};
use flora_fuzz::{scratch, write};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = scratch().join("fuzz.safetensors");
    write(&path, bytes);
    let record = ParameterRecord::from_safetensors(bytes);
    let file = TensorFile::open(&path);
    assert_eq!(read_metadata(bytes).is_ok(), file.is_ok());
    let (record, file) = match (record, file) {
        (Ok(record), Ok(file)) => (record, file),
        // The file refuses an element type only when the tensor is asked for.
        (Err(RecordError::UnsupportedDtype { name, .. }), Ok(file)) => {
            assert!(matches!(file.read(&name), Err(RecordError::UnsupportedDtype { .. })));
            return;
        }
        (record, file) => {
            assert!(record.is_err() && file.is_err(), "{record:?} {file:?}");
            return;
        }
    };
    // What the tensors claim is in the file.
    assert!(record.byte_len() <= bytes.len());
    assert!(file.names().eq(record.names()));
    for (name, tensor) in record.iter() {
        assert_eq!(file.shape(name), Some(tensor.shape()));
        assert!(same(&file.read(name).expect("the record has it"), tensor));
        if let Some(&rows) = tensor.shape().first() {
            let part = |rows| file.read_rows(name, rows).expect("the whole was read").into_f32();
            let whole = [part(0..rows / 2), part(rows / 2..rows)].concat();
            assert!(bits(&whole).eq(bits(&tensor.to_f32())));
        }
    }
    let written = record.to_safetensors();
    let again = ParameterRecord::from_safetensors(&written).expect("it was written here");
    assert_eq!(again.to_safetensors(), written);
});

fn same(left: &HostTensor, right: &HostTensor) -> bool {
    left.dtype() == right.dtype()
        && left.shape() == right.shape()
        && bits(&left.to_f32()).eq(bits(&right.to_f32()))
}

/// As numbers, NaN would equal nothing.
fn bits(values: &[f32]) -> impl Iterator<Item = u32> {
    values.iter().map(|value| value.to_bits())
}
