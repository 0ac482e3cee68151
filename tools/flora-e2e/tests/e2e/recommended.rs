//! The preset `recommended`: ridge in closed form.

use flora_e2e::{flora, scratch};

#[test]
#[ignore = "end to end"]
fn one_round_exceeds_full_fine_tuning() {
    let run = flora!["run", "recommended"].run_to(&scratch("recommended"));
    let after = run.accuracy(1);
    println!("recommended: {after:.4} after one round");
    assert!(after > 0.47, "{after}");
}

/// Every client is scored with the same classifier, so that the partition changes nothing but rounding.
#[test]
#[ignore = "end to end"]
fn the_partition_does_not_matter() {
    let scratch = scratch("recommended-partitions");
    let partitions = [
        r#"partition={ kind = "iid", clients = 10 }"#,
        r#"partition={ kind = "pathological", clients = 10, classes_per_client = 4 }"#,
    ];
    let [one, other] = partitions.map(|partition| {
        let run = flora!["run", "recommended", "--overwrite"].set(partition).run_to(&scratch);
        let data = "datasets/emoji-vendors/emoji-vendors.toml";
        let eval =
            flora!["eval", "--run", run.folder(), "--data", data, "--split", "test", "--json"];
        eval.json()["top1"].as_f64().unwrap()
    });
    println!("recommended: {one:.4} and {other:.4} on all test images for two partitions");
    // One of 473 images may be a tie that rounding decides.
    assert!(one > 0.0 && (one - other).abs() < 0.003, "{one} and {other}");
}
