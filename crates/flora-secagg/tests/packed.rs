//! Lanes of few bits: the sum is that of the clients' lanes, whoever drops out, and near that of the updates.

mod common;

use std::collections::BTreeMap;

use common::{Change, TASK, World, fault, ids, rng, session, to, updates};
use flora_secagg::{
    Answer, Ask, ClientId, Config, Fault, Plan, Request, Response, Rounding, SecaggError, Setup,
    Stage, Sum, Update, rand_core::Rng, simulate,
};

const MAX_WEIGHT: u64 = 500;

fn packed(count: usize, length: usize, bits: u32, seed: u64, change: Change<Config>) -> Setup {
    let mut config = Config { bits: Some(bits), max_weight: MAX_WEIGHT, ..Config::default() };
    change(&mut config);
    config.setup(session(seed), ids(count), length, &mut rng(seed)).unwrap()
}

fn run(
    setup: &Setup,
    updates: &[(Vec<f32>, u64)],
    dropouts: &BTreeMap<ClientId, Stage>,
    seed: u64,
) -> simulate::Outcome {
    let given: Vec<Update<'_>> = updates
        .iter()
        .map(|(values, weight)| Update { values, weight: *weight, task: TASK })
        .collect();
    simulate::run(setup, &given, dropouts, &mut rng(seed)).unwrap()
}

/// The fewest bits of the sum of so many clients' values.
fn width(count: usize, bits: u32) -> u32 {
    let most = count as u64 * ((1 << bits) - 2);
    (1..=32).find(|width| most < 1 << width).unwrap()
}

#[test]
fn sums_are_exact_for_3_to_100_clients_in_all_widths_with_dropouts_at_every_stage() {
    let mut random = rng(5);
    let mut below = |bound: usize| random.next_u32() as usize % bound;
    for case in 0..60_u64 {
        let count = if case < 20 { 3 + below(8) } else { 3 + below(98) };
        let most_bits = (u64::from(u32::MAX) / count as u64 + 2).ilog2().min(31) as usize;
        let (bits, length) = (2 + below(most_bits - 1) as u32, 1 + below(300));
        let plan = Plan { degree: count - 1, threshold: count / 2 + 1 };
        let mut config = Config {
            bits: Some(bits),
            max_weight: MAX_WEIGHT,
            minimum: Some(2),
            neighbours: Some(plan.degree),
            threshold: Some(plan.threshold),
            rounding: Some(Rounding::Nearest),
            ..Config::default()
        };
        if count > 40 {
            (config.neighbours, config.threshold) = (Some(20), Some(9));
        }
        let setup = config.setup(session(case), ids(count), length, &mut rng(case)).unwrap();
        assert_eq!(setup.lane_bits(), width(count, bits));
        let mut gone = BTreeMap::new();
        for stage in Stage::ALL {
            // Up to a tenth at each stage; with fewer than ten clients one at one stage.
            let most = if count < 10 { usize::from(stage as u64 == case % 5) } else { count / 20 };
            for _ in 0..most {
                gone.entry(setup.clients()[below(count)]).or_insert(stage);
            }
        }
        let updates = updates(count, length, case);
        let outcome = run(&setup, &updates, &gone, case);
        let inside =
            |client: ClientId| gone.get(&client).is_none_or(|stage| *stage > Stage::Masked);
        let (clients, sum) = common::expected(&setup, &updates, inside);
        assert_eq!(outcome.sum.clients(), clients);
        assert!(
            outcome.sum.lanes().iter().map(|lane| u64::from(*lane)).eq(sum.iter().copied()),
            "{count} clients, {bits} bits, {length} values"
        );
        assert_eq!(outcome.sum.weight(), *sum.last().unwrap());
        // Tag, kind, task, numbers: nothing grows with the length.
        let lanes = (length * width(count, bits) as usize).div_ceil(8);
        let response = outcome.stages[2].response;
        assert!((lanes + 32..lanes + 60).contains(&response), "{response} {lanes}");
    }
}

