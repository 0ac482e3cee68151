//! Edge cases: few images, none, equal ones, very large and very small ones, and invalid ones.

mod support;

use flora_heads::{Gda, HeadsError, Lda, Moments, Ncm, Ridge};
use support::{Images, assert_close, predictions};

const PRIOR: Ridge = Ridge { lambda: 0.1, prior: 1.0, balance: 0.5, intercept: false };

#[test]
fn without_images_the_head_is_the_text_classifier() {
    let images = Images::drawn(0, 10, 8, 3);
    let moments = Moments::new(8, 3);
    for head in [
        PRIOR.solve(&moments, &images.texts).unwrap(),
        Ridge { intercept: true, ..PRIOR }.solve(&moments, &images.texts).unwrap(),
        Gda::default().solve(&moments, &images.texts).unwrap(),
        Ncm::default().solve(&moments, &images.texts).unwrap(),
    ] {
        assert_eq!(head.weight, images.texts);
        assert_eq!(head.bias, [0.0; 3]);
    }
    let head = Lda::default().solve(&moments).unwrap();
    assert_eq!((head.weight, head.bias), (vec![0.0; 24], vec![0.0; 3]));
}

#[test]
fn a_class_without_images_keeps_its_text() {
    let images = Images::drawn(1, 200, 8, 5);
    let moments = images.moments_of((0..200).filter(|&image| images.labels[image] != 2));
    for head in [
        PRIOR.solve(&moments, &images.texts).unwrap(),
        Gda::default().solve(&moments, &images.texts).unwrap(),
        Ncm::default().solve(&moments, &images.texts).unwrap(),
    ] {
        assert_eq!(head.weight[16..24], images.texts[16..24]);
        assert_eq!(head.bias[2], 0.0);
        assert_ne!(head.weight[..8], images.texts[..8]);
    }
    let head = Lda::default().solve(&moments).unwrap();
    assert_eq!((&head.weight[16..24], head.bias[2]), (&[0.0; 8][..], 0.0));
}

/// By hand: with the Gram matrix of one image x, (x x^T + s I)^-1 (x y + s t) = t + x (y - x.t) / (s + x.x), by the
/// Sherman-Morrison formula.
#[test]
fn ridge_of_one_image_follows_its_formula() {
    let images = Images::drawn(2, 1, 8, 3);
    let head = PRIOR.solve(&images.moments(), &images.texts).unwrap();
    let (x, text) = (images.feature(0), &images.texts[..8]);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let shift = 0.1 * dot(x, x) / 8.0;
    let step = (1.0 - dot(x, text)) / (shift + dot(x, x));
    let expected: Vec<f32> = text.iter().zip(x).map(|(text, x)| text + step * x).collect();
    assert_close("row", &head.weight[..8], &expected, 1e-6);
    assert_eq!(head.weight[8..], images.texts[8..]);
}

#[test]
fn one_image_says_nothing_to_lda_and_its_direction_to_the_others() {
    let images = Images::drawn(2, 1, 8, 3);
    let moments = images.moments();
    // The mean of the class is the mean of all.
    let head = Lda::default().solve(&moments).unwrap();
    assert_eq!((head.weight, head.bias), (vec![0.0; 24], vec![0.0; 3]));
    let head = Ncm::default().solve(&moments, &images.texts).unwrap();
    assert_close("ncm", &head.weight[..8], images.feature(0), 1e-6);
    let head = Gda::default().solve(&moments, &images.texts).unwrap();
    let scaled: Vec<f32> = images.feature(0).iter().map(|x| 8.0 * x).collect();
    assert_close("gda", &head.weight[..8], &scaled, 1e-6);
}

#[test]
fn fewer_images_than_dimensions_are_told_apart() {
    // Two images per class in 64 dimensions: the Gram matrix has rank 10.
    let images = Images::drawn(4, 10, 64, 5);
    let moments = images.moments();
    for head in [
        Ridge { lambda: 1e-9, ..Ridge::default() }.solve(&moments, &images.texts).unwrap(),
        Gda::default().solve(&moments, &images.texts).unwrap(),
        Lda::default().solve(&moments).unwrap(),
        Lda { lambda: Some(1e-9) }.solve(&moments).unwrap(),
    ] {
        let logits = head.logits(&images.features).unwrap();
        assert_eq!(predictions(&logits, 5), images.labels);
    }
}

#[test]
fn images_twice_are_their_weight_twice() {
    let images = Images::drawn(5, 40, 8, 3);
    let mut twice = images.moments();
    twice.merge(&images.moments()).unwrap();
    let mut weighed = Moments::new(8, 3);
    weighed.add_batch(&images.features, &images.labels, 2.0).unwrap();
    for (a, b) in twice.gram().iter().zip(weighed.gram()) {
        assert!((a - b).abs() <= 1e-12, "{a} {b}");
    }
    assert_eq!(twice.class_counts(), weighed.class_counts());
    // Ridge is relative to all images: the same head.
    let one = PRIOR.solve(&images.moments(), &images.texts).unwrap();
    let two = PRIOR.solve(&twice, &images.texts).unwrap();
    assert_close("weight", &two.weight, &one.weight, 1e-6);
}

