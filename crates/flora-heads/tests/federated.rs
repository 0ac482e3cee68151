//! A head depends neither on the partition of the images nor on the order of the answers.

mod support;

use flora_core::{Dtype, HostTensor, ParameterRecord, seed};
use flora_heads::{Gda, HeadsError, Lda, LinearClassifier, Moments, Ncm, Ridge};
use rand::{RngExt, seq::SliceRandom};
use support::{Images, head_distance, predictions};

/// The state of a server: sums as f32, to which it adds answers times their numbers of examples, in f64.
struct Server(ParameterRecord);

impl Server {
    fn new(images: &Images) -> Self {
        Self(Moments::new(images.dim, images.classes).to_record().unwrap())
    }

    fn add(&mut self, answers: &[(ParameterRecord, f64)]) {
        let mut next = ParameterRecord::new();
        for (name, tensor) in self.0.iter() {
            let mut sums: Vec<f64> =
                tensor.to_f32().iter().map(|&value| f64::from(value)).collect();
            for (answer, examples) in answers {
                for (sum, &mean) in sums.iter_mut().zip(answer.get(name).unwrap().to_f32().iter()) {
                    *sum += examples * f64::from(mean);
                }
            }
            let sums = sums.iter().map(|&sum| sum as f32).collect();
            next.insert(name, HostTensor::from_f32(tensor.shape(), sums).unwrap()).unwrap();
        }
        self.0 = next;
    }

    fn moments(&self) -> Moments {
        Moments::from_record(&self.0).unwrap()
    }
}

fn answer(moments: &Moments, dtype: Dtype) -> (ParameterRecord, f64) {
    (moments.to_mean_record().unwrap().cast(dtype), moments.total())
}

/// Distributes images to `clients` as `draw` selects: at random, or sorted by class, in shares of any size.
fn partition(images: &Images, clients: usize, draw: u64) -> Vec<Vec<usize>> {
    let mut rng = seed::stream(draw, "who holds which image");
    let mut order: Vec<usize> = (0..images.labels.len()).collect();
    order.shuffle(&mut rng);
    if draw % 2 == 1 {
        order.sort_by_key(|&image| images.labels[image]);
    }
    let mut cuts: Vec<usize> = (1..clients).map(|_| rng.random_range(0..=order.len())).collect();
    cuts.extend([0, order.len()]);
    cuts.sort_unstable();
    let mut shares: Vec<_> = cuts.windows(2).map(|cut| order[cut[0]..cut[1]].to_vec()).collect();
    shares.shuffle(&mut rng);
    shares
}

type Solve = fn(&Moments, &[f32]) -> Result<LinearClassifier, HeadsError>;

/// Heads with the changes allowed for f32 and f16 answers. Rounding errors are amplified by the condition number, which
/// lambda bounds; GDA and LDA also contain differences of large sums.
const HEADS: [(&str, Solve, f64, Option<f64>); 6] = [
    ("ridge", |m, t| Ridge { lambda: 0.1, ..Ridge::default() }.solve(m, t), 1e-5, Some(0.05)),
    ("ridge, default", |m, t| Ridge::default().solve(m, t), 1e-4, None),
    (
        "ridge, prior and intercept",
        |m, t| Ridge { lambda: 0.1, prior: 1.0, balance: 1.0, intercept: true }.solve(m, t),
        1e-5,
        Some(0.05),
    ),
    ("gda", |m, t| Gda::default().solve(m, t), 1e-3, None),
    ("lda", |m, _| Lda::default().solve(m), 1e-3, None),
    ("ncm", |m, t| Ncm::default().solve(m, t), 1e-6, Some(1e-3)),
];

fn predicted(head: &LinearClassifier, images: &Images) -> Vec<usize> {
    predictions(&head.logits(&images.features).unwrap(), images.classes)
}

#[test]
fn the_head_is_the_same_over_any_clients_in_any_order() {
    for draw in 0..6 {
        let images = Images::drawn(draw, 600, 24, 7);
        let whole = images.moments();
        for clients in [1, 4, 10, 100] {
            let shares = partition(&images, clients, draw);
            assert_eq!(shares.iter().map(Vec::len).sum::<usize>(), 600);
            for dtype in [Dtype::F32, Dtype::F16] {
                let answers: Vec<_> = shares
                    .iter()
                    .map(|share| answer(&images.moments_of(share.iter().copied()), dtype))
                    .collect();
                let mut server = Server::new(&images);
                server.add(&answers);
                for (name, solve, f32s, f16s) in HEADS {
                    let tolerance = if dtype == Dtype::F32 { Some(f32s) } else { f16s };
                    let Some(tolerance) = tolerance else { continue };
                    let here = solve(&server.moments(), &images.texts).unwrap();
                    let there = solve(&whole, &images.texts).unwrap();
                    if dtype == Dtype::F32 {
                        assert_eq!(predicted(&here, &images), predicted(&there, &images), "{name}");
                    }
                    let distance = head_distance(&here, &there);
                    assert!(
                        distance <= tolerance,
                        "{name}, {clients} clients, draw {draw}, {dtype}: {distance:e}"
                    );
                }
            }
        }
    }
}