/// At both ends of the range, where a lane too narrow would wrap.
#[test]
fn the_largest_sums_fit() {
    for count in [3, 4, 5, 8, 9, 10, 64] {
        for bits in [2, 4, 8, 16, 24] {
            for value in [-1.0, 1.0] {
                let setup = packed(count, 3, bits, 1, |_| ());
                let updates = vec![(vec![value; 3], MAX_WEIGHT); count];
                let sum = run(&setup, &updates, &BTreeMap::new(), 1).sum;
                let most = count as u32 * ((1 << bits) - 2);
                let lane = if value > 0.0 { most } else { 0 };
                assert_eq!(sum.lanes(), [lane, lane, lane, count as u32 * MAX_WEIGHT as u32]);
                assert_eq!(sum.mean().unwrap(), [value; 3]);
            }
        }
    }
}

#[test]
fn a_value_out_of_range_is_an_error_and_never_wraps() {
    for change in [(|_| ()) as Change<Config>, |config| config.norm = Some(1.0)] {
        let mut world = World::with(packed(4, 40, 4, 1, change), 1);
        let is_rotated = world.server.setup().is_rotated();
        world
            .updates
            .iter_mut()
            .for_each(|(values, _)| values.iter_mut().for_each(|it| *it *= 0.1));
        let requests = world.until(Stage::Masked);
        let id = world.id(0);
        world.updates[0] = (vec![1.01; 40], MAX_WEIGHT);
        let error = world.answer(&to(&requests, id)).unwrap_err();
        match is_rotated {
            false => assert!(matches!(error, SecaggError::Range { lane: 0, .. }), "{error}"),
            true => assert!(matches!(error, SecaggError::Norm { .. }), "{error}"),
        }
        // A client that could not answer may do so with an update that fits.
        world.updates[0].0 = vec![0.01; 40];
        world.rest(requests).unwrap();
    }
}

