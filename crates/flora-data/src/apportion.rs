//! Apportionment: integer shares of a total.

/// Splits `total` in proportion to `weights`, by largest remainder: a share is its exact quota rounded up or down.
/// Equal remainders go first to the lowest `held`, then to the lowest index. Calling this class by class with the
/// shares so far as `held` therefore favours nobody.
///
/// All shares are zero if all weights are.
pub(crate) fn apportion(total: usize, weights: &[usize], held: &[usize]) -> Vec<usize> {
    let sum: u128 = weights.iter().map(|&weight| weight as u128).sum();
    if sum == 0 {
        return vec![0; weights.len()];
    }
    // Exact in 128 bits: rounded quotas could tie in one place and not in another.
    let quota = |weight: usize| total as u128 * weight as u128;
    let mut shares: Vec<usize> =
        weights.iter().map(|&weight| (quota(weight) / sum) as usize).collect();
    let left = total - shares.iter().sum::<usize>();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(quota(weights[i]) % sum), held[i], i));
    for &i in order.iter().take(left) {
        shares[i] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_quotas_rounded_up_or_down() {
        assert_eq!(apportion(10, &[1, 1, 1], &[0; 3]), [4, 3, 3]);
        assert_eq!(apportion(10, &[6, 0, 3], &[0; 3]), [7, 0, 3]);
        assert_eq!(apportion(0, &[5, 5], &[0; 2]), [0, 0]);
        assert_eq!(apportion(3, &[0, 0], &[0; 2]), [0, 0]);
    }

    #[test]
    fn ties_go_to_whoever_has_least() {
        assert_eq!(apportion(1, &[1, 1, 1], &[4, 2, 2]), [0, 1, 0]);
    }

    #[test]
    fn huge_weights_do_not_overflow() {
        let shares = apportion(usize::MAX, &[usize::MAX, usize::MAX], &[0; 2]);
        assert_eq!(shares[0] - shares[1], 1);
    }
}
