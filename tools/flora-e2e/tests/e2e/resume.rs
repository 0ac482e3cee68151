//! A run that is killed goes on.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use flora_e2e::{Run, Started, assert_found, flora, scratch};

use crate::short_quickstart;

/// Kills the program, which writes into `folder`, in the middle of its third round, or wherever it is by then.
fn kill_in_third_round(mut program: Started, folder: &Path) {
    let until = Instant::now() + Duration::from_secs(180);
    let aggregated = |event: &serde_json::Value| event["event"] == "aggregated";
    while Run::events_so_far(folder).iter().filter(|event| aggregated(event)).count() < 2 {
        assert!(Instant::now() < until, "two rounds take longer than three minutes");
        assert_eq!(
            program.child.try_wait().unwrap(),
            None,
            "the run was over before it was killed"
        );
        sleep(Duration::from_millis(5));
    }
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    assert!(!folder.join("run.json").exists(), "the run was over before it was killed");
}

#[test]
#[ignore = "end to end"]
fn a_killed_run_that_is_moved_ends_with_the_same_bits() {
    let scratch = scratch("resume");
    let whole = short_quickstart(4).run_to(&scratch.join("whole"));
    let killed = scratch.join("killed");
    kill_in_third_round(short_quickstart(4).arg("--out").arg(&killed).start(), &killed);
    let listed = flora!["runs", &scratch].ok().stdout;
    assert_found("killed +flora .* interrupted", &listed);

    let moved = scratch.join("moved");
    std::fs::rename(killed, &moved).unwrap();
    flora!["run", "--resume", &moved].ok();
    let resumed = Run::open(&moved);
    assert!(whole.adapter() == resumed.adapter(), "another adapter");
    assert_eq!(whole.timeless_metrics(), resumed.timeless_metrics());
    flora!["runs", "compare", whole.folder(), moved].ok();
}