#[test]
fn messages_of_another_form_are_refused_by_name() {
    let mut world = World::with(packed(5, 8, 5, 1, |_| ()), 1);
    let requests = world.until(Stage::Masked);
    let id = world.id(1);
    let response = world.answer(&to(&requests, id)).unwrap();
    let Answer::Packed { lanes, .. } = &response.body else { panic!("not packed") };
    // 8 lanes of 8 bits, up to 5 x 30 = 150; weights up to 2500, 12 bits in 2 bytes.
    assert_eq!(lanes.len(), 8 + 2);
    let with = |lanes: Vec<u8>| Response {
        body: Answer::Packed { task: TASK, lanes },
        ..response.clone()
    };
    let mut spare = lanes.clone();
    spare[9] |= 0x80;
    for (wrong, problem) in [
        (with(lanes[1..].to_vec()), "9 bytes of lanes, and 10 are due"),
        (with([&lanes[..], &[0]].concat()), "11 bytes of lanes, and 10 are due"),
        (with(Vec::new()), "0 bytes"),
        (with(spare), "beyond the last lane"),
        (
            Response { body: Answer::Masked { task: TASK, lanes: vec![0; 9] }, ..response.clone() },
            "32 bits",
        ),
    ] {
        let (client, fault) = fault(&world.server.receive(id, wrong).unwrap_err());
        assert_eq!(client, id);
        assert!(matches!(&fault, Fault::Form(found) if found.contains(problem)), "{fault}");
    }
    // Its bytes are read as written, and cut ones refused.
    let bytes = response.to_bytes();
    assert_eq!(Response::from_bytes(&bytes).unwrap(), response);
    for cut in 0..bytes.len() {
        assert!(Response::from_bytes(&bytes[..cut]).is_err());
    }
    assert!(Response::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    world.server.receive(id, response).unwrap();
    world.stage(&requests, &[id]).unwrap();
    let requests = world.server.close().unwrap();
    world.rest(requests).unwrap();

    // And packed lanes where words are due.
    let mut world = World::new(5, 1);
    let requests = world.until(Stage::Masked);
    let response = world.answer(&to(&requests, id)).unwrap();
    let wrong = Response { body: Answer::Packed { task: TASK, lanes: vec![0; 36] }, ..response };
    assert!(matches!(fault(&world.server.receive(id, wrong).unwrap_err()), (_, Fault::Form(_))));
}

#[test]
fn tampered_lanes_show_in_the_sum() {
    let mut world = World::with(packed(5, 500, 4, 1, |_| ()), 1);
    let requests = world.until(Stage::Masked);
    let id = world.id(1);
    let mut response = world.answer(&to(&requests, id)).unwrap();
    let Answer::Packed { lanes, .. } = &mut response.body else { panic!("not packed") };
    // Sums of 7 bits reach 5 x 14 = 70 of 127: of 500 random ones some are larger.
    lanes[..400].iter_mut().enumerate().for_each(|(i, byte)| *byte ^= i as u8);
    world.server.receive(id, response).unwrap();
    world.stage(&requests, &[id]).unwrap();
    let requests = world.server.close().unwrap();
    let error = world.rest(requests).unwrap_err();
    assert!(matches!(error, SecaggError::Sum { clients: 5, most: 70, .. }), "{error}");
}

#[test]
fn setups_come_back_and_the_old_ones_have_their_old_bytes() {
    let forms: [(Change<Config>, u8, u32); 6] = [
        (|config| config.packed = Some(false), 0, 32),
        (
            |config| (config.packed, config.rounding) = (Some(false), Some(Rounding::Stochastic)),
            1,
            32,
        ),
        (|_| (), 3, 11),
        (|config| config.rounding = Some(Rounding::Nearest), 2, 11),
        (|config| (config.norm, config.packed) = (Some(2.0), Some(false)), 5, 32),
        (|config| (config.norm, config.rounding) = (Some(2.0), Some(Rounding::Nearest)), 6, 11),
    ];
    for (change, flags, lane_bits) in forms {
        let world = World::with(packed(6, 100, 8, 3, change), 3);
        let (_, request) = &world.server.start()[0];
        let bytes = request.to_bytes();
        // The seed comes last, and the flags before it.
        assert_eq!(bytes[bytes.len() - 33], flags);
        assert_eq!(Request::from_bytes(&bytes).unwrap(), *request);
        let Ask::Setup(setup) = &request.body else { panic!("no setup") };
        assert_eq!(setup.lane_bits(), lane_bits);
        let mut unknown = bytes.clone();
        unknown[bytes.len() - 33] = 8;
        let error = Request::from_bytes(&unknown).unwrap_err().to_string();
        assert!(error.contains("rounding 8 is unknown"), "{error}");
    }
    // Without settings, and with those of before, lanes are words.
    let plain = Config::default().setup(session(1), ids(6), 100, &mut rng(1)).unwrap();
    assert_eq!((plain.lane_bits(), plain.bits()), (32, 29));
    for (bits, count) in [(1, 6), (32, 6), (30, 6)] {
        let config = Config { bits: Some(bits), ..Config::default() };
        let error = config.setup(session(1), ids(count), 9, &mut rng(1)).unwrap_err();
        assert!(error.to_string().starts_with("bits: "), "{error}");
    }
    for norm in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let config = Config { norm: Some(norm), ..Config::default() };
        let error = config.setup(session(1), ids(6), 9, &mut rng(1)).unwrap_err();
        assert!(error.to_string().starts_with("norm: "), "{error}");
    }
}

