//! The built program, end to end, as a user calls it. `src/lib.rs` says how to run these checks.

mod bench;
mod commands;
mod datasets;
mod determinism;
mod examples;
mod faults;
mod methods;
mod model_use;
mod quickstart;
mod recommended;
mod refusals;
mod resume;
mod strategies;
mod sweep;
mod travel;

use flora_e2e::{Call, flora, root};

/// The quickstart of one round or two: what most checks change.
fn short_quickstart(rounds: u64) -> Call {
    flora!["run", "quickstart"].set(format!("training.rounds={rounds}"))
}

/// The test images of one vendor, in order, by paths as a user at the root of the source tree types them.
fn images_of_fxemoji() -> Vec<String> {
    let folder = "datasets/emoji-vendors/images/fxemoji/test";
    let mut images = Vec::new();
    for class in names(folder) {
        let class = format!("{folder}/{class}");
        let pictures = names(&class).into_iter().filter(|name| name.ends_with(".png"));
        images.extend(pictures.map(|name| format!("{class}/{name}")));
    }
    images
}

/// The names in a folder of the source tree, in order.
fn names(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
