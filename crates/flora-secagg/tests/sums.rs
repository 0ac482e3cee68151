//! The sum is the sum, whoever drops out; and no sum comes of too few.

mod common;

use std::collections::BTreeMap;

use common::{TASK, World, expected, rng, setup, updates};
use flora_secagg::{ClientId, Plan, SecaggError, Setup, Stage, Update, rand_core::Rng, simulate};

/// So many clients, drawn at random, fall silent at a stage.
fn drop_out(setup: &Setup, stage: Stage, count: usize, seed: u64) -> BTreeMap<ClientId, Stage> {
    let mut rng = rng(seed);
    let mut left = setup.clients().to_vec();
    (0..count).map(|_| (left.swap_remove(rng.next_u32() as usize % left.len()), stage)).collect()
}

/// Runs an attempt and checks every lane.
fn check(setup: &Setup, dropouts: &BTreeMap<ClientId, Stage>, seed: u64) -> simulate::Outcome {
    let updates = updates(setup.clients().len(), setup.length(), seed);
    let given: Vec<Update<'_>> = updates
        .iter()
        .map(|(values, weight)| Update { values, weight: *weight, task: TASK })
        .collect();
    let outcome = simulate::run(setup, &given, dropouts, &mut rng(seed)).unwrap();
    let inside =
        |client: ClientId| dropouts.get(&client).is_none_or(|stage| *stage > Stage::Masked);
    let (clients, sum) = expected(setup, &updates, inside);
    assert_eq!(outcome.sum.clients(), clients);
    assert!(outcome.sum.lanes().iter().map(|lane| u64::from(*lane)).eq(sum.iter().copied()));
    assert_eq!(outcome.sum.weight(), *sum.last().unwrap());
    outcome
}

fn every_stage_and_rate(count: usize, plan: Option<Plan>) {
    let setup = setup(count, 33, plan, count as u64);
    check(&setup, &BTreeMap::new(), 1);
    for (i, stage) in Stage::ALL.into_iter().enumerate() {
        for percent in [10, 20, 30] {
            let gone = drop_out(&setup, stage, count * percent / 100, (100 * i + percent) as u64);
            let outcome = check(&setup, &gone, 2);
            for cost in &outcome.stages {
                let (asked, silent) = (cost.stage <= stage, cost.stage >= stage);
                assert_eq!(cost.asked, if asked { count } else { count - gone.len() });
                assert_eq!(cost.answered, if silent { count - gone.len() } else { count });
            }
        }
    }
}

#[test]
fn sums_are_exact_with_4_clients() {
    every_stage_and_rate(4, None);
    let setup = setup(4, 5, None, 4);
    for stage in Stage::ALL {
        for client in setup.clients() {
            check(&setup, &BTreeMap::from([(*client, stage)]), 3);
        }
    }
}

#[test]
fn sums_are_exact_with_10_clients() {
    every_stage_and_rate(10, None);
}

#[test]
fn sums_are_exact_with_100_clients_on_a_sparse_graph() {
    every_stage_and_rate(100, Some(Plan { degree: 24, threshold: 9 }));
}

#[test]
fn sums_are_exact_with_1000_clients_on_a_sparse_graph() {
    let setup = setup(1000, 9, Some(Plan { degree: 24, threshold: 7 }), 1000);
    check(&setup, &drop_out(&setup, Stage::Masked, 300, 1), 1);
    // Some at every stage.
    let mut gone = BTreeMap::new();
    for (i, stage) in Stage::ALL.into_iter().enumerate() {
        gone.extend(drop_out(&setup, stage, 60, i as u64 + 2));
    }
    check(&setup, &gone, 2);
}

#[test]
fn sums_are_exact_with_the_planned_graph() {
    let setup = setup(100, 9, None, 100);
    assert!(setup.degree() < 99);
    check(&setup, &drop_out(&setup, Stage::Masked, 30, 5), 5);
}

