//! Whatever the bytes, a PyTorch file opens or is refused, and its tensors are read or refused.
#![no_main]

use std::io::Cursor;

use flora_torch::TorchFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = TorchFile::from_reader(Cursor::new(bytes.to_vec()), "fuzz.pt") else { return };
    for (name, tensor) in file.tensors().take(64) {
        // What a tensor claims must be in the file.
        assert!(tensor.num_elements() <= bytes.len());
        if let Ok(values) = file.read_f32(name) {
            assert_eq!(values.len(), tensor.num_elements());
            if let Some(&rows) = tensor.shape().first() {
                let half = file.read_rows_f32(name, 0..rows / 2).expect("the whole was read");
                assert!(half.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
        }
    }
});