#[test]
fn moments_add_up_in_f64() {
    let images = Images::drawn(3, 300, 16, 5);
    let whole = Ridge::default().solve(&images.moments(), &images.texts).unwrap();
    let mut sum = Moments::new(images.dim, images.classes);
    for share in partition(&images, 10, 3) {
        sum.merge(&images.moments_of(share)).unwrap();
    }
    assert_eq!(sum.total(), 300.0);
    let merged = Ridge::default().solve(&sum, &images.texts).unwrap();
    assert!(head_distance(&merged, &whole) < 1e-7);
}

#[test]
fn a_late_client_adds_its_own() {
    let images = Images::drawn(5, 300, 16, 5);
    let (early, late) = (images.moments_of(0..200), images.moments_of(200..300));
    let mut server = Server::new(&images);
    server.add(&[answer(&early, Dtype::F32)]);
    server.add(&[answer(&late, Dtype::F32)]);
    for (name, solve, tolerance, _) in HEADS {
        let here = solve(&server.moments(), &images.texts).unwrap();
        let there = solve(&images.moments(), &images.texts).unwrap();
        assert!(head_distance(&here, &there) <= tolerance, "{name}");
    }
}

#[test]
fn a_client_that_leaves_takes_its_classes_with_it() {
    let images = Images::drawn(8, 300, 16, 5);
    let (stays, leaves): (Vec<usize>, Vec<usize>) =
        (0..300).partition(|&image| images.labels[image] < 3);
    let (stays, leaves) = (images.moments_of(stays), images.moments_of(leaves));
    let expected = Ridge { prior: 1.0, ..Ridge::default() }.solve(&stays, &images.texts).unwrap();

    let mut here = images.moments();
    here.subtract(&leaves).unwrap();
    assert_eq!(here.class_counts()[3..], [0.0, 0.0]);
    let head = Ridge { prior: 1.0, ..Ridge::default() }.solve(&here, &images.texts).unwrap();
    assert!(head_distance(&head, &expected) < 1e-6);

    let mut server = Server::new(&images);
    server.add(&[answer(&stays, Dtype::F32), answer(&leaves, Dtype::F32)]);
    let (means, examples) = answer(&leaves, Dtype::F32);
    server.add(&[(means, -examples)]);
    assert_eq!(server.moments().class_counts()[3..], [0.0, 0.0]);
    assert!(server.moments().class_sum(3).iter().all(|&sum| sum == 0.0));
    let head = Ridge { prior: 1.0, ..Ridge::default() }.solve(&server.moments(), &images.texts);
    assert!(head_distance(&head.unwrap(), &expected) < 1e-4);
}

#[test]
fn when_all_leave_nothing_is_left() {
    let images = Images::drawn(8, 90, 16, 5);
    let mut moments = images.moments_of(0..45);
    moments.merge(&images.moments_of(45..90)).unwrap();
    moments.subtract(&images.moments_of(45..90)).unwrap();
    moments.subtract(&images.moments_of(0..45)).unwrap();
    assert_eq!(moments, Moments::new(16, 5));

    let mut server = Server::new(&images);
    let (means, examples) = answer(&images.moments(), Dtype::F16);
    server.add(&[(means.clone(), examples)]);
    server.add(&[(means, -examples)]);
    assert_eq!(server.moments(), Moments::new(16, 5));
}

#[test]
fn who_was_never_added_cannot_leave() {
    let images = Images::drawn(9, 90, 16, 5);
    let before = images.moments_of(0..30);
    let mut moments = before.clone();
    let error = moments.subtract(&images.moments_of(30..90)).unwrap_err().to_string();
    assert!(error.contains("number of images of class"), "{error}");
    assert_eq!(moments, before);

    // The same number of images of each class, with larger features.
    let mut other = Moments::new(16, 5);
    for image in 0..30 {
        let large: Vec<f32> = images.feature(image).iter().map(|value| 2.0 * value).collect();
        other.add(&large, images.labels[image], 1.0).unwrap();
    }
    let error = moments.subtract(&other).unwrap_err().to_string();
    assert!(error.contains("entry (0, 0) of the Gram matrix"), "{error}");
    assert_eq!(moments, before);
}