/// Updates like those of adapters: a few tensors of different size, and a few numbers that stand out.
fn uneven(count: usize, length: usize, seed: u64) -> Vec<(Vec<f32>, u64)> {
    let mut random = rng(seed);
    let mut uniform = || f64::from(random.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0;
    let mut one = || {
        let values = (0..length).map(|i| {
            let scale = if i < length / 3 { 0.001 } else { 0.01 };
            (uniform().powi(3) * scale) as f32
        });
        (values.collect::<Vec<f32>>(), MAX_WEIGHT)
    };
    (0..count).map(|_| one()).collect()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The square of the error of a mean, in squares of the norm of the exact one.
fn error(mean: &[f64], exact: &[f64]) -> f64 {
    let difference: Vec<f64> = mean.iter().zip(exact).map(|(a, b)| a - b).collect();
    (norm(&difference) / norm(exact)).powi(2)
}

fn exact(updates: &[(Vec<f32>, u64)]) -> Vec<f64> {
    let total: u64 = updates.iter().map(|(_, weight)| weight).sum();
    (0..updates[0].0.len())
        .map(|lane| {
            let of = |(values, weight): &(Vec<f32>, u64)| *weight as f64 * f64::from(values[lane]);
            updates.iter().map(of).sum::<f64>() / total as f64
        })
        .collect()
}

fn mean(sum: &Sum) -> Vec<f64> {
    let weight = sum.weight() as f64;
    sum.weighted().into_iter().map(|value| value / weight).collect()
}

fn with_norm(count: usize, length: usize, bits: u32, norm: f32, seed: u64) -> Setup {
    let config =
        Config { norm: Some(norm), bits: Some(bits), max_weight: MAX_WEIGHT, ..Config::default() };
    config.setup(session(seed), ids(count), length, &mut rng(seed)).unwrap()
}

#[test]
fn rotated_sums_at_random_are_right_on_average() {
    let (count, length, repeats) = (3, 96, 600);
    let mut updates = updates(count, length, 1);
    // One client is always near the smallest weight: rounding to the nearest would lose it.
    updates[1].1 = 3;
    let exact = exact(&updates);
    let mut sum = vec![0.0; length];
    let mut squares = 0.0;
    for seed in 0..repeats {
        let setup = with_norm(count, length, 4, 12.0, seed);
        let found = mean(&run(&setup, &updates, &BTreeMap::new(), 1000 + seed).sum);
        squares += error(&found, &exact);
        sum.iter_mut().zip(&found).for_each(|(sum, value)| *sum += value / repeats as f64);
    }
    // The error of the mean of independent estimates without bias falls with their number.
    let (one, all) = (squares / repeats as f64, error(&sum, &exact));
    assert!((0.7..1.4).contains(&(all / one * repeats as f64)), "{one} {all}");
}

/// What masks add to the error is nothing: the same bits without them have the same lanes.
#[test]
fn errors_are_those_of_the_same_bits_without_masks() {
    let (count, length) = (10, 24_576);
    let updates = uneven(count, length, 2);
    let bound = updates
        .iter()
        .map(|(values, _)| norm(&values.iter().map(|it| f64::from(*it)).collect::<Vec<_>>()))
        .fold(0.0, f64::max);
    let exact = exact(&updates);
    // As the module's documentation says: steps^2 / 6 at random, for each of the clients.
    for (bits, most) in [(4, 8_usize), (8, 12), (16, 20)] {
        let setup = with_norm(count, length, bits, bound as f32 * 1.001, 7);
        assert_eq!(setup.lane_bits() as usize, most);
        let outcome = run(&setup, &updates, &BTreeMap::new(), 7);
        let found = error(&mean(&outcome.sum), &exact);
        let step = outcome.sum.step();
        let predicted = step * step / 6.0 * length as f64 / count as f64 / norm(&exact).powi(2);
        println!(
            "{bits} bits: lanes of {most}, {} bytes, error {found:.3e} of the mean's square, predicted {predicted:.3e}",
            outcome.stages[2].response
        );
        assert!((0.95..1.05).contains(&(found / predicted)), "{bits}: {found} {predicted}");
        assert_eq!(outcome.stages[2].response, length * most / 8 + 2 + 17 + 32);
    }
    // Without a rotation, in a range of the largest number, as without masks: every client's numbers rounded alone.
    let largest =
        updates.iter().flat_map(|(values, _)| values).fold(0.0_f32, |a, b| a.max(b.abs()));
    for bits in [4, 8, 16, 28] {
        let config = Config {
            range: largest,
            bits: Some(bits),
            rounding: Some(Rounding::Nearest),
            max_weight: MAX_WEIGHT,
            ..Config::default()
        };
        let setup = config.setup(session(1), ids(count), length, &mut rng(1)).unwrap();
        let outcome = run(&setup, &updates, &BTreeMap::new(), 7);
        let half = f64::from((1 << (bits - 1)) - 1);
        let step = f64::from(largest) / half;
        let alone: Vec<f64> = (0..length)
            .map(|lane| {
                let of = |(values, _): &(Vec<f32>, u64)| {
                    (f64::from(values[lane]) / f64::from(largest) * half).round() * step
                };
                updates.iter().map(of).sum::<f64>() / count as f64
            })
            .collect();
        assert!(error(&mean(&outcome.sum), &alone) < 1e-24);
        println!("{bits} bits to the nearest: error {:.3e}", error(&alone, &exact));
    }
}
