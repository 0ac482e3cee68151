//! Moments as records: the answers of clients and the sums of a server.

mod support;

use flora_core::{Dtype, HostTensor, ParameterRecord};
use flora_heads::{CLASS_COUNTS, CLASS_SUMS, GRAM, Gda, HeadsError, Lda, Moments, Ncm, Ridge};
use support::Images;

/// Features and sums that f32 represents exactly.
fn exact() -> Moments {
    let mut moments = Moments::new(3, 2);
    moments.add(&[1.0, 2.0, 3.0], 0, 1.0).unwrap();
    moments.add(&[0.5, 0.0, -1.0], 1, 2.0).unwrap();
    moments.add(&[-1.0, 4.0, 0.25], 1, 1.0).unwrap();
    moments
}

/// Weighted sums by hand, in the documented order.
#[test]
fn the_packing_is_the_documented_one() {
    let moments = exact();
    let entry = |a: f64, b: f64, c: f64| a + 2.0 * b + c;
    let gram = [
        entry(1.0, 0.25, 1.0),
        entry(2.0, 0.0, -4.0),
        entry(3.0, -0.5, -0.25),
        entry(4.0, 0.0, 16.0),
        entry(6.0, 0.0, 1.0),
        entry(9.0, 1.0, 0.0625),
    ];
    assert_eq!(moments.gram(), gram);
    assert_eq!(moments.class_sums(), [1.0, 2.0, 3.0, 0.0, 4.0, -1.75]);
    assert_eq!(moments.class_counts(), [1.0, 3.0]);
    assert_eq!((moments.total(), moments.trace()), (4.0, 2.5 + 20.0 + 11.0625));

    let record = moments.to_record().unwrap();
    let gram: Vec<f32> = gram.iter().map(|&value| value as f32).collect();
    let shapes: Vec<_> = record.iter().map(|(name, tensor)| (name, tensor.shape())).collect();
    assert_eq!(shapes, [(GRAM, &[6][..]), (CLASS_SUMS, &[2, 3]), (CLASS_COUNTS, &[2])]);
    assert_eq!(record.get(GRAM).unwrap().to_f32(), gram);
}

#[test]
fn records_round_trip() {
    let moments = exact();
    assert_eq!(Moments::from_record(&moments.to_record().unwrap()).unwrap(), moments);
    let means = moments.to_mean_record().unwrap();
    assert_eq!(Moments::from_mean_record(&means, 4.0).unwrap(), moments);
    let empty = Moments::new(3, 2);
    assert_eq!(Moments::from_record(&empty.to_mean_record().unwrap()).unwrap(), empty);
}

#[test]
fn what_a_client_sends_is_small_however_many_images_it_has() {
    for images in [1, 1_000] {
        let means = Images::drawn(1, images, 16, 4).moments().to_mean_record().unwrap();
        assert!(means.norm() <= 3.0_f64.sqrt() + 1e-6, "{}", means.norm());
        assert!(means.norm() > 0.5, "{}", means.norm());
    }
}

/// The matrix product equals the sum over single images, at sizes around its block size.
#[test]
fn a_batch_is_its_images() {
    for (images, dim) in [(1, 1), (7, 5), (511, 9), (512, 33), (513, 4), (1_100, 16)] {
        let images = Images::drawn(2, images, dim, 3);
        let mut batch = Moments::new(dim, 3);
        batch.add_batch(&images.features, &images.labels, 0.5).unwrap();
        let mut gram = vec![0.0; dim * dim];
        for feature in images.features.chunks(dim) {
            for (row, x) in feature.iter().enumerate() {
                for (column, y) in feature.iter().enumerate() {
                    gram[row * dim + column] += 0.5 * f64::from(*x) * f64::from(*y);
                }
            }
        }
        let mut packed = batch.gram().iter();
        for row in 0..dim {
            for column in row..dim {
                let (ours, expected) = (packed.next().unwrap(), gram[row * dim + column]);
                assert!((ours - expected).abs() < 1e-10, "({row}, {column}): {ours} {expected}");
            }
        }
        assert_eq!(packed.next(), None);
    }
}

fn with(name: &str, shape: &[usize], values: Vec<f32>) -> ParameterRecord {
    let mut record = ParameterRecord::new();
    for (old, tensor) in exact().to_record().unwrap().iter() {
        if old != name {
            record.insert(old, tensor.clone()).unwrap();
        }
    }
    record.insert(name, HostTensor::from_f32(shape, values).unwrap()).unwrap();
    record
}

