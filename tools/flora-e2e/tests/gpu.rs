//! The program with GPU backends, on a GPU in software or a real one. `.ci/run` builds it with the feature that a test
//! needs: `FLORA_GPU_BIN` in `src/lib.rs`.

use flora_e2e::{Call, assert_found};

#[test]
#[ignore = "end to end: needs a program with --features wgpu and an adapter"]
fn wgpu_is_measured_beside_the_other_devices() {
    let model = "crates/flora-clip/tests/fixtures/tiny-clip";
    let work = ["bench", "image-encode", "--devices", "all", "--precision", "f32,f16"];
    let call = Call::gpu().args(work).args(["--batch", "2", "--repeats", "1", "--model", model]);
    let shown = call.ok();
    assert_found("^wgpu:0 +image-encode +[0-9.]", &shown.stdout);
}

/// Mesa's driver in software crashes on SPIR-V of burn's, or one day does not: then the device passes.
#[test]
#[ignore = "end to end: needs a program with --features vulkan and an adapter"]
fn vulkan_is_right_or_refused_without_a_number() {
    let work = ["bench", "image-encode", "--device", "vulkan", "--batch", "1", "--repeats", "1"];
    let (code, output) = Call::gpu().args(work).ended();
    if code == Some(0) {
        Call::gpu().args(["devices", "--check", "vulkan"]).ok();
        println!("vulkan passes on this driver");
    } else {
        assert_eq!(output.stdout, "", "a number of a device that is refused");
        assert_found("Nothing was computed on it", &output.stderr);
        println!("vulkan is refused on this driver, and no number printed");
    }
}
