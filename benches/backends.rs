//! The same work on every device of this program and this machine, in every precision: `flora bench --devices all`.
//!
//! ```sh
//! cargo bench -p flora-cli --bench backends                                    # or with --features wgpu, vulkan, cuda, ...
//! cargo bench -p flora-cli --bench backends -- --shape vit-l-14 --json         # other arguments of `flora bench`
//! ```

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_flora"));
    command.args(["bench", "--devices", "all", "--precision", "f32,bf16,f16"]);
    // `cargo test --benches` passes this: show that the bench runs, not how fast.
    match given.iter().any(|it| it == "--test") {
        true => command.args(["image-encode", "--batch", "1", "--warmup", "0", "--repeats", "1"]),
        false => command
            .args(if given.is_empty() { &["--shape", "vit-b-32"][..] } else { &[] })
            .args(&given),
    };
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: cannot start flora: {error}");
            ExitCode::FAILURE
        }
    }
}