#[test]
fn copies_of_one_image_a_class_have_no_scatter() {
    let images = Images::drawn(6, 3, 8, 3);
    let mut moments = Moments::new(8, 3);
    for class in 0..3 {
        for _ in 0..7 {
            moments.add(images.feature(class), class, 1.0).unwrap();
        }
    }
    for head in [
        Gda::default().solve(&moments, &images.texts).unwrap(),
        Lda::default().solve(&moments).unwrap(),
    ] {
        let logits = head.logits(&images.features).unwrap();
        assert_eq!(predictions(&logits, 3), [0, 1, 2]);
        assert!(logits.iter().all(|logit| logit.abs() < 1e4), "{logits:?}");
    }
}

/// lambda is relative, and GDA's and LDA's covariances scale with the features: the logits of a scaled image do not
/// change.
#[test]
fn the_scale_of_features_does_not_matter() {
    let images = Images::drawn(7, 120, 12, 4);
    let plain = Ridge { prior: 0.0, ..PRIOR };
    let logits_at = |scale: f32| -> [Vec<f32>; 2] {
        let features: Vec<f32> = images.features.iter().map(|value| value * scale).collect();
        let mut moments = Moments::new(12, 4);
        moments.add_batch(&features, &images.labels, 1.0).unwrap();
        [
            plain.solve(&moments, &images.texts).unwrap().logits(&features).unwrap(),
            Lda::default().solve(&moments).unwrap().logits(&features).unwrap(),
        ]
    };
    let [ridge, lda] = logits_at(1.0);
    for scale in [1e-12, 1e12] {
        let [scaled_ridge, scaled_lda] = logits_at(scale);
        assert_close("ridge", &scaled_ridge, &ridge, 1e-4);
        assert_close("lda", &scaled_lda, &lda, 1e-4);
    }
}

#[test]
fn features_that_are_zero_leave_the_text() {
    let images = Images::drawn(7, 1, 4, 2);
    let mut moments = Moments::new(4, 2);
    moments.add_batch(&[0.0; 8], &[0, 1], 1.0).unwrap();
    let head = PRIOR.solve(&moments, &images.texts).unwrap();
    assert_eq!(head.weight, images.texts);
    assert_eq!(Ncm::default().solve(&moments, &images.texts).unwrap().weight, images.texts);
    assert_eq!(Lda::default().solve(&moments).unwrap().weight, [0.0; 8]);
}

#[test]
fn bad_images_are_refused_and_nothing_is_added() {
    let mut moments = Moments::new(2, 3);
    let mut refused = |features: &[f32], classes: &[usize], weight: f64| {
        let error = moments.add_batch(features, classes, weight).unwrap_err().to_string();
        assert_eq!(moments, Moments::new(2, 3), "{error}");
        error
    };
    let good = [0.5, 0.5];
    assert!(
        refused(&[0.5, 0.5, 0.1, f32::NAN], &[0, 1], 1.0)
            .starts_with("image 1: value 1 of its feature is NaN")
    );
    assert!(
        refused(&[f32::NEG_INFINITY, 0.5], &[0], 1.0).contains("value 0 of its feature is -inf")
    );
    assert!(refused(&good, &[3], 1.0).starts_with("image 0 has class 3, but there are 3 classes"));
    assert!(refused(&good, &[0, 1], 1.0).contains("has 2 values, expected 4"));
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(refused(&good, &[0], weight).contains("weight"), "{weight}");
    }
}

#[test]
fn bad_settings_and_texts_are_refused() {
    let images = Images::drawn(7, 20, 4, 2);
    let moments = images.moments();
    let solve = |ridge: Ridge| ridge.solve(&moments, &images.texts).unwrap_err().to_string();
    for lambda in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(solve(Ridge { lambda, ..PRIOR }).starts_with("lambda is "));
        assert!(Lda { lambda: Some(lambda) }.solve(&moments).is_err());
    }
    assert!(solve(Ridge { prior: f64::NAN, ..PRIOR }).starts_with("prior is NaN"));
    assert!(solve(Ridge { balance: 1.5, ..PRIOR }).starts_with("balance is 1.5"));

    let error = PRIOR.solve(&moments, &images.texts[..7]).unwrap_err();
    assert!(matches!(error, HeadsError::Length { actual: 7, expected: 8, .. }));
    let mut texts = images.texts.clone();
    texts[5] = f32::NAN;
    let error = Ncm::default().solve(&moments, &texts).unwrap_err();
    assert!(error.to_string().contains("text of class 1"), "{error}");
    let error = moments.clone().merge(&Moments::new(4, 3)).unwrap_err();
    assert!(matches!(error, HeadsError::Mismatch { classes: 2, other_classes: 3, .. }));
}