#[test]
fn clients_may_drop_out_at_all_stages_of_one_attempt() {
    let setup = setup(20, 9, Some(Plan { degree: 19, threshold: 11 }), 20);
    let gone = Stage::ALL
        .into_iter()
        .enumerate()
        .map(|(i, stage)| (setup.clients()[3 * i], stage))
        .collect();
    check(&setup, &gone, 6);
}

#[test]
fn too_few_clients_end_the_attempt_at_every_stage() {
    for plan in [None, Some(Plan { degree: 4, threshold: 4 })] {
        for stage in Stage::ALL {
            let mut world = World::with(setup(10, 8, plan, 1), 1);
            let requests = world.until(stage);
            // Seven are needed of ten; in the sparse graph four of five holders.
            let gone: Vec<ClientId> = (0..5).map(|i| world.id(2 * i)).collect();
            world.stage(&requests, &gone).unwrap();
            assert_eq!(world.server.waiting(), gone);
            let error = match stage {
                Stage::Opened => world.server.finish().unwrap_err(),
                _ => world.server.close().unwrap_err(),
            };
            let SecaggError::TooFew { stage: at, found, needed, missing, .. } = &error else {
                panic!("{error}")
            };
            assert_eq!(*at, stage);
            assert!(
                found < needed && !missing.is_empty() && missing.iter().all(|id| gone.contains(id)),
                "{error}"
            );
            // It stays closed.
            assert_eq!(world.server.stage(), Stage::Over);
            assert!(matches!(world.server.close(), Err(SecaggError::Stage { .. })));
            assert!(matches!(world.server.finish(), Err(SecaggError::Stage { .. })));
        }
    }
}

#[test]
fn the_mean_is_the_weighted_mean_within_the_resolution() {
    let setup = setup(10, 50, None, 3);
    let gone = drop_out(&setup, Stage::Masked, 2, 3);
    let sum = check(&setup, &gone, 3).sum;
    let updates = updates(10, 50, 3);
    let inside = || {
        setup
            .clients()
            .iter()
            .zip(&updates)
            .filter(|(id, _)| !gone.contains_key(id))
            .map(|(_, u)| u)
    };
    let total: u64 = inside().map(|(_, weight)| weight).sum();
    // Half a step for each of eight clients, and the rounding of the mean to f32.
    let most = 8.0 * 0.5 * sum.step() * 500.0 / total as f64 + 6e-8;
    for (lane, mean) in sum.mean().unwrap().iter().enumerate() {
        let exact =
            inside().map(|(u, w)| *w as f64 * f64::from(u[lane])).sum::<f64>() / total as f64;
        assert!((f64::from(*mean) - exact).abs() <= most, "{mean} {exact} {most}");
    }
    assert!(most < 1e-6);
}

/// `cargo test --release -p flora-secagg --test sums -- --ignored --nocapture`
#[test]
#[ignore = "prints times"]
fn times_of_a_client_and_the_server() {
    const LENGTH: usize = 24_575;
    for (count, gone) in [(10, 0), (10, 3), (100, 0), (100, 30), (1000, 0), (1000, 300)] {
        let setup = setup(count, LENGTH, None, 9);
        let gone = drop_out(&setup, Stage::Masked, gone, 9);
        let outcome = check(&setup, &gone, 9);
        let mut times = outcome.clients;
        times.sort_unstable();
        println!(
            "{count} clients ({} dropped), degree {}, threshold {}, {} bits: fastest client {:.1} ms, \
             median {:.1} ms, slowest {:.1} ms, server {:.1} ms",
            gone.len(),
            setup.degree(),
            setup.threshold(),
            setup.bits(),
            // Without waiting for what else the machine does, and so the processor's time.
            times[0].as_secs_f64() * 1e3,
            times[times.len() / 2].as_secs_f64() * 1e3,
            times[times.len() - 1].as_secs_f64() * 1e3,
            outcome.server.as_secs_f64() * 1e3
        );
        for cost in outcome.stages {
            println!(
                "  {}: request {} bytes, response {} bytes",
                cost.stage, cost.request, cost.response
            );
        }
    }
}
