//! The same work on every device of this program and this machine, in every precision: `flora bench --devices all`.
//!
//! ```sh
//! cargo bench -p flora-cli --bench backends                                    # or with --features wgpu, vulkan, cuda, ...
//! cargo bench -p flora-cli --bench backends -- --shape vit-l-14 --json         # other arguments of `flora bench`
//! ```

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut given: Vec<String> = std::env::args().skip(1).collect();
    let is_bench = given.iter().any(|it| it == "--bench");
    given.retain(|it| it != "--bench");
    if !is_bench {
        // By `cargo test --benches`: show that the bench runs, not how fast.
        let little = "image-encode --model clip-nano --batch 1 --warmup 0 --repeats 1";
        given = little.split(' ').map(str::to_owned).collect();
    }
    let has = |flags: &[&str]| {
        let is = |it: &String, flag: &str| it.split('=').next() == Some(flag);
        given.iter().any(|it| flags.iter().any(|flag| is(it, flag)))
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_flora"));
    command.arg("bench").args(&given);
    for (flags, default) in [
        (&["--devices"][..], "all"),
        (&["--precision"], "f32,bf16,f16"),
        (&["--shape", "--model"], "vit-b-32"),
    ] {
        if !has(flags) {
            command.args([flags[0], default]);
        }
    }
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: cannot start flora: {error}");
            ExitCode::FAILURE
        }
    }
}
