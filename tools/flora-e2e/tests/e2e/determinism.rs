//! The same seed gives the same bits, whatever the number of threads.

use std::path::Path;

use flora_e2e::{Run, scratch};

use crate::short_quickstart;

/// A cache of its own: the image features must be the same bits, too.
fn with_threads(threads: u32, folder: &Path) -> Run {
    let call = short_quickstart(2)
        .set(format!("federation.threads={threads}"))
        .set(format!("data.cache={}", folder.join(format!("cache-{threads}")).display()));
    let run = call.run_to(&folder.join(format!("threads-{threads}")));
    run.assert_finished(2);
    run
}

#[test]
#[ignore = "end to end"]
fn threads_change_nothing_and_the_seed_does() {
    let scratch = scratch("determinism");
    let (one, two) = (with_threads(1, &scratch), with_threads(2, &scratch));
    assert!(one.adapter() == two.adapter(), "1 and 2 threads give different adapters");
    let other_seed = short_quickstart(2).args(["--seed", "1"]).run_to(&scratch.join("seed"));
    assert!(one.adapter() != other_seed.adapter(), "another seed gives the same adapter");
}
