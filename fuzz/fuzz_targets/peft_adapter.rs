//! Whatever the two files of a PEFT adapter hold, it loads as a plain LoRA adapter or is refused.
#![no_main]

use flora_fuzz::{scratch, write};
use flora_lora::load_peft;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // `adapter_config.json` up to the first zero byte, which JSON cannot hold; then the tensors.
    let mut parts = bytes.splitn(2, |&byte| byte == 0);
    let (config, tensors) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    write(&scratch().join("adapter_config.json"), config);
    write(&scratch().join("adapter_model.safetensors"), tensors);
    let Ok(adapter) = load_peft(scratch()) else { return };

    adapter.config.check().expect("it was checked");
    adapter.record.check_finite().expect("it was checked");
    // What was 16 bits wide in the file takes twice as much here.
    assert!(!adapter.record.is_empty() && adapter.record.byte_len() <= 2 * bytes.len());
    let matcher = adapter.config.matcher().expect("it was checked");
    for (name, tensor) in adapter.record.iter() {
        let (layer, matrix) = name.rsplit_once(".lora_").expect("the name of a LoRA matrix");
        let (axis, other) = match matrix {
            "A.weight" => (0, "B.weight"),
            _ => (1, "A.weight"),
        };
        assert_eq!((tensor.shape().len(), tensor.shape()[axis]), (2, adapter.config.r));
        assert!(adapter.record.get(&format!("{layer}.lora_{other}")).is_some());
        // A result or an error, in bounded time.
        let _ = matcher.matches(layer);
    }
});
