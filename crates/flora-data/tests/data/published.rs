//! Draws behind published results: changing one bit here would silently change them all.

use flora_data::{Dataset, PartitionConfig, Remainder};
use sha2::{Digest, Sha256};

use crate::sets::{labelled, open, vendors};

/// The first 16 hexadecimal digits of the SHA-256 of the partition's JSON.
fn digest(config: &PartitionConfig, set: &Dataset) -> String {
    let partition = config.apply(set, 7).unwrap();
    let hash = Sha256::digest(serde_json::to_vec(&partition).unwrap());
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn dirichlet(
    beta: f64,
    min_samples: usize,
    capacity_mask: bool,
    max_tries: usize,
) -> PartitionConfig {
    PartitionConfig::Dirichlet {
        clients: 7,
        beta,
        min_samples,
        capacity_mask,
        max_tries,
        repair: true,
        remainder: Remainder::Last,
    }
}

#[test]
fn the_draws_are_those_of_the_first_release() {
    let pathological = PartitionConfig::Pathological { clients: 4, classes_per_client: 2 };
    let digits = labelled(&[70, 50, 40, 30, 20], &[9, 8, 7, 6, 5]);
    let vendors = open(&vendors()).unwrap();
    for (config, set, published) in [
        (PartitionConfig::Iid { clients: 7 }, &digits, "b48e188d13ff29da"),
        (PartitionConfig::dirichlet(7, 0.1), &digits, "24510d1f40a87882"),
        (dirichlet(0.5, 2, false, 1000), &digits, "023ea605c0f0110b"),
        // Never enough in three draws: repaired.
        (dirichlet(0.01, 25, true, 3), &digits, "e6d12d2f4c7e97b2"),
        (dirichlet(0.01, 25, false, 3), &digits, "38750ed0a4c3c1b6"),
        (pathological.clone(), &digits, "1247adf059e75c1a"),
        (PartitionConfig::Iid { clients: 7 }.few_shot(4), &digits, "bb68e609140d1300"),
        (pathological.few_shot(4), &digits, "7bf97a9bb22ce181"),
        (PartitionConfig::dirichlet(7, 0.5).few_shot(4), &digits, "09282c3b9e9e8457"),
        (PartitionConfig::Natural, &vendors, "60f5e75c130ce0ab"),
        (PartitionConfig::Natural.few_shot(2), &vendors, "2b88fc0359768fae"),
    ] {
        assert_eq!(digest(&config, set), published, "{config:?}");
    }
}
