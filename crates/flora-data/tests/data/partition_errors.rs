//! Impossible partitions.

use flora_data::{Dataset, Limit, Partition, PartitionConfig, Remainder};

use crate::sets::{assert_says, labelled, open, png, vendors};

fn dirichlet(clients: usize, beta: f64, min_samples: usize, max_tries: usize) -> PartitionConfig {
    PartitionConfig::Dirichlet {
        clients,
        beta,
        min_samples,
        capacity_mask: false,
        max_tries,
        repair: false,
        remainder: Remainder::Last,
    }
}

fn quantity(clients: usize, beta: f64, min_samples: usize, max_tries: usize) -> PartitionConfig {
    PartitionConfig::Quantity { clients, beta, min_samples, max_tries, repair: false }
}

fn shards(clients: usize, shards_per_client: usize) -> PartitionConfig {
    PartitionConfig::Shards { clients, shards_per_client }
}

fn pathological(clients: usize, classes_per_client: usize) -> PartitionConfig {
    PartitionConfig::Pathological { clients, classes_per_client }
}

#[track_caller]
fn refused(config: &PartitionConfig, set: &Dataset, parts: &[&str]) {
    let message = config.apply(set, 1).unwrap_err().to_string();
    assert_says(&message, parts);
}

#[test]
fn an_empty_client_is_named() {
    let set = labelled(&[3, 2], &[1, 1]);
    for config in [
        PartitionConfig::Iid { clients: 6 },
        shards(6, 2),
        PartitionConfig::dirichlet(6, 0.1),
        PartitionConfig::quantity(6, 0.1),
        pathological(6, 2),
    ] {
        refused(&config, &set, &["client-05", "no training image", "5 of them", "lower `clients`"]);
    }
    let lonely = dirichlet(5, 1e-9, 0, 1);
    refused(&lonely, &set, &["client-0", "no training image", "`min_samples`"]);
    refused(&quantity(5, 1e-9, 0, 1), &set, &["client-0", "no training image", "`min_samples`"]);
    // The only image of class 0 cannot be split between the three clients that hold nothing else.
    let set = labelled(&[1, 8], &[1, 1]);
    refused(&pathological(6, 1), &set, &["client-0", "no training image", "`clients`"]);
}

#[test]
fn a_domain_without_training_images_is_named() {
    let dir = vendors();
    png(&dir.path().join("images/gamma/test/dog/0.png"), 0);
    let set = open(&dir).unwrap();
    refused(&PartitionConfig::Natural, &set, &["gamma", "no training image", "remove the domain"]);
    let config = PartitionConfig::Natural.few_shot(1);
    refused(&config, &set, &["gamma", "no training image", "remove the domain"]);
}

#[test]
fn an_empty_training_set_is_no_panic() {
    let none = Limit { train: Some(0), test: None };
    let set = labelled(&[3, 2], &[1, 1]).limit(none, 1);
    for config in [
        PartitionConfig::Iid { clients: 2 },
        shards(2, 1),
        PartitionConfig::dirichlet(2, 0.1),
        PartitionConfig::quantity(2, 0.1),
        pathological(2, 1),
        PartitionConfig::Iid { clients: 2 }.few_shot(1),
    ] {
        refused(&config, &set, &["client-00", "no training image"]);
    }
    refused(&pathological(2, 1).few_shot(1), &set, &["`partition.of.clients`"]);
}

#[test]
fn an_impossible_minimum_is_told_with_its_numbers() {
    let set = labelled(&[50, 50], &[1, 1]);
    let mut config = dirichlet(10, 0.1, 11, 1000);
    refused(&config, &set, &["`partition.min_samples`", "need 110", "there are 100", "at most 10"]);
    if let PartitionConfig::Dirichlet { repair, .. } = &mut config {
        *repair = true;
    }
    refused(&config, &set, &["need 110", "there are 100"]);
    refused(&dirichlet(2, 1.0, usize::MAX, 1), &set, &["`partition.min_samples`"]);
}

#[test]
fn an_unlikely_minimum_is_given_up() {
    let set = labelled(&[50, 50], &[1, 1]);
    refused(
        &dirichlet(10, 0.001, 10, 20),
        &set,
        &["in 20 draws with beta 0.001", "never had more than", "10 are wanted", "repair = true"],
    );
    refused(&quantity(10, 0.001, 10, 20), &set, &["in 20 draws with beta 0.001", "10 are wanted"]);
}

#[test]
fn a_concentration_is_a_positive_number() {
    let set = labelled(&[50, 50], &[1, 1]);
    for beta in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        refused(&dirichlet(2, beta, 1, 1), &set, &["`partition.beta`", "above 0"]);
        refused(&quantity(2, beta, 1, 1), &set, &["`partition.beta`", "above 0"]);
    }
    for max_tries in [0, usize::MAX] {
        refused(&dirichlet(2, 1.0, 1, max_tries), &set, &["`partition.max_tries`", "at least 1"]);
        refused(
            &quantity(2, 1.0, 1, max_tries),
            &set,
            &["`partition.max_tries`", "at most 1000000"],
        );
    }
}

