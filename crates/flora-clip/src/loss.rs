//! Losses over similarity matrices.

use burn::tensor::{Int, Tensor, TensorData, activation};

/// CLIP's symmetric contrastive loss (InfoNCE): `1/2 (CE(L) + CE(L^t))` against the diagonal,
/// where `L` holds the scaled similarities of image `i` and text `j`
/// ([arXiv 2103.00020](https://arxiv.org/abs/2103.00020), figure 3).
///
/// # Shapes
///
/// - logits: `[batch, batch]`
/// - output: `[1]`, in nats
pub fn contrastive(logits: Tensor<2>) -> Tensor<1> {
    let [batch, _] = logits.dims();
    let diagonal: Vec<usize> = (0..batch).collect();
    let images = class_cross_entropy(logits.clone(), &diagonal);
    let texts = class_cross_entropy(logits.transpose(), &diagonal);
    (images + texts).mul_scalar(0.5)
}

/// Mean cross-entropy of each row against its class.
///
/// # Shapes
///
/// - logits: `[batch, classes]`
/// - labels: `batch` class indices
/// - output: `[1]`, in nats
pub fn class_cross_entropy(logits: Tensor<2>, labels: &[usize]) -> Tensor<1> {
    of_classes(logits, labels).mean().neg()
}

/// Like [`class_cross_entropy`], weighted by example: `sum_i w_i l_i / sum_i w_i`, where `l_i` is the cross-entropy of
/// row `i`. With the weight of each row's class it is `torch.nn.CrossEntropyLoss(weight=...)`.
///
/// # Shapes
///
/// - logits: `[batch, classes]`
/// - labels: `batch` class indices
/// - weights: `batch` numbers, positive
/// - output: `[1]`, in nats
pub fn weighted_class_cross_entropy(
    logits: Tensor<2>,
    labels: &[usize],
    weights: &[f32],
) -> Tensor<1> {
    let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    let shares: Vec<f32> = weights.iter().map(|&w| (f64::from(w) / sum) as f32).collect();
    let shares = TensorData::new(shares, [labels.len(), 1]);
    let shares = Tensor::<2>::from_data(shares, &logits.device());
    (of_classes(logits, labels) * shares).sum().neg()
}

/// The log-probability of each row's class, `[batch, 1]`.
fn of_classes(logits: Tensor<2>, labels: &[usize]) -> Tensor<2> {
    let labels: Vec<i32> = labels.iter().map(|&label| label as i32).collect();
    let count = labels.len();
    let labels = TensorData::new(labels, [count, 1]);
    let labels = Tensor::<2, Int>::from_data(labels, &logits.device());
    activation::log_softmax(logits, 1).gather(1, labels)
}

/// Symmetric contrastive loss with several positives: every text in the same `group` as an image is a positive of that
/// image, each with the same weight (the supervised contrastive form, [arXiv
/// 2004.11362](https://arxiv.org/abs/2004.11362) equation 2, in both directions). If all groups are different it is
/// [`contrastive`].
///
/// # Shapes
///
/// - logits: `[batch, batch]`
/// - groups: `batch` numbers, equal where the texts are the same
/// - output: `[1]`, in nats
pub fn multi_positive_contrastive(logits: Tensor<2>, groups: &[usize]) -> Tensor<1> {
    let batch = groups.len();
    let mut sizes = std::collections::HashMap::new();
    for group in groups {
        *sizes.entry(group).or_insert(0f32) += 1.0;
    }
    let targets = groups
        .iter()
        .flat_map(|a| groups.iter().map(move |b| (a, b)))
        .map(|(a, b)| if a == b { 1.0 / sizes[a] } else { 0.0 })
        .collect::<Vec<f32>>();
    let targets = TensorData::new(targets, [batch, batch]);
    // The targets are symmetric, since equality is.
    let targets = Tensor::<2>::from_data(targets, &logits.device());
    let images = activation::log_softmax(logits.clone(), 1) * targets.clone();
    let texts = activation::log_softmax(logits, 0) * targets;
    (images + texts).sum().mul_scalar(-0.5 / batch as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn logits() -> Tensor<2> {
        Tensor::from_data([[2.0, 0.5, -1.0], [0.0, 1.0, 0.3], [0.2, -0.4, 0.9]], &Device::flex())
    }

    #[test]
    fn without_equal_texts_the_multi_positive_loss_is_the_plain_one() {
        let plain = contrastive(logits()).into_scalar::<f32>();
        let multi = multi_positive_contrastive(logits(), &[7, 1, 3]).into_scalar::<f32>();
        assert!((plain - multi).abs() < 1e-6, "{plain} {multi}");
    }

    #[test]
    fn equal_texts_are_no_false_negatives() {
        // Two images with the same caption, perfectly separated from the third: the plain loss cannot go below 2/3 ln
        // 2, the multi-positive one has the same floor as its own entropy and no gradient.
        let sure = Tensor::from_data(
            [[50.0, 50.0, 0.0], [50.0, 50.0, 0.0], [0.0, 0.0, 50.0]],
            &Device::flex(),
        );
        let loss = multi_positive_contrastive(sure, &[0, 0, 1]).into_scalar::<f32>();
        let entropy = 2.0 / 3.0 * 2f32.ln();
        assert!((loss - entropy).abs() < 1e-5, "{loss} {entropy}");
    }

    #[test]
    fn cross_entropy_matches_hand_numbers() {
        let loss = class_cross_entropy(logits(), &[0, 2, 2]).into_scalar::<f32>();
        let row = |row: [f32; 3], label: usize| {
            row.iter().map(|x| x.exp()).sum::<f32>().ln() - row[label]
        };
        let expected =
            (row([2.0, 0.5, -1.0], 0) + row([0.0, 1.0, 0.3], 2) + row([0.2, -0.4, 0.9], 2)) / 3.0;
        assert!((loss - expected).abs() < 1e-6);
    }
}