#[test]
fn records_that_no_images_have_are_refused() {
    let refused = |record: &ParameterRecord| Moments::from_record(record).unwrap_err().to_string();
    let negative = refused(&with(CLASS_COUNTS, &[2], vec![1.0, -3.0]));
    assert!(negative.contains("`closed_form.class_counts` holds -3 at 1"), "{negative}");
    let negative = refused(&with(GRAM, &[6], vec![2.5, 0.0, 0.0, -20.0, 0.0, 11.0]));
    assert!(negative.contains("`closed_form.gram` holds -20 at 3"), "{negative}");
    let shape = refused(&with(GRAM, &[9], vec![1.0; 9]));
    assert!(shape.contains("`closed_form.gram` has shape [9], expected [6]"), "{shape}");
    let shape = refused(&with(CLASS_SUMS, &[6], vec![1.0; 6]));
    assert!(shape.contains("`closed_form.class_sums` has shape [6]"), "{shape}");
    let nan = refused(&with(CLASS_SUMS, &[2, 3], vec![f32::NAN; 6]));
    assert!(nan.contains("holds NaN"), "{nan}");
    let missing = refused(&exact().to_record().unwrap().filter(|name| name != CLASS_COUNTS));
    assert!(missing.contains("`closed_form.class_counts` is missing"), "{missing}");
    let unknown = refused(&with("weight", &[1], vec![0.0]));
    assert!(unknown.contains("unexpected tensor `weight`"), "{unknown}");
    assert!(refused(&ParameterRecord::new()).contains("is missing"));
    // No memory is reserved for the triangle of a dimension that only a shape claims.
    for dim in [1 << 20, usize::MAX] {
        let claimed = refused(&with(CLASS_SUMS, &[0, dim], vec![]));
        assert!(claimed.contains("`closed_form.gram` has shape [6]"), "{claimed}");
    }
    for total in [-1.0, f64::NAN] {
        let means = exact().to_mean_record().unwrap();
        assert!(Moments::from_mean_record(&means, total).is_err());
    }
}

/// A damaged file of sums is either rejected, or contains sums from which heads can be computed.
#[test]
fn a_damaged_file_of_sums_never_panics() {
    let whole = exact().to_record().unwrap().to_safetensors();
    for end in 0..whole.len() {
        assert!(ParameterRecord::from_safetensors(&whole[..end]).is_err(), "cut at {end}");
    }
    let mut refused = 0;
    for at in 0..whole.len() {
        for flip in [0x01, 0x40, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            let record = ParameterRecord::from_safetensors(&bytes).ok();
            let Some(moments) = record.and_then(|record| Moments::from_record(&record).ok()) else {
                refused += 1;
                continue;
            };
            assert_eq!((moments.dim(), moments.classes()), (3, 2), "byte {at} ^ {flip}");
            assert!(moments.class_counts().iter().all(|&count| count == 0.0 || count >= 0.01));
            let written = moments.to_record().unwrap();
            assert_eq!(Moments::from_record(&written).unwrap(), moments, "byte {at} ^ {flip}");
            let texts = [0.0; 6];
            let heads = [
                Ridge::default().solve(&moments, &texts),
                Gda::default().solve(&moments, &texts),
                Lda::default().solve(&moments),
                Ncm::default().solve(&moments, &texts),
            ];
            for head in heads.into_iter().flatten() {
                assert_eq!((head.weight.len(), head.bias.len()), (6, 2));
            }
        }
    }
    // Most of the file is its header.
    assert!(refused > whole.len(), "{refused} of {}", 3 * whole.len());
}

#[test]
fn sums_beyond_f32_are_an_error_and_not_an_infinity() {
    let mut moments = Moments::new(2, 1);
    moments.add(&[1e25, 0.0], 0, 1.0).unwrap();
    let error = moments.to_record().unwrap_err();
    assert!(matches!(error, HeadsError::TooLarge { name: GRAM, .. }), "{error}");
}

/// Answers in f16 lead to negative eigenvalues, which a small lambda does not compensate.
#[test]
fn a_gram_matrix_that_rounding_made_indefinite_is_solved_all_the_same() {
    let images = Images::drawn(3, 40, 64, 4);
    let means = images.moments().to_mean_record().unwrap().cast(Dtype::F16);
    let moments = Moments::from_mean_record(&means, 40.0).unwrap();
    let ridge = Ridge { lambda: 1e-6, prior: 0.0, balance: 0.0, intercept: false };
    let head = ridge.solve(&moments, &images.texts).unwrap();
    assert!(head.weight.iter().all(|value| value.is_finite()));
}