#[test]
fn pathological_says_how_many_clients_it_takes() {
    let set = labelled(&[5; 10], &[1; 10]);
    refused(
        &pathological(3, 2),
        &set,
        &["`partition.classes_per_client`", "leave out 4 of 10", "at least 4", "at least 5"],
    );
    for k in [0, 11] {
        refused(&pathological(3, k), &set, &["`partition.classes_per_client`", "1 to 10"]);
    }
}

#[test]
fn pieces_need_images() {
    let set = labelled(&[5; 4], &[1; 4]);
    refused(&shards(2, 0), &set, &["`partition.shards_per_client`", "at least 1"]);
    refused(&shards(4, 6), &set, &["24 pieces", "20 training images", "at most 5", "at most 3"]);
    refused(&shards(4, usize::MAX), &set, &["`partition.shards_per_client`"]);
}

#[test]
fn natural_needs_domains() {
    let set = labelled(&[5; 2], &[1; 2]);
    refused(&PartitionConfig::Natural, &set, &["`partition.kind`", "digits", "{domain}"]);
    let config = PartitionConfig::Natural.few_shot(1);
    refused(&config, &set, &["`partition.of.kind`", "digits"]);
}

#[test]
fn few_shot_settings_are_checked() {
    let set = labelled(&[5; 4], &[1; 4]);
    let iid = PartitionConfig::Iid { clients: 2 };
    refused(&iid.clone().few_shot(0), &set, &["`partition.shots`", "at least 1"]);
    let novel = iid.clone().base_to_novel().few_shot(1);
    refused(&novel, &set, &["`partition.of`", "base-to-novel of few-shot"]);
    refused(&iid.few_shot(1).few_shot(1), &set, &["`partition.of`", "few-shot cannot be nested"]);
    refused(
        &pathological(5, 1).few_shot(1),
        &set,
        &["`partition.of.clients`", "5 clients", "at most 4"],
    );
}

#[test]
fn the_number_of_clients_is_checked() {
    let set = labelled(&[5; 4], &[1; 4]);
    for clients in [0, usize::MAX] {
        for config in [
            PartitionConfig::Iid { clients },
            shards(clients, 1),
            PartitionConfig::dirichlet(clients, 1.0),
            PartitionConfig::quantity(clients, 1.0),
            pathological(clients, 1),
        ] {
            refused(&config, &set, &["`partition.clients`", "choose 1 to"]);
        }
        let config = PartitionConfig::Iid { clients }.few_shot(1);
        refused(&config, &set, &["`partition.of.clients`", "choose 1 to"]);
    }
}

#[test]
fn a_saved_partition_is_checked() {
    let set = labelled(&[5; 4], &[1; 4]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("partition.json");
    let message = Partition::load(&path).unwrap_err().to_string();
    assert_says(&message, &["partition.json"]);
    for bad in ["", "{", "{\"clients\": 3}", "{\"clients\": [], \"seed\": 1}"] {
        std::fs::write(&path, bad).unwrap();
        let message = Partition::load(&path).unwrap_err().to_string();
        assert_says(&message, &["partition.json", "not a saved partition"]);
    }

    let good = PartitionConfig::Iid { clients: 2 }.apply(&set, 1).unwrap();
    let spoilt = |spoil: fn(&mut Partition)| {
        let mut bad = good.clone();
        spoil(&mut bad);
        bad.check(&set).unwrap_err().to_string()
    };
    let twice = spoilt(|p| p.clients[1].train.extend_from_within(..1));
    assert_says(&twice, &["client-01 holds sample", "twice"]);
    let namesake = spoilt(|p| p.clients[1].id = p.clients[0].id.clone());
    assert_says(&namesake, &["two clients", "client-00"]);
    for groups in [vec![vec![0, 1], vec![2]], vec![vec![0, 1], vec![1, 2, 3]], vec![vec![0, 9]]] {
        let bad = Partition { class_groups: Some(groups), ..good.clone() };
        assert_says(&bad.check(&set).unwrap_err().to_string(), &["class_groups", "0 to 3"]);
    }
    let beyond = spoilt(|p| p.clients[1].train.push(1000));
    assert_says(&beyond, &["digits", "sample 1000 of client-01"]);
    let swapped = spoilt(|p| p.clients[0].test = p.clients[1].train.clone());
    assert_says(&swapped, &["client-00", "Test"]);
    let empty = spoilt(|p| p.clients.iter_mut().for_each(|client| client.train.clear()));
    assert_says(&empty, &["no client has a training image"]);
    assert_says(&spoilt(|p| p.clients.clear()), &["no client"]);
}
