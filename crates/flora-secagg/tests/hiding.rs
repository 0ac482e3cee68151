//! What the server sees of one client is random numbers, as far as a test can tell.

mod common;

use common::{TASK, World, rng, session, setup, to, updates};
use flora_secagg::{Answer, Client, Config, Setup, Stage, Update, rand_core::CryptoRng};

/// The masked lanes of the first client, whose update is `values` with `weight`.
fn masked(
    setup: Setup,
    seed: u64,
    values: &[f32],
    weight: u64,
    random: &mut impl CryptoRng,
) -> Vec<u32> {
    let mut world = World::with(setup, seed);
    let requests = world.until(Stage::Masked);
    let id = world.id(0);
    let client: &mut Client = world.clients.get_mut(&id).unwrap();
    let response = client
        .answer(&to(&requests, id), Some(Update { values, weight, task: TASK }), random)
        .unwrap();
    match response.body {
        Answer::Masked { lanes, .. } => lanes,
        // But for the weight's lane, whose last byte has bits that are always zero.
        Answer::Packed { lanes: bytes, .. } => {
            bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect()
        }
        _ => panic!("no lanes"),
    }
}

/// Pearson's statistic of the lanes' bytes, less its mean of 255, in standard deviations.
fn deviation(lanes: &[u32]) -> f64 {
    let mut counts = [0_u64; 256];
    lanes
        .iter()
        .flat_map(|lane| lane.to_le_bytes())
        .for_each(|byte| counts[usize::from(byte)] += 1);
    let each = 4.0 * lanes.len() as f64 / 256.0;
    let statistic: f64 = counts.iter().map(|count| (*count as f64 - each).powi(2) / each).sum();
    (statistic - 255.0) / (2.0 * 255.0_f64).sqrt()
}

#[test]
fn masked_lanes_look_uniform_whatever_the_update() {
    const LENGTH: usize = 50_000;
    let zeros = vec![0.0; LENGTH];
    let (random, _) = &updates(1, LENGTH, 7)[0];
    let mut all = Vec::new();
    for seed in [1, 2] {
        for values in [&zeros, random] {
            let setup = setup(4, LENGTH, None, seed);
            let lanes = masked(setup, seed + 10 * all.len() as u64, values, 300, &mut rng(1));
            assert!(deviation(&lanes).abs() < 4.5, "{}", deviation(&lanes));
            all.push(lanes);
        }
    }
    // The differences of any two, too: a mask that is used twice would leave the difference of the updates.
    for (i, one) in all.iter().enumerate() {
        for other in &all[..i] {
            let difference: Vec<u32> =
                one.iter().zip(other).map(|(a, b)| a.wrapping_sub(*b)).collect();
            assert!(deviation(&difference).abs() < 4.5);
        }
    }
    // The statistic does tell what is not masked.
    assert!(deviation(&vec![1 << 27; LENGTH]) > 1000.0);
}

#[test]
fn packed_lanes_look_uniform_in_every_width_whatever_the_update() {
    const LENGTH: usize = 50_000;
    for bits in [2, 3, 5, 8, 13, 24] {
        let config = Config { bits: Some(bits), max_weight: 500, ..Config::default() };
        let mut all = Vec::new();
        // Zeros, the largest value and the smallest: without masks every lane would be the same.
        for (seed, value) in [(1, 0.0), (2, 1.0), (3, -1.0)] {
            let session = session(seed);
            let setup = config.setup(session, common::ids(4), LENGTH, &mut rng(seed)).unwrap();
            let (width, values) = (setup.lane_bits() as usize, vec![value; LENGTH]);
            let lanes = masked(setup, seed, &values, 500, &mut rng(seed));
            assert_eq!(lanes.len(), (LENGTH * width / 8 + 2) / 4);
            assert!(deviation(&lanes).abs() < 4.5, "{bits} {value}: {}", deviation(&lanes));
            all.push(lanes);
        }
        let both: Vec<u32> = all[0].iter().zip(&all[1]).map(|(a, b)| a ^ b).collect();
        assert!(deviation(&both).abs() < 4.5, "{bits}: {}", deviation(&both));
    }
}

#[test]
fn masks_differ_in_every_round_even_if_the_random_numbers_do_not() {
    let values = [0.25; 1000];
    let with = |round| {
        let config = Config { max_weight: 500, ..Config::default() };
        let setup = config.setup(session(round), common::ids(4), 1000, &mut rng(1)).unwrap();
        masked(setup, 1, &values, 300, &mut rng(1))
    };
    assert_eq!(with(1), with(1));
    let same = with(1).iter().zip(with(2)).filter(|(one, two)| *one == two).count();
    assert!(same < 3, "{same}");
}

#[test]
fn messages_of_the_other_stages_do_not_depend_on_the_update() {
    let of = |scale: f32| {
        let mut world = World::new(5, 1);
        world
            .updates
            .iter_mut()
            .for_each(|(values, _)| values.iter_mut().for_each(|value| *value *= scale));
        let mut requests = world.server.start();
        let mut seen = Vec::new();
        loop {
            for (id, request) in &requests {
                let response = world.answer(request).unwrap();
                if world.server.stage() != Stage::Masked {
                    seen.push(response.to_bytes());
                }
                world.server.receive(*id, response).unwrap();
            }
            if world.server.stage() == Stage::Opened {
                return seen;
            }
            requests = world.server.close().unwrap();
        }
    };
    assert_eq!(of(1.0), of(0.0));
}
